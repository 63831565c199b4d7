// The one digest function (SHA-256) and the commitments built on it. Byte rules: src/ledger/FORMAT.md.

import { createHash, createHmac, hash, randomBytes } from 'node:crypto';

export const DIGEST_BYTES = 32;

/** @returns the 32 bytes of SHA-256 over the parts, one after another. */
export function sha256(...parts: (Uint8Array | string)[]): Buffer {
  if (parts.length === 1) return hash('sha256', parts[0] as Uint8Array, 'buffer') as Buffer;
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
}

/** @returns SHA-256 in lower-case hex. */
export function sha256Hex(bytes: Uint8Array | string): string {
  return hash('sha256', bytes, 'hex');
}

export function hmacSha256(key: Uint8Array, ...parts: (Uint8Array | string)[]): Buffer {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

/** @returns a fresh 32-byte salt or seed. */
export function newSalt(): Buffer {
  return randomBytes(DIGEST_BYTES);
}

const PAYLOAD_DOMAIN = 'muniment/v1/payload\n';
const BODY_DOMAIN = 'muniment/v1/body\n';

/**
 * The commitment to a payload: SHA-256("muniment/v1/payload\n" ‖ salt ‖ SHA-256(bytes)), in hex. It is the payload's key
 * in the store, so nothing guessable outlives a destroyed payload.
 * @param bytesDigest SHA-256 of the uncompressed bytes (32 bytes)
 */
export function payloadCommitment(salt: Uint8Array, bytesDigest: Uint8Array): string {
  return sha256(PAYLOAD_DOMAIN, salt, bytesDigest).toString('hex');
}

/** The commitment to an entry's body (a restricted row): SHA-256("muniment/v1/body\n" ‖ salt ‖ SHA-256(body)), in hex. */
export function bodyCommitment(salt: Uint8Array, body: Uint8Array): string {
  return sha256(BODY_DOMAIN, salt, sha256(body)).toString('hex');
}
