// What the archive keeps of a Facebook Page: what the Page hides as versions, and media once, however often their addresses change.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect } from '../../src/operations.ts';
import { FakePlatform } from '../support/appview.ts';
import { testArchive, verifyArchiveOf } from '../support/archive.ts';
import { FACEBOOK_STYLE, FakeGraph } from '../support/graph.ts';
import { metaSettings } from '../support/meta.ts';
import { never } from '../support/replay.ts';

test('a comment that is hidden and shown again has three versions, and its picture was fetched and kept once', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  await using platform = await FakePlatform.start();
  const { archive } = await testArchive(t, platform);
  const post = graph.add('1000_1', 'Meeting on the 7th', { edge: 'published_posts' });
  const comment = graph.add('1_2', 'Shame on you', { parent: post });
  const attachment = {
    media_type: 'photo',
    target: { id: '91' },
    get media() {
      return { image: { src: graph.signed('91.jpg') } };
    },
  };
  const run = async (isHidden: boolean) => {
    comment.more = { is_hidden: isHidden, attachment };
    // Before the day is over only young posts and new comments are read.
    post.more = { updated_time: new Date().toISOString() };
    return collect(archive, { ...metaSettings('facebook', graph.origin), id: 'page' }, { signal: never() });
  };
  const first = await run(false);
  assert.deepEqual([first.status, first.captured, first.media], ['complete', 3, 2]);
  const media = () => graph.requests.filter(({ pathname }) => pathname.startsWith('/media/')).length;
  assert.equal(media(), 2);
  assert.equal((await run(false)).changed, 0);
  assert.equal((await run(true)).changed, 1);
  assert.equal((await run(false)).changed, 1);
  assert.equal(media(), 2);
  const versions = await archive.database.db
    .selectFrom('snapshots as s')
    .innerJoin('record_identities as i', 'i.record_id', 's.record_id')
    .select(['s.text', 's.tags'])
    .where('i.platform_id', '=', comment.id)
    .orderBy('s.version')
    .execute();
  assert.deepEqual(versions, [
    { text: 'Shame on you', tags: [] },
    { text: 'Shame on you', tags: ['hidden on the platform'] },
    { text: 'Shame on you', tags: [] },
  ]);
  await archive.checkpoint();
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('a picture that was taken away and put back is kept once', async (t) => {
  const graph = await FakeGraph.start(t, FACEBOOK_STYLE);
  await using platform = await FakePlatform.start();
  const { archive } = await testArchive(t, platform);
  const post = graph.add('1000_1', 'Opening day', { edge: 'published_posts' });
  const photo = {
    media_type: 'photo',
    target: { id: '91' },
    media: { image: { src: graph.signed('91.jpg') } },
  };
  const run = (data: readonly object[]) => {
    post.more = { attachments: { data } };
    return collect(archive, { ...metaSettings('facebook', graph.origin), id: 'page' }, { signal: never() });
  };
  assert.equal((await run([photo])).media, 2);
  assert.deepEqual([(await run([])).changed, (await run([photo])).changed], [1, 1]);
  const kept = await archive.database.db
    .selectFrom('payloads as p')
    .innerJoin('record_identities as i', 'i.record_id', 'p.record_id')
    .select('p.commitment')
    .where('i.platform_id', '=', post.id)
    .where('p.role', '=', 'media')
    .execute();
  assert.equal(kept.length, 1);
  await archive.checkpoint();
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});
