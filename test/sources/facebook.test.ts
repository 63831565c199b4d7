// What is particular to Facebook Pages, and what the platforms of Meta have in common, against answers built from the published reference.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseSettings } from '../../src/config.ts';
import { InputError } from '../../src/core/errors.ts';
import type { MetaSettings } from '../../src/core/settings.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import type { MediaReference } from '../../src/sources/collector.ts';
import { ANN, FACEBOOK_STYLE, FakeGraph, graphError } from '../support/graph.ts';
import { lookUpOf, metaCollector, runOf, TOKEN } from '../support/meta.ts';
import { never, patient, sendAnswer, sendJson } from '../support/replay.ts';

const NOW = '2026-11-01T12:00:00Z';

test('posts are read to the end of their list, and comments of every depth, each with what it answers and under which post', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  graph.pageSize = 7;
  const posts = Array.from({ length: 20 }, (_, n) =>
    graph.add(`1000_${n}`, `post ${n}`, { edge: 'published_posts' }),
  );
  const post = posts[3] as (typeof posts)[number];
  const comment = graph.add('3_501', 'When?', { parent: post });
  const answer = graph.add('3_502', 'Tomorrow.', { parent: comment, by: graph.city });
  for (let n = 0; n < 12; n += 1) graph.add(`3_6${n}`, `more ${n}`, { parent: post });
  const run = await runOf(metaCollector(t, 'facebook', graph));
  assert.deepEqual([run.sightings.length, run.problems, run.rejected, run.coverage], [34, [], [], 'all']);
  const { kind, author, inReplyTo, threadRoot, createdAt, createdAtFrom } = run.of(answer).item;
  assert.deepEqual([kind, author.id, inReplyTo, threadRoot], ['reply', '1000', comment.id, post.id]);
  assert.deepEqual([createdAt, createdAtFrom], [answer.createdAt, 'platform']);
  assert.deepEqual([run.of(comment).item.inReplyTo, run.of(comment).item.author.id], [post.id, ANN.id]);
  assert.deepEqual(JSON.parse(Buffer.from(run.of(post).slice).toString()).message, 'post 3');
  const threads = graph.requests.filter(({ pathname }) => pathname.endsWith('/comments'));
  assert.ok(threads.every(({ searchParams: asked }) => asked.get('filter') === 'stream'));
  assert.equal(run.profile.item.author.handle, 'city');
});

test('a comment that the Page hides, and shows again, changes: each time a version, with a tag while it is hidden', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  const post = graph.add('1000_1', 'Meeting', { edge: 'published_posts' });
  const comment = graph.add('1_2', 'Shame on you', { parent: post });
  const collector = metaCollector(t, 'facebook', graph);
  const before = (await runOf(collector)).of(comment);
  comment.more = { is_hidden: true };
  const hidden = (await runOf(collector)).of(comment);
  assert.notDeepEqual(hidden.comparison, before.comparison);
  assert.deepEqual([before.item.tags, hidden.item.tags], [[], ['hidden on the platform']]);
  assert.equal(JSON.parse(Buffer.from(hidden.slice).toString()).is_hidden, true);
  comment.more = { is_hidden: false };
  assert.deepEqual((await runOf(collector)).of(comment).comparison, before.comparison);
});

