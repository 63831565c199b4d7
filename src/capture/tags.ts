// Which rules of watch words matched which versions. Working memory beside the ledger: nothing vouches for it, and the rules in force make it again.

import { sql } from 'kysely';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import type { SnapshotDocument } from '../ledger/documents.ts';

export interface Tag {
  readonly rule: string;
  readonly tag: string;
  /** Whether it is to be told at once; else in the digest. */
  readonly atOnce: boolean;
}

/** Says what matches a version. */
export type Tagging = (document: SnapshotDocument) => readonly Tag[];

export interface Tagged {
  readonly record: string;
  readonly snapshot: string;
  readonly tags: readonly Tag[];
}

/** Puts the tags of versions in the place of those that they had; what was told of one that stays, stays told. A version whose document is destroyed has none. */
export async function keepTags(
  db: Database | DatabaseTransaction,
  versions: readonly Tagged[],
  foundAt: string,
): Promise<void> {
  const rows = versions.flatMap(({ record, snapshot, tags }) =>
    tags.map(({ rule, tag, atOnce }) => ({ record, snapshot, rule, tag, atOnce })),
  );
  const snapshots = rows.map(({ snapshot }) => snapshot);
  const rules = rows.map(({ rule }) => rule);
  await sql`DELETE FROM record_tags AS t WHERE t.snapshot_id = ANY(${versions.map(({ snapshot }) => snapshot)}::uuid[])
    AND NOT EXISTS (SELECT FROM unnest(${snapshots}::uuid[], ${rules}::text[]) AS k (snapshot, rule) WHERE k.snapshot = t.snapshot_id AND k.rule = t.rule)`.execute(
    db,
  );
  if (rows.length === 0) return;
  await sql`
    INSERT INTO record_tags (record_id, snapshot_id, rule, tag, at_once, found_at)
    SELECT n.record, n.snapshot, n.rule, n.tag, n.at_once, ${foundAt}
    FROM unnest(${rows.map(({ record }) => record)}::uuid[], ${snapshots}::uuid[], ${rules}::text[], ${rows.map(({ tag }) => tag)}::text[],
                ${rows.map(({ atOnce }) => atOnce)}::boolean[]) AS n (record, snapshot, rule, tag, at_once)
    JOIN snapshots AS s ON s.id = n.snapshot
    WHERE s.content IS NOT NULL AND NOT EXISTS (SELECT FROM payload_destructions AS d WHERE d.commitment = s.document)
    ON CONFLICT (snapshot_id, rule) DO UPDATE SET tag = excluded.tag`.execute(db);
}
