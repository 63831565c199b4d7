// The write-once directory store: one object is one read-only file, objects/<first two hex digits>/<key>, in the format
// of container.ts. It needs a local file system with hard links and a working fsync.
//
// A file is written in incoming/ under `<key>.<writer>`, made durable, and only then linked to its name: link(2) fails
// if the name is taken, so of two writers one wins and nothing is ever replaced. What is left in incoming/ belongs to a
// writer at work or to one that died.
//
// Bytes under a key that was just made of random bytes are written where they belong at once: nobody else can know the key,
// so nobody writes or reads it before its writer has said that it is durable. Both the file and its name are then in one
// commit of the file system's journal. A crash on the way may leave a file that is cut; no row names it, and
// `muniment store sweep` removes it if it still says whose it is.
//
// What it does not do: mode 0440 keeps mistakes out, not root or the files' owner; both can change or remove a file.
// That is detectable (the key commits to the bytes), not prevented. Where it must be prevented, use S3 with Object Lock.

import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { type Clock, systemClock } from '../core/clock.ts';
import { MunimentError, ObjectExistsError, ObjectNotFoundError } from '../core/errors.ts';
import { containerHeader, damaged } from './container.ts';
import {
  bodyChunks,
  bodyLength,
  checkDescription,
  checkKey,
  describedObject,
  sameBytes,
} from './description.ts';
import { DirectorySync, diskTrouble, SHARDS, shardOf, storeFolders } from './disk.ts';
import { ObjectFile } from './object-file.ts';
import type { ListedObject, ObjectBody, ObjectKey, ObjectStore, StoredObject } from './objects.ts';

const openFile = promisify(fs.open) as (path: string, flags: string, mode: number) => Promise<number>;
const fsync = promisify(fs.fsync);
const write = promisify(fs.write) as (
  fd: number,
  bytes: Uint8Array,
  offset: number,
) => Promise<{ bytesWritten: number }>;

/** Bodies up to here are written by a direct call: the page cache takes them in less time than a hop to another thread. */
const DIRECT_WRITE_LIMIT = 256 * 1024;
/** Puts at work at one time; more wait. Bounds open files and memory. */
const WRITERS = 64;
const STALE_AFTER_HOURS = 1;

export interface DirectoryStoreOptions {
  readonly path: string;
  /** Make the store where there is none. Otherwise a missing store is an error: its disk may not be mounted. */
  readonly create?: boolean;
  /** Tells how old a dead writer's file is. */
  readonly clock?: Clock;
}

export function openDirectoryStore(options: DirectoryStoreOptions): ObjectStore {
  return new DirectoryStore(options);
}

class DirectoryStore implements ObjectStore {
  readonly identity: string;
  readonly location: string;
  readonly lock = 'none';
  readonly #root: string;
  readonly #create: boolean;
  readonly #clock: Clock;
  readonly #sync = new DirectorySync();
  readonly #writer = randomBytes(8).toString('hex');
  readonly #waiting: (() => void)[] = [];
  #free = WRITERS;
  #written = 0;
  #ready = false;

  constructor({ path: root, create = false, clock = systemClock }: DirectoryStoreOptions) {
    this.#root = path.resolve(root);
    this.identity = `directory:${this.#root}`;
    this.location = this.#root;
    this.#create = create;
    this.#clock = clock;
  }

  async put(
    key: ObjectKey,
    body: ObjectBody,
    description: { contentType: string; metadata: Record<string, string> },
    { fresh = false }: { fresh?: boolean } = {},
  ): Promise<StoredObject> {
    checkKey(key);
    checkDescription(description);
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      this.#prepare();
      return await this.#write(key, body, description, fresh);
    } catch (error) {
      throw diskTrouble(error, `could not store object ${key} in ${this.#root}`);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }

  async head(key: ObjectKey): Promise<StoredObject> {
    await using file = await this.#open(key);
    return file.object;
  }

  async get(key: ObjectKey): Promise<{ object: StoredObject; body: Readable }> {
    const file = await this.#open(key);
    return { object: file.object, body: file.stream() };
  }

  async lockedUntil(key: ObjectKey): Promise<Temporal.Instant | null> {
    return (await this.head(key)).lockedUntil;
  }

