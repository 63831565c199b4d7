import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Json } from '../../src/core/canonical.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import type { CollectorEvent, ProblemCode } from '../../src/sources/collector.ts';
import { momentOf } from '../../src/sources/feed/item.ts';
import { plainText } from '../../src/sources/feed/plain-text.ts';
import { openFeedCollector } from '../../src/sources/feed.ts';
import { type Answering, answering, never, patient } from '../support/replay.ts';

async function feedAt(t: TestContext, answer: Answering) {
  const server = await answering(t, answer);
  const url = `${server.origin}/news`;
  const collector = openFeedCollector(
    { id: 'news', platform: 'feed', url, schedule: null, confirmDates: null },
    patient(),
  );
  t.after(() => collector[Symbol.asyncDispose]());
  const run = async (state: Json = null) => {
    const events: CollectorEvent[] = [];
    for await (const event of collector.collect({ state, isLatest: true, signal: never() }))
      events.push(event);
    const pages = events.filter((event) => event.type === 'page');
    return {
      events,
      sightings: pages.flatMap((page) => page.sightings),
      rejected: pages.flatMap((page) => page.rejected),
      end: events.find((event) => event.type === 'end'),
    };
  };
  return { ...server, url, collector, run };
}

const sending =
  (body: string | Uint8Array, type = 'application/xml'): Answering =>
  (_, response) =>
    void response.writeHead(200, { 'content-type': type }).end(body);

function rejectsWith(code: ProblemCode, message = /./) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof CollectError, String(error));
    assert.equal(error.problem.code, code);
    assert.match(error.message, message);
    return true;
  };
}

const ITEM = `<item>
  <title>Road &amp; bridge 🚧</title><link>/road?a=1&amp;b=2</link><guid isPermaLink="false">guid-1</guid>
  <content:encoded><![CDATA[<p>Closed <b>today</b>.</p><ul><li>Main</li><li>Oak</li></ul>]]></content:encoded>
  <pubDate>Mon, 02 Nov 2026 10:00:00 EST</pubDate><category>roads</category><dc:creator>Clerk</dc:creator>
  <enclosure url="/map.png" type="image/png" length="9"/></item>`;
const rss = (items: string, prolog = '<?xml version="1.0"?>'): string =>
  `${prolog}<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>News é</title><link>https://example.org</link><description>d</description>${items}</channel></rss>`;

test('an RSS item is cut as its exact bytes and read into the archive’s words', async (t) => {
  const body = `\ufeff${rss(`${ITEM}<item><title>só título</title></item>`)}`;
  const { run, url, origin } = await feedAt(t, sending(body));
  const { sightings, end, rejected } = await run();
  assert.deepEqual(rejected, []);
  assert.equal(end?.coverage, 'recent');
  const [first, second] = sightings;
  assert.equal(Buffer.from(first?.slice ?? []).toString(), ITEM);
  const bytes = Buffer.from(body);
  for (const one of sightings)
    assert.deepEqual(
      bytes.subarray(one.sliceOffset, one.sliceOffset + one.slice.length),
      Buffer.from(one.slice),
    );
  assert.deepEqual(first?.identity, { platform: 'feed', namespace: url, platformId: 'guid-1' });
  assert.deepEqual(
    [
      first?.item.title,
      first?.item.text,
      first?.item.url,
      first?.item.createdAt,
      first?.item.createdAtFrom,
      first?.item.author.name,
      first?.item.tags,
    ],
    [
      'Road & bridge 🚧',
      'Closed today.\n\n• Main\n• Oak',
      `${origin}/road?a=1&b=2`,
      '2026-11-02T15:00:00Z',
      'user',
      'Clerk',
      ['roads'],
    ],
  );
  assert.deepEqual(
    first?.media.map((one) => [one.role, one.url, one.mediaType]),
    [['image', `${origin}/map.png`, 'image/png']],
  );
  assert.match(second?.identity.platformId ?? '', /^sha256:[0-9a-f]{64}$/);
});

