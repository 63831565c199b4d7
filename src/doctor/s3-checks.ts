// Tries a bucket and says in words what was found.

import type { Clock } from '../core/clock.ts';
import type { StoreSettings } from '../core/settings.ts';
import { probeStore, type StoreFindings } from '../store/probe.ts';
import { keepProof } from '../store/proof.ts';
import { type Check, clockCheck, good, note, ofTrial, stated, type Words } from './check.ts';
import * as WORDS from './s3-words.ts';

type S3Settings = Extract<StoreSettings, { provider: 's3' }>;

export interface S3TrialOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Where the proof is kept that `collect` and `serve` ask for. */
  readonly proofFile: string;
}

/** @throws MunimentError when the service or the bucket cannot be reached at all */
export async function s3Checks(settings: S3Settings, options: S3TrialOptions): Promise<Check[]> {
  const findings = await probeStore({ ...settings, ...options });
  const proof = await keepProof(options.proofFile, settings, findings, options.clock.now());
  return inWords(settings, findings, proof !== null && proof.enforced !== true);
}

/** @param unproven nothing, now or earlier, shows that the claim holds: then `collect` and `serve` refuse */
function inWords(settings: S3Settings, findings: StoreFindings, unproven: boolean): Check[] {
  const claimed = (words: Words): Words => ({ ...words, untold: unproven ? 'bad' : 'note' });
  return [
    ofTrial(
      findings.versioning,
      settings.lock === 'none' ? unclaimed(WORDS.VERSIONING, findings) : claimed(WORDS.VERSIONING),
    ),
    ...lockChecks(settings, findings, claimed),
    ...(findings.encryption === null ? [] : [ofTrial(findings.encryption, WORDS.ENCRYPTION)]),
    ofTrial(findings.erase, WORDS.ERASE),
    ofTrial(
      findings.overwrite,
      findings.ifNoneMatch.held === true ? { ...WORDS.OVERWRITE, severity: 'note' } : WORDS.OVERWRITE,
    ),
    ofTrial(findings.ifNoneMatch, WORDS.IF_NONE_MATCH),
    ofTrial(findings.checksum, WORDS.CHECKSUM),
    ofTrial(findings.signedDigest, WORDS.SIGNED_DIGEST),
    ofTrial(findings.contentMd5, WORDS.MD5),
    clockCheck('store.clock', 'the storage service', findings.skewSeconds),
    privileges(findings),
    ofTrial(findings.bucket.keepsAll, WORDS.LIFE_CYCLE),
    ...leftovers(findings),
  ];
}

/** Without a lock to carry, a bucket may do without versions if its service honours the condition. */
const unclaimed = (words: Words, { ifNoneMatch }: StoreFindings): Words => ({
  ...words,
  severity: ifNoneMatch.held === true ? 'note' : 'bad',
});

function lockChecks(
  { lock }: S3Settings,
  { lock: trials, ownLock, location }: StoreFindings,
  claimed: (words: Words) => Words,
): Check[] {
  const checks: Check[] = [];
  if (ownLock.byDefault !== null) {
    checks.push(
      note(
        {
          id: 'store.lock.default',
          tried: 'whether the bucket locks by itself',
          saw: `it locks what comes without a lock of its own: ${ownLock.byDefault}`,
          means:
            'What is stored without a lock cannot be destroyed when its retention ends, before that time is over.',
        },
        'Take the default retention off the bucket: the archive locks each payload itself.',
      ),
    );
  }
  if (lock === 'none' || trials === null) {
    const could = ownLock.enabled
      ? 'the bucket has Object Lock, which is not used'
      : 'the bucket has no Object Lock';
    checks.push(
      stated(
        {
          id: 'store.lock.enabled',
          tried: 'what locks a payload',
          saw: `nothing: muniment.yaml claims lock: none for ${location}; ${could}`,
          means:
            'Payloads are write-once by this program only: whoever has the credentials could remove one. `verify` tells that it happened; nothing prevents it. Every bundle says so.',
        },
        ownLock.enabled
          ? 'Say `store.lock: { mode: GOVERNANCE, horizon: P90D }` to use it.'
          : 'Where prevention is asked for, use a bucket with Object Lock.',
      ),
    );
    return checks;
  }
  return [
    ...checks,
    ofTrial(trials.enabled, claimed(WORDS.LOCKED)),
    ofTrial(trials.deleteRefused, claimed(WORDS.DELETE)),
    ofTrial(trials.shortenRefused, claimed(WORDS.SHORTEN)),
    ofTrial(trials.extended, WORDS.EXTEND),
    ofTrial(trials.hold, WORDS.HOLD),
  ];
}

function privileges({ bucket, lock }: StoreFindings): Check {
  const id = 'store.privileges';
  const tried = 'what the credentials may do beyond storing: bypass a GOVERNANCE lock, change the bucket';
  const rights = [
    ...(lock?.bypassRefused ? [['bypass a GOVERNANCE lock', lock.bypassRefused] as const] : []),
    ['versioning', bucket.versioning] as const,
    ['lock configuration', bucket.lock] as const,
    ['life cycle', bucket.lifecycle] as const,
    ['policy', bucket.policy] as const,
  ];
  const saw = rights.map(([what, trial]) => `${what}: ${trial.saw}`).join('; ');
  const means =
    'Whoever steals these credentials could undo what the bucket protects; the archive itself never uses such a right.';
  const fix =
    'Give the archive a user of its own without s3:BypassGovernanceRetention, s3:PutBucketVersioning, s3:PutBucketObjectLockConfiguration, s3:PutLifecycleConfiguration and s3:PutBucketPolicy, or use COMPLIANCE.';
  if (rights.some(([, trial]) => trial.held === false)) return note({ id, tried, saw, means }, fix);
  return good({
    id,
    tried,
    saw,
    means:
      'As far as it could be tried, a thief of these credentials could not undo what the bucket protects.',
  });
}

function leftovers({ leftovers: kept }: StoreFindings): Check[] {
  if (kept.length === 0) return [];
  const named = kept.slice(0, 5).map(({ name, version }) => `${name} (version ${version})`);
  if (kept.length > named.length) named.push(`${kept.length - named.length} more`);
  return [
    stated({
      id: 'store.scratch',
      tried: 'to remove the scratch objects of these trials',
      saw: `${kept.length} still kept: ${named.join(', ')}`,
      means:
        'Those under a lock of a minute or so are removed by the next `muniment doctor` after ten minutes.',
    }),
  ];
}
