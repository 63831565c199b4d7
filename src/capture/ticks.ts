// When a source's schedule asks for a run: cron expressions in an archive's zone, as `serve` reads them.

import cron from 'node-cron';

const MINUTE = 60_000;

/** A tick older than this is not caught up with: the next one is near, or the schedule was never kept. */
const CAUGHT_UP_DAYS = 7;

/** @returns the last moment (RFC 3339) at which a schedule asked for a run, after one moment and not after another; null: none in a week */
export function lastTick(
  { schedule, timezone }: { schedule: string; timezone: string },
  after: string,
  until: string,
): string | null {
  const task = cron.createTask(schedule, () => undefined, { timezone });
  const end = Date.parse(until);
  const oldest = Math.max(Date.parse(after) + 1, end - CAUGHT_UP_DAYS * 24 * 60 * MINUTE);
  let found: string | null = null;
  for (let at = Math.floor(end / MINUTE) * MINUTE; at >= oldest && found === null; at -= MINUTE)
    if (task.match(new Date(at))) found = new Date(at).toISOString();
  task.destroy();
  return found;
}

/** @returns whether a schedule asks for a run at a moment (RFC 3339) */
export function isTick({ schedule, timezone }: { schedule: string; timezone: string }, at: string): boolean {
  const task = cron.createTask(schedule, () => undefined, { timezone });
  const matches = task.match(new Date(at));
  task.destroy();
  return matches;
}

/** @returns how many runs a schedule asks for after one moment and before another (RFC 3339) */
export function ticksBetween(
  { schedule, timezone }: { schedule: string; timezone: string },
  after: string,
  before: string,
): number {
  const task = cron.createTask(schedule, () => undefined, { timezone });
  const end = Date.parse(before);
  let ticks = 0;
  // A cron expression has no finer grain than a minute, and zones are offset by whole minutes.
  for (let at = (Math.floor(Date.parse(after) / MINUTE) + 1) * MINUTE; at < end; at += MINUTE)
    if (task.match(new Date(at))) ticks += 1;
  task.destroy();
  return ticks;
}
