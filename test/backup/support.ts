// What the tests of backups share: an archive with a few records, backups of it, and restores that can be broken off anywhere.

import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backUp } from '../../src/backups.ts';
import type { Environment } from '../../src/config.ts';
import { type Archive, openArchive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { stopEmbedded } from '../../src/db/embedded.ts';
import { destroyRecords } from '../../src/disposition/destroy.ts';
import { putPolicyInForce } from '../../src/governance.ts';
import { searchRecords } from '../../src/operations.ts';
import { readPolicyFiles } from '../../src/policy/load.ts';
import { type Restored, restoreArchive } from '../../src/restore.ts';
import type { RestoreRequest } from '../../src/restored-home.ts';
import { openEraser } from '../../src/store/eraser.ts';
import { YEAR_SCHEDULE } from '../support/archive.ts';
import { freshDatabase } from '../support/postgres.ts';

/** A hold file, on what speaks of a street. */
export const HOLD = `id: smith
matter: Smith v. City
kind: litigation
issued: { by: Counsel, at: 2026-11-02, reason: complaint served }
scope: { text: [street] }
`;

/** Costs nothing to open, unlike a passphrase. */
const pair = generateKeyPairSync('x25519');
export const RECIPIENT = pair.publicKey.export({ format: 'pem', type: 'spki' }).toString();
export const RECOVERY_KEY = pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
export const environmentWith = (variables: Record<string, string> = {}): Environment => ({
  home: null,
  token: null,
  configFolder: '/nonexistent',
  variables,
});
const signal = new AbortController().signal;

interface Test {
  after(work: () => Promise<void>): void;
}

/** A folder that the embedded server's user can enter, gone after the test. */
export async function workFolder(test: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'muniment backup '));
  await chmod(folder, 0o755);
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export function takeBackupOf(
  archive: Archive,
  address: string,
  options: Partial<Parameters<typeof backUp>[1]> = {},
) {
  return backUp(archive, {
    address,
    sealing: { recipient: RECIPIENT },
    expires: 'P90D',
    signal,
    onProgress: () => undefined,
    ...options,
  });
}

const REQUEST: Omit<RestoreRequest, 'backup' | 'home'> = {
  adminUrl: null,
  unsealing: { recoveryKey: RECOVERY_KEY },
  nothingLater: false,
  acceptLosses: false,
};

/** An empty database on the server of the tests, which restores go to: much faster than a server for each. */
export async function emptyDatabase(
  test: Test,
): Promise<{ request: { database: string }; variables: Record<string, string> }> {
  const fresh = await freshDatabase();
  test.after(() => fresh.close());
  return { request: { database: `\${${'RESTORED_URL'}}` }, variables: { RESTORED_URL: fresh.runtimeUrl } };
}

/** @param dieAt the work breaks off at the n-th sign of progress */
export function restoreFrom(
  backup: string,
  home: string,
  request: Partial<RestoreRequest> = {},
  { dieAt = Number.POSITIVE_INFINITY, variables = {} as Record<string, string> } = {},
): Promise<Restored> {
  let signs = 0;
  return restoreArchive(
    { ...REQUEST, backup, home, ...request },
    {
      environment: environmentWith(variables),
      clock: systemClock,
      signal,
      onProgress: (done) => {
        signs += 1;
        if (signs >= dieAt) throw new Error(`the power went at ${done}`);
      },
    },
  );
}

/** Opens a restored archive; it is closed and its server stopped after the test. */
export async function openRestored(
  test: Test,
  home: string,
  variables: Record<string, string> = {},
): Promise<Archive> {
  const archive = await openArchive(home, environmentWith(variables), systemClock);
  test.after(async () => {
    await archive[Symbol.asyncDispose]();
    await stopEmbedded(home);
  });
  return archive;
}

/** Puts a schedule in force under which posts are destroyed after a year. */
export async function adoptSchedule(archive: Archive): Promise<void> {
  await writeFile(join(archive.settings.home, 'policies', 'schedules', 'city.yaml'), YEAR_SCHEDULE);
  await putPolicyInForce(archive);
}

export async function recordOf(archive: Archive, text: string): Promise<string> {
  const { records } = await searchRecords(archive, { text } as Parameters<typeof searchRecords>[1]);
  return (records[0] as { id: string }).id;
}

/** Destroys a record as disposition does, years later. @returns its payloads */
export async function destroyLater(archive: Archive, record: string): Promise<string[]> {
  const { database, ledger, account, settings, clock } = archive;
  const payloads = await database.db
    .selectFrom('payloads')
    .select('commitment')
    .where('record_id', '=', record)
    .execute();
  await destroyRecords(
    {
      db: database.db,
      ledger,
      actor: account.id,
      store: archive.store.identity,
      eraser: openEraser(settings.store, { clock }),
    },
    [record],
    {
      files: await readPolicyFiles(join(settings.home, 'policies')),
      sources: settings.sources,
      civil: settings.archive,
      today: Temporal.PlainDate.from('2030-01-01'),
    },
  );
  await archive.checkpoint();
  return payloads.map((row) => row.commitment);
}
