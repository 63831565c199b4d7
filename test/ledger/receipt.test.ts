// Receipts: what a stranger can check with an entry, a text and a key, and what must not pass.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VerificationError } from '../../src/core/errors.ts';
import {
  checkpointText,
  newSigningKey,
  parseSigningKey,
  parseVerifierKey,
  signNote,
} from '../../src/ledger/note.ts';
import { encodeReceipt, parseReceipt, verifyReceipt } from '../../src/ledger/receipt.ts';
import { inclusionProof } from '../../src/ledger/tree.ts';
import { makeLog, ORIGIN } from './log.ts';

const key = parseSigningKey(newSigningKey(ORIGIN).signingKey);
const verifier = parseVerifierKey(key.verifierKey);
const log = makeLog(21);

function checkpoint(size: number, root = log.root(size), origin = ORIGIN): string {
  return signNote(checkpointText({ origin, size, root }), key);
}

async function receipt(index: number, size: number): Promise<string> {
  return encodeReceipt({
    index,
    path: await inclusionProof(index, size, log.node),
    checkpoint: checkpoint(size),
  });
}

const entry = (index: number): Buffer => log.entries[index] as Buffer;
const refused = (text: string, bytes = entry(5), by = verifier): void => {
  assert.throws(() => verifyReceipt(text, bytes, by), VerificationError, text);
};

test('a receipt proves every entry under every later head', async () => {
  for (const size of [1, 2, 3, 8, 13, 21]) {
    for (let index = 0; index < size; index += 1) {
      const proved = verifyReceipt(await receipt(index, size), entry(index), verifier);
      assert.equal(proved.entry.seq, index);
      assert.deepEqual({ size: proved.size, root: proved.root }, log.head(size));
    }
  }
});

test('a receipt reads as C2SP tlog-proof says, with no line for a path that is empty', async () => {
  assert.equal(await receipt(0, 1), `c2sp.org/tlog-proof@v1\nindex 0\n\n${checkpoint(1)}`);
  assert.equal(
    await receipt(1, 3),
    `c2sp.org/tlog-proof@v1\nindex 1\n${log.node(0, 0).toString('base64')}\n${log.node(0, 2).toString('base64')}\n\n${checkpoint(3)}`,
  );
  const path = await inclusionProof(5, 21, log.node);
  assert.deepEqual(parseReceipt(await receipt(5, 21)), { index: 5, path, checkpoint: checkpoint(21) });
});

test('no other entry, position, path, head or key passes', async () => {
  const good = await receipt(5, 21);
  const path = await inclusionProof(5, 21, log.node);
  verifyReceipt(good, entry(5), verifier);
  refused(good, entry(4));
  refused(good, Buffer.concat([entry(5), Buffer.from(' ')]));
  refused(good.replace('index 5', 'index 4'));
  refused(good.replace('index 5', 'index 21'));
  refused(encodeReceipt({ index: 5, path: path.slice(1), checkpoint: checkpoint(21) }));
  refused(encodeReceipt({ index: 5, path: [...path, log.root(21)], checkpoint: checkpoint(21) }));
  refused(encodeReceipt({ index: 5, path: path.toReversed(), checkpoint: checkpoint(21) }));
  refused(encodeReceipt({ index: 5, path, checkpoint: checkpoint(20) }));
  refused(encodeReceipt({ index: 5, path, checkpoint: checkpoint(21, log.root(21), 'elsewhere.example') }));
  const extended = signNote(`${checkpointText({ origin: ORIGIN, ...log.head(21) })}more\n`, key);
  refused(encodeReceipt({ index: 5, path, checkpoint: extended }));
  refused(good, entry(5), parseVerifierKey(newSigningKey(ORIGIN).verifierKey));
  refused(good.slice(0, -1));
});

test('an entry of another log or position is not proved, though it stands in the tree', async () => {
  for (const change of [{ origin: 'elsewhere.example' }, { seq: 6 }]) {
    const other = makeLog(8, (made) => (made.seq === 5 ? { ...made, ...change } : made));
    const path = await inclusionProof(5, 8, other.node);
    refused(encodeReceipt({ index: 5, path, checkpoint: checkpoint(8, other.root(8)) }), other.entries[5]);
  }
});

test('what is not exactly a receipt is refused', async () => {
  const good = await receipt(5, 21);
  const hash = log.node(0, 4).toString('base64');
  for (const text of [
    '',
    good.replace('@v1', '@v2'),
    good.replace('index 5\n', ''),
    good.replace('index 5', 'index 05'),
    good.replace('index 5', 'index -5'),
    good.replace('index 5', 'index 9007199254740993'),
    good.replace('index 5', 'extra AAAA\nindex 5'),
    good.replace(hash, hash.slice(0, -1)),
    good.replace(hash, 'AAAA'),
    good.replace(hash, `${hash} `),
    good.replace(`${hash}\n`, `${hash}\n`.repeat(64)),
    good.replaceAll('\n', '\r\n'),
    good.slice(0, good.indexOf('\n\n')),
    ` ${good}`,
  ]) {
    assert.throws(() => parseReceipt(text), VerificationError, text);
  }
  assert.throws(() => encodeReceipt({ index: -1, path: [], checkpoint: checkpoint(1) }), TypeError);
  assert.throws(
    () => encodeReceipt({ index: 0, path: [Buffer.alloc(31)], checkpoint: checkpoint(1) }),
    TypeError,
  );
  assert.throws(() => encodeReceipt({ index: 0, path: [], checkpoint: 'none' }), TypeError);
});
