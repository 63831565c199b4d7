// What an archive can say of its own completeness, source by source and day by day: from what its runs asked, what they were told, and what
// they could not get. Pure: it reads nothing, so that a report can be made again from the same reports.

import { LISTED, STILL_LACKING, WITHHELD } from '../core/vocabulary.ts';
import type { RunReportHead } from '../ledger/documents.ts';
import type { ProblemCode } from '../sources/collector.ts';

/**
 * *complete*: all that the platform offered at the last reading of the day is in the archive. *incomplete*: known to be missing.
 * *unknown*: the platform shows its newest items only, and does not tell what else there is. *unwatched*: no run read the source that day.
 */
export type DayState = 'complete' | 'incomplete' | 'unknown' | 'unwatched';

export interface SourceDay {
  /** Civil date in the archive's zone. */
  readonly day: string;
  readonly state: DayState;
  /** Items, replies and media that the archive knows of and does not hold; at least so many. 0 where nothing is known to be missing. */
  readonly knownMissing: number;
  readonly runs: { readonly complete: number; readonly partial: number; readonly failed: number };
  /** Sentences. */
  readonly reasons: readonly string[];
}

/** A time in which the schedule asked for runs and none read the source. What was posted and removed again within it was never offered. */
export interface Unwatched {
  /** RFC 3339 UTC: the end of the last run before it that read the source; null: there was none. */
  readonly from: string | null;
  /** RFC 3339 UTC: the start of the run that ended it; null: it goes on. */
  readonly to: string | null;
  /** Runs that the schedule asked for within it. */
  readonly missedRuns: number;
}

/** A run of the days looked at, with what its report says; `report` null: it could not be read. */
export interface ReckonedRun {
  readonly at: string;
  readonly status: 'complete' | 'partial' | 'failed';
  readonly report: { readonly head: RunReportHead; readonly rejected: number } | null;
  /** Media that were lacking when it had ended. */
  readonly missingMedia: number;
}

export interface Reckoning {
  readonly timezone: string;
  /** First and last civil date to tell of. */
  readonly from: Temporal.PlainDate;
  readonly to: Temporal.PlainDate;
}

/** Errors that concern one item each. Others end or cut a reading, and what lies beyond is not known. */
const OF_ONE_ITEM: ReadonlySet<string> = new Set(['incomplete-thread']);
/** What the platform never tells: no fault of a run, and nothing that could be counted. */
const STANDING_GAP: ProblemCode = 'standing-gap';
/** Told otherwise: by the number of media that lack, by what lies in quarantine; or of another run. */
const TOLD_OTHERWISE: ReadonlySet<string> = new Set(['media', 'rejected', 'previous-run-interrupted']);

/** @returns what a source's days come to, the earliest first */
export function reckonDays(runs: Iterable<ReckonedRun>, { timezone, from, to }: Reckoning): SourceDay[] {
  const byDay = new Map<string, ReckonedRun[]>();
  for (const run of runs) {
    const day = civilDay(run.at, timezone).toString();
    const others = byDay.get(day);
    if (others === undefined) byDay.set(day, [run]);
    else others.push(run);
  }
  const days: SourceDay[] = [];
  for (let day = from; Temporal.PlainDate.compare(day, to) <= 0; day = day.add({ days: 1 }))
    days.push(reckonDay(day.toString(), byDay.get(day.toString()) ?? []));
  return days;
}

export function civilDay(instant: string, timezone: string): Temporal.PlainDate {
  return Temporal.Instant.from(instant).toZonedDateTimeISO(timezone).toPlainDate();
}

function reckonDay(day: string, runs: readonly ReckonedRun[]): SourceDay {
  const count = { complete: 0, partial: 0, failed: 0 };
  for (const run of runs) count[run.status] += 1;
  const last = runs.findLast((run) => run.status !== 'failed');
  const reasons: string[] = [];
  const told = (state: DayState, knownMissing = 0): SourceDay => {
    const killed = interrupted(runs);
    if (killed > 0) reasons.push(sentence(killed, 'run', 'runs', 'killed before its end'));
    return { day, state, knownMissing, runs: count, reasons };
  };
  if (last === undefined) {
    reasons.push(runs.length === 0 ? 'No run ended on this day.' : 'Every run of this day failed.');
    reasons.push(...messagesOf(runs));
    return told('unwatched');
  }
  const after = runs.slice(runs.indexOf(last) + 1);
  if (after.length > 0) {
    reasons.push(sentence(after.length, 'later run', 'later runs', 'failed'), ...messagesOf(after));
  }
  if (last.report === null) {
    reasons.push('The report of the last run cannot be read.');
    return told('unknown');
  }
  const whole = wholeReading(runs);
  const reading = whole === null ? { ...last, report: last.report } : whole;
  const { knownMissing, broken } = lacking(reading, reading.report, reasons);
  if (knownMissing > 0 || broken || last.status === 'partial') return told('incomplete', knownMissing);
  if (reading.report.head.coverage === 'all') return told('complete');
  reasons.push('The platform shows its newest items only, and does not tell how many there are.');
  const jumps = runs.filter(({ report }) => isAllNew(report?.head)).length;
  if (jumps > 0)
    reasons.push(
      sentence(
        jumps,
        'run',
        'runs',
        'found new items only: others may have come and gone since the run before',
      ),
    );
  return told('unknown');
}

