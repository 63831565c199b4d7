// Lets verification read a PostgreSQL archive and its store. Everything is read inside one repeatable-read transaction, so that an
// archive can be verified while it collects.

import type { Readable } from 'node:stream';
import { sql } from 'kysely';
import { MunimentError } from '../core/errors.ts';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import { standingLock, storedVersions } from '../db/payload-versions.ts';
import type { ArchiveReader, ComparedLock, CoveredPayload, RowWithSeq } from './verify/contract.ts';

const ENTRIES_PER_BATCH = 1000;

/** The right to read objects, as this room needs it. */
export interface ObjectSource {
  readonly identity: string;
  readonly lock: string;
  get(
    key: string,
    version?: string | null,
  ): Promise<{
    object: {
      contentType: string;
      length: number;
      metadata: Readonly<Record<string, string>>;
      lockedUntil: Temporal.Instant | null;
    };
    body: Readable;
  }>;
  lockedUntil(key: string, version: string | null): Promise<Temporal.Instant | null>;
  covered(): AsyncIterable<{ key: string; hidden: boolean; later: readonly string[] }>;
}

type Covered = Pick<CoveredPayload, 'hidden' | 'later'> & { readonly key: string };
const COVERED_PER_QUERY = 500;

/** Entries by ascending position, in batches, read one batch ahead. @param from first position; @param to first position not wanted */
export async function* entriesFrom(
  db: Database | DatabaseTransaction,
  from: number,
  to: number = Number.MAX_SAFE_INTEGER,
  perBatch = ENTRIES_PER_BATCH,
): AsyncIterable<{ seq: number; entry: Buffer; leaf: Buffer }[]> {
  const read = (next: number) =>
    db
      .selectFrom('ledger_entries')
      .select(['seq', 'entry', 'leaf'])
      .where('seq', '>=', next)
      .where('seq', '<', to)
      .orderBy('seq')
      .limit(perBatch)
      .execute();
  let coming = read(from);
  while (true) {
    const rows = await coming;
    const last = rows.at(-1);
    if (last === undefined) return;
    // The server reads on while the caller works on this batch.
    coming = read(last.seq + 1);
    coming.catch(() => undefined); // heard at the next turn, or never: a caller that stops early asked for nothing more
    yield rows;
  }
}

/** Runs `work` with a reader of one moment of the archive. */
export async function withArchiveReader<T>(
  db: Database,
  store: ObjectSource,
  work: (reader: ArchiveReader) => Promise<T>,
): Promise<T> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute((tx) => work(new DatabaseReader(tx, store)));
}

class DatabaseReader implements ArchiveReader {
  readonly #tx: DatabaseTransaction;
  readonly #store: ObjectSource;
  constructor(tx: DatabaseTransaction, store: ObjectSource) {
    this.#tx = tx;
    this.#store = store;
  }

  async *entries() {
    // A position below zero can only come from a hand that switched the checks off; it is read so that it is noticed.
    yield* entriesFrom(this.#tx, Number.MIN_SAFE_INTEGER);
  }

  async entry(seq: number): Promise<Buffer | null> {
    const row = await this.#tx
      .selectFrom('ledger_entries')
      .select('entry')
      .where('seq', '=', seq)
      .executeTakeFirst();
    return row?.entry ?? null;
  }

  async head() {
    const row = await this.#tx
      .selectFrom('ledger_head')
      .select(['size', 'root', 'edge', 'last', 'at'])
      .executeTakeFirst();
    return row ?? null;
  }

  async rows(table: Parameters<ArchiveReader['rows']>[0], from: number, to: number): Promise<RowWithSeq[]> {
    const { rows } =
      await sql<RowWithSeq>`SELECT * FROM ${sql.table(table)} WHERE seq >= ${from} AND seq < ${to}`.execute(
        this.#tx,
      );
    return rows;
  }

  async strayRows(table: Parameters<ArchiveReader['strayRows']>[0], size: number): Promise<number> {
    const { rows } = await sql<{
      n: number;
    }>`SELECT count(*) AS n FROM ${sql.table(table)} WHERE seq < 0 OR seq >= ${size}`.execute(this.#tx);
    return rows[0]?.n ?? 0;
  }

  async subtrees(keys: readonly { level: number; n: number }[]) {
    const { rows } = await sql<{ level: number; n: number; hash: Buffer }>`
      SELECT level, n, hash FROM ledger_subtrees
      JOIN unnest(${keys.map((k) => k.level)}::smallint[], ${keys.map((k) => k.n)}::bigint[]) AS asked (level, n) USING (level, n)`.execute(
      this.#tx,
    );
    return rows;
  }

  async checkpoints() {
    return this.#tx.selectFrom('checkpoints').select(['size', 'note']).orderBy('size').execute();
  }

  async destructions(commitments: readonly string[]): Promise<Map<string, number>> {
    if (commitments.length === 0) return new Map();
    const { rows } = await sql<{ commitment: string; seq: number }>`
      SELECT commitment, seq FROM payload_destructions WHERE commitment = ANY(${commitments as string[]}::text[])`.execute(
      this.#tx,
    );
    return new Map(rows.map((row) => [row.commitment, row.seq]));
  }

  async object(commitment: string, version?: string) {
    const versions = await storedVersions(this.#tx, this.#store.identity, [commitment]);
    const recorded = versions.get(commitment) ?? null;
    const { object, body } = await this.#store.get(commitment, version ?? recorded);
    const { contentType, length, metadata, lockedUntil } = object;
    const lock = version === undefined ? await this.#lock(commitment, recorded, lockedUntil) : null;
    return { contentType, length, metadata, body, lock };
  }

  /** @param told what came with the object: null also where the credentials may not see its lock */
  async #lock(
    commitment: string,
    version: string | null,
    told: Temporal.Instant | null,
  ): Promise<ComparedLock | null> {
    if (this.#store.lock === 'none') return null;
    const recorded = await standingLock(this.#tx, this.#store.identity, commitment);
    if (recorded === null) return null;
    try {
      return { recorded, real: told ?? (await this.#store.lockedUntil(commitment, version)) };
    } catch (error) {
      if (error instanceof MunimentError) return null; // whoever may not see locks can say nothing of them
      throw error;
    }
  }

  async *covered(): AsyncIterable<CoveredPayload> {
    let waiting: Covered[] = [];
    for await (const covered of this.#store.covered()) {
      waiting.push(covered);
      if (waiting.length < COVERED_PER_QUERY) continue;
      yield* await this.#payloadsAmong(waiting);
      waiting = [];
    }
    yield* await this.#payloadsAmong(waiting);
  }

  /** Left out: what no payload row names, and what was destroyed. */
  async #payloadsAmong(covered: readonly Covered[]): Promise<CoveredPayload[]> {
    if (covered.length === 0) return [];
    const { rows } = await sql<{ commitment: string; seq: number; record_id: string | null }>`
      SELECT commitment, seq, record_id FROM payloads
      WHERE salt IS NOT NULL AND commitment = ANY(${covered.map((one) => one.key)}::text[])`.execute(
      this.#tx,
    );
    const known = new Map(rows.map((row) => [row.commitment, row]));
    return covered.flatMap(({ key, hidden, later }) => {
      const row = known.get(key);
      return row === undefined
        ? []
        : [{ commitment: key, seq: row.seq, record: row.record_id, hidden, later }];
    });
  }
}
