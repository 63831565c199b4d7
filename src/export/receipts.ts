// Audit paths of single entries at a past size of the tree. Hashes are read by tile of 256, from entries and from the stored roots of
// full tiles, so a receipt costs a few reads however large the ledger is.

import type { Database, DatabaseTransaction } from '../db/database.ts';
import { encodeReceipt } from '../ledger/receipt.ts';
import { inclusionProof, nodeHash } from '../ledger/tree.ts';

const TILES_KEPT = 64;

export class Receipts {
  readonly #db: Database | DatabaseTransaction;
  readonly #size: number;
  readonly #checkpoint: string;
  readonly #tiles = new Map<string, readonly Buffer[]>();

  /** @param checkpoint signed note of the tree of `size` */
  constructor(db: Database | DatabaseTransaction, size: number, checkpoint: string) {
    this.#db = db;
    this.#size = size;
    this.#checkpoint = checkpoint;
  }

  /** @returns the C2SP tlog-proof of an entry */
  async of(index: number): Promise<string> {
    const path = await inclusionProof(index, this.#size, (level, n) => this.#node(level, n));
    return encodeReceipt({ index, path, checkpoint: this.#checkpoint });
  }

  /** Hash of the perfect subtree of 2^level entries at place n. */
  async #node(level: number, n: number): Promise<Buffer> {
    const row = Math.floor(level / 8);
    const width = 2 ** (level - 8 * row);
    const first = n * width;
    const tile = await this.#tile(row, Math.floor(first / 256));
    let hashes = tile.slice(first % 256, (first % 256) + width);
    if (hashes.length !== width) throw new RangeError(`the ledger has no subtree ${n} of level ${level}`);
    while (hashes.length > 1) {
      hashes = Array.from({ length: hashes.length / 2 }, (_, k) =>
        nodeHash(hashes[2 * k] as Buffer, hashes[2 * k + 1] as Buffer),
      );
    }
    return hashes[0] as Buffer;
  }

  async #tile(row: number, tile: number): Promise<readonly Buffer[]> {
    const key = `${row}/${tile}`;
    const kept = this.#tiles.get(key);
    if (kept !== undefined) return kept;
    const hashes = row === 0 ? await this.#leaves(tile) : await this.#subtrees(row, tile);
    const oldest = this.#tiles.size >= TILES_KEPT ? this.#tiles.keys().next() : undefined;
    if (oldest?.value !== undefined) this.#tiles.delete(oldest.value);
    this.#tiles.set(key, hashes);
    return hashes;
  }

  async #leaves(tile: number): Promise<Buffer[]> {
    const rows = await this.#db
      .selectFrom('ledger_entries')
      .select('leaf')
      .where('seq', '>=', tile * 256)
      .where('seq', '<', Math.min((tile + 1) * 256, this.#size))
      .orderBy('seq')
      .execute();
    return rows.map((row) => row.leaf);
  }

  async #subtrees(level: number, tile: number): Promise<Buffer[]> {
    const rows = await this.#db
      .selectFrom('ledger_subtrees')
      .select('hash')
      .where('level', '=', level)
      .where('n', '>=', tile * 256)
      .where('n', '<', (tile + 1) * 256)
      .orderBy('n')
      .execute();
    return rows.map((row) => row.hash);
  }
}
