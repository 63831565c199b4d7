// One run of one source: reads the collector's events to their end, keeps account of everything asked and received, and closes
// with a run report and one entry. What happens to a page's items is in page.ts, to unseen items in missing.ts.

import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { sql } from 'kysely';
import { canonicalText, type Json, wellFormed } from '../core/canonical.ts';
import { instantText } from '../core/clock.ts';
import { MunimentError, ServiceError, ServiceLostError } from '../core/errors.ts';
import { newId } from '../core/ids.ts';
import { shareStore } from '../db/store-lock.ts';
import type { RunPayload, RunReportHead } from '../ledger/documents.ts';
import { requireStoreInForce } from '../ledger/store-in-force.ts';
import { CollectError } from '../sources/collect-error.ts';
import type { Collector, CollectorEvent } from '../sources/collector.ts';
import { diskTrouble } from '../store/disk.ts';
import { noteBegun, noteEnded, TAKE_RUN_LOCK } from './begun.ts';
import { Disclosing } from './disclosing.ts';
import type { SourceName } from './documents.ts';
import { healthAfter, noteHealth } from './health.ts';
import { lookUpUnseen } from './missing.ts';
import { busy, NOTHING, outcomeOf, type RunOutcome } from './outcome.ts';
import { Pages } from './page.ts';
import { type StoredPayload, storePayloadFile } from './payloads.ts';
import {
  type CaptureContext,
  known,
  noteExchange,
  noteProblem,
  noteRejected,
  type RunCounts,
  type RunError,
  type RunProgress,
  recordVersions,
} from './progress.ts';

export interface RunOptions {
  readonly signal: AbortSignal;
  /** Called after each page, for people who wait. */
  readonly onProgress?: (counts: Readonly<RunCounts>) => void;
  /** The file that the collector reads: kept whole, once for each source, when it has been read to its end. */
  readonly original?: {
    readonly path: string;
    readonly name: string;
    readonly length: number;
    readonly sha256: string;
  };
}

/**
 * Runs a source once. A failing platform, store or disk is told in the outcome, as long as the run can be closed; a failing database
 * is thrown, and so is whatever keeps a run from being closed.
 */
export async function captureSource(
  context: CaptureContext,
  source: SourceName,
  collector: Collector,
  options: RunOptions,
): Promise<RunOutcome> {
  // The session's lock goes with its connection, which is not given back.
  await using lock = await context.database.hold();
  const { rows } = await lock.query<{ got: boolean }>(TAKE_RUN_LOCK, [source.id]);
  if (rows[0]?.got !== true) return busy(source.name, `another run of ${source.name} is going on`);
  try {
    if (!(await shareStore(lock)))
      return busy(source.name, "objects of the archive's store are being moved or removed");
    await requireStoreInForce(context.database.db, context.store.identity);
    return await runLocked(context, source, collector, options);
  } catch (error) {
    throw unclosed(source, error);
  }
}

/** What kept a run from being closed: there is no report and no entry of it, so the error must say so. */
function unclosed(source: SourceName, error: unknown): unknown {
  const told = spoolTrouble(error);
  if (!(told instanceof ServiceError) || told instanceof ServiceLostError) return told;
  return new ServiceLostError(`the run of ${source.name} broke off: ${told.message}`, {
    hint: told.hint ?? 'Run the command again: it goes on from what is stored.',
    cause: error,
  });
}

