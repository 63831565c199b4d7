// Opens the store that an archive's settings name. It gives the rights to read and to add; the right to remove is opened
// elsewhere (eraser.ts).

import type { Clock } from '../core/clock.ts';
import { ServiceError, ServiceLostError } from '../core/errors.ts';
import type { StoreSettings } from '../core/settings.ts';
import { openDirectoryStore } from './directory.ts';
import { storeFolders } from './disk.ts';
import type { ObjectStore } from './objects.ts';
import type { S3Credentials } from './s3-bucket.ts';

export interface OpenStoreOptions {
  readonly clock: Clock;
  /** For S3; absent: the AWS SDK's own chain. */
  readonly credentials?: S3Credentials;
  /** Make a directory store where there is none (`muniment init`). A bucket is never made here. */
  readonly create?: boolean;
}

/** @throws ServiceLostError when the directory of a directory store is not there (a disk that is not mounted). */
export async function openStore(
  settings: StoreSettings,
  { clock, credentials, create = false }: OpenStoreOptions,
): Promise<ObjectStore> {
  if (settings.provider === 's3') {
    // Its SDK is large, and most archives keep a directory.
    const { openS3Store } = await import('./s3.ts');
    return openS3Store({ ...settings, clock, ...(credentials ? { credentials } : {}) });
  }
  try {
    storeFolders(settings.path, { create, complete: create });
  } catch (error) {
    if (create || !(error instanceof ServiceError)) throw error;
    // An archive had its payloads here: nothing is known of them until the store is back.
    throw new ServiceLostError(error.message, { cause: error, ...(error.hint ? { hint: error.hint } : {}) });
  }
  return openDirectoryStore({ path: settings.path, clock });
}
