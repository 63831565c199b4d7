// Puts objects into a bucket, write-once. Two guards keep a second object from a key: `If-None-Match: *`, where the service
// honours it, and where it does not, a look at which version came first, before and after the put: if another writer's did,
// that one is the object and ours an extra of equal bytes, which stays until the key is erased (nothing here can remove).
// A key that was made fresh of random bytes has no second writer, so neither look is needed for it.
//
// What a service does is learned, not believed. The first small object of a process is read back: bytes, description, lock,
// encryption. Then the service is asked to take the same bytes again under a wrong digest and the condition. A service that
// does its part refuses, for the one or the other; one that takes them has an extra of equal bytes, and from then on is
// looked after at every put. Of one that compares digests, what went in one request is as it was sent: only every so often
// is one asked for again, lest somebody has changed what the bucket does.

import { createHash } from 'node:crypto';
import {
  GetObjectCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  PutObjectRetentionCommand,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import type { Clock } from '../core/clock.ts';
import { ObjectExistsError, ServiceError, VerificationError } from '../core/errors.ts';
import type { EncryptionSettings, LockSettings } from '../core/settings.ts';
import {
  bodyChunks,
  bodyLength,
  checkDescription,
  checkKey,
  describedObject,
  sameBytes,
} from './description.ts';
import { wholeSecond } from './lock-keeper.ts';
import type { ObjectBody, ObjectKey, ObjectWriter, StoredObject } from './objects.ts';
import { isNamed, OTHER_DIGEST, type S3Bucket, UNVERSIONED } from './s3-bucket.ts';
import { type KeptObject, keptObject, readVersion } from './s3-read.ts';
import { abortAbandoned, PART, uploadInParts } from './s3-upload.ts';

export interface S3WriterOptions {
  readonly lock: LockSettings | 'none';
  readonly encryption?: EncryptionSettings | null;
  readonly clock: Clock;
}

type Description = Parameters<ObjectWriter['put']>[2];

/** While it is not known that the service compares digests, objects up to here are read back whole; of larger ones the description. */
const READ_BACK_LIMIT = 1024 * 1024;
/** The service is tried with objects up to here. */
const TRIAL_LIMIT = 64 * 1024;
/** Of a service that compares digests, one put of so many is asked for again, and the first one after so long. */
const ASKED_AGAIN_EVERY = 64;
const ASKED_AGAIN_AFTER_SECONDS = 60;
const ROUNDS = 5;
/** What a service answers to a writer that is not alone. */
const RIVALRY = ['PreconditionFailed', 'ConditionalRequestConflict', 'NoSuchUpload', 'InvalidPart'];

export class S3Writer implements ObjectWriter {
  readonly #bucket: S3Bucket;
  readonly #lock: LockSettings | 'none';
  readonly #encryption: EncryptionSettings | null;
  readonly #clock: Clock;
  /** Whether `If-None-Match` is sent: until the service answers that it does not know it. */
  #sendsCondition = true;
  /** Whether the service was seen to refuse a second object under a key, and bytes that are not of their digest. */
  #refusesSecond = false;
  #comparesDigests = false;
  #trial: Promise<void> | null = null;
  #abortedAt: Temporal.Instant | null = null;
  /** Puts since an object was last seen to be kept as it was sent, and when that was. */
  #unseen = 0;
  #seenAt: Temporal.Instant | null = null;
  /** The lock of what is stored within this second of the clock. */
  #until: { readonly second: number; readonly until: Temporal.Instant } | null = null;

  constructor(bucket: S3Bucket, { lock, encryption = null, clock }: S3WriterOptions) {
    this.#bucket = bucket;
    this.#lock = lock;
    this.#encryption = encryption;
    this.#clock = clock;
  }

  async put(
    key: ObjectKey,
    body: ObjectBody,
    description: Description,
    { fresh = false }: { fresh?: boolean } = {},
  ): Promise<StoredObject> {
    checkKey(key);
    checkDescription(description);
    const { location } = this.#bucket;
    const versioned = await this.#bucket.versioned();
    if (!versioned && this.#lock !== 'none') {
      throw new ServiceError(`${location}: the bucket keeps no versions, so it cannot lock objects`, {
        hint: 'Create a bucket with Object Lock and set `store.bucket`, or set `store.lock: none`.',
      });
    }
    const until = this.#lockedUntil();
    let guarded = fresh || this.#refusesSecond;
    for (let round = 1; ; round++) {
      if (!guarded) {
        const existing = await this.#bucket.firstVersion(key);
        if (existing !== null) return this.#confirmEqual(key, existing, body, until);
      }
      let written: Written;
      try {
        written = await this.#write(key, body, description, until);
      } catch (error) {
        // Another writer was first, or two came at once and neither may have won, or ended our upload: look again.
        if (!isNamed(error, ...RIVALRY) || round === ROUNDS)
          throw this.#bucket.trouble(error, `could not store object ${key}`);
        guarded = false;
        continue;
      }
      if (!versioned) await this.#mustRefuseSecond(key, body, description);
      // A request that was sent again may have been carried out twice: then too it must be seen which version came first.
      const first =
        guarded && versioned && !written.repeated ? written.version : await this.#bucket.firstVersion(key);
      if (first === null || first === undefined)
        throw new ServiceError(`${location}: object ${key} is not there after it was stored`);
      if (versioned && first !== written.version) return this.#confirmEqual(key, first, body, until);
      if (written.whole && versioned && this.#isTrusted()) {
        this.#mustBeEncrypted(key, written);
        return { ...describedObject(key, body, description), version: first, lockedUntil: until };
      }
      const object = await this.#readBack(key, first, body, description, until);
      if (versioned) await this.#tryOnce(key, body, description);
      return object;
    }
  }

  /** @throws the SDK's own errors */
  async #write(
    key: ObjectKey,
    body: ObjectBody,
    description: Description,
    until: Temporal.Instant | null,
  ): Promise<Written> {
    try {
      if ('file' in body && body.length > PART) {
        await this.#abortAbandoned();
        const options = { ifNew: this.#sendsCondition, now: this.#clock.now() };
        const head = this.#head(key, description, until);
        const version = await uploadInParts(this.#bucket, key, body, head, options);
        return { version, repeated: false, whole: false, encryption: undefined, kmsKey: undefined };
      }
      const bytes = await inMemory(body);
      const put = {
        ...this.#head(key, description, until),
        ...this.#condition(),
        Body: bytes,
        ContentLength: bytes.byteLength,
        ChecksumSHA256: createHash('sha256').update(bytes).digest('base64'),
      };
      const answer = await this.#bucket.sendBytes(() => this.#bucket.client.send(new PutObjectCommand(put)));
      return {
        version: answer.VersionId,
        repeated: answer.$metadata.attempts !== 1,
        whole: true,
        encryption: answer.ServerSideEncryption,
        kmsKey: answer.SSEKMSKeyId,
      };
    } catch (error) {
      if (!this.#sendsCondition || !isNamed(error, 'NotImplemented')) throw error;
      this.#sendsCondition = false;
      return this.#write(key, body, description, until);
    }
  }

  #head(key: ObjectKey, { contentType, metadata }: Description, until: Temporal.Instant | null) {
    return {
      ...this.#bucket.address(key, UNVERSIONED),
      ContentType: contentType,
      Metadata: metadata,
      ...this.#retention(until),
      ...(this.#encryption === null
        ? {}
        : { ServerSideEncryption: 'aws:kms' as const, SSEKMSKeyId: this.#encryption.kmsKey }),
    };
  }

  #condition(): { IfNoneMatch?: string } {
    return this.#sendsCondition ? { IfNoneMatch: '*' } : {};
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
    const now = this.#clock.now();
    const second = Math.floor(now.epochMilliseconds / 1000);
    // A calendar's arithmetic costs a tenth of a put; within a second it comes to the same.
    if (this.#until?.second !== second) {
      const end = now.toZonedDateTimeISO('UTC').add(Temporal.Duration.from(this.#lock.horizon));
      this.#until = { second, until: wholeSecond(end.toInstant()) };
    }
    return this.#until.until;
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

  /** Tries the service with an object that stands: see the top of this file. Whatever it does, nothing but equal bytes comes of it. */
  async #tryOnce(key: ObjectKey, body: ObjectBody, description: Description): Promise<void> {
    if (this.#trial === null && bodyLength(body) <= TRIAL_LIMIT)
      this.#trial = this.#try(key, body, description).catch((error: unknown) => {
        this.#trial = null;
        throw error;
      });
    await this.#trial;
  }

  async #try(key: ObjectKey, body: ObjectBody, description: Description): Promise<void> {
    const bytes = await inMemory(body);
    const wrong = {
      ...this.#head(key, description, null),
      Body: bytes,
      ContentLength: bytes.byteLength,
      ChecksumSHA256: createHash('sha256').update('other bytes').digest('base64'),
    };
    const refusal = (input: PutObjectCommandInput) =>
      this.#bucket.client.send(new PutObjectCommand(input)).then(
        () => null,
        (error: unknown) => {
          if (error instanceof S3ServiceException) return error;
          throw this.#bucket.trouble(error, 'could not try what the service refuses');
        },
      );
    let refused = await refusal({ ...wrong, ...this.#condition() });
    if (isNamed(refused, 'PreconditionFailed')) {
      this.#refusesSecond = true;
      refused = await refusal(wrong);
    }
    this.#comparesDigests = isNamed(refused, ...OTHER_DIGEST);
  }

  /**
   * Of a bucket without versions: puts the same bytes again under the condition.
   * @throws ServiceError when the service takes them, since then nothing would keep a second writer from replacing an object
   */
  async #mustRefuseSecond(key: ObjectKey, body: ObjectBody, description: Description): Promise<void> {
    if (this.#refusesSecond) return;
    const refused = await this.#write(key, body, description, null).then(
      () => false,
      (error: unknown) => {
        if (isNamed(error, 'PreconditionFailed')) return true;
        throw this.#bucket.trouble(error, 'could not learn whether the service honours If-None-Match');
      },
    );
    if (!refused) {
      throw new ServiceError(
        `${this.#bucket.location}: the bucket keeps no versions and its service ignores If-None-Match`,
        {
          hint: 'Enable versioning on the bucket (better: Object Lock), or objects could be replaced.',
        },
      );
    }
    this.#refusesSecond = true;
  }

  async #confirmEqual(
    key: ObjectKey,
    version: string,
    body: ObjectBody,
    until: Temporal.Instant | null,
  ): Promise<StoredObject> {
    const { body: bytes, ...kept } = await readVersion(this.#bucket, key, version);
    try {
      if (kept.object.length === bodyLength(body) && (await sameBytes(bytes, body)))
        return await this.#locked(key, version, kept, until); // its writer may have died before it was locked
    } finally {
      bytes.destroy();
    }
    throw new ObjectExistsError(key, {
      hint: 'The first version still is the object. A key is a commitment: one of the two was made wrongly.',
    });
  }

  /** What the service took is not yet what it keeps: ask for it. */
  async #readBack(
    key: ObjectKey,
    version: string,
    body: ObjectBody,
    sent: Description,
    until: Temporal.Instant | null,
  ): Promise<StoredObject> {
    const kept = await this.#kept(key, version, body);
    const { object } = kept;
    let same = kept.same && object.length === bodyLength(body) && object.contentType === sent.contentType;
    for (const [name, value] of Object.entries(sent.metadata)) same &&= object.metadata[name] === value;
    if (!same) {
      throw new VerificationError(
        `${this.#bucket.location}: object ${key} does not come back as it was stored`,
        { hint: 'Do not use this storage service until its operator has found the cause.' },
      );
    }
    this.#mustBeEncrypted(key, kept);
    const locked = await this.#locked(key, version, kept, until);
    this.#unseen = 0;
    this.#seenAt = this.#clock.now();
    return locked;
  }

  /** Whether what the service took in one request need not be asked for again. */
  #isTrusted(): boolean {
    if (!this.#comparesDigests || this.#seenAt === null) return false;
    this.#unseen += 1;
    const since = this.#clock.now().epochMilliseconds - this.#seenAt.epochMilliseconds;
    return this.#unseen < ASKED_AGAIN_EVERY && since < ASKED_AGAIN_AFTER_SECONDS * 1000;
  }

  async #kept(key: ObjectKey, version: string, body: ObjectBody): Promise<KeptObject & { same: boolean }> {
    if (this.#comparesDigests || bodyLength(body) > READ_BACK_LIMIT) {
      const { answer } = await this.#bucket.head(key, version);
      return { ...keptObject(key, version, answer), same: true };
    }
    try {
      const answer = await this.#bucket.client.send(new GetObjectCommand(this.#bucket.address(key, version)));
      const same = await sameBytes(answer.Body as AsyncIterable<Uint8Array>, body);
      return { ...keptObject(key, version, answer), same };
    } catch (error) {
      throw this.#bucket.trouble(error, `could not read back object ${key}`);
    }
  }

  #mustBeEncrypted(key: ObjectKey, { encryption, kmsKey }: Encryption): void {
    if (this.#encryption === null) return;
    const wanted = this.#encryption.kmsKey;
    // An alias comes back as the key that it stands for, an id as its ARN.
    const right =
      kmsKey === undefined || wanted.includes('alias/') || kmsKey === wanted || kmsKey.endsWith(`/${wanted}`);
    if (encryption?.startsWith('aws:kms') === true && right) return;
    throw new ServiceError(
      `${this.#bucket.location}: object ${key} was stored, but ${encryption === undefined ? 'not encrypted' : `encrypted with ${kmsKey ?? encryption}`} instead of with the KMS key ${wanted}`,
      {
        hint: 'This service does not keep `store.encryption`: give it a key service and this key, or leave the setting out.',
      },
    );
  }

  /**
   * Some services lock an object that came in parts only when asked once more; and an upload that was gone on with began earlier.
   * @returns the object as it is locked. @throws ServiceError when it is not
   */
  async #locked(
    key: ObjectKey,
    version: string,
    kept: KeptObject,
    until: Temporal.Instant | null,
  ): Promise<StoredObject> {
    if (until === null || this.#lock === 'none' || reaches(kept, until)) return kept.object;
    const lock = new PutObjectRetentionCommand({
      ...this.#bucket.address(key, version),
      Retention: {
        Mode: kept.lock.mode ?? this.#lock.mode,
        RetainUntilDate: new Date(until.epochMilliseconds),
      },
    });
    await this.#bucket.client.send(lock).catch((error: unknown) => {
      throw this.#bucket.trouble(error, `object ${key} was stored, but could not be locked`);
    });
    const { answer } = await this.#bucket.head(key, version);
    const again = keptObject(key, version, answer);
    if (reaches(again, until)) return again.object;
    throw new ServiceError(
      `${this.#bucket.location}: object ${key} was stored, but ${again.lock.until === null ? 'it is not locked' : `its lock ends at ${again.lock.until} instead of ${until}`}`,
      {
        hint: 'Use a bucket that was created with Object Lock, and credentials with s3:PutObjectRetention and s3:GetObjectRetention.',
      },
    );
  }
}

type Encryption = Pick<KeptObject, 'encryption' | 'kmsKey'>;

interface Written extends Encryption {
  /** Undefined where the service gives none. */
  readonly version: string | undefined;
  readonly repeated: boolean;
  /** In one request, not in parts. */
  readonly whole: boolean;
}

function reaches({ lock }: KeptObject, until: Temporal.Instant): boolean {
  return lock.until !== null && Temporal.Instant.compare(lock.until, until) >= 0;
}

async function inMemory(body: ObjectBody): Promise<Uint8Array> {
  if ('bytes' in body) return body.bytes;
  const kept: Buffer[] = [];
  for await (const chunk of bodyChunks(body)) kept.push(Buffer.from(chunk));
  return Buffer.concat(kept);
}
