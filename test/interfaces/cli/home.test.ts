// A home that is not as it was left: with a key of another archive in it, or not to be written any more. Told before anything is done.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { homePaths, openArchive } from '../../../src/context.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { initArchive } from '../../../src/setup.ts';
import { removeHome } from '../../support/archive.ts';
import { muniment, PROGRAM } from '../../support/command.ts';

const ENVIRONMENT = { home: null, token: null, configFolder: '/nonexistent', variables: {} };
let folder: string;
const homes: string[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'muniment homes '));
  for (const name of ['one', 'two']) {
    const home = join(folder, name);
    homes.push(home);
    await initArchive(
      home,
      { name: 'City', origin: `archive.example/${name}`, timezone: 'UTC' },
      ENVIRONMENT,
      systemClock,
    );
  }
});
after(async () => {
  for (const home of homes) await removeHome(home);
  await rm(folder, { recursive: true, force: true });
});

test('with the signing key of another archive every command says so, and nothing is entered or signed', async () => {
  const [one, two] = homes as [string, string];
  const own = join(folder, 'own.key');
  await copyFile(homePaths(one).signingKey, own);
  await copyFile(homePaths(two).signingKey, homePaths(one).signingKey);
  for (const command of ['collect', 'verify']) {
    const ended = await muniment(['--home', one, command]);
    assert.equal(ended.code, 2);
    assert.match(ended.stderr, /signing\.key is a key of archive\.example\/two.*\n.*[Rr]estore/);
  }
  await copyFile(own, homePaths(one).signingKey);
  const verified = JSON.parse((await muniment(['--json', '--home', one, 'verify'])).stdout) as {
    ok: boolean;
    entries: number;
    unsigned: number;
  };
  assert.deepEqual([verified.ok, verified.entries, verified.unsigned], [true, 3, 0]);
});

test('while the folder of the store is away, verify and collect say that it could not be asked, and end with 5', async () => {
  const [one] = homes as [string, string];
  const payloads = join(one, 'payloads');
  await rename(payloads, `${payloads}.away`);
  for (const command of ['verify', 'collect']) {
    const ended = await muniment(['--home', one, '--json', command]);
    assert.equal(ended.code, 5, ended.stderr);
    assert.match(ended.stderr, /^muniment: there is no store in .*payloads.*\n.*is mounted.*\n$/);
    assert.equal(JSON.parse(ended.stdout).error.exitCode, 5);
  }
  await rename(`${payloads}.away`, payloads);
  assert.equal((await muniment(['--home', one, 'verify'])).code, 0);
});

test('a bundle that the disk does not take is told with what to do, and nothing of it stays', async () => {
  const [one] = homes as [string, string];
  // Opened here too, so that the server runs already, outside of the limit.
  await using _ = await openArchive(one, ENVIRONMENT, systemClock);
  const outFolder = join(folder, 'out');
  await mkdir(outFolder);
  const out = join(outFolder, 'bundle.zip');
  const limited = ['-c', 'ulimit -f 8; exec "$0" "$@"', process.execPath, PROGRAM];
  const ended = await promisify(execFile)('bash', [...limited, '--home', one, 'export', '--out', out], {
    env: { ...process.env, NODE_V8_COVERAGE: '' },
  }).catch((error: { code: number; stderr: string }) => error);
  assert.match(
    ended.stderr,
    /^muniment: could not write the bundle .*bundle\.zip: .*\n {2}A limit on the size .*\n$/,
  );
  assert.equal('code' in ended && ended.code, 5);
  assert.deepEqual(await readdir(outFolder), []);
});

test('a home that may not be written is told as that, with what to do', {
  skip: process.getuid?.() === 0 && 'root may write anywhere',
}, async () => {
  const [, two] = homes as [string, string];
  const turns = join(two, 'postgres', 'turns');
  await chmod(turns, 0o500);
  try {
    const ended = await muniment(['--home', two, 'status']);
    assert.equal(ended.code, 4);
    assert.match(
      ended.stderr,
      /^muniment: this user may not write in the archive's home .*two\n {2}Run Muniment as/,
    );
  } finally {
    await chmod(turns, 0o700);
  }
});

test('the database of an archive is not removed, that of one whose making never ended is', async () => {
  const [, two] = homes as [string, string];
  const { unfinished } = homePaths(two);
  const there = JSON.parse(
    await readFile(join(two, 'postgres', 'location.json'), 'utf8').catch(() => 'null'),
  );
  const data = join(there === null ? join(two, 'postgres') : there.folder, 'data');
  const refused = await muniment(['--home', two, 'db', 'remove']);
  assert.equal(refused.code, 4);
  assert.match(refused.stderr, /its database may hold a ledger/);
  assert.ok(existsSync(data), data);

  const nothing = await muniment(['--home', join(two, 'policies'), 'db', 'remove']);
  assert.deepEqual(
    [nothing.code, nothing.stderr.split('\n', 1)],
    [2, [`muniment: ${join(two, 'policies')} holds no archive: there is no muniment.yaml`]],
  );

  // Cut off by a full disk, say: what it was is not known, and so nothing goes on with it.
  await writeFile(unfinished, '{"work":');
  const init = ['init', two, '--name', 'B', '--origin', 'b.example', '--timezone', 'UTC'];
  for (const command of [['--home', two, 'status'], init]) {
    const damaged = await muniment(command);
    assert.equal(damaged.code, 2, damaged.stderr);
    assert.match(
      damaged.stderr,
      /\.unfinished says that .* is not finished, and is damaged\n {2}.*db remove/,
    );
  }
  for (const removed of [true, false]) {
    const done = await muniment(['--json', '--home', two, 'db', 'remove']);
    assert.deepEqual([done.code, JSON.parse(done.stdout)], [0, { removed }]);
    assert.ok(!existsSync(data), data);
  }
});
