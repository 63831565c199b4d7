// Keys in a backup open to whom they were sealed, and to nobody else.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { seal, unseal } from '../../src/backup/seal.ts';
import { InputError, MunimentError, VerificationError } from '../../src/core/errors.ts';

const SECRET = Buffer.from('PRIVATE+KEY+archive.example.gov/social+00000000+AAAA');
const passphrase = 'correct horse battery staple';

function recoveryKey() {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  return {
    recipient: publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    recoveryKey: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}

test('what is sealed to a passphrase opens with it alone, and shows nothing', async () => {
  const sealed = await seal(SECRET, { passphrase });
  assert.ok(!sealed.includes(SECRET.subarray(0, 12)));
  assert.deepEqual(await unseal(sealed, { passphrase }), SECRET);
  await assert.rejects(unseal(sealed, { passphrase: `${passphrase} ` }), InputError);
  await assert.rejects(unseal(sealed, { recoveryKey: recoveryKey().recoveryKey }), InputError);
  assert.notDeepEqual(await seal(SECRET, { passphrase }), sealed);
});

test('what is sealed to a recovery key opens with its private half alone', async () => {
  const own = recoveryKey();
  const sealed = await seal(SECRET, { recipient: own.recipient });
  assert.ok(!sealed.includes(SECRET.subarray(0, 12)));
  assert.deepEqual(await unseal(sealed, { recoveryKey: own.recoveryKey }), SECRET);
  await assert.rejects(
    unseal(sealed, { recoveryKey: recoveryKey().recoveryKey }),
    /sealed to another recovery key/,
  );
  await assert.rejects(unseal(sealed, { passphrase }), InputError);
  await assert.rejects(unseal(sealed, { recoveryKey: own.recipient }), InputError);
});

test('a seal of which any byte was changed, or the end cut off, is refused', async () => {
  const own = recoveryKey();
  const sealed = await seal(SECRET, { recipient: own.recipient });
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] as number) ^ 1;
    await assert.rejects(
      unseal(changed, { recoveryKey: own.recoveryKey }),
      (error) => error instanceof MunimentError,
      `byte ${at}`,
    );
  }
  for (const end of [0, 1, 40, sealed.length - 1])
    await assert.rejects(
      unseal(sealed.subarray(0, end), { recoveryKey: own.recoveryKey }),
      (error) => error instanceof MunimentError,
    );
});

test('a header that asks for more memory than a passphrase needs is damage, not work', async () => {
  const header = `{"N":1073741824,"nonce":"AAAAAAAAAAAAAAAA","p":1,"r":8,"salt":"AAAA","to":"passphrase","v":"muniment/v1/sealed"}\n`;
  await assert.rejects(unseal(Buffer.from(header + 'x'.repeat(40)), { passphrase }), VerificationError);
});

test('a short passphrase, and a private key in the place of a public one, are refused', async () => {
  await assert.rejects(seal(SECRET, { passphrase: 'secret' }), InputError);
  await assert.rejects(seal(SECRET, { recipient: recoveryKey().recoveryKey }), InputError);
});
