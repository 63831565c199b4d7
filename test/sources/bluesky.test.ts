import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Json } from '../../src/core/canonical.ts';
import type { Identity } from '../../src/core/vocabulary.ts';
import { openBlueskyCollector } from '../../src/sources/bluesky.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import type {
  Collector,
  CollectorEvent,
  LookUp,
  ProblemCode,
  Sighting,
} from '../../src/sources/collector.ts';
import { startReplay } from '../../src/sources/replay.ts';
import { answering, never, patient, sendJson } from '../support/replay.ts';

const RECORDINGS = join(import.meta.dirname, '..', '..', 'demo', 'recordings');
const CITY = 'did:plc:city';
const ANN = 'did:plc:ann';

function collectorAt(t: TestContext, origin: string, account = CITY): Collector {
  const collector = openBlueskyCollector(
    {
      id: 'city',
      platform: 'bluesky',
      schedule: null,
      confirmDates: null,
      account,
      service: origin,
      directory: origin,
      repository: origin,
      proofs: 0,
    },
    patient(),
  );
  t.after(() => collector[Symbol.asyncDispose]());
  return collector;
}

async function run(collector: Collector, state: Parameters<Collector['collect']>[0]['state'] = null) {
  const events: CollectorEvent[] = [];
  for await (const event of collector.collect({ state, isLatest: true, signal: never() })) events.push(event);
  const pages = events.filter((event) => event.type === 'page');
  return {
    events,
    sightings: pages.flatMap((page) => page.sightings),
    rejected: pages.flatMap((page) => page.rejected),
    problems: events.filter((event) => event.type === 'problem').map((event) => event.problem.code),
    end: events.find((event) => event.type === 'end'),
  };
}

async function lookUp(collector: Collector, identities: readonly Identity[]): Promise<Map<string, LookUp>> {
  const found = new Map<string, LookUp>();
  for await (const one of collector.lookUp(identities, never())) found.set(one.identity.platformId, one);
  return found;
}

function rejectsWith(code: ProblemCode) {
  return (error: unknown): boolean => error instanceof CollectError && error.problem.code === code;
}

/** Views as the lexicons have them, with nothing but what they require. */
const uriOf = (did: string, key: string): string => `at://${did}/app.bsky.feed.post/${key}`;
function post(
  did: string,
  key: string,
  more: Record<string, unknown> = {},
  record: Record<string, unknown> = {},
) {
  return {
    uri: uriOf(did, key),
    cid: `bafy${key}`,
    author: { did, handle: did === CITY ? 'city.test' : 'ann.test' },
    record: {
      $type: 'app.bsky.feed.post',
      text: `text of ${key}`,
      createdAt: '2026-10-01T10:00:00Z',
      ...record,
    },
    indexedAt: '2026-10-01T10:00:01Z',
    ...more,
  };
}

interface Played {
  readonly pages: readonly (Record<string, unknown> & { feed: unknown[] })[];
  readonly threads?: Readonly<Record<string, unknown>>;
  readonly postsCount?: number;
  readonly answer?: (url: URL, response: ServerResponse) => boolean;
}

/** A service that pages by cursors "1", "2" …, as the test lays its pages. */
async function playing(t: TestContext, played: Played) {
  return answering(t, (_, response, url) => {
    const asked = url.searchParams;
    if (played.answer?.(url, response) === true) return;
    if (url.pathname.endsWith('getProfile'))
      sendJson(response, { did: CITY, handle: 'city.test', postsCount: played.postsCount ?? 0 });
    else if (url.pathname.endsWith('resolveHandle')) sendJson(response, { did: CITY });
    else if (url.pathname.endsWith('getAuthorFeed'))
      sendJson(response, played.pages[Number(asked.get('cursor') ?? '0')] ?? { feed: [] });
    else if (url.pathname.endsWith('getPostThread')) {
      const thread = played.threads?.[asked.get('uri') ?? ''];
      if (thread === undefined) sendJson(response, { error: 'NotFound', message: 'Post not found' }, 400);
      else sendJson(response, { thread });
    } else sendJson(response, { error: 'MethodNotImplemented', message: url.pathname }, 501);
  });
}

const byKey = (sightings: readonly Sighting[]): string[] =>
  sightings.map((one) => one.identity.platformId.split('/').at(-1) as string).sort();

