// The gap report as PDF: what the archive says of its own completeness, per source, with days of one finding told as one.

import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { FontSet } from './fonts.ts';
import { Pages, QUIET, type Structure } from './pages.ts';
import { BODY, H1, H2, H3, LOSS, MONO, moment, NOTE } from './print.ts';
import { isolate, Typesetter } from './typeset.ts';

/** The part of a gap report that is printed. Instants are RFC 3339 UTC, days civil dates in `timezone`. */
export interface PrintedGaps {
  readonly archive: string;
  readonly origin: string;
  readonly timezone: string;
  /** Both included. */
  readonly from: string;
  readonly to: string;
  /** When it was made. */
  readonly at: string;
  /** Ledger head that it reads as of; root in base64. */
  readonly size: number;
  readonly root: string;
  readonly sources: readonly {
    readonly source: string;
    readonly platform: string;
    readonly schedule: string | null;
    readonly configured: boolean;
    readonly since: string;
    readonly ranges: readonly PrintedRange[];
    readonly unwatched: readonly { from: string | null; to: string | null; missedRuns: number }[];
  }[];
  /** Run reports that could not be read: what they would say is left out. */
  readonly unreadable: readonly { source: string; run: string; detail: string }[];
}

/** Days that follow one another and say the same. */
interface PrintedRange {
  readonly from: string;
  readonly to: string;
  readonly finding: string;
  readonly isGap: boolean;
  readonly reasons: readonly string[];
}

/** Equal input gives equal bytes on any machine. */
export async function gapReportPdf(report: PrintedGaps, software: string): Promise<Buffer> {
  const out = new PassThrough();
  const bytes = buffer(out);
  const pages = await Pages.open(
    new Typesetter(await FontSet.open()),
    {
      title: 'Gap report',
      author: report.archive,
      subject: `Completeness of ${report.origin} from ${report.from} to ${report.to}`,
      software,
      createdAt: new Date(report.at),
      stamp: 'GAP REPORT',
      stampNote: 'What the archive knows of its own completeness.',
      footer: `${report.origin} · as of ledger size ${report.size}`,
    },
    out,
  );
  await writeCover(pages, report, software);
  for (const source of report.sources) await writeSource(pages, report, source);
  await pages.end();
  return bytes;
}

async function writeCover(pages: Pages, report: PrintedGaps, software: string): Promise<void> {
  await pages.newPage();
  const section = pages.structure('Sect');
  pages.space(24);
  pages.bookmark('About this report');
  await pages.text(section, 'P', report.archive, { ...BODY, color: QUIET });
  await pages.text(section, 'H1', 'Gap report', H1);
  pages.space(12);
  await pages.table(
    section,
    [
      { name: 'Archive', value: isolate(report.origin) },
      { name: 'Days', value: `${report.from} to ${report.to}, in ${report.timezone}` },
      { name: 'Made at', value: moment(report.at, report.timezone) },
      { name: 'As of', value: `ledger size ${report.size}` },
      { name: 'Root hash', value: report.root, style: { ...MONO, size: 8.5, leading: 15 } },
      { name: 'Sources', value: report.sources.map(({ source }) => isolate(source)).join(', ') || 'none' },
      { name: 'Made by', value: isolate(software) },
    ],
    BODY,
  );
  await part(pages, section, 'How to read it', [
    'Complete: all that the platform offered at the last reading of the day is in the archive. Incomplete: the archive knows of items, replies or media that it does not hold; the number counts those it knows of. Unknown: the platform shows its newest items only and does not tell what else there is. Unwatched: no run read the source on that day.',
    'What was posted and removed again between two readings was never offered to the archive, and no report can count it. A complete reading after an unwatched time has found what was still there.',
  ]);
  await part(pages, section, 'How to check it', [
    'gaps.note holds the SHA-256 of this PDF and of gaps.json, and the archive key’s signature (C2SP signed note) over both: “muniment gaps --check FOLDER --key VKEY” checks them without the archive. The findings are made from run reports that the ledger commits to.',
  ]);
  if (report.unreadable.length > 0) {
    await part(pages, section, 'Run reports that could not be read', []);
    for (const { source, run, detail } of report.unreadable)
      await pages.text(section, 'P', `${isolate(source)}, run ${run}: ${detail}`, LOSS);
  }
  section.end();
}

async function part(
  pages: Pages,
  section: Structure,
  heading: string,
  paragraphs: readonly string[],
): Promise<void> {
  pages.space(14);
  await pages.need(50);
  await pages.text(section, 'H2', heading, H2);
  for (const paragraph of paragraphs) await pages.text(section, 'P', paragraph, BODY);
}

async function writeSource(
  pages: Pages,
  { timezone }: PrintedGaps,
  source: PrintedGaps['sources'][number],
): Promise<void> {
  pages.space(22);
  await pages.need(120);
  pages.bookmark(source.source);
  const section = pages.structure('Sect');
  pages.rule();
  await pages.text(section, 'H2', `${isolate(source.source)} (${source.platform})`, H2);
  const schedule = source.schedule === null ? 'run by hand' : `schedule ${source.schedule}`;
  const watched = source.configured ? schedule : 'no longer configured';
  await pages.text(section, 'P', `Registered ${moment(source.since, timezone)}; ${watched}.`, NOTE);
  pages.space(6);
  for (const range of source.ranges) {
    await pages.need(40);
    const days = range.from === range.to ? range.from : `${range.from} to ${range.to}`;
    await pages.text(
      section,
      'P',
      `${days}: ${range.finding}`,
      range.isGap ? { ...LOSS, size: 10, leading: 15 } : BODY,
    );
    for (const reason of range.reasons) await pages.text(section, 'P', reason, NOTE, { indent: 14 });
  }
  if (source.ranges.length === 0) await pages.text(section, 'P', 'It was registered after these days.', BODY);
  if (source.unwatched.length > 0) {
    pages.space(8);
    await pages.need(50);
    await pages.text(section, 'H3', 'Times in which scheduled runs did not read it', H3);
    for (const { from, to, missedRuns } of source.unwatched) {
      const begin = from === null ? 'from its registration on' : `from ${moment(from, timezone)}`;
      const end = to === null ? 'until the end of these days' : `until ${moment(to, timezone)}`;
      await pages.text(
        section,
        'P',
        `${begin} ${end}: ${missedRuns} scheduled run${missedRuns === 1 ? '' : 's'} missed`,
        BODY,
      );
    }
  }
  section.end();
  await pages.settle();
}
