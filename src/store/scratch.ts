// Scratch objects of a trial of the bucket: under a folder of their own, which no payload's key can name, each with the versions that the
// trial made. Only what lies in that folder is ever removed here. What a lock keeps is left and named; a later trial removes it.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import type { Clock } from '../core/clock.ts';
import { IncompleteError } from '../core/errors.ts';
import { isNamed, type S3Bucket } from './s3-bucket.ts';

/** Stands after the archive's prefix. A payload's key is 64 hex digits, so no payload can lie under it. */
export const SCRATCH_FOLDER = 'muniment-doctor/';
/** A trial takes seconds: what is older than this was left by an earlier one, not by one at work beside us. */
const LEFT_AFTER_MINUTES = 10;
/** Long enough to be in the future when it arrives. */
const BRIEF_SECONDS = 4;

/** An answer of the service: what it gave, or that it refused, in its own words. */
export type Answer<T> =
  | { readonly given: T; readonly refused: null }
  | { readonly given: null; readonly refused: string; readonly error: S3ServiceException };

/** A version that a lock keeps. */
export interface Leftover {
  readonly name: string;
  readonly version: string;
}

/** One version of a scratch object; `version` is undefined in a bucket that keeps none. */
export interface ScratchVersion {
  readonly Bucket: string;
  readonly Key: string;
  readonly VersionId: string | undefined;
}

export class Scratch {
  readonly bucket: S3Bucket;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #folder: string;
  /**
   * Whether the bucket locks by default, for as long as its administrator chose. Then scratch objects carry a lock of their own, of
   * seconds, or they would stay for years.
   */
  locksByDefault = false;
  /** What goes with every put: the encryption that the settings ask for, once it was seen to work. */
  standing: Partial<PutObjectCommandInput> = {};
  /** The service's clock minus ours, in milliseconds; null before its first answer with a date. */
  #skew: number | null = null;

  constructor(bucket: S3Bucket, { clock, signal }: { clock: Clock; signal: AbortSignal }) {
    this.bucket = bucket;
    this.#clock = clock;
    this.#signal = signal;
    this.#folder = `${bucket.prefix}${SCRATCH_FOLDER}${randomUUID()}/`;
    bucket.client.middlewareStack.add(
      (next) => async (input) => {
        const before = clock.now().epochMilliseconds;
        const answer = await next(input);
        this.#noteDate(answer.response, (before + clock.now().epochMilliseconds) / 2);
        return answer;
      },
      { step: 'deserialize', priority: 'low', name: 'readDateOfService' },
    );
  }

  /** What the service's clock is ahead of ours, in whole seconds; null where it gives no date. */
  get skewSeconds(): number | null {
    return this.#skew === null ? null : Math.round(this.#skew / 1000);
  }

  /** The present moment by the service's clock, which judges locks. */
  now(): Temporal.Instant {
    return this.#clock.now().add({ milliseconds: Math.round(this.#skew ?? 0) });
  }

