// The key that an account signs its commits with, as its DID document has it, and whether a signature is by it
// (https://atproto.com/specs/cryptography): P-256 or secp256k1, over SHA-256, and of the two signatures that say the same only the low one.

import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import type { DidDocument } from './views.ts';

interface Curve {
  readonly name: string;
  /** Before a compressed point, in a Multikey. */
  readonly prefix: readonly [number, number];
  /** The type of keys before Multikey, still found in old documents: bare points. */
  readonly formerly: string;
  /** The object identifier, in DER. */
  readonly oid: Buffer;
  readonly order: bigint;
}

const CURVES: readonly Curve[] = [
  {
    name: 'secp256k1',
    prefix: [0xe7, 0x01],
    formerly: 'EcdsaSecp256k1VerificationKey2019',
    oid: Buffer.from('06052b8104000a', 'hex'),
    order: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
  },
  {
    name: 'P-256',
    prefix: [0x80, 0x24],
    formerly: 'EcdsaSecp256r1VerificationKey2019',
    oid: Buffer.from('06082a8648ce3d030107', 'hex'),
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  },
];
const EC_PUBLIC_KEY = Buffer.from('06072a8648ce3d0201', 'hex');
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
/** Characters of a key: an uncompressed point takes 89. */
const LONGEST = 120;

export interface SigningKey {
  readonly curve: Curve;
  readonly key: KeyObject;
}

/** @returns the account's key, or why the document gives none that can be used */
export function signingKeyOf(document: DidDocument): SigningKey | string {
  const method = document.verificationMethod?.find(
    ({ id }) => id === '#atproto' || id === `${document.id}#atproto`,
  );
  if (method === undefined) return 'its DID document names no key for the AT Protocol';
  const text = method.publicKeyMultibase ?? '';
  const bytes = text.startsWith('z') && text.length <= LONGEST ? base58(text.slice(1)) : null;
  const isMultikey = method.type === 'Multikey';
  const curve = CURVES.find(({ prefix, formerly }) =>
    isMultikey ? bytes?.[0] === prefix[0] && bytes[1] === prefix[1] : method.type === formerly,
  );
  if (bytes === null || curve === undefined)
    return 'its DID document names a key of a kind that the AT Protocol does not use';
  const point = isMultikey ? bytes.subarray(2) : bytes;
  try {
    const bits = Buffer.concat([Buffer.of(0), point]);
    const der = sequence(sequence(EC_PUBLIC_KEY, curve.oid), tagged(0x03, bits));
    return { curve, key: createPublicKey({ key: der, format: 'der', type: 'spki' }) };
  } catch {
    return 'the key in its DID document is no point of its curve';
  }
}

/** @param signature r and s, 32 bytes each */
export function isSignedBy({ curve, key }: SigningKey, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).toString('hex')}`);
  if (s > curve.order / 2n) return false;
  return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature);
}

const sequence = (...parts: Buffer[]): Buffer => tagged(0x30, Buffer.concat(parts));

/** A value of DER shorter than 128 bytes. */
function tagged(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.of(tag, content.length), content]);
}

function base58(text: string): Buffer | null {
  let value = 0n;
  for (const letter of text) {
    const digit = BASE58.indexOf(letter);
    if (digit < 0) return null;
    value = value * 58n + BigInt(digit);
  }
  const hex = value === 0n ? '' : value.toString(16);
  const zeros = /^1*/.exec(text)?.[0].length ?? 0;
  return Buffer.concat([
    Buffer.alloc(zeros),
    Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex'),
  ]);
}
