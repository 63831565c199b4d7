// Whether two settings lead to one place, whatever it is called in them: a move of a store into itself would end with the advice to remove
// the only copy. Directories are told by the disk's own numbers; buckets by a scratch object, put through one and looked for through the other.

import { realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '../core/clock.ts';
import type { StoreSettings } from '../core/settings.ts';
import { diskTrouble } from './disk.ts';
import type { S3Credentials } from './s3-bucket.ts';

interface Place {
  readonly settings: StoreSettings;
  /** Null: the AWS SDK's own chain. */
  readonly credentials: S3Credentials | null;
}

/**
 * @param target may not exist yet; of a bucket, the scratch object is put here and removed
 * @returns whether the two are one place, or one of them lies within the other
 * @throws ServiceError when a bucket cannot be tried
 */
export async function isSamePlace(
  source: Place,
  target: Place,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<boolean> {
  const [from, to] = [source.settings, target.settings];
  if (from.provider === 'directory' && to.provider === 'directory') return isSameFolder(to.path, from.path);
  if (from.provider !== 's3' || to.provider !== 's3') return false;
  // Keys of neither could stand under the other's prefix, in whatever bucket.
  if (!from.prefix.startsWith(to.prefix) && !to.prefix.startsWith(from.prefix)) return false;
  const prefix = from.prefix.length > to.prefix.length ? from.prefix : to.prefix;
  const { probeShared } = await import('./probe.ts');
  return probeShared(
    { ...to, prefix, clock, signal, ...(target.credentials ? { credentials: target.credentials } : {}) },
    { ...from, ...(source.credentials ? { credentials: source.credentials } : {}) },
  );
}

/** @returns whether two folders are one, or one of them lies within the other, by whatever name and mount; neither needs to exist */
export async function isSameFolder(one: string, other: string): Promise<boolean> {
  return (await isWithin(one, other)) || (await isWithin(other, one));
}

/** Whether what is written to one folder would lie in another, or in its objects. */
async function isWithin(inner: string, outer: string): Promise<boolean> {
  const around = new Set<string>();
  for (const path of [inner, join(inner, 'objects')])
    for (const folder of await foldersAround(path)) around.add(folder);
  for (const path of [outer, join(outer, 'objects')]) {
    const real = await realPath(path);
    if (real !== null && around.has(await numberOf(real))) return true;
  }
  return false;
}

/** The folders that a path lies in, from itself or the nearest that exists. */
async function foldersAround(path: string): Promise<string[]> {
  const real = await realPath(path);
  if (real === null) return foldersAround(dirname(path));
  const above = dirname(real);
  return [await numberOf(real), ...(above === real ? [] : await foldersAround(above))];
}

/** @returns null where nothing is */
async function realPath(path: string): Promise<string | null> {
  try {
    return await realpath(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw diskTrouble(error, `could not look at ${path}`);
  }
}

/** Device and inode, which no other name and no other mount changes. */
async function numberOf(real: string): Promise<string> {
  const { dev, ino } = await stat(real, { bigint: true });
  return `${dev}:${ino}`;
}
