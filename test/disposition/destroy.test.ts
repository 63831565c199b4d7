// What is destroyed is gone from store and rows, provably and for good; what may not be destroyed is not touched.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { RefusedError, VerificationError } from '../../src/core/errors.ts';
import {
  type DecisionInputs,
  type DispositionContext,
  destroyRecords,
  finishDestructions,
} from '../../src/disposition/destroy.ts';
import { policyInForce } from '../../src/disposition/policy-in-force.ts';
import { recordFacts } from '../../src/disposition/record-facts.ts';
import { putPolicyInForce } from '../../src/governance.ts';
import { ERASED_COLUMNS } from '../../src/ledger/projection.ts';
import { searchRecords } from '../../src/operations.ts';
import { readPolicyFiles } from '../../src/policy/load.ts';
import { directoryEraser } from '../../src/store/eraser.ts';
import { FakePlatform } from '../support/appview.ts';
import {
  collectCity,
  superuserOf,
  type TestArchive,
  testArchive,
  verifyArchiveOf,
  YEAR_SCHEDULE,
} from '../support/archive.ts';

const HOLD = `id: smith
matter: Smith v. City
kind: litigation
issued: { by: Counsel, at: 2026-11-02, reason: complaint served }
scope: { text: [street] }
`;

describe('destruction', () => {
  let made: TestArchive;
  let admin: pg.Client;
  let context: DispositionContext;
  const cleanups: (() => Promise<void>)[] = [];
  const later = Temporal.PlainDate.from('2030-01-01');

  async function inputs(today = later): Promise<DecisionInputs> {
    const { settings } = made.archive;
    return {
      files: await readPolicyFiles(join(made.home, 'policies')),
      sources: settings.sources,
      civil: settings.archive,
      today,
    };
  }

  async function recordOf(text: string): Promise<string> {
    const { records } = await searchRecords(made.archive, { text } as Parameters<typeof searchRecords>[1]);
    return (records[0] as { id: string }).id;
  }

  const policyFile = (name: string) => join(made.home, 'policies', name);
  const objectFile = (commitment: string) =>
    join(made.home, 'payloads', 'objects', commitment.slice(0, 2), commitment);
  const size = async () => (await made.archive.ledger.head()).size;

  before(async () => {
    await using platform = await FakePlatform.start();
    const first = platform.post('1', 'parade on Sunday');
    platform.post('2', 'street closed');
    platform.post('3', 'library opens');
    platform.post('4', 'budget hearing');
    made = await testArchive({ after: (work) => void cleanups.push(work) }, platform);
    await collectCity(made.archive);
    first.text = 'parade on Monday';
    await collectCity(made.archive);
    await writeFile(policyFile('schedules/city.yaml'), YEAR_SCHEDULE);
    await putPolicyInForce(made.archive);
    const { database, ledger, account } = made.archive;
    context = {
      db: database.db,
      ledger,
      actor: account.id,
      store: made.archive.store.identity,
      eraser: directoryEraser({ path: join(made.home, 'payloads') }),
    };
    const superuser = await superuserOf(made.archive);
    admin = superuser.admin;
    cleanups.unshift(superuser.close);
  });
  after(async () => {
    for (const work of cleanups) await work();
  });

  test('is refused before the last retained day has passed, and nothing is entered', async () => {
    const entries = await size();
    const today = made.archive.clock.now().toZonedDateTimeISO('America/New_York').toPlainDate();
    await assert.rejects(
      destroyRecords(context, [await recordOf('parade')], await inputs(today.add({ years: 1 }))),
      RefusedError,
    );
    assert.equal(await size(), entries);
  });

  test('is refused while files differ from the policy in force', async () => {
    await writeFile(policyFile('holds/smith.yaml'), HOLD);
    await assert.rejects(destroyRecords(context, [await recordOf('library')], await inputs()), RefusedError);
  });

  test('is refused for a whole list when one record of it is held', async () => {
    await putPolicyInForce(made.archive);
    const entries = await size();
    const list = [await recordOf('library'), await recordOf('street')];
    await assert.rejects(destroyRecords(context, list, await inputs()), /may not be destroyed: held/);
    assert.equal(await size(), entries);
    assert.equal((await verifyArchiveOf(made.archive)).ok, true);
  });

  test('a hold whose entry lost its kind, its body or its bytes is not taken for none: nothing is destroyed, and verification finds it', async () => {
    const { db } = made.archive.database;
    assert.equal((await policyInForce(db, Number.MAX_SAFE_INTEGER)).policy.holds.length, 1);
    await admin.query('CREATE TEMP TABLE kept_bodies AS SELECT * FROM public.entry_bodies');
    await rename(policyFile('holds/smith.yaml'), policyFile('holds/smith.away'));
    const changes: [sql: string, kinds: string[]][] = [
      ["UPDATE entry_bodies SET kind = 'policy.holdz' WHERE kind = 'policy.holds'", ['row-differs']],
      ["DELETE FROM entry_bodies WHERE kind = 'policy.holds'", ['body-missing']],
      ["UPDATE entry_bodies SET body = '{\"files\":[]}' WHERE kind = 'policy.holds'", ['body-altered']],
      ["UPDATE entry_bodies SET body = '{}', kind = 'note' WHERE kind = 'policy.holds'", ['body-altered']],
    ];
    for (const [sql, kinds] of changes) {
      await admin.query(sql);
      await assert.rejects(policyInForce(db, Number.MAX_SAFE_INTEGER), VerificationError, sql);
      await assert.rejects(
        destroyRecords(context, [await recordOf('street')], await inputs()),
        VerificationError,
        sql,
      );
      const { problems } = await verifyArchiveOf(made.archive);
      assert.deepEqual(
        problems.map(({ kind }) => kind),
        kinds,
        sql,
      );
      await admin.query('DELETE FROM entry_bodies');
      await admin.query('INSERT INTO entry_bodies SELECT * FROM kept_bodies');
    }
    await admin.query('DROP TABLE kept_bodies');
    await rename(policyFile('holds/smith.away'), policyFile('holds/smith.yaml'));
    assert.equal((await verifyArchiveOf(made.archive)).ok, true);
  });

  test('a source whose row is gone, renamed or moved may be under a hold: nothing that it shows is destroyed, and it is not registered anew', async () => {
    const { db } = made.archive.database;
    const library = await recordOf('library');
    await admin.query('CREATE TEMP TABLE kept_sources AS SELECT * FROM public.sources');
    for (const change of [
      'DELETE FROM sources',
      "UPDATE sources SET name = 'zzz'",
      "UPDATE sources SET seq = 0, name = 'zzz'",
    ]) {
      await admin.query(change);
      const entries = await size();
      await assert.rejects(destroyRecords(context, [library], await inputs()), VerificationError, change);
      await assert.rejects(collectCity(made.archive), VerificationError, change);
      assert.equal(await size(), entries);
      await admin.query('DELETE FROM sources');
      await admin.query('INSERT INTO sources SELECT * FROM kept_sources');
    }
    await admin.query('DROP TABLE kept_sources');
    const facts = await recordFacts(db, library, Number.MAX_SAFE_INTEGER);
    assert.deepEqual(facts.sources, ['city']);
  });

  test('takes every version from store and rows, and the archive verifies with it counted', async () => {
    const record = await recordOf('parade');
    const payloads = await made.archive.database.db
      .selectFrom('payloads')
      .select('commitment')
      .where('record_id', '=', record)
      .execute();
    const done = await destroyRecords(context, [record], await inputs());
    assert.equal(done.payloads, payloads.length);
    assert.ok(payloads.length >= 4, 'two versions have two payloads each');
    for (const { commitment } of payloads) assert.equal(existsSync(objectFile(commitment)), false);
    const result = await verifyArchiveOf(made.archive);
    assert.deepEqual(result.problems, []);
    assert.equal(result.payloads.destroyed, payloads.length);
    const { rows } = await admin.query("SELECT FROM snapshots WHERE text LIKE '%parade%'");
    assert.equal(rows.length, 0);
  });

  for (const table of ['snapshots', 'payloads', 'record_identities'] as const) {
    for (const column of ERASED_COLUMNS[table]) {
      test(`${table}.${column} filled again after destruction is noticed`, async () => {
        const key = { snapshots: 'seed', payloads: 'salt', record_identities: 'platform_id' }[table];
        const { rows } = await admin.query(`SELECT ctid, seq FROM ${table} WHERE ${key} IS NULL LIMIT 1`);
        const row = rows[0] as { seq: number };
        const type = (
          await admin.query(
            `SELECT format_type(atttypid, atttypmod) AS t FROM pg_attribute WHERE attrelid = '${table}'::regclass AND attname = '${column}'`,
          )
        ).rows[0] as { t: string };
        const value = type.t.endsWith('[]')
          ? "'{back}'"
          : type.t.startsWith('timestamp')
            ? 'now()'
            : type.t === 'integer'
              ? '1'
              : type.t === 'bytea'
                ? "'\\x00'"
                : "'back'";
        await admin.query(`UPDATE ${table} SET ${column} = ${value} WHERE seq = ${row.seq}`);
        const result = await verifyArchiveOf(made.archive);
        await admin.query(`UPDATE ${table} SET ${column} = NULL WHERE seq = ${row.seq}`);
        assert.equal(result.ok, false);
        assert.ok(result.payloads.presentAfterDestruction > 0);
        const problem = result.problems.find((p) => p.kind === 'present-after-destruction');
        assert.match(problem?.detail ?? '', new RegExp(`${table}\\.${column}`));
        assert.equal(problem?.seq, row.seq);
      });
    }
  }

  test('an object that comes back, from a backup for instance, is noticed', async () => {
    const record = await recordOf('library');
    const rows = await made.archive.database.db
      .selectFrom('payloads')
      .select(['commitment', 'role'])
      .where('record_id', '=', record)
      .execute();
    const backup = (commitment: string) => join(made.home, 'spool', commitment);
    for (const { commitment } of rows) await copyFile(objectFile(commitment), backup(commitment));
    await destroyRecords(context, [record], await inputs());
    assert.equal((await verifyArchiveOf(made.archive)).ok, true);
    for (const { commitment, role } of rows) {
      await copyFile(backup(commitment), objectFile(commitment));
      const result = await verifyArchiveOf(made.archive);
      await rm(objectFile(commitment), { force: true });
      assert.equal(result.payloads.presentAfterDestruction, 1, role);
      const problem = result.problems.find((p) => p.kind === 'present-after-destruction');
      assert.match(problem?.detail ?? '', new RegExp(commitment));
    }
  });

  test('an object that was lost cannot be passed off as destroyed', async () => {
    const record = await recordOf('street');
    const { rows } = await admin.query('SELECT commitment FROM payloads WHERE record_id = $1 LIMIT 1', [
      record,
    ]);
    const { commitment } = rows[0] as { commitment: string };
    const kept = await readFile(objectFile(commitment));
    await rm(objectFile(commitment), { force: true });
    await admin.query(
      'INSERT INTO payload_destructions (commitment, seq, record_id, intent) VALUES ($1, 2, $2, 1)',
      [commitment, record],
    );
    const result = await verifyArchiveOf(made.archive);
    await admin.query('DELETE FROM payload_destructions WHERE commitment = $1', [commitment]);
    await writeFile(objectFile(commitment), kept, { mode: 0o440 });
    assert.equal(result.ok, false);
    assert.equal((await verifyArchiveOf(made.archive)).ok, true);
  });

  test('that was interrupted after any of its objects is told by verify, and finished when it is taken up again', async () => {
    const record = await recordOf('budget');
    let left = 1;
    const dying: DispositionContext = {
      ...context,
      eraser: {
        async erase(key) {
          if (left === 0) throw new Error('the power went');
          left -= 1;
          await context.eraser.erase(key);
        },
      },
    };
    await assert.rejects(destroyRecords(dying, [record], await inputs()), /the power went/);
    assert.equal((await verifyArchiveOf(made.archive)).payloads.missing, 1);
    assert.equal((await finishDestructions(context)).length, 1);
    assert.deepEqual((await verifyArchiveOf(made.archive)).problems, []);
    assert.deepEqual(await finishDestructions(context), []);
  });

  test('needs the rights of the eraser: the archive itself may not empty a column', async () => {
    await assert.rejects(made.archive.database.pool.query('UPDATE snapshots SET text = NULL'), {
      code: '42501',
    });
  });

  // Last, because nothing can take it back.
  test('a destruction that no intent names is noticed, even by an entry that the archive itself made', async () => {
    const record = await recordOf('street');
    const { rows } = await admin.query('SELECT commitment FROM payloads WHERE record_id = $1 LIMIT 1', [
      record,
    ]);
    const { commitment } = rows[0] as { commitment: string };
    await made.archive.ledger.write(made.archive.account.id, async (batch) => {
      batch.add({ type: 'payload.destroyed', record, payload: commitment, intent: 2 });
    });
    const kinds = (await verifyArchiveOf(made.archive)).problems.map((problem) => problem.kind);
    assert.ok(kinds.includes('destruction-without-intent'), kinds.join());
    assert.ok(kinds.includes('present-after-destruction'), kinds.join());
  });
});
