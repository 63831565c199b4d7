// Makes the rows of records, snapshots, payloads and the rest anew from entries and objects alone, after the loss of everything else. A
// destroyed payload is known by its entry; one that is neither there nor destroyed is lost, and told.

import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { payloadCommitment } from '../core/digest.ts';
import { ObjectNotFoundError, VerificationError } from '../core/errors.ts';
import {
  observationDocument,
  type RunPayload,
  runPayload,
  runReportHead,
  runReportLine,
  snapshotDocument,
} from './documents.ts';
import { decodeEntry, type Entry } from './entry.ts';
import { type PayloadFacts, type ProjectedRow, projectEntry, projectWithoutDocument } from './projection.ts';

/** What rebuilding reads of the store. */
export type ReadObject = (commitment: string) => Promise<{
  contentType: string;
  metadata: Readonly<Record<string, string>>;
  body: Readable;
}>;

export interface Rebuilt {
  readonly rows: readonly ProjectedRow[];
  /** Payloads that the store lacks, or holds altered, though nothing destroyed them. */
  readonly lost: readonly string[];
  /** Name of the run's source, as its report gives it. */
  readonly source: { readonly id: string; readonly name: string } | null;
}

interface Loaded {
  readonly facts: PayloadFacts;
  readonly bytes: Buffer;
  readonly seed: Buffer | undefined;
}

/** What an entry's document says that rows are made of. */
interface Documents {
  readonly document?: Parameters<typeof projectEntry>[1]['document'];
  readonly seed?: Buffer | undefined;
  readonly kept?: readonly RunPayload[];
  readonly source?: Rebuilt['source'];
}

/**
 * @param isDestroyed whether the log says of a payload that it was destroyed, at whatever position
 * @returns the rows that one entry stands for; where its document is gone, those that can still be known
 * @throws VerificationError when an entry cannot be read, or a document is not of its shape
 */
export async function rebuildRows(
  bytes: Uint8Array,
  read: ReadObject,
  isDestroyed: (commitment: string) => Promise<boolean>,
): Promise<Rebuilt> {
  const decoded = decodeEntry(bytes);
  if (!decoded.known) return { rows: [], lost: [], source: null };
  const { entry } = decoded;
  const main = documentOf(entry);
  const gone = { rows: projectWithoutDocument(entry, true), lost: [], source: null };
  if (main !== null && (await isDestroyed(main))) return gone;
  const loaded = new Map<string, Loaded>();
  const lost: string[] = [];
  const destroyed = new Set<string>();
  const load = async (commitment: string): Promise<Loaded | null> => {
    const found = await loadObject(commitment, read);
    if (found !== null) loaded.set(commitment, found);
    else if (await isDestroyed(commitment)) destroyed.add(commitment);
    else lost.push(commitment);
    return found;
  };
  const documents = await readDocuments(entry, load);
  if (documents === null) return { rows: projectWithoutDocument(entry, false), lost, source: null };
  const absent: PayloadFacts = { salt: Buffer.alloc(0), sha256: '', length: 0, contentType: '' };
  const facts = (commitment: string): PayloadFacts => {
    const found = loaded.get(commitment);
    if (found !== undefined) return found.facts;
    if (lost.includes(commitment) || destroyed.has(commitment)) return absent;
    throw new VerificationError(`entry ${entry.seq} names payload ${commitment} unexpectedly`);
  };
  const { source = null, ...input } = documents;
  const rows = projectEntry(entry, { ...input, facts }).filter(
    ({ table, row }) => table !== 'payloads' || loaded.has(String(row.commitment)),
  );
  return { rows, lost, source };
}

/** The payload that says what the entry means; null where the entry says all. */
function documentOf(entry: Entry): string | null {
  if ('document' in entry) return entry.document;
  return entry.type === 'run.finished' ? entry.report : null;
}

/** Loads the entry's document and what it names. @returns null when the document is not to be had */
async function readDocuments(
  entry: Entry,
  load: (commitment: string) => Promise<Loaded | null>,
): Promise<Documents | null> {
  const main = documentOf(entry);
  if (main === null) return {};
  const own = await load(main);
  if (own === null) return null;
  const text = own.bytes.toString('utf8');
  if (entry.type === 'item.captured') {
    const document = shaped(() => snapshotDocument.parse(JSON.parse(text)), entry);
    await load(document.slice.commitment);
    const stored = new Set<string>();
    for (const media of document.media) {
      if (media.commitment === null || media.since !== document.version || stored.has(media.commitment))
        continue;
      stored.add(media.commitment);
      await load(media.commitment);
    }
    return { document, seed: own.seed };
  }
  if (entry.type === 'run.finished') {
    const [head = '', ...lines] = text.trimEnd().split('\n');
    const { source } = shaped(() => runReportHead.parse(JSON.parse(head)), entry);
    const kept = shaped(
      () => lines.flatMap((line) => runPayload(runReportLine.parse(JSON.parse(line))) ?? []),
      entry,
    );
    for (const { commitment } of kept) await load(commitment);
    return { kept, source };
  }
  const document = shaped(() => observationDocument.parse(JSON.parse(text)), entry);
  if (document.answer !== null) await load(document.answer.commitment);
  return { document };
}

/** A document that fits its commitment and yet is not of its shape was never ours. */
function shaped<T>(parse: () => T, entry: Entry): T {
  try {
    return parse();
  } catch (cause) {
    throw new VerificationError(
      `the document of entry ${entry.seq} is not of the shape that FORMAT.md gives`,
      {
        hint: 'Run `muniment verify` where the archive still stands; rows cannot be made from this document.',
        cause,
      },
    );
  }
}

/** Keeps what is text; a medium is only hashed, however large it is. @returns null when it is absent or altered */
async function loadObject(commitment: string, read: ReadObject): Promise<Loaded | null> {
  try {
    const object = await read(commitment);
    const hash = createHash('sha256');
    const kept: Buffer[] = [];
    const isDocument = ['document', 'observation', 'report'].includes(object.metadata.role ?? '');
    let length = 0;
    for await (const chunk of object.body as AsyncIterable<Buffer>) {
      hash.update(chunk);
      length += chunk.length;
      if (isDocument) kept.push(chunk);
    }
    const salt = Buffer.from(object.metadata.salt ?? '', 'hex');
    const digest = hash.digest();
    if (payloadCommitment(salt, digest) !== commitment) return null;
    const { seed } = object.metadata;
    return {
      facts: { salt, sha256: digest.toString('hex'), length, contentType: object.contentType },
      bytes: Buffer.concat(kept),
      seed: seed === undefined ? undefined : Buffer.from(seed, 'hex'),
    };
  } catch (error) {
    if (error instanceof ObjectNotFoundError || error instanceof VerificationError) return null;
    throw error;
  }
}
