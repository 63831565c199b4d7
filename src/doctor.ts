// `muniment doctor`: tries what the archive leans on, instead of believing that it is so. Each check says what was tried, what happened,
// and, where that is not well, what it means and how to mend it. It changes nothing that lasts.

import fs from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { type Environment, readSettings, type Settings } from './config.ts';
import { homePaths, openArchive, openHomeDatabase } from './context.ts';
import type { Clock } from './core/clock.ts';
import { MunimentError, ServiceError } from './core/errors.ts';
import { openDatabase } from './db/database.ts';
import { unapplied } from './disposition/policy-in-force.ts';
import { readPolicyFiles } from './policy/load.ts';
import { openStore } from './store/open.ts';

export interface Check {
  readonly tried: string;
  readonly state: 'good' | 'warning' | 'bad';
  readonly found: string;
  /** What it means and how to mend it; null where there is nothing to mend. */
  readonly remedy: string | null;
}

/** Below this, a run of media can fill the disk before anyone looks. */
const FREE_BYTES_WANTED = 1024 ** 3;

/** @throws InputError when the home's settings cannot be read: then there is nothing to examine */
export async function examine(
  home: string,
  environment: Environment,
  clock: Clock,
): Promise<{ ok: boolean; checks: Check[] }> {
  const settings = await readSettings(home, environment);
  const checks = [
    good(
      'settings',
      `muniment.yaml is valid: ${settings.sources.length} source${settings.sources.length === 1 ? '' : 's'}, zone ${settings.archive.timezone}`,
    ),
    ...(await keys(settings)),
    ...(await told('store', () => store(settings, clock))),
    ...(await told('database', () => database(settings))),
    ...(await told('archive', () => archive(home, environment, clock))),
  ];
  return { ok: checks.every((check) => check.state !== 'bad'), checks };
}

function good(tried: string, found: string): Check {
  return { tried, state: 'good', found, remedy: null };
}

function judged(tried: string, well: boolean, found: string, remedy: string): Check {
  return well ? good(tried, found) : { tried, state: 'bad', found, remedy };
}

/** An error of ours is a finding; the checks that would have followed it are not made. */
async function told(tried: string, checks: () => Promise<Check[]>): Promise<Check[]> {
  try {
    return await checks();
  } catch (error) {
    if (!(error instanceof MunimentError)) throw error;
    return [{ tried, state: 'bad', found: error.message, remedy: error.hint ?? null }];
  }
}

async function keys(settings: Settings): Promise<Check[]> {
  const paths = homePaths(settings.home);
  const checks: Check[] = [];
  for (const [name, path] of [
    ['signing key', paths.signingKey],
    ['archive secret', paths.archiveSecret],
  ] as const) {
    const status = await stat(path).catch((error: NodeJS.ErrnoException) => error);
    if (status instanceof Error) {
      checks.push({
        tried: name,
        state: 'bad',
        found: `${path} cannot be read (${status.code ?? status.message})`,
        remedy: 'Restore it from the backup of the keys folder: nothing else can replace it.',
      });
      continue;
    }
    const mode = (status.mode & 0o777).toString(8).padStart(4, '0');
    checks.push(
      judged(
        name,
        (status.mode & 0o077) === 0,
        `${path} has mode ${mode}`,
        'Others on this machine can read it. Run `chmod 600` on it; if somebody may have, make a new archive key known.',
      ),
    );
  }
  return checks;
}

async function store(settings: Settings, clock: Clock): Promise<Check[]> {
  await using opened = await openStore(settings.store, { clock });
  if (settings.store.provider === 's3') {
    for await (const _ of opened.list()) break;
    return [
      good('bucket', `${opened.location} answers; its lock is configured as ${opened.lock}`),
      {
        tried: 'object lock',
        state: 'warning',
        found: 'what the bucket truly enforces was not tried',
        remedy: 'Try by hand that a locked version cannot be deleted before you rely on it.',
      },
    ];
  }
  const { path } = settings.store;
  return [tryWrites(path), freeSpace('room for payloads', path)];
}