async function runLocked(
  context: CaptureContext,
  source: SourceName,
  collector: Collector,
  options: RunOptions,
): Promise<RunOutcome> {
  const id = newId(context.clock.now());
  const startedAt = instantText(context.clock.now());
  await using disclosing = new Disclosing();
  const run: RunProgress = {
    id,
    source,
    collector,
    spool: join(context.spool, id),
    signal: options.signal,
    disclosing,
    counts: { ...NOTHING },
    errors: [],
    gaps: [],
    quarantined: [],
    original: null,
    requests: 0,
    bytes: 0,
    clockOffset: null,
  };
  await mkdir(run.spool, { recursive: true });
  try {
    const interruptedBefore = await noteBegun(context, run, startedAt);
    const state = await context.database.db
      .selectFrom('source_states')
      .select(['state', 'run_id'])
      .where('source_id', '=', source.id)
      .executeTakeFirst();
    const latest = await context.database.db
      .selectFrom('capture_runs')
      .select('id')
      .where('source_id', '=', source.id)
      .orderBy('seq', 'desc')
      .executeTakeFirst();
    const reported: Record<string, number> = {};
    let end: Extract<CollectorEvent, { type: 'end' }> | null = null;
    const pages = new Pages(context, run);
    let brokeOff = false;
    try {
      for await (const event of collector.collect({
        state: (state?.state ?? null) as Json,
        isLatest: interruptedBefore === null && latest?.id === state?.run_id,
        signal: options.signal,
      })) {
        if (event.type === 'page') {
          noteExchange(run, event.exchange);
          await pages.take(event.sightings, event.rejected);
          options.onProgress?.(run.counts);
        } else if (event.type === 'problem') noteProblem(run, event.problem);
        else if (event.type === 'reported') reported[event.what] = event.count;
        else end = event;
        if (options.signal.aborted) break;
      }
      await pages.entered();
      if (end?.coverage === 'all' && run.errors.length + run.quarantined.length === 0)
        await lookUpUnseen(context, run);
      if (end !== null && !options.signal.aborted) run.original = await keepOriginal(context, run, options);
    } catch (error) {
      brokeOff = true;
      // First what is under way: it must not go on after the run has ended, whatever ended it. It may have failed as well, or have ended it.
      const earlier = await pages.entered().then(
        () => error,
        (reason: unknown) => reason,
      );
      for (const one of new Set([earlier, error])) noteProblem(run, problemOf(one, options.signal));
    }
    noteRejected(run);
    if (options.signal.aborted && !run.errors.some((e) => e.code === 'interrupted'))
      noteProblem(run, interrupted());
    const ended = end !== null && !options.signal.aborted;
    const seen = await context.database.db
      .selectFrom('sightings')
      .select((count) => count.fn.countAll<number>().as('n'))
      .where('source_id', '=', source.id)
      .where('run_id', '=', id)
      .executeTakeFirstOrThrow();
    run.counts.seen = Number(seen.n);
    const status =
      ended && run.errors.length === 0
        ? 'complete'
        : run.requests > 0 && (ended || run.counts.seen > 0)
          ? 'partial'
          : 'failed';
    // The first two are told, but no fault of this run: they do not make it partial.
    const errors = [...(interruptedBefore === null ? [] : [interruptedBefore]), ...run.gaps, ...run.errors];
    const head: RunReportHead = {
      v: 'muniment/v1/run',
      run: id,
      source: { id: source.id, name: source.name },
      collector: collector.collectorVersion,
      startedAt,
      finishedAt: instantText(context.clock.now()),
      status,
      coverage: end?.coverage ?? 'none',
      requests: run.requests,
      bytes: run.bytes,
      reported,
      counts: { ...run.counts },
      errors: errors.map((e) => ({ ...e })),
    };
    // Where storing failed behind the collector's end, its state claims what is not here.
    const leavesState = status === 'complete' || (ended && !brokeOff && end?.resumable === true);
    await finish(context, run, head, leavesState ? end?.state : undefined);
    return outcomeOf(source.name, id, status, run.counts, errors);
  } finally {
    await rm(run.spool, { recursive: true, force: true });
  }
}

function interrupted(): RunError {
  return {
    code: 'interrupted',
    message: 'The run was stopped before its end; the next run goes on from what is stored.',
    subject: null,
  };
}

/** A failing platform, store or disk belongs in the report. A failing database, which could not take it, is thrown; so is a bug. */
function problemOf(error: unknown, signal: AbortSignal): RunError {
  if (error instanceof CollectError) return error.problem;
  if (signal.aborted && !(error instanceof MunimentError)) return interrupted();
  const told = spoolTrouble(error);
  if (!(told instanceof MunimentError) || told instanceof ServiceLostError) throw error;
  const hint = told.hint === undefined ? '' : ` ${told.hint}`;
  return { code: 'store', message: `${told.message.replace(/[.\s]*$/, '.')}${hint}`, subject: null };
}

/** What the operating system refuses outside the store concerns the spool: where media wait and the report is written. */
function spoolTrouble(error: unknown): unknown {
  const isSystems = typeof (error as NodeJS.ErrnoException | null)?.errno === 'number';
  return isSystems ? diskTrouble(error, 'could not work in the spool') : error;
}

