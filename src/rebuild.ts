// Makes the database of a home anew from the ledger and the objects alone: from a published log, or from the ledger's table in a database
// whose other rows are not to be trusted. The home must still have its keys, and an empty database.

import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  adoptEntries,
  copyBodies,
  databaseEntries,
  type EntrySource,
  type RebuildOutcome,
  rebuildFrom,
} from './backup/replay.ts';
import { type Environment, readSettings } from './config.ts';
import { homePaths, MIGRATIONS, openHomeDatabase, readOptional, unfinishedTrace } from './context.ts';
import type { Clock } from './core/clock.ts';
import { sha256Hex } from './core/digest.ts';
import { InputError, RefusedError } from './core/errors.ts';
import { newId } from './core/ids.ts';
import { type Database, type DatabaseHandle, openDatabase } from './db/database.ts';
import { requireSchema } from './db/migrate.ts';
import { readDrill, refuseInDrill } from './drill.ts';
import { Ledger } from './ledger/append.ts';
import { readBeginning } from './ledger/beginning.ts';
import { parseVerifierKey } from './ledger/note.ts';
import { openPublishedLog } from './ledger/published.ts';
import {
  type Finished,
  finishRecovery,
  headOfCheckpoint,
  headOfKeys,
  type KnownHead,
  requireReached,
} from './recovery.ts';
import { enterOperator, placeOnce } from './setup.ts';
import { openStore } from './store/open.ts';

export interface RebuildRequest {
  readonly home: string;
  /** Folder of a published log; null: entries come from a database. */
  readonly published: string | null;
  /** URL of the database whose ledger is taken; null: a published log is. */
  readonly fromDatabase: string | null;
  readonly checkpoint?: string | undefined;
  readonly acceptLosses: boolean;
}

export interface Rebuilt {
  readonly home: string;
  readonly origin: string;
  readonly entries: number;
  readonly lost: RebuildOutcome['lost'];
  readonly lostCount: number;
  /** The new operator's, where no account came back. */
  readonly token: string | null;
  readonly finished: Finished;
}

interface Work {
  readonly environment: Environment;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress: (done: string) => void;
}

interface Unfinished {
  readonly work: 'rebuild';
  readonly from: string;
  readonly recovery: string;
}

export async function rebuildArchive(request: RebuildRequest, work: Work): Promise<Rebuilt> {
  const { clock, signal, onProgress } = work;
  const settings = await readSettings(request.home, work.environment);
  const paths = homePaths(settings.home);
  refuseInDrill(settings.home, await readDrill(paths.drill));
  const { origin } = settings.archive;
  const verifierKey = (
    await readFile(paths.verifierKey, 'utf8').catch((cause: unknown) => {
      throw new InputError(`${paths.verifierKey} cannot be read`, {
        hint: 'Bring keys/ back first: from a copy, or with `muniment restore` from a backup.',
        cause,
      });
    })
  ).trim();
  const key = parseVerifierKey(verifierKey);
  await using stack = new AsyncDisposableStack();
  // The embedded server's own secret is given to it anew at every start.
  await placeOnce(paths.databaseSecret, `${randomBytes(24).toString('base64url')}\n`, 0o600);
  const urls = stack.use(await openHomeDatabase(settings));
  const database = stack.use(await openDatabase(urls.runtimeUrl));
  await requireSchema(database, MIGRATIONS);
  const former = await formerCall(request, paths.unfinished);
  // Before anything is said of losses: of a healthy archive nothing is lost.
  if (former === null) await requireNoLedger(database);
  const heads = await headsOf(request, verifierKey);
  const old =
    request.fromDatabase === null ? null : stack.use(await openDatabase(request.fromDatabase, { max: 2 }));
  const source = await sourceOf(request, old, key, heads);
  requireReached(source.size, heads);

  const unfinished = former ?? (await claim(request, paths.unfinished, clock));
  const store = stack.use(await openStore(settings.store, { clock }));
  const ledger = new Ledger({ db: database.db, origin, clock });
  if ((await readBeginning(database.db)) === null) await ledger.create();
  const platformOf = (name: string) => settings.sources.find((source) => source.id === name)?.platform;
  await adoptEntries(ledger, source, {
    signal,
    onProgress: (entries) => onProgress(`${entries} of ${source.size} entries`),
  });
  if (old !== null) await copyBodies(old.db, database.db, source.size, signal);
  const { lost, lostCount } = await rebuildFrom(
    database.db,
    store,
    { from: 0, to: source.size },
    {
      platformOf,
      signal,
      onProgress: (entries) => onProgress(`rows of ${entries} of ${source.size} entries`),
    },
  );
  const token = old === null ? await ensureOperator(database.db, ledger, clock) : null;
  const account = await database.db
    .selectFrom('accounts')
    .select('id')
    .orderBy('seq')
    .limit(1)
    .executeTakeFirst();
  if (account === undefined)
    throw new InputError('the database that was read holds no account whose entry vouches for it', {
      hint: 'Rebuild from a published log instead: then a new operator is made.',
    });
  const finished = await finishRecovery(
    { settings, database, ledger, store, clock, actor: account.id },
    {
      from: 'ledger',
      manifest: source.digest,
      size: old === null ? 0 : source.size,
      replayed: old === null ? source.size : 0,
      destroyFrom: 0,
      recovery: unfinished.recovery,
      details: { lostPayloads: lostCount },
    },
    { heads: source.heads, acceptLosses: request.acceptLosses, drill: null, signal, onProgress },
  );
  return { home: settings.home, origin, entries: source.size, lost, lostCount, token, finished };
}

