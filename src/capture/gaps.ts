// What one source's runs come to: reads them and their reports, and hands them to the reckoning.

import { sql } from 'kysely';
import { MunimentError } from '../core/errors.ts';
import { slowest } from '../core/pace.ts';
import type { Database } from '../db/database.ts';
import { BODY_KIND } from '../ledger/body-kind.ts';
import { decodeEntry } from '../ledger/entry.ts';
import type { ObjectSource } from '../ledger/reader.ts';
import {
  civilDay,
  type Reading,
  type ReckonedRun,
  reckonDays,
  type SourceDay,
  type Unwatched,
  unwatchedTimes,
} from './completeness.ts';
import { endedRuns, MissingMedia, readRunReport } from './run-reports.ts';
import { ticksBetween } from './ticks.ts';

export interface SourceGaps {
  readonly source: string;
  readonly platform: string;
  /** As muniment.yaml says now; null: by hand, or no longer configured. */
  readonly schedule: string | null;
  readonly configured: boolean;
  /** RFC 3339 UTC: when it was registered, which is when watching could begin. */
  readonly since: string;
  readonly days: readonly SourceDay[];
  readonly unwatched: readonly Unwatched[];
}

/**
 * @param archive read as of `size` entries
 * @param options.schedule undefined: the source is no longer configured, and its days end with its last run
 * @param options.onUnreadable told of each run whose report cannot be read; the days say so too
 */
export async function gapsOfSource(
  { db, store, timezone, size }: { db: Database; store: ObjectSource; timezone: string; size: number },
  { id, name, platform }: { id: string; name: string; platform: string },
  options: {
    schedule: string | null | undefined;
    from: Temporal.PlainDate;
    to: Temporal.PlainDate;
    now: string;
    signal: AbortSignal;
    onRun: (runs: number) => void;
    onUnreadable: (run: string, detail: string) => void;
  },
): Promise<SourceGaps> {
  const { from, to } = options;
  const since = await registeredAt(db, id);
  const media = await MissingMedia.of(db, id, size);
  const runs: ReckonedRun[] = [];
  const readings: Reading[] = [];
  let lastReading: string | null = null;
  let lastDay = civilDay(since, timezone);
  for await (const run of endedRuns(db, id, size)) {
    options.signal.throwIfAborted();
    const day = civilDay(run.at, timezone);
    lastDay = later(day, lastDay);
    const reads = run.status !== 'failed';
    const missingMedia = media.asOf(run.seq);
    if (isAfter(from, day)) {
      if (reads) lastReading = run.at;
      continue;
    }
    if (isAfter(day, to)) {
      // It ends a time in which nothing was read, and that is all that counts of it.
      if (!reads) continue;
      readings.push({ startedAt: run.at, finishedAt: run.at });
      break;
    }
    let report: ReckonedRun['report'] = null;
    try {
      report = await readRunReport(db, store, run.report);
    } catch (error) {
      if (!(error instanceof MunimentError)) throw error;
      options.onUnreadable(run.run, error.message);
    }
    runs.push({ at: run.at, status: run.status, report, missingMedia });
    if (reads) readings.push({ startedAt: report?.head.startedAt ?? run.at, finishedAt: run.at });
    options.onRun(runs.length);
  }
  const { schedule } = options;
  const first = later(from, civilDay(since, timezone));
  const endOfTime = to.add({ days: 1 }).toZonedDateTime(timezone).toInstant().toString();
  return {
    source: name,
    platform,
    schedule: schedule ?? null,
    configured: schedule !== undefined,
    since,
    days: reckonDays(runs, {
      timezone,
      from: first,
      to: schedule === undefined && isAfter(to, lastDay) ? lastDay : to,
    }),
    unwatched:
      schedule === undefined || schedule === null
        ? []
        : unwatchedTimes(
            readings,
            {
              lastReading,
              from: isAfter(from, civilDay(since, timezone))
                ? from.toZonedDateTime(timezone).toInstant().toString()
                : since,
              to: endOfTime < options.now ? endOfTime : options.now,
            },
            // Of a schedule that follows the account's pace, what it was then is not known: this much it promises.
            (after, before) => ticksBetween({ schedule: slowest(schedule), timezone }, after, before),
          ),
  };
}

function isAfter(a: Temporal.PlainDate, b: Temporal.PlainDate): boolean {
  return Temporal.PlainDate.compare(a, b) > 0;
}

function later(a: Temporal.PlainDate, b: Temporal.PlainDate): Temporal.PlainDate {
  return isAfter(a, b) ? a : b;
}

/** @returns when the source's first entry was made */
async function registeredAt(db: Database, source: string): Promise<string> {
  const { rows } = await sql<{ entry: Buffer }>`
    SELECT e.entry FROM entry_bodies AS b JOIN ledger_entries AS e USING (seq)
    WHERE b.kind = ${BODY_KIND.source} AND convert_from(b.body, 'UTF8')::jsonb ->> 'id' = ${source}
    ORDER BY b.seq LIMIT 1`.execute(db);
  const [first] = rows;
  if (first === undefined) throw new Error(`no entry registers the source ${source}`);
  return decodeEntry(first.entry).entry.at;
}