test('a real network as recorded: posts in four scripts, replies three deep, media held against their content ids', async (t) => {
  await using replay = await startReplay(RECORDINGS, { port: 0 });
  const collector = collectorAt(t, replay.origin, replay.account);
  const spool = await mkdtemp(join(tmpdir(), 'muniment-bluesky-'));
  t.after(() => rm(spool, { recursive: true }));
  const { sightings, rejected, problems, end } = await run(collector);
  assert.deepEqual([rejected, problems], [[], []]);
  assert.equal(end?.coverage, 'all');
  assert.ok(sightings.length >= 20);
  for (const one of sightings) {
    if (one.item.kind === 'repost' || one.item.kind === 'profile') continue;
    const view = JSON.parse(Buffer.from(one.slice).toString('utf8'));
    assert.equal(view.uri, one.identity.platformId);
    assert.equal(view.record.text, one.item.text);
  }
  const languages = new Set(sightings.flatMap((one) => one.item.languages));
  for (const language of ['en', 'es', 'ar', 'zh']) assert.ok(languages.has(language), language);
  const parents = new Map(sightings.map((one) => [one.identity.platformId, one.item.inReplyTo]));
  const depthOf = (id: string | null | undefined): number => (id == null ? -1 : 1 + depthOf(parents.get(id)));
  assert.ok(Math.max(...sightings.map((one) => depthOf(one.identity.platformId))) >= 3);
  const reposts = sightings.filter((one) => one.item.kind === 'repost');
  assert.equal(reposts.length, 1);
  assert.equal(reposts[0]?.item.text, '');
  assert.match(reposts[0]?.identity.platformId ?? '', /app\.bsky\.feed\.repost/);
  const media = sightings.flatMap((one) => one.media);
  assert.equal(media.length, 2);
  for (const medium of media) {
    assert.ok(medium.alt);
    const got = await collector.fetchMedia(medium, spool, never());
    const bytes = await readFile(got.file);
    assert.equal(got.sha256, createHash('sha256').update(bytes).digest('hex'));
    assert.deepEqual(bytes.subarray(1, 4).toString(), 'PNG');
  }
});

test('a real network as recorded, later: an edit changes the comparison, deletions are told by the repository, the rest is present', async (t) => {
  await using replay = await startReplay(RECORDINGS, { port: 0 });
  const collector = collectorAt(t, replay.origin, replay.account);
  const before = await run(collector);
  replay.act(2);
  const after = await run(collector, before.end?.state);
  const earlier = new Map(before.sightings.map((one) => [one.identity.platformId, one]));
  const seen = new Set(after.sightings.map((one) => one.identity.platformId));
  const changed = after.sightings.filter((one) => {
    const known = earlier.get(one.identity.platformId);
    return known !== undefined && JSON.stringify(known.comparison) !== JSON.stringify(one.comparison);
  });
  assert.deepEqual(
    changed.map((one) => one.item.text.slice(0, 14)),
    ['Corrected date'],
  );
  const unseen = before.sightings.filter((one) => !seen.has(one.identity.platformId));
  const answers = await lookUp(
    collector,
    unseen.map((one) => one.identity),
  );
  const states = unseen
    .map((one) => [one.item.text.slice(0, 12), answers.get(one.identity.platformId)?.state])
    .sort();
  assert.deepEqual(states, [
    ['Free for eve', 'present'],
    ['The Riversid', 'deleted'],
    ['Third closur', 'deleted'],
  ]);
  for (const answer of answers.values()) {
    if (answer.state !== 'deleted') continue;
    assert.equal(JSON.parse(Buffer.from(answer.body).toString()).error, 'RecordNotFound');
    assert.match(answer.exchange.url, /com\.atproto\.repo\.getRecord/);
  }
});

test('the feed is read to its end, whether the last page has no cursor or is empty', async (t) => {
  for (const last of [{ feed: [{ post: post(CITY, 'c') }] }, { feed: [], cursor: '9' }]) {
    const server = await playing(t, {
      pages: [
        { feed: [{ post: post(CITY, 'a') }], cursor: '1' },
        { feed: [{ post: post(CITY, 'b') }], cursor: '2' },
        last,
      ],
    });
    const { sightings, end, problems } = await run(collectorAt(t, server.origin));
    assert.deepEqual(byKey(sightings), last.feed.length === 0 ? ['a', 'b'] : ['a', 'b', 'c']);
    assert.deepEqual([end?.coverage, problems], ['all', []]);
  }
});