async function headsOf(request: RebuildRequest, verifierKey: string): Promise<KnownHead[]> {
  const heads: KnownHead[] = [];
  const pinned = await headOfKeys(homePaths(request.home).head, verifierKey);
  if (pinned !== null) heads.push(pinned);
  if (request.checkpoint !== undefined)
    heads.push(await headOfCheckpoint(request.checkpoint, parseVerifierKey(verifierKey)));
  return heads;
}

/** Entries, every head that they must fit, and the digest of the signed note that vouches for them. */
async function sourceOf(
  request: RebuildRequest,
  old: DatabaseHandle | null,
  key: ReturnType<typeof parseVerifierKey>,
  heads: readonly KnownHead[],
): Promise<EntrySource & { digest: string; heads: KnownHead[] }> {
  if (request.published !== null) {
    const log = await openPublishedLog(request.published, key, []);
    const head = { ...log.checkpoint, note: log.note, from: `the published log in ${log.folder}` };
    return {
      size: log.checkpoint.size,
      entries: log.entries,
      digest: sha256Hex(log.note),
      heads: [...heads, head],
    };
  }
  const longest = heads.toSorted((a, b) => b.size - a.size)[0];
  if (old === null || longest === undefined)
    throw new RefusedError("no signed head is known that the database's ledger could be held against", {
      hint: 'Bring back keys/head.json, or give the last checkpoint that somebody holds: --checkpoint FILE.',
    });
  const source = await databaseEntries(old.db, key.name);
  return { ...source, digest: sha256Hex(longest.note), heads: [...heads] };
}

const sourceName = (request: RebuildRequest): string =>
  request.published === null ? 'database' : 'published';

/** @returns what an interrupted rebuild from the same source left, or null. @throws InputError when another call was interrupted here */
async function formerCall(request: RebuildRequest, path: string): Promise<Unfinished | null> {
  const text = await readOptional(path);
  if (text === null) return null;
  const former = unfinishedTrace<Unfinished>(dirname(path), text);
  if (former.work === 'rebuild' && former.from === sourceName(request)) return former as Unfinished;
  throw new InputError('another interrupted call has begun to make this archive', {
    hint: 'Finish that one first, with the answers it was given.',
  });
}

async function requireNoLedger(database: DatabaseHandle): Promise<void> {
  if ((await readBeginning(database.db)) === null) return;
  throw new RefusedError('the database of this home holds a ledger already', {
    hint: 'Rebuild into an empty one: another database.url in muniment.yaml; for the embedded server, `muniment db stop`, then move postgres/ away (keep it).',
  });
}

async function claim(request: RebuildRequest, path: string, clock: Clock): Promise<Unfinished> {
  const unfinished: Unfinished = {
    work: 'rebuild',
    from: sourceName(request),
    recovery: newId(clock.now()),
  };
  await placeOnce(path, `${JSON.stringify(unfinished)}\n`, 0o600);
  return unfinished;
}

/** No published log holds accounts: one operator begins anew. @returns the token; a new one each time, since none was shown before the end */
async function ensureOperator(db: Database, ledger: Ledger, clock: Clock): Promise<string> {
  const token = randomBytes(24).toString('base64url');
  const token_hash = createHash('sha256').update(token).digest();
  const present = await db.selectFrom('accounts').select('id').orderBy('seq').limit(1).executeTakeFirst();
  if (present !== undefined) {
    await db.updateTable('accounts').set({ token_hash }).where('id', '=', present.id).execute();
    return token;
  }
  const operator = newId(clock.now());
  await ledger.write(operator, async (batch) => enterOperator(batch, operator, token_hash));
  return token;
}
