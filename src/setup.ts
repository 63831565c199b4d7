// Makes a new archive: its home, its keys, its empty log and its one operator. Each step can be found half done and is finished then,
// so a call that was interrupted at any point is made again with the same answers.

import { createHash, randomBytes } from 'node:crypto';
import { access, link, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { type Environment, parseSettings, readSettings, type Settings } from './config.ts';
import { homePaths, MIGRATIONS, openHomeDatabase, SOFTWARE, signHead, unfinishedTrace } from './context.ts';
import type { Clock } from './core/clock.ts';
import { InputError, RefusedError } from './core/errors.ts';
import { makeFolder, makeNamedFolder } from './core/folder.ts';
import { newId } from './core/ids.ts';
import { ROLES } from './core/people.ts';
import { YamlFileError } from './core/yaml-file.ts';
import { type Database, openDatabase } from './db/database.ts';
import { requireSchema } from './db/migrate.ts';
import { type Batch, Ledger } from './ledger/append.ts';
import { readBeginning } from './ledger/beginning.ts';
import { BODY_KIND } from './ledger/body-kind.ts';
import { newSigningKey } from './ledger/note.ts';
import { openSigner, type Signer } from './ledger/signer.ts';
import { openStore } from './store/open.ts';

export interface NewArchive {
  readonly name: string;
  readonly origin: string;
  readonly timezone: string;
  readonly databaseUrl?: string | undefined;
  /** YAML of the `sources` list. */
  readonly sources?: readonly object[];
}

type Answers = Required<Omit<NewArchive, 'databaseUrl'>> & { readonly database: string | null };

/**
 * Makes the archive, or finishes what an interrupted call with the same answers began. Nothing that stands is overwritten: keys above
 * all. What can be wrong with the answers or with an external database is found before the folder is made.
 * @throws InputError when the folder is in use or a value is bad, RefusedError when the database holds another archive
 */
export async function initArchive(
  folder: string,
  archive: NewArchive,
  environment: Environment,
  clock: Clock,
): Promise<{ home: string; origin: string; verifierKey: string; token: string }> {
  const home = resolve(folder);
  const paths = homePaths(home);
  const { name, origin, timezone } = archive;
  const answers = {
    name,
    origin,
    timezone,
    database: archive.databaseUrl ?? null,
    sources: archive.sources ?? [],
  };
  const text = settingsText(answers);
  const wanted = checkAnswers(text, home, environment);
  await requireSameAnswers(home, answers);
  if (wanted.databaseUrl !== null) {
    await using database = await openDatabase(wanted.databaseUrl, { max: 1 });
    await requireSchema(database, MIGRATIONS);
    const key = (await isPresent(paths.signingKey)) ? (await openSignerOf(home)).key.verifierKey : null;
    await refuseForeign(database.db, origin, key);
  }

  makeNamedFolder(home, 0o700);
  await placeOnce(paths.unfinished, `${JSON.stringify(answers)}\n`, 0o600);
  makeFolder(paths.keys, 0o700);
  for (const own of ['schedules', 'holds', 'alerts']) makeFolder(join(paths.policies, own));
  makeFolder(paths.spool);
  await placeOnce(paths.settings, text, 0o644);
  const settings = await readSettings(home, environment);
  if (!(await isPresent(paths.signingKey)))
    await placeOnce(paths.signingKey, `${newSigningKey(origin).signingKey}\n`, 0o600);
  const signer = await openSignerOf(home);
  await placeOnce(paths.verifierKey, `${signer.key.verifierKey}\n`, 0o644);
  await placeOnce(paths.archiveSecret, `${randomBytes(32).toString('hex')}\n`, 0o600);
  if (settings.databaseUrl === null)
    await placeOnce(paths.databaseSecret, `${randomBytes(24).toString('base64url')}\n`, 0o600);

  await using store = await openStore(settings.store, { clock, create: true });
  void store;
  await using urls = await openHomeDatabase(settings);
  await using database = await openDatabase(urls.runtimeUrl);
  const ledger = new Ledger({ db: database.db, origin: settings.archive.origin, clock });
  const token = await beginLedger(database.db, ledger, signer.key.verifierKey, newId(clock.now()));
  await signHead(database, ledger, signer, clock);
  for (const folder of [home, paths.keys]) await removeDrafts(folder);
  await rm(paths.unfinished, { force: true });
  return { home, origin, verifierKey: signer.key.verifierKey, token };
}

function settingsText(answers: Answers): string {
  const { name, origin, timezone, database, sources } = answers;
  return stringify({
    archive: { name, origin, timezone },
    ...(database === null ? {} : { database: { url: database } }),
    sources,
  });
}

/** The answers by the rules of muniment.yaml. There is no such file yet, so messages name no place in it. */
function checkAnswers(text: string, home: string, environment: Environment): Settings {
  try {
    return parseSettings(text, 'the new archive', home, environment);
  } catch (error) {
    if (!(error instanceof YamlFileError)) throw error;
    throw new InputError(error.problems.map((problem) => problem.message).join('; '), {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      cause: error,
    });
  }
}

/** @throws InputError when the folder is in use, or holds what other answers began */
async function requireSameAnswers(home: string, answers: Answers): Promise<void> {
  const { unfinished, settings } = homePaths(home);
  const present = await readdir(home).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [] as string[];
    throw new InputError(`${home} cannot be used: ${error.message}`, {
      hint: 'Name a folder that does not exist or is empty.',
    });
  });
  if (present.every((name) => isDraft(unfinished, name))) return;
  if (!present.includes(basename(unfinished))) {
    if (present.includes(basename(settings)))
      throw new InputError(`${home} already holds an archive`, {
        hint: 'Name another folder for a new one.',
      });
    throw new InputError(`${home} is not empty`, { hint: 'Name a folder that does not exist or is empty.' });
  }
  const former = unfinishedTrace<Answers>(home, await readFile(unfinished, 'utf8'));
  const differing = (Object.keys(answers) as (keyof Answers)[])
    .filter((key) => JSON.stringify(former[key]) !== JSON.stringify(answers[key]))
    .map((key) => `${key} was ${JSON.stringify(former[key])} and is now ${JSON.stringify(answers[key])}`);
  if (differing.length === 0) return;
  throw new InputError(
    `an interrupted \`muniment init\` of ${home} had other answers: ${differing.join(', ')}`,
    {
      hint: 'Give the same answers to finish it. To begin anew, run `muniment db remove` there, then remove the folder.',
    },
  );
}

