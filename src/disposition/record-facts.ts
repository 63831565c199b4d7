// Records as policy sees them: facts of all versions, from the rows, as of a position in the ledger.

import { sql } from 'kysely';
import { InputError, VerificationError } from '../core/errors.ts';
import type { ItemKind, VouchedBy } from '../core/vocabulary.ts';
import type { Database } from '../db/database.ts';
import type { RecordFacts } from '../policy/decide.ts';
import { CHANGED, COMMITTED, isOfType } from './vouched.ts';

/** @returns what policy must know of a record as of a position. @throws InputError when there is no such record */
export async function recordFacts(db: Database, record: string, size: number): Promise<RecordFacts> {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(record)) {
    throw new InputError(`${record} is no record id`, {
      hint: 'Record ids are UUIDs; `muniment search` prints them.',
    });
  }
  const facts = await factsOfRecords(db, [record], size);
  const found = facts.get(record);
  if (found === undefined) {
    throw new InputError(`the archive has no record ${record}`, {
      hint: '`muniment search` prints the ids of records.',
    });
  }
  if (found === 'destroyed')
    throw new InputError(`record ${record} was destroyed`, { hint: 'Its destruction is in the ledger.' });
  return found;
}

/** @returns of each that is known as of a position, what policy must know of it: all versions of all of them in two questions. @throws VerificationError as {@link sourcesOf} */
export async function factsOfRecords(
  db: Database,
  records: readonly string[],
  size: number,
): Promise<Map<string, RecordFacts | 'destroyed'>> {
  const list = sql`${records as string[]}::uuid[]`;
  const { rows } = await sql<VersionRow>`
    SELECT r.id, r.platform, r.kind, s.author_id, s.author_handle, s.author_name, s.title, s.text, s.tags, s.languages, s.created_at,
      s.created_from, s.captured_at
    FROM records AS r JOIN snapshots AS s ON s.record_id = r.id
    WHERE r.id = ANY(${list}) AND s.seq < ${size} ORDER BY r.id, s.version`.execute(db);
  const names = await sourcesOf(db, records, size);
  const versions = Map.groupBy(rows, (row) => row.id);
  return new Map([...versions].map(([id, own]) => [id, factsOf(own, names.get(id) ?? [])]));
}

/**
 * Names of the sources that show each record. A hold may be on a source, so a row that its entry does not vouch for must not hide one. Where
 * a restore lost the body, the row says what the run reports said; where these said nothing either, there is none.
 * @throws VerificationError when such a row is missing, or not what its entry says
 */
async function sourcesOf(
  db: Database,
  records: readonly string[],
  size: number,
): Promise<Map<string, string[]>> {
  const { rows } = await sql<{ record: string; source: string; name: string | null; sound: boolean }>`
    SELECT l.record_id AS record, l.source_id AS source, s.name, CASE WHEN s.id IS NULL
      THEN NOT EXISTS (SELECT FROM entry_bodies AS b WHERE position(convert_to('"id":"' || l.source_id || '"', 'UTF8') IN b.body) > 0)
      ELSE coalesce(${isOfType('source.changed')}
        AND position(convert_to('"source":"' || s.id || '"', 'UTF8') IN e.entry) > 0
        AND (b.seq IS NULL OR ${COMMITTED} AND convert_from(b.body, 'UTF8')::jsonb ->> 'name' = s.name), false) END AS sound
    FROM record_sources AS l LEFT JOIN sources AS s ON s.id = l.source_id
      LEFT JOIN ledger_entries AS e ON e.seq = s.seq LEFT JOIN entry_bodies AS b ON b.seq = s.seq
    WHERE l.record_id = ANY(${records as string[]}::uuid[]) AND l.seq < ${size} ORDER BY s.name`.execute(db);
  const unsound = rows.find(({ sound }) => !sound);
  if (unsound !== undefined)
    throw new VerificationError(
      `the row of source ${unsound.source} is missing, or not what its entry says: it may be under a hold`,
      { hint: CHANGED },
    );
  const names = new Map<string, string[]>();
  for (const { record, name } of rows)
    if (name !== null) names.set(record, [...(names.get(record) ?? []), name]);
  return names;
}

interface VersionRow {
  readonly id: string;
  readonly platform: string;
  readonly kind: ItemKind;
  readonly author_id: string | null;
  readonly author_handle: string | null;
  readonly author_name: string | null;
  readonly title: string | null;
  readonly text: string | null;
  readonly tags: string[] | null;
  readonly languages: string[] | null;
  readonly created_at: string | null;
  readonly created_from: VouchedBy | null;
  readonly captured_at: string | null;
}

/** @param versions of one record, the first before the others */
function factsOf(versions: readonly VersionRow[], names: readonly string[]): RecordFacts | 'destroyed' {
  const [first] = versions as readonly [VersionRow, ...VersionRow[]];
  const last = versions.at(-1) ?? first;
  if (first.captured_at === null) return 'destroyed';
  return {
    id: first.id,
    sources: names,
    platform: first.platform,
    kind: first.kind,
    authorId: last.author_id,
    authorHandle: last.author_handle,
    authorNames: versions
      .flatMap((row) => [row.author_id, row.author_handle, row.author_name])
      .filter((name) => name !== null),
    texts: versions.map((row) => [row.title ?? '', row.text ?? ''].join(' ').trim()),
    tags: last.tags ?? [],
    languages: last.languages ?? [],
    createdAt: first.created_at,
    createdAtFrom: first.created_from ?? 'unknown',
    firstCapturedAt: first.captured_at,
    dates: versions.flatMap(({ created_at, captured_at }) =>
      captured_at === null ? [] : [{ createdAt: created_at, capturedAt: captured_at }],
    ),
  };
}
