// What the archive knows already about the items of a page, and about the items that a run did not see. Read-only.

import { sql } from 'kysely';
import type { Identity } from '../core/vocabulary.ts';
import type { Database, DatabaseTransaction } from '../db/database.ts';

export interface KnownItem {
  readonly record: string;
  readonly linked: boolean;
  readonly version: number;
  readonly document: string;
  /** NULL once destroyed. */
  readonly content: string | null;
  readonly rule: string | null;
  /** Where the last version was imported: what versions under its rule have in `content`. A file that is imported again brings nothing of it anew. */
  readonly imported: readonly string[];
  readonly title: string | null;
  readonly text: string | null;
  readonly languages: readonly string[];
  readonly tags: readonly string[];
  readonly mediaMissing: number;
  /** Latest observed state, null when it was never found missing. */
  readonly state: string | null;
}

/** A key for maps: identities are compared whole. */
export function identityKey(identity: Identity): string {
  return JSON.stringify([identity.platform, identity.namespace, identity.platformId]);
}

/** @returns what is known of these identities, by {@link identityKey}; unknown ones are absent */
export async function knownItems(
  db: Database | DatabaseTransaction,
  source: string,
  identities: readonly Identity[],
): Promise<Map<string, KnownItem>> {
  if (identities.length === 0) return new Map();
  const { rows } = await sql<{
    platform: string;
    namespace: string;
    platform_id: string;
    record: string;
    linked: boolean;
    version: number;
    document: string;
    content: string | null;
    rule: string | null;
    imported: string[];
    title: string | null;
    text: string | null;
    languages: string[] | null;
    tags: string[] | null;
    media_missing: number | null;
    state: string | null;
  }>`
    SELECT i.platform, i.namespace, i.platform_id, i.record_id AS record, s.version, s.document, s.content, s.rule, s.title, s.text,
           s.languages, s.tags, s.media_missing, state.state,
           CASE WHEN s.rule ~ '-import/[0-9]+$' THEN ARRAY(
             SELECT content FROM snapshots WHERE record_id = i.record_id AND rule = s.rule AND content IS NOT NULL) ELSE '{}' END AS imported,
           EXISTS (SELECT FROM record_sources AS l WHERE l.record_id = i.record_id AND l.source_id = ${source}) AS linked
    FROM unnest(${identities.map((i) => i.platform)}::text[], ${identities.map((i) => i.namespace)}::text[],
                ${identities.map((i) => i.platformId)}::text[]) AS asked (platform, namespace, platform_id)
    JOIN record_identities AS i USING (platform, namespace, platform_id)
    JOIN LATERAL (SELECT * FROM snapshots WHERE record_id = i.record_id ORDER BY version DESC LIMIT 1) AS s ON true
    LEFT JOIN LATERAL (SELECT state FROM record_states WHERE record_id = i.record_id ORDER BY seq DESC LIMIT 1) AS state ON true`.execute(
    db,
  );
  return new Map(
    rows.map((row) => [
      identityKey({ platform: row.platform, namespace: row.namespace, platformId: row.platform_id }),
      {
        record: row.record,
        linked: row.linked,
        version: row.version,
        document: row.document,
        content: row.content,
        rule: row.rule,
        imported: row.imported,
        title: row.title,
        text: row.text,
        languages: row.languages ?? [],
        tags: row.tags ?? [],
        mediaMissing: row.media_missing ?? 0,
        state: row.state,
      },
    ]),
  );
}

export interface UnseenItem {
  readonly record: string;
  readonly identity: Identity;
  readonly lastSeenAt: string;
}

/** Items of a source that this run did not see and that were not found missing before; in pages of at most `limit`. */
export async function* unseenItems(
  db: Database,
  source: string,
  run: string,
  limit: number,
): AsyncIterable<UnseenItem[]> {
  let after = '00000000-0000-0000-0000-000000000000';
  while (true) {
    const { rows } = await sql<{
      record: string;
      platform: string;
      namespace: string;
      platform_id: string;
      last_seen_at: string;
    }>`
      SELECT l.record_id AS record, i.platform, i.namespace, i.platform_id, coalesce(seen.seen_at, s.captured_at) AS last_seen_at
      FROM record_sources AS l
      JOIN LATERAL (SELECT * FROM record_identities WHERE record_id = l.record_id AND platform_id IS NOT NULL ORDER BY seq LIMIT 1) AS i ON true
      JOIN LATERAL (SELECT captured_at FROM snapshots WHERE record_id = l.record_id ORDER BY version DESC LIMIT 1) AS s ON true
      LEFT JOIN sightings AS seen ON seen.record_id = l.record_id AND seen.source_id = l.source_id
      LEFT JOIN LATERAL (SELECT state FROM record_states WHERE record_id = l.record_id ORDER BY seq DESC LIMIT 1) AS state ON true
      WHERE l.source_id = ${source} AND l.record_id > ${after} AND seen.run_id IS DISTINCT FROM ${run}
        AND (state.state IS NULL OR state.state = 'restored')
      ORDER BY l.record_id LIMIT ${limit}`.execute(db);
    if (rows.length === 0) return;
    yield rows.map((row) => ({
      record: row.record,
      identity: { platform: row.platform, namespace: row.namespace, platformId: row.platform_id },
      lastSeenAt: row.last_seen_at,
    }));
    after = (rows.at(-1) as { record: string }).record;
  }
}

/** @returns the document of the record's last version, if possible of the last that this source captured; null when there is none */
export async function lastDocument(db: Database, source: string, record: string): Promise<string | null> {
  const { rows } = await sql<{ document: string }>`
    SELECT s.document FROM snapshots AS s LEFT JOIN capture_runs AS r ON r.id = s.run_id
    WHERE s.record_id = ${record} ORDER BY (r.source_id = ${source}) DESC NULLS LAST, s.version DESC LIMIT 1`.execute(
    db,
  );
  return rows[0]?.document ?? null;
}

/** @returns the media of a record that are stored, by SHA-256 in hex, each with the version that first stored it, however many came between */
export async function storedMedia(
  db: Database,
  record: string,
): Promise<Map<string, { commitment: string; since: number }>> {
  const rows = await db
    .selectFrom('payloads as p')
    .innerJoin('snapshots as s', (join) =>
      join.onRef('s.record_id', '=', 'p.record_id').onRef('s.seq', '=', 'p.seq'),
    )
    .select(['p.commitment', 'p.sha256', 's.version'])
    .where('p.record_id', '=', record)
    .where('p.role', '=', 'media')
    .execute();
  return new Map(
    rows.flatMap(({ commitment, sha256, version }) =>
      sha256 === null ? [] : [[sha256, { commitment, since: version }] as const],
    ),
  );
}
