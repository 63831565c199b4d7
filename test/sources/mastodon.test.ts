// The Mastodon collector against a server that answers as the published API says, and against ones that do not.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { parseSettings } from '../../src/config.ts';
import type { Json } from '../../src/core/canonical.ts';
import { InputError } from '../../src/core/errors.ts';
import { Secret } from '../../src/core/secret.ts';
import type { MastodonSettings } from '../../src/core/settings.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import type { Collector, CollectorEvent, LookUp, Sighting } from '../../src/sources/collector.ts';
import type { HttpDependencies } from '../../src/sources/http.ts';
import { openMastodonCollector } from '../../src/sources/mastodon.ts';
import { FakeMastodon, type FakeStatus } from '../support/mastodon.ts';
import { never, patient, sendJson } from '../support/replay.ts';

const TOKEN = 'tok3n-that-nobody-may-see';

function collectorAt(
  t: TestContext,
  origin: string,
  { token = null, dependencies = patient() }: { token?: string | null; dependencies?: HttpDependencies } = {},
): Collector {
  const settings: MastodonSettings = {
    id: 'city',
    platform: 'mastodon',
    schedule: null,
    confirmDates: null,
    account: '@city@city.example',
    service: origin,
    token: token === null ? null : new Secret('file:token', () => token),
  };
  const collector = openMastodonCollector(settings, dependencies);
  t.after(() => collector[Symbol.asyncDispose]());
  return collector;
}

async function run(collector: Collector, state: Json = null) {
  const events: CollectorEvent[] = [];
  for await (const event of collector.collect({ state, isLatest: true, signal: never() })) events.push(event);
  const pages = events.filter((event) => event.type === 'page');
  const problems = events.filter((event) => event.type === 'problem').map((event) => event.problem);
  const all = pages.flatMap((page) => page.sightings);
  return {
    profile: all.find((one) => one.item.kind === 'profile'),
    sightings: all.filter((one) => one.item.kind !== 'profile'),
    rejected: pages.flatMap((page) => page.rejected),
    problems: problems.filter(({ code }) => code !== 'standing-gap').map(({ code }) => code),
    gaps: problems.filter(({ code }) => code === 'standing-gap').map(({ message }) => message),
    reported: Object.fromEntries(
      events.flatMap((event) => (event.type === 'reported' ? [[event.what, event.count]] : [])),
    ),
    end: events.find((event) => event.type === 'end'),
  };
}

const uris = (sightings: readonly Sighting[]): string[] =>
  sightings.map((one) => one.identity.platformId).sort();
const texts = (sightings: readonly Sighting[]): string[] => sightings.map((one) => one.item.text).sort();

async function lookUp(collector: Collector, fake: FakeMastodon, statuses: readonly FakeStatus[]) {
  const captured = new Map(statuses.map((one) => [fake.uri(one), fake.view(one)]));
  const found = new Map<string, LookUp>();
  const identities = [...captured.keys()].map((platformId) => ({
    platform: 'mastodon',
    namespace: 'activitypub-uri',
    platformId,
  }));
  for await (const one of collector.lookUp(identities, never(), async ({ platformId }) => ({
    slice: Buffer.from(JSON.stringify(captured.get(platformId))),
    url: `${fake.origin}/api/v1/accounts/1/statuses`,
    threadRoot: null,
  })))
    found.set(one.identity.platformId, one);
  return statuses.map((one) => found.get(fake.uri(one)) as LookUp);
}

test('the list is read to its end, with a Link header or without one, and each status is kept as it was sent', async (t) => {
  for (const hasLinks of [true, false]) {
    const fake = await FakeMastodon.start(t);
    fake.hasLinks = hasLinks;
    fake.pageSize = 7;
    const posts = Array.from({ length: 30 }, (_, number) => fake.post(`post ${number}`));
    const { sightings, rejected, problems, gaps, end } = await run(collectorAt(t, fake.origin));
    assert.deepEqual(uris(sightings), posts.map((one) => fake.uri(one)).sort());
    assert.deepEqual([rejected, problems, gaps, end?.coverage], [[], [], [], 'all']);
    for (const one of sightings)
      assert.equal(JSON.parse(Buffer.from(one.slice).toString()).uri, one.identity.platformId);
  }
});

