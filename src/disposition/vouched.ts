// How the policy's readers hold rows to the ledger in SQL: `e` is a row of ledger_entries, `b` one of entry_bodies.

import { sql } from 'kysely';

/** Whether the body `b` is the one that the entry `e` commits to (src/ledger/FORMAT.md, section 1). */
export const COMMITTED = sql<boolean>`coalesce(position(convert_to('"body":"' || encode(sha256(
  convert_to(E'muniment/v1/body\\n', 'UTF8') || b.salt || sha256(b.body)), 'hex') || '"', 'UTF8') IN e.entry) > 0, false)`;

/** Whether the bytes of the entry `e` are of this type: no string of an entry can hold these quotation marks. */
export const isOfType = (type: string) =>
  sql<boolean>`position(convert_to(${`"type":"${type}"`}, 'UTF8') IN e.entry) > 0`;

/** What to do where they are not what the ledger says. */
export const CHANGED =
  'The database was changed outside Muniment. Run `muniment verify`, and restore the database from a backup that verifies. Until then nothing may be destroyed.';
