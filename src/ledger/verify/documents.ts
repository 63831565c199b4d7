// What the document or report of an entry says: whether it is of its shape and is that entry's, and the payloads that it names in turn.

import { type Json, parsedJson } from '../../core/canonical.ts';
import { disclosureTree } from '../disclosure.ts';
import {
  type ObservationDocument,
  observationDocument,
  type SnapshotDocument,
  snapshotDocument,
} from '../documents.ts';
import type { Entry } from '../entry.ts';
import type { Findings } from './findings.ts';
import { type Description, DOCUMENT, KEPT_TYPE, OBSERVATION, REPORT, type ReadPayload } from './payloads.ts';

/** What is known of an entry beyond itself, so that its rows can be compared. */
export interface Told {
  readonly document: SnapshotDocument | ObservationDocument | undefined;
  /** Disclosure seed of a snapshot document. */
  readonly seed: Buffer | undefined;
  readonly kept: ReadPayload['kept'];
  /** False when the document is destroyed, missing, altered, unreadable or not of its shape: then rows are known in part only. */
  readonly whole: boolean;
}

/** Of an entry that says all by itself. */
export const NO_DOCUMENT: Told = { document: undefined, seed: undefined, kept: [], whole: true };
const UNKNOWN: Told = { ...NO_DOCUMENT, whole: false };

type Captured = Extract<Entry, { type: 'item.captured' }>;
type Observed = Extract<Entry, { type: 'item.missing' | 'item.restored' }>;
type Finished = Extract<Entry, { type: 'run.finished' }>;
/** An entry whose document, or report, says what it means. */
export type DocumentedEntry = Captured | Observed | Finished;

/** Reads a payload that the entry, its document or a row of it names. */
export type Read = (commitment: string, description: Description) => Promise<ReadPayload>;

export function isDocumented(entry: Entry): entry is DocumentedEntry {
  return 'document' in entry || entry.type === 'run.finished';
}

export class DocumentCheck {
  readonly #findings: Findings;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Reads the document, and through it every payload that belongs to the entry. */
  check(entry: DocumentedEntry, read: Read): Promise<Told> {
    if (entry.type === 'item.captured') return this.#checkSnapshot(entry, read);
    if (entry.type === 'run.finished') return this.#checkReport(entry, read);
    return this.#checkObservation(entry, read);
  }

  async #checkReport(entry: Finished, read: Read): Promise<Told> {
    const { state, kept, misshapen } = await read(entry.report, REPORT);
    if (misshapen)
      this.#findings.problem(
        'document-differs',
        entry.seq,
        null,
        'a line of the run report is not of the shape that FORMAT.md gives',
      );
    for (const { commitment, role } of kept) await read(commitment, { role, contentType: KEPT_TYPE });
    return { document: undefined, seed: undefined, kept, whole: state === 'intact' && !misshapen };
  }

  async #checkSnapshot(entry: Captured, read: Read): Promise<Told> {
    const own = await read(entry.document, DOCUMENT);
    if (own.state !== 'intact') return UNKNOWN;
    if (own.bytes === null) return NO_DOCUMENT;
    const document = this.#parse(snapshotDocument, own.bytes, entry) as SnapshotDocument | undefined;
    const seed = own.metadata?.seed === undefined ? undefined : Buffer.from(own.metadata.seed, 'hex');
    if (document === undefined) return UNKNOWN;
    this.#checkDisclosure(entry, own.bytes, seed);
    this.#compareDocument(entry, document);
    const { slice } = document;
    await read(slice.commitment, { role: 'slice', contentType: slice.mediaType });
    for (const { commitment, since, mediaType } of document.media) {
      if (commitment !== null && since === document.version)
        await read(commitment, { role: 'media', contentType: mediaType ?? '' });
    }
    return { document, seed, kept: [], whole: true };
  }

  async #checkObservation(entry: Observed, read: Read): Promise<Told> {
    const own = await read(entry.document, OBSERVATION);
    if (own.state !== 'intact') return UNKNOWN;
    if (own.bytes === null) return NO_DOCUMENT;
    const document = this.#parse(observationDocument, own.bytes, entry) as ObservationDocument | undefined;
    if (document === undefined) return UNKNOWN;
    if (document.record !== entry.record)
      this.#findings.problem(
        'document-differs',
        entry.seq,
        entry.record,
        'the observation document belongs to another record',
      );
    if (document.answer !== null) {
      const { commitment, mediaType } = document.answer;
      await read(commitment, { role: 'answer', contentType: mediaType });
    }
    return { document, seed: undefined, kept: [], whole: true };
  }

  #parse(
    schema: { safeParse(value: unknown): { success: true; data: unknown } | { success: false } },
    bytes: Buffer,
    { seq, record }: Captured | Observed,
  ): unknown {
    const parsed = schema.safeParse(parsedJson(bytes));
    if (parsed.success) return parsed.data;
    this.#findings.problem(
      'document-differs',
      seq,
      record,
      'the document is not of the shape that FORMAT.md gives',
    );
    return undefined;
  }

  #checkDisclosure(entry: Captured, bytes: Buffer, seed: Buffer | undefined): void {
    if (seed === undefined) {
      this.#findings.problem(
        'payload-altered',
        entry.seq,
        entry.record,
        'the snapshot document has lost its disclosure seed',
      );
      return;
    }
    const tree = disclosureTree(JSON.parse(bytes.toString('utf8')) as Json, seed);
    if (tree.root.toString('hex') !== entry.disclosure || tree.leaves !== entry.leaves) {
      this.#findings.problem(
        'disclosure-differs',
        entry.seq,
        entry.record,
        'the snapshot document does not have the disclosure root of its entry',
      );
    }
  }

  #compareDocument(entry: Captured, document: SnapshotDocument): void {
    if (
      document.record !== entry.record ||
      document.snapshot !== entry.snapshot ||
      document.version !== entry.version ||
      document.run !== entry.run
    ) {
      this.#findings.problem(
        'document-differs',
        entry.seq,
        entry.record,
        'the snapshot document names another record, snapshot, version or run than its entry',
      );
    }
  }
}
