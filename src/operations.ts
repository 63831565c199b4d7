// What the interfaces call: each a whole piece of work on an opened archive. They bind the stages together and hold no rule of their own.
// Stages that bring large libraries (parsers of feeds, PDF, S3) are imported when they are called: `muniment status` needs none of them.

import { readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Imported } from './capture/collect.ts';
import { brokenOff, type RunOutcome } from './capture/outcome.ts';
import type { CaptureContext, RunCounts } from './capture/progress.ts';
import { type Environment, readSettings, type Settings } from './config.ts';
import { type Archive, homePaths, MIGRATIONS, openHomeDatabase, readOptional, SOFTWARE } from './context.ts';
import type { Clock } from './core/clock.ts';
import { InputError, MunimentError, RefusedError, VerificationError } from './core/errors.ts';
import { makeFolder } from './core/folder.ts';
import { newId } from './core/ids.ts';
import type { SourceSettings } from './core/settings.ts';
import { addressOf } from './db/database.ts';
import { letEmbeddedStay, removeEmbedded, stopEmbedded } from './db/embedded.ts';
import { migrate } from './db/migrate.ts';
import type { ExportResult } from './export/export.ts';
import { type BundleCheck, checkBundle, checkText } from './export/verify-bundle.ts';
import { retentionLines } from './governance.ts';
import { decodeEntry } from './ledger/entry.ts';
import { openNote, parseCheckpoint, parseVerifierKey, signNote } from './ledger/note.ts';
import { entriesFrom, withArchiveReader } from './ledger/reader.ts';
import { writeTiles } from './ledger/tiles.ts';
import { type VerifyResult, verifyArchive } from './ledger/verify.ts';
import { type SearchOptions, type SearchResult, search } from './search/search.ts';
import type { Selection } from './search/selection.ts';
import type { ManualStatement } from './sources/manual.ts';
import { readProof, requireProof, StoreClaimError, statedLock } from './store/proof.ts';
import { taggingInForce } from './watch.ts';

async function captureContext(archive: Archive): Promise<CaptureContext> {
  const { database, store, ledger, clock, account } = archive;
  const { spool } = homePaths(archive.settings.home);
  return { database, store, ledger, clock, actor: account.id, spool, tagging: await taggingInForce(archive) };
}

/** @throws StoreClaimError when the store does not do what muniment.yaml claims of it, or nothing shows that it does */
export function requireStore(
  { settings, clock }: Archive,
  { signal, onNote }: { signal: AbortSignal; onNote?: (note: string) => void },
): Promise<void> {
  const file = homePaths(settings.home).storeProof;
  return requireProof({ file, settings: settings.store, clock, signal, ...(onNote ? { onNote } : {}) });
}

/**
 * Runs a source once.
 * @throws StoreClaimError when the store does not do what muniment.yaml claims of it
 */
export async function collect(
  archive: Archive,
  source: SourceSettings,
  options: {
    signal: AbortSignal;
    /** Whether a schedule asks for it, and no person. */
    scheduled?: boolean;
    onProgress?: (counts: Readonly<RunCounts>) => void;
    onNote?: (note: string) => void;
  },
): Promise<RunOutcome> {
  await requireStore(archive, options);
  const { collectSource } = await import('./capture/collect.ts');
  return collectSource(await captureContext(archive), source, options);
}

/**
 * Captures files that a person took, with what they say of them.
 * @throws StoreClaimError when the store does not do what muniment.yaml claims of it; InputError where a file cannot be captured
 */
export async function captureManually(
  archive: Archive,
  statement: ManualStatement,
  paths: readonly string[],
  options: { signal: AbortSignal; onNote?: (note: string) => void },
): Promise<{ outcome: RunOutcome; record: string | null }> {
  await requireStore(archive, options);
  const { captureByHand } = await import('./capture/collect.ts');
  const captured = await captureByHand(await captureContext(archive), statement, paths, options);
  await archive.checkpoint();
  return captured;
}

/**
 * Imports a file that a platform gave, under a source of muniment.yaml whose platform is `import`.
 * @throws StoreClaimError when the store does not do what muniment.yaml claims of it; InputError where the file is no such export
 */