  /**
   * Sends a request whose refusal is an answer like any other.
   * @throws ServiceError when no answer comes, or the service is in trouble: that says nothing about what was tried; IncompleteError when
   *   the signal comes
   */
  async ask<T>(send: (options: { abortSignal: AbortSignal }) => Promise<T>): Promise<Answer<T>> {
    try {
      return { given: await send({ abortSignal: this.#signal }), refused: null };
    } catch (error) {
      if (this.#signal.aborted) {
        throw new IncompleteError('trying the store was stopped before it ended', {
          hint: 'Run the command again.',
          cause: error,
        });
      }
      if (error instanceof S3ServiceException) {
        const status = error.$metadata.httpStatusCode ?? 0;
        if (
          (status >= 400 && status < 500 && !TROUBLE.includes(error.name)) ||
          error.name === 'NotImplemented'
        )
          return { given: null, refused: `${error.name} (${status})`, error };
      }
      throw this.bucket.trouble(error, 'could not be tried');
    }
  }

  /** Puts a scratch object. @param headers sent as they are, whatever the SDK would make of them */
  async put(
    name: string,
    body: string,
    more: Partial<PutObjectCommandInput> = {},
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer<ScratchVersion>> {
    const address = { Bucket: this.bucket.bucket, Key: this.#folder + name };
    const command = new PutObjectCommand({
      ...address,
      Body: body,
      ContentType: 'text/plain',
      ...(this.locksByDefault ? this.#briefLock() : {}),
      ...this.standing,
      ...more,
    });
    command.middlewareStack.add(
      (next) => (input) => {
        Object.assign((input.request as { headers: Record<string, string> }).headers, headers);
        return next(input);
      },
      { step: 'build', name: 'addHeaders' },
    );
    const answer = await this.ask((options) => this.bucket.client.send(command, options));
    if (answer.refused !== null) return answer;
    return { given: { ...address, VersionId: answer.given.VersionId }, refused: null };
  }

  /** Resolves when an object that was just put without a lock carries none. */
  async unlocked(): Promise<void> {
    if (this.locksByDefault) await sleep((BRIEF_SECONDS + 1) * 1000, undefined, { signal: this.#signal });
  }

  /** What the service knows of a version; null when it says that there is none. */
  async head(version: ScratchVersion): Promise<HeadObjectCommandOutput | null> {
    const answer = await this.ask((options) =>
      this.bucket.client.send(new HeadObjectCommand(version), options),
    );
    if (answer.refused === null) return answer.given;
    if (isNamed(answer.error, 'NotFound', 'NoSuchKey', 'NoSuchVersion')) return null;
    throw this.bucket.trouble(answer.error, 'could not look at a scratch object');
  }

  delete(version: ScratchVersion, more: { BypassGovernanceRetention?: true } = {}): Promise<Answer<unknown>> {
    return this.ask((options) =>
      this.bucket.client.send(new DeleteObjectCommand({ ...version, ...more }), options),
    );
  }

  /** Removes what this trial made. @returns what a lock keeps, or these credentials may not delete */
  clean(): Promise<Leftover[]> {
    return this.#remove(this.#folder, () => true);
  }

  /** Removes what earlier trials left. @returns what is still kept */
  cleanEarlier(): Promise<Leftover[]> {
    const before = this.now().subtract({ minutes: LEFT_AFTER_MINUTES });
    return this.#remove(
      this.bucket.prefix + SCRATCH_FOLDER,
      (modifiedAt) => Temporal.Instant.compare(modifiedAt, before) < 0,
    );
  }

  async #remove(folder: string, isOurs: (modifiedAt: Temporal.Instant) => boolean): Promise<Leftover[]> {
    const left: Leftover[] = [];
    for await (const { name, version, modifiedAt } of this.bucket.versions(folder)) {
      // A service that overlooks the prefix must not make us delete payloads.
      if (!name.startsWith(folder) || !isOurs(modifiedAt)) continue;
      const { refused } = await this.delete({
        Bucket: this.bucket.bucket,
        Key: name,
        VersionId: version === 'null' ? undefined : version,
      });
      if (refused !== null) left.push({ name, version });
    }
    return left;
  }

  #briefLock(): Partial<PutObjectCommandInput> {
    const until = this.now().add({ seconds: BRIEF_SECONDS });
    return { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: new Date(until.epochMilliseconds) };
  }

  #noteDate(response: unknown, middle: number): void {
    const date = (response as { headers?: Record<string, string> } | undefined)?.headers?.date;
    const told = date === undefined ? Number.NaN : Date.parse(date);
    // The header has whole seconds, cut off.
    if (!Number.isNaN(told)) this.#skew = told + 500 - middle;
  }
}

/**
 * Refusals that pass, and concern every request alike. Wrong credentials and a missing bucket are told by the first request of a trial;
 * later on, services use such names for other things too: Ceph calls an unknown KMS key InvalidAccessKeyId.
 */
const TROUBLE = ['ExpiredToken', 'RequestTimeout', 'TooManyRequests', 'SlowDown', 'QuotaExceeded'];
