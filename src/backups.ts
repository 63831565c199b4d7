// Backups as the interfaces call them: make one of an opened archive, and list those that were made. Each is entered in the ledger under
// seal, with the day on which it is to be removed, so that whoever certifies a destruction knows where copies may still lie.

import { type Manifest, type OpenedBackup, openBackup, requireSigned } from './backup/manifest.ts';
import { type BackupPlace, openPlace, type PlaceOptions, parseAddress } from './backup/place.ts';
import type { Sealing } from './backup/seal.ts';
import { type LeftOut, settingsFiles } from './backup/settings.ts';
import { takeBackup } from './backup/take.ts';
import { type Archive, homePaths, SOFTWARE } from './context.ts';
import type { Json } from './core/canonical.ts';
import type { Clock } from './core/clock.ts';
import { bodyCommitment } from './core/digest.ts';
import { InputError } from './core/errors.ts';
import type { Ledger } from './ledger/append.ts';
import { BODY_KIND } from './ledger/body-kind.ts';
import { sealedBody } from './ledger/entry.ts';
import { signNote } from './ledger/note.ts';
import { policyPaths } from './policy/load.ts';
import { isSameFolder } from './store/same-place.ts';

export const BACKUP_KIND = BODY_KIND.backup;

/** What the ledger keeps of a backup. */
export interface RegisteredBackup {
  readonly backup: string;
  /** SHA-256 of its manifest. */
  readonly manifest: string;
  readonly size: number;
  readonly madeAt: string;
  readonly expires: string;
  readonly payloads: 'copy' | 'reference';
  readonly place: string;
}

/** Region and endpoint of a bucket that were not given are those of the archive's own store. */
export function placeOptions(
  store: Archive['settings']['store'] | null,
  given: { region?: string | undefined; endpoint?: string | undefined },
  clock: Clock,
): PlaceOptions {
  const own = store?.provider === 's3' ? store : { region: 'us-east-1', endpoint: null };
  return { region: given.region ?? own.region, endpoint: given.endpoint ?? own.endpoint, clock };
}

export interface BackUpOptions {
  readonly address: string;
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  /** Absent: by value, where the archive's store is a directory; by reference where it is a bucket. */
  readonly payloads?: 'copy' | 'reference' | undefined;
  readonly sealing: Sealing | null;
  /** ISO 8601 period. */
  readonly expires: string;
  readonly signal: AbortSignal;
  readonly onProgress: (done: string) => void;
}

export interface BackedUp extends RegisteredBackup {
  readonly entry: number;
  readonly tables: number;
  readonly rows: number;
  readonly copied: number;
  readonly lacking: Manifest['payloads']['lacking'];
  readonly keys: boolean;
  /** Of policies/: what a restore will not bring back. */
  readonly leftOut: readonly LeftOut[];
}

export async function backUp(archive: Archive, options: BackUpOptions): Promise<BackedUp> {
  const { signer, settings, database, store, clock } = archive;
  if (signer === null)
    throw new InputError('this machine holds no signing key, and a backup is signed', {
      hint: 'Make the backup where keys/signing.key is.',
    });
  const paths = homePaths(settings.home);
  const where = placeOptions(settings.store, options, clock);
  await requireApart(options.address, settings, where);
  await using place = openPlace(options.address, where);
  const policies = (await policyPaths(paths.policies)).map((path) => `policies/${path}`);
  const { files, leftOut } = await settingsFiles(settings.home, ['muniment.yaml', ...policies]);
  const finished = await finishedBackup(archive, place);
  const taken =
    finished ??
    (await takeBackup(
      {
        origin: settings.archive.origin,
        timezone: settings.archive.timezone,
        software: SOFTWARE,
        home: settings.home,
        keys: paths.keys,
        settings: files,
        spool: paths.spool,
        pool: database.pool,
        store,
        clock,
        checkpoint: async () => (await archive.checkpoint())?.note ?? '',
        signNote: (text) => signNote(text, signer.key),
      },
      place,
      {
        payloads: options.payloads ?? (settings.store.provider === 'directory' ? 'copy' : 'reference'),
        sealing: options.sealing,
        keep: periodOf(options.expires),
        signal: options.signal,
        onProgress: options.onProgress,
      },
    ));
  const { manifest } = taken;
  const registered = registrationOf(taken);
  const entry = await registerBackup(archive.ledger, archive.account.id, taken);
  await archive.checkpoint();
  return {
    ...registered,
    entry,
    tables: manifest.tables.length,
    rows: manifest.tables.reduce((sum, table) => sum + table.rows, 0),
    copied: manifest.payloads.by === 'copy' ? manifest.payloads.count - manifest.payloads.lacking.length : 0,
    lacking: manifest.payloads.lacking,
    keys: manifest.keys !== null,
    leftOut,
  };
}