test('an Atom entry is read with the namespaces and base that it stands in', async (t) => {
  const entry = `<a:entry xml:lang="es"><a:id>urn:1</a:id><a:title type="html">A &lt;b&gt;B&lt;/b&gt;</a:title><a:updated>2026-01-02T00:00:00-05:00</a:updated><a:link href="e1"/><a:link rel="enclosure" type="image/png" href="i.png"/><a:content type="html">&lt;p&gt;Hola&lt;/p&gt;</a:content></a:entry>`;
  const { run, origin } = await feedAt(
    t,
    sending(
      `<a:feed xmlns:a="http://www.w3.org/2005/Atom"><a:title>t</a:title><a:id>f</a:id>${entry}</a:feed>`,
    ),
  );
  const { sightings } = await run();
  assert.equal(Buffer.from(sightings[0]?.slice ?? []).toString(), entry);
  const item = sightings[0]?.item;
  assert.deepEqual(
    [item?.title, item?.text, item?.url, item?.createdAt],
    ['A B', 'Hola', `${origin}/e1`, '2026-01-02T00:00:00-05:00'],
  );
});

test('a JSON Feed item is cut as its exact bytes', async (t) => {
  const item =
    '{ "id":"1",  "url":"https://example.org/1","content_html":"<p>Hi<\\/p>", "date_published":"2026-11-01T08:00:00Z","attachments":[{"url":"a.mp3","mime_type":"audio/mpeg"}] }';
  const { run } = await feedAt(
    t,
    sending(
      `{"version":"https://jsonfeed.org/version/1.1","title":"t","items":[${item}]}`,
      'application/feed+json',
    ),
  );
  const { sightings } = await run();
  assert.equal(Buffer.from(sightings[0]?.slice ?? []).toString(), item);
  assert.deepEqual([sightings[0]?.item.text, sightings[0]?.media[0]?.role], ['Hi', 'audio']);
});

test('a feed that has not changed is not read again', async (t) => {
  const { run } = await feedAt(t, (request, response) => {
    if (request.headers['if-none-match'] === '"v1"' && request.headers['if-modified-since'] !== undefined)
      response.writeHead(304).end();
    else
      response
        .writeHead(200, { etag: '"v1"', 'last-modified': 'Sun, 01 Nov 2026 00:00:00 GMT' })
        .end(rss(ITEM));
  });
  const first = await run();
  const second = await run(first.end?.state);
  assert.deepEqual(
    [second.sightings.length, second.end?.coverage, second.end?.state],
    [0, 'unchanged', first.end?.state],
  );
});

test('“not modified” from a server that was given no condition is an error, not an unchanged feed', async (t) => {
  const { run, collector } = await feedAt(t, (_, response) => void response.writeHead(304).end());
  await assert.rejects(run(), rejectsWith('http-status', /304/));
  await assert.rejects(collector.check(never()), rejectsWith('http-status', /304/));
});

test('a feed in another encoding is read, kept in UTF-8, and said to be so', async (t) => {
  const body = Buffer.from(
    rss(
      '<item><guid>1</guid><title>Straße gesperrt</title></item>',
      '<?xml version="1.0" encoding="ISO-8859-1"?>',
    ),
    'latin1',
  );
  const { run } = await feedAt(t, sending(body));
  const { sightings, events } = await run();
  assert.equal(sightings[0]?.item.title, 'Straße gesperrt');
  assert.match(Buffer.from(sightings[0]?.slice ?? []).toString(), /Straße/);
  assert.ok(events.some((event) => event.type === 'reported' && /windows-1252/.test(event.what)));
});

