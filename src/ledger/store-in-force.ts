// Which store is the archive's, once it has moved: the newest `store.copied` that names a store says whether the archive went there or
// left it. Nothing may be added to, or destroyed in, a store that was left: the other one would not know.

import { z } from 'zod';
import { RefusedError } from '../core/errors.ts';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import { BODY_KIND } from './body-kind.ts';

/** Kind of the body of `store.copied`. */
export const STORE_COPIED = BODY_KIND.storeCopied;

const place = z.object({ identity: z.string(), location: z.string() });
const moveBody = z.object({ from: place, to: place });

/** Kind of the body of the entry that ends a restore. */
const RESTORED = BODY_KIND.restore;

/** A move away from a store. */
export interface Departure {
  /** Position of its `store.copied`. */
  readonly entry: number;
  /** Where the two stores are, for people. */
  readonly from: string;
  readonly to: string;
}

/** @returns how the archive left this store, or null when it did not, or came back */
export async function departureFrom(
  db: Database | DatabaseTransaction,
  identity: string,
): Promise<Departure | null> {
  for (const change of await changesOf(db)) {
    // A restore has proven every payload in the store that it was configured with, whatever happened before.
    if (change.move === null) return null;
    const { from, to } = change.move;
    if (to.identity === identity) return null;
    if (from.identity === identity)
      return { entry: Number(change.seq), from: from.location, to: to.location };
  }
  return null;
}

/** @throws RefusedError when the archive has left this store */
export async function requireStoreInForce(
  db: Database | DatabaseTransaction,
  identity: string,
): Promise<void> {
  const departure = await departureFrom(db, identity);
  if (departure === null) return;
  const { entry, from, to } = departure;
  throw new RefusedError(
    `by entry ${entry} the archive's payloads are in ${to}, and this would go on with ${from}`,
    {
      hint: `Let \`store:\` in muniment.yaml name ${to}. To go back instead, run \`muniment store copy --from FILE --to FILE\`, where the files describe the new and the old store.`,
    },
  );
}

/** Moves, and restores (null), newest first. */
async function changesOf(db: Database | DatabaseTransaction) {
  const rows = await db
    .selectFrom('entry_bodies')
    .select(['seq', 'kind', 'body'])
    .where('kind', 'in', [STORE_COPIED, RESTORED])
    .orderBy('seq', 'desc')
    .execute();
  return rows.map(({ seq, kind, body }) => ({
    seq,
    move: kind === RESTORED ? null : moveBody.parse(JSON.parse(body.toString('utf8'))),
  }));
}
