// `muniment doctor` on a real archive, whole and damaged.

import assert from 'node:assert/strict';
import { chmod, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../src/core/clock.ts';
import { examine } from '../src/doctor.ts';
import { FakePlatform } from './support/appview.ts';
import { collectCity, testArchive } from './support/archive.ts';

test('doctor finds a healthy archive healthy, names what is damaged with its remedy, and leaves nothing behind', async (t) => {
  await using platform = await FakePlatform.start();
  platform.post('1', 'Main Street is closed');
  const { home, archive } = await testArchive(t, platform);
  await collectCity(archive);
  const environment = { home: null, token: null, configFolder: '/nonexistent', variables: {} };
  const found = async () => (await examine(home, environment, systemClock)).checks;
  const bad = async () => (await found()).filter((check) => check.state !== 'good');

  const healthy = await examine(home, environment, systemClock);
  assert.equal(healthy.ok, true);
  assert.deepEqual(await bad(), []);
  assert.equal(healthy.checks.filter((check) => check.tried === 'append-only').length, 4);
  assert.deepEqual(await readdir(join(home, 'payloads', 'incoming')), []);

  const key = join(home, 'keys', 'signing.key');
  await chmod(key, 0o644);
  assert.match((await bad())[0]?.found ?? '', /signing\.key has mode 0644/);
  await chmod(key, 0o600);

  const head = join(home, 'keys', 'head.json');
  await rename(head, `${head}.away`);
  assert.ok((await bad()).some((check) => check.tried === 'signed head' && check.state === 'bad'));
  await rename(`${head}.away`, head);

  await writeFile(join(home, 'policies', 'schedules', 'new.yaml'), '# nothing in it yet\n');
  assert.ok((await bad()).length > 0, 'a policy file that is not in force, or that cannot be read');
  await rename(join(home, 'policies', 'schedules', 'new.yaml'), join(home, 'spool', 'new.yaml'));

  const objects = join(home, 'payloads', 'objects');
  await rename(objects, `${objects}.away`);
  const store = (await bad()).find((check) => check.tried === 'store');
  assert.match(store?.found ?? '', /there is no store/);
  assert.match(store?.remedy ?? '', /mounted/);
  await rename(`${objects}.away`, objects);
  assert.equal((await examine(home, environment, systemClock)).ok, true);
});