for (const [title, body, message] of [
  [
    'an entity bomb',
    rss(ITEM, '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'),
    /entities/,
  ],
  ['a web page', '<!doctype html><html><head></head><body><p>Sign in</body></html>', /root element/],
  ['a feed that was cut off', rss(ITEM).slice(0, 300), /cut off/],
  ['an empty body', '', /empty/],
  ['other JSON', '{"error":"nope"}', /JSON Feed/],
  [
    'invalid UTF-8',
    Buffer.concat([Buffer.from('<rss><channel><item><title>'), Buffer.from([0xff, 0xfe, 0xff])]),
    /not valid utf-8/,
  ],
] as const) {
  test(`${title} is one clear problem, and its bytes are put aside`, async (t) => {
    const { collector } = await feedAt(t, sending(body));
    const events: CollectorEvent[] = [];
    const reading = async (): Promise<void> => {
      for await (const event of collector.collect({ state: null, isLatest: false, signal: never() }))
        events.push(event);
    };
    await assert.rejects(reading(), rejectsWith('not-the-expected-format', message));
    const kept = events.flatMap((event) =>
      event.type === 'page' ? event.rejected.map((one) => Buffer.from(one.bytes)) : [],
    );
    assert.deepEqual(kept, body.length === 0 ? [] : [Buffer.from(body)]);
  });
}

test('items that share an id are told apart, the same item twice is one, and an item that says nothing is put aside', async (t) => {
  const { run } = await feedAt(
    t,
    sending(
      rss(
        '<item><guid>1</guid><title>A</title></item><item><guid>1</guid><title>B</title></item><item><guid>1</guid><title>A</title></item><item><description>x</description></item><item></item>',
      ),
    ),
  );
  const { sightings, rejected } = await run();
  assert.deepEqual(
    [sightings.map((one) => one.item.title ?? one.item.text), rejected.length],
    [['A', 'B', 'x'], 1],
  );
  const [a, b, words] = sightings.map((one) => one.identity.platformId);
  assert.match(a ?? '', /^1 sha256:[0-9a-f]{64}$/);
  assert.match(b ?? '', /^1 sha256:[0-9a-f]{64}$/);
  assert.match(words ?? '', /^sha256:[0-9a-f]{64}$/);
  assert.notEqual(a, b);
});

/** Of each pair: what stands in an item, and what an edit makes of it. */
const EDITS: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  rss: [
    ['<description>short', '<description>other'],
    ['roads</category>', 'bridges</category>'],
    ['/road?a=1', '/road?a=2'],
    ['Clerk</dc:creator>', 'Mayor</dc:creator>'],
    ['length="9"', 'length="10"'],
    ['a map</media:description>', 'another map</media:description>'],
    ['<dc:language>en', '<dc:language>es'],
  ],
  atom: [
    ['term="roads"', 'term="bridges"'],
    ['href="related"', 'href="elsewhere"'],
    ['src="c.html"', 'src="d.html"'],
    ['<summary>short', '<summary>other'],
    ['xml:lang="en"', 'xml:lang="es"'],
  ],
  json: [
    ['href=a', 'href=b'],
    ['"tags":["roads"]', '"tags":["bridges"]'],
    ['"language":"en"', '"language":"es"'],
    ['"summary":"short"', '"summary":"other"'],
    ['"external_url":"https://a.example"', '"external_url":"https://b.example"'],
    ['"name":"Clerk"', '"name":"Mayor"'],
  ],
};
const BY_ITSELF: typeof EDITS = {
  rss: [
    ['<slash:comments>1', '<slash:comments>2'],
    ['views="1"', 'views="2"'],
    ['thumb?sig=1', 'thumb?sig=2'],
  ],
  atom: [
    ['2026-01-02', '2026-01-03'],
    ['thr:count="1"', 'thr:count="2"'],
  ],
  json: [
    ['"date_modified":"2026-01-02', '"date_modified":"2026-01-03'],
    ['face?1', 'face?2'],
  ],
};
const WHOLE: Readonly<Record<string, string>> = {
  rss: rss(
    ITEM.replace(
      '</item>',
      '<description>short</description><dc:language>en</dc:language><slash:comments>1</slash:comments><media:content url="m.png"><media:description>a map</media:description><media:thumbnail url="thumb?sig=1"/></media:content><media:community><media:statistics views="1"/></media:community></item>',
    ),
  ).replace(
    '<rss ',
    '<rss xmlns:slash="http://purl.org/rss/1.0/modules/slash/" xmlns:media="http://search.yahoo.com/mrss/" ',
  ),
  atom: '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:thr="http://purl.org/syndication/thread/1.0"><title>t</title><id>f</id><updated>2026-01-01T00:00:00Z</updated><entry xml:lang="en"><id>urn:1</id><title>A</title><published>2026-01-01T00:00:00Z</published><updated>2026-01-02T00:00:00Z</updated><link href="e1"/><link rel="related" href="related"/><link rel="replies" href="r" thr:count="1"/><category term="roads"/><summary>short</summary><content type="text/html" src="c.html"/></entry></feed>',
  json: '{"version":"https://jsonfeed.org/version/1.1","title":"t","items":[{"id":"1","content_text":"T","content_html":"<a href=a>T</a>","tags":["roads"],"language":"en","summary":"short","external_url":"https://a.example","authors":[{"name":"Clerk","avatar":"https://a.example/face?1"}],"date_modified":"2026-01-02T00:00:00Z"}]}',
};

