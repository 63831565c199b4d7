// Reads one payload, by its recorded version, and checks it against its commitment: what a wire or a disk changed is never used.

import { payloadCommitment, sha256 } from '../core/digest.ts';
import { VerificationError } from '../core/errors.ts';
import type { Database } from '../db/database.ts';
import { storedVersions } from '../db/payload-versions.ts';
import type { ObjectSource } from './reader.ts';

/** For documents and small pictures, not for media. */
const LONGEST = 64 * 1024 * 1024;

/**
 * Opens a payload by its recorded version. Its bytes are nobody's until {@link requireCommitted} has seen their digest.
 * @throws VerificationError when it was destroyed; whatever the store throws when it does not hold the object or cannot be read
 */
export async function openPayload(db: Database, store: ObjectSource, commitment: string) {
  const row = await db
    .selectFrom('payloads')
    .select('salt')
    .where('commitment', '=', commitment)
    .executeTakeFirst();
  const salt = row?.salt ?? null;
  if (salt === null)
    throw new VerificationError(`payload ${commitment} is not there to be read: it has no salt`, {
      hint: 'Run `muniment verify`.',
    });
  const versions = await storedVersions(db, store.identity, [commitment]);
  return { salt, ...(await store.get(commitment, versions.get(commitment) ?? null)) };
}

/** @param digest SHA-256 of the bytes that were read. @throws VerificationError when these are not the bytes committed to */
export function requireCommitted(commitment: string, salt: Uint8Array, digest: Uint8Array): void {
  if (payloadCommitment(salt, digest) === commitment) return;
  throw new VerificationError(`the bytes of payload ${commitment} are not those it commits to`, {
    hint: 'Run it again, in case they were damaged on the way here; then `muniment verify`.',
  });
}

/**
 * Reads a payload whole.
 * @throws VerificationError when the bytes are not the ones committed to, or the payload was destroyed;
 *   whatever the store throws when it does not hold the object or cannot be read
 */
export async function readPayload(db: Database, store: ObjectSource, commitment: string): Promise<Buffer> {
  const { salt, object, body } = await openPayload(db, store, commitment);
  if (object.length > LONGEST) {
    body.destroy();
    throw new VerificationError(
      `payload ${commitment} has ${object.length} bytes, more than is read at once`,
    );
  }
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  requireCommitted(commitment, salt, sha256(bytes));
  return bytes;
}
