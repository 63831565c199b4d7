// How a source is, as its last run showed it: what alerts and `status` are made of. Working memory beside the run's report, written with the
// run's last entry; a run that fails keeps what the one before it found.

import { sql } from 'kysely';
import { z } from 'zod';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import type { RunReportHead } from '../ledger/documents.ts';
import type { RunProgress } from './progress.ts';

/** What a platform says of an account as a whole, by the names of run reports and of profiles' observations. */
const FIGURES = ['posts', 'followers', 'subscribers'];
/** Enough to know an account's pace by. */
const NEWEST_KEPT = 30;
/** A figure that falls below this share of what it was, and by more than a few, falls oddly. */
const STILL_USUAL = 0.8;
const A_FEW = 10;
/** What it fell to is usual after that time. */
const BECOMES_USUAL_HOURS = 7 * 24;

export interface RunHealth {
  readonly run: string;
  /** Of what the run could not do. */
  readonly codes: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
  /** The same before a fall that is not usual yet. */
  readonly usual: Readonly<Record<string, { readonly count: number; readonly at: string }>>;
  /** When the latest items were created, as the platform says; newest first. */
  readonly newest: readonly string[];
  /** Seconds by which this machine's clock is ahead of the platform's. */
  readonly clockOffset: number | null;
  /** RFC 3339: when the account was first seen under another name than before. */
  readonly renamedAt: string | null;
}

const counts = z.record(z.string(), z.number());
const usualCounts = z.record(z.string(), z.object({ count: z.number(), at: z.string() }));

/** @returns the health of each source that has run, by its name in muniment.yaml */
export async function healthOfSources(db: Database): Promise<Map<string, RunHealth>> {
  const rows = await db
    .selectFrom('run_health as h')
    .innerJoin('sources as s', 's.id', 'h.source_id')
    .selectAll('h')
    .select('s.name')
    .execute();
  return new Map(
    rows.map((row) => [
      row.name,
      {
        run: row.run_id,
        codes: row.codes,
        figures: counts.parse(JSON.parse(row.figures)),
        usual: usualCounts.parse(JSON.parse(row.usual)),
        newest: row.newest,
        clockOffset: row.clock_offset,
        renamedAt: row.renamed_at,
      },
    ]),
  );
}

/** @returns what is usual once these figures were told: a figure that falls oddly is held against what it was, for a while */
export function usualAfter(
  usual: RunHealth['usual'],
  figures: RunHealth['figures'],
  at: string,
): RunHealth['usual'] {
  const after = { ...usual };
  for (const [name, count] of Object.entries(figures)) {
    const known = after[name];
    const age = known === undefined ? 0 : Date.parse(at) - Date.parse(known.at);
    if (known === undefined || !isFall(known.count, count) || age > BECOMES_USUAL_HOURS * 3_600_000)
      after[name] = { count, at };
  }
  return after;
}

export function isFall(from: number, to: number): boolean {
  return to < from * STILL_USUAL && from - to >= A_FEW;
}

/** Reads what a run that is about to close has found. */
export async function healthAfter(db: Database, run: RunProgress, head: RunReportHead): Promise<RunHealth> {
  const before = (await healthOfSources(db)).get(run.source.name) ?? null;
  const profile = await db
    .selectFrom('sightings as g')
    .innerJoin('records as r', 'r.id', 'g.record_id')
    .select('g.observations')
    .where('g.source_id', '=', run.source.id)
    .where('g.run_id', '=', run.id)
    .where('r.kind', '=', 'profile')
    .executeTakeFirst();
  const told = { ...counts.parse(JSON.parse(profile?.observations ?? '{}')), ...head.reported };
  const now = Object.fromEntries(
    FIGURES.flatMap((name) => (told[name] === undefined ? [] : [[name, told[name]]])),
  );
  const figures = { ...before?.figures, ...now };
  const hasNews = head.counts.captured + head.counts.changed > 0;
  return {
    run: run.id,
    codes: [...new Set(head.errors.map(({ code }) => code))],
    figures,
    usual: usualAfter(before?.usual ?? {}, now, head.finishedAt),
    newest: hasNews || before === null ? await newestOf(db, run.source.id) : before.newest,
    clockOffset: run.clockOffset ?? before?.clockOffset ?? null,
    renamedAt: hasNews && (await isRenamed(db, run)) ? head.finishedAt : (before?.renamedAt ?? null),
  };
}

export async function noteHealth(
  tx: DatabaseTransaction,
  run: RunProgress,
  health: RunHealth,
): Promise<void> {
  const row = {
    run_id: health.run,
    codes: [...health.codes],
    figures: JSON.stringify(health.figures),
    usual: JSON.stringify(health.usual),
    newest: [...health.newest],
    clock_offset: health.clockOffset,
    renamed_at: health.renamedAt,
  };
  await tx
    .insertInto('run_health')
    .values({ source_id: run.source.id, ...row })
    .onConflict((conflict) => conflict.column('source_id').doUpdateSet(row))
    .execute();
}

async function newestOf(db: Database, source: string): Promise<string[]> {
  const { rows } = await sql<{ created_at: string }>`
    SELECT DISTINCT s.created_at FROM snapshots AS s JOIN record_sources AS l USING (record_id) JOIN records AS r ON r.id = s.record_id
    WHERE l.source_id = ${source} AND s.version = 1 AND s.created_at IS NOT NULL AND r.kind <> 'profile'
    ORDER BY s.created_at DESC LIMIT ${NEWEST_KEPT}`.execute(db);
  return rows.map((row) => row.created_at);
}

/** Whether this run saw the account under another handle than it was known by. */
async function isRenamed(db: Database, run: RunProgress): Promise<boolean> {
  const { rows } = await sql<{ renamed: boolean }>`
    SELECT EXISTS (
      SELECT FROM snapshots AS s JOIN record_sources AS l USING (record_id) JOIN records AS r ON r.id = s.record_id
      JOIN snapshots AS b ON b.record_id = s.record_id AND b.version = s.version - 1
      WHERE l.source_id = ${run.source.id} AND s.run_id = ${run.id} AND r.kind = 'profile' AND b.author_handle <> s.author_handle
    ) AS renamed`.execute(db);
  return rows[0]?.renamed === true;
}
