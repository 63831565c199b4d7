import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Json } from '../../src/core/canonical.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import type { Collector, CollectorEvent, Sighting } from '../../src/sources/collector.ts';
import { openFeedCollector } from '../../src/sources/feed.ts';

const clock = { now: () => Temporal.Instant.from('2026-11-01T12:00:00Z') };
const signal = new AbortController().signal;

interface Served {
  body: string | Buffer;
  type?: string;
  headers?: Record<string, string>;
}

/** A server whose one document the test may change; a matching If-None-Match gets a 304. */
async function serving(t: TestContext, first: Served) {
  let served = first;
  const asked: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    const etag = served.headers?.etag;
    if (etag !== undefined && request.headers['if-none-match'] === etag) {
      response.writeHead(304, { etag }).end();
      return;
    }
    response.writeHead(200, { 'content-type': served.type ?? 'application/xml', ...served.headers });
    response.end(served.body);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/feed`;
  const collector = openFeedCollector(
    { platform: 'feed', id: 'news', schedule: null, confirmDates: null, url },
    { clock },
  );
  t.after(async () => {
    await collector[Symbol.asyncDispose]();
    server.close();
  });
  return {
    url,
    collector,
    asked,
    serve(next: Served) {
      served = next;
    },
  };
}

async function run(collector: Collector, state: Json = null): Promise<CollectorEvent[]> {
  return Array.fromAsync(collector.collect({ state, signal }));
}

function sightingsOf(events: readonly CollectorEvent[]): Sighting[] {
  return events.flatMap((event) => (event.type === 'page' ? event.sightings : []));
}

function rejectedOf(events: readonly CollectorEvent[]) {
  return events.flatMap((event) => (event.type === 'page' ? event.rejected : []));
}

function endOf(events: readonly CollectorEvent[]) {
  const end = events.at(-1);
  assert.ok(end?.type === 'end');
  return end;
}

/** Each slice is the bytes that stand at its offset in the document. */
function assertExact(body: Buffer, sightings: readonly Sighting[], expected: readonly string[]): void {
  assert.deepEqual(
    sightings.map(({ slice }) => Buffer.from(slice).toString()),
    expected,
  );
  for (const { slice, sliceOffset, exchange } of sightings) {
    assert.deepEqual(body.subarray(sliceOffset, sliceOffset + slice.length), Buffer.from(slice));
    assert.equal(exchange.bodySha256, createHash('sha256').update(body).digest('hex'));
  }
}

const FIRST_ITEM = `<item a="1>2">
  <title>Road works &amp; d&#xe9;tours 🚧</title>
  <link>https://city.example/roads</link>
  <guid isPermaLink="false">007</guid>
  <pubDate>Tue, 02 Jan 2024 03:04:05 EST</pubDate>
  <dc:creator>Public Works</dc:creator>
  <category>Roads</category><category>Notices</category>
  <description>Short</description>
  <c:encoded><![CDATA[<p>Main&nbsp;Street is <b>closed</b>.</p><p>Not an end: </item></p><script>no()</script>]]></c:encoded>
  <enclosure url="https://city.example/a.mp3?x=1&amp;y=2" type="audio/mpeg" length="3"/>
  <enclosure url="https://city.example/plan.pdf" type="application/pdf" length="3"/>
</item>`;
const SECOND_ITEM = '<item><title>Undated é</title><link>https://city.example/2</link></item>';

function rss(...items: string[]): string {
  return `\ufeff<?xml version="1.0" encoding="utf-8"?>
<!-- é <item> --><rss version="2.0" xmlns:c="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel><title>Città</title>${items.join('\n é ')}</channel></rss>`;
}

