// What reading an account's list again has in common on every platform: a long list is read to its end once a day, and in between only until
// it meets what the run before left.

import { CollectError } from './collect-error.ts';

/** Less than a day: a daily schedule whose runs take turns in length still reads everything every day. */
const WHOLE_EVERY = Temporal.Duration.from({ hours: 20 });

/** @param wholeAt when the whole account was last read, RFC 3339 */
export function isWholeDue(wholeAt: string, now: Temporal.Instant): boolean {
  return Temporal.Instant.compare(Temporal.Instant.from(wholeAt).add(WHOLE_EVERY), now) <= 0;
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
