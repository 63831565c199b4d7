// The directory store's dealings with the disk that its writer and its eraser share: folders, durable directory entries,
// and errors that tell an operator what to do.

import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { MunimentError, ServiceError } from '../core/errors.ts';
import { makeFolder } from '../core/folder.ts';
import { OBJECT_KEY_PATTERN, type ObjectKey } from './objects.ts';

const fsync = promisify(fs.fsync);
const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants;

/** The folders under objects/, in the order of their keys. */
export const SHARDS: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).padStart(2, '0'),
);

/** @returns the folder of a key, or '' for a name that is no key. */
export function shardOf(key: ObjectKey): string {
  return OBJECT_KEY_PATTERN.test(key) ? key.slice(0, 2) : '';
}

/**
 * @param create make the store where there is none
 * @param complete make every folder that a writer needs, durably
 * @throws ServiceError when there is no store and none may be made
 */
export function storeFolders(
  root: string,
  { create, complete = false }: { create: boolean; complete?: boolean },
): { objects: string; incoming: string } {
  const objects = path.join(root, 'objects');
  const incoming = path.join(root, 'incoming');
  try {
    if (!create && !fs.lstatSync(objects, { throwIfNoEntry: false })?.isDirectory()) {
      throw new ServiceError(`there is no store in ${root}: it has no folder named objects`, {
        hint: 'Check that its disk is mounted and that the path in muniment.yaml is right; `muniment init` makes a new one.',
      });
    }
    if (complete) {
      for (const folder of [objects, incoming]) makeFolder(folder, 0o750, syncNow);
      const present = new Set(fs.readdirSync(objects));
      for (const shard of SHARDS)
        if (!present.has(shard)) fs.mkdirSync(path.join(objects, shard), { recursive: true });
      syncNow(objects); // always: whoever made a shard may have died before it was durable
    }
    return { objects, incoming };
  } catch (error) {
    throw diskTrouble(error, `could not open the store ${root}`);
  }
}

/**
 * Makes entries of directories durable by group commit: while one group is being synced the next one gathers. Within a
 * group the journal is written once; measured, that beats syncing each directory as soon as it is asked for.
 */
export class DirectorySync {
  #gathering = new Map<string, PromiseWithResolvers<void>>();
  #working: Promise<void> | null = null;

  /** Resolves when every entry that stood in the directory at the time of the call is durable. */
  directory(folder: string): Promise<void> {
    const asked = this.#gathering.get(folder);
    if (asked) return asked.promise;
    const result = Promise.withResolvers<void>();
    this.#gathering.set(folder, result);
    this.#working ??= this.#work();
    return result.promise;
  }

  /** Resolves when nothing is left to sync. */
  async idle(): Promise<void> {
    await this.#working;
  }

  async #work(): Promise<void> {
    await null; // whoever asks in the same turn belongs to the first group
    while (this.#gathering.size > 0) {
      const group = this.#gathering;
      this.#gathering = new Map();
      await Promise.all(
        [...group].map(([folder, { resolve, reject }]) => syncDirectory(folder).then(resolve, reject)),
      );
    }
    this.#working = null;
  }
}

/** Refuses a symbolic link in the folder's place. */
async function syncDirectory(folder: string): Promise<void> {
  const fd = fs.openSync(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    await fsync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function syncNow(folder: string): void {
  const fd = fs.openSync(folder, O_RDONLY | O_DIRECTORY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full. Free or add space, then run the command again: nothing half-written was left.',
  EDQUOT: 'The disk quota is used up. Raise it, then run the command again: nothing half-written was left.',
  EFBIG: 'A limit on the size of files is in force. Raise it (`ulimit -f`), then run the command again.',
  EACCES: 'Give the user that runs Muniment the right to read and write this folder.',
  EPERM: 'The file system or a file attribute forbids it. The store needs hard links and its own folder.',
  EROFS: 'The file system is mounted read-only. Mount it for writing, then run the command again.',
  EXDEV: 'objects and incoming must be on one file system.',
  ENOTSUP: 'The store needs a file system with hard links (ext4, XFS, ZFS, APFS …).',
  EMFILE: 'Too many files are open. Raise the limit (`ulimit -n`).',
  EIO: 'The disk reports errors. Stop writing, check the disk and `muniment verify`.',
};

/** @returns our own errors as they are, and what the operating system threw as a ServiceError with a remedy. */
export function diskTrouble(error: unknown, what: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (error instanceof MunimentError || typeof code !== 'string') return error;
  const hint = REMEDIES[code] ?? 'Check the disk and the path of the store in muniment.yaml.';
  return new ServiceError(`${what}: ${(error as Error).message}`, { hint, cause: error });
}
