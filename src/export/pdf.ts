// The PDF of a bundle: a cover that says what it proves, then each record in its thread with every version of it.
// Records stream through; each page says that Muniment rendered it and that nobody has reviewed it.

import type { Writable } from 'node:stream';
import { FontSet } from './fonts.ts';
import { Pages, QUIET, type Structure, TEXT_WIDTH } from './pages.ts';
import { PictureError, readPicture } from './pictures.ts';
import { BODY, FACT, H1, H2, H3, H4, LOSS, MONO, moment, NOTE, POST, requireTimeZone } from './print.ts';
import { isolate, Typesetter } from './typeset.ts';

export interface PdfBundle {
  title: string;
  agency: string;
  /** The archive's origin, as in its checkpoints. */
  origin: string;
  /** IANA zone in which times are shown, beside UTC. */
  timezone: string;
  /** The ledger's head that this bundle reads as of; times are RFC 3339 UTC. */
  asOf: { size: number; root: string; checkpointAt: string };
  /** What was asked for, a line each. */
  selection: readonly string[];
  /** What keeps the archive's payloads from being removed, in one sentence. */
  lock: string;
  stamp: 'UNREVIEWED';
  /** Name and version of the program. */
  software: string;
}

export interface PdfMedia {
  /** As the author gave it; empty: none was given. */
  alt: string;
  mediaType: string;
  /** Path in the bundle. */
  file: string;
  /** Absent: the media is listed, not shown. */
  bytes?: Uint8Array;
}

export interface PdfVersion {
  /** From 1. */
  version: number;
  capturedAt: string;
  /** When the platform was last seen to show this version; absent while it shows it. */
  lastSeenAt?: string;
  text: string;
  title?: string;
  /** BCP 47, as the platform or author gave it. */
  language?: string;
  media: readonly PdfMedia[];
  links: readonly string[];
  digests: { commitment: string; sha256: string; entry: number };
}

export interface PdfRecord {
  id: string;
  platform: string;
  url: string;
  /** post, reply, repost … */
  kind: string;
  author: { name: string; handle: string; id: string };
  createdAt: string;
  createdAtVouchedBy: 'user' | 'platform';
  /** 0 is the post that began the thread. */
  depth: number;
  /** Equal in all records of a thread; they arrive together, in the order in which they are to be read. */
  threadRoot: string;
  /** Whom and what it answers, in words: `@example.gov’s post of …`. */
  inReplyTo?: string;
  state: 'live' | 'missing' | 'destroyed';
  /** Absent while the platform shows it. `state` is the cause as observed: deleted, hidden, access lost … */
  deletion?: { lastSeenAt: string; firstMissingAt: string; state: string };
  versions: readonly PdfVersion[];
  /** Series and retain-through date, in words. */
  retention: string;
}

/** Deeper replies are set no further in: the words above each say what it answers. */
const MOST_INDENTS = 6;
const INDENT = 14;

/**
 * Writes the PDF of a bundle to `out` and ends it. Equal input gives equal bytes on any machine. Memory holds one
 * record, the fonts in use and the structure tree. When `records` or `out` fails, `out` is destroyed and the
 * promise rejects; InputError where the time zone is unknown.
 */
export async function writePdf(
  bundle: PdfBundle,
  records: AsyncIterable<PdfRecord>,
  out: Writable,
): Promise<{ pages: number }> {
  requireTimeZone(bundle.timezone);
  const pages = await Pages.open(
    new Typesetter(await FontSet.open()),
    {
      title: bundle.title,
      author: bundle.agency,
      subject: `Records of ${bundle.origin} as of ledger size ${bundle.asOf.size}`,
      software: bundle.software,
      createdAt: new Date(bundle.asOf.checkpointAt),
      stamp: bundle.stamp,
      stampNote: 'Nobody has reviewed this export for exempt or privileged content.',
      footer: `Rendered by Muniment, not a platform screenshot · ${bundle.origin} · as of ledger size ${bundle.asOf.size}`,
    },
    out,
  );
  try {
    await writeCover(pages, bundle);
    await writeRecords(pages, bundle, records);
    await pages.end();
  } catch (error) {
    out.destroy(error instanceof Error ? error : undefined);
    throw error;
  }
  return { pages: pages.pages };
}

