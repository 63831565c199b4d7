// Records as they stood at a ledger position: everything here reads only rows whose entry lies before it, so that any past
// checkpoint can be shown again. Order is the order of conversations, and memory holds one conversation's ids and one batch.

import { randomUUID } from 'node:crypto';
import { type Selectable, sql } from 'kysely';
import type { ItemKind, RecordState } from '../core/vocabulary.ts';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import type { RecordStates, Snapshots } from '../db/types.ts';
import { type AsOf, instantOf, type Selection, selectedRecords } from './selection.ts';

export interface AuthorView {
  readonly id: string | null;
  readonly handle: string | null;
  readonly name: string | null;
}

/** One snapshot of a record. Content fields are null once it is destroyed. */
export interface VersionView {
  readonly snapshot: string;
  readonly version: number;
  readonly seq: number;
  readonly run: string;
  /** Commitment to the snapshot document. */
  readonly document: string;
  readonly disclosure: string;
  readonly leaves: number;
  readonly seed: Buffer | null;
  readonly capturedAt: string | null;
  readonly url: string | null;
  readonly author: AuthorView;
  readonly createdAt: string | null;
  readonly createdAtFrom: string | null;
  readonly title: string | null;
  readonly text: string | null;
  readonly languages: readonly string[];
  readonly tags: readonly string[];
  readonly inReplyTo: string | null;
  readonly threadRoot: string | null;
}

/** What a look-up said about a record: missing in some way, or restored. */
export interface StateView {
  readonly seq: number;
  readonly state: string;
  readonly lastSeenAt: string | null;
  readonly firstMissingAt: string | null;
  readonly seenAt: string | null;
  /** Commitment to the observation document. */
  readonly document: string;
}

/** Everything a person is shown about a record. A destroyed one keeps id, kind, sources and positions alone. */
export interface RecordView {
  readonly id: string;
  readonly seq: number;
  /** By first entry, so the source that first showed it stands first. */
  readonly sources: readonly { readonly id: string; readonly name: string; readonly seq: number }[];
  readonly platform: string;
  readonly namespace: string | null;
  readonly platformId: string | null;
  readonly url: string | null;
  readonly kind: ItemKind;
  readonly author: AuthorView;
  readonly createdAt: string | null;
  readonly createdAtFrom: string | null;
  readonly title: string | null;
  /** Text of the latest version. */
  readonly text: string | null;
  readonly versions: readonly VersionView[];
  readonly states: readonly StateView[];
  readonly state: RecordState;
  readonly destruction: {
    /** Positions of the entries that say so; empty when it was destroyed after the position that is shown. */
    readonly seqs: readonly number[];
    /** Time of the last of them. */
    readonly at: string | null;
  } | null;
  /** Place in the conversation, as far as it was selected: the record replied to, and how deep. */
  readonly thread: { readonly parent: string | null; readonly depth: number };
}

const FETCH = 1000;
const BATCH = 100;

/**
 * Streams the selected records under one repeatable-read snapshot, by conversation: the root's creation date, root id, then
 * depth first by creation and id.
 * @throws InputError when a date of the selection is none
 */
export async function* streamRecords(
  db: Database,
  selection: Selection,
  asOf: AsOf,
): AsyncGenerator<RecordView> {
  const tx = await openSnapshot(db);
  try {
    yield* streamRecordsIn(tx, selection, asOf);
  } finally {
    await tx.rollback().execute();
  }
}

/** Opens a read-only snapshot of the database. The caller ends it by `rollback().execute()`. */
export function openSnapshot(db: Database) {
  return db.startTransaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute();
}

/** {@link streamRecords} inside a snapshot that the caller holds. */
export async function* streamRecordsIn(
  tx: DatabaseTransaction,
  selection: Selection,
  asOf: AsOf,
): AsyncGenerator<RecordView> {
  let batch: Placed[] = [];
  for await (const placed of conversations(tx, selection, asOf)) {
    batch.push(placed);
    if (batch.length === BATCH) {
      yield* loadRecords(tx, batch, asOf.size);
      batch = [];
    }
  }
  yield* loadRecords(tx, batch, asOf.size);
}

interface Placed {
  readonly id: string;
  readonly thread: { readonly parent: string | null; readonly depth: number };
}

