// Heads, checkpoints and subtrees, as stored and as signed, held against what the entries themselves give.

import type { ChainCheck } from '../chain.ts';
import type { ArchiveReader, VerifyOptions } from './contract.ts';
import type { Findings } from './findings.ts';

export class HeadCheck {
  readonly #reader: ArchiveReader;
  readonly #options: VerifyOptions;
  readonly #findings: Findings;

  constructor(reader: ArchiveReader, options: VerifyOptions, findings: Findings) {
    this.#reader = reader;
    this.#options = options;
    this.#findings = findings;
  }

  /** @returns size and root of every stored checkpoint that the pinned key signed; the others are reported */
  openCheckpoints(stored: { size: number; note: string }[]): { size: number; root: Buffer }[] {
    const opened: { size: number; root: Buffer }[] = [];
    for (const row of stored) {
      try {
        const checkpoint = this.#options.openCheckpoint(row.note);
        if (checkpoint.size !== row.size)
          this.#findings.problem(
            'checkpoint-differs',
            row.size,
            null,
            `the checkpoint stored for size ${row.size} is of size ${checkpoint.size}`,
          );
        opened.push(checkpoint);
      } catch (error) {
        this.#findings.problem(
          'checkpoint-differs',
          row.size,
          null,
          `the checkpoint stored for size ${row.size} does not verify: ${(error as Error).message}`,
        );
      }
    }
    return opened;
  }

  /** @param expected subtrees of 256^level entries, as their entries give them */
  async checkSubtrees(expected: readonly { level: number; n: number; hash: Buffer }[]): Promise<void> {
    if (expected.length === 0) return;
    const stored = new Map((await this.#reader.subtrees(expected)).map((s) => [`${s.level}/${s.n}`, s.hash]));
    for (const { level, n, hash } of expected) {
      if (stored.get(`${level}/${n}`)?.equals(hash) !== true) {
        this.#findings.problem(
          'subtree-differs',
          n * 256 ** level,
          null,
          `the stored root of subtree ${n} of level ${level} is not that of its entries`,
        );
      }
    }
  }

  /** Checkpoints in the database can be removed by whoever rewrites it: something from outside must say how long the log was. */
  checkPinned(size: number): void {
    const { pinned, anchors, signs } = this.#options;
    if (pinned !== null || size === 0 || (!signs && anchors.length > 0)) return;
    this.#findings.problem(
      'pinned-head-missing',
      null,
      null,
      signs
        ? 'the signed head kept outside the database (keys/head.json) is gone, and every archive has one from its first command on: a rewritten or shortened ledger would go unnoticed. Restore keys/ from its backup'
        : 'this machine holds no signed head (keys/head.json), so a rewritten or shortened ledger would go unnoticed: verify where the archive signs, or give a checkpoint that is kept elsewhere (--anchor FILE)',
    );
  }

  /** @param chain at its end, with the root at the head's size asked for. @param what the head, for people */
  compareRoot(chain: ChainCheck, head: { size: number; root: Buffer }, kind: string, what: string): void {
    const root = chain.rootAt(head.size);
    if (root === undefined) {
      this.#findings.problem(
        'ledger-truncated',
        chain.size,
        null,
        `${what} covers ${head.size} entries, the ledger holds ${chain.size}`,
      );
    } else if (!root.equals(head.root)) {
      this.#findings.problem(
        kind,
        null,
        null,
        `the first ${head.size} entries do not have the root of ${what}: at least one of them was changed`,
      );
    }
  }

  /** The database's own head, which the sequencer goes on from. @param chain at its end */
  async checkHead(chain: ChainCheck): Promise<void> {
    const head = await this.#reader.head();
    if (head === null) {
      this.#findings.problem('head-differs', null, null, 'the database has no ledger head');
      return;
    }
    const differing: string[] = [];
    if (head.size !== chain.size) differing.push('size');
    if (!head.root.equals(chain.root())) differing.push('root');
    if (!head.edge.equals(chain.edge())) differing.push('edge');
    if (!head.last.equals(chain.last)) differing.push('last');
    // An empty log has the time of its making, which no entry tells.
    if (chain.size > 0 && head.at !== chain.at) differing.push('at');
    if (differing.length > 0)
      this.#findings.problem(
        'head-differs',
        chain.size,
        null,
        `the stored head (size ${head.size}) is not the head of the stored entries (size ${chain.size}): it differs in ${differing.join(', ')}`,
      );
  }
}
