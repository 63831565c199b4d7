// The home of an archive that comes back from a backup: claimed while it is empty, then filled with keys, settings and policies as they were.
// What stands is never overwritten.

import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { parseDocument } from 'yaml';
import { fileOf, type KeyFile, unsealKeys, verifierKeyOf } from './backup/load.ts';
import { type Manifest, type OpenedBackup, openBackup, requireSigned } from './backup/manifest.ts';
import { type BackupPlace, openPlace, parseAddress } from './backup/place.ts';
import type { Unsealing } from './backup/seal.ts';
import { placeOptions } from './backups.ts';
import { type Environment, readSettings } from './config.ts';
import { homePaths, MIGRATIONS, unfinishedTrace } from './context.ts';
import type { Clock } from './core/clock.ts';
import { InputError, RefusedError, VerificationError } from './core/errors.ts';
import { makeFolder, makeNamedFolder } from './core/folder.ts';
import { newId } from './core/ids.ts';
import { addressOf, openDatabase } from './db/database.ts';
import { appliedMigrations, requireSchema } from './db/migrate.ts';
import { readDrill, refuseInDrill } from './drill.ts';
import { readBeginning } from './ledger/beginning.ts';
import { parseVerifierKey, type VerifierKey } from './ledger/note.ts';
import { headOfKeys } from './recovery.ts';
import { isDraft, placeOnce } from './setup.ts';

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
  /** Only to prove the backup: the home that is made reads, and does nothing else. */
  readonly drill?: boolean | undefined;
}

/** Stands in the home until the restore is finished. */
interface Unfinished {
  readonly work: 'restore';
  readonly manifest: string;
  readonly recovery: string;
  readonly answers: {
    readonly database: string | null;
    readonly store: string | null;
    readonly drill?: true;
  };
}

/**
 * Puts files of keys/ that a home has lost back from a backup. What stands there is left alone.
 * @returns the names of those that came back, and the size of the head among them, which may be older than what was signed last
 */
export async function bringKeysBack(
  request: Pick<RestoreRequest, 'backup' | 'region' | 'endpoint' | 'home' | 'unsealing' | 'key'>,
  { clock, environment }: { readonly clock: Clock; readonly environment: Environment },
): Promise<{ keys: string; placed: string[]; head: number | null }> {
  const settings = await readSettings(request.home, environment);
  refuseInDrill(settings.home, await readDrill(homePaths(settings.home).drill));
  await using place = openPlace(request.backup, placeOptions(settings.store, request, clock));
  const opened = await openBackup(place);
  if (opened.manifest.origin !== settings.archive.origin)
    throw new InputError(`the backup is of ${opened.manifest.origin}, not of ${settings.archive.origin}`, {
      hint: 'Name a backup of this archive.',
    });
  const otherwise = `Where a copy of keys/ was kept elsewhere, put its files into ${homePaths(settings.home).keys}.`;
  const files = await unsealKeys(place, opened.manifest, request.unsealing, otherwise);
  const verifierKey = verifierKeyOf(files, opened.manifest.origin);
  requireSigned(opened, keyOf(request.key, verifierKey));
  const paths = homePaths(settings.home);
  const present = await readdir(paths.keys).catch(() => [] as string[]);
  if (present.includes('archive.vkey'))
    keyOf((await readFile(paths.verifierKey, 'utf8')).trim(), verifierKey);
  await placeKeys(settings.home, files, verifierKey);
  const placed = (await readdir(paths.keys)).filter((name) => !present.includes(name)).sort();
  const head = placed.includes('head.json') ? await headOfKeys(paths.head, verifierKey) : null;
  return { keys: paths.keys, placed, head: head?.size ?? null };
}

/** @returns the key to believe: the one given, if it is that of the keys at hand. @throws VerificationError when it is not */
export function keyOf(given: string | undefined, own: string): VerifierKey {
  if (given === undefined) return parseVerifierKey(own);
  if (given.trim() !== own)
    throw new VerificationError('the keys of the backup are not of the verifier key that was given', {
      hint: 'Somebody else made this backup, or the key is of another archive.',
    });
  return parseVerifierKey(given);
}

