// What a platform gives as a file becomes records by the way that every item takes: once each, whatever is imported again or captured live, and
// each says which file it stands in.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Archive } from '../../src/context.ts';
import { type SnapshotDocument, snapshotDocument } from '../../src/ledger/documents.ts';
import { readPayload } from '../../src/ledger/payload.ts';
import { collect } from '../../src/operations.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, testArchive, verifyArchiveOf } from '../support/archive.ts';
import { contentId, contentIdText, linkTo, RAW, repositoryOf, signingKey } from '../support/car.ts';
import { muniment } from '../support/command.ts';
import { broken, mastodonExport, mastodonNote, PNG, writeTarGz, writeZip } from '../support/exports.ts';
import { FakeMastodon } from '../support/mastodon.ts';
import { isWhole } from '../support/whole.ts';
import { FakeYoutube } from '../support/youtube.ts';

const PROGRAM = join(import.meta.dirname, '..', '..', 'src', 'main.ts');
const SOURCE = { id: 'city-export', platform: 'import' };

interface Imported {
  readonly file: { name: string; sha256: string; length: number };
  readonly findings: string[];
  readonly run: {
    status: string;
    seen: number;
    captured: number;
    changed: number;
    missing: number;
    restored: number;
    media: number;
    rejected: number;
    errors: { code: string; message: string }[];
  };
}

async function stage(t: TestContext, sources: readonly object[] = []) {
  const platform = await FakePlatform.start();
  t.after(() => platform[Symbol.asyncDispose]());
  const { home, archive } = await testArchive(t, platform, { sources: [SOURCE, ...sources] });
  const folder = await mkdtemp(join(tmpdir(), 'muniment exports '));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const imported = async (kind: string, file: string, code = 0): Promise<Imported> => {
    const ended = await muniment(['--home', home, '--json', 'import', kind, file, '--source', SOURCE.id]);
    assert.equal(ended.code, code, `${ended.stdout}${ended.stderr}`);
    return JSON.parse(ended.stdout) as Imported;
  };
  return { platform, home, archive, folder, imported, at: (name: string) => join(folder, name) };
}

/** Every version of what stands under a platform's id, oldest first. */
async function versionsOf(archive: Archive, platformId: string): Promise<SnapshotDocument[]> {
  const { db } = archive.database;
  const rows = await db
    .selectFrom('snapshots as s')
    .innerJoin('record_identities as i', 'i.record_id', 's.record_id')
    .select('s.document')
    .where('i.platform_id', '=', platformId)
    .orderBy('s.version')
    .execute();
  return Promise.all(
    rows.map(async ({ document }) =>
      snapshotDocument.parse(JSON.parse((await readPayload(db, archive.store, document)).toString('utf8'))),
    ),
  );
}

async function count(archive: Archive, what: string): Promise<number> {
  const { rows } = await archive.database.pool.query(`SELECT count(*)::int AS n FROM ${what}`);
  return (rows[0] as { n: number }).n;
}

const URI = 'https://city.example/users/city/statuses';

