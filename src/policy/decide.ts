// What policy says of one record, and why: a pure function. It fails closed: whatever is unknown, unadopted, ambiguous or unreadable is
// retained. Holds beat everything, permanent is longest, and the longest retention wins.

import type { FiscalYearRule } from '../core/settings.ts';
import type { ItemKind, VouchedBy } from '../core/vocabulary.ts';
import { cutoffDate, retainThrough } from './period.ts';
import type { Hold, Schedule, Series } from './schedule.ts';

/** A record as policy sees it. */
export interface RecordFacts {
  readonly id: string;
  /** Names of its sources. */
  readonly sources: readonly string[];
  readonly platform: string;
  readonly kind: ItemKind;
  readonly authorId: string | null;
  readonly authorHandle: string | null;
  /** Id, handle and display name of its author in every version. */
  readonly authorNames: readonly string[];
  /** Title and text of every version. */
  readonly texts: readonly string[];
  readonly tags: readonly string[];
  readonly languages: readonly string[];
  readonly createdAt: string | null;
  readonly createdAtFrom: VouchedBy;
  /** Our first proof that the item exists. */
  readonly firstCapturedAt: string;
  /** What every version claims as its creation, and when it was captured. */
  readonly dates: readonly { readonly createdAt: string | null; readonly capturedAt: string }[];
}

export interface Policy {
  readonly schedules: readonly Schedule[];
  readonly holds: readonly Hold[];
}

export interface Decision {
  readonly record: string;
  readonly series: {
    readonly schedule: string;
    readonly version: string;
    readonly code: string;
    readonly title: string;
  } | null;
  readonly authority: Series['authority'];
  readonly trigger: string | null;
  readonly triggerDate: string | null;
  readonly retainThrough: string | null;
  readonly eligibleOn: string | null;
  readonly holds: readonly { readonly id: string; readonly matter: string }[];
  readonly decision: 'retain' | 'eligible' | 'held' | 'permanent' | 'review';
  readonly reasons: readonly string[];
}

export interface CivilSettings {
  readonly timezone: string;
  readonly fiscalYear: readonly FiscalYearRule[];
}

/** A person vouches by name, from a day on, for the claimed dates of a source. */
export interface ConfirmedDates {
  readonly source: string;
  readonly by: string;
  readonly on: string;
}

/** What decisions read beside schedules and holds. */
export interface PolicySettings extends CivilSettings {
  readonly confirmDates: readonly ConfirmedDates[];
}

export function decide(
  record: RecordFacts,
  policy: Policy,
  today: Temporal.PlainDate,
  archive: PolicySettings,
): Decision {
  const reasons: string[] = [];
  const holds = policy.holds.filter(
    (hold) => !isReleased(hold, today) && holdCovers(hold, record, archive.timezone),
  );
  const undated = {
    record: record.id,
    series: null,
    authority: [],
    trigger: null,
    triggerDate: null,
    retainThrough: null,
    eligibleOn: null,
  };
  const held = holds.map(({ id, matter }) => ({ id, matter }));
  for (const hold of holds) reasons.push(`Hold ${hold.id} (${hold.matter}) covers it.`);
  const found = classify(record, policy.schedules, today, reasons);
  if (found === null)
    return { ...undated, holds: held, decision: holds.length > 0 ? 'held' : 'retain', reasons };
  const { schedule, series } = found;
  reasons.push(`Series ${series.code}, ${series.title}, of ${schedule.id} ${schedule.version} covers it.`);
  const classified = {
    ...undated,
    series: { schedule: schedule.id, version: schedule.version, code: series.code, title: series.title },
    authority: series.authority,
    trigger: series.trigger,
    holds: held,
  };
  if (series.disposition === 'permanent' || series.period === undefined) {
    reasons.push('Its series is permanent.');
    return { ...classified, decision: holds.length > 0 ? 'held' : 'permanent', reasons };
  }
  const trigger = triggerDate(record, today, archive, reasons);
  const anchor = cutoffDate(trigger, series.cutoff, archive.fiscalYear);
  if (anchor === null) {
    reasons.push(
      `The archive's table of fiscal years does not cover ${trigger}, so no clock runs: it is retained.`,
    );
    return {
      ...classified,
      triggerDate: trigger.toString(),
      decision: holds.length > 0 ? 'held' : 'retain',
      reasons,
    };
  }
  const last = retainThrough(anchor, series.period);
  if (last === null) {
    reasons.push(
      `${series.period} from ${anchor} does not end before the year 9999, so it is kept as if its series were permanent.`,
    );
    return {
      ...classified,
      triggerDate: trigger.toString(),
      decision: holds.length > 0 ? 'held' : 'permanent',
      reasons,
    };
  }
  const eligibleOn = last.add({ days: 1 });
  const dates = {
    triggerDate: trigger.toString(),
    retainThrough: last.toString(),
    eligibleOn: eligibleOn.toString(),
  };
  if (series.cutoff !== 'none')
    reasons.push(`The cutoff (${series.cutoff}) moves the clock's start to ${anchor}.`);
  reasons.push(`${series.period} from ${anchor} keeps it through ${last}.`);
  if (holds.length > 0) return { ...classified, ...dates, decision: 'held', reasons };
  if (Temporal.PlainDate.compare(today, eligibleOn) < 0) {
    reasons.push(`Today is ${today}: it is retained until ${eligibleOn}.`);
    return { ...classified, ...dates, decision: 'retain', reasons };
  }
  reasons.push(`Today is ${today}: its retention has run.`);
  // Destruction is what a schedule says in so many words; everything else waits for a person.
  if (series.disposition === 'destroy') return { ...classified, ...dates, decision: 'eligible', reasons };
  reasons.push(
    series.disposition === 'transfer'
      ? 'Its series is transferred, not destroyed: it is kept until the transfer has been decided on.'
      : 'Its series is reviewed before anything is done.',
  );
  return { ...classified, ...dates, decision: 'review', reasons };
}

