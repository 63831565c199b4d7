// What is particular to Threads, against answers built from its published reference.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ANN, FakeGraph, THREADS_STYLE } from '../support/graph.ts';
import { lookUpOf, metaCollector, runOf } from '../support/meta.ts';
import { never } from '../support/replay.ts';

test('posts, conversations of every depth, and the account’s replies elsewhere with what stands below them, by cursors alone', async (t) => {
  const graph = await FakeGraph.start(t, THREADS_STYLE);
  graph.tellsNext = false;
  graph.pageSize = 3;
  const posts = Array.from({ length: 8 }, (_, n) => graph.add(`1${n}`, `post ${n}`, { edge: 'threads' }));
  let above = posts[0] as (typeof posts)[number];
  const chain = Array.from({ length: 7 }, (_, n) => {
    above = graph.add(`2${n}`, `depth ${n}`, { parent: above, by: n % 2 === 0 ? ANN : graph.city });
    return above;
  });
  const elsewhere = graph.add('31', 'Thank you.', {
    edge: 'replies',
    more: { root_post: { id: '900' }, replied_to: { id: '901' } },
  });
  const below = graph.add('32', 'Welcome', { parent: graph.add('33', 'Sure', { parent: elsewhere }) });
  const collector = metaCollector(t, 'threads', graph);
  const run = await runOf(collector);
  assert.deepEqual([run.sightings.length, run.problems, run.rejected, run.coverage], [18, [], [], 'all']);
  const deepest = run.of(chain[6] as (typeof chain)[number]).item;
  assert.deepEqual(
    [deepest.kind, deepest.inReplyTo, deepest.threadRoot, deepest.author.handle],
    ['reply', '25', '10', 'ann'],
  );
  const { kind, inReplyTo, threadRoot, author } = run.of(elsewhere).item;
  assert.deepEqual([kind, inReplyTo, threadRoot, author.id], ['reply', '901', '900', graph.city.id]);
  assert.equal(run.of(below).item.inReplyTo, '33');
  const asked = graph.requests.filter(({ pathname }) => pathname.endsWith('/conversation'));
  assert.ok(asked.length > 2 && asked.every(({ searchParams }) => searchParams.get('reverse') === 'false'));
  assert.match(run.gaps.join('\n'), /who hid a reply[\s\S]*before it was edited[\s\S]*counts no replies/);
  const { findings } = await collector.check(never());
  assert.match(findings.join('\n'), /its threads can be read[\s\S]*below its threads can be read/);
});

test('a reply that is hidden, and shown again, has another state each time', async (t) => {
  const graph = await FakeGraph.start(t, THREADS_STYLE);
  const reply = graph.add('2', 'Shame', { parent: graph.add('1', 'Meeting', { edge: 'threads' }) });
  const collector = metaCollector(t, 'threads', graph);
  const seen = [];
  for (const status of ['NOT_HUSHED', 'HIDDEN', 'UNHUSHED', 'BLOCKED']) {
    reply.more = { hide_status: status };
    seen.push((await runOf(collector)).of(reply));
  }
  assert.equal(new Set(seen.map(({ comparison }) => JSON.stringify(comparison))).size, 4);
  assert.deepEqual(
    seen.map(({ item }) => item.tags.length),
    [0, 1, 0, 1],
  );
});

test('a long text, a poll, a link, media with alt texts, a quote and a repost are told', async (t) => {
  const graph = await FakeGraph.start(t, THREADS_STYLE);
  const child = (id: string, type: string) => ({
    id,
    media_type: type,
    alt_text: `alt ${id}`,
    get media_url() {
      return graph.signed(`${id}.bin`);
    },
  });
  const rich = graph.add('1', 'Vote', {
    edge: 'threads',
    more: {
      media_type: 'CAROUSEL_ALBUM',
      children: { data: [child('91', 'IMAGE'), child('92', 'VIDEO')] },
      text_attachment: { plaintext: 'At length.' },
      poll_attachment: { option_a: 'Yes', option_b: 'No' },
      link_attachment_url: 'https://l.threads.com/?u=https%3A%2F%2Fcity.example%2Fplan&e=AT1',
      topic_tag: 'water',
      quoted_post: { id: '800' },
    },
  });
  const repost = graph.add('2', '', {
    edge: 'threads',
    more: { media_type: 'REPOST_FACADE', reposted_post: { id: '801' } },
  });
  const collector = metaCollector(t, 'threads', graph);
  const [first, second] = [await runOf(collector), await runOf(collector)];
  assert.deepEqual(first.of(rich).comparison, second.of(rich).comparison);
  assert.deepEqual(first.profile.comparison, second.profile.comparison);
  const { item, media } = first.of(rich);
  assert.equal(item.text, 'Vote\n\nAt length.\n\n• Yes\n• No');
  assert.deepEqual(
    [item.links[0]?.url, item.tags, item.quotes],
    ['https://city.example/plan', ['water'], '800'],
  );
  assert.deepEqual(
    media.map((one) => [one.role, one.contentId, one.alt]),
    [
      ['image', '91', 'alt 91'],
      ['video', '92', 'alt 92'],
    ],
  );
  assert.deepEqual([first.of(repost).item.kind, first.of(repost).item.reposts], ['repost', '801']);
});

test('what is gone is told for deleted where its conversation, or the account’s list, still answers', async (t) => {
  const graph = await FakeGraph.start(t, THREADS_STYLE);
  const post = graph.add('1', 'post', { edge: 'threads' });
  const [reply, other] = [graph.add('2', 'a', { parent: post }), graph.add('3', 'b', { parent: post })];
  const elsewhere = graph.add('4', 'c', { edge: 'replies' });
  const collector = metaCollector(t, 'threads', graph);
  const seen = await runOf(collector);
  for (const node of [reply, elsewhere]) node.deleted = true;
  const states = async () =>
    (await lookUpOf(collector, seen, [post, reply, other, elsewhere])).map(({ state }) => state);
  assert.deepEqual(await states(), ['present', 'deleted', 'present', 'deleted']);
  graph.instead = (url, response) => {
    if (!/conversation|replies/.test(url.pathname)) return false;
    response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"code":10}}');
    return true;
  };
  assert.deepEqual(await states(), ['present', 'unknown', 'present', 'unknown']);
});
