// The directory store: the contract, and what only files can suffer.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { sha256Hex } from '../../src/core/digest.ts';
import {
  ObjectExistsError,
  ObjectNotFoundError,
  ServiceError,
  VerificationError,
} from '../../src/core/errors.ts';
import { openDirectoryStore } from '../../src/store/directory.ts';
import { directoryEraser } from '../../src/store/eraser.ts';
import { readObject } from '../../src/store/objects.ts';
import { openStore } from '../../src/store/open.ts';
import { keyOf, keysOf, storeContract } from './contract.ts';

const description = { contentType: 'text/plain', metadata: { salt: 'c2FsdA==' } };

function folderFor(t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'muniment store-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  return path.join(folder, 'store');
}

function storeFor(t: TestContext) {
  const root = folderFor(t);
  const nameOf = (key: string) => path.join(root, 'objects', key.slice(0, 2), key);
  return { root, nameOf, store: openDirectoryStore({ path: root, create: true }) };
}

/** Replaces a file's content although it is read-only, as root or its owner can. */
function overwrite(name: string, content: Buffer) {
  fs.rmSync(name);
  fs.writeFileSync(name, content);
}

storeContract('the directory store', async (t) => ({
  settings: { provider: 'directory', path: folderFor(t) },
}));

test('an object is one read-only file: a canonical header line, then exactly the bytes', async (t) => {
  const { store, nameOf, root } = storeFor(t);
  await store.put(keyOf(1), { bytes: Buffer.from('line\nline\n') }, description);
  const text = fs.readFileSync(nameOf(keyOf(1)), 'utf8');
  const rest =
    '"contentType":"text/plain","length":10,"metadata":{"salt":"c2FsdA=="},"v":"muniment/v1/object"}';
  const check = sha256Hex(`muniment/v1/object\n${keyOf(1)}\n{${rest}`);
  assert.equal(text, `{"check":"${check}",${rest}\nline\nline\n`);
  assert.equal(fs.statSync(nameOf(keyOf(1))).mode & 0o777, 0o440);
  assert.equal(fs.statSync(nameOf(keyOf(1))).nlink, 1);
  assert.deepEqual(fs.readdirSync(path.join(root, 'incoming')), []);
});

test('any changed, cut or added byte of an object is an error or other bytes, and never reads as absent', async (t) => {
  const { store, nameOf } = storeFor(t);
  const key = keyOf(1);
  await store.put(key, { bytes: Buffer.from('evidence') }, description);
  const whole = fs.readFileSync(nameOf(key));
  const header = whole.length - 'evidence'.length;
  for (let at = 0; at < whole.length; at++) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] as number) ^ 0x01;
    overwrite(nameOf(key), changed);
    if (at < header) await assert.rejects(readObject(store, key), VerificationError);
    else assert.notEqual((await readObject(store, key)).bytes.toString(), 'evidence');
    overwrite(nameOf(key), whole.subarray(0, at));
    await assert.rejects(
      store.head(key),
      (error) => error instanceof VerificationError && error.message.includes(key),
    );
    await assert.rejects(store.get(key), VerificationError);
  }
  overwrite(nameOf(key), Buffer.concat([whole, Buffer.from('!')]));
  await assert.rejects(store.get(key), /1 bytes were appended/);
  await assert.rejects(store.put(key, { bytes: Buffer.from('evidence') }, description), VerificationError);
  assert.deepEqual(await keysOf(store), [key], 'a damaged object is still listed');
});

test("a file under another object's name is recognised", async (t) => {
  const { store, nameOf } = storeFor(t);
  for (const n of [1, 2]) await store.put(keyOf(n), { bytes: Buffer.from(`payload ${n}`) }, description);
  overwrite(nameOf(keyOf(1)), fs.readFileSync(nameOf(keyOf(2))));
  await assert.rejects(store.get(keyOf(1)), VerificationError);
});

test('an object that is cut while it is read ends its stream with an error', async (t) => {
  const { store, nameOf } = storeFor(t);
  await store.put(keyOf(1), { bytes: Buffer.alloc(2_000_000, 'x') }, description);
  const { body } = await store.get(keyOf(1));
  // The file is read-only; whoever owns it can lift that, as a root user need not even do.
  fs.chmodSync(nameOf(keyOf(1)), 0o600);
  fs.truncateSync(nameOf(keyOf(1)), 600_000);
  await assert.rejects(async () => {
    for await (const _ of body);
  }, /cut while it was read/);
});

test('a symbolic link, a folder or a pipe in the place of an object is refused', async (t) => {
  const { store, nameOf, root } = storeFor(t);
  const [key, target] = [keyOf(1), path.join(root, 'elsewhere')];
  await store.put(key, { bytes: Buffer.from('evidence') }, description);
  fs.renameSync(nameOf(key), target);
  fs.symlinkSync(target, nameOf(key));
  await assert.rejects(store.get(key), /symbolic link/);
  await assert.rejects(store.put(key, { bytes: Buffer.from('evidence') }, description), VerificationError);
  fs.unlinkSync(nameOf(key));
  fs.symlinkSync(path.join(root, 'nowhere'), nameOf(key));
  await assert.rejects(store.head(key), VerificationError, 'a dangling link does not read as absent');
  fs.unlinkSync(nameOf(key));
  fs.mkdirSync(nameOf(key));
  await assert.rejects(store.head(key), VerificationError);
  fs.rmdirSync(nameOf(key));

  const shard = path.dirname(nameOf(keyOf(2)));
  fs.rmSync(shard, { recursive: true });
  fs.symlinkSync(tmpdir(), shard);
  await assert.rejects(store.put(keyOf(2), { bytes: Buffer.from('astray') }, description), ServiceError);
  fs.rmSync(path.join(tmpdir(), keyOf(2)), { force: true });
});

