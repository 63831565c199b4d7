// The S3 store against a real service: the contract, and what only a bucket can suffer. `scripts/s3-local.sh start DIR`
// starts one on this machine and prints the environment to set.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { DeleteObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { systemClock } from '../../src/core/clock.ts';
import { ObjectExistsError, ObjectNotFoundError, RefusedError, ServiceError } from '../../src/core/errors.ts';
import { s3Eraser } from '../../src/store/eraser.ts';
import { readObject } from '../../src/store/objects.ts';
import { openS3Store } from '../../src/store/s3.ts';
import { LyingS3, refusal } from '../support/lying-s3.ts';
import { bucketFor, counterFor, credentials, endpoint, kmsKey, region, SKIPPED } from './bucket.ts';
import { keyOf, keysOf, storeContract } from './contract.ts';

const description = { contentType: 'text/plain', metadata: { salt: 'c2FsdA==' } };
const bytes = Buffer.from('evidence');

if (endpoint === null) {
  test('the S3 store keeps the contract of every object store', (t) => {
    t.skip(SKIPPED);
  });
} else {
  storeContract('the S3 store', async (t) => {
    const { bucket } = await bucketFor(t);
    return {
      settings: { provider: 's3', bucket, region, endpoint, prefix: 'city/', lock: 'none' },
      credentials,
    };
  });

  test('a later version of other bytes and a delete marker do not change what is read', async (t) => {
    const { client, bucket, open } = await bucketFor(t);
    const { store, eraser } = open();
    const Key = `city/${keyOf(1)}`;
    const put = await store.put(keyOf(1), { bytes }, description);
    await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'forgery' }));
    for (const version of [put.version, null]) {
      assert.equal((await readObject(store, keyOf(1), version)).bytes.toString(), 'evidence');
    }
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
    for (const version of [put.version, null]) {
      assert.deepEqual(await store.head(keyOf(1), version), put);
      assert.equal((await readObject(store, keyOf(1), version)).bytes.toString(), 'evidence');
    }
    assert.deepEqual(await keysOf(store), [keyOf(1)]);
    assert.deepEqual(await store.put(keyOf(1), { bytes }, description), put);
    await assert.rejects(
      store.put(keyOf(1), { bytes: Buffer.from('forgery') }, description),
      ObjectExistsError,
    );
    await eraser.erase(keyOf(1));
    await assert.rejects(store.get(keyOf(1), put.version), ObjectNotFoundError);
    await assert.rejects(store.head(keyOf(1), put.version), ObjectNotFoundError);
    assert.deepEqual(await keysOf(store), []);
  });

  test('what was put in front of an object is told: delete markers, and later versions by their ids', async (t) => {
    const { client, bucket, open } = await bucketFor(t);
    const { store } = open();
    const put = (n: number) => store.put(keyOf(n), { bytes }, description);
    const addressOf = (n: number) => ({ Bucket: bucket, Key: `city/${keyOf(n)}` });
    for (const n of [1, 2, 3, 4]) await put(n);
    await client.send(new DeleteObjectCommand(addressOf(2)));
    const forged = await client.send(new PutObjectCommand({ ...addressOf(3), Body: 'forgery' }));
    // A marker that came before the object hides nothing.
    await client.send(new DeleteObjectCommand(addressOf(5)));
    await put(5);
    const covered = await Array.fromAsync(store.covered());
    assert.deepEqual(
      covered.toSorted((a, b) => a.later.length - b.later.length),
      [
        { key: keyOf(2), hidden: true, later: [] },
        { key: keyOf(3), hidden: false, later: [forged.VersionId] },
      ],
    );
  });

  test('a service that told a wrong time costs no request once it tells the right one', async (t) => {
    const { bucket, open } = await bucketFor(t);
    await open().store.put(keyOf(1), { bytes }, description);
    await using proxy = await LyingS3.before(endpoint as string);
    await using store = openS3Store({
      bucket,
      region,
      endpoint: proxy.origin,
      prefix: 'city/',
      lock: 'none',
      encryption: null,
      credentials,
      clock: systemClock,
    });
    const anHourAhead = () => new Date(Date.now() + 3_600_000).toUTCString();
    proxy.lie = () => {
      const refused = refusal(403, 'RequestTimeTooSkewed');
      return { ...refused, headers: { ...refused.headers, date: anHourAhead() } };
    };
    await assert.rejects(readObject(store, keyOf(1), null), ServiceError);
    proxy.lie = null;
    const read = await Promise.all([1, 2, 3, 4].map(() => readObject(store, keyOf(1), null)));
    for (const object of read) assert.equal(object.bytes.toString(), 'evidence');
  });

  test('an object encrypted by the key service says so, and one that is not encrypted as configured is an error', async (t) => {
    if (kmsKey === undefined) return t.skip('no key service: set S3_TEST_KMS_KEY to a key that it has');
    const { client, bucket, open } = await bucketFor(t);
    const { store } = open('none', { key: kmsKey });
    const { version } = await store.put(keyOf(1), { bytes }, description);
    const address = { Bucket: bucket, Key: `city/${keyOf(1)}`, VersionId: version as string };
    const status = await client.send(new HeadObjectCommand(address));
    assert.equal(status.ServerSideEncryption, 'aws:kms');
    assert.equal(status.SSEKMSKeyId, kmsKey);
    assert.equal((await readObject(store, keyOf(1), version)).bytes.toString(), 'evidence');
    await assert.rejects(
      open('none', { key: 'no-such-key' }).store.put(keyOf(2), { bytes }, description),
      ServiceError,
    );
    assert.deepEqual(await keysOf(store), [keyOf(1)]);
  });

  test('an object put under a lock is locked up to the horizon, and the eraser refuses it', async (t) => {
    const { client, bucket, open } = await bucketFor(t, { locks: true });
    const { store, eraser } = open({ mode: 'GOVERNANCE', horizon: 'P90D' });
    assert.equal(store.lock, 'GOVERNANCE');
    const { version } = await store.put(keyOf(1), { bytes }, description);
    const address = { Bucket: bucket, Key: `city/${keyOf(1)}`, VersionId: version as string };
    const status = await client.send(new HeadObjectCommand(address));
    assert.equal(status.ObjectLockMode, 'GOVERNANCE');
    const until = status.ObjectLockRetainUntilDate?.getTime() ?? 0;
    const days = (until - systemClock.now().epochMilliseconds) / 86_400_000;
    assert.ok(days > 89.9 && days <= 90.1, `${days} days`);
    assert.equal((await store.head(keyOf(1), version)).lockedUntil?.epochMilliseconds, until);
    await assert.rejects(eraser.erase(keyOf(1)), RefusedError);
    await assert.rejects(client.send(new DeleteObjectCommand(address)), 'the service itself refuses');
    assert.equal((await readObject(store, keyOf(1), version)).bytes.toString(), 'evidence');
  });

  test('a lock on a bucket that cannot lock is an error, not an unlocked object', async (t) => {
    const { open } = await bucketFor(t);
    const { store } = open({ mode: 'GOVERNANCE', horizon: 'P90D' });
    await assert.rejects(store.put(keyOf(1), { bytes }, description), ServiceError);
  });

  test('a bucket that keeps no versions is used only if its service refuses a second put', async (t) => {
    const { open } = await bucketFor(t, { versions: false });
    const { store } = open();
    const outcome = await store.put(keyOf(1), { bytes }, description).catch((error: unknown) => error);
    if (outcome instanceof Error)
      assert.match(outcome.message, /keeps no versions and its service ignores If-None-Match/);
    else
      await assert.rejects(
        store.put(keyOf(1), { bytes: Buffer.from('other') }, description),
        ObjectExistsError,
      );
  });

  test('once the service was tried, a payload under a fresh key costs one request, and the trial leaves nothing behind', async (t) => {
    const { address } = await bucketFor(t, { locks: true });
    const counter = await counterFor(t);
    const lock = { mode: 'GOVERNANCE', horizon: 'P90D' } as const;
    const through = { ...address, endpoint: counter.at, credentials, lock, clock: systemClock };
    await using store = openS3Store(through);
    await store.put(keyOf(1), { bytes }, description);
    counter.requests.length = 0;
    const { version } = await store.put(keyOf(2), { bytes }, description, { fresh: true });
    const path = `/${address.bucket}/city/${keyOf(2)}`;
    assert.deepEqual(counter.requests, [`PUT ${path}?x-id=PutObject`]);
    assert.deepEqual(await Array.fromAsync(store.covered()), []);
    // Who gives a key out as fresh that is not loses nothing: what came first stays what is read.
    await store.put(keyOf(2), { bytes: Buffer.from('forgery') }, description, { fresh: true });
    for (const known of [version, null])
      assert.equal((await readObject(store, keyOf(2), known)).bytes.toString(), 'evidence');
  });

  test('a service that was trusted is asked again for one put in 64, and after a minute', async (t) => {
    const { address } = await bucketFor(t, { locks: true });
    const counter = await counterFor(t);
    const lock = { mode: 'GOVERNANCE', horizon: 'P90D' } as const;
    let now = systemClock.now();
    const clock = { now: () => now };
    await using store = openS3Store({ ...address, endpoint: counter.at, credentials, lock, clock });
    const askedFor = async (keys: number[]) => {
      counter.requests.length = 0;
      for (const key of keys) await store.put(keyOf(key), { bytes }, description, { fresh: true });
      return counter.requests.filter((request) => !request.startsWith('PUT')).length;
    };
    await askedFor([1]);
    assert.equal(await askedFor(Array.from({ length: 63 }, (_, at) => 2 + at)), 0);
    assert.equal(await askedFor([65, 66]), 1);
    now = now.add({ seconds: 61 });
    assert.equal(await askedFor([67, 68]), 1);
  });

  test('every version of an object is erased, however many; one that is locked keeps them all', async (t) => {
    const { client, bucket, open } = await bucketFor(t, { locks: true });
    const { store, eraser, keeper } = open({ mode: 'GOVERNANCE', horizon: 'P90D' });
    const { store: unlocked } = open();
    const Key = `city/${keyOf(1)}`;
    const { version } = await unlocked.put(keyOf(1), { bytes }, description);
    for (const Body of ['one', 'two', 'three'])
      await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body }));
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
    await keeper.setHold(keyOf(1), version, true);
    await assert.rejects(eraser.erase(keyOf(1)), RefusedError);
    assert.equal((await Array.fromAsync(store.covered()))[0]?.later.length, 3, 'nothing was removed');
    await keeper.setHold(keyOf(1), version, false);
    await eraser.erase(keyOf(1));
    await assert.rejects(store.head(keyOf(1)), ObjectNotFoundError);
    assert.deepEqual(await keysOf(store), []);
  });

  test('a missing bucket and wrong keys are service errors with a remedy, never an absent object', async () => {
    const address = { bucket: `absent-${randomUUID()}`, region, endpoint, prefix: '', clock: systemClock };
    const wrong = { ...credentials, secretAccessKey: 'wrong' };
    for (const given of [credentials, wrong]) {
      await using store = openS3Store({ ...address, credentials: given, lock: 'none' });
      for (const version of [null, 'a-version']) {
        await assert.rejects(
          store.head(keyOf(1), version),
          (error) => error instanceof ServiceError && Boolean(error.hint),
        );
        await assert.rejects(store.get(keyOf(1), version), ServiceError);
      }
      await assert.rejects(store.put(keyOf(1), { bytes }, description), ServiceError);
      await assert.rejects(keysOf(store), ServiceError);
      await assert.rejects(s3Eraser({ ...address, credentials: given }).erase(keyOf(1)), ServiceError);
    }
  });
}

test('an S3 service that cannot be reached, or is something else, is an error that names it', async (t) => {
  const server = createServer((_request, response) => response.writeHead(404).end('<html>Not here</html>'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const address = { bucket: 'records', region, prefix: '', clock: systemClock, lock: 'none' } as const;
  const keys = { accessKeyId: 'a', secretAccessKey: 'b' };
  const at = `http://127.0.0.1:${port}`;
  const check = async () => {
    await using store = openS3Store({ ...address, endpoint: at, credentials: keys });
    const named = (error: unknown) =>
      error instanceof ServiceError && error.message.includes(at) && Boolean(error.hint);
    for (const version of [null, 'a-version']) {
      await assert.rejects(store.head(keyOf(1), version), named);
      await assert.rejects(store.get(keyOf(1), version), named);
    }
    await assert.rejects(store.put(keyOf(1), { bytes }, description), named);
    await assert.rejects(keysOf(store), named);
  };
  await check();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await check();
  t.diagnostic('answered by a web server, then by nothing');
});
