// Holds a store's sorted listing against the archive's rows, sorted alike: a merge that keeps one object and one row in memory, however
// many there are. Sweeping and copying both go by it.

import { ServiceError } from '../core/errors.ts';
import type { DatabaseHandle } from '../db/database.ts';
import type { ListedObject } from '../store/objects.ts';

/** What the rows say of one payload. */
export interface PayloadRow {
  readonly commitment: string;
  /** Position of the entry that said it was destroyed, or null. */
  readonly destroyed: number | null;
  /** Whether a row says that the store asked about was given this payload. */
  readonly kept: boolean;
  /** Null for a destroyed payload of which a rebuilt archive knows nothing else. */
  readonly seq: number | null;
  readonly record: string | null;
  readonly run: string | null;
  readonly role: string | null;
  readonly contentType: string | null;
  readonly length: number;
  readonly salt: Buffer | null;
  /** Disclosure seed, of a snapshot document. */
  readonly seed: Buffer | null;
}

const ROWS_PER_FETCH = 2000;

/**
 * Every payload that rows know, destroyed ones too, by commitment in the order of bytes, as of the moment of the first read. The sorted rows
 * lie on the server meanwhile (a cursor WITH HOLD), so that no transaction stays open however long the reader takes.
 * @param store identity of the store that `kept` is about
 */
export async function* payloadRows(
  database: Pick<DatabaseHandle, 'hold'>,
  store: string,
): AsyncGenerator<PayloadRow> {
  // The cursor, and what it keeps on the server, go with the connection.
  await using connection = await database.hold();
  await connection.query(
    `DECLARE payload_rows NO SCROLL CURSOR WITH HOLD FOR
       SELECT coalesce(p.commitment, d.commitment) AS commitment, d.seq AS destroyed, v.commitment IS NOT NULL AS kept,
              p.seq, p.record_id AS record, p.run_id AS run, p.role, p.content_type AS "contentType", coalesce(p.length, 0) AS length, p.salt, s.seed
       FROM payloads p FULL JOIN payload_destructions d ON d.commitment = p.commitment
       LEFT JOIN payload_versions v ON v.commitment = p.commitment AND v.store = $1
       LEFT JOIN snapshots s ON s.seq = p.seq AND s.document = p.commitment
       ORDER BY coalesce(p.commitment, d.commitment) COLLATE "C"`,
    [store],
  );
  for (;;) {
    const { rows } = await connection.query<PayloadRow>(`FETCH ${ROWS_PER_FETCH} FROM payload_rows`);
    if (rows.length === 0) return;
    yield* rows;
  }
}

export type Compared =
  | { readonly object: ListedObject; readonly row: null }
  | { readonly object: null; readonly row: PayloadRow }
  | { readonly object: ListedObject; readonly row: PayloadRow };

/**
 * @returns every key that either side has, ascending
 * @throws ServiceError when a side is out of order: then nothing said about what is absent would be true
 */
export async function* compare(
  objects: AsyncIterable<ListedObject>,
  rows: AsyncIterable<PayloadRow>,
): AsyncGenerator<Compared> {
  const left = ascending(objects, (object) => object.key, 'the store lists its objects');
  const right = ascending(rows, (row) => row.commitment, 'the database gives its rows');
  try {
    // The rows first: their moment is then before the listing's, so a payload that is entered meanwhile shows as an object without a row. The
    // other way round only a destruction shows, or a loss. Either is for the caller to ask about once more.
    let row = await next(right);
    let object = await next(left);
    while (object !== null || row !== null) {
      if (row === null || (object !== null && object.key < row.commitment)) {
        yield { object: object as ListedObject, row: null };
        object = await next(left);
      } else if (object === null || row.commitment < object.key) {
        yield { object: null, row };
        row = await next(right);
      } else {
        yield { object, row };
        object = await next(left);
        row = await next(right);
      }
    }
  } finally {
    await left.return(undefined);
    await right.return(undefined);
  }
}

async function next<T>(items: AsyncGenerator<T>): Promise<T | null> {
  const { done, value } = await items.next();
  return done ? null : value;
}

async function* ascending<T>(
  items: AsyncIterable<T>,
  keyOf: (item: T) => string,
  who: string,
): AsyncGenerator<T> {
  let before = '';
  for await (const item of items) {
    const key = keyOf(item);
    if (key <= before) {
      throw new ServiceError(`${who} out of order: ${key} came after ${before}`, {
        hint: 'Nothing can be told of what is missing. Report this with the name and version of the service.',
      });
    }
    before = key;
    yield item;
  }
}
