// Real PostgreSQL for tests: one server for a whole run (MUNIMENT_TEST_DATABASE_URL) or one embedded server per process, and fresh
// databases copied from a template that was migrated once.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, chown, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Database, openDatabase } from '../../src/db/database.ts';
import { openEmbedded } from '../../src/db/embedded.ts';
import { readyPrograms } from '../../src/db/embedded-programs.ts';
import { isRoot, runAs, serverUser } from '../../src/db/embedded-user.ts';
import { migrate } from '../../src/db/migrate.ts';

const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));
const RUNTIME_USER = 'muniment_test';
const RUNTIME_PASSWORD = 'only-in-tests';
const TEMPLATE_LOCK = 7399;

export interface TestServer {
  readonly adminUrl: string;
}

export interface FreshDatabase {
  readonly adminUrl: string;
  /** URL of a login role with the rights that an archive works with. */
  readonly runtimeUrl: string;
  close(): Promise<void>;
}

let server: Promise<TestServer> | undefined;
let template: Promise<string> | undefined;

async function ask(url: string, statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

async function startEmbedded(): Promise<TestServer> {
  const home = await mkdtemp(join(tmpdir(), 'muniment-test-'));
  // Open to the server's user when the tests run as root, so that nothing lands outside the temporary folder.
  await chmod(home, 0o755);
  const embedded = await openEmbedded({ home });
  process.once('beforeExit', async () => {
    await embedded[Symbol.asyncDispose]();
    await rm(home, { recursive: true });
  });
  // These data live as long as one process: waiting for the disk protects nothing.
  await ask(embedded.adminUrl, [
    'ALTER SYSTEM SET fsync = off',
    'ALTER SYSTEM SET full_page_writes = off',
    'ALTER SYSTEM SET synchronous_commit = off',
    'SELECT pg_reload_conf()',
  ]);
  return { adminUrl: embedded.adminUrl };
}

/** The server of this test process: the run's own, or an embedded one that stops when the process ends. */
export function startTestServer(): Promise<TestServer> {
  const given = process.env.MUNIMENT_TEST_DATABASE_URL;
  server ??= given === undefined || given === '' ? startEmbedded() : Promise.resolve({ adminUrl: given });
  return server;
}

function otherDatabase(url: string, name: string, login?: { user: string; password: string }): string {
  // The host may be a query parameter (a socket) with nothing before the path, which the URL class can't parse.
  const parts = /^(postgres(?:ql)?:\/\/)(?:([^@/]*)@)?([^/?]*)(?:\/[^?]*)?(\?.*)?$/.exec(url);
  if (parts === null) throw new TypeError('MUNIMENT_TEST_DATABASE_URL is not a PostgreSQL URL');
  const who = login === undefined ? parts[2] : `${login.user}:${login.password}`;
  return `${parts[1]}${who === undefined ? '' : `${who}@`}${parts[3]}/${name}${parts[4] ?? ''}`;
}

/** Named by the migrations' bytes: processes of one run share it, and a changed migration gets a new one. */
async function makeTemplate(adminUrl: string): Promise<string> {
  const hash = createHash('sha256');
  for (const file of (await readdir(MIGRATIONS)).sort())
    hash.update(file).update(await readFile(join(MIGRATIONS, file)));
  const name = `muniment_template_${hash.digest('hex').slice(0, 12)}`;
  const client = new pg.Client({ connectionString: otherDatabase(adminUrl, 'postgres') });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [TEMPLATE_LOCK]);
    const ready = await client.query('SELECT FROM pg_database WHERE datname = $1', [name]);
    if (ready.rowCount === 1) return name;
    const role = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [RUNTIME_USER]);
    if (role.rowCount === 0)
      await client.query(`CREATE ROLE ${RUNTIME_USER} LOGIN PASSWORD '${RUNTIME_PASSWORD}'`);
    // It gets its name when it is complete: a template by that name is a whole one.
    const draft = `${name}_draft`;
    await client.query(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`);
    await client.query(`CREATE DATABASE ${draft}`);
    await migrate({
      adminUrl: otherDatabase(adminUrl, draft),
      runtimeUser: RUNTIME_USER,
      folder: MIGRATIONS,
    });
    await client.query(`ALTER DATABASE ${draft} RENAME TO ${name}`);
    return name;
  } finally {
    await client.end();
  }
}

/** A migrated database of its own for one test or file. */
export async function freshDatabase(): Promise<FreshDatabase> {
  const { adminUrl } = await startTestServer();
  template ??= makeTemplate(adminUrl);
  const name = `muniment_test_${randomBytes(8).toString('hex')}`;
  const maintenance = otherDatabase(adminUrl, 'postgres');
  await ask(maintenance, [`CREATE DATABASE ${name} TEMPLATE ${await template}`]);
  return {
    adminUrl: otherDatabase(adminUrl, name),
    runtimeUrl: otherDatabase(adminUrl, name, { user: RUNTIME_USER, password: RUNTIME_PASSWORD }),
    close: () => ask(maintenance, [`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`]),
  };
}

/** @param url of a fresh database, for whatever login. @returns that of its superuser */
export async function adminUrlOf(url: string): Promise<string> {
  const name = /\/(muniment_test_[0-9a-f]+)(?:\?|$)/.exec(url)?.[1];
  if (name === undefined) throw new TypeError('that is no database of the test server');
  return otherDatabase((await startTestServer()).adminUrl, name);
}

/** A migrated database on a server of one's own. @returns its URL for a login with the rights that an archive works with */
export async function migratedDatabase(own: OwnServer, name: string): Promise<string> {
  const login = `${name}_login`;
  await own.ask(
    'postgres',
    `CREATE ROLE ${login} LOGIN PASSWORD '${RUNTIME_PASSWORD}'`,
    `CREATE DATABASE ${name}`,
  );
  await migrate({ adminUrl: own.adminUrl(name), runtimeUser: login, folder: MIGRATIONS });
  return own.urlOf(login, RUNTIME_PASSWORD, name);
}

/** A fresh database, opened as its superuser and removed after the test. */
export async function testArchiveDatabase(test: {
  after(work: () => unknown): void;
}): Promise<{ db: Database; adminUrl: string }> {
  const fresh = await freshDatabase();
  const handle = await openDatabase(fresh.adminUrl);
  test.after(async () => {
    await handle[Symbol.asyncDispose]();
    await fresh.close();
  });
  return { db: handle.db, adminUrl: fresh.adminUrl };
}

export interface OwnServer {
  readonly port: number;
  /** URL of its superuser for a database, over TCP with a password. */
  adminUrl(database?: string): string;
  /** @returns the URL of a login for a database */
  urlOf(login: string, password: string, database: string): string;
  /** Runs statements as superuser. */
  ask(database: string, ...statements: string[]): Promise<void>;
  /** @param mode `fast` as an administrator stops it, `immediate` as a crash does */
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
  /** Starts it again where it lay; nothing happens when it runs. */
  start(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * A PostgreSQL as an agency runs one: on TCP, with passwords, and no roles in it yet. It is gone after the test.
 * MUNIMENT_TEST_POSTGRESQL names the programs' folder of another version (15 or newer).
 * @param options.programs folder of initdb, pg_ctl and postgres, where a test needs a certain version
 */
export async function startOwnServer(
  test: { after(work: () => Promise<void>): void },
  options: { within?: string; programs?: string } = {},
): Promise<OwnServer> {
  const folder = await mkdtemp(join(options.within ?? tmpdir(), 'muniment-server-'));
  await chmod(folder, 0o755);
  const user = await serverUser(null);
  const secret = randomBytes(12).toString('hex');
  const [data, log, passwordFile] = ['data', 'log', 'password'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(passwordFile, secret);
  if (isRoot()) for (const path of [folder, passwordFile]) await chown(path, user.uid, user.gid);
  const programs =
    options.programs ?? (process.env.MUNIMENT_TEST_POSTGRESQL || (await readyPrograms(user, folder)));
  const run = async (program: string, ...args: string[]): Promise<void> => {
    const { code } = await runAs(user, join(programs, program), ['-D', data, ...args], { read: false });
    if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}; see ${folder}`);
  };
  // Small segments: a server that lies on a small disk must not fill it by itself.
  await run(
    'initdb',
    '--wal-segsize=1',
    '-U',
    'postgres',
    '-A',
    'scram-sha-256',
    `--pwfile=${passwordFile}`,
    '-E',
    'UTF8',
  );
  const port = await freePort();
  const settings = `-c listen_addresses=127.0.0.1 -c port=${port} -c unix_socket_directories='' -c fsync=off`;
  const isRunning = async (): Promise<boolean> =>
    (await runAs(user, join(programs, 'pg_ctl'), ['-D', data, 'status'], { read: false })).code === 0;
  const start = async (): Promise<void> => {
    if (!(await isRunning())) await run('pg_ctl', 'start', '-l', log, '-w', '-o', settings);
  };
  const stop = async (mode: 'fast' | 'immediate' = 'immediate'): Promise<void> => {
    if (await isRunning()) await run('pg_ctl', 'stop', '-m', mode, '-w');
  };
  await start();
  test.after(async () => {
    await stop();
    await rm(folder, { recursive: true });
  });
  const urlOf = (login: string, password: string, database: string): string =>
    `postgres://${login}:${password}@127.0.0.1:${port}/${database}`;
  const adminUrl = (database = 'postgres'): string => urlOf('postgres', secret, database);
  return {
    port,
    adminUrl,
    urlOf,
    ask: (database, ...statements) => ask(adminUrl(database), statements),
    stop,
    start,
  };
}
