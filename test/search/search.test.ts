// The search command's answer, on a real database.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { search } from '../../src/search/search.ts';
import { SampleArchive, type SampleRecord } from '../export/sample-archive.ts';

describe('search', () => {
  let archive: SampleArchive;
  let edited: SampleRecord;
  let gone: SampleRecord;
  let missing: SampleRecord;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    archive = await SampleArchive.open({ after: (fn) => void cleanups.push(fn as () => unknown) });
    const first = await archive.capture({
      source: 'city',
      platformId: 'at://1',
      item: { text: 'Snow emergency', createdAt: '2026-01-05T10:00:00Z' },
    });
    edited = await archive.capture({
      source: 'city',
      again: first,
      platformId: 'at://1',
      item: { text: 'Snow emergency lifted', createdAt: '2026-01-05T10:00:00Z' },
    });
    missing = await archive.capture({
      source: 'parks',
      platformId: 'at://2',
      item: { text: 'Snow in the park', createdAt: '2026-01-06T10:00:00Z' },
    });
    await archive.missing(missing, 'hidden');
    gone = await archive.capture({
      source: 'parks',
      platformId: 'at://3',
      item: { text: 'Snow plough sold' },
    });
    await archive.destroy(gone);
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  test('a result carries what others rely on, in their shape', async () => {
    const result = await search(archive.db, { text: 'emergency' }, await archive.asOf());
    assert.deepEqual(result, {
      total: 1,
      records: [
        {
          id: edited.id,
          sources: ['city'],
          platform: 'bluesky',
          platformId: 'at://1',
          url: 'https://social.example/at%3A%2F%2F1',
          kind: 'post',
          author: { id: 'did:example:city', handle: 'city.example.gov', name: 'City of Example' },
          createdAt: '2026-01-05T10:00:00Z',
          title: null,
          text: 'Snow emergency lifted',
          versions: 2,
          state: 'live',
        },
      ],
    });
  });

  test('the newest comes first, a page at a time, and the total counts all', async () => {
    const page = async (offset: number) =>
      search(archive.db, { text: 'snow', limit: 1, offset }, await archive.asOf());
    assert.deepEqual(
      [(await page(0)).records[0]?.id, (await page(1)).records[0]?.id],
      [missing.id, edited.id],
    );
    assert.deepEqual(
      [(await page(0)).total, (await page(5)).total, (await page(5)).records.length],
      [2, 2, 0],
    );
  });

  test('a destroyed record shows id and state alone', async () => {
    const { records } = await search(archive.db, { state: 'destroyed' }, await archive.asOf());
    assert.deepEqual(records, [
      {
        id: gone.id,
        state: 'destroyed',
        sources: null,
        platform: null,
        platformId: null,
        url: null,
        kind: null,
        author: null,
        createdAt: null,
        title: null,
        text: null,
        versions: null,
      },
    ]);
  });

  test('state and source narrow the search', async () => {
    const asOf = await archive.asOf();
    assert.deepEqual(
      (await search(archive.db, { state: 'missing' }, asOf)).records.map((r) => r.id),
      [missing.id],
    );
    assert.deepEqual(
      (await search(archive.db, { source: 'city' }, asOf)).records.map((r) => r.id),
      [edited.id],
    );
    assert.equal((await search(archive.db, { source: 'nobody' }, asOf)).total, 0);
  });
});
