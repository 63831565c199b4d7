// The one contract suite of every object store: what src/store/objects.ts promises, held against the real thing. Each
// store's own test file calls it.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, type TestContext, test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { sha256Hex } from '../../src/core/digest.ts';
import { InputError, ObjectExistsError, ObjectNotFoundError } from '../../src/core/errors.ts';
import type { StoreSettings } from '../../src/core/settings.ts';
import { openEraser } from '../../src/store/eraser.ts';
import { type ObjectStore, readObject } from '../../src/store/objects.ts';
import { openStore } from '../../src/store/open.ts';
import type { S3Credentials } from '../../src/store/s3-bucket.ts';

/** A fresh, empty store, gone after the test. */
export interface ArrangedStore {
  readonly settings: StoreSettings;
  readonly credentials?: S3Credentials;
}

const WRITER = path.join(import.meta.dirname, 'writer.ts');
const description = { contentType: 'application/json', metadata: { salt: 'c2FsdA==', kind: 'slice' } };

export function storeContract(name: string, arrange: (t: TestContext) => Promise<ArrangedStore>): void {
  const opened = async (t: TestContext) => {
    const arranged = await arrange(t);
    const options = arrangedOptions(arranged);
    const store = await openStore(arranged.settings, { ...options, create: true });
    t.after(() => store[Symbol.asyncDispose]());
    return { ...arranged, store, eraser: openEraser(arranged.settings, options) };
  };

  describe(`${name}, as every object store,`, { concurrency: false }, () => {
    test('gives back the bytes, content type and metadata that were put', async (t) => {
      const { store } = await opened(t);
      for (const bytes of [Buffer.from('a post\n\n'), randomBytes(700_000), Buffer.alloc(0)]) {
        const key = sha256Hex(bytes);
        const put = await store.put(key, { bytes }, description);
        assert.deepEqual(
          { ...put, version: null },
          { key, length: bytes.length, ...description, version: null, lockedUntil: null },
        );
        assert.deepEqual(await store.head(key, put.version), put);
        const read = await readObject(store, key, put.version);
        assert.deepEqual(read.object, put);
        assert.ok(read.bytes.equals(bytes));
        assert.ok((await readObject(store, key)).bytes.equals(bytes), 'also by its key alone');
      }
    });

    test('accepts equal bytes under a key again and keeps the first object', async (t) => {
      const { store } = await opened(t);
      const key = keyOf(1);
      const first = await store.put(key, { bytes: Buffer.from('same') }, description);
      const later = { contentType: 'text/plain', metadata: {} };
      assert.deepEqual(await store.put(key, { bytes: Buffer.from('same') }, later), first);
      assert.deepEqual(await store.head(key), first);
    });

    test('refuses other bytes under a key, of the same length or not, and changes nothing', async (t) => {
      const { store } = await opened(t);
      const key = keyOf(1);
      const first = await store.put(key, { bytes: Buffer.from('same') }, description);
      for (const other of ['SAME', 'same and more', '']) {
        await assert.rejects(store.put(key, { bytes: Buffer.from(other) }, description), ObjectExistsError);
      }
      const read = await readObject(store, key);
      assert.deepEqual(read.object, first);
      assert.equal(read.bytes.toString(), 'same');
    });

    test('says that a key is absent only for a key that it does not hold', async (t) => {
      const { store } = await opened(t);
      await assert.rejects(store.head(keyOf(404)), ObjectNotFoundError);
      await assert.rejects(store.get(keyOf(404)), ObjectNotFoundError);
    });

    test('refuses keys that are not commitments and descriptions that some store could not keep', async (t) => {
      const { store, eraser } = await opened(t);
      for (const key of ['', '../../etc/passwd', keyOf(1).toUpperCase(), `${keyOf(1)}/`, `${keyOf(1)}\n`]) {
        await assert.rejects(store.put(key, { bytes: Buffer.alloc(1) }, description), InputError);
        await assert.rejects(store.get(key), InputError);
        await assert.rejects(store.head(key), InputError);
        await assert.rejects(eraser.erase(key), InputError);
      }
      const refused = [
        { salt: 'ü' },
        { salt: ' x' },
        { salt: 'a\r\nb' },
        { Salt: 'x' },
        { salt: 'x'.repeat(1025) },
      ];
      for (const metadata of refused) {
        const put = store.put(keyOf(1), { bytes: Buffer.alloc(1) }, {
          contentType: 'text/plain',
          metadata,
        } as never);
        await assert.rejects(put, InputError);
      }
      await assert.rejects(store.head(keyOf(1)), ObjectNotFoundError);
    });

    test('lists every key once, in ascending order', async (t) => {
      const { store } = await opened(t);
      assert.deepEqual(await keysOf(store), []);
      const keys = Array.from({ length: 60 }, (_, n) => keyOf(n));
      await Promise.all(keys.map((key) => store.put(key, { bytes: Buffer.from(key) }, description)));
      assert.deepEqual(await keysOf(store), keys.sort());
      assert.deepEqual(await Array.fromAsync(store.covered()), [], 'and nothing stands in front of any');
    });

    test('stores a 64 MiB file without holding it in memory', async (t) => {
      const { settings, credentials, store } = await opened(t);
      const folder = await mkdtemp(path.join(tmpdir(), 'muniment-media-'));
      t.after(() => rm(folder, { recursive: true }));
      const file = path.join(folder, 'video');
      const length = 64 * 1024 * 1024;
      await writeFile(file, 'a video that begins here');
      await truncate(file, length);
      const key = keyOf(64);
      const child = runWriter({ settings, ...(credentials ? { credentials } : {}) }, 'file', [
        key,
        file,
        String(length),
      ]);
      const [first] = await linesOf(child);
      const { grown, object } = JSON.parse(first ?? '{}');
      assert.equal(object.length, length);
      // Eight parts of 8 MiB stand between a store that streams and one that does not.
      assert.ok(grown < (settings.provider === 's3' ? 4 : 1) * 48 * 1024 * 1024, `grew by ${grown} bytes`);
      const { body } = await store.get(key, object.version);
      const [stored, put] = [createHash('sha256'), createHash('sha256').update('a video that begins here')];
      for await (const chunk of body) stored.update(chunk as Buffer);
      put.update(Buffer.alloc(length - 'a video that begins here'.length));
      assert.equal(stored.digest('hex'), put.digest('hex'));
    });

    test('refuses a file that is not as long as was said, and stores nothing', async (t) => {
      const { store } = await opened(t);
      const folder = await mkdtemp(path.join(tmpdir(), 'muniment-media-'));
      t.after(() => rm(folder, { recursive: true }));
      const file = path.join(folder, 'image');
      await writeFile(file, 'ten bytes.');
      for (const length of [9, 11]) {
        await assert.rejects(store.put(keyOf(1), { file, length }, description), /not \d+ bytes long/);
      }
      await assert.rejects(
        store.put(keyOf(1), { file: path.join(folder, 'absent'), length: 1 }, description),
      );
      assert.deepEqual(await keysOf(store), []);
      const put = await store.put(keyOf(1), { file, length: 10 }, description);
      assert.equal((await readObject(store, keyOf(1), put.version)).bytes.toString(), 'ten bytes.');
    });

    test('lets many writers in two processes race on one key: one object stands, and other bytes lose', async (t) => {
      const { settings, credentials, store } = await opened(t);
      const arranged = { settings, ...(credentials ? { credentials } : {}) };
      const racers = ['red', 'blue'].map((colour) => runWriter(arranged, 'race', [keyOf(7), colour]));
      const outcomes = (await Promise.all(racers.map((racer) => linesOf(racer))))
        .flat()
        .map((line) => JSON.parse(line));
      assert.equal(outcomes.length, 16);
      const winner = (await readObject(store, keyOf(7))).bytes.toString();
      assert.ok(['red', 'blue'].includes(winner));
      for (const { colour, outcome } of outcomes)
        assert.equal(outcome, colour === winner ? 'stored' : 'exists');
    });

    test('keeps what it confirmed and shows nothing partial when its writer is killed', async (t) => {
      const { settings, credentials, store } = await opened(t);
      for (const [round, enough] of [3, 40].entries()) {
        const child = runWriter({ settings, ...(credentials ? { credentials } : {}) }, 'many', [
          String(round),
        ]);
        const confirmed = await linesOf(child, (lines) => {
          if (lines >= enough) child.kill('SIGKILL');
        });
        assert.ok(confirmed.length >= enough);
        const listed = new Set(await keysOf(store));
        for (const key of confirmed) assert.ok(listed.has(key), 'a confirmed object is there');
      }
      for (const key of await keysOf(store)) {
        const { bytes } = await readObject(store, key);
        assert.equal(sha256Hex(bytes), key, 'an object is whole');
      }
    });

    test('ends a reading that is given up, and reads on', async (t) => {
      const { store } = await opened(t);
      await store.put(keyOf(1), { bytes: randomBytes(3_000_000) }, description);
      for (let time = 0; time < 100; time++) {
        const { body } = await store.get(keyOf(1));
        body.on('error', () => {});
        body.destroy();
      }
      assert.equal((await readObject(store, keyOf(1))).bytes.length, 3_000_000);
    });

    test('erases through the eraser alone: gone for every reader, and again without complaint', async (t) => {
      const { store, eraser } = await opened(t);
      const [kept, erased] = [keyOf(1), keyOf(2)];
      await store.put(kept, { bytes: Buffer.from('kept') }, description);
      const { version } = await store.put(erased, { bytes: Buffer.from('erased') }, description);
      assert.equal('erase' in store || 'delete' in store, false, 'a store has no way to remove');
      await eraser.erase(erased);
      await assert.rejects(store.head(erased, version), ObjectNotFoundError);
      await assert.rejects(store.get(erased), ObjectNotFoundError);
      assert.deepEqual(await keysOf(store), [kept]);
      await eraser.erase(erased);
      await eraser.erase(keyOf(3));
      assert.equal((await readObject(store, kept)).bytes.toString(), 'kept');
    });
  });
}

export function arrangedOptions({ credentials }: ArrangedStore) {
  return { clock: systemClock, ...(credentials ? { credentials } : {}) };
}

export function keyOf(n: number): string {
  return sha256Hex(`key ${n}`);
}

export async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys = [];
  for await (const { key } of store.list()) keys.push(key);
  return keys;
}

function runWriter(arranged: ArrangedStore, mode: string, rest: string[]): ChildProcess {
  return spawn(process.execPath, [WRITER, JSON.stringify(arranged), mode, ...rest], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // A killed process would leave half a coverage file.
    env: { ...process.env, NODE_V8_COVERAGE: '' },
  });
}

/** @returns the whole lines that a process printed until it ended. */
async function linesOf(child: ChildProcess, seen: (count: number) => void = () => {}): Promise<string[]> {
  assert.ok(child.stdout);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    seen(lines.length);
  }
  return lines;
}
