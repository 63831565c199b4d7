// Rolling locks: a payload stays locked for as long as policy keeps it, never further ahead than the horizon, and is locked on while half of
// that is left. What may not be destroyed never lapses: permanent, held, unclassified, waiting for a review. Only a payload whose retention
// has run, under a policy whose files are applied, is let go.

import { sql } from 'kysely';
import { instantText } from '../core/clock.ts';
import { MunimentError, VerificationError } from '../core/errors.ts';
import type { Database } from '../db/database.ts';
import { storedVersions } from '../db/payload-versions.ts';
import { decide, type Policy, type PolicySettings, type RecordFacts } from '../policy/decide.ts';
import type { LockKeeper } from '../store/objects.ts';
import type { DecisionInputs } from './destroy.ts';
import {
  type Applied,
  policyInForce,
  policySettings,
  settingsInForce,
  unacknowledgedLoss,
  unapplied,
} from './policy-in-force.ts';
import { factsOfRecords } from './record-facts.ts';

export interface RenewalContext {
  readonly db: Database;
  readonly keeper: LockKeeper;
  /** Identity of the store whose locks they are. */
  readonly store: string;
  readonly horizon: Temporal.Duration;
}

export interface RenewalOutcome {
  /** Payloads whose lock ends before half of the horizon, or is not known; every payload, where all were asked for. */
  due: number;
  extended: number;
  /** Retention has run: their locks end by themselves. */
  lapsing: number;
  /** Locked in a weaker mode than is configured; only the service's operator could change that. */
  weaker: number;
  failed: number;
  /** Of the failed, those whose lock has ended, or that have none. */
  overdue: number;
  /** It was stopped before its end; what was done stays done. */
  interrupted: boolean;
  /** The first failures, in words. */
  readonly errors: string[];
}

/** What the renewal of one payload aims at. */
export interface LockAim {
  readonly until: Temporal.Instant;
  /** The lock may end: nothing keeps the payload beyond `until`. */
  readonly mayLapse: boolean;
}

const PAYLOADS_PER_PAGE = 500;
/** Payloads renewed at one time; each waits for the storage service. */
const CONCURRENCY = 16;
const ERRORS_TOLD = 20;

/**
 * Until when a payload of a record is to be locked.
 * @param keep what policy says of its record: the first day on which it may be destroyed, or null when there is none in sight
 */
export function lockAim(
  keep: { readonly eligibleOn: string | null },
  { now, horizon, timezone }: { now: Temporal.Instant; horizon: Temporal.Duration; timezone: string },
): LockAim {
  const far = now.toZonedDateTimeISO('UTC').add(horizon).toInstant();
  if (keep.eligibleOn === null) return { until: far, mayLapse: false };
  const kept = Temporal.PlainDate.from(keep.eligibleOn).toZonedDateTime(timezone).toInstant();
  return Temporal.Instant.compare(kept, far) < 0
    ? { until: kept, mayLapse: true }
    : { until: far, mayLapse: false };
}

interface DuePayload {
  readonly commitment: string;
  readonly record: string | null;
  readonly version: string | null;
  readonly locked_until: string | null;
}

export interface RenewalOptions {
  readonly signal: AbortSignal;
  /** Also what is not due: the store is asked for every lock, so that one is found that somebody shortened. */
  readonly all?: boolean;
  readonly onProgress?: (outcome: Readonly<RenewalOutcome>) => void;
}

