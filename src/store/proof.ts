// Before an archive writes, its store must have been seen to do what muniment.yaml claims of it. This asks it once a day, and keeps the
// answer in a file of the home: a note to itself, no evidence, and bound to the store that it is about.

import { randomUUID } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { type Clock, instantText } from '../core/clock.ts';
import { RefusedError, ServiceError } from '../core/errors.ts';
import type { StoreSettings } from '../core/settings.ts';
import type { ClaimFindings } from './probe.ts';
import type { S3Credentials } from './s3-bucket.ts';

type S3Settings = Extract<StoreSettings, { provider: 's3' }>;

/** What was found the last time. `enforced` is null where the trial could not tell. */
export interface Proof {
  readonly v: 1;
  /** The store, and the mode of the lock that is claimed of it, as one line. */
  readonly claim: string;
  /** When it was seen. */
  readonly at: string;
  /** When it was last tried: later than `at` where a trial since then could not tell, which takes nothing away. */
  readonly triedAt: string;
  readonly enforced: boolean | null;
  /** What was amiss, a sentence each. */
  readonly faults: readonly string[];
}

const proofShape = z.object({
  v: z.literal(1),
  claim: z.string(),
  at: z.iso.datetime(),
  triedAt: z.iso.datetime(),
  enforced: z.boolean().nullable(),
  faults: z.array(z.string()),
});

/** A proof is renewed when it is older than this … */
const RENEWED_AFTER_HOURS = 24;
/** … and where it cannot be, since the service does not answer, it is still good for a week: nothing can be stored meanwhile anyway. */
const GOOD_FOR_HOURS = 7 * 24;

/** @returns the claim that a proof is about, or null where the settings claim no lock: then there is nothing to prove */
export function claimOf(settings: StoreSettings): string | null {
  if (settings.provider !== 's3' || settings.lock === 'none') return null;
  const { endpoint, region, bucket, prefix, lock } = settings;
  return `${endpoint ?? `AWS S3 in ${region}`} s3://${bucket}/${prefix} ${lock.mode}`;
}

/** Judges a trial against the claim. */
export function judge(findings: ClaimFindings): Pick<Proof, 'enforced' | 'faults'> {
  const { lock, versioning } = findings;
  const claimed = [
    ['keeps versions', versioning],
    ['locks an object', lock?.enabled],
    ['refuses to delete a locked version', lock?.deleteRefused],
    ['refuses to shorten a lock', lock?.shortenRefused],
  ] as const;
  const faults = (held: false | null) =>
    claimed.flatMap(([what, trial]) =>
      trial?.held === held
        ? [`${held === null ? 'it could not be seen that it' : 'not true that it'} ${what}: ${trial.saw}`]
        : [],
    );
  const broken = faults(false);
  if (broken.length > 0) return { enforced: false, faults: broken };
  const unseen = faults(null);
  return { enforced: unseen.length > 0 ? null : true, faults: unseen };
}

/** What an earlier proof is worth now. `due`: renew it, and without an answer of the service go on. */
export type Standing = 'good' | 'due' | 'none';

export function standingOf(proof: Proof | null, claim: string, now: Temporal.Instant): Standing {
  if (proof === null || proof.claim !== claim || proof.enforced !== true) return 'none';
  const hours = now.since(Temporal.Instant.from(proof.triedAt)).total('hours');
  // One from the future was made by a clock that was wrong.
  if (hours < 0 || hours >= GOOD_FOR_HOURS) return 'none';
  return hours < RENEWED_AFTER_HOURS ? 'good' : 'due';
}

/** What stands between a payload and its removal, as bundles state it. */
export interface StatedLock {
  readonly mode: 'none' | 'GOVERNANCE' | 'COMPLIANCE';
  /** Whether the store was seen to enforce it; false where there is nothing to enforce. */
  readonly seen: boolean;
}

export function statedLock(settings: StoreSettings, proof: Proof | null): StatedLock {
  const claim = claimOf(settings);
  if (settings.provider !== 's3' || settings.lock === 'none') return { mode: 'none', seen: false };
  return { mode: settings.lock.mode, seen: proof?.claim === claim && proof.enforced === true };
}