test('replies by anyone are read at any depth, also where a server stops before the end, and name what they answer', async (t) => {
  const fake = await FakeMastodon.start(t);
  fake.depth = 5;
  const root = fake.post('root');
  const deep: FakeStatus[] = [];
  for (let parent = root, depth = 0; depth < 23; depth += 1) {
    parent = fake.post(`depth ${depth}`, { by: depth % 2 === 0 ? fake.ann : fake.city, parent });
    deep.push(parent);
  }
  const { sightings, problems, end } = await run(collectorAt(t, fake.origin));
  assert.deepEqual(uris(sightings), [root, ...deep].map((one) => fake.uri(one)).sort());
  assert.deepEqual([problems, end?.coverage], [[], 'all']);
  const byUri = new Map(sightings.map((one) => [one.identity.platformId, one.item]));
  for (const one of deep) {
    const item = byUri.get(fake.uri(one));
    assert.deepEqual(
      [item?.kind, item?.inReplyTo, item?.threadRoot],
      ['reply', fake.uri(one.parent as FakeStatus), fake.uri(root)],
    );
  }
  const [reply] = deep;
  assert.equal(byUri.get(fake.uri(reply as FakeStatus))?.author.handle, 'ann@elsewhere.example');
});

test('a thread of 3,000 replies is read whole; what a server counts and does not show is a gap to whoever has no token', async (t) => {
  const fake = await FakeMastodon.start(t);
  const root = fake.post('root');
  const replies: FakeStatus[] = [];
  for (let number = 0; number < 3000; number += 1)
    replies.push(
      fake.post(`reply ${number}`, {
        by: fake.ann,
        parent: number % 3 === 0 ? root : (replies.at(-1) as FakeStatus),
      }),
    );
  const whole = await run(collectorAt(t, fake.origin));
  assert.deepEqual(
    [whole.sightings.length, whole.gaps, whole.problems, whole.end?.coverage],
    [3001, [], [], 'all'],
  );
  root.more = { replies_count: 1007 };
  const short = await run(collectorAt(t, fake.origin));
  assert.deepEqual(
    [short.reported['replies not shown'], short.problems, short.end?.coverage],
    [7, [], 'all'],
  );
  assert.match(short.gaps.join(), /stops at 60 below a post/);
  assert.deepEqual((await run(collectorAt(t, fake.origin, { token: TOKEN }))).gaps, []);
});

test('the account’s reply elsewhere brings the thread that it stands in; a boost is a link and never the account’s text', async (t) => {
  const fake = await FakeMastodon.start(t);
  const question = fake.post('Is the bridge open?', { by: fake.ann });
  const more = fake.post('Asking for a friend', { by: fake.ann, parent: question });
  const answer = fake.post('It is.', { parent: more });
  const thanks = fake.post('Thanks!', { by: fake.ann, parent: answer });
  const boosted = fake.view(fake.post('Bake sale', { by: fake.ann }));
  const boost = fake.post('', { more: { reblog: boosted, content: '<p>Bake sale</p>' } });
  const { sightings } = await run(collectorAt(t, fake.origin));
  const expected = [question, more, answer, thanks, boost].map((one) => fake.uri(one)).sort();
  assert.deepEqual(uris(sightings), expected);
  const item = (status: FakeStatus) =>
    sightings.find((one) => one.identity.platformId === fake.uri(status))?.item;
  assert.equal(item(answer)?.inReplyTo, fake.uri(more));
  assert.equal(item(answer)?.threadRoot, fake.uri(question));
  const { kind, text, reposts, links } = item(boost) ?? assert.fail();
  assert.deepEqual([kind, text, reposts], ['repost', '', boosted.uri]);
  assert.equal(links[0]?.description, 'Bake sale');
});

