// The one digest function (SHA-256) and the commitments built on it. Byte rules: src/ledger/FORMAT.md.

import { createHash, hash, randomBytes } from 'node:crypto';

export const DIGEST_BYTES = 32;

/** @returns the 32 bytes of SHA-256 over the parts, one after another. */
export function sha256(...parts: (Uint8Array | string)[]): Buffer {
  // By way of text: measured, a Buffer that OpenSSL's binding allocates costs more than twice the hash of an entry.
  if (parts.length === 1) return Buffer.from(hash('sha256', parts[0] as Uint8Array, 'latin1'), 'latin1');
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
}

/** @returns SHA-256 in lower-case hex. */
export function sha256Hex(bytes: Uint8Array | string): string {
  return hash('sha256', bytes, 'hex');
}

const BLOCK_BYTES = 64;

/**
 * HMAC-SHA-256 (RFC 2104) under one key of at most 64 bytes, for thousands of short messages: the key's pads are laid out once, and nothing
 * is allocated for a message but what it returns.
 * @returns a function from a message to its 32 bytes, as text of one character (latin1) a byte
 */
export function repeatedHmac(key: Uint8Array): (message: string) => string {
  if (key.length > BLOCK_BYTES) throw new RangeError(`a key of ${key.length} bytes is longer than a block`);
  const outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES).fill(0x5c, 0, BLOCK_BYTES);
  let inner = Buffer.alloc(1024).fill(0x36, 0, BLOCK_BYTES);
  for (const [at, byte] of key.entries()) {
    inner[at] = byte ^ 0x36;
    outer[at] = byte ^ 0x5c;
  }
  // A view costs as much as a hash, and few lengths are in use.
  let views: (Buffer | undefined)[] = [];
  return (message) => {
    const needed = BLOCK_BYTES + 3 * message.length;
    if (needed > inner.length) {
      inner = Buffer.concat([inner.subarray(0, BLOCK_BYTES)], 2 * needed);
      views = [];
    }
    const length = BLOCK_BYTES + inner.write(message, BLOCK_BYTES, 'utf8');
    views[length] ??= inner.subarray(0, length);
    outer.write(hash('sha256', views[length], 'latin1'), BLOCK_BYTES, 'latin1');
    return hash('sha256', outer, 'latin1');
  };
}

/** Random bytes not given out yet: the generator costs as much for a page of salts as for one. */
let unused = Buffer.alloc(0);

/** @returns a fresh 32-byte salt or seed. */
export function newSalt(): Buffer {
  if (unused.length === 0) unused = randomBytes(128 * DIGEST_BYTES);
  // Memory of its own: a view would show the salts of others to whoever looks behind it.
  const salt = Buffer.alloc(DIGEST_BYTES);
  unused.copy(salt, 0, 0, DIGEST_BYTES);
  unused.fill(0, 0, DIGEST_BYTES);
  unused = unused.subarray(DIGEST_BYTES);
  return salt;
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
