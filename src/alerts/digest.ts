// When the digest is due, in the archive's zone: at seven in the morning, each day or each Monday. Pure.

const HOUR = 7;

/** @returns the time that the latest digest covers: from one seven o'clock to the last one that has come */
export function digestBegins(
  every: 'day' | 'week',
  now: Temporal.ZonedDateTime,
): { from: Temporal.ZonedDateTime; to: Temporal.ZonedDateTime } {
  const days = every === 'day' ? 0 : now.dayOfWeek - 1;
  const at = now
    .toPlainDate()
    .subtract({ days })
    .toZonedDateTime({ timeZone: now.timeZoneId, plainTime: { hour: HOUR } });
  const step = every === 'day' ? { days: 1 } : { weeks: 1 };
  const to = Temporal.ZonedDateTime.compare(at, now) > 0 ? at.subtract(step) : at;
  return { from: to.subtract(step), to };
}