test('media are known by their ids, though every answer signs their addresses anew; links are told as their author gave them', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  const photo = (id: string) => ({
    type: 'photo',
    media_type: 'photo',
    target: { id, url: `https://www.facebook.com/${id}` },
    get media() {
      return { image: { src: graph.signed(`${id}.jpg`), width: 720, height: 480 } };
    },
  });
  const album = graph.add('1000_1', 'Opening day', {
    edge: 'published_posts',
    more: {
      attachments: {
        data: [{ type: 'album', media_type: 'album', subattachments: { data: [photo('91'), photo('92')] } }],
      },
      shares: { count: 3 },
    },
  });
  const shim = (n: number): string =>
    `https://l.facebook.com/l.php?u=${encodeURIComponent('https://city.example/plan?a=1&fbclid=IwAR0')}&h=AT${n}`;
  let shimmed = 0;
  const link = graph.add('1000_2', 'Read the plan', {
    edge: 'published_posts',
    more: {
      attachments: {
        get data() {
          shimmed += 1;
          return [{ type: 'share', media_type: 'link', title: `The plan ${shimmed}`, url: shim(shimmed) }];
        },
      },
    },
  });
  const video = graph.add('2_3', '', {
    parent: link,
    more: {
      attachment: {
        type: 'video_inline',
        media_type: 'video',
        target: { id: '95' },
        media: { source: graph.signed('95.mp4'), image: { src: graph.signed('95.jpg') } },
      },
    },
  });
  const collector = metaCollector(t, 'facebook', graph);
  const [first, second] = [await runOf(collector), await runOf(collector)];
  for (const node of [album, link, video])
    assert.deepEqual(first.of(node).comparison, second.of(node).comparison, node.id);
  assert.deepEqual(first.profile.comparison, second.profile.comparison);
  assert.notEqual(first.of(album).media[0]?.url, second.of(album).media[0]?.url);
  const ids = (media: readonly MediaReference[]) => media.map((one) => [one.role, one.contentId]);
  assert.deepEqual(ids(first.of(album).media), [
    ['image', '91'],
    ['image', '92'],
  ]);
  assert.deepEqual(ids(first.of(video).media), [
    ['video', '95'],
    ['preview', '95/preview'],
  ]);
  assert.deepEqual(first.of(album).observations, { comments: 0, shares: 3 });
  assert.equal(first.of(link).item.links[0]?.url, 'https://city.example/plan?a=1');
  const folder = await mkdtemp(join(tmpdir(), 'muniment-facebook-'));
  t.after(() => rm(folder, { recursive: true }));
  const fetched = await collector.fetchMedia(first.of(album).media[0] as MediaReference, folder, never());
  assert.equal(await readFile(fetched.file, 'utf8'), 'BYTES OF 91.jpg');
});

test('between two readings of the whole, a poll asks for the newest posts and for comments where something happened', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  const posts = Array.from({ length: 250 }, (_, n) =>
    graph.add(`1000_${n}`, `post ${n}`, { edge: 'published_posts' }),
  );
  for (const post of posts.slice(-40))
    graph.add(`${post.id.slice(5)}_9${post.id.slice(5)}`, 'Aha', { parent: post });
  let now = Temporal.Instant.from(NOW);
  const collector = metaCollector(t, 'facebook', graph, { ...patient(), clock: { now: () => now } });
  const whole = await runOf(collector);
  assert.deepEqual([whole.coverage, graph.requests.length], ['all', 1 + 3 + 40]);
  const poll = async (state: (typeof whole)['state'], isLatest = true) => {
    graph.requests.length = 0;
    now = now.add({ minutes: 10 });
    const run = await runOf(collector, state, isLatest);
    return { ...run, asked: graph.requests.length };
  };
  const quiet = await poll(whole.state);
  assert.deepEqual([quiet.coverage, quiet.asked], ['recent', 2]);
  graph.add('1000_900', 'news', { edge: 'published_posts', createdAt: '2026-11-01T12:00:00+0000' });
  const stirred = graph.add('200_1', 'New here', { parent: posts[200] as (typeof posts)[number] });
  const busy = await poll(quiet.state);
  assert.deepEqual([busy.coverage, busy.asked, busy.of(stirred).item.text], ['recent', 3, 'New here']);
  assert.equal((await poll(busy.state)).asked, 2);
  (posts[249] as (typeof posts)[number]).deleted = true;
  const gone = await poll(busy.state);
  assert.equal(gone.coverage, 'recent');
  assert.equal((await poll(gone.state)).coverage, 'all', 'what is gone is looked for by the next run');
  assert.equal((await poll(busy.state, false)).coverage, 'all', 'newer content may have been captured since');
  now = now.add({ hours: 21 });
  assert.equal((await poll(busy.state)).coverage, 'all');
});

