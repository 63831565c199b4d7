// When a source's schedule asks for a run: cron expressions in an archive's zone, as `serve` reads them.

import cron from 'node-cron';

const MINUTE = 60_000;

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
