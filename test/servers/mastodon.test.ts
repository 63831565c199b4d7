// The Mastodon collector, and what the archive keeps by it, against a real server that has Mastodon's API only in part: snac.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Secret } from '../../src/core/secret.ts';
import type { MastodonSettings } from '../../src/core/settings.ts';
import { readPayload } from '../../src/ledger/payload.ts';
import { checkSource, collect } from '../../src/operations.ts';
import { FakePlatform } from '../support/appview.ts';
import { testArchive, verifyArchiveOf } from '../support/archive.ts';
import { never } from '../support/replay.ts';
import {
  type SnacAccount,
  type SnacServer,
  type SnacStatus,
  snacObstacle,
  startSnac,
  until,
} from './snac.ts';

describe('a real server with a part of Mastodon’s API', {
  skip: snacObstacle() ?? false,
  concurrency: false,
}, () => {
  let server: SnacServer;
  let city: SnacAccount;
  let ann: SnacAccount;
  before(async () => {
    server = await startSnac();
    city = await server.createAccount('city');
    ann = await server.createAccount('ann');
  });
  after(() => server[Symbol.asyncDispose]());

  const source = (token: string | null): MastodonSettings => ({
    id: 'city-mastodon',
    platform: 'mastodon',
    schedule: null,
    confirmDates: null,
    account: '@city',
    service: server.origin,
    token: token === null ? null : new Secret('file:token', () => token),
  });

  test('posts, nested replies by others and a picture are kept; an edit makes a version; a deletion is told by the server', async (t) => {
    const bytes = randomBytes(20_000);
    const picture = await city.upload(new Uint8Array(bytes), 'a map');
    const root = await city.post('Bridge closed, see https://city.example/a/long/path', {
      media_ids: [picture],
      spoiler_text: 'traffic',
      language: 'en',
    });
    const mistake = await city.post('posted by mistake');
    const thread: SnacStatus[] = [root];
    for (const [index, who] of [ann, city, ann].entries()) {
      const above = thread.at(-1) as SnacStatus;
      const reply = await who.post(`reply ${index}`, { in_reply_to_id: above.id });
      await until(() => city.sees(reply, above));
      thread.push(reply);
    }
    await using platform = await FakePlatform.start();
    const { archive } = await testArchive(t, platform);
    const run = () => collect(archive, source(city.token), { signal: never() });
    const { db } = archive.database;
    const versions = (uri: string) =>
      db
        .selectFrom('snapshots as s')
        .innerJoin('record_identities as i', 'i.record_id', 's.record_id')
        .select([
          's.version',
          's.text',
          's.document',
          's.record_id',
          's.in_reply_to',
          's.thread_root',
          's.captured_at',
        ])
        .where('i.platform_id', '=', uri)
        .orderBy('s.version')
        .execute();

    const first = await run();
    assert.deepEqual([first.status, first.errors, first.captured, first.rejected], ['complete', [], 6, 0]);
    for (const [index, { uri }] of thread.slice(1).entries()) {
      const [version] = await versions(uri);
      assert.match(version?.text ?? '', new RegExp(`reply ${index}$`));
      assert.deepEqual([version?.in_reply_to, version?.thread_root], [thread[index]?.uri, root.uri]);
    }
    const media = await db.selectFrom('payloads').select('commitment').where('role', '=', 'media').execute();
    const stored = await Promise.all(media.map((one) => readPayload(db, archive.store, one.commitment)));
    assert.ok(stored.some((one) => one.equals(bytes)));

    const again = await run();
    assert.deepEqual([again.status, again.captured, again.changed, again.seen], ['complete', 0, 0, 6]);

    await city.edit(root, 'Bridge open again');
    await city.remove(mistake);
    const later = await run();
    assert.deepEqual([later.status, later.captured, later.changed, later.missing], ['complete', 0, 1, 1]);
    assert.deepEqual(
      later.errors.map(({ code }) => code),
      ['standing-gap'],
    );
    assert.match(later.errors[0]?.message ?? '', /not what it said before/);
    const both = await versions(root.uri);
    assert.deepEqual(
      both.map(({ version, text }) => [version, text]),
      [
        [1, 'Bridge closed, see https://city.example/a/long/path'],
        [2, 'Bridge open again'],
      ],
    );
    assert.ok((both[0]?.captured_at as unknown as Date) < (both[1]?.captured_at as unknown as Date));
    for (const { document } of both) {
      const told = JSON.parse((await readPayload(db, archive.store, document)).toString());
      const slice = JSON.parse((await readPayload(db, archive.store, told.slice.commitment)).toString());
      assert.equal(slice.uri, root.uri);
    }
    const [gone] = await versions(mistake.uri);
    const { entry } = await db
      .selectFrom('record_states as r')
      .innerJoin('ledger_entries as e', 'e.seq', 'r.seq')
      .select('e.entry')
      .where('r.record_id', '=', gone?.record_id as string)
      .executeTakeFirstOrThrow();
    const missing = JSON.parse(entry.toString());
    assert.equal(missing.state, 'deleted');
    assert.ok(missing.lastSeenAt < missing.firstMissingAt);
    const end = await run();
    assert.deepEqual([end.status, end.changed, end.missing], ['complete', 0, 0]);
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
  });

  test('without a token the posts are kept all the same, and what the server does not show is a standing gap', async (t) => {
    await using platform = await FakePlatform.start();
    const { archive } = await testArchive(t, platform);
    const run = () => collect(archive, source(null), { signal: never() });
    const seen = await run();
    assert.deepEqual([seen.status, seen.missing], ['complete', 0]);
    assert.match(seen.errors[0]?.message ?? '', /only to whoever has a token/);
    assert.ok(seen.captured > 0);
    const { ok, findings } = await checkSource(source(null), archive.clock, never());
    assert.ok(ok, findings.join('\n'));
    assert.match(findings.join('\n'), /threads cannot be read \(401\)/);
  });
});