test('what an author wrote is told: warning, poll, alt text, tags, language, and whole addresses of shortened links', async (t) => {
  const fake = await FakeMastodon.start(t);
  fake.post('', {
    html:
      '<p>Vote <a href="https://city.example/tags/water" class="mention hashtag" rel="tag">#<span>water</span></a><br>See ' +
      '<a href="https://city.example/a/very/long/path?x=1"><span class="invisible">https://</span><span class="ellipsis">city.example/a/very</span></a></p>',
    more: {
      spoiler_text: 'politics',
      sensitive: true,
      language: 'es',
      tags: [{ name: 'water', url: 'https://city.example/tags/water' }],
      favourites_count: 4,
      poll: {
        id: '1',
        votes_count: 5,
        voters_count: 3,
        options: [
          { title: 'Yes', votes_count: 4 },
          { title: 'No', votes_count: 1 },
        ],
      },
      card: { url: 'https://city.example/a/very/long/path?x=1', title: 'Plan', description: 'The plan' },
      media_attachments: [
        {
          id: '9',
          type: 'image',
          url: `${fake.origin}/copy.png`,
          remote_url: `${fake.origin}/original.png`,
          description: 'a map',
        },
      ],
    },
  });
  fake.instead = (url, response) => {
    if (url.pathname === '/original.png') sendJson(response, {}, 404);
    else if (url.pathname === '/copy.png')
      response.writeHead(200, { 'content-type': 'image/png' }).end('PICTURE');
    else return false;
    return true;
  };
  const collector = collectorAt(t, fake.origin);
  const { sightings, profile } = await run(collector);
  const [one] = sightings;
  assert.ok(one);
  assert.equal(one.item.text, 'Vote #water\nSee https://city.example/a/very\n\n• Yes\n• No');
  assert.deepEqual(one.item.links, [
    { url: 'https://city.example/a/very/long/path?x=1', title: 'Plan', description: 'The plan' },
  ]);
  assert.deepEqual(
    [one.item.contentWarning, one.item.languages, one.item.tags],
    ['politics', ['es'], ['water']],
  );
  assert.deepEqual(one.observations, {
    likes: 4,
    reposts: 0,
    replies: 0,
    votes: 5,
    voters: 3,
    'votes for 1': 4,
    'votes for 2': 1,
  });
  assert.equal(one.media[0]?.alt, 'a map');
  assert.equal(one.media[0]?.url, `${fake.origin}/original.png`);
  const folder = await mkdtemp(join(tmpdir(), 'muniment-mastodon-'));
  t.after(() => rm(folder, { recursive: true }));
  const medium = await collector.fetchMedia(one.media[0] as (typeof one.media)[0], folder, never());
  assert.equal(await readFile(medium.file, 'utf8'), 'PICTURE');
  assert.deepEqual([profile?.item.text, profile?.observations.followers], ['Official.', 7]);
});

test('counters, pictures moved to another host and a server’s own HTML change nothing; words, alt texts and polls do', async (t) => {
  const fake = await FakeMastodon.start(t);
  const picture = (url: string, description: string) => ({
    media_attachments: [{ id: '9', type: 'image', url, remote_url: null, description }],
  });
  const post = fake.post('Hello', { more: picture('https://files.example/1.png', 'a map') });
  const seen = async () => JSON.stringify((await run(collectorAt(t, fake.origin))).sightings[0]?.comparison);
  const first = await seen();
  post.more = { ...picture('https://cdn.example/1.png', 'a map'), favourites_count: 99 };
  post.html = '<p class="quiet"><span>Hello</span></p>';
  assert.equal(await seen(), first);
  for (const more of [
    picture('https://files.example/1.png', 'a plan'),
    { ...post.more, spoiler_text: 'rain' },
    { ...post.more, poll: { options: [{ title: 'Yes' }] } },
    { ...post.more, edited_at: '2026-10-02T00:00:00Z' },
  ]) {
    post.more = more;
    assert.notEqual(await seen(), first);
  }
});

test('a cursor that repeats, and pages that bring nothing new, end the list as a problem', async (t) => {
  for (const circle of ['cursor', 'pages']) {
    const fake = await FakeMastodon.start(t);
    const post = fake.post('only');
    let asked = 0;
    fake.instead = (url, response) => {
      if (!url.pathname.endsWith('/statuses')) return false;
      asked += 1;
      const link = `<${fake.origin}/?max_id=${circle === 'cursor' ? 7 : asked}>; rel="next"`;
      sendJson(response, [fake.view(post)], 200, { link });
      return true;
    };
    const { sightings, problems, end } = await run(collectorAt(t, fake.origin));
    assert.deepEqual([sightings.length, problems, end?.coverage], [1, ['repeated-cursor'], 'recent']);
    assert.ok(asked < 6);
  }
});

