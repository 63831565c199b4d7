// The rows of an archive made anew from its ledger and its objects.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROJECTED_TABLES } from '../../src/ledger/projection.ts';
import { entriesFrom } from '../../src/ledger/reader.ts';
import { rebuildRows } from '../../src/ledger/rebuild.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, testArchive } from '../support/archive.ts';

const cell = (value: unknown): string =>
  value === null
    ? 'null'
    : Buffer.isBuffer(value)
      ? value.toString('hex')
      : Array.isArray(value)
        ? JSON.stringify(value)
        : String(value);
const text = (row: object): string =>
  Object.entries(row)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${cell(value)}`)
    .join('|');

test('from ledger and objects alone every row is rebuilt equal', async (t) => {
  await using platform = await FakePlatform.start();
  const post = platform.post('1', 'Main Street is closed', {
    image: Buffer.from('a picture, as far as bytes go'),
  });
  const other = platform.post('2', 'Council meets on Tuesday');
  const { archive } = await testArchive(t, platform);
  await collectCity(archive);
  post.text = 'Main Street is open';
  platform.remove(other);
  await collectCity(archive);
  platform.posts.push(other);
  await collectCity(archive);
  const rebuilt = new Map<string, string[]>(PROJECTED_TABLES.map((table) => [table, []]));
  for await (const batch of entriesFrom(archive.database.db, 0)) {
    for (const { entry } of batch) {
      const { rows, lost } = await rebuildRows(
        entry,
        async (commitment) => {
          const { object, body } = await archive.store.get(commitment);
          return { contentType: object.contentType, metadata: object.metadata, body };
        },
        async () => false,
      );
      assert.deepEqual(lost, []);
      for (const { table, row } of rows) rebuilt.get(table)?.push(text(row));
    }
  }
  for (const table of PROJECTED_TABLES) {
    const { rows } = await archive.database.pool.query(`SELECT * FROM ${table}`);
    assert.deepEqual(rebuilt.get(table)?.sort(), rows.map((row: object) => text(row)).sort(), table);
  }
  assert.equal(rebuilt.get('records')?.length, 2);
  assert.equal(rebuilt.get('snapshots')?.length, 3);
  assert.equal(rebuilt.get('record_states')?.length, 2);
});