test('an RSS item is kept as its exact bytes and read into the archive’s words', async (t) => {
  const body = Buffer.from(rss(FIRST_ITEM, SECOND_ITEM));
  const { collector, url } = await serving(t, { body });
  const events = await run(collector);
  const sightings = sightingsOf(events);
  assertExact(body, sightings, [FIRST_ITEM, SECOND_ITEM]);
  const [first, second] = sightings;
  assert.ok(first && second);
  assert.deepEqual(first.identity, { platform: 'feed', namespace: url, platformId: '007' });
  assert.equal(second.identity.platformId, 'https://city.example/2');
  assert.equal(first.sliceType, 'application/xml');
  const { item } = first;
  assert.equal(item.kind, 'post');
  assert.equal(item.title, 'Road works & détours 🚧');
  assert.equal(item.url, 'https://city.example/roads');
  assert.equal(item.author.name, 'Public Works');
  assert.deepEqual(item.tags, ['Roads', 'Notices']);
  assert.ok(item.createdAt);
  assert.ok(Temporal.Instant.from(item.createdAt).equals(Temporal.Instant.from('2024-01-02T03:04:05-05:00')));
  assert.equal(item.createdAtFrom, 'user');
  assert.match(item.text, /^Main\u00a0Street is closed\.\n+Not an end:/);
  assert.doesNotMatch(item.text, /no\(\)/);
  assert.deepEqual(
    first.media.map(({ role, url: address, mediaType }) => [role, address, mediaType]),
    [
      ['audio', 'https://city.example/a.mp3?x=1&y=2', 'audio/mpeg'],
      ['document', 'https://city.example/plan.pdf', 'application/pdf'],
    ],
  );
  assert.equal(second.item.createdAt, null);
  assert.equal(second.item.createdAtFrom, 'unknown');
  assert.equal(endOf(events).coverage, 'recent');
});

test('Atom entries are read by their text constructs, under whatever namespace prefix', async (t) => {
  const entries = [
    '<a:entry><a:id>urn:1</a:id><a:title type="html">&lt;b&gt;Bold&lt;/b&gt; news</a:title><a:updated>2024-03-01T10:00:00+01:00</a:updated><a:author><a:name>Press office</a:name></a:author><a:link href="/1"/><a:content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>One</p><p>Two</p></div></a:content></a:entry>',
    '<a:entry><a:id>urn:2</a:id><a:title>T</a:title><a:updated>yesterday</a:updated><a:summary>1 &lt; 2 &lt;b&gt;</a:summary><a:link rel="enclosure" href="/v.mp4" type="video/mp4"/></a:entry>',
  ];
  const body = Buffer.from(`<a:feed xmlns:a="http://www.w3.org/2005/Atom">${entries.join('')}</a:feed>`);
  const { collector, url } = await serving(t, { body, type: 'application/atom+xml' });
  const sightings = sightingsOf(await run(collector));
  assertExact(body, sightings, entries);
  const [first, second] = sightings;
  assert.ok(first && second);
  assert.equal(first.item.title, 'Bold news');
  assert.match(first.item.text, /^One\n+Two$/);
  assert.equal(first.item.createdAt, '2024-03-01T10:00:00+01:00');
  assert.equal(first.item.author.name, 'Press office');
  assert.equal(first.item.url, new URL('/1', url).href);
  assert.equal(second.item.text, '1 < 2 <b>');
  assert.equal(second.item.createdAt, null);
  assert.deepEqual(
    second.media.map(({ role, url: address }) => [role, address]),
    [['video', new URL('/v.mp4', url).href]],
  );
});

test('a JSON Feed item is cut from its document byte for byte', async (t) => {
  const items = [
    '{ "id": 7, "content_html": "<p>H\\u00e9</p><p>two</p>", "url":"https://city.example/7",\n "date_published":"2024-01-01T00:00:00Z", "tags":["a"], "authors":[{"name":"Mayor"}], "attachments":[{"url":"https://city.example/i.png","mime_type":"image/png"}] }',
    '{"id":"8","content_text":"plain <b>"}',
  ];
  const body = Buffer.from(
    `{"version":"https://jsonfeed.org/version/1.1","title":"é","items":[${items.join(' , ')}]}`,
  );
  const { collector } = await serving(t, { body, type: 'application/feed+json' });
  const sightings = sightingsOf(await run(collector));
  assertExact(body, sightings, items);
  const [first, second] = sightings;
  assert.ok(first && second);
  assert.equal(first.sliceType, 'application/json');
  assert.equal(first.identity.platformId, '7');
  assert.match(first.item.text, /^Hé\n+two$/);
  assert.equal(first.item.author.name, 'Mayor');
  assert.deepEqual(first.item.tags, ['a']);
  assert.equal(first.media[0]?.role, 'image');
  assert.equal(second.item.text, 'plain <b>');
});

