// What reading an account's list again has in common on every platform: a long list is read to its end once a day, and in between only until
// it meets what the run before left.

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
