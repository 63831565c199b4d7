// Tries what a bucket truly does, on scratch objects, instead of believing what it is said to do. It finds; what a finding means, and how
// to mend it, is said in src/doctor/, and what must hold before the archive writes is judged in proof.ts.

import { createHash } from 'node:crypto';
import {
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
} from '@aws-sdk/client-s3';
import type { Clock } from '../core/clock.ts';
import type { EncryptionSettings, LockSettings } from '../core/settings.ts';
import { type BucketTrials, tryBucket } from './probe-bucket.ts';
import { type LockTrials, tryErase, tryLock } from './probe-lock.ts';
import { isNamed, type S3Address, S3Bucket } from './s3-bucket.ts';
import { type Leftover, Scratch } from './scratch.ts';
import { held, notHeld, type Trial, untold } from './trial.ts';

/** What a bucket says of its lock. */
export interface OwnLock {
  readonly enabled: boolean;
  /** How long it locks what comes without a lock of its own, e.g. `COMPLIANCE for 365 days`; null where it does not. */
  readonly byDefault: string | null;
}

export interface ProbeOptions extends S3Address {
  readonly lock: LockSettings | 'none';
  readonly encryption?: EncryptionSettings | null;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** What the settings claim, tried. */
export interface ClaimFindings {
  readonly location: string;
  readonly versioning: Trial;
  /** Null where the settings claim no lock. */
  readonly lock: LockTrials | null;
  /** Scratch objects of this and earlier trials that a lock keeps. */
  readonly leftovers: readonly Leftover[];
}

/** Everything that can be tried. */
export interface StoreFindings extends ClaimFindings {
  /** Whether an object without a lock can be deleted. */
  readonly erase: Trial;
  /** Whether an object is encrypted as the settings say; null where they say nothing. */
  readonly encryption: Trial | null;
  /** What the bucket says of its own lock. */
  readonly ownLock: OwnLock;
  readonly overwrite: Trial;
  readonly ifNoneMatch: Trial;
  readonly checksum: Trial;
  readonly signedDigest: Trial;
  readonly contentMd5: Trial;
  /** What the service's clock is ahead of ours, in seconds; null where it gives no date. */
  readonly skewSeconds: number | null;
  readonly bucket: BucketTrials;
}

/** Tries what the settings claim, and no more. @throws ServiceError when the service cannot be reached or used */
export function probeClaim(options: ProbeOptions): Promise<ClaimFindings> {
  return withScratch(options, (scratch, { versioning }) => claimOf(scratch, versioning, options.lock));
}

/** Tries everything. @throws ServiceError when the service cannot be reached or used */
export function probeStore(options: ProbeOptions): Promise<StoreFindings> {
  return withScratch(options, async (scratch, { versioning, ownLock, encryption }) => ({
    ...(await claimOf(scratch, versioning, options.lock)),
    erase: await tryErase(scratch),
    encryption,
    ownLock,
    overwrite: await tryOverwrite(scratch),
    ifNoneMatch: await tryIfNoneMatch(scratch),
    checksum: await tryWrongDigest(scratch, 'x-amz-checksum-sha256', 'sha256', 'base64'),
    signedDigest: await tryWrongDigest(scratch, 'x-amz-content-sha256', 'sha256', 'hex'),
    contentMd5: await tryWrongDigest(scratch, 'content-md5', 'md5', 'base64'),
    bucket: await tryBucket(scratch, versioning.held === true),
    skewSeconds: scratch.skewSeconds,
  }));
}

/**
 * Puts a scratch object through one address, under its prefix, and looks for it through another.
 * @returns whether it is there: then both lead to one bucket, whatever service and bucket are called
 * @throws ServiceError when one of the two cannot be reached or used
 */
export async function probeShared(options: Omit<ProbeOptions, 'lock'>, other: S3Address): Promise<boolean> {
  const { shared } = await withScratch(options, async (scratch) => {
    const put = await scratch.put('shared', 'one bucket?');
    if (put.given === null) throw scratch.bucket.trouble(put.error, 'could not put a scratch object');
    const { Key } = put.given;
    const bucket = new S3Bucket(other);
    try {
      // By listing: without the right to list, a service refuses to say that an object is absent.
      for await (const { name } of bucket.versions(Key)) if (name === Key) return { shared: true };
      return { shared: false };
    } finally {
      bucket.client.destroy();
    }
  });
  return shared;
}

async function withScratch<Found extends object>(
  { clock, signal, encryption: asked = null, ...address }: Omit<ProbeOptions, 'lock'>,
  find: (
    scratch: Scratch,
    said: { versioning: Trial; ownLock: OwnLock; encryption: Trial | null },
  ) => Promise<Found>,
): Promise<Found & { location: string; leftovers: Leftover[] }> {
  const bucket = new S3Bucket(address);
  try {
    const scratch = new Scratch(bucket, { clock, signal });
    const versioning = await askVersioning(scratch);
    const ownLock = await askLock(scratch);
    scratch.locksByDefault = ownLock.byDefault !== null;
    const earlier = await scratch.cleanEarlier();
    let left: Leftover[] = [];
    try {
      const encryption = asked === null ? null : await tryEncryption(scratch, asked);
      const found = await find(scratch, { versioning, ownLock, encryption });
      left = await scratch.clean();
      return { ...found, location: bucket.location, leftovers: [...earlier, ...left] };
    } catch (error) {
      // What broke the trial may break the cleaning too; a later trial cleans then.
      await scratch.clean().catch(() => undefined);
      throw error;
    }
  } finally {
    bucket.client.destroy();
  }
}

async function askVersioning(scratch: Scratch): Promise<Trial> {
  const { bucket } = scratch;
  const answer = await scratch.ask((options) =>
    bucket.client.send(new GetBucketVersioningCommand({ Bucket: bucket.bucket }), options),
  );
  if (answer.refused !== null)
    throw bucket.trouble(answer.error, 'could not ask whether the bucket keeps versions');
  return answer.given.Status === 'Enabled'
    ? held('the bucket says that it keeps versions')
    : notHeld(`the bucket says of its versioning: ${answer.given.Status ?? 'never enabled'}`);
}

async function askLock(scratch: Scratch): Promise<OwnLock> {
  const { bucket } = scratch;
  const answer = await scratch.ask((options) =>
    bucket.client.send(new GetObjectLockConfigurationCommand({ Bucket: bucket.bucket }), options),
  );
  const found = answer.given?.ObjectLockConfiguration;
  const rule = found?.Rule?.DefaultRetention;
  const length = rule?.Days === undefined ? `${rule?.Years ?? '?'} years` : `${rule.Days} days`;
  return {
    enabled: found?.ObjectLockEnabled === 'Enabled',
    byDefault: rule?.Mode === undefined ? null : `${rule.Mode} for ${length}`,
  };
}

/** Where it works, the objects of all other trials are encrypted too: a bucket may refuse any that is not. */
async function tryEncryption(scratch: Scratch, { kmsKey }: EncryptionSettings): Promise<Trial> {
  const asked = { ServerSideEncryption: 'aws:kms' as const, SSEKMSKeyId: kmsKey };
  const put = await scratch.put('encrypted', 'an encrypted object', asked);
  if (put.refused !== null) return notHeld(`a put with the key ${kmsKey} was refused: ${put.refused}`);
  const found = await scratch.head(put.given);
  if (found?.ServerSideEncryption?.startsWith('aws:kms') !== true)
    return notHeld(`a put with the key ${kmsKey} was taken, and comes back unencrypted`);
  scratch.standing = asked;
  return held(`it comes back as encrypted with ${found.SSEKMSKeyId ?? kmsKey}`);
}

async function claimOf(scratch: Scratch, said: Trial, lock: LockSettings | 'none') {
  return {
    versioning: said.held === true ? await tryVersions(scratch) : said,
    lock: lock === 'none' ? null : await tryLock(scratch, lock.mode),
  };
}

async function tryVersions(scratch: Scratch): Promise<Trial> {
  const first = await scratch.put('versions', 'first');
  const second = await scratch.put('versions', 'second');
  const refused = first.refused ?? second.refused;
  if (first.given === null || second.given === null) return untold(`a put was refused: ${refused}`);
  if (first.given.VersionId === undefined || first.given.VersionId === second.given.VersionId)
    return notHeld('the bucket says that it keeps versions, and gives no version ids of their own');
  const texts = [await textOf(scratch, first.given), await textOf(scratch, second.given)];
  return texts[0] === 'first' && texts[1] === 'second'
    ? held('two versions came of it, and each comes back with its own bytes')
    : notHeld('two versions came of it, and the first does not come back with its own bytes');
}

async function tryOverwrite(scratch: Scratch): Promise<Trial> {
  const first = await scratch.put('overwritten', 'first');
  const second = await scratch.put('overwritten', 'second');
  if (first.given === null || second.given === null)
    return first.refused === null
      ? held(`the second put was refused: ${second.refused}`)
      : untold(`a put was refused: ${first.refused}`);
  const kept = await textOf(scratch, first.given);
  return kept === 'first'
    ? held('the second put made a newer version; the first is read by its version id')
    : notHeld('the second put replaced the first');
}

async function tryIfNoneMatch(scratch: Scratch): Promise<Trial> {
  const first = await scratch.put('conditional', 'first', { IfNoneMatch: '*' });
  if (first.refused !== null) return notHeld(`the condition itself was refused: ${first.refused}`);
  const second = await scratch.put('conditional', 'second', { IfNoneMatch: '*' });
  if (second.refused === null) return notHeld('the second put was taken');
  return isNamed(second.error, 'PreconditionFailed', 'ConditionalRequestConflict')
    ? held(`the second put was refused: ${second.refused}`)
    : untold(`the second put was refused for another reason: ${second.refused}`);
}

/** A digest of other bytes, in one header that a service may look at. */
async function tryWrongDigest(
  scratch: Scratch,
  header: string,
  algorithm: 'sha256' | 'md5',
  encoding: 'hex' | 'base64',
): Promise<Trial> {
  const wrong = createHash(algorithm).update('other bytes').digest(encoding);
  const put = await scratch.put(`wrong-${header}`, 'these bytes', {}, { [header]: wrong });
  return put.refused === null ? notHeld('it was taken') : held(`it was refused: ${put.refused}`);
}

/** @returns the object's text, or null when the service says that there is none */
async function textOf(scratch: Scratch, version: Parameters<Scratch['head']>[0]): Promise<string | null> {
  const { bucket } = scratch;
  const answer = await scratch.ask((options) =>
    bucket.client
      .send(new GetObjectCommand(version), options)
      .then(({ Body }) => Body?.transformToString() ?? ''),
  );
  if (answer.refused === null) return answer.given;
  if (isNamed(answer.error, 'NoSuchKey', 'NoSuchVersion')) return null;
  throw bucket.trouble(answer.error, 'could not read a scratch object');
}