test('a store whose disk is not mounted is an error, not an empty store', async (t) => {
  const { root, store } = storeFor(t);
  await store.put(keyOf(1), { bytes: Buffer.from('evidence') }, description);
  fs.renameSync(path.join(root, 'objects'), path.join(root, 'unmounted'));
  const settings = { provider: 'directory', path: root } as const;
  await assert.rejects(openStore(settings, { clock: systemClock }), ServiceError);
  const reopened = openDirectoryStore({ path: root });
  await assert.rejects(reopened.head(keyOf(1)), ServiceError);
  await assert.rejects(reopened.get(keyOf(2)), ServiceError);
  await assert.rejects(reopened.put(keyOf(1), { bytes: Buffer.from('evidence') }, description), ServiceError);
  await assert.rejects(keysOf(reopened), ServiceError);
  await assert.rejects(directoryEraser({ path: root }).erase(keyOf(1)), ServiceError);
});

test('what cannot be read is a service error with a remedy, not an absent object', async (t) => {
  const { store, nameOf } = storeFor(t);
  await store.put(keyOf(1), { bytes: Buffer.from('evidence') }, description);
  const shard = path.dirname(nameOf(keyOf(1)));
  fs.rmSync(shard, { recursive: true });
  fs.writeFileSync(shard, 'a file where a folder should be');
  await assert.rejects(store.get(keyOf(1)), (error) => error instanceof ServiceError && Boolean(error.hint));
});

test("a dead writer's file is removed after an hour, a living one's is left alone", async (t) => {
  const { root, store } = storeFor(t);
  await store.put(keyOf(1), { bytes: Buffer.from('evidence') }, description);
  const unfinished = path.join(root, 'incoming', `${keyOf(2)}.0011223344556677-0`);
  fs.writeFileSync(unfinished, 'half a');
  const at = (minutes: number) => ({ now: () => Temporal.Now.instant().add({ minutes }) });
  for (const [minutes, left] of [
    [30, true],
    [90, false],
  ] as const) {
    const next = openDirectoryStore({ path: root, clock: at(minutes) });
    await next.put(keyOf(1), { bytes: Buffer.from('evidence') }, description);
    assert.equal(fs.existsSync(unfinished), left);
  }
});

test('erasing takes what a dead writer left of the object too', async (t) => {
  const { root, store } = storeFor(t);
  await store.put(keyOf(1), { bytes: Buffer.from('evidence') }, description);
  const [own, other] = [keyOf(1), keyOf(2)].map((key) =>
    path.join(root, 'incoming', `${key}.0011223344556677-0`),
  );
  for (const file of [own, other]) fs.writeFileSync(file as string, 'half a');
  await directoryEraser({ path: root }).erase(keyOf(1));
  await assert.rejects(store.head(keyOf(1)), ObjectNotFoundError);
  assert.deepEqual([fs.existsSync(own as string), fs.existsSync(other as string)], [false, true]);
});

test('a write that the system cuts short is an error with a remedy, and leaves nothing behind', async (t) => {
  const { root, store } = storeFor(t);
  await store.put(keyOf(1), { bytes: Buffer.from('evidence') }, description);
  // A limit on the size of files breaks a write in its middle, as a full disk does, and needs no rights.
  const settings = JSON.stringify({ settings: { provider: 'directory', path: root } });
  const limited = spawnSync(
    'sh',
    [
      '-c',
      'ulimit -f 8; exec "$0" "$@"',
      process.execPath,
      path.join(import.meta.dirname, 'writer.ts'),
      settings,
      'large',
    ],
    { encoding: 'utf8', env: { ...process.env, NODE_V8_COVERAGE: '' } },
  );
  assert.deepEqual(
    JSON.parse(limited.stdout),
    [false, true].flatMap((fresh) => [
      { size: 100_000, fresh, error: 'ServiceError', remedy: true },
      { size: 1_000_000, fresh, error: 'ServiceError', remedy: true },
      { size: 100, fresh, error: null, remedy: false },
    ]),
  );
  assert.deepEqual(fs.readdirSync(path.join(root, 'incoming')), []);
  const stored = [false, true].map((fresh) => sha256Hex(`key 100 ${fresh}`));
  assert.deepEqual(await keysOf(store), [keyOf(1), ...stored].sort());
});

test('of two writers under a key that both took for their own, the first is kept and the second is told', async (t) => {
  const { store } = storeFor(t);
  const put = (text: string) =>
    store.put(keyOf(1), { bytes: Buffer.from(text) }, description, { fresh: true });
  await put('evidence');
  assert.equal((await put('evidence')).length, 8);
  await assert.rejects(put('forgery!'), ObjectExistsError);
  assert.equal((await readObject(store, keyOf(1))).bytes.toString(), 'evidence');
});
