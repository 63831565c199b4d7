// `muniment init`, killed at every step that can be told from outside, and made again: the archive is finished, with the keys it had.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Environment } from '../src/config.ts';
import { homePaths, openArchive } from '../src/context.ts';
import { systemClock } from '../src/core/clock.ts';
import { InputError, RefusedError } from '../src/core/errors.ts';
import { stopEmbedded } from '../src/db/embedded.ts';
import { verify } from '../src/operations.ts';
import { initArchive, type NewArchive } from '../src/setup.ts';
import { type FreshDatabase, freshDatabase } from './support/postgres.ts';
import { isWhole } from './support/whole.ts';

const PROGRAM = join(import.meta.dirname, '..', 'src', 'main.ts');
const ANSWERS: NewArchive = {
  name: 'City of Example',
  origin: 'archive.example.gov/social',
  timezone: 'America/New_York',
};
/** How muniment.yaml refers to the variable. */
const REFERENCE = `\${URL}`;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'muniment init '));
  // Open to the embedded server's user, so that nothing lands elsewhere when the tests run as root.
  await chmod(folder, 0o755);
});
after(() => rm(folder, { recursive: true }));

const environmentOf = (url: string | null, token: string | null = null): Environment => ({
  home: null,
  token,
  configFolder: '/nonexistent',
  variables: url === null ? {} : { URL: url },
});

function startInit(home: string, url: string | null): ChildProcess {
  const { name, origin, timezone } = ANSWERS;
  const answers = ['--name', name, '--origin', origin, '--timezone', timezone];
  return spawn(
    process.execPath,
    [PROGRAM, 'init', home, ...answers, ...(url === null ? [] : ['--database', REFERENCE])],
    // A killed process would leave half a coverage file.
    { stdio: 'ignore', env: { ...process.env, NODE_V8_COVERAGE: '', ...(url === null ? {} : { URL: url }) } },
  );
}

/** Starts init and kills it as soon as `reached` holds. @returns whether it was still at work */
async function killWhen(child: ChildProcess, reached: () => Promise<boolean> | boolean): Promise<boolean> {
  const ended = once(child, 'exit');
  while (child.exitCode === null && !(await reached())) await sleep(1);
  const working = child.exitCode === null;
  child.kill('SIGKILL');
  await ended;
  return working;
}

async function readIfPresent(path: string): Promise<string | null> {
  return existsSync(path) ? readFile(path, 'utf8') : null;
}

