// The comparison of store and rows takes constant memory however many there are, and does not believe an order that it was not given.
// SWEEP_ROWS=1000000 node --test test/upkeep/compare.test.ts runs it at length.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { ServiceError } from '../../src/core/errors.ts';
import { type DatabaseHandle, openDatabase } from '../../src/db/database.ts';
import type { ListedObject } from '../../src/store/objects.ts';
import { compare, type PayloadRow, payloadRows } from '../../src/upkeep/compare.ts';
import { freshDatabase } from '../support/postgres.ts';

const ROWS = Number(process.env.SWEEP_ROWS ?? 30_000);
const GROWTH_ALLOWED = 250 * 1024 * 1024;
const modifiedAt = Temporal.Instant.from('2026-11-01T12:00:00Z');

async function* listing(keys: Iterable<string>): AsyncGenerator<ListedObject> {
  for (const key of keys) yield { key, length: 1, modifiedAt };
}

async function* rowsOf(keys: Iterable<string>): AsyncGenerator<PayloadRow> {
  for (const commitment of keys) {
    const nothing = { record: null, run: null, role: null, contentType: null, salt: null, seed: null };
    yield { commitment, destroyed: null, kept: false, seq: 1, length: 1, ...nothing };
  }
}

/** An empty database, with a superuser who may write any row. */
async function freshRows(t: TestContext): Promise<{ database: DatabaseHandle; admin: pg.Client }> {
  const fresh = await freshDatabase();
  const database = await openDatabase(fresh.runtimeUrl);
  const admin = new pg.Client({ connectionString: fresh.adminUrl });
  await admin.connect();
  t.after(async () => {
    await admin.end();
    await database[Symbol.asyncDispose]();
    await fresh.close();
  });
  await admin.query("SET session_replication_role = 'replica'");
  return { database, admin };
}

test(`${ROWS} rows are held against as many objects in constant memory, and every difference is found`, async (t) => {
  const { database, admin } = await freshRows(t);
  await admin.query(
    `INSERT INTO payloads (commitment, seq, run_id, role, content_type, length, salt, sha256)
     SELECT encode(sha256(convert_to('payload ' || n, 'UTF8')), 'hex'), n, '01890000-0000-7000-8000-000000000000', 'report', 'text/plain', 1, sha256('salt'), 'x'
     FROM generate_series(1, $1::integer) AS n`,
    [ROWS],
  );
  /** Lacks every thousandth payload and has a stranger in its place, right after it. */
  async function* almost(): AsyncGenerator<ListedObject> {
    let n = 0;
    for await (const { commitment } of payloadRows(database, 'directory:/store')) {
      n += 1;
      yield { key: n % 1000 === 0 ? `${commitment}0` : commitment, length: 1, modifiedAt };
    }
  }
  const before = process.memoryUsage().rss;
  let most = before;
  const found = { both: 0, object: 0, row: 0 };
  for await (const { object, row } of compare(almost(), payloadRows(database, 'directory:/store'))) {
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

test('rows come by the bytes of their keys, although the database sorts as Danish does (aa after az)', async (t) => {
  const { database, admin } = await freshRows(t);
  await admin.query('DROP VIEW audit_payloads');
  await admin.query('ALTER TABLE payloads ALTER COLUMN commitment TYPE text COLLATE "da-x-icu"');
  const keys = ['aa', 'ab', 'af'].map((start) => start.padEnd(64, '0'));
  await admin.query(
    `INSERT INTO payloads (commitment, seq, run_id, role, content_type, length)
     SELECT key, 1, '01890000-0000-7000-8000-000000000000', 'report', 'text/plain', 1 FROM unnest($1::text[]) AS key`,
    [keys],
  );
  const { rows } = await admin.query('SELECT commitment FROM payloads ORDER BY commitment');
  assert.deepEqual(
    (rows as PayloadRow[]).map((row) => row.commitment),
    [keys[1], keys[2], keys[0]],
  );
  const given = await Array.fromAsync(payloadRows(database, 'directory:/store'));
  assert.deepEqual(
    given.map((row) => row.commitment),
    keys,
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
