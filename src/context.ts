// One archive, opened: settings, database, store, ledger, keys and the account that acts, built once from the home and closed in reverse.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type Environment, readSettings, type Settings } from './config.ts';
import { parsedJson } from './core/canonical.ts';
import { type Clock, instantText } from './core/clock.ts';
import { InputError, RefusedError, VerificationError } from './core/errors.ts';
import type { Account, Role } from './core/people.ts';
import { type DatabaseHandle, openDatabase } from './db/database.ts';
import { openEmbedded } from './db/embedded.ts';
import { migrate, requireSchema } from './db/migrate.ts';
import { type Drill, readDrill, refuseInDrill } from './drill.ts';
import { requireVouched } from './ledger/account.ts';
import { Ledger } from './ledger/append.ts';
import { readBeginning } from './ledger/beginning.ts';
import { parseVerifierKey, type VerifierKey } from './ledger/note.ts';
import { openCheckpoint } from './ledger/published.ts';
import { entriesFrom } from './ledger/reader.ts';
import { openSigner, readPinnedHead, type SignedHead, type Signer } from './ledger/signer.ts';
import type { ObjectStore } from './store/objects.ts';
import { openStore } from './store/open.ts';

export const SOFTWARE = 'muniment/0.1.0';

/** Where things lie in a home. */
export const homePaths = (home: string) => ({
  settings: join(home, 'muniment.yaml'),
  keys: join(home, 'keys'),
  signingKey: join(home, 'keys', 'signing.key'),
  verifierKey: join(home, 'keys', 'archive.vkey'),
  archiveSecret: join(home, 'keys', 'archive.secret'),
  databaseSecret: join(home, 'keys', 'database.secret'),
  head: join(home, 'keys', 'head.json'),
  /** Stands while what makes the archive (init, restore, rebuild) has not ended. */
  unfinished: join(home, '.unfinished'),
  /** Stands in a home that was restored to try a backup. */
  drill: join(home, '.drill'),
  policies: join(home, 'policies'),
  spool: join(home, 'spool'),
  /** What the store was last seen to enforce: a note to ourselves, made anew where it is missing. */
  storeProof: join(home, 'store-proof.json'),
});

/** migrations/ lies beside src/ in a checkout and beside dist/ in a package. */
export const MIGRATIONS = join(dirname(fileURLToPath(import.meta.url)), '..', 'migrations');
const RUNTIME_USER = 'muniment';

/** A checkpoint just signed. */
export type Signed = Omit<SignedHead, 'at'>;

export interface Archive extends AsyncDisposable {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly database: DatabaseHandle;
  readonly store: ObjectStore;
  readonly ledger: Ledger;
  /** Null in an archive; what a drill knows of itself in one. */
  readonly drill: Drill | null;
  /** Null where this machine holds no signing key (a worker), and in a drill. */
  readonly signer: Signer | null;
  readonly verifierKey: VerifierKey;
  /** The same in its C2SP text form. */
  readonly verifierKeyText: string;
  readonly account: Account;
  /** The head signed last, as kept outside the database. */
  pinnedHead(): Promise<SignedHead | null>;
  /** Signs the present head and keeps the checkpoint. @returns null where there is no signing key */
  checkpoint(): Promise<Signed | null>;
}

export interface OpenDatabaseUrls extends AsyncDisposable {
  readonly runtimeUrl: string;
  /** Superuser's URL of the embedded server; null with an external one. */
  readonly adminUrl: string | null;
}

/**
 * Opens the database of a home: the configured one, or the embedded server, which is started and brought to this schema.
 * @param to the embedded server's schema is brought to this migration only, for rows of a backup that was made under it
 */
