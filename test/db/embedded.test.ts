// The embedded PostgreSQL among real processes: many at once, killed ones, copied and moved homes.

import assert from 'node:assert/strict';
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, lstat, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { RefusedError } from '../../src/core/errors.ts';
import { openEmbedded, stopEmbedded } from '../../src/db/embedded.ts';
import { isWhole } from '../support/whole.ts';

const CLIENT = fileURLToPath(new URL('./embedded-client.ts', import.meta.url));
const asRoot = process.getuid?.() === 0;

/** A temporary folder for homes. After the test every home in it is stopped and removed, with what lies outside it. */
async function newFolder(t: TestContext, mode: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'muniment-embedded-'));
  await chmod(folder, mode);
  t.after(async () => {
    for (const name of await readdir(folder)) {
      const outside = await outsideOf(join(folder, name));
      await stopEmbedded(join(folder, name));
      if (outside !== null) await rm(outside, { recursive: true, force: true });
    }
    await rm(folder, { recursive: true });
  });
  return folder;
}

async function newHome(t: TestContext): Promise<string> {
  return join(await newFolder(t, 0o755), 'home');
}

async function outsideOf(home: string): Promise<string | null> {
  try {
    return (JSON.parse(await readFile(join(home, 'postgres', 'location.json'), 'utf8')) as { folder: string })
      .folder;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function startUser(home: string): ChildProcessByStdio<Writable, Readable, null> {
  return spawn(process.execPath, [CLIENT, home], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // A killed process would leave half a coverage file.
    env: { ...process.env, NODE_V8_COVERAGE: '' },
  });
}

async function isOpen(child: ChildProcessByStdio<Writable, Readable, null>): Promise<void> {
  const [first] = await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then((ended) => [`ended ${ended}`]),
  ]);
  assert.equal(String(first), 'open\n');
}

async function letGo(child: ChildProcessByStdio<Writable, Readable, null>): Promise<void> {
  const ended = once(child, 'exit');
  child.stdin.end();
  const [code] = await ended;
  assert.equal(code, 0);
}

async function ask(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

const USERS = isWhole ? 20 : 8;

test(`${USERS} processes open a new archive at once; five are killed and the others work on; the last one out stops the server`, async (t) => {
  const home = await newHome(t);
  const children = Array.from({ length: USERS }, () => startUser(home));
  // Two die at a moment that nobody chose, perhaps while they make or start the server.
  for (const child of children.slice(0, 2)) {
    setTimeout(() => child.kill('SIGKILL'), 150 + Math.random() * 700);
  }
  await Promise.all(children.slice(2).map(isOpen));
  const killed = children.slice(0, 5);
  await Promise.all(
    killed.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }),
  );
  {
    await using server = await openEmbedded({ home });
    const rows = (await ask(server.adminUrl, 'SELECT pid FROM visits')) as { pid: number }[];
    const visitors = rows.map((row) => row.pid);
    for (const child of children.slice(2)) assert.ok(visitors.includes(child.pid as number));
  }
  await Promise.all(children.slice(5).map(letGo));
  assert.equal(await stopEmbedded(home), false);
});

test('a server that was left running by a killed process is adopted, and stopped by the last one out', async (t) => {
  const home = await newHome(t);
  const child = startUser(home);
  await isOpen(child);
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
  const pidFile = join(home, 'postgres', 'data', 'postmaster.pid');
  const before = (await readFile(pidFile, 'utf8')).split('\n')[0];
  {
    await using _server = await openEmbedded({ home });
    assert.equal((await readFile(pidFile, 'utf8')).split('\n')[0], before);
  }
  assert.equal(await stopEmbedded(home), false);
});

test('a pid file of a crashed server whose number another process has now does not keep the server from starting', async (t) => {
  const home = await newHome(t);
  const pidFile = join(home, 'postgres', 'data', 'postmaster.pid');
  {
    await using _server = await openEmbedded({ home });
  }
  await writeFile(pidFile, `${process.pid}\n/somewhere/else\n1\n5432\n/tmp\n\n0 0\nready\n`);
  await using server = await openEmbedded({ home });
  assert.deepEqual(await ask(server.adminUrl, 'SELECT 1 AS one'), [{ one: 1 }]);
});

test('the server listens on no port, keeps its socket private, asks for a password and speaks UTC and UTF-8', async (t) => {
  const home = await newHome(t);
  await using server = await openEmbedded({ home });
  const [settings] = await ask(
    server.adminUrl,
    `SELECT current_setting('listen_addresses') AS ports, current_setting('TimeZone') AS zone, current_setting('server_encoding') AS encoding,
            current_setting('fsync') AS fsync, current_setting('unix_socket_directories') AS folder,
            (SELECT datlocale FROM pg_database WHERE datname = 'muniment') AS locale`,
  );
  const { folder, ...rest } = settings as { folder: string };
  assert.deepEqual(rest, { ports: '', zone: 'UTC', encoding: 'UTF8', fsync: 'on', locale: 'C.UTF-8' });
  const found = await lstat(folder);
  assert.equal(found.mode & 0o777, 0o700);
  assert.equal((await lstat(join(home, 'postgres', 'secret'))).mode & 0o777, 0o600);
  await assert.rejects(ask(server.urlFor('postgres', 'guess'), 'SELECT 1'), { code: '28P01' });
});

for (const [where, mode] of [
  ['in the home', 0o755],
  ['outside a home that the server may not enter', 0o700],
] as const) {
  test(`a copied home has a database of its own, with data ${where}`, async (t) => {
    const folder = await newFolder(t, mode);
    const home = join(folder, 'home');
    {
      await using server = await openEmbedded({ home });
      await ask(server.adminUrl, "CREATE TABLE note AS SELECT 'original' AS text");
    }
    assert.equal((await outsideOf(home)) !== null, asRoot && mode === 0o700);
    const copy = join(folder, 'copy');
    execFileSync('cp', ['-a', home, copy]);
    {
      await using second = await openEmbedded({ home: copy });
      await ask(second.adminUrl, "UPDATE note SET text = 'copy'");
      await using first = await openEmbedded({ home });
      assert.deepEqual(await ask(first.adminUrl, 'SELECT text FROM note'), [{ text: 'original' }]);
      assert.deepEqual(await ask(second.adminUrl, 'SELECT text FROM note'), [{ text: 'copy' }]);
    }
    assert.notEqual(await outsideOf(home), (await outsideOf(copy)) ?? '');
    const moved = join(folder, 'moved');
    await rename(copy, moved);
    await using third = await openEmbedded({ home: moved });
    assert.deepEqual(await ask(third.adminUrl, 'SELECT text FROM note'), [{ text: 'copy' }]);
  });
}

// Only root has data outside its homes.
if (asRoot) {
  test('a copy of a home whose outside database is running is refused until that one stops', async (t) => {
    const folder = await newFolder(t, 0o700);
    const home = join(folder, 'home');
    const copy = join(folder, 'copy');
    {
      await using _server = await openEmbedded({ home });
      await cp(home, copy, { recursive: true });
      await assert.rejects(openEmbedded({ home: copy }), RefusedError);
    }
    await using server = await openEmbedded({ home: copy });
    assert.deepEqual(await ask(server.adminUrl, 'SELECT 1 AS one'), [{ one: 1 }]);
  });
}
