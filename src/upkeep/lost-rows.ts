// Asks whether the rows know every payload that the ledger names by itself. Where they do not, rows were lost (a restored or damaged
// database), and what no row knows may still be somebody's record.

import { sql } from 'kysely';
import { VerificationError } from '../core/errors.ts';
import type { Database } from '../db/database.ts';
import { type Decoded, decodeEntry } from '../ledger/entry.ts';
import { entriesFrom } from '../ledger/reader.ts';

export interface LostRow {
  readonly payload: string;
  readonly entry: number;
}

/** @throws VerificationError when an entry of the ledger cannot be read */
export async function* lostRows(db: Database): AsyncGenerator<LostRow> {
  for await (const batch of entriesFrom(db, 0)) {
    const named = new Map<string, number>();
    for (const { seq, entry: bytes } of batch) {
      const { known, entry } = readable(seq, bytes);
      if (!known) continue;
      if ('document' in entry) named.set(entry.document, seq);
      else if (entry.type === 'run.finished') named.set(entry.report, seq);
    }
    if (named.size === 0) continue;
    const { rows } = await sql<{ payload: string }>`
      SELECT payload FROM unnest(${[...named.keys()]}::text[]) AS named (payload)
      WHERE NOT EXISTS (SELECT FROM payloads WHERE commitment = payload)
        AND NOT EXISTS (SELECT FROM payload_destructions WHERE commitment = payload)`.execute(db);
    for (const { payload } of rows) yield { payload, entry: named.get(payload) as number };
  }
}

function readable(seq: number, bytes: Buffer): Decoded {
  try {
    return decodeEntry(bytes);
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    throw new VerificationError(`entry ${seq} of the ledger cannot be read: ${error.message}`, {
      hint: 'Nothing was removed. Run `muniment verify`.',
      cause: error,
    });
  }
}
