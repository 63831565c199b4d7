// The one clock. Code receives it as a value so that tests can set it; nothing else reads the time of day.

export interface Clock {
  /** @returns the present moment. */
  now(): Temporal.Instant;
}

export const systemClock: Clock = { now: () => Temporal.Now.instant() };

/** @returns RFC 3339 in UTC with exactly three decimals, e.g. 2026-11-01T12:00:00.000Z: the form of `at` in the ledger. */
export function instantText(instant: Temporal.Instant): string {
  return instant.toString({ smallestUnit: 'millisecond' });
}
