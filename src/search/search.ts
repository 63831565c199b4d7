// Search as people use it: the newest first, a page at a time. It reads what stands in the archive now; a destroyed record
// still shows that it was there, and nothing else.

import { sql } from 'kysely';
import type { ItemKind, RecordState } from '../core/vocabulary.ts';
import type { Database } from '../db/database.ts';
import { type AuthorView, loadRecords, openSnapshot, type RecordView } from './records.ts';
import { type AsOf, selectedRecords } from './selection.ts';

export interface SearchOptions {
  readonly text?: string | undefined;
  /** Name of a source. */
  readonly source?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly state?: RecordState | undefined;
  /** Given by watch words. */
  readonly tag?: string | undefined;
  readonly ids?: readonly string[] | undefined;
  readonly kinds?: readonly ItemKind[] | undefined;
  /** At most this many records; 50 unless told. */
  readonly limit?: number | undefined;
  readonly offset?: number | undefined;
}

/** A record in a list of results. Of a destroyed one only id and state are not null. */
export interface FoundRecord {
  readonly id: string;
  readonly sources: readonly string[] | null;
  readonly platform: string | null;
  readonly platformId: string | null;
  readonly url: string | null;
  readonly kind: ItemKind | null;
  readonly author: AuthorView | null;
  readonly createdAt: string | null;
  /** Of the latest version; posts have none, what feeds bring has. */
  readonly title: string | null;
  readonly text: string | null;
  /** How many versions there are. */
  readonly versions: number | null;
  readonly state: RecordState;
}

export interface SearchResult {
  /** All that match, not only this page. */
  readonly total: number;
  readonly records: readonly FoundRecord[];
}

/** @throws InputError on a date or id that is none */
export async function search(db: Database, options: SearchOptions, asOf: AsOf): Promise<SearchResult> {
  const { source, limit = 50, offset = 0, ...rest } = options;
  const selection = selectedRecords({ ...rest, sources: source === undefined ? undefined : [source] }, asOf);
  const tx = await openSnapshot(db);
  try {
    const count = await sql<{ total: number }>`SELECT count(*) AS total FROM (${selection}) found`.execute(
      tx,
    );
    const page = await sql<{ id: string }>`SELECT id FROM (${selection}) found
      ORDER BY moment DESC NULLS LAST, id DESC LIMIT ${limit} OFFSET ${offset}`.execute(tx);
    const placed = page.rows.map(({ id }) => ({ id, thread: { parent: null, depth: 0 } }));
    const records: FoundRecord[] = [];
    for await (const record of loadRecords(tx, placed, asOf.size)) records.push(found(record));
    return { total: count.rows[0]?.total ?? 0, records };
  } finally {
    await tx.rollback().execute();
  }
}

function found(record: RecordView): FoundRecord {
  const { id, state } = record;
  if (state === 'destroyed') {
    return {
      id,
      state,
      sources: null,
      platform: null,
      platformId: null,
      url: null,
      kind: null,
      author: null,
      createdAt: null,
      title: null,
      text: null,
      versions: null,
    };
  }
  const { platform, platformId, url, kind, author, createdAt, title, text, versions } = record;
  return {
    id,
    sources: record.sources.map(({ name }) => name),
    platform,
    platformId,
    url,
    kind,
    author,
    createdAt,
    title,
    text,
    versions: versions.length,
    state,
  };
}
