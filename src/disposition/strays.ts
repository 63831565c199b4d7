// Removal outside a disposition: objects that no row knows, which belong to nobody's record, and copies of payloads whose destruction the
// ledger has already entered. Neither destroys a record. It lives here all the same because the right to remove objects is held in this
// room alone (.dependency-cruiser.mjs): whoever looks for what can delete looks in one place.

import { sql } from 'kysely';
import { RefusedError } from '../core/errors.ts';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import { tryStoreAlone } from '../db/store-lock.ts';
import type { ObjectEraser } from '../store/objects.ts';

/**
 * What became of an object: `removed`; `locked` by its store; `entered`, since a row knows it after all; `busy`, since a run is going on,
 * which may be about to enter what it has stored.
 */
export type Removal = 'removed' | 'locked' | 'entered' | 'busy';

/**
 * Removes objects that no row knows, a few at a time. While it works no run is going on and none begins, and the ledger stands still: what
 * has no row then can get none any more, since whoever stored it has ended without entering it.
 */
export async function removeUnreferenced(
  db: Database,
  eraser: ObjectEraser,
  keys: readonly string[],
): Promise<Map<string, Removal>> {
  return db.transaction().execute(async (tx) => {
    if (!(await tryStoreAlone(tx))) return new Map(keys.map((key) => [key, 'busy']));
    await sql`SELECT FROM ledger_head FOR SHARE`.execute(tx);
    const entered = await knownToRows(tx, keys);
    const outcomes = await Promise.all(
      keys.map(
        async (key): Promise<[string, Removal]> => [
          key,
          entered.has(key) ? 'entered' : (await isErased(eraser, key)) ? 'removed' : 'locked',
        ],
      ),
    );
    return new Map(outcomes);
  });
}

/** @returns those of the keys that a row knows: as a payload, or as one that was destroyed */
export async function knownToRows(
  db: Database | DatabaseTransaction,
  keys: readonly string[],
): Promise<Set<string>> {
  const { rows } = await sql<{ key: string }>`
    SELECT key FROM unnest(${keys as string[]}::text[]) AS asked (key)
    WHERE EXISTS (SELECT FROM payloads WHERE commitment = key)
       OR EXISTS (SELECT FROM payload_destructions WHERE commitment = key)`.execute(db);
  return new Set(rows.map((row) => row.key));
}

/**
 * Removes what the ledger says was destroyed from another store that an archive is being copied to: it was copied before it was destroyed.
 * @returns those that a lock of that store keeps
 */
export async function eraseCopies(
  db: Database,
  eraser: ObjectEraser,
  keys: readonly string[],
): Promise<string[]> {
  const { rows } = await sql<{ key: string }>`
    SELECT commitment AS key FROM payload_destructions WHERE commitment = ANY(${keys as string[]}::text[])`.execute(
    db,
  );
  const locked: string[] = [];
  for (const { key } of rows) if (!(await isErased(eraser, key))) locked.push(key);
  return locked;
}

async function isErased(eraser: ObjectEraser, key: string): Promise<boolean> {
  try {
    await eraser.erase(key);
    return true;
  } catch (error) {
    if (error instanceof RefusedError) return false;
    throw error;
  }
}
