// `muniment doctor` on a real archive, whole and damaged, with a directory store; what it does with a bucket is in test/store/probe.test.ts.

import assert from 'node:assert/strict';
import { chmod, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { systemClock } from '../src/core/clock.ts';
import type { Check } from '../src/doctor/check.ts';
import { databaseChecks } from '../src/doctor/database-checks.ts';
import { type Examination, examinationText, examine } from '../src/doctor.ts';
import { FakePlatform } from './support/appview.ts';
import { collectCity, testArchive } from './support/archive.ts';
import { muniment } from './support/command.ts';
import { freshDatabase, startOwnServer } from './support/postgres.ts';

const environment = { home: null, token: null, configFolder: '/nonexistent', variables: {} };
const look = (home: string): Promise<Examination> =>
  examine(home, environment, systemClock, new AbortController().signal);
const ids = (checks: readonly Check[]): string[] => checks.map(({ id }) => id);
const amiss = (checks: readonly Check[]): string[] => ids(checks.filter(({ ok }) => !ok));

/** A check that is there, with everything said. */
function checkOf(checks: readonly Check[], id: string): Check {
  const found = checks.filter((check) => check.id === id);
  assert.equal(found.length, 1, `${id}: ${found.length} checks`);
  const [check] = found as [Check];
  for (const words of [check.tried, check.saw, check.means]) assert.ok(words.length > 0);
  if (!check.ok) assert.ok(check.fix, `${id} says how to mend it`);
  return check;
}

test('doctor finds a healthy archive healthy, names what is damaged with its remedy, and leaves nothing behind', async (t) => {
  await using platform = await FakePlatform.start();
  platform.post('1', 'Main Street is closed');
  const { home, archive } = await testArchive(t, platform, { embedded: true });
  await collectCity(archive);
  const before = (await readdir(home)).sort();

  const healthy = await look(home);
  assert.equal(healthy.ok, true);
  assert.deepEqual(amiss(healthy.checks), []);
  assert.equal(new Set(ids(healthy.checks)).size, healthy.checks.length, 'every id stands once');
  for (const id of [
    'settings',
    'keys.signing',
    'keys.secret',
    'keys.database',
    'store.write-once',
    'store.disk',
    'db.version',
    'db.append-only',
    'db.grants',
    'db.durability',
    'db.timezone',
    'db.clock',
    'db.disk',
    'head',
    'policy',
  ])
    assert.equal(checkOf(healthy.checks, id).severity, 'good', id);
  const lock = checkOf(healthy.checks, 'store.lock.enabled');
  assert.deepEqual([lock.ok, lock.severity], [true, 'note']);
  assert.match(lock.saw, /a directory, and claims lock: none/);
  assert.match(lock.means, /write-once by this program only/);
  assert.deepEqual((await readdir(home)).sort(), before);
  assert.deepEqual(await readdir(join(home, 'payloads', 'incoming')), []);

  const text = examinationText(healthy);
  for (const { id } of healthy.checks) assert.match(text, new RegExp(`(ok  |note|BAD )  ${id}\n {6}tried: `));

  const key = join(home, 'keys', 'signing.key');
  await chmod(key, 0o644);
  assert.match(checkOf((await look(home)).checks, 'keys.signing').saw, /0644/);
  await chmod(key, 0o600);

  const head = join(home, 'keys', 'head.json');
  await rename(head, `${head}.away`);
  const headless = await look(home);
  assert.equal(headless.ok, false);
  assert.equal(checkOf(headless.checks, 'head').severity, 'bad');
  await rename(`${head}.away`, head);

  const schedule = join(home, 'policies', 'schedules', 'new.yaml');
  await writeFile(schedule, '# nothing in it yet\n');
  assert.notDeepEqual(amiss((await look(home)).checks), [], 'a policy file that cannot be read');
  await rm(schedule);

  const objects = join(home, 'payloads', 'objects');
  await rename(objects, `${objects}.away`);
  const unmounted = await look(home);
  assert.deepEqual(
    amiss(unmounted.checks).sort(),
    ['archive', 'store.reach'].filter((id) => ids(unmounted.checks).includes(id)),
  );
  const store = checkOf(unmounted.checks, 'store.reach');
  assert.match(store.saw, /there is no store/);
  assert.match(store.fix ?? '', /mounted/);
  await rename(`${objects}.away`, objects);
  assert.equal((await look(home)).ok, true);
});

test('doctor on the command line prints a JSON document that monitoring can read, and ends with 5 when something is bad', async (t) => {
  await using platform = await FakePlatform.start();
  const { home } = await testArchive(t, platform, { embedded: true });
  const whole = await muniment(['--home', home, '--json', 'doctor']);
  assert.equal(whole.code, 0, whole.stdout);
  const { ok, checks } = JSON.parse(whole.stdout) as Examination;
  assert.equal(ok, true);
  for (const check of checks)
    assert.deepEqual(Object.keys(check).sort(), ['fix', 'id', 'means', 'ok', 'saw', 'severity', 'tried']);

  await chmod(join(home, 'keys', 'archive.secret'), 0o640);
  const open = await muniment(['--home', home, 'doctor']);
  assert.equal(open.code, 5, open.stdout);
  assert.match(
    open.stdout,
    /^BAD {3}keys\.secret\n {6}tried: .*\n {6}saw: .*0640\n {6}means: .*\n {6}mend: .*chmod 600/m,
  );
});

/** A database to damage as its superuser, and what doctor finds in it. */
async function damagedDatabase(t: TestContext) {
  const fresh = await freshDatabase();
  const admin = new pg.Client({ connectionString: fresh.adminUrl });
  await admin.connect();
  t.after(async () => {
    await admin.end();
    await fresh.close();
  });
  const found = () =>
    databaseChecks({ runtimeUrl: fresh.runtimeUrl, adminUrl: null, timezone: 'UTC', clock: systemClock });
  return { admin, found };
}

test('doctor sees that a database lets the archive change its records, has too many rights, or too few', async (t) => {
  const { admin, found } = await damagedDatabase(t);
  // The tests' own server runs without fsync: these data live as long as a test.
  const checks = await found();
  const durability = checkOf(checks, 'db.durability');
  assert.deepEqual([durability.ok, durability.severity], [false, 'bad']);
  assert.match(durability.saw, /fsync is off, full_page_writes is off/);
  assert.match(durability.fix ?? '', /fsync = on, full_page_writes = on/);
  assert.deepEqual(amiss(checks), ['db.durability']);
  assert.match(checkOf(checks, 'db.append-only').saw, /all \d\d statements were refused/);
  assert.match(checkOf(checks, 'db.disk').saw, /the disk is its server's/);

  const damages: [what: string, damage: string, repair: string, id: string, says: RegExp][] = [
    [
      'a trigger switched off',
      'ALTER TABLE ledger_entries DISABLE TRIGGER append_only',
      'ALTER TABLE ledger_entries ENABLE TRIGGER append_only',
      'db.append-only',
      /switched off: ledger_entries\.append_only/,
    ],
    [
      'a grant and no trigger',
      'ALTER TABLE checkpoints DISABLE TRIGGER append_only; GRANT UPDATE, DELETE ON checkpoints TO muniment_runtime',
      'ALTER TABLE checkpoints ENABLE TRIGGER append_only; REVOKE UPDATE, DELETE ON checkpoints FROM muniment_runtime',
      'db.append-only',
      /let these through .*UPDATE checkpoints, DELETE FROM checkpoints/,
    ],
    [
      'a grant on one column',
      'GRANT UPDATE (note) ON checkpoints TO muniment_runtime',
      'REVOKE UPDATE (note) ON checkpoints FROM muniment_runtime',
      'db.grants',
      /muniment_test has UPDATE on checkpoints/,
    ],
    [
      'an eraser that may do more',
      'GRANT TRUNCATE ON payloads TO muniment_eraser',
      'REVOKE TRUNCATE ON payloads FROM muniment_eraser',
      'db.grants',
      /muniment_eraser has TRUNCATE on payloads/,
    ],
    [
      'a table of its own',
      'GRANT CREATE ON SCHEMA public TO muniment_runtime',
      'REVOKE CREATE ON SCHEMA public FROM muniment_runtime',
      'db.grants',
      /may make tables in public/,
    ],
    [
      'a right that is missing',
      'REVOKE INSERT ON ledger_entries FROM muniment_runtime',
      'GRANT INSERT ON ledger_entries TO muniment_runtime',
      'db.grants',
      /lacks INSERT on ledger_entries/,
    ],
  ];
  for (const [what, damage, repair, id, says] of damages) {
    await t.test(what, async () => {
      await admin.query(damage);
      const check = checkOf(await found(), id);
      await admin.query(repair);
      assert.equal(check.severity, 'bad');
      assert.match(check.saw, says);
    });
  }
  assert.deepEqual(amiss(await found()), ['db.durability'], 'everything is as before');
});

test('doctor never lets a record be changed while it tries: a rewritten row is taken back', async (t) => {
  const { admin, found } = await damagedDatabase(t);
  await admin.query("SET session_replication_role = 'replica'");
  await admin.query(
    "INSERT INTO payloads (commitment, seq, run_id, role, content_type, length, sha256) VALUES (repeat('a', 64), 0, gen_random_uuid(), 'slice', 'text/plain', 1, 'digest')",
  );
  const appendOnly = async () => checkOf(await found(), 'db.append-only');
  const guarded = await appendOnly();
  assert.equal(guarded.ok, true, guarded.saw);
  await admin.query('ALTER TABLE payloads DISABLE TRIGGER only_erase');
  const open = await appendOnly();
  assert.match(open.saw, /UPDATE payloads as muniment_eraser/);
  const { rows } = await admin.query('SELECT sha256 FROM payloads');
  assert.deepEqual(rows, [{ sha256: 'digest' }]);
});

test('a database or a store that cannot be had is a finding with a remedy, never a stack', async (t) => {
  const server = await startOwnServer(t);
  await using platform = await FakePlatform.start();
  const { home } = await testArchive(t, platform, { embedded: true });
  const settings = join(home, 'muniment.yaml');
  const written = await readFile(settings, 'utf8');
  const cases: [what: string, url: string, says: RegExp][] = [
    ['a wrong password', server.urlOf('postgres', 'wrong', 'postgres'), /refuses the password of postgres/],
    ['no such database', server.adminUrl('absent'), /has no database absent/],
    ['nobody listens', 'postgres://archive:x@127.0.0.1:1/city', /does not answer/],
    ['not migrated', server.adminUrl(), /lacks \d migration|must not work as|relation .* does not exist/],
  ];
  for (const [what, url, says] of cases) {
    await t.test(what, async () => {
      await writeFile(settings, `${written}database: { url: "\${CITY_URL}" }\n`);
      const ended = await muniment(['--home', home, '--json', 'doctor'], { env: { CITY_URL: url } });
      assert.equal(ended.code, 5, ended.stdout + ended.stderr);
      assert.equal(ended.stderr, '');
      const { checks } = JSON.parse(ended.stdout) as Examination;
      const told = checks.filter(({ severity }) => severity === 'bad');
      assert.ok(
        told.some(({ saw }) => says.test(saw)),
        ended.stdout,
      );
      for (const { fix } of told) assert.ok(fix);
      assert.doesNotMatch(ended.stdout, /^ *at /m);
    });
  }
  await writeFile(settings, written);
});
