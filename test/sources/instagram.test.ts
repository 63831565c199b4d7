// What is particular to Instagram, against answers built from its published reference.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSettings } from '../../src/config.ts';
import type { MetaSettings } from '../../src/core/settings.ts';
import { ANN, FakeGraph, graphError, INSTAGRAM_STYLE } from '../support/graph.ts';
import { lookUpOf, metaCollector, runOf, TOKEN } from '../support/meta.ts';
import { jsonAnswer, never, patient, sendAnswer } from '../support/replay.ts';

type Node = ReturnType<FakeGraph['add']>;

test('posts, stories, comments and the answers to comments are read to the ends of their lists, each with what it answers', async (t) => {
  const graph = await FakeGraph.start(t, INSTAGRAM_STYLE);
  graph.pageSize = 3;
  const posts = Array.from({ length: 8 }, (_, n) => graph.add(`1${n}`, `post ${n}`, { edge: 'media' }));
  const story = graph.add('20', 'Open today', { edge: 'stories' });
  const post = posts[2] as Node;
  const comments = Array.from({ length: 7 }, (_, n) => graph.add(`3${n}`, `comment ${n}`, { parent: post }));
  const comment = comments[4] as Node;
  const answers = Array.from({ length: 5 }, (_, n) =>
    graph.add(`4${n}`, `answer ${n}`, { parent: comment, by: n === 0 ? graph.city : ANN }),
  );
  const collector = metaCollector(t, 'instagram', graph);
  const run = await runOf(collector);
  assert.deepEqual([run.sightings.length, run.problems, run.rejected, run.coverage], [21, [], [], 'all']);
  assert.deepEqual([run.of(post).item.kind, run.of(story).item.kind], ['post', 'story']);
  const { kind, inReplyTo, threadRoot, author } = run.of(answers[0] as Node).item;
  assert.deepEqual([kind, inReplyTo, threadRoot, author.id], ['reply', comment.id, post.id, graph.city.id]);
  assert.deepEqual([run.of(comment).item.inReplyTo, run.of(comment).item.author.handle], [post.id, 'ann']);
  assert.doesNotMatch(
    Buffer.from(run.of(comment).slice).toString(),
    /answer \d/,
    'the bytes of a comment hold nobody else’s words',
  );
  assert.deepEqual(run.of(post).observations, { likes: 1, comments: 12 });
  assert.deepEqual(run.profile.observations, { followers: 12, follows: 3, posts: 8 });
  assert.deepEqual(
    [run.profile.item.author.handle, run.profile.item.links[0]?.url],
    ['city', 'https://city.example/'],
  );
  assert.deepEqual(run.reported, { posts: 8, 'posts listed': 8 });
  const asked = graph.requests.filter(({ pathname }) => /comments|replies/.test(pathname));
  assert.equal(asked.length, 3 + 2, 'only comments that have answers are asked for them');
  assert.match(run.gaps.join('\n'), /who hid or deleted[\s\S]*before it was edited[\s\S]*10,000 posts/);
  const { findings } = await collector.check(never());
  assert.match(findings.join('\n'), /its media can be read[\s\S]*its stories can be read/);
});

test('a comment that the account hides, and comments that it turns off, are versions: with a tag while hidden', async (t) => {
  const graph = await FakeGraph.start(t, INSTAGRAM_STYLE);
  const post = graph.add('1', 'Meeting', { edge: 'media' });
  const comment = graph.add('2', 'Shame on you', { parent: post });
  const collector = metaCollector(t, 'instagram', graph);
  const before = await runOf(collector);
  comment.more = { hidden: true };
  post.more = { is_comment_enabled: false };
  const after = await runOf(collector);
  for (const node of [post, comment])
    assert.notDeepEqual(after.of(node).comparison, before.of(node).comparison);
  assert.deepEqual(
    [before, after].map((run) => run.of(comment).item.tags),
    [[], ['hidden on the platform']],
  );
  comment.more = { hidden: false };
  assert.deepEqual((await runOf(collector)).of(comment).comparison, before.of(comment).comparison);
  graph.instead = (url, response) => {
    if (!url.pathname.endsWith('/comments')) return false;
    sendAnswer(response, { status: 200, headers: {}, body: Buffer.from('{"data":[]}') });
    return true;
  };
  comment.more = { hidden: true };
  const [found] = await lookUpOf(collector, before, [comment]);
  assert.ok(found?.state === 'present', 'what the account alone still sees is there');
  assert.deepEqual(found.sighting?.item.tags, ['hidden on the platform']);
});

