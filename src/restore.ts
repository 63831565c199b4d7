// Makes an archive anew from a backup, in a home and a database that are empty. Nothing serves before everything is verified; an interrupted
// restore is made again with the same answers and goes on.

import { rm } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import {
  type KeyFile,
  loadTables,
  noteVersions,
  payloadsBack,
  readKeys,
  unsealKeys,
  verifierKeyOf,
} from './backup/load.ts';
import { type Manifest, type OpenedBackup, openBackup, requireSigned } from './backup/manifest.ts';
import { type BackupPlace, openPlace } from './backup/place.ts';
import { adoptEntries, rebuildFrom } from './backup/replay.ts';
import { BACKUP_KIND, placeOptions, registerBackup, registrationBody } from './backups.ts';
import { type Environment, parseSettings, readSettings, type Settings } from './config.ts';
import { homePaths, MIGRATIONS, openHomeDatabase } from './context.ts';
import type { Clock } from './core/clock.ts';
import { InputError, RefusedError, VerificationError } from './core/errors.ts';
import { addressOf, type DatabaseHandle, openDatabase } from './db/database.ts';
import { knownMigrations, migrate, requireSchema } from './db/migrate.ts';
import { Ledger } from './ledger/append.ts';
import { readBeginning } from './ledger/beginning.ts';
import { decodeEntry } from './ledger/entry.ts';
import { parseVerifierKey, type VerifierKey } from './ledger/note.ts';
import { openPublishedLog, type PublishedLog } from './ledger/published.ts';
import { entriesFrom } from './ledger/reader.ts';
import { requireStoreInForce } from './ledger/store-in-force.ts';
import {
  type Finished,
  finishRecovery,
  headOfCheckpoint,
  headOfKeys,
  type KnownHead,
  requireReached,
} from './recovery.ts';
import {
  carries,
  keyOf,
  placeKeys,
  placeSettings,
  prepareHome,
  type RestoreRequest,
  requireEmpty,
  settingsText,
} from './restored-home.ts';
import { removeDrafts } from './setup.ts';
import { openStore } from './store/open.ts';
import { requireClaim } from './store/proof.ts';

export interface Restored {
  readonly home: string;
  readonly drill: boolean;
  readonly origin: string;
  readonly verifierKey: string;
  /** Whether the key came from elsewhere than the backup itself. */
  readonly keyConfirmed: boolean;
  readonly backup: { readonly id: string; readonly madeAt: string; readonly size: number };
  readonly replayed: number;
  readonly payloads: { readonly carried: number; readonly lost: number };
  /** The store, where it is also that of the archive that was backed up. */
  readonly sharedStore: string | null;
  readonly finished: Finished;
}

interface Work {
  readonly environment: Environment;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress: (done: string) => void;
}

