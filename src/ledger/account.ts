// Whether the row of an account is what the ledger says of it, asked before anybody acts by it: a row that somebody put into the table is
// nobody's account.

import { parsedJson } from '../core/canonical.ts';
import { bodyCommitment } from '../core/digest.ts';
import { VerificationError } from '../core/errors.ts';
import type { Database } from '../db/database.ts';
import { decodeEntry } from './entry.ts';

interface AccountRow {
  readonly id: string;
  readonly seq: number;
  readonly name: string;
  readonly roles: readonly string[];
}

/** @throws VerificationError when the entry that the row names does not say what it repeats. Of its token no entry says anything. */
export async function requireVouched(db: Database, row: AccountRow): Promise<void> {
  const stored = await db
    .selectFrom('ledger_entries as e')
    .innerJoin('entry_bodies as b', 'b.seq', 'e.seq')
    .select(['e.entry', 'b.salt', 'b.body'])
    .where('e.seq', '=', row.seq)
    .executeTakeFirst();
  if (stored !== undefined && isSaid(row, stored)) return;
  throw new VerificationError(`the account ${row.name} (${row.id}) is not what entry ${row.seq} says`, {
    hint: 'The database was changed outside Muniment: nobody acts by that account. Restore the database from a backup that verifies.',
  });
}

function isSaid(
  row: AccountRow,
  { entry: bytes, salt, body }: { entry: Buffer; salt: Buffer; body: Buffer },
): boolean {
  const { known, entry } = decodeEntry(bytes);
  if (!known || entry.type !== 'account.changed' || entry.account !== row.id) return false;
  if (bodyCommitment(salt, body) !== entry.body) return false;
  const { id, name, roles } = Object(parsedJson(body)) as Record<string, unknown>;
  return id === row.id && name === row.name && JSON.stringify(roles) === JSON.stringify(row.roles);
}
