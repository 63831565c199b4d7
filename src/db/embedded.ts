// The PostgreSQL that comes with Muniment, for an archive without a database URL. It runs detached under the archive's home; each
// process that uses it holds a shared advisory lock, and the last one out stops it.

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { RefusedError, ServiceError } from '../core/errors.ts';
import { findPlace, isPlaceGone, type Place, socketFolder, turnsOf } from './embedded-place.ts';
import { readyPrograms } from './embedded-programs.ts';
import { makeData, runningServer, settledServer, startServer, stopServer } from './embedded-server.ts';
import { inTurn } from './embedded-turn.ts';

export interface EmbeddedServer extends AsyncDisposable {
  /** PostgreSQL URL of the superuser, for node-postgres and for psql. It holds the password. */
  readonly adminUrl: string;
  /** @returns the URL of the same database for another role */
  urlFor(user: string, password: string): string;
}

const DATABASE = 'muniment';
/** Held shared by every process that uses the server (as advisory lock, in the database `muniment`). */
const IN_USE = 7300;

function urlOf(socket: string, user: string, password: string, database: string): string {
  const host = encodeURIComponent(socket);
  return `postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@/${database}?host=${host}&port=5432`;
}

async function isPresent(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** Finds the home's real path. @throws RefusedError when this user may not work in it */
async function openHome(home: string): Promise<string> {
  try {
    await mkdir(join(home, 'postgres'), { recursive: true });
    await mkdir(turnsOf(home), { recursive: true });
    // Where the folders are there already, that has said nothing of the right to write.
    await access(turnsOf(home), constants.W_OK);
    return await realpath(home);
  } catch (cause) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
    throw new RefusedError(`this user may not write in the archive's home ${home}`, {
      hint: 'Run Muniment as the user that made the archive, on a disk that is not mounted read-only: the embedded database writes there.',
      cause,
    });
  }
}

