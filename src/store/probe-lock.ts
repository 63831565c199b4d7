// Tries what a bucket's Object Lock truly does, on scratch objects that are locked for a minute or so. Some services take a lock and then
// delete all the same, so nothing is believed: each refusal is looked up afterwards, and set against a request that must be granted.

import {
  DeleteObjectsCommand,
  PutObjectLegalHoldCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import type { LockSettings } from '../core/settings.ts';
import type { Scratch, ScratchVersion } from './scratch.ts';
import { held, notHeld, type Trial, untold } from './trial.ts';

export interface LockTrials {
  readonly enabled: Trial;
  readonly deleteRefused: Trial;
  readonly shortenRefused: Trial;
  readonly extended: Trial;
  readonly hold: Trial;
  /** Whether these credentials are refused when they ask to bypass a GOVERNANCE lock; null under COMPLIANCE, which nobody bypasses. */
  readonly bypassRefused: Trial | null;
}

type Mode = LockSettings['mode'];

const LOCK_SECONDS = 75;
const EXTENDED_SECONDS = 90;
const SHORTENED_SECONDS = 30;

const NOT_LOCKED = untold('nothing could be locked to try it on');

/** @throws ServiceError when the service does not answer */
export async function tryLock(scratch: Scratch, mode: Mode): Promise<LockTrials> {
  const enabled = await lockedScratch(scratch, 'kept', mode);
  if ('saw' in enabled) {
    return {
      enabled,
      deleteRefused: NOT_LOCKED,
      shortenRefused: NOT_LOCKED,
      extended: NOT_LOCKED,
      hold: NOT_LOCKED,
      bypassRefused: null,
    };
  }
  const mayDelete = await tryErase(scratch);
  const extended = await tryExtend(scratch, enabled, mode);
  const shortenRefused = await tryShorten(scratch, enabled, mode, extended);
  // Another object: the first may have lost its lock by now.
  const second = await lockedScratch(scratch, 'deleted', mode);
  const deleteRefused =
    'saw' in second ? NOT_LOCKED : await tryDelete(scratch, second, mode, mayDelete.held === true);
  return {
    enabled: held(`a put with a ${mode} lock was taken, and comes back with that lock and its date`),
    deleteRefused,
    shortenRefused,
    extended,
    hold: await tryHold(scratch, mayDelete.held === true),
    bypassRefused: mode === 'COMPLIANCE' || 'saw' in second ? null : await tryBypass(scratch, second),
  };
}

/** Whether an object without a lock can be deleted for good: the counterpart of every refusal, and what lawful destruction needs. */
export async function tryErase(scratch: Scratch): Promise<Trial> {
  const put = await scratch.put('unlocked', 'an object without a lock');
  if (put.refused !== null) return untold(`a put was refused: ${put.refused}`);
  await scratch.unlocked();
  const deleted = await scratch.delete(put.given);
  if (deleted.refused !== null) return notHeld(`deleting it was refused: ${deleted.refused}`);
  return (await scratch.head(put.given)) === null
    ? held('it was deleted, and is gone')
    : notHeld('the deletion was confirmed, and the object is still there');
}

type Locked = ScratchVersion & { readonly until: Temporal.Instant };

/** @returns the locked version, or why there is none */
async function lockedScratch(scratch: Scratch, name: string, mode: Mode): Promise<Locked | Trial> {
  const until = inSeconds(scratch, LOCK_SECONDS);
  const put = await scratch.put(name, 'an object under a lock', {
    ObjectLockMode: mode,
    ObjectLockRetainUntilDate: dateOf(until),
  });
  if (put.refused !== null) return notHeld(`a put with a ${mode} lock was refused: ${put.refused}`);
  const found = await scratch.head(put.given);
  if (found === null) return notHeld('an object that was put with a lock is not there');
  if (found.ObjectLockMode === undefined || found.ObjectLockRetainUntilDate === undefined)
    return notHeld('a put with a lock was taken, and comes back without a lock');
  if (found.ObjectLockMode !== mode || !isNear(found.ObjectLockRetainUntilDate, until)) {
    return notHeld(
      `a put with a ${mode} lock until ${until} came back as ${found.ObjectLockMode} until ${found.ObjectLockRetainUntilDate.toISOString()}`,
    );
  }
  return { ...put.given, until };
}

async function tryExtend(scratch: Scratch, version: Locked, mode: Mode): Promise<Trial> {
  const until = inSeconds(scratch, EXTENDED_SECONDS);
  const refused = await retain(scratch, version, { Mode: mode, RetainUntilDate: dateOf(until) });
  if (refused !== null) return notHeld(`a later date was refused: ${refused}`);
  const found = (await scratch.head(version))?.ObjectLockRetainUntilDate;
  return found !== undefined && isNear(found, until)
    ? held('a later date was taken, and stands')
    : notHeld('a later date was confirmed, and does not stand');
}

async function tryShorten(scratch: Scratch, version: Locked, mode: Mode, extended: Trial): Promise<Trial> {
  const before = await scratch.head(version);
  const attempts: [what: string, refused: string | null][] = [
    [
      'an earlier date',
      await retain(scratch, version, {
        Mode: mode,
        RetainUntilDate: dateOf(inSeconds(scratch, SHORTENED_SECONDS)),
      }),
    ],
    ['no lock at all', await retain(scratch, version, {})],
  ];
  if (mode === 'COMPLIANCE') {
    const softer = {
      Mode: 'GOVERNANCE' as const,
      RetainUntilDate: dateOf(inSeconds(scratch, EXTENDED_SECONDS)),
    };
    attempts.push(['a weaker mode', await retain(scratch, version, softer)]);
    attempts.push([
      'an earlier date, asking to bypass',
      await retain(
        scratch,
        version,
        { Mode: mode, RetainUntilDate: dateOf(inSeconds(scratch, SHORTENED_SECONDS)) },
        true,
      ),
    ]);
  }
  const after = await scratch.head(version);
  const told = attempts.map(([what, refused]) => `${what}: ${refused ?? 'taken'}`).join('; ');
  if (
    after?.ObjectLockMode !== mode ||
    after.ObjectLockRetainUntilDate === undefined ||
    before?.ObjectLockRetainUntilDate === undefined ||
    after.ObjectLockRetainUntilDate.getTime() < before.ObjectLockRetainUntilDate.getTime() - CUT_OFF
  )
    return notHeld(
      `${told}; the lock is now ${after?.ObjectLockMode ?? 'none'}, until ${after?.ObjectLockRetainUntilDate?.toISOString() ?? 'never'}`,
    );
  if (extended.held !== true)
    return untold(
      `${told}; the lock stands as before, but a later date does not stand either, so that is not the lock's doing`,
    );
  return held(`${told}; the lock stands as before`);
}

async function tryDelete(scratch: Scratch, version: Locked, mode: Mode, mayDelete: boolean): Promise<Trial> {
  const attempts: [what: string, refused: string | null][] = [
    ['deletion', (await scratch.delete(version)).refused],
    ['deletion in bulk', await deleteInBulk(scratch, version)],
  ];
  if (mode === 'COMPLIANCE')
    attempts.push([
      'deletion that asks to bypass the lock',
      (await scratch.delete(version, { BypassGovernanceRetention: true })).refused,
    ]);
  const told = attempts.map(([what, refused]) => `${what}: ${refused ?? 'confirmed'}`).join('; ');
  if ((await scratch.head(version)) === null) {
    return Temporal.Instant.compare(scratch.now(), version.until) < 0
      ? notHeld(`${told}; the locked version is gone`)
      : untold(`${told}; but the trial took longer than its lock`);
  }
  return mayDelete
    ? held(`${told}; the locked version is still there`)
    : untold(
        `${told}; but these credentials may not delete an unlocked one either, so that is not the lock's doing`,
      );
}

/** A legal hold of the storage service, put on an object without a lock and taken off again. */
async function tryHold(scratch: Scratch, mayDelete: boolean): Promise<Trial> {
  const put = await scratch.put('held', 'an object under a hold');
  if (put.refused !== null) return untold(`a put was refused: ${put.refused}`);
  const hold = (Status: 'ON' | 'OFF') =>
    scratch.ask((options) =>
      scratch.bucket.client.send(
        new PutObjectLegalHoldCommand({ ...put.given, LegalHold: { Status } }),
        options,
      ),
    );
  const on = await hold('ON');
  if (on.refused !== null) return notHeld(`putting a legal hold was refused: ${on.refused}`);
  const refused = (await scratch.delete(put.given)).refused;
  if ((await scratch.head(put.given)) === null) return notHeld('the held version was deleted');
  const off = await hold('OFF');
  if (off.refused !== null) return notHeld(`taking the legal hold off was refused: ${off.refused}`);
  if (!mayDelete) return untold('these credentials may not delete an unlocked object either');
  return held(`deletion under a hold: ${refused ?? 'confirmed, but the version is still there'}`);
}

/** Deletes the locked object, if that is allowed: under GOVERNANCE it is to whoever has the right. */
async function tryBypass(scratch: Scratch, version: Locked): Promise<Trial> {
  if ((await scratch.head(version)) === null) return untold('the locked version was gone before');
  const { refused } = await scratch.delete(version, { BypassGovernanceRetention: true });
  if ((await scratch.head(version)) !== null)
    return held(`bypassing a GOVERNANCE lock: ${refused ?? 'no effect'}`);
  return notHeld('allowed: the locked version is gone');
}

/** @returns why the service refused, or null when it took it */
async function retain(
  scratch: Scratch,
  version: Locked,
  Retention: { Mode?: Mode; RetainUntilDate?: Date },
  bypass = false,
): Promise<string | null> {
  const { Bucket, Key, VersionId } = version;
  const more = bypass ? { BypassGovernanceRetention: true } : {};
  const answer = await scratch.ask((options) =>
    scratch.bucket.client.send(
      new PutObjectRetentionCommand({ Bucket, Key, VersionId, Retention, ...more }),
      options,
    ),
  );
  return answer.refused;
}

/** A bulk answer is 200 whatever became of each key: it is read key by key. */
async function deleteInBulk(scratch: Scratch, { Bucket, Key, VersionId }: Locked): Promise<string | null> {
  const answer = await scratch.ask((options) =>
    scratch.bucket.client.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key, VersionId }] } }),
      options,
    ),
  );
  if (answer.refused !== null) return answer.refused;
  const [error] = answer.given.Errors ?? [];
  return error === undefined ? null : (error.Code ?? 'refused');
}

/** Services keep whole seconds, or milliseconds. */
const CUT_OFF = 1000;
const inSeconds = (scratch: Scratch, seconds: number): Temporal.Instant => scratch.now().add({ seconds });
const dateOf = (instant: Temporal.Instant): Date => new Date(instant.epochMilliseconds);
const isNear = (date: Date, wanted: Temporal.Instant): boolean =>
  Math.abs(date.getTime() - wanted.epochMilliseconds) <= CUT_OFF;