/** @returns the one series that applies, or null with the reason why none does */
function classify(
  record: RecordFacts,
  schedules: readonly Schedule[],
  today: Temporal.PlainDate,
  reasons: string[],
): { schedule: Schedule; series: Series } | null {
  const matching = schedules.flatMap((schedule) =>
    schedule.series.filter((series) => matches(series, record)).map((series) => ({ schedule, series })),
  );
  const inForce = matching.filter(({ schedule }) => schedule.adopted && isEffective(schedule, today));
  if (inForce.length === 0) {
    for (const { schedule, series } of matching) {
      reasons.push(
        `Series ${series.code} of ${schedule.id} would cover it, but the schedule is ${schedule.adopted ? 'not in effect' : 'not adopted'}.`,
      );
    }
    reasons.push('No adopted series covers it: unclassified records are retained.');
    return null;
  }
  const first = Math.min(...inForce.map(({ series }) => series.order));
  const candidates = inForce.filter(({ series }) => series.order === first);
  const [only, ...others] = candidates;
  if (only === undefined || others.length > 0) {
    reasons.push(
      `Series ${candidates.map(({ series }) => series.code).join(' and ')} cover it with the same order: that is ambiguous, so it is retained.`,
    );
    return null;
  }
  return only;
}

function isEffective(schedule: Schedule, today: Temporal.PlainDate): boolean {
  const { from, to } = schedule.effective;
  return (
    Temporal.PlainDate.compare(from, today) <= 0 &&
    (to === undefined || Temporal.PlainDate.compare(today, to) <= 0)
  );
}

/** The web opened in 1991. What claims to be older carries no date of its own, a zero such as 1970, or a lie. */
const FIRST_CREDIBLE_YEAR = 1991;
const LAST_CREDIBLE_YEAR = 9998;

function isCredible({ year }: Temporal.PlainDate): boolean {
  return year >= FIRST_CREDIBLE_YEAR && year <= LAST_CREDIBLE_YEAR;
}