export async function importFile(
  archive: Archive,
  request: { kind: string; path: string; source: string; map?: string | undefined },
  options: {
    signal: AbortSignal;
    onRead?: (read: number, length: number) => void;
    onProgress?: (counts: Readonly<RunCounts>) => void;
    onNote?: (note: string) => void;
  },
): Promise<Imported> {
  const { sources } = archive.settings;
  const source = sources.find(({ id }) => id === request.source);
  if (source?.platform !== 'import')
    throw new InputError(
      source === undefined
        ? `no source is called ${request.source}`
        : `${source.id} is collected from ${source.platform}; what is imported stands under a source of its own`,
      {
        hint: `Add \`- { id: ${source === undefined ? request.source : `${source.id}-export`}, platform: import }\` to sources in muniment.yaml; schedules and holds may name it as any other.`,
      },
    );
  await requireStore(archive, options);
  const { importExport } = await import('./capture/collect.ts');
  const { kind, path, map } = request;
  const imported = await importExport(
    await captureContext(archive),
    source,
    { kind, path, map, by: archive.account.name },
    // An archive that collects from there asks there; no other is made to ask anybody.
    { ...options, directory: sources.find((one) => one.platform === 'bluesky')?.directory ?? null },
  );
  await archive.checkpoint();
  return imported;
}

/**
 * Runs sources one after the other. A defect that ends the run of one is told in its outcome and keeps none of the others from running.
 * @returns the outcomes, the errors that were defects, and why sources were refused by a rule
 * @throws MunimentError where no run could go on: a database that is gone, a store that is not what is claimed of it
 */
export async function collectAll(
  archive: Archive,
  sources: readonly SourceSettings[],
  {
    onProgress,
    ...options
  }: {
    signal: AbortSignal;
    onProgress?: (source: string, counts: Readonly<RunCounts>) => void;
    onNote?: (note: string) => void;
  },
): Promise<{ runs: RunOutcome[]; defects: unknown[]; refusals: RefusedError[] }> {
  const refusals: RefusedError[] = [];
  const runs: RunOutcome[] = [];
  const defects: unknown[] = [];
  for (const source of sources) {
    if (options.signal.aborted) break;
    try {
      const progress = (counts: Readonly<RunCounts>): void => onProgress?.(source.id, counts);
      runs.push(await collect(archive, source, { ...options, onProgress: progress }));
    } catch (error) {
      // What the store does not do concerns every source.
      if (error instanceof RefusedError && !(error instanceof StoreClaimError)) {
        refusals.push(error);
        continue;
      }
      if (error instanceof MunimentError || options.signal.aborted) throw error;
      defects.push(error);
      runs.push(brokenOff(source.id, error));
    }
  }
  return { runs, defects, refusals };
}

/** Tries a source without capturing; a failure is a finding, not an error. */
export async function checkSource(
  source: SourceSettings,
  clock: Clock,
  signal: AbortSignal,
): Promise<{ ok: boolean; findings: string[]; refused: boolean }> {
  const { openCollector } = await import('./sources/open.ts');
  const { passingMeter } = await import('./sources/budget.ts');
  // No archive is open: the few calls of a check are not counted against the day's budget.
  try {
    await using collector = openCollector(source, { clock, meter: passingMeter() });
    const { account, findings } = await collector.check(signal);
    return { ok: true, findings: [account, ...findings], refused: false };
  } catch (error) {
    if (!(error instanceof MunimentError)) throw error;
    const findings = [error.message, ...(error.hint === undefined ? [] : [error.hint])];
    return { ok: false, findings, refused: error instanceof RefusedError };
  }
}

/** @throws InputError where the database is external: Muniment neither starts nor stops that, and has no superuser there */
function refuseExternal(settings: Settings): void {
  if (settings.databaseUrl === null) return;
  const { database, server } = addressOf(settings.databaseUrl);
  throw new InputError(`this archive uses an external database (${database} on ${server})`, {
    hint: 'It is started, stopped and administered where it runs; its URL is what database.url in muniment.yaml refers to.',
  });
}

/** Starts the embedded server and leaves it running. @returns its superuser's URL */
async function startEmbedded(home: string, environment: Environment): Promise<string> {
  const settings = await readSettings(home, environment);
  refuseExternal(settings);
  await using urls = await openHomeDatabase(settings);
  await letEmbeddedStay(settings.home);
  return urls.adminUrl as string;
}

/** @returns whether it was running */
async function stopRunning(home: string, environment: Environment): Promise<boolean> {
  // A server that runs is stopped even when muniment.yaml cannot be read.
  if (await stopEmbedded(home)) return true;
  refuseExternal(await readSettings(home, environment));
  return false;
}

