// State of a run while it goes on, and what its parts need to keep account: problems, exchanges, quarantined bytes.

import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import type { DatabaseHandle } from '../db/database.ts';
import { keepLocks, keepVersions } from '../db/payload-versions.ts';
import type { Batch, Ledger } from '../ledger/append.ts';
import { requireStoreInForce } from '../ledger/store-in-force.ts';
import type { Collector, Exchange, ProblemCode } from '../sources/collector.ts';
import type { ObjectStore } from '../store/objects.ts';
import type { Disclosing } from './disclosing.ts';
import type { SourceName } from './documents.ts';
import { type StoredPayload, storePayload } from './payloads.ts';
import type { Tagging } from './tags.ts';

export interface CaptureContext {
  readonly database: DatabaseHandle;
  readonly store: ObjectStore;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Account id that the entries name. */
  readonly actor: Id;
  /** A directory for spooled media and reports; made and emptied per run. */
  readonly spool: string;
  /** By the watch words in force; none where there are none. */
  readonly tagging?: Tagging | null;
}

export interface RunCounts {
  seen: number;
  captured: number;
  changed: number;
  missing: number;
  restored: number;
  media: number;
  rejected: number;
}

export interface RunError {
  readonly code: string;
  readonly message: string;
  readonly subject: string | null;
}

/** State of a run while it goes on; page.ts and missing.ts add to it. */
export interface RunProgress {
  readonly id: Id;
  readonly source: SourceName;
  readonly collector: Collector;
  readonly spool: string;
  readonly signal: AbortSignal;
  readonly disclosing: Disclosing;
  readonly counts: RunCounts;
  readonly errors: RunError[];
  /** Told, but no fault of this run: it is complete all the same. */
  readonly gaps: RunError[];
  readonly quarantined: {
    commitment: string;
    sha256: string;
    length: number;
    reason: string;
    payload: StoredPayload;
  }[];
  /** The file of an import, whole; null while it is not stored, and where an earlier run of the source has stored it. */
  original: (StoredPayload & { readonly name: string }) | null;
  requests: number;
  bytes: number;
  /** Seconds by which this machine's clock is ahead of the platform's, as its answers are dated; null while none was. */
  clockOffset: number | null;
}

const STANDING_GAP: ProblemCode = 'standing-gap';

/** Errors kept in a report; beyond that only their number grows. */
const ERRORS_KEPT = 500;

export function noteProblem(run: RunProgress, problem: RunError): void {
  if (problem.code === STANDING_GAP) {
    if (!run.gaps.some(({ message }) => message === problem.message)) run.gaps.push({ ...problem });
    return;
  }
  if (run.errors.length < ERRORS_KEPT) run.errors.push({ ...problem });
  else if (run.errors.length === ERRORS_KEPT) {
    run.errors.push({
      code: 'more',
      message: `More than ${ERRORS_KEPT} errors; the rest is not listed.`,
      subject: null,
    });
  }
}

/** Tells, once for each reason, of what was put aside unread: the run did not get all that the platform offered. */
export function noteRejected(run: RunProgress): void {
  const times = new Map<string, number>();
  for (const { reason } of run.quarantined) times.set(reason, (times.get(reason) ?? 0) + 1);
  for (const [reason, count] of times) {
    const what = count === 1 ? 'What could not be read' : `${count} times, what could not be read`;
    const message = `${what} was put aside and makes no record: ${reason.replace(/[.\s]*$/, '.')} Its bytes are kept in quarantine.`;
    noteProblem(run, { code: 'rejected', message, subject: null });
  }
}

export function noteExchange(run: RunProgress, exchange: Exchange): void {
  run.requests += 1;
  run.bytes += exchange.bodyLength;
  const offset = Math.round(
    (Date.parse(exchange.receivedAt) - Date.parse(exchange.headers.date ?? '')) / 1000,
  );
  // Slow answers and those out of a cache are older than they seem: the smallest says most.
  if (!Number.isNaN(offset) && Math.abs(offset) <= Math.abs(run.clockOffset ?? Number.POSITIVE_INFINITY))
    run.clockOffset = offset;
}

/** @returns the facts of a payload that this code has just stored. @throws when it has not */
export function known(facts: ReadonlyMap<string, StoredPayload>, commitment: string): StoredPayload {
  const found = facts.get(commitment);
  if (found === undefined) throw new ServiceError(`payload ${commitment} was named before it was stored`);
  return found;
}

/**
 * Keeps the store's version ids, and until when it locks, where the store does either. Called in the sequencer's transaction with whatever is entered.
 * @throws RefusedError when the archive has moved to another store meanwhile: then nothing may be entered
 */
export async function recordVersions(
  tx: Batch['tx'],
  store: string,
  payloads: Iterable<StoredPayload>,
): Promise<void> {
  await requireStoreInForce(tx, store);
  const stored = [...payloads];
  await keepVersions(
    tx,
    store,
    stored.filter((payload) => payload.version !== null),
  );
  await keepLocks(tx, store, stored);
}

/** Keeps bytes that could not be cut or read as an item, owned by the run. */
export async function quarantine(
  context: CaptureContext,
  run: RunProgress,
  bytes: Uint8Array,
  reason: string,
): Promise<void> {
  const payload = await storePayload(context, bytes, {
    owner: { run: run.id },
    role: 'quarantine',
    contentType: 'application/octet-stream',
  });
  run.counts.rejected += 1;
  run.quarantined.push({
    commitment: payload.commitment,
    sha256: payload.sha256,
    length: payload.length,
    reason,
    payload,
  });
}
