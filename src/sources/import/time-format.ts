// Times as other archives write them, by a pattern that a person gives: never guessed, for 3/4 is a day in March or in April.

const FIELDS: Readonly<Record<string, string>> = {
  yyyy: '(?<year>\\d{4})',
  MM: '(?<month>\\d{2})',
  M: '(?<month>\\d{1,2})',
  dd: '(?<day>\\d{2})',
  d: '(?<day>\\d{1,2})',
  HH: '(?<hour>\\d{2})',
  H: '(?<hour>\\d{1,2})',
  hh: '(?<half>\\d{2})',
  h: '(?<half>\\d{1,2})',
  mm: '(?<minute>\\d{2})',
  ss: '(?<second>\\d{2})',
  a: '(?<noon>[AaPp][Mm])',
};
const FIELD = /yyyy|MM?|dd?|HH?|hh?|mm|ss|a/g;
const EPOCHS: Readonly<Record<string, number>> = { 'epoch-seconds': 1000, 'epoch-milliseconds': 1 };

/** What a format may be, as a message says it. */
export const TIME_FORMATS =
  'iso, epoch-seconds, epoch-milliseconds, or a pattern of yyyy, MM or M, dd or d, and HH or H (or hh or h with a), mm, ss';

export function isTimeFormat(format: string): boolean {
  if (format === 'iso' || Object.hasOwn(EPOCHS, format)) return true;
  const fields = format.match(FIELD) ?? [];
  const kinds = fields.map((field) => (field === 'h' || field === 'hh' ? 'half' : field[0]));
  const has = (kind: string): boolean => kinds.includes(kind);
  const rest = format.replaceAll(FIELD, '');
  return (
    new Set(kinds).size === kinds.length &&
    ['y', 'M', 'd'].every(has) &&
    has('half') === has('a') &&
    !(has('H') && has('half')) &&
    (!has('m') || has('H') || has('half')) &&
    (!has('s') || has('m')) &&
    /^[ ,.:/T-]*$/.test(rest)
  );
}

export function isZone(zone: string): boolean {
  try {
    Temporal.PlainDate.from('2000-01-01').toZonedDateTime(zone);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/**
 * @param zone of times that do not say theirs; null: such a time is none
 * @returns RFC 3339 in UTC, of an hour that comes twice the first; null when the text is not of the format
 */
export function readTime(text: string, format: string, zone: string | null): string | null {
  const unit = EPOCHS[format];
  try {
    if (unit !== undefined)
      return /^\d{1,14}$/.test(text)
        ? Temporal.Instant.fromEpochMilliseconds(Number(text) * unit).toString()
        : null;
    if (zone === null) return null;
    const plain =
      format === 'iso' ? Temporal.PlainDateTime.from(text, { overflow: 'reject' }) : byPattern(text, format);
    return plain?.toZonedDateTime(zone, { disambiguation: 'earlier' }).toInstant().toString() ?? null;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function byPattern(text: string, format: string): Temporal.PlainDateTime | null {
  const pattern = format.replaceAll('.', '\\.').replaceAll(FIELD, (field) => FIELDS[field] as string);
  const said = new RegExp(`^${pattern}$`).exec(text)?.groups;
  if (said === undefined) return null;
  const { year, month, day, half, noon = '', hour: whole = '0', minute = '0', second = '0' } = said;
  if (half !== undefined && (Number(half) < 1 || Number(half) > 12)) return null;
  const hour = half === undefined ? Number(whole) : (Number(half) % 12) + (/^p/i.test(noon) ? 12 : 0);
  const date = { year: Number(year), month: Number(month), day: Number(day) };
  const time = { hour, minute: Number(minute), second: Number(second) };
  return Temporal.PlainDateTime.from({ ...date, ...time }, { overflow: 'reject' });
}