export async function restoreArchive(request: RestoreRequest, work: Work): Promise<Restored> {
  const { clock, environment, onProgress } = work;
  const home = resolve(request.home);
  await using place = openPlace(request.backup, placeOptions(null, request, clock));
  const opened = await openBackup(place);
  const { manifest } = opened;
  const drill = request.drill === true;
  const carried = carries(request, manifest);
  if (drill && carried && request.store !== undefined)
    throw new InputError('--store and --drill contradict each other where payloads are copied', {
      hint: 'A drill copies payloads into its own home alone: leave --store out, and put the home where there is room.',
    });
  const schema = await requireKnownSchema(manifest);
  const keys = await keysOf(request, place, manifest);
  const verifierKey = verifierKeyOf(keys, manifest.origin);
  requireSigned(opened, keyOf(request.key, verifierKey));
  const key = parseVerifierKey(verifierKey);
  const published =
    request.published === undefined
      ? null
      : await openPublishedLog(request.published, key, [manifest.ledger.size]);
  const heads = await knownHeads(request, manifest, verifierKey, key, published);

  const text = await settingsText(request, place, manifest);
  const wanted = parseSettings(text, 'the settings of the backup', home, environment);
  const unfinished = await prepareHome(home, request, opened, clock, () =>
    wanted.databaseUrl === null ? Promise.resolve() : requireEmpty(wanted.databaseUrl, request, manifest),
  );
  await placeKeys(home, keys, verifierKey, drill);
  await placeSettings(home, text, place, manifest);
  const settings = await readSettings(home, environment);
  // One below the new home is new itself.
  const own = settings.store.provider === 'directory' && settings.store.path.startsWith(`${home}${sep}`);
  if (drill && carried && !own)
    throw new InputError(
      `this drill was begun to read payloads where they are, and would copy into that store`,
      {
        hint: 'Begin anew with --payloads-from: run `muniment db remove` there, then remove the folder.',
      },
    );
  const paths = homePaths(settings.home);
  const versions = join(paths.spool, 'versions.list');
  const destroyed =
    published === null ? new Set<string>() : await destroyedIn(published, manifest.ledger.size);

  // A store that payloads are read from is taken as it is; none is put where the lock that the settings claim does not hold.
  if (carried) await requireClaim({ settings: settings.store, clock, signal: work.signal });
  await using store = await openStore(settings.store, { clock, create: !drill || carried });
  await using copies =
    request.payloadsFrom === undefined
      ? null
      : openPlace(request.payloadsFrom, placeOptions(settings.store, request, clock));
  if (copies !== null) await requireCopies(copies, key, manifest);
  const payloads = carried
    ? await payloadsBack({ place, manifest }, copies ?? place, store, {
        destroyed,
        spool: paths.spool,
        versions,
        signal: work.signal,
        onProgress,
      })
    : { carried: 0, lost: [], lostCount: 0 };

  await using urls = await openHomeDatabase(settings, schema);
  const admin = urls.adminUrl ?? request.adminUrl;
  const runtimeUser = addressOf(urls.runtimeUrl).user;
  if (request.adminUrl !== null)
    await migrate({ adminUrl: request.adminUrl, runtimeUser, folder: MIGRATIONS, to: schema });
  await using database = await openDatabase(urls.runtimeUrl);
  if ((await readBeginning(database.db)) === null)
    await loadTables(database, place, manifest, carried ? versions : null, onProgress);
  if (admin !== null) await migrate({ adminUrl: admin, runtimeUser, folder: MIGRATIONS });
  await requireSchema(database, MIGRATIONS);
  if (carried) await noteVersions(database, store.identity, versions);
  await rm(versions, { force: true });
  await requireStoreInForce(database.db, store.identity);

  // Whoever uses the store that the backup refers to may go on doing so.
  const shared = !carried || (!own && store.location === manifest.payloads.store);
  const ledger = new Ledger({ db: database.db, origin: manifest.origin, clock });
  const replayed = await replay(database, ledger, store, settings, opened, published, work);
  const actor = await firstAccount(database);
  if (!drill) await registerOnce(database, ledger, actor, opened);
  const finished = await finishRecovery(
    { settings, database, ledger, store, clock, actor },
    {
      from: 'backup',
      manifest: opened.digest,
      size: manifest.ledger.size,
      replayed,
      destroyFrom: manifest.ledger.size,
      recovery: unfinished.recovery,
      details: {
        backup: manifest.id,
        lostPayloads: payloads.lostCount,
        sharedStore: shared ? store.identity : null,
      },
    },
    {
      heads,
      acceptLosses: request.acceptLosses,
      drill: drill
        ? {
            backup: manifest.id,
            madeAt: manifest.madeAt,
            checkpoint: published !== null && replayed > 0 ? published.note : manifest.ledger.checkpoint,
          }
        : null,
      signal: work.signal,
      onProgress,
    },
  );
  for (const folder of [home, paths.keys]) await removeDrafts(folder);
  return {
    home,
    drill,
    origin: manifest.origin,
    verifierKey,
    keyConfirmed: request.key !== undefined || request.keys !== undefined,
    backup: { id: manifest.id, madeAt: manifest.madeAt, size: manifest.ledger.size },
    replayed,
    payloads: { carried: payloads.carried, lost: payloads.lostCount },
    sharedStore: shared ? store.location : null,
    finished,
  };
}

/** @returns the last migration of the backup's schema. @throws InputError when it is newer than this Muniment */
async function requireKnownSchema(manifest: Manifest): Promise<string> {
  const known = await knownMigrations(MIGRATIONS);
  const unknown = manifest.schema.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new InputError(`the backup has a newer schema (${unknown.join(', ')}) than this Muniment knows`, {
      hint: `Restore it with ${manifest.software} or newer.`,
    });
  return manifest.schema.toSorted().at(-1) as string;
}

async function keysOf(
  request: RestoreRequest,
  place: BackupPlace,
  manifest: Manifest,
): Promise<readonly KeyFile[]> {
  if (request.keys !== undefined) return readKeys(request.keys);
  const otherwise = 'Where a copy of keys/ was kept elsewhere, name its folder: --keys DIR.';
  return unsealKeys(place, manifest, request.unsealing, otherwise);
}