/** The superuser's password: made once per home, and read by whoever may read the home's secret. */
async function readSecret(home: string, mayMake: boolean): Promise<string> {
  const path = join(home, 'postgres', 'secret');
  if (mayMake && !(await isPresent(path))) {
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.chmod(0o600);
      await file.writeFile(`${randomBytes(24).toString('base64url')}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
  }
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    throw new RefusedError(`the database's password can't be read: ${(cause as Error).message}`, {
      hint: 'Run Muniment as the user that made the archive; after a restore, bring this file back too.',
      cause,
    });
  }
}

/** Adopts the server that runs, or starts it. @returns the folder of its socket */
async function ensureRunning(place: Place, programs: string): Promise<string> {
  const server = await settledServer(place.data);
  if (server !== null) {
    if (await isPresent(join(server.socketFolder, '.s.PGSQL.5432'))) return server.socketFolder;
    // Something cleaned /tmp: a server that nobody can reach has no users.
    await stopServer(place, programs);
  }
  const socket = await socketFolder(place);
  await startServer(place, programs, socket);
  return socket;
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'muniment in use',
    connectionTimeoutMillis: 30_000,
  });
  try {
    await client.connect();
    return client;
  } catch (cause) {
    throw new ServiceError(`the embedded PostgreSQL does not answer: ${(cause as Error).message}`, {
      hint: 'Run `muniment db stop`, then this again; its log is postgres/postgresql.log in the home.',
      cause,
    });
  }
}

async function ensureDatabase(url: string): Promise<void> {
  const client = await connect(url);
  try {
    const found = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await client.end();
  }
}

/** A process waits for its users in `beforeExit` only when this connection does not keep it alive. */
function keepsAlive(client: pg.Client, alive: boolean): void {
  // @types/pg lacks the two methods, which pg.Client has.
  const socket = client as pg.Client & { ref(): void; unref(): void };
  if (alive) socket.ref();
  else socket.unref();
}

/**
 * Opens the archive's own PostgreSQL: makes it when there is none, starts it when it is not running. Disposing it stops the server
 * when no other process uses it. A process that dies without disposing leaves it running for the next one.
 * @param options.home folder of the archive; `postgres/` in it is the server's
 * @throws ServiceError when the programs are missing or the server does not start; RefusedError when this user may not use it, or
 *   when the home is a copy of one whose server runs
 */
export async function openEmbedded(options: { home: string }): Promise<EmbeddedServer> {
  const home = await openHome(options.home);
  const own = join(home, 'postgres');
  const { socket, password, client } = await inTurn(turnsOf(home), async () => {
    const place = await findPlace(home);
    const programs = await readyPrograms(place.user, own);
    const fresh = !(await isPresent(place.data));
    const password = await readSecret(home, fresh);
    if (fresh) await makeData(place, programs, password);
    const socket = await ensureRunning(place, programs);
    await ensureDatabase(urlOf(socket, 'postgres', password, 'postgres'));
    const client = await connect(urlOf(socket, 'postgres', password, DATABASE));
    await client.query('SELECT pg_advisory_lock_shared($1)', [IN_USE]);
    return { socket, password, client };
  });
  let lost = false;
  // The server was stopped (`muniment db stop`) or crashed: the archive's own queries tell; here it only ends the claim.
  client.on('error', () => {
    lost = true;
  });
  keepsAlive(client, false);
  let disposed = false;
  return {
    adminUrl: urlOf(socket, 'postgres', password, DATABASE),
    urlFor: (user, secret) => urlOf(socket, user, secret, DATABASE),
    async [Symbol.asyncDispose]() {
      if (disposed) return;
      disposed = true;
      if (lost) return;
      keepsAlive(client, true);
      await inTurn(turnsOf(home), async () => {
        const last = await release(client);
        if (!last || (await isPresent(stayFile(home)))) return;
        const place = await findPlace(home);
        await stopServer(place, await readyPrograms(place.user, own));
      });
    },
  };
}

/** While this file stands, the last one out leaves the server running (`muniment db start`). */
const stayFile = (home: string): string => join(home, 'postgres', 'stay');

/** Lets a running server run on when nobody of Muniment uses it, for psql and the like, until {@link stopEmbedded}. */
export async function letEmbeddedStay(folder: string): Promise<void> {
  await writeFile(
    stayFile(await openHome(folder)),
    'muniment db start: the server stays until `muniment db stop`\n',
  );
}

/** @returns whether nobody else uses the server */
async function release(client: pg.Client): Promise<boolean> {
  try {
    await client.query('SELECT pg_advisory_unlock_shared($1)', [IN_USE]);
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const { rows } = await client.query('SELECT pg_try_advisory_lock($1) AS alone', [IN_USE]);
      if ((rows[0] as { alone: boolean }).alone) return true;
      // The lock of a process that was just killed goes when the server has noticed.
      await sleep(30);
    }
    return false;
  } finally {
    await client.end();
  }
}

/**
 * Stops the archive's own PostgreSQL, whoever uses it. @returns whether it was running
 * @throws ServiceError when it does not stop
 */
export async function stopEmbedded(folder: string): Promise<boolean> {
  if (!(await isPresent(join(folder, 'postgres')))) return false;
  const home = await openHome(folder);
  return inTurn(turnsOf(home), async () => {
    await rm(stayFile(home), { force: true });
    const place = await findPlace(home);
    if ((await runningServer(place.data)) === null) return false;
    await stopServer(place, await readyPrograms(place.user, join(home, 'postgres')));
    return true;
  });
}

/** Stops the archive's own PostgreSQL and removes all its data, also those that lie outside the home. @returns whether there was one */
export async function removeEmbedded(folder: string): Promise<boolean> {
  if (!(await isPresent(join(folder, 'postgres')))) return false;
  const home = await openHome(folder);
  if (await isPlaceGone(home)) return false;
  await stopEmbedded(folder);
  return inTurn(turnsOf(home), async () => {
    const place = await findPlace(home);
    const present = await isPresent(place.data);
    // First the data: whoever is killed meanwhile finds by what lies beside them that there is more to remove.
    await rm(place.data, { recursive: true, force: true });
    // A home's own folder goes with the home; another one belongs to this home alone (findPlace has seen to it).
    if (place.folder !== join(home, 'postgres')) await rm(place.folder, { recursive: true, force: true });
    return present;
  });
}
