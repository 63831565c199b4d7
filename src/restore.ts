// Makes an archive anew from a backup, in a home and a database that are empty. Nothing serves before everything is verified; an interrupted
// restore is made again with the same answers and goes on.

import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import {
  fileOf,
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
import type { Unsealing } from './backup/seal.ts';
import { BACKUP_KIND, placeOptions, registerBackup, registrationOf } from './backups.ts';
import { type Environment, parseSettings, readSettings, type Settings } from './config.ts';
import { homePaths, MIGRATIONS, openHomeDatabase } from './context.ts';
import type { Clock } from './core/clock.ts';
import { InputError, RefusedError, VerificationError } from './core/errors.ts';
import { newId } from './core/ids.ts';
import { addressOf, type DatabaseHandle, openDatabase } from './db/database.ts';
import { appliedMigrations, knownMigrations, migrate, requireSchema } from './db/migrate.ts';
import { Ledger } from './ledger/append.ts';
import { readBeginning } from './ledger/beginning.ts';
import { decodeEntry } from './ledger/entry.ts';
import { parseVerifierKey, type VerifierKey } from './ledger/note.ts';
import { openPublishedLog, type PublishedLog } from './ledger/published.ts';
import { requireStoreInForce } from './ledger/store-in-force.ts';
import {
  type Finished,
  finishRecovery,
  headOfCheckpoint,
  headOfKeys,
  type KnownHead,
  requireReached,
} from './recovery.ts';
import { isDraft, placeOnce, removeDrafts } from './setup.ts';
import { openStore } from './store/open.ts';

export interface RestoreRequest {
  readonly backup: string;
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly home: string;
  /** A reference to a PostgreSQL URL, `embedded`, or absent: as the backup's settings say. */
  readonly database?: string | undefined;
  readonly adminUrl: string | null;
  /** Where payloads go: s3://BUCKET/PREFIX or a folder; absent: as the backup's settings say. */
  readonly store?: string | undefined;
  readonly unsealing: Unsealing | null;
  /** A copy of keys/ that was kept elsewhere, used instead of the sealed one. */
  readonly keys?: string | undefined;
  /** Verifier key from elsewhere. */
  readonly key?: string | undefined;
  /** A backup by value for one by reference. */
  readonly payloadsFrom?: string | undefined;
  readonly published?: string | undefined;
  readonly checkpoint?: string | undefined;
  /** The operator says that no checkpoint left this archive after the backup. */
  readonly nothingLater: boolean;
  readonly acceptLosses: boolean;
}

export interface Restored {
  readonly home: string;
  readonly origin: string;
  readonly verifierKey: string;
  /** Whether the key came from elsewhere than the backup itself. */
  readonly keyConfirmed: boolean;
  readonly backup: { readonly id: string; readonly madeAt: string; readonly size: number };
  readonly replayed: number;
  readonly payloads: { readonly carried: number; readonly lost: number };
  readonly finished: Finished;
}

interface Work {
  readonly environment: Environment;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress: (done: string) => void;
}

/** Stands in the home until the restore is finished. */
interface Unfinished {
  readonly work: 'restore';
  readonly manifest: string;
  readonly recovery: string;
  readonly answers: { readonly database: string | null; readonly store: string | null };
}

export async function restoreArchive(request: RestoreRequest, work: Work): Promise<Restored> {
  const { clock, environment, onProgress } = work;
  const home = resolve(request.home);
  await using place = openPlace(request.backup, placeOptions(null, request, clock));
  const opened = await openBackup(place);
  const { manifest } = opened;
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
  await placeKeys(home, keys, verifierKey);
  await placeSettings(home, text, place, manifest);
  const settings = await readSettings(home, environment);
  const paths = homePaths(settings.home);
  const versions = join(paths.spool, 'versions.list');
  const destroyed =
    published === null ? new Set<string>() : await destroyedIn(published, manifest.ledger.size);

  await using store = await openStore(settings.store, { clock, create: true });
  await using copies =
    request.payloadsFrom === undefined
      ? null
      : openPlace(request.payloadsFrom, placeOptions(settings.store, request, clock));
  const carries = manifest.payloads.by === 'copy' || copies !== null;
  if (copies !== null) await requireCopies(copies, key, manifest);
  const payloads = carries
    ? await payloadsBack({ place, manifest }, copies ?? place, store, {
        destroyed,
        spool: paths.spool,
        versions,
        signal: work.signal,
        onProgress,
      })
    : { carried: 0, lost: [], lostCount: 0 };

  await using urls = await openHomeDatabase(settings, schema);
  await using database = await openDatabase(urls.runtimeUrl);
  const admin = urls.adminUrl ?? request.adminUrl;
  const runtimeUser = addressOf(urls.runtimeUrl).user;
  if ((await readBeginning(database.db)) === null)
    await loadTables(database, place, manifest, carries ? versions : null, onProgress);
  if (admin !== null) await migrate({ adminUrl: admin, runtimeUser, folder: MIGRATIONS });
  await requireSchema(database, MIGRATIONS);
  if (carries) await noteVersions(database, store.identity, versions);
  await requireStoreInForce(database.db, store.identity);

  const ledger = new Ledger({ db: database.db, origin: manifest.origin, clock });
  const replayed = await replay(database, ledger, store, settings, manifest, published, work);
  const actor = await firstAccount(database);
  await registerOnce(database, ledger, actor, opened, place);
  const finished = await finishRecovery(
    { settings, database, ledger, store, clock, actor },
    {
      from: 'backup',
      manifest: opened.digest,
      size: manifest.ledger.size,
      replayed,
      recovery: unfinished.recovery,
      details: { backup: manifest.id, lostPayloads: payloads.lostCount },
    },
    { heads, acceptLosses: request.acceptLosses, signal: work.signal, onProgress },
  );
  for (const folder of [home, paths.keys]) await removeDrafts(folder);
  return {
    home,
    origin: manifest.origin,
    verifierKey,
    keyConfirmed: request.key !== undefined || request.keys !== undefined,
    backup: { id: manifest.id, madeAt: manifest.madeAt, size: manifest.ledger.size },
    replayed,
    payloads: { carried: payloads.carried, lost: payloads.lostCount },
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

function keyOf(given: string | undefined, own: string): VerifierKey {
  if (given === undefined) return parseVerifierKey(own);
  if (given.trim() !== own)
    throw new VerificationError('the keys of the backup are not of the verifier key that was given', {
      hint: 'Somebody else made this backup, or the key is of another archive.',
    });
  return parseVerifierKey(given);
}

async function keysOf(
  request: RestoreRequest,
  place: BackupPlace,
  manifest: Manifest,
): Promise<readonly KeyFile[]> {
  return request.keys === undefined ? unsealKeys(place, manifest, request.unsealing) : readKeys(request.keys);
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
    heads.push({ ...published.checkpoint, from: `the published log in ${published.folder}` });
    const root = published.rootAt(size)?.toString('base64');
    if (root !== undefined && root !== manifest.ledger.root)
      throw new VerificationError(
        `the published log in ${published.folder} does not continue the ledger of the backup`,
        { hint: 'One of the two was rewritten. Keep both: that they differ is evidence.' },
      );
  }
  if (request.checkpoint !== undefined) heads.push(await headOfCheckpoint(request.checkpoint, key));
  if (request.keys !== undefined) {
    const head = await headOfKeys(join(request.keys, 'head.json'), verifierKey);
    if (head !== null) heads.push(head);
  }
  if (request.published === undefined && request.checkpoint === undefined && !request.nothingLater) {
    throw new RefusedError(
      `nothing says whether checkpoints left the archive after this backup of ${manifest.madeAt} (${size} entries)`,
      {
        hint: 'A log that was signed must never be signed again as a shorter one. Give the last published log (--published DIR) or the last checkpoint that somebody holds (--checkpoint FILE); only if none was handed out since, say --nothing-later.',
      },
    );
  }
  requireReached(Math.max(size, published?.checkpoint.size ?? 0), heads);
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

/** Claims an empty home and an empty database, or goes on in those that an interrupted restore of the same backup claimed. */
async function prepareHome(
  home: string,
  request: RestoreRequest,
  opened: OpenedBackup,
  clock: Clock,
  requireEmptyDatabase: () => Promise<void>,
): Promise<Unfinished> {
  const paths = homePaths(home);
  const answers = { database: request.database ?? null, store: request.store ?? null };
  const wanted: Unfinished = {
    work: 'restore',
    manifest: opened.digest,
    recovery: newId(clock.now()),
    answers,
  };
  const present = await readdir(home).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [] as string[];
    throw new InputError(`${home} cannot be used: ${error.message}`, {
      hint: 'Name a folder that does not exist or is empty.',
    });
  });
  if (!present.every((name) => isDraft(paths.unfinished, name))) {
    if (!present.includes(basename(paths.unfinished)))
      throw new InputError(`${home} is not empty`, {
        hint: 'An archive is restored into a home of its own: name a folder that does not exist or is empty.',
      });
    const former = JSON.parse(await readFile(paths.unfinished, 'utf8')) as Partial<Unfinished>;
    if (
      former.work === wanted.work &&
      former.manifest === wanted.manifest &&
      JSON.stringify(former.answers) === JSON.stringify(answers)
    )
      return former as Unfinished;
    throw new InputError(`${home} holds what another interrupted call began`, {
      hint: 'Give the same backup, --database and --store to finish it. To begin anew, run `muniment db stop` there and remove the folder.',
    });
  }
  await requireEmptyDatabase();
  await mkdir(home, { recursive: true, mode: 0o700 });
  await placeOnce(paths.unfinished, `${JSON.stringify(wanted)}\n`, 0o600);
  return wanted;
}

/** A database that nothing lives in, with a schema that the backup's rows fit or that is still to be made. */
async function requireEmpty(url: string, request: RestoreRequest, manifest: Manifest): Promise<void> {
  await using database = await openDatabase(url, { max: 1 });
  const applied = await appliedMigrations(database.db);
  const address = addressOf(url);
  if (request.adminUrl === null && applied.length === 0) await requireSchema(database, MIGRATIONS);
  if (applied.length > 0 && (await readBeginning(database.db)) !== null)
    throw new RefusedError(`the database ${address.database} already holds an archive`, {
      hint: 'An archive is restored into an empty database: make a new one, and name it by --database.',
    });
  const newer = applied.filter((name) => !manifest.schema.includes(name));
  if (newer.length > 0)
    throw new InputError(
      `the backup was made under an older schema than the database ${address.database} has (${newer.join(', ')})`,
      {
        hint: 'Make a database that is not migrated yet, and give --admin-url: restore brings it to the schema of the backup, loads it, and migrates on from there.',
      },
    );
}

const NAMES: readonly string[] = [
  'signing.key',
  'archive.vkey',
  'archive.secret',
  'database.secret',
  'head.json',
];

async function placeKeys(home: string, keys: readonly KeyFile[], verifierKey: string): Promise<void> {
  const paths = homePaths(home);
  await mkdir(paths.keys, { recursive: true, mode: 0o700 });
  for (const { name, text } of keys) {
    // A file of another name is none of ours; a draft of one would pass for the file itself.
    if (!NAMES.includes(name)) continue;
    await placeOnce(join(paths.keys, name), text, name === 'archive.vkey' ? 0o644 : 0o600);
  }
  await placeOnce(paths.verifierKey, `${verifierKey}\n`, 0o644);
  // The embedded server's own: it is given to the server anew at every start.
  await placeOnce(paths.databaseSecret, `${randomBytes(24).toString('base64url')}\n`, 0o600);
}

async function settingsText(
  request: RestoreRequest,
  place: BackupPlace,
  manifest: Manifest,
): Promise<string> {
  const file = manifest.settings.find(({ path }) => path === 'settings/muniment.yaml');
  if (file === undefined)
    throw new InputError('the backup holds no muniment.yaml', { hint: 'Use another backup.' });
  const text = (await fileOf(place, file)).toString('utf8');
  if (request.database === undefined && request.store === undefined) return text;
  const document = parseDocument(text);
  if (request.database === 'embedded') document.delete('database');
  else if (request.database !== undefined) document.set('database', { url: request.database });
  if (request.store !== undefined) {
    const before = document.toJS() as { store?: { provider?: string; lock?: unknown } };
    document.set('store', storeOf(request.store, before.store, request));
  }
  return document.toString();
}

/** A new store keeps the lock of the old one: a restore must not take protection away in silence. */
function storeOf(
  address: string,
  before: { provider?: string; lock?: unknown; region?: string; endpoint?: string } | undefined,
  request: RestoreRequest,
): object {
  if (!address.startsWith('s3://')) return { provider: 'directory', path: resolve(address) };
  const [, bucket = '', prefix = ''] = /^s3:\/\/([^/]+)\/?(.*?)\/*$/.exec(address) ?? [];
  const region = request.region ?? before?.region;
  const endpoint = request.endpoint ?? before?.endpoint;
  return {
    provider: 's3',
    bucket,
    prefix: prefix === '' ? '' : `${prefix}/`,
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined || endpoint === null ? {} : { endpoint }),
    lock: before?.provider === 's3' ? (before.lock ?? { mode: 'GOVERNANCE' }) : 'none',
  };
}

/** Settings and policies as they were; the file that makes a folder a home comes last. */
async function placeSettings(
  home: string,
  text: string,
  place: BackupPlace,
  manifest: Manifest,
): Promise<void> {
  const paths = homePaths(home);
  for (const own of ['schedules', 'holds']) await mkdir(join(paths.policies, own), { recursive: true });
  await mkdir(paths.spool, { recursive: true });
  for (const file of manifest.settings) {
    const name = file.path.slice('settings/'.length);
    if (!name.startsWith('policies/')) continue;
    const path = join(home, name);
    await mkdir(dirname(path), { recursive: true });
    await placeOnce(path, (await fileOf(place, file)).toString('utf8'), 0o644);
  }
  await placeOnce(paths.settings, text, 0o644);
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
  manifest: Manifest,
  published: PublishedLog | null,
  work: Work,
): Promise<number> {
  const from = manifest.ledger.size;
  const to = published?.checkpoint.size ?? 0;
  if (published === null || to <= from) return 0;
  const { signal, onProgress } = work;
  await adoptEntries(
    ledger,
    { size: to, entries: published.entries },
    { signal, onProgress: (entries) => onProgress(`${entries} of ${to} entries`) },
  );
  await rebuildFrom(database.db, store, from, {
    platformOf: (name) => settings.sources.find((source) => source.id === name)?.platform,
    signal,
    onProgress: (entries) => onProgress(`rows of ${entries} of ${to} entries`),
  });
  return to - from;
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
  place: BackupPlace,
): Promise<void> {
  const rows = await database.db
    .selectFrom('entry_bodies')
    .select('body')
    .where('kind', '=', BACKUP_KIND)
    .execute();
  const known = rows.some(
    ({ body }) => (JSON.parse(body.toString('utf8')) as { backup: string }).backup === opened.manifest.id,
  );
  if (!known)
    await registerBackup(ledger, actor, registrationOf(opened.manifest, opened.digest, place.location));
}
