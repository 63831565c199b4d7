// What is particular to Reddit: traces of what was deleted and removed, trees of comments, and the application's token.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Secret } from '../../src/core/secret.ts';
import type { RedditSettings } from '../../src/core/settings.ts';
import type { Collector, CollectorEvent, LookUp, Sighting } from '../../src/sources/collector.ts';
import { openRedditCollector } from '../../src/sources/reddit.ts';
import { FakeReddit } from '../support/reddit.ts';
import { answering, never, patient, sendAnswer } from '../support/replay.ts';

const TOKEN = 'stage-token';

interface Stage {
  readonly fake: FakeReddit;
  readonly collector: Collector;
  readonly slept: readonly number[];
  headers: Record<string, string>;
}

async function stageOf(t: TestContext, access?: RedditSettings['access']): Promise<Stage> {
  const fake = new FakeReddit('CityOfExample', 'city');
  const { origin } = await answering(t, (request, response, url) => {
    const answer = fake.answer(url, request.headers);
    sendAnswer(response, { ...answer, headers: { ...answer.headers, ...stage.headers } });
  });
  const settings: RedditSettings = {
    id: 'city',
    schedule: null,
    confirmDates: null,
    platform: 'reddit',
    account: 'u/CityOfExample',
    service: origin,
    login: origin,
    access: access ?? { token: new Secret('file:token', () => TOKEN) },
  };
  const dependencies = patient();
  const collector = openRedditCollector(settings, dependencies);
  t.after(() => collector[Symbol.asyncDispose]());
  const stage: Stage = { fake, collector, slept: dependencies.slept, headers: {} };
  return stage;
}

async function eventsOf({ collector }: Stage): Promise<CollectorEvent[]> {
  return Array.fromAsync(collector.collect({ state: null, isLatest: true, signal: never() }));
}

function sightingsOf(events: readonly CollectorEvent[]): Map<string, Sighting> {
  const all = events.flatMap((event) => (event.type === 'page' ? event.sightings : []));
  return new Map(all.map((one) => [one.identity.platformId, one]));
}

async function lookUp(
  { collector, fake }: Stage,
  things: readonly FakeReddit['things'][number][],
): Promise<LookUp[]> {
  const identities = things.map((thing) => ({
    platform: 'reddit',
    namespace: 'fullname',
    platformId: fake.nameOf(thing),
  }));
  return Array.fromAsync(collector.lookUp(identities, never()));
}

test('what its author deleted and what a moderator removed are kept apart, and are no words of anybody', async (t) => {
  const stage = await stageOf(t);
  const { fake } = stage;
  const post = fake.add('Road closed');
  const deleted = fake.add('sorry', { parent: post, by: 'Ann' });
  const removed = fake.add('rude', { parent: post, by: 'Bob' });
  const answer = fake.add('what did you say?', { parent: deleted, by: 'Cleo' });
  fake.add('indeed', { parent: removed, by: 'Dan' });
  deleted.gone = 'by its author';
  removed.gone = 'by a moderator';
  const seen = sightingsOf(await eventsOf(stage));
  assert.deepEqual([...seen.values()].map(({ item }) => item.text).sort(), [
    'Official.',
    'Road closed',
    'indeed',
    'what did you say?',
  ]);
  assert.equal(seen.get(fake.nameOf(answer))?.item.inReplyTo, fake.nameOf(deleted));
  const found = await lookUp(stage, [deleted, removed, answer]);
  assert.deepEqual(
    found.map(({ state }) => state),
    ['deleted', 'hidden', 'present'],
  );
});

test('who writes “[deleted]” or “[removed]” is not taken for deleted, nor is what an author left who has gone', async (t) => {
  const stage = await stageOf(t);
  const { fake } = stage;
  const post = fake.add('[removed]');
  const literal = fake.add('[deleted]', { parent: post, by: 'Ann' });
  const left = fake.add('I was here', { parent: post, by: '[deleted]' });
  const seen = sightingsOf(await eventsOf(stage));
  assert.equal(seen.get(fake.nameOf(left))?.item.author.handle, null);
  assert.deepEqual(
    (await lookUp(stage, [post, literal, left])).map(({ state }) => state),
    ['present', 'present', 'present'],
  );
});

