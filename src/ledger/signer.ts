// The one signer. It keeps its last signed head outside PostgreSQL and signs nothing that does not continue that head, so whoever rewrites
// the database cannot have the rewritten log signed. Callers hold a database lock: one signer at a time.

import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { VerificationError } from '../core/errors.ts';
import { decodeEntry, genesis } from './entry.ts';
import { checkpointText, openNote, parseCheckpoint, parseSigningKey, parseVerifierKey, type SigningKey, signNote, type VerifierKey } from './note.ts';
import { leafHash, RightEdge } from './tree.ts';

export interface SignedHead {
  readonly size: number;
  readonly root: Buffer;
  readonly note: string;
}

/** Reads entries [from, to) in batches. */
export type EntryRange = (from: number, to: number) => AsyncIterable<readonly { seq: number; entry: Buffer }[]>;

const stateSchema = z.strictObject({ note: z.string(), edge: z.array(z.string()), last: z.string() });

const REWRITTEN = 'Do not sign by hand. Run `muniment verify`, keep the database as it is, and restore the last good backup beside it.';

/** Reads the head that was signed last, from outside the database. @returns null when nothing was signed yet */
export async function readPinnedHead(headFile: string, key: VerifierKey): Promise<SignedHead | null> {
  return (await readState(headFile, key))?.head ?? null;
}

async function readState(headFile: string, key: VerifierKey): Promise<{ head: SignedHead; edge: RightEdge; last: Buffer } | null> {
  let text: string;
  try {
    text = await readFile(headFile, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const damaged = (why: string, cause?: unknown): VerificationError =>
    new VerificationError(`${headFile} is damaged: ${why}`, { hint: 'Restore it from a backup; it is the pinned head of the ledger.', cause });
  let state: z.infer<typeof stateSchema>;
  try {
    state = stateSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw damaged('it is not a signer state', cause);
  }
  const checkpoint = parseCheckpoint(openNote(state.note, [key]).text);
  const edge = RightEdge.from(checkpoint.size, state.edge.map((hash) => Buffer.from(hash, 'hex')));
  if (!edge.root().equals(checkpoint.root)) throw damaged('its edge does not have the signed root');
  return { head: { size: checkpoint.size, root: checkpoint.root, note: state.note }, edge, last: Buffer.from(state.last, 'hex') };
}

export class Signer {
  readonly key: SigningKey;
  readonly #headFile: string;
  readonly #verifier: VerifierKey;

  constructor(key: SigningKey, headFile: string) {
    this.key = key;
    this.#headFile = headFile;
    this.#verifier = parseVerifierKey(key.verifierKey);
  }

  async head(): Promise<SignedHead | null> {
    return readPinnedHead(this.#headFile, this.#verifier);
  }

  /**
   * Signs the head if it continues the last signed one, which is derived anew from the entries between.
   * @throws VerificationError when it does not: nothing is signed
   */
  async sign(head: { size: number; root: Buffer }, entries: EntryRange): Promise<SignedHead> {
    const state = await readState(this.#headFile, this.#verifier);
    const from = state?.head.size ?? 0;
    if (head.size < from) {
      throw new VerificationError(`the signer refuses to sign: the ledger has ${head.size} entries, ${from} were signed before`, { hint: REWRITTEN });
    }
    const edge = state?.edge ?? RightEdge.from(0, []);
    let last = state?.last ?? genesis(this.key.name);
    for await (const batch of entries(from, head.size)) {
      for (const { seq, entry } of batch) {
        const decoded = decodeEntry(entry).entry;
        if (seq !== edge.size || decoded.seq !== seq || decoded.origin !== this.key.name || decoded.prev !== last.toString('base64')) {
          throw new VerificationError(`the signer refuses to sign: entry ${seq} does not continue what was signed before`, { hint: REWRITTEN });
        }
        last = leafHash(entry);
        edge.append(last);
      }
    }
    if (edge.size !== head.size || !edge.root().equals(head.root)) {
      throw new VerificationError(`the signer refuses to sign: entries ${from} to ${head.size} do not lead to the stored head`, { hint: REWRITTEN });
    }
    if (state !== null && head.size === from) return state.head;
    const note = signNote(checkpointText({ origin: this.key.name, ...head }), this.key);
    await this.#write({ note, edge: edge.hashes.map((hash) => hash.toString('hex')), last: last.toString('hex') });
    return { ...head, note };
  }

  /** Written whole or not at all, and durable before the note leaves this function. */
  async #write(state: z.infer<typeof stateSchema>): Promise<void> {
    const temporary = `${this.#headFile}.new`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(state)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.#headFile);
    const folder = await open(dirname(this.#headFile), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

export async function openSigner(files: { keyFile: string; headFile: string }): Promise<Signer> {
  return new Signer(parseSigningKey(await readFile(files.keyFile, 'utf8')), files.headFile);
}
