// The digests that everything rests on, against the runtime's own implementation.

import assert from 'node:assert/strict';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { repeatedHmac, sha256 } from '../../src/core/digest.ts';

test('a digest over parts is the digest of the parts joined', () => {
  for (const length of [0, 1, 63, 64, 65, 5000]) {
    const bytes = randomBytes(length);
    const expected = createHash('sha256').update(bytes).digest('hex');
    assert.equal(sha256(bytes).toString('hex'), expected);
    assert.equal(sha256(bytes.subarray(0, 1), bytes.subarray(1)).toString('hex'), expected);
  }
});

test('the salts of a disclosure tree are HMAC-SHA-256 under the seed, for messages of any length and script', () => {
  for (const keyLength of [0, 1, 32, 64]) {
    const key = randomBytes(keyLength);
    const hmac = repeatedHmac(key);
    for (const message of ['', '/item/text/0', 'é'.repeat(400), '🏛'.repeat(2000), 'x', '/a~1b']) {
      assert.equal(
        Buffer.from(hmac(message), 'latin1').toString('hex'),
        createHmac('sha256', key).update(message).digest('hex'),
        `key of ${keyLength}, message of ${message.length}`,
      );
    }
  }
  assert.throws(() => repeatedHmac(randomBytes(65)), RangeError);
});
