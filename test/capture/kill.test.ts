// A collecting process killed at random moments: nothing captured is lost or doubled, and the archive verifies.
// `npm test -- --whole test/capture/kill.test.ts` kills it twenty times, KILLS=… as often as it says.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, testArchive, verifyArchiveOf } from '../support/archive.ts';
import { isWhole } from '../support/whole.ts';

const KILLS = Number(process.env.KILLS ?? (isWhole ? 20 : 3));
/** Posts at first, and new ones before each round, so that every kill falls on work to do. */
const POSTS = 30;
const NEW_POSTS = 6;
/** Requests of the killed process that are answered before it dies; each process may come a little further, for it begins from the front. */
const FIRST_REQUESTS = 10;
const MORE_REQUESTS = Math.ceil(120 / KILLS);
const PROGRAM = join(import.meta.dirname, '..', '..', 'src', 'main.ts');

test(`collect killed ${KILLS} times at random moments loses and doubles nothing`, async (t) => {
  await using platform = await FakePlatform.start();
  for (let n = 0; n < POSTS; n += 1) platform.post(String(n), `Post number ${n}`);
  const { home, archive } = await testArchive(t, platform);
  const seen: number[] = [];
  let posts = POSTS;
  for (let round = 0; round < KILLS; round += 1) {
    for (let n = 0; n < NEW_POSTS; n += 1, posts += 1) platform.post(String(posts), `Post number ${posts}`);
    const deadly = platform.requests + FIRST_REQUESTS + MORE_REQUESTS * round + randomInt(0, 10);
    const child = spawn(process.execPath, [PROGRAM, '--home', home, 'collect'], {
      stdio: 'ignore',
      // A killed process would leave half a coverage file.
      env: { ...process.env, NODE_V8_COVERAGE: '' },
    });
    const ended = once(child, 'exit');
    let alive = true;
    void ended.then(() => {
      alive = false;
    });
    while (alive && platform.requests < deadly) await sleep(1);
    await sleep(randomInt(0, 60));
    child.kill('SIGKILL');
    await ended;
    const verified = await verifyArchiveOf(archive);
    assert.deepEqual(verified.problems, []);
    const row = await archive.database.db
      .selectFrom('records')
      .select((e) => e.fn.countAll<number>().as('n'))
      .executeTakeFirstOrThrow();
    seen.push(Number(row.n));
  }
  t.diagnostic(`records after each kill: ${seen.join(', ')}`);
  const outcome = await collectCity(archive);
  assert.equal(outcome.status, 'complete', JSON.stringify(outcome.errors));
  const counts = await archive.database.pool.query(
    'SELECT (SELECT count(*) FROM records) AS records, (SELECT count(*) FROM snapshots) AS snapshots, (SELECT count(DISTINCT platform_id) FROM record_identities) AS identities',
  );
  assert.deepEqual(counts.rows, [{ records: posts, snapshots: posts, identities: posts }]);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});
