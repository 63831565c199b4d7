// Backup and restore as an operator works with them: the real command line, killed in between.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakePlatform } from '../../support/appview.ts';
import { removeHome } from '../../support/archive.ts';
import { muniment } from '../../support/command.ts';

const PROGRAM = join(import.meta.dirname, '..', '..', '..', 'src', 'main.ts');
const PASS = 'correct horse battery staple';
const REFERENCE = `\${PASS}`;

test('an archive is backed up, lost, and restored on the command line, though the restore is killed', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'muniment backup '));
  await chmod(folder, 0o755);
  const [home, again, backup, log] = ['home', 'again', 'backup', 'log'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
    string,
  ];
  t.after(async () => {
    await removeHome(home);
    await removeHome(again);
    await rm(folder, { recursive: true });
  });
  await using platform = await FakePlatform.start();
  platform.post('1', 'parade on Sunday', { image: Buffer.from('a picture') });
  platform.post('2', 'street closed');
  const run = async (code: number, ...args: string[]) => {
    const ended = await muniment(args, { env: { PASS } });
    assert.equal(ended.code, code, `${args.join(' ')}\n${ended.stdout}${ended.stderr}`);
    assert.ok(!`${ended.stdout}${ended.stderr}`.includes(PASS));
    return ended;
  };
  const json = async (code: number, ...args: string[]) =>
    JSON.parse((await run(code, '--json', ...args)).stdout);

  const answers = [
    '--name',
    'City of Example',
    '--origin',
    'archive.example.gov/social',
    '--timezone',
    'UTC',
  ];
  await run(0, 'init', home, ...answers);
  const settings = join(home, 'muniment.yaml');
  const source = `\n  - { id: city, platform: bluesky, account: ${platform.account.handle}, service: "${platform.origin}", directory: "${platform.origin}", repository: "${platform.origin}", proofs: 0 }\n`;
  await writeFile(
    settings,
    (await readFile(settings, 'utf8')).replace(/sources: \[\]\n/, `sources:${source}`),
  );
  await run(0, '--home', home, 'collect');

  await run(2, '--home', home, 'backup', backup);
  await run(2, '--home', home, 'backup', backup, '--passphrase', PASS.replaceAll(' ', '-'));
  await run(2, '--home', home, 'backup', backup, '--passphrase', REFERENCE, '--expires', 'soon');
  await writeFile(join(folder, 'short.txt'), 'too short');
  await run(2, '--home', home, 'backup', backup, '--passphrase', `file:${join(folder, 'short.txt')}`);
  assert.equal(existsSync(backup), false, 'nothing is begun with a passphrase that will not do');
  await run(2, '--home', home, 'backup', 'ftp://somewhere', '--without-keys');
  for (const place of ['s3:/bucket/x', 's3:bucket', 'S3://bucket/x', 'host:/x', ''])
    assert.match(
      (await run(2, '--home', home, 'backup', place, '--without-keys')).stderr,
      /is no place for a backup/,
    );
  const link = join(folder, 'link');
  await symlink(home, link);
  for (const place of [
    home,
    folder,
    join(home, 'backups', 'x'),
    join(home, 'payloads'),
    join(link, 'x'),
    '/',
  ])
    assert.match(
      (await run(2, '--home', home, 'backup', place, '--without-keys')).stderr,
      /is not apart from the archive's/,
    );
  await writeFile(join(folder, 'file'), '');
  for (const place of [join(folder, 'file'), join(folder, 'file', 'x')])
    assert.match(
      (await run(2, '--home', home, 'backup', place, '--without-keys')).stderr,
      /the place .*file.* a file and no folder/,
    );
  assert.equal(existsSync(backup), false, 'a call with a mistake leaves nothing behind');
  const made = await json(0, '--home', home, 'backup', backup, '--passphrase', REFERENCE, '--expires', 'P1Y');
  assert.equal(made.copied, 6);
  const { backups } = await json(0, '--home', home, 'backup', 'list');
  assert.deepEqual(
    backups.map((one: { backup: string; expired: boolean }) => [one.backup, one.expired]),
    [[made.backup, false]],
  );
  const unopened = await run(2, '--home', home, 'backup', 'keys', backup);
  assert.match(unopened.stderr, /Give --passphrase or --recovery-key\. .*put its files into/);
  assert.doesNotMatch(unopened.stderr, /--keys/);
  await run(0, '--home', home, 'ledger', 'publish', log);
  const { entries } = await json(0, '--home', home, 'status');
  await removeHome(home);

  for (const store of ['s3://', 's3:/bucket', 'ftp://x']) {
    const nothing = ['--passphrase', REFERENCE, '--nothing-later', '--store', store];
    const { stderr } = await run(2, '--home', again, 'restore', backup, ...nothing);
    assert.match(stderr, /is no place for payloads \(--store\)/);
    assert.equal(existsSync(again), false);
  }
  const recovery = join(folder, 'recovery.pem');
  await writeFile(
    recovery,
    generateKeyPairSync('x25519').privateKey.export({ format: 'pem', type: 'pkcs8' }),
  );
  const both = ['--passphrase', REFERENCE, '--recovery-key', recovery];
  for (const command of [
    ['restore', backup, '--nothing-later'],
    ['backup', 'keys', backup],
  ])
    assert.match((await run(2, '--home', again, ...command, ...both)).stderr, /contradict each other/);
  const restore = ['restore', backup, '--passphrase', REFERENCE, '--published', log];
  await run(4, '--home', again, 'restore', backup, '--passphrase', REFERENCE);
  for (const wait of [1500, 3500]) {
    const child = spawn(process.execPath, [PROGRAM, '--home', again, ...restore], {
      stdio: 'ignore',
      detached: true,
      env: { ...process.env, PASS, NODE_V8_COVERAGE: '' },
    });
    const ended = once(child, 'exit');
    await Promise.race([ended, sleep(wait)]);
    // With the process that the launcher has begun.
    if (child.exitCode === null) process.kill(-(child.pid as number), 'SIGKILL');
    await ended;
    if (existsSync(join(again, '.unfinished'))) await run(2, '--home', again, 'verify');
  }
  if (!existsSync(join(again, 'muniment.yaml')) || existsSync(join(again, '.unfinished'))) {
    const restored = await json(0, '--home', again, ...restore);
    // The backup was entered after it was made: that entry comes from the published log, and its body from the backup.
    assert.deepEqual([restored.replayed, restored.finished.lostBodies, restored.finished.losses], [1, 0, 0]);
  }
  assert.deepEqual((await json(0, '--home', again, 'backup', 'list')).backups.length, 1);
  const verified = await json(0, '--home', again, 'verify');
  assert.equal(verified.lostBodies, 0);
  assert.ok(verified.entries > entries);
  await run(0, '--home', again, 'collect');
  const found = await json(0, '--home', again, 'search', 'street');
  assert.equal(found.total, 1);
});
