// A signing key for tests, made here from Node's own Ed25519 alone: what our verifier accepts must not depend on our signer.

import { createHash, generateKeyPairSync, sign } from 'node:crypto';

export interface TestKey {
  /** C2SP verifier key. */
  readonly verifierKey: string;
  readonly signNote: (text: string) => string;
}

export function testKey(name: string): TestKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = Buffer.concat([
    Buffer.of(1),
    Buffer.from(publicKey.export({ format: 'jwk' }).x as string, 'base64url'),
  ]);
  const id = createHash('sha256').update(`${name}\n`).update(raw).digest().subarray(0, 4);
  return {
    verifierKey: `${name}+${id.toString('hex')}+${raw.toString('base64')}`,
    signNote: (text) =>
      `${text}\n\u2014 ${name} ${Buffer.concat([id, sign(null, Buffer.from(text), privateKey)]).toString('base64')}\n`,
  };
}
