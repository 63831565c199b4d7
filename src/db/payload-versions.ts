// Where each store keeps a payload, and until when it locks it: the version id and the date that it gave. No evidence; what is read under it is checked against the commitment.

import { sql } from 'kysely';
import { instantText } from '../core/clock.ts';
import type { Database, DatabaseTransaction } from './database.ts';

/** Rows from before stores were told apart. */
const UNNAMED = '';

/**
 * @param store identity of the store that is to be read
 * @returns version ids by commitment; none for a payload of which that store has no version id
 */
export async function storedVersions(
  db: Database | DatabaseTransaction,
  store: string,
  commitments: readonly string[],
): Promise<Map<string, string>> {
  if (commitments.length === 0) return new Map();
  // The store's own row decides, also where it says that there is no version.
  const { rows } = await sql<{ commitment: string; version: string | null }>`
    SELECT DISTINCT ON (commitment) commitment, version FROM payload_versions
    WHERE commitment = ANY(${commitments as string[]}::text[]) AND store IN (${store}, ${UNNAMED})
    ORDER BY commitment, store DESC`.execute(db);
  return new Map(rows.flatMap((row) => (row.version === null ? [] : [[row.commitment, row.version]])));
}

/** Notes what a store answered when payloads were put there; the latest answer counts. */
export async function keepVersions(
  db: Database | DatabaseTransaction,
  store: string,
  payloads: readonly { readonly commitment: string; readonly version: string | null }[],
): Promise<void> {
  if (payloads.length === 0) return;
  await sql`
    INSERT INTO payload_versions (commitment, store, version)
    SELECT commitment, ${store}, version
    FROM unnest(${payloads.map((p) => p.commitment)}::text[], ${payloads.map((p) => p.version)}::text[]) AS kept (commitment, version)
    ON CONFLICT (commitment, store) DO UPDATE SET version = excluded.version
    WHERE payload_versions.version IS DISTINCT FROM excluded.version`.execute(db);
}

/**
 * Until when a store said that it locks a payload.
 * @returns null where it never said so, and where that time has come: from then on no lock is due
 */
export async function standingLock(
  db: Database | DatabaseTransaction,
  store: string,
  commitment: string,
): Promise<Temporal.Instant | null> {
  const { rows } = await sql<{ locked_until: string }>`
    SELECT locked_until FROM payload_locks
    WHERE commitment = ${commitment} AND store = ${store} AND locked_until > now()`.execute(db);
  return rows[0] === undefined ? null : Temporal.Instant.from(rows[0].locked_until);
}

/** Notes until when a store said that it locks payloads; a later end counts. */
export async function keepLocks(
  db: Database | DatabaseTransaction,
  store: string,
  payloads: readonly { readonly commitment: string; readonly lockedUntil: Temporal.Instant | null }[],
): Promise<void> {
  const locked = payloads.flatMap(({ commitment, lockedUntil }) =>
    lockedUntil === null ? [] : [{ commitment, until: instantText(lockedUntil) }],
  );
  if (locked.length === 0) return;
  await sql`
    INSERT INTO payload_locks (commitment, store, locked_until)
    SELECT commitment, ${store}, locked_until
    FROM unnest(${locked.map((p) => p.commitment)}::text[], ${locked.map((p) => p.until)}::timestamptz[]) AS kept (commitment, locked_until)
    ON CONFLICT (commitment, store) DO UPDATE SET locked_until = excluded.locked_until
    WHERE payload_locks.locked_until < excluded.locked_until`.execute(db);
}
