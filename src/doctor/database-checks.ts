// Tries the archive's database as the login that the archive works with.

import type pg from 'pg';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import { openDatabase } from '../db/database.ts';
import { sqlState } from '../db/fault.ts';
import { grantFaults, missingTriggers, tryChanges } from '../db/privileges.ts';
import { bad, type Check, clockCheck, gibibytes, good, stated, told } from './check.ts';
import { freeSpace } from './directory-checks.ts';

export interface DatabaseTrialOptions {
  readonly runtimeUrl: string;
  /** The superuser's, of an embedded server; null where the database is somebody else's. */
  readonly adminUrl: string | null;
  /** Zone of the archive, for civil dates. */
  readonly timezone: string;
  readonly clock: Clock;
}

/** @throws MunimentError when the database cannot be reached */
export async function databaseChecks(options: DatabaseTrialOptions): Promise<Check[]> {
  await using opened = await openDatabase(options.runtimeUrl, { max: 1 });
  const client = await opened.pool.connect();
  try {
    return await inSchema(async () => [
      await version(client, options),
      ...(await told('db.append-only', 'to change what may only be added to', () => appendOnly(client))),
      ...(await told('db.grants', 'what the login may do', () => grants(client))),
      await durability(client),
      await zone(client, options.timezone),
      await clock(client, options.clock),
      await room(client, options.adminUrl),
    ]);
  } finally {
    client.release();
  }
}

async function show(client: pg.ClientBase, name: string): Promise<string> {
  const { rows } = await client.query('SELECT current_setting($1) AS value', [name]);
  return (rows[0] as { value: string }).value;
}

/** Older ones are refused before anything is asked of them. */
async function version(client: pg.ClientBase, { adminUrl }: DatabaseTrialOptions): Promise<Check> {
  return good({
    id: 'db.version',
    tried: 'the version of the database server',
    saw: `${adminUrl === null ? 'external' : 'embedded'} PostgreSQL ${await show(client, 'server_version')}`,
    means: 'It is 15 or newer, as the archive needs.',
  });
}

const NOT_MIGRATED: readonly (string | null)[] = ['42P01', '42704', '42703']; // no such table, role, column

/** Says what to do about a schema that lacks what is asked about. */
async function inSchema<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (sqlState(error) === null) throw error;
    const hint = NOT_MIGRATED.includes(sqlState(error))
      ? 'Run `muniment db migrate`.'
      : 'Run `muniment doctor` again; if it stays, look into the log of the database server.';
    throw new ServiceError(`the database answered: ${(error as Error).message}`, { hint, cause: error });
  }
}

async function appendOnly(client: pg.ClientBase): Promise<Check[]> {
  const { refused, allowed } = await inSchema(() => tryChanges(client));
  const missing = await missingTriggers(client);
  const id = 'db.append-only';
  const tried =
    'UPDATE, DELETE and TRUNCATE on ledger and rows, as the login and as the eraser, and to rewrite what may only be erased';
  const fix =
    'Run `muniment verify`, find out who changed the database, and restore it from a backup, or its triggers and grants from migrations/.';
  if (allowed.length > 0) {
    const saw = `the database let these through (they were taken back): ${allowed.join(', ')}`;
    return [bad({ id, tried, saw, means: "The archive's own login could change its records." }, fix)];
  }
  if (missing.length > 0) {
    const saw = `every statement was refused for want of a grant, but these triggers are gone or switched off: ${missing.join(', ')}`;
    const means = 'Whoever has more rights than the archive is no longer held up.';
    return [bad({ id, tried, saw, means }, fix)];
  }
  const saw = `all ${refused} statements were refused, and the triggers are in place`;
  return [good({ id, tried, saw, means: "Nothing that is archived can be changed by the archive's login." })];
}

async function grants(client: pg.ClientBase): Promise<Check[]> {
  const { login, excess, lacking } = await inSchema(() => grantFaults(client));
  const id = 'db.grants';
  const tried = `the rights of ${login}, and of the eraser that disposition becomes, against what each needs`;
  if (excess.length === 0 && lacking.length === 0) {
    const means = 'A program that is led astray can add, and no more; only disposition can erase.';
    return [good({ id, tried, saw: 'they have these rights and no others', means })];
  }
  const saw = [...excess, ...lacking].join('; ');
  const means =
    excess.length > 0
      ? 'More than the archive needs: a fault in it, or a thief of its password, could do more than add.'
      : 'Less than the archive needs: some of its work fails.';
  const fix =
    excess.length > 0
      ? 'REVOKE what is too much, as administrator.'
      : 'Run `muniment db migrate`; if it stays, GRANT what is missing, as administrator.';
  return [bad({ id, tried, saw, means }, fix)];
}

const DURABLE = {
  fsync: 'a power cut can lose or corrupt the ledger',
  full_page_writes: 'a power cut can tear pages',
  synchronous_commit: 'the last commits can be lost in a crash',
} as const;

async function durability(client: pg.ClientBase): Promise<Check> {
  const found: [name: keyof typeof DURABLE, value: string][] = [];
  for (const name of Object.keys(DURABLE) as (keyof typeof DURABLE)[])
    found.push([name, await show(client, name)]);
  const off = found.filter(([, value]) => value === 'off').map(([name]) => name);
  const told = {
    id: 'db.durability',
    tried: 'whether a commit is on disk when the database says so',
    saw: found.map(([name, value]) => `${name} is ${value}`).join(', '),
  };
  if (off.length === 0) return good({ ...told, means: 'What is committed survives a power cut.' });
  const means = `With this, ${off.map((name) => DURABLE[name]).join(', and ')}.`;
  return bad(
    { ...told, means },
    `Set ${off.map((name) => `${name} = on`).join(', ')} in postgresql.conf and reload it.`,
  );
}

async function zone(client: pg.ClientBase, timezone: string): Promise<Check> {
  const value = await show(client, 'TimeZone');
  const told = { id: 'db.timezone', tried: "the time zone of the archive's sessions", saw: value };
  if (value === 'UTC')
    return good({
      ...told,
      means: `Times are kept in UTC; civil dates are those of ${timezone}, from muniment.yaml.`,
    });
  return bad(
    { ...told, means: 'Something between here and the server sets a zone: times could be misread.' },
    'Take the setting off the connection pooler or the role (ALTER ROLE … RESET TimeZone).',
  );
}

async function clock(client: pg.ClientBase, ours: Clock): Promise<Check> {
  const before = ours.now().epochMilliseconds;
  const { rows } = await client.query('SELECT extract(epoch FROM clock_timestamp())::float8 AS now');
  const middle = (before + ours.now().epochMilliseconds) / 2;
  const seconds = (rows[0] as { now: number }).now - middle / 1000;
  return clockCheck('db.clock', 'the database server', Math.round(seconds) + 0);
}

async function room(client: pg.ClientBase, adminUrl: string | null): Promise<Check> {
  if (adminUrl !== null) {
    await using admin = await openDatabase(adminUrl, { max: 1 });
    const { rows } = await admin.pool.query("SELECT current_setting('data_directory') AS path");
    return freeSpace('db.disk', (rows[0] as { path: string }).path);
  }
  const { rows } = await client.query('SELECT pg_database_size(current_database())::float8 AS bytes');
  return stated(
    {
      id: 'db.disk',
      tried: 'how much room is left for the database',
      saw: `it takes ${gibibytes((rows[0] as { bytes: number }).bytes)}; the disk is its server's, and not to be seen from here`,
      means: 'Capture stops when that disk is full.',
    },
    'Watch the disk where the database server runs.',
  );
}
