// `muniment gaps`: what the archive can say of its own completeness, per source and day, and the signed report of it.

import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { civilDay, type DayRange, dayRanges } from './capture/completeness.ts';
import { gapsOfSource, type SourceGaps } from './capture/gaps.ts';
import { type Archive, SOFTWARE } from './context.ts';
import { canonicalText, type Json } from './core/canonical.ts';
import { instantText } from './core/clock.ts';
import { sha256Hex } from './core/digest.ts';
import { InputError, VerificationError } from './core/errors.ts';
import { makeNamedFolder } from './core/folder.ts';
import { MANUAL_SOURCE } from './core/settings.ts';
import type { PrintedGaps } from './export/gap-report.ts';
import { openNote, parseVerifierKey, signNote } from './ledger/note.ts';

export interface GapReport extends Omit<PrintedGaps, 'sources'> {
  readonly v: 'muniment/v1/gaps';
  readonly sources: readonly SourceGaps[];
}

/** Days told of, unless asked otherwise. */
const USUAL_DAYS = 30;

export async function gaps(
  archive: Archive,
  options: {
    source?: string;
    from?: string;
    to?: string;
    signal: AbortSignal;
    onProgress?: (source: string, runs: number) => void;
  },
): Promise<GapReport> {
  const { settings, database, store, ledger, clock } = archive;
  const { timezone, name, origin } = settings.archive;
  const now = instantText(clock.now());
  const today = civilDay(now, timezone);
  const asked = civilDate(options.to, '--to') ?? today;
  const to = Temporal.PlainDate.compare(asked, today) > 0 ? today : asked;
  const from = civilDate(options.from, '--from') ?? to.subtract({ days: USUAL_DAYS - 1 });
  if (Temporal.PlainDate.compare(from, to) > 0)
    throw new InputError(`there are no days from ${from} to ${to}`, {
      hint: 'Give --from a day that is not after --to, nor after today.',
    });
  const { size, root } = await ledger.head();
  const registered = await database.db
    .selectFrom('sources')
    .select(['id', 'name', 'platform'])
    // What people capture by hand, or import, is nobody's promise to watch.
    .where('platform', 'not in', [MANUAL_SOURCE.platform, 'import'])
    .orderBy('name')
    .execute();
  const chosen = registered.filter((row) => options.source === undefined || row.name === options.source);
  if (chosen.length === 0 && options.source !== undefined)
    throw new InputError(`no run has registered a source called ${options.source}`, {
      hint: `This archive has run: ${registered.map((row) => row.name).join(', ') || 'none yet'}.`,
    });
  const sources: SourceGaps[] = [];
  const unreadable: GapReport['unreadable'][number][] = [];
  for (const source of chosen) {
    const configured = settings.sources.find(({ id }) => id === source.name);
    const { onProgress } = options;
    sources.push(
      await gapsOfSource({ db: database.db, store, timezone, size }, source, {
        schedule: configured === undefined ? undefined : configured.schedule,
        from,
        to,
        now,
        signal: options.signal,
        onRun: (runs) => onProgress?.(source.name, runs),
        onUnreadable: (run, detail) => unreadable.push({ source: source.name, run, detail }),
      }),
    );
  }
  return {
    v: 'muniment/v1/gaps',
    archive: name,
    origin,
    timezone,
    from: from.toString(),
    to: to.toString(),
    at: now,
    size,
    root: root.toString('base64'),
    sources,
    unreadable,
  };
}

/** @returns a source's days, those that follow one another and say the same as one */
export function findings(source: SourceGaps): DayRange[] {
  return dayRanges(source.days);
}

/** @throws InputError */
function civilDate(text: string | undefined, option: string): Temporal.PlainDate | null {
  if (text === undefined) return null;
  try {
    // Longer texts name calendars too, in which the report would then be written.
    return Temporal.PlainDate.from(text, { overflow: 'reject' }).withCalendar('iso8601');
  } catch (cause) {
    throw new InputError(`${option} ${text} is no date`, { hint: 'Write it as 2026-11-01.', cause });
  }
}

/** What the archive key signs of a report: whose and as of when, then a line `SHA-256  name` (hex, two spaces) for each file. */
const NOTE = 'gaps.note';
const STATEMENT = /^muniment\/v1\/gaps\n([^\n]+)\n(\d+)\n((?:[0-9a-f]{64} {2}gaps\.(?:json|pdf)\n){2})$/;

/**
 * Checks a report that was written by {@link writeGapReport}, without an archive.
 * @param key verifier key, obtained from the agency by another way
 * @throws InputError where the folder holds no report, or the key is none; VerificationError where anything of it was changed
 */
export async function checkGapReport(
  folder: string,
  key: string,
): Promise<{ origin: string; size: number; files: string[] }> {
  const bytesOf = (name: string) =>
    readFile(join(folder, name)).catch((cause: unknown) => {
      throw new InputError(`${join(folder, name)} cannot be read`, {
        hint: `Name the folder that \`muniment gaps --out\` wrote, with ${NOTE} and the files that it names.`,
        cause,
      });
    });
  const { text } = openNote((await bytesOf(NOTE)).toString('utf8'), [parseVerifierKey(key)]);
  const [, origin, size, lines] = STATEMENT.exec(text) ?? [];
  if (origin === undefined || lines === undefined)
    throw new VerificationError(`${NOTE} is signed, and is no gap report's`, {
      hint: 'Get the report again from the agency.',
    });
  const files: string[] = [];
  for (const line of lines.trimEnd().split('\n')) {
    const [digest, name] = line.split('  ') as [string, string];
    if (sha256Hex(await bytesOf(name)) !== digest)
      throw new VerificationError(`${join(folder, name)} is not the file that was signed`, {
        hint: 'It was changed after it was signed, or belongs to another report: get it again from the agency.',
      });
    files.push(name);
  }
  return { origin, size: Number(size), files };
}

/**
 * Writes the report as JSON and PDF, and the archive key's signature over both.
 * @returns the paths, the note last
 * @throws InputError where there is no key, or the folder cannot be made or written to
 */
export async function writeGapReport(archive: Archive, report: GapReport, out: string): Promise<string[]> {
  const { signer } = archive;
  if (signer === null)
    throw new InputError('this machine holds no signing key', {
      hint: 'Make the report where keys/signing.key is.',
    });
  const { gapReportPdf } = await import('./export/gap-report.ts');
  const folder = resolve(out);
  makeNamedFolder(folder);
  const printed = { ...report, sources: report.sources.map((one) => ({ ...one, ranges: findings(one) })) };
  const files = [
    { name: 'gaps.json', bytes: Buffer.from(`${canonicalText(report as unknown as Json)}\n`, 'utf8') },
    { name: 'gaps.pdf', bytes: await gapReportPdf(printed, SOFTWARE) },
  ];
  const lines = files.map(({ name, bytes }) => `${sha256Hex(bytes)}  ${name}`);
  const text = `${report.v}\n${report.origin}\n${report.size}\n${lines.join('\n')}\n`;
  const written: string[] = [];
  for (const { name, bytes } of [
    ...files,
    { name: NOTE, bytes: Buffer.from(signNote(text, signer.key), 'utf8') },
  ]) {
    const path = join(folder, name);
    try {
      await writeFile(path, bytes, { flag: 'wx', flush: true });
    } catch (cause) {
      throw new InputError(`cannot write ${path}: ${(cause as Error).message}`, {
        hint: 'Name a new folder that you may write to, on a disk with room.',
        cause,
      });
    }
    written.push(path);
  }
  return written;
}