/** @returns the proof in the file, or null where there is none that can be read as one: it is made anew then */
export async function readProof(file: string): Promise<Proof | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return proofShape.safeParse(JSON.parse(text)).data ?? null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Keeps what a trial found. @returns what is now the proof, or null where nothing is claimed */
export async function keepProof(
  file: string,
  settings: StoreSettings,
  findings: ClaimFindings,
  now: Temporal.Instant,
): Promise<Proof | null> {
  const claim = claimOf(settings);
  if (claim === null) return null;
  const before = await readProof(file);
  const found = judge(findings);
  const tried = instantText(now);
  const proof: Proof =
    found.enforced === null && before?.claim === claim && before.enforced !== null
      ? { ...before, triedAt: tried }
      : { v: 1, claim, at: tried, triedAt: tried, ...found };
  await replaceFile(file, `${JSON.stringify(proof, null, 2)}\n`);
  return proof;
}

/** The store does not do what the settings claim, or nothing shows that it does. */
export class StoreClaimError extends RefusedError {}

export interface ProofOptions {
  /** Where the proof is kept. */
  readonly file: string;
  readonly settings: StoreSettings;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Absent: the AWS SDK's own chain. */
  readonly credentials?: S3Credentials;
  /** Told when a proof is old and cannot be renewed. */
  readonly onNote?: (note: string) => void;
}

/**
 * Asks that the store do what the settings claim, by a proof of today or by a trial.
 * @throws StoreClaimError when it does not, or nothing shows that it does; ServiceError when it cannot be reached and no proof is recent
 */
export async function requireProof(options: ProofOptions): Promise<void> {
  const { file, settings, clock, signal, credentials } = options;
  const claim = claimOf(settings);
  if (claim === null) return;
  const before = await readProof(file);
  const standing = standingOf(before, claim, clock.now());
  if (standing === 'good') return;
  let proof: Proof | null;
  // Read only here: most commands never speak to a bucket.
  const { probeClaim } = await import('./probe.ts');
  try {
    const findings = await probeClaim({
      ...(settings as S3Settings),
      clock,
      signal,
      ...(credentials ? { credentials } : {}),
    });
    proof = await keepProof(file, settings, findings, clock.now());
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    if (before?.claim === claim && before.enforced === false) throw refusal(settings as S3Settings, before);
    if (standing === 'none') throw error;
    options.onNote?.(
      `The store's lock was last seen to hold on ${before?.at}, and could not be tried again: ${error.message}`,
    );
    return;
  }
  if (proof !== null && proof.enforced !== true) throw refusal(settings as S3Settings, proof);
}

/**
 * As requireProof, of a store that is not yet the archive's: it is tried now, and nothing is remembered of it.
 * @throws StoreClaimError when it does not do what the settings claim, or nothing shows that it does; ServiceError when it cannot be reached
 */
export async function requireClaim(options: Omit<ProofOptions, 'file' | 'onNote'>): Promise<void> {
  const { settings, clock, signal, credentials } = options;
  const claim = claimOf(settings);
  if (claim === null) return;
  const { probeClaim } = await import('./probe.ts');
  const found = judge(
    await probeClaim({
      ...(settings as S3Settings),
      clock,
      signal,
      ...(credentials ? { credentials } : {}),
    }),
  );
  const at = instantText(clock.now());
  if (found.enforced !== true)
    throw refusal(settings as S3Settings, { v: 1, claim, at, triedAt: at, ...found });
}

function refusal(settings: S3Settings, proof: Proof): StoreClaimError {
  const mode = settings.lock === 'none' ? 'none' : settings.lock.mode;
  const where = `${settings.endpoint ?? `AWS S3 in ${settings.region}`}, bucket ${settings.bucket}`;
  if (proof.enforced === null) {
    return new StoreClaimError(
      `nothing shows that the store (${where}) enforces the lock that muniment.yaml claims (${mode}): ${proof.faults.join('; ')}`,
      {
        hint: 'Run `muniment doctor` once with credentials that may delete objects (s3:DeleteObjectVersion, s3:PutObjectRetention), or set `store.lock: none`.',
      },
    );
  }
  return new StoreClaimError(
    `the store (${where}) does not enforce the lock that muniment.yaml claims (${mode}), as tried on ${proof.at}: ${proof.faults.join('; ')}`,
    {
      hint: 'Use a bucket that was made with Object Lock on a service that enforces it, or say it honestly: `store.lock: none`, which every bundle then states. `muniment doctor` shows each trial.',
    },
  );
}

/** As a whole or not at all: other processes read it. */
async function replaceFile(file: string, text: string): Promise<void> {
  const draft = `${file}.${randomUUID()}.new`;
  try {
    const handle = await open(draft, 'wx', 0o644);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (cause) {
    await rm(draft, { force: true });
    throw new ServiceError(`${file} cannot be written: ${(cause as Error).message}`, {
      hint: `Let the archive's user write in ${dirname(file)}.`,
      cause,
    });
  }
}
