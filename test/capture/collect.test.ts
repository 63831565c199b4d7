// The way of a record from the platform into the archive, and what verification says of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, testArchive, verifyArchiveOf } from '../support/archive.ts';

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

test("posts, the public's nested replies and images are captured, and the archive verifies", async (t) => {
  await using platform = await FakePlatform.start();
  const road = platform.post('1', 'Main Street is closed', { image: PNG });
  platform.post('2', 'Council meets on Tuesday');
  platform.post('3', 'مرحبا 🎉');
  const reply = platform.post('a', 'Until when?', {
    did: 'did:plc:citizenaaaaaaaaaaaaaaaaa',
    handle: 'ana.example',
    parent: road,
  });
  platform.post('b', 'Asking too', {
    did: 'did:plc:citizenbbbbbbbbbbbbbbbbb',
    handle: 'bo.example',
    parent: reply,
  });
  const { archive } = await testArchive(t, platform);
  const first = await collectCity(archive);
  assert.deepEqual(first.errors, []);
  assert.equal(first.status, 'complete');
  assert.equal(first.captured, 5);
  assert.equal(first.media, 1);
  const verified = await verifyArchiveOf(archive);
  assert.deepEqual(verified.problems, []);
  // 5 documents, 5 slices, an image, a run report
  assert.equal(verified.payloads.intact, 12);
  assert.equal(verified.unsigned, 0);

  await t.test(
    'a second run over an unchanged account adds one run.finished and its report, and nothing else',
    async () => {
      road.likes = 7;
      const before = await archive.ledger.head();
      const second = await collectCity(archive);
      assert.equal(second.status, 'complete');
      assert.equal(second.seen, 5);
      assert.equal((await archive.ledger.head()).size, before.size + 1);
      const again = await verifyArchiveOf(archive);
      assert.equal(again.ok, true);
      assert.equal(again.payloads.intact, 13);
    },
  );

  await t.test(
    'an edit makes a version, a deletion is observed, a return is noticed; nothing is lost',
    async () => {
      road.text = 'Main Street is closed until Friday';
      platform.remove(reply);
      const third = await collectCity(archive);
      assert.deepEqual(third.errors, []);
      assert.equal(third.changed, 1);
      assert.equal(third.media, 0, 'an image that is stored already is not stored again');
      assert.equal(third.missing, 1);
      platform.posts.push(reply);
      const fourth = await collectCity(archive);
      assert.equal(fourth.restored, 1);
      const again = await verifyArchiveOf(archive);
      assert.deepEqual(again.problems, []);
    },
  );
});
