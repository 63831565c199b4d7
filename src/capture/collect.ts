// Collects sources: registers what the settings say of them in the ledger, then runs each.

import { sql } from 'kysely';
import { canonicalText, type Json } from '../core/canonical.ts';
import { VerificationError } from '../core/errors.ts';
import { newId } from '../core/ids.ts';
import {
  type ImportSettings,
  MANUAL_SOURCE,
  type ManualSettings,
  type SourceSettings,
} from '../core/settings.ts';
import type { Database } from '../db/database.ts';
import { BODY_KIND } from '../ledger/body-kind.ts';
import { askForKey } from '../sources/bluesky/repositories.ts';
import { openImportCollector } from '../sources/import/collector.ts';
import { exportKind } from '../sources/import/kinds.ts';
import { type ManualStatement, openManualCollector } from '../sources/manual.ts';
import { openCollector } from '../sources/open.ts';
import { askedAs, leftAlone, mayAsk, noteAnswered } from './breaker.ts';
import type { SourceName } from './documents.ts';
import { meterOf } from './meter.ts';
import type { RunOutcome } from './outcome.ts';
import type { CaptureContext, RunCounts } from './progress.ts';
import { captureSource } from './run.ts';

/** Enters a source that is new or whose settings changed. @returns its id */
export async function registerSource(
  context: CaptureContext,
  settings: SourceSettings | ManualSettings,
): Promise<SourceName> {
  const { db } = context.database;
  const known = await db
    .selectFrom('sources')
    .select(['id', 'seq'])
    .where('name', '=', settings.id)
    .executeTakeFirst();
  const id = known?.id ?? newId(context.clock.now());
  const body = { id, name: settings.id, platform: settings.platform, settings: settings as unknown as Json };
  if (known !== undefined) {
    const last = await db
      .selectFrom('entry_bodies')
      .select('body')
      .where('seq', '=', known.seq)
      .executeTakeFirst();
    if (last?.body.toString('utf8') === canonicalText(body)) return { id, name: settings.id };
  }
  if (known === undefined) await requireUnregistered(db, settings.id);
  await context.ledger.write(context.actor, async (batch) => {
    const change = known === undefined ? 'added' : 'changed';
    const seq = batch.addWithBody({ type: 'source.changed', source: id, change }, BODY_KIND.source, body);
    batch.afterwards(() =>
      batch.tx
        .insertInto('sources')
        .values({ id, seq, name: settings.id, platform: settings.platform })
        .onConflict((conflict) => conflict.column('id').doUpdateSet({ seq, platform: settings.platform }))
        .execute(),
    );
  });
  return { id, name: settings.id };
}

/** A second source of one name would part its records for good. @throws VerificationError when an entry has registered it, and its row is gone */
async function requireUnregistered(db: Database, name: string): Promise<void> {
  const { rows } = await sql<{ seq: number }>`
    SELECT seq FROM entry_bodies WHERE kind = ${BODY_KIND.source} AND convert_from(body, 'UTF8')::jsonb ->> 'name' = ${name}
    LIMIT 1`.execute(db);
  if (rows[0] === undefined) return;
  throw new VerificationError(`entry ${rows[0].seq} registered the source ${name}, and its row is gone`, {
    hint: 'The database was changed outside Muniment. Run `muniment verify`, and restore the database from a backup that verifies.',
  });
}

/**
 * Runs one configured source to its end.
 * @param options.scheduled whether a schedule asks: then a host that is left alone is not asked; a person may
 */
export async function collectSource(
  context: CaptureContext,
  settings: SourceSettings,
  options: { signal: AbortSignal; scheduled?: boolean; onProgress?: (counts: Readonly<RunCounts>) => void },
): Promise<RunOutcome> {
  // First, for a source may be refused.
  await using collector = openCollector(settings, {
    clock: context.clock,
    meter: meterOf(context.database.db),
  });
  const source = await registerSource(context, settings);
  const { db } = context.database;
  const asked = askedAs(settings);
  const until =
    asked === null || options.scheduled !== true ? null : await mayAsk(db, asked, context.clock.now());
  const used = asked === null || until === null ? collector : leftAlone(collector, asked, until);
  const outcome = await captureSource(context, source, used, options);
  if (asked !== null) await noteAnswered(db, asked, outcome, context.clock.now());
  return outcome;
}

/** What came of an import. */
export interface Imported {
  readonly outcome: RunOutcome;
  readonly file: { readonly name: string; readonly sha256: string; readonly length: number };
  /** What the file says of itself. */
  readonly findings: readonly string[];
}

/**
 * Imports a file that a platform gave: a run of the source that is named for it. The file itself is kept whole.
 * @param map the mapping file, of another archive's export
 * @param by who imports it
 * @param options.directory origin of what is asked for the key that the account of a repository signed with; null: nobody is
 * @returns the run's outcome, and what the file says of itself
 * @throws InputError where the file cannot be read, or is no such export; then nothing is captured
 */
export async function importExport(
  context: CaptureContext,
  settings: ImportSettings,
  { kind, path, map, by }: { kind: string; path: string; map?: string | undefined; by: string },
  options: {
    signal: AbortSignal;
    directory: string | null;
    onRead?: (read: number, length: number) => void;
    onProgress?: (counts: Readonly<RunCounts>) => void;
  },
): Promise<Imported> {
  const { signal, directory, onRead, onProgress } = options;
  await using collector = await openImportCollector(await exportKind(kind, map), path, {
    by,
    account: settings.account ?? null,
    clock: context.clock,
    signal,
    ...(onRead === undefined ? {} : { onProgress: onRead }),
    ...(directory === null
      ? {}
      : { keys: (did: string) => askForKey(directory, did, context.clock, signal) }),
  });
  const { name, sha256, length } = collector.file;
  const source = await registerSource(context, settings);
  const outcome = await captureSource(context, source, collector, {
    signal,
    original: { path: collector.file.path, name, sha256, length },
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  return { outcome, file: { name, sha256, length }, findings: [...collector.findings] };
}

/**
 * Captures files that a person took, with what they say of them.
 * @returns the run's outcome, and the record: null where the run entered none
 * @throws InputError where a file cannot be captured; then nothing is
 */
export async function captureByHand(
  context: CaptureContext,
  statement: ManualStatement,
  paths: readonly string[],
  options: { signal: AbortSignal },
): Promise<{ outcome: RunOutcome; record: string | null }> {
  await using collector = await openManualCollector(statement, paths, context.clock);
  const source = await registerSource(context, MANUAL_SOURCE);
  const outcome = await captureSource(context, source, collector, options);
  if (outcome.run === null) return { outcome, record: null };
  const seen = await context.database.db
    .selectFrom('sightings')
    .select('record_id')
    .where('source_id', '=', source.id)
    .where('run_id', '=', outcome.run)
    .executeTakeFirst();
  return { outcome, record: seen?.record_id ?? null };
}
