// FORMAT.md's test vectors, which were computed by a program in another language, and the published ones of RFC 6962 and RFC 8785.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { canonicalText } from '../../src/core/canonical.ts';
import { bodyCommitment, payloadCommitment, sha256 } from '../../src/core/digest.ts';
import { VerificationError } from '../../src/core/errors.ts';
import { ChainCheck } from '../../src/ledger/chain.ts';
import { leafBytes, textRuns } from '../../src/ledger/disclosure.ts';
import { decodeEntry, type Entry, encodeEntry, genesis, sealedBody } from '../../src/ledger/entry.ts';
import {
  checkpointText,
  openNote,
  parseCheckpoint,
  parseSigningKey,
  parseVerifierKey,
  signNote,
} from '../../src/ledger/note.ts';
import { encodeReceipt, verifyReceipt } from '../../src/ledger/receipt.ts';
import {
  EMPTY_ROOT,
  inclusionProof,
  leafHash,
  nodeHash,
  RightEdge,
  verifyInclusion,
} from '../../src/ledger/tree.ts';

const vectors = JSON.parse(readFileSync(new URL('../golden/format-vectors.json', import.meta.url), 'utf8'));

test('digests and commitments are those of FORMAT.md section 1', () => {
  const { genesis: first, payload, body, emptyTree } = vectors['1 digests'];
  assert.equal(genesis(first.origin).toString('hex'), first.hex);
  assert.equal(payloadCommitment(Buffer.from(payload.salt, 'hex'), sha256(payload.text)), payload.commitment);
  assert.equal(bodyCommitment(Buffer.from(body.salt, 'hex'), Buffer.from(body.text)), body.commitment);
  assert.equal(EMPTY_ROOT.toString('hex'), emptyTree);
});

test('entries of FORMAT.md section 2 are read, chained and written to the byte; a sealed body is padded as it says', async () => {
  const { origin, entries, sealed } = vectors['2 entries'] as {
    origin: string;
    entries: { entry: string; leaf: string }[];
    sealed: { seq: number; salt: string; json: string; paddedLength: number; commitment: string };
  };
  const log = entries.map(({ entry }) => Buffer.from(entry));
  let prev = genesis(origin);
  for (const [seq, bytes] of log.entries()) {
    const { known, entry } = decodeEntry(bytes);
    assert.ok(known);
    assert.deepEqual(encodeEntry(entry as Entry), bytes);
    assert.deepEqual([entry.seq, entry.prev], [seq, prev.toString('base64')]);
    prev = leafHash(bytes);
    assert.equal(prev.toString('hex'), entries[seq]?.leaf);
  }
  const chain = new ChainCheck(origin, [log.length]);
  const { problems } = await chain.take(
    log.map((entry, seq) => ({ seq, entry, leaf: Buffer.from(entries[seq]?.leaf ?? '', 'hex') })),
  );
  assert.deepEqual(problems, []);
  const body = sealedBody(JSON.parse(sealed.json));
  assert.equal(body.length, sealed.paddedLength);
  assert.equal(body.toString('utf8').trimEnd(), sealed.json);
  assert.equal(bodyCommitment(Buffer.from(sealed.salt, 'hex'), body), sealed.commitment);
  assert.equal(JSON.parse(entries[sealed.seq]?.entry ?? '').body, sealed.commitment);
});

