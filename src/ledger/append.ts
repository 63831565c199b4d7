// The sequencer: the only code that writes the ledger. A batch is one transaction that locks the head, gives positions, inserts
// entries and the rows they stand for, and moves the head by compare-and-set. Either all of it is there or nothing.

import { sql } from 'kysely';
import { canonicalBytes, type Json } from '../core/canonical.ts';
import { type Clock, instantText } from '../core/clock.ts';
import { bodyCommitment, newSalt } from '../core/digest.ts';
import { RefusedError, VerificationError } from '../core/errors.ts';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import { decodeEntry, type Entry, type EntryDraft, encodeEntry, genesis, sealedBody } from './entry.ts';
import {
  PROJECTED_TABLES,
  type ProjectedRow,
  type ProjectionInput,
  projectEntry,
  type Row,
} from './projection.ts';
import { leafHash, RightEdge } from './tree.ts';

const ROWS_PER_INSERT = 500;

export interface Head {
  readonly size: number;
  readonly root: Buffer;
}

type DraftWithoutBody<T> = T extends { body: string } ? Omit<T, 'body'> : never;
/** A draft of an entry whose body goes to a restricted row; the entry gets the commitment. */
export type BodiedDraft = DraftWithoutBody<EntryDraft>;

/** What a writer may do inside the sequencer's transaction. Positions are final as soon as they are given. */
export interface Batch {
  readonly tx: DatabaseTransaction;
  /** Time of this batch's entries (RFC 3339 UTC, milliseconds). */
  readonly at: string;
  /** Adds an entry and the rows it stands for. @returns its position */
  add(draft: EntryDraft, input?: ProjectionInput): number;
  /**
   * Adds an entry with a body (FORMAT.md section 2). `kind` names the body for those who may read it.
   * @param salt of the commitment, where it had to be known before; absent: a fresh one
   */
  addWithBody(draft: BodiedDraft, kind: string, body: Json, salt?: Buffer): number;
  /** Runs in the same transaction once the entries stand, for rows that refer to them. */
  afterwards(work: () => Promise<unknown>): void;
}

const NO_DOCUMENT: ProjectionInput = {
  facts: (commitment) => {
    throw new TypeError(`an entry names payload ${commitment} but came without its facts`);
  },
};

export class Ledger {
  readonly origin: string;
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(options: { db: Database; origin: string; clock: Clock }) {
    this.#db = options.db;
    this.origin = options.origin;
    this.#clock = options.clock;
  }

  /** Makes the empty log. @throws RefusedError when one exists */
  async create(): Promise<void> {
    const at = instantText(this.#clock.now());
    const edge = RightEdge.from(0, []);
    const inserted = await this.#db
      .insertInto('ledger_head')
      .values({ size: 0, root: edge.root(), edge: edge.encode(), last: genesis(this.origin), at })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (inserted.numInsertedOrUpdatedRows !== 1n) {
      throw new RefusedError('this database already holds an archive', {
        hint: 'Use another database, or the home that it belongs to.',
      });
    }
  }

  /** @param db a transaction to read it in */
  async head(db: Database | DatabaseTransaction = this.#db): Promise<Head> {
    const row = await db.selectFrom('ledger_head').select(['size', 'root']).executeTakeFirst();
    if (row === undefined) {
      throw new VerificationError('the database has no ledger head', {
        hint: 'Restore a backup, or run `muniment init` for a new archive.',
      });
    }
    return row;
  }

  /**
   * Runs `work` under the sequencer's lock; what it added is written when it returns, in its transaction.
   * @param actor id of the account that acts
   * @throws whatever `work` throws: then nothing is written
   */
  async write<T>(actor: string, work: (batch: Batch) => Promise<T>): Promise<T> {
    return this.#db.transaction().execute(async (tx) => {
      const head = await this.#lockedHead(tx);
      const now = instantText(this.#clock.now());
      const at = [now, head.at].sort().at(-1) as string;
      const writer = new BatchWriter(tx, this.origin, actor, at, head);
      const result = await work(writer);
      await writer.flush();
      return result;
    });
  }

