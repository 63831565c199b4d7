// What a bundle says about itself in words: README.txt, bag-info.txt, the selection. Nothing here depends on zone, language or clock.

import type { Selection } from '../search/selection.ts';
import type { StatedLock } from '../store/proof.ts';

/** @returns what was asked for, a line each */
export function selectionLines(selection: Selection, timezone: string): string[] {
  const lines: string[] = [];
  if (selection.sources !== undefined) lines.push(`sources: ${selection.sources.join(', ')}`);
  if (selection.from !== undefined)
    lines.push(`created or first captured from ${selection.from} (${timezone})`);
  if (selection.to !== undefined) lines.push(`created or first captured until ${selection.to} (${timezone})`);
  if (selection.text !== undefined) lines.push(`words: ${selection.text}`);
  if (selection.ids !== undefined)
    lines.push(`${selection.ids.length} record${selection.ids.length === 1 ? '' : 's'} by id`);
  if (selection.kinds !== undefined) lines.push(`kinds: ${selection.kinds.join(', ')}`);
  if (selection.state !== undefined) lines.push(`state: ${selection.state}`);
  return lines.length === 0 ? ['every record, messages left out'] : [...lines, 'messages left out'];
}

/** @returns what keeps the archive's payloads from being removed, in one sentence */
export function lockLine({ mode, seen }: StatedLock): string {
  if (mode === 'none') return "none: write-once by this program only, not against the store's operator";
  const kept =
    mode === 'COMPLIANCE'
      ? 'the object store refuses to remove a payload before a date, whoever asks'
      : 'the object store refuses to remove a payload before a date, but to holders of a special right';
  return seen ? `${mode}: ${kept}` : `${mode} by configuration; the object store was not seen to enforce it`;
}

export interface BundleFacts {
  readonly agency: string;
  readonly origin: string;
  readonly size: number;
  readonly root: string;
  readonly checkpointAt: string;
  readonly folder: string;
  readonly software: string;
  readonly selection: readonly string[];
  readonly records: number;
  readonly problems: readonly string[];
  readonly lock: StatedLock;
  readonly fingerprint: string;
}

/** @returns lines of bag-info.txt, but Payload-Oxum (RFC 8493 section 2.2.2) */
export function bagInfo(facts: BundleFacts): string[] {
  return [
    `Source-Organization: ${oneLine(facts.agency)}`,
    `External-Description: UNREVIEWED export of archived social media records`,
    `Bagging-Date: ${facts.checkpointAt.slice(0, 10)}`,
    `External-Identifier: ${facts.folder}`,
    `Bag-Software-Agent: ${oneLine(facts.software)}`,
    'Muniment-Review: UNREVIEWED',
    `Muniment-Storage-Lock: ${lockLine(facts.lock)}`,
  ];
}

export function readme(facts: BundleFacts): string {
  const lines = [
    'UNREVIEWED: nobody has reviewed this export for exempt or privileged content.',
    '',
    `${facts.agency}: ${facts.records} record${facts.records === 1 ? '' : 's'} of the archive ${facts.origin},`,
    `as of size ${facts.size} of its ledger (checkpoint of ${facts.checkpointAt}).`,
    '',
    'Selection',
    ...facts.selection.map((line) => `  ${line}`),
    '',
    'How the archive stores payloads',
    `  lock: ${lockLine(facts.lock)}`,
    '',
    'What is here',
    '  data/records.pdf          to read: every record in its conversation, with versions and deletions',
    '  data/records.csv          the same as a table, one row a version; a leading apostrophe keeps a cell from running as a formula',
    '  data/records.jsonl        the same for programs, one record a line',
    '  data/slices/              the exact bytes that the platforms gave, item by item',
    '  data/media/               images, video and other media, byte for byte',
    "  data/documents/           what was captured, when and how: the archive's own record of it",
    '  data/observations/        what look-ups of missing items said; data/answers/ the exact answers',
    '  data/payloads.jsonl       digest, salt and commitment of each of these files',
    "  data/proofs/              the ledger's entries on these records, each with a receipt (C2SP tlog-proof)",
    '  data/checkpoint           the signed head of the ledger',
    '  data/bundle.json          what was asked, and what could not be given',
    "  signature.note            the archive key's signature over everything",
    '',
    'How to check it, offline, with any Node.js from version 18',
    '  node verify.mjs --key VKEY',
    "VKEY is the archive's verifier key. Get it from the archive by another way than this bundle. A verify.mjs that came with a",
    'bundle could have been changed with it: for certainty run a copy that you got elsewhere, and give it the path of this folder or',
    'of the ZIP. Without a key the answer is "self-consistent, signer unconfirmed", with the fingerprint to compare:',
    `  ${facts.fingerprint}`,
    '',
    'What it proves',
    '  That the archive signed exactly these files; that each version shown was committed to in its append-only ledger before the',
    '  checkpoint; that slices, media and documents are, byte for byte, what the ledger committed to. Alteration, removal or',
    '  reordering of the ledger after its first anchor is detectable by anyone.',
    'What it does not prove',
    '  That a platform showed the truth, who was at a keyboard, that an item never collected did not exist, or that these are all the',
    "  records there are. Dates are claimed by users unless said otherwise. Retention lines and the PDF are the archive's statement:",
    '  the signature covers them, the ledger does not.',
  ];
  if (facts.problems.length > 0)
    lines.push(
      '',
      'INCOMPLETE: the archive could not give these payloads',
      ...facts.problems.map((line) => `  ${line}`),
    );
  return `${lines.join('\n')}\n`;
}

/** @returns a name for the bundle's folder, of letters that every file system takes */
export function folderName(origin: string, size: number): string {
  const plain = origin
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 80);
  return `muniment-${plain === '' ? 'archive' : plain}-${size}`;
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ').trim();
}
