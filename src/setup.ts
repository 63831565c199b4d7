// Makes a new archive: its home, its keys, its empty log and its one operator. Can be run again after it was interrupted.

import { createHash, randomBytes } from 'node:crypto';
import { access, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { type Environment, isTimeZone, readSettings } from './config.ts';
import { homePaths, openHomeDatabase, SOFTWARE, signHead } from './context.ts';
import type { Clock } from './core/clock.ts';
import { InputError } from './core/errors.ts';
import { newId } from './core/ids.ts';
import { ROLES } from './core/people.ts';
import { openDatabase } from './db/database.ts';
import { Ledger } from './ledger/append.ts';
import { newSigningKey } from './ledger/note.ts';
import { openSigner } from './ledger/signer.ts';
import { openStore } from './store/open.ts';

export interface NewArchive {
  readonly name: string;
  readonly origin: string;
  readonly timezone: string;
  readonly databaseUrl?: string | undefined;
  /** YAML of the `sources` list. */
  readonly sources?: readonly object[];
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function writeOnce(path: string, text: string, mode: number): Promise<void> {
  if (!(await exists(path))) await writeFile(path, text, { mode, flag: 'wx', flush: true });
}

/** @returns what was made. @throws InputError when the folder is in use or a value is bad */
export async function initArchive(
  folder: string,
  archive: NewArchive,
  environment: Environment,
  clock: Clock,
): Promise<{ home: string; origin: string; verifierKey: string; token: string }> {
  const home = resolve(folder);
  const paths = homePaths(home);
  const marker = join(home, '.unfinished');
  if (!isTimeZone(archive.timezone)) {
    throw new InputError(`${archive.timezone} is no IANA time zone`, {
      hint: 'Write one such as America/New_York.',
    });
  }
  const present = await readdir(home).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [] as string[];
    throw new InputError(`${home} cannot be used: ${error.message}`, {
      hint: 'Name a folder that does not exist or is empty.',
    });
  });
  if (present.length > 0 && !present.includes('.unfinished')) {
    throw new InputError(`${home} is not empty`, { hint: 'Name a folder that does not exist or is empty.' });
  }
  await mkdir(paths.keys, { recursive: true, mode: 0o700 });
  await writeFile(marker, 'muniment init was started here and has not ended\n');
  await mkdir(join(paths.policies, 'schedules'), { recursive: true });
  await mkdir(join(paths.policies, 'holds'), { recursive: true });
  await mkdir(paths.spool, { recursive: true });
  const settingsText = stringify({
    archive: { name: archive.name, origin: archive.origin, timezone: archive.timezone },
    ...(archive.databaseUrl === undefined ? {} : { database: { url: archive.databaseUrl } }),
    sources: archive.sources ?? [],
  });
  await writeOnce(paths.settings, settingsText, 0o644);
  const settings = await readSettings(home, environment);
  if (!(await exists(paths.signingKey))) {
    const key = newSigningKey(settings.archive.origin);
    await writeOnce(paths.verifierKey, `${key.verifierKey}\n`, 0o644);
    await writeOnce(paths.signingKey, `${key.signingKey}\n`, 0o600);
  }
  await writeOnce(paths.archiveSecret, `${randomBytes(32).toString('hex')}\n`, 0o600);
  await writeOnce(paths.databaseSecret, `${randomBytes(24).toString('base64url')}\n`, 0o600);
  const signer = await openSigner({ keyFile: paths.signingKey, headFile: paths.head });
  await using store = await openStore(settings.store, { clock, create: true });
  void store;
  await using urls = await openHomeDatabase(settings);
  await using database = await openDatabase(urls.runtimeUrl);
  const ledger = new Ledger({ db: database.db, origin: settings.archive.origin, clock });
  const token = randomBytes(24).toString('base64url');
  const operator = newId(clock.now());
  await ledger.create();
  await ledger.write(operator, async (batch) => {
    batch.add({ type: 'archive.created', software: SOFTWARE });
    batch.add({ type: 'key.added', key: signer.key.verifierKey });
    const body = { id: operator, name: 'operator', roles: [...ROLES] };
    const seq = batch.addWithBody(
      { type: 'account.changed', account: operator, change: 'added' },
      'account',
      body,
    );
    batch.afterwards(() =>
      batch.tx
        .insertInto('accounts')
        .values({
          id: operator,
          seq,
          name: body.name,
          roles: body.roles,
          token_hash: createHash('sha256').update(token).digest(),
        })
        .execute(),
    );
  });
  await signHead(database, ledger, signer, clock);
  await rm(marker, { force: true });
  return { home, origin: settings.archive.origin, verifierKey: signer.key.verifierKey, token };
}
