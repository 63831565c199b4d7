// What the archive keeps of a feed, whatever stands in it: nothing is left out without being told.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Archive } from '../../src/context.ts';
import type { FeedSettings } from '../../src/core/settings.ts';
import { collect, collectAll } from '../../src/operations.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, testArchive, verifyArchiveOf } from '../support/archive.ts';
import { type Answering, answering, never } from '../support/replay.ts';

const feedSource = (url: string, id = 'news'): FeedSettings => ({
  id,
  platform: 'feed',
  url,
  schedule: null,
  confirmDates: null,
});

/** An archive, and a feed at an address of its own that shows what `answer` says. */
async function archiveOf(t: TestContext, answer: Answering) {
  await using platform = await FakePlatform.start();
  const { archive } = await testArchive(t, platform);
  const { origin } = await answering(t, answer);
  const run = (path = '/news', id = 'news') =>
    collect(archive, feedSource(`${origin}${path}`, id), { signal: never() });
  return { archive, origin, run };
}

async function shownIn(archive: Archive) {
  return await archive.database.db
    .selectFrom('snapshots as s')
    .innerJoin('record_identities as i', 'i.record_id', 's.record_id')
    .select(['i.platform_id as id', 's.version', 's.title', 's.text'])
    .orderBy('i.seq')
    .orderBy('s.version')
    .execute();
}

const jsonFeed = (items: string): string =>
  `{"version":"https://jsonfeed.org/version/1.1","title":"t","items":[${items}]}`;

test('an emoji that a feed cut in half costs neither its item nor the run', async (t) => {
  const { archive, run } = await archiveOf(t, (_, response) => {
    response.end(jsonFeed('{"id":"1","title":"Good news"},{"id":"2","title":"cut emoji \\ud83d"}'));
  });
  const { status, captured, errors } = await run();
  assert.deepEqual({ status, captured, errors }, { status: 'complete', captured: 2, errors: [] });
  assert.deepEqual(
    (await shownIn(archive)).map((one) => one.title),
    ['Good news', 'cut emoji \ufffd'],
  );
  assert.equal((await run()).changed, 0);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('a half emoji, or a number beyond all bounds, in a post costs neither the post nor the run', async (t) => {
  await using platform = await FakePlatform.start();
  platform.post('1', 'cut \ud83d', { record: { '\udc00': '\ud83d', size: 'BEYOND' } });
  const { archive } = await testArchive(t, platform);
  const { status, captured } = await collectCity(archive);
  assert.deepEqual({ status, captured }, { status: 'complete', captured: 1 });
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('a defect in the run of one source keeps no other source from running, and is told', async (t) => {
  const { archive, origin } = await archiveOf(t, (_, response) => {
    response.end(jsonFeed('{"id":"1","title":"Good news"}'));
  });
  const broken = feedSource('no address at all', 'broken');
  const { runs, defects } = await collectAll(archive, [broken, feedSource(`${origin}/news`)], {
    signal: never(),
  });
  assert.deepEqual(
    runs.map((one) => [one.source, one.status, one.captured, one.errors.map(({ code }) => code)]),
    [
      ['broken', 'failed', 0, ['defect']],
      ['news', 'complete', 1, []],
    ],
  );
  assert.equal(defects.length, 1);
});
