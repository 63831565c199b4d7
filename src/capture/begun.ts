// Runs that began and have not ended. A run that is killed writes no entry: the row that it leaves here is how `status` and the report of
// the next run can tell of it.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import type { CaptureContext, RunError } from './progress.ts';

/** First key of the advisory lock that a run holds on its source; the second is made of the source's id. */
const RUN_LOCK = 7302;

/** The second key, of a source's id as text: an SQL expression over `$1`, or over a column. */
export const runLockKey = (id: string): string => `('x' || substr(md5(${id}), 1, 8))::bit(32)::int`;

export const TAKE_RUN_LOCK = `SELECT pg_try_advisory_lock(${RUN_LOCK}, ${runLockKey('$1')}) AS got`;

/**
 * Notes that a run begins; its source's lock is held. What a former run left in the spool goes.
 * @returns what the report must say of a former run that did not end, or null
 */
export async function noteBegun(
  context: CaptureContext,
  run: { readonly id: string; readonly source: { readonly id: string } },
  startedAt: string,
): Promise<RunError | null> {
  const { db } = context.database;
  const former = await db
    .selectFrom('runs_begun')
    .select(['run_id', 'started_at'])
    .where('source_id', '=', run.source.id)
    .executeTakeFirst();
  const row = { run_id: run.id, started_at: startedAt };
  await db
    .insertInto('runs_begun')
    .values({ source_id: run.source.id, ...row })
    .onConflict((conflict) => conflict.column('source_id').doUpdateSet(row))
    .execute();
  if (former === undefined) return null;
  await rm(join(context.spool, former.run_id), { recursive: true, force: true });
  return {
    code: 'previous-run-interrupted',
    message: `The run that began at ${former.started_at} did not end and left no report; what it captured is in the ledger.`,
    subject: former.run_id,
  };
}

/** Within the transaction of the run's last entry. */
export async function noteEnded(tx: DatabaseTransaction, run: string): Promise<void> {
  await tx.deleteFrom('runs_begun').where('run_id', '=', run).execute();
}

export interface UnfinishedRun {
  readonly run: string;
  readonly startedAt: string;
  /** It goes on now: its source is locked. */
  readonly running: boolean;
}

/** @returns by the source's name */
export async function unfinishedRuns(db: Database): Promise<Map<string, UnfinishedRun>> {
  const { rows } = await sql<{ name: string; run_id: string; started_at: string; running: boolean }>`
    SELECT s.name, b.run_id, b.started_at, EXISTS (
      SELECT FROM pg_locks AS l
      WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid = ${RUN_LOCK} AND l.objid::bigint = ${sql.raw(runLockKey('b.source_id::text'))}::bigint & 4294967295
    ) AS running
    FROM runs_begun AS b JOIN sources AS s ON s.id = b.source_id`.execute(db);
  return new Map(
    rows.map((row) => [row.name, { run: row.run_id, startedAt: row.started_at, running: row.running }]),
  );
}
