// `muniment store sweep` and `store copy` on an opened archive: opens the stores and the rights that src/upkeep works with. It is one of the
// few files that may open an eraser, and hands it on only where something may be removed.

import { type DescribedStore, type Environment, readStoreFile } from './config.ts';
import { type Archive, homePaths } from './context.ts';
import { IncompleteError, InputError, MunimentError, VerificationError } from './core/errors.ts';
import type { StoreSettings } from './core/settings.ts';
import { requireStoreInForce } from './ledger/store-in-force.ts';
import { openEraser } from './store/eraser.ts';
import { leftovers } from './store/leftovers.ts';
import type { ObjectStore } from './store/objects.ts';
import { openStore } from './store/open.ts';
import { requireClaim } from './store/proof.ts';
import { isSamePlace } from './store/same-place.ts';
import { type CopyResult, copyStore } from './upkeep/copy.ts';
import { requireOwnStore } from './upkeep/restores.ts';
import { type SweepResult, sweepStore } from './upkeep/sweep.ts';

/** Nothing younger is ever removed: whoever stores a payload enters it within seconds, or within its run. */
const SHORTEST_WINDOW = 'PT1H';

interface Work {
  readonly signal: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

/** @throws InputError when it is no period, or shorter than the floor */
function momentBefore(now: Temporal.Instant, window: string): Temporal.Instant {
  const hint = 'Write an ISO 8601 period of an hour or more, such as P7D or PT12H.';
  const back = (text: string): Temporal.Instant =>
    now.toZonedDateTimeISO('UTC').subtract(Temporal.Duration.from(text)).toInstant();
  let before: Temporal.Instant;
  try {
    before = back(window);
  } catch (cause) {
    throw new InputError(`${window} is no period`, { hint, cause });
  }
  if (Temporal.Instant.compare(before, back(SHORTEST_WINDOW)) <= 0) return before;
  throw new InputError(`${window} is shorter than an hour`, { hint });
}

/**
 * Compares store and rows; with `remove`, removes objects that no row knows and that are older than the window.
 * @throws RefusedError when the archive has left the store (its rows speak of another), or when the store came with a restore and may be
 *   another archive's too; VerificationError when the ledger is shorter than what was signed: then rows are missing, and nothing may be removed
 */
export async function sweep(
  archive: Archive,
  options: Work & { window: string; remove: boolean; attempts?: number },
): Promise<SweepResult> {
  const { database, store, settings, clock, ledger } = archive;
  const now = clock.now();
  const before = momentBefore(now, options.window);
  await requireStoreInForce(database.db, store.identity);
  if (options.remove) {
    await requireOwnStore(database.db, store);
    await requireWholeLedger(archive);
  }
  return stoppable(options.signal, 'store sweep', () =>
    sweepStore(
      {
        database,
        store,
        origin: ledger.origin,
        eraser: options.remove ? openEraser(settings.store, { clock }) : null,
        leftovers: leftovers(settings.store),
      },
      { ...options, now, before, stale: momentBefore(now, SHORTEST_WINDOW) },
    ),
  );
}

async function requireWholeLedger(archive: Archive): Promise<void> {
  const pinned = await archive.pinnedHead();
  const { size } = await archive.ledger.head();
  if (pinned === null || pinned.size <= size) return;
  throw new VerificationError(
    `the ledger has ${size} entries, and ${pinned.size} were signed: entries are lost, and with them the rows of payloads`,
    { hint: 'Nothing was removed. Restore the database first; `muniment verify` tells what is missing.' },
  );
}

/**
 * Copies every payload to the store that a file describes, and moves the archive there in the ledger.
 * @throws InputError when that is the store where they are; StoreClaimError when it does not do what the file claims of it
 */
export async function copy(
  archive: Archive,
  files: { readonly to: string; readonly from?: string },
  options: Work & { environment: Environment; leaveDamaged: boolean },
): Promise<CopyResult & { readonly store: StoreSettings }> {
  const { database, settings, clock, ledger, account } = archive;
  const described = (path: string) => readStoreFile(path, settings.home, options.environment);
  const target = await described(files.to);
  const source: DescribedStore =
    files.from === undefined ? { settings: settings.store, credentials: null } : await described(files.from);
  await using stack = new AsyncDisposableStack();
  const open = async (
    { settings: store, credentials }: DescribedStore,
    create: boolean,
  ): Promise<ObjectStore> =>
    stack.use(await openStore(store, { clock, create, ...(credentials === null ? {} : { credentials }) }));
  const from = await open(source, false);
  // Before anything is made there.
  if (await isSamePlace(source, target, { clock, signal: options.signal }))
    throw new InputError(
      `${files.to} describes ${from.location}, which is where the payloads are, or a place within it or around it`,
      {
        hint: 'Nothing was copied. Describe another store under `store:` in that file: another folder or bucket, or a prefix beside the present one.',
      },
    );
  const { credentials } = target;
  const withCredentials = credentials === null ? {} : { credentials };
  await requireClaim({ settings: target.settings, clock, signal: options.signal, ...withCredentials });
  const to = await open(target, true);
  const result = await stoppable(options.signal, 'store copy', () =>
    copyStore(
      {
        database,
        ledger,
        actor: account.id,
        from,
        to,
        eraserOfTo: openEraser(target.settings, { clock, ...withCredentials }),
        spool: homePaths(settings.home).spool,
      },
      options,
    ),
  );
  if (result.entry !== null) await archive.checkpoint();
  return { ...result, store: target.settings };
}

/** A signal is no failure: what was done stands, and the command goes on from there. */
async function stoppable<T>(signal: AbortSignal, command: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!signal.aborted || cause instanceof MunimentError) throw cause;
    throw new IncompleteError(`\`muniment ${command}\` was stopped before its end`, {
      hint: 'Run it again: it goes on from what is done.',
      cause,
    });
  }
}