/** A date that a user claimed never starts a clock before our first proof, unless a person confirms it by name. */
function triggerDate(
  record: RecordFacts,
  today: Temporal.PlainDate,
  { timezone, confirmDates }: PolicySettings,
  reasons: string[],
): Temporal.PlainDate {
  const captured = civil(record.firstCapturedAt, timezone) as Temporal.PlainDate;
  const created = record.createdAt === null ? null : civil(record.createdAt, timezone);
  if (created === null) {
    reasons.push(
      `It has no creation date that can be read, so the clock starts with the first capture, ${captured}.`,
    );
    return captured;
  }
  if (!isCredible(created)) {
    reasons.push(
      `It claims to be of ${record.createdAt}, and only the years ${FIRST_CREDIBLE_YEAR} to ${LAST_CREDIBLE_YEAR} are credible, so the clock starts with the first capture, ${captured}.`,
    );
    return captured;
  }
  const confirmed = confirmDates.find(
    ({ source, on }) => record.sources.includes(source) && Temporal.PlainDate.compare(on, today) <= 0,
  );
  const isPlatforms = record.createdAtFrom === 'platform';
  if (isPlatforms || confirmed !== undefined || Temporal.PlainDate.compare(created, captured) > 0) {
    const vouched = isPlatforms
      ? ', as the platform says'
      : confirmed === undefined
        ? ''
        : `; ${confirmed.by} confirmed the dates of ${confirmed.source} on ${confirmed.on}`;
    reasons.push(`It was created on ${created}${vouched}.`);
    return created;
  }
  reasons.push(
    `Its author claims ${created}; our first proof of it is of ${captured}, so the clock starts then.`,
  );
  return captured;
}

function civil(instant: string, timezone: string): Temporal.PlainDate | null {
  try {
    return Temporal.Instant.from(instant).toZonedDateTimeISO(timezone).toPlainDate();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function overlaps(wanted: readonly string[] | undefined, had: readonly (string | null)[]): boolean {
  return wanted === undefined || had.some((one) => one !== null && wanted.includes(one));
}

/**
 * A text as it is compared: Unicode's NFKC_Casefold, as near as the language has it. Two spellings that people read as the same are the same:
 * composed or not, full-width, ligatures, capitals, invisible characters, a line break for a space.
 */
function folded(text: string): string {
  return text
    .normalize('NFKC')
    .replace(/\p{Default_Ignorable_Code_Point}/gu, '')
    .toLowerCase()
    .toUpperCase()
    .normalize('NFKC')
    .replace(/\s+/gu, ' ');
}

function saysAll(words: readonly string[] | undefined, texts: readonly string[]): boolean {
  if (words === undefined) return true;
  const wanted = words.map(folded);
  return texts.some((text) => {
    const said = folded(text);
    return wanted.every((word) => said.includes(word));
  });
}

function matches({ match }: Series, record: RecordFacts): boolean {
  return (
    overlaps(match.sources, record.sources) &&
    overlaps(match.platforms, [record.platform]) &&
    overlaps(match.kinds, [record.kind]) &&
    overlaps(match.authors, [record.authorId, record.authorHandle]) &&
    overlaps(match.tags, record.tags) &&
    overlaps(match.languages, record.languages) &&
    saysAll(match.text, record.texts)
  );
}

/** From the day of its release on; one that is dated later has not happened. */
export function isReleased({ released }: Hold, today: Temporal.PlainDate): boolean {
  return released !== undefined && Temporal.PlainDate.compare(released.at, today) <= 0;
}

/** Too much rather than too little: by any of its versions, as each was captured, whatever came after it. */
export function holdCovers({ scope }: Hold, record: RecordFacts, timezone: string): boolean {
  return (
    liesInRange(scope, record, timezone) &&
    overlaps(scope.sources, record.sources) &&
    overlaps(scope.authors?.map(folded), record.authorNames.map(folded)) &&
    overlaps(scope.kinds, [record.kind]) &&
    overlaps(scope.records, [record.id]) &&
    saysAll(scope.text, record.texts)
  );
}

/** By what a version claims or when it was captured. One without a credible date was made on some day until we had it. */
function liesInRange({ from, to }: Hold['scope'], record: RecordFacts, timezone: string): boolean {
  if (from === undefined && to === undefined) return true;
  const isIn = (date: Temporal.PlainDate): boolean =>
    (from === undefined || Temporal.PlainDate.compare(date, from) >= 0) &&
    (to === undefined || Temporal.PlainDate.compare(date, to) <= 0);
  return record.dates.some(({ createdAt, capturedAt }) => {
    const captured = civil(capturedAt, timezone);
    const created = createdAt === null ? null : civil(createdAt, timezone);
    if (captured === null || isIn(captured)) return true;
    if (created !== null && isCredible(created)) return isIn(created);
    return from === undefined || Temporal.PlainDate.compare(from, captured) <= 0;
  });
}
