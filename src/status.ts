// `muniment status`: what the archive holds, and how each source's last run ended, or that one did not.

import { type UnfinishedRun, unfinishedRuns } from './capture/begun.ts';
import { askedAs, hostsLeftAlone } from './capture/breaker.ts';
import { healthOfSources } from './capture/health.ts';
import { ticksBetween } from './capture/ticks.ts';
import type { Archive } from './context.ts';
import { instantText } from './core/clock.ts';
import { scheduleNow } from './core/pace.ts';
import type { Drill } from './drill.ts';
import { lostHolds } from './governance.ts';
import { type Departure, departureFrom } from './ledger/store-in-force.ts';

export interface SourceStatus {
  readonly source: string;
  readonly schedule: string | null;
  /** The cron expression that the schedule comes to at present; null where there is none. */
  readonly pace: string | null;
  /** When the last run that ended did so; null where none did. */
  readonly lastRun: string | null;
  readonly status: 'complete' | 'partial' | 'failed' | null;
  /** What that run could not read as an item and put aside; null where no run ended. */
  readonly rejected: number | null;
  /** Runs that the schedule has asked for in the last week since then, besides one that may begin late, and that did not take place. */
  readonly missedRuns: number;
  /** A run that began and has not ended: it goes on, or it was killed. */
  readonly unfinished: UnfinishedRun | null;
  /** Until when schedules do not ask its host, which failed again and again; null: they do. */
  readonly leftAloneUntil: string | null;
}

export interface ArchiveStatus {
  readonly origin: string;
  readonly home: string;
  /** The backup that this home is a drill of; null in an archive. */
  readonly drill: Pick<Drill, 'backup' | 'madeAt'> | null;
  readonly store: string;
  readonly lock: string;
  /** The move by which the archive left the store that muniment.yaml names; null where it is there. */
  readonly left: Departure | null;
  readonly records: number;
  readonly entries: number;
  /** Entries beyond the last signed head. */
  readonly unsigned: number;
  readonly sources: readonly SourceStatus[];
  /** Holds that a restore may have lost, until somebody says that they are back. */
  readonly lostHolds: Awaited<ReturnType<typeof lostHolds>>;
}

export async function archiveStatus(archive: Archive): Promise<ArchiveStatus> {
  const { settings, drill, database, store, ledger } = archive;
  const head = await ledger.head();
  const pinned = await archive.pinnedHead();
  const ended = await database.db
    .selectFrom('capture_runs as r')
    .innerJoin('sources as s', 's.id', 'r.source_id')
    .innerJoin('ledger_entries as e', 'e.seq', 'r.seq')
    .select((row) => [
      's.name',
      'r.status',
      'e.entry',
      row
        .selectFrom('payloads as p')
        .select((rows) => rows.fn.countAll<number>().as('n'))
        .whereRef('p.run_id', '=', 'r.id')
        .where('p.role', '=', 'quarantine')
        .as('rejected'),
    ])
    .distinctOn('s.name')
    .orderBy('s.name')
    .orderBy('r.seq', 'desc')
    .execute();
  const count = await database.db
    .selectFrom('records')
    .select((rows) => rows.fn.countAll<number>().as('n'))
    .executeTakeFirstOrThrow();
  const unfinished = await unfinishedRuns(database.db);
  const health = await healthOfSources(database.db);
  const until = await hostsLeftAlone(database.db, archive.clock.now());
  const sources = settings.sources.map((source): SourceStatus => {
    const { id, schedule } = source;
    const run = ended.find((row) => row.name === id);
    const entry = run === undefined ? null : (JSON.parse(run.entry.toString('utf8')) as { at: string });
    const at = entry?.at ?? null;
    const pace = schedule === null ? null : scheduleNow(schedule, health.get(id)?.newest ?? [], at);
    return {
      source: id,
      schedule,
      pace,
      lastRun: at,
      status: (run?.status as SourceStatus['status']) ?? null,
      rejected: run === undefined ? null : Number(run.rejected),
      missedRuns: drill !== null || at === null || pace === null ? 0 : missedSince(archive, pace, at),
      unfinished: unfinished.get(id) ?? null,
      leftAloneUntil: until(askedAs(source)),
    };
  });
  return {
    origin: settings.archive.origin,
    home: settings.home,
    drill: drill === null ? null : { backup: drill.backup, madeAt: drill.madeAt },
    store: store.location,
    lock: store.lock,
    left: await departureFrom(database.db, store.identity),
    records: Number(count.n),
    entries: head.size,
    unsigned: head.size - (pinned?.size ?? 0),
    sources,
    lostHolds: await lostHolds(archive),
  };
}

export function drillLine({ backup, madeAt }: Pick<Drill, 'backup' | 'madeAt'>): string {
  return `DRILL of the backup ${backup} of ${madeAt}: this home can be read and verified; it never signs, captures, destroys or writes to the store.`;
}

/** @returns what an operator must do who has moved the archive and not said so in muniment.yaml */
export function departureAlert({ entry, from, to }: Departure): string {
  return `ALERT: muniment.yaml names ${from}, and by entry ${entry} the archive's payloads are in ${to}: nothing is captured or destroyed until \`store:\` names that.`;
}

function missedSince({ settings, clock }: Archive, schedule: string, lastRun: string): number {
  const { timezone } = settings.archive;
  const now = clock.now();
  const aWeekAgo = instantText(now.subtract({ hours: 7 * 24 }));
  const ticks = ticksBetween(
    { schedule, timezone },
    lastRun < aWeekAgo ? aWeekAgo : lastRun,
    instantText(now),
  );
  return Math.max(0, ticks - 1);
}

/** @returns whether a source's last run failed or was killed, or scheduled ones did not take place: then something may be missing */
export function hasGap({ status, missedRuns, unfinished }: SourceStatus): boolean {
  if (unfinished?.running === true) return status === 'failed';
  return status === 'failed' || missedRuns > 0 || unfinished !== null;
}