/** Renews what is due at `now`. A payload that fails does not keep the others from it. */
export async function renewLocks(
  context: RenewalContext,
  inputs: DecisionInputs & { readonly now: Temporal.Instant },
  options: RenewalOptions,
): Promise<RenewalOutcome> {
  const outcome: RenewalOutcome = {
    due: 0,
    extended: 0,
    lapsing: 0,
    weaker: 0,
    failed: 0,
    overdue: 0,
    interrupted: false,
    errors: [],
  };
  const inForce = await policyForDestruction(context.db, inputs);
  const settings = inForce === null ? null : settingsInForce(inForce, inputs.civil);
  const { now } = inputs;
  const dates = { now, horizon: context.horizon, timezone: (settings ?? inputs.civil).timezone };
  for await (const page of duePayloads(context, now, options.all ?? false)) {
    // Reports and quarantined bytes of runs stand under no schedule.
    const records = inForce !== null ? page.flatMap(({ record }) => (record === null ? [] : [record])) : [];
    const facts = await factsForDestruction(context.db, [...new Set(records)]);
    const aims = new Map(
      [...facts].map(([record, known]) => [
        record,
        lockAim(
          {
            eligibleOn:
              inForce === null || settings === null
                ? null
                : destructibleFrom(known, inForce.policy, inputs.today, settings),
          },
          dates,
        ),
      ]),
    );
    const forever = lockAim({ eligibleOn: null }, dates);
    const queue = page[Symbol.iterator]();
    const workers = Array.from({ length: Math.min(CONCURRENCY, page.length) }, async () => {
      for (const payload of queue) {
        if (options.signal.aborted) break;
        await renewOne(
          context,
          payload,
          now,
          aims.get(payload.record ?? '') ?? forever,
          outcome,
          options.all ?? false,
        );
      }
    });
    for (const result of await Promise.allSettled(workers))
      if (result.status === 'rejected') throw result.reason;
    options.onProgress?.(outcome);
    if (options.signal.aborted) {
      outcome.interrupted = true;
      break;
    }
  }
  return outcome;
}

/** @returns null where nothing may be destroyed, so that nothing may lapse: files differ from what is applied, or holds may be lost */
async function policyForDestruction(
  db: Database,
  { files, civil, sources }: DecisionInputs,
): Promise<Applied | null> {
  try {
    const inForce = await policyInForce(db, Number.MAX_SAFE_INTEGER);
    if ((await unacknowledgedLoss(db)) !== null) return null;
    const differing = await unapplied(db, { files, settings: policySettings(civil, sources) });
    return differing.length > 0 ? null : inForce;
  } catch (error) {
    // Whoever changed the database must not bring locks to an end by it.
    if (error instanceof VerificationError) return null;
    throw error;
  }
}

/** @returns facts of no record where the rows are not what the ledger says */
async function factsForDestruction(db: Database, records: readonly string[]) {
  try {
    return await factsOfRecords(db, records, Number.MAX_SAFE_INTEGER);
  } catch (error) {
    if (error instanceof VerificationError) return new Map<string, RecordFacts | 'destroyed'>();
    throw error;
  }
}

/** Payloads whose lock ends before this are to be renewed. */
function renewalDate(now: Temporal.Instant, horizon: Temporal.Duration): Temporal.Instant {
  const span = now.toZonedDateTimeISO('UTC').add(horizon).toInstant().since(now);
  return now.add({ milliseconds: Math.floor(span.total('milliseconds') / 2) });
}

/** In pages: first those of records, so that a record's come together, then those of runs. */
async function* duePayloads(
  { db, store, horizon }: RenewalContext,
  now: Temporal.Instant,
  all: boolean,
): AsyncGenerator<DuePayload[]> {
  const before = instantText(renewalDate(now, horizon));
  for (const owner of ['record_id', 'run_id'] as const) {
    let after = { owner: '00000000-0000-0000-0000-000000000000', commitment: '' };
    for (;;) {
      const { rows } = await sql<Omit<DuePayload, 'version'> & { owner: string }>`
        SELECT p.commitment, p.record_id AS record, p.${sql.ref(owner)} AS owner, l.locked_until
        FROM payloads AS p
        LEFT JOIN payload_locks AS l ON l.commitment = p.commitment AND l.store = ${store}
        WHERE p.salt IS NOT NULL AND (${all} OR l.locked_until IS NULL OR l.locked_until < ${before})
          AND (p.${sql.ref(owner)}, p.commitment) > (${after.owner}, ${after.commitment})
        ORDER BY p.${sql.ref(owner)}, p.commitment LIMIT ${PAYLOADS_PER_PAGE}`.execute(db);
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last;
      const commitments = rows.map((row) => row.commitment);
      const versions = await storedVersions(db, store, commitments);
      yield rows.map((row) => ({ ...row, version: versions.get(row.commitment) ?? null }));
    }
  }
}

