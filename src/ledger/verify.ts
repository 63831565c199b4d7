// Verifies a whole archive: the chain against a head pinned outside the database, every row against the entry it stands for, every
// payload against its commitment. Imports no driver: it reads through the three-part interface below and believes none of it.

import { createHash, type Hash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { Json } from '../core/canonical.ts';
import { bodyCommitment, payloadCommitment } from '../core/digest.ts';
import { MunimentError, ObjectNotFoundError, VerificationError } from '../core/errors.ts';
import { type ChainBatch, ChainCheck, type Problem, type StoredEntry } from './chain.ts';
import { disclosureTree } from './disclosure.ts';
import {
  type ObservationDocument,
  observationDocument,
  type SnapshotDocument,
  snapshotDocument,
} from './documents.ts';
import { archiveMark, decodeEntry, type Entry } from './entry.ts';
import {
  ERASED_COLUMNS,
  type PayloadFacts,
  PROJECTED_TABLES,
  type ProjectedTable,
  projectEntry,
  type Row,
} from './projection.ts';

export interface RowWithSeq extends Readonly<Record<string, unknown>> {
  readonly seq: number;
}

/** What verification reads: entries, rows by position, objects. An adapter for PostgreSQL is in reader.ts. */
export interface ArchiveReader {
  /** All stored entries by ascending position, in batches. */
  entries(): AsyncIterable<StoredEntry[]>;
  /** One entry's bytes, or null. */
  entry(seq: number): Promise<Buffer | null>;
  head(): Promise<{ size: number; root: Buffer; edge: Buffer } | null>;
  /** Rows of a table with `from <= seq < to`. */
  rows(
    table: ProjectedTable | 'entry_bodies' | 'accounts' | 'sources',
    from: number,
    to: number,
  ): Promise<RowWithSeq[]>;
  /** Number of rows whose position is no entry's. */
  strayRows(table: ProjectedTable | 'entry_bodies', size: number): Promise<number>;
  subtrees(
    keys: readonly { level: number; n: number }[],
  ): Promise<{ level: number; n: number; hash: Buffer }[]>;
  checkpoints(): Promise<{ size: number; note: string }[]>;
  /** The entry at which a payload is said to have been destroyed, by commitment. */
  destructions(commitments: readonly string[]): Promise<Map<string, number>>;
  /** @param version the store's id of another version than the recorded one. @throws ObjectNotFoundError */
  object(
    commitment: string,
    version?: string,
  ): Promise<{
    contentType: string;
    length: number;
    metadata: Readonly<Record<string, string>>;
    body: Readable;
  }>;
  /** Payloads that are not destroyed and in front of which something stands in the store. */
  covered(): AsyncIterable<CoveredPayload>;
}

export interface CoveredPayload {
  readonly commitment: string;
  readonly seq: number;
  readonly record: string | null;
  /** A delete marker is the newest thing under its key. */
  readonly hidden: boolean;
  /** Versions that came after it. */
  readonly later: readonly string[];
}

export interface VerifyOptions {
  readonly origin: string;
  /** The signed head pinned outside the database, or null when there is none. */
  readonly pinned: { readonly size: number; readonly root: Buffer } | null;
  /** Checkpoints from outside the operator's reach. */
  readonly anchors: readonly { readonly size: number; readonly root: Buffer }[];
  /** Opens a note of the checkpoints table with the pinned key. @throws VerificationError */
  readonly openCheckpoint: (note: string) => { size: number; root: Buffer };
  readonly onProgress?: (entries: number) => void;
  /** Called for every problem, also beyond those that the result lists. */
  readonly onProblem?: (problem: Problem) => void;
  readonly signal?: AbortSignal;
}

export interface VerifyResult {
  readonly ok: boolean;
  readonly origin: string;
  readonly size: number;
  /** base64 */
  readonly root: string;
  readonly entries: number;
  /** Entries beyond the last signed head, and beyond the last anchor. */
  readonly unsigned: number;
  readonly unanchored: number;
  /** Entries of a type that this Muniment does not know: in the chain, but of unverified meaning. */
  readonly unverifiedMeaning: number;
  /** Bodies that a restore said were lost, since it had to take their entries from a published log. */
  readonly lostBodies: number;
  readonly payloads: {
    intact: number;
    destroyed: number;
    missing: number;
    altered: number;
    presentAfterDestruction: number;
    /** Nothing is known of these: the store could not be asked. */
    unreadable: number;
    /** Intact, but a delete marker or a version of other bytes was put in front. */
    hidden: number;
    superseded: number;
  };
  readonly problems: Problem[];
  /** Problems found beyond those listed. */
  readonly unlisted: number;
}

const PROBLEMS_LISTED = 1000;
/** Payloads read at the same time. */
const CONCURRENCY = 8;

export async function verifyArchive(reader: ArchiveReader, options: VerifyOptions): Promise<VerifyResult> {
  return new ArchiveVerification(reader, options).run();
}

/** What entry and document say of a payload, and so its object must. */
interface Description {
  readonly role: string;
  readonly contentType: string;
}

const DOCUMENT = { role: 'document', contentType: 'application/json' } as const;
const OBSERVATION = { role: 'observation', contentType: 'application/json' } as const;
const REPORT = { role: 'report', contentType: 'application/jsonl' } as const;
const QUARANTINE = { role: 'quarantine', contentType: 'application/octet-stream' } as const;

interface ReadPayload {
  readonly state: 'intact' | 'destroyed' | 'missing' | 'altered' | 'unreadable';
  readonly facts: PayloadFacts | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly bytes: Buffer | null;
  /** Lines of a report that name quarantined payloads. */
  readonly quarantined: { commitment: string; length: number; sha256: string }[];
}

class ArchiveVerification {
  readonly #reader: ArchiveReader;
  readonly #options: VerifyOptions;
  readonly #problems: Problem[] = [];
  #unlisted = 0;
  #unknownTypes = 0;
  /** Problems that a later `restore.performed` may account for, by the position of the body that is missing. */
  readonly #bodiless: { readonly body: number; readonly problem: Problem }[] = [];
  readonly #replayed: { readonly from: number; readonly to: number }[] = [];
  /** The intent asked for last: destructions of one intent stand together. */
  #intent: {
    readonly seq: number;
    readonly payloads: ReadonlySet<string>;
    /** A sealed entry whose body is not there: what it named cannot be known. */
    readonly bodiless: boolean;
  } | null = null;
  readonly #payloads = {
    intact: 0,
    destroyed: 0,
    missing: 0,
    altered: 0,
    presentAfterDestruction: 0,
    unreadable: 0,
    hidden: 0,
    superseded: 0,
  };

  constructor(reader: ArchiveReader, options: VerifyOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  #problem(kind: string, seq: number | null, record: string | null, detail: string): void {
    this.#report({ kind, seq, record, detail });
  }

  #report(problem: Problem): void {
    this.#options.onProblem?.(problem);
    if (this.#problems.length < PROBLEMS_LISTED) this.#problems.push(problem);
    else this.#unlisted += 1;
  }

  /** A body may be missing where a restore had no more than the published entry; anywhere else it is a problem. @returns how many are */
  #judgeBodiless(): number {
    let lost = 0;
    for (const { body, problem } of this.#bodiless) {
      if (!this.#replayed.some(({ from, to }) => body >= from && body < to)) this.#report(problem);
      else if (problem.kind === 'body-missing') lost += 1;
    }
    return lost;
  }

  async run(): Promise<VerifyResult> {
    const { pinned, anchors, origin } = this.#options;
    const checkpoints = this.#openCheckpoints(await this.#reader.checkpoints());
    const wanted = [...checkpoints, ...anchors, ...(pinned === null ? [] : [pinned])];
    const chain = new ChainCheck(
      origin,
      wanted.map((head) => head.size),
    );
    for await (const stored of this.#reader.entries()) {
      this.#options.signal?.throwIfAborted();
      const batch = await chain.take(stored);
      for (const p of batch.problems) this.#problem(p.kind, p.seq, p.record, p.detail);
      await this.#checkSubtrees(batch.subtrees);
      await this.#checkRows(batch.entries);
      this.#options.onProgress?.(chain.size);
    }
    for (const checkpoint of checkpoints)
      this.#compareRoot(chain, checkpoint, 'checkpoint-differs', 'the stored checkpoint');
    for (const anchor of anchors)
      this.#compareRoot(chain, anchor, 'anchor-differs', 'the anchored checkpoint');
    if (pinned === null && checkpoints.length > 0) {
      this.#problem(
        'pinned-head-missing',
        null,
        null,
        'checkpoints were signed, yet the signed head kept outside the database is gone: a rewritten end would go unnoticed',
      );
    }
    if (pinned !== null)
      this.#compareRoot(chain, pinned, 'root-differs', 'the signed head kept outside the database');
    await this.#checkHead(chain);
    for (const table of [...PROJECTED_TABLES, 'entry_bodies'] as const) {
      const stray = await this.#reader.strayRows(table, chain.size);
      if (stray > 0)
        this.#problem(
          'row-unexpected',
          null,
          null,
          `${stray} row${stray === 1 ? '' : 's'} of ${table} belong${stray === 1 ? 's' : ''} to no entry`,
        );
    }
    await this.#checkCovered();
    const lostBodies = this.#judgeBodiless();
    const anchored = Math.max(0, ...anchors.map((a) => a.size));
    return {
      ok: this.#problems.length === 0,
      origin,
      size: chain.size,
      root: chain.root().toString('base64'),
      entries: chain.size,
      unsigned: Math.max(0, chain.size - (pinned?.size ?? 0)),
      unanchored: Math.max(0, chain.size - anchored),
      unverifiedMeaning: this.#unknownTypes,
      lostBodies,
      payloads: this.#payloads,
      problems: this.#problems,
      unlisted: this.#unlisted,
    };
  }

  #openCheckpoints(stored: { size: number; note: string }[]): { size: number; root: Buffer }[] {
    const opened: { size: number; root: Buffer }[] = [];
    for (const row of stored) {
      try {
        const checkpoint = this.#options.openCheckpoint(row.note);
        if (checkpoint.size !== row.size)
          this.#problem(
            'checkpoint-differs',
            row.size,
            null,
            `the checkpoint stored for size ${row.size} is of size ${checkpoint.size}`,
          );
        opened.push(checkpoint);
      } catch (error) {
        this.#problem(
          'checkpoint-differs',
          row.size,
          null,
          `the checkpoint stored for size ${row.size} does not verify: ${(error as Error).message}`,
        );
      }
    }
    return opened;
  }

  #compareRoot(chain: ChainCheck, head: { size: number; root: Buffer }, kind: string, what: string): void {
    const root = chain.rootAt(head.size);
    if (root === undefined) {
      this.#problem(
        'ledger-truncated',
        chain.size,
        null,
        `${what} covers ${head.size} entries, the ledger holds ${chain.size}`,
      );
    } else if (!root.equals(head.root)) {
      this.#problem(
        kind,
        null,
        null,
        `the first ${head.size} entries do not have the root of ${what}: at least one of them was changed`,
      );
    }
  }

  async #checkHead(chain: ChainCheck): Promise<void> {
    const head = await this.#reader.head();
    if (head === null) this.#problem('head-differs', null, null, 'the database has no ledger head');
    else if (head.size !== chain.size || !head.root.equals(chain.root())) {
      this.#problem(
        'head-differs',
        chain.size,
        null,
        `the stored head (size ${head.size}) is not the head of the stored entries (size ${chain.size})`,
      );
    }
  }

  async #checkSubtrees(expected: readonly { level: number; n: number; hash: Buffer }[]): Promise<void> {
    if (expected.length === 0) return;
    const stored = new Map((await this.#reader.subtrees(expected)).map((s) => [`${s.level}/${s.n}`, s.hash]));
    for (const { level, n, hash } of expected) {
      if (stored.get(`${level}/${n}`)?.equals(hash) !== true) {
        this.#problem(
          'subtree-differs',
          n * 256 ** level,
          null,
          `the stored root of subtree ${n} of level ${level} is not that of its entries`,
        );
      }
    }
  }

  async #checkRows(batch: ChainBatch['entries']): Promise<void> {
    const entries = batch.map(({ seq, entry: placed }) => {
      const entry = placed?.whole() ?? null;
      if (placed !== null && entry === null) this.#unknownTypes += 1;
      return { seq, entry };
    });
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return;
    const stored = new Map<string, RowWithSeq[]>();
    for (const table of [...PROJECTED_TABLES, 'entry_bodies', 'accounts', 'sources'] as const) {
      const rows = await this.#reader.rows(table, first.seq, last.seq + 1);
      for (const [seq, own] of Map.groupBy(rows, (row) => row.seq)) stored.set(`${table}/${seq}`, own);
    }
    const payloadRows = [...stored].flatMap(([key, rows]) => (key.startsWith('payloads/') ? rows : []));
    const commitments = new Set(payloadRows.map((row) => String(row.commitment)));
    for (const { entry } of entries) for (const c of namedPayloads(entry)) commitments.add(c);
    const destroyed = await this.#reader.destructions([...commitments]);
    const queue = entries[Symbol.iterator]();
    const workers = Array.from({ length: Math.min(CONCURRENCY, entries.length) }, async () => {
      for (const { seq, entry } of queue)
        await this.#checkEntryRows(seq, entry, (table) => stored.get(`${table}/${seq}`) ?? [], destroyed);
    });
    await Promise.all(workers);
  }

  async #checkEntryRows(
    seq: number,
    entry: Entry | null,
    rowsOf: (table: string) => RowWithSeq[],
    destroyed: ReadonlyMap<string, number>,
  ): Promise<void> {
    this.#checkBody(seq, entry, rowsOf);
    if (entry === null) return;
    const record = 'record' in entry ? entry.record : null;
    const payloads = new Map<string, ReadPayload>();
    const read = async (commitment: string, description: Description): Promise<ReadPayload> => {
      const known = payloads.get(commitment);
      if (known !== undefined) return known;
      const result = await this.#readPayload(commitment, description, record, destroyed, entry);
      payloads.set(commitment, result);
      return result;
    };
    let document: SnapshotDocument | ObservationDocument | undefined;
    let seed: Buffer | undefined;
    let quarantined: ReadPayload['quarantined'] = [];
    let whole = true;
    if (entry.type === 'item.captured') {
      const own = await read(entry.document, DOCUMENT);
      whole = own.state === 'intact';
      if (own.bytes !== null && whole) {
        document = this.#parse(snapshotDocument, own.bytes, seq, record) as SnapshotDocument | undefined;
        seed = own.metadata?.seed === undefined ? undefined : Buffer.from(own.metadata.seed, 'hex');
        if (document !== undefined) {
          this.#checkDisclosure(entry, own.bytes, seed);
          this.#compareDocument(entry, document);
          const { slice } = document;
          await read(slice.commitment, { role: 'slice', contentType: slice.mediaType });
          for (const { commitment, since, mediaType } of document.media) {
            if (commitment !== null && since === document.version)
              await read(commitment, { role: 'media', contentType: mediaType ?? '' });
          }
        } else whole = false;
      }
    } else if (entry.type === 'item.missing' || entry.type === 'item.restored') {
      const own = await read(entry.document, OBSERVATION);
      whole = own.state === 'intact';
      if (own.bytes !== null && whole) {
        const parsed = this.#parse(observationDocument, own.bytes, seq, record) as
          | ObservationDocument
          | undefined;
        if (parsed === undefined) whole = false;
        else {
          document = parsed;
          if (parsed.record !== entry.record)
            this.#problem(
              'document-differs',
              seq,
              record,
              'the observation document belongs to another record',
            );
          if (parsed.answer !== null) {
            const { commitment, mediaType } = parsed.answer;
            await read(commitment, { role: 'answer', contentType: mediaType });
          }
        }
      }
    } else if (entry.type === 'restore.performed') {
      const to = Math.min(entry.size + entry.replayed, seq);
      if (entry.replayed > 0) this.#replayed.push({ from: entry.size, to });
    } else if (entry.type === 'payload.destroyed') {
      await this.#checkDestruction(entry);
    } else if (entry.type === 'run.finished') {
      const own = await read(entry.report, REPORT);
      whole = own.state === 'intact';
      quarantined = own.quarantined;
      for (const q of quarantined) await read(q.commitment, QUARANTINE);
    }
    if (whole && [...payloads.values()].every((p) => p.facts !== null)) {
      const expected = projectEntry(entry, {
        document,
        seed,
        quarantined,
        facts: (commitment) => (payloads.get(commitment) as ReadPayload).facts as PayloadFacts,
      });
      this.#compareRows(seq, record, expected, rowsOf, destroyed);
    } else this.#compareWithoutDocument(seq, entry, rowsOf, destroyed);
  }

  #checkBody(seq: number, entry: Entry | null, rowsOf: (table: string) => RowWithSeq[]): void {
    const body = rowsOf('entry_bodies')[0];
    const commitment = entry !== null && 'body' in entry ? entry.body : null;
    if (commitment === null) {
      if (body !== undefined && entry !== null)
        this.#problem('row-unexpected', seq, null, `entry ${seq} has no body, yet a row holds one`);
      return;
    }
    if (body === undefined) {
      const detail = `the body of entry ${seq} is missing`;
      this.#bodiless.push({ body: seq, problem: { kind: 'body-missing', seq, record: null, detail } });
    } else if (bodyCommitment(body.salt as Buffer, body.body as Buffer) !== commitment) {
      this.#problem(
        'body-altered',
        seq,
        null,
        `the body of entry ${seq} is not the one that the entry commits to`,
      );
    } else this.#compareNamed(seq, entry, body.body as Buffer, rowsOf);
  }

  /** Rows of accounts and sources repeat the body of the entry that last changed them. */
  #compareNamed(
    seq: number,
    entry: Entry | null,
    body: Buffer,
    rowsOf: (table: string) => RowWithSeq[],
  ): void {
    const table =
      entry?.type === 'account.changed' ? 'accounts' : entry?.type === 'source.changed' ? 'sources' : null;
    const row = table === null ? undefined : rowsOf(table)[0];
    if (row === undefined) return;
    const named = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
    for (const column of table === 'accounts' ? ['id', 'name', 'roles'] : ['id', 'name', 'platform']) {
      if (cellText(row[column]) !== cellText(named[column])) {
        this.#problem('row-differs', seq, null, `${table}.${column} is not what entry ${seq} says`);
      }
    }
  }

  #checkDisclosure(
    entry: Extract<Entry, { type: 'item.captured' }>,
    bytes: Buffer,
    seed: Buffer | undefined,
  ): void {
    if (seed === undefined) {
      this.#problem(
        'payload-altered',
        entry.seq,
        entry.record,
        'the snapshot document has lost its disclosure seed',
      );
      return;
    }
    const tree = disclosureTree(JSON.parse(bytes.toString('utf8')) as Json, seed);
    if (tree.root.toString('hex') !== entry.disclosure || tree.leaves !== entry.leaves) {
      this.#problem(
        'disclosure-differs',
        entry.seq,
        entry.record,
        'the snapshot document does not have the disclosure root of its entry',
      );
    }
  }

  #compareDocument(entry: Extract<Entry, { type: 'item.captured' }>, document: SnapshotDocument): void {
    if (
      document.record !== entry.record ||
      document.snapshot !== entry.snapshot ||
      document.version !== entry.version ||
      document.run !== entry.run
    ) {
      this.#problem(
        'document-differs',
        entry.seq,
        entry.record,
        'the snapshot document names another record, snapshot, version or run than its entry',
      );
    }
  }

  #parse(
    schema: { safeParse(value: unknown): { success: true; data: unknown } | { success: false } },
    bytes: Buffer,
    seq: number,
    record: string | null,
  ): unknown {
    const parsed = schema.safeParse(JSON.parse(bytes.toString('utf8')));
    if (parsed.success) return parsed.data;
    this.#problem('document-differs', seq, record, 'the document is not of the shape that FORMAT.md gives');
    return undefined;
  }

  #compareRows(
    seq: number,
    record: string | null,
    expected: readonly { table: ProjectedTable; row: Row }[],
    rowsOf: (table: string) => RowWithSeq[],
    destroyed: ReadonlyMap<string, number>,
  ): void {
    for (const table of PROJECTED_TABLES) {
      const wanted = expected.filter((row) => row.table === table).map((row) => row.row);
      const left = [...rowsOf(table)];
      for (const row of wanted) {
        if (table === 'payloads' && destroyed.has(String(row.commitment))) {
          const at = left.findIndex((r) => r.commitment === row.commitment);
          if (at >= 0) this.#checkErased('payloads', left.splice(at, 1)[0] as RowWithSeq, seq, record);
          continue;
        }
        const at = left.findIndex((stored) => differing(row, stored) === null);
        if (at >= 0) {
          left.splice(at, 1);
          continue;
        }
        // The row that comes nearest is the one that was changed.
        const near = left.findIndex((stored) => sameKey(table, row, stored));
        if (near < 0)
          this.#problem('row-missing', seq, record, `${table} lacks a row that entry ${seq} stands for`);
        else {
          const column = differing(row, left[near] as RowWithSeq) as string;
          left.splice(near, 1);
          this.#problem(
            'row-differs',
            seq,
            record,
            `${table}.${column} is not what entry ${seq} and its document say`,
          );
        }
      }
      for (const row of left) this.#unexpected(table, row, seq, record);
    }
  }

  #unexpected(table: ProjectedTable, row: RowWithSeq, seq: number, record: string | null): void {
    this.#problem(
      'row-unexpected',
      seq,
      record,
      `${table} holds a row that entry ${seq} does not stand for${typeof row.id === 'string' ? ` (${row.id})` : ''}`,
    );
  }

  /** The document is gone (destroyed, missing or altered): what the entry says by itself still holds, and erased columns must be NULL. */
  #compareWithoutDocument(
    seq: number,
    entry: Entry,
    rowsOf: (table: string) => RowWithSeq[],
    destroyed: ReadonlyMap<string, number>,
  ): void {
    const record = 'record' in entry ? entry.record : null;
    for (const row of rowsOf('payloads')) {
      const commitment = String(row.commitment);
      if (destroyed.has(commitment)) this.#checkErased('payloads', row, seq, record);
    }
    if (entry.type === 'item.captured') {
      const row = rowsOf('snapshots')[0];
      const own = {
        id: entry.snapshot,
        record_id: entry.record,
        run_id: entry.run,
        version: entry.version,
        document: entry.document,
        disclosure: entry.disclosure,
        leaves: entry.leaves,
      };
      if (row === undefined)
        this.#problem('row-missing', seq, record, `snapshots lacks the row that entry ${seq} stands for`);
      else {
        const column = differing(own, row);
        if (column !== null)
          this.#problem('row-differs', seq, record, `snapshots.${column} is not what entry ${seq} says`);
        if (destroyed.has(entry.document)) this.#checkErased('snapshots', row, seq, record);
      }
      if (destroyed.has(entry.document))
        for (const identity of rowsOf('record_identities'))
          this.#checkErased('record_identities', identity, seq, record);
    }
  }

  #checkErased(
    table: keyof typeof ERASED_COLUMNS,
    row: RowWithSeq,
    seq: number,
    record: string | null,
  ): void {
    for (const column of ERASED_COLUMNS[table]) {
      if (row[column] !== null) {
        this.#payloads.presentAfterDestruction += 1;
        this.#problem(
          'present-after-destruction',
          seq,
          record,
          `${table}.${column} was erased and holds something again`,
        );
      }
    }
  }

  async #readPayload(
    commitment: string,
    description: Description,
    record: string | null,
    destroyed: ReadonlyMap<string, number>,
    entry: Entry,
  ): Promise<ReadPayload> {
    const { seq } = entry;
    const nothing = { facts: null, metadata: null, bytes: null, quarantined: [] };
    const destruction = destroyed.get(commitment);
    if (destruction !== undefined && !(await this.#isDestruction(destruction, commitment))) {
      this.#problem(
        'row-unexpected',
        destruction,
        record,
        `payload_destructions names entry ${destruction} for ${commitment}, which does not say so`,
      );
    } else if (destruction !== undefined) {
      // That it is truly gone is checked, and counted, at the entry that says so.
      return { ...nothing, state: 'destroyed' };
    }
    try {
      let read = await this.#read(commitment, description);
      // Once more, before the store is blamed for what may have happened on the way.
      if (read.commitment !== commitment) read = await this.#read(commitment, description);
      if (read.commitment === commitment) {
        const fault = descriptionFault(description, entry, read);
        if (fault === null) this.#payloads.intact += 1;
        else {
          this.#payloads.altered += 1;
          this.#problem('payload-altered', seq, record, `payload ${commitment} is stored with ${fault}`);
        }
        // The bytes are those committed to, so rows are compared all the same: with what the document says, not with the object.
        const facts = { ...read.facts, contentType: description.contentType };
        const { metadata, bytes, quarantined } = read;
        return { state: 'intact', facts, metadata, bytes, quarantined };
      }
    } catch (error) {
      if (error instanceof ObjectNotFoundError) {
        this.#payloads.missing += 1;
        this.#problem('payload-missing', seq, record, `payload ${commitment} is not in the store`);
        return { ...nothing, state: 'missing' };
      }
      // Damage that the store itself has found is an alteration; a store that cannot be asked says nothing about the payload.
      if (!(error instanceof VerificationError)) {
        this.#options.signal?.throwIfAborted();
        this.#payloads.unreadable += 1;
        this.#problem(
          'payload-unreadable',
          seq,
          record,
          `payload ${commitment} could not be read: ${(error as Error).message}`,
        );
        return { ...nothing, state: 'unreadable' };
      }
      this.#payloads.altered += 1;
      this.#problem('payload-altered', seq, record, `payload ${commitment}: ${error.message}`);
      return { ...nothing, state: 'altered' };
    }
    this.#payloads.altered += 1;
    this.#problem(
      'payload-altered',
      seq,
      record,
      `payload ${commitment} does not have the bytes or the salt that were committed to`,
    );
    return { ...nothing, state: 'altered' };
  }

  async #read(commitment: string, description: Description) {
    const object = await this.#reader.object(commitment);
    const { metadata, contentType } = object;
    const { digest, length, bytes, quarantined } = await consume(
      object.body,
      description === DOCUMENT || description === OBSERVATION,
      description === REPORT,
    );
    const salt = Buffer.from(metadata.salt ?? '', 'hex');
    const facts = { salt, sha256: digest.toString('hex'), length, contentType };
    return {
      commitment: payloadCommitment(salt, digest),
      facts,
      metadata,
      contentType,
      bytes,
      quarantined,
    };
  }

  /** What stands in front of a payload changes nothing that we read, but somebody put it there. */
  async #checkCovered(): Promise<void> {
    try {
      for await (const { commitment, seq, record, hidden, later } of this.#reader.covered()) {
        this.#options.signal?.throwIfAborted();
        if (hidden) {
          this.#payloads.hidden += 1;
          this.#problem(
            'payload-hidden',
            seq,
            record,
            `a delete marker was put in front of payload ${commitment}: other readers of the bucket do not see it`,
          );
        }
        for (const version of later) {
          // A put that was sent twice leaves the same bytes twice.
          if (await this.#isSame(commitment, version)) continue;
          this.#payloads.superseded += 1;
          this.#problem(
            'payload-superseded',
            seq,
            record,
            `a later version (${version}) of other bytes was put in front of payload ${commitment}`,
          );
          break;
        }
      }
    } catch (error) {
      if (!(error instanceof MunimentError)) throw error;
      this.#problem(
        'store-unreadable',
        null,
        null,
        `whether anything was put in front of payloads could not be learned: ${error.message}`,
      );
    }
  }

  async #isSame(commitment: string, version: string): Promise<boolean> {
    try {
      const { body, metadata } = await this.#reader.object(commitment, version);
      const { digest } = await consume(body, false, false);
      return payloadCommitment(Buffer.from(metadata.salt ?? '', 'hex'), digest) === commitment;
    } catch (error) {
      if (error instanceof ObjectNotFoundError) return true; // gone meanwhile
      throw error;
    }
  }

  /** Destroyed means: gone from the store, and by an intent that named it before. */
  async #checkDestruction(entry: Extract<Entry, { type: 'payload.destroyed' }>): Promise<void> {
    const { payload, seq, record, intent } = entry;
    if (intent >= seq || !(await this.#intentLists(intent)).has(payload)) {
      const detail = `entry ${intent} is no intent to destroy payload ${payload}`;
      const problem = { kind: 'destruction-without-intent', seq, record, detail };
      if (this.#intent?.bodiless === true && intent < seq) this.#bodiless.push({ body: intent, problem });
      else this.#report(problem);
    }
    try {
      const object = await this.#reader.object(payload);
      object.body.destroy();
    } catch (error) {
      if (error instanceof ObjectNotFoundError) {
        this.#payloads.destroyed += 1;
        return;
      }
      if (!(error instanceof MunimentError)) throw error;
      if (!(error instanceof VerificationError)) {
        this.#payloads.unreadable += 1;
        this.#problem(
          'payload-unreadable',
          seq,
          record,
          `whether payload ${payload}, destroyed by entry ${seq}, is gone could not be learned: ${error.message}`,
        );
        return;
      }
      // What is damaged is there all the same.
    }
    this.#payloads.presentAfterDestruction += 1;
    this.#problem(
      'present-after-destruction',
      seq,
      record,
      `payload ${payload} was destroyed by entry ${seq} and is in the store`,
    );
  }

  /** Payloads that an intent names; none when the entry is no intent, or its body is not the one committed to. */
  async #intentLists(seq: number): Promise<ReadonlySet<string>> {
    if (this.#intent?.seq === seq) return this.#intent.payloads;
    const payloads = new Set<string>();
    const bytes = await this.#reader.entry(seq);
    const [row] = await this.#reader.rows('entry_bodies', seq, seq + 1);
    const bodiless = row === undefined && bytes !== null && isSealed(bytes);
    if (bytes !== null && row?.kind === 'disposition.intent') {
      const decoded = decodeEntry(bytes);
      const body = row.body as Buffer;
      if (
        decoded.known &&
        decoded.entry.type === 'sealed' &&
        decoded.entry.body === bodyCommitment(row.salt as Buffer, body)
      ) {
        const { records } = JSON.parse(body.toString('utf8')) as { records: { payloads: string[] }[] };
        for (const listed of records) for (const payload of listed.payloads) payloads.add(payload);
      }
    }
    this.#intent = { seq, payloads, bodiless };
    return payloads;
  }

  async #isDestruction(seq: number, commitment: string): Promise<boolean> {
    const bytes = await this.#reader.entry(seq);
    if (bytes === null) return false;
    const decoded = decodeEntry(bytes);
    return (
      decoded.known && decoded.entry.type === 'payload.destroyed' && decoded.entry.payload === commitment
    );
  }
}