async function writeRecords(
  pages: Pages,
  bundle: PdfBundle,
  records: AsyncIterable<PdfRecord>,
): Promise<void> {
  let thread: { root: string; section: Structure; bookmark: PDFKit.PDFOutline } | undefined;
  let threads = 0;
  let count = 0;
  for await (const record of records) {
    count += 1;
    if (thread?.root !== record.threadRoot) {
      thread?.section.end();
      if (thread === undefined) await pages.newPage();
      threads += 1;
      thread = { root: record.threadRoot, ...(await beginThread(pages, threads, record)) };
    }
    await writeRecord(pages, bundle, record, count, thread.section, thread.bookmark);
    await pages.settle();
  }
  thread?.section.end();
  if (count === 0) {
    const section = pages.structure('Sect');
    pages.space(16);
    await pages.text(section, 'P', 'No record matches this selection.', BODY);
    section.end();
  }
}

async function writeCover(pages: Pages, bundle: PdfBundle): Promise<void> {
  await pages.newPage();
  const section = pages.structure('Sect');
  pages.space(24);
  await pages.need(40);
  pages.bookmark('About this bundle');
  await pages.text(section, 'P', bundle.agency, { ...BODY, color: QUIET });
  await pages.text(section, 'H1', bundle.title, H1);
  await pages.text(
    section,
    'P',
    `${bundle.stamp}: nobody has reviewed this export for exempt or privileged content.`,
    LOSS,
  );
  pages.space(12);
  await pages.table(
    section,
    [
      { name: 'Archive', value: isolate(bundle.origin) },
      ...bundle.selection.map((line, index) => ({ name: index === 0 ? 'Selection' : '', value: line })),
      { name: 'As of', value: `ledger size ${bundle.asOf.size} (${bundle.asOf.size} entries)` },
      { name: 'Checkpoint', value: moment(bundle.asOf.checkpointAt, bundle.timezone) },
      { name: 'Root hash', value: bundle.asOf.root, style: { ...MONO, size: 8.5, leading: 15 } },
      { name: 'Storage lock', value: bundle.lock },
      { name: 'Times', value: `shown in ${bundle.timezone}, with UTC` },
      { name: 'Rendered by', value: `${isolate(bundle.software)}, not a platform screenshot` },
    ],
    BODY,
  );
  const part = async (heading: string, ...paragraphs: string[]) => {
    pages.space(14);
    await pages.need(50);
    await pages.text(section, 'H2', heading, H2);
    for (const paragraph of paragraphs) await pages.text(section, 'P', paragraph, BODY);
  };
  await part(
    'What this proves',
    'Every version shown here is committed to, by a salted digest, in an append-only ledger; the checkpoint above is that ledger’s signed head, and the receipts in this bundle tie each record to it. Anyone can detect an alteration, removal or reordering after the first anchor, without trusting the agency, a vendor or this software.',
  );
  await part(
    'What this does not prove',
    'Nothing here proves that a platform showed the truth, who was at a keyboard, or that an item never collected did not exist. A time “claimed by its user” is vouched for by nobody else. This document is a rendering: the files under data/ in the bundle are the evidence.',
  );
  await part(
    'How to verify',
    'Unpack the bundle and run in its folder, offline, with any Node.js from version 18:',
  );
  pages.space(4);
  await pages.text(
    section,
    'P',
    'node verify.mjs --key VKEY',
    { ...MONO, size: 10, leading: 16 },
    { indent: 14, bar: true },
  );
  pages.space(4);
  await pages.text(
    section,
    'P',
    'VKEY is the archive’s public verifier key. Get it from the agency by another way than this bundle; without it the answer is “self-consistent, signer unconfirmed”.',
    BODY,
  );
  await part(
    'How to read the posts',
    'Text stands as it was captured, but emoji are drawn in outline: colors and skin tones do not show, though copied text keeps them. A character that no font here can draw, or that would hide or reorder others, stands as its code point in brackets, such as [U+202E].',
  );
  section.end();
}

