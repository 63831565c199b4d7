// The only code that can remove an object. It is a capability of its own: disposition receives it, nothing else does.

import fs from 'node:fs';
import path from 'node:path';
import { DeleteObjectCommand, DeleteObjectsCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import type { Clock } from '../core/clock.ts';
import { RefusedError, ServiceError } from '../core/errors.ts';
import type { StoreSettings } from '../core/settings.ts';
import { checkKey } from './description.ts';
import { DirectorySync, diskTrouble, shardOf, storeFolders } from './disk.ts';
import type { ObjectEraser, ObjectKey } from './objects.ts';
import { isNamed, type ObjectVersion, type S3Address, S3Bucket, type S3Credentials } from './s3-bucket.ts';
import { abort, uploads } from './s3-upload.ts';

/** How services call it when a lock, a hold or a missing right stands against a deletion. */
const REFUSALS = ['AccessDenied', 'ObjectLocked'];
/** Versions that one request may name. */
const BULK = 1000;

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
        await removeVersions(bucket, key, versions);
        const name = bucket.prefix + key;
        for await (const upload of uploads(bucket, name)) {
          if (upload.name === name)
            await abort(bucket, { Bucket: bucket.bucket, Key: name, UploadId: upload.id });
        }
        if ((await versionsOf(bucket, key)).length > 0) throw stillThere(key);
      } catch (error) {
        if (isNamed(error, ...REFUSALS)) throw refused(key, error);
        throw bucket.trouble(error, `could not erase object ${key}`);
      }
    },
  };
}

/** The answer to a bulk deletion is a success even when it did not delete: each version's own outcome counts. */
async function removeVersions(
  bucket: S3Bucket,
  key: ObjectKey,
  versions: readonly ObjectVersion[],
): Promise<void> {
  const [only, ...others] = versions;
  if (only === undefined) return;
  if (others.length === 0) {
    const { name: Key, version: VersionId } = only;
    await bucket.client.send(new DeleteObjectCommand({ Bucket: bucket.bucket, Key, VersionId }));
    return;
  }
  for (let at = 0; at < versions.length; at += BULK) {
    const Objects = versions
      .slice(at, at + BULK)
      .map(({ name, version }) => ({ Key: name, VersionId: version }));
    const { Deleted = [], Errors = [] } = await bucket.client.send(
      new DeleteObjectsCommand({ Bucket: bucket.bucket, Delete: { Objects } }),
    );
    for (const { Code, Message } of Errors) {
      if (Code !== undefined && REFUSALS.includes(Code)) throw refused(key, Message);
      throw new ServiceError(
        `${bucket.location}: a version of object ${key} was not erased: ${Code}: ${Message}`,
        { hint: 'What was erased is gone; erase again when the storage service is well.' },
      );
    }
    const gone = new Set(Deleted.map((deleted) => deleted.VersionId));
    const left = Objects.find((object) => !gone.has(object.VersionId));
    if (left !== undefined) {
      throw new ServiceError(
        `${bucket.location}: the storage service does not say that version ${left.VersionId} of object ${key} is erased`,
        { hint: 'Erase again.' },
      );
    }
  }
}

function refused(key: ObjectKey, cause: unknown): RefusedError {
  return new RefusedError(`the storage service refuses to erase object ${key}`, {
    hint: 'A lock or a legal hold stands on it, or the credentials lack s3:DeleteObjectVersion.',
    cause,
  });
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
