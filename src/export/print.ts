// What the printed documents share: how their blocks look, and how they tell times.

import { InputError } from '../core/errors.ts';
import { type BlockStyle, INK, QUIET, WARNING } from './pages.ts';
import { isolate } from './typeset.ts';

export const H1: BlockStyle = { family: 'bold', size: 22, leading: 30, color: INK };
export const H2: BlockStyle = { family: 'bold', size: 13, leading: 18, color: INK };
export const H3: BlockStyle = { family: 'bold', size: 11, leading: 16, color: INK };
export const H4: BlockStyle = { family: 'bold', size: 9, leading: 13, color: INK };
export const BODY: BlockStyle = { family: 'sans', size: 10, leading: 15, color: INK };
export const POST: BlockStyle = { family: 'sans', size: 11, leading: 17, color: INK };
export const NOTE: BlockStyle = { family: 'sans', size: 8.5, leading: 12.5, color: QUIET };
export const FACT: BlockStyle = { family: 'sans', size: 8.5, leading: 12.5, color: INK };
export const MONO: BlockStyle = { family: 'mono', size: 7.5, leading: 11.5, color: INK };
export const LOSS: BlockStyle = { family: 'bold', size: 9, leading: 13.5, color: WARNING };

/** @throws InputError */
export function requireTimeZone(timezone: string): void {
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(timezone);
  } catch (cause) {
    throw new InputError(`${timezone} is not a time zone`, {
      cause,
      hint: 'Set archive.timezone in muniment.yaml to an IANA name such as America/New_York.',
    });
  }
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `1 Nov 2026, 14:05:09 (UTC−05:00) = 2026-11-01T19:05:09Z`; what is not an instant is quoted as it stands. */
export function moment(instant: string, timezone: string): string {
  let zoned: Temporal.ZonedDateTime;
  try {
    zoned = Temporal.Instant.from(instant).toZonedDateTimeISO(timezone);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return `“${isolate(instant)}”, not a readable time`;
  }
  const two = (value: number) => String(value).padStart(2, '0');
  const clock = `${two(zoned.hour)}:${two(zoned.minute)}:${two(zoned.second)}`;
  const local = `${zoned.day} ${MONTHS[zoned.month - 1]} ${zoned.year}, ${clock}`;
  const offset = zoned.offset === '+00:00' ? 'UTC' : `UTC${zoned.offset.replace('-', '−')}`;
  // Milliseconds as everywhere else in a bundle: .110, not .11.
  const utc = zoned
    .toInstant()
    .toString()
    .replace(/\.(\d{1,2})Z$/, (_, fraction: string) => `.${fraction.padEnd(3, '0')}Z`);
  return `${local} (${offset}) = ${utc}`;
}
