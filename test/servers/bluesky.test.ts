// The Bluesky collector against a real AT Protocol network: repository server, directory and AppView.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import type { BlueskySettings, SourceSettings } from '../../src/core/settings.ts';
import { importFile } from '../../src/operations.ts';
import { identityOf } from '../../src/sources/bluesky/sighting.ts';
import { openBlueskyCollector } from '../../src/sources/bluesky.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import type { Collector, CollectorEvent, LookUp, Sighting } from '../../src/sources/collector.ts';
import { captureFrom, testArchive, verifyArchiveOf } from '../support/archive.ts';
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
      proofs: 100,
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
  const profileOf = ({ did }: { did: string }): string => `at://${did}/app.bsky.actor.profile/self`;
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
    assert.deepEqual(
      [...sightings.keys()].sort(),
      [profileOf(city), root.uri, ...replies, quote.uri, repost.uri].sort(),
    );
    assert.ok(end?.type === 'end');
    assert.equal(end.coverage, 'all');
    assert.equal((end.state as { account: string }).account, city.did);
    const seen = sightings.get(root.uri);
    assert.equal(seen?.item.text, 'Straße 🚧 مغلق');
    assert.equal(seen?.observations.likes, 1);
    assert.equal(sightings.get(quote.uri)?.item.quotes, root.uri);
    assert.equal(sightings.get(quote.uri)?.item.quotedContentId, root.cid);
    assert.equal(sightings.get(repost.uri)?.item.reposts, foreign.uri);
    assert.equal(sightings.get(replies[29] as string)?.item.inReplyTo, replies[28]);
    const folder = await mkdtemp(join(tmpdir(), 'muniment-media-'));
    t.after(() => rm(folder, { recursive: true }));
    const [medium, proof] = seen?.media ?? [];
    assert.ok(medium);
    assert.deepEqual(await readFile((await collector.fetchMedia(medium, folder, signal)).file), bytes);
    // What the server signed leads to what was read: else nothing is kept.
    for (const uri of [root.uri, repost.uri, profileOf(city), replies[29] as string]) {
      const last = sightings.get(uri)?.media.at(-1);
      assert.equal(last?.role, 'proof', uri);
      assert.ok((await collector.fetchMedia(last, folder, signal)).length > 300);
    }
    assert.equal(proof?.role, 'proof');
    assert.deepEqual(sightings.get(replies[0] as string)?.media, []);
    const other = { ...proof, contentId: quote.cid };
    await assert.rejects(collector.fetchMedia(other, folder, signal), /has become another/);
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
    assert.deepEqual([...sightings.keys()].sort(), [profileOf(city), ...posted].sort());
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
    assert.equal(first.sightings.size, 5);
    await city.edit(root, { text: 'hearing on the 19th' });
    await city.remove(gone);
    await ann.remove(angry);
    await leaving.deactivate();
    await network.settle();
    const second = await run(collector);
    assert.deepEqual([...second.sightings.keys()], [profileOf(city), root.uri]);
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

  test('an account’s repository, as its server gives it, holds the records that were collected, and no other words of them', async (t) => {
    const city = await network.createAccount('city-four.test', 'City Four');
    const ann = await network.createAccount('ann-four.test', 'Ann');
    const image = await city.uploadBlob(randomBytes(20_000), 'image/png');
    const root = await city.post({
      text: 'Straße 🚧 مغلق',
      langs: ['de', 'ar'],
      embed: { $type: 'app.bsky.embed.images', images: [{ image, alt: 'a map' }] },
    });
    const foreign = await ann.reply('whose?', root, root);
    const answer = await city.reply('ours', root, foreign);
    const repost = await city.repost(foreign);
    await city.like(foreign);
    const gone = await city.post({ text: 'posted by mistake' });
    await city.remove(gone);
    const edited = await city.post({ text: 'hearing on the 17th' });
    await city.edit(edited, { text: 'hearing on the 19th' });
    for (let number = 0; number < 120; number += 1) await city.post({ text: `post ${number}` });
    await network.settle();

    const place = { origin: network.service, account: { handle: city.did } };
    const sources = [
      {
        id: 'city-live',
        platform: 'bluesky',
        account: city.did,
        service: network.service,
        directory: network.directory,
        repository: network.repository,
        proofs: 1000,
      },
      { id: 'city-export', platform: 'import', account: city.did },
    ];
    const folder = await mkdtemp(join(tmpdir(), 'muniment-repository-'));
    t.after(() => rm(folder, { recursive: true }));
    const repositoryOf = async (name: string) => {
      const url = new URL('/xrpc/com.atproto.sync.getRepo', network.repository);
      url.searchParams.set('did', city.did);
      const response = await fetch(url);
      assert.equal(response.status, 200);
      await writeFile(join(folder, name), Buffer.from(await response.arrayBuffer()));
      return join(folder, name);
    };
    const before = await repositoryOf('before.car');

    for (const order of ['collected first', 'imported first'] as const)
      await t.test(order, async (t) => {
        const { archive } = await testArchive(t, place, { sources });
        const live = () => {
          const source = archive.settings.sources.find(({ id }) => id === 'city-live');
          return captureFrom(archive, source as SourceSettings, {
            clock: systemClock,
            limits: { spacing: 0 },
          });
        };
        const imported = (path: string) =>
          importFile(archive, { kind: 'bluesky', path, source: 'city-export' }, { signal });
        const texts = async (uri: string) => {
          const { rows } = await archive.database.pool.query(
            'SELECT s.text FROM snapshots s JOIN record_identities i USING (record_id) WHERE i.platform_id = $1 ORDER BY s.version',
            [uri],
          );
          return (rows as { text: string }[]).map(({ text }) => text);
        };
        if (order === 'collected first') {
          const first = await live();
          assert.deepEqual([first.status, first.captured], ['complete', 126], JSON.stringify(first.errors));
          const { outcome } = await imported(before);
          assert.deepEqual(
            [outcome.status, outcome.seen, outcome.captured, outcome.changed, outcome.rejected],
            ['complete', 125, 0, 0, 0],
            JSON.stringify(outcome.errors),
          );
        } else {
          const { outcome } = await imported(before);
          assert.deepEqual(
            [outcome.status, outcome.captured, outcome.changed, outcome.rejected],
            ['complete', 125, 0, 0],
            JSON.stringify(outcome.errors),
          );
          const after = await live();
          // Somebody else's reply is new, and so is the picture's file, the one thing that changes a record; the proof comes with it.
          assert.deepEqual(
            [after.status, after.captured, after.changed, after.media],
            ['complete', 1, 1, 2],
            JSON.stringify(after.errors),
          );
        }
        const again = await live();
        assert.deepEqual([again.captured, again.changed, again.missing], [0, 0, 0]);
        for (const [uri, said] of [
          [edited.uri, ['hearing on the 19th']],
          [answer.uri, ['ours']],
          [repost.uri, ['']],
          [gone.uri, []],
        ] as const)
          assert.deepEqual(await texts(uri), said);
        assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
      });
  });

  test('an account that does not exist is not found', async () => {
    await using collector = open('nobody-here.test');
    await assert.rejects(
      collector.check(signal),
      (error: unknown) => error instanceof CollectError && error.problem.code === 'account-not-found',
    );
  });
});
