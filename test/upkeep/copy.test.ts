// An archive moves to another store with every payload verified, nothing destroyed taken along, and no moment in which the two disagree. Where
// S3_TEST_ENDPOINT names a service, in buckets too.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3';
import type { Archive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import {
  IncompleteError,
  InputError,
  ObjectExistsError,
  ObjectNotFoundError,
  RefusedError,
  ServiceError,
  VerificationError,
} from '../../src/core/errors.ts';
import type { StoreSettings } from '../../src/core/settings.ts';
import { destroyRecords } from '../../src/disposition/destroy.ts';
import { putPolicyInForce } from '../../src/governance.ts';
import { decodeEntry } from '../../src/ledger/entry.ts';
import { readPolicyFiles } from '../../src/policy/load.ts';
import { archiveStatus } from '../../src/status.ts';
import { copy, sweep } from '../../src/storage.ts';
import { openEraser } from '../../src/store/eraser.ts';
import { type ObjectStore, readObject } from '../../src/store/objects.ts';
import { openStore } from '../../src/store/open.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, testArchive, verifyArchiveOf, YEAR_SCHEDULE } from '../support/archive.ts';
import { muniment } from '../support/command.ts';
import { emptyStore, endpoint, KINDS, nameStore, openAgain, SKIPPED, storeFile } from './places.ts';

const KILLS = Number(process.env.KILLS ?? 2);
const PROGRAM = join(import.meta.dirname, '..', '..', 'src', 'main.ts');
const environment = { home: null, token: null, configFolder: '/nonexistent', variables: {} };
const never = new AbortController().signal;

interface CopyOptions {
  readonly signal?: AbortSignal;
  readonly leaveDamaged?: boolean;
  readonly onProgress?: (text: string) => void;
  readonly from?: string;
}

const copied = (archive: Archive, to: string, { from, ...options }: CopyOptions = {}) =>
  copy(
    archive,
    { to, ...(from === undefined ? {} : { from }) },
    { environment, leaveDamaged: false, signal: never, ...options },
  );

/** Resolves when a run has taken its share of the store's lock. */
async function untilARunGoesOn(archive: Archive): Promise<void> {
  for (;;) {
    const { rowCount } = await archive.database.pool.query(
      "SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND classid = 7310 AND objid = 1 AND granted",
    );
    if (rowCount !== 0) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function destroyOne(archive: Archive, home: string, text: string): Promise<string[]> {
  const { database, ledger, account, settings, store } = archive;
  await writeFile(join(home, 'policies', 'schedules', 'city.yaml'), YEAR_SCHEDULE);
  await putPolicyInForce(archive);
  const { record_id: record } = await database.db
    .selectFrom('snapshots')
    .select('record_id')
    .where('text', 'like', `%${text}%`)
    .executeTakeFirstOrThrow();
  const payloads = await database.db
    .selectFrom('payloads')
    .select('commitment')
    .where('record_id', '=', record)
    .execute();
  await destroyRecords(
    {
      db: database.db,
      ledger,
      actor: account.id,
      store: store.identity,
      eraser: openEraser(settings.store, { clock: systemClock }),
    },
    [record],
    {
      files: await readPolicyFiles(join(home, 'policies')),
      sources: settings.sources,
      civil: settings.archive,
      today: Temporal.PlainDate.from('2035-01-01'),
    },
  );
  return payloads.map((row) => row.commitment);
}

async function opened(
  t: { after(work: () => Promise<void>): void },
  settings: StoreSettings,
): Promise<ObjectStore> {
  const store = await openStore(settings, { clock: systemClock, create: true });
  t.after(async () => store[Symbol.asyncDispose]());
  return store;
}

async function isThere(store: ObjectStore, key: string): Promise<boolean> {
  try {
    await store.head(key);
    return true;
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return false;
    throw error;
  }
}

const objectFile = (store: StoreSettings, key: string): string => {
  assert.ok(store.provider === 'directory');
  return join(store.path, 'objects', key.slice(0, 2), key);
};

const payloadsOf = async (archive: Archive): Promise<string[]> =>
  (
    await archive.database.db
      .selectFrom('payloads')
      .select('commitment')
      .where('salt', 'is not', null)
      .execute()
  ).map((row) => row.commitment);

describe('store copy', () => {
  let platform: FakePlatform;
  let home: string;
  let archive: Archive;
  /** The archive's present store, as settings. */
  let here: StoreSettings;
  let posts = 0;
  const cleanups: (() => Promise<void>)[] = [];
  const later = { after: (work: () => Promise<void>) => void cleanups.unshift(work) };

  function post(text: string, image?: Buffer): void {
    posts += 1;
    platform.post(String(posts), text, image === undefined ? {} : { image });
  }

  /** Lets muniment.yaml follow a move. */
  async function follow(store: StoreSettings): Promise<void> {
    await nameStore(home, store);
    here = store;
    await archive[Symbol.asyncDispose]();
    archive = await openAgain(home);
  }

  before(async () => {
    platform = await FakePlatform.start();
    for (let n = 0; n < 12; n += 1) post(`notice number ${n}`, n % 4 === 0 ? randomBytes(3000) : undefined);
    post('a large picture', randomBytes(6 * 1024 * 1024)); // passes through the spool
    const made = await testArchive(later, platform);
    home = made.home;
    archive = await openAgain(home);
    here = archive.settings.store;
    assert.equal((await collectCity(archive)).status, 'complete');
  });
  after(async () => {
    await archive[Symbol.asyncDispose]();
    for (const work of cleanups) await work();
    await platform[Symbol.asyncDispose]();
  });

  // From the directory through every kind of store, and back into a directory.
  for (const kind of [...KINDS, 'directory' as const]) {
    test(`moves an archive to a ${kind} store: verified there, nothing captured in the old one after it, and muniment.yaml may follow`, async (t) => {
      post(`before the move to ${kind}`);
      await collectCity(archive);
      const target = await emptyStore(later, kind);
      const before = await payloadsOf(archive);
      const result = await copied(archive, await storeFile(home, target));
      assert.equal(result.payloads, before.length);
      assert.equal(result.copied, before.length);
      assert.equal(result.damaged.count, 0);
      assert.ok(result.entry !== null);
      const row = await archive.database.db
        .selectFrom('ledger_entries')
        .select('entry')
        .where('seq', '=', result.entry)
        .executeTakeFirstOrThrow();
      const decoded = decodeEntry(row.entry);
      assert.ok(decoded.known && decoded.entry.type === 'store.copied');
      const { entry } = decoded;
      assert.deepEqual([entry.payloads, entry.bytes, entry.damaged], [before.length, result.bytes, 0]);
      const [old, fresh] = [await opened(t, here), await opened(t, target)];
      for (const key of before) {
        const { version: _a, ...left } = await old.head(key);
        const { version: _b, ...right } = await fresh.head(key);
        assert.deepEqual(
          [right.contentType, right.metadata, right.length],
          [left.contentType, left.metadata, left.length],
        );
      }

      post(`after the move to ${kind}`);
      await assert.rejects(collectCity(archive), RefusedError);
      await assert.rejects(copied(archive, await storeFile(home, target)), RefusedError);
      await assert.rejects(sweep(archive, { window: 'P7D', remove: false, signal: never }), RefusedError);
      const told = await muniment(['--home', home, 'status']);
      assert.equal(told.code, 5, told.stderr);
      assert.match(
        told.stdout,
        /ALERT: muniment\.yaml names .*, and by entry \d+ the archive's payloads are in /,
      );
      assert.deepEqual((await archiveStatus(archive)).left, {
        entry: result.entry,
        from: old.location,
        to: fresh.location,
      });
      assert.deepEqual((await verifyArchiveOf(archive)).problems, [], 'the old store still verifies');

      await follow(target);
      assert.equal((await archiveStatus(archive)).left, null);
      assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
      assert.equal((await collectCity(archive)).captured, 1);
      assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
      await assert.rejects(copied(archive, await storeFile(home, target)), InputError, 'it is there already');
    });
  }

  test('goes on where it was stopped; what is captured and destroyed meanwhile is taken and left out', async (t) => {
    const target = await emptyStore(later, 'directory');
    const file = await storeFile(home, target);
    post('captured while the copy goes on');
    post('bonfire that is destroyed while the copy goes on');
    await collectCity(archive);
    const stop = new AbortController();
    await assert.rejects(
      copied(archive, file, { signal: stop.signal, onProgress: () => stop.abort() }),
      IncompleteError,
    );
    const fresh = await opened(t, target);
    let there = 0;
    for (const key of await payloadsOf(archive)) {
      if (await isThere(fresh, key)) there += 1;
      else {
        // Copied just before the stop, and not noted yet.
        const { object, bytes } = await readObject(archive.store, key);
        await fresh.put(
          key,
          { bytes },
          { contentType: object.contentType, metadata: { ...object.metadata } },
        );
      }
    }
    assert.ok(there > 0);

    const destroyed = await destroyOne(archive, home, 'bonfire');
    const noted = await archive.database.db
      .selectFrom('payload_versions')
      .select((e) => e.fn.countAll<number>().as('n'))
      .where('store', '=', fresh.identity)
      .executeTakeFirstOrThrow();
    let told = 0;
    const result = await copied(archive, file, {
      onProgress: () => {
        told += 1;
      },
    });
    assert.ok(told > 0);
    assert.equal(
      result.copied,
      result.payloads - Number(noted.n),
      'what was copied before is not copied again',
    );
    assert.equal(result.erased, destroyed.length, 'copies of what was destroyed meanwhile go');
    assert.equal(result.payloads, (await payloadsOf(archive)).length);
    for (const key of destroyed) assert.equal(await isThere(fresh, key), false);
    await follow(target);
    const verified = await verifyArchiveOf(archive);
    assert.deepEqual(verified.problems, []);
    assert.equal(verified.payloads.destroyed, destroyed.length);
  });

  for (const kind of KINDS.filter((one) => one !== 'locked')) {
    test(`what an earlier call copied to a ${kind} store is read again before it is counted`, async (t) => {
      const target = await emptyStore(later, kind);
      const file = await storeFile(home, target);
      const stop = new AbortController();
      await assert.rejects(
        copied(archive, file, { signal: stop.signal, onProgress: () => stop.abort() }),
        IncompleteError,
      );
      const fresh = await opened(t, target);
      const noted = await archive.database.db
        .selectFrom('payload_versions')
        .select('commitment')
        .where('store', '=', fresh.identity)
        .execute();
      const [lost, replaced] = noted.map((row) => row.commitment) as [string, string];
      const eraser = openEraser(target, { clock: systemClock });
      const object = await fresh.head(replaced);
      for (const key of [lost, replaced]) await eraser.erase(key);
      const { contentType, metadata } = object;
      await fresh.put(
        replaced,
        { bytes: Buffer.alloc(object.length) },
        { contentType, metadata: { ...metadata } },
      );
      const error = await copied(archive, file).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof IncompleteError, String(error));
      assert.match(error.message, new RegExp(`${replaced} as an earlier copy put it there`));
      await collectCity(archive); // it has not moved

      await eraser.erase(replaced);
      const result = await copied(archive, file);
      assert.equal(result.payloads, (await payloadsOf(archive)).length);
      for (const key of [lost, replaced]) assert.equal(await isThere(fresh, key), true, 'copied again');
      await follow(target);
      assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
    });
  }

  test('a run that goes on during the copy is waited for, and all it captured is taken', async () => {
    const target = await emptyStore(later, 'directory');
    post('captured in the midst of it');
    // A platform that takes its time, so that the run is surely going on when everything else is copied.
    platform.delay = 500;
    const run = collectCity(archive);
    await untilARunGoesOn(archive);
    const result = await copied(archive, await storeFile(home, target));
    platform.delay = 0;
    const outcome = await run;
    assert.equal(outcome.status, 'complete', JSON.stringify(outcome.errors));
    assert.equal(result.payloads, (await payloadsOf(archive)).length);
    await follow(target);
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
  });

  test('refuses other bytes, or the same bytes under another description, where a payload is to stand', async (t) => {
    const [key] = (await payloadsOf(archive)) as [string];
    const { object, body } = await archive.store.get(key);
    const bytes = Buffer.concat(await Array.fromAsync(body as AsyncIterable<Buffer>));
    const { contentType, metadata } = object;
    for (const [other, description] of [
      ['forged', { contentType, metadata: { ...metadata } }],
      [bytes, { contentType, metadata: { role: 'media' } }],
    ] as const) {
      const target = await emptyStore(later, 'directory');
      await (await opened(t, target)).put(key, { bytes: Buffer.from(other) }, description);
      const error = await copied(archive, await storeFile(home, target)).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof VerificationError || error instanceof ObjectExistsError, String(error));
      assert.match(error.message, new RegExp(key));
    }
    await collectCity(archive); // it has not moved
  });

  test("another archive's objects in the new store are no obstacle and are left alone", async (t) => {
    const target = await emptyStore(later, 'directory');
    const key = 'ab'.repeat(32);
    const fresh = await opened(t, target);
    await fresh.put(key, { bytes: Buffer.from('theirs') }, { contentType: 'text/plain', metadata: {} });
    const result = await copied(archive, await storeFile(home, target));
    assert.equal(result.others, 1);
    assert.equal(await isThere(fresh, key), true);
    await follow(target);
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
  });

  test('goes back to a store that it left, although the newer one is gone, as long as nothing is missing', async () => {
    const old = here;
    const target = await emptyStore(later, 'directory');
    const file = await storeFile(home, target);
    await copied(archive, file);
    assert.ok(target.provider === 'directory');
    await assert.rejects(collectCity(archive), RefusedError);
    await rm(join(target.path, 'objects'), { recursive: true, force: true });
    const back = await storeFile(home, old, 'old-store.yaml');
    await assert.rejects(copied(archive, back, { from: file }), ServiceError, 'its disk may not be mounted');
    await openStore(target, { clock: systemClock, create: true });
    const result = await copied(archive, back, { from: file });
    assert.equal(result.payloads, (await payloadsOf(archive)).length);
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
    assert.equal((await collectCity(archive)).status, 'complete');
  });

  test('two copies at once: one works, the other is refused', async () => {
    const target = await emptyStore(later, 'directory');
    const file = await storeFile(home, target);
    const outcomes = await Promise.allSettled([copied(archive, file), copied(archive, file)]);
    assert.deepEqual(outcomes.map((outcome) => outcome.status).sort(), ['fulfilled', 'rejected']);
    const refused = outcomes.find((outcome) => outcome.status === 'rejected');
    assert.ok(refused?.reason instanceof RefusedError, String(refused?.reason));
    await follow(target);
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
  });

  for (const kind of KINDS.filter((one) => one !== 'locked')) {
    test(`killed ${KILLS} times at random on its way to a ${kind} store, it is finished by the same command`, async (t) => {
      for (let n = 0; n < 10; n += 1) post(`for the kill ${n}`, randomBytes(1000));
      await collectCity(archive);
      const target = await emptyStore(later, kind);
      const file = await storeFile(home, target);
      const fresh = await opened(t, target);
      const counts: number[] = [];
      for (let kill = 0; kill < KILLS; kill += 1) {
        const child = spawn(process.execPath, [PROGRAM, '--home', home, 'store', 'copy', '--to', file], {
          stdio: 'ignore',
          env: { ...process.env, NODE_V8_COVERAGE: '' },
        });
        const ended = once(child, 'exit');
        let alive = true;
        void ended.then(() => {
          alive = false;
        });
        const have = counts.at(-1) ?? 0;
        let now = have;
        while (alive && now < have + 3) {
          now = 0;
          for await (const _ of fresh.list()) now += 1;
          await sleep(1);
        }
        await sleep(randomInt(0, 40));
        child.kill('SIGKILL');
        await ended;
        counts.push(now);
      }
      t.diagnostic(`objects at each kill: ${counts.join(', ')}`);
      const ended = await muniment(['--home', home, '--json', 'store', 'copy', '--to', file]);
      // A kill after the entry leaves nothing to do but to follow.
      assert.ok(ended.code === 0 || /archive's payloads are in/.test(ended.stderr), ended.stderr);
      await follow(target);
      assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
      assert.equal((await collectCity(archive)).status, 'complete');
    });
  }

  test('refuses the store where the payloads are, under whatever name, and folders and prefixes within it or around it', async () => {
    const refuses = async (target: StoreSettings): Promise<void> => {
      const error = await copied(archive, await storeFile(home, target)).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof InputError, `${JSON.stringify(target)}: ${String(error)}`);
    };
    if (here.provider !== 'directory') await follow(await moved());
    assert.ok(here.provider === 'directory');
    const { path } = here;
    const folder = await mkdtemp(join(tmpdir(), 'muniment-links-'));
    later.after(() => rm(folder, { recursive: true, force: true }));
    await symlink(path, join(folder, 'payloads'));
    await mkdir(join(folder, 'borrowed'));
    await symlink(join(path, 'objects'), join(folder, 'borrowed', 'objects'));
    for (const name of ['payloads', 'payloads/inner', 'payloads/objects', 'borrowed'])
      await refuses({ provider: 'directory', path: join(folder, name) });
    await refuses({ provider: 'directory', path: join(path, 'inner') });
    await refuses({ provider: 'directory', path: dirname(path) });
    assert.deepEqual((await readdir(path)).sort(), ['incoming', 'objects'], 'nothing is made there');
    for (const kind of KINDS.filter((one) => one !== 'directory')) {
      const bucket = await emptyStore(later, kind);
      await copied(archive, await storeFile(home, bucket));
      await follow(bucket);
      assert.ok(bucket.provider === 's3' && bucket.endpoint !== null);
      const alias = { ...bucket, endpoint: bucket.endpoint.replace('127.0.0.1', 'localhost') };
      assert.notEqual(alias.endpoint, bucket.endpoint);
      for (const same of [bucket, alias])
        for (const prefix of ['city/', 'city/inner/', '']) await refuses({ ...same, prefix });
      const client = new S3Client({ endpoint: bucket.endpoint, region: bucket.region, forcePathStyle: true });
      const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket.bucket }));
      client.destroy();
      assert.ok(Versions.length > 0);
      // What the trial of a lock put there stays for as long as it is locked: that it does is the trial.
      const trial = bucket.lock === 'none' ? /^$/ : /^city\/muniment-doctor\/[0-9a-f-]{36}\/\w+$/;
      for (const { Key = '' } of Versions)
        assert.ok(/^city\/[0-9a-f]{64}$/.test(Key) || trial.test(Key), `${Key} is gone`);
      // A prefix beside the present one is another store.
      const beside = { ...alias, prefix: 'town/' };
      await copied(archive, await storeFile(home, beside));
      await follow(beside);
      assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
    }
    if (here.provider !== 'directory') await follow(await moved());
  });

  test('refuses a bucket that does not keep the lock which its file claims, before anything is written there', async (t) => {
    if (endpoint === null) return t.skip(SKIPPED);
    const bucket = await emptyStore(later, 'bucket');
    assert.ok(bucket.provider === 's3');
    const target = { ...bucket, lock: { mode: 'GOVERNANCE', horizon: 'P90D' } } as const;
    const to = await storeFile(home, target);
    const told = await muniment(['--home', home, 'store', 'copy', '--to', to]);
    assert.equal(told.code, 4, told.stderr);
    assert.match(told.stderr, /does not enforce the lock that muniment\.yaml claims \(GOVERNANCE\)/);
    const client = new S3Client({ endpoint, region: bucket.region, forcePathStyle: true });
    const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket.bucket }));
    client.destroy();
    assert.deepEqual(Versions, []);
    await collectCity(archive); // it has not moved
  });

  test('a store that is not there leaves the archive where it is, and says what to do', async () => {
    const nowhere: StoreSettings =
      endpoint === null
        ? { provider: 'directory', path: '/proc/muniment' }
        : {
            provider: 's3',
            bucket: 'muniment-absent',
            region: 'us-east-1',
            endpoint,
            prefix: '',
            lock: 'none',
          };
    const error = await copied(archive, await storeFile(home, nowhere)).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof ServiceError && error.hint, String(error));
    assert.equal((await collectCity(archive)).status, 'complete');
  });

  test('a full disk leaves the archive where it is; with room the same command ends the copy', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'muniment-small-'));
    later.after(() => rm(folder, { recursive: true, force: true }));
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder]);
    if (mounted.status !== 0) return t.skip('a small disk can be mounted by root only');
    later.after(async () => void spawnSync('umount', [folder]));
    const target: StoreSettings = { provider: 'directory', path: join(folder, 'payloads') };
    const to = await storeFile(home, target);
    const error = await copied(archive, to).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof ServiceError, String(error));
    assert.match(error.hint ?? '', /disk is full/);
    assert.equal((await collectCity(archive)).status, 'complete');
    spawnSync('mount', ['-o', 'remount,size=64m', folder]);
    const result = await copied(archive, to);
    assert.ok(result.copied < result.payloads && result.entry !== null);
    await follow(target);
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
    await follow(await moved());
  });

  test('refuses a file that describes no store, or holds a secret', async () => {
    const path = join(home, 'bad.yaml');
    for (const text of [
      'store: { provider: tape }',
      'bucket: records',
      'store: { provider: directory }\ncredentials: { accessKeyId: AKIA, secretAccessKey: hunter2 }',
      '',
    ]) {
      await writeFile(path, text);
      const error = await copied(archive, path).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof InputError, String(error));
      assert.match(error.message, /bad\.yaml:\d+:\d+/);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /hunter2/);
    }
    assert.equal((await muniment(['--home', home, 'store', 'copy'])).code, 2);
  });

  // Last, because it loses something.
  test('does not move while the old store has lost or altered a payload, unless told to leave it', async () => {
    if (here.provider !== 'directory') await follow(await moved());
    const [lost, altered] = (await payloadsOf(archive)) as [string, string];
    await rename(objectFile(here, lost), join(home, 'lost'));
    const file = objectFile(here, altered);
    const bytes = await readFile(file);
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
    await chmod(file, 0o640);
    await writeFile(file, bytes);
    const target = await emptyStore(later, 'directory');
    const to = await storeFile(home, target);
    const told = await muniment(['--home', home, 'store', 'copy', '--to', to]);
    assert.equal(told.code, 5, told.stderr);
    assert.match(told.stdout, /NOT COPIED: 2 payloads[\s\S]*has NOT moved/);
    for (const key of [lost, altered]) assert.match(told.stdout, new RegExp(key));
    await collectCity(archive);
    const result = await copied(archive, to, { leaveDamaged: true });
    assert.deepEqual(
      result.damaged.listed.map(({ payload, state }) => [payload, state]).sort(),
      [
        [lost, 'missing'],
        [altered, 'altered'],
      ].sort(),
    );
    assert.ok(result.entry !== null);
    await follow(target);
    const kinds = (await verifyArchiveOf(archive)).problems.map((problem) => problem.kind);
    assert.ok(kinds.includes('payload-missing'));
    assert.equal(
      kinds.filter((kind) => kind === 'payload-altered').length,
      0,
      'altered bytes were not carried on',
    );
  });

  async function moved(): Promise<StoreSettings> {
    const target = await emptyStore(later, 'directory');
    await copied(archive, await storeFile(home, target));
    return target;
  }
});

if (endpoint === null) test('a copy from and to buckets', (t) => t.skip(SKIPPED));
