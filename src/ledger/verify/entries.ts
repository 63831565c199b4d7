// Entries held against everything that stands for them: body, payloads, rows.

import type { ChainBatch } from '../chain.ts';
import type { Entry } from '../entry.ts';
import { type PayloadFacts, PROJECTED_TABLES, projectEntry } from '../projection.ts';
import type { Bodies } from './bodies.ts';
import type { ArchiveReader, RowWithSeq } from './contract.ts';
import type { DestructionCheck } from './destructions.ts';
import { type DocumentCheck, isDocumented, NO_DOCUMENT } from './documents.ts';
import type { NamedCheck } from './named.ts';
import type { Description, PayloadCheck, ReadPayload } from './payloads.ts';
import type { RowCheck, RowsOf } from './rows.ts';

/** Payloads read at the same time. */
const CONCURRENCY = 8;

export class EntryCheck {
  /** Entries of a type that this Muniment does not know. */
  unknownTypes = 0;
  readonly #reader: ArchiveReader;
  readonly #bodies: Bodies;
  readonly #payloads: PayloadCheck;
  readonly #documents: DocumentCheck;
  readonly #destructions: DestructionCheck;
  readonly #named: NamedCheck;
  readonly #rows: RowCheck;

  constructor(
    reader: ArchiveReader,
    checks: {
      bodies: Bodies;
      payloads: PayloadCheck;
      documents: DocumentCheck;
      destructions: DestructionCheck;
      named: NamedCheck;
      rows: RowCheck;
    },
  ) {
    this.#reader = reader;
    this.#bodies = checks.bodies;
    this.#payloads = checks.payloads;
    this.#documents = checks.documents;
    this.#destructions = checks.destructions;
    this.#named = checks.named;
    this.#rows = checks.rows;
  }

  /** Reads what is stored for a batch table by table, then checks its entries, several at the same time. */
  async check(batch: ChainBatch['entries']): Promise<void> {
    const entries = batch.map(({ seq, entry: placed }) => {
      const entry = placed?.whole() ?? null;
      if (placed !== null && entry === null) this.unknownTypes += 1;
      if (entry !== null) this.#named.checkActor(entry);
      return { seq, entry };
    });
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return;
    const stored = new Map<string, RowWithSeq[]>();
    for (const table of [...PROJECTED_TABLES, 'entry_bodies'] as const) {
      const rows = await this.#reader.rows(table, first.seq, last.seq + 1);
      for (const [seq, own] of Map.groupBy(rows, (row) => row.seq)) stored.set(`${table}/${seq}`, own);
    }
    const rowsAt =
      (seq: number): RowsOf =>
      (table) =>
        stored.get(`${table}/${seq}`) ?? [];
    for (const { seq, entry } of entries) this.#bodies.check(seq, entry, rowsAt(seq));
    const payloadRows = [...stored].flatMap(([key, rows]) => (key.startsWith('payloads/') ? rows : []));
    const commitments = new Set(payloadRows.map((row) => String(row.commitment)));
    for (const { entry } of entries) for (const c of namedPayloads(entry)) commitments.add(c);
    const destroyed = await this.#reader.destructions([...commitments]);
    const queue = entries[Symbol.iterator]();
    const workers = Array.from({ length: Math.min(CONCURRENCY, entries.length) }, async () => {
      for (const { seq, entry } of queue) await this.#checkEntry(seq, entry, rowsAt(seq), destroyed);
    });
    await Promise.all(workers);
  }

  async #checkEntry(
    seq: number,
    entry: Entry | null,
    rowsOf: RowsOf,
    destroyed: ReadonlyMap<string, number>,
  ): Promise<void> {
    if (entry === null) return;
    const record = 'record' in entry ? entry.record : null;
    const payloads = new Map<string, ReadPayload>();
    const read = async (commitment: string, description: Description): Promise<ReadPayload> => {
      const known = payloads.get(commitment);
      if (known !== undefined) return known;
      const result = await this.#payloads.read(commitment, description, record, destroyed, entry);
      payloads.set(commitment, result);
      return result;
    };
    const { document, seed, kept, whole } = isDocumented(entry)
      ? await this.#documents.check(entry, read)
      : NO_DOCUMENT;
    // What a lost document would have named is known from the rows alone: enough to hold the bytes against their commitments.
    if (!whole)
      for (const row of rowsOf('payloads'))
        await read(String(row.commitment), { role: String(row.role), contentType: String(row.content_type) });
    if (entry.type === 'payload.destroyed') await this.#destructions.check(entry);
    if (whole && [...payloads.values()].every((p) => p.facts !== null)) {
      const expected = projectEntry(entry, {
        document,
        seed,
        kept,
        facts: (commitment) => (payloads.get(commitment) as ReadPayload).facts as PayloadFacts,
      });
      this.#rows.compare(seq, record, expected, rowsOf, destroyed);
    } else this.#rows.compareWithoutDocument(seq, entry, rowsOf, destroyed);
  }
}

function namedPayloads(entry: Entry | null): string[] {
  if (entry === null) return [];
  if ('document' in entry) return [entry.document];
  return entry.type === 'run.finished' ? [entry.report] : [];
}
