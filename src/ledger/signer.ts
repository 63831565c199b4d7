// The archive's one signer. What it signed last lies in a file outside PostgreSQL, so it never signs a log that does not continue that
// one: whoever rewrites the database gets no signature. Nor does an entry that excuses what is missing, unless the recovery announced it in a
// file beside: whoever writes the database can append one. A caller holds an advisory lock: two signers at once could sign a fork.

import { open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { canonicalText } from '../core/canonical.ts';
import { InputError, ServiceError, VerificationError } from '../core/errors.ts';
import { type Decoded, decodeEntry, type Entry, genesis } from './entry.ts';
import {
  checkpointText,
  openNote,
  parseCheckpoint,
  parseSigningKey,
  parseVerifierKey,
  type SigningKey,
  signNote,
  type VerifierKey,
} from './note.ts';
import { leafHash, RightEdge } from './tree.ts';

export interface SignedHead {
  readonly size: number;
  readonly root: Buffer;
  /** The signed checkpoint. */
  readonly note: string;
  /** `at` of the last entry under it; null for the empty log. */
  readonly at: string | null;
}

/** Reads entries with `from <= seq < to`, ascending. */
export type EntryRange = (
  from: number,
  to: number,
) => AsyncIterable<readonly { readonly seq: number; readonly entry: Buffer }[]>;

/** What a recovery knows of its own `restore.performed` before that has a place in the log. */
export type Announced = Pick<
  Extract<Entry, { type: 'restore.performed' }>,
  'from' | 'manifest' | 'size' | 'replayed' | 'body'
>;

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const stateSchema = z.strictObject({
  note: z.string(),
  edge: z.array(digest),
  last: digest,
  at: z.string().nullable(),
});

/** The last signed head with all that is needed to go on from it. */
interface State {
  readonly head: SignedHead;
  readonly edge: RightEdge;
  /** Leaf hash of the last entry; the genesis value for the empty log. */
  readonly last: Buffer;
}

/**
 * @param keyFile holds the signing key, `PRIVATE+KEY+…`
 * @param headFile what was signed last; made with the first signature
 * @throws InputError when there is no usable key
 */
export async function openSigner(files: {
  readonly keyFile: string;
  readonly headFile: string;
}): Promise<Signer> {
  const text = await readIfPresent(files.keyFile);
  if (text === null) {
    throw new InputError(`there is no signing key ${files.keyFile}`, {
      hint: 'Restore it from its backup: an archive key cannot be made again.',
    });
  }
  return new Signer(parseSigningKey(text), files.headFile);
}

/**
 * The last signed head, for those who do not hold the signing key.
 * @returns null when nothing was signed yet
 * @throws InputError when `vkey` is no verifier key
 * @throws VerificationError when the file is not what this key signed
 */
export async function readPinnedHead(headFile: string, vkey: string): Promise<SignedHead | null> {
  return (await readState(headFile, parseVerifierKey(vkey)))?.head ?? null;
}

export class Signer {
  readonly key: SigningKey;
  readonly #verifier: VerifierKey;
  readonly #headFile: string;
  /** Beside the head, where whoever writes the database cannot write. */
  readonly #announcedFile: string;

  constructor(key: SigningKey, headFile: string) {
    this.key = key;
    this.#verifier = parseVerifierKey(key.verifierKey);
    this.#headFile = headFile;
    this.#announcedFile = path.join(path.dirname(headFile), 'announced.json');
  }

  /** @returns the last signed head, or null before the first. @throws VerificationError when its file was changed */
  async head(): Promise<SignedHead | null> {
    return (await readState(this.#headFile, this.#verifier))?.head ?? null;
  }

  /** Durably says which `restore.performed` may be signed next, before it is appended. It counts until it is signed, or another is announced. */
  async announce(restore: Announced): Promise<void> {
    await writeDurably(this.#announcedFile, announcement(restore));
  }

  /**
   * Signs the head of the log, after reading every entry since the last signed one. A head that is signed already gives
   * the same note again. The note is durable in the head's file before it is returned.
   * @param notes checkpoints that may be of this key and of this log: what one of them covers was signed before, though the head's file is older
   * @throws VerificationError when the log does not continue what was signed, or a restore among its new entries was not
   *   announced; nothing is signed then
   */
  async sign(
    head: { readonly size: number; readonly root: Buffer },
    entries: EntryRange,
    notes: readonly string[] = [],
  ): Promise<{ readonly note: string; readonly size: number; readonly root: Buffer }> {
    const origin = this.key.name;
    const signed = await readState(this.#headFile, this.#verifier);
    const from = signed?.edge.size ?? 0;
    if (!Number.isSafeInteger(head.size) || head.size < from) {
      throw refusal(`the log has ${head.size} entries, but ${from} were signed`, head.size, ROLLED_BACK);
    }
    if (signed !== null && head.size === from) {
      if (!head.root.equals(signed.head.root))
        throw refusal(`the log of ${from} entries has another root than was signed`, from);
      return { note: signed.head.note, size: signed.head.size, root: signed.head.root };
    }

    const edge = signed?.edge ?? RightEdge.from(0, []);
    let last = signed?.last ?? genesis(origin);
    let at = signed?.head.at ?? null;
    const covered = this.#signedBefore(notes);
    let announced = false;
    /** The first restore that neither the recovery announced nor a checkpoint covers. */
    let foreign: number | null = null;
    for await (const batch of from < head.size ? entries(from, head.size) : []) {
      for (const { seq, entry: bytes } of batch) {
        const expected = edge.size;
        if (seq !== expected)
          throw refusal(`entry ${expected} is missing, the next one stored is ${seq}`, expected);
        if (seq >= head.size) throw refusal(`entry ${seq} lies beyond the head of ${head.size}`, seq);
        const decoded = readEntry(bytes, seq);
        const { entry } = decoded;
        if (entry.seq !== seq) throw refusal(`entry ${seq} says that it is entry ${entry.seq}`, seq);
        if (entry.origin !== origin)
          throw refusal(`entry ${seq} belongs to ${JSON.stringify(entry.origin)}`, seq);
        if (entry.prev !== last.toString('base64'))
          throw refusal(`entry ${seq} does not continue the entry before it`, seq);
        if (at !== null && entry.at < at)
          throw refusal(`entry ${seq} is dated before the entry before it`, seq);
        last = leafHash(bytes);
        at = entry.at;
        edge.append(last);
        if (decoded.known && decoded.entry.type === 'restore.performed') {
          if ((await readIfPresent(this.#announcedFile)) === announcement(decoded.entry)) announced = true;
          else foreign ??= seq;
        }
        if (foreign !== null && covered.some((one) => one.size === edge.size && one.root.equals(edge.root())))
          foreign = null;
      }
    }
    if (edge.size !== head.size)
      throw refusal(`entry ${edge.size} is missing, though the head says ${head.size}`, edge.size);
    const root = edge.root();
    if (!root.equals(head.root))
      throw refusal(`the entries give another root than the head of ${head.size}`, head.size);
    if (foreign !== null)
      throw refusal(`entry ${foreign} tells of a restore that nobody made here`, foreign, UNANNOUNCED);

    const note = signNote(checkpointText({ origin, size: edge.size, root }), this.key);
    await writeDurably(
      this.#headFile,
      `${JSON.stringify({ note, edge: edge.hashes.map((hash) => hash.toString('hex')), last: last.toString('hex'), at })}\n`,
    );
    // One that a crash leaves here allows nothing but the same words again.
    if (announced) await rm(this.#announcedFile, { force: true });
    return { note, size: edge.size, root };
  }

  /** @returns those of the notes that this key signed; the others say nothing */
  #signedBefore(notes: readonly string[]): { readonly size: number; readonly root: Buffer }[] {
    return notes.flatMap((note) => {
      try {
        const checkpoint = parseCheckpoint(openNote(note, [this.#verifier]).text);
        return checkpoint.origin === this.key.name ? [checkpoint] : [];
      } catch (error) {
        if (error instanceof VerificationError) return [];
        throw error;
      }
    });
  }
}

function announcement({ from, manifest, size, replayed, body }: Announced): string {
  return `${canonicalText({ from, manifest, size, replayed, body })}\n`;
}

const CHANGED =
  'The database was changed outside Muniment. Run `muniment verify`, and restore the database from a backup that verifies.';
const ROLLED_BACK =
  'The database is older than the last signature: restore a newer backup. Entries that were signed cannot be given up in silence.';
const UNANNOUNCED =
  'Such an entry excuses what is missing, and whoever writes the database can append one: take it for forged, run `muniment verify`, and restore the database from a backup that verifies. Only where keys/head.json is older than a restore that was made: give keys/ back its newest head.json, or `restore` or `rebuild` the newest checkpoint (--checkpoint FILE). A restore that an older Muniment began is begun anew.';

function refusal(reason: string, seq: number, hint: string = CHANGED, cause?: unknown): VerificationError {
  return new VerificationError(`the signer refuses to sign at ${seq}: ${reason}`, { hint, cause });
}

function readEntry(bytes: Buffer, seq: number): Decoded {
  try {
    return decodeEntry(bytes);
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    throw refusal(`entry ${seq} is no valid entry: ${error.message}`, seq, CHANGED, error);
  }
}

async function readState(headFile: string, key: VerifierKey): Promise<State | null> {
  const text = await readIfPresent(headFile);
  if (text === null) return null;
  const broken = (reason: string, cause?: unknown): VerificationError =>
    new VerificationError(`the signed head ${headFile} cannot be trusted: ${reason}`, {
      hint: 'Restore the file from its newest backup. Do not delete it: it is what shows that entries went missing.',
      cause,
    });
  let state: z.infer<typeof stateSchema>;
  try {
    state = stateSchema.parse(JSON.parse(text));
  } catch (cause) {
    if (!(cause instanceof SyntaxError) && !(cause instanceof z.ZodError)) throw cause;
    throw broken('it is not what a signer writes', cause);
  }
  try {
    const { origin, size, root } = parseCheckpoint(openNote(state.note, [key]).text);
    const edge = RightEdge.from(
      size,
      state.edge.map((hash) => Buffer.from(hash, 'hex')),
    );
    if (origin !== key.name) throw new VerificationError(`it is of ${JSON.stringify(origin)}`);
    if (!edge.root().equals(root))
      throw new VerificationError('its right edge does not fold to the signed root');
    return {
      head: { size, root, note: state.note, at: state.at },
      edge,
      last: Buffer.from(state.last, 'hex'),
    };
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    throw broken(error.message, error);
  }
}

/** @returns null only where there is no such file. @throws ServiceError when it cannot be read */
async function readIfPresent(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw unusable('read', file, cause);
  }
}

/** Replaces a file as a whole, readable by its owner only: after a crash the old or the new one is there. */
async function writeDurably(file: string, text: string): Promise<void> {
  const unfinished = `${file}.new`;
  try {
    await rm(unfinished, { force: true });
    const handle = await open(unfinished, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(unfinished, file);
    const folder = await open(path.dirname(file), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (cause) {
    throw unusable('write', file, cause);
  }
}

function unusable(verb: 'read' | 'write', file: string, cause: unknown): unknown {
  if (typeof (cause as NodeJS.ErrnoException).code !== 'string') return cause;
  return new ServiceError(`could not ${verb} ${file}: ${(cause as Error).message}`, {
    hint: 'Check the disk, and that the user who runs Muniment may read and write this file and its folder.',
    cause,
  });
}