test('a Mastodon export becomes records with media, each with its exact bytes and the file they stand in', async (t) => {
  const { archive, imported, at } = await stage(t);
  const activities = [
    mastodonNote('1', '<p>Bridge <b>closed</b></p>', {
      attachment: [
        {
          type: 'Document',
          mediaType: 'image/png',
          url: '/media_attachments/files/109/1/original/bridge.png',
          name: 'The bridge',
        },
      ],
      tag: [{ type: 'Hashtag', name: '#Bridge', href: 'https://city.example/tags/bridge' }],
    }),
    mastodonNote('2', '<p>A reply</p>', { inReplyTo: `${URI}/1` }),
    mastodonNote('3', '<p>Only for followers</p>', {}, 'https://city.example/users/city/followers'),
    {
      id: `${URI}/4/activity`,
      type: 'Announce',
      actor: 'https://city.example/users/city',
      published: '2025-03-05T00:00:00Z',
      to: ['https://www.w3.org/ns/activitystreams#Public'],
      object: 'https://elsewhere.example/statuses/9',
    },
    mastodonNote('5', '', {
      type: 'Question',
      content: '<p>Which?</p>',
      oneOf: [
        { type: 'Note', name: 'North', replies: { totalItems: 3 } },
        { type: 'Note', name: 'South', replies: { totalItems: 1 } },
      ],
    }),
    { id: 7, type: 'Create' },
  ];
  const members = mastodonExport(activities, { 'media_attachments/files/109/1/original/bridge.png': PNG });
  const file = await writeTarGz(at('archive-2025.tar.gz'), members);

  const { file: told, findings, run } = await imported('mastodon', file, 5);
  const bytes = await readFile(file);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  assert.deepEqual(told, { name: 'archive-2025.tar.gz', sha256, length: bytes.length });
  assert.deepEqual(findings, ['the account city@city.example']);
  assert.deepEqual(
    [run.status, run.seen, run.captured, run.changed, run.media, run.rejected],
    ['partial', 4, 4, 0, 1, 1],
  );
  assert.deepEqual(
    run.errors.map(({ code }) => code),
    ['standing-gap', 'rejected'],
  );
  assert.match(run.errors[0]?.message ?? '', /1 of the 6 items .* not for everybody/);

  const [post] = await versionsOf(archive, `${URI}/1`);
  assert.ok(post !== undefined);
  assert.equal(post.item.text, 'Bridge closed');
  assert.deepEqual(post.item.tags, ['bridge']);
  assert.deepEqual(post.item.author, {
    id: 'https://city.example/users/city',
    handle: 'city@city.example',
    name: 'City of Example',
  });
  assert.deepEqual([post.item.createdAt, post.item.createdAtFrom], ['2025-03-04T05:06:07Z', 'user']);
  assert.deepEqual(
    [post.exchange.method, post.exchange.status, post.exchange.url, post.exchange.bodySha256],
    ['IMPORT', 0, 'archive-2025.tar.gz/outbox.json', sha256],
  );
  assert.deepEqual(post.exchange.headers, {
    'import-file': 'archive-2025.tar.gz',
    'import-path': 'outbox.json',
    'imported-by': archive.account.name,
  });
  const slice = await readPayload(archive.database.db, archive.store, post.slice.commitment);
  assert.deepEqual(JSON.parse(slice.toString('utf8')), activities[0]);
  const outbox = Buffer.from(members['outbox.json'] as string);
  assert.ok(outbox.subarray(post.slice.offset).subarray(0, slice.length).equals(slice));
  assert.equal(post.media[0]?.alt, 'The bridge');
  assert.ok(
    (await readPayload(archive.database.db, archive.store, post.media[0]?.commitment ?? '')).equals(PNG),
  );
  const [boost] = await versionsOf(archive, `${URI}/4/activity`);
  assert.deepEqual(
    [boost?.item.kind, boost?.item.reposts, boost?.item.text],
    ['repost', 'https://elsewhere.example/statuses/9', ''],
  );
  assert.equal((await versionsOf(archive, `${URI}/5`))[0]?.item.text, 'Which?\n\n• North\n• South');
  assert.deepEqual(await versionsOf(archive, `${URI}/3`), []);

  await t.test('the file itself is kept whole, once, and the archive verifies', async () => {
    const kept = () =>
      archive.database.db
        .selectFrom('payloads')
        .select(['commitment', 'sha256'])
        .where('role', '=', 'original')
        .execute();
    const [original, ...more] = await kept();
    assert.deepEqual(more, []);
    assert.ok(
      (await readPayload(archive.database.db, archive.store, original?.commitment ?? '')).equals(bytes),
    );
    const again = await imported('mastodon', file, 5);
    assert.deepEqual([again.run.seen, again.run.captured, again.run.changed], [4, 0, 0]);
    assert.equal((await kept()).length, 1);
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
  });

  await t.test('a later export as a ZIP brings what is new and what was edited', async () => {
    const later = await writeZip(
      at('archive-2026.zip'),
      mastodonExport([
        mastodonNote('1', '<p>Bridge open</p>', { updated: '2025-04-01T00:00:00Z' }),
        mastodonNote('2', '<p>A reply</p>', { inReplyTo: `${URI}/1` }),
        mastodonNote('6', '<p>New</p>'),
      ]),
    );
    const { run: second } = await imported('mastodon', later);
    assert.deepEqual([second.seen, second.captured, second.changed, second.missing], [3, 1, 1, 0]);
    const versions = await versionsOf(archive, `${URI}/1`);
    assert.deepEqual(
      versions.map(({ item }) => item.text),
      ['Bridge closed', 'Bridge open'],
    );
  });
});

