// Records as of a ledger position, in the order of conversations, on a real database.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { InputError } from '../../src/core/errors.ts';
import { type RecordView, streamRecords } from '../../src/search/records.ts';
import type { Selection } from '../../src/search/selection.ts';
import { SampleArchive, type SampleRecord, TIMEZONE } from '../export/sample-archive.ts';

describe('records as of a ledger position', () => {
  let archive: SampleArchive;
  const at: Record<string, number> = {};
  const made: Record<string, SampleRecord> = {};
  const cleanups: (() => unknown)[] = [];

  const read = async (selection: Selection = {}, size?: number): Promise<RecordView[]> => {
    const records: RecordView[] = [];
    const asOf = { size: size ?? (await archive.ledger.head()).size, timezone: TIMEZONE };
    for await (const record of streamRecords(archive.db, selection, asOf)) records.push(record);
    return records;
  };
  const texts = (records: readonly RecordView[]) => records.map((record) => record.text);
  const head = async () => (await archive.ledger.head()).size;

  before(async () => {
    archive = await SampleArchive.open({ after: (fn) => void cleanups.push(fn as () => unknown) });
    const reply = (text: string, platformId: string, inReplyTo: string, createdAt: string) =>
      archive.capture({
        source: 'city',
        platformId,
        item: { kind: 'reply', text, inReplyTo, threadRoot: 'at://a', createdAt },
      });
    made.late = await archive.capture({
      source: 'city',
      platformId: 'at://late',
      item: { text: 'a later thread', createdAt: '2026-10-03T00:00:00Z' },
    });
    made.second = await reply('second reply', 'at://a/2', 'at://a', '2026-10-01T14:00:00Z');
    made.nested = await reply('nested reply', 'at://a/1/1', 'at://a/1', '2026-10-02T12:00:00.5+02:00');
    made.root = await archive.capture({
      source: 'city',
      platformId: 'at://a',
      item: { text: 'Road closed on Elm Street', createdAt: '2026-10-01T12:00:00Z' },
    });
    at.first = await head();
    made.one = await reply('first reply', 'at://a/1', 'at://a', '2026-10-01T13:00:00Z');
    made.edited = await archive.capture({
      source: 'city',
      again: made.root,
      platformId: 'at://a',
      item: { text: 'Road open again', createdAt: '2026-10-01T12:00:00Z' },
    });
    at.edited = await head();
    await archive.missing(made.second);
    at.missing = await head();
    await archive.restored(made.second);
    await archive.link(made.late, 'mirror');
    made.message = await archive.capture({
      source: 'city',
      platformId: 'at://m',
      item: { kind: 'message', text: 'a private message', createdAt: '2026-10-01T12:00:00Z' },
    });
    made.odd = await archive.capture({
      source: 'news',
      platform: 'feed',
      platformId: 'odd',
      item: {
        text: '道路封鎖のお知らせ 🚧',
        createdAt: '2026-02-30T00:00:00Z',
        author: { id: null, handle: null, name: 'Nouvelles\u0000' },
      },
    });
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  test('a conversation is read from its root, depth first, replies by creation', async () => {
    const records = await read({ sources: ['city'] });
    assert.deepEqual(texts(records), [
      'Road open again',
      'first reply',
      'nested reply',
      'second reply',
      'a later thread',
    ]);
    assert.deepEqual(
      records.map((r) => r.thread.depth),
      [0, 1, 2, 1, 0],
    );
    assert.equal(records[2]?.thread.parent, made.one?.id);
  });

  test('nothing written after the position shows: no edit, no reply, no deletion, no link', async () => {
    const then = await read({}, at.first);
    assert.deepEqual(texts(then), [
      'Road closed on Elm Street',
      'second reply',
      'nested reply',
      'a later thread',
    ]);
    assert.ok(then.every((r) => r.state === 'live' && r.versions.length === 1 && r.sources.length === 1));
    assert.equal((await read({}, at.missing)).find((r) => r.id === made.second?.id)?.state, 'missing');
    assert.equal((await read({}, at.edited)).find((r) => r.id === made.second?.id)?.state, 'live');
    const now = (await read()).find((r) => r.id === made.second?.id);
    assert.equal(now?.state, 'live');
    assert.deepEqual(
      now?.states.map((s) => s.state),
      ['deleted', 'restored'],
    );
    assert.deepEqual(
      (await read()).find((r) => r.id === made.late?.id)?.sources.map((s) => s.name),
      ['city', 'mirror'],
    );
  });

  test("every version is kept, and any version's words find the record", async () => {
    const [record] = await read({ text: 'closed elm' });
    assert.equal(record?.id, made.root?.id);
    assert.deepEqual(
      record?.versions.map((v) => v.text),
      ['Road closed on Elm Street', 'Road open again'],
    );
    assert.equal((await read({ text: '"Elm Street"' })).length, 1);
    assert.equal((await read({ text: 'road -elm' })).length, 1, 'a version without the word still matches');
    assert.equal((await read({ text: 'elm nowhere' })).length, 0);
  });

  test('words of scripts without spaces, and emoji, are found', async () => {
    assert.deepEqual(
      (await read({ text: '封鎖' })).map((r) => r.id),
      [made.odd?.id],
    );
    assert.deepEqual(
      (await read({ text: '🚧' })).map((r) => r.id),
      [made.odd?.id],
    );
  });

  test("dates are civil dates in the archive's zone, to the end of the last day", async () => {
    // 2026-10-03T00:00Z is the evening of 2 October in New York.
    assert.deepEqual(texts(await read({ from: '2026-10-02', to: '2026-10-02' })), [
      'nested reply',
      'a later thread',
    ]);
    assert.deepEqual(texts(await read({ from: '2026-10-03', to: '2026-10-31' })), []);
  });

  test('a creation date that cannot be read falls back to the first capture', async () => {
    assert.deepEqual(
      (await read({ from: '2026-11-01', to: '2026-11-01' })).map((r) => r.id),
      [made.odd?.id],
    );
    const odd = (await read({ ids: [made.odd?.id as string] }))[0];
    assert.equal(odd?.createdAt, '2026-02-30T00:00:00Z', 'but it is shown as it was given');
  });

  test('messages are left out unless their kind is asked for', async () => {
    assert.equal(
      (await read()).some((r) => r.kind === 'message'),
      false,
    );
    assert.deepEqual(texts(await read({ kinds: ['message'] })), ['a private message']);
  });

  test('a date or an id that is none is refused with a hint', async () => {
    await assert.rejects(read({ from: '2026-02-30' }), InputError);
    await assert.rejects(read({ to: 'yesterday' }), InputError);
    await assert.rejects(read({ ids: ['1'] }), (error: InputError) => /search/.test(error.hint ?? ''));
  });

  test('a circle of replies loses nobody', async () => {
    const circle = { kind: 'reply' as const, threadRoot: 'at://x', createdAt: '2026-10-09T00:00:00Z' };
    const x = await archive.capture({
      source: 'circle',
      platformId: 'at://x',
      item: { ...circle, inReplyTo: 'at://y', text: 'x' },
    });
    const y = await archive.capture({
      source: 'circle',
      platformId: 'at://y',
      item: { ...circle, inReplyTo: 'at://x', text: 'y' },
    });
    assert.deepEqual((await read({ sources: ['circle'] })).map((r) => r.id).sort(), [x.id, y.id].sort());
  });

  test('a destroyed record shows id and state and nothing of its content, now and in every view of the past', async () => {
    const record = await archive.capture({
      source: 'gone',
      platformId: 'at://gone',
      item: { text: 'to be destroyed', createdAt: '2026-09-01T00:00:00Z' },
    });
    const before = await head();
    await archive.destroy(record);
    const [now] = await read({ sources: ['gone'] });
    assert.equal(now?.state, 'destroyed');
    assert.ok((now?.destruction?.seqs.length ?? 0) > 0 && now?.destruction?.at != null);
    const [then] = await read({ sources: ['gone'] }, before);
    assert.deepEqual(then?.destruction, { seqs: [], at: null });
    for (const view of [now, then])
      assert.deepEqual(
        [view?.text, view?.url, view?.platformId, view?.versions.length],
        [null, null, null, 0],
      );
    assert.equal((await read({ text: 'destroyed' })).length, 0);
    // A column filled again behind the archive's back is not shown either.
    await archive.asSuperuser(async (client) => {
      await client.query(
        "SET session_replication_role = replica; UPDATE snapshots SET text = 'to be destroyed', content = 'x' WHERE record_id = $1".replace(
          '$1',
          `'${record.id}'`,
        ),
      );
    });
    assert.equal((await read({ sources: ['gone'] }))[0]?.text, null);
    assert.equal((await read({ text: 'destroyed' })).length, 0);
  });
});
