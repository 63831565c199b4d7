// What the archive keeps of a feed, whatever stands in it: nothing is left out without being told.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { registerSource } from '../../src/capture/collect.ts';
import { captureSource } from '../../src/capture/run.ts';
import type { Archive } from '../../src/context.ts';
import type { FeedSettings } from '../../src/core/settings.ts';
import { collect, collectAll } from '../../src/operations.ts';
import type { Collector } from '../../src/sources/collector.ts';
import { openFeedCollector } from '../../src/sources/feed.ts';
import { archiveStatus } from '../../src/status.ts';
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

const rss = (items: string): string =>
  `<rss version="2.0"><channel><title>t</title><link>https://example.org</link><description>d</description>${items}</channel></rss>`;

test('what is no item at all is put aside, and the run says so and is not complete', async (t) => {
  const { archive, run } = await archiveOf(t, (_, response) => {
    response.end(rss('<item><guid>1</guid><title>A</title></item><item></item><item></item>'));
  });
  const { status, captured, rejected, errors } = await run();
  assert.deepEqual([status, captured, rejected], ['partial', 1, 2]);
  assert.deepEqual(
    errors.map((error) => error.code),
    ['rejected'],
  );
  assert.match(errors[0]?.message ?? '', /^2 times.*cannot be read.*quarantine/);
  const settings = { ...archive.settings, sources: [feedSource('https://example.org')] };
  const [news] = (await archiveStatus({ ...archive, settings })).sources;
  assert.deepEqual([news?.status, news?.rejected], ['partial', 2]);
});

test('every item is kept that shares its id with another, has no name, or has an id that no index holds', async (t) => {
  const long = 'x'.repeat(300_000);
  const alike = (title: string): string => `<item><guid>same</guid><title>${title}</title></item>`;
  const others = `<item><description>Only words</description></item><item><guid>${long}</guid><title>L</title></item>`;
  let items = alike('A') + alike('B') + alike('C') + others;
  const { archive, run } = await archiveOf(t, (_, response) => void response.end(rss(items)));
  const first = await run();
  assert.deepEqual([first.status, first.captured, first.rejected, first.errors], ['complete', 5, 0, []]);
  const second = await run();
  assert.deepEqual([second.errors, second.seen, second.captured, second.changed], [[], 5, 0, 0]);

  items = alike('C') + others;
  const third = await run();
  assert.deepEqual(
    [third.seen, third.captured, third.changed],
    [3, 0, 0],
    'one left alone keeps its identity and is no edit of the others',
  );
  items = alike('A') + others;
  assert.equal((await run()).changed, 0);
  const shown = await shownIn(archive);
  assert.deepEqual(
    shown.map((one) => one.title ?? one.text),
    ['A', 'B', 'C', 'Only words', 'L'],
  );
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('an edit that is taken back after a partial run is seen, though the platform truly says that nothing changed since the last complete one', async (t) => {
  const before = rss('<item><guid>1</guid><title>A</title></item>');
  const edited = rss(
    '<item><guid>1</guid><title>B</title><enclosure url="/gone.png" type="image/png" length="9"/></item>',
  );
  let body = before;
  const { archive, run } = await archiveOf(t, (request, response, { pathname }) => {
    const etag = body === before ? '"a"' : '"b"';
    if (pathname !== '/news') response.writeHead(404).end();
    else if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag }).end(body);
  });
  assert.equal((await run()).status, 'complete');
  assert.deepEqual((await run()).seen, 0, 'nothing changed, and nothing was sent');
  body = edited;
  assert.deepEqual(await run().then(({ status, changed }) => [status, changed]), ['partial', 1]);
  body = before;
  assert.deepEqual(await run().then(({ status, changed }) => [status, changed]), ['complete', 1]);
  assert.deepEqual(
    (await shownIn(archive)).map((one) => one.title),
    ['A', 'B', 'A'],
  );
  assert.equal((await run()).seen, 0, 'the complete run is the one to ask from again');
});

test('two feeds whose addresses differ in a secret only are kept apart, and a rotated token keeps the records', async (t) => {
  const { archive, run } = await archiveOf(t, (_, response, { searchParams }) => {
    const which = searchParams.get('key')?.split('-')[0];
    response.end(rss(`<item><guid>1</guid><title>${which}</title></item>`));
  });
  const counts = ({ captured, changed }: Awaited<ReturnType<typeof run>>) => [captured, changed];
  assert.deepEqual(counts(await run('/k?key=one', 'first')), [1, 0]);
  assert.deepEqual(counts(await run('/k?key=two', 'second')), [1, 0]);
  assert.deepEqual(counts(await run('/k?key=one-rotated', 'first')), [0, 0]);
  assert.deepEqual(
    (await shownIn(archive)).map((one) => [one.version, one.title]),
    [
      [1, 'one'],
      [1, 'two'],
    ],
  );
  const identities = await archive.database.db.selectFrom('record_identities').select('namespace').execute();
  assert.ok(identities.every(({ namespace }) => /\?key=removed#(first|second)$/.test(namespace ?? '')));
});

test('records that were captured under the rule before go on: the same content is no change, and an edit is one', async (t) => {
  let tags = 'roads';
  let html = '<a href=a>T</a>';
  const { archive, origin, run } = await archiveOf(t, (_, response) => {
    const item = { id: '1', title: 'cut \ud83d \u0000', content_html: html, tags: [tags] };
    response.end(jsonFeed(JSON.stringify(item)));
  });
  const former = async () => {
    const settings = feedSource(`${origin}/news`);
    const { database, store, ledger, clock, account } = archive;
    const context = { database, store, ledger, clock, actor: account.id };
    await using collector = openFeedCollector(settings, { clock });
    const before: Collector = {
      ...collector,
      comparisonRule: 'feed-content/1',
      async *collect(options) {
        for await (const event of collector.collect(options)) {
          if (event.type !== 'page') yield event;
          else
            yield {
              ...event,
              sightings: event.sightings.map(({ former, ...rest }) => ({
                ...rest,
                comparison: former?.comparison ?? null,
              })),
            };
        }
      },
    };
    const spool = await mkdtemp(join(tmpdir(), 'muniment spool '));
    t.after(() => rm(spool, { recursive: true }));
    const source = await registerSource({ ...context, spool }, settings);
    return await captureSource({ ...context, spool }, source, before, { signal: never() });
  };
  assert.equal((await former()).captured, 1);
  assert.equal((await run()).changed, 0);
  html = '<a href=b>T</a>';
  assert.equal((await run()).changed, 1);
  tags = 'bridges';
  assert.equal((await run()).changed, 1);
  assert.equal((await run()).changed, 0);
});
