// The database of an archive made anew from its ledger and its objects: everything that they say, nothing that they do not.

import assert from 'node:assert/strict';
import { cp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { storePayload } from '../../src/capture/payloads.ts';
import { homePaths, openArchive, openHomeDatabase } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { RefusedError, VerificationError } from '../../src/core/errors.ts';
import { newId } from '../../src/core/ids.ts';
import { listHolds, putPolicyInForce } from '../../src/governance.ts';
import { PROJECTED_TABLES } from '../../src/ledger/projection.ts';
import { publishLedger, searchRecords } from '../../src/operations.ts';
import { type RebuildRequest, rebuildArchive } from '../../src/rebuild.ts';
import { sweep } from '../../src/storage.ts';
import { FakePlatform } from '../support/appview.ts';
import {
  collectCity,
  superuserOf,
  type TestArchive,
  testArchive,
  verifyArchiveOf,
} from '../support/archive.ts';
import {
  adoptSchedule,
  destroyLater,
  emptyDatabase,
  environmentWith,
  HOLD,
  openRestored,
  recordOf,
  workFolder,
} from './support.ts';

describe('an archive whose database is lost', () => {
  const cleanups: (() => Promise<void>)[] = [];
  const closing = { after: (work: () => Promise<void>) => void cleanups.unshift(work) };
  let made: TestArchive;
  let platform: FakePlatform;
  let folder: string;
  let log: string;
  let destroyed: string;

  before(async () => {
    platform = await FakePlatform.start();
    folder = await workFolder(closing);
    const post = platform.post('1', 'parade on Sunday', { image: Buffer.from('a picture') });
    const other = platform.post('2', 'street closed');
    platform.post('3', 'library opens');
    made = await testArchive(closing, platform, { embedded: true });
    await collectCity(made.archive);
    post.text = 'parade on Monday';
    platform.remove(other);
    await collectCity(made.archive);
    platform.posts.push(other);
    await collectCity(made.archive);
    await adoptSchedule(made.archive);
    await writeFile(join(made.home, 'policies', 'holds', 'smith.yaml'), HOLD);
    await putPolicyInForce(made.archive);
    destroyed = await recordOf(made.archive, 'library');
    await destroyLater(made.archive, destroyed);
    log = join(folder, 'log');
    await publishLedger(made.archive, log);
  });
  after(async () => {
    await platform[Symbol.asyncDispose]();
    for (const work of cleanups) await work();
  });

  /** What is left of the home without its database, beside an empty one. */
  async function homeWithout(
    name: string,
    t: Parameters<typeof emptyDatabase>[0],
  ): Promise<{ home: string; variables: Record<string, string> }> {
    const home = join(folder, name);
    await cp(made.home, home, {
      recursive: true,
      filter: (path) => !path.startsWith(join(made.home, 'postgres')),
    });
    const { request, variables } = await emptyDatabase(t);
    const settings = join(home, 'muniment.yaml');
    const text = await readFile(settings, 'utf8');
    await writeFile(settings, `${text}database: { url: "${request.database}" }\n`);
    return { home, variables };
  }

  const rebuild = (
    home: string,
    variables: Record<string, string>,
    request: Partial<RebuildRequest> = { published: log },
    dieAt = Number.POSITIVE_INFINITY,
  ) => {
    let signs = 0;
    return rebuildArchive(
      { home, published: null, fromDatabase: null, acceptLosses: false, ...request },
      {
        environment: environmentWith(variables),
        clock: systemClock,
        signal: new AbortController().signal,
        onProgress: () => {
          signs += 1;
          if (signs >= dieAt) throw new Error('the power went');
        },
      },
    );
  };

  const rowsOf = async (archive: typeof made.archive, table: string) =>
    (await archive.database.pool.query(`SELECT * FROM ${table} ORDER BY seq, ${table}::text`)).rows as {
      seq: number;
      [column: string]: unknown;
    }[];

  test('is rebuilt from the published log: every row but those that only a destroyed document could give', async (t) => {
    const { home, variables } = await homeWithout('published', t);
    await assert.rejects(rebuild(home, variables, { published: log }, 2), /the power went/);
    await assert.rejects(
      openArchive(home, environmentWith(variables), systemClock),
      /its `muniment rebuild` was interrupted/,
    );
    const rebuilt = await rebuild(home, variables);
    assert.deepEqual([rebuilt.lostCount, rebuilt.finished.losses], [0, 0]);
    assert.ok(rebuilt.finished.lostBodies > 0 && rebuilt.token !== null);
    const archive = await openRestored(t, home, variables);
    const found = await verifyArchiveOf(archive);
    assert.deepEqual([found.ok, found.problems], [true, []]);
    assert.ok(found.payloads.destroyed >= 2);
    for (const table of PROJECTED_TABLES) {
      const whole = await rowsOf(made.archive, table);
      const own = (row: Awaited<ReturnType<typeof rowsOf>>[number]) =>
        row.record_id === destroyed || row.id === destroyed;
      const anew = await rowsOf(archive, table);
      assert.deepEqual(
        anew.filter((row) => !own(row)),
        whole.filter((row) => !own(row)),
        table,
      );
      if (table === 'records')
        assert.deepEqual(
          anew.filter(own).map((row) => [row.platform, row.kind]),
          [['unknown', 'unknown']],
        );
      if (table === 'snapshots') assert.deepEqual(anew.filter(own), whole.filter(own));
    }
    const { records } = await searchRecords(archive, { state: 'destroyed' } as Parameters<
      typeof searchRecords
    >[1]);
    assert.deepEqual(
      records.map((record) => record.id),
      [destroyed],
    );
    // What held is unknown, so it counts as not applied until somebody applies it.
    assert.equal((await listHolds(archive)).unapplied, true);
    await assert.rejects(putPolicyInForce(archive), RefusedError);
    await putPolicyInForce(archive, { lostHoldsAreBack: true });
    assert.equal((await listHolds(archive)).unapplied, false);
    // What was stored after the last entry that came back, and before the rebuild, may be a record's; older and younger is not.
    const stored = async (days: number): Promise<string> => {
      const { commitment } = await storePayload(archive, Buffer.from(`${days}`), {
        owner: { record: newId(systemClock.now()) },
        role: 'slice',
        contentType: 'application/json',
      });
      const path = join(home, 'payloads', 'objects', commitment.slice(0, 2), commitment);
      const at = new Date(Date.now() + days * 86_400_000);
      await utimes(path, at, at);
      return commitment;
    };
    const [older, between, younger] = [await stored(-3), await stored(0), await stored(3)];
    const clock = { now: () => systemClock.now().add({ hours: 12 * 24 }) };
    const swept = await sweep(
      { ...archive, clock },
      { window: 'P7D', remove: true, signal: new AbortController().signal },
    );
    const outcomes = swept.unreferenced.listed.map((one) => [one.object, one.outcome]);
    assert.deepEqual(
      new Map(outcomes as [string, string][]),
      new Map([
        [older, 'removed'],
        [between, 'after-backup'],
        [younger, 'removed'],
      ]),
    );
    await archive.store.head(between);
    await collectCity(archive);
    const after = await verifyArchiveOf(archive);
    assert.deepEqual([after.ok, after.problems], [true, []]);
    const { rows } = await archive.database.pool.query('SELECT count(*) AS n FROM records');
    // The platform still shows what was destroyed, and its identity is gone.
    assert.equal((rows[0] as { n: number }).n, 4, 'only the destroyed record is captured a second time');
  });

  test('a lost object is told as lost, never as destroyed', async (t) => {
    const { home, variables } = await homeWithout('lossy', t);
    const { rows } = await made.archive.database.pool.query(
      "SELECT commitment, record_id FROM payloads WHERE role = 'document' AND salt IS NOT NULL ORDER BY seq LIMIT 1",
    );
    const { commitment, record_id: record } = rows[0] as { commitment: string; record_id: string };
    await rm(join(home, 'payloads', 'objects', commitment.slice(0, 2), commitment), { force: true });
    await assert.rejects(rebuild(home, variables), VerificationError);
    const rebuilt = await rebuild(home, variables, { published: log, acceptLosses: true });
    assert.deepEqual(
      rebuilt.lost.map((one) => one.commitment),
      [commitment],
    );
    const archive = await openRestored(t, home, variables);
    const found = await verifyArchiveOf(archive);
    assert.equal(found.payloads.missing, 1);
    assert.deepEqual([...new Set(found.problems.map((p) => p.kind))].sort(), [
      'payload-missing',
      'row-missing',
    ]);
    const { records } = await searchRecords(archive, { state: 'destroyed' } as Parameters<
      typeof searchRecords
    >[1]);
    assert.ok(!records.some(({ id }) => id === record));
  });

  test('is rebuilt from the ledger of a database whose other rows were changed, with accounts, policy and holds', async (t) => {
    const { home, variables } = await homeWithout('from database', t);
    const { admin, close } = await superuserOf(made.archive);
    let fromDatabase: string;
    try {
      await admin.query("UPDATE snapshots SET text = 'forged' WHERE text LIKE 'parade%'");
      await admin.query("UPDATE sources SET seq = 0, name = 'forged'");
      await admin.query("UPDATE entry_bodies SET kind = 'forged' WHERE kind = 'policy.holds'");
      await using opened = await openHomeDatabase(made.archive.settings);
      fromDatabase = opened.runtimeUrl;
      assert.equal((await verifyArchiveOf(made.archive)).ok, false);
      const rebuilt = await rebuild(home, variables, { fromDatabase });
      assert.deepEqual([rebuilt.finished.lostBodies, rebuilt.finished.losses, rebuilt.token], [0, 0, null]);
    } finally {
      await close();
    }
    const archive = await openRestored(t, home, variables);
    const found = await verifyArchiveOf(archive);
    assert.deepEqual([found.ok, found.problems], [true, []]);
    assert.equal(archive.account.id, made.archive.account.id);
    assert.deepEqual(
      (await listHolds(archive)).holds.map((hold) => hold.id),
      ['smith'],
    );
  });

  test('a restore that somebody appends to the database is not signed; one that was made goes on being signed', async (t) => {
    const { home, variables } = await homeWithout('rebuilt', t);
    await rebuild(home, variables);
    const again = join(folder, 'log of the rebuilt one');
    {
      await using archive = await openArchive(home, environmentWith(variables), systemClock);
      await publishLedger(archive, again);
    }
    // keys/ is from before the first rebuild, and the log holds that: its checkpoint vouches for it.
    const second = await homeWithout('rebuilt twice', t);
    await rebuild(second.home, second.variables, { published: again });
    const { head } = homePaths(second.home);
    const newest = await readFile(head, 'utf8');
    await cp(homePaths(made.home).head, head);
    const archive = await openRestored(t, second.home, second.variables);
    assert.equal((await archive.checkpoint())?.note, JSON.parse(newest).note, 'an older head grows back');

    const { size } = await archive.ledger.head();
    const counted = await archive.ledger.write(archive.account.id, async (batch) => {
      batch.add({ type: 'sealed', body: '00'.repeat(32) });
      batch.addWithBody(
        { type: 'restore.performed', from: 'ledger', manifest: '00'.repeat(32), size: 0, replayed: size + 1 },
        'restore.performed',
        { lostBodies: (await verifyArchiveOf(archive)).lostBodies + 1 },
      );
      return size;
    });
    await assert.rejects(
      archive.checkpoint(),
      (error) => error instanceof VerificationError && /a restore that nobody made here/.test(error.message),
    );
    const found = await verifyArchiveOf(archive);
    assert.deepEqual(
      found.problems.map(({ kind, seq }) => [kind, seq]),
      [['body-missing', counted]],
    );
  });

  test('is not rebuilt from a log that is shorter than what was signed, nor into a database in use', async (t) => {
    const short = join(folder, 'short log');
    await cp(log, short, { recursive: true });
    await made.archive.ledger.write(made.archive.account.id, async (batch) => {
      batch.addWithBody({ type: 'sealed' }, 'note', 'later');
    });
    await made.archive.checkpoint();
    const { home, variables } = await homeWithout('shorter', t);
    await assert.rejects(
      rebuild(home, variables, { published: short }),
      (error) => error instanceof RefusedError && /which were signed, are lost/.test(error.message),
    );
    // Of an archive that still stands nothing is lost, however short the log.
    await assert.rejects(rebuild(made.home, {}, { published: short }), /holds a ledger already/);
    await publishLedger(made.archive, log);
    await assert.rejects(rebuild(made.home, {}), /holds a ledger already/);
    await rebuild(home, variables);
  });
});