/** What a put rests on: a new file, made durable, linked once to a name that is taken from then on. */
function tryWrites(root: string): Check {
  const scratch = join(root, 'incoming', `doctor-${process.pid}`);
  const linked = `${scratch}.linked`;
  const tried = 'write-once store';
  try {
    const fd = fs.openSync(scratch, 'wx', 0o440);
    try {
      fs.writeSync(fd, 'tried by muniment doctor\n');
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.linkSync(scratch, linked);
    try {
      fs.linkSync(scratch, linked);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      return good(
        tried,
        `a file was written, synced and linked in ${root}, and a second link to its name refused`,
      );
    }
    return {
      tried,
      state: 'bad',
      found: `a name in ${root} can be taken twice`,
      remedy:
        'This file system does not keep write-once promises. Move the payloads to ext4, XFS, ZFS or APFS.',
    };
  } catch (error) {
    return {
      tried,
      state: 'bad',
      found: `a file could not be written, synced and linked in ${root}: ${(error as Error).message}`,
      remedy: 'The store needs a local file system with hard links, room, and write access for this user.',
    };
  } finally {
    fs.rmSync(scratch, { force: true });
    fs.rmSync(linked, { force: true });
  }
}

function freeSpace(tried: string, path: string): Check {
  const { bavail, bsize } = fs.statfsSync(path);
  const free = bavail * bsize;
  const found = `${(free / 1024 ** 3).toFixed(1)} GiB free at ${path}`;
  if (free >= FREE_BYTES_WANTED) return good(tried, found);
  return { tried, state: 'warning', found, remedy: 'Add space before the disk is full: capture stops then.' };
}

const SETTINGS_WANTED = [
  ['fsync', 'A power cut can lose or corrupt the ledger. Set `fsync = on` in postgresql.conf.'],
  ['full_page_writes', 'A power cut can tear pages. Set `full_page_writes = on` in postgresql.conf.'],
  ['synchronous_commit', 'The last commits can be lost in a crash. Set `synchronous_commit = on`.'],
] as const;

async function database(settings: Settings): Promise<Check[]> {
  await using urls = await openHomeDatabase(settings);
  await using opened = await openDatabase(urls.runtimeUrl, { max: 1 });
  const client = await opened.pool.connect();
  try {
    const show = async (name: string): Promise<string> => {
      const { rows } = await client.query('SELECT current_setting($1) AS value', [name]);
      return (rows[0] as { value: string }).value;
    };
    const kind = settings.databaseUrl === null ? 'embedded' : 'external';
    const version = await show('server_version');
    const number = Number(await show('server_version_num'));
    const checks = [
      judged(
        'database',
        number >= 150_000,
        `${kind} PostgreSQL ${version}`,
        'Muniment needs PostgreSQL 15 or newer.',
      ),
    ];
    for (const [name, remedy] of SETTINGS_WANTED) {
      const value = await show(name);
      checks.push(judged(name, value !== 'off', `${name} is ${value}`, remedy));
    }
    for (const statement of [
      'UPDATE ledger_entries SET leaf = leaf WHERE seq = 0',
      'DELETE FROM ledger_entries WHERE seq = 0',
      'TRUNCATE ledger_entries CASCADE',
      'UPDATE snapshots SET text = NULL WHERE seq = 0',
    ])
      checks.push(await refused(client, statement));
    checks.push(await eraserCanBeTaken(client));
    return checks;
  } finally {
    client.release();
  }
}

/** Tries what the archive's own login must never be able to do, and takes it back either way. */
async function refused(client: pg.PoolClient, statement: string): Promise<Check> {
  await client.query('BEGIN');
  try {
    await client.query(statement);
    return {
      tried: 'append-only',
      state: 'bad',
      found: `the database let the archive's login run ${statement}`,
      remedy: 'Run `muniment db migrate`, and let the archive work as a login without rights of its own.',
    };
  } catch (error) {
    if ((error as { code?: string }).code === '42501')
      return good('append-only', `${statement.replace(/ WHERE.*| SET.*| CASCADE/, '')} is refused`);
    throw new ServiceError(`the database answered ${(error as Error).message}`, {
      hint: 'Run `muniment db migrate`.',
      cause: error,
    });
  } finally {
    await client.query('ROLLBACK');
  }
}

async function eraserCanBeTaken(client: pg.PoolClient): Promise<Check> {
  const tried = 'eraser role';
  await client.query('BEGIN');
  try {
    await client.query('SET LOCAL ROLE muniment_eraser');
    return good(tried, 'erasing rights are there for disposition to take, and only then');
  } catch (error) {
    return {
      tried,
      state: 'bad',
      found: `the role muniment_eraser cannot be taken: ${(error as Error).message}`,
      remedy: 'Nothing could be destroyed lawfully. Run `muniment db migrate` with an administrator.',
    };
  } finally {
    await client.query('ROLLBACK');
  }
}

async function archive(home: string, environment: Environment, clock: Clock): Promise<Check[]> {
  await using opened = await openArchive(home, environment, clock);
  const { size } = await opened.ledger.head();
  const pinned = await opened.pinnedHead();
  const unsigned = size - (pinned?.size ?? 0);
  const differing = await unapplied(
    opened.database.db,
    await readPolicyFiles(homePaths(opened.settings.home).policies),
  );
  return [
    judged(
      'signed head',
      pinned !== null && unsigned >= 0,
      pinned === null
        ? `keys/head.json is missing, while the ledger has ${size} entries`
        : `${pinned.size} of ${size} entries are under a signed head kept outside the database`,
      pinned === null
        ? 'Restore keys/ from its backup: without it a rewritten ledger would go unnoticed here.'
        : 'The ledger is shorter than what was signed: entries are lost. Run `muniment verify`, restore the database.',
    ),
    differing.length === 0
      ? good('policy', 'the policy files are what is in force')
      : {
          tried: 'policy',
          state: 'warning',
          found: `the files of ${differing.join(' and ')} differ from what is in force`,
          remedy: 'They have no effect, and nothing may be destroyed, until `muniment policy apply`.',
        },
  ];
}
