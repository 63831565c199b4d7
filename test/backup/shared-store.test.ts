// An archive restored by reference beside the one that was backed up: the store is both's, and the restored one removes nothing from it.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { systemClock } from '../../src/core/clock.ts';
import { RefusedError } from '../../src/core/errors.ts';
import { copy, sweep } from '../../src/storage.ts';
import { openStore } from '../../src/store/open.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, testArchive, verifyArchiveOf } from '../support/archive.ts';
import { muniment } from '../support/command.ts';
import { nameStore } from '../upkeep/places.ts';
import {
  emptyDatabase,
  environmentWith,
  openRestored,
  RECOVERY_KEY,
  restoreFrom,
  takeBackupOf,
  workFolder,
} from './support.ts';

const signal = new AbortController().signal;

test('a restored archive that shares the store removes nothing of what the other one captured since', async (t) => {
  const folder = await workFolder(t);
  await using platform = await FakePlatform.start();
  platform.post('1', 'parade on Sunday');
  const store = { provider: 'directory', path: join(folder, 'payloads') } as const;
  await (await openStore(store, { clock: systemClock, create: true }))[Symbol.asyncDispose]();
  const { archive: production } = await testArchive(t, platform, { store });
  await collectCity(production);
  const backup = join(folder, 'backup');
  await takeBackupOf(production, backup, { payloads: 'reference' });
  platform.post('2', 'street closed');
  await collectCity(production);

  const home = join(folder, 'second');
  const { request, variables } = await emptyDatabase(t);
  const pem = join(folder, 'recovery.pem');
  await writeFile(pem, RECOVERY_KEY);
  const said = await muniment(
    [
      '--home',
      home,
      'restore',
      backup,
      '--recovery-key',
      pem,
      '--nothing-later',
      '--database',
      request.database,
    ],
    { env: variables },
  );
  assert.equal(said.code, 0, said.stderr);
  assert.match(said.stdout, /SHARED: .* is also the store of the archive that was backed up/);
  assert.match(said.stdout, /must not be used any more: two would sign two logs under one key\. .*--drill/);

  const second = await openRestored(t, home, variables);
  // A month on nothing is recent any more, and what production captured meanwhile is out of the margin too.
  platform.post('3', 'library opens');
  await collectCity(production);
  const clock = { now: () => systemClock.now().add({ hours: 30 * 24 }) };
  const told = await sweep({ ...second, clock }, { window: 'P7D', remove: false, signal });
  assert.ok(told.sharedSince !== null && told.unreferenced.count > 0);
  assert.deepEqual(told.unreferenced.outcomes, { 'after-backup': told.unreferenced.count });
  await assert.rejects(
    sweep({ ...second, clock }, { window: 'P7D', remove: true, signal }),
    (error) =>
      error instanceof RefusedError && /the store of the archive that was backed up/.test(error.message),
  );
  assert.deepEqual((await verifyArchiveOf(production)).problems, []);

  // With a store of its own it sweeps again.
  const own = { provider: 'directory', path: join(folder, 'own') } as const;
  const to = join(folder, 'own.yaml');
  await writeFile(to, stringify({ store: own }));
  await copy(second, { to }, { environment: environmentWith(variables), leaveDamaged: false, signal });
  await nameStore(home, own);
  const moved = await openRestored(t, home, variables);
  const swept = await sweep({ ...moved, clock }, { window: 'P7D', remove: true, signal });
  assert.deepEqual([swept.sharedSince, swept.unreferenced.count], [null, 0]);
  assert.deepEqual((await verifyArchiveOf(production)).problems, []);
});

test('by value into a home of its own nothing is shared', async (t) => {
  const folder = await workFolder(t);
  await using platform = await FakePlatform.start();
  platform.post('1', 'parade on Sunday');
  const { archive } = await testArchive(t, platform);
  await collectCity(archive);
  const backup = join(folder, 'backup');
  await takeBackupOf(archive, backup);
  const { request, variables } = await emptyDatabase(t);
  const home = join(folder, 'again');
  const restored = await restoreFrom(backup, home, { nothingLater: true, ...request }, { variables });
  assert.equal(restored.sharedStore, null);
  const again = await openRestored(t, home, variables);
  assert.equal((await sweep(again, { window: 'P7D', remove: true, signal })).sharedSince, null);
});