export async function openHomeDatabase(settings: Settings, to?: string): Promise<OpenDatabaseUrls> {
  if (settings.databaseUrl !== null) {
    return { runtimeUrl: settings.databaseUrl, adminUrl: null, async [Symbol.asyncDispose]() {} };
  }
  const server = await openEmbedded({ home: settings.home });
  try {
    const password = (await readRequired(homePaths(settings.home).databaseSecret)).trim();
    await prepareEmbedded(server.adminUrl, password, to);
    return {
      runtimeUrl: server.urlFor(RUNTIME_USER, password),
      adminUrl: server.adminUrl,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

async function prepareEmbedded(adminUrl: string, password: string, to?: string): Promise<void> {
  await using admin = await openDatabase(adminUrl, { max: 1 });
  // Two commands starting at once both come here; the lock lets one make the role.
  const client = await admin.pool.connect();
  try {
    await client.query('SELECT pg_advisory_lock(7301, 2)');
    const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [RUNTIME_USER]);
    const { rows } = await client.query('SELECT format($1, $2::text) AS command', [
      `${rowCount === 0 ? 'CREATE' : 'ALTER'} ROLE ${RUNTIME_USER} LOGIN PASSWORD %L`,
      password,
    ]);
    await client.query((rows[0] as { command: string }).command);
    await migrate({ adminUrl, runtimeUser: RUNTIME_USER, folder: MIGRATIONS, to });
    await client.query('SELECT pg_advisory_unlock(7301, 2)');
  } finally {
    client.release();
  }
}

async function readRequired(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new InputError(`${path} cannot be read`, {
      hint: 'It is a part of the archive: restore it from the backup of the keys folder, or run this as the user who owns it.',
      cause,
    });
  }
}

export async function readOptional(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/**
 * Opens an existing archive.
 * @param purpose a drill is opened for reading only
 * @throws InputError when `home` holds none, RefusedError when it holds a drill and more than reading is wanted
 */
export async function openArchive(
  home: string,
  environment: Environment,
  clock: Clock,
  purpose: 'work' | 'reading' = 'work',
): Promise<Archive> {
  const settings = await readSettings(home, environment);
  const paths = homePaths(settings.home);
  const unfinished = await readOptional(paths.unfinished);
  if (unfinished !== null) throw unfinishedError(settings.home, unfinished);
  const drill = await readDrill(paths.drill);
  if (purpose === 'work') refuseInDrill(settings.home, drill);
  await using stack = new AsyncDisposableStack();
  const verifierKeyText = (await readRequired(paths.verifierKey)).trim();
  const verifierKey = parseVerifierKey(verifierKeyText);
  const urls = stack.use(await openHomeDatabase(settings));
  const database = stack.use(await openDatabase(urls.runtimeUrl));
  await requireSchema(database, MIGRATIONS);
  await requireOwnLedger(database, settings.archive.origin);
  const store = stack.use(await openStore(settings.store, { clock }));
  const ledger = new Ledger({ db: database.db, origin: settings.archive.origin, clock });
  const signer =
    drill !== null || (await readOptional(paths.signingKey)) === null
      ? null
      : await openSigner({ keyFile: paths.signingKey, headFile: paths.head });
  if (signer !== null && signer.key.verifierKey !== verifierKeyText) {
    throw new InputError(
      `${paths.signingKey} is a key of ${signer.key.name}, and not the one of ${verifierKeyText} in archive.vkey beside it`,
      { hint: "Restore both from the backup of this archive's keys folder." },
    );
  }
  const account = await actingAccount(database, environment);
  const resources = stack.move();
  return {
    settings,
    clock,
    drill,
    database,
    store,
    ledger,
    signer,
    verifierKey,
    verifierKeyText,
    account,
    pinnedHead: async () =>
      drill === null
        ? readPinnedHead(paths.head, verifierKeyText)
        : { ...openCheckpoint(drill.checkpoint, verifierKey), note: drill.checkpoint, at: null },
    checkpoint: () => signHead(database, ledger, signer, clock),
    [Symbol.asyncDispose]: () => resources[Symbol.asyncDispose](),
  };
}

/**
 * @param text of the file that stands while the archive is not finished
 * @returns what the call that was interrupted wrote down
 * @throws InputError when it is damaged: who goes on then would not know whether it is the same call
 */
export function unfinishedTrace<Trace extends object>(home: string, text: string): Partial<Trace> {
  const read = z.looseObject({}).safeParse(parsedJson(Buffer.from(text)));
  if (read.success) return read.data as Partial<Trace>;
  throw new InputError(
    `${homePaths(home).unfinished} says that the archive is not finished, and is damaged`,
    {
      hint: 'Run `muniment db remove` there, then remove the folder and begin anew.',
    },
  );
}

/** @param text of the file that stands while the archive is not finished. What is only half there must not serve. */
function unfinishedError(home: string, text: string): InputError {
  const { work = 'init' } = unfinishedTrace<{ work?: string }>(home, text);
  return new InputError(`the archive in ${home} is not finished: its \`muniment ${work}\` was interrupted`, {
    hint: `Run \`muniment ${work}\` again with the same answers.`,
  });
}

/** A URL that leads to another archive's database must not end in entries there. @throws InputError */
async function requireOwnLedger(database: DatabaseHandle, origin: string): Promise<void> {
  const beginning = await readBeginning(database.db);
  if (beginning === null || beginning.isOf(origin)) return;
  throw new InputError(
    `the database holds another archive (${beginning.origin ?? 'just begun'}), not ${origin}`,
    {
      hint: 'Check database.url in muniment.yaml: every archive has a database of its own.',
    },
  );
}

/**
 * One signer at a time: the lock is the database's, the state is not.
 * @param notes checkpoints that are known from elsewhere than the database
 */
export async function signHead(
  database: DatabaseHandle,
  ledger: Ledger,
  signer: Signer | null,
  clock: Clock,
  notes: readonly string[] = [],
): Promise<Signed | null> {
  if (signer === null) return null;
  return database.db.transaction().execute(async (tx) => {
    await tx.executeQuery(lockSigner(tx));
    const head = await ledger.head(tx);
    const signedLast = await signer.head();
    // None, unless the head's file was brought back from a backup.
    const later = await tx
      .selectFrom('checkpoints')
      .select(['size', 'note'])
      .where('size', '>', signedLast?.size ?? 0)
      .orderBy('size', 'desc')
      .execute();
    if (later[0] !== undefined && signedLast === null) {
      throw new VerificationError(
        `the signer's last head (size ${later[0].size} or more) is gone from keys/head.json`,
        {
          hint: 'Restore keys/ from a backup: without that file a rewritten ledger could be signed.',
        },
      );
    }
    const signed = await signer.sign(head, (from, to) => entriesFrom(tx, from, to), [
      ...notes,
      ...later.map(({ note }) => note),
    ]);
    if (signed.size === 0) return signed;
    await tx
      .insertInto('checkpoints')
      .values({ size: signed.size, note: signed.note, at: instantText(clock.now()) })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    return signed;
  });
}

function lockSigner(tx: Parameters<Parameters<Ledger['write']>[1]>[0]['tx']) {
  return tx
    .selectNoFrom((expression) =>
      expression.fn<unknown>('pg_advisory_xact_lock', [expression.val(7303)]).as('locked'),
    )
    .compile();
}

/** The holder of the token; without one, the archive's only account. @throws RefusedError, VerificationError when its row is not what its entry says */
async function actingAccount(database: DatabaseHandle, environment: Environment): Promise<Account> {
  const token =
    environment.token ?? (await readOptional(join(environment.configFolder, 'token')))?.trim() ?? null;
  const accounts = await database.db
    .selectFrom('accounts')
    .select(['id', 'seq', 'name', 'roles', 'token_hash'])
    .execute();
  const asAccount = async (row: (typeof accounts)[number]): Promise<Account> => {
    await requireVouched(database.db, row);
    return { id: row.id, name: row.name, roles: row.roles as Role[] };
  };
  if (token !== null) {
    const hash = createHash('sha256').update(token).digest();
    const holder = accounts.find((row) => row.token_hash?.equals(hash) === true);
    if (holder !== undefined) return asAccount(holder);
    if (environment.token !== null || accounts.length > 1) {
      throw new RefusedError('no account of this archive has the token that was given', {
        hint: 'Check $MUNIMENT_TOKEN.',
      });
    }
  }
  const only = accounts[0];
  if (only === undefined)
    throw new InputError('the archive has no account', { hint: 'Run `muniment init` again to finish it.' });
  if (accounts.length > 1)
    throw new RefusedError('this archive has several accounts, and no token says who acts', {
      hint: 'Set $MUNIMENT_TOKEN.',
    });
  return asAccount(only);
}
