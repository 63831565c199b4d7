// Turns bytes into payloads: salt, commitment, object in the store. Objects are durable before any entry names them; a crash
// afterwards leaves an unreferenced object at worst.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { newSalt, payloadCommitment, sha256, sha256Hex } from '../core/digest.ts';
import { ServiceError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import { archiveMark } from '../ledger/entry.ts';
import type { PayloadFacts } from '../ledger/projection.ts';
import type { ObjectWriter } from '../store/objects.ts';

export type PayloadOwner = { readonly record: Id } | { readonly run: Id };

export interface StoredPayload extends PayloadFacts {
  readonly commitment: string;
  /** The store's version id, or null. */
  readonly version: string | null;
  /** Until when the store refuses to remove it, or null. */
  readonly lockedUntil: Temporal.Instant | null;
}

export interface PayloadDescription {
  readonly owner: PayloadOwner;
  readonly role: string;
  readonly contentType: string;
  /** Disclosure seed, on snapshot documents. */
  readonly seed?: Buffer;
}

/** Where payloads go, and of which archive they are. */
export interface PayloadPlace {
  readonly store: ObjectWriter;
  readonly ledger: { readonly origin: string };
}

/** Every payload is stored under a salt of its own, so that nobody else has its key. */
const FRESH = { fresh: true };

/** Stores bytes as a new payload under a fresh salt. @returns when it is durable */
export async function storePayload(
  { store, ledger }: PayloadPlace,
  bytes: Uint8Array,
  description: PayloadDescription,
): Promise<StoredPayload> {
  const salt = newSalt();
  const digest = sha256(bytes);
  const commitment = payloadCommitment(salt, digest);
  const object = await store.put(
    commitment,
    { bytes },
    objectDescription(ledger.origin, salt, description),
    FRESH,
  );
  return {
    commitment,
    salt,
    sha256: digest.toString('hex'),
    length: bytes.length,
    contentType: description.contentType,
    version: object.version,
    lockedUntil: object.lockedUntil,
  };
}

/** Stores a finished file as a new payload. @param sha256InHex digest of the file, checked again while it is read here */
export async function storePayloadFile(
  { store, ledger }: PayloadPlace,
  file: { path: string; length: number; sha256: string },
  description: PayloadDescription,
): Promise<StoredPayload> {
  const salt = newSalt();
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(file.path)) digest.update(chunk as Buffer);
  const sha = digest.digest();
  if (sha.toString('hex') !== file.sha256)
    throw new ServiceError(`${basename(file.path)} changed while it was stored`, {
      hint: 'Let nothing write to it, and run the command again.',
    });
  const commitment = payloadCommitment(salt, sha);
  const object = await store.put(
    commitment,
    { file: file.path, length: file.length },
    objectDescription(ledger.origin, salt, description),
    FRESH,
  );
  return {
    commitment,
    salt,
    sha256: file.sha256,
    length: file.length,
    contentType: description.contentType,
    version: object.version,
    lockedUntil: object.lockedUntil,
  };
}

function objectDescription(origin: string, salt: Buffer, description: PayloadDescription) {
  const metadata: Record<string, string> = {
    archive: archiveMark(origin),
    salt: salt.toString('hex'),
    role: description.role,
  };
  if ('record' in description.owner) metadata.record = description.owner.record;
  else metadata.run = description.owner.run;
  if (description.seed !== undefined) metadata.seed = description.seed.toString('hex');
  return { contentType: description.contentType, metadata };
}

/** @returns the digest that decides whether content changed: of the comparison value's canonical JSON */
export function contentDigest(canonical: Uint8Array): string {
  return sha256Hex(canonical);
}
