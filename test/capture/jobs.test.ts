// Schedules as jobs: a tick is one run however many workers there are, and a worker that is killed loses nothing.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { getConstructionPlans } from 'pg-boss';
import { CollectJobs, jobId } from '../../src/capture/jobs.ts';
import { lastTick } from '../../src/capture/ticks.ts';
import { MIGRATIONS } from '../../src/context.ts';
import { addressOf, openDatabase } from '../../src/db/database.ts';
import { JOBS_SCHEMA, JOBS_VERSION } from '../../src/db/jobs-schema.ts';
import { migrate } from '../../src/db/migrate.ts';
import { FakePlatform } from '../support/appview.ts';
import { testArchive, verifyArchiveOf } from '../support/archive.ts';
import { freshDatabase } from '../support/postgres.ts';

const WORKER = join(import.meta.dirname, '..', 'support', 'serving-process.ts');
const TICK = { source: 'city', tick: '2026-11-01T10:00:00.000Z' };

test('the schema that an administrator makes is the one that pg-boss works with', () => {
  assert.match(getConstructionPlans(JOBS_SCHEMA), new RegExp(`VALUES \\('${JOBS_VERSION}'\\)`));
});

test('a database that was migrated before there were jobs is told to be migrated, and is brought up to date by that', async (t) => {
  const fresh = await freshDatabase();
  t.after(fresh.close);
  await using runtime = await openDatabase(fresh.runtimeUrl);
  await using admin = await openDatabase(fresh.adminUrl);
  await admin.pool.query(`DROP SCHEMA ${JOBS_SCHEMA} CASCADE`);
  await assert.rejects(CollectJobs.open(runtime, assert.fail), /no job queue yet/);
  const { user } = addressOf(fresh.runtimeUrl);
  await migrate({ adminUrl: fresh.adminUrl, runtimeUser: user, folder: MIGRATIONS });
  await using jobs = await CollectJobs.open(runtime, assert.fail);
  assert.equal(await jobs.add(TICK), true);
});

test('a tick is named alike by whoever sees it, as a UUID of version 5', () => {
  assert.equal(jobId(TICK), jobId({ ...TICK }));
  assert.notEqual(jobId(TICK), jobId({ ...TICK, source: 'town' }));
  assert.match(jobId(TICK), /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('what a schedule asked for while nobody served is made up for once, unless it is long ago', () => {
  const hourly = { schedule: '0 * * * *', timezone: 'UTC' };
  assert.equal(lastTick(hourly, '2026-11-01T10:00:30Z', '2026-11-01T13:05:00Z'), '2026-11-01T13:00:00.000Z');
  assert.equal(lastTick(hourly, '2026-11-01T13:00:30Z', '2026-11-01T13:05:00Z'), null);
  const yearly = { schedule: '0 0 1 1 *', timezone: 'UTC' };
  assert.equal(lastTick(yearly, '2025-12-01T00:00:00Z', '2026-11-01T00:00:00Z'), null);
});

test('a tick makes one job, and ticks that come while one waits are covered by it', async (t) => {
  await using platform = await FakePlatform.start();
  const { archive } = await testArchive(t, platform);
  const { database } = archive;
  const fail = (error: Error) => assert.fail(error);
  await using one = await CollectJobs.open(database, fail);
  await using other = await CollectJobs.open(database, fail);
  const added = await Promise.all([one.add(TICK), other.add(TICK), other.add(TICK)]);
  assert.equal(added.filter((was) => was).length, 1);
  assert.equal(await one.add({ ...TICK, tick: '2026-11-01T10:10:00.000Z' }), false);
  assert.equal(await other.add({ ...TICK, source: 'town' }), true, 'sources do not wait for one another');
  const ran: string[] = [];
  const run = async ({ source }: { source: string }) => {
    ran.push(source);
  };
  await Promise.all([one.work(run), other.work(run)]);
  for (const until = Date.now() + 20_000; ran.length < 2 && Date.now() < until; ) await wait(50);
  await wait(1500);
  assert.deepEqual(ran.sort(), ['city', 'town']);
  assert.equal(await one.add(TICK), false, 'a tick that was run is not run again');
});

test('two workers on a fast schedule, one of them killed: every tick at most one job, everything captured once, nothing lost', async (t) => {
  await using platform = await FakePlatform.start();
  const { home, archive } = await testArchive(t, platform);
  const settings = join(home, 'muniment.yaml');
  const text = await readFile(settings, 'utf8');
  await writeFile(settings, text.replace('id: city', 'id: city\n    schedule: "0 * * * *"'));
  platform.delay = 20;
  const start = () => {
    const child = spawn(process.execPath, [WORKER, home], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_V8_COVERAGE: '' },
    });
    let told = '';
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      told += part;
    });
    return { child, told: () => told };
  };
  const killed = start();
  const survivor = start();
  t.after(() => {
    killed.child.kill('SIGKILL');
    survivor.child.kill('SIGKILL');
  });
  const captured = async () => {
    const row = await archive.database.db
      .selectFrom('records')
      .select((rows) => rows.fn.countAll<number>().as('n'))
      .executeTakeFirstOrThrow();
    return Number(row.n);
  };
  const until = async (count: number, seconds: number) => {
    for (const end = Date.now() + seconds * 1000; Date.now() < end; await wait(100))
      if ((await captured()) === count) return;
    assert.fail(`captured ${await captured()} of ${count}: ${killed.told()} / ${survivor.told()}`);
  };
  for (let n = 0; n < 12; n += 1) {
    platform.post(`a${n}`, `Notice ${n}`);
    await wait(150);
  }
  await until(12, 60);
  // In the middle of a run, as likely as not of its own: the schedule leaves no pause.
  killed.child.kill('SIGKILL');
  for (let n = 0; n < 12; n += 1) platform.post(`b${n}`, `Later notice ${n}`);
  await until(24, 90);
  const ended = once(survivor.child, 'exit');
  survivor.child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null], survivor.told());
  const jobs = await archive.database.pool.query(
    `SELECT count(*) AS jobs, count(DISTINCT data ->> 'tick') AS ticks FROM ${JOBS_SCHEMA}.job WHERE name = 'collect'`,
  );
  const [row] = jobs.rows as { jobs: number; ticks: number }[];
  assert.ok(row !== undefined && row.jobs >= 2, `${row?.jobs} jobs`);
  assert.equal(row.jobs, row.ticks);
  const versions = await archive.database.pool.query(
    'SELECT max(version) AS most, count(*) AS all FROM snapshots',
  );
  assert.deepEqual(versions.rows, [{ most: 1, all: 24 }]);
  const verified = await verifyArchiveOf(archive);
  assert.deepEqual(verified.problems, []);
});
