// A drill proves a backup beside the archive that lives, and can do nothing to it: no signature, no entry, no change to its store.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openArchive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { InputError, RefusedError } from '../../src/core/errors.ts';
import { putPolicyInForce } from '../../src/governance.ts';
import { publishLedger } from '../../src/operations.ts';
import { openStore } from '../../src/store/open.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, type TestArchive, testArchive, verifyArchiveOf } from '../support/archive.ts';
import { muniment } from '../support/command.ts';
import {
  adoptSchedule,
  destroyLater,
  emptyDatabase,
  environmentWith,
  HOLD,
  RECOVERY_KEY,
  recordOf,
  restoreFrom,
  takeBackupOf,
  workFolder,
} from './support.ts';

describe('a drill beside an archive that lives', () => {
  const cleanups: (() => Promise<void>)[] = [];
  const closing = { after: (work: () => Promise<void>) => void cleanups.unshift(work) };
  let made: TestArchive;
  let folder: string;
  let store: string;
  let copied: string;
  let referring: string;
  let log: string;
  let pem: string;

  before(async () => {
    await using platform = await FakePlatform.start();
    folder = await workFolder(closing);
    store = join(folder, 'payloads');
    const settings = { provider: 'directory', path: store } as const;
    await (await openStore(settings, { clock: systemClock, create: true }))[Symbol.asyncDispose]();
    platform.post('1', 'parade on Sunday', { image: Buffer.from('a picture') });
    platform.post('2', 'street closed');
    platform.post('3', 'library opens');
    made = await testArchive(closing, platform, { store: settings });
    await collectCity(made.archive);
    await adoptSchedule(made.archive);
    copied = join(folder, 'copied');
    referring = join(folder, 'referring');
    await takeBackupOf(made.archive, copied, { payloads: 'copy' });
    await takeBackupOf(made.archive, referring, { payloads: 'reference' });
    // The archive goes on: it captures, holds, destroys, signs and publishes.
    platform.post('4', 'budget hearing');
    await collectCity(made.archive);
    await writeFile(join(made.home, 'policies', 'holds', 'smith.yaml'), HOLD);
    await putPolicyInForce(made.archive);
    await destroyLater(made.archive, await recordOf(made.archive, 'library'));
    log = join(folder, 'log');
    await publishLedger(made.archive, log);
    pem = join(folder, 'recovery.pem');
    await writeFile(pem, RECOVERY_KEY);
  });
  after(async () => {
    for (const work of cleanups) await work();
  });

  /** Every file and folder of the store with the times of its last changes. */
  async function storeNow(): Promise<string[]> {
    const found: string[] = [];
    for (const name of ['.', ...(await readdir(store, { recursive: true }))]) {
      const { size, mtimeMs, ctimeMs } = await stat(join(store, name));
      found.push(`${name} ${size} ${mtimeMs} ${ctimeMs}`);
    }
    return found.sort();
  }

  const drillOf = async (
    t: Parameters<typeof emptyDatabase>[0],
    backup: string,
    name: string,
    more: string[] = [],
    code = 0,
  ) => {
    const home = join(folder, name);
    const { request, variables } = await emptyDatabase(t);
    const run = (...args: string[]) => muniment(['--home', home, ...args], { env: variables });
    const said = await run(
      '--json',
      'restore',
      backup,
      '--drill',
      '--recovery-key',
      pem,
      '--database',
      request.database,
      ...more,
    );
    assert.equal(said.code, code, said.stderr);
    return { home, run, restored: JSON.parse(said.stdout), variables };
  };

  test('is restored, proven and read, and every command that writes refuses', async (t) => {
    const untouched = await storeNow();
    // It asks for no later checkpoint: it signs nothing that could fall behind one.
    const { home, run, restored, variables } = await drillOf(t, copied, 'by value');
    assert.equal(restored.drill, true);
    assert.equal(restored.finished.size, restored.backup.size, 'nothing is entered');
    assert.equal(restored.sharedStore, null);
    assert.ok(restored.payloads.carried > 0);
    const keys = await readdir(join(home, 'keys'));
    assert.ok(!keys.includes('signing.key') && !keys.includes('head.json'), keys.join());

    const before = JSON.parse((await run('--json', 'status')).stdout);
    assert.deepEqual(before.drill, { backup: restored.backup.id, madeAt: restored.backup.madeAt });
    assert.equal(before.store, join(home, 'payloads'));
    const status = await run('status');
    assert.match(
      status.stdout,
      /^DRILL of the backup .*: this home can be read and verified; it never signs/,
    );
    const { records } = JSON.parse((await run('--json', 'search', 'library')).stdout);
    assert.equal(records.length, 1);
    for (const command of ['verify', 'hold list', 'backup list', 'key export', 'source list', 'policy check'])
      assert.equal((await run(...command.split(' '))).code, 0, command);
    assert.equal((await run('policy', 'explain', records[0].id)).code, 0);
    const { checks } = JSON.parse((await run('--json', 'doctor')).stdout) as { checks: { id: string }[] };
    const ids = checks.map(({ id }) => id);
    assert.ok(ids.includes('drill') && ids.includes('head'), ids.join());
    assert.deepEqual(
      ids.filter((id) => id.startsWith('store.') || id === 'keys.signing'),
      [],
    );

    const description = join(folder, 'elsewhere.yaml');
    await writeFile(description, `store: { provider: directory, path: ${join(folder, 'elsewhere')} }\n`);
    const bundle = join(folder, 'bundle.zip');
    for (const command of [
      ['collect'],
      ['serve'],
      ['policy', 'apply'],
      ['ledger', 'checkpoint'],
      ['ledger', 'publish', join(folder, 'another log')],
      ['export', '--out', bundle],
      ['store', 'renew'],
      ['store', 'sweep'],
      ['store', 'copy', '--to', description],
      ['backup', join(folder, 'of a drill'), '--without-keys'],
      ['backup', 'keys', copied, '--recovery-key', pem],
      ['rebuild', '--published', log],
    ]) {
      const { code, stderr } = await run(...command);
      assert.equal(code, 4, `${command.join(' ')}: ${stderr}`);
      assert.match(stderr, /is a drill of the backup .*: it can be read and verified, and nothing else/);
    }
    assert.ok(!existsSync(bundle) && !existsSync(join(folder, 'of a drill')));

    const note = join(home, '.drill');
    const said = await readFile(note);
    for (const damaged of ['{', '{"backup":1}']) {
      await writeFile(note, damaged);
      const { code, stderr } = await run('status');
      assert.equal(code, 2, stderr);
      assert.match(stderr, /\.drill says that this home is a drill, and is damaged\n {2}.*db remove/);
    }
    await writeFile(note, said);
    await assert.rejects(openArchive(home, environmentWith(variables), systemClock), RefusedError);
    assert.equal(JSON.parse((await run('--json', 'status')).stdout).entries, before.entries);

    // A key that somebody puts there changes nothing.
    await writeFile(
      join(home, 'keys', 'signing.key'),
      await readFile(join(made.home, 'keys', 'signing.key')),
    );
    await using opened = await openArchive(home, environmentWith(variables), systemClock, 'reading');
    assert.deepEqual([opened.signer, await opened.checkpoint()], [null, null]);
    assert.deepEqual(await storeNow(), untouched);
    assert.deepEqual((await verifyArchiveOf(made.archive)).problems, []);
  });

  test('by reference, with what was published since, changes nothing in the store and still accounts for lost bodies', async (t) => {
    const untouched = await storeNow();
    // The head beside the keys of the living archive is ahead of the backup.
    const since = ['--published', log, '--keys', join(made.home, 'keys')];
    const { run, restored } = await drillOf(t, referring, 'by reference', since, 5);
    assert.ok(restored.replayed > 0 && restored.finished.destroyedAgain > 0);
    assert.ok(restored.finished.lostBodies > 0);
    assert.equal(restored.finished.size, restored.backup.size + restored.replayed);
    assert.equal(restored.sharedStore, store);
    const verified = await run('--json', 'verify');
    const found = JSON.parse(verified.stdout);
    assert.deepEqual([verified.code, found.problems], [0, []]);
    assert.deepEqual([found.lostBodies, found.unsigned], [restored.finished.lostBodies, 0]);
    await run('doctor');
    assert.equal((await run('store', 'sweep', '--remove', '--window', 'P0D')).code, 4);
    assert.deepEqual(await storeNow(), untouched);
  });

  test('never copies payloads into a store that is not its own', async (t) => {
    const untouched = await storeNow();
    const { request, variables } = await emptyDatabase(t);
    const answers = { drill: true, ...request };
    const refused = (name: string, backup: string, more: object, pattern: RegExp) =>
      assert.rejects(
        restoreFrom(backup, join(folder, name), { ...answers, ...more }, { variables }),
        (error) => error instanceof InputError && pattern.test(error.message),
      );
    await refused('elsewhere', copied, { store }, /--store and --drill contradict each other/);
    // Begun by reference: then its settings name the store of the living archive.
    const home = join(folder, 'broken off');
    await assert.rejects(restoreFrom(referring, home, answers, { dieAt: 1, variables }), /the power went/);
    await refused('broken off', referring, { payloadsFrom: copied }, /would copy into that store/);
    await refused('broken off', referring, { drill: false, nothingLater: true }, /another interrupted call/);
    const since = { ...answers, published: log };
    assert.equal((await restoreFrom(referring, home, since, { variables })).drill, true);
    assert.deepEqual(await storeNow(), untouched);
  });
});
