// An archive that somebody with every right on the database has changed: each change is found, and its place is named.

import assert from 'node:assert/strict';
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { openArchive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { VerificationError } from '../../src/core/errors.ts';
import { decodeEntry, type Entry, encodeEntry, genesis } from '../../src/ledger/entry.ts';
import { leafHash, RightEdge } from '../../src/ledger/tree.ts';
import { verify } from '../../src/operations.ts';
import { containerHeader, readContainerHeader } from '../../src/store/container.ts';
import { FakePlatform } from '../support/appview.ts';
import {
  collectCity,
  superuserOf,
  type TestArchive,
  testArchive,
  verifyArchiveOf,
} from '../support/archive.ts';

interface Change {
  readonly what: string;
  readonly sql: string;
  readonly kind: string;
}

const CHANGES: readonly Change[] = [
  {
    what: 'a text column',
    sql: "UPDATE snapshots SET text = 'never said' WHERE version = 1",
    kind: 'row-differs',
  },
  { what: 'an author', sql: "UPDATE snapshots SET author_handle = 'somebody.else'", kind: 'row-differs' },
  { what: 'a status of a run', sql: "UPDATE capture_runs SET status = 'partial'", kind: 'row-differs' },
  {
    what: 'a removed snapshot row',
    sql: 'DELETE FROM snapshots WHERE seq = (SELECT max(seq) FROM snapshots)',
    kind: 'row-missing',
  },
  {
    what: 'an invented identity',
    sql: "INSERT INTO record_identities SELECT record_id, seq, platform, namespace, 'at://invented' FROM record_identities LIMIT 1",
    kind: 'row-unexpected',
  },
  {
    what: 'a byte of an entry',
    sql: 'UPDATE ledger_entries SET entry = set_byte(entry, 40, 120) WHERE seq = 5',
    kind: 'entry-altered',
  },
  { what: 'a removed entry', sql: 'DELETE FROM ledger_entries WHERE seq = 5', kind: 'entry-missing' },
  { what: 'a truncated ledger', sql: 'DELETE FROM ledger_entries WHERE seq > 5', kind: 'ledger-truncated' },
  {
    what: 'two entries exchanged',
    sql: 'UPDATE ledger_entries AS a SET entry = b.entry, leaf = b.leaf FROM ledger_entries AS b WHERE (a.seq, b.seq) IN ((4, 5), (5, 4))',
    kind: 'entry-moved',
  },
  {
    what: 'an inserted entry',
    sql: 'INSERT INTO ledger_entries SELECT (SELECT max(seq) + 1 FROM ledger_entries), entry, leaf FROM ledger_entries WHERE seq = 4',
    kind: 'entry-moved',
  },
  { what: 'another head', sql: 'UPDATE ledger_head SET root = sha256(root)', kind: 'head-differs' },
  {
    what: "the head's right edge",
    sql: 'UPDATE ledger_head SET edge = set_byte(edge, 0, get_byte(edge, 0) # 1)',
    kind: 'head-differs',
  },
  {
    what: 'the leaf that the head continues',
    sql: 'UPDATE ledger_head SET last = sha256(last)',
    kind: 'head-differs',
  },
  {
    what: "the head's time",
    sql: "UPDATE ledger_head SET at = at - interval '1 day'",
    kind: 'head-differs',
  },
  { what: 'a body of an entry', sql: "UPDATE entry_bodies SET body = body || ' '", kind: 'body-altered' },
  {
    what: 'another kind of a body',
    sql: "UPDATE entry_bodies SET kind = 'note' WHERE kind = 'source'",
    kind: 'row-differs',
  },
  { what: 'a salt', sql: 'UPDATE payloads SET salt = sha256(salt)', kind: 'row-differs' },
  { what: 'another name of a source', sql: "UPDATE sources SET name = 'other'", kind: 'row-differs' },
  {
    what: 'a source moved to an entry that is none of its own',
    sql: "UPDATE sources SET seq = 0, name = 'other'",
    kind: 'row-differs',
  },
  { what: 'a removed source', sql: 'DELETE FROM sources', kind: 'row-missing' },
  {
    what: 'an invented source',
    sql: "INSERT INTO sources SELECT gen_random_uuid(), seq, 'invented', platform FROM sources",
    kind: 'row-unexpected',
  },
  {
    what: 'other roles of an account, moved to another entry',
    sql: "UPDATE accounts SET roles = '{}', seq = 5",
    kind: 'row-differs',
  },
  { what: 'a removed account', sql: 'DELETE FROM accounts', kind: 'row-missing' },
  {
    what: 'an invented account at the entry of a capture',
    sql: "INSERT INTO accounts SELECT gen_random_uuid(), (SELECT max(seq) FROM snapshots), 'ghost', roles, token_hash FROM accounts",
    kind: 'row-unexpected',
  },
];

describe('an archive that was tampered with', () => {
  let made: TestArchive;
  let admin: pg.Client;

  before(async () => {
    await using platform = await FakePlatform.start();
    const post = platform.post('1', 'Main Street is closed');
    platform.post('2', 'Council meets on Tuesday');
    made = await testArchive({ after: (work) => void cleanups.push(work) }, platform);
    await collectCity(made.archive);
    post.text = 'Main Street is open';
    await collectCity(made.archive);
    const superuser = await superuserOf(made.archive);
    admin = superuser.admin;
    cleanups.unshift(superuser.close);
  });
  const cleanups: (() => Promise<void>)[] = [];

  test('verifies as long as nobody touched it', async () => {
    assert.deepEqual((await verifyArchiveOf(made.archive)).problems, []);
  });

  for (const { what, sql, kind } of CHANGES) {
    test(`${what} is noticed as ${kind}`, async () => {
      const tables = [
        'snapshots',
        'payloads',
        'capture_runs',
        'record_identities',
        'ledger_entries',
        'ledger_head',
        'entry_bodies',
        'sources',
        'accounts',
      ];
      for (const table of tables)
        await admin.query(`CREATE TEMP TABLE kept_${table} AS SELECT * FROM public.${table}`);
      const changed = await admin.query(sql);
      assert.ok((changed.rowCount ?? 0) > 0, 'the change changed nothing');
      const result = await verifyArchiveOf(made.archive);
      for (const table of tables) {
        await admin.query(`DELETE FROM public.${table}`);
        await admin.query(`INSERT INTO public.${table} SELECT * FROM kept_${table}`);
        await admin.query(`DROP TABLE kept_${table}`);
      }
      assert.equal(result.ok, false);
      assert.ok(
        result.problems.some((problem) => problem.kind === kind),
        `found ${result.problems.map((problem) => `${problem.kind}@${problem.seq}`).join(', ')}`,
      );
    });
  }

  test('a ledger rewritten consistently from one entry on, by someone without the key, is noticed', async () => {
    const tables = ['ledger_entries', 'ledger_subtrees', 'ledger_head', 'checkpoints', 'capture_runs'];
    for (const table of tables)
      await admin.query(`CREATE TEMP TABLE kept_${table} AS SELECT * FROM public.${table}`);
    // The last run never was partial: its entry says so now, and so does its row; every later entry is chained anew.
    const { rows } = await admin.query('SELECT seq, entry FROM ledger_entries ORDER BY seq');
    const log = (rows as { seq: number; entry: Buffer }[]).map(
      (row) => decodeEntry(row.entry).entry as Entry,
    );
    const first = log.findLast((entry) => entry.type === 'run.finished') as Entry;
    const edge = RightEdge.from(0, []);
    let prev = genesis(made.archive.settings.archive.origin);
    for (const entry of log) {
      const changed = entry.seq === first.seq ? { ...entry, status: 'failed' } : entry;
      const bytes = encodeEntry({ ...changed, prev: prev.toString('base64') } as Entry);
      prev = leafHash(bytes);
      edge.append(prev);
      await admin.query('UPDATE ledger_entries SET entry = $2, leaf = $3 WHERE seq = $1', [
        entry.seq,
        bytes,
        prev,
      ]);
    }
    await admin.query('UPDATE ledger_head SET root = $1, edge = $2, last = $3', [
      edge.root(),
      edge.encode(),
      prev,
    ]);
    await admin.query("UPDATE capture_runs SET status = 'failed' WHERE seq = $1", [first.seq]);
    const kept = await verifyArchiveOf(made.archive);
    // The same, with every checkpoint that would contradict it removed: only what lies outside the database can tell now.
    await admin.query('DELETE FROM checkpoints WHERE size > $1', [first.seq]);
    const removed = await verifyArchiveOf(made.archive);
    for (const table of tables) {
      await admin.query(`DELETE FROM public.${table}`);
      await admin.query(`INSERT INTO public.${table} SELECT * FROM kept_${table}`);
      await admin.query(`DROP TABLE kept_${table}`);
    }
    assert.ok(kept.problems.some((problem) => problem.kind === 'checkpoint-differs'));
    assert.deepEqual(
      removed.problems.map((problem) => problem.kind),
      ['root-differs'],
      'the rewritten ledger is consistent in itself; the pinned head is what gives it away',
    );
    assert.deepEqual((await verifyArchiveOf(made.archive)).problems, []);
  });

  test('nothing is entered on a head that does not fit the newest entry, and a head put right goes on', async () => {
    const { ledger, account } = made.archive;
    const count = async () => {
      const { rows } = await admin.query('SELECT count(*) AS n FROM ledger_entries');
      return (rows[0] as { n: number }).n;
    };
    const changes = [
      'last = sha256(last)',
      "at = at + interval '1 day'",
      "at = at - interval '1 day'",
      'root = sha256(root)',
      'edge = sha256(edge)',
      'size = size - 1',
      'size = size + 1',
    ];
    const before = await count();
    await admin.query('CREATE TEMP TABLE kept_head AS SELECT * FROM public.ledger_head');
    for (const change of changes) {
      await admin.query(`UPDATE ledger_head SET ${change}`);
      await assert.rejects(
        ledger.write(account.id, async (batch) => batch.add({ type: 'key.added', key: 'never' })),
        VerificationError,
        change,
      );
      await admin.query('DELETE FROM ledger_head');
      await admin.query('INSERT INTO ledger_head SELECT * FROM kept_head');
    }
    await admin.query('DROP TABLE kept_head');
    assert.equal(await count(), before);
    await ledger.write(account.id, async (batch) =>
      batch.add({ type: 'key.added', key: made.archive.verifierKeyText }),
    );
    await made.archive.checkpoint();
    assert.deepEqual((await verifyArchiveOf(made.archive)).problems, []);
  });

  test('nobody acts by an account that no entry vouches for, and what it entered before is noticed', async () => {
    const { ledger } = made.archive;
    const ghost = '019a3c5e-0000-7000-8000-00000000000f';
    const tables = ['ledger_entries', 'ledger_head', 'accounts', 'capture_runs'];
    for (const table of tables)
      await admin.query(`CREATE TEMP TABLE kept_${table} AS SELECT * FROM public.${table}`);
    await admin.query(
      `INSERT INTO accounts SELECT $1, (SELECT max(seq) FROM snapshots), 'ghost', roles, sha256('token') FROM accounts`,
      [ghost],
    );
    const acting = openArchive(
      made.home,
      { home: null, token: 'token', configFolder: '/nonexistent', variables: {} },
      systemClock,
    );
    await assert.rejects(
      acting,
      (error) => error instanceof VerificationError && /ghost/.test(error.message),
    );
    const seq = await ledger.write(ghost, async (batch) => batch.add({ type: 'key.added', key: 'its own' }));
    await admin.query('DELETE FROM accounts WHERE id = $1', [ghost]);
    const { problems } = await verifyArchiveOf(made.archive);
    for (const table of tables) {
      await admin.query(`DELETE FROM public.${table}`);
      await admin.query(`INSERT INTO public.${table} SELECT * FROM kept_${table}`);
      await admin.query(`DROP TABLE kept_${table}`);
    }
    assert.deepEqual(
      problems.map((problem) => [problem.kind, problem.seq]),
      [['actor-unknown', seq]],
    );
  });

  test('a signed head that is gone from outside the database is noticed, also where every checkpoint is gone with it', async () => {
    const head = join(made.home, 'keys', 'head.json');
    const kindsOf = async (archive: typeof made.archive, anchors: string[] = []) => {
      const { problems } = await verify(archive, { anchors, signal: new AbortController().signal });
      return problems.map((problem) => problem.kind);
    };
    const anchor = join(made.home, 'anchor.txt');
    await writeFile(anchor, (await made.archive.checkpoint())?.note as string);
    await rename(head, `${head}.away`);
    assert.deepEqual(await kindsOf(made.archive), ['pinned-head-missing']);
    await admin.query('CREATE TEMP TABLE kept_checkpoints AS SELECT * FROM public.checkpoints');
    await admin.query('DELETE FROM checkpoints');
    const worker = { ...made.archive, signer: null };
    const [signing, anchored, working, workingAnchored] = [
      await kindsOf(made.archive),
      await kindsOf(made.archive, [anchor]),
      await kindsOf(worker),
      await kindsOf(worker, [anchor]),
    ];
    await admin.query('INSERT INTO checkpoints SELECT * FROM kept_checkpoints');
    await rename(`${head}.away`, head);
    assert.deepEqual(signing, ['pinned-head-missing']);
    assert.deepEqual(
      anchored,
      ['pinned-head-missing'],
      'whoever signs must find the head that was signed last',
    );
    assert.deepEqual(working, ['pinned-head-missing'], 'a machine without the signing key cannot know alone');
    assert.deepEqual(workingAnchored, [], 'with a checkpoint from elsewhere it can');
    assert.deepEqual((await verifyArchiveOf(made.archive)).problems, []);
  });

  test('one changed byte of any payload is noticed', async () => {
    const rows = await made.archive.database.db
      .selectFrom('payloads')
      .select(['commitment', 'role'])
      .execute();
    for (const { commitment } of rows) {
      const path = join(made.home, 'payloads', 'objects', commitment.slice(0, 2), commitment);
      const bytes = await readFile(path);
      const altered = Buffer.from(bytes);
      altered[altered.length - 2] = (altered[altered.length - 2] as number) ^ 1;
      await chmod(path, 0o600);
      await writeFile(path, altered);
      const result = await verifyArchiveOf(made.archive);
      await writeFile(path, bytes);
      assert.equal(result.payloads.altered, 1);
      assert.ok(result.problems.some((problem) => problem.detail.includes(commitment)));
    }
  });

  test('an altered slice is noticed and every payload counted, also while the document that names it is gone or altered', async () => {
    const objectOf = (commitment: string) =>
      join(made.home, 'payloads', 'objects', commitment.slice(0, 2), commitment);
    const rows = await made.archive.database.db
      .selectFrom('payloads')
      .select(['commitment', 'role', 'seq'])
      .execute();
    const slice = rows.find(({ role }) => role === 'slice') as (typeof rows)[number];
    const document = rows.find(({ role, seq }) => role === 'document' && seq === slice.seq);
    const [ofSlice, ofDocument] = [objectOf(slice.commitment), objectOf(document?.commitment as string)];
    const [whole, said] = [await readFile(ofSlice), await readFile(ofDocument)];
    const flipped = (bytes: Buffer) => {
      const altered = Buffer.from(bytes);
      altered[altered.length - 2] = (altered[altered.length - 2] as number) ^ 1;
      return altered;
    };
    for (const path of [ofSlice, ofDocument]) await chmod(path, 0o600);

    await rename(ofDocument, `${ofDocument}.away`);
    const alone = await verifyArchiveOf(made.archive);
    await writeFile(ofSlice, flipped(whole));
    const gone = await verifyArchiveOf(made.archive);
    await rename(`${ofDocument}.away`, ofDocument);
    await writeFile(ofDocument, flipped(said));
    const both = await verifyArchiveOf(made.archive);
    await writeFile(ofDocument, said);
    await writeFile(ofSlice, whole);

    const countsOf = ({ payloads: { intact, missing, altered } }: typeof gone) => [intact, missing, altered];
    assert.deepEqual(countsOf(alone), [rows.length - 1, 1, 0]);
    assert.deepEqual(
      alone.problems.map(({ kind }) => kind),
      ['payload-missing'],
    );
    assert.deepEqual(countsOf(gone), [rows.length - 2, 1, 1]);
    assert.deepEqual(
      gone.problems.map(({ kind, seq }) => ({ kind, seq })),
      [
        { kind: 'payload-missing', seq: slice.seq },
        { kind: 'payload-altered', seq: slice.seq },
      ],
    );
    assert.match(gone.problems[1]?.detail ?? '', new RegExp(slice.commitment));
    assert.deepEqual(countsOf(both), [rows.length - 2, 0, 2]);
    assert.deepEqual((await verifyArchiveOf(made.archive)).problems, []);
  });

  test('another content type, role or owner of a stored payload is noticed, in the object and in the row, and in both at once', async () => {
    const row = await made.archive.database.db
      .selectFrom('payloads')
      .select(['commitment', 'content_type'])
      .where('role', '=', 'slice')
      .limit(1)
      .executeTakeFirstOrThrow();
    const path = join(made.home, 'payloads', 'objects', row.commitment.slice(0, 2), row.commitment);
    const whole = await readFile(path);
    const { contentType, metadata, length, start } = readContainerHeader(row.commitment, whole, whole.length);
    assert.equal(contentType, row.content_type);
    const object = (changed: object) => {
      const description = { contentType, metadata, ...changed };
      return Buffer.concat([containerHeader(row.commitment, length, description), whole.subarray(start)]);
    };
    const changes: [bytes: Buffer, type: string, kinds: string[]][] = [
      [object({ contentType: 'text/html' }), contentType, ['payload-altered']],
      [whole, 'text/html', ['row-differs']],
      [object({ contentType: 'text/html' }), 'text/html', ['payload-altered', 'row-differs']],
      [object({ metadata: { ...metadata, role: 'media' } }), contentType, ['payload-altered']],
      [
        object({ metadata: { ...metadata, record: made.archive.account.id } }),
        contentType,
        ['payload-altered'],
      ],
      [object({ metadata: { ...metadata, archive: '0000000000000000' } }), contentType, ['payload-altered']],
    ];
    await chmod(path, 0o600);
    for (const [bytes, type, kinds] of changes) {
      await writeFile(path, bytes);
      await admin.query('UPDATE payloads SET content_type = $2 WHERE commitment = $1', [
        row.commitment,
        type,
      ]);
      const result = await verifyArchiveOf(made.archive);
      assert.deepEqual(
        result.problems.map((problem) => problem.kind),
        kinds,
      );
      assert.equal(result.payloads.altered, kinds.includes('payload-altered') ? 1 : 0);
    }
    await writeFile(path, whole);
    await admin.query('UPDATE payloads SET content_type = $2 WHERE commitment = $1', [
      row.commitment,
      contentType,
    ]);
    assert.deepEqual((await verifyArchiveOf(made.archive)).problems, []);
  });

  test('the runtime role itself can change or remove no entry, by grant and by trigger', async () => {
    const runtime = made.archive.database.pool;
    for (const statement of [
      'UPDATE ledger_entries SET leaf = leaf',
      'DELETE FROM ledger_entries',
      'TRUNCATE ledger_entries CASCADE',
    ]) {
      await assert.rejects(runtime.query(statement), { code: '42501' });
    }
    const { rows } = await admin.query("SELECT current_setting('session_replication_role') AS role");
    assert.equal((rows[0] as { role: string }).role, 'replica');
    await admin.query("SET session_replication_role = 'origin'");
    await assert.rejects(admin.query('DELETE FROM ledger_entries'), { code: '42501' });
    await admin.query("SET session_replication_role = 'replica'");
  });

  after(async () => {
    for (const work of cleanups) await work();
  });
});
