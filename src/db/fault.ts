// What a failing database means to whoever waits for it: connections that cannot be had, and a server that goes away, is full or refuses
// to write in the middle of work. Told by SQLSTATE and by the state of the connection, never by the text of a message.

import pg from 'pg';
import { InputError, MunimentError, ServiceError, ServiceLostError } from '../core/errors.ts';

/** Where a PostgreSQL URL leads and as whom. Never its password. */
export interface DatabaseAddress {
  readonly user: string;
  readonly database: string;
  /** Host and port, or the socket's path. */
  readonly server: string;
  readonly hasPassword: boolean;
}

/** SQLSTATE of an error that the server sent, or null for any other. */
export function sqlState(error: unknown): string | null {
  return error instanceof pg.DatabaseError ? (error.code ?? null) : null;
}

const whereIs = ({ database, server }: DatabaseAddress): string => `the database ${database} on ${server}`;

/** Says why a first connection could not be had. A wrong URL is the reader's to mend (InputError); a server out of reach is not. */
export function connectionFault(
  cause: unknown,
  address: DatabaseAddress,
  options: { timedOut: boolean },
): MunimentError {
  const { user, database, server } = address;
  const where = whereIs(address);
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
  if (code === undefined && !address.hasPassword && !options.timedOut) {
    return new InputError(`${where} asks for a password of ${user}, and the database URL has none`, {
      hint: `Put the whole URL, password and all, in an environment variable or a file, and refer to it: \${NAME} or file:PATH.`,
      cause,
    });
  }
  return new ServiceError(`${where} does not answer: ${reasonOf(cause)}`, {
    hint: 'Check that the server runs, that host and port of the database URL are right, and that the network lets this machine through.',
    cause,
  });
}

/** Both addresses of a name (IPv6, IPv4) failing give an error that holds theirs and has no message of its own. */
function reasonOf(cause: unknown): string {
  return (cause as Error).message || String((cause as { code?: unknown }).code);
}

/** What was entered is whole: every batch is one transaction. */
const STANDS = 'Nothing is half entered.';

/**
 * What a failure in the middle of work means.
 * @param lost whether the connection is known to be gone
 * @returns a ServiceLostError when the server is at fault; anything else as it is
 */
export function faultOfWork(error: unknown, address: DatabaseAddress, lost: boolean): unknown {
  if (error instanceof MunimentError) return error;
  const where = whereIs(address);
  const fault = (what: string, remedy: string): ServiceLostError =>
    new ServiceLostError(what, { hint: `${remedy} ${STANDS}`, cause: error });
  const state = sqlState(error);
  if (state === '53100')
    return fault(
      `${where} has no space left on its disk`,
      'Free or add space there, then run the command again.',
    );
  if (state === '25006')
    return fault(`${where} is read-only now`, 'See whether another server took over, then run this again.');
  // insufficient_resources: connections, memory, a configured limit.
  if (state?.startsWith('53') === true)
    return fault(`${where} is out of resources: ${(error as Error).message}`, 'Run the command again later.');
  // system_error and data_corrupted: the server cannot trust its own disk.
  if (state?.startsWith('58') === true || state?.startsWith('XX') === true)
    return fault(
      `${where} reports a fault of its own: ${(error as Error).message}`,
      'See its log, mend the server, run `muniment verify`, then run the command again.',
    );
  // connection_exception; admin_shutdown, crash_shutdown, cannot_connect_now and their like; idle_in_transaction_session_timeout.
  const ended = state?.startsWith('08') === true || state?.startsWith('57P') === true || state === '25P03';
  if (!ended && !(lost && state === null)) return error;
  return fault(
    `the connection to ${where} was lost: ${reasonOf(error)}`,
    'See that the server runs, then run the command again: it goes on from what is stored.',
  );
}

/** Says why the pool had no connection to give in the middle of work. */
export function faultOfConnecting(
  error: unknown,
  address: DatabaseAddress,
  pool: { readonly total: number; readonly max: number },
): MunimentError {
  const fault = faultOfWork(error, address, true);
  if (fault instanceof ServiceLostError && sqlState(error) !== null) return fault;
  const busy = (error as { code?: unknown }).code === undefined && pool.total >= pool.max;
  return new ServiceLostError(
    busy
      ? `all ${pool.max} connections to ${whereIs(address)} stayed busy`
      : `${whereIs(address)} gives no further connection: ${reasonOf(error)}`,
    {
      hint: `See that the server runs and how much it has to do, then run the command again. ${STANDS}`,
      cause: error,
    },
  );
}