/**
 * Removes the embedded database, which may lie outside the home, of a home that is no archive.
 * @returns whether there was one
 * @throws RefusedError when the home is an archive: its database is evidence; InputError when it holds none
 */
async function removeDatabase(home: string, environment: Environment): Promise<boolean> {
  const { drill, unfinished } = homePaths(resolve(home));
  // By their being there: whatever became of what they say, no archive has them.
  if ((await readOptional(drill)) === null && (await readOptional(unfinished)) === null) {
    await readSettings(home, environment); // a folder that holds nothing must not be told that it holds a ledger
    throw new RefusedError(`${home} is no drill, and not left unfinished: its database may hold a ledger`, {
      hint: 'Only the database of a drill, or of an archive whose making was not finished, is removed.',
    });
  }
  return await removeEmbedded(home);
}

export const embeddedControl = { start: startEmbedded, stop: stopRunning, remove: removeDatabase };

/** Migrates the database of an archive. @returns names of the migrations that ran */
export async function migrateArchive(settings: Settings, adminUrl: string | null): Promise<string[]> {
  if (settings.databaseUrl === null) {
    if (adminUrl !== null) {
      throw new InputError(
        'this archive uses the embedded database, which has no administrator but Muniment',
        {
          hint: 'Leave --admin-url out.',
        },
      );
    }
    // Opening the embedded server migrates it.
    await using urls = await openHomeDatabase(settings);
    return await migrate({ adminUrl: urls.adminUrl as string, runtimeUser: 'muniment', folder: MIGRATIONS });
  }
  if (adminUrl === null) {
    throw new InputError('an external database is migrated by an administrator', {
      hint: `Give --admin-url with the URL of a superuser, or of a role with CREATEROLE that owns the database: a reference such as '\${ADMIN_URL}' keeps its password out of the process list.`,
    });
  }
  const archive = addressOf(settings.databaseUrl);
  const admin = addressOf(adminUrl);
  if (archive.database !== admin.database) {
    throw new InputError(
      `the administrator's URL names the database ${admin.database}, the archive's is ${archive.database}`,
      { hint: `End it in /${archive.database}.` },
    );
  }
  return migrateDatabase(adminUrl, archive.user);
}

/** Migrates a database before there is an archive in it. @param runtimeUser login that the archive will work as */
export function migrateDatabase(adminUrl: string, runtimeUser: string): Promise<string[]> {
  return migrate({ adminUrl, runtimeUser, folder: MIGRATIONS });
}

/** Reads a checkpoint note from a file and opens it with the archive's key. */
async function readAnchor(file: string, key: string): Promise<{ size: number; root: Buffer }> {
  const note = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new InputError(`the anchor ${file} cannot be read`, {
      hint: 'Name a file that holds a checkpoint of this archive.',
      cause,
    });
  });
  try {
    return parseCheckpoint(openNote(note, [parseVerifierKey(key)]).text);
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    throw new VerificationError(`the anchor ${file} is no checkpoint of this archive: ${error.message}`, {
      hint: 'Get it again from where it was kept, byte for byte as `muniment ledger checkpoint` printed it.',
      cause: error,
    });
  }
}

/** Verifies ledger, rows and payloads against the head kept outside the database and any anchors given. */
export async function verify(
  archive: Archive,
  options: { anchors?: readonly string[]; signal: AbortSignal; onProgress?: (entries: number) => void },
): Promise<VerifyResult> {
  const key = archive.verifierKeyText;
  const pinned = await archive.pinnedHead();
  const anchors = await Promise.all((options.anchors ?? []).map((file) => readAnchor(file, key)));
  return withArchiveReader(archive.database.db, archive.store, (reader) =>
    verifyArchive(reader, {
      origin: archive.settings.archive.origin,
      pinned,
      signs: archive.signer !== null,
      anchors,
      drill: archive.drill,
      openCheckpoint: (note) => parseCheckpoint(openNote(note, [archive.verifierKey]).text),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
      signal: options.signal,
    }),
  );
}

