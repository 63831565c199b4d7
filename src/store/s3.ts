// The S3 store: object `<prefix><commitment>`, description in content type and user metadata, locked where the archive
// says so. Under a key the first version is the object; whatever comes later does not change what is read.
//
// Write-once has two guards. `If-None-Match: *` refuses a second object where the service honours it; some ignore it. So
// after every put to a bucket that keeps versions we look which version came first: if another writer's did, that one is
// the object and ours an extra of equal bytes, which stays until the key is erased (this file has no right to delete). A
// bucket without versions is used only when the service proves that it honours the condition.

import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import {
  GetObjectCommand,
  type GetObjectCommandOutput,
  PutObjectCommand,
  type PutObjectCommandInput,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import type { Clock } from '../core/clock.ts';
import { ObjectExistsError, ObjectNotFoundError, ServiceError, VerificationError } from '../core/errors.ts';
import type { EncryptionSettings, LockSettings } from '../core/settings.ts';
import { bodyChunks, bodyLength, checkDescription, checkKey, sameBytes } from './description.ts';
import { lockStateOf, wholeSecond } from './lock-keeper.ts';
import {
  type CoveredObject,
  type ListedObject,
  OBJECT_KEY_PATTERN,
  type ObjectBody,
  type ObjectKey,
  type ObjectStore,
  type StoredObject,
} from './objects.ts';
import { resumedStream } from './resumed-stream.ts';
import { isNamed, type S3Address, S3Bucket, UNVERSIONED } from './s3-bucket.ts';
import { abortAbandoned, PART, uploadInParts } from './s3-upload.ts';

export interface S3StoreOptions extends S3Address {
  readonly lock: LockSettings | 'none';
  readonly encryption?: EncryptionSettings | null;
  readonly clock: Clock;
}

type Description = { contentType: string; metadata: Record<string, string> };

/** Objects up to here are read back whole after a put; of larger ones length and description. */
const READ_BACK_LIMIT = 1024 * 1024;
const ROUNDS = 5;
/** What a service answers to a writer that is not alone. */
const RIVALRY = ['PreconditionFailed', 'ConditionalRequestConflict', 'NoSuchUpload', 'InvalidPart'];

export function openS3Store(options: S3StoreOptions): ObjectStore {
  return new S3Store(options);
}

class S3Store implements ObjectStore {
  readonly identity: string;
  readonly location: string;
  readonly lock: ObjectStore['lock'];
  readonly #bucket: S3Bucket;
  readonly #lock: LockSettings | 'none';
  readonly #encryption: EncryptionSettings | null;
  readonly #clock: Clock;
  /** Whether `If-None-Match` is sent: until the service answers that it does not know it. */
  #conditional = true;
  /** Of a bucket without versions: whether the service was seen to refuse a second put. */
  #provenConditional = false;
  #abortedAt: Temporal.Instant | null = null;

  constructor(options: S3StoreOptions) {
    this.#bucket = new S3Bucket(options);
    this.#lock = options.lock;
    this.#encryption = options.encryption ?? null;
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
      const existing = await this.#bucket.firstVersion(key);
      if (existing !== null) return this.#confirmEqual(key, existing, body);
      const until = this.#lockedUntil();
      let version: string | undefined;
      try {
        version = await this.#write(key, body, description, until);
      } catch (error) {
        // Another writer was first, or two came at once and neither may have won, or ended our upload: look again.
        if (isNamed(error, ...RIVALRY) && round < ROUNDS) continue;
        throw this.#bucket.trouble(error, `could not store object ${key}`);
      }
      if (!versioned) await this.#proveConditional(key, body, description);
      const first = await this.#bucket.firstVersion(key);
      if (first === null)
        throw new ServiceError(`${this.location}: object ${key} is not there after it was stored`);
      if (versioned && first !== version) return this.#confirmEqual(key, first, body);
      return this.#readBack(key, first, body, description, until);
    }
  }

  async head(key: ObjectKey, version: string | null = null): Promise<StoredObject> {
    checkKey(key);
    const found = await this.#bucket.head(key, version);
    return stored(key, found.version, found.answer);
  }

  async get(
    key: ObjectKey,
    version: string | null = null,
  ): Promise<{ object: StoredObject; body: Readable }> {
    checkKey(key);
    const wanted = version ?? (await this.#bucket.firstVersion(key));
    if (wanted === null) throw new ObjectNotFoundError(key);
    const address = this.#bucket.address(key, wanted);
    try {
      const answer = await this.#bucket.client.send(new GetObjectCommand(address));
      const object = stored(key, wanted, answer);
      const body = resumedStream(answer.Body as Readable, object.length, {
        from: (position) => this.#from(address, position, object.length, answer.ETag),
        trouble: (error) => this.#bucket.trouble(error, `could not read object ${key} to its end`),
      });
      return { object, body };
    } catch (error) {
      if (isNamed(error, 'NoSuchKey', 'NoSuchVersion')) throw new ObjectNotFoundError(key, { cause: error });
      throw this.#bucket.trouble(error, `could not read object ${key}`);
    }
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

  /** The rest of a version whose reading broke off. */
  async #from(
    address: { Bucket: string; Key: string; VersionId?: string },
    position: number,
    length: number,
    tag: string | undefined,
  ): Promise<Readable> {
    const same = tag === undefined ? {} : { IfMatch: tag };
    const Range = `bytes=${position}-`;
    const answer = await this.#bucket.client.send(new GetObjectCommand({ ...address, ...same, Range }));
    const expected = `bytes ${position}-${length - 1}/${length}`;
    if (answer.ContentRange === expected) return answer.Body as Readable;
    (answer.Body as Readable).destroy();
    throw new ServiceError(`the service gave ${answer.ContentRange ?? 'no range'} instead of ${expected}`);
  }

  /** @returns the new version's id, undefined where the service gives none. @throws the SDK's own errors. */
  async #write(
    key: ObjectKey,
    body: ObjectBody,
    { contentType, metadata }: Description,
    until: Temporal.Instant | null,
  ): Promise<string | undefined> {
    const head = {
      ...this.#bucket.address(key, UNVERSIONED),
      ContentType: contentType,
      Metadata: metadata,
      ...this.#retention(until),
      ...(this.#encryption === null
        ? {}
        : { ServerSideEncryption: 'aws:kms' as const, SSEKMSKeyId: this.#encryption.kmsKey }),
    };
    try {
      if ('file' in body && body.length > PART) {
        await this.#abortAbandoned();
        const options = { ifNew: this.#conditional, now: this.#clock.now() };
        return await uploadInParts(this.#bucket, key, body, head, options);
      }
      const bytes = await inMemory(body);
      const put = {
        ...head,
        ...(this.#conditional ? { IfNoneMatch: '*' } : {}),
        Body: bytes,
        ContentLength: bytes.byteLength,
        ChecksumSHA256: createHash('sha256').update(bytes).digest('base64'),
      };
      const answer = await this.#bucket.sendBytes(() => this.#bucket.client.send(new PutObjectCommand(put)));
      return answer.VersionId;
    } catch (error) {
      if (!this.#conditional || !isNamed(error, 'NotImplemented')) throw error;
      this.#conditional = false;
      return this.#write(key, body, { contentType, metadata }, until);
    }
  }

  /** Once a day, and only by who uploads in parts. */
  async #abortAbandoned(): Promise<void> {
    const now = this.#clock.now();
    if (this.#abortedAt !== null && now.since(this.#abortedAt).total('hours') < 24) return;
    this.#abortedAt = now;
    await abortAbandoned(this.#bucket, now);
  }

  /** Nothing is known yet of how long a new payload must be kept: up to the horizon, and renewal goes on from there. */
  #lockedUntil(): Temporal.Instant | null {
    if (this.#lock === 'none') return null;
    const now = this.#clock.now().toZonedDateTimeISO('UTC');
    return wholeSecond(now.add(Temporal.Duration.from(this.#lock.horizon)).toInstant());
  }

  #retention(
    until: Temporal.Instant | null,
  ): Pick<PutObjectCommandInput, 'ObjectLockMode' | 'ObjectLockRetainUntilDate'> {
    if (this.#lock === 'none' || until === null) return {};
    return {
      ObjectLockMode: this.#lock.mode,
      ObjectLockRetainUntilDate: new Date(until.epochMilliseconds),
    };
  }

  /**
   * Puts the same bytes again under the condition: harmless whatever happens, and it tells whether the service honours it.
   * @throws ServiceError when it does not, since then nothing would keep a second writer from replacing an object
   */
  async #proveConditional(key: ObjectKey, body: ObjectBody, description: Description): Promise<void> {
    if (this.#provenConditional) return;
    const refused = await this.#write(key, body, description, null).then(
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
    until: Temporal.Instant | null,
  ): Promise<StoredObject> {
    let kept = await this.#kept(key, version, body);
    const { lockedUntil } = kept.object;
    if (until !== null && (lockedUntil === null || Temporal.Instant.compare(lockedUntil, until) < 0)) {
      // Some services take the lock of an object that came in parts only afterwards; and an upload that was gone on with began earlier.
      await this.#lockAfterwards(key, version, until);
      kept = await this.#kept(key, version, body);
    }
    const { object, mode } = kept;
    let same = kept.same && object.length === bodyLength(body) && object.contentType === sent.contentType;
    for (const [name, value] of Object.entries(sent.metadata)) same &&= object.metadata[name] === value;
    if (!same) {
      throw new VerificationError(`${this.location}: object ${key} does not come back as it was stored`, {
        hint: 'Do not use this storage service until its operator has found the cause.',
      });
    }
    this.#mustBeEncrypted(key, kept);
    const locked = object.lockedUntil;
    if (
      until === null ||
      (mode === this.lock && locked !== null && Temporal.Instant.compare(locked, until) >= 0)
    )
      return object;
    throw new ServiceError(
      `${this.location}: object ${key} was stored, but ${locked === null ? 'it is not locked' : `its lock is ${mode} until ${locked} instead of ${this.lock} until ${until}`}`,
      {
        hint: 'Use a bucket that was created with Object Lock, and credentials with s3:PutObjectRetention and s3:GetObjectRetention.',
      },
    );
  }

  #mustBeEncrypted(key: ObjectKey, { encryption, kmsKey }: { encryption?: string; kmsKey?: string }): void {
    if (this.#encryption === null) return;
    const wanted = this.#encryption.kmsKey;
    // An alias comes back as the key that it stands for, an id as its ARN.
    const right =
      kmsKey === undefined || wanted.includes('alias/') || kmsKey === wanted || kmsKey.endsWith(`/${wanted}`);
    if (encryption?.startsWith('aws:kms') === true && right) return;
    throw new ServiceError(
      `${this.location}: object ${key} was stored, but ${encryption === undefined ? 'not encrypted' : `encrypted with ${kmsKey ?? encryption}`} instead of with the KMS key ${wanted}`,
      {
        hint: 'This service does not keep `store.encryption`: give it a key service and this key, or leave the setting out.',
      },
    );
  }

  async #kept(key: ObjectKey, version: string, body: ObjectBody) {
    try {
      if (bodyLength(body) > READ_BACK_LIMIT) {
        const { answer } = await this.#bucket.head(key, version);
        return { ...described(key, version, answer), same: true };
      }
      const answer = await this.#bucket.client.send(new GetObjectCommand(this.#bucket.address(key, version)));
      const same = await sameBytes(answer.Body as Readable, body);
      return { ...described(key, version, answer), same };
    } catch (error) {
      throw this.#bucket.trouble(error, `could not read back object ${key}`);
    }
  }

  async #lockAfterwards(key: ObjectKey, version: string, until: Temporal.Instant): Promise<void> {
    const { ObjectLockMode: Mode, ObjectLockRetainUntilDate: RetainUntilDate } = this.#retention(until);
    const Retention = { Mode, RetainUntilDate };
    const lock = new PutObjectRetentionCommand({ ...this.#bucket.address(key, version), Retention });
    await this.#bucket.client.send(lock).catch((error: unknown) => {
      throw this.#bucket.trouble(error, `object ${key} was stored, but could not be locked`);
    });
  }
}

/** What an answer to HEAD or GET says of the object. */
type Answer = Pick<
  GetObjectCommandOutput,
  | 'ContentLength'
  | 'ContentType'
  | 'Metadata'
  | 'ObjectLockMode'
  | 'ObjectLockRetainUntilDate'
  | 'ServerSideEncryption'
  | 'SSEKMSKeyId'
>;

function described(key: ObjectKey, version: string, answer: Answer) {
  const { ServerSideEncryption: encryption, SSEKMSKeyId: kmsKey } = answer;
  return {
    object: stored(key, version, answer),
    mode: lockStateOf(answer).mode,
    ...(encryption === undefined ? {} : { encryption: encryption as string }),
    ...(kmsKey === undefined ? {} : { kmsKey }),
  };
}

function stored(key: ObjectKey, version: string, answer: Answer): StoredObject {
  if (answer.ContentLength === undefined)
    throw new ServiceError(`the storage service gave no length for object ${key}`);
  return {
    key,
    length: answer.ContentLength,
    contentType: answer.ContentType ?? 'application/octet-stream',
    metadata: answer.Metadata ?? {},
    version: version === UNVERSIONED ? null : version,
    lockedUntil: lockStateOf(answer).until,
  };
}

async function inMemory(body: ObjectBody): Promise<Uint8Array> {
  if ('bytes' in body) return body.bytes;
  const kept: Buffer[] = [];
  for await (const chunk of bodyChunks(body)) kept.push(Buffer.from(chunk));
  return Buffer.concat(kept);
}
