// `muniment serve`: ticks of schedules become jobs in the archive's database, and jobs become runs. What a run is, is capture's business.

import cron from 'node-cron';
import { tellRepeatedly } from './alerts.ts';
import { isTick, lastTick } from './capture/ticks.ts';
import type { Archive } from './context.ts';
import { instantText } from './core/clock.ts';
import { InputError, MunimentError, ServiceError } from './core/errors.ts';
import { fastest, isAuto } from './core/pace.ts';
import type { SourceSettings } from './core/settings.ts';
import { renewDaily } from './locks.ts';
import { collect, requireStore } from './operations.ts';
import { archiveStatus } from './status.ts';
import { StoreClaimError } from './store/proof.ts';

/** What was done until the signal came. */
export interface ServeSummary {
  readonly sources: number;
  readonly runs: { readonly complete: number; readonly partial: number; readonly failed: number };
}

type Scheduled = SourceSettings & { readonly schedule: string };

/** Tells of a schedule's ticks, of one that follows the account's pace those of its fastest. @returns what ends that */
export type Ticker = (
  source: Scheduled,
  onTick: (tick: string) => void,
) => { destroy(): void | Promise<void> };

/** How far a tick's run may be put off, so that sources of one schedule do not ask all at once. */
const JITTER_SECONDS = 20;
const ALERTS_SECONDS = 60;

/**
 * Turns the ticks of every schedule into jobs, and runs those until the signal comes; a run under way ends its batch and closes with a
 * report. Any number of these may serve one archive: each tick is one job, which one of them runs.
 * @param options.ticker absent: node-cron, in the archive's zone. @param options.jitter seconds. @param options.heartbeat seconds: how long another process may be silent before its run counts as broken off. @param options.alertsEvery seconds between two looks at what is amiss
 * @throws StoreClaimError when the store does not do what muniment.yaml claims of it: before it starts, or when a later trial shows it
 */
export async function serve(
  archive: Archive,
  stop: AbortSignal,
  say: (line: string) => void,
  options: { ticker?: Ticker; jitter?: number; heartbeat?: number; alertsEvery?: number } = {},
): Promise<ServeSummary> {
  const { timezone } = archive.settings.archive;
  const cronTicker: Ticker = ({ schedule }, onTick) =>
    cron.schedule(fastest(schedule), ({ date }) => onTick(minuteOf(date)), { timezone });
  const { ticker = cronTicker, jitter = JITTER_SECONDS } = options;
  const scheduled = archive.settings.sources.filter(isScheduled);
  if (scheduled.length === 0)
    throw new InputError('no source has a schedule', { hint: 'Give sources in muniment.yaml a `schedule`.' });
  const refused = new AbortController();
  const signal = AbortSignal.any([stop, refused.signal]);
  await requireStore(archive, { signal, onNote: say });
  const { CollectJobs } = await import('./capture/jobs.ts');
  const failures: unknown[] = [];
  const runs = { complete: 0, partial: 0, failed: 0 };
  const run = async (source: SourceSettings): Promise<void> => {
    try {
      const outcome = await collect(archive, source, { signal, scheduled: true, onNote: say });
      await archive.checkpoint();
      runs[outcome.status] += 1;
      say(
        `${source.id}: ${outcome.status}, ${outcome.captured} captured, ${outcome.changed} changed, ${outcome.missing} missing, ${outcome.rejected} rejected`,
      );
    } catch (error) {
      say(`${source.id}: ${(error as Error).message}`);
      if (error instanceof StoreClaimError) refused.abort();
      if (!(error instanceof MunimentError) || error instanceof StoreClaimError) failures.push(error);
      // Thrown on: the job is tried again, here or elsewhere.
      throw error;
    }
  };
  await using jobs = await CollectJobs.open(
    archive.database,
    (error) => say(`jobs: ${error.message}`),
    options.heartbeat === undefined ? {} : { heartbeat: options.heartbeat },
  );
  const add = (
    source: SourceSettings,
    tick: string,
    wait = Math.floor(Math.random() * (jitter + 1)),
  ): void => {
    if (signal.aborted) return;
    jobs.add({ source: source.id, tick }, { wait }).catch((error: unknown) => {
      say(`${source.id}: the run of ${tick} could not be put in line: ${(error as Error).message}`);
    });
  };
  const tasks = scheduled.map((source) =>
    ticker(source, (tick) => {
      isAsked(archive, source, tick).then(
        (asked) => {
          if (asked) add(source, tick);
        },
        (error: unknown) =>
          say(`${source.id}: the run of ${tick} was not begun: ${(error as Error).message}`),
      );
    }),
  );
  // One after the other, and the first at once: whoever starts `serve` again waits for nothing.
  for (const [seconds, { source, tick }] of (await missedTicks(archive, scheduled)).entries())
    add(source, tick, Math.min(seconds, jitter));
  await jobs.work(async ({ source: id }) => {
    const source = scheduled.find((one) => one.id === id);
    // Whoever goes on serving takes it up.
    if (signal.aborted) throw new ServiceError('this process stops');
    // Undefined: taken out of muniment.yaml while its job waited.
    if (source !== undefined) await run(source);
  });
  say(`Serving ${scheduled.length} source${scheduled.length === 1 ? '' : 's'}; stop with SIGTERM.`);
  const beside = [
    renewDaily(archive, signal, say),
    tellRepeatedly(archive, signal, say, options.alertsEvery ?? ALERTS_SECONDS),
  ].map((work) =>
    work.catch((error: unknown) => {
      failures.push(error);
    }),
  );
  const keepAlive = setInterval(() => undefined, 1 << 30);
  try {
    await new Promise<void>((done) => {
      if (signal.aborted) done();
      signal.addEventListener('abort', () => done(), { once: true });
    });
  } finally {
    clearInterval(keepAlive);
    for (const task of tasks) await task.destroy();
    await Promise.all(beside);
  }
  // Runs under way may fail yet.
  await jobs[Symbol.asyncDispose]();
  if (failures.length > 0) throw failures[0];
  return { sources: scheduled.length, runs };
}

function isScheduled(source: SourceSettings): source is Scheduled {
  return source.schedule !== null;
}

/** A tick is named by its minute: every worker's clock must give it one name. */
function minuteOf(date: Date): string {
  return new Date(Math.floor(date.getTime() / 60_000) * 60_000).toISOString();
}

/** Whether a schedule that follows the account's pace asks for a run at this tick of its fastest; any other does at each of its own. */
async function isAsked(archive: Archive, source: Scheduled, tick: string): Promise<boolean> {
  if (!isAuto(source.schedule)) return true;
  const { sources } = await archiveStatus(archive);
  const pace = sources.find((one) => one.source === source.id)?.pace ?? null;
  return pace !== null && isTick({ schedule: pace, timezone: archive.settings.archive.timezone }, tick);
}

/** What schedules asked for while nobody served: one run for each source makes up for all of it. */
async function missedTicks(
  archive: Archive,
  scheduled: readonly Scheduled[],
): Promise<{ source: Scheduled; tick: string }[]> {
  const { settings, clock } = archive;
  const { timezone } = settings.archive;
  const { sources } = await archiveStatus(archive);
  const now = instantText(clock.now());
  return scheduled.flatMap((source) => {
    const { lastRun = null, pace = null } = sources.find((one) => one.source === source.id) ?? {};
    const tick =
      lastRun === null || pace === null ? null : lastTick({ schedule: pace, timezone }, lastRun, now);
    return tick === null ? [] : [{ source, tick }];
  });
}
