// What restore and rebuild share: the last head that is known to have been signed, which nothing may fall behind; carrying out destructions
// again; and the end of both, where the archive proves itself before it may serve.

import { readFile, rm } from 'node:fs/promises';
import { bodiless } from './backup/replay.ts';
import type { Settings } from './config.ts';
import { homePaths, signHead } from './context.ts';
import { canonicalBytes, type Json } from './core/canonical.ts';
import type { Clock } from './core/clock.ts';
import { bodyCommitment, newSalt } from './core/digest.ts';
import { InputError, RefusedError, VerificationError } from './core/errors.ts';
import type { DatabaseHandle } from './db/database.ts';
import { destroyAgain } from './disposition/destroy.ts';
import type { Drill } from './drill.ts';
import type { Ledger } from './ledger/append.ts';
import type { Problem } from './ledger/chain.ts';
import { openNote, parseCheckpoint, parseVerifierKey, type VerifierKey } from './ledger/note.ts';
import { openCheckpoint } from './ledger/published.ts';
import { withArchiveReader } from './ledger/reader.ts';
import { openSigner, readPinnedHead, type Signer } from './ledger/signer.ts';
import { type VerifyResult, verifyArchive } from './ledger/verify.ts';
import { placeOnce } from './setup.ts';
import { openEraser } from './store/eraser.ts';
import type { ObjectEraser, ObjectStore } from './store/objects.ts';

/** A head that was signed once: the archive that comes back must hold it. */
export interface KnownHead {
  readonly size: number;
  readonly root: Buffer;
  /** The checkpoint as signed. */
  readonly note: string;
  /** Where it is known from, for people. */
  readonly from: string;
}

export async function headOfCheckpoint(file: string, key: VerifierKey): Promise<KnownHead> {
  const note = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new InputError(`the checkpoint ${file} cannot be read`, {
      hint: 'Name a file that holds a checkpoint of this archive.',
      cause,
    });
  });
  const { size, root } = openCheckpoint(note, key);
  return { size, root, note, from: `the checkpoint ${file}` };
}

/** The head that a surviving keys/head.json holds; null where there is no such file. */
export async function headOfKeys(file: string, key: string): Promise<KnownHead | null> {
  const head = await readPinnedHead(file, key);
  return head === null
    ? null
    : { size: head.size, root: head.root, note: head.note, from: `the signed head ${file}` };
}

/**
 * Nothing that was signed is given up in silence.
 * @param reached entries that there will be
 * @param registration the one entry after `reached` is likely the backup's own, which no backup can hold
 * @throws RefusedError when a known head is longer
 */
export function requireReached(
  reached: number,
  heads: readonly KnownHead[],
  { registration = false }: { registration?: boolean } = {},
): void {
  const longest = heads.toSorted((a, b) => b.size - a.size)[0];
  if (longest === undefined || longest.size <= reached) return;
  if (registration && longest.size === reached + 1)
    throw new RefusedError(
      `${longest.from} covers ${longest.size} entries, and only ${reached} are here: entry ${reached}, which was signed, is not`,
      {
        hint: 'It may be nothing but the entry by which the archive registered this very backup: that is made and signed right after the backup, so no backup holds its own. Nothing here can tell it from another entry. Give a log that was published after the backup (--published DIR: it holds that entry, and the backup its body), or a later backup. As long as the old database exists, `muniment ledger publish` there makes such a log; make it a habit after each `muniment backup`. Only where there is none has this log ended: then make a new archive under another origin with `muniment init`, and keep this backup and that checkpoint as evidence.',
      },
    );
  throw new RefusedError(
    `${longest.from} covers ${longest.size} entries, and only ${reached} are here: the entries ${reached} to ${longest.size - 1}, which were signed, are lost`,
    {
      hint: 'Give the newest published log (--published DIR) or a newer backup. Where there is none, this log has ended: it is never signed again as a shorter one. Make a new archive under another origin with `muniment init`, and keep this backup and that checkpoint as evidence.',
    },
  );
}

export interface Recovered {
  readonly settings: Settings;
  readonly database: DatabaseHandle;
  readonly ledger: Ledger;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly actor: string;
}

export interface Performed {
  readonly from: 'backup' | 'ledger';
  /** SHA-256 in hex of the backup's manifest, or of the log's checkpoint note. */
  readonly manifest: string;
  /** Entries that came with all that belongs to them. */
  readonly size: number;
  /** Entries that came from a published log, without bodies. */
  readonly replayed: number;
  /** Destructions from this position on are carried out again. */
  readonly destroyFrom: number;
  /** Id of this recovery: it is entered once, however often it is interrupted. */
  readonly recovery: string;
  readonly details: { readonly [name: string]: Json };
}

export interface Finished {
  readonly verified: VerifyResult;
  /** Problems that are losses, and were accepted as such. */
  readonly losses: number;
  readonly lostBodies: number;
  readonly destroyedAgain: number;
  readonly size: number;
}

