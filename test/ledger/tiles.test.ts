// The files of a published log, against the layout that C2SP tlog-tiles describes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VerificationError } from '../../src/core/errors.ts';
import { bundlePath, decodeBundle, encodeBundle, tilePath, writeTiles } from '../../src/ledger/tiles.ts';
import { EMPTY_ROOT, leafHash, nodeHash, RightEdge } from '../../src/ledger/tree.ts';
import { makeLog } from './log.ts';

async function* inBatches(entries: readonly Buffer[], width: number): AsyncGenerator<{ entry: Buffer }[]> {
  for (let at = 0; at < entries.length; at += width)
    yield entries.slice(at, at + width).map((entry) => ({ entry }));
}

async function published(entries: readonly Buffer[], width = 100) {
  const files = new Map<string, Buffer>();
  const head = await writeTiles(inBatches(entries, width), async (path, bytes) => {
    assert.ok(!files.has(path), `${path} is written once`);
    files.set(path, bytes);
  });
  return { files, head };
}

/** Root of a list of subtree roots of one size, by RFC 6962's recursion. */
function fold(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 1) return hashes[0] as Buffer;
  let left = 1;
  while (left * 2 < hashes.length) left *= 2;
  return nodeHash(fold(hashes.slice(0, left)), fold(hashes.slice(left)));
}

test('tiles and bundles lie where C2SP tlog-tiles says', () => {
  assert.equal(tilePath(0, 1_234_067, 256), 'tile/0/x001/x234/067');
  assert.equal(tilePath(0, 0, 256), 'tile/0/000');
  assert.equal(tilePath(1, 999, 256), 'tile/1/999');
  assert.equal(tilePath(1, 1000, 256), 'tile/1/x001/000');
  assert.equal(tilePath(2, 0, 1), 'tile/2/000.p/1');
  assert.equal(tilePath(0, 273, 112), 'tile/0/273.p/112');
  assert.equal(bundlePath(1_234_067, 255), 'tile/entries/x001/x234/067.p/255');
  assert.equal(bundlePath(7, 256), 'tile/entries/007');
  for (const [level, n, width] of [
    [-1, 0, 1],
    [64, 0, 1],
    [0, -1, 1],
    [0, 0.5, 1],
    [0, 0, 0],
    [0, 0, 257],
  ] as const) {
    assert.throws(() => tilePath(level, n, width), RangeError);
  }
});

test('a bundle gives back its entries, and a damaged one is refused', () => {
  const entries = [Buffer.from('one'), Buffer.alloc(0), Buffer.alloc(65_535, 3)];
  const bytes = encodeBundle(entries);
  assert.deepEqual(bytes.subarray(0, 7), Buffer.from('\u0000\u0003one\u0000\u0000'));
  assert.deepEqual(decodeBundle(bytes), entries);
  for (const damaged of [
    bytes.subarray(0, -1),
    Buffer.concat([bytes, Buffer.of(0)]),
    Buffer.alloc(0),
    Buffer.alloc(2 * 257),
  ]) {
    assert.throws(() => decodeBundle(damaged), VerificationError);
  }
  assert.throws(() => encodeBundle([Buffer.alloc(65_536)]), RangeError);
  assert.throws(() => encodeBundle([]), RangeError);
  assert.throws(() => encodeBundle(Array(257).fill(Buffer.alloc(1))), RangeError);
});

test('a published log holds every entry and every hash once, whatever the batches', async () => {
  const log = makeLog(600);
  for (const [size, names] of [
    [1, ['tile/0/000.p/1', 'tile/entries/000.p/1']],
    [255, ['tile/0/000.p/255', 'tile/entries/000.p/255']],
    [256, ['tile/0/000', 'tile/1/000.p/1', 'tile/entries/000']],
    [
      600,
      [
        'tile/0/000',
        'tile/0/001',
        'tile/0/002.p/88',
        'tile/1/000.p/2',
        'tile/entries/000',
        'tile/entries/001',
        'tile/entries/002.p/88',
      ],
    ],
  ] as const) {
    const entries = log.entries.slice(0, size);
    const { files, head } = await published(entries);
    assert.deepEqual([...files.keys()].sort(), names);
    assert.deepEqual(head, log.head(size));
    const bundles = [...files.keys()].filter((name) => name.startsWith('tile/entries/')).sort();
    assert.deepEqual(
      bundles.flatMap((name) => decodeBundle(files.get(name) as Buffer)),
      entries,
    );
    const leaves = [...files.keys()].filter((name) => name.startsWith('tile/0/')).sort();
    assert.deepEqual(
      Buffer.concat(leaves.map((name) => files.get(name) as Buffer)),
      Buffer.concat(entries.map(leafHash)),
    );
    assert.deepEqual((await published(entries, 1)).files, files);
  }
});

test('a log of more than 65,536 entries has a third level, whose hashes stand for the tiles below', async () => {
  const size = 65_536 + 300;
  const entries = Array.from({ length: size }, (_, n) => Buffer.from(`${n}`));
  const { files, head } = await published(entries, 1000);
  const hashes = (name: string): Buffer[] => {
    const bytes = files.get(name) as Buffer;
    return Array.from({ length: bytes.length / 32 }, (_, n) => bytes.subarray(32 * n, 32 * n + 32));
  };
  assert.deepEqual(hashes('tile/2/000.p/1'), [fold(hashes('tile/1/000'))]);
  assert.deepEqual(hashes('tile/1/001.p/1'), [fold(hashes('tile/0/256'))]);
  assert.equal(hashes('tile/0/257.p/44').length, 44);
  for (const n of [0, 1, 255]) {
    assert.deepEqual(hashes('tile/1/000')[n], fold(hashes(`tile/0/${String(n).padStart(3, '0')}`)));
  }
  const edge = RightEdge.from(0, []);
  for (const entry of entries) edge.append(leafHash(entry));
  assert.deepEqual(head, { size, root: edge.root() });
  assert.equal(files.size, 258 + 2 + 1 + 258);
});

test('the empty log has no tiles', async () => {
  const { files, head } = await published([]);
  assert.equal(files.size, 0);
  assert.deepEqual(head, { size: 0, root: EMPTY_ROOT });
});