test('a feed that did not change since the last run is asked conditionally and ends as unchanged', async (t) => {
  const { collector, asked, serve } = await serving(t, { body: rss(SECOND_ITEM), headers: { etag: '"v1"' } });
  const first = endOf(await run(collector));
  assert.equal(asked[0]?.['if-none-match'], undefined);
  const events = await run(collector, first.state);
  assert.equal(asked[1]?.['if-none-match'], '"v1"');
  assert.deepEqual(sightingsOf(events), []);
  assert.deepEqual(endOf(events), { type: 'end', coverage: 'unchanged', state: first.state });
  serve({ body: rss(FIRST_ITEM, SECOND_ITEM), headers: { etag: '"v2"' } });
  const third = await run(collector, first.state);
  assert.equal(sightingsOf(third).length, 2);
  assert.equal(endOf(third).coverage, 'recent');
});

test('an edited item keeps its identity and compares as other content; the same item compares equal', async (t) => {
  const { collector, serve } = await serving(t, { body: rss(FIRST_ITEM) });
  const [before] = sightingsOf(await run(collector));
  serve({ body: rss(SECOND_ITEM, FIRST_ITEM) });
  const [, moved] = sightingsOf(await run(collector));
  serve({ body: rss(FIRST_ITEM.replace('<b>closed</b>', '<b>open</b>')) });
  const [edited] = sightingsOf(await run(collector));
  assert.deepEqual(moved?.comparison, before?.comparison);
  assert.deepEqual(edited?.identity, before?.identity);
  assert.notDeepEqual(edited?.comparison, before?.comparison);
});

test('an item without id or link is told by its title and date', async (t) => {
  const nameless = '<item><title>Notice</title><pubDate>Tue, 02 Jan 2024 03:04:05 GMT</pubDate></item>';
  const { collector, serve } = await serving(t, { body: rss(nameless) });
  const [first] = sightingsOf(await run(collector));
  assert.match(first?.identity.platformId ?? '', /^sha256:[0-9a-f]{64}$/);
  serve({ body: rss(SECOND_ITEM, nameless) });
  assert.deepEqual(sightingsOf(await run(collector))[1]?.identity, first?.identity);
});

test('an item that cannot be read is put aside with its bytes, and the others are kept', async (t) => {
  const empty = '<item></item>';
  const { collector } = await serving(t, { body: rss(FIRST_ITEM, empty, SECOND_ITEM) });
  const events = await run(collector);
  assertExact(Buffer.from(rss(FIRST_ITEM, empty, SECOND_ITEM)), sightingsOf(events), [
    FIRST_ITEM,
    SECOND_ITEM,
  ]);
  assert.deepEqual(
    rejectedOf(events).map(({ bytes }) => Buffer.from(bytes).toString()),
    [empty],
  );
});

for (const [what, body] of [
  [
    'a document that declares entities',
    '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><rss version="2.0"><channel><item><title>&b;</title></item></channel></rss>',
  ],
  ['a web page', '<!doctype html><html><head><title>Log in</title></head><body><p>Hello</body></html>'],
  ['JSON of another kind', '{"version":"2","items":[]}'],
  [
    'text that is no UTF-8',
    Buffer.from('<rss version="2.0"><channel><title>\xe9</title></channel></rss>', 'latin1'),
  ],
] as const) {
  test(`${what} is refused where a feed is due, by a run and by a check`, async (t) => {
    const { collector } = await serving(t, { body, type: 'text/xml' });
    const isRefusal = (error: unknown) =>
      error instanceof CollectError && error.problem.code === 'not-the-expected-format';
    await assert.rejects(run(collector), isRefusal);
    await assert.rejects(collector.check(signal), isRefusal);
  });
}

test('a check says how many items the feed has', async (t) => {
  const { collector } = await serving(t, { body: rss(FIRST_ITEM, SECOND_ITEM) });
  const { findings } = await collector.check(signal);
  assert.match(findings.join(' '), /\b2 items\b/);
});

test('a feed never says that an item is gone', async (t) => {
  const { collector, url } = await serving(t, { body: rss() });
  const identity = { platform: 'feed', namespace: url, platformId: '007' };
  const answers = await Array.fromAsync(collector.lookUp([identity], signal));
  assert.deepEqual(
    answers.map(({ state }) => state),
    ['unknown'],
  );
});

test('entities that belong to an item’s HTML are undone once, so that its words survive', async (t) => {
  const item =
    '<item><guid>e</guid><description>&lt;p&gt;Write &amp;lt;b&amp;gt; for bold&lt;/p&gt;</description></item>';
  const { collector } = await serving(t, { body: rss(item) });
  assert.equal(sightingsOf(await run(collector))[0]?.item.text, 'Write <b> for bold');
});