async function beginThread(pages: Pages, number: number, first: PdfRecord) {
  pages.space(22);
  await pages.need(185); // its heading, then what writeRecord needs
  const bookmark = pages.bookmark(`Thread ${number}: ${person(first)}`);
  const section = pages.structure('Sect');
  pages.rule();
  await pages.text(section, 'H2', `Thread ${number}`, H2);
  if (first.depth > 0)
    await pages.text(section, 'P', 'The post that began this thread is not in this selection.', NOTE);
  return { section, bookmark };
}

async function writeRecord(
  pages: Pages,
  bundle: PdfBundle,
  record: PdfRecord,
  number: number,
  thread: Structure,
  bookmark: PDFKit.PDFOutline,
): Promise<void> {
  const indent = Math.min(record.depth, MOST_INDENTS) * INDENT;
  const time = (instant: string) => moment(instant, bundle.timezone);
  pages.space(12);
  await pages.need(110);
  pages.bookmark(`${number}. ${capitalized(record.kind)} by ${person(record)}`, bookmark);
  const section = pages.structure('Sect', thread);
  const heading = `${number}. ${capitalized(record.kind)} by ${isolate(person(record))}`;
  await pages.text(section, 'H3', heading, H3, { indent, direction: 'ltr' });
  const place =
    record.inReplyTo === undefined
      ? record.depth === 0
        ? 'Begins the thread.'
        : `At depth ${record.depth} of the thread; what it answers is not in this archive.`
      : `Reply to ${isolate(record.inReplyTo)}, at depth ${record.depth} of the thread.`;
  await pages.text(section, 'P', place, NOTE, { indent, direction: 'ltr' });
  const loss = lossOf(record, time);
  if (loss !== undefined) {
    pages.space(3);
    await pages.text(section, 'P', loss, LOSS, { indent, direction: 'ltr' });
  }
  const latest = record.versions.reduce((most, each) => Math.max(most, each.version), 0);
  const ordered = [...record.versions].sort((a, b) => a.version - b.version);
  for (const [index, version] of ordered.entries())
    await writeVersion(pages, section, version, ordered[index - 1], latest, indent, time);
  if (ordered.length === 0 && record.state === 'destroyed')
    await pages.text(section, 'P', 'Its content was destroyed under its retention schedule.', NOTE, {
      indent,
    });
  pages.space(6);
  await pages.table(
    section,
    [
      { name: 'Platform', value: record.platform },
      { name: 'Address', value: isolate(record.url) },
      { name: 'Author', value: authorFacts(record) },
      {
        name: 'Created',
        value: `${time(record.createdAt)}, ${record.createdAtVouchedBy === 'user' ? 'claimed by its user' : 'assigned by the platform'}`,
      },
      { name: 'Retention', value: record.retention },
      { name: 'Record', value: record.id, style: { ...MONO, leading: FACT.leading } },
    ],
    FACT,
    { indent, names: 84 },
  );
  section.end();
}

