// A published log's files: C2SP tlog-tiles. Hashes and entries stand in tiles of 256; only the last tile of a level can be partial, and
// a full tile never changes.

import { VerificationError } from '../core/errors.ts';
import { ENTRY_LIMIT } from './entry.ts';
import { leafHash, RightEdge } from './tree.ts';

export const TILE_WIDTH = 256;
const LEVEL_LIMIT = 63;
const LENGTH_BYTES = 2;

/**
 * @param level 0 for leaf hashes; a hash of level L is the root of 256^L entries
 * @param width number of hashes in the tile: 256, or less for a partial one
 * @returns the path of the n-th tile of a level, e.g. tile/0/x001/x234/067 or tile/0/000.p/1
 */
export function tilePath(level: number, n: number, width: number = TILE_WIDTH): string {
  if (!Number.isInteger(level) || level < 0 || level > LEVEL_LIMIT)
    throw new RangeError(`no level ${level} in a log`);
  return `tile/${level}/${numberPath(n, width)}`;
}

/** @returns the path of the n-th bundle of entries, e.g. tile/entries/000. Parameters as in {@link tilePath} */
export function bundlePath(n: number, width: number = TILE_WIDTH): string {
  return `tile/entries/${numberPath(n, width)}`;
}

/** Groups of three digits, all but the last with an x, so that no folder grows large. */
function numberPath(n: number, width: number): string {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`no tile ${n} in a log`);
  if (!Number.isInteger(width) || width < 1 || width > TILE_WIDTH)
    throw new RangeError(`no tile is ${width} wide`);
  const digits = String(n);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) ?? [];
  const last = groups.length - 1;
  const path = groups.map((group, at) => (at < last ? `x${group}` : group)).join('/');
  return width === TILE_WIDTH ? path : `${path}.p/${width}`;
}

/** @returns entries, each after its length as a big-endian uint16. @throws RangeError on what no bundle can hold */
export function encodeBundle(entries: readonly Uint8Array[]): Buffer {
  if (entries.length < 1 || entries.length > TILE_WIDTH)
    throw new RangeError(`a bundle of ${entries.length} entries`);
  return Buffer.concat(
    entries.flatMap((entry) => {
      if (entry.length > ENTRY_LIMIT) throw new RangeError(`an entry of ${entry.length} bytes in a bundle`);
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt16BE(entry.length);
      return [length, entry];
    }),
  );
}

/** @returns the entries of a bundle, 1 to 256. @throws VerificationError when the bytes end early or hold more */
export function decodeBundle(bytes: Uint8Array): Buffer[] {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Buffer[] = [];
  for (let at = 0; at < all.length; ) {
    const start = at + LENGTH_BYTES;
    const end = start <= all.length ? start + all.readUInt16BE(at) : Number.POSITIVE_INFINITY;
    if (end > all.length)
      throw new VerificationError(`a bundle of entries ends within entry ${entries.length} of it`);
    entries.push(all.subarray(start, end));
    at = end;
  }
  if (entries.length < 1 || entries.length > TILE_WIDTH)
    throw new VerificationError(`a bundle holds ${entries.length} entries, not 1 to ${TILE_WIDTH}`);
  return entries;
}

/**
 * Writes the tiles and bundles of a whole log, each once, and keeps no more than one tile of each level in memory. The
 * checkpoint is the caller's to write, last.
 * @param entries all entries from position 0, in order
 * @param write puts one file; the next is not begun before it resolves
 * @returns size and root of the tree written, to compare with the checkpoint
 */
export async function writeTiles(
  entries: AsyncIterable<readonly { readonly entry: Buffer }[]>,
  write: (path: string, bytes: Buffer) => Promise<void>,
): Promise<{ readonly size: number; readonly root: Buffer }> {
  const edge = RightEdge.from(0, []);
  let bundle: Buffer[] = [];
  /** By level: how many full tiles were written, and the hashes of the one begun. */
  const tiles: { written: number; hashes: Buffer[] }[] = [];
  for await (const batch of entries) {
    for (const { entry } of batch) {
      bundle.push(entry);
      edge.append(leafHash(entry), (level, _index, hash) => {
        if (level % 8 !== 0) return;
        const tile = tiles[level / 8];
        if (tile) tile.hashes.push(hash);
        else tiles.push({ written: 0, hashes: [hash] }); // levels begin one after another
      });
      if (bundle.length < TILE_WIDTH) continue;
      await write(bundlePath(edge.size / TILE_WIDTH - 1), encodeBundle(bundle));
      bundle = [];
      for (const [level, tile] of tiles.entries()) {
        if (tile.hashes.length < TILE_WIDTH) break; // a level fills only together with those below it
        await write(tilePath(level, tile.written), Buffer.concat(tile.hashes));
        tile.written += 1;
        tile.hashes = [];
      }
    }
  }
  if (bundle.length > 0)
    await write(bundlePath(Math.floor(edge.size / TILE_WIDTH), bundle.length), encodeBundle(bundle));
  for (const [level, { written, hashes }] of tiles.entries()) {
    if (hashes.length > 0) await write(tilePath(level, written, hashes.length), Buffer.concat(hashes));
  }
  return { size: edge.size, root: edge.root() };
}