function isSealed(bytes: Buffer): boolean {
  try {
    const decoded = decodeEntry(bytes);
    return decoded.known && decoded.entry.type === 'sealed';
  } catch (error) {
    if (error instanceof VerificationError) return false; // the chain check reports it
    throw error;
  }
}

function namedPayloads(entry: Entry | null): string[] {
  if (entry === null) return [];
  if ('document' in entry) return [entry.document];
  return entry.type === 'run.finished' ? [entry.report] : [];
}

/** Documents up to this size are kept in memory; a larger one cannot be a document of ours. */
const DOCUMENT_LIMIT = 32 * 1024 * 1024;

async function consume(
  body: Readable,
  keep: boolean,
  report: boolean,
): Promise<{
  digest: Buffer;
  length: number;
  bytes: Buffer | null;
  quarantined: ReadPayload['quarantined'];
}> {
  const hash: Hash = createHash('sha256');
  const chunks: Buffer[] = [];
  const quarantined: ReadPayload['quarantined'] = [];
  let length = 0;
  let rest = '';
  for await (const chunk of body as AsyncIterable<Buffer>) {
    hash.update(chunk);
    length += chunk.length;
    if (keep && length <= DOCUMENT_LIMIT) chunks.push(chunk);
    if (report) {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith('{"quarantine":'))
          quarantined.push(
            (
              JSON.parse(Buffer.from(line, 'latin1').toString('utf8')) as {
                quarantine: { commitment: string; length: number; sha256: string };
              }
            ).quarantine,
          );
      }
    }
  }
  return {
    digest: hash.digest(),
    length,
    bytes: keep && length <= DOCUMENT_LIMIT ? Buffer.concat(chunks) : null,
    quarantined,
  };
}

