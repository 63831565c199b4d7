// The S3 store: object `<prefix><commitment>`, description in content type and user metadata, locked where the archive
// says so. Under a key the first version is the object; whatever comes later does not change what is read.
//
// Write-once has two guards. `If-None-Match: *` refuses a second object where the service honours it; some ignore it. So
// after every put to a bucket that keeps versions we look which version came first: if another writer's did, that one is
// the object and ours an extra of equal bytes, which stays until the key is erased (this file has no right to delete). A
// bucket without versions is used only when the service proves that it honours the condition.

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandInput,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { Clock } from '../core/clock.ts';
import { ObjectExistsError, ObjectNotFoundError, ServiceError, VerificationError } from '../core/errors.ts';
import type { LockSettings } from '../core/settings.ts';
import { bodyChunks, bodyLength, checkDescription, checkKey, sameBytes } from './description.ts';
import { exactStream } from './exact-stream.ts';
import {
  type ListedObject,
  OBJECT_KEY_PATTERN,
  type ObjectBody,
  type ObjectKey,
  type ObjectStore,
  type StoredObject,
} from './objects.ts';
import { isNamed, type S3Address, S3Bucket } from './s3-bucket.ts';

export interface S3StoreOptions extends S3Address {
  readonly lock: LockSettings | 'none';
  readonly clock: Clock;
}

type Description = { contentType: string; metadata: Record<string, string> };

/** Larger file bodies go up in parts; smaller ones in one request, from memory. */
const PART = 16 * 1024 * 1024;
/** Objects up to here are read back whole after a put; of larger ones length and description. */
const READ_BACK_LIMIT = 1024 * 1024;
const ROUNDS = 5;
/** Stands for the one version of an object in a bucket that keeps none. */
const UNVERSIONED = '';

export function openS3Store(options: S3StoreOptions): ObjectStore {
  return new S3Store(options);
}

class S3Store implements ObjectStore {
  readonly identity: string;
  readonly location: string;
  readonly lock: ObjectStore['lock'];
  readonly #bucket: S3Bucket;
  readonly #lock: LockSettings | 'none';
  readonly #clock: Clock;
  /** Whether `If-None-Match` is sent: until the service answers that it does not know it. */
  #conditional = true;
  /** Of a bucket without versions: whether the service was seen to refuse a second put. */
  #provenConditional = false;

  constructor(options: S3StoreOptions) {
    this.#bucket = new S3Bucket(options);
    this.#lock = options.lock;
    this.#clock = options.clock;
    this.identity = this.#bucket.identity;
    this.location = this.#bucket.location;
    this.lock = options.lock === 'none' ? 'none' : options.lock.mode;
  }