test('a long feed is read until it meets what is known, in three requests where nothing happened; what has gone has all of it read', async (t) => {
  const keys = Array.from({ length: 250 }, (_, n) => `p${250 - n}`);
  const replies = new Map([['p240', 1]]);
  let counted = keys.length;
  const asked: string[] = [];
  const { origin } = await playing(t, {
    get pages() {
      const feed = keys.map((key) => ({ post: post(CITY, key, { replyCount: replies.get(key) ?? 0 }) }));
      return [0, 1, 2, 3].map((n) => ({
        feed: feed.slice(100 * n, 100 * (n + 1)),
        ...(feed.length > 100 * (n + 1) ? { cursor: String(n + 1) } : {}),
      }));
    },
    get postsCount() {
      return counted;
    },
    answer(url, response) {
      asked.push(`${url.pathname.split('.').at(-1)}`);
      if (!url.pathname.endsWith('getPostThread')) return false;
      const key = url.searchParams.get('uri')?.split('/').at(-1) ?? '';
      const below = Array.from({ length: replies.get(key) ?? 0 }, (_, n) => ({
        post: post(
          ANN,
          `${key}r${n}`,
          {},
          { reply: { parent: { uri: uriOf(CITY, key) }, root: { uri: uriOf(CITY, key) } } },
        ),
      }));
      sendJson(response, { thread: { post: post(CITY, key, { replyCount: below.length }), replies: below } });
      return true;
    },
  });
  const collector = collectorAt(t, origin, 'city.test');
  let state: Json = null;
  const next = async () => {
    asked.length = 0;
    const ended = await run(collector, state);
    state = ended.end?.state as Json;
    assert.deepEqual(ended.problems, []);
    return { ...ended, coverage: ended.end?.coverage, calls: [...asked] };
  };
  assert.deepEqual([(await next()).sightings.length, state !== null], [251, true]);
  const quiet = await next();
  assert.deepEqual(quiet.calls, ['resolveHandle', 'getProfile', 'getAuthorFeed']);
  assert.equal(quiet.coverage, 'recent');

  // A new post, and an answer to one that is old.
  keys.unshift('p251');
  counted += 1;
  replies.set('p200', 2);
  const stirred = await next();
  assert.deepEqual([stirred.calls.length, stirred.coverage], [4, 'recent']);
  assert.ok(['p251', 'p200r0', 'p200r1'].every((key) => byKey(stirred.sightings).includes(key)));

  keys.splice(keys.indexOf('p230'), 1);
  counted -= 1;
  const gone = await next();
  assert.deepEqual([gone.coverage, gone.calls.filter((call) => call === 'getAuthorFeed').length], ['all', 3]);

  // Far down the list only the count tells of it: of what went, and of what came with an older date.
  keys.splice(keys.indexOf('p5'), 1);
  counted -= 1;
  assert.equal((await next()).coverage, 'all');
  keys.splice(keys.indexOf('p10'), 0, 'backdated');
  counted += 1;
  assert.ok(byKey((await next()).sightings).includes('backdated'));
  assert.equal((await next()).coverage, 'recent');
  state = { ...(state as unknown as object), wholeAt: '2026-10-31T16:00:00Z' };
  assert.equal((await next()).coverage, 'all', 'once a day everything is read');
});

