// Takes a ledger over from where it survived, and makes the rows that a database lost anew from entries and objects. Both can be
// interrupted and begun again.

import { bodyCommitment } from '../core/digest.ts';
import { VerificationError } from '../core/errors.ts';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import { keepVersions, storedVersions } from '../db/payload-versions.ts';
import { insertProjected, type Ledger } from '../ledger/append.ts';
import { impliedKind } from '../ledger/body-kind.ts';
import { ChainCheck } from '../ledger/chain.ts';
import { decodeEntry, type Entry } from '../ledger/entry.ts';
import { type ProjectedRow, projectWithoutDocument } from '../ledger/projection.ts';
import { entriesFrom } from '../ledger/reader.ts';
import { rebuildRows } from '../ledger/rebuild.ts';
import type { ObjectReader } from '../store/objects.ts';

/** Where entries survived. */
export interface EntrySource {
  readonly size: number;
  /** By ascending position, from the given one on. */
  entries(from: number): AsyncIterable<readonly { readonly seq: number; readonly entry: Buffer }[]>;
}

/** Appends entries from the ledger's present end on, with the destructions that they tell. @returns how many */
export async function adoptEntries(
  ledger: Ledger,
  source: EntrySource,
  options: { signal: AbortSignal; onProgress?: (entries: number) => void },
): Promise<number> {
  const { size } = await ledger.head();
  let adopted = 0;
  if (source.size <= size) return 0;
  for await (const batch of source.entries(size)) {
    options.signal.throwIfAborted();
    const entries = batch.filter(({ seq }) => seq >= size);
    const rows: ProjectedRow[] = [];
    for (const { entry } of entries) {
      const decoded = decodeEntry(entry);
      if (decoded.known && decoded.entry.type === 'payload.destroyed')
        rows.push(...projectWithoutDocument(decoded.entry, true));
    }
    await ledger.adopt(
      entries.map(({ entry }) => entry),
      rows,
    );
    adopted += entries.length;
    options.onProgress?.(size + adopted);
  }
  return adopted;
}

/** The ledger of a database, checked as a chain. @throws VerificationError when it is none */
export async function databaseEntries(db: Database, origin: string): Promise<EntrySource> {
  const chain = new ChainCheck(origin);
  for await (const batch of entriesFrom(db, Number.MIN_SAFE_INTEGER)) {
    const [problem] = (await chain.take(batch.map((one) => ({ ...one, leaf: null })))).problems;
    if (problem !== undefined)
      throw new VerificationError(`the ledger of that database cannot be taken over: ${problem.detail}`, {
        hint: 'Use the published log, or a backup.',
      });
  }
  return { size: chain.size, entries: (from) => entriesFrom(db, from, chain.size) };
}

const BODIES_AT_ONCE = 500;

/** Takes over bodies that their entries vouch for, and makes the rows of the accounts and sources that those bodies name. */
export async function copyBodies(
  from: Database,
  to: Database,
  size: number,
  signal: AbortSignal,
): Promise<void> {
  for (let first = 0; first < size; first += BODIES_AT_ONCE) {
    signal.throwIfAborted();
    const last = first + BODIES_AT_ONCE;
    const wanted = new Map<number, Entry & { body: string }>();
    for await (const batch of entriesFrom(to, first, Math.min(last, size)))
      for (const { seq, entry } of batch) {
        const decoded = decodeEntry(entry);
        if (decoded.known && 'body' in decoded.entry) wanted.set(seq, decoded.entry);
      }
    const rows = await from
      .selectFrom('entry_bodies')
      .selectAll()
      .where('seq', '>=', first)
      .where('seq', '<', last)
      .orderBy('seq')
      .execute();
    await to.transaction().execute(async (tx) => {
      for (const row of rows) {
        const entry = wanted.get(row.seq);
        if (entry?.body !== bodyCommitment(row.salt, row.body)) continue;
        await tx
          .insertInto('entry_bodies')
          .values({ ...row, kind: impliedKind(entry.type, row.body) ?? row.kind })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        if (entry.type === 'account.changed') await putAccount(from, tx, row);
        if (entry.type === 'source.changed') await putSource(tx, row);
      }
    });
  }
}

/** The newest entry of each comes last, and stays. Of the token no entry says anything: it is that of the row, where the row is that entry's. */
async function putAccount(
  from: Database,
  tx: DatabaseTransaction,
  { seq, body }: { seq: number; body: Buffer },
): Promise<void> {
  const { id, name, roles } = JSON.parse(body.toString('utf8')) as {
    id: string;
    name: string;
    roles: string[];
  };
  const present = await from
    .selectFrom('accounts')
    .select(['id', 'token_hash'])
    .where('seq', '=', seq)
    .executeTakeFirst();
  const row = { id, seq, name, roles, token_hash: present?.id === id ? present.token_hash : null };
  await tx
    .insertInto('accounts')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
}