/** The day's last reading of a whole account, when all after it, which read what was new since, were complete; null when there is none. */
function wholeReading(
  runs: readonly ReckonedRun[],
): (ReckonedRun & { report: NonNullable<ReckonedRun['report']> }) | null {
  const at = runs.findLastIndex(({ report }) => report?.head.coverage === 'all');
  const report = runs[at]?.report ?? null;
  if (report === null || runs.slice(at).some(({ status }) => status !== 'complete')) return null;
  return { ...(runs[at] as ReckonedRun), report };
}

/** Adds what the last reading of a day did not get to the reasons. @returns how many, and whether it broke off */
function lacking(
  { missingMedia }: ReckonedRun,
  { head, rejected }: NonNullable<ReckonedRun['report']>,
  reasons: string[],
): { knownMissing: number; broken: boolean } {
  let knownMissing = 0;
  const add = (count: number, one: string, many: string, rest: string): void => {
    if (count <= 0) return;
    knownMissing += count;
    reasons.push(sentence(count, one, many, rest));
  };
  add(rejected, 'answer or item', 'answers or items', 'put into quarantine as unreadable');
  add(missingMedia, 'medium', 'media', 'not to be had');
  for (const [total, listed] of LISTED) {
    const counted = head.reported[total];
    const offered = head.reported[listed];
    if (counted !== undefined && offered !== undefined)
      add(counted - offered, 'item', 'items', `counted by the platform among its ${total}, and not listed`);
  }
  for (const name of WITHHELD)
    add(head.reported[name] ?? 0, 'item', 'items', `counted by the platform: ${name}`);
  for (const name of STILL_LACKING)
    add(head.reported[name] ?? 0, 'item', 'items', `known since an earlier run: ${name}`);
  const threads = head.errors.filter(({ code }) => OF_ONE_ITEM.has(code)).length;
  add(threads, 'thread', 'threads', 'not read to the end');
  for (const { code, message } of head.errors) if (code === STANDING_GAP) reasons.push(ended(message));
  const cutting = head.errors.filter(
    ({ code }) => !OF_ONE_ITEM.has(code) && !TOLD_OTHERWISE.has(code) && code !== STANDING_GAP,
  );
  for (const { message } of cutting.slice(0, 3)) reasons.push(ended(message));
  if (cutting.length > 3) reasons.push(`And ${cutting.length - 3} more errors.`);
  return { knownMissing, broken: cutting.length > 0 };
}

function isAllNew(head: RunReportHead | undefined): boolean {
  return head?.coverage === 'recent' && head.counts.seen > 0 && head.counts.captured === head.counts.seen;
}

function interrupted(runs: readonly ReckonedRun[]): number {
  const told = (run: ReckonedRun) =>
    run.report?.head.errors.filter((e) => e.code === 'previous-run-interrupted');
  return runs.reduce((sum, run) => sum + (told(run)?.length ?? 0), 0);
}

/** The distinct errors of runs, at most three. */
function messagesOf(runs: readonly ReckonedRun[]): string[] {
  const messages = new Set<string>();
  for (const { report } of runs)
    for (const { code, message } of report?.head.errors ?? [])
      if (code !== 'previous-run-interrupted') messages.add(ended(message));
  const shown = [...messages].slice(0, 3);
  return messages.size > 3 ? [...shown, `And ${messages.size - 3} more errors.`] : shown;
}

function ended(message: string): string {
  return message.replace(/[.\s]*$/, '.');
}

/** @param rest without a verb that would have to agree */
function sentence(count: number, one: string, many: string, rest: string): string {
  return `${count} ${count === 1 ? one : many} ${rest}.`;
}

/** A run that read the source. RFC 3339 UTC. */
export interface Reading {
  readonly startedAt: string;
  readonly finishedAt: string;
}

/**
 * The times between two readings in which the schedule asked for a run besides the one that ended them.
 * @param readings in their order
 * @param within `lastReading`: the end of the one before the first day looked at, null where there was none; then watching was due from `from`
 * @param ticks counts the runs that the schedule asked for between two moments
 */
export function unwatchedTimes(
  readings: readonly Reading[],
  within: { readonly lastReading: string | null; readonly from: string; readonly to: string },
  ticks: (after: string, before: string) => number,
): Unwatched[] {
  const found: Unwatched[] = [];
  let from = within.lastReading;
  for (const next of [...readings, null]) {
    const due = ticks(from ?? within.from, next?.startedAt ?? within.to);
    if (due > 1) found.push({ from, to: next?.startedAt ?? null, missedRuns: next === null ? due : due - 1 });
    from = next?.finishedAt ?? null;
  }
  return found;
}

/** Days that follow one another and say the same. */
export interface DayRange {
  readonly from: string;
  readonly to: string;
  readonly finding: string;
  readonly isGap: boolean;
  readonly reasons: readonly string[];
}

export function dayRanges(days: readonly SourceDay[]): DayRange[] {
  const ranges: DayRange[] = [];
  for (const { day, state, knownMissing, reasons } of days) {
    const finding = knownMissing > 0 ? `${state}: ${knownMissing} known missing` : state;
    const last = ranges.at(-1);
    if (last?.finding === finding && last.reasons.join('\n') === reasons.join('\n'))
      ranges[ranges.length - 1] = { ...last, to: day };
    else
      ranges.push({
        from: day,
        to: day,
        finding,
        isGap: state !== 'complete' && state !== 'unknown',
        reasons,
      });
  }
  return ranges;
}