  /**
   * Takes over entries that were written before, as a published log or another database kept them, with rows that they stand for.
   * @throws VerificationError when they do not continue this log: then nothing is written
   */
  async adopt(entries: readonly Buffer[], rows: readonly ProjectedRow[]): Promise<void> {
    await this.#db.transaction().execute(async (tx) => {
      const head = await this.#lockedHead(tx);
      const writer = new BatchWriter(tx, this.origin, '', head.at, head);
      for (const entry of entries) writer.adopt(entry);
      writer.addRows(rows);
      await writer.flush();
    });
  }

  /**
   * Locks the head, and holds it against the newest stored entry: one entry on a head that does not fit, and the log can never be signed again.
   * @throws VerificationError when it does not fit
   */
  async #lockedHead(tx: DatabaseTransaction): Promise<StoredHead> {
    const head = await tx.selectFrom('ledger_head').selectAll().forUpdate().executeTakeFirst();
    if (head === undefined)
      throw new VerificationError('the database has no ledger head', { hint: 'Restore a backup.' });
    // A query of its own: a join would show the entries as they were before the wait for the lock.
    const newest = await tx
      .selectFrom('ledger_entries')
      .select(['seq', 'entry'])
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst();
    const fault = faultOf(head, newest, this.origin);
    if (fault === null) return head;
    throw new VerificationError(`the ledger's head does not fit its newest entry: ${fault}`, {
      hint: 'The database was changed outside Muniment; nothing was entered. Run `muniment verify`, and restore the database from a backup that verifies.',
    });
  }
}

interface StoredHead {
  readonly size: number;
  readonly root: Buffer;
  readonly edge: Buffer;
  readonly last: Buffer;
  readonly at: string;
}

/** @returns why the log cannot go on from this head, or null */
function faultOf(
  head: StoredHead,
  newest: { readonly seq: number; readonly entry: Buffer } | undefined,
  origin: string,
): string | null {
  const stored = newest === undefined ? 0 : newest.seq + 1;
  if (head.size !== stored) return `it has ${head.size} entries, and ${stored} are stored`;
  const last = newest === undefined ? genesis(origin) : leafHash(newest.entry);
  if (!head.last.equals(last)) return 'it continues another entry';
  try {
    if (newest !== undefined && decodeEntry(newest.entry).entry.at !== head.at)
      return 'it is of another time';
    if (!RightEdge.decode(head.size, head.edge).root().equals(head.root))
      return 'its right edge does not fold to its root';
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    return error.message;
  }
  return null;
}

class BatchWriter implements Batch {
  readonly tx: DatabaseTransaction;
  at: string;
  readonly #origin: string;
  readonly #actor: string;
  readonly #oldSize: number;
  readonly #edge: RightEdge;
  #last: Buffer;
  readonly #entries: Buffer[] = [];
  readonly #leaves: Buffer[] = [];
  readonly #subtrees: { level: number; n: number; hash: Buffer }[] = [];
  readonly #bodies: { seq: number; kind: string; salt: Buffer; body: Buffer }[] = [];
  readonly #rows: ProjectedRow[] = [];
  readonly #later: (() => Promise<unknown>)[] = [];

  constructor(
    tx: DatabaseTransaction,
    origin: string,
    actor: string,
    at: string,
    head: { size: number; edge: Buffer; last: Buffer },
  ) {
    this.tx = tx;
    this.at = at;
    this.#origin = origin;
    this.#actor = actor;
    this.#oldSize = head.size;
    this.#edge = RightEdge.decode(head.size, head.edge);
    this.#last = head.last;
  }

  add(draft: EntryDraft, input: ProjectionInput = NO_DOCUMENT): number {
    const seq = this.#edge.size;
    const entry = {
      ...draft,
      v: 1,
      origin: this.#origin,
      seq,
      prev: this.#last.toString('base64'),
      at: this.at,
      actor: this.#actor,
    } as Entry;
    this.#append(encodeEntry(entry));
    this.addRows(projectEntry(entry, input));
    return seq;
  }