test('a profile is a record of its own: what stands in it is compared, with the content ids of its pictures; what others say and count is not', async (t) => {
  const picture = 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku';
  const asked: string[] = [];
  let shown: Record<string, unknown> = {};
  const { origin } = await answering(t, (_, response, url) => {
    asked.push(url.pathname.split('.').at(-1) as string);
    if (url.pathname.endsWith('getProfile')) sendJson(response, { did: CITY, handle: 'city.test', ...shown });
    else if (url.pathname.endsWith('getAuthorFeed')) sendJson(response, { feed: [] });
    else if (url.pathname.endsWith('getRecord'))
      sendJson(response, { uri: `at://${CITY}/app.bsky.actor.profile/self`, cid: 'bafyprofile', value: {} });
    else sendJson(response, { error: 'MethodNotImplemented' }, 501);
  });
  const collector = collectorAt(t, origin);
  const profile = async (state: Json = null) => {
    asked.length = 0;
    const { sightings, end, problems } = await run(collector, state);
    assert.deepEqual(problems, []);
    return { sighting: sightings[0], state: end?.state ?? null };
  };
  assert.equal((await profile()).sighting, undefined);
  shown = {
    displayName: 'City',
    description: 'Official',
    avatar: `https://pictures.example/img/avatar/plain/${CITY}/${picture}@jpeg`,
    labels: [
      { src: CITY, val: '!no-unauthenticated' },
      { src: ANN, val: 'government' },
    ],
    followersCount: 7,
  };
  const first = await profile();
  assert.deepEqual(asked, ['getProfile', 'getRecord', 'getAuthorFeed']);
  const { sighting } = first;
  assert.deepEqual(
    [sighting?.identity.platformId, sighting?.item.kind, sighting?.item.title, sighting?.item.text],
    [`at://${CITY}/app.bsky.actor.profile/self`, 'profile', 'City', 'Official'],
  );
  assert.deepEqual(
    [sighting?.item.contentWarning, sighting?.item.tags, sighting?.observations],
    ['!no-unauthenticated', [`labelled government by ${ANN}`], { followers: 7 }],
  );
  assert.deepEqual(
    sighting?.media.map(({ role, contentId }) => [role, contentId]),
    [['avatar', picture]],
  );
  assert.deepEqual(sighting?.former, { rule: 'bluesky-import/1', comparison: { cid: 'bafyprofile' } });
  shown = { ...shown, followersCount: 9, labels: [{ src: CITY, val: '!no-unauthenticated' }] };
  const second = await profile(first.state);
  assert.deepEqual(asked, ['getProfile', 'getAuthorFeed']);
  assert.deepEqual(
    [second.sighting?.comparison, second.sighting?.former],
    [sighting?.comparison, sighting?.former],
  );
  for (const change of [
    { displayName: 'Town' },
    { description: '' },
    { avatar: undefined },
    { banner: shown.avatar },
  ]) {
    const before = shown;
    shown = { ...before, ...change };
    assert.notDeepEqual((await profile(first.state)).sighting?.comparison, sighting?.comparison);
    assert.ok(asked.includes('getRecord'));
    shown = before;
  }
});

test('a feed that pages in circles ends the run as partial', async (t) => {
  const server = await playing(t, {
    pages: [
      { feed: [{ post: post(CITY, 'a') }], cursor: '1' },
      { feed: [{ post: post(CITY, 'b') }], cursor: '1' },
    ],
  });
  const { end, problems } = await run(collectorAt(t, server.origin));
  assert.deepEqual([end?.coverage, problems], ['recent', ['repeated-cursor']]);
});

test('a quote is told with the version that its author saw; a quoted list is a link', async (t) => {
  const quoting = (key: string, uri: string, cid?: string) =>
    post(CITY, key, {}, { embed: { $type: 'app.bsky.embed.record', record: { uri, cid } } });
  const list = `at://${ANN}/app.bsky.graph.list/x`;
  const feed = [
    quoting('a', uriOf(ANN, 'q'), 'bafyq'),
    quoting('b', uriOf(ANN, 'q')),
    quoting('c', list, 'bafyl'),
  ];
  const server = await playing(t, { pages: [{ feed: feed.map((one) => ({ post: one })) }] });
  const { sightings } = await run(collectorAt(t, server.origin));
  assert.deepEqual(
    sightings.map(({ item }) => [item.quotes, item.quotedContentId, item.links.map(({ url }) => url)]),
    [
      [uriOf(ANN, 'q'), 'bafyq', []],
      [uriOf(ANN, 'q'), undefined, []],
      [null, undefined, [list]],
    ],
  );
});

test('a thread that the service cuts short is read on from there, at any depth', async (t) => {
  const reply = (key: string, replyCount: number) =>
    post(
      ANN,
      key,
      { replyCount },
      { reply: { root: { uri: uriOf(CITY, 'a') }, parent: { uri: uriOf(CITY, 'a') } } },
    );
  const server = await playing(t, {
    pages: [{ feed: [{ post: post(CITY, 'a', { replyCount: 1 }) }] }],
    threads: {
      [uriOf(CITY, 'a')]: { post: post(CITY, 'a', { replyCount: 1 }), replies: [{ post: reply('r1', 1) }] },
      [uriOf(ANN, 'r1')]: { post: reply('r1', 1), replies: [{ post: reply('r2', 2), replies: [] }] },
      [uriOf(ANN, 'r2')]: {
        post: reply('r2', 2),
        replies: [{ post: reply('r3', 0) }, { uri: uriOf(ANN, 'x'), notFound: true }],
      },
    },
  });
  const { sightings, end } = await run(collectorAt(t, server.origin));
  assert.deepEqual(byKey(sightings), ['a', 'r1', 'r2', 'r3']);
  assert.equal(end?.coverage, 'all');
});

