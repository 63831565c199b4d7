// The RFC 6962 Merkle tree over entries: hashes, the right edge that lets it grow without being read, and proofs. Sizes and indexes are
// safe integers; hashes are 32 bytes.

import { hash } from 'node:crypto';
import { sha256 } from '../core/digest.ts';
import { VerificationError } from '../core/errors.ts';

const HASH_BYTES = 32;
/** 0x01 ‖ left ‖ right: laid out once, filled and hashed within one call. */
const pair = Buffer.alloc(1 + 2 * HASH_BYTES, 1);
/** 0x00 ‖ leaf: the longest entry and the prefix (FORMAT.md, section 2). Views of it are kept by length, since a new view costs as much as a hash. */
const prefixed = Buffer.alloc(1 + 65_535);
const VIEWED = 2048;
const views: (Buffer | undefined)[] = [];

/** Root of the tree without entries (RFC 6962 section 2.1). */
export const EMPTY_ROOT: Buffer = sha256(Buffer.alloc(0));

/** @returns the first bytes of `prefixed` */
function view(length: number): Buffer {
  if (length > VIEWED) return prefixed.subarray(0, length);
  views[length] ??= prefixed.subarray(0, length);
  return views[length];
}

export function leafHash(entry: Uint8Array): Buffer {
  const length = 1 + entry.length;
  if (length > prefixed.length) return sha256(Buffer.of(0), entry);
  prefixed.set(entry, 1);
  return sha256(view(length));
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  pair.set(left, 1);
  pair.set(right, 1 + HASH_BYTES);
  return sha256(pair);
}

/**
 * A small tree built at once, of leaves that are a salt and a text each. Hashes are text (latin1) or lie side by side in one
 * buffer: measured, a Buffer for each costs as much as all the hashing.
 */
export class SaltedTree {
  #hashes = Buffer.alloc(128 * HASH_BYTES);
  #leaves = 0;

