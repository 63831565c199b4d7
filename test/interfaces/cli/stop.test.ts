// Processes that are told to stop, or killed, in the middle of a run: the real program against a slow platform. A run that may end closes
// with its report and a signed checkpoint; one that may not leaves a gap that shows.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openArchive } from '../../../src/context.ts';
import { type Clock, systemClock } from '../../../src/core/clock.ts';
import { findPlace } from '../../../src/db/embedded-place.ts';
import { runningServer } from '../../../src/db/embedded-server.ts';
import { runReportHead } from '../../../src/ledger/documents.ts';
import { initArchive } from '../../../src/setup.ts';
import { archiveStatus } from '../../../src/status.ts';
import { readObject } from '../../../src/store/objects.ts';
import { FakePlatform } from '../../support/appview.ts';
import { collectCity, removeHome, verifyArchiveOf } from '../../support/archive.ts';
import { PROGRAM } from '../../support/command.ts';
import { isWhole } from '../../support/whole.ts';

const ENVIRONMENT = { home: null, token: null, configFolder: '/nonexistent', variables: {} };
/** A run asks for each page and each thread: with this delay it takes much longer than the test lets it. */
const POSTS = 60;
const DELAY = 250;
/** When the archives were made. */
const AN_HOUR_AGO = systemClock.now().subtract({ hours: 1 });
const EARLIER: Clock = { now: () => AN_HOUR_AGO };
/** Requests that are answered before the signal: by then posts are captured, and most are not. */
const REQUESTS = 12;

interface Home {
  readonly home: string;
  readonly platform: FakePlatform;
}

