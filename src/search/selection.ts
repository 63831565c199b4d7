// Which records a search or an export is about, as one SQL query. Dates are civil dates in the archive's zone over the creation
// date, or over the first capture where there is none; messages are left out unless their kind is asked for.

import { type RawBuilder, sql } from 'kysely';
import { InputError } from '../core/errors.ts';
import { isId } from '../core/ids.ts';
import type { ItemKind, RecordState } from '../core/vocabulary.ts';

/** A ledger position, and the zone in which the archive's civil dates are dates. */
export interface AsOf {
  /** Only what entries 0 to `size` − 1 say is read. */
  readonly size: number;
  readonly timezone: string;
}

/** All that are given must hold. */
export interface Selection {
  /** Names of sources. */
  readonly sources?: readonly string[] | undefined;
  /** First and last civil date, `YYYY-MM-DD`. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** All words, in any version's title, text or author: "exact phrase", -without, or. */
  readonly text?: string | undefined;
  readonly ids?: readonly string[] | undefined;
  readonly kinds?: readonly ItemKind[] | undefined;
  readonly state?: RecordState | undefined;
  /** Given by watch words to a version that is not destroyed. */
  readonly tag?: string | undefined;
}

// Platforms hand on what their users claim: a cast of 30 February would end the whole query, so only real dates are cast.
const REAL_DATE =
  '(?!0000)\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))' +
  '|(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][48]|[2468]0|[13579][26])00)-02-29';
const RFC3339 = `^(${REAL_DATE})[Tt ]([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?([Zz]|[+-](0\\d|1[0-4]):[0-5]\\d)$`;

/** @returns SQL for the moment that a column of RFC 3339 text names, NULL where it names none */
export function instantOf(column: string): RawBuilder<string | null> {
  const reference = sql.ref(column);
  return sql`CASE WHEN ${reference} ~ ${sql.lit(RFC3339)} THEN ${reference}::timestamptz END`;
}

/**
 * @returns a query of the selected records: id, names (its platform ids), platform, namespace, thread (opaque key), root_name,
 * in_reply_to, moment (creation or first capture), state
 * @throws InputError on a date or an id that is none
 */
export function selectedRecords(selection: Selection, asOf: AsOf): RawBuilder<unknown> {
  const { size } = asOf;
  const where = [sql`r.seq < ${size}`, ...recordConditions(selection, size)];
  const outer = [...momentConditions(selection, asOf.timezone)];
  if (selection.state !== undefined) outer.push(sql`one.state = ${selection.state}`);
  return sql`
    SELECT one.* FROM (
      SELECT r.id, r.platform, identity.names, identity.namespace, latest.in_reply_to,
             coalesce(latest.thread_root, identity.names[1]) AS root_name,
             CASE WHEN identity.names IS NULL THEN r.id::text
                  ELSE r.platform || chr(10) || identity.namespace || chr(10) || coalesce(latest.thread_root, identity.names[1]) END AS thread,
             coalesce(${instantOf('latest.created_at')}, first.captured_at) AS moment,
             CASE WHEN ${DESTROYED(size)} THEN 'destroyed'
                  WHEN coalesce(observed.state, 'restored') <> 'restored' THEN 'missing' ELSE 'live' END AS state
      FROM records r
      LEFT JOIN LATERAL (SELECT min(i.namespace) AS namespace, array_agg(i.platform_id ORDER BY i.seq, i.platform_id) AS names
        FROM record_identities i WHERE i.record_id = r.id AND i.seq < ${size} AND i.platform_id IS NOT NULL
        HAVING count(*) > 0) identity ON true
      LEFT JOIN LATERAL (SELECT s.created_at, s.in_reply_to, s.thread_root FROM snapshots s
        WHERE s.record_id = r.id AND s.seq < ${size} ORDER BY s.version DESC LIMIT 1) latest ON true
      LEFT JOIN snapshots first ON first.record_id = r.id AND first.version = 1
      LEFT JOIN LATERAL (SELECT t.state FROM record_states t
        WHERE t.record_id = r.id AND t.seq < ${size} ORDER BY t.seq DESC LIMIT 1) observed ON true
      WHERE ${sql.join(where, sql` AND `)}
    ) one
    ${outer.length === 0 ? sql`` : sql`WHERE ${sql.join(outer, sql` AND `)}`}`;
}

