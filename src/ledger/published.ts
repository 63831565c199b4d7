// Reads a published log (C2SP tlog-tiles in a folder) as a stranger does: believes the archive's signature on its checkpoint, and of the
// entries only what gives the signed root.

import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InputError, VerificationError } from '../core/errors.ts';
import { ChainCheck } from './chain.ts';
import { type Checkpoint, openNote, parseCheckpoint, type VerifierKey } from './note.ts';
import { bundlePath, decodeBundle, TILE_WIDTH } from './tiles.ts';

export interface PublishedLog {
  readonly folder: string;
  readonly checkpoint: Checkpoint;
  /** The checkpoint as signed. */
  readonly note: string;
  /** Entries from a position on, in batches of up to 256. Read once whole by {@link openPublishedLog}, so of the signed root. */
  entries(from: number): AsyncIterable<{ seq: number; entry: Buffer }[]>;
  /** The root that its first `size` entries have, for a size asked for at opening. */
  rootAt(size: number): Buffer | undefined;
}

/** @returns the checkpoint in a note. @throws VerificationError when the key did not sign it, or it is of another log */
export function openCheckpoint(note: string, key: VerifierKey): Checkpoint {
  const checkpoint = parseCheckpoint(openNote(note, [key]).text);
  if (checkpoint.origin === key.name) return checkpoint;
  throw new VerificationError(`the checkpoint is of ${checkpoint.origin}, not of ${key.name}`, {
    hint: 'Name a checkpoint of this archive.',
  });
}

/**
 * Opens a published log and checks all of it: chain, root, signature.
 * @param sizes sizes whose roots are wanted
 * @throws InputError when there is none; VerificationError when it is not what the key signed
 */
export async function openPublishedLog(
  path: string,
  key: VerifierKey,
  sizes: readonly number[],
): Promise<PublishedLog> {
  const folder = resolve(path);
  const note = await readFile(join(folder, 'checkpoint'), 'utf8').catch((cause: unknown) => {
    throw new InputError(`there is no published log in ${folder}`, {
      hint: 'Name the folder that `muniment ledger publish` wrote: it holds `checkpoint` and `tile/`.',
      cause,
    });
  });
  const checkpoint = openCheckpoint(note, key);
  async function* entries(from: number): AsyncGenerator<{ seq: number; entry: Buffer }[]> {
    for (let n = Math.floor(from / TILE_WIDTH); n * TILE_WIDTH < checkpoint.size; n += 1) {
      const first = n * TILE_WIDTH;
      const width = Math.min(TILE_WIDTH, checkpoint.size - first);
      const bundle = decodeBundle(await readBundle(folder, n, width));
      const batch = bundle.slice(0, width).map((entry, at) => ({ seq: first + at, entry }));
      yield batch.filter(({ seq }) => seq >= from);
    }
  }
  const chain = new ChainCheck(key.name, [...sizes, checkpoint.size]);
  for await (const batch of entries(0)) {
    const { problems } = await chain.take(batch.map((one) => ({ ...one, leaf: null })));
    const [problem] = problems;
    if (problem !== undefined) throw broken(folder, problem.detail);
  }
  if (chain.rootAt(checkpoint.size)?.equals(checkpoint.root) !== true)
    throw broken(folder, 'its entries do not have the root of its checkpoint');
  return { folder, checkpoint, note, entries, rootAt: (size) => chain.rootAt(size) };
}

async function readBundle(folder: string, n: number, width: number): Promise<Buffer> {
  try {
    return await readFile(join(folder, bundlePath(n, width)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  // A log that grew keeps the full bundle and may drop the partial one.
  try {
    return await readFile(join(folder, bundlePath(n)));
  } catch (cause) {
    throw broken(folder, `the bundle ${bundlePath(n, width)} is missing`, cause);
  }
}

function broken(folder: string, what: string, cause?: unknown): VerificationError {
  return new VerificationError(`the published log in ${folder} cannot be used: ${what}`, {
    hint: 'Use another copy of it: every mirror has the same files.',
    cause,
  });
}
