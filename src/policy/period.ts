// Civil dates of retention: cutoff, period, the last day kept. Dates are compared, never durations; nothing is ever rounded early.

import type { FiscalYearRule } from '../core/settings.ts';

export type Cutoff = 'none' | 'month-end' | 'calendar-year-end' | 'fiscal-year-end';

/** Moves a trigger date to its cutoff. @returns null for a fiscal cutoff on a date that the table does not cover */
export function cutoffDate(
  trigger: Temporal.PlainDate,
  cutoff: Cutoff,
  fiscalYear: readonly FiscalYearRule[],
): Temporal.PlainDate | null {
  if (cutoff === 'none') return trigger;
  if (cutoff === 'month-end') return trigger.with({ day: trigger.daysInMonth });
  if (cutoff === 'calendar-year-end') return trigger.with({ month: 12, day: 31 });
  return fiscalYearEnd(trigger, fiscalYear);
}

/** Fiscal years start where the table says; a new rule starts one on its own first day, so a change makes one short year. */
function fiscalYearEnd(
  date: Temporal.PlainDate,
  rules: readonly FiscalYearRule[],
): Temporal.PlainDate | null {
  const starts: Temporal.PlainDate[] = [];
  const sorted = [...rules].sort((a, b) => (a.from < b.from ? -1 : 1));
  if (sorted[0] === undefined || Temporal.PlainDate.compare(date, sorted[0].from) < 0) return null;
  for (const [index, rule] of sorted.entries()) {
    const from = Temporal.PlainDate.from(rule.from);
    const until = sorted[index + 1]?.from;
    const [month, day] = rule.starts.split('-').map(Number) as [number, number];
    if (index > 0) starts.push(from);
    for (const year of [date.year - 1, date.year, date.year + 1, date.year + 2]) {
      const start = Temporal.PlainDate.from({ year, month, day });
      if (
        Temporal.PlainDate.compare(start, from) >= 0 &&
        (until === undefined || Temporal.PlainDate.compare(start, until) < 0)
      )
        starts.push(start);
    }
  }
  const next = starts
    .filter((start) => Temporal.PlainDate.compare(start, date) > 0)
    .sort(Temporal.PlainDate.compare)[0];
  return next === undefined ? null : next.subtract({ days: 1 });
}

/** Dates of policy have years of four digits. */
const LAST_YEAR = 9999;

/**
 * Adds the whole period to the anchor once. A day that the month lacks rolls forward: 29 Feb + 1 year is 1 Mar, never 28 Feb.
 * @returns null when the period does not end before the last year
 */
export function retainThrough(anchor: Temporal.PlainDate, period: string): Temporal.PlainDate | null {
  if (anchor.year >= LAST_YEAR) return null;
  const { years, months, weeks, days } = Temporal.Duration.from(period);
  const moved = anchor.add({ years, months });
  const rolled = moved.day === anchor.day ? moved : moved.with({ day: moved.daysInMonth }).add({ days: 1 });
  const last = rolled.add({ weeks, days });
  return last.year >= LAST_YEAR ? null : last;
}
