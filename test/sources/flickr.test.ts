// What is particular to Flickr: the key in addresses, what was deleted and what was made private, comments that come all at once.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Secret } from '../../src/core/secret.ts';
import type { Collector, CollectorEvent, LookUp, Sighting } from '../../src/sources/collector.ts';
import { openFlickrCollector } from '../../src/sources/flickr.ts';
import { FakeFlickr, type FakePhoto } from '../support/flickr.ts';
import { answering, never, patient, sendAnswer } from '../support/replay.ts';

interface Stage {
  readonly fake: FakeFlickr;
  readonly collector: Collector;
}

async function stageOf(t: TestContext, account = 'city'): Promise<Stage> {
  const fake = new FakeFlickr(77);
  const { origin } = await answering(t, (_, response, url) => sendAnswer(response, fake.answer(url)));
  const key = new Secret('file:key', () => 'stage-token');
  const settings = {
    id: 'city',
    schedule: null,
    confirmDates: null,
    platform: 'flickr',
    account,
    service: origin,
    key,
  } as const;
  const collector = openFlickrCollector(settings, patient());
  t.after(() => collector[Symbol.asyncDispose]());
  return { fake, collector };
}

const eventsOf = ({ collector }: Stage): Promise<CollectorEvent[]> =>
  Array.fromAsync(collector.collect({ state: null, isLatest: true, signal: never() }));

async function seenBy(stage: Stage): Promise<Map<string, Sighting>> {
  const all = (await eventsOf(stage)).flatMap((event) => (event.type === 'page' ? event.sightings : []));
  return new Map(all.map((one) => [one.identity.platformId, one]));
}

async function statesOf(
  { fake, collector }: Stage,
  photos: readonly FakePhoto[],
): Promise<LookUp['state'][]> {
  const identities = photos.map((one) => ({
    platform: 'flickr',
    namespace: 'id',
    platformId: fake.idOf(one),
  }));
  const lookUps = collector.lookUp(identities, never(), async ({ platformId }) => {
    const parent = photos.find((one) => fake.idOf(one) === platformId)?.parent;
    const threadRoot = parent === undefined ? null : fake.idOf(parent);
    return { slice: Buffer.from('{}'), url: 'https://api.flickr.com', threadRoot };
  });
  return (await Array.fromAsync(lookUps)).map(({ state }) => state);
}

test('an account is found by its name or its number; photos come with the largest picture, comments with who wrote them', async (t) => {
  for (const account of ['city', '77@N05']) {
    const stage = await stageOf(t, account);
    const pictures = { url_z: 'https://live.example/1_z.jpg', url_o: 'https://live.example/1_o.jpg' };
    const photo = stage.fake.add('The <b>new</b> pool', undefined, { ...pictures, tags: 'pool summer' });
    const comment = stage.fake.add('When does it <i>open</i>?', photo);
    const seen = await seenBy(stage);
    const { item, media } = seen.get(stage.fake.idOf(photo)) as Sighting;
    assert.deepEqual([item.title, item.text, item.tags], ['A photo', 'The new pool', ['pool', 'summer']]);
    assert.deepEqual(
      media.map(({ url, contentId }) => [url, contentId]),
      [[pictures.url_o, '/1_o.jpg']],
    );
    const below = seen.get(stage.fake.idOf(comment))?.item;
    assert.deepEqual(
      [below?.text, below?.author.name, below?.inReplyTo],
      ['When does it open?', 'ann', stage.fake.idOf(photo)],
    );
    assert.equal(seen.get('77@N05')?.item.kind, 'profile');
  }
  await assert.rejects(seenBy(await stageOf(t, 'nobody')), /knows no account nobody/);
});

test('the key stands in no address that is kept, and in no word that is said', async (t) => {
  const stage = await stageOf(t);
  stage.fake.add('One');
  assert.doesNotMatch(JSON.stringify(await eventsOf(stage)), /stage-token/);
  stage.fake.key = 'another';
  await assert.rejects(eventsOf(stage), ({ message, problem }: Error & { problem: { code: string } }) => {
    assert.doesNotMatch(message, /stage-token/);
    return problem.code === 'access-lost';
  });
});

test('a photo that is not found may be private: nothing of it is said to be deleted; a comment is, where all that is counted is shown', async (t) => {
  const stage = await stageOf(t);
  const { fake } = stage;
  const [kept, deleted, hidden] = ['kept', 'deleted', 'hidden'].map((text) => fake.add(text)) as [
    FakePhoto,
    FakePhoto,
    FakePhoto,
  ];
  const [there, gone, below] = [fake.add('a', kept), fake.add('b', kept), fake.add('c', hidden)];
  await seenBy(stage);
  deleted.deleted = true;
  hidden.private = true;
  gone.deleted = true;
  assert.deepEqual(await statesOf(stage, [kept, deleted, hidden]), ['present', 'access-lost', 'access-lost']);
  assert.deepEqual(await statesOf(stage, [there, gone, below]), ['present', 'deleted', 'access-lost']);
  fake.withheld = 1;
  assert.deepEqual(await statesOf(stage, [gone]), ['unknown']);
});
