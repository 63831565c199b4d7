// The Bluesky collector against a real AT Protocol network: repository server, directory and AppView.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import type { BlueskySettings } from '../../src/core/settings.ts';
import { identityOf } from '../../src/sources/bluesky/sighting.ts';
import { openBlueskyCollector } from '../../src/sources/bluesky.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import type { Collector, CollectorEvent, LookUp, Sighting } from '../../src/sources/collector.ts';
import { type AtprotoNetwork, atprotoObstacle, startAtproto } from './atproto.ts';

const obstacle = atprotoObstacle();

describe('a real AT Protocol network', { skip: obstacle ?? false, concurrency: false }, () => {
  let network: AtprotoNetwork;
  before(async () => {
    network = await startAtproto();
  });
  after(() => network[Symbol.asyncDispose]());
  const { signal } = new AbortController();

  const open = (account: string): Collector => {
    const settings: BlueskySettings = {
      id: 'x',
      platform: 'bluesky',
      schedule: null,
      confirmDates: null,
      account,
      service: network.service,
      directory: network.directory,
      repository: network.repository,
    };
    return openBlueskyCollector(settings, { clock: systemClock, limits: { spacing: 0 } });
  };
  const run = async (collector: Collector) => {
    const events: CollectorEvent[] = [];
    for await (const event of collector.collect({ state: null, isLatest: false, signal })) events.push(event);
    const pages = events.filter((event) => event.type === 'page');
    const sightings = new Map(
      pages
        .flatMap((page) => page.sightings)
        .map((one): [string, Sighting] => [one.identity.platformId, one]),
    );
    assert.deepEqual(
      pages.flatMap((page) => page.rejected),
      [],
    );
    assert.deepEqual(
      events.filter((event) => event.type === 'problem'),
      [],
    );
    return { sightings, end: events.at(-1) };
  };
  const lookUp = async (collector: Collector, uris: readonly string[]): Promise<LookUp[]> => {
    const found = new Map<string, LookUp>();
    for await (const one of collector.lookUp(uris.map(identityOf), signal))
      found.set(one.identity.platformId, one);
    return uris.map((uri) => found.get(uri) as LookUp);
  };

  test('everything an account and its public wrote is read, at any depth, with the bytes of its pictures', async (t) => {
    const city = await network.createAccount('city-one.test', 'City One');
    const ann = await network.createAccount('ann-one.test', 'Ann');
    const bytes = randomBytes(50_000);
    const image = await city.uploadBlob(bytes, 'image/png');
    const root = await city.post({
      text: 'Straße 🚧 مغلق',
      langs: ['de', 'ar'],
      embed: { $type: 'app.bsky.embed.images', images: [{ image, alt: 'a map' }] },
    });
    let parent = root;
    const replies: string[] = [];
    for (let depth = 1; depth <= 30; depth += 1) {
      parent = await (depth % 3 === 0 ? city : ann).reply(`depth ${depth}`, root, parent);
      replies.push(parent.uri);
    }
    const quote = await city.post({ text: 'see', embed: { $type: 'app.bsky.embed.record', record: root } });
    const foreign = await ann.post({ text: 'Ann’s own' });
    const repost = await city.repost(foreign);
    await ann.like(root);
    await network.settle();
    await using collector = open('city-one.test');
    assert.equal((await collector.check(signal)).account, '@city-one.test');
    const { sightings, end } = await run(collector);
    assert.deepEqual([...sightings.keys()].sort(), [root.uri, ...replies, quote.uri, repost.uri].sort());
    assert.deepEqual(end, { type: 'end', coverage: 'all', state: { account: city.did } });
    const seen = sightings.get(root.uri);
    assert.equal(seen?.item.text, 'Straße 🚧 مغلق');
    assert.equal(seen?.observations.likes, 1);
    assert.equal(sightings.get(quote.uri)?.item.quotes, root.uri);
    assert.equal(sightings.get(repost.uri)?.item.reposts, foreign.uri);
    assert.equal(sightings.get(replies[29] as string)?.item.inReplyTo, replies[28]);
    const folder = await mkdtemp(join(tmpdir(), 'muniment-media-'));
    t.after(() => rm(folder, { recursive: true }));
    const [medium] = seen?.media ?? [];
    assert.ok(medium);
    assert.deepEqual(await readFile((await collector.fetchMedia(medium, folder, signal)).file), bytes);
  });

  test('an account of more than one page is read to its end', async () => {
    const city = await network.createAccount('city-two.test', 'City Two');
    const posted: string[] = [];
    for (let number = 0; number < 230; number += 1)
      posted.push(
        (
          await city.post({
            text: `post ${number}`,
            createdAt: new Date(Date.UTC(2026, 0, 1) + number * 60_000).toISOString(),
          })
        ).uri,
      );
    await network.settle();
    await using collector = open(city.did);
    const { sightings } = await run(collector);
    assert.deepEqual([...sightings.keys()].sort(), posted.sort());
  });

  test('edits keep their address under another content id; deletions and ended accounts are told apart by direct look-ups', async () => {
    const city = await network.createAccount('city-three.test', 'City Three');
    const ann = await network.createAccount('ann-three.test', 'Ann');
    const root = await city.post({ text: 'hearing on the 17th' });
    const gone = await city.post({ text: 'posted by mistake' });
    const angry = await ann.reply('useless!', root, root);
    const leaving = await network.createAccount('bob-three.test', 'Bob');
    const left = await leaving.reply('bye', root, root);
    await network.settle();
    await using collector = open('city-three.test');
    const first = await run(collector);
    assert.equal(first.sightings.size, 4);
    await city.edit(root, { text: 'hearing on the 19th' });
    await city.remove(gone);
    await ann.remove(angry);
    await leaving.deactivate();
    await network.settle();
    const second = await run(collector);
    assert.deepEqual([...second.sightings.keys()], [root.uri]);
    assert.equal(second.sightings.get(root.uri)?.item.text, 'hearing on the 19th');
    assert.notDeepEqual(
      second.sightings.get(root.uri)?.comparison,
      first.sightings.get(root.uri)?.comparison,
    );
    const states = (await lookUp(collector, [root.uri, gone.uri, angry.uri, left.uri])).map(
      (one) => one.state,
    );
    assert.deepEqual(states, ['present', 'deleted', 'deleted', 'access-lost']);
  });

  test('an account that does not exist is not found', async () => {
    await using collector = open('nobody-here.test');
    await assert.rejects(
      collector.check(signal),
      (error: unknown) => error instanceof CollectError && error.problem.code === 'account-not-found',
    );
  });
});
