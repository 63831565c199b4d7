// `schedule: auto`: a source is asked as often as its account writes, within bounds. The pace that it calls for is one of a few cron expressions,
// so that everything which reads schedules goes on with one.

/** From the shortest pause to the longest. */
const PACES: readonly (readonly [name: string, minutes: number, schedule: string])[] = [
  ['5m', 5, '*/5 * * * *'],
  ['10m', 10, '*/10 * * * *'],
  ['15m', 15, '*/15 * * * *'],
  ['30m', 30, '*/30 * * * *'],
  ['1h', 60, '0 * * * *'],
  ['2h', 120, '0 */2 * * *'],
  ['3h', 180, '0 */3 * * *'],
  ['6h', 360, '0 */6 * * *'],
  ['12h', 720, '0 */12 * * *'],
  ['1d', 1440, '0 0 * * *'],
];
const AUTO = /^auto(?: (\S+)-(\S+))?$/;
/** Runs in the usual pause between two items, so that what is soon edited or removed is seen before. */
const RUNS_IN_A_PAUSE = 4;

interface Bounds {
  readonly fastest: number;
  readonly slowest: number;
}

/** @returns places in {@link PACES}; null: no such schedule; a string: what is wrong with it */
function boundsOf(schedule: string): Bounds | string | null {
  const match = AUTO.exec(schedule);
  if (match === null) return null;
  const [, from, to] = match;
  if (from === undefined) return { fastest: 0, slowest: PACES.length - 1 };
  const fastest = PACES.findIndex(([name]) => name === from);
  const slowest = PACES.findIndex(([name]) => name === to);
  if (fastest >= 0 && fastest <= slowest) return { fastest, slowest };
  return `“${schedule}” has no such bounds: write auto, or two of ${PACES.map(([name]) => name).join(', ')}, as in auto 15m-6h`;
}

/** @returns whether a schedule follows the account's pace. */
export function isAuto(schedule: string): boolean {
  return AUTO.test(schedule);
}

/** @returns what is wrong with the bounds of an automatic schedule, or null */
export function autoFault(schedule: string): string | null {
  const bounds = boundsOf(schedule);
  return typeof bounds === 'string' ? bounds : null;
}

const cronOf = (place: number): string => (PACES[place] as (typeof PACES)[number])[2];

/** @returns a cron expression: the schedule itself, or the fastest that it may come to */
export function fastest(schedule: string): string {
  const bounds = boundsOf(schedule);
  return bounds === null || typeof bounds === 'string' ? schedule : cronOf(bounds.fastest);
}

/** @returns a cron expression: the schedule itself, or the slowest that it may come to, which is all that it promises */
export function slowest(schedule: string): string {
  const bounds = boundsOf(schedule);
  return bounds === null || typeof bounds === 'string' ? schedule : cronOf(bounds.slowest);
}

/**
 * @param newest when the latest items were created, in any order
 * @param lastRun when the last run ended (RFC 3339), null: none has
 * @returns the cron expression that holds until the next run ends: the schedule itself, or that of the account's pace
 */
export function scheduleNow(schedule: string, newest: readonly string[], lastRun: string | null): string {
  const bounds = boundsOf(schedule);
  if (bounds === null || typeof bounds === 'string') return schedule;
  const until = lastRun === null ? Number.NaN : Date.parse(lastRun);
  const times = newest
    .map((text) => Date.parse(text))
    .filter((at) => at <= until)
    .sort((a, b) => b - a);
  // Nothing is known of it yet.
  if (times.length < 2) return cronOf(lastRun === null ? bounds.fastest : bounds.slowest);
  const pauses = times.slice(1).map((at, index) => (times[index] as number) - at);
  const usual = pauses.sort((a, b) => a - b)[pauses.length >> 1] as number;
  // An account that falls silent is asked less, step by step.
  const pause = Math.max(usual, until - (times[0] as number));
  const minutes = pause / RUNS_IN_A_PAUSE / 60_000;
  const place = PACES.findLastIndex(([, least]) => least <= minutes);
  return cronOf(Math.min(bounds.slowest, Math.max(bounds.fastest, place)));
}