/** Makes init again after a kill, and has the archive verified. Keys that were there are still the same. */
async function finish(home: string, url: string | null): Promise<void> {
  const paths = homePaths(home);
  const secrets = [paths.signingKey, paths.archiveSecret, paths.databaseSecret, paths.verifierKey];
  const before = await Promise.all(secrets.map(readIfPresent));
  const unfinished = !existsSync(paths.settings) || existsSync(paths.unfinished);
  const again = { ...ANSWERS, ...(url === null ? {} : { databaseUrl: REFERENCE }) };
  let token: string | null = null;
  if (unfinished) {
    await assert.rejects(openArchive(home, environmentOf(url), systemClock), InputError);
    ({ token } = await initArchive(home, again, environmentOf(url), systemClock));
  } else
    await assert.rejects(
      initArchive(home, again, environmentOf(url), systemClock),
      /already holds an archive/,
    );
  for (const [n, path] of secrets.entries())
    if (before[n] !== null) assert.equal(await readIfPresent(path), before[n], path);
  assert.deepEqual(
    [...(await readdir(home)), ...(await readdir(paths.keys))].filter((name) =>
      /unfinished|\.new$/.test(name),
    ),
    [],
  );
  await using archive = await openArchive(home, environmentOf(url, token), systemClock);
  const found = await verify(archive, { signal: new AbortController().signal });
  assert.deepEqual([found.ok, found.entries, found.unsigned, found.problems], [true, 3, 0, []]);
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Keeps init from passing a table, kills it there, and lets go. */
async function killAtTable(table: string, home: string, database: FreshDatabase): Promise<boolean> {
  return withClient(database.adminUrl, async (client) => {
    await client.query('BEGIN');
    await client.query(`LOCK TABLE ${table} IN EXCLUSIVE MODE`);
    const waiting = async (): Promise<boolean> =>
      (
        await client.query(
          'SELECT FROM pg_locks WHERE NOT granted AND relation = $1::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())',
          [table],
        )
      ).rowCount !== 0;
    return killWhen(startInit(home, database.runtimeUrl), waiting);
  });
}

test('init on an external database, killed at many points, is finished by the same init', async (t) => {
  const points: [name: string, kill: (home: string, database: FreshDatabase) => Promise<boolean>][] = [
    ...(['unfinished', 'settings', 'signingKey', 'archiveSecret'] as const).map(
      (file): [string, (home: string, database: FreshDatabase) => Promise<boolean>] => [
        `once ${file} stands`,
        (home, database) =>
          killWhen(startInit(home, database.runtimeUrl), () => existsSync(homePaths(home)[file])),
      ],
    ),
    ['before the log is made', (home, database) => killAtTable('ledger_head', home, database)],
    ['within the first entries', (home, database) => killAtTable('accounts', home, database)],
    ['between signature and checkpoint row', (home, database) => killAtTable('checkpoints', home, database)],
    [
      'at a moment that nobody chose',
      (home, database) => {
        const until = performance.now() + randomInt(200, 1200);
        return killWhen(startInit(home, database.runtimeUrl), () => performance.now() > until);
      },
    ],
  ];
  // Within `npm test` some of them, others each time.
  for (const [n, [name, kill]] of points.entries()) {
    if (!isWhole && randomInt(points.length) >= 3) continue;
    await t.test(name, async () => {
      const database = await freshDatabase();
      try {
        const home = join(folder, `external ${n}`);
        const working = await kill(home, database);
        if (n < points.length - 1) assert.ok(working, 'init had ended before the kill');
        await finish(home, database.runtimeUrl);
      } finally {
        await database.close();
      }
    });
  }
});

test('init on the embedded server, killed again and again in one home, is finished by the same init', async () => {
  const home = join(folder, 'embedded');
  try {
    const reached: (() => boolean)[] = [
      () => {
        const folder = join(home, 'postgres');
        return existsSync(folder) && readdirSync(folder).some((name) => name.startsWith('data.new'));
      },
      () => existsSync(join(home, 'postgres', 'data')),
      ...(isWhole ? [300, 900, 1500] : [900]).map((limit) => {
        let until: number | null = null;
        return () => {
          until ??= performance.now() + randomInt(limit);
          return performance.now() > until;
        };
      }),
    ];
    for (const point of reached) await killWhen(startInit(home, null), point);
    await finish(home, null);
  } finally {
    await stopEmbedded(home);
  }
});

test('an interrupted init is not finished with other answers, and says which ones differ', async () => {
  const database = await freshDatabase();
  try {
    const home = join(folder, 'other answers');
    await killAtTable('ledger_head', home, database);
    const other = { ...ANSWERS, name: 'Town of Example', databaseUrl: REFERENCE };
    await assert.rejects(
      initArchive(home, other, environmentOf(database.runtimeUrl), systemClock),
      (error: unknown) =>
        error instanceof InputError &&
        error.message.endsWith('had other answers: name was "City of Example" and is now "Town of Example"'),
    );
    await finish(home, database.runtimeUrl);
  } finally {
    await database.close();
  }
});

test('an interrupted init is not finished in a database where another archive has begun since', async () => {
  const database = await freshDatabase();
  try {
    const [home, rival] = [join(folder, 'first'), join(folder, 'rival')];
    await killAtTable('accounts', home, database);
    const answers = { ...ANSWERS, databaseUrl: REFERENCE };
    const environment = environmentOf(database.runtimeUrl);
    // Of another origin: refused before there is a folder, even though the log is still empty.
    await assert.rejects(
      initArchive(join(folder, 'third'), { ...answers, origin: 'other.example' }, environment, systemClock),
      RefusedError,
    );
    assert.ok(!existsSync(join(folder, 'third')));
    await initArchive(rival, answers, environment, systemClock);
    await assert.rejects(initArchive(home, answers, environment, systemClock), RefusedError);
    await using archive = await openArchive(rival, environment, systemClock);
    assert.equal((await verify(archive, { signal: new AbortController().signal })).ok, true);
  } finally {
    await database.close();
  }
});

test('two inits of one home at once make one archive', async () => {
  const database = await freshDatabase();
  try {
    const home = join(folder, 'twins');
    const answers = { ...ANSWERS, databaseUrl: REFERENCE };
    const both = await Promise.allSettled(
      [1, 2].map(() => initArchive(home, answers, environmentOf(database.runtimeUrl), systemClock)),
    );
    const made = both.filter((one) => one.status === 'fulfilled');
    assert.ok(
      made.length > 0,
      JSON.stringify(both.map((one) => (one.status === 'rejected' ? String(one.reason) : 'ok'))),
    );
    assert.equal(new Set(made.map((one) => one.value.verifierKey)).size, 1);
    await using archive = await openArchive(home, environmentOf(database.runtimeUrl), systemClock);
    const found = await verify(archive, { signal: new AbortController().signal });
    assert.deepEqual([found.ok, found.entries], [true, 3]);
  } finally {
    await database.close();
  }
});

test('init leaves a folder alone that is in use', async () => {
  const home = join(folder, 'in use');
  await mkdir(home);
  await writeFile(join(home, 'letter.txt'), 'Dear Sir or Madam');
  await assert.rejects(initArchive(home, ANSWERS, environmentOf(null), systemClock), /is not empty/);
  assert.deepEqual(await readdir(home), ['letter.txt']);
});
