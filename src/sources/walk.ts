// What reading an account's list again has in common on every platform: a long list is read to its end once a day, and in between only until
// it meets what the run before left.

import { CollectError } from './collect-error.ts';

/** Less than a day: a daily schedule whose runs take turns in length still reads everything every day. */
const WHOLE_EVERY = Temporal.Duration.from({ hours: 20 });

/** @param wholeAt when the whole account was last read, RFC 3339. @param every how often it is to be, in hours and smaller units */
export function isWholeDue(wholeAt: string, now: Temporal.Instant, every = WHOLE_EVERY): boolean {
  return Temporal.Instant.compare(Temporal.Instant.from(wholeAt).add(every), now) <= 0;
}

/** Pages of one list, before one that always offers another counts as endless. */
const LONGEST_LIST = 20_000;
/** Pages in a row that bring nothing new before a list counts as going in circles. */
const BARREN_PAGES = 3;

/** A page of a list, as far as it says where the list goes on. */
export interface CursorPage {
  /** Ids of all that stands on it, read or not. */
  readonly ids: readonly string[];
  /** Null where the platform offers no page after this one: a short or empty page is no sign of that. */
  readonly next: string | null;
  /** The address that gave it, without secrets. */
  readonly url: string;
}

/**
 * Asks for page after page.
 * @throws CollectError `repeated-cursor` when the list goes in circles, and whatever asking throws
 */
export async function* pagesFrom<Page extends CursorPage>(
  ask: (cursor: string | null) => Promise<Page>,
  signal: AbortSignal,
): AsyncIterable<Page> {
  const cursors = new Set<string>();
  const seen = new Set<string>();
  let barren = 0;
  for (let cursor: string | null = null; ; ) {
    signal.throwIfAborted();
    const page: Page = await ask(cursor);
    yield page;
    const { ids, next, url } = page;
    if (next === null) return;
    barren = ids.length > 0 && ids.every((id) => seen.has(id)) ? barren + 1 : 0;
    for (const id of ids) seen.add(id);
    if (cursors.has(next) || barren >= BARREN_PAGES || cursors.size >= LONGEST_LIST)
      throw new CollectError('repeated-cursor', `${url} pages in circles, so its end was not reached`, url);
    cursors.add(next);
    cursor = next;
  }
}

/**
 * @param known ids of the newest that the run before left, newest first
 * @param seen ids that this run has been listed so far, newest first
 * @returns whether the list has met the known ones, and all of them down to there are still listed: else one has gone
 */
export function areStillListed(known: readonly string[], seen: ReadonlySet<string>): boolean {
  const reached = known.findLastIndex((id) => seen.has(id));
  return reached >= 0 && known.slice(0, reached + 1).every((id) => seen.has(id));
}

/** @param at as a platform wrote it. @returns whether that is later than a moment, or no moment that can be told */
export function isYounger(at: string | null, than: Temporal.Instant): boolean {
  const moment = Date.parse(at ?? '');
  return Number.isNaN(moment) || moment > than.epochMilliseconds;
}

/**
 * The name in the settings leads to somebody else than in the run before: nothing of the other is captured as the first's.
 * @param of.isSetting whether `before` can stand in the settings in the place of the name
 */
export function reassigned(
  account: string,
  of: {
    readonly what: 'account' | 'channel';
    readonly before: string;
    readonly now: string;
    readonly isSetting: boolean;
  },
): CollectError {
  const { what, before, now, isSetting } = of;
  return new CollectError(
    'account-replaced',
    `${account} now names another ${what} (${now}) than before (${before})`,
    account,
    {
      hint: isSetting
        ? `To go on with the ${what} captured so far, put ${before} in the settings; for the new one, add a source.`
        : 'Nothing of it was read. If it is the agency’s all the same, add a source for it.',
    },
  );
}