async function slowHome(t: TestContext): Promise<Home> {
  const platform = await FakePlatform.start();
  for (let n = 0; n < POSTS; n += 1) platform.post(String(n), `Post number ${n}`);
  platform.delay = DELAY;
  const folder = await mkdtemp(join(tmpdir(), 'muniment stop '));
  const home = join(folder, 'home');
  t.after(async () => {
    await removeHome(home);
    await platform[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  const { origin } = platform;
  const source = {
    id: 'city',
    platform: 'bluesky',
    account: platform.account.handle,
    service: origin,
    directory: origin,
    repository: origin,
    proofs: 0,
    schedule: '* * * * *',
  };
  const answers = { name: 'City', origin: 'archive.example.gov/stop', timezone: 'UTC', sources: [source] };
  await initArchive(home, answers, ENVIRONMENT, EARLIER);
  return { home, platform };
}

/** A home whose last run was some time ago, so that `serve` has one to make up for at once. */
async function overdueHome(t: TestContext): Promise<Home> {
  const overdue = await slowHome(t);
  const { home, platform } = overdue;
  const posts = platform.posts.splice(0);
  platform.delay = 0;
  {
    await using archive = await openArchive(home, ENVIRONMENT, EARLIER);
    assert.equal((await collectCity(archive)).status, 'complete');
  }
  platform.posts.push(...posts);
  platform.delay = DELAY;
  platform.requests = 0;
  return overdue;
}

/** Starts the program in a process group of its own, as a shell or a supervisor does. */
function start(
  home: string,
  ...args: string[]
): { child: ChildProcess; ended: Promise<number | null>; said: () => string } {
  const child = spawn(process.execPath, [PROGRAM, '--home', home, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, NODE_V8_COVERAGE: '', MUNIMENT_TOKEN: '', MUNIMENT_HOME: '' },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, ended, said: () => said };
}

/** Waits until the run is well under way. */
async function midRun(platform: FakePlatform, child: ChildProcess): Promise<void> {
  while (platform.requests < REQUESTS) {
    assert.equal(child.exitCode, null, 'it ended before its run');
    await sleep(20);
  }
}

async function assertClosed(home: string, said: string): Promise<void> {
  const { data } = await findPlace(home);
  assert.ok(existsSync(join(data, 'PG_VERSION')));
  assert.equal(
    await runningServer(data),
    null,
    `the embedded server still runs
${said}`,
  );
  await using archive = await openArchive(home, ENVIRONMENT, systemClock);
  const pinned = await archive.pinnedHead();
  assert.equal(
    (await archive.ledger.head()).size,
    pinned?.size,
    'the last checkpoint covers the whole ledger',
  );
  const [city] = (await archiveStatus(archive)).sources;
  assert.deepEqual([city?.status, city?.unfinished], ['partial', null], said);
  const run = await archive.database.db
    .selectFrom('capture_runs')
    .select('report')
    .orderBy('seq', 'desc')
    .executeTakeFirstOrThrow();
  const report = (await readObject(archive.store, run.report)).bytes.toString('utf8');
  const head = runReportHead.parse(JSON.parse(report.split('\n')[0] ?? ''));
  assert.ok(head.errors.some(({ code }) => code === 'interrupted'));
  const { n } = await archive.database.db
    .selectFrom('records')
    .select((e) => e.fn.countAll<number>().as('n'))
    .executeTakeFirstOrThrow();
  assert.equal(Number(n), head.counts.captured, 'the report counts what was captured');
  assert.ok(Number(n) > 0 && Number(n) < POSTS, `${n} captured`);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
}

// They wait together.
describe('serve, in the middle of a run', { concurrency: true }, () => {
  const ways: [name: string, stop: (child: ChildProcess) => Promise<void> | void][] = [
    ['told to stop', (child) => void child.kill('SIGTERM')],
    [
      'told to stop with its whole process group',
      (child) => void process.kill(-(child.pid as number), 'SIGTERM'),
    ],
    [
      'told to stop twice',
      async (child) => {
        child.kill('SIGTERM');
        await sleep(100);
        child.kill('SIGTERM');
      },
    ],
  ];
  for (const [name, stop] of isWhole ? ways : ways.slice(0, 1)) {
    test(`${name}, ends its batch, closes with a report, signs a checkpoint, stops the embedded server and exits 0`, async (t) => {
      const { home, platform } = await overdueHome(t);
      const { child, ended, said } = start(home, '--json', 'serve');
      await midRun(platform, child);
      await stop(child);
      assert.equal(await ended, 0, said());
      assert.match(said(), /Serving 1 source; stop with SIGTERM/);
      assert.match(said(), /"runs": \{\s*"complete": 0,\s*"partial": 1,\s*"failed": 0/);
      await assertClosed(home, said());
    });
  }
});

test('a command whose launcher was killed does not go on unseen: it stops the same way', async (t) => {
  const { home, platform } = await slowHome(t);
  const { child, ended, said } = start(home, 'collect');
  await midRun(platform, child);
  child.kill('SIGKILL');
  // Its words end when the program does.
  assert.equal(await ended, null);
  await assertClosed(home, said());
});

test('collect that is interrupted by Ctrl-C closes its run the same way, exits 5, and the next collect completes it', async (t) => {
  const { home, platform } = await slowHome(t);
  const { child, ended, said } = start(home, 'collect');
  await midRun(platform, child);
  process.kill(-(child.pid as number), 'SIGINT');
  assert.equal(await ended, 5, said());
  assert.match(said(), /city: partial.*\n {2}interrupted: /);
  await assertClosed(home, said());
  platform.delay = 0;
  const again = start(home, 'collect');
  assert.equal(await again.ended, 0, again.said());
  assert.match(again.said(), new RegExp(`city: complete. ${POSTS} seen`));
});

test('a demo that is interrupted ends there, exits 5, and says so without a stack', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'muniment stop '));
  const home = join(folder, 'archive');
  t.after(async () => {
    await removeHome(home);
    await rm(folder, { recursive: true, force: true });
  });
  const { child, ended, said } = start(home, 'demo', '--folder', folder);
  while (!said().includes('2. Capture')) {
    assert.equal(child.exitCode, null, said());
    await sleep(5);
  }
  process.kill(-(child.pid as number), 'SIGINT');
  assert.equal(await ended, 5, said());
  assert.match(
    said(),
    /2\. Capture\n(.*\n)?muniment: it was told to stop, .*\n {2}Run the command again.*\n$/,
  );
});

test('a run that was killed shows in status, and the next run says so in its report and is complete all the same', async (t) => {
  const { home, platform } = await slowHome(t);
  await using archive = await openArchive(home, ENVIRONMENT, systemClock);
  const city = async () => (await archiveStatus(archive)).sources[0];
  assert.equal((await city())?.unfinished, null);
  const { child, ended } = start(home, 'collect');
  await midRun(platform, child);
  assert.equal((await city())?.unfinished?.running, true);
  process.kill(-(child.pid as number), 'SIGKILL');
  await ended;
  // The server notices in its own time that the killed process is gone.
  while ((await city())?.unfinished?.running === true) await sleep(50);
  const killed = (await city())?.unfinished;
  assert.ok(killed);
  assert.equal((await city())?.status, null);
  const status = start(home, 'status');
  assert.equal(await status.ended, 5);
  assert.match(status.said(), /city: INTERRUPTED: the run of .* did not end \(run `muniment collect city`\)/);
  platform.delay = 0;
  const outcome = await collectCity(archive);
  assert.deepEqual([outcome.status, outcome.seen], ['complete', POSTS]);
  assert.deepEqual(
    outcome.errors.map(({ code }) => code),
    ['previous-run-interrupted'],
  );
  const run = await archive.database.db.selectFrom('capture_runs').select('report').executeTakeFirstOrThrow();
  const report = (await readObject(archive.store, run.report)).bytes.toString('utf8');
  const head = runReportHead.parse(JSON.parse(report.split('\n')[0] ?? ''));
  assert.deepEqual(
    head.errors.map(({ code, subject }) => [code, subject]),
    [['previous-run-interrupted', killed.run]],
  );
  assert.equal((await city())?.unfinished, null);
  assert.deepEqual((await collectCity(archive)).errors, [], 'it is told once');
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});