test('what is not shown is deleted only where the list in which it stood still answers; one error stands for more than deletion', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  const add = (id: string, parent?: ReturnType<typeof graph.add>) =>
    graph.add(id, id, parent === undefined ? { edge: 'published_posts' } : { parent });
  const [gone, kept, draft] = [add('1000_1'), add('1000_2'), add('1000_3')];
  const [below, comment, answer] = [add('1_11', gone), add('2_21', kept), add('2_22', kept)];
  const collector = metaCollector(t, 'facebook', graph, patient({ attempts: 1 }));
  const seen = await runOf(collector);
  const states = async (...nodes: (typeof gone)[]) =>
    (await lookUpOf(collector, seen, nodes)).map((one) => one.state);
  gone.deleted = true;
  comment.deleted = true;
  draft.more = { is_published: false };
  assert.deepEqual(await states(gone, kept, draft, below, comment, answer), [
    'deleted',
    'present',
    'hidden',
    'deleted',
    'deleted',
    'present',
  ]);
  const refusing = (edge: string, code: number, subcode: number | null) => {
    graph.instead = (url, response) => {
      if (!url.pathname.endsWith(edge)) return false;
      sendAnswer(response, graphError(code, subcode));
      return true;
    };
  };
  for (const [code, subcode] of [
    [10, null],
    [190, 460],
    [100, 33],
    [1, null],
    [4, null],
  ] as const) {
    refusing('/published_posts', code, subcode);
    assert.deepEqual(await states(gone, below), ['unknown', 'unknown'], String(code));
  }
  refusing('/comments', 10, null);
  assert.deepEqual(await states(gone, comment), ['deleted', 'unknown']);
  // The post is there: so it is a permission that lacks, and everything below the post looks deleted.
  refusing('/comments', 100, 33);
  assert.deepEqual(await states(gone, below, comment), ['deleted', 'deleted', 'unknown']);
  graph.instead = (url, response) => {
    if (!url.pathname.endsWith('_2')) return false;
    sendJson(response, { id: '1000_3', message: 'x', created_time: kept.createdAt });
    return true;
  };
  assert.deepEqual(await states(kept), ['unknown']);
});

test('comments that a token may no longer read, and that are counted all the same, are not taken for deleted', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  const posts = ['1000_1', '1000_2'].map((id) => graph.add(id, id, { edge: 'published_posts' }));
  const [comment, other] = posts.map((parent, n) => graph.add(`${n + 1}_11`, 'Why?', { parent }));
  assert.ok(comment !== undefined && other !== undefined);
  const collector = metaCollector(t, 'facebook', graph, patient({ attempts: 1 }));
  const seen = await runOf(collector);
  const states = async () => {
    await runOf(collector, null, false);
    return (await lookUpOf(collector, seen, [comment])).map((one) => one.state);
  };
  const isOf = (url: URL, id: string): boolean => url.pathname.includes(`/${id}`);
  const withoutPermission = (except: string) => (url: URL, response: Parameters<typeof graph.instead>[1]) => {
    if (isOf(url, except)) return false;
    if (isOf(url, comment.id)) sendAnswer(response, graphError(100, 33));
    else if (url.pathname.endsWith('/comments'))
      sendJson(response, { data: [], summary: { total_count: 1 } });
    else return false;
    return true;
  };
  graph.instead = withoutPermission('nothing');
  assert.deepEqual(await states(), ['unknown']);
  // A comment elsewhere is shown to the token: so this one is gone, and is counted for some time yet.
  graph.instead = withoutPermission('1000_2');
  assert.deepEqual(await states(), ['deleted']);
  graph.instead = () => false;
  comment.deleted = true;
  other.deleted = true;
  assert.deepEqual(await states(), ['deleted']);
});

