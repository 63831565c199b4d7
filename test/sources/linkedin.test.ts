// What is particular to LinkedIn: its version, its own way to write text, media by name, and comments that go with what they stand below.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Secret } from '../../src/core/secret.ts';
import type { Collector, LookUp, Sighting } from '../../src/sources/collector.ts';
import { openLinkedinCollector } from '../../src/sources/linkedin.ts';
import { FakeLinkedin, type FakeShare } from '../support/linkedin.ts';
import { answering, never, patient, sendAnswer } from '../support/replay.ts';

interface Stage {
  readonly fake: FakeLinkedin;
  readonly collector: Collector;
}

async function stageOf(t: TestContext, account = 'city'): Promise<Stage> {
  const fake = new FakeLinkedin(77);
  const { origin } = await answering(t, (request, response, url) => {
    sendAnswer(response, fake.answer(url, request.headers));
  });
  const collector = openLinkedinCollector(
    {
      id: 'city',
      schedule: null,
      confirmDates: null,
      platform: 'linkedin',
      account,
      service: origin,
      token: new Secret('file:token', () => 'stage-token'),
      version: '202601',
    },
    patient(),
  );
  t.after(() => collector[Symbol.asyncDispose]());
  return { fake, collector };
}

async function seenBy({ collector }: Stage): Promise<Map<string, Sighting>> {
  const events = await Array.fromAsync(collector.collect({ state: null, isLatest: true, signal: never() }));
  const all = events.flatMap((event) => (event.type === 'page' ? event.sightings : []));
  return new Map(all.map((one) => [one.identity.platformId, one]));
}

function lookUp(
  { fake, collector }: Stage,
  shares: readonly FakeShare[],
  threadRoot: string,
): Promise<LookUp[]> {
  const identities = shares.map((one) => ({
    platform: 'linkedin',
    namespace: 'urn',
    platformId: fake.urnOf(one),
  }));
  const last = { slice: Buffer.from('{}'), url: 'https://api.linkedin.com', threadRoot };
  return Array.fromAsync(collector.lookUp(identities, never(), async () => last));
}

test('an organisation is found by its name or its number, with the month of the API in every request', async (t) => {
  for (const account of ['city', '77']) {
    const stage = await stageOf(t, account);
    assert.deepEqual([...(await seenBy(stage)).keys()], ['urn:li:organization:77']);
    assert.ok(stage.fake.requests.every(({ headers }) => headers['linkedin-version'] === '202601'));
  }
  await assert.rejects(seenBy(await stageOf(t, 'nobody')), /knows no organisation nobody/);
});

test('text is read as people see it, with tags, and media by their names and alternative texts', async (t) => {
  const stage = await stageOf(t);
  const images = [{ id: 'urn:li:image:A1', altText: 'A pool' }];
  const written = String.raw`Hello \(all\) @[Ann](urn:li:person:1) {hashtag|\#|pool}`;
  const post = stage.fake.add(written, undefined, { content: { multiImage: { images } } });
  const sighting = (await seenBy(stage)).get(stage.fake.urnOf(post));
  assert.equal(sighting?.item.text, 'Hello (all) @Ann #pool');
  assert.deepEqual(sighting?.item.tags, ['pool']);
  assert.deepEqual(
    sighting?.media.map(({ url, alt, contentId }) => [url, alt, contentId]),
    [['https://media.example/urn:li:image:A1?signed=1', 'A pool', 'urn:li:image:A1']],
  );
});

test('a deleted comment, and one whose post was deleted, are deleted; one whose post is there without its comments is unknown', async (t) => {
  const stage = await stageOf(t);
  const { fake } = stage;
  const post = fake.add('Ask us');
  const comment = fake.add('Why?', post);
  const answer = fake.add('Because', comment);
  const seen = await seenBy(stage);
  assert.equal(seen.get(fake.urnOf(answer))?.item.inReplyTo, fake.urnOf(comment));
  comment.deleted = true;
  const states = async (shares: readonly FakeShare[], root = fake.urnOf(post)): Promise<string[]> =>
    (await lookUp(stage, shares, root)).map(({ state }) => state);
  assert.deepEqual(await states([post, comment, answer]), ['present', 'deleted', 'deleted']);
  post.deleted = true;
  assert.deepEqual(await states([post, answer]), ['deleted', 'deleted']);
  fake.isAdministered = false;
  assert.deepEqual(await states([post]), ['unknown'], 'to whom the page is closed nothing is deleted');
  fake.isAdministered = true;
  const other = fake.add('Another post');
  assert.deepEqual(await states([answer], fake.urnOf(other)), ['unknown']);
});
