// What a run has under way at one time, pages that are stored and trees that are made, when a part of it fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Disclosing } from '../../src/capture/disclosing.ts';
import type { Archive } from '../../src/context.ts';
import { ServiceError } from '../../src/core/errors.ts';
import type { SourceSettings } from '../../src/core/settings.ts';
import type { CollectOptions, Collector, CollectorEvent } from '../../src/sources/collector.ts';
import { FakePlatform } from '../support/appview.ts';
import { captureFrom, collectCity, testArchive, verifyArchiveOf } from '../support/archive.ts';
import { patient } from '../support/replay.ts';

/** The archive's own store, with a disk that is in trouble at one put. */
function failingAt(nth: number, { store }: Archive): Archive['store'] {
  let puts = 0;
  const put: Archive['store']['put'] = async (...parameters) => {
    puts += 1;
    if (puts === nth) throw new ServiceError('the disk is in trouble');
    return store.put(...parameters);
  };
  return Object.create(store, {
    put: { value: put },
    ...Object.fromEntries(
      (['head', 'get', 'list'] as const).map((name) => [name, { value: store[name].bind(store) }]),
    ),
  }) as Archive['store'];
}

test('a store that fails under one of many pages is told in the report of the run; the next run completes the work', async (t) => {
  await using platform = await FakePlatform.start();
  // The platform gives two a page, each with a slice and a document to put.
  for (let n = 0; n < 16; n += 1) platform.post(String(n), `post ${n}`);
  const { archive } = await testArchive(t, platform);
  for (const nth of [1, 6]) {
    const { size } = await archive.ledger.head();
    const broken = await collectCity({ ...archive, store: failingAt(nth, archive) });
    assert.equal(broken.status, broken.seen > 0 ? 'partial' : 'failed');
    assert.deepEqual(broken.errors, [{ code: 'store', message: 'the disk is in trouble.' }]);
    const registered = nth === 1 ? 1 : 0;
    assert.equal((await archive.ledger.head()).size, size + registered + broken.captured + 1);
  }
  const whole = await collectCity(archive);
  assert.deepEqual([whole.status, whole.seen, whole.errors], ['complete', 16, []]);
  const { count } = await archive.database.db
    .selectFrom('snapshots')
    .select((row) => row.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  assert.equal(Number(count), 16);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});

test('a state that partial runs leave too is not left where the store failed: it would claim what is not here', async (t) => {
  await using platform = await FakePlatform.start();
  for (let n = 0; n < 4; n += 1) platform.post(String(n), `post ${n}`);
  const { archive } = await testArchive(t, platform);
  const [source] = archive.settings.sources as [SourceSettings];
  const resumable = (collector: Collector): Collector =>
    Object.assign(Object.create(collector) as Collector, {
      async *collect(options: CollectOptions): AsyncIterable<CollectorEvent> {
        for await (const event of collector.collect(options))
          yield event.type === 'end' ? { ...event, state: { read: 'all' }, resumable: true } : event;
      },
    });
  const left = async (): Promise<number> =>
    (await archive.database.db.selectFrom('source_states').select('run_id').execute()).length;
  // The last put but that of the report is of the last page.
  const run = await captureFrom({ ...archive, store: failingAt(8, archive) }, source, patient(), resumable);
  assert.deepEqual([run.status, run.errors.map(({ code }) => code), await left()], ['partial', ['store'], 0]);
  assert.equal((await captureFrom(archive, source, patient(), resumable)).status, 'complete');
  assert.equal(await left(), 1);
});

test('when the thread that makes trees dies, what waits for it is told, and what is asked next is answered', async () => {
  await using disclosing = new Disclosing();
  const seed = Buffer.alloc(32, 7);
  const document = '{"item":{"text":"Main Street is closed"}}';
  const trees = await Promise.all(Array.from({ length: 30 }, () => disclosing.tree(document, seed)));
  await assert.rejects(disclosing.tree('no JSON at all', seed), ServiceError);
  assert.deepEqual(await disclosing.tree(document, seed), trees[0]);
});
