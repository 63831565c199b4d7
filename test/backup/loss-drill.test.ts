// What an archive can lose, one thing after the other, and the way back that FORMAT.md of backups promises, or that there is none.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { homePaths, openArchive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { InputError, VerificationError } from '../../src/core/errors.ts';
import { bringKeysBack } from '../../src/restored-home.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, type TestArchive, testArchive, verifyArchiveOf } from '../support/archive.ts';
import {
  emptyDatabase,
  environmentWith,
  openRestored,
  RECOVERY_KEY,
  restoreFrom,
  takeBackupOf,
  workFolder,
} from './support.ts';

describe('the loss of', () => {
  const cleanups: (() => Promise<void>)[] = [];
  const closing = { after: (work: () => Promise<void>) => void cleanups.unshift(work) };
  let made: TestArchive;
  let folder: string;
  let backup: string;
  let keyless: string;

  before(async () => {
    await using platform = await FakePlatform.start();
    folder = await workFolder(closing);
    platform.post('1', 'parade on Sunday');
    platform.post('2', 'street closed');
    made = await testArchive(closing, platform, { embedded: true });
    await collectCity(made.archive);
    backup = join(folder, 'backup');
    keyless = join(folder, 'keyless');
    await takeBackupOf(made.archive, backup);
    await takeBackupOf(made.archive, keyless, { payloads: 'reference', sealing: null });
  });
  after(async () => {
    for (const work of cleanups) await work();
  });

  const bringBack = (unsealing = { recoveryKey: RECOVERY_KEY }) =>
    bringKeysBack(
      { backup, home: made.home, unsealing },
      { clock: systemClock, environment: environmentWith() },
    );
  const open = () => openArchive(made.home, environmentWith(), systemClock);

  test('the signing key: it comes back from any backup, and the log goes on under it', async () => {
    const { signingKey } = homePaths(made.home);
    const key = await readFile(signingKey, 'utf8');
    await rm(signingKey);
    {
      await using archive = await open();
      assert.equal(await archive.checkpoint(), null);
      await assert.rejects(takeBackupOf(archive, join(folder, 'unsigned')), InputError);
    }
    assert.deepEqual((await bringBack()).placed, ['signing.key']);
    assert.equal(await readFile(signingKey, 'utf8'), key);
    await using archive = await open();
    assert.notEqual(await archive.checkpoint(), null);
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
    assert.deepEqual((await bringBack()).placed, [], 'what stands is left alone');
  });

  test('the archive secret and the database secret: both come back from any backup', async () => {
    const { archiveSecret, databaseSecret } = homePaths(made.home);
    const secret = await readFile(archiveSecret, 'utf8');
    await rm(archiveSecret);
    await rm(databaseSecret);
    await assert.rejects(open(), InputError);
    assert.deepEqual((await bringBack()).placed, ['archive.secret', 'database.secret']);
    assert.equal(await readFile(archiveSecret, 'utf8'), secret);
    await using archive = await open();
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
  });

  test('the signed head: it comes back older, is told as such, and never signs what does not continue it', async () => {
    const { head } = homePaths(made.home);
    const before = JSON.parse(await readFile(head, 'utf8')) as { note: string };
    await rm(head);
    {
      await using archive = await open();
      await assert.rejects(archive.checkpoint(), VerificationError);
      assert.equal((await verifyArchiveOf(archive)).ok, false);
    }
    const back = await bringBack();
    assert.deepEqual(back.placed, ['head.json']);
    const sizeOf = (note: string) => Number(note.split('\n')[1]);
    assert.ok(back.head !== null && back.head < sizeOf(before.note));
    await using archive = await open();
    const signed = await archive.checkpoint();
    assert.equal(signed?.note, before.note, 'it grew back to the same head');
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
  });

  test('both key and backup of it: there is no way back, and that is said', async () => {
    await assert.rejects(
      restoreFrom(keyless, join(folder, 'no keys'), { nothingLater: true }),
      (error) => error instanceof InputError && /--keys DIR/.test(error.hint ?? ''),
    );
    const keys = join(folder, 'keys without the key');
    await cp(join(made.home, 'keys'), keys, { recursive: true });
    await rm(join(keys, 'signing.key'));
    await assert.rejects(
      restoreFrom(keyless, join(folder, 'no key'), { nothingLater: true, keys }),
      (error) => error instanceof InputError && /a new origin must begin/.test(error.hint ?? ''),
    );
    assert.equal(existsSync(join(folder, 'no key')), false);
  });

  test('the database: the archive comes back from the newest backup and a copy of keys/ kept elsewhere', async (t) => {
    const { request, variables } = await emptyDatabase(t);
    const home = join(folder, 'new database');
    // The surviving signed head is longer than the backup: its registration came after it.
    await assert.rejects(
      restoreFrom(
        keyless,
        home,
        { nothingLater: true, keys: join(made.home, 'keys'), ...request },
        { variables },
      ),
      /entry \d+, which was signed, is not/,
    );
    const newest = join(folder, 'newest');
    await takeBackupOf(made.archive, newest);
    const keys = join(folder, 'keys');
    await cp(join(made.home, 'keys'), keys, { recursive: true });
    const restored = await restoreFrom(newest, home, { nothingLater: true, ...request }, { variables });
    assert.equal(restored.finished.losses, 0);
    const archive = await openRestored(t, home, variables);
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
  });

  test('the payloads: a backup by value brings them back; without one they are gone, and that is said', async (t) => {
    const { request, variables } = await emptyDatabase(t);
    const reference = join(folder, 'reference');
    await takeBackupOf(made.archive, reference, { payloads: 'reference' });
    const home = join(folder, 'no payloads');
    const answers = { nothingLater: true, store: join(folder, 'empty store'), ...request };
    await assert.rejects(
      restoreFrom(reference, home, answers, { variables }),
      (error) =>
        error instanceof VerificationError && /neither in the backup nor in the store/.test(error.hint ?? ''),
    );
    await assert.rejects(openArchive(home, environmentWith(variables), systemClock), /is not finished/);
    const restored = await restoreFrom(reference, home, { ...answers, payloadsFrom: backup }, { variables });
    assert.equal(restored.finished.losses, 0);
    const archive = await openRestored(t, home, variables);
    assert.deepEqual((await verifyArchiveOf(archive)).problems, []);

    const other = await emptyDatabase(t);
    const bare = join(folder, 'bare');
    const lost = await restoreFrom(
      reference,
      bare,
      { nothingLater: true, store: join(folder, 'another store'), acceptLosses: true, ...other.request },
      { variables: other.variables },
    );
    assert.ok(lost.finished.losses > 0);
    const left = await openRestored(t, bare, other.variables);
    const found = await verifyArchiveOf(left);
    assert.equal(found.ok, false, 'what is missing stays missing');
    // Two documents, the slice of each, and the run's report.
    assert.equal(found.payloads.missing, 5);
  });
});