  #append(bytes: Buffer): void {
    const leaf = leafHash(bytes);
    this.#edge.append(leaf, (level, index, hash) => {
      if (level > 0 && level % 8 === 0) this.#subtrees.push({ level: level / 8, n: index, hash });
    });
    this.#entries.push(bytes);
    this.#leaves.push(leaf);
    this.#last = leaf;
  }

  adopt(bytes: Buffer): void {
    const { entry } = decodeEntry(bytes);
    const { seq, prev, at, origin } = entry;
    if (seq !== this.#edge.size || prev !== this.#last.toString('base64') || origin !== this.#origin)
      throw new VerificationError(`entry ${seq} does not continue the ledger of ${this.#edge.size} entries`, {
        hint: 'It comes from another history. Nothing was taken over.',
      });
    this.at = at;
    this.#append(bytes);
  }

  addRows(rows: readonly ProjectedRow[]): void {
    for (const row of rows) this.#rows.push(row);
  }

  addWithBody(draft: BodiedDraft, kind: string, body: Json, salt: Buffer = newSalt()): number {
    const bytes = draft.type === 'sealed' ? sealedBody(body) : canonicalBytes(body);
    const seq = this.add({ ...draft, body: bodyCommitment(salt, bytes) } as EntryDraft);
    this.#bodies.push({ seq, kind, salt, body: bytes });
    return seq;
  }

  afterwards(work: () => Promise<unknown>): void {
    this.#later.push(work);
  }

  async flush(): Promise<void> {
    if (this.#entries.length === 0) return;
    const { tx } = this;
    await sql`INSERT INTO ledger_entries (seq, entry, leaf)
      SELECT ${this.#oldSize}::bigint + ordinality - 1, entry, leaf
      FROM unnest(${this.#entries}::bytea[], ${this.#leaves}::bytea[]) WITH ORDINALITY AS batch (entry, leaf, ordinality)`.execute(
      tx,
    );
    await insertRows(tx, 'ledger_subtrees', this.#subtrees);
    await insertRows(tx, 'entry_bodies', this.#bodies);
    await insertProjected(tx, this.#rows);
    for (const work of this.#later) await work();
    const moved = await tx
      .updateTable('ledger_head')
      .set({
        size: this.#edge.size,
        root: this.#edge.root(),
        edge: this.#edge.encode(),
        last: this.#last,
        at: this.at,
      })
      .where('size', '=', this.#oldSize)
      .executeTakeFirst();
    if (moved.numUpdatedRows !== 1n)
      throw new VerificationError("the ledger head moved under the sequencer's lock");
  }
}

async function insertRows(
  tx: DatabaseTransaction,
  table: string,
  rows: readonly object[],
  present: 'refused' | 'left' = 'refused',
): Promise<void> {
  for (let from = 0; from < rows.length; from += ROWS_PER_INSERT) {
    // The table is one of ours and its rows come from code that knows its columns: the types cannot follow a computed table name.
    const insert = tx
      .insertInto(table as 'records')
      .values(rows.slice(from, from + ROWS_PER_INSERT) as never);
    await (present === 'left' ? insert.onConflict((conflict) => conflict.doNothing()) : insert).execute();
  }
}

/**
 * Inserts projected rows, tables in order. Also used when rows are made anew from the ledger.
 * @param present what becomes of a row whose key stands already: an error, or it is left as it is
 */
export async function insertProjected(
  tx: DatabaseTransaction,
  rows: readonly ProjectedRow[],
  present: 'refused' | 'left' = 'refused',
): Promise<void> {
  const byTable = Map.groupBy(rows, (row) => row.table);
  for (const table of PROJECTED_TABLES) {
    await insertRows(
      tx,
      table,
      (byTable.get(table) ?? []).map((projected): Row => projected.row),
      present,
    );
  }
}