  async *list(): AsyncGenerator<ListedObject> {
    if (this.#create) this.#prepare();
    try {
      this.#checkPresent();
      for (const shard of SHARDS) {
        const folder = path.join(this.#root, 'objects', shard);
        const names = (await namesIn(folder)).filter((name) => shardOf(name) === shard).sort();
        for (let at = 0; at < names.length; at += WRITERS) {
          const listed = names
            .slice(at, at + WRITERS)
            .map((key) => listedObject(path.join(folder, key), key));
          for (const object of await Promise.all(listed)) if (object) yield object;
        }
      }
    } catch (error) {
      throw diskTrouble(error, `could not list the store ${this.#root}`);
    }
  }

  /** One file a key, and nothing in front of it. */
  async *covered(): AsyncGenerator<never> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sync.idle();
  }

  async #write(
    key: ObjectKey,
    body: ObjectBody,
    description: { contentType: string; metadata: Record<string, string> },
    fresh: boolean,
  ) {
    const name = this.#nameOf(key);
    const folder = path.dirname(name);
    const existing = async () => {
      const object = await this.#existing(key, body);
      await this.#sync.directory(folder); // its writer may have died before it was durable
      return object;
    };
    if (fresh && 'bytes' in body)
      return (await this.#writeInPlace(key, body, description)) ?? (await existing());
    // Only to save the writing: what decides is link(2) below.
    if (fs.lstatSync(name, { throwIfNoEntry: false })) return existing();

    const length = bodyLength(body);
    const temporary = path.join(this.#root, 'incoming', `${key}.${this.#writer}-${this.#written++}`);
    // By way of another thread: a file that is made can wait for the journal, and everything would wait with it.
    const fd = await openFile(temporary, 'wx', 0o440);
    try {
      try {
        await writeContainer(fd, containerHeader(key, length, description), body);
        await fsync(fd);
      } finally {
        fs.closeSync(fd);
      }
      fs.linkSync(temporary, name);
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      return await existing();
    }
    fs.unlinkSync(temporary);
    await this.#sync.directory(folder);
    return { ...describedObject(key, body, description), version: null, lockedUntil: null };
  }

  /** @returns null when the name is taken */
  async #writeInPlace(
    key: ObjectKey,
    body: { readonly bytes: Uint8Array },
    description: { contentType: string; metadata: Record<string, string> },
  ): Promise<StoredObject | null> {
    const name = this.#nameOf(key);
    const length = body.bytes.byteLength;
    let fd: number;
    try {
      fd = await openFile(name, 'wx', 0o440);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null;
      throw error;
    }
    try {
      await writeContainer(fd, containerHeader(key, length, description), body);
      await fsync(fd);
    } catch (error) {
      fs.rmSync(name, { force: true });
      throw error;
    } finally {
      fs.closeSync(fd);
    }
    await this.#sync.directory(path.dirname(name));
    return { ...describedObject(key, body, description), version: null, lockedUntil: null };
  }

  /** @returns what stands under the key already. @throws ObjectExistsError when its bytes are not the body's. */
  async #existing(key: ObjectKey, body: ObjectBody): Promise<StoredObject> {
    const { object, body: stored } = await this.get(key);
    try {
      if (object.length === bodyLength(body) && (await sameBytes(stored, body))) return object;
    } finally {
      stored.destroy();
    }
    throw new ObjectExistsError(key, {
      hint: 'Nothing was changed. A key is a commitment: one of the two was made wrongly.',
    });
  }

  async #open(key: ObjectKey): Promise<ObjectFile> {
    checkKey(key);
    if (this.#create) this.#prepare();
    try {
      return await ObjectFile.open(key, this.#nameOf(key));
    } catch (error) {
      const code = error instanceof MunimentError ? null : (error as NodeJS.ErrnoException).code;
      if (code === 'ELOOP' || code === 'EMLINK') throw damaged(key, 'a symbolic link stands in its place');
      if (code === 'ENOENT') {
        this.#checkPresent();
        throw new ObjectNotFoundError(key);
      }
      throw diskTrouble(error, `could not read object ${key} in ${this.#root}`);
    }
  }

  #nameOf(key: ObjectKey): string {
    return path.join(this.#root, 'objects', shardOf(key), key);
  }

  /** @throws ServiceError when there is no store here: then an absent file says nothing about an object. */
  #checkPresent(): void {
    storeFolders(this.#root, { create: false });
  }

  /** Before the first put: folders that are durable, and dead writers' files out of the way. */
  #prepare(): void {
    if (this.#ready) return;
    const { incoming } = storeFolders(this.#root, { create: this.#create, complete: true });
    const stale = this.#clock.now().subtract({ hours: STALE_AFTER_HOURS }).epochMilliseconds;
    for (const name of fs.readdirSync(incoming)) {
      const file = path.join(incoming, name);
      const status = fs.lstatSync(file, { throwIfNoEntry: false });
      if (status && !status.isDirectory() && status.mtimeMs < stale) fs.rmSync(file, { force: true });
    }
    this.#ready = true;
  }
}

/** A write may take less than it was given. */
function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at);
}

async function writeContainer(fd: number, header: Buffer, body: ObjectBody): Promise<void> {
  if ('bytes' in body && body.bytes.byteLength <= DIRECT_WRITE_LIMIT) {
    const whole = Buffer.concat([header, body.bytes]);
    writeAll(fd, whole);
    return;
  }
  writeAll(fd, header);
  for await (const chunk of bodyChunks(body)) {
    for (let at = 0; at < chunk.byteLength; ) at += (await write(fd, chunk, at)).bytesWritten;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []; // a shard that no object needed yet
    throw error;
  }
}

/** @returns null when it was erased since its name was read. */
async function listedObject(file: string, key: ObjectKey): Promise<ListedObject | null> {
  try {
    const { size, mtimeMs } = await lstat(file);
    return { key, length: size, modifiedAt: Temporal.Instant.fromEpochMilliseconds(Math.floor(mtimeMs)) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
