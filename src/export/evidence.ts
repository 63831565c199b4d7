// The payloads of one record, read from the store and checked against their commitments before a byte of them goes into a bundle.
// What is missing or altered is stated, never passed on.

import { createHash } from 'node:crypto';
import { payloadCommitment } from '../core/digest.ts';
import { ObjectNotFoundError, VerificationError } from '../core/errors.ts';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import { storedVersions } from '../db/payload-versions.ts';
import { readPayload } from '../ledger/payload.ts';
import type { ObjectReader } from '../store/objects.ts';
import { type BagWriter, IN_MEMORY } from './bag.ts';
import { type BundledRole, payloadPath } from './verifier/verify.mjs';

/** A line of payloads.jsonl. */
export interface BundledPayload {
  readonly commitment: string;
  readonly contentType: string;
  readonly length: number;
  /** Where it lies in the bag; null when there is a problem. */
  readonly path: string | null;
  readonly problem: 'missing' | 'altered' | 'destroyed' | null;
  readonly record: string;
  readonly role: BundledRole;
  readonly salt: string | null;
  /** Disclosure seed, of a snapshot document. */
  readonly seed: string | null;
  readonly seq: number;
  readonly sha256: string | null;
}

const ROLES: readonly string[] = [
  'document',
  'slice',
  'media',
  'observation',
  'answer',
] satisfies BundledRole[];

export class Evidence {
  readonly #tx: DatabaseTransaction;
  readonly #db: Database;
  readonly #store: ObjectReader;
  readonly #bag: BagWriter;
  readonly #size: number;

  constructor(options: {
    tx: DatabaseTransaction;
    db: Database;
    store: ObjectReader;
    bag: BagWriter;
    size: number;
  }) {
    this.#tx = options.tx;
    this.#db = options.db;
    this.#store = options.store;
    this.#bag = options.bag;
    this.#size = options.size;
  }

  /**
   * Puts all payloads of a record into the bag.
   * @param seeds disclosure seeds by commitment of the snapshot document
   * @returns their lines, and the bytes of its documents
   */
  async add(
    record: string,
    seeds: ReadonlyMap<string, Buffer>,
  ): Promise<{ payloads: BundledPayload[]; documents: Map<string, Buffer> }> {
    const rows = await this.#tx
      .selectFrom('payloads')
      .selectAll()
      .where('record_id', '=', record)
      .where('seq', '<', this.#size)
      .execute();
    const versions = await storedVersions(
      this.#tx,
      this.#store.identity,
      rows.map((row) => row.commitment),
    );
    rows.sort(
      (a, b) =>
        a.seq - b.seq ||
        ROLES.indexOf(a.role) - ROLES.indexOf(b.role) ||
        (a.commitment < b.commitment ? -1 : 1),
    );
    const payloads: BundledPayload[] = [];
    const documents = new Map<string, Buffer>();
    for (const row of rows) {
      const role = row.role as BundledRole;
      const path = payloadPath(role, row.commitment, row.content_type);
      const { problem, bytes } = await this.#put(path, row, versions.get(row.commitment) ?? null);
      if (bytes !== null && (role === 'document' || role === 'observation'))
        documents.set(row.commitment, bytes);
      payloads.push({
        commitment: row.commitment,
        contentType: row.content_type,
        length: row.length,
        path: problem === null ? path : null,
        problem,
        record,
        role,
        salt: row.salt?.toString('hex') ?? null,
        seed: seeds.get(row.commitment)?.toString('hex') ?? null,
        seq: row.seq,
        sha256: row.sha256,
      });
    }
    return { payloads, documents };
  }

  /** @returns an image small enough to be drawn, or null */
  async picture(commitment: string, length: number): Promise<Buffer | null> {
    if (length > IN_MEMORY) return null;
    return readPayload(this.#db, this.#store, commitment);
  }

  async #put(
    path: string,
    row: { commitment: string; salt: Buffer | null; length: number },
    version: string | null,
  ) {
    const { commitment, salt } = row;
    if (salt === null) return { problem: 'destroyed' as const, bytes: null };
    // Read whole before it is written: an altered payload must not be in the bundle, not even its beginning.
    const kept: Buffer[] = [];
    const hash = createHash('sha256');
    let length = 0;
    try {
      const { body } = await this.#store.get(commitment, version);
      for await (const chunk of body as AsyncIterable<Buffer>) {
        hash.update(chunk);
        length += chunk.length;
        if (length <= IN_MEMORY) kept.push(chunk);
        else kept.length = 0;
      }
    } catch (error) {
      if (error instanceof ObjectNotFoundError) return { problem: 'missing' as const, bytes: null };
      if (error instanceof VerificationError) return { problem: 'altered' as const, bytes: null };
      throw error;
    }
    if (length !== row.length || payloadCommitment(salt, hash.digest()) !== commitment)
      return { problem: 'altered' as const, bytes: null };
    if (length <= IN_MEMORY) {
      const bytes = Buffer.concat(kept);
      await this.#bag.add(path, bytes);
      return { problem: null, bytes };
    }
    const again = await this.#store.get(commitment, version);
    const digest = await this.#bag.addStream(path, again.body as AsyncIterable<Buffer>);
    if (payloadCommitment(salt, Buffer.from(digest.sha256, 'hex')) !== commitment)
      throw new Error(`payload ${commitment} changed while it was exported`);
    return { problem: null, bytes: null };
  }
}
