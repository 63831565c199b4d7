// What the archive keeps of an account on a server with Mastodon's API: edits as versions in their order, one record however many servers
// show a status, and of deletions what the server itself says.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Archive } from '../../src/context.ts';
import type { MastodonSettings } from '../../src/core/settings.ts';
import { collect } from '../../src/operations.ts';
import { FakePlatform } from '../support/appview.ts';
import { testArchive, verifyArchiveOf } from '../support/archive.ts';
import { FakeMastodon } from '../support/mastodon.ts';
import { never, sendJson } from '../support/replay.ts';

const sourceAt = (service: string, id = 'city-mastodon'): MastodonSettings => ({
  id,
  platform: 'mastodon',
  schedule: null,
  confirmDates: null,
  account: '@city@city.example',
  service,
  token: null,
});

async function archiveOf(t: TestContext) {
  const fake = await FakeMastodon.start(t);
  await using platform = await FakePlatform.start();
  const { archive } = await testArchive(t, platform);
  const run = (service = fake.origin, id = 'city-mastodon') =>
    collect(archive, sourceAt(service, id), { signal: never() });
  return { fake, archive, run };
}

const versionsOf = (archive: Archive, uri: string) =>
  archive.database.db
    .selectFrom('snapshots as s')
    .innerJoin('record_identities as i', 'i.record_id', 's.record_id')
    .select(['s.version', 's.text'])
    .where('i.platform_id', '=', uri)
    .orderBy('s.version')
    .execute()
    .then((rows) => rows.map(({ version, text }) => `${version}: ${text}`));

test('every edit that the server still shows is a version, in order, also those between two runs; none is entered twice', async (t) => {
  const { fake, archive, run } = await archiveOf(t);
  const post = fake.post('Meeting on the 7th');
  fake.edit(post, 'Meeting on the 8th', '2026-10-02T10:00:00.123Z');
  fake.edit(post, 'Meeting on the 9th', '2026-10-03T10:00:00.123Z');
  const first = await run();
  assert.deepEqual([first.status, first.errors, first.captured, first.changed], ['complete', [], 2, 2]);
  assert.deepEqual((await run()).changed, 0);
  fake.edit(post, 'Meeting cancelled', '2026-10-04T10:00:00Z');
  fake.edit(post, 'Meeting on the 7th', '2026-10-05T10:00:00Z');
  const later = await run();
  assert.deepEqual([later.status, later.captured, later.changed], ['complete', 0, 2]);
  assert.deepEqual(await versionsOf(archive, fake.uri(post)), [
    '1: Meeting on the 7th',
    '2: Meeting on the 8th',
    '3: Meeting on the 9th',
    '4: Meeting cancelled',
    '5: Meeting on the 7th',
  ]);
  assert.equal((await run()).changed, 0);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('a server that keeps no edits costs no run its completeness: the gap is told with each, and the last words are kept', async (t) => {
  const { fake, archive, run } = await archiveOf(t);
  fake.hasHistory = false;
  const post = fake.post('first words');
  await run();
  fake.edit(post, 'unseen words', '2026-10-02T10:00:00Z');
  fake.edit(post, 'last words', '2026-10-03T10:00:00Z');
  for (let times = 0; times < 2; times += 1) {
    const { status, errors } = await run();
    assert.deepEqual([status, errors.map(({ code }) => code)], ['complete', ['standing-gap']]);
  }
  assert.deepEqual(await versionsOf(archive, fake.uri(post)), ['1: first words', '2: last words']);
});

test('a status seen through two servers is one record, and their different ways to write it make no versions', async (t) => {
  const { fake, archive, run } = await archiveOf(t);
  const other = await FakeMastodon.start(t);
  const shown = (html: string, url: string, remote: string | null) => ({
    html,
    more: {
      uri: 'https://city.example/statuses/1',
      media_attachments: [{ id: '1', type: 'image', url, remote_url: remote, description: 'a map' }],
    },
  });
  for (const one of [fake, other])
    one.instead = (url, response) => {
      if (!url.pathname.endsWith('.png')) return false;
      response.writeHead(200, { 'content-type': 'image/png' }).end('PICTURE');
      return true;
    };
  const original = `${fake.origin}/original.png`;
  fake.post('', shown('<p>Hello <b>all</b></p>', original, null));
  other.post('more', {});
  other.post('', shown('<p><span>Hello all</span></p>', `${other.origin}/copy.png`, original));
  assert.equal((await run()).status, 'complete');
  const through = await run(other.origin, 'other');
  assert.deepEqual([through.status, through.captured, through.changed], ['complete', 1, 0]);
  assert.deepEqual([(await run()).changed, (await run(other.origin, 'other')).changed], [0, 0]);
  assert.deepEqual(await versionsOf(archive, 'https://city.example/statuses/1'), ['1: Hello all']);
});

test('what the public deleted is told as deleted, what a failing server hides is not, and a list that answers empty deletes nothing', async (t) => {
  const { fake, archive, run } = await archiveOf(t);
  const post = fake.post('road closed');
  const reply = fake.post('why?', { by: fake.ann, parent: post });
  assert.equal((await run()).captured, 3);
  fake.instead = (url, response) => {
    if (!/\/(statuses|context)$/.test(url.pathname)) return false;
    sendJson(response, url.pathname.endsWith('context') ? { ancestors: [], descendants: [] } : []);
    return true;
  };
  const empty = await run();
  assert.deepEqual([empty.status, empty.missing], ['partial', 0]);
  fake.instead = () => false;
  reply.deleted = true;
  const after = await run();
  assert.deepEqual([after.status, after.missing], ['complete', 1]);
  const states = await archive.database.db.selectFrom('record_states').select('state').execute();
  assert.deepEqual(states, [{ state: 'deleted' }]);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});