async function writeVersion(
  pages: Pages,
  record: Structure,
  version: PdfVersion,
  previous: PdfVersion | undefined,
  latest: number,
  indent: number,
  time: (instant: string) => string,
): Promise<void> {
  pages.space(7);
  await pages.need(60);
  let heading = `Version ${version.version} of ${latest}, captured ${time(version.capturedAt)}`;
  if (previous?.lastSeenAt !== undefined)
    heading += `; version ${previous.version} was last seen ${time(previous.lastSeenAt)}`;
  await pages.text(record, 'H4', heading, H4, { indent, direction: 'ltr' });
  if (previous !== undefined)
    await pages.text(record, 'P', changed(previous, version), NOTE, { indent, direction: 'ltr' });
  pages.space(3);
  const language =
    version.language === undefined || version.language === '' ? {} : { language: version.language };
  const body = { indent: indent + 12, bar: true, ...language };
  if (version.title !== undefined && version.title !== '')
    await pages.text(record, 'P', version.title, { ...POST, family: 'bold' }, body);
  if (version.text !== '') await pages.text(record, 'P', version.text, POST, body);
  else
    await pages.text(
      record,
      'P',
      'No text.',
      { ...NOTE, family: 'italic' },
      { indent: indent + 12, bar: true },
    );
  for (const media of version.media) await writeMedia(pages, record, media, indent + 12);
  const rows = version.links.map((link, index) => ({
    name: index === 0 ? 'Links' : '',
    value: isolate(link),
  }));
  pages.space(4);
  await pages.table(
    record,
    [
      ...rows,
      { name: 'Commitment', value: version.digests.commitment, style: MONO },
      { name: 'SHA-256', value: version.digests.sha256, style: MONO },
      { name: 'Ledger entry', value: String(version.digests.entry), style: MONO },
    ],
    { ...FACT, size: 8, leading: 11.5 },
    { indent, names: 84 },
  );
}

async function writeMedia(pages: Pages, record: Structure, media: PdfMedia, indent: number): Promise<void> {
  const alternative = media.alt === '' ? 'No description was given.' : `Described as: ${isolate(media.alt)}`;
  let shown = `${media.mediaType}, file ${isolate(media.file)}.`;
  pages.space(4);
  if (media.bytes !== undefined) {
    try {
      await pages.figure(
        record,
        readPicture(media.bytes),
        media.alt || `Image without description, ${media.file}`,
        {
          indent,
          most: { width: Math.min(260, TEXT_WIDTH - indent), height: 190 },
        },
      );
    } catch (error) {
      if (!(error instanceof PictureError)) throw error;
      shown = `This image could not be drawn (file ${isolate(media.file)}, ${media.mediaType}): ${error.message}.`;
    }
  }
  await pages.text(record, 'P', `${shown} ${alternative}`, NOTE, { indent, direction: 'ltr' });
}

function lossOf(record: PdfRecord, time: (instant: string) => string): string | undefined {
  if (record.deletion !== undefined) {
    const { lastSeenAt, firstMissingAt, state } = record.deletion;
    return `Last seen ${time(lastSeenAt)}; first found missing ${time(firstMissingAt)}: ${state}.`;
  }
  if (record.state === 'missing') return 'Missing from the platform.';
  return record.state === 'destroyed' ? 'Destroyed by the archive under its retention schedule.' : undefined;
}

function changed(before: PdfVersion, after: PdfVersion): string {
  const files = (version: PdfVersion) => version.media.map((each) => `${each.file}\n${each.alt}`).join('\n');
  const parts = [
    ...(before.text === after.text ? [] : ['text']),
    ...((before.title ?? '') === (after.title ?? '') ? [] : ['title']),
    ...(files(before) === files(after) ? [] : ['media']),
    ...(before.links.join('\n') === after.links.join('\n') ? [] : ['links']),
  ];
  return `Changed since version ${before.version}: ${parts.length === 0 ? 'other content than what is shown here' : parts.join(', ')}.`;
}

function person(record: PdfRecord): string {
  return record.author.name || record.author.handle || record.author.id;
}

function authorFacts({ author }: PdfRecord): string {
  return [author.name, author.handle === '' ? '' : `@${author.handle.replace(/^@/, '')}`, author.id]
    .filter((part) => part !== '')
    .map(isolate)
    .join(' · ');
}

function capitalized(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1);
}