  async put(key: ObjectKey, body: ObjectBody, description: Description): Promise<StoredObject> {
    checkKey(key);
    checkDescription(description);
    const versioned = await this.#bucket.versioned();
    if (!versioned && this.#lock !== 'none') {
      throw new ServiceError(`${this.location}: the bucket keeps no versions, so it cannot lock objects`, {
        hint: 'Create a bucket with Object Lock and set `store.bucket`, or set `store.lock: none`.',
      });
    }
    for (let round = 1; ; round++) {
      const existing = await this.#first(key);
      if (existing !== null) return this.#confirmEqual(key, existing, body);
      const version = await this.#write(key, body, description).catch((error: unknown) => {
        // 412: another writer was first. 409: two at once, and neither may have won. Look again.
        if (isNamed(error, 'PreconditionFailed', 'ConditionalRequestConflict') && round < ROUNDS)
          return undefined;
        throw this.#bucket.trouble(error, `could not store object ${key}`);
      });
      if (version === undefined) continue;
      if (!versioned) await this.#proveConditional(key, body, description);
      const first = await this.#first(key);
      if (first === null)
        throw new ServiceError(`${this.location}: object ${key} is not there after it was stored`);
      if (first !== version) return this.#confirmEqual(key, first, body);
      return this.#readBack(key, first, body, description);
    }
  }

  async head(key: ObjectKey, version: string | null = null): Promise<StoredObject> {
    checkKey(key);
    const wanted = version ?? (await this.#first(key));
    if (wanted === null) throw new ObjectNotFoundError(key);
    try {
      const answer = await this.#bucket.client.send(new HeadObjectCommand(this.#address(key, wanted)));
      return stored(key, wanted, answer);
    } catch (error) {
      // An answer to HEAD has no body: 404 may as well mean the bucket. Only a listing without the version is positive.
      if (isNamed(error, 'NotFound', 'NoSuchKey', 'NoSuchVersion') && !(await this.#isListed(key, wanted))) {
        throw new ObjectNotFoundError(key, { cause: error });
      }
      throw this.#bucket.trouble(error, `could not read object ${key}`);
    }
  }

  async get(
    key: ObjectKey,
    version: string | null = null,
  ): Promise<{ object: StoredObject; body: Readable }> {
    checkKey(key);
    const wanted = version ?? (await this.#first(key));
    if (wanted === null) throw new ObjectNotFoundError(key);
    try {
      const answer = await this.#bucket.client.send(new GetObjectCommand(this.#address(key, wanted)));
      const object = stored(key, wanted, answer);
      const trouble = (error: unknown) =>
        this.#bucket.trouble(error, `could not read object ${key} to its end`);
      return { object, body: exactStream(answer.Body as Readable, object.length, trouble) };
    } catch (error) {
      if (isNamed(error, 'NoSuchKey', 'NoSuchVersion')) throw new ObjectNotFoundError(key, { cause: error });
      throw this.#bucket.trouble(error, `could not read object ${key}`);
    }
  }

  async *list(): AsyncGenerator<ListedObject> {
    const found = (await this.#bucket.versioned()) ? this.#listFirstVersions() : this.#listObjects();
    for await (const { name, length, modifiedAt } of found) {
      const key = name.slice(this.#bucket.prefix.length);
      if (OBJECT_KEY_PATTERN.test(key)) yield { key, length, modifiedAt };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bucket.client.destroy();
  }

  /** @returns the id of the version that is the object, UNVERSIONED in a bucket that keeps none; null when there is no object. */
  async #first(key: ObjectKey): Promise<string | null> {
    if (await this.#bucket.versioned()) return (await this.#bucket.firstVersion(key))?.version ?? null;
    for await (const { name } of this.#listObjects(key))
      if (name === this.#bucket.prefix + key) return 'null';
    return null;
  }

  async #isListed(key: ObjectKey, version: string): Promise<boolean> {
    const name = this.#bucket.prefix + key;
    for await (const listed of this.#bucket.versions(name)) {
      if (listed.name === name && listed.version === version) return true;
    }
    return false;
  }

  /** @returns the new version's id. @throws the SDK's own errors. */
  async #write(key: ObjectKey, body: ObjectBody, { contentType, metadata }: Description): Promise<string> {
    const input: PutObjectCommandInput = {
      ...this.#address(key, UNVERSIONED),
      ContentType: contentType,
      Metadata: metadata,
      ...(this.#conditional ? { IfNoneMatch: '*' } : {}),
      ...this.#retention(),
    };
    try {
      if ('file' in body && body.length > PART) {
        const params = {
          ...input,
          Body: Readable.from(keptChunks(body)),
          ChecksumAlgorithm: 'SHA256' as const,
        };
        const upload = new Upload({ client: this.#bucket.client, params, partSize: PART, queueSize: 2 });
        return (await upload.done()).VersionId ?? UNVERSIONED;
      }
      const bytes = await inMemory(body);
      const ChecksumSHA256 = createHash('sha256').update(bytes).digest('base64');
      const put = new PutObjectCommand({
        ...input,
        Body: bytes,
        ContentLength: bytes.byteLength,
        ChecksumSHA256,
      });
      return (await this.#bucket.client.send(put)).VersionId ?? UNVERSIONED;
    } catch (error) {
      if (!this.#conditional || !isNamed(error, 'NotImplemented')) throw error;
      this.#conditional = false;
      return this.#write(key, body, { contentType, metadata });
    }
  }

  #retention(): Pick<PutObjectCommandInput, 'ObjectLockMode' | 'ObjectLockRetainUntilDate'> {
    if (this.#lock === 'none') return {};
    const until = this.#clock.now().toZonedDateTimeISO('UTC').add(Temporal.Duration.from(this.#lock.horizon));
    return { ObjectLockMode: this.#lock.mode, ObjectLockRetainUntilDate: new Date(until.epochMilliseconds) };
  }

  /**
   * Puts the same bytes again under the condition: harmless whatever happens, and it tells whether the service honours it.
   * @throws ServiceError when it does not, since then nothing would keep a second writer from replacing an object
   */
  async #proveConditional(key: ObjectKey, body: ObjectBody, description: Description): Promise<void> {
    if (this.#provenConditional) return;
    const refused = await this.#write(key, body, description).then(
      () => false,
      (error: unknown) => {
        if (isNamed(error, 'PreconditionFailed')) return true;
        throw this.#bucket.trouble(error, 'could not learn whether the service honours If-None-Match');
      },
    );
    if (!refused) {
      throw new ServiceError(
        `${this.location}: the bucket keeps no versions and its service ignores If-None-Match`,
        {
          hint: 'Enable versioning on the bucket (better: Object Lock), or objects could be replaced.',
        },
      );
    }
    this.#provenConditional = true;
  }

  async #confirmEqual(key: ObjectKey, version: string, body: ObjectBody): Promise<StoredObject> {
    const { object, body: bytes } = await this.get(key, version);
    try {
      if (object.length === bodyLength(body) && (await sameBytes(bytes, body))) return object;
    } finally {
      bytes.destroy();
    }
    throw new ObjectExistsError(key, {
      hint: 'The first version still is the object. A key is a commitment: one of the two was made wrongly.',
    });
  }

  /** What the service took is not yet what it keeps: read it. */
  async #readBack(
    key: ObjectKey,
    version: string,
    body: ObjectBody,
    sent: Description,
  ): Promise<StoredObject> {
    const length = bodyLength(body);
    const address = this.#address(key, version);
    let locked: { mode: string | undefined; until: Date | undefined };
    let object: StoredObject;
    let same = true;
    try {
      if (length <= READ_BACK_LIMIT) {
        const answer = await this.#bucket.client.send(new GetObjectCommand(address));
        same = await sameBytes(answer.Body as Readable, body);
        object = stored(key, version, answer);
        locked = { mode: answer.ObjectLockMode, until: answer.ObjectLockRetainUntilDate };
      } else {
        const answer = await this.#bucket.client.send(new HeadObjectCommand(address));
        object = stored(key, version, answer);
        locked = { mode: answer.ObjectLockMode, until: answer.ObjectLockRetainUntilDate };
      }
    } catch (error) {
      throw this.#bucket.trouble(error, `could not read back object ${key}`);
    }
    same &&= object.length === length && object.contentType === sent.contentType;
    for (const [name, value] of Object.entries(sent.metadata)) same &&= object.metadata[name] === value;
    if (!same) {
      throw new VerificationError(`${this.location}: object ${key} does not come back as it was stored`, {
        hint: 'Do not use this storage service until its operator has found the cause.',
      });
    }
    if (this.#lock === 'none' || (locked.mode === this.lock && locked.until !== undefined)) return object;
    throw new ServiceError(`${this.location}: object ${key} was stored, but it is not locked`, {
      hint: 'Use a bucket that was created with Object Lock, and credentials with s3:GetObjectRetention.',
    });
  }

  async *#listFirstVersions(): AsyncGenerator<{
    name: string;
    length: number;
    modifiedAt: Temporal.Instant;
  }> {
    let first = null;
    for await (const version of this.#bucket.versions(this.#bucket.prefix)) {
      if (version.marker) continue;
      if (first !== null && first.name !== version.name) yield first;
      first = version;
    }
    if (first !== null) yield first;
  }

  async *#listObjects(
    key = '',
  ): AsyncGenerator<{ name: string; length: number; modifiedAt: Temporal.Instant }> {
    let after: { ContinuationToken?: string } = {};
    for (;;) {
      const input = { Bucket: this.#bucket.bucket, Prefix: this.#bucket.prefix + key, ...after };
      const page = await this.#bucket.client.send(new ListObjectsV2Command(input)).catch((error: unknown) => {
        throw this.#bucket.trouble(error, 'could not list the bucket');
      });
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key === undefined || LastModified === undefined) continue;
        const modifiedAt = Temporal.Instant.fromEpochMilliseconds(LastModified.getTime());
        yield { name: Key, length: Size ?? 0, modifiedAt };
      }
      if (!page.IsTruncated || page.NextContinuationToken === undefined) return;
      after = { ContinuationToken: page.NextContinuationToken };
    }
  }

  #address(key: ObjectKey, version: string): { Bucket: string; Key: string; VersionId?: string } {
    const named = version === UNVERSIONED ? {} : { VersionId: version };
    return { Bucket: this.#bucket.bucket, Key: this.#bucket.prefix + key, ...named };
  }
}

function stored(
  key: ObjectKey,
  version: string,
  answer: {
    ContentLength?: number | undefined;
    ContentType?: string | undefined;
    Metadata?: Record<string, string> | undefined;
  },
): StoredObject {
  if (answer.ContentLength === undefined)
    throw new ServiceError(`the storage service gave no length for object ${key}`);
  return {
    key,
    length: answer.ContentLength,
    contentType: answer.ContentType ?? 'application/octet-stream',
    metadata: answer.Metadata ?? {},
    version: version === UNVERSIONED ? null : version,
  };
}

async function inMemory(body: ObjectBody): Promise<Uint8Array> {
  return 'bytes' in body ? body.bytes : Buffer.concat(await Array.fromAsync(keptChunks(body)));
}

/** Pieces that stay valid: an upload gathers them into parts. */
async function* keptChunks(body: ObjectBody): AsyncGenerator<Uint8Array> {
  for await (const chunk of bodyChunks(body)) yield Buffer.from(chunk);
}