/** @returns the first day on which the record may be destroyed, as far as policy says now; null when there is none in sight */
function destructibleFrom(
  facts: RecordFacts | 'destroyed',
  policy: Policy,
  today: Temporal.PlainDate,
  settings: PolicySettings,
): string | null {
  if (facts === 'destroyed') return null;
  const { decision, eligibleOn, series } = decide(facts, policy, today, settings);
  if (decision !== 'eligible' && decision !== 'retain') return null;
  const own = policy.schedules
    .find(({ id, version }) => id === series?.schedule && version === series.version)
    ?.series.find(({ code }) => code === series?.code);
  return own?.disposition === 'destroy' ? eligibleOn : null;
}

async function renewOne(
  { db, keeper, store }: RenewalContext,
  payload: DuePayload,
  now: Temporal.Instant,
  aim: LockAim,
  outcome: RenewalOutcome,
  ask: boolean,
): Promise<void> {
  const { commitment, version } = payload;
  const known = payload.locked_until === null ? null : Temporal.Instant.from(payload.locked_until);
  outcome.due += 1;
  // Also what policy lets go is locked to its last day; from then on there is nothing to do but to remember it.
  const lets = aim.mayLapse && known !== null && Temporal.Instant.compare(aim.until, known) <= 0;
  if (lets && !ask) {
    outcome.lapsing += 1;
    await remember(db, store, commitment, known, true);
    return;
  }
  try {
    const past = Temporal.Instant.compare(aim.until, now) <= 0;
    const state = past
      ? await keeper.read(commitment, version)
      : await keeper.extend(commitment, version, aim.until);
    const asKnown =
      known !== null && state.until !== null && Temporal.Instant.compare(known, state.until) <= 0;
    if (past || (lets && asKnown)) outcome.lapsing += 1;
    else outcome.extended += 1;
    if (keeper.mode === 'COMPLIANCE' && state.mode === 'GOVERNANCE') outcome.weaker += 1;
    await remember(db, store, commitment, state.until ?? now, aim.mayLapse);
  } catch (error) {
    if (!(error instanceof MunimentError)) throw error;
    outcome.failed += 1;
    if (known === null || Temporal.Instant.compare(known, now) <= 0) outcome.overdue += 1;
    if (outcome.errors.length < ERRORS_TOLD) outcome.errors.push(error.message);
  }
}

async function remember(
  db: Database,
  store: string,
  commitment: string,
  until: Temporal.Instant,
  mayLapse: boolean,
): Promise<void> {
  const values = { locked_until: instantText(until), may_lapse: mayLapse };
  await db
    .insertInto('payload_locks')
    .values({ commitment, store, ...values })
    .onConflict((conflict) => conflict.columns(['commitment', 'store']).doUpdateSet(values))
    .execute();
}

export interface OverdueLocks {
  /** Payloads that may not be destroyed and whose lock ends within a quarter of the horizon: renewal has not run for long, or fails. */
  readonly overdue: number;
  /** Of these, those whose lock has ended. */
  readonly lapsed: number;
  /** The earliest end among them, or null. */
  readonly earliest: string | null;
  /** Payloads whose lock was never learned. */
  readonly unknown: number;
}

/** As the last renewal left them: asks the database alone. */
export async function overdueLocks(
  db: Database,
  store: string,
  horizon: Temporal.Duration,
  now: Temporal.Instant,
): Promise<OverdueLocks> {
  const half = renewalDate(now, horizon).since(now).total('milliseconds');
  const soon = instantText(now.add({ milliseconds: Math.floor(half / 2) }));
  const { rows } = await sql<{ overdue: number; lapsed: number; earliest: string | null }>`
    SELECT count(*) AS overdue, count(*) FILTER (WHERE l.locked_until <= ${instantText(now)}) AS lapsed, min(l.locked_until) AS earliest
    FROM payload_locks AS l JOIN payloads AS p USING (commitment)
    WHERE l.store = ${store} AND NOT l.may_lapse AND l.locked_until < ${soon} AND p.salt IS NOT NULL`.execute(
    db,
  );
  const unknown = await sql<{ n: number }>`
    SELECT count(*) AS n FROM payloads AS p
    WHERE p.salt IS NOT NULL
      AND NOT EXISTS (SELECT FROM payload_locks AS l WHERE l.commitment = p.commitment AND l.store = ${store})`.execute(
    db,
  );
  const { overdue = 0, lapsed = 0, earliest = null } = rows[0] ?? {};
  return { overdue, lapsed, earliest, unknown: unknown.rows[0]?.n ?? 0 };
}
