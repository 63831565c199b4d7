// Where a backup lies: a folder, or a prefix in a bucket. Files are written whole under their final name, streaming; payloads lie in an
// object store of their own below it, under that store's contract.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, rename } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { GetObjectCommand, ListObjectsV2Command, S3ServiceException } from '@aws-sdk/client-s3';
import type { Clock } from '../core/clock.ts';
import { InputError } from '../core/errors.ts';
import { makeNamedFolder } from '../core/folder.ts';
import { diskTrouble } from '../store/disk.ts';
import type { ObjectStore } from '../store/objects.ts';
import { openStore } from '../store/open.ts';
import { isNamed, S3Bucket, UNVERSIONED } from '../store/s3-bucket.ts';
import { wholeBody } from '../store/s3-read.ts';
import { putStream } from '../store/s3-stream.ts';

/** Length and SHA-256 (hex) of what was written. */
export interface Written {
  readonly bytes: number;
  readonly sha256: string;
}

export interface BackupPlace extends AsyncDisposable {
  /** For people; no secret in it. */
  readonly location: string;
  /** Whether nothing stands here. */
  isEmpty(): Promise<boolean>;
  /** @returns null only where there is positively no such file */
  read(name: string): Promise<Readable | null>;
  /** Replaces a file as a whole, durably. */
  write(name: string, bytes: AsyncIterable<Uint8Array> | Uint8Array): Promise<Written>;
  /** The payloads' own store. @param create make it where there is none */
  payloads(create: boolean): Promise<ObjectStore>;
}

export interface PlaceOptions {
  readonly clock: Clock;
  /** Of the bucket; the folder does not need them. */
  readonly region: string;
  readonly endpoint: string | null;
}

const PAYLOADS = 'payloads';

/** What an address names: an absolute path, or a prefix in a bucket, which ends in a slash or is empty. */
export type Address = { readonly folder: string } | { readonly bucket: string; readonly prefix: string };

/**
 * @param address a folder, or s3://BUCKET/PREFIX, as people write it
 * @param purpose what is to lie there, for the message
 * @throws InputError when it is neither
 */
export function parseAddress(address: string, purpose: string): Address {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*?))?\/*$/.exec(address);
  if (match !== null) return { bucket: match[1] as string, prefix: match[2] ? `${match[2]}/` : '' };
  // With one slash too few, or another scheme, it would make a folder of that name.
  if (address !== '' && !/^[a-z][a-z0-9+.-]*:/i.test(address)) return { folder: resolve(address) };
  throw new InputError(`“${address}” is no place for ${purpose}`, {
    hint: 'Name a folder, or write s3://BUCKET/PREFIX. A folder with a colon in its name is written ./NAME.',
  });
}

export function openPlace(address: string, options: PlaceOptions): BackupPlace {
  const at = parseAddress(address, 'a backup');
  return 'folder' in at
    ? new FolderPlace(at.folder, options.clock)
    : new BucketPlace(at.bucket, at.prefix, options);
}

/** @returns the whole file, null where there is none. @throws InputError when it is longer than `limit` */
export async function readWhole(place: BackupPlace, name: string, limit: number): Promise<Buffer | null> {
  const stream = await place.read(name);
  if (stream === null) return null;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit)
      throw new InputError(`${name} in ${place.location} has more than ${limit} bytes`, {
        hint: 'It is no backup of Muniment, or was altered.',
      });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