test('a post that Reddit still shows to its author after a removal bears a tag, and one that Reddit does not give is unknown', async (t) => {
  const stage = await stageOf(t);
  const { fake } = stage;
  const post = fake.add('Still here for me', { more: { removed_by_category: 'moderator' } });
  const seen = sightingsOf(await eventsOf(stage));
  assert.deepEqual(seen.get(fake.nameOf(post))?.item.tags, ['hidden on the platform']);
  fake.things.pop();
  const [found] = await lookUp(stage, [post]);
  assert.equal(found?.state, 'unknown');
});

test('each comment of a tree is kept in bytes that hold nobody else’s words', async (t) => {
  const stage = await stageOf(t);
  const { fake } = stage;
  let above = fake.add('Ask us anything');
  for (let n = 0; n < 25; n += 1) above = fake.add(`word-${n}.`, { parent: above, by: 'Ann' });
  const seen = [...sightingsOf(await eventsOf(stage)).values()].filter(({ item }) => item.kind === 'reply');
  assert.equal(seen.length, 25);
  for (const { slice, item } of seen) {
    const bytes = Buffer.from(slice).toString('utf8');
    assert.deepEqual(bytes.match(/word-\d+\./g), [item.text]);
  }
});

test('the account’s answers to others are read with what is below them, and an edit tells its time', async (t) => {
  const stage = await stageOf(t);
  const { fake } = stage;
  const other = fake.add('Is the pool open?', { by: 'Ann' });
  const answer = fake.add('Yes, from noon', { parent: other });
  const thanks = fake.add('Thanks!', { parent: answer, by: 'Ann' });
  fake.add('Elsewhere in the thread', { parent: other, by: 'Bob' });
  const first = sightingsOf(await eventsOf(stage));
  assert.ok(first.has(fake.nameOf(thanks)));
  assert.ok(![...first.values()].some(({ item }) => item.text === 'Elsewhere in the thread'));
  fake.edit(answer, 'Yes, from one');
  const [before, after] = [first, sightingsOf(await eventsOf(stage))].map((seen) =>
    seen.get(fake.nameOf(answer)),
  );
  assert.deepEqual(before?.comparison, { text: 'Yes, from noon', edited: null });
  assert.deepEqual(after?.comparison, { text: 'Yes, from one', edited: answer.edited });
});

test('an application gets a token, gets another when that is no longer taken, and shows neither', async (t) => {
  const clientId = new Secret('file:id', () => 'id');
  const stage = await stageOf(t, { clientId, clientSecret: new Secret('file:secret', () => 'secret') });
  const { fake } = stage;
  fake.add('Hello');
  assert.equal(sightingsOf(await eventsOf(stage)).size, 2);
  fake.token = 'another-token';
  const events = await eventsOf(stage);
  assert.equal(sightingsOf(events).size, 2);
  const asked = fake.requests.filter(({ pathname }) => pathname === '/api/v1/access_token');
  assert.equal(asked.length, 2);
  assert.doesNotMatch(JSON.stringify(events), /stage-token|another-token|secret/);
});

test('an application that is not known is told to see its id and secret', async (t) => {
  const wrong = new Secret('file:wrong', () => 'wrong');
  const stage = await stageOf(t, { clientId: wrong, clientSecret: wrong });
  await assert.rejects(eventsOf(stage), /gave no access token/);
});

test('a minute whose calls are used up is waited out by the seconds that Reddit tells', async (t) => {
  const stage = await stageOf(t);
  stage.headers = { 'x-ratelimit-remaining': '0.0', 'x-ratelimit-reset': '13', 'x-ratelimit-used': '100' };
  await eventsOf(stage);
  assert.ok(
    stage.slept.some((wait) => wait > 12_000 && wait <= 13_000),
    String(stage.slept),
  );
});

test('a suspended account is told as such, and nothing is read', async (t) => {
  const stage = await stageOf(t);
  stage.fake.suspended = true;
  await assert.rejects(eventsOf(stage), /suspended/);
});