test('a server that does not page tells all of a short list; of a long one, that the rest stays untold', async (t) => {
  for (const [count, coverage] of [
    [5, 'all'],
    [25, 'recent'],
  ] as const) {
    const fake = await FakeMastodon.start(t);
    fake.pages = false;
    fake.hasLinks = false;
    fake.pageSize = 20;
    for (let number = 0; number < count; number += 1) fake.post(`post ${number}`);
    const { sightings, problems, gaps, end } = await run(collectorAt(t, fake.origin));
    assert.deepEqual([sightings.length, problems, end?.coverage], [Math.min(count, 20), [], coverage]);
    assert.match(gaps.join(), count === 5 ? /^$/ : /only the newest 20 posts/);
  }
});

test('a page that shrinks while it is read loses nothing that is still there', async (t) => {
  const fake = await FakeMastodon.start(t);
  fake.pageSize = 4;
  const posts = Array.from({ length: 12 }, (_, number) => fake.post(`post ${number}`));
  let asked = 0;
  fake.instead = (url) => {
    if (url.pathname.endsWith('/statuses') && ++asked === 2)
      for (const gone of [posts[11], posts[8], posts[7]] as FakeStatus[]) gone.deleted = true;
    return false;
  };
  const { sightings, end } = await run(collectorAt(t, fake.origin));
  const left = posts.filter((one) => !one.deleted).map((one) => fake.uri(one));
  for (const uri of left) assert.ok(uris(sightings).includes(uri));
  assert.equal(end?.coverage, 'all');
});

test('a steady poll of a long, unchanged account takes two requests; new posts, replies and edits are met, and a deletion has everything read', async (t) => {
  const fake = await FakeMastodon.start(t);
  const posts = Array.from({ length: 300 }, (_, number) => fake.post(`post ${number}`));
  const answered = posts[290] as FakeStatus;
  fake.post('first!', { by: fake.ann, parent: answered });
  const state = (await run(collectorAt(t, fake.origin))).end?.state as Json;
  const polled = async (before: Json) => {
    fake.requests.length = 0;
    const found = await run(collectorAt(t, fake.origin), before);
    return { ...found, requests: fake.requests.length };
  };
  const steady = await polled(state);
  assert.deepEqual([steady.requests, steady.end?.coverage, steady.problems], [2, 'recent', []]);
  fake.post('news');
  fake.post('second!', { by: fake.ann, parent: answered });
  const next = await polled(steady.end?.state as Json);
  assert.ok(texts(next.sightings).includes('news') && texts(next.sightings).includes('second!'));
  assert.equal(next.requests, 3);
  (posts[295] as FakeStatus).deleted = true;
  const whole = await polled(next.end?.state as Json);
  assert.deepEqual([whole.end?.coverage, whole.sightings.length], ['all', 302]);
  const day = patient();
  const later = collectorAt(t, fake.origin, {
    dependencies: { ...day, clock: { now: () => day.clock.now().add({ hours: 25 }) } },
  });
  assert.equal((await run(later, whole.end?.state as Json)).end?.coverage, 'all');
});

test('deleted, access lost and account gone are told by the server about that very status; all else is unknown', async (t) => {
  const fake = await FakeMastodon.start(t);
  const gone = fake.post('mistake');
  fake.post('stays');
  const left = fake.post('bye', { by: fake.ann });
  const closed = fake.post('closed', { by: fake.ann });
  const broken = fake.post('broken', { by: fake.ann });
  const kept = fake.post('kept', { by: fake.ann });
  const states = async (...all: FakeStatus[]) => (await lookUp(collector, fake, all)).map((one) => one.state);
  const collector = collectorAt(t, fake.origin, { dependencies: patient({ attempts: 1 }) });
  await run(collector);
  gone.deleted = true;
  fake.instead = (url, response) => {
    if (url.pathname.endsWith(`/statuses/${closed.id}`)) sendJson(response, { error: 'no' }, 403);
    else if (url.pathname.endsWith(`/statuses/${broken.id}`)) sendJson(response, { error: 'oh' }, 500);
    else return false;
    return true;
  };
  assert.deepEqual(await states(gone, closed, broken, kept), [
    'deleted',
    'access-lost',
    'unknown',
    'present',
  ]);
  left.deleted = true;
  fake.ann.gone = true;
  assert.deepEqual(await states(left), ['account-gone']);
  fake.ann.gone = false;
  const page = (url: URL, response: Parameters<FakeMastodon['instead']>[1]) => {
    if (!url.pathname.startsWith('/api/v1/statuses/')) return false;
    response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>Not Found</h1>');
    return true;
  };
  fake.instead = page;
  assert.deepEqual(await states(gone, kept), ['unknown', 'unknown']);
  fake.instead = (url, response) => url.pathname.includes(gone.id) && page(url, response);
  assert.deepEqual(await states(gone), ['deleted']);
  fake.instead = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<form>log in</form>');
    return true;
  };
  assert.deepEqual(await states(gone, kept), ['unknown', 'unknown']);
  fake.instead = (_, response) => {
    sendJson(response, { ...fake.view(kept), id: gone.id });
    return true;
  };
  assert.deepEqual(await states(kept), ['unknown']);
});

