// An archive on a PostgreSQL that somebody else runs: over TCP, with a password, as a login without rights of its own. All through
// the command line, as an operator works.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { FakePlatform } from '../support/appview.ts';
import { muniment, munimentProcess } from '../support/command.ts';
import { type OwnServer, startOwnServer } from '../support/postgres.ts';

const PASSWORD = 'pass-word-that-nobody-may-read';
const WRONG = 'wrong-word-that-nobody-may-read';
/** How settings and options refer to a variable. */
const ref = (name: string): string => `\${${name}}`;
const ANSWERS = ['--name', 'City of Example', '--origin', 'archive.example.gov/social', '--timezone', 'UTC'];

let server: OwnServer;
let folder: string;
const closing: (() => Promise<void>)[] = [];

before(async () => {
  server = await startOwnServer({ after: (work) => closing.push(work) });
  folder = await mkdtemp(join(tmpdir(), 'muniment external '));
  await server.ask('postgres', `CREATE ROLE archive LOGIN PASSWORD '${PASSWORD}'`);
});
after(async () => {
  for (const work of closing) await work();
  await rm(folder, { recursive: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly text: string;
}

/** Runs the command to its end; what it says must never hold a password. */
async function told(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  // A relative path means the folder in which the command is said.
  const isRelative = args.some((arg) => arg.startsWith('file:'));
  const ended = isRelative ? munimentProcess(args, { env, cwd: folder }) : muniment(args, { env });
  const { code, stdout: out, stderr } = await ended;
  const text = `${out}${stderr}`;
  for (const secret of [PASSWORD, WRONG]) assert.ok(!text.includes(secret), `a password was told: ${text}`);
  assert.doesNotMatch(text, /^ {4}at /m, 'a stack trace was told');
  return { code, out, text };
}

const urlOf = (database: string): string => server.urlOf('archive', PASSWORD, database);

/** A database that `muniment db migrate` has prepared. @returns its URL for the archive's login */
async function preparedDatabase(name: string): Promise<string> {
  await server.ask('postgres', `CREATE DATABASE ${name}`);
  const migrated = await told(['db', 'migrate', '--admin-url', ref('ADMIN'), '--runtime-user', 'archive'], {
    ADMIN: server.adminUrl(name),
  });
  assert.equal(migrated.code, 0, migrated.text);
  return urlOf(name);
}

async function everyFile(root: string): Promise<string[]> {
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

test('on an external PostgreSQL an archive is made, collects, verifies and exports, as a login that can do no more than that', async () => {
  await using platform = await FakePlatform.start();
  const post = platform.post('1', 'The road is closed');
  platform.post('2', 'The library is open');
  await server.ask('postgres', 'CREATE DATABASE city');
  const variables = { ARCHIVE_URL: urlOf('city'), ADMIN_URL: server.adminUrl('city') };
  const home = join(folder, 'city home');
  const run = (...args: string[]): Promise<Ended> => told(['--home', home, ...args], variables);
  const json = async (...args: string[]) => {
    const ended = await run('--json', ...args);
    assert.equal(ended.code, 0, ended.text);
    return JSON.parse(ended.out);
  };
  const init = ['init', home, ...ANSWERS, '--database', ref('ARCHIVE_URL')];

  const early = await run(...init);
  assert.equal(early.code, 2, early.text);
  assert.match(early.text, /lacks \d+ migrations?\n.*db migrate --admin-url/);
  assert.ok(!existsSync(home));
  const migrated = await told(
    ['--json', 'db', 'migrate', '--admin-url', ref('ADMIN_URL'), '--runtime-user', 'archive'],
    variables,
  );
  assert.equal(JSON.parse(migrated.out).migrations[0], '0001_archive');
  assert.equal((await run(...init)).code, 0);
  assert.deepEqual(await json('db', 'migrate', '--admin-url', ref('ADMIN_URL')), { migrations: [] });

  const settings = join(home, 'muniment.yaml');
  const source = `\n  - { id: city, platform: bluesky, account: ${platform.account.handle}, service: "${platform.origin}", directory: "${platform.origin}", repository: "${platform.origin}", proofs: 0 }\n`;
  await writeFile(
    settings,
    (await readFile(settings, 'utf8')).replace(/sources: \[\]\n/, `sources:${source}`),
  );
  const [first] = (await json('collect')).runs;
  assert.equal(first.captured, 2, JSON.stringify(first));
  post.text = 'The road is open';
  assert.equal((await json('collect')).runs[0].changed, 1);
  const status = await json('status');
  assert.equal(status.unsigned, 0);
  const verified = await json('verify');
  assert.equal(verified.ok, true, JSON.stringify(verified.problems));
  assert.equal(verified.entries, status.entries);
  const bundle = join(folder, 'city.zip');
  assert.equal((await json('export', '--out', bundle)).records, 2);
  assert.equal((await json('verify-bundle', bundle)).ok, true);

  // Neither the home nor the bundle's neighbours hold the password, and no embedded server was made.
  assert.ok(!existsSync(join(home, 'postgres')));
  for (const path of await everyFile(home))
    assert.ok(!(await readFile(path)).includes(PASSWORD), `${path} holds the password`);

  const client = new pg.Client({ connectionString: variables.ARCHIVE_URL });
  await client.connect();
  try {
    const { rows } = await client.query(
      "SELECT rolsuper, rolcreaterole, rolcreatedb, pg_has_role('muniment_eraser', 'USAGE') AS erases, pg_has_role('muniment_eraser', 'MEMBER') AS may_take FROM pg_roles WHERE rolname = current_user",
    );
    assert.deepEqual(rows, [
      { rolsuper: false, rolcreaterole: false, rolcreatedb: false, erases: false, may_take: true },
    ]);
    for (const statement of [
      'UPDATE ledger_entries SET seq = seq + 1',
      'DELETE FROM ledger_entries',
      'TRUNCATE ledger_entries CASCADE',
      'UPDATE payloads SET salt = NULL, sha256 = NULL',
      'UPDATE snapshots SET text = NULL',
      'DELETE FROM payload_versions',
    ]) {
      await assert.rejects(client.query(statement), { code: '42501' }, statement);
    }
  } finally {
    await client.end();
  }

  for (const command of ['start', 'stop', 'url']) {
    const refused = await run('db', command);
    assert.equal(refused.code, 2);
    assert.match(refused.text, /uses an external database \(city on 127\.0\.0\.1:\d+\)/);
  }
  const elsewhere = await run('db', 'migrate', '--admin-url', server.adminUrl('postgres'));
  assert.equal(elsewhere.code, 2);
  assert.match(elsewhere.text, /names the database postgres, the archive's is city/);

  // The URL may lie in a file, told from the home, as well as in a variable.
  await writeFile(join(home, 'keys', 'database.url'), `${variables.ARCHIVE_URL}\n`, { mode: 0o600 });
  await writeFile(
    settings,
    (await readFile(settings, 'utf8')).replace(ref('ARCHIVE_URL'), 'file:keys/database.url'),
  );
  const fromFile = await told(['--home', home, 'verify']);
  assert.equal(fromFile.code, 0, fromFile.text);
});

/** Passes clients through to the server, and has that say that it is PostgreSQL 14. */
async function asOldServer(): Promise<{ port: number; close(): Promise<void> }> {
  const client = new pg.Client({ connectionString: server.adminUrl() });
  await client.connect();
  const { rows } = await client.query('SHOW server_version_num');
  await client.end();
  const ofColumn = (version: string): Buffer => Buffer.from(`\0\0\0\u0006${version}`, 'latin1');
  const said = ofColumn((rows[0] as { server_version_num: string }).server_version_num);
  const proxy = createServer((socket) => {
    const to = connect(server.port, '127.0.0.1');
    socket.pipe(to);
    to.on('data', (bytes: Buffer) => {
      const at = bytes.indexOf(said);
      if (at >= 0) ofColumn('140023').copy(bytes, at);
      socket.write(bytes);
    });
    to.on('error', () => socket.destroy()).on('close', () => socket.destroy());
    socket.on('error', () => to.destroy()).on('close', () => to.destroy());
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return {
    port: (proxy.address() as AddressInfo).port,
    close: async () => {
      proxy.close();
      await once(proxy, 'close');
    },
  };
}

test('a database that cannot serve is told in one sentence with what to do next, and no home is half made', async (t) => {
  await preparedDatabase('faults');
  await preparedDatabase('future');
  await server.ask(
    'future',
    "INSERT INTO kysely_migration (name, timestamp) VALUES ('9999_future', now()::text)",
  );
  await preparedDatabase('taken');
  const taken = await told(['init', join(folder, 'first'), ...ANSWERS, '--database', ref('URL')], {
    URL: urlOf('taken'),
  });
  assert.equal(taken.code, 0, taken.text);
  await server.ask('postgres', 'CREATE DATABASE bare', 'CREATE ROLE "other" LOGIN PASSWORD \'x\'');
  const old = await asOldServer();
  t.after(() => old.close());
  const address = `127.0.0.1:${server.port}`;
  await writeFile(join(folder, 'url.secret'), urlOf('faults').replace(PASSWORD, WRONG));

  const cases: [name: string, database: string, url: string, code: number, message: RegExp][] = [
    [
      'wrong password',
      ref('URL'),
      urlOf('faults').replace(PASSWORD, WRONG),
      2,
      /refuses the password of archive/,
    ],
    ['wrong password, in a file', 'file:url.secret', '', 2, /refuses the password of archive/],
    ['no password', `postgres://archive@${address}/faults`, '', 2, /asks for a password of archive/],
    [
      'no such login',
      ref('URL'),
      server.urlOf('stranger', WRONG, 'faults'),
      2,
      /refuses the password of stranger/,
    ],
    ['no such database', ref('URL'), urlOf('absent'), 2, /has no database absent/],
    ['nobody listens', ref('URL'), `postgres://archive:${PASSWORD}@127.0.0.1:1/faults`, 5, /does not answer/],
    [
      'no such host',
      ref('URL'),
      `postgres://archive:${PASSWORD}@database.invalid/faults`,
      5,
      /does not answer/,
    ],
    ['not migrated', ref('URL'), urlOf('bare'), 2, /lacks \d+ migrations?\n/],
    ['newer schema', ref('URL'), urlOf('future'), 2, /newer schema \(9999_future\)/],
    [
      'too old',
      ref('URL'),
      urlOf('faults').replace(String(server.port), String(old.port)),
      2,
      /PostgreSQL 14/,
    ],
    ['a superuser', ref('URL'), server.adminUrl('faults'), 2, /must not work as postgres/],
    ['a login without rights', ref('URL'), server.urlOf('other', 'x', 'faults'), 2, /other has no rights/],
    ['another archive in it', ref('URL'), urlOf('taken'), 4, /already holds another archive/],
    [
      'another kind of URL',
      ref('URL'),
      `mysql://archive:${PASSWORD}@${address}/x`,
      2,
      /begin with postgres:/,
    ],
    ['an unreadable URL', ref('URL'), `postgres://archive:${PASSWORD}@[::/x`, 2, /cannot be read/],
    ['no such variable', ref('ABSENT'), '', 2, /environment has no ABSENT/],
    ['no such file', 'file:absent', '', 2, /absent cannot be read/],
  ];
  for (const [name, database, url, code, message] of cases) {
    await t.test(name, async () => {
      const home = join(folder, 'no home');
      const ended = await told(['init', home, ...ANSWERS, '--database', database], { URL: url });
      assert.match(ended.text, message);
      assert.equal(ended.code, code, ended.text);
      assert.match(ended.text, /\n {2}\S.*\.\n$/, 'it says what to do next');
      assert.ok(!existsSync(home));
    });
  }
  await t.test('a password on the command line', async () => {
    const home = join(folder, 'no home');
    const ended = await told(['init', home, ...ANSWERS, '--database', urlOf('faults')]);
    assert.match(ended.text, /database\.url holds a password/);
    assert.equal(ended.code, 2);
    assert.ok(!existsSync(home));
  });
  await t.test('bad answers, all at once', async () => {
    const home = join(folder, 'no home');
    const bad = ['--name', 'X', '--origin', 'Not An Origin', '--timezone', 'Mars/Olympus'];
    const ended = await told(['init', home, ...bad]);
    assert.match(ended.text, /archive\.origin.*archive\.timezone/);
    assert.equal(ended.code, 2);
    assert.ok(!existsSync(home));
  });
});

test('a home whose database went away or is another archive’s says so, and writes nothing', async () => {
  const home = join(folder, 'strayed');
  const database = await preparedDatabase('strayed');
  const foreign = await preparedDatabase('strange');
  const make = (dir: string, origin: string, url: string): Promise<Ended> =>
    told(['init', dir, '--name', 'A', '--origin', origin, '--timezone', 'UTC', '--database', ref('URL')], {
      URL: url,
    });
  assert.equal((await make(home, 'a.example', database)).code, 0);
  assert.equal((await make(join(folder, 'other'), 'b.example', foreign)).code, 0);
  const collect = (url: string): Promise<Ended> => told(['--home', home, 'collect'], { URL: url });
  const strayed = await collect(foreign);
  assert.equal(strayed.code, 2, strayed.text);
  assert.match(strayed.text, /holds another archive \(b\.example\), not a\.example/);
  assert.equal((await collect(database)).code, 0);
  assert.equal((await collect(database.replace(PASSWORD, WRONG))).code, 2);
  const gone = await collect(`postgres://archive:${PASSWORD}@127.0.0.1:1/strayed`);
  assert.equal(gone.code, 5, gone.text);
  const again = await make(home, 'a.example', database);
  assert.equal(again.code, 2);
  assert.match(again.text, /already holds an archive/);
});
