// Logs for tests: real entries in a real chain, without a database.

import { type Entry, encodeEntry, genesis } from '../../src/ledger/entry.ts';
import { leafHash, nodeHash, RightEdge } from '../../src/ledger/tree.ts';

export const ORIGIN = 'archive.example.gov/social';
export const ACTOR = '019a3c5e-0000-7000-8000-000000000001';

export interface Log {
  readonly entries: readonly Buffer[];
  root(size: number): Buffer;
  head(size: number): { size: number; root: Buffer };
  /** The whole log's, as the database keeps it. */
  storedHead(): { size: number; root: Buffer; edge: Buffer; last: Buffer; at: string };
  /** Hash of the n-th perfect subtree of 2^level entries. */
  node(level: number, n: number): Buffer;
}

/** @param change alters the object of an entry before it is encoded; entries after it follow the altered one */
export function makeLog(size: number, change: (entry: Entry) => Entry = (entry) => entry): Log {
  const entries: Buffer[] = [];
  let last = genesis(ORIGIN);
  let at = '';
  for (let seq = 0; seq < size; seq += 1) {
    at = new Date(Date.UTC(2026, 10, 1) + seq * 1000).toISOString();
    const prev = last.toString('base64');
    const body = leafHash(Buffer.from(String(seq))).toString('hex');
    const entry = encodeEntry(
      change({ v: 1, type: 'sealed', origin: ORIGIN, seq, prev, at, actor: ACTOR, body }),
    );
    entries.push(entry);
    last = leafHash(entry);
  }
  const node = (level: number, n: number): Buffer =>
    level === 0
      ? leafHash(entries[n] as Buffer)
      : nodeHash(node(level - 1, 2 * n), node(level - 1, 2 * n + 1));
  const edgeOf = (upTo: number): RightEdge => {
    const edge = RightEdge.from(0, []);
    for (const entry of entries.slice(0, upTo)) edge.append(leafHash(entry));
    return edge;
  };
  const head = (upTo: number) => ({ size: upTo, root: edgeOf(upTo).root() });
  const storedHead = () => ({ ...head(size), edge: edgeOf(size).encode(), last, at });
  return { entries, root: (upTo) => edgeOf(upTo).root(), node, head, storedHead };
}

/** Entries as the database gives them: in batches, with positions. */
export async function* batches(
  entries: readonly Buffer[],
  from: number,
  to: number,
  width = 10,
): AsyncGenerator<{ seq: number; entry: Buffer }[]> {
  for (let start = from; start < to; start += width) {
    yield entries.slice(start, Math.min(start + width, to)).map((entry, k) => ({ seq: start + k, entry }));
  }
}
