// The pool of connections to the archive's PostgreSQL and the two ways code is bound to it: to a connection, or to a transaction.
// A connection that cannot be had is told in one sentence without the password: what was tried, what came back, what to do next.

import { Socket } from 'node:net';
import { Kysely, PostgresDialect, type Transaction } from 'kysely';
import pg from 'pg';
import { InputError, type MunimentError, ServiceError } from '../core/errors.ts';
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

const OLDEST_VERSION = 150000;
const CONNECT_TIMEOUT_MS = 15_000;

export interface DatabaseHandle extends AsyncDisposable {
  readonly db: Database;
  readonly pool: pg.Pool;
}

/** Where a PostgreSQL URL leads and as whom. Never its password. */
export interface DatabaseAddress {
  readonly user: string;
  readonly database: string;
  /** Host and port, or the socket's path. */
  readonly server: string;
  readonly hasPassword: boolean;
}

/** @throws InputError when the text is no PostgreSQL URL; the message does not repeat it, since it may hold a password */
export function addressOf(url: string): DatabaseAddress {
  const hint = 'Write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded.';
  if (!/^postgres(ql)?:\/\//.test(url))
    throw new InputError('the database URL does not begin with postgres://', { hint });
  try {
    const { user, database, host, port, password } = new pg.Client({ connectionString: url });
    if (!(port > 0 && port < 65536)) throw new RangeError('no such port');
    return {
      user: user ?? '',
      database: database ?? '',
      server: host.startsWith('/') ? host : `${host}:${port}`,
      hasPassword: typeof password === 'string' && password !== '',
    };
  } catch {
    // The parser's own error repeats the URL, so it is not kept as a cause.
    throw new InputError('the database URL cannot be read', { hint });
  }
}

/**
 * Opens a pool.
 * @param url PostgreSQL URL, of the runtime role unless rows or roles are administered
 * @throws InputError when the URL, its user, password or database is wrong, or the server is older than PostgreSQL 15
 * @throws ServiceError when the server cannot be reached
 */
export async function openDatabase(url: string, options: { max?: number } = {}): Promise<DatabaseHandle> {
  const address = addressOf(url);
  const sockets = new Set<Socket>();
  const pool = new pg.Pool({
    connectionString: url,
    stream: () => {
      const socket = new Socket();
      sockets.add(socket.once('close', () => sockets.delete(socket)));
      return socket;
    },
    max: options.max ?? 8,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'muniment',
    options: '-c TimeZone=UTC -c DateStyle=ISO -c idle_in_transaction_session_timeout=10min',
  });
  // An idle connection that breaks (server restarted) is replaced by the pool; the next query tells if that fails too.
  pool.on('error', () => undefined);
  const started = performance.now();
  try {
    const { rows } = await pool.query("SELECT current_setting('server_version_num')::integer AS version");
    const { version } = rows[0] as { version: number };
    if (version < OLDEST_VERSION) {
      throw new InputError(
        `the database server ${address.server} runs PostgreSQL ${Math.floor(version / 10000)}, which is too old`,
        { hint: 'Upgrade it to PostgreSQL 15 or newer, or use another server.' },
      );
    }
  } catch (cause) {
    await pool.end();
    // The pool forgets a connection that was refused on our side (no password to give), and the server would keep it for a minute.
    for (const socket of sockets) socket.destroy();
    if (cause instanceof InputError) throw cause;
    throw connectionFault(cause, address, performance.now() - started);
  }
  const db = new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
  return {
    db,
    pool,
    async [Symbol.asyncDispose]() {
      await db.destroy();
      // Kysely ends the pool only if it made queries through it; an open pool keeps the process up for its idle time.
      if (!pool.ended) await pool.end();
    },
  };
}

/** SQLSTATE of an error that the server sent, or null for any other. */
export function sqlState(error: unknown): string | null {
  return error instanceof pg.DatabaseError ? (error.code ?? null) : null;
}

/** Says why a connection could not be had. A wrong URL is the reader's to mend (InputError); a server out of reach is not. */
function connectionFault(cause: unknown, address: DatabaseAddress, elapsed: number): MunimentError {
  const { user, database, server } = address;
  const where = `the database ${database} on ${server}`;
  switch (sqlState(cause)) {
    case '28P01': // invalid_password
      return new InputError(`${where} refuses the password of ${user}`, {
        hint: 'Check user and password of the database URL (in muniment.yaml: database.url, or what it refers to).',
        cause,
      });
    case '28000': // invalid_authorization_specification: no such login, or pg_hba.conf has no line for it
      return new InputError(`${where} lets ${user} not log in: ${(cause as Error).message}`, {
        hint: `Make the login on the server (CREATE ROLE … LOGIN PASSWORD …) or admit it in pg_hba.conf.`,
        cause,
      });
    case '3D000': // invalid_catalog_name
      return new InputError(`the server ${server} has no database ${database}`, {
        hint: `Check the name in the database URL, or make it there: CREATE DATABASE "${database}".`,
        cause,
      });
    case '42501': // insufficient_privilege: no CONNECT on the database
      return new InputError(`${user} may not connect to ${where}`, {
        hint: `GRANT CONNECT ON DATABASE "${database}" TO "${user}".`,
        cause,
      });
    default:
  }
  const code = (cause as { code?: unknown }).code;
  if (code === undefined && !address.hasPassword && elapsed < CONNECT_TIMEOUT_MS) {
    return new InputError(`${where} asks for a password of ${user}, and the database URL has none`, {
      hint: `Put the whole URL, password and all, in an environment variable or a file, and refer to it: \${NAME} or file:PATH.`,
      cause,
    });
  }
  // Both addresses of a name (IPv6, IPv4) failing give an error that holds theirs and has no message of its own.
  const reason = (cause as Error).message || String(code);
  return new ServiceError(`${where} does not answer: ${reason}`, {
    hint: 'Check that the server runs, that host and port of the database URL are right, and that the network lets this machine through.',
    cause,
  });
}
