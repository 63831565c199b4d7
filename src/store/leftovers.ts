// What writers left unfinished: multipart uploads that were never completed (they cost money, and no listing of objects shows them), and
// files in the directory store's incoming/. They are no objects; this file only tells of them.

import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { StoreSettings } from '../core/settings.ts';
import { diskTrouble, storeFolders } from './disk.ts';
import { S3Bucket, type S3Credentials } from './s3-bucket.ts';
import { uploads } from './s3-upload.ts';

export interface Leftover {
  readonly kind: 'upload' | 'file';
  /** Name in the bucket, or path of the file. */
  readonly name: string;
  readonly since: Temporal.Instant;
}

export async function* leftovers(
  settings: StoreSettings,
  { credentials }: { credentials?: S3Credentials | undefined } = {},
): AsyncGenerator<Leftover> {
  if (settings.provider === 'directory') yield* unfinishedFiles(settings.path);
  else yield* unfinishedUploads(new S3Bucket({ ...settings, ...(credentials ? { credentials } : {}) }));
}

async function* unfinishedFiles(root: string): AsyncGenerator<Leftover> {
  const { incoming } = storeFolders(root, { create: false });
  try {
    for (const name of (await readdir(incoming)).sort()) {
      const file = path.join(incoming, name);
      const status = await lstat(file).catch(ifThere);
      if (status === null) continue; // its writer has finished meanwhile
      yield {
        kind: 'file',
        name: file,
        since: Temporal.Instant.fromEpochMilliseconds(Math.floor(status.mtimeMs)),
      };
    }
  } catch (error) {
    if (ifThere(error as NodeJS.ErrnoException) === null) return; // nothing was ever put here
  }
}

function ifThere(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw diskTrouble(error, 'could not look into incoming/');
}

async function* unfinishedUploads(bucket: S3Bucket): AsyncGenerator<Leftover> {
  try {
    for await (const { name, begun } of uploads(bucket, bucket.prefix))
      yield { kind: 'upload', name, since: begun };
  } catch (error) {
    throw bucket.trouble(error, 'could not list unfinished uploads');
  } finally {
    bucket.client.destroy();
  }
}