test('a thread that cannot be read makes the run partial, and the others are still read', async (t) => {
  const withReplies = (key: string) => post(CITY, key, { replyCount: 1 });
  const server = await playing(t, {
    pages: [{ feed: [{ post: withReplies('a') }, { post: withReplies('b') }] }],
    threads: { [uriOf(CITY, 'a')]: { post: withReplies('a'), replies: [{ post: post(ANN, 'r') }] } },
    answer: (url, response) => {
      if (url.searchParams.get('uri') !== uriOf(CITY, 'b')) return false;
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>');
      return true;
    },
  });
  const { sightings, rejected, problems, end } = await run(collectorAt(t, server.origin));
  assert.deepEqual(byKey(sightings), ['a', 'b', 'r']);
  assert.deepEqual(
    rejected.map((one) => Buffer.from(one.bytes).toString()),
    ['<html>Sign in</html>'],
  );
  assert.deepEqual([problems, end?.coverage], [['incomplete-thread'], 'recent']);
});

test('an item that is not what it must be is put aside with its exact bytes, and its neighbours are read', async (t) => {
  const broken = { ...post(CITY, 'b'), uri: 'javascript:alert(1)' };
  const foreign = post(ANN, 'c');
  const stolen = { ...post(CITY, 'd'), author: { did: ANN, handle: 'ann.test' } };
  const server = await playing(t, {
    pages: [{ feed: [{ post: post(CITY, 'a') }, { post: broken }, { post: foreign }, { post: stolen }, 7] }],
  });
  const { sightings, rejected, end } = await run(collectorAt(t, server.origin));
  assert.deepEqual(byKey(sightings), ['a']);
  assert.equal(rejected.length, 4);
  assert.equal(Buffer.from(rejected[0]?.bytes ?? []).toString(), JSON.stringify(broken));
  assert.equal(end?.coverage, 'recent');
});

test('changing counters, names and pictures leave the comparison as it was; another text does not', async (t) => {
  const first = post(CITY, 'a');
  const compared = async (view: unknown) => {
    const server = await playing(t, { pages: [{ feed: [{ post: view }] }] });
    return (await run(collectorAt(t, server.origin))).sightings[0]?.comparison;
  };
  const before = await compared(first);
  const busier = {
    ...first,
    likeCount: 9,
    replyCount: 0,
    labels: [{ val: 'x' }],
    indexedAt: '2027-01-01T00:00:00Z',
    author: { ...first.author, handle: 'new.test', displayName: 'New' },
  };
  assert.deepEqual(await compared(busier), before);
  assert.notDeepEqual(await compared({ ...first, cid: 'bafyother' }), before);
});

for (const [title, send, code] of [
  [
    'a login page',
    (response: ServerResponse) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>'),
    'not-the-expected-format',
  ],
  [
    'an empty answer',
    (response: ServerResponse) => response.writeHead(200, { 'content-type': 'application/json' }).end(),
    'not-the-expected-format',
  ],
  [
    'invalid UTF-8',
    (response: ServerResponse) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(Buffer.from([0x7b, 0xff, 0x7d])),
    'not-the-expected-format',
  ],
  [
    'no feed in it',
    (response: ServerResponse) => sendJson(response, { message: 'hello' }),
    'not-the-expected-format',
  ],
] as const) {
  test(`${title} where the feed is due is a problem and never an empty account`, async (t) => {
    const server = await playing(t, {
      pages: [],
      answer: (url, response) => {
        if (!url.pathname.endsWith('getAuthorFeed')) return false;
        send(response);
        return true;
      },
    });
    const { problems, end } = await run(collectorAt(t, server.origin));
    assert.deepEqual([problems, end?.coverage], [[code], 'recent']);
  });
}

test('an empty feed of an account that has posts is a problem and no deletion', async (t) => {
  const server = await playing(t, { pages: [{ feed: [] }], postsCount: 12 });
  const { problems, end } = await run(collectorAt(t, server.origin));
  assert.deepEqual([problems, end?.coverage], [['not-the-expected-format'], 'recent']);
});