async function putSource(
  tx: DatabaseTransaction,
  { seq, body }: { seq: number; body: Buffer },
): Promise<void> {
  const { id, name, platform } = JSON.parse(body.toString('utf8')) as {
    id: string;
    name: string;
    platform: string;
  };
  const row = { id, seq, name, platform };
  await tx
    .insertInto('sources')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
}

export interface RebuildOutcome {
  /** Payloads that are neither in the store nor destroyed; the first thousand of them. */
  readonly lost: { seq: number; commitment: string }[];
  readonly lostCount: number;
}

const LISTED = 1000;

/**
 * Makes the rows of a range of entries; those that stand are left as they are.
 * @param platformOf the platform of a source by its name, as the settings say
 */
export async function rebuildFrom(
  db: Database,
  store: ObjectReader,
  range: { readonly from: number; readonly to: number },
  options: {
    platformOf: (source: string) => string | undefined;
    signal: AbortSignal;
    onProgress?: (entries: number) => void;
  },
): Promise<RebuildOutcome> {
  const lost: RebuildOutcome['lost'] = [];
  let lostCount = 0;
  let kept: { commitment: string; version: string }[] = [];
  const read = async (commitment: string) => {
    const versions = await storedVersions(db, store.identity, [commitment]);
    const { object, body } = await store.get(commitment, versions.get(commitment) ?? null);
    if (object.version !== null) kept.push({ commitment, version: object.version });
    return { contentType: object.contentType, metadata: object.metadata, body };
  };
  const isDestroyed = async (commitment: string): Promise<boolean> => {
    const row = await db
      .selectFrom('payload_destructions')
      .select('seq')
      .where('commitment', '=', commitment)
      .executeTakeFirst();
    return row !== undefined;
  };
  /** Last entry on each source. */
  const sources = new Map<string, number>();
  for await (const batch of entriesFrom(db, range.from, range.to)) {
    options.signal.throwIfAborted();
    const rows: ProjectedRow[] = [];
    const named: { id: string; name: string }[] = [];
    for (const { seq, entry } of batch) {
      const decoded = decodeEntry(entry);
      if (decoded.known && decoded.entry.type === 'source.changed') sources.set(decoded.entry.source, seq);
      const rebuilt = await rebuildRows(entry, read, isDestroyed);
      rows.push(...rebuilt.rows);
      if (rebuilt.source !== null) named.push(rebuilt.source);
      for (const commitment of rebuilt.lost) if (lost.length < LISTED) lost.push({ seq, commitment });
      lostCount += rebuilt.lost.length;
    }
    await db.transaction().execute(async (tx) => {
      for (const { id, name } of named) {
        const seq = sources.get(id);
        const platform = options.platformOf(name);
        if (seq === undefined || platform === undefined) continue;
        await tx
          .insertInto('sources')
          .values({ id, seq, name, platform })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      }
      await keepVersions(tx, store.identity, kept);
      kept = [];
      await insertProjected(tx, await withoutDoubles(tx, rows), 'left');
    });
    options.onProgress?.((batch.at(-1) as { seq: number }).seq + 1);
  }
  return { lost, lostCount };
}

/** Erased identities have no key that a second insert would meet: a rebuild that goes on would double them. */
async function withoutDoubles(
  tx: DatabaseTransaction,
  rows: readonly ProjectedRow[],
): Promise<readonly ProjectedRow[]> {
  const erased = rows.flatMap(({ table, row }) =>
    table === 'record_identities' && row.platform_id === null ? [String(row.record_id)] : [],
  );
  if (erased.length === 0) return rows;
  const present = await tx
    .selectFrom('record_identities')
    .select('record_id')
    .where('record_id', 'in', erased)
    .execute();
  const doubles = new Set(present.map((row) => row.record_id));
  return rows.filter(
    ({ table, row }) => table !== 'record_identities' || !doubles.has(String(row.record_id)),
  );
}

/** @returns positions whose entry commits to a body that no row holds, in a range */
export async function bodiless(db: Database, from: number, to: number): Promise<number[]> {
  const missing: number[] = [];
  for await (const batch of entriesFrom(db, from, to)) {
    const first = batch[0]?.seq ?? 0;
    const last = batch.at(-1)?.seq ?? 0;
    const rows = await db
      .selectFrom('entry_bodies')
      .select(['seq', 'salt', 'body'])
      .where('seq', '>=', first)
      .where('seq', '<=', last)
      .execute();
    const bodies = new Map(rows.map((row) => [row.seq, bodyCommitment(row.salt, row.body)]));
    for (const { seq, entry } of batch) {
      const decoded = decodeEntry(entry);
      const wanted = decoded.known ? bodyOf(decoded.entry) : null;
      if (wanted !== null && bodies.get(seq) !== wanted) missing.push(seq);
    }
  }
  return missing;
}

function bodyOf(entry: Entry): string | null {
  return 'body' in entry ? entry.body : null;
}
