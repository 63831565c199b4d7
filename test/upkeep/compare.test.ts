// The comparison of store and rows takes constant memory however many there are, and does not believe an order that it was not given.
// SWEEP_ROWS=1000000 node --test test/upkeep/compare.test.ts runs it at length.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { sha256Hex } from '../../src/core/digest.ts';
import { ServiceError } from '../../src/core/errors.ts';
import { openDatabase } from '../../src/db/database.ts';
import type { ListedObject } from '../../src/store/objects.ts';
import { compare, type PayloadRow, payloadRows } from '../../src/upkeep/compare.ts';
import { freshDatabase } from '../support/postgres.ts';

const ROWS = Number(process.env.SWEEP_ROWS ?? 30_000);
const GROWTH_ALLOWED = 120 * 1024 * 1024;
const modifiedAt = Temporal.Instant.from('2026-11-01T12:00:00Z');

/** Payload n is under this key; the two halves of the hash keep the order apart from n. */
const keyOf = (n: number): string => sha256Hex(`payload ${n}`);

async function* listing(keys: Iterable<string>): AsyncGenerator<ListedObject> {
  for (const key of keys) yield { key, length: 1, modifiedAt };
}

async function* rowsOf(keys: Iterable<string>): AsyncGenerator<PayloadRow> {
  for (const commitment of keys) {
    const nothing = { record: null, run: null, role: null, contentType: null, salt: null, seed: null };
    yield { commitment, destroyed: null, kept: false, seq: 1, length: 1, ...nothing };
  }
}

test(`${ROWS} rows are held against as many objects in constant memory, and every difference is found`, async (t) => {
  const fresh = await freshDatabase();
  const database = await openDatabase(fresh.runtimeUrl);
  t.after(async () => {
    await database[Symbol.asyncDispose]();
    await fresh.close();
  });
  const admin = new pg.Client({ connectionString: fresh.adminUrl });
  await admin.connect();
  await admin.query("SET session_replication_role = 'replica'");
  await admin.query(
    `INSERT INTO payloads (commitment, seq, run_id, role, content_type, length, salt, sha256)
     SELECT encode(sha256(convert_to('payload ' || n, 'UTF8')), 'hex'), n, '01890000-0000-7000-8000-000000000000', 'report', 'text/plain', 1, sha256('salt'), 'x'
     FROM generate_series(1, $1::integer) AS n`,
    [ROWS],
  );
  await admin.end();
  // The listing lacks every thousandth payload and has as many strangers; sorted outside of what is measured.
  const keys = [];
  for (let n = 1; n <= ROWS; n += 1) keys.push(keyOf(n % 1000 === 0 ? -n : n));
  keys.sort();
  const before = process.memoryUsage().rss;
  let most = before;
  const found = { both: 0, object: 0, row: 0 };
  for await (const { object, row } of compare(
    listing(keys),
    payloadRows(database.pool, 'directory:/store'),
  )) {
    if (object !== null && row !== null) found.both += 1;
    else if (object !== null) found.object += 1;
    else found.row += 1;
    if ((found.both + found.object) % 1000 === 0) most = Math.max(most, process.memoryUsage().rss);
  }
  const apart = Math.floor(ROWS / 1000);
  assert.deepEqual(found, { both: ROWS - apart, object: apart, row: apart });
  t.diagnostic(`grew by ${Math.round((most - before) / 1024 / 1024)} MiB`);
  assert.ok(most - before < GROWTH_ALLOWED, `grew by ${most - before} bytes`);
});

test('keys come by their bytes, not as some language sorts letters', async () => {
  const [low, high] = [`aa${'0'.repeat(62)}`, `ab${'0'.repeat(62)}`];
  const seen = await Array.fromAsync(compare(listing([low, high]), rowsOf([low, high])));
  assert.deepEqual(
    seen.map(({ object, row }) => [object?.key, row?.commitment]),
    [
      [low, low],
      [high, high],
    ],
  );
});

test('a listing or rows out of order, or with a key twice, are an error and not a loss', async () => {
  const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
  for (const [objects, rows] of [
    [
      [b, a],
      [a, b],
    ],
    [[a, a], [a]],
    [[a], [b, a]],
  ] as const) {
    await assert.rejects(Array.fromAsync(compare(listing(objects), rowsOf(rows))), ServiceError);
  }
});
