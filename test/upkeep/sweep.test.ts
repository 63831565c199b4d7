// A sweep tells what no row knows and what rows have lost, and removes nothing that anybody could still need. Where
// S3_TEST_ENDPOINT names a service, in buckets too.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CreateMultipartUploadCommand, S3Client } from '@aws-sdk/client-s3';
import { storePayload } from '../../src/capture/payloads.ts';
import type { Archive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { InputError, ObjectNotFoundError, VerificationError } from '../../src/core/errors.ts';
import { newId } from '../../src/core/ids.ts';
import { shareStore } from '../../src/db/store-lock.ts';
import { archiveMark } from '../../src/ledger/entry.ts';
import { sweep } from '../../src/storage.ts';
import { openEraser } from '../../src/store/eraser.ts';
import type { SweepResult } from '../../src/upkeep/sweep.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, superuserOf, testArchive, verifyArchiveOf } from '../support/archive.ts';
import { muniment } from '../support/command.ts';
import { emptyStore, endpoint, KINDS, type Kind, nameStore, openAgain, SKIPPED } from './places.ts';

type Later = { after(work: () => Promise<void>): void };

const never = new AbortController().signal;
const swept = (archive: Archive, remove = false) =>
  sweep(archive, { window: 'P7D', remove, signal: never, attempts: 1 });

/** The same archive eight days from now: what was stored today is older than the window. */
function later(archive: Archive): Archive {
  return { ...archive, clock: { now: () => systemClock.now().add({ hours: 8 * 24 }) } };
}

/** An archive with three posts in a store of a kind. */
async function archiveIn(t: Later, kind: Kind): Promise<{ home: string; archive: Archive }> {
  await using platform = await FakePlatform.start();
  platform.post('1', 'parade on Sunday');
  platform.post('2', 'street closed', { image: randomBytes(2000) });
  platform.post('3', 'library opens');
  const made = await testArchive(t, platform);
  const { home } = made;
  let { archive } = made;
  if (kind !== 'directory') {
    await nameStore(home, await emptyStore(t, kind));
    const inBucket = await openAgain(home);
    t.after(async () => inBucket[Symbol.asyncDispose]());
    archive = inBucket;
  }
  const { status } = await collectCity(archive);
  assert.equal(status, 'complete');
  return { home, archive };
}

/** What a capture leaves that dies before its entry. */
async function orphan(archive: Archive, text = 'never entered'): Promise<string> {
  const owner = { record: newId(systemClock.now()) };
  const stored = await storePayload(archive, Buffer.from(text), {
    owner,
    role: 'slice',
    contentType: 'application/json',
  });
  return stored.commitment;
}

async function putBare(archive: Archive, metadata: Record<string, string>): Promise<string> {
  const bytes = randomBytes(20);
  const key = createHash('sha256').update(bytes).digest('hex');
  await archive.store.put(key, { bytes }, { contentType: 'text/plain', metadata });
  return key;
}

const isThere = (archive: Archive, key: string): Promise<boolean> =>
  archive.store.head(key).then(
    () => true,
    (error: unknown) => {
      if (error instanceof ObjectNotFoundError) return false;
      throw error;
    },
  );

const payloadsOf = async (archive: Archive, role: string): Promise<string[]> =>
  (
    await archive.database.db.selectFrom('payloads').select('commitment').where('role', '=', role).execute()
  ).map((row) => row.commitment);

/** Takes a payload's row away for a while, as a damaged database does. */
async function withoutRow(archive: Archive, payload: string, work: () => Promise<void>): Promise<void> {
  const { admin, close } = await superuserOf(archive);
  const { rows } = await admin.query(
    'DELETE FROM payloads WHERE commitment = $1 RETURNING to_jsonb(payloads) AS row',
    [payload],
  );
  try {
    await work();
  } finally {
    const row = (rows[0] as { row: object }).row;
    await admin.query('INSERT INTO payloads SELECT * FROM jsonb_populate_record(NULL::payloads, $1)', [row]);
    await close();
  }
}

const outcomeOf = (result: SweepResult, key: string) =>
  result.unreferenced.listed.find((one) => one.object === key)?.outcome;

for (const kind of KINDS) {
  describe(`a sweep of a ${kind} store`, () => {
    let home: string;
    let archive: Archive;
    let media: string;
    const cleanups: (() => Promise<void>)[] = [];
    before(async () => {
      ({ home, archive } = await archiveIn({ after: (work) => void cleanups.unshift(work) }, kind));
      media = (await payloadsOf(archive, 'media'))[0] as string;
    });
    after(async () => {
      for (const work of cleanups) await work();
    });

    test('finds nothing in a sound archive', async () => {
      const { unreferenced, missing, presentAfterDestruction, lostRows, objects, rows } = await swept(
        later(archive),
        true,
      );
      assert.deepEqual(unreferenced, { count: 0, bytes: 0, outcomes: {}, listed: [] });
      assert.deepEqual([missing.count, presentAfterDestruction.count, lostRows.count], [0, 0, 0]);
      assert.equal(objects, rows);
      assert.ok(rows >= 8, 'three documents, three slices, a medium, a report');
    });

    test('keeps what a document names although its row was lost', async () => {
      await withoutRow(archive, media, async () => {
        assert.equal(outcomeOf(await swept(later(archive), true), media), 'named');
        assert.equal(await isThere(archive, media), true);
      });
    });

    test('removes nothing within the window, nothing in a dry run, nothing while a run is going on', async () => {
      const key = await orphan(archive);
      assert.equal(outcomeOf(await swept(archive), key), 'recent');
      assert.equal(outcomeOf(await swept(archive, true), key), 'recent');
      const dry = await swept(later(archive));
      assert.equal(dry.dryRun, true);
      assert.equal(outcomeOf(dry, key), kind === 'locked' ? 'locked' : 'removable');
      const run = await archive.database.pool.connect();
      assert.equal(await shareStore(run), true);
      assert.equal(
        outcomeOf(await swept(later(archive), true), key),
        kind === 'locked' ? 'locked' : 'busy',
        'the run may yet enter it',
      );
      run.release(true);
      assert.equal(await isThere(archive, key), true);
    });

    test('removes what no row knows and is old, only of its own archive, and never under a lock', async () => {
      const mine = await Promise.all(Array.from({ length: 20 }, (_, n) => orphan(archive, `leftover ${n}`)));
      const foreign = await putBare(archive, {
        archive: archiveMark('other.example.gov/social'),
        salt: '00',
      });
      const unmarked = await putBare(archive, { salt: '00' });
      const result = await swept(later(archive), true);
      const expected = kind === 'locked' ? 'locked' : 'removed';
      for (const key of mine) {
        assert.equal(outcomeOf(result, key), expected);
        assert.equal(await isThere(archive, key), kind === 'locked');
      }
      assert.deepEqual([outcomeOf(result, foreign), outcomeOf(result, unmarked)], ['foreign', 'unmarked']);
      for (const key of [foreign, unmarked]) assert.equal(await isThere(archive, key), true);
      assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
      if (kind !== 'locked') assert.equal((await swept(later(archive), true)).unreferenced.count, 2);
    });

    test('takes away what was cut while it was written, and says of what is shorter only that it is there', async () => {
      const { store } = archive.settings;
      if (store.provider !== 'directory') return; // a bucket takes an object as a whole or not at all
      const [cut, empty] = [await orphan(archive, 'cut'), await orphan(archive, 'empty')];
      for (const [key, left] of [
        [cut, -1],
        [empty, 0],
      ] as const) {
        const file = join(store.path, 'objects', key.slice(0, 2), key);
        const bytes = await readFile(file);
        await rm(file);
        await writeFile(file, bytes.subarray(0, left));
      }
      const result = await swept(later(archive), true);
      assert.deepEqual([outcomeOf(result, cut), outcomeOf(result, empty)], ['removed', 'unmarked']);
      assert.equal(await isThere(archive, cut), false);
    });

    test('tells a destroyed payload that is still there, and leaves it to disposition', async () => {
      const [slice] = (await payloadsOf(archive, 'slice')) as [string];
      const { admin, close } = await superuserOf(archive);
      await admin.query(
        'INSERT INTO payload_destructions (commitment, seq, record_id, intent) SELECT commitment, seq, record_id, 1 FROM payloads WHERE commitment = $1',
        [slice],
      );
      const { presentAfterDestruction, unreferenced } = await swept(later(archive), true);
      await admin.query('DELETE FROM payload_destructions WHERE commitment = $1', [slice]);
      await close();
      assert.deepEqual(
        presentAfterDestruction.listed.map((one) => one.payload),
        [slice],
      );
      assert.equal(unreferenced.outcomes.removed, undefined);
      assert.equal(await isThere(archive, slice), true);
    });

    test('removes nothing at all when rows were lost: the ledger names a payload that no row knows, or is itself too short', async () => {
      const key = await orphan(archive);
      const [document] = (await payloadsOf(archive, 'document')) as [string];
      await withoutRow(archive, document, async () => {
        const { lostRows } = await swept(later(archive), true);
        assert.deepEqual(
          lostRows.listed.map((lost) => lost.payload),
          [document],
        );
        for (const kept of [key, document]) assert.equal(await isThere(archive, kept), true);
      });
      const pinned = await archive.pinnedHead();
      assert.ok(pinned);
      const shorter = { ...later(archive), pinnedHead: async () => ({ ...pinned, size: pinned.size + 1 }) };
      await assert.rejects(swept(shorter, true), VerificationError);
      assert.equal(await isThere(archive, key), true);
    });

    test('tells what writers left unfinished', async () => {
      const { store } = archive.settings;
      const key = '0'.repeat(64);
      if (store.provider === 'directory')
        await writeFile(join(store.path, 'incoming', `${key}.dead-0`), 'half');
      else {
        const client = new S3Client({
          endpoint: store.endpoint as string,
          region: store.region,
          forcePathStyle: true,
        });
        await client.send(
          new CreateMultipartUploadCommand({ Bucket: store.bucket, Key: `${store.prefix}${key}` }),
        );
        client.destroy();
      }
      assert.equal((await swept(archive)).unfinished.count, 0, 'its writer may be alive');
      const { unfinished } = await swept(later(archive), true);
      assert.equal(unfinished.count, 1);
      assert.ok(unfinished.listed[0]?.name.includes(key));
      assert.equal((await swept(later(archive))).unfinished.count, 1);
    });

    test('refuses a window under an hour or without meaning', async () => {
      for (const window of ['PT59M', 'P0D', '-P7D', 'seven days', '7', ''])
        await assert.rejects(sweep(archive, { window, remove: true, signal: never }), InputError, window);
    });

    test('ends with 0 when all is well, 2 for a bad window, 3 when rows were lost, 5 when a payload is missing', async () => {
      const run = (...args: string[]) => muniment(['--home', home, '--json', 'store', 'sweep', ...args]);
      const well = await run('--remove');
      assert.equal(well.code, 0, well.stderr);
      assert.ok(JSON.parse(well.stdout).unreferenced.outcomes.recent > 0);
      assert.equal((await run('--remove', '--window', 'PT1M')).code, 2);
      const [document] = (await payloadsOf(archive, 'document')) as [string];
      await withoutRow(archive, document, async () => {
        const lost = await muniment(['--home', home, 'store', 'sweep']);
        assert.equal(lost.code, 3);
        assert.match(lost.stdout, /ROWS LOST: the ledger names 1 payload that/);
      });
      if (kind === 'locked') return; // nothing can be lost there
      await openEraser(archive.settings.store, { clock: systemClock }).erase(media);
      const missing = await run();
      assert.equal(missing.code, 5);
      assert.equal(JSON.parse(missing.stdout).missing.listed[0].payload, media);
    });
  });
}

if (endpoint === null) test('a sweep of a bucket', (t) => t.skip(SKIPPED));
