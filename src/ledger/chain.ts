// Checks positions, chain, times and tree of a log from nothing but its entries: what any stranger can do from FORMAT.md. Streams; its
// memory does not grow with the log.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { VerificationError } from '../core/errors.ts';
import { genesis, type PlacedEntry, placeEntry } from './entry.ts';
import { leafHash, RightEdge } from './tree.ts';

/** Checked without a pause: about a millisecond. */
const ENTRIES_A_TURN = 100;

/** A row as stored. `leaf` is null where only the entry is at hand (a published log). */
export interface StoredEntry {
  readonly seq: number;
  readonly entry: Buffer;
  readonly leaf: Buffer | null;
}

export interface Problem {
  readonly kind: string;
  readonly seq: number | null;
  readonly record: string | null;
  readonly detail: string;
}

export interface ChainBatch {
  /** All entries, in order; `entry` is null where the bytes are no entry. */
  readonly entries: readonly { readonly seq: number; readonly entry: PlacedEntry | null }[];
  /** Subtrees of 256^level entries that became full in this batch. */
  readonly subtrees: readonly { readonly level: number; readonly n: number; readonly hash: Buffer }[];
  readonly problems: readonly Problem[];
}

/** State of a chain check; after the last batch it says what was found. */
export class ChainCheck {
  readonly origin: string;
  readonly #edge = RightEdge.from(0, []);
  #last: Buffer;
  #at = '';
  /** Roots asked for at certain sizes, filled while passing them. */
  readonly #roots = new Map<number, Buffer | null>();

  constructor(origin: string, rootsAt: Iterable<number> = []) {
    this.origin = origin;
    this.#last = genesis(origin);
    for (const size of rootsAt) this.#roots.set(size, size === 0 ? this.#edge.root() : null);
  }

  get size(): number {
    return this.#edge.size;
  }
  root(): Buffer {
    return this.#edge.root();
  }
  edge(): Buffer {
    return this.#edge.encode();
  }
  /** Leaf hash of the newest entry; the genesis value where there is none. */
  get last(): Buffer {
    return this.#last;
  }
  /** Time of the newest entry; empty where there is none. */
  get at(): string {
    return this.#at;
  }
  /** The root that the log had at a size asked for at the start; undefined when the log never had that size. */
  rootAt(size: number): Buffer | undefined {
    return this.#roots.get(size) ?? undefined;
  }

  /** Takes the next stored entries, which must be in ascending order. What reads the next ones gets its turns meanwhile. */
  async take(stored: readonly StoredEntry[]): Promise<ChainBatch> {
    const problems: Problem[] = [];
    const subtrees: { level: number; n: number; hash: Buffer }[] = [];
    const entries: { seq: number; entry: PlacedEntry | null }[] = [];
    const problem = (kind: string, seq: number, detail: string): void => {
      problems.push({ kind, seq, record: null, detail });
    };
    for (const { seq, entry: bytes, leaf: storedLeaf } of stored) {
      const expected = this.#edge.size;
      if (seq !== expected)
        problem('entry-missing', expected, `entry ${expected} is missing: the next one stored is ${seq}`);
      const leaf = leafHash(bytes);
      if (storedLeaf !== null && !leaf.equals(storedLeaf))
        problem('leaf-differs', seq, `entry ${seq} does not hash to its stored leaf`);
      const entry = this.#read(bytes, seq, problem);
      if (entry !== null) {
        if (entry.seq !== seq || seq !== expected)
          problem('entry-moved', seq, `entry at ${seq} says that it is entry ${entry.seq}`);
        if (entry.origin !== this.origin)
          problem('origin-differs', seq, `entry ${seq} belongs to ${JSON.stringify(entry.origin)}`);
        if (entry.prev !== this.#last.toString('base64'))
          problem('chain-broken', seq, `entry ${seq} does not continue the entry before it`);
        if (entry.at !== this.#at && entry.at < this.#at)
          problem('time-reversed', seq, `entry ${seq} is dated before the entry before it`);
        this.#at = entry.at;
      }
      entries.push({ seq, entry });
      this.#last = leaf;
      this.#edge.append(leaf, (level, n, hash) => {
        if (level > 0 && level % 8 === 0) subtrees.push({ level: level / 8, n, hash });
      });
      if (this.#roots.has(this.#edge.size)) this.#roots.set(this.#edge.size, this.#edge.root());
      if (entries.length % ENTRIES_A_TURN === 0) await nextTurn();
    }
    return { entries, subtrees, problems };
  }

  #read(
    bytes: Buffer,
    seq: number,
    problem: (kind: string, seq: number, detail: string) => void,
  ): PlacedEntry | null {
    try {
      return placeEntry(bytes);
    } catch (error) {
      if (!(error instanceof VerificationError)) throw error;
      problem('entry-altered', seq, `entry ${seq} is no valid entry: ${error.message}`);
      return null;
    }
  }
}