test('a token goes into a header only, and into nothing that is kept, whatever the platform writes back', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  graph.pageSize = 1;
  for (const n of [1, 2]) graph.add(`1000_${n}`, `post ${n}`, { edge: 'published_posts' });
  graph.add('1_1', 'reply', {
    parent: graph.nodes[0] as (typeof graph.nodes)[number],
    more: { permalink_url: `https://www.facebook.com/x?access_token=${TOKEN}&a=b` },
  });
  graph.instead = (url, response) => {
    if (url.searchParams.get('after') === null || !url.pathname.endsWith('/published_posts')) return false;
    sendJson(response, { data: 7, paging: { next: `${graph.origin}/x?access_token=${TOKEN}` } });
    return true;
  };
  const collector = metaCollector(t, 'facebook', graph);
  const run = await runOf(collector);
  assert.deepEqual(
    [run.rejected.length, run.problems.map(({ code }) => code)],
    [1, ['not-the-expected-format']],
  );
  assert.equal(graph.authorizations[0], `Bearer ${TOKEN}`);
  assert.ok(graph.requests.every(({ href }) => !href.includes(TOKEN)));
  const kept = [...run.rejected.map(({ bytes }) => bytes), ...run.sightings.map(({ slice }) => slice)];
  for (const bytes of kept) assert.ok(!Buffer.from(bytes).includes(TOKEN));
  assert.doesNotMatch(JSON.stringify(run), new RegExp(TOKEN));
  assert.match(Buffer.from(run.rejected[0]?.bytes ?? []).toString(), /access_token=x{26}"/);
  graph.instead = () => false;
  (graph.nodes[1] as (typeof graph.nodes)[number]).deleted = true;
  const seen = await runOf(collector);
  const first = graph.nodes[0] as (typeof graph.nodes)[number];
  first.deleted = true;
  const [answer] = await lookUpOf(collector, seen, [first]);
  assert.ok(answer?.state === 'deleted' && !Buffer.from(answer.body).includes(TOKEN));
});

test('a next page at another address is never asked for: only its cursor counts', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  const other = await FakeGraph.start(t, FACEBOOK_STYLE);
  const post = graph.add('1000_1', 'post', { edge: 'published_posts' });
  let cursor: string | undefined;
  graph.instead = (url, response) => {
    if (!url.pathname.endsWith('/published_posts')) return false;
    cursor = url.searchParams.get('after') ?? undefined;
    const data = cursor === undefined ? [] : [FACEBOOK_STYLE.view(graph, post)];
    const next = `${other.origin}/v25.0/1000/published_posts?after=abc`;
    sendJson(response, { data, paging: cursor === undefined ? { next } : {} });
    return true;
  };
  const run = await runOf(metaCollector(t, 'facebook', graph));
  assert.deepEqual([cursor, run.coverage, run.sightings.length], ['abc', 'all', 1]);
  assert.deepEqual(other.requests, []);
});

test('calls are spaced out before a limit that is told in percent is reached, and a limit that is reached ends the run', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  const post = graph.add('1000_1', 'post', { edge: 'published_posts' });
  graph.add('1_2', 'comment', { parent: post });
  const usage = async (headers: Record<string, string>): Promise<number> => {
    graph.headers = headers;
    const dependencies = patient();
    await runOf(metaCollector(t, 'facebook', graph, dependencies));
    return Math.max(0, ...dependencies.slept);
  };
  const app = (percent: number) => ({
    'x-app-usage': JSON.stringify({ call_count: 12, total_time: percent, total_cputime: 3 }),
  });
  assert.equal(await usage(app(74)), 0);
  const [near, nearer, used] = [await usage(app(80)), await usage(app(95)), await usage(app(130))];
  assert.ok(near > 30_000 && nearer > near && used >= nearer && used <= 300_000, `${near} ${nearer} ${used}`);
  const page = {
    type: 'pages',
    call_count: 99,
    total_cputime: 1,
    total_time: 1,
    estimated_time_to_regain_access: 9,
  };
  const waited = await usage({ 'x-business-use-case-usage': JSON.stringify({ 1000: [page] }) });
  assert.ok(waited > 530_000 && waited <= 540_000, String(waited));
  assert.equal(await usage({ 'x-app-usage': '{"call_count":' }), 0);
  graph.headers = {};
  for (const code of [4, 17, 32, 613, 80_001]) {
    graph.instead = (url, response) => {
      if (!url.pathname.endsWith('/comments')) return false;
      sendAnswer(response, graphError(code, null, 403));
      return true;
    };
    await assert.rejects(
      runOf(metaCollector(t, 'facebook', graph)),
      (error: unknown) => error instanceof CollectError && error.problem.code === 'rate-limited',
      String(code),
    );
  }
});