test('an account that the service does not know, or no longer shows, ends the run', async (t) => {
  for (const [error, code] of [
    ['InvalidRequest', 'account-not-found'],
    ['AccountTakedown', 'access-lost'],
  ] as const) {
    const server = await answering(t, (_, response) => sendJson(response, { error, message: 'no' }, 400));
    await assert.rejects(run(collectorAt(t, server.origin, 'city.test')), rejectsWith(code));
  }
});

test('a handle that names another account than before is not followed', async (t) => {
  const server = await playing(t, { pages: [] });
  await assert.rejects(
    run(collectorAt(t, server.origin, 'city.test'), { account: 'did:plc:before' }),
    rejectsWith('account-replaced'),
  );
});

test('a look-up keeps deleted, hidden, access lost, account gone and unknown apart', async (t) => {
  const people = ['deleted', 'hidden', 'lost', 'gone', 'tombstone', 'failing'];
  const server = await answering(t, (_, response, url) => {
    const asked = url.searchParams.get('did') ?? url.searchParams.get('repo') ?? url.pathname.slice(1);
    const name = asked.split(':').at(-1) as string;
    if (url.pathname.endsWith('getPosts')) sendJson(response, { posts: [] });
    else if (url.pathname.startsWith('/did:')) {
      if (name === 'tombstone') sendJson(response, { message: 'DID not available' }, 410);
      else
        sendJson(response, {
          id: asked,
          service: [
            { id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: server.origin },
          ],
        });
    } else if (url.pathname.endsWith('getRepoStatus')) {
      if (name === 'gone') sendJson(response, { error: 'RepoNotFound', message: '' }, 400);
      else if (name === 'failing') response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
      else
        sendJson(response, {
          did: asked,
          active: name !== 'lost',
          status: name === 'lost' ? 'deactivated' : undefined,
        });
    } else if (name === 'hidden')
      sendJson(response, { uri: uriOf(asked, 'k'), cid: 'bafy', value: { text: 'still there' } });
    else sendJson(response, { error: 'RecordNotFound', message: '' }, 400);
  });
  const collector = openBlueskyCollector(
    {
      id: 'c',
      platform: 'bluesky',
      schedule: null,
      confirmDates: null,
      account: CITY,
      service: server.origin,
      directory: server.origin,
      repository: null,
      proofs: 0,
    },
    patient(),
  );
  t.after(() => collector[Symbol.asyncDispose]());
  const identities = people.map((name) => ({
    platform: 'bluesky',
    namespace: 'at-uri',
    platformId: uriOf(`did:plc:${name}`, 'k'),
  }));
  const found = await lookUp(collector, identities);
  const states = people.map((name) => found.get(uriOf(`did:plc:${name}`, 'k'))?.state);
  assert.deepEqual(states, ['deleted', 'hidden', 'access-lost', 'account-gone', 'account-gone', 'unknown']);
});

test('when the service cannot answer, everything looked up is unknown', async (t) => {
  const server = await answering(t, (_, response, url) =>
    url.pathname.endsWith('getProfile')
      ? sendJson(response, { did: CITY, handle: 'city.test' })
      : sendJson(response, {}, 503),
  );
  const found = await lookUp(collectorAt(t, server.origin), [
    { platform: 'bluesky', namespace: 'at-uri', platformId: uriOf(CITY, 'a') },
  ]);
  assert.deepEqual(
    [...found.values()].map((one) => one.state),
    ['unknown'],
  );
});

test('media bytes that are not what the content id promises are not kept', async (t) => {
  const spool = await mkdtemp(join(tmpdir(), 'muniment-blob-'));
  t.after(() => rm(spool, { recursive: true }));
  const server = await playing(t, {
    pages: [],
    answer: (url, response) => {
      if (url.pathname.endsWith('getBlob')) response.end('other bytes');
      return url.pathname.endsWith('getBlob');
    },
  });
  const reference = {
    role: 'image',
    url: `${server.origin}/xrpc/com.atproto.sync.getBlob?did=${CITY}&cid=x`,
    alt: null,
    mediaType: 'image/png',
    contentId: 'bafkreiag5cpabrg4m5jgkjrlrwrpdblqm3bj6yqcau6gvst2xkso6fhcsy',
  } as const;
  await assert.rejects(
    collectorAt(t, server.origin).fetchMedia(reference, spool, never()),
    rejectsWith('media'),
  );
  assert.deepEqual(await readdir(spool), []);
});
