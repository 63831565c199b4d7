// The only code that changes an object's lock after it was put, and only towards more: it locks longer, and puts the
// storage service's legal hold on and off. What it returns is what the service says afterwards, not what was asked for.

import {
  GetObjectRetentionCommand,
  type HeadObjectCommandOutput,
  PutObjectLegalHoldCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import { ObjectNotFoundError, ServiceError } from '../core/errors.ts';
import type { StoreSettings } from '../core/settings.ts';
import { checkKey } from './description.ts';
import type { LockKeeper, LockMode, LockState, ObjectKey } from './objects.ts';
import { isNamed, S3Bucket, type S3Credentials } from './s3-bucket.ts';

/** @returns the right to lock, or null for a store without locks: a directory, or a bucket with `lock: none`. */
export function openLockKeeper(
  settings: StoreSettings,
  { credentials }: { credentials?: S3Credentials } = {},
): LockKeeper | null {
  if (settings.provider === 'directory' || settings.lock === 'none') return null;
  const bucket = new S3Bucket({ ...settings, ...(credentials ? { credentials } : {}) });
  return new S3LockKeeper(bucket, settings.lock.mode);
}

/** What an answer about one version says of its lock. A service leaves the fields out where the credentials may not see them. */
export function lockStateOf(
  answer: Pick<
    HeadObjectCommandOutput,
    'ObjectLockMode' | 'ObjectLockRetainUntilDate' | 'ObjectLockLegalHoldStatus'
  >,
): LockState {
  const { ObjectLockMode: mode, ObjectLockRetainUntilDate: until } = answer;
  const locked = (mode === 'GOVERNANCE' || mode === 'COMPLIANCE') && until !== undefined;
  return {
    mode: locked ? mode : null,
    until: locked ? Temporal.Instant.fromEpochMilliseconds(until.getTime()) : null,
    held: answer.ObjectLockLegalHoldStatus === 'ON',
  };
}

/**
 * The lock of one version, as the service says when it is asked.
 * @param version the recorded one, or null for the first. @throws ObjectNotFoundError; ServiceError where the credentials may not see it
 */
export async function readLock(
  bucket: S3Bucket,
  key: ObjectKey,
  version: string | null,
): Promise<{ version: string; state: LockState }> {
  const found = await bucket.head(key, version);
  const state = lockStateOf(found.answer);
  if (state.until === null) await mustBeUnlocked(bucket, key, found.version);
  return { version: found.version, state };
}

/** HEAD leaves a lock out when the credentials may not see it: only a direct question tells that from none. */
async function mustBeUnlocked(bucket: S3Bucket, key: ObjectKey, version: string): Promise<void> {
  try {
    await bucket.client.send(new GetObjectRetentionCommand(bucket.address(key, version)));
  } catch (error) {
    if (
      isNamed(
        error,
        'NoSuchObjectLockConfiguration',
        'ObjectLockConfigurationNotFoundError',
        'InvalidRequest',
      )
    )
      return;
    throw bucket.trouble(error, `could not read the lock of object ${key}`);
  }
}

/** Services keep whole seconds: rounded up, so that what is asked for is what they say. */
export function wholeSecond(instant: Temporal.Instant): Temporal.Instant {
  return instant.round({ smallestUnit: 'second', roundingMode: 'ceil' });
}

export class S3LockKeeper implements LockKeeper {
  readonly mode: LockMode;
  readonly #bucket: S3Bucket;

  constructor(bucket: S3Bucket, mode: LockMode) {
    this.#bucket = bucket;
    this.mode = mode;
  }

  async read(key: ObjectKey, version: string | null): Promise<LockState> {
    checkKey(key);
    return (await readLock(this.#bucket, key, version)).state;
  }

  async extend(key: ObjectKey, version: string | null, until: Temporal.Instant): Promise<LockState> {
    checkKey(key);
    const wanted = wholeSecond(until);
    const before = await readLock(this.#bucket, key, version);
    // A service that does not enforce the rule would shorten: it is never asked to.
    if (reaches(before.state, wanted)) return before.state;
    const Retention = {
      Mode: before.state.mode ?? this.mode, // to change the mode that stands would take the right to bypass it
      RetainUntilDate: new Date(wanted.epochMilliseconds),
    };
    await this.#change(key, 'could not lock', () =>
      this.#bucket.client.send(
        new PutObjectRetentionCommand({ ...this.#bucket.address(key, before.version), Retention }),
      ),
    );
    const { state } = await readLock(this.#bucket, key, before.version);
    if (reaches(state, wanted)) return state;
    throw new ServiceError(
      `${this.#bucket.location}: object ${key} is locked until ${state.until ?? 'no date'} after the service confirmed ${wanted}`,
      { hint: 'This service does not keep its locks. Run `muniment doctor`.' },
    );
  }

  async setHold(key: ObjectKey, version: string | null, held: boolean): Promise<LockState> {
    checkKey(key);
    const before = await readLock(this.#bucket, key, version);
    if (before.state.held === held) return before.state;
    const LegalHold = { Status: held ? ('ON' as const) : ('OFF' as const) };
    await this.#change(key, `could not ${held ? 'put a legal hold on' : 'take the legal hold off'}`, () =>
      this.#bucket.client.send(
        new PutObjectLegalHoldCommand({ ...this.#bucket.address(key, before.version), LegalHold }),
      ),
    );
    const { state } = await readLock(this.#bucket, key, before.version);
    if (state.held === held) return state;
    throw new ServiceError(
      `${this.#bucket.location}: the legal hold on object ${key} is ${state.held ? 'still' : 'not'} there after the service confirmed it`,
      { hint: 'Give the credentials s3:GetObjectLegalHold; if they have it, run `muniment doctor`.' },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bucket.client.destroy();
  }

  async #change(key: ObjectKey, what: string, send: () => Promise<unknown>): Promise<void> {
    try {
      await send();
    } catch (error) {
      if (isNamed(error, 'NoSuchKey', 'NoSuchVersion')) throw new ObjectNotFoundError(key, { cause: error });
      throw this.#bucket.trouble(error, `${what} object ${key}`);
    }
  }
}

function reaches({ until }: LockState, wanted: Temporal.Instant): boolean {
  return until !== null && Temporal.Instant.compare(until, wanted) >= 0;
}