test('each picture and video of a carousel is kept with its alt text, and a reel with its cover; addresses that are signed anew change nothing', async (t) => {
  const graph = await FakeGraph.start(t, INSTAGRAM_STYLE);
  const medium = (id: string, type: string, alt: string | null) => ({
    id,
    media_type: type,
    ...(alt === null ? {} : { alt_text: alt }),
    ...(type === 'VIDEO' ? { thumbnail_url: graph.signed(`${id}.jpg`) } : {}),
    get media_url() {
      return graph.signed(`${id}.bin`);
    },
  });
  const children = { data: [medium('91', 'IMAGE', 'A map'), medium('92', 'VIDEO', null)] };
  const carousel = graph.add('1', 'Plan', {
    edge: 'media',
    more: { media_type: 'CAROUSEL_ALBUM', children },
  });
  const { id: _, ...video } = medium('2', 'VIDEO', null);
  const reel = graph.add('2', 'Watch', { edge: 'media', more: { ...video, media_product_type: 'REELS' } });
  const collector = metaCollector(t, 'instagram', graph);
  const [first, second] = [await runOf(collector), await runOf(collector)];
  for (const node of [carousel, reel])
    assert.deepEqual(first.of(node).comparison, second.of(node).comparison);
  assert.deepEqual(first.profile.comparison, second.profile.comparison);
  assert.notEqual(first.of(carousel).media[0]?.url, second.of(carousel).media[0]?.url);
  const media = (node: Node) => first.of(node).media.map((one) => [one.role, one.contentId, one.alt]);
  assert.deepEqual(media(carousel), [
    ['image', '91', 'A map'],
    ['video', '92', null],
    ['preview', '92/preview', null],
  ]);
  assert.deepEqual(media(reel), [
    ['video', '2', null],
    ['preview', '2/preview', null],
  ]);
  children.data[0] = medium('91', 'IMAGE', 'A map of the harbour');
  reel.more = { ...reel.more, media_url: undefined };
  const third = await runOf(collector);
  assert.notDeepEqual(third.of(carousel).comparison, first.of(carousel).comparison, 'an alt text is content');
  assert.deepEqual(
    third.of(reel).comparison,
    first.of(reel).comparison,
    'a file that is withheld is no edit',
  );
});

test('a story that ended by itself is no deletion, by whichever clock; one that was taken down before is', async (t) => {
  const graph = await FakeGraph.start(t, INSTAGRAM_STYLE);
  let now = Temporal.Instant.from('2026-11-01T12:00:00Z');
  const tick = (hours: number): void => {
    now = now.add({ hours });
    graph.headers = { date: new Date(now.epochMilliseconds).toUTCString() };
  };
  tick(0);
  const add = (id: string) => graph.add(id, id, { edge: 'stories', createdAt: '2026-11-01T11:00:00+0000' });
  const [ended, taken] = [add('1'), add('2')];
  const below = graph.add('3', 'Nice', { parent: ended });
  const collector = metaCollector(t, 'instagram', graph, { ...patient(), clock: { now: () => now } });
  const seen = await runOf(collector);
  assert.deepEqual([seen.sightings.length, seen.coverage], [3, 'all']);
  tick(2);
  taken.deleted = true;
  const noticed = await runOf(collector, seen.state);
  assert.equal(noticed.coverage, 'recent');
  tick(6);
  const whole = await runOf(collector, noticed.state);
  assert.equal(whole.coverage, 'all', 'what is gone is looked for by the next run');
  const states = async (...nodes: Node[]) =>
    (await lookUpOf(collector, seen, nodes)).map(({ state }) => state);
  assert.deepEqual(await states(taken, ended, below), ['deleted', 'present', 'present']);
  tick(13);
  const before = await runOf(collector, whole.state);
  tick(2);
  for (const node of [ended, below]) node.deleted = true;
  const after = await runOf(collector, before.state);
  assert.equal(after.coverage, 'recent');
  const next = await runOf(collector, after.state);
  assert.equal(next.coverage, 'recent', 'the end of a story is no reason to read all again');
  assert.deepEqual(await states(ended, below), ['hidden', 'hidden']);
  now = now.subtract({ hours: 5 });
  assert.deepEqual(await states(ended), ['hidden'], 'the platform’s clock counts where ours is slow');
  graph.headers = { date: new Date(now.epochMilliseconds).toUTCString() };
  assert.deepEqual(await states(ended), ['deleted']);
});