/** Claims an empty home and an empty database, or goes on in those that an interrupted restore of the same backup claimed. */
export async function prepareHome(
  home: string,
  request: RestoreRequest,
  opened: OpenedBackup,
  clock: Clock,
  requireEmptyDatabase: () => Promise<void>,
): Promise<Unfinished> {
  const paths = homePaths(home);
  const answers = {
    database: request.database ?? null,
    store: request.store ?? null,
    ...(request.drill ? { drill: true as const } : {}),
  };
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
    const former = unfinishedTrace<Unfinished>(home, await readFile(paths.unfinished, 'utf8'));
    if (
      former.work === wanted.work &&
      former.manifest === wanted.manifest &&
      JSON.stringify(former.answers) === JSON.stringify(answers)
    )
      return former as Unfinished;
    throw new InputError(`${home} holds what another interrupted call began`, {
      hint: 'Give the same backup, --database, --store and --drill to finish it. To begin anew, run `muniment db remove` there, then remove the folder.',
    });
  }
  await requireEmptyDatabase();
  makeNamedFolder(home, 0o700);
  await placeOnce(paths.unfinished, `${JSON.stringify(wanted)}\n`, 0o600);
  return wanted;
}

/** A database that nothing lives in, with a schema that the backup's rows fit or that is still to be made. */
export async function requireEmpty(url: string, request: RestoreRequest, manifest: Manifest): Promise<void> {
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

/** What a drill is not given: it never signs, and its head is the backup's. */
const SIGNERS_OWN: readonly string[] = ['signing.key', 'head.json'];

export async function placeKeys(
  home: string,
  keys: readonly KeyFile[],
  verifierKey: string,
  drill = false,
): Promise<void> {
  const paths = homePaths(home);
  makeFolder(paths.keys, 0o700);
  for (const { name, text } of keys) {
    // A file of another name is none of ours; a draft of one would pass for the file itself.
    if (!NAMES.includes(name) || (drill && SIGNERS_OWN.includes(name))) continue;
    await placeOnce(join(paths.keys, name), text, name === 'archive.vkey' ? 0o644 : 0o600);
  }
  await placeOnce(paths.verifierKey, `${verifierKey}\n`, 0o644);
  // The embedded server's own: it is given to the server anew at every start.
  await placeOnce(paths.databaseSecret, `${randomBytes(24).toString('base64url')}\n`, 0o600);
}

export async function settingsText(
  request: RestoreRequest,
  place: BackupPlace,
  manifest: Manifest,
): Promise<string> {
  const file = manifest.settings.find(({ path }) => path === 'settings/muniment.yaml');
  if (file === undefined)
    throw new InputError('the backup holds no muniment.yaml', { hint: 'Use another backup.' });
  const text = (await fileOf(place, file)).toString('utf8');
  if (request.database === undefined && request.store === undefined && !request.drill) return text;
  const document = parseDocument(text);
  if (request.database === 'embedded') document.delete('database');
  else if (request.database !== undefined) document.set('database', { url: request.database });
  const before = document.toJS() as { store?: { provider?: string; lock?: unknown } };
  // Copies go into the drill's own home, wherever they were.
  if (request.drill && carries(request, manifest)) document.delete('store');
  else if (request.store !== undefined) document.set('store', storeOf(request.store, before.store, request));
  // A path below the home is below the home that was backed up.
  else if (request.drill && before.store?.provider !== 's3')
    document.set('store', { provider: 'directory', path: manifest.payloads.store });
  return document.toString();
}

/** @returns whether payloads are put into a store; else they stay in the one that the backup refers to */
export function carries(request: RestoreRequest, manifest: Manifest): boolean {
  return manifest.payloads.by === 'copy' || request.payloadsFrom !== undefined;
}

/** A new store keeps the lock of the old one: a restore must not take protection away in silence. */
function storeOf(
  address: string,
  before: { provider?: string; lock?: unknown; region?: string; endpoint?: string } | undefined,
  request: RestoreRequest,
): object {
  const at = parseAddress(address, 'payloads (--store)');
  if ('folder' in at) return { provider: 'directory', path: at.folder };
  const region = request.region ?? before?.region;
  const endpoint = request.endpoint ?? before?.endpoint;
  return {
    provider: 's3',
    ...at,
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined || endpoint === null ? {} : { endpoint }),
    lock: before?.provider === 's3' ? (before.lock ?? { mode: 'GOVERNANCE' }) : 'none',
  };
}

/** Settings and policies as they were; the file that makes a folder a home comes last. */
export async function placeSettings(
  home: string,
  text: string,
  place: BackupPlace,
  manifest: Manifest,
): Promise<void> {
  const paths = homePaths(home);
  for (const own of ['schedules', 'holds', 'alerts']) makeFolder(join(paths.policies, own));
  makeFolder(paths.spool);
  for (const file of manifest.settings) {
    const name = file.path.slice('settings/'.length);
    if (!name.startsWith('policies/')) continue;
    const path = join(home, name);
    makeFolder(dirname(path));
    await placeOnce(path, await fileOf(place, file), 0o644);
  }
  await placeOnce(paths.settings, text, 0o644);
}
