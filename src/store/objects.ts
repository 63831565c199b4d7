// The contract of every object store. A store is write-once: what stands under a key never changes, and nothing in this
// file can remove it. Removal is a different type, ObjectEraser (eraser.ts), which only disposition receives; so is the
// right to lock on, LockKeeper (lock-keeper.ts).
//
// The contract, which test/store/contract.ts holds every store to:
// 1. `put` returns only when bytes and metadata are durable. A crash before that leaves either nothing or the whole
//    object under the key, never a part of it.
// 2. `put` of equal bytes under a key that exists is accepted, keeps the first object, its metadata and its version, and returns it.
//    `put` of other bytes throws ObjectExistsError and changes nothing. Two writers at once: one object, no loss.
// 3. `get` and `head` throw ObjectNotFoundError only when the store has positively said that the key is absent. Any
//    other trouble (permission, network, damaged header) throws another error: it never reads as "absent".
// 4. `get` streams exactly the bytes that were put; a stored object that was cut or damaged is an error or yields bytes
//    whose digest differs, never a silently shorter stream.
// 5. What stands later under a key, a delete marker or a newer version, never changes what is read; `covered` tells of it.
// 6. `list` yields every key once, in ascending order, with constant memory.
// 7. Metadata is a small map, kept with the object and gone with it: names of lower-case letters, digits and hyphens, values
//    of printable ASCII, 1,024 characters in all (what an HTTP header gives back unchanged).

import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';

/** A key: the payload's commitment, 64 lower-case hex digits. */
export type ObjectKey = string;

export const OBJECT_KEY_PATTERN = /^[0-9a-f]{64}$/;

/** The bytes of an object: in memory, or in a finished file (large media are spooled to one first). */
export type ObjectBody = { readonly bytes: Uint8Array } | { readonly file: string; readonly length: number };

export interface StoredObject {
  readonly key: ObjectKey;
  /** Length of the bytes as put. */
  readonly length: number;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** The store's own version id of this object (S3), or null where the store has none: it then ignores version ids. */
  readonly version: string | null;
  /** Until when the store itself refuses to remove it, or null. */
  readonly lockedUntil: Temporal.Instant | null;
}

export interface ListedObject {
  readonly key: ObjectKey;
  /** Bytes that it takes in the store, a header included: for sums. `head` tells the exact length. */
  readonly length: number;
  readonly modifiedAt: Temporal.Instant;
}

/** An object in front of which something stands that other readers of the bucket see instead. */
export interface CoveredObject {
  readonly key: ObjectKey;
  /** A delete marker is the newest thing under the key. */
  readonly hidden: boolean;
  /** Ids of the versions that came after the object, of whatever bytes: oldest first, 100 at most. */
  readonly later: readonly string[];
}

/** The right to read. */
export interface ObjectReader {
  /** Tells this store from every other: version ids are kept under it. No secret in it, but hardly for people (`location` is). */
  readonly identity: string;
  /** What the store enforces by itself, as far as its configuration says; printed in bundles. */
  readonly lock: 'none' | LockMode;
  /** @throws ObjectNotFoundError */
  head(key: ObjectKey, version?: string | null): Promise<StoredObject>;
  /** @throws ObjectNotFoundError. The caller must consume or destroy `body`. */
  get(key: ObjectKey, version?: string | null): Promise<{ object: StoredObject; body: Readable }>;
  /**
   * Until when the store itself refuses to remove an object, or null. Null is positive, other than with `get` and `head`:
   * what they answer leaves a lock out that the credentials may not see. @throws ObjectNotFoundError; ServiceError when it cannot be learned
   */
  lockedUntil(key: ObjectKey, version?: string | null): Promise<Temporal.Instant | null>;
  list(): AsyncIterable<ListedObject>;
  /** Objects that something was put in front of, in ascending order. A store without versions has none. */
  covered(): AsyncIterable<CoveredObject>;
}

/** The right to add. Only capture (and copies made by the store's own commands) receives it. */
export interface ObjectWriter {
  /**
   * @param options.fresh the caller has just made the key of random bytes, so that nobody else can know it: a store may leave
   *   out to look whether it is taken
   * @throws ObjectExistsError when other bytes stand under the key.
   */
  put(
    key: ObjectKey,
    body: ObjectBody,
    description: { contentType: string; metadata: Record<string, string> },
    options?: { fresh?: boolean },
  ): Promise<StoredObject>;
}

export interface ObjectStore extends ObjectReader, ObjectWriter, AsyncDisposable {
  /** Where this store is, for people: a directory or an s3:// address. No secret in it. */
  readonly location: string;
}

export type LockMode = 'GOVERNANCE' | 'COMPLIANCE';

/** What the store enforces on one object, in its own words. */
export interface LockState {
  /** Null: no retention. */
  readonly mode: LockMode | null;
  readonly until: Temporal.Instant | null;
  /** A legal hold of the storage service: stands apart from the period, until it is taken off. */
  readonly held: boolean;
}

/**
 * The right to lock longer, for renewal and for holds. Nothing here shortens or bypasses a lock. `version` is the one
 * recorded when the object was put; null stands for the first version.
 */
export interface LockKeeper extends AsyncDisposable {
  readonly mode: LockMode;
  /** @throws ObjectNotFoundError */
  read(key: ObjectKey, version: string | null): Promise<LockState>;
  /**
   * Locks up to `until` or later: a longer lock stays as it is, and a stricter mode too.
   * @returns what the store says afterwards
   * @throws ObjectNotFoundError; ServiceError when the store does not say so
   */
  extend(key: ObjectKey, version: string | null, until: Temporal.Instant): Promise<LockState>;
  /** Puts the storage service's legal hold on, or takes it off; the period of the lock stays. @throws like `extend` */
  setHold(key: ObjectKey, version: string | null, held: boolean): Promise<LockState>;
}

/** The right to remove, held by disposition alone. */
export interface ObjectEraser {
  /** Removes the object (every version of it) and confirms that it is gone; idempotent. @throws RefusedError under a lock. */
  erase(key: ObjectKey): Promise<void>;
}

/** @returns the whole object in memory. For documents, not media: refuses more than `limit` bytes (64 MiB unless told). */
export async function readObject(
  reader: ObjectReader,
  key: ObjectKey,
  version: string | null = null,
  limit = 64 * 1024 * 1024,
): Promise<{ object: StoredObject; bytes: Buffer }> {
  const { object, body } = await reader.get(key, version);
  if (object.length > limit) {
    body.destroy();
    throw new RangeError(`object ${key} has ${object.length} bytes, more than the ${limit} allowed here`);
  }
  const chunks: Buffer[] = [];
  // Measured: waiting for each chunk by itself costs a tenth of reading a few megabytes.
  body.on('data', (chunk: Buffer) => void chunks.push(chunk));
  await finished(body);
  return { object, bytes: Buffer.concat(chunks) };
}