test('what a server shows and what its export holds is one record, without versions that nobody wrote', async (t) => {
  const server = await FakeMastodon.start(t);
  server.home = 'https://city.example';
  const live = { id: 'city-live', platform: 'mastodon', account: '@city', service: server.origin };
  const { archive, imported, at, home } = await stage(t, [live]);
  const first = server.post('Seen live first', {
    more: { tags: [{ name: 'roads' }], language: 'en', spoiler_text: 'traffic' },
  });
  const second = server.post('Imported first', { more: { language: 'de' } });
  const noteOf = (status: typeof first, html: string, more: object = {}) => {
    const note = mastodonNote('x', html, { id: server.uri(status), contentMap: undefined, ...more });
    return { ...note, id: `${server.uri(status)}/activity` };
  };
  const run = async () => {
    const source = archive.settings.sources.find(({ id }) => id === live.id);
    assert.ok(source !== undefined);
    const outcome = await collect(archive, source, { signal: new AbortController().signal });
    assert.equal(outcome.status, 'complete', JSON.stringify(outcome.errors));
    return outcome;
  };
  const posts = () => count(archive, "records WHERE kind = 'post'");

  second.deleted = true;
  await run();
  second.deleted = false;
  const file = await writeZip(
    at('export.zip'),
    mastodonExport([
      noteOf(first, '<p>Other words of another day</p>', { summary: 'traffic' }),
      noteOf(second, '<p>Imported first</p>'),
    ]),
  );
  const imports = await imported('mastodon', file);
  assert.deepEqual([imports.run.seen, imports.run.captured, imports.run.changed], [2, 1, 0]);
  assert.equal((await versionsOf(archive, server.uri(first))).length, 1);

  const after = await run();
  assert.deepEqual([after.captured, after.changed], [0, 0]);
  assert.equal(await posts(), 2);
  const links = await archive.database.db
    .selectFrom('record_sources as l')
    .innerJoin('sources as s', 's.id', 'l.source_id')
    .innerJoin('record_identities as i', 'i.record_id', 'l.record_id')
    .select(['i.platform_id', 's.name'])
    .where('i.platform_id', 'in', [server.uri(first), server.uri(second)])
    .execute();
  assert.equal(links.length, 4, 'each stands under both sources');

  await t.test('an edit on the server after the import is a version', async () => {
    server.edit(second, 'Edited since', '2026-10-05T10:00:00.000Z');
    const edited = await run();
    assert.equal(edited.changed, 1);
    assert.deepEqual(
      (await versionsOf(archive, server.uri(second))).map(({ item }) => item.text),
      ['Imported first', 'Edited since'],
    );
    const again = await imported('mastodon', file);
    assert.deepEqual([again.run.captured, again.run.changed], [0, 0]);
  });

  await t.test('what the server says was deleted is not restored by a file', async () => {
    first.deleted = true;
    assert.equal((await run()).missing, 1);
    const again = await imported('mastodon', file);
    assert.deepEqual([again.run.missing, again.run.restored], [0, 0]);
  });

  await t.test('imports are in no gap report, and in status', async () => {
    const { sources } = JSON.parse((await muniment(['--home', home, '--json', 'gaps'])).stdout);
    assert.deepEqual(
      (sources as { source: string }[]).map(({ source }) => source),
      ['city-live'],
    );
    const status = JSON.parse((await muniment(['--home', home, '--json', 'status'])).stdout);
    assert.equal(
      (status.sources as { source: string; status: string }[]).find(({ source }) => source === SOURCE.id)
        ?.status,
      'complete',
    );
  });
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('what is no export, or may not stand under the source, is refused whole, with the remedy', async (t) => {
  const { archive, home, at, folder } = await stage(t);
  const good = await writeZip(at('good.zip'), mastodonExport([mastodonNote('1', '<p>One</p>')]));
  const bytes = await readFile(good);
  const named = async (name: string, content: Buffer | string) => {
    await writeFile(at(name), content);
    return at(name);
  };
  const before = await archive.ledger.head();
  for (const [kind, file, source, told] of [
    ['mastodon', at('none.zip'), SOURCE.id, /none\.zip cannot be read/],
    ['mastodon', folder, SOURCE.id, /cannot be read|is no file/],
    ['mastodon', await named('empty.zip', ''), SOURCE.id, /no outbox\.json/],
    [
      'mastodon',
      await named('other.txt', 'no export'),
      SOURCE.id,
      /no outbox\.json.*\n.*Request your archive/,
    ],
    ['mastodon', await named('cut.zip', bytes.subarray(0, -30)), SOURCE.id, /cannot be read.*\n.*cut short/],
    ['myspace', good, SOURCE.id, /no kind of export.*\n.*mastodon/],
    ['mastodon', good, 'other', /no source is called other.*\n.*platform: import/],
    ['mastodon', good, 'city', /collected from bluesky.*\n.*city-export, platform: import/],
  ] as const) {
    const ended = await muniment(['--home', home, 'import', kind, file, '--source', source]);
    assert.equal(ended.code, 2, ended.stderr);
    assert.match(ended.stderr, told);
  }
  assert.equal((await archive.ledger.head()).size, before.size);
  const collected = await muniment(['--home', home, 'collect', SOURCE.id]);
  assert.equal(collected.code, 2);
  assert.match(collected.stderr, /muniment import KIND FILE --source city-export/);
});

test('a file brings nothing under the names of an account that it is not of', async (t) => {
  const { archive, imported, at } = await stage(t);
  const own = mastodonExport([mastodonNote('1', '<p>One</p>')]);
  await imported('mastodon', await writeZip(at('own.zip'), own));
  const actor = (id: string) => JSON.stringify({ id, type: 'Person', preferredUsername: 'mallory' });
  const [mallory, elsewhere] = ['https://city.example/users/mallory', 'https://evil.example/users/city'];
  const note = mastodonNote('1', '<p>Forged</p>');
  for (const [id, activity] of [
    [mallory, note],
    [mallory, { ...note, actor: mallory }],
    [elsewhere, { ...note, actor: elsewhere, object: { ...note.object, attributedTo: elsewhere } }],
  ] as const) {
    const file = await writeZip(at('forged.zip'), {
      ...mastodonExport([activity]),
      'actor.json': actor(id),
    });
    const { run } = await imported('mastodon', file, 5);
    assert.deepEqual([run.seen, run.rejected], [0, 1]);
  }
  const texts = (await versionsOf(archive, `${URI}/1`)).map(({ item }) => item.text);
  assert.deepEqual(texts, ['One']);
});

test('an archive of X becomes posts, replies and media of every part; edits are versions of one post', async (t) => {
  const { archive, imported, at } = await stage(t);
  const tweet = (id: string, text: string, more: object = {}) => ({
    tweet: {
      id_str: id,
      id,
      full_text: text,
      created_at: 'Wed Nov 05 14:01:02 +0000 2025',
      lang: 'en',
      entities: { hashtags: [], urls: [] },
      ...more,
    },
  });
  const edited = { edit_info: { edit: { initialTweetId: '21', editControlInitial: {} } } };
  const script = (name: string, list: object[]) => `window.YTD.${name} = ${JSON.stringify(list, null, 2)}`;
  const file = await writeZip(at('twitter-2025.zip'), {
    'data/account.js': script('account.part0', [
      { account: { accountId: '7', username: 'city', accountDisplayName: 'City' } },
    ]),
    'data/tweets.js': script('tweets.part0', [
      tweet('20', 'Roads &amp; bridges https://t.co/abc', {
        entities: {
          hashtags: [{ text: 'roads' }],
          urls: [{ url: 'https://t.co/abc', expanded_url: 'https://city.example/roads' }],
        },
        extended_entities: {
          media: [
            { type: 'photo', media_url_https: 'https://pbs.twimg.com/media/AAA.jpg' },
            { type: 'photo', media_url_https: 'https://pbs.twimg.com/media/GONE.jpg' },
          ],
        },
      }),
      tweet('100', 'Last words', edited),
      tweet('22', 'Second words', edited),
      tweet('21', 'First words', { edit_info: { initial: { editTweetIds: ['21', '22', '100'] } } }),
    ]),
    'data/note-tweet.js': script('note_tweet.part0', [
      { noteTweet: { noteTweetId: '5', core: { text: 'Words beyond the 280th' } } },
    ]),
    'data/tweets-part1.js': script('tweets.part1', [
      tweet('23', '@ann yes', { in_reply_to_status_id_str: '19' }),
      { tweet: { full_text: 'no id' } },
    ]),
    'data/deleted-tweets.js': script('deleted_tweets.part0', [
      tweet('24', 'Taken back', { deleted_at: 'Thu Nov 06 00:00:00 +0000 2025' }),
    ]),
    'data/tweets_media/20-AAA.jpg': PNG,
    'data/direct-messages.js': script('direct_messages.part0', [{ dmConversation: {} }]),
  });
  const { findings, run } = await imported('x', file, 5);
  assert.deepEqual(findings, ['the account city', '3 lists of posts']);
  assert.deepEqual(
    [run.seen, run.captured, run.changed, run.missing, run.media, run.rejected],
    [4, 4, 2, 0, 1, 1],
  );
  assert.match(run.errors.map(({ message }) => message).join('\n'), /GONE\.jpg is not in twitter-2025\.zip/);
  assert.match(
    run.errors.map(({ message }) => message).join('\n'),
    /1 of the 8 items in .* are whole words of long posts/,
  );
  const [post] = await versionsOf(archive, '20');
  assert.deepEqual(
    [post?.item.text, post?.item.createdAt, post?.item.author.handle, post?.item.links[0]?.url],
    ['Roads & bridges https://t.co/abc', '2025-11-05T14:01:02Z', 'city', 'https://city.example/roads'],
  );
  assert.deepEqual(
    (await versionsOf(archive, '21')).map(({ item }) => item.text),
    ['First words', 'Second words', 'Last words'],
  );
  assert.equal((await versionsOf(archive, '23'))[0]?.item.inReplyTo, '19');
  const versions = await count(archive, 'snapshots');
  const again = await imported('x', file, 5);
  assert.deepEqual([again.run.captured, again.run.changed], [0, 0]);
  assert.equal(await count(archive, 'snapshots'), versions);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('the repository of a Bluesky account and what the network shows of it are the same records, without versions that nobody wrote', async (t) => {
  const { platform, home, archive, imported, at } = await stage(t);
  const { did } = platform.account;
  const first = platform.post('3kaaaaaaaaa22', 'Seen live first');
  const second = platform.post('3kaaaaaaaab22', 'Imported first', {
    image: PNG,
    parent: first,
    record: {
      facets: [{ features: [{ $type: 'app.bsky.richtext.facet#link', uri: 'https://city.example/roads' }] }],
      labels: { $type: 'com.atproto.label.defs#selfLabels', values: [{ val: 'graphic-media' }] },
    },
  });
  const uris = [platform.uri(first), platform.uri(second)] as const;
  const subject = {
    uri: 'at://did:plc:somebody2222222222222222/app.bsky.feed.post/3kzzzzzzzzz22',
    cid: 'bafyreia',
  };
  platform.key = signingKey();
  const records = {
    'app.bsky.actor.profile/self': {
      $type: 'app.bsky.actor.profile',
      displayName: 'City of Example',
      description: 'Official',
      avatar: {
        $type: 'blob',
        ref: linkTo({ id: contentId(PNG, RAW) }),
        mimeType: 'image/png',
        size: PNG.length,
      },
    },
    [`app.bsky.feed.post/${first.rkey}`]: platform.recordOf(first),
    [`app.bsky.feed.post/${second.rkey}`]: platform.recordOf(second),
    'app.bsky.feed.like/3kaaaaaaaac22': { $type: 'app.bsky.feed.like', subject, createdAt: first.createdAt },
    'app.bsky.feed.repost/3kaaaaaaaad22': {
      $type: 'app.bsky.feed.repost',
      subject,
      createdAt: first.createdAt,
    },
  };
  const made = repositoryOf(did, records, platform.key.sign);
  platform.remove(second);
  assert.equal((await collectCity(archive)).captured, 1);
  platform.posts.push(second);
  await writeFile(at('repo.car'), made.file);
  const { findings, run } = await imported('bluesky', at('repo.car'));
  assert.deepEqual(findings, [
    `the account ${did}`,
    'as of 3lz2abcdefg2a',
    'signed with the key that its DID document names now',
  ]);
  assert.deepEqual(
    [run.status, run.seen, run.captured, run.changed, run.media, run.rejected],
    ['complete', 4, 3, 0, 0, 0],
  );
  const said = run.errors.map(({ code, message }) => `${code}: ${message}`).join('\n');
  const picture = contentIdText(contentId(PNG, RAW));
  assert.match(said, /^standing-gap: 1 of the 5 items in repo\.car are neither posts nor reposts/m);
  assert.match(
    said,
    new RegExp(`^standing-gap: Posts in repo\\.car name 2 media .*: ${picture}, ${picture}`, 'm'),
  );
  assert.doesNotMatch(said, /signature/);

  assert.equal((await versionsOf(archive, uris[0])).length, 1);
  const [reply] = await versionsOf(archive, uris[1]);
  assert.ok(reply !== undefined);
  const { item, media, slice } = reply;
  assert.deepEqual(
    [item.kind, item.text, item.inReplyTo, item.contentWarning, item.links[0]?.url, item.createdAtFrom],
    ['reply', 'Imported first', uris[0], 'graphic-media', 'https://city.example/roads', 'user'],
  );
  assert.deepEqual(item.author, { id: did, handle: null, name: 'City of Example' });
  assert.deepEqual(
    [media[0]?.contentId, media[0]?.commitment, media[0]?.alt],
    [picture, null, 'a closed road'],
  );
  assert.equal(slice.mediaType, 'application/vnd.ipld.dag-cbor');
  const kept = await readPayload(archive.database.db, archive.store, slice.commitment);
  assert.ok(kept.equals(made.records.get(`app.bsky.feed.post/${second.rkey}`)?.bytes as Buffer));
  const [repost] = await versionsOf(archive, `at://${did}/app.bsky.feed.repost/3kaaaaaaaad22`);
  assert.deepEqual([repost?.item.kind, repost?.item.reposts], ['repost', subject.uri]);
  const [profile] = await versionsOf(archive, `at://${did}/app.bsky.actor.profile/self`);
  assert.deepEqual(
    [profile?.item.kind, profile?.item.title, profile?.item.text, profile?.media[0]?.role],
    ['profile', 'City of Example', 'Official', 'avatar'],
  );

  await t.test(
    'importing it again doubles nothing, and is told what the account’s key says of it',
    async () => {
      const again = async (key: FakePlatform['key']): Promise<string> => {
        platform.key = key;
        const { run, findings } = await imported('bluesky', at('repo.car'));
        assert.deepEqual([run.status, run.captured, run.changed, findings.length], ['complete', 0, 0, 2]);
        return run.errors.map(({ message }) => message).join('\n');
      };
      const which = 'The signature of the commit bafyrei\\w+ \\(revision 3lz2abcdefg2a\\)';
      assert.match(
        await again(signingKey('P-256')),
        new RegExp(`^${which} is not by the key that its DID`, 'm'),
      );
      assert.match(
        await again(null),
        new RegExp(`^${which} was not checked: its DID document names no key`, 'm'),
      );
    },
  );

  await t.test(
    'the network goes on with the records: of the same words only the picture is new, an edit is a version',
    async () => {
      platform.profile = { displayName: 'City of Example', description: 'Official', avatar: PNG };
      const live = await collectCity(archive);
      assert.deepEqual([live.status, live.captured, live.media], ['complete', 0, 2]);
      const profiles = async () =>
        (await versionsOf(archive, `at://${did}/app.bsky.actor.profile/self`)).map(({ cause, item }) => [
          cause,
          item.title,
        ]);
      assert.deepEqual(await profiles(), [
        ['first', 'City of Example'],
        ['media', 'City of Example'],
      ]);
      platform.profile.displayName = 'Town of Example';
      platform.followers = 5;
      assert.equal((await collectCity(archive)).changed, 1);
      platform.followers = 6;
      assert.equal((await collectCity(archive)).changed, 0);
      assert.deepEqual((await profiles()).at(-1), ['changed', 'Town of Example']);
      assert.deepEqual(
        (await versionsOf(archive, uris[1])).map(({ cause, collector }) => [cause, collector]),
        [
          ['first', 'bluesky-import/1'],
          ['media', 'bluesky/1'],
        ],
      );
      assert.equal((await versionsOf(archive, uris[0])).length, 1);
      second.text = 'Edited since';
      assert.equal((await collectCity(archive)).changed, 1);
      const again = await imported('bluesky', at('repo.car'));
      assert.deepEqual([again.run.captured, again.run.changed], [0, 0]);
      assert.equal((await versionsOf(archive, uris[1])).at(-1)?.item.text, 'Edited since');
    },
  );

  await t.test('a bundle of the imported records checks offline, and holds the exact blocks', async () => {
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
    const bundle = at('bundle.zip');
    const out = await muniment(['--home', home, 'export', '--source', SOURCE.id, '--out', bundle]);
    assert.equal(out.code, 0, out.stderr);
    const key = (await muniment(['--home', home, 'key', 'export'])).stdout.trim();
    const checked = await muniment(['--home', home, 'verify-bundle', bundle, '--key', key]);
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
    const found = await muniment(['--home', home, '--json', 'search', 'Imported']);
    assert.match(found.stdout, /Imported first|Edited since/);
  });
});

test('what of a repository is damaged or unreadable is in quarantine, and its import partial; the whole file then brings the rest', async (t) => {
  const { platform, archive, imported, at } = await stage(t);
  const { did } = platform.account;
  const words = ['One', 'Two', 'Three', 'Four'];
  const made = repositoryOf(did, {
    ...Object.fromEntries(
      words.map((text, n) => [
        `app.bsky.feed.post/3kaaaaaaaa${n}22`,
        { $type: 'app.bsky.feed.post', text, createdAt: '2025-03-04T05:06:07Z' },
      ]),
    ),
    'app.bsky.feed.post/3kaaaaaaaa922': { $type: 'app.bsky.feed.post', text: 9 },
  });
  const two = made.records.get('app.bsky.feed.post/3kaaaaaaaa122')?.bytes as Buffer;
  const damaged = Buffer.from(made.file);
  damaged[damaged.indexOf(two) + two.indexOf('Two')] = 0x74;
  await writeFile(at('damaged.car'), Buffer.concat([damaged, Buffer.of(0x80)]));
  const { run } = await imported('bluesky', at('damaged.car'), 5);
  assert.deepEqual([run.status, run.seen, run.captured, run.rejected], ['partial', 3, 3, 2]);
  const told = run.errors.map(({ message }) => message).join('\n');
  for (const sentence of [
    /damaged\.car is damaged: it ends within the block at byte \d+/,
    /a block that is not what its content id bafyrei\w+ promises/,
    /not a post: text/,
    /one part is not in damaged\.car/,
  ])
    assert.match(told, sentence);
  const quarantined = await archive.database.db
    .selectFrom('payloads')
    .select('commitment')
    .where('role', '=', 'quarantine')
    .execute();
  const bytes = await Promise.all(
    quarantined.map(({ commitment }) => readPayload(archive.database.db, archive.store, commitment)),
  );
  assert.ok(bytes.some((one) => one.includes('two')));

  await writeFile(at('whole.car'), made.file);
  const whole = await imported('bluesky', at('whole.car'), 5);
  assert.deepEqual([whole.run.seen, whole.run.captured, whole.run.changed], [4, 1, 0]);
  assert.equal(
    (await versionsOf(archive, `at://${did}/app.bsky.feed.post/3kaaaaaaaa122`))[0]?.item.text,
    'Two',
  );

  await t.test(
    'a later file with an edit makes a version, and one without a post takes nothing for deleted',
    async () => {
      const later = repositoryOf(did, {
        'app.bsky.feed.post/3kaaaaaaaa022': {
          $type: 'app.bsky.feed.post',
          text: 'One, mended',
          createdAt: '2025-03-04T05:06:07Z',
        },
        'app.bsky.feed.post/3kaaaaaaaa522': {
          $type: 'app.bsky.feed.post',
          text: 'Five',
          createdAt: '2025-03-04T05:06:07Z',
        },
      });
      await writeFile(at('later.car'), later.file);
      const { run: second } = await imported('bluesky', at('later.car'));
      assert.deepEqual(
        [second.status, second.seen, second.captured, second.changed, second.missing],
        ['complete', 2, 1, 1, 0],
      );
      const versions = await versionsOf(archive, `at://${did}/app.bsky.feed.post/3kaaaaaaaa022`);
      assert.deepEqual(
        versions.map(({ item }) => item.text),
        ['One', 'One, mended'],
      );
      assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
    },
  );
});

test('a download of Facebook becomes records once, and what of it is damaged is told, kept and read from a whole one', async (t) => {
  const { archive, imported, at } = await stage(t);
  const posts = (...texts: string[]) =>
    JSON.stringify(
      texts.map((text, n) => ({
        timestamp: 1_700_000_000 + n,
        data: [{ post: broken(text) }],
        attachments: [{ data: [{ media: { uri: 'posts/media/1_n.png' } }] }],
      })),
    );
  const members = {
    'posts/profile_posts_1.json': posts('Straße gesperrt', 'Straße offen'),
    'posts/profile_posts_2.json': posts('Später'),
    'posts/media/1_n.png': PNG,
  };
  const [first, second, picture] = Object.entries(members).map(([name, data]) => ({ name, data }));
  assert.ok(first !== undefined && second !== undefined && picture !== undefined);
  const bad = { ...second, data: '[{"timestamp": 1, "data": "none"}, {"tim' };
  const { run } = await imported('facebook', await writeZip(at('damaged.zip'), [first, bad, picture]), 5);
  assert.deepEqual([run.status, run.captured, run.media, run.rejected], ['partial', 2, 2, 1]);
  assert.match(
    run.errors.map(({ message }) => message).join('\n'),
    /profile_posts_2\.json in damaged\.zip is damaged/,
  );
  const whole = await imported('facebook', await writeZip(at('whole.zip'), members));
  assert.deepEqual([whole.run.status, whole.run.captured, whole.run.changed], ['complete', 1, 0]);
  const again = await imported('facebook', at('whole.zip'));
  assert.deepEqual([again.run.status, again.run.captured, again.run.changed], ['complete', 0, 0]);
  const { rows } = await archive.database.pool.query('SELECT platform_id FROM record_identities');
  const texts = [];
  for (const { platform_id: id } of rows as { platform_id: string }[])
    for (const { item, slice } of await versionsOf(archive, id)) {
      texts.push(item.text);
      const kept = await readPayload(archive.database.db, archive.store, slice.commitment);
      assert.ok(kept.includes(broken(item.text)));
    }
  assert.deepEqual(texts.sort(), ['Später', 'Straße gesperrt', 'Straße offen']);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('a Takeout of YouTube and what the platform shows are the same records, without versions that nobody wrote', async (t) => {
  const server = await FakeYoutube.start(t);
  const secrets = await mkdtemp(join(tmpdir(), 'muniment key '));
  t.after(() => rm(secrets, { recursive: true, force: true }));
  await writeFile(join(secrets, 'key'), 'AIzaSyA-key', { mode: 0o600 });
  const key = `file:${join(secrets, 'key')}`;
  const live = { id: 'city-live', platform: 'youtube', account: '@city', service: server.origin, key };
  const { archive, imported, at } = await stage(t, [live]);
  const video = server.publish('Bridges');
  const comment = server.comment('We mend "it"', video, null, 'city');
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const videos = [
    'Video ID,Video Description (Original),Channel ID,Video Title (Original),Privacy,Video Create Timestamp',
    `${video.id},${video.description},${server.channel},${video.title},Public,${video.publishedAt}`,
  ].join('\n');
  const comments = [
    'Comment ID,Channel ID,Comment Create Timestamp,Price,Parent Comment ID,Video ID,Comment Text',
    `${comment.id},${server.channel},${comment.publishedAt},0,,${video.id},${quoted(JSON.stringify({ text: comment.text }))}`,
  ];
  const member = (name: string, data: string, more = {}) => ({
    name: `Takeout/YouTube/${name}`,
    data,
    ...more,
  });
  const damaged = [
    member('videos.csv', videos, { crc: 1 }),
    member('comments.csv', [...comments, 'no,row'].join('\n')),
  ];
  const { run } = await imported('youtube', await writeZip(at('damaged.zip'), damaged), 5);
  assert.deepEqual([run.status, run.captured, run.rejected], ['partial', 1, 1]);
  assert.match(run.errors.map(({ message }) => message).join('\n'), /videos\.csv in damaged\.zip is damaged/);
  const whole = [member('videos.csv', videos), member('comments.csv', comments.join('\n'))];
  for (const news of [1, 0]) {
    const brought = await imported('youtube', await writeZip(at('whole.zip'), whole));
    assert.deepEqual([brought.run.status, brought.run.captured, brought.run.changed], ['complete', news, 0]);
  }

  const source = archive.settings.sources.find(({ id }) => id === live.id);
  assert.ok(source !== undefined);
  const { signal } = new AbortController();
  const shown = await collect(archive, source, { signal });
  assert.deepEqual([shown.changed, shown.captured], [0, 1], 'the channel alone is new');
  server.edit(comment, 'We mend it all');
  await collect(archive, source, { signal });
  assert.deepEqual(
    (await versionsOf(archive, comment.id)).map(({ item, slice, collector }) => [
      item.text,
      slice.mediaType,
      collector,
    ]),
    [
      ['We mend "it"', 'text/csv', 'youtube-import/1'],
      ['We mend it all', 'application/json', 'youtube/1'],
    ],
  );
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('another archive’s file becomes records by a mapping, once, with its attachments; what of it is damaged is in quarantine', async (t) => {
  const { home, archive, at } = await stage(t);
  await writeFile(
    at('map.yaml'),
    'format: csv\nfile: posts.csv\nplatform: x\nnamespace: post-id\ncolumns: { id: Id, text: Text, attachments: { column: Files, separator: ";" } }\n',
  );
  const rows = ['Id,Text,Files', '20,"Roads, bridges",a.png', '21,Parks,', '22,"Cut'];
  const file = await writeZip(at('vendor.zip'), { 'posts.csv': rows.join('\n'), 'a.png': PNG });
  for (const news of [2, 0]) {
    const args = [
      '--home',
      home,
      '--json',
      'import',
      'mapping',
      file,
      '--source',
      SOURCE.id,
      '--map',
      at('map.yaml'),
    ];
    const ended = await muniment(args);
    assert.equal(ended.code, 5, ended.stderr);
    const { run } = JSON.parse(ended.stdout) as Imported;
    assert.deepEqual([run.captured, run.changed, run.rejected], [news, 0, 1]);
  }
  const [post] = await versionsOf(archive, '20');
  assert.ok(post !== undefined);
  assert.deepEqual([post.item.text, post.media[0]?.length], ['Roads, bridges', PNG.length]);
  assert.match(post.collector, /^mapping-import\/1 \(mapping sha256:[0-9a-f]{64}\)$/);
  const kept = await readPayload(archive.database.db, archive.store, post.slice.commitment);
  assert.equal(kept.toString('utf8'), rows[1]);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('a source that says whose files it takes refuses those of others', async (t) => {
  const own = { id: 'own-export', platform: 'import', account: 'did:plc:cityofexample2222222222' };
  const { archive, home, at } = await stage(t, [own]);
  const file = async (name: string, did: string) => {
    await writeFile(at(name), repositoryOf(did, {}).file);
    return at(name);
  };
  const run = async (kind: string, path: string) =>
    muniment(['--home', home, 'import', kind, path, '--source', own.id]);
  const { size } = await archive.ledger.head();
  const other = await run('bluesky', await file('other.car', 'did:plc:somebody22222222222222'));
  assert.equal(other.code, 2);
  assert.match(
    other.stderr,
    /other\.car is of the account did:plc:somebody22222222222222, .* for did:plc:cityofexample/,
  );
  const { 'actor.json': _, ...anonymous } = mastodonExport([]);
  const unsaid = await run('mastodon', await writeZip(at('unsaid.zip'), anonymous));
  assert.match(unsaid.stderr, /does not say whose it is/);
  const named = await run('mastodon', await writeZip(at('named.zip'), mastodonExport([])));
  assert.match(named.stderr, /is of the account https:\/\/city\.example\/users\/city, city@city\.example/);
  assert.equal((await archive.ledger.head()).size, size);
  const right = await run('bluesky', await file('own.car', own.account));
  assert.equal(right.code, 0, right.stderr);
});

test('an import that is killed at any moment goes on from what it stored: nothing is lost, nothing doubled', async (t) => {
  const { home, archive, imported, at } = await stage(t);
  const posts = isWhole ? 1500 : 500;
  const file = await writeZip(
    at('large.zip'),
    mastodonExport(Array.from({ length: posts }, (_, n) => mastodonNote(String(n), `<p>Post ${n}</p>`))),
  );
  const records = () => count(archive, 'records');
  const seen: number[] = [];
  for (const wanted of [1, 0.3 * posts]) {
    const args = ['--home', home, 'import', 'mastodon', file, '--source', SOURCE.id];
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      stdio: 'ignore',
      env: { ...process.env, NODE_V8_COVERAGE: '' },
    });
    const ended = once(child, 'exit');
    while (child.exitCode === null && (await records()) < wanted) await sleep(2);
    child.kill('SIGKILL');
    await ended;
    seen.push(await records());
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
  }
  assert.ok((seen.at(-1) ?? 0) > 0);
  t.diagnostic(`records after each kill: ${seen.join(', ')}`);
  const { run } = await imported('mastodon', file);
  assert.deepEqual([run.status, run.seen, run.changed], ['complete', posts, 0]);
  assert.deepEqual([await records(), await count(archive, 'snapshots')], [posts, posts]);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});
