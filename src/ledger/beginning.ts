// Whose log a database holds, read from its first entries: before anything is written, an archive asks whether the log is its own.

import { VerificationError } from '../core/errors.ts';
import type { Database } from '../db/database.ts';
import { decodeEntry, genesis } from './entry.ts';

export interface Beginning {
  /** Entries so far. */
  readonly size: number;
  /** Whether it could be the log of this origin. An altered first entry does not count against it: verification is to find that. */
  isOf(origin: string): boolean;
  /** The origin that the first entry names; null where there is none, or none that can be read. */
  readonly origin: string | null;
  /** The verifier key that the log begins with; null as above. */
  readonly key: string | null;
}

/** @returns null when there is no log at all */
export async function readBeginning(db: Database): Promise<Beginning | null> {
  const head = await db.selectFrom('ledger_head').select(['size', 'last']).executeTakeFirst();
  if (head === undefined) return null;
  const { size, last } = head;
  if (size === 0) {
    return { size, isOf: (origin) => last.equals(genesis(origin)), origin: null, key: null };
  }
  const rows = await db
    .selectFrom('ledger_entries')
    .select(['seq', 'entry'])
    .where('seq', '<', 2)
    .orderBy('seq')
    .execute();
  const first = read(rows[0]?.entry);
  const second = read(rows[1]?.entry);
  const named = first === null ? null : first.origin;
  return {
    size,
    isOf: (origin) =>
      first === null || named === origin || first.prev !== genesis(first.origin).toString('base64'),
    origin: named,
    key: second?.type === 'key.added' ? ((second as { key?: string }).key ?? null) : null,
  };
}

function read(bytes: Buffer | undefined) {
  if (bytes === undefined) return null;
  try {
    return decodeEntry(bytes).entry;
  } catch (error) {
    if (error instanceof VerificationError) return null;
    throw error;
  }
}