/** A backup that lies in what it is to save is lost with it, and one that holds the archive cannot be removed. @throws InputError */
async function requireApart(
  address: string,
  { home, store }: Archive['settings'],
  { endpoint }: PlaceOptions,
): Promise<void> {
  const at = parseAddress(address, 'a backup');
  if (!('folder' in at)) {
    const own = store.provider === 's3' && store.bucket === at.bucket && store.endpoint === endpoint;
    // Names of buckets are unique within AWS, whatever the region; elsewhere within a service.
    if (!own || !at.prefix.startsWith(store.prefix)) return;
    throw new InputError(
      `the place ${address} lies among the archive's payloads in ${store.bucket}/${store.prefix}`,
      {
        hint: 'What takes the archive must not take its backup: name another bucket, best of another account, or at least a prefix beside.',
      },
    );
  }
  for (const [what, folder] of [
    ["the archive's home", home],
    ["the archive's payloads", store.provider === 'directory' ? store.path : home],
  ] as const) {
    if (!(await isSameFolder(at.folder, folder))) continue;
    throw new InputError(`the place ${at.folder} is not apart from ${what} in ${folder}`, {
      hint: 'What takes the archive must not take its backup: name a folder elsewhere, best on another disk.',
    });
  }
}

/** A period of at least a day. @throws InputError */
function periodOf(text: string): Temporal.Duration {
  const hint = 'Write an ISO 8601 period of at least a day, such as P90D.';
  try {
    const period = Temporal.Duration.from(text);
    const today = Temporal.PlainDate.from('2000-01-01');
    if (Temporal.PlainDate.compare(today.add(period), today) > 0) return period;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw new InputError(`${text} is no period for which a backup can be kept`, { hint });
}

/** A backup that was finished but not entered in the ledger: the call was interrupted in between. @throws InputError when it was entered */
async function finishedBackup(archive: Archive, place: BackupPlace) {
  if ((await place.read('manifest.note')) === null) return null;
  const opened = await openBackup(place);
  requireSigned(opened, archive.verifierKey);
  const known = await listBackups(archive);
  if (!known.some(({ backup }) => backup === opened.manifest.id)) return opened;
  throw new InputError(`${place.location} holds a finished backup of ${opened.manifest.madeAt}`, {
    hint: 'Every backup has a place of its own: name a folder or prefix that does not exist or is empty.',
  });
}

/** A finished backup: its manifest and the digest of that. */
type Finished = Pick<OpenedBackup, 'manifest' | 'digest'>;

export function registrationOf({ manifest, digest }: Finished): RegisteredBackup {
  return {
    backup: manifest.id,
    manifest: digest,
    size: manifest.ledger.size,
    madeAt: manifest.madeAt,
    expires: manifest.expires,
    payloads: manifest.payloads.by,
    place: manifest.place,
  };
}

export async function registerBackup(ledger: Ledger, actor: string, backup: Finished): Promise<number> {
  const body = registrationOf(backup) as unknown as Json;
  const salt = Buffer.from(backup.manifest.salt, 'hex');
  return ledger.write(actor, async (batch) => batch.addWithBody({ type: 'sealed' }, BACKUP_KIND, body, salt));
}

/** The row of a backup's own entry: what the backup knows of an entry that came after it. */
export function registrationBody(backup: Finished): { salt: Buffer; body: Buffer; commitment: string } {
  const salt = Buffer.from(backup.manifest.salt, 'hex');
  const body = sealedBody(registrationOf(backup) as unknown as Json);
  return { salt, body, commitment: bodyCommitment(salt, body) };
}

/** @returns the backups that the ledger knows of, oldest first, and whether each should have been removed by now */
export async function listBackups(
  archive: Pick<Archive, 'database' | 'clock' | 'settings'>,
): Promise<(RegisteredBackup & { entry: number; expired: boolean })[]> {
  const rows = await archive.database.db
    .selectFrom('entry_bodies')
    .select(['seq', 'body'])
    .where('kind', '=', BACKUP_KIND)
    .orderBy('seq')
    .execute();
  const today = archive.clock
    .now()
    .toZonedDateTimeISO(archive.settings.archive.timezone)
    .toPlainDate()
    .toString();
  return rows.map(({ seq, body }) => {
    const registered = JSON.parse(body.toString('utf8')) as RegisteredBackup;
    return { ...registered, entry: seq, expired: registered.expires < today };
  });
}