test('a server that shows threads only to a token says so as a standing gap, and what is unlisted there is never a deletion', async (t) => {
  const fake = await FakeMastodon.start(t);
  fake.wantsToken = true;
  const post = fake.post('road closed');
  fake.post('why?', { by: fake.ann, parent: post });
  const blind = collectorAt(t, fake.origin);
  const without = await run(blind);
  assert.deepEqual([without.problems, without.end?.coverage, without.sightings.length], [[], 'recent', 1]);
  assert.match(without.gaps.join(), /only to whoever has a token/);
  const [answer] = await lookUp(blind, fake, [post]);
  assert.equal(answer?.state === 'unknown' && answer.problem.code, 'standing-gap');
  const seeing = await run(collectorAt(t, fake.origin, { token: TOKEN }));
  assert.deepEqual(
    [seeing.problems, seeing.gaps, seeing.end?.coverage, seeing.sightings.length],
    [[], [], 'all', 2],
  );
});

test('a token goes to its own server only, and into no evidence, error or settings', async (t) => {
  const fake = await FakeMastodon.start(t);
  const other = await FakeMastodon.start(t);
  fake.post('Hello', {
    more: {
      media_attachments: [{ id: '1', type: 'image', url: `${other.origin}/a.png`, description: null }],
    },
  });
  fake.instead = (url, response) => {
    if (!url.pathname.endsWith('/context')) return false;
    response.writeHead(302, { location: `${other.origin}/stolen` }).end();
    return true;
  };
  const collector = collectorAt(t, fake.origin, { token: TOKEN });
  const { sightings } = await run(collector);
  assert.equal(fake.authorizations[0], `Bearer ${TOKEN}`);
  const folder = await mkdtemp(join(tmpdir(), 'muniment-mastodon-'));
  t.after(() => rm(folder, { recursive: true }));
  await assert.rejects(collector.fetchMedia(sightings[0]?.media[0] as never, folder, never()), CollectError);
  assert.deepEqual(
    other.authorizations.filter((one) => one !== undefined),
    [],
  );
  assert.doesNotMatch(JSON.stringify(sightings), new RegExp(TOKEN));
  const settings = (token: string) =>
    parseSettings(
      `archive: { name: A, origin: a.example, timezone: UTC }\nsources: [{ id: c, platform: mastodon, account: '@city@city.example', token: '${token}' }]\n`,
      'muniment.yaml',
      '/nonexistent',
      { home: null, token: null, configFolder: '/nonexistent', variables: { MASTODON: TOKEN } },
    ).sources[0] as MastodonSettings;
  assert.throws(
    () => settings(TOKEN),
    (error: unknown) => error instanceof InputError && !error.message.includes(TOKEN),
  );
  const read = settings(`\${MASTODON}`);
  assert.deepEqual([read.service, read.token?.reveal()], ['https://city.example', TOKEN]);
  assert.match(JSON.stringify(read), /"token":"\$\{MASTODON\}"/);
  assert.throws(() => settings(`\${MASTODON}', service: 'http://city.example`), InputError);
  assert.throws(() => settings(`\${NOBODY}`).token?.reveal(), InputError);
});

