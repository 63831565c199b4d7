// Two workers on one database through a fast schedule, and killed at random moments: every tick is one job, every item is captured once,
// nothing is lost. `npm test` gives it some seconds, `npm test -- --whole test/capture/serve.test.ts` ten minutes, MINUTES=… as many as it says.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { jobId } from '../../src/capture/jobs.ts';
import { JOBS_SCHEMA } from '../../src/db/jobs-schema.ts';
import { FakePlatform } from '../support/appview.ts';
import { testArchive, verifyArchiveOf } from '../support/archive.ts';
import { isWhole } from '../support/whole.ts';

const WORKER = join(import.meta.dirname, '..', 'support', 'serving-process.ts');
/** What is a minute to a schedule. Longer than a worker takes to see a job and a run to end, or ticks would be covered by one that waits. */
const TICK_MS = 3000;
const MINUTES = Number(process.env.MINUTES ?? (isWhole ? 10 : 0.01));
/** Until both are killed for the first time, ticks take place that nothing disturbs. */
const CALM_TICKS = MINUTES < 1 ? 2 : 10;
/** Nobody holds a killed worker's job for longer. */
const RECOVERED_SECONDS = 90;

interface Worker {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  readonly ticks: string[];
  told: string;
}

test(`two workers through ${MINUTES} minutes of a fast schedule, either killed at random moments: every tick one job, everything captured once`, async (t) => {
  await using platform = await FakePlatform.start();
  platform.pageSize = 50;
  const { home, archive } = await testArchive(t, platform);
  const settings = join(home, 'muniment.yaml');
  const text = await readFile(settings, 'utf8');
  await writeFile(settings, text.replace('id: city', 'id: city\n    schedule: "0 * * * *"'));
  const { pool } = archive.database;
  const workers: Worker[] = [];
  const begin = (): Worker => {
    const child = spawn(process.execPath, [WORKER, home, String(TICK_MS)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // A killed process would leave half a coverage file.
      env: { ...process.env, NODE_V8_COVERAGE: '' },
    });
    const worker: Worker = { child, ended: once(child, 'exit'), ticks: [], told: '' };
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      worker.ticks.push(...part.trimEnd().split('\n'));
    });
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      worker.told += part;
    });
    workers.push(worker);
    return worker;
  };
  t.after(() => {
    for (const { child } of workers) child.kill('SIGKILL');
  });
  const said = () => workers.map(({ told }) => told).join('---\n');
  const captured = async (): Promise<number> => {
    const { rows } = await pool.query<{ n: string }>('SELECT count(*) AS n FROM records');
    return Number(rows[0]?.n);
  };
  let posts = 0;
  const post = (): void => void platform.post(String(posts++), `Notice ${posts}`);

  const serving: [Worker, Worker] = [begin(), begin()];
  const seenByBoth = (): string[] => serving[0].ticks.filter((tick) => serving[1].ticks.includes(tick));
  while (seenByBoth().length <= CALM_TICKS) {
    assert.ok(
      serving.every(({ child }) => child.exitCode === null),
      said(),
    );
    post();
    await sleep(500);
  }
  const jobs = async () => {
    const { rows } = await pool.query<{ id: string; source: string; tick: string; begun: number }>(
      `SELECT id, data ->> 'source' AS source, data ->> 'tick' AS tick, retry_count + 1 AS begun FROM ${JOBS_SCHEMA}.job WHERE name = 'collect'`,
    );
    return rows;
  };
  const calm = seenByBoth().slice(0, CALM_TICKS);
  const added = await jobs();
  for (const tick of calm)
    assert.equal(
      added.filter((job) => job.tick === tick).length,
      1,
      `${tick}: one job of two workers\n${said()}`,
    );

  const end = Date.now() + MINUTES * 60_000;
  let kills = 0;
  do {
    // Short enough to fall into a run as often as between two.
    for (let n = randomInt(1, 6); n > 0; n -= 1) {
      post();
      await sleep(randomInt(50, 1200));
    }
    if (randomInt(2) === 0) {
      // Into the middle of a run.
      platform.delay = 100;
      for (const before = platform.requests; platform.requests < before + 2; ) await sleep(5);
    }
    const victim = randomInt(2) as 0 | 1;
    serving[victim].child.kill('SIGKILL');
    await serving[victim].ended;
    platform.delay = 0;
    kills += 1;
    post();
    // As a supervisor does.
    serving[victim] = begin();
    for (const { child } of serving) assert.equal(child.exitCode, null, said());
  } while (Date.now() < end);
  for (const late = Date.now() + RECOVERED_SECONDS * 1000; (await captured()) < posts; await sleep(200))
    assert.ok(Date.now() < late, `captured ${await captured()} of ${posts}\n${said()}`);

  // Before it serves, a signal ends a process as it ends any other.
  while (!serving.every(({ told }) => told.includes('Serving'))) await sleep(50);
  for (const { child } of serving) child.kill('SIGTERM');
  for (const { ended } of serving) assert.deepEqual(await ended, [0, null], said());
  const all = await jobs();
  const ticks = new Set(workers.flatMap((worker) => worker.ticks));
  assert.equal(new Set(all.map(({ tick }) => tick)).size, all.length, 'no tick has two jobs');
  for (const { id, source, tick } of all) assert.equal(id, jobId({ source, tick }));
  // What was missed while nobody served is named by a minute, as every cron expression's tick.
  assert.ok(all.every(({ tick }) => ticks.has(tick) || Date.parse(tick) % 60_000 === 0));
  const runs = await pool.query<{ n: string }>('SELECT count(*) AS n FROM capture_runs');
  const begun = all.reduce((sum, job) => sum + job.begun, 0);
  assert.ok(Number(runs.rows[0]?.n) <= begun, 'no job ran twice but that of a killed worker');
  const effects = await pool.query(
    'SELECT (SELECT count(*) FROM records) AS records, (SELECT count(*) FROM snapshots) AS snapshots, (SELECT count(DISTINCT platform_id) FROM record_identities) AS identities',
  );
  assert.deepEqual(effects.rows, [{ records: posts, snapshots: posts, identities: posts }]);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
  t.diagnostic(`${kills} kills, ${ticks.size} ticks, ${all.length} jobs, ${posts} posts`);
});