function openSignerOf(home: string): Promise<Signer> {
  const { signingKey, head } = homePaths(home);
  return openSigner({ keyFile: signingKey, headFile: head });
}

/** @param key verifier key of this home, or null where it has none yet */
async function refuseForeign(db: Database, origin: string, key: string | null): Promise<void> {
  const beginning = await readBeginning(db);
  if (beginning === null) return;
  if (beginning.isOf(origin) && (beginning.size === 0 || (key !== null && beginning.key === key))) return;
  const theirs = beginning.origin === null ? '' : ` (${beginning.origin})`;
  throw new RefusedError(`this database already holds another archive${theirs}`, {
    hint: 'Use a database of its own for every archive, or the home that this one belongs to.',
  });
}

/** Writes the first entries unless they stand. @returns the operator's token: a new one each time, since none was ever shown */
async function beginLedger(db: Database, ledger: Ledger, key: string, operator: string): Promise<string> {
  const token = randomBytes(24).toString('base64url');
  const tokenHash = createHash('sha256').update(token).digest();
  try {
    await ledger.create();
  } catch (error) {
    // An interrupted init made it, or it is another archive's: told apart next.
    if (!(error instanceof RefusedError)) throw error;
  }
  await refuseForeign(db, ledger.origin, key);
  const begun = await ledger.write(operator, async (batch) => {
    const { size } = await batch.tx.selectFrom('ledger_head').select('size').executeTakeFirstOrThrow();
    if (size > 0) return false;
    batch.add({ type: 'archive.created', software: SOFTWARE });
    batch.add({ type: 'key.added', key });
    enterOperator(batch, operator, tokenHash);
    return true;
  });
  if (begun) return token;
  await refuseForeign(db, ledger.origin, key);
  await db
    .updateTable('accounts')
    .set({ token_hash: tokenHash })
    .where('seq', '=', (seq) => seq.selectFrom('accounts').select((e) => e.fn.min('seq').as('first')))
    .execute();
  return token;
}

/** Enters the archive's operator, who may do everything but approve what they proposed. */
export function enterOperator(batch: Batch, operator: string, tokenHash: Buffer): void {
  const body = { id: operator, name: 'operator', roles: [...ROLES] };
  const seq = batch.addWithBody(
    { type: 'account.changed', account: operator, change: 'added' },
    BODY_KIND.account,
    body,
  );
  const row = { id: operator, seq, name: body.name, roles: body.roles, token_hash: tokenHash };
  batch.afterwards(() => batch.tx.insertInto('accounts').values(row).execute());
}

async function isPresent(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

const DRAFT = /\.[0-9a-f]{12}\.new$/;
export const isDraft = (path: string, name: string): boolean =>
  name.startsWith(`${basename(path)}.`) && DRAFT.test(name);

/** Writes a file as a whole, durably, unless it stands: link(2) fails then, so whoever was first is kept. */
export async function placeOnce(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  if (await isPresent(path)) return;
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`;
  await writeFile(draft, content, { mode, flag: 'wx', flush: true });
  try {
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  await rm(draft);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Drafts of calls that were killed: some hold a key that was never used. */
export async function removeDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (DRAFT.test(name)) await rm(join(folder, name), { force: true });
}