test('an exhausted limit is waited for until the date that Mastodon gives', async (t) => {
  const fake = await FakeMastodon.start(t);
  fake.post('Hello');
  let refused = 0;
  fake.instead = (url, response) => {
    if (!url.pathname.endsWith('/statuses') || refused++ > 0) return false;
    const headers = {
      date: 'Sun, 01 Nov 2026 12:00:00 GMT',
      'x-ratelimit-limit': '300',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '2026-11-01T12:05:00.123456Z',
    };
    sendJson(response, { error: 'Throttled' }, 429, headers);
    return true;
  };
  const dependencies = patient();
  const { sightings, problems } = await run(collectorAt(t, fake.origin, { dependencies }));
  assert.deepEqual([sightings.length, problems], [1, []]);
  assert.ok(dependencies.slept.some((wait) => wait >= 300_000 && wait < 302_000));
});

test('error pages, an expired token and unreadable statuses are told, and never taken for an empty account', async (t) => {
  const fake = await FakeMastodon.start(t);
  const post = fake.post('Hello');
  fake.post('reply', { by: fake.ann, parent: post });
  const list = async (answer: (response: Parameters<FakeMastodon['instead']>[1]) => void) => {
    fake.instead = (url, response) => {
      if (!url.pathname.endsWith('/statuses')) return false;
      answer(response);
      return true;
    };
    return run(collectorAt(t, fake.origin, { token: TOKEN, dependencies: patient({ attempts: 1 }) }));
  };
  const html = await list((response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
  );
  assert.deepEqual(
    [html.problems, html.rejected.length, html.end?.coverage],
    [['not-the-expected-format'], 1, 'recent'],
  );
  const nothing = await list((response) => response.writeHead(200).end());
  assert.deepEqual(nothing.problems, ['not-the-expected-format']);
  const none = await list((response) => sendJson(response, []));
  assert.deepEqual([none.problems, none.end?.coverage], [['not-the-expected-format'], 'recent']);
  const fault = await list((response) => sendJson(response, { error: 'oh' }, 500));
  assert.deepEqual(fault.problems, ['http-status']);
  const expired = await list((response) => sendJson(response, { error: 'The access token expired' }, 401));
  assert.deepEqual(expired.problems, ['access-lost']);
  let pages = 0;
  const mixed = await list((response) => {
    const bad = [
      { id: '5', uri: 'x' },
      { ...fake.view(post), uri: 'javascript:1' },
      7,
      { ...fake.view(post), account: fake.account(fake.ann) },
    ];
    sendJson(response, pages++ === 0 ? [fake.view(post), ...bad] : []);
  });
  assert.deepEqual([mixed.rejected.length, texts(mixed.sightings)], [4, ['Hello', 'reply']]);
  fake.instead = (url, response) => {
    if (!url.pathname.endsWith('/context')) return false;
    sendJson(response, { error: 'The access token was revoked' }, 401);
    return true;
  };
  const revoked = await run(collectorAt(t, fake.origin, { token: TOKEN }));
  assert.deepEqual(
    [revoked.problems, revoked.end?.coverage, revoked.gaps],
    [['incomplete-thread'], 'recent', []],
  );
});

test('what is not for everybody makes no record, and that is said', async (t) => {
  const fake = await FakeMastodon.start(t);
  fake.post('for all');
  fake.post('for one', { more: { visibility: 'direct' } });
  const { sightings, gaps, reported } = await run(collectorAt(t, fake.origin, { token: TOKEN }));
  assert.deepEqual(texts(sightings), ['for all']);
  assert.equal(reported['posts not for everybody'], 1);
  assert.match(gaps.join(), /not kept/);
});

test('trying a source says what the server shows of threads and edits; an account that is unknown is an error', async (t) => {
  const fake = await FakeMastodon.start(t);
  fake.post('Hello');
  fake.hasHistory = false;
  const { account, findings } = await collectorAt(t, fake.origin).check(never());
  assert.equal(account, '@city@city.example');
  assert.match(findings.join('\n'), /1 posts[\s\S]*threads can be read[\s\S]*only the last is kept/);
  fake.city.gone = true;
  await assert.rejects(
    collectorAt(t, fake.origin).check(never()),
    (error: unknown) => error instanceof CollectError && error.problem.code === 'account-not-found',
  );
});