/** @returns the file as it was stored, or null when there is none to store, or this source has it already */
async function keepOriginal(
  context: CaptureContext,
  run: RunProgress,
  { original }: RunOptions,
): Promise<RunProgress['original']> {
  if (original === undefined) return null;
  const kept = await context.database.db
    .selectFrom('payloads as p')
    .innerJoin('capture_runs as r', 'r.id', 'p.run_id')
    .select('p.commitment')
    .where('r.source_id', '=', run.source.id)
    .where('p.role', '=', 'original')
    .where('p.sha256', '=', original.sha256)
    .executeTakeFirst();
  if (kept !== undefined) return null;
  const description = { owner: { run: run.id }, role: 'original', contentType: 'application/octet-stream' };
  return { ...(await storePayloadFile(context, original, description)), name: original.name };
}

/** Writes the report from the sightings of this run, streaming, then the entry that closes the run. */
async function finish(
  context: CaptureContext,
  run: RunProgress,
  head: RunReportHead,
  state: Json | undefined,
): Promise<void> {
  const path = join(run.spool, 'report.jsonl');
  const file = await writeReport(context, run, head, path);
  const description = { owner: { run: run.id }, role: 'report', contentType: 'application/jsonl' } as const;
  const report = await storePayloadFile(context, { path, ...file }, description);
  const facts = new Map<string, StoredPayload>([[report.commitment, report]]);
  for (const quarantined of run.quarantined) facts.set(quarantined.commitment, quarantined.payload);
  const kept: RunPayload[] = run.quarantined.map(({ commitment }) => ({ commitment, role: 'quarantine' }));
  if (run.original !== null) {
    facts.set(run.original.commitment, run.original);
    kept.push({ commitment: run.original.commitment, role: 'original' });
  }
  const health = await healthAfter(context.database.db, run, head);
  await context.ledger.write(context.actor, async (batch) => {
    batch.add(
      {
        type: 'run.finished',
        run: run.id,
        source: run.source.id,
        status: head.status,
        report: report.commitment,
      },
      { kept, facts: (commitment) => known(facts, commitment) },
    );
    await recordVersions(batch.tx, context.store.identity, facts.values());
    batch.afterwards(async () => {
      await noteEnded(batch.tx, run.id);
      await noteHealth(batch.tx, run, health);
    });
    if (state !== undefined) {
      const row = { state: canonicalText(wellFormed(state)), run_id: run.id };
      await batch.tx
        .insertInto('source_states')
        .values({ source_id: run.source.id, ...row })
        .onConflict((conflict) => conflict.column('source_id').doUpdateSet(row))
        .execute();
    }
  });
}

async function writeReport(
  context: CaptureContext,
  run: RunProgress,
  head: RunReportHead,
  path: string,
): Promise<{ length: number; sha256: string }> {
  const digest = createHash('sha256');
  let length = 0;
  async function* bytes(): AsyncGenerator<Buffer> {
    for await (const value of reportLines(context, run, head)) {
      const line = Buffer.from(`${canonicalText(wellFormed(value))}\n`);
      digest.update(line);
      length += line.length;
      yield line;
    }
  }
  await pipeline(bytes, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
  return { length, sha256: digest.digest('hex') };
}

async function* reportLines(
  context: CaptureContext,
  run: RunProgress,
  head: RunReportHead,
): AsyncGenerator<Json> {
  yield head as unknown as Json;
  let after = '00000000-0000-0000-0000-000000000000';
  while (true) {
    const { rows } = await sql<{ record_id: string; seen_at: string; observations: string }>`
      SELECT record_id, seen_at, observations FROM sightings
      WHERE source_id = ${run.source.id} AND run_id = ${run.id} AND record_id > ${after} ORDER BY record_id LIMIT 1000`.execute(
      context.database.db,
    );
    for (const row of rows)
      yield { record: row.record_id, at: row.seen_at, observations: JSON.parse(row.observations) as Json };
    if (rows.length < 1000) break;
    after = (rows.at(-1) as { record_id: string }).record_id;
  }
  for (const { commitment, sha256, length, reason } of run.quarantined)
    yield { quarantine: { commitment, sha256, length, reason } };
  if (run.original !== null) {
    const { commitment, sha256, length, name } = run.original;
    yield { original: { commitment, sha256, length, name } };
  }
}