/** Writes the log as a C2SP tlog-tiles directory: tiles and bundles first, the checkpoint last. */
export async function publishLedger(
  archive: Archive,
  folder: string,
): Promise<{ directory: string; size: number; root: string }> {
  const signed = await archive.checkpoint();
  if (signed === null)
    throw new InputError('this machine holds no signing key', { hint: 'Publish where keys/signing.key is.' });
  const directory = resolve(folder);
  const write = async (path: string, bytes: Uint8Array | string): Promise<void> => {
    const target = join(directory, path);
    try {
      makeFolder(dirname(target));
      await writeFile(`${target}.new`, bytes, { flush: true });
      await rename(`${target}.new`, target);
    } catch (cause) {
      throw new InputError(`cannot write ${target}: ${(cause as Error).message}`, {
        hint: 'Name a folder that you may write to, on a disk with room; then run it again.',
        cause,
      });
    }
  };
  const written = await writeTiles(entriesFrom(archive.database.db, 0, signed.size), write);
  if (written.size !== signed.size || !written.root.equals(signed.root)) {
    throw new VerificationError('the stored entries do not have the signed root', {
      hint: 'Run `muniment verify`.',
    });
  }
  await write('checkpoint', signed.note);
  return { directory, size: signed.size, root: signed.root.toString('base64') };
}

/** A misspelt source must not look like one without records. @throws InputError */
async function requireKnownSources(archive: Archive, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const rows = await archive.database.db.selectFrom('sources').select('name').execute();
  const known = new Set([...rows.map(({ name }) => name), ...archive.settings.sources.map(({ id }) => id)]);
  const unknown = names.filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw new InputError(`no source is called ${unknown.join(', ')}`, {
      hint: `This archive knows: ${[...known].sort().join(', ') || 'none yet'}.`,
    });
  }
}

export async function searchRecords(archive: Archive, options: SearchOptions): Promise<SearchResult> {
  await requireKnownSources(archive, options.source === undefined ? [] : [options.source]);
  const { size } = await archive.ledger.head();
  return search(archive.database.db, options, { size, timezone: archive.settings.archive.timezone });
}

/** Exports a bundle as of the present signed head, or of an earlier checkpoint, and enters it in the ledger. */
export async function exportRecords(
  archive: Archive,
  selection: Selection,
  options: {
    out: string;
    at?: number;
    replace: boolean;
    signal: AbortSignal;
    onRecord?: (n: number) => void;
  },
): Promise<ExportResult> {
  const { exportBundle } = await import('./export/export.ts');
  const { signer } = archive;
  if (signer === null)
    throw new InputError('this machine holds no signing key', { hint: 'Export where keys/signing.key is.' });
  await requireKnownSources(archive, selection.sources ?? []);
  const head = await archive.checkpoint();
  const size = options.at ?? (head?.size as number);
  const stored = await archive.database.db
    .selectFrom('checkpoints')
    .selectAll()
    .where('size', '=', size)
    .executeTakeFirst();
  if (stored === undefined) {
    throw new InputError(`there is no checkpoint of size ${size}`, {
      hint: 'Checkpoints are signed after each writing command; `muniment ledger checkpoint` prints the present one.',
    });
  }
  const { root } = parseCheckpoint(openNote(stored.note, [archive.verifierKey]).text);
  const last = await archive.database.db
    .selectFrom('ledger_entries')
    .select('entry')
    .where('seq', '=', size - 1)
    .executeTakeFirstOrThrow();
  const lastAt = decodeEntry(last.entry).entry.at;
  const moment = Temporal.Instant.from(lastAt);
  const retention = await retentionLines(archive, { size, moment });
  const result = await exportBundle({
    db: archive.database.db,
    store: archive.store,
    lock: statedLock(archive.settings.store, await readProof(homePaths(archive.settings.home).storeProof)),
    archive: archive.settings.archive,
    software: SOFTWARE,
    // The time of the last entry, not of the signing: two exports at one size must be the same to the byte.
    checkpoint: { size, root, note: stored.note, at: lastAt },
    signer: { verifierKey: signer.key.verifierKey, signNote: (text) => signNote(text, signer.key) },
    explain: (record) => retention(record.id),
    selection,
    out: options.out,
    replace: options.replace,
    signal: options.signal,
    ...(options.onRecord === undefined ? {} : { onRecord: options.onRecord }),
  });
  await archive.ledger.write(archive.account.id, async (batch) => {
    batch.add({
      type: 'bundle.produced',
      bundle: newId(archive.clock.now()),
      size,
      records: result.records,
      manifest: result.manifest,
    });
  });
  await archive.checkpoint();
  return result;
}

/** Checks a bundle with the very verifier that lies in every bundle. */
export async function checkBundleAt(
  bundle: string,
  key: string | undefined,
): Promise<{ value: BundleCheck; text: string }> {
  const value = await checkBundle(bundle, key);
  return { value, text: checkText(value) };
}
