// What restores mean for a sweep: what was stored between the backup and the restore may be all that is left of records that no row knows
// any more, and a store that came with a restore by reference may still be the store of the archive that was backed up.

import { sql } from 'kysely';
import { RefusedError } from '../core/errors.ts';
import type { Database } from '../db/database.ts';
import { STORE_COPIED } from '../ledger/store-in-force.ts';

/** Clocks of stores and ours differ, and a run stores before it enters. */
const MARGIN = { hours: 24 };

/** Objects stored in between are evidence until somebody knows better. */
export interface Gap {
  readonly from: Temporal.Instant;
  readonly until: Temporal.Instant;
}

interface Restore {
  readonly seq: number;
  readonly entry: {
    readonly from: string;
    readonly size: number;
    readonly replayed: number;
    readonly at: string;
  };
  readonly body: { readonly sharedStore?: string | null } | null;
}

/** Found by their entries: a body may be lost. */
async function restores(db: Database): Promise<Restore[]> {
  const { rows } = await sql<{ seq: number; entry: Buffer; body: Buffer | null }>`
    SELECT e.seq, e.entry, b.body FROM ledger_entries AS e LEFT JOIN entry_bodies AS b ON b.seq = e.seq
    WHERE position(convert_to('"type":"restore.performed"', 'UTF8') IN e.entry) > 0 ORDER BY e.seq`.execute(
    db,
  );
  return rows.map(({ seq, entry, body }) => ({
    seq,
    entry: JSON.parse(entry.toString('utf8')) as Restore['entry'],
    body: body === null ? null : (JSON.parse(body.toString('utf8')) as Restore['body']),
  }));
}

/** @returns for every restore and rebuild the time from the last entry that came back until it was made, with a margin on both sides */
export async function gaps(db: Database): Promise<Gap[]> {
  const found: Gap[] = [];
  for (const { entry } of await restores(db)) {
    const last = await db
      .selectFrom('ledger_entries')
      .select('entry')
      .where('seq', '=', entry.size + entry.replayed - 1)
      .executeTakeFirstOrThrow();
    const { at } = JSON.parse(last.entry.toString('utf8')) as { at: string };
    found.push({
      from: Temporal.Instant.from(at).subtract(MARGIN),
      until: Temporal.Instant.from(entry.at).add(MARGIN),
    });
  }
  return found;
}

/** @returns position of the restore by which the archive has the store of another one; null: it shares none */
export async function sharedSince(db: Database, identity: string): Promise<number | null> {
  for (const { seq, entry, body } of await restores(db)) {
    if (entry.from !== 'backup' || body?.sharedStore === null) continue;
    if (body?.sharedStore === identity) return seq;
    // A restore that does not say counts as one that shares, until the archive has moved.
    if (body?.sharedStore === undefined && !(await movedHere(db, identity, seq))) return seq;
  }
  return null;
}

async function movedHere(db: Database, identity: string, since: number): Promise<boolean> {
  const { rows } = await sql`
    SELECT FROM entry_bodies WHERE kind = ${STORE_COPIED} AND seq > ${since}
      AND convert_from(body, 'UTF8')::jsonb -> 'to' ->> 'identity' = ${identity}`.execute(db);
  return rows.length > 0;
}

/** @throws RefusedError when another archive may have the same store: what this one does not know may be that one's record */
export async function requireOwnStore(
  db: Database,
  store: { readonly identity: string; readonly location: string },
): Promise<void> {
  const seq = await sharedSince(db, store.identity);
  if (seq === null) return;
  throw new RefusedError(
    `by the restore of entry ${seq} this archive uses ${store.location}, the store of the archive that was backed up: what no row knows here may be a record there`,
    {
      hint: 'Nothing was removed. Give this archive a store of its own first, with `muniment store copy`; the other store stays as it is.',
    },
  );
}