/** Losses that an operator may accept: what is gone is gone, and a lock that was shortened is put on again by renewal. Anything else (altered, present after destruction …) is never accepted. */
const LOSSES: ReadonlySet<string> = new Set([
  'payload-missing',
  'row-missing',
  'body-missing',
  'lock-shortened',
]);

/**
 * Carries out destructions again, enters what was done, verifies everything, signs, and only then lets the archive serve. A drill enters and
 * signs nothing, and leaves the store alone: what was destroyed since was not put into its own, and another one is not its to change.
 * @throws VerificationError when the archive does not verify; it stays unfinished then
 */
export async function finishRecovery(
  recovered: Recovered,
  performed: Performed,
  options: {
    heads: readonly KnownHead[];
    acceptLosses: boolean;
    /** Null: the archive is to go on. */
    drill: Pick<Drill, 'backup' | 'madeAt' | 'checkpoint'> | null;
    signal: AbortSignal;
    onProgress: (done: string) => void;
  },
): Promise<Finished> {
  const { settings, database, ledger, store, clock } = recovered;
  const paths = homePaths(settings.home);
  const eraser = options.drill === null ? openEraser(settings.store, { clock }) : NO_ERASER;
  const destroyedAgain = await destroyAgain({ db: database.db, eraser }, performed.destroyFrom);
  const lost = await bodiless(database.db, performed.size, performed.size + performed.replayed);
  const { size, replayed } = performed;
  const drill = options.drill && { ...options.drill, size, replayed, lostBodies: lost.length };
  const signer =
    drill === null ? await openSigner({ keyFile: paths.signingKey, headFile: paths.head }) : null;
  if (signer !== null) await enterOnce(recovered, performed, lost.length, signer);

  const verifierKey = parseVerifierKey((await readFile(paths.verifierKey, 'utf8')).trim());
  let losses = 0;
  let others = 0;
  let first: Problem | null = null;
  const verified = await withArchiveReader(database.db, store, (reader) =>
    verifyArchive(reader, {
      origin: settings.archive.origin,
      pinned: 'not yet',
      signs: drill === null,
      anchors: [...options.heads],
      drill,
      openCheckpoint: (note) => parseCheckpoint(openNote(note, [verifierKey]).text),
      onProgress: (entries) => options.onProgress(`verified ${entries} entries`),
      onProblem: (problem) => {
        if (LOSSES.has(problem.kind)) losses += 1;
        else others += 1;
        first ??= problem;
      },
      signal: options.signal,
    }),
  );
  if (others > 0 || (losses > 0 && !options.acceptLosses)) {
    const { detail } = first as unknown as Problem;
    throw new VerificationError(
      `the archive in ${settings.home} came back, and does not verify: ${detail}${losses + others > 1 ? `, and ${losses + others - 1} more` : ''}`,
      {
        hint:
          others === 0
            ? options.drill !== null
              ? 'All of it is loss: payloads captured after the backup are in the store of the archive alone, and a drill that copies does not look there. Leave --published out, in a new home, or go on with --accept-losses.'
              : 'All of it is loss: something that was signed is neither in the backup nor in the store. Find it (an older backup by value: --payloads-from), or accept that it is gone with --accept-losses. Until then the archive does not serve.'
            : 'It does not serve. Use another backup, or another copy of this one.',
      },
    );
  }
  const signed = await signHead(
    database,
    ledger,
    signer,
    clock,
    options.heads.map(({ note }) => note),
  );
  if (drill !== null) await placeOnce(paths.drill, `${JSON.stringify(drill)}\n`, 0o600);
  await rm(paths.unfinished, { force: true });
  return {
    verified,
    losses,
    lostBodies: lost.length,
    destroyedAgain,
    size: signed?.size ?? verified.size,
  };
}

const NO_ERASER: ObjectEraser = { erase: async () => undefined };

const KIND = 'restore.performed';

async function enterOnce(
  recovered: Recovered,
  performed: Performed,
  lostBodies: number,
  signer: Signer,
): Promise<void> {
  const { database, ledger, actor } = recovered;
  const { from, manifest, size, replayed, recovery, details } = performed;
  const entered = await database.db
    .selectFrom('entry_bodies')
    .select('body')
    .where('kind', '=', KIND)
    .where('seq', '>=', size)
    .execute();
  if (
    entered.some(
      ({ body }) => (JSON.parse(body.toString('utf8')) as { recovery: string }).recovery === recovery,
    )
  )
    return;
  const body = { ...details, lostBodies, recovery };
  const salt = newSalt();
  const told = { from, manifest, size, replayed };
  // First: an interrupted call finds the entry, and then what was announced must be that one.
  await signer.announce({ ...told, body: bodyCommitment(salt, canonicalBytes(body)) });
  await ledger.write(actor, async (batch) => {
    batch.addWithBody({ type: KIND, ...told }, KIND, body, salt);
  });
}