/** @returns what an object is said to be and is not, or null. The commitment covers its bytes alone. */
function descriptionFault(
  description: Description,
  entry: Entry,
  object: { contentType: string; metadata: Readonly<Record<string, string>> },
): string | null {
  const wanted: Readonly<Record<string, string | undefined>> = {
    role: description.role,
    archive: archiveMark(entry.origin),
    record: 'record' in entry ? entry.record : undefined,
    run: entry.type === 'run.finished' ? entry.run : undefined,
  };
  if (object.contentType !== description.contentType)
    return `the content type ${object.contentType}, its document says ${description.contentType}`;
  for (const [name, value] of Object.entries(wanted)) {
    // Objects from before archives marked theirs have no mark; it says whose an object is to a sweep, and proves nothing.
    if (name === 'archive' && object.metadata.archive === undefined) continue;
    if (object.metadata[name] !== value)
      return `the ${name} ${object.metadata[name] ?? '(none)'} instead of ${value ?? '(none)'}`;
  }
  return null;
}

/** @returns the first column in which a stored row is not as it must be, or null */
function differing(expected: Readonly<Record<string, unknown>>, stored: RowWithSeq): string | null {
  for (const [column, value] of Object.entries(expected)) {
    if (cellText(value) !== cellText(stored[column])) return column;
  }
  return null;
}

function sameKey(table: ProjectedTable, expected: Row, stored: RowWithSeq): boolean {
  const key = {
    records: 'id',
    snapshots: 'id',
    payloads: 'commitment',
    capture_runs: 'id',
    bundles: 'id',
    payload_destructions: 'commitment',
  }[table as string];
  return key === undefined || cellText(expected[key]) === cellText(stored[key]);
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '\u0000null';
  if (Buffer.isBuffer(value)) return value.toString('hex');
  if (Array.isArray(value)) return JSON.stringify(value);
  return String(value);
}
