// Locks on a real S3 service: extended, never shortened, by the recorded version; legal holds on and off.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { systemClock } from '../../src/core/clock.ts';
import { InputError, ObjectNotFoundError, RefusedError, ServiceError } from '../../src/core/errors.ts';
import { openLockKeeper } from '../../src/store/lock-keeper.ts';
import { bucketFor, endpoint, SKIPPED } from './bucket.ts';
import { keyOf } from './contract.ts';

const description = { contentType: 'text/plain', metadata: { salt: 'c2FsdA==' } };
const bytes = Buffer.from('evidence');

function inDays(days: number): Temporal.Instant {
  return systemClock
    .now()
    .add({ hours: 24 * days })
    .round({ smallestUnit: 'second', roundingMode: 'ceil' });
}

test('a store without locks gives no right to lock', () => {
  assert.equal(openLockKeeper({ provider: 'directory', path: '/nonexistent' }), null);
  const bucket = {
    provider: 's3',
    bucket: 'records',
    region: 'us-east-1',
    endpoint: null,
    prefix: '',
  } as const;
  assert.equal(openLockKeeper({ ...bucket, lock: 'none' }), null);
});

if (endpoint === null) {
  test('locks are extended, never shortened', (t) => t.skip(SKIPPED));
} else {
  for (const mode of ['GOVERNANCE', 'COMPLIANCE'] as const) {
    test(`a lock of ${mode} is extended, and a shorter one leaves it as it is`, async (t) => {
      const { open } = await bucketFor(t, { locks: true });
      const { store, keeper, eraser } = open({ mode, horizon: 'P10D' });
      const { version, lockedUntil } = await store.put(keyOf(1), { bytes }, description);
      const before = await keeper.read(keyOf(1), version);
      assert.equal(before.mode, mode);
      assert.equal(before.held, false);
      assert.ok(before.until?.equals(lockedUntil as Temporal.Instant));
      const later = inDays(40);
      const extended = await keeper.extend(keyOf(1), version, later);
      assert.equal(extended.mode, mode);
      assert.ok(extended.until?.equals(later), `${extended.until}`);
      const shorter = await keeper.extend(keyOf(1), version, inDays(20));
      assert.ok(shorter.until?.equals(later));
      assert.ok((await keeper.read(keyOf(1), version)).until?.equals(later));
      assert.ok((await store.head(keyOf(1), version)).lockedUntil?.equals(later));
      await assert.rejects(eraser.erase(keyOf(1)), RefusedError);
    });
  }

  test('an object that was put without a lock receives one', async (t) => {
    const { open } = await bucketFor(t, { locks: true });
    const { store } = open();
    const { version } = await store.put(keyOf(1), { bytes }, description);
    const { keeper } = open({ mode: 'GOVERNANCE', horizon: 'P90D' });
    assert.deepEqual(await keeper.read(keyOf(1), version), { mode: null, until: null, held: false });
    assert.equal(await store.lockedUntil(keyOf(1), version), null);
    const until = inDays(5);
    const locked = await keeper.extend(keyOf(1), null, until);
    assert.equal(locked.mode, 'GOVERNANCE');
    assert.ok(locked.until?.equals(until));
    assert.ok((await store.lockedUntil(keyOf(1), null))?.equals(until));
  });

  test('a stricter mode that stands stays, whatever the configuration says', async (t) => {
    const { open } = await bucketFor(t, { locks: true });
    const { store } = open({ mode: 'COMPLIANCE', horizon: 'P10D' });
    const { version } = await store.put(keyOf(1), { bytes }, description);
    const { keeper } = open({ mode: 'GOVERNANCE', horizon: 'P10D' });
    const { mode, until } = await keeper.extend(keyOf(1), version, inDays(30));
    assert.equal(mode, 'COMPLIANCE');
    assert.ok(
      until?.equals(inDays(30)) || Temporal.Instant.compare(until as Temporal.Instant, inDays(29)) > 0,
    );
  });

  test('a legal hold goes on and off, and while it is on nothing erases the object', async (t) => {
    const { client, bucket, open } = await bucketFor(t, { locks: true });
    const { version } = await open().store.put(keyOf(1), { bytes }, description);
    const { keeper, eraser } = open({ mode: 'GOVERNANCE', horizon: 'P90D' });
    assert.equal((await keeper.setHold(keyOf(1), version, true)).held, true);
    assert.equal((await keeper.setHold(keyOf(1), version, true)).held, true, 'again without complaint');
    await assert.rejects(eraser.erase(keyOf(1)), RefusedError);
    const address = { Bucket: bucket, Key: `city/${keyOf(1)}`, VersionId: version as string };
    await assert.rejects(client.send(new DeleteObjectCommand(address)), 'the service itself refuses');
    assert.equal((await keeper.setHold(keyOf(1), version, false)).held, false);
    await eraser.erase(keyOf(1));
    await assert.rejects(keeper.read(keyOf(1), version), ObjectNotFoundError);
  });

  test('locks go by the recorded version, behind a delete marker and a later version too', async (t) => {
    const { client, bucket, open } = await bucketFor(t, { locks: true });
    const { store, keeper } = open({ mode: 'GOVERNANCE', horizon: 'P10D' });
    const Key = `city/${keyOf(1)}`;
    const { version } = await store.put(keyOf(1), { bytes }, description);
    const forged = await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'forgery' }));
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
    const until = inDays(50);
    for (const named of [version, null]) {
      assert.ok((await keeper.extend(keyOf(1), named, until)).until?.equals(until));
      assert.equal((await keeper.setHold(keyOf(1), named, true)).held, true);
    }
    const other = await keeper.read(keyOf(1), forged.VersionId as string);
    assert.deepEqual(other, { mode: null, until: null, held: false });
  });

  test('what is not there cannot be locked, and what cannot lock is an error', async (t) => {
    const { open } = await bucketFor(t, { locks: true });
    const { keeper } = open({ mode: 'GOVERNANCE', horizon: 'P10D' });
    for (const version of [null, 'a-version']) {
      await assert.rejects(keeper.read(keyOf(1), version), ObjectNotFoundError);
      await assert.rejects(keeper.extend(keyOf(1), version, inDays(20)), ObjectNotFoundError);
      await assert.rejects(keeper.setHold(keyOf(1), version, true), ObjectNotFoundError);
    }
    await assert.rejects(keeper.extend('../x', null, inDays(20)), InputError);
    const unlockable = await bucketFor(t);
    const { version } = await unlockable.open().store.put(keyOf(1), { bytes }, description);
    const without = unlockable.open({ mode: 'GOVERNANCE', horizon: 'P10D' }).keeper;
    await assert.rejects(without.extend(keyOf(1), version, inDays(20)), ServiceError);
    await assert.rejects(without.setHold(keyOf(1), version, true), ServiceError);
  });
}