/** Every signed head that is known of. @throws RefusedError when one is longer than what can be brought back, or none was looked for */
async function knownHeads(
  request: RestoreRequest,
  manifest: Manifest,
  verifierKey: string,
  key: VerifierKey,
  published: PublishedLog | null,
): Promise<KnownHead[]> {
  const { size } = manifest.ledger;
  const heads: KnownHead[] = [];
  if (published !== null) {
    heads.push({
      ...published.checkpoint,
      note: published.note,
      from: `the published log in ${published.folder}`,
    });
    const root = published.rootAt(size)?.toString('base64');
    if (root !== undefined && root !== manifest.ledger.root)
      throw new VerificationError(
        `the published log in ${published.folder} does not continue the ledger of the backup`,
        { hint: 'One of the two was rewritten. Keep both: that they differ is evidence.' },
      );
  }
  if (request.checkpoint !== undefined) heads.push(await headOfCheckpoint(request.checkpoint, key));
  // The head beside the keys of an archive that lives is always ahead, and a drill signs nothing that could fall behind it.
  if (request.keys !== undefined && !request.drill) {
    const head = await headOfKeys(join(request.keys, 'head.json'), verifierKey);
    if (head !== null) heads.push(head);
  }
  if (
    request.published === undefined &&
    request.checkpoint === undefined &&
    !request.nothingLater &&
    !request.drill
  ) {
    throw new RefusedError(
      `nothing says whether checkpoints left the archive after this backup of ${manifest.madeAt} (${size} entries)`,
      {
        hint: 'A log that was signed must never be signed again as a shorter one. Give the last published log (--published DIR) or the last checkpoint that somebody holds (--checkpoint FILE); only if none was handed out since, say --nothing-later.',
      },
    );
  }
  const reached = Math.max(size, published?.checkpoint.size ?? 0);
  requireReached(reached, heads, { registration: reached === size });
  return heads;
}

async function requireCopies(place: BackupPlace, key: VerifierKey, manifest: Manifest): Promise<void> {
  const older = await openBackup(place);
  requireSigned(older, key);
  if (older.manifest.origin === manifest.origin && older.manifest.payloads.by === 'copy') return;
  throw new InputError(`the backup in ${place.location} holds no copies of this archive's payloads`, {
    hint: 'Name a backup that was made with --payloads copy.',
  });
}

/** Payloads that published entries say were destroyed, after the backup was made. */
async function destroyedIn(published: PublishedLog, from: number): Promise<Set<string>> {
  const destroyed = new Set<string>();
  for await (const batch of published.entries(from))
    for (const { entry } of batch) {
      const decoded = decodeEntry(entry);
      if (decoded.known && decoded.entry.type === 'payload.destroyed') destroyed.add(decoded.entry.payload);
    }
  return destroyed;
}

/** Takes over what was published after the backup. @returns how many entries of it the ledger now holds */
async function replay(
  database: DatabaseHandle,
  ledger: Ledger,
  store: Parameters<typeof rebuildFrom>[1],
  settings: Settings,
  opened: OpenedBackup,
  published: PublishedLog | null,
  work: Work,
): Promise<number> {
  const from = opened.manifest.ledger.size;
  const to = published?.checkpoint.size ?? 0;
  if (published === null || to <= from) return 0;
  const { signal, onProgress } = work;
  await adoptEntries(
    ledger,
    { size: to, entries: published.entries },
    { signal, onProgress: (entries) => onProgress(`${entries} of ${to} entries`) },
  );
  await bodyOfOwnEntry(database, opened, { from, to });
  await rebuildFrom(
    database.db,
    store,
    { from, to },
    {
      platformOf: (name) => settings.sources.find((source) => source.id === name)?.platform,
      signal,
      onProgress: (entries) => onProgress(`rows of ${entries} of ${to} entries`),
    },
  );
  return to - from;
}

/** The backup was entered after it was made: of that one entry the backup itself knows the body. */
async function bodyOfOwnEntry(
  database: DatabaseHandle,
  opened: OpenedBackup,
  { from, to }: { from: number; to: number },
): Promise<void> {
  const { salt, body, commitment } = registrationBody(opened);
  for await (const batch of entriesFrom(database.db, from, to))
    for (const { seq, entry } of batch) {
      const decoded = decodeEntry(entry);
      if (!decoded.known || decoded.entry.type !== 'sealed' || decoded.entry.body !== commitment) continue;
      await database.db
        .insertInto('entry_bodies')
        .values({ seq, kind: BACKUP_KIND, salt, body })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return;
    }
}

async function firstAccount(database: DatabaseHandle): Promise<string> {
  const account = await database.db
    .selectFrom('accounts')
    .select('id')
    .orderBy('seq')
    .limit(1)
    .executeTakeFirst();
  if (account !== undefined) return account.id;
  throw new VerificationError('the backup holds no account', { hint: 'Use another backup.' });
}

/** A backup is entered right after it is made: the first that comes back from it may be the only trace of it. */
async function registerOnce(
  database: DatabaseHandle,
  ledger: Ledger,
  actor: string,
  opened: OpenedBackup,
): Promise<void> {
  const rows = await database.db
    .selectFrom('entry_bodies')
    .select('body')
    .where('kind', '=', BACKUP_KIND)
    .execute();
  const known = rows.some(
    ({ body }) => (JSON.parse(body.toString('utf8')) as { backup: string }).backup === opened.manifest.id,
  );
  if (!known) await registerBackup(ledger, actor, opened);
}
