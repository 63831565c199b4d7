// A real archive in a temporary home, on a database of the test server and a directory store, collecting from the given platform.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { registerSource } from '../../src/capture/collect.ts';
import { meterOf } from '../../src/capture/meter.ts';
import type { RunOutcome } from '../../src/capture/outcome.ts';
import { captureSource } from '../../src/capture/run.ts';
import type { Environment } from '../../src/config.ts';
import { type Archive, openArchive, openHomeDatabase } from '../../src/context.ts';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import type { SourceSettings } from '../../src/core/settings.ts';
import { removeEmbedded } from '../../src/db/embedded.ts';
import { collect, verify } from '../../src/operations.ts';
import { initArchive } from '../../src/setup.ts';
import type { Collector } from '../../src/sources/collector.ts';
import type { HttpDependencies } from '../../src/sources/http.ts';
import { openCollector } from '../../src/sources/open.ts';
import type { FakePlatform } from './appview.ts';
import { adminUrlOf, freshDatabase } from './postgres.ts';

const environment: Environment = { home: null, token: null, configFolder: '/nonexistent', variables: {} };

/** A schedule under which posts and replies are destroyed after a year. */
export const YEAR_SCHEDULE = `id: city
version: "1"
issuer: City of Example
jurisdiction: US-EX
effective: { from: 2020-01-01 }
adopted: true
adoptedBy: City Council, resolution 7
adoptedOn: 2020-02-01
series:
  - code: POSTS
    title: Posts
    authority: [ { cite: Example Code 1, url: "https://example.gov/1", retrieved: 2026-11-01 } ]
    match: { kinds: [post, reply] }
    trigger: published
    cutoff: none
    period: P1Y
    disposition: destroy
`;

export interface TestArchive {
  readonly home: string;
  readonly archive: Archive;
}

/**
 * Makes an archive that is gone when the test ends.
 * @param options.store settings of its store; absent: a directory in its home @param options.sources beside the platform's
 * @param options.embedded its database is the embedded server, as of an archive that names none: it takes seconds to make and to remove
 */
export async function testArchive(
  test: { after(work: () => Promise<void>): void },
  platform: Pick<FakePlatform, 'origin'> & { readonly account: Pick<FakePlatform['account'], 'handle'> },
  {
    store,
    sources = [],
    embedded = false,
  }: { store?: object; sources?: readonly object[]; embedded?: boolean } = {},
): Promise<TestArchive> {
  const folder = await mkdtemp(join(tmpdir(), 'muniment archive '));
  const home = join(folder, 'home');
  const fresh = embedded ? null : await freshDatabase();
  // Named by a file, so that whatever process opens the home finds it.
  const database = join(folder, 'database.url');
  if (fresh !== null) await writeFile(database, fresh.runtimeUrl);
  const source = {
    id: 'city',
    platform: 'bluesky',
    account: platform.account.handle,
    service: platform.origin,
    directory: platform.origin,
    repository: platform.origin,
    proofs: 0,
  };
  await initArchive(
    home,
    {
      name: 'City of Example',
      origin: 'archive.example.gov/social',
      timezone: 'America/New_York',
      sources: [source, ...sources],
      ...(fresh === null ? {} : { databaseUrl: `file:${database}` }),
    },
    environment,
    systemClock,
  );
  const settings = join(home, 'muniment.yaml');
  if (store !== undefined)
    await writeFile(settings, `${await readFile(settings, 'utf8')}store: ${JSON.stringify(store)}\n`);
  const archive = await openArchive(home, environment, systemClock);
  test.after(async () => {
    await archive[Symbol.asyncDispose]();
    await removeHome(home);
    await fresh?.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { home, archive };
}

/** The same archive once more, at another time. */
export function reopened(home: string, clock: Clock): Promise<Archive> {
  return openArchive(home, environment, clock);
}

/** Removes a home, and the database that root's server keeps elsewhere for one that it cannot reach. */
export async function removeHome(home: string): Promise<void> {
  await removeEmbedded(home);
  await rm(home, { recursive: true, force: true });
}

export async function collectCity(archive: Archive) {
  const [source] = archive.settings.sources;
  if (source === undefined) throw new Error('the test archive lost its source');
  const outcome = await collect(archive, source, { signal: new AbortController().signal });
  await archive.checkpoint();
  return outcome;
}

/**
 * One run on the way that every run takes, but for how its collector waits and what its limits are.
 * @param altered the collector in place of the one that the settings open
 */
export async function captureFrom(
  archive: Archive,
  settings: SourceSettings,
  dependencies: HttpDependencies,
  altered: (collector: Collector) => Collector = (collector) => collector,
): Promise<RunOutcome> {
  const { database, store, ledger, clock, account } = archive;
  const spool = join(archive.settings.home, 'spool');
  const context = { database, store, ledger, clock, actor: account.id, spool };
  const source = await registerSource(context, settings);
  await using collector = openCollector(settings, { meter: meterOf(database.db), ...dependencies });
  return await captureSource(context, source, altered(collector), { signal: new AbortController().signal });
}

export function verifyArchiveOf(archive: Archive) {
  return verify(archive, { signal: new AbortController().signal });
}

/** A connection that may do anything: the superuser's, with every trigger and foreign key switched off. */
export async function superuserOf({
  settings,
}: Archive): Promise<{ admin: pg.Client; close: () => Promise<void> }> {
  await using stack = new AsyncDisposableStack();
  const adminUrl =
    settings.databaseUrl === null
      ? stack.use(await openHomeDatabase(settings)).adminUrl
      : await adminUrlOf(settings.databaseUrl);
  const admin = new pg.Client({ connectionString: adminUrl as string });
  await admin.connect();
  stack.defer(() => admin.end());
  await admin.query("SET session_replication_role = 'replica'");
  const resources = stack.move();
  return { admin, close: () => resources.disposeAsync() };
}