  /** @param salt one character (latin1) a byte. @param text taken as UTF-8 */
  append(salt: string, text: string): void {
    const at = this.#leaves * HASH_BYTES;
    if (at === this.#hashes.length) this.#hashes = Buffer.concat([this.#hashes], 2 * at);
    this.#hashes.write(saltedLeafHash(salt, text), at, 'latin1');
    this.#leaves += 1;
  }

  get leaves(): number {
    return this.#leaves;
  }

  /** Folds the hashes in place, pair by pair, an odd last one going up as it is: RFC 6962's tree. Nothing may be appended afterwards. */
  root(): Buffer {
    if (this.#leaves === 0) return EMPTY_ROOT;
    const hashes = this.#hashes;
    for (let width = this.#leaves; width > 1; width = Math.ceil(width / 2)) {
      for (let left = 0; left + 1 < width; left += 2) {
        hashes.copy(pair, 1, left * HASH_BYTES, (left + 2) * HASH_BYTES);
        hashes.write(hash('sha256', pair, 'latin1'), (left / 2) * HASH_BYTES, 'latin1');
      }
      if (width % 2 === 1)
        hashes.copy(hashes, ((width - 1) / 2) * HASH_BYTES, (width - 1) * HASH_BYTES, width * HASH_BYTES);
    }
    return Buffer.from(hashes.subarray(0, HASH_BYTES));
  }
}

function saltedLeafHash(salt: string, text: string): string {
  if (1 + salt.length + 3 * text.length > prefixed.length)
    return leafHash(Buffer.concat([Buffer.from(salt, 'latin1'), Buffer.from(text, 'utf8')])).toString(
      'latin1',
    );
  prefixed.write(salt, 1, 'latin1');
  const length = 1 + salt.length + prefixed.write(text, 1 + salt.length, 'utf8');
  return hash('sha256', view(length), 'latin1');
}

/** Called for every perfect subtree that becomes full: 2^level entries, the index-th of its size. */
export type SubtreeSink = (level: number, index: number, hash: Buffer) => void;

/** The roots of the perfect subtrees of a tree's size, largest first: all that is needed to append, and to know the root. */
export class RightEdge {
  #size: number;
  readonly #hashes: Buffer[];

  private constructor(size: number, hashes: Buffer[]) {
    this.#size = size;
    this.#hashes = hashes;
  }

  /** @throws VerificationError when the number of hashes does not fit the size */
  static from(size: number, hashes: readonly Buffer[]): RightEdge {
    if (
      !Number.isSafeInteger(size) ||
      size < 0 ||
      hashes.length !== ones(size) ||
      hashes.some((h) => h.length !== HASH_BYTES)
    ) {
      throw new VerificationError(
        `a right edge of ${hashes.length} hashes does not fit a tree of size ${size}`,
      );
    }
    return new RightEdge(size, [...hashes]);
  }

  static decode(size: number, bytes: Uint8Array): RightEdge {
    const all = Buffer.from(bytes);
    const hashes: Buffer[] = [];
    for (let at = 0; at < all.length; at += HASH_BYTES) hashes.push(all.subarray(at, at + HASH_BYTES));
    return RightEdge.from(size, hashes);
  }

  encode(): Buffer {
    return Buffer.concat(this.#hashes);
  }

  get size(): number {
    return this.#size;
  }

  get hashes(): readonly Buffer[] {
    return this.#hashes;
  }

  append(leaf: Buffer, onSubtree?: SubtreeSink): void {
    let hashed = leaf;
    let level = 0;
    let index = this.#size;
    onSubtree?.(0, index, hashed);
    // An odd index is a right child: its left sibling ends the edge.
    while (index % 2 === 1) {
      hashed = nodeHash(this.#hashes.pop() as Buffer, hashed);
      index = (index - 1) / 2;
      level += 1;
      onSubtree?.(level, index, hashed);
    }
    this.#hashes.push(hashed);
    this.#size += 1;
  }

  root(): Buffer {
    let root: Buffer | undefined;
    for (let at = this.#hashes.length - 1; at >= 0; at -= 1) {
      const left = this.#hashes[at] as Buffer;
      root = root === undefined ? left : nodeHash(left, root);
    }
    return root ?? EMPTY_ROOT;
  }
}

function ones(size: number): number {
  let count = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}

/** Reads the root of the index-th perfect subtree of 2^level entries. */
export type NodeReader = (level: number, index: number) => Promise<Buffer> | Buffer;

/** Largest power of two below `size` (size ≥ 2), as an exponent. */
function splitLevel(size: number): number {
  let level = 0;
  while (2 ** (level + 1) < size) level += 1;
  return level;
}

/** Root of entries [from, from + size), where from is a multiple of the smallest power of two ≥ size. */
async function rangeRoot(from: number, size: number, nodes: NodeReader): Promise<Buffer> {
  const level = size === 1 ? 0 : splitLevel(size) + 1;
  if (2 ** level === size) return nodes(level, from / size);
  const left = 2 ** splitLevel(size);
  return nodeHash(await rangeRoot(from, left, nodes), await rangeRoot(from + left, size - left, nodes));
}

/** RFC 6962 section 2.1.1: the audit path of entry `index` in the tree of `size` entries. @throws RangeError */
export async function inclusionProof(index: number, size: number, nodes: NodeReader): Promise<Buffer[]> {
  if (!Number.isSafeInteger(index) || index < 0 || index >= size)
    throw new RangeError(`there is no entry ${index} in a log of ${size}`);
  const path = async (at: number, from: number, width: number): Promise<Buffer[]> => {
    if (width === 1) return [];
    const left = 2 ** splitLevel(width);
    return at < left
      ? [...(await path(at, from, left)), await rangeRoot(from + left, width - left, nodes)]
      : [...(await path(at - left, from + left, width - left)), await rangeRoot(from, left, nodes)];
  };
  return path(index, 0, size);
}

/** RFC 9162 section 2.1.3.2. @returns whether the path leads from this leaf to this root */
export function verifyInclusion(
  index: number,
  size: number,
  leaf: Buffer,
  proof: readonly Buffer[],
  root: Buffer,
): boolean {
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) return false;
  let position = index;
  let last = size - 1;
  let hashed = leaf;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (position % 2 === 1 || position === last) {
      hashed = nodeHash(sibling, hashed);
      while (position % 2 === 0 && position !== 0) {
        position = Math.floor(position / 2);
        last = Math.floor(last / 2);
      }
    } else hashed = nodeHash(hashed, sibling);
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && hashed.equals(root);
}
