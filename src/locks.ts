// The locks of an opened archive as the interfaces call them: renewed, and told when they are not.

import { setTimeout as pause } from 'node:timers/promises';
import { type Archive, homePaths } from './context.ts';
import { MunimentError } from './core/errors.ts';
import {
  type OverdueLocks,
  overdueLocks,
  type RenewalOptions,
  type RenewalOutcome,
  renewLocks,
} from './disposition/lock-renewal.ts';
import { readPolicyFiles } from './policy/load.ts';
import { openLockKeeper } from './store/lock-keeper.ts';

const A_DAY = 24 * 60 * 60 * 1000;

function horizonOf(archive: Archive): Temporal.Duration | null {
  const { store } = archive.settings;
  if (store.provider === 'directory' || store.lock === 'none') return null;
  return Temporal.Duration.from(store.lock.horizon);
}

/** Locks on what is due. @returns null where the store has no locks */
export async function renewArchiveLocks(
  archive: Archive,
  options: RenewalOptions,
): Promise<RenewalOutcome | null> {
  const horizon = horizonOf(archive);
  await using keeper = openLockKeeper(archive.settings.store);
  if (keeper === null || horizon === null) return null;
  const { archive: civil, sources } = archive.settings;
  const now = archive.clock.now();
  const files = await readPolicyFiles(homePaths(archive.settings.home).policies);
  const today = now.toZonedDateTimeISO(civil.timezone).toPlainDate();
  const context = { db: archive.database.db, keeper, store: archive.store.identity, horizon };
  return renewLocks(context, { files, sources, civil, today, now }, options);
}

/** Locks that renewal has left behind. @returns null where the store has no locks */
export async function archiveLocks(archive: Archive): Promise<OverdueLocks | null> {
  const horizon = horizonOf(archive);
  if (horizon === null) return null;
  return overdueLocks(archive.database.db, archive.store.identity, horizon, archive.clock.now());
}

export function renewalText(outcome: RenewalOutcome): string {
  const { due, extended, lapsing, weaker, failed, overdue, interrupted, errors } = outcome;
  const lines = [
    `Locks: ${due} due, ${extended} extended, ${lapsing} left to end because their retention has run, ${failed} failed`,
  ];
  if (overdue > 0) lines.push(`  ${overdue} of the failed are not locked at this moment.`);
  if (weaker > 0)
    lines.push(
      `  ${weaker} are locked in GOVERNANCE mode, from before COMPLIANCE was configured; Muniment cannot change that.`,
    );
  if (interrupted) lines.push('  It was stopped before its end: run it again.');
  for (const error of errors) lines.push(`  ${error}`);
  return lines.join('\n');
}

/** @returns what an operator must know of locks that renewal has left behind, or null */
export function locksAlert({ overdue, lapsed, earliest, unknown }: OverdueLocks): string | null {
  const told: string[] = [];
  if (overdue > 0)
    told.push(
      `the locks of ${overdue} payloads that may not be destroyed are overdue for renewal: ${lapsed} have ended, the earliest ${lapsed > 0 ? 'on' : 'ends on'} ${earliest}`,
    );
  if (unknown > 0) told.push(`of ${unknown} payloads it is not known until when they are locked`);
  return told.length === 0 ? null : `ALERT: ${told.join('; ')}. Run \`muniment store renew\`.`;
}

/** Renews at once and then once a day until the signal comes. A renewal that fails is told and tried again the next day. */
export async function renewDaily(
  archive: Archive,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const outcome = await renewArchiveLocks(archive, { signal });
      if (outcome === null) return;
      if (outcome.due > 0) say(renewalText(outcome));
    } catch (error) {
      if (!(error instanceof MunimentError)) throw error;
      say(`Locks were not renewed: ${error.message}`);
    }
    await pause(A_DAY, undefined, { signal }).catch((error: Error) => {
      if (error.name !== 'AbortError') throw error;
    });
  }
}
