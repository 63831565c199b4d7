// Which documents could name an object, told from the owner that its metadata says: the snapshots and observations of its record, or the
// report of its run. Destroyed ones cannot.

import { sql } from 'kysely';
import type { Database } from '../db/database.ts';

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** @returns commitments of documents and reports that are not destroyed */
export async function ownersOf(
  db: Database,
  { record, run }: { readonly record?: string; readonly run?: string },
): Promise<string[]> {
  const recordId = record !== undefined && ID.test(record) ? record : null;
  const runId = run !== undefined && ID.test(run) ? run : null;
  const { rows } = await sql<{ document: string }>`
    SELECT document FROM (
      SELECT document FROM snapshots WHERE record_id = ${recordId}
      UNION ALL SELECT document FROM record_states WHERE record_id = ${recordId}
      UNION ALL SELECT report FROM capture_runs WHERE id = ${runId}
    ) AS named
    WHERE NOT EXISTS (SELECT FROM payload_destructions AS d WHERE d.commitment = named.document)`.execute(db);
  return rows.map((row) => row.document);
}