interface Member {
  id: string;
  names: string[] | null;
  in_reply_to: string | null;
  thread: string;
}

async function* conversations(
  tx: DatabaseTransaction,
  selection: Selection,
  asOf: AsOf,
): AsyncGenerator<Placed> {
  const cursor = sql.id(`selected_${randomUUID().replaceAll('-', '')}`);
  const { size } = asOf;
  await sql`DECLARE ${cursor} NO SCROLL CURSOR FOR
    WITH chosen AS (${selectedRecords(selection, asOf)})
    SELECT c.id, c.names, c.in_reply_to, c.thread
    FROM (
      SELECT chosen.*, coalesce(root.moment, min(chosen.moment) OVER one) AS root_moment,
             coalesce(root.id::text, min(chosen.id::text) OVER one) AS root_id
      FROM chosen
      LEFT JOIN LATERAL (
        SELECT i.record_id AS id, coalesce(${instantOf('l.created_at')}, f.captured_at) AS moment
        FROM record_identities i
        JOIN LATERAL (SELECT s.created_at FROM snapshots s WHERE s.record_id = i.record_id AND s.seq < ${size}
                      ORDER BY s.version DESC LIMIT 1) l ON true
        JOIN snapshots f ON f.record_id = i.record_id AND f.version = 1
        WHERE i.platform = chosen.platform AND i.namespace = chosen.namespace AND i.platform_id = chosen.root_name AND i.seq < ${size}
      ) root ON true
      WINDOW one AS (PARTITION BY chosen.thread)
    ) c
    ORDER BY c.root_moment NULLS LAST, c.root_id COLLATE "C", c.thread COLLATE "C", c.moment NULLS LAST, c.id`.execute(
    tx,
  );
  let thread: Member[] = [];
  for (;;) {
    const { rows } = await sql<Member>`FETCH ${sql.lit(FETCH)} FROM ${cursor}`.execute(tx);
    for (const row of rows) {
      if (thread.length > 0 && thread[0]?.thread !== row.thread) {
        yield* depthFirst(thread);
        thread = [];
      }
      thread.push(row);
    }
    if (rows.length < FETCH) break;
  }
  yield* depthFirst(thread);
  await sql`CLOSE ${cursor}`.execute(tx);
}

/** Members come by creation and id; replies follow what they reply to. A circle of replies (hostile input) is cut, nobody is lost. */
function* depthFirst(members: readonly Member[]): Generator<Placed> {
  const byName = new Map<string, string>();
  for (const member of members) for (const name of member.names ?? []) byName.set(name, member.id);
  const parentOf = (member: Member): string | null => {
    const parent = member.in_reply_to === null ? undefined : byName.get(member.in_reply_to);
    return parent === undefined || parent === member.id ? null : parent;
  };
  const replies = Map.groupBy(members, parentOf);
  const placed = new Set<string>();
  const stack: { member: Member; depth: number }[] = [];
  const push = (list: readonly Member[], depth: number) => {
    for (const member of list.toReversed()) stack.push({ member, depth });
  };
  const starts = [...(replies.get(null) ?? []), ...members];
  for (const start of starts) {
    push([start], 0);
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { member, depth } = next;
      if (placed.has(member.id)) continue;
      placed.add(member.id);
      yield { id: member.id, thread: { parent: parentOf(member), depth } };
      push(replies.get(member.id) ?? [], depth + 1);
    }
  }
}