test('what is not shown is deleted only where the nearest list above it that is still there answers', async (t) => {
  const graph = await FakeGraph.start(t, INSTAGRAM_STYLE);
  const [gone, kept] = [graph.add('1', 'a', { edge: 'media' }), graph.add('2', 'b', { edge: 'media' })];
  const under = graph.add('11', 'c', { parent: gone });
  const comment = graph.add('21', 'd', { parent: kept });
  const answer = graph.add('22', 'e', { parent: comment });
  const [other, single] = [graph.add('23', 'f', { parent: kept }), graph.add('24', 'g', { parent: comment })];
  const collector = metaCollector(t, 'instagram', graph, patient({ attempts: 1 }));
  const seen = await runOf(collector);
  const states = async (...nodes: Node[]) =>
    (await lookUpOf(collector, seen, nodes)).map(({ state }) => state);
  single.deleted = true;
  assert.deepEqual(await states(single, answer), ['deleted', 'present']);
  for (const node of [gone, comment]) node.deleted = true;
  assert.deepEqual(await states(gone, under, kept, comment, answer, other), [
    // A post may have been archived as well.
    'access-lost',
    'access-lost',
    'present',
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
  refusing('/media', 100, 33);
  assert.deepEqual(await states(gone, under), ['unknown', 'unknown']);
  for (const code of [10, 190, 200]) {
    refusing('/2/comments', code, null);
    assert.deepEqual(await states(comment, answer), ['unknown', 'unknown'], String(code));
  }
});

test('what was captured when it was asked for by itself is found again by what it says of its place', async (t) => {
  const graph = await FakeGraph.start(t, INSTAGRAM_STYLE);
  const post = graph.add('1', 'a', { edge: 'media' });
  const comment = graph.add('2', 'b', { parent: post });
  const answer = graph.add('3', 'c', { parent: comment });
  const collector = metaCollector(t, 'instagram', graph);
  const seen = await runOf(collector);
  const alone = [];
  for (const found of await lookUpOf(collector, seen, [post, comment, answer])) {
    assert.ok(found.state === 'present' && found.sighting !== null);
    assert.deepEqual(found.sighting.item, seen.of({ id: found.identity.platformId }).item);
    alone.push(found.sighting);
  }
  for (const node of [post, comment, answer]) node.deleted = true;
  const again = { ...seen, sightings: alone };
  const states = (await lookUpOf(collector, again, [post, comment, answer])).map(({ state }) => state);
  assert.deepEqual(states, ['access-lost', 'access-lost', 'access-lost']);
});

test('an account is read as a list of one, too, as the published example of the token’s own account shows it', async (t) => {
  const graph = await FakeGraph.start(t, INSTAGRAM_STYLE);
  graph.instead = (url, response) => {
    if (!url.pathname.endsWith('/me')) return false;
    sendAnswer(response, jsonAnswer({ data: [INSTAGRAM_STYLE.profile(graph)] }));
    return true;
  };
  const { profile, coverage } = await runOf(metaCollector(t, 'instagram', graph));
  assert.deepEqual([coverage, profile.identity.platformId], ['all', graph.city.id]);
  assert.equal(JSON.parse(Buffer.from(profile.slice).toString()).username, 'city');
});

test('a poll of an account in which nothing happens asks three times', async (t) => {
  const graph = await FakeGraph.start(t, INSTAGRAM_STYLE);
  for (let n = 0; n < 250; n += 1) {
    const post = graph.add(`1${n}`, `post ${n}`, { edge: 'media' });
    if (n > 240) graph.add(`2${n}`, 'Aha', { parent: post });
  }
  graph.add('3', 'story', { edge: 'stories' });
  const collector = metaCollector(t, 'instagram', graph);
  const whole = await runOf(collector);
  graph.requests.length = 0;
  const quiet = await runOf(collector, whole.state);
  assert.deepEqual([whole.coverage, quiet.coverage, graph.requests.length], ['all', 'recent', 3]);
});

test('an account in the settings is the token’s own or an id, and its token a reference', () => {
  const settings = (account: string) =>
    parseSettings(
      `archive: { name: A, origin: a.example, timezone: UTC }\nsources: [{ id: c, platform: instagram, account: ${account}, token: '\${IG_TOKEN}' }]\n`,
      'muniment.yaml',
      '/nonexistent',
      { home: null, token: null, configFolder: '/nonexistent', variables: { IG_TOKEN: TOKEN } },
    ).sources[0] as MetaSettings;
  assert.deepEqual(
    [settings('me').service, settings("'17841405822304914'").token.reveal()],
    ['https://graph.instagram.com', TOKEN],
  );
  assert.throws(() => settings('cityofexample'), /must be me/);
});