/** Every version is erased, or its document's destruction is in the ledger: as loadRecords decides. */
const DESTROYED = (
  size: number,
) => sql`NOT EXISTS (SELECT FROM snapshots s WHERE s.record_id = r.id AND s.seq < ${size}
  AND s.content IS NOT NULL AND NOT EXISTS (SELECT FROM payload_destructions d WHERE d.commitment = s.document AND d.seq < ${size}))`;

function recordConditions(selection: Selection, size: number): RawBuilder<unknown>[] {
  const conditions: RawBuilder<unknown>[] = [];
  if (selection.sources !== undefined) {
    conditions.push(sql`EXISTS (SELECT FROM record_sources rs JOIN sources so ON so.id = rs.source_id
      WHERE rs.record_id = r.id AND rs.seq < ${size} AND so.name = ANY(${[...selection.sources]}::text[]))`);
  }
  if (selection.ids !== undefined) {
    for (const id of selection.ids) {
      if (!isId(id))
        throw new InputError(`${JSON.stringify(id)} is not a record id`, {
          hint: 'Record ids are printed by `muniment search`.',
        });
    }
    conditions.push(sql`r.id = ANY(${[...selection.ids]}::uuid[])`);
  }
  conditions.push(
    selection.kinds === undefined
      ? sql`r.kind <> 'message'`
      : sql`r.kind = ANY(${[...selection.kinds]}::text[])`,
  );
  if (selection.tag !== undefined)
    conditions.push(sql`r.id IN (SELECT t.record_id FROM record_tags t JOIN snapshots s ON s.id = t.snapshot_id
      WHERE t.tag = ${selection.tag} AND s.seq < ${size} AND s.content IS NOT NULL
        AND NOT EXISTS (SELECT FROM payload_destructions d WHERE d.commitment = s.document AND d.seq < ${size}))`);
  if (selection.text !== undefined) conditions.push(textCondition(selection.text, size));
  return conditions;
}

// Scripts written without spaces: the parser makes one word of a whole sentence, so their words are looked for as parts of it.
const UNSPACED = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff\u{20000}-\u{3ffff}]/u;
const HAS_WORD = /[\p{L}\p{N}]/u;

const WORDS = sql`coalesce(s.title, '') || ' ' || coalesce(s.text, '') || ' ' || coalesce(s.author_handle, '') || ' ' || coalesce(s.author_name, '')`;

function textCondition(text: string, size: number): RawBuilder<unknown> {
  const clean = text.replaceAll('\u0000', ' ').toWellFormed();
  const parts = clean.split(/\s+/).filter((part) => part !== '');
  const inParts = UNSPACED.test(clean) || !HAS_WORD.test(clean);
  const match = inParts
    ? sql.join(
        parts.map((part) => sql`strpos(lower(${WORDS}), lower(${part})) > 0`),
        sql` AND `,
      )
    : sql`to_tsvector('simple', ${WORDS}) @@ websearch_to_tsquery('simple', ${clean})`;
  if (parts.length === 0) return sql`true`;
  // Destroyed content is erased from these columns; should one be filled again, it is still not found.
  return sql`r.id IN (SELECT s.record_id FROM snapshots s WHERE s.seq < ${size} AND ${match}
    AND NOT EXISTS (SELECT FROM payload_destructions d WHERE d.commitment = s.document AND d.seq < ${size}))`;
}

function momentConditions(selection: Selection, timezone: string): RawBuilder<unknown>[] {
  const conditions: RawBuilder<unknown>[] = [];
  if (selection.from !== undefined) {
    conditions.push(sql`one.moment >= ${startOfDay(selection.from, timezone, 0)}::timestamptz`);
  }
  if (selection.to !== undefined)
    conditions.push(sql`one.moment < ${startOfDay(selection.to, timezone, 1)}::timestamptz`);
  return conditions;
}

function startOfDay(date: string, timezone: string, daysLater: number): string {
  let day: Temporal.PlainDate;
  try {
    if (!/^\d{4}-\d{2}-\d{2}$/.test(date)) throw new RangeError('not of the form YYYY-MM-DD');
    day = Temporal.PlainDate.from(date);
  } catch (cause) {
    throw new InputError(`${JSON.stringify(date)} is not a date`, {
      hint: 'Give dates as YYYY-MM-DD, e.g. 2026-11-01.',
      cause,
    });
  }
  return day.add({ days: daysLater }).toZonedDateTime(timezone).toInstant().toString();
}
