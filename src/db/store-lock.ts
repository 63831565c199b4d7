// The lock between runs, which store payloads before they enter them, and whoever removes objects or ends a move to another store: runs
// share it, the other side holds it alone. It belongs to a connection and goes with it, however the process dies.

import { sql } from 'kysely';
import type pg from 'pg';
import type { DatabaseTransaction } from './database.ts';
import { sqlState } from './fault.ts';

const STORE_LOCK = '7310, 1';
const COPY_LOCK = '7310, 2';
const LOCK_NOT_AVAILABLE = '55P03';
/** How long a run waits for a removal of objects to end. */
const RUN_WAITS = '30s';
const POLL = '2s';

type Client = Pick<pg.ClientBase, 'query'>;

/** For a run, until its connection is closed. @returns false when the store is being moved or swept and that takes long */
export async function shareStore(client: Client): Promise<boolean> {
  return waitedFor(client, `SELECT pg_advisory_lock_shared(${STORE_LOCK})`, RUN_WAITS);
}

/**
 * Waits until no run is going on; none starts from then on until the connection is closed.
 * @param onWait called again and again while a run is going on
 */
export async function holdStoreAlone(
  client: Client,
  options: { signal: AbortSignal; onWait: () => void },
): Promise<void> {
  while (!(await waitedFor(client, `SELECT pg_advisory_lock(${STORE_LOCK})`, POLL))) {
    options.signal.throwIfAborted();
    options.onWait();
  }
}

/** The same until the transaction ends, at once or not at all: it never keeps a run from starting while it waits. */
export async function tryStoreAlone(tx: DatabaseTransaction): Promise<boolean> {
  const { rows } = await sql<{
    got: boolean;
  }>`SELECT pg_try_advisory_xact_lock(${sql.raw(STORE_LOCK)}) AS got`.execute(tx);
  return rows[0]?.got === true;
}

/** One copy of payloads at a time, until the connection is closed. */
export async function tryCopyAlone(client: Client): Promise<boolean> {
  const { rows } = await client.query(`SELECT pg_try_advisory_lock(${COPY_LOCK}) AS got`);
  return (rows[0] as { got: boolean }).got;
}

async function waitedFor(client: Client, statement: string, limit: string): Promise<boolean> {
  await client.query(`SET lock_timeout = '${limit}'`);
  try {
    await client.query(statement);
    return true;
  } catch (error) {
    if (sqlState(error) === LOCK_NOT_AVAILABLE) return false;
    throw error;
  } finally {
    await client.query('RESET lock_timeout');
  }
}
