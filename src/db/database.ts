// The pool of connections to the archive's PostgreSQL and the two ways code is bound to it: to a connection, or to a transaction.
// A server that cannot be reached, or goes away at work, is told in one sentence without the password (fault.ts).

import { Socket } from 'node:net';
import { Kysely, PostgresDialect, type Transaction } from 'kysely';
import pg from 'pg';
import { InputError, MunimentError } from '../core/errors.ts';
import { connectionFault, type DatabaseAddress, faultOfConnecting, faultOfWork } from './fault.ts';
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
/** An idle connection whose other end vanished without a word is noticed, and not waited for. */
const KEEP_ALIVE_AFTER_MS = 30_000;
const CONNECTIONS = 8;
const UNLOCK_TIMEOUT_MS = 2000;

export interface DatabaseHandle extends AsyncDisposable {
  readonly db: Database;
  readonly pool: pg.Pool;
  /** A connection of one's own, for as long as a whole run; waits until there is one. */
  hold(): Promise<HeldConnection>;
}

/** A connection that is kept while its holder works with others. Disposing it frees every lock it holds, and closes it. */
export interface HeldConnection extends AsyncDisposable {
  query: pg.ClientBase['query'];
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
  const max = options.max ?? CONNECTIONS;
  const pool = new pg.Pool({
    connectionString: url,
    stream: () => {
      const socket = new Socket();
      sockets.add(socket.once('close', () => sockets.delete(socket)));
      return socket;
    },
    max,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    application_name: 'muniment',
    options: '-c TimeZone=UTC -c DateStyle=ISO -c idle_in_transaction_session_timeout=10min',
  });
  // An idle connection that breaks (server restarted) is replaced by the pool; the next query tells if that fails too.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => tellFaults(client, address));
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
    if (cause instanceof MunimentError) throw cause;
    throw connectionFault(cause, address, { timedOut: performance.now() - started >= CONNECT_TIMEOUT_MS });
  }
  // Until here the raw errors were wanted: they tell a wrong URL from a server out of reach.
  pool.connect = translating(pool.connect.bind(pool), (error) =>
    faultOfConnecting(error, address, { total: pool.totalCount, max }),
  ) as typeof pool.connect;
  const db = new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
  return {
    db,
    pool,
    hold: holdAtMost(Math.max(1, Math.floor(max / 2)), pool),
    async [Symbol.asyncDispose]() {
      await db.destroy();
      // Kysely ends the pool only if it made queries through it; an open pool keeps the process up for its idle time.
      if (!pool.ended) await pool.end();
    },
  };
}

/** Lets a connection's queries end in errors that say what became of the server. */
function tellFaults(client: pg.PoolClient, address: DatabaseAddress): void {
  let lost = false;
  // Between two queries nobody waits for the connection: without a listener its loss would end the process. The next query tells it.
  client.on('error', () => {
    lost = true;
  });
  client.query = translating(client.query.bind(client), (error) =>
    faultOfWork(error, address, lost),
  ) as typeof client.query;
}

/**
 * Gives out so many connections for long, and lets more askers wait. Half of a pool: whoever holds one always finds another, so that
 * any number of runs at once end, some after others, and none waits for a connection that only waiting ones hold.
 */
function holdAtMost(limit: number, pool: pg.Pool): () => Promise<HeldConnection> {
  let free = limit;
  const waiting: (() => void)[] = [];
  const next = (): void => {
    const first = waiting.shift();
    if (first === undefined) free += 1;
    else first();
  };
  return async () => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      const client = await pool.connect();
      return {
        query: client.query,
        async [Symbol.asyncDispose]() {
          // Closing frees them too, but in the server's own time: whoever asks next would meet the lock of what is over.
          const unlock = { text: 'SELECT pg_advisory_unlock_all()', query_timeout: UNLOCK_TIMEOUT_MS };
          await client.query(unlock).catch(() => undefined); // of a connection that broke they are gone, or go with it
          client.release(true);
          next();
        },
      };
    } catch (error) {
      next();
      throw error;
    }
  };
}

/** The same call, in its promise and its callback form, with another error. */
function translating(
  call: (...parameters: never[]) => unknown,
  translate: (error: unknown) => unknown,
): (...parameters: unknown[]) => unknown {
  const run = call as (...parameters: unknown[]) => unknown;
  return (...parameters) => {
    const callback = parameters.at(-1);
    if (typeof callback === 'function') {
      const heard = (error: unknown, ...rest: unknown[]): unknown =>
        callback(error === undefined || error === null ? error : translate(error), ...rest);
      return run(...parameters.slice(0, -1), heard);
    }
    const result = run(...parameters);
    if (!(result instanceof Promise)) return result;
    return result.catch((error: unknown) => {
      throw translate(error);
    });
  };
}