test('error pages are told by their numbers: a token that expired, a permission that lacks, an account that is none', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  graph.add('1000_1', 'post', { edge: 'published_posts' });
  const collector = metaCollector(t, 'facebook', graph, patient({ attempts: 1 }));
  const codeOf = async (code: number, subcode: number | null, status: number): Promise<string> => {
    graph.instead = (_, response) => {
      sendAnswer(response, graphError(code, subcode, status, 'What went wrong,\nin words.'));
      return true;
    };
    const error = await runOf(collector).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof CollectError)) return 'none';
    return error.problem.code;
  };
  assert.equal(await codeOf(190, 463, 400), 'access-lost');
  assert.equal(await codeOf(190, 463, 200), 'access-lost');
  assert.equal(await codeOf(10, null, 403), 'access-lost');
  assert.equal(await codeOf(283, null, 403), 'access-lost');
  assert.equal(await codeOf(803, null, 404), 'account-not-found');
  assert.equal(await codeOf(100, 33, 400), 'account-not-found');
  assert.equal(await codeOf(2, null, 500), 'http-status');
  assert.equal(await codeOf(100, 2018001, 400), 'http-status');
  graph.instead = () => false;
  const { state } = await runOf(collector);
  graph.city = { ...graph.city, id: '2000' };
  await assert.rejects(runOf(collector, state), /another account/);
});

test('what Facebook never tells is said with every run, and when it names no author or shows less than it counts', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  const post = graph.add('1000_1', 'post', { edge: 'published_posts' });
  const comment = graph.add('1_2', 'comment', { parent: post });
  const collector = metaCollector(t, 'facebook', graph);
  const usual = await runOf(collector);
  assert.match(usual.gaps.join('\n'), /who hid or deleted[\s\S]*before it was edited[\s\S]*visitors/);
  assert.equal(usual.gaps.length, 3);
  comment.more = { from: undefined };
  post.more = { comments: { summary: { total_count: 3 } }, backdated_time: '2001-01-01T00:00:00+0000' };
  const less = await runOf(collector);
  assert.deepEqual([less.problems, less.coverage, less.gaps.length], [[], 'all', 5]);
  assert.match(less.gaps.join('\n'), /counts more[\s\S]*names no authors/);
  assert.equal(less.of(post).item.createdAtFrom, 'user', 'a date that the Page chose is its claim');
  const { findings } = await collector.check(never());
  assert.match(
    findings.join('\n'),
    /City of Example \(1000\)[\s\S]*published posts can be read[\s\S]*below its published posts/,
  );
});

test('a Page in the settings needs a token, by reference only, and an address that nobody on the way can read', () => {
  const settings = (rest: string, account = 'city.example') =>
    parseSettings(
      `archive: { name: A, origin: a.example, timezone: UTC }\nsources: [{ id: c, platform: facebook, account: '${account}', ${rest} }]\n`,
      'muniment.yaml',
      '/nonexistent',
      { home: null, token: null, configFolder: '/nonexistent', variables: { PAGE_TOKEN: TOKEN } },
    ).sources[0] as MetaSettings;
  const read = settings(`token: '\${PAGE_TOKEN}'`);
  assert.deepEqual([read.service, read.token.reveal()], ['https://graph.facebook.com', TOKEN]);
  assert.match(JSON.stringify(read), /"token":"\$\{PAGE_TOKEN\}"/);
  assert.throws(() => settings(''), /“token” is missing/);
  assert.throws(
    () => settings(`token: '${TOKEN}'`),
    (error: unknown) => error instanceof InputError && !error.message.includes(TOKEN),
  );
  assert.throws(() => settings(`token: 'file:t', service: 'http://graph.example'`), /https/);
  assert.throws(() => settings(`token: 'file:t'`, 'https://www.facebook.com/city'), /id of a Page/);
});

test('an id that would lead a request elsewhere is put aside, and never asked for', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  for (const id of ['..', '1/2', '\ud800', 'a?b=c']) graph.add(id, 'post', { edge: 'published_posts' });
  graph.instead = (url, response) => {
    if (!url.pathname.endsWith('/published_posts')) return false;
    sendJson(response, { data: graph.nodes.map((node) => FACEBOOK_STYLE.view(graph, node)) });
    return true;
  };
  const run = await runOf(metaCollector(t, 'facebook', graph));
  assert.deepEqual([run.rejected.length, run.sightings.length, graph.requests.length], [4, 0, 2]);
});