/** Reads what stands about these records before `size`, in the order given. */
export async function* loadRecords(
  tx: Database | DatabaseTransaction,
  placed: readonly Placed[],
  size: number,
): AsyncGenerator<RecordView> {
  if (placed.length === 0) return;
  const ids = placed.map((one) => one.id);
  const of = sql<boolean>`record_id = ANY(${ids}::uuid[])`;
  const records = await tx
    .selectFrom('records')
    .selectAll()
    .where(sql<boolean>`id = ANY(${ids}::uuid[])`)
    .execute();
  const identities = await tx
    .selectFrom('record_identities')
    .selectAll()
    .where(of)
    .where('seq', '<', size)
    .orderBy('seq')
    .execute();
  const linked = await tx
    .selectFrom('record_sources')
    .innerJoin('sources', 'sources.id', 'record_sources.source_id')
    .select(['record_sources.record_id', 'record_sources.seq', 'sources.id', 'sources.name'])
    .where(of)
    .where('record_sources.seq', '<', size)
    .orderBy('record_sources.seq')
    .orderBy('sources.id')
    .execute();
  const snapshots = await tx
    .selectFrom('snapshots')
    .selectAll()
    .where(of)
    .where('seq', '<', size)
    .orderBy('version')
    .execute();
  const states = await tx
    .selectFrom('record_states')
    .selectAll()
    .where(of)
    .where('seq', '<', size)
    .orderBy('seq')
    .execute();
  const destructions = await tx
    .selectFrom('payload_destructions')
    .innerJoin('ledger_entries', 'ledger_entries.seq', 'payload_destructions.seq')
    .select(['payload_destructions.record_id', 'payload_destructions.seq', 'payload_destructions.commitment'])
    .select(sql<string>`convert_from(ledger_entries.entry, 'UTF8')::jsonb ->> 'at'`.as('at'))
    .where(of)
    .where('payload_destructions.seq', '<', size)
    .orderBy('payload_destructions.seq')
    .execute();

  const recordById = new Map(records.map((row) => [row.id, row]));
  const identitiesBy = Map.groupBy(identities, (row) => row.record_id);
  const sourcesBy = Map.groupBy(linked, (row) => row.record_id);
  const snapshotsBy = Map.groupBy(snapshots, (row) => row.record_id);
  const statesBy = Map.groupBy(states, (row) => row.record_id);
  const destroyedBy = Map.groupBy(destructions, (row) => row.record_id);

  for (const { id, thread } of placed) {
    const record = recordById.get(id);
    if (record === undefined) continue;
    const gone = destroyedBy.get(id) ?? [];
    const goneDocuments = new Set(gone.map((row) => row.commitment));
    const all = snapshotsBy.get(id) ?? [];
    // An erased column stays erased in every view of the past; a column filled again after destruction is never shown.
    const destroyed = all.every((row) => row.content === null || goneDocuments.has(row.document));
    const versions = destroyed ? [] : all.map(versionView);
    const latest = versions.at(-1);
    const identity = destroyed ? undefined : identitiesBy.get(id)?.[0];
    const stateRows = (statesBy.get(id) ?? []).map(stateView);
    const last = stateRows.at(-1);
    yield {
      id,
      seq: record.seq,
      sources: (sourcesBy.get(id) ?? []).map(({ id, name, seq }) => ({ id, name, seq })),
      platform: record.platform,
      namespace: identity?.namespace ?? null,
      platformId: identity?.platform_id ?? null,
      url: latest?.url ?? null,
      kind: record.kind as ItemKind,
      author: latest?.author ?? { id: null, handle: null, name: null },
      createdAt: latest?.createdAt ?? null,
      createdAtFrom: latest?.createdAtFrom ?? null,
      title: latest?.title ?? null,
      text: latest?.text ?? null,
      versions,
      states: stateRows,
      state: destroyed ? 'destroyed' : last === undefined || last.state === 'restored' ? 'live' : 'missing',
      destruction: destroyed ? { seqs: gone.map((row) => row.seq), at: gone.at(-1)?.at ?? null } : null,
      thread,
    };
  }
}

function versionView(row: Selectable<Snapshots>): VersionView {
  return {
    snapshot: row.id,
    version: row.version,
    seq: row.seq,
    run: row.run_id,
    document: row.document,
    disclosure: row.disclosure,
    leaves: row.leaves,
    seed: row.seed,
    capturedAt: row.captured_at,
    url: row.url,
    author: { id: row.author_id, handle: row.author_handle, name: row.author_name },
    createdAt: row.created_at,
    createdAtFrom: row.created_from,
    title: row.title,
    text: row.text,
    languages: row.languages ?? [],
    tags: row.tags ?? [],
    inReplyTo: row.in_reply_to,
    threadRoot: row.thread_root,
  };
}

function stateView(row: Selectable<RecordStates>): StateView {
  return {
    seq: row.seq,
    state: row.state,
    lastSeenAt: row.last_seen_at,
    firstMissingAt: row.first_missing_at,
    seenAt: row.seen_at,
    document: row.document,
  };
}
