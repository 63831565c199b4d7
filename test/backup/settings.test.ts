// The settings in a backup: all that the archive reads, linked or not, exact to the byte, and whatever a restore could not bring back is told
// while there is still something to mend.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { lstat, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openBackup } from '../../src/backup/manifest.ts';
import { openPlace } from '../../src/backup/place.ts';
import { systemClock } from '../../src/core/clock.ts';
import { InputError } from '../../src/core/errors.ts';
import { listHolds, putPolicyInForce } from '../../src/governance.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, type TestArchive, testArchive } from '../support/archive.ts';
import {
  adoptSchedule,
  emptyDatabase,
  HOLD,
  openRestored,
  restoreFrom,
  takeBackupOf,
  workFolder,
} from './support.ts';

describe('the settings of an archive', () => {
  const cleanups: (() => Promise<void>)[] = [];
  const closing = { after: (work: () => Promise<void>) => void cleanups.unshift(work) };
  let made: TestArchive;
  let folder: string;

  before(async () => {
    folder = await workFolder(closing);
    await using platform = await FakePlatform.start();
    platform.post('1', 'street closed');
    made = await testArchive(closing, platform);
    await collectCity(made.archive);
    await adoptSchedule(made.archive);
    await writeFile(join(made.home, 'policies', 'holds', 'smith.yaml'), HOLD);
    await putPolicyInForce(made.archive);
  });
  after(async () => {
    for (const work of cleanups) await work();
  });

  /** Moves a part of the home elsewhere, and leaves a link to it until that is undone. */
  async function linked(undo: AsyncDisposableStack, path: string, elsewhere: string) {
    const target = join(folder, elsewhere);
    await rename(join(made.home, path), target);
    await symlink(target, join(made.home, path));
    undo.defer(async () => {
      await rm(join(made.home, path));
      await rename(target, join(made.home, path));
    });
    return target;
  }

  test('come back though they are links, and nothing else behind a linked folder goes into the backup', async (t) => {
    await using undo = new AsyncDisposableStack();
    await linked(undo, 'policies/holds/smith.yaml', 'smith');
    await linked(undo, 'policies/schedules', 'schedules');
    const policies = await linked(undo, 'policies', 'linked policies');
    await linked(undo, 'muniment.yaml', 'settings');
    await writeFile(join(policies, 'signing.key'), 'of somebody else');
    await symlink('.', join(policies, 'holds', 'around'));
    undo.defer(() => rm(join(policies, 'holds', 'around')));
    undo.defer(() => rm(join(policies, 'signing.key')));
    const place = join(folder, 'of links');
    const taken = await takeBackupOf(made.archive, place);
    assert.deepEqual(
      taken.leftOut.map(({ path }) => path),
      ['policies'],
    );
    const { manifest } = await openBackup(
      openPlace(place, { clock: systemClock, region: '', endpoint: null }),
    );
    assert.deepEqual(
      manifest.settings.map(({ path }) => path),
      ['muniment.yaml', 'policies/holds/smith.yaml', 'policies/schedules/city.yaml'].map(
        (path) => `settings/${path}`,
      ),
    );
    const home = join(folder, 'links restored');
    const { request, variables } = await emptyDatabase(t);
    await restoreFrom(place, home, { nothingLater: true, ...request }, { variables });
    assert.ok((await lstat(join(home, 'muniment.yaml'))).isFile());
    const { holds, unapplied } = await listHolds(await openRestored(t, home, variables));
    assert.deepEqual([holds.map(({ id }) => id), unapplied], [['smith'], false]);
  });

  test('are not all there: then there is no backup, and nothing is left behind', async () => {
    await using undo = new AsyncDisposableStack();
    const place = join(folder, 'of less');
    const refused = (pattern: RegExp) =>
      assert.rejects(
        takeBackupOf(made.archive, place),
        (error) => error instanceof InputError && pattern.test(error.message) && Boolean(error.hint),
      );
    const settings = await linked(undo, 'muniment.yaml', 'unplugged settings');
    await rename(settings, `${settings}.away`);
    await refused(/muniment\.yaml cannot be backed up: it is not there/);
    await rename(`${settings}.away`, settings);
    const policies = await linked(undo, 'policies', 'unplugged policies');
    await rename(policies, `${policies}.away`);
    await refused(/policies is no folder, nor a link to one/);
    await rename(`${policies}.away`, policies);
    const hold = join(policies, 'holds', 'huge.yaml');
    await writeFile(hold, '');
    undo.defer(() => rm(hold, { force: true }));
    await truncate(hold, 16 * 1024 * 1024 + 1);
    await refused(/huge\.yaml cannot be backed up: it is larger than 16 MiB/);
    await rm(hold);
    const odd = join(policies, 'holds', 'smith\\jones.yaml');
    await writeFile(odd, HOLD);
    undo.defer(() => rm(odd, { force: true }));
    await refused(/its name has a character that no manifest can hold/);
    await rm(odd);
    assert.equal(existsSync(place), false);
  });

  test('come back to the byte, and what could not come back is told at the backup', async (t) => {
    await using undo = new AsyncDisposableStack();
    const notes = join(made.home, 'policies', 'notes');
    await mkdir(notes);
    undo.defer(() => rm(notes, { recursive: true }));
    const scan = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    await writeFile(join(notes, 'scan.pdf'), scan);
    await writeFile(join(notes, 'largest'), '');
    await truncate(join(notes, 'largest'), 16 * 1024 * 1024);
    await writeFile(join(notes, 'larger'), '');
    await truncate(join(notes, 'larger'), 16 * 1024 * 1024 + 1);
    await writeFile(join(notes, 'old\\notes.txt'), 'of another system');
    await writeFile(join(notes, 'n'.repeat(240)), 'a long name');
    await symlink(join(made.home, 'keys', 'signing.key'), join(notes, 'link'));
    const place = join(folder, 'of notes');
    const { leftOut } = await takeBackupOf(made.archive, place);
    assert.deepEqual(
      leftOut.map(({ path, why }) => [path.slice('policies/notes/'.length), why]),
      [
        ['larger', 'it is larger than 16 MiB, and so no policy file'],
        ['link', 'it is a link, and only policy files are taken through a link'],
        ['n'.repeat(240), 'its name is longer than 200 bytes'],
        ['old\\notes.txt', 'its name has a character that no manifest can hold'],
      ],
    );
    const home = join(folder, 'notes restored');
    const { request, variables } = await emptyDatabase(t);
    await restoreFrom(place, home, { nothingLater: true, ...request }, { variables });
    await openRestored(t, home, variables);
    assert.deepEqual(await readFile(join(home, 'policies', 'notes', 'scan.pdf')), scan);
    assert.equal((await lstat(join(home, 'policies', 'notes', 'largest'))).size, 16 * 1024 * 1024);
  });
});
