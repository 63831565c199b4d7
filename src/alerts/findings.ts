// What is amiss with an archive, as sentences that may leave it: they name sources, runs and codes, and nothing that anybody wrote, so neither
// texts nor handles. Pure.

/** What is known of one source. */
export interface SourceFacts {
  readonly source: string;
  /** How its last run ended, and whether one did not. */
  readonly status: 'complete' | 'partial' | 'failed' | null;
  readonly missedRuns: number;
  readonly isBrokenOff: boolean;
  /** Until when its host is left alone (RFC 3339); null: it is not. */
  readonly leftAloneUntil: string | null;
  readonly health: {
    readonly run: string;
    readonly codes: readonly string[];
    readonly figures: Readonly<Record<string, number>>;
    readonly usual: Readonly<Record<string, { readonly count: number; readonly at: string }>>;
    readonly newest: readonly string[];
    readonly clockOffset: number | null;
    readonly renamedAt: string | null;
  } | null;
}

export interface Finding {
  /** Names it as long as it lasts: its kind, and the source that it concerns. */
  readonly id: string;
  readonly kind: string;
  /** Id in muniment.yaml; null: the archive as a whole. */
  readonly source: string | null;
  /** The run that showed it. */
  readonly run: string | null;
  /** What is amiss, and the remedy. */
  readonly sentence: string;
}

/** Clocks that differ by more make times of capture doubtful. */
const CLOCK_SECONDS = 120;
/** From so many items on an account has a pace. */
const PACE_FROM = 5;
const QUIET_AT_LEAST = 2 * 24 * 3_600_000;
const RENAMED_FOR = 7 * 24 * 3_600_000;
const ACCESS = ['access-lost', 'account-not-found'];
/** They are no fault of the run that tells them, or are told by a finding of their own. */
const TOLD_OTHERWISE = new Set([
  'standing-gap',
  'previous-run-interrupted',
  'interrupted',
  'account-replaced',
  'left-alone',
  ...ACCESS,
]);

/** @returns what is amiss with one source */
export function findingsOf(facts: SourceFacts, now: Temporal.Instant): Finding[] {
  const { source, status, health } = facts;
  const run = health?.run ?? null;
  const found: Finding[] = [];
  const add = (kind: string, sentence: string): void => {
    found.push({ id: `${kind}:${source}`, kind, source, run, sentence: `${source}: ${sentence}` });
  };
  const codes = health?.codes ?? [];
  const faults = codes.filter((code) => !TOLD_OTHERWISE.has(code));
  const named = faults.length === 0 ? '' : ` (${faults.join(', ')})`;
  const lost = codes.find((code) => ACCESS.includes(code));
  if (status !== 'complete' && codes.includes('account-replaced'))
    add(
      'account-replaced',
      'the account in muniment.yaml now leads to another account than before; nothing of it is captured.',
    );
  if (status !== 'complete' && lost !== undefined)
    add(
      'access-lost',
      `the platform refused access (${lost}): the token may have ended, or a permission is gone. See \`muniment source check ${source}\`.`,
    );
  if (status === 'failed')
    add('failed', `the last run failed${named}. See \`muniment source check ${source}\`.`);
  if (status === 'partial' && faults.length > 0)
    add(
      'incomplete',
      `the last run did not get all that the platform has${named}. See \`muniment gaps --source ${source}\`.`,
    );
  if (facts.isBrokenOff) add('broken-off', 'the last run did not end; the next one adds what it left.');
  if (facts.missedRuns > 0)
    add(
      'missed',
      'runs that its schedule asked for did not take place. Is `muniment serve` running, and are its runs shorter than the schedule’s steps?',
    );
  if (facts.leftAloneUntil !== null)
    add('left-alone', `its host failed so often that it is left alone until ${facts.leftAloneUntil}.`);
  if (health === null) return found;
  if (health.renamedAt !== null && now.epochMilliseconds - Date.parse(health.renamedAt) < RENAMED_FOR)
    add(
      'account-renamed',
      'the account has another name than before. If the agency did not rename it, somebody may have taken it over.',
    );
  if (Math.abs(health.clockOffset ?? 0) > CLOCK_SECONDS)
    add(
      'clock',
      `this machine’s clock and the platform’s differ by ${health.clockOffset} s. Let the machine’s clock be set by NTP.`,
    );
  const quiet = quietSince(health.newest, now);
  if (quiet !== null)
    add(
      'quiet',
      `nothing new since ${quiet}, which is unusually long for this account. See that it shows what is captured.`,
    );
  for (const [name, { count, at }] of Object.entries(health.usual)) {
    const figure = health.figures[name];
    if (figure !== undefined && figure < count)
      add(
        `fell-${name}`,
        `its number of ${name} fell from ${count} (${at}) to ${figure}. If the agency did not do that, somebody may have taken the account over.`,
      );
  }
  return found;
}

/**
 * @param newest when the latest items were created, in any order
 * @returns since when nothing is new, where that is more than twice the longest pause between them, and two days; else null
 */
export function quietSince(newest: readonly string[], now: Temporal.Instant): string | null {
  const times = newest
    .map((text) => Date.parse(text))
    .filter((at) => at <= now.epochMilliseconds)
    .sort((a, b) => b - a);
  const [last] = times;
  if (last === undefined || times.length < PACE_FROM) return null;
  const longest = Math.max(...times.slice(1).map((at, index) => (times[index] as number) - at));
  return now.epochMilliseconds - last > Math.max(2 * longest, QUIET_AT_LEAST)
    ? new Date(last).toISOString()
    : null;
}