for (const [format, whole] of Object.entries(WHOLE)) {
  test(`every edit of an item in ${format} counts as one, and nothing that changes by itself does`, async (t) => {
    let body = whole;
    const { run } = await feedAt(t, (_, response) => void response.end(body));
    const comparison = async () => JSON.stringify((await run()).sightings[0]?.comparison);
    const before = await comparison();
    for (const [edits, isEdit] of [
      [EDITS[format], true],
      [BY_ITSELF[format], false],
    ] as const) {
      for (const [from, to] of edits ?? []) {
        assert.ok(whole.includes(from), from);
        body = whole.replace(from, to);
        assert.equal((await comparison()) !== before, isEdit, `${from} → ${to}`);
      }
    }
  });
}

test('a feed that is gone or forbidden says so, and a look-up in a feed is always unknown', async (t) => {
  for (const [status, code] of [
    [404, 'account-not-found'],
    [403, 'access-lost'],
    [418, 'http-status'],
  ] as const) {
    const { run, collector } = await feedAt(t, (_, response) => void response.writeHead(status).end());
    await assert.rejects(run(), rejectsWith(code));
    for await (const found of collector.lookUp(
      [{ platform: 'feed', namespace: 'x', platformId: '1' }],
      never(),
    ))
      assert.equal(found.state, 'unknown');
  }
});

test('an enclosure at a private address elsewhere is refused', async (t) => {
  const { collector } = await feedAt(t, sending(''));
  const other = await answering(t, (_, response) => void response.end('secret'));
  const reference = {
    role: 'document',
    url: `${other.origin}/x`,
    alt: null,
    mediaType: null,
    contentId: null,
  } as const;
  await assert.rejects(collector.fetchMedia(reference, '.', never()), rejectsWith('refused-address'));
  assert.deepEqual(other.requests, []);
});

test('HTML becomes the text that a reader would see', () => {
  assert.equal(
    plainText(
      '<h1>A</h1><p>b <em>c</em>\n d<br>e</p><script>x()</script><style>y</style>&amp; 😀<img alt="map">',
    ),
    'A\n\nb c d\ne\n\n& 😀[map]',
  );
});

test('a date counts only when it names one moment', () => {
  assert.equal(momentOf('Mon, 02 Nov 2026 10:00:00 +0200'), '2026-11-02T08:00:00Z');
  assert.equal(momentOf('2026-11-02T10:00:00+02:00'), '2026-11-02T10:00:00+02:00');
  for (const text of ['2026-11-02', 'Mon, 02 Nov 2026 10:00:00', 'yesterday', ''])
    assert.equal(momentOf(text), null);
});
