// Schedules as jobs: a tick is one run however many see it. Whole workers on one database, and killed ones, are in serve.test.ts.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { getConstructionPlans } from 'pg-boss';
import { CollectJobs, jobId } from '../../src/capture/jobs.ts';
import { lastTick } from '../../src/capture/ticks.ts';
import { MIGRATIONS } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { addressOf, openDatabase } from '../../src/db/database.ts';
import { JOBS_SCHEMA, JOBS_VERSION } from '../../src/db/jobs-schema.ts';
import { migrate } from '../../src/db/migrate.ts';
import { serve } from '../../src/serving.ts';
import { FakePlatform } from '../support/appview.ts';
import { reopened, testArchive } from '../support/archive.ts';
import { freshDatabase } from '../support/postgres.ts';

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

test('of a schedule that follows the account’s pace, only the ticks that its pace asks for become runs', async (t) => {
  await using platform = await FakePlatform.start();
  for (let n = 0; n < 3; n += 1)
    platform.post(String(n), `Long ago ${n}`, { createdAt: `2026-0${n + 1}-01T12:00:00.000Z` });
  const { home } = await testArchive(t, platform);
  const settings = join(home, 'muniment.yaml');
  const text = await readFile(settings, 'utf8');
  await writeFile(settings, text.replace('id: city', 'id: city\n    schedule: auto 5m-1d'));
  await using archive = await reopened(home, systemClock);
  const stop = new AbortController();
  let tick: (at: string) => void = () => assert.fail('no ticker');
  const told: string[] = [];
  const serving = serve(archive, stop.signal, (line) => told.push(line), {
    jitter: 0,
    ticker(_source, onTick) {
      tick = onTick;
      return { destroy: () => undefined };
    },
  });
  t.after(() => stop.abort());
  const runs = () => told.filter((line) => /^city: \w+, \d+ captured/.test(line)).length;
  const ran = async (count: number) => {
    for (const until = Date.now() + 30_000; runs() < count; ) {
      assert.ok(Date.now() < until, told.join('\n'));
      assert.ok(!told.some((line) => line.includes('was not begun')), told.join('\n'));
      await wait(50);
    }
  };
  while (!told.some((line) => line.startsWith('Serving'))) await wait(20);
  tick('2026-11-02T10:05:00.000Z');
  await ran(1);
  // It writes once a month: once a day is often enough, at midnight in the archive's zone.
  tick('2026-11-02T10:10:00.000Z');
  tick('2026-11-03T05:00:00.000Z');
  await ran(2);
  stop.abort();
  assert.equal((await serving).runs.complete, 2);
  const { rows } = await archive.database.pool.query(
    `SELECT data ->> 'tick' AS tick FROM ${JOBS_SCHEMA}.job WHERE name = 'collect' ORDER BY 1`,
  );
  assert.deepEqual(rows, [{ tick: '2026-11-02T10:05:00.000Z' }, { tick: '2026-11-03T05:00:00.000Z' }]);
});
