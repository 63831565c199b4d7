// The S3 store: object `<prefix><commitment>`, description in content type and user metadata, locked where the archive
// says so. Under a key the first version is the object; whatever comes later does not change what is read.

import type { Readable } from 'node:stream';
import { ObjectNotFoundError } from '../core/errors.ts';
import { checkKey } from './description.ts';
import { readLock } from './lock-keeper.ts';
import {
  type CoveredObject,
  type ListedObject,
  OBJECT_KEY_PATTERN,
  type ObjectKey,
  type ObjectStore,
  type ObjectWriter,
  type StoredObject,
} from './objects.ts';
import { type S3Address, S3Bucket } from './s3-bucket.ts';
import { S3Writer, type S3WriterOptions } from './s3-put.ts';
import { keptObject, readVersion } from './s3-read.ts';

export type S3StoreOptions = S3Address & S3WriterOptions;

export function openS3Store(options: S3StoreOptions): ObjectStore {
  return new S3Store(options);
}

class S3Store implements ObjectStore {
  readonly identity: string;
  readonly location: string;
  readonly lock: ObjectStore['lock'];
  readonly #bucket: S3Bucket;
  readonly #writer: S3Writer;

  constructor(options: S3StoreOptions) {
    this.#bucket = new S3Bucket(options);
    this.#writer = new S3Writer(this.#bucket, options);
    this.identity = this.#bucket.identity;
    this.location = this.#bucket.location;
    this.lock = options.lock === 'none' ? 'none' : options.lock.mode;
  }

  put(...asked: Parameters<ObjectWriter['put']>): Promise<StoredObject> {
    return this.#writer.put(...asked);
  }

  async head(key: ObjectKey, version: string | null = null): Promise<StoredObject> {
    checkKey(key);
    const found = await this.#bucket.head(key, version);
    return keptObject(key, found.version, found.answer).object;
  }

  async get(
    key: ObjectKey,
    version: string | null = null,
  ): Promise<{ object: StoredObject; body: Readable }> {
    checkKey(key);
    const wanted = version ?? (await this.#bucket.firstVersion(key));
    if (wanted === null) throw new ObjectNotFoundError(key);
    const { object, body } = await readVersion(this.#bucket, key, wanted);
    return { object, body };
  }

  async lockedUntil(key: ObjectKey, version: string | null = null): Promise<Temporal.Instant | null> {
    checkKey(key);
    return (await readLock(this.#bucket, key, version)).state.until;
  }

  async *list(): AsyncGenerator<ListedObject> {
    if (!(await this.#bucket.versioned())) {
      for await (const object of this.#bucket.objects(this.#bucket.prefix)) {
        const key = this.#keyOf(object.name);
        if (key !== null) yield { key, length: object.length, modifiedAt: object.modifiedAt };
      }
      return;
    }
    for await (const { first } of this.#bucket.named(this.#bucket.prefix)) {
      const key = this.#keyOf(first.name);
      if (key !== null) yield { key, length: first.length, modifiedAt: first.modifiedAt };
    }
  }

  async *covered(): AsyncGenerator<CoveredObject> {
    if (!(await this.#bucket.versioned())) return;
    for await (const { first, hidden, later } of this.#bucket.named(this.#bucket.prefix)) {
      const key = this.#keyOf(first.name);
      if (key !== null && (hidden || later.length > 0)) yield { key, hidden, later };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bucket.client.destroy();
  }

  /** @returns the key that a name stands for, or null for what is not ours */
  #keyOf(name: string): ObjectKey | null {
    const key = name.slice(this.#bucket.prefix.length);
    return OBJECT_KEY_PATTERN.test(key) ? key : null;
  }
}
