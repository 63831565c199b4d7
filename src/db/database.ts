// The pool of connections to the archive's PostgreSQL and the two ways code is bound to it: to a connection, or to a transaction.

import { Kysely, PostgresDialect, type Transaction } from 'kysely';
import pg from 'pg';
import { ServiceError } from '../core/errors.ts';
import type { DB } from './types.ts';

export type Database = Kysely<DB>;
export type DatabaseTransaction = Transaction<DB>;

// bigint comes as number: positions and lengths stay far below 2^53, and the ledger's format admits no larger integer.
pg.types.setTypeParser(pg.types.builtins.INT8, (text) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`integer ${text} is beyond 2^53`);
  return value;
});
// A timestamp stays text in the ledger's own form: a Date would lose nothing, but invite local time.
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (text) => new Date(text).toISOString());

export interface DatabaseHandle extends AsyncDisposable {
  readonly db: Database;
  readonly pool: pg.Pool;
}

/**
 * Opens a pool. @param url PostgreSQL URL of the runtime role
 * @throws ServiceError when the server cannot be reached
 */
export async function openDatabase(url: string, options: { max?: number } = {}): Promise<DatabaseHandle> {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max ?? 8,
    connectionTimeoutMillis: 15_000,
    application_name: 'muniment',
    options: '-c TimeZone=UTC -c DateStyle=ISO -c idle_in_transaction_session_timeout=10min',
  });
  // An idle connection that breaks (server restarted) is replaced by the pool; the next query tells if that fails too.
  pool.on('error', () => undefined);
  try {
    await pool.query('SELECT 1');
  } catch (cause) {
    await pool.end();
    throw new ServiceError(`the database does not answer: ${(cause as Error).message}`, {
      hint: 'Check database.url in muniment.yaml and that the server runs and accepts this user.',
      cause,
    });
  }
  const db = new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
  return {
    db,
    pool,
    async [Symbol.asyncDispose]() {
      await db.destroy();
    },
  };
}