class Meter {
  readonly #hash = createHash('sha256');
  #bytes = 0;
  async *through(chunks: AsyncIterable<Uint8Array> | Uint8Array): AsyncGenerator<Uint8Array> {
    if (chunks instanceof Uint8Array) {
      yield this.#count(chunks);
      return;
    }
    for await (const chunk of chunks) yield this.#count(chunk);
  }
  #count(chunk: Uint8Array): Uint8Array {
    this.#hash.update(chunk);
    this.#bytes += chunk.byteLength;
    return chunk;
  }
  written(): Written {
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** A failure of network or host. */
function isSystemError(error: unknown): boolean {
  const { syscall, name } = error as { syscall?: unknown; name?: unknown };
  return typeof syscall === 'string' || name === 'TimeoutError';
}

class FolderPlace implements BackupPlace {
  readonly location: string;
  readonly #clock: Clock;

  constructor(folder: string, clock: Clock) {
    this.location = folder;
    this.#clock = clock;
  }

  async isEmpty(): Promise<boolean> {
    try {
      return (await readdir(this.location)).length === 0;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return true;
      if (code === 'ENOTDIR')
        throw new InputError(`the place ${this.location} is, or lies in, a file and no folder`, {
          hint: 'Every backup has a place of its own: name a folder that does not exist or is empty.',
        });
      throw diskTrouble(error, `could not read ${this.location}`);
    }
  }

  async read(name: string): Promise<Readable | null> {
    try {
      const file = await open(join(this.location, name));
      await file.close();
      return createReadStream(join(this.location, name));
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
      throw diskTrouble(error, `could not read ${join(this.location, name)}`);
    }
  }

  async write(name: string, bytes: AsyncIterable<Uint8Array> | Uint8Array): Promise<Written> {
    const path = join(this.location, name);
    const meter = new Meter();
    try {
      makeNamedFolder(dirname(path), 0o700);
      const file = await open(`${path}.new`, 'w', 0o600);
      try {
        for await (const chunk of meter.through(bytes)) {
          for (let at = 0; at < chunk.byteLength; ) at += (await file.write(chunk, at)).bytesWritten;
        }
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(`${path}.new`, path);
      const folder = await open(dirname(path), 'r');
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    } catch (error) {
      throw diskTrouble(error, `could not write ${path}`);
    }
    return meter.written();
  }

  async payloads(create: boolean): Promise<ObjectStore> {
    const path = join(this.location, PAYLOADS);
    return openStore({ provider: 'directory', path }, { clock: this.#clock, create });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

class BucketPlace implements BackupPlace {
  readonly location: string;
  readonly #bucket: S3Bucket;
  readonly #options: PlaceOptions;

  constructor(bucket: string, prefix: string, options: PlaceOptions) {
    const { region, endpoint } = options;
    this.#bucket = new S3Bucket({ bucket, prefix, region, endpoint });
    this.location = this.#bucket.location;
    this.#options = options;
  }

  async isEmpty(): Promise<boolean> {
    const { bucket, prefix, client } = this.#bucket;
    try {
      const page = await client.send(
        new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, MaxKeys: 1 }),
      );
      return (page.Contents ?? []).length === 0;
    } catch (error) {
      throw this.#bucket.trouble(error, 'could not list the place of the backup');
    }
  }

  async read(name: string): Promise<Readable | null> {
    const address = this.#bucket.address(name, UNVERSIONED);
    try {
      const answer = await this.#bucket.client.send(new GetObjectCommand(address));
      return wholeBody(this.#bucket, address, answer, `${name} of the backup`);
    } catch (error) {
      if (isNamed(error, 'NoSuchKey')) return null;
      throw this.#bucket.trouble(error, `could not read ${name} of the backup`);
    }
  }

  async write(name: string, bytes: AsyncIterable<Uint8Array> | Uint8Array): Promise<Written> {
    const chunks = bytes instanceof Uint8Array ? single(bytes) : bytes;
    try {
      return await putStream(this.#bucket, name, chunks);
    } catch (error) {
      // What the stream itself throws (a database, an interruption) is not the bucket's.
      if (!(error instanceof S3ServiceException) && !isSystemError(error)) throw error;
      throw this.#bucket.trouble(error, `could not write ${name} of the backup`);
    }
  }

  async payloads(_create: boolean): Promise<ObjectStore> {
    const { region, endpoint, clock } = this.#options;
    const { bucket, prefix } = this.#bucket;
    return openStore(
      { provider: 's3', bucket, region, endpoint, prefix: `${prefix}${PAYLOADS}/`, lock: 'none' },
      { clock },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bucket.client.destroy();
  }
}