test('the checkpoint and the receipt of FORMAT.md section 3 are signed, opened and written to the byte', async () => {
  const { signingKey, verifierKey, seed, publicKey, size, root, note, receipt } = vectors['3 checkpoint'];
  const { origin, entries } = vectors['2 entries'];
  const hashes: Buffer[] = entries.map(({ leaf }: { leaf: string }) => Buffer.from(leaf, 'hex'));
  const edge = RightEdge.from(0, []);
  for (const hash of hashes) edge.append(hash);
  assert.equal(edge.root().toString('hex'), root);
  const key = parseSigningKey(signingKey);
  assert.equal(key.verifierKey, verifierKey);
  assert.ok(
    signingKey.endsWith(Buffer.concat([Buffer.from([1]), Buffer.from(seed, 'hex')]).toString('base64')),
  );
  const known = parseVerifierKey(verifierKey);
  assert.equal(
    known.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex'),
    publicKey,
  );
  assert.equal(signNote(checkpointText({ origin, size, root: edge.root() }), key), note);
  const opened = parseCheckpoint(openNote(note, [known]).text);
  assert.deepEqual([opened.origin, opened.size, opened.root.toString('hex')], [origin, size, root]);
  const node = (level: number, n: number): Buffer =>
    level === 0 ? (hashes[n] as Buffer) : nodeHash(node(level - 1, 2 * n), node(level - 1, 2 * n + 1));
  const path = await inclusionProof(receipt.index, size, node);
  assert.equal(encodeReceipt({ index: receipt.index, path, checkpoint: note }), receipt.text);
  const entry = Buffer.from(entries[receipt.index].entry);
  assert.equal(verifyReceipt(receipt.text, entry, known).size, size);
});

test('the tree has the roots that Certificate Transparency publishes for its eight leaves, and every leaf a proof', async () => {
  const { leaves, roots } = vectors['3 tree'];
  const hashes: Buffer[] = leaves.map((hex: string) => leafHash(Buffer.from(hex, 'hex')));
  const edge = RightEdge.from(0, []);
  assert.equal(edge.root().toString('hex'), roots[0]);
  for (const [index, hash] of hashes.entries()) {
    edge.append(hash);
    assert.equal(edge.root().toString('hex'), roots[index + 1]);
  }
  assert.equal(roots[8], '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328');
  const node = (level: number, n: number): Buffer =>
    level === 0 ? (hashes[n] as Buffer) : nodeHash(node(level - 1, 2 * n), node(level - 1, 2 * n + 1));
  for (let size = 1; size <= hashes.length; size += 1) {
    for (let index = 0; index < size; index += 1) {
      const proof = await inclusionProof(index, size, node);
      const root = Buffer.from(roots[size], 'hex');
      assert.equal(verifyInclusion(index, size, hashes[index] as Buffer, proof, root), true);
      assert.equal(verifyInclusion(index, size, leafHash(Buffer.from('other')), proof, root), false);
    }
  }
});

test('a text is cut into the runs of FORMAT.md section 5, and a leaf has the bytes given there', () => {
  const { text, runs, seed, pointer, value, leafBytes: bytes } = vectors['5 disclosure'];
  assert.deepEqual(textRuns(text), runs);
  assert.deepEqual(textRuns(''), ['']);
  assert.deepEqual(
    textRuns('x'.repeat(130)).map((run) => run.length),
    [64, 64, 2],
  );
  assert.equal(leafBytes(Buffer.from(seed, 'hex'), pointer, value).toString('hex'), bytes);
});

test('canonical JSON is that of RFC 8785', () => {
  const numbers = { numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 0.000000000000000000000000001] };
  assert.equal(canonicalText(numbers), '{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}');
  const sorted = {
    '\u20ac': 'Euro Sign',
    '\r': 'Carriage Return',
    '\ufb33': 'Hebrew Letter Dalet With Dagesh',
    '1': 'One',
    '\ud83d\ude00': 'Emoji: Grinning Face',
    '\u0080': 'Control',
    '\u00f6': 'Latin Small Letter O With Diaeresis',
  };
  assert.deepEqual(Object.values(JSON.parse(canonicalText(sorted)) as object).length, 7);
  assert.equal(
    canonicalText(sorted),
    '{"\\r":"Carriage Return","1":"One","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis","\u20ac":"Euro Sign","\ud83d\ude00":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
  );
});

test('an entry nested as deep as its limit of bytes allows, or with a lone surrogate, is refused and crashes nothing', () => {
  for (const text of [
    `{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
    `{"a":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_001)}`,
    '{"a":"\\ud800"}',
    '{"\\ud800":1}',
  ]) {
    assert.throws(() => decodeEntry(Buffer.from(text)), VerificationError);
  }
});
