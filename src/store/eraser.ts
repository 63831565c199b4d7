// The only code that can remove an object. It is a capability of its own: disposition receives it, nothing else does.

import fs from 'node:fs';
import path from 'node:path';
import { DeleteObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import type { Clock } from '../core/clock.ts';
import { RefusedError, ServiceError } from '../core/errors.ts';
import type { StoreSettings } from '../core/settings.ts';
import { checkKey } from './description.ts';
import { DirectorySync, diskTrouble, shardOf, storeFolders } from './disk.ts';
import type { ObjectEraser, ObjectKey } from './objects.ts';
import { isNamed, type ObjectVersion, type S3Address, S3Bucket, type S3Credentials } from './s3-bucket.ts';
import { abort, uploads } from './s3-upload.ts';

/** @returns the right to remove objects from the store that the settings name. */
export function openEraser(
  settings: StoreSettings,
  { clock, credentials }: { clock: Clock; credentials?: S3Credentials },
): ObjectEraser {
  if (settings.provider === 'directory') return directoryEraser(settings);
  return s3Eraser({ ...settings, clock, ...(credentials ? { credentials } : {}) });
}

/** Removes the file and what a dead writer may have left of it in incoming/, durably. */
export function directoryEraser({ path: root }: { path: string }): ObjectEraser {
  const sync = new DirectorySync();
  return {
    async erase(key: ObjectKey): Promise<void> {
      checkKey(key);
      try {
        const { objects, incoming } = storeFolders(root, { create: false });
        const folder = path.join(objects, shardOf(key));
        if (fs.existsSync(folder)) {
          fs.rmSync(path.join(folder, key), { force: true });
          await sync.directory(folder);
        }
        const unfinished = fs.existsSync(incoming)
          ? fs.readdirSync(incoming).filter((name) => name.startsWith(`${key}.`))
          : [];
        for (const name of unfinished) fs.rmSync(path.join(incoming, name), { force: true });
        if (unfinished.length > 0) await sync.directory(incoming);
        if (fs.lstatSync(path.join(folder, key), { throwIfNoEntry: false })) throw stillThere(key);
      } catch (error) {
        throw diskTrouble(error, `could not erase object ${key} from ${root}`);
      }
    },
  };
}

/**
 * Removes every version, delete marker and unfinished upload of the key. Nothing is removed while one version is locked:
 * governance retention is never bypassed.
 */
export function s3Eraser({ clock, ...address }: S3Address & { clock: Clock }): ObjectEraser {
  const bucket = new S3Bucket(address);
  return {
    async erase(key: ObjectKey): Promise<void> {
      checkKey(key);
      try {
        const versions = await versionsOf(bucket, key);
        for (const version of versions) await refuseLocked(bucket, key, version, clock.now());
        for (const { name, version } of versions) {
          await bucket.client.send(
            new DeleteObjectCommand({ Bucket: bucket.bucket, Key: name, VersionId: version }),
          );
        }
        const name = bucket.prefix + key;
        for await (const upload of uploads(bucket, name)) {
          if (upload.name === name)
            await abort(bucket, { Bucket: bucket.bucket, Key: name, UploadId: upload.id });
        }
        if ((await versionsOf(bucket, key)).length > 0) throw stillThere(key);
      } catch (error) {
        if (isNamed(error, 'AccessDenied', 'ObjectLocked')) {
          throw new RefusedError(`the storage service refuses to erase object ${key}`, {
            hint: 'A lock or a legal hold stands on it, or the credentials lack s3:DeleteObjectVersion.',
            cause: error,
          });
        }
        throw bucket.trouble(error, `could not erase object ${key}`);
      }
    },
  };
}

function stillThere(key: ObjectKey): ServiceError {
  return new ServiceError(`object ${key} is still there after it was erased`, {
    hint: 'Another writer may have stored it again, or the storage does not do what it confirms. Erase again, then verify.',
  });
}

async function versionsOf(bucket: S3Bucket, key: ObjectKey): Promise<ObjectVersion[]> {
  const name = bucket.prefix + key;
  const versions: ObjectVersion[] = [];
  for await (const version of bucket.versions(name)) if (version.name === name) versions.push(version);
  return versions;
}

async function refuseLocked(
  bucket: S3Bucket,
  key: ObjectKey,
  { name, version, marker }: ObjectVersion,
  now: Temporal.Instant,
): Promise<void> {
  if (marker) return; // a delete marker cannot be locked
  const status = await bucket.client.send(
    new HeadObjectCommand({
      Bucket: bucket.bucket,
      Key: name,
      ...(version === 'null' ? {} : { VersionId: version }),
    }),
  );
  const until = status.ObjectLockRetainUntilDate;
  if (status.ObjectLockLegalHoldStatus === 'ON') {
    throw new RefusedError(`object ${key} is under a legal hold of the storage service`, {
      hint: 'Release the hold in the storage service first.',
    });
  }
  if (until !== undefined && until.getTime() > now.epochMilliseconds) {
    throw new RefusedError(`object ${key} is locked until ${until.toISOString()}`, {
      hint: 'It can be erased when the lock has ended. Muniment never bypasses a lock.',
    });
  }
}
