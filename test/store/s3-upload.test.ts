// Large files on a real S3 service: an upload that a killed process left is gone on with, and one that nobody goes on with is ended.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { systemClock } from '../../src/core/clock.ts';
import { ServiceError } from '../../src/core/errors.ts';
import { readObject } from '../../src/store/objects.ts';
import { PART } from '../../src/store/s3-upload.ts';
import { bucketFor, counterFor, credentials, endpoint, SKIPPED } from './bucket.ts';
import { keyOf, keysOf } from './contract.ts';

const WRITER = path.join(import.meta.dirname, 'writer.ts');
const description = { contentType: 'text/plain', metadata: { kind: 'slice' } };
const LENGTH = 4 * PART + 12_345;

function fileFor(t: TestContext): { file: string; bytes: Buffer } {
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'muniment-media-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const bytes = randomBytes(LENGTH);
  const file = path.join(folder, 'video');
  fs.writeFileSync(file, bytes);
  return { file, bytes };
}

if (endpoint === null) {
  test('uploads in parts', (t) => t.skip(SKIPPED));
} else {
  test('what a killed process has sent of a large file is not sent again, and the object is whole and locked', async (t) => {
    const { client, bucket, address, open } = await bucketFor(t, { locks: true });
    const { file, bytes } = fileFor(t);
    const counter = await counterFor(t);
    const partsSent = () =>
      counter.requests.flatMap((line) => /^PUT .*[?&]partNumber=(\d+)/.exec(line)?.[1] ?? []);
    const lock = { mode: 'GOVERNANCE', horizon: 'P90D' };
    const arranged = JSON.stringify({
      settings: { provider: 's3', ...address, endpoint: counter.at, lock },
      credentials,
    });
    const write = () =>
      spawn(process.execPath, [WRITER, arranged, 'file', keyOf(1), file, String(LENGTH)], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, NODE_V8_COVERAGE: '' },
      });
    const killed = write();
    counter.whenAnswered(() => {
      if (partsSent().length === 2) killed.kill('SIGKILL');
    });
    await once(killed, 'exit');
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    assert.equal(Uploads?.length, 1);
    const before = partsSent();
    counter.requests.length = 0;
    assert.ok(before.length >= 2 && before.length < 5);
    const second = write();
    const said: string[] = [];
    second.stdout.setEncoding('utf8').on('data', (text: string) => said.push(text));
    await once(second, 'close');
    const { object } = JSON.parse(said.join(''));
    // A part that the service had taken, but whose answer the killed process did not live to hear, may not be counted before.
    const after = partsSent();
    assert.ok(after.length + before.length <= 5, `sent ${after} after ${before}`);
    for (const part of before) assert.equal(after.includes(part), false, `part ${part} went twice`);
    const read = await readObject(open().store, keyOf(1), object.version, LENGTH);
    assert.ok(read.bytes.equals(bytes));
    assert.ok(read.object.lockedUntil !== null);
    assert.deepEqual(read.object.metadata, description.metadata);
    const left = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    assert.deepEqual(left.Uploads ?? [], []);
  });

  test('a part that an unfinished upload holds otherwise is sent again', async (t) => {
    const { client, bucket, open } = await bucketFor(t);
    const { file, bytes } = fileFor(t);
    const address = { Bucket: bucket, Key: `city/${keyOf(1)}` };
    const { UploadId } = await client.send(
      new CreateMultipartUploadCommand({
        ...address,
        ContentType: description.contentType,
        Metadata: description.metadata,
      }),
    );
    const parts = [Buffer.alloc(PART), bytes.subarray(PART, 2 * PART), bytes.subarray(0, PART - 1)];
    for (const [index, Body] of parts.entries())
      await client.send(
        new UploadPartCommand({ ...address, UploadId: UploadId as string, PartNumber: index + 1, Body }),
      );
    const { store } = open();
    const { version } = await store.put(keyOf(1), { file, length: LENGTH }, description);
    assert.ok((await readObject(store, keyOf(1), version, LENGTH)).bytes.equals(bytes));
  });

  test('an upload that nobody went on with for a day is ended; a younger one, and what is not ours, stays', async (t) => {
    const { client, bucket, open } = await bucketFor(t);
    const begin = async (Key: string) => {
      const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
      return UploadId as string;
    };
    const names = [`city/${keyOf(7)}`, 'city/notes', keyOf(8)];
    for (const name of names) await begin(name);
    const left = async () => {
      const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      return (Uploads ?? []).map((upload) => upload.Key).sort();
    };
    const { file } = fileFor(t);
    await open().store.put(keyOf(1), { file, length: LENGTH }, description);
    assert.deepEqual(await left(), names.sort());
    const tomorrow = { now: () => systemClock.now().add({ hours: 25 }) };
    await open('none', { clock: tomorrow }).store.put(keyOf(2), { file, length: LENGTH }, description);
    assert.deepEqual(await left(), ['city/notes', keyOf(8)].sort());
  });

  test('a large file that is not as long as was said leaves neither an object nor an upload', async (t) => {
    const { client, bucket, open } = await bucketFor(t);
    const { file } = fileFor(t);
    const { store } = open();
    for (const length of [LENGTH - 1, LENGTH + 1])
      await assert.rejects(store.put(keyOf(1), { file, length }, description), ServiceError);
    assert.deepEqual(await keysOf(store), []);
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    assert.deepEqual(Uploads ?? [], []);
  });

  test('two processes that put one large file at once leave one object and no upload', async (t) => {
    const { client, bucket, open } = await bucketFor(t);
    const { file, bytes } = fileFor(t);
    const { store } = open();
    const [one, two] = await Promise.all(
      [open().store, open().store].map((writer) =>
        writer.put(keyOf(1), { file, length: LENGTH }, description),
      ),
    );
    assert.equal(one?.version, two?.version);
    assert.ok((await readObject(store, keyOf(1), one?.version, LENGTH)).bytes.equals(bytes));
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    for (const { Key } of Uploads ?? []) assert.notEqual(Key, `city/${keyOf(1)}`);
  });
}
