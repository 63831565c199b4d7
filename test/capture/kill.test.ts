// A collecting process killed at random moments: nothing captured is lost or doubled, and the archive verifies.
// KILLS=20 npm test -- test/capture/kill.test.ts runs it at length.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, testArchive, verifyArchiveOf } from '../support/archive.ts';

const KILLS = Number(process.env.KILLS ?? 4);
const POSTS = 120;
const PROGRAM = join(import.meta.dirname, '..', '..', 'src', 'main.ts');

test(`collect killed ${KILLS} times at random moments loses and doubles nothing`, async (t) => {
  await using platform = await FakePlatform.start();
  for (let n = 0; n < POSTS; n += 1) platform.post(String(n), `Post number ${n}`);
  const { home, archive } = await testArchive(t, platform);
  const seen: number[] = [];
  for (let round = 0; round < KILLS; round += 1) {
    const child = spawn(process.execPath, [PROGRAM, '--home', home, 'collect'], {
      stdio: 'ignore',
      // A killed process would leave half a coverage file.
      env: { ...process.env, NODE_V8_COVERAGE: '' },
    });
    const ended = once(child, 'exit');
    await Promise.race([sleep(600 + Math.random() * 2500), ended]);
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
  assert.equal(outcome.seen, POSTS);
  const counts = await archive.database.pool.query(
    'SELECT (SELECT count(*) FROM records) AS records, (SELECT count(*) FROM snapshots) AS snapshots, (SELECT count(DISTINCT platform_id) FROM record_identities) AS identities',
  );
  assert.deepEqual(counts.rows, [{ records: POSTS, snapshots: POSTS, identities: POSTS }]);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});
