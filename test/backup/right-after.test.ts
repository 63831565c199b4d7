// Right after a backup one entry is missing from it: the one by which the archive registered it.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { RefusedError } from '../../src/core/errors.ts';
import { publishLedger } from '../../src/operations.ts';
import { FakePlatform } from '../support/appview.ts';
import { testArchive } from '../support/archive.ts';
import { emptyDatabase, restoreFrom, takeBackupOf, workFolder } from './support.ts';

test('a surviving keys folder is ahead by the registration: that is said, and a log published after it gets past', async (t) => {
  const folder = await workFolder(t);
  await using platform = await FakePlatform.start();
  const { archive, home } = await testArchive(t, platform);
  const backup = join(folder, 'backup');
  await takeBackupOf(archive, backup);
  const keys = join(home, 'keys');
  await assert.rejects(
    restoreFrom(backup, join(folder, 'refused'), { nothingLater: true, keys }),
    (error) =>
      error instanceof RefusedError &&
      !error.message.includes('lost') &&
      /the archive registered this very backup.*--published DIR/.test(error.hint ?? ''),
  );
  const published = join(folder, 'log');
  await publishLedger(archive, published);
  const { request, variables } = await emptyDatabase(t);
  const answers = { published, keys, ...request };
  const restored = await restoreFrom(backup, join(folder, 'again'), answers, { variables });
  assert.deepEqual([restored.replayed, restored.finished.lostBodies], [1, 0]);
});
