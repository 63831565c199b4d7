// Makes test/fixtures/first-archive.json.gz: an archive as the first commit made it whose capture worked end to end, with its own code, for
// the test that today's code still takes it. Run once; kept for whoever doubts the fixture: node bin/node scripts/first-archive.ts

import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const COMMIT = 'e7685a1';
const ROOT = join(import.meta.dirname, '..');
const TARGET = join(ROOT, 'test', 'fixtures', 'first-archive.json.gz');

/** Runs within the old checkout, with the old code. */
const MAKER = `
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import pg from 'pg';
import { createRequire } from 'node:module';
const { to: copyTo } = createRequire(import.meta.url)('pg-copy-streams');
import { openHomeDatabase } from './src/context.ts';
import { FakePlatform } from './test/support/appview.ts';
import { collectCity, testArchive, verifyArchiveOf } from './test/support/archive.ts';

const cleanups = [];
const platform = await FakePlatform.start();
const road = platform.post('1', 'Main Street is closed', { image: Buffer.from('a picture, as far as bytes go') });
platform.post('2', 'Council meets on Tuesday');
platform.post('3', 'مرحبا 🎉');
const reply = platform.post('a', 'Until when?', { did: 'did:plc:citizenaaaaaaaaaaaaaaaaa', handle: 'ana.example', parent: road });
const { home, archive } = await testArchive({ after: (work) => cleanups.push(work) }, platform);
await collectCity(archive);
road.text = 'Main Street is closed until Friday';
platform.remove(reply);
await collectCity(archive);
platform.posts.push(reply);
await collectCity(archive);
const { ok, size, root, payloads } = await verifyArchiveOf(archive);
if (!ok) throw new Error('the archive does not verify');

const files = {};
for (const entry of await readdir(home, { recursive: true, withFileTypes: true })) {
  const path = relative(home, join(entry.parentPath, entry.name));
  if (entry.isFile() && !path.startsWith('postgres')) files[path] = (await readFile(join(home, path))).toString('base64');
}
const urls = await openHomeDatabase(archive.settings);
const client = new pg.Client({ connectionString: urls.adminUrl });
await client.connect();
const { rows } = await client.query("SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'kysely%' ORDER BY oid");
const tables = {};
for (const { name } of rows) {
  let text = '';
  for await (const chunk of client.query(copyTo('COPY "' + name + '" TO STDOUT'))) text += chunk;
  tables[name] = text;
}
const schema = (await client.query('SELECT name FROM kysely_migration ORDER BY name')).rows.map((row) => row.name);
await client.end();
await urls[Symbol.asyncDispose]();
await mkdir(dirname(process.argv[2]), { recursive: true });
await writeFile(process.argv[2], gzipSync(JSON.stringify({ commit: process.argv[3], size, root, payloads, schema, files, tables }), { level: 9 }));
for (const work of cleanups) await work();
await platform[Symbol.asyncDispose]();
`;

function run(command: string, args: readonly string[], cwd: string): void {
  const { status } = spawnSync(command, args, { cwd, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}`);
}

const folder = await mkdtemp(join(tmpdir(), 'muniment-first-'));
const checkout = join(folder, 'checkout');
run('git', ['worktree', 'add', '--detach', checkout, COMMIT], ROOT);
try {
  // Its lock file named tools that were not all published: those stay out, what it runs on has exact versions.
  run('npm', ['install', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'], checkout);
  await symlink(
    join(ROOT, 'node_modules', 'pg-copy-streams'),
    join(checkout, 'node_modules', 'pg-copy-streams'),
  );
  await writeFile(join(checkout, 'make-first.ts'), MAKER);
  run(process.execPath, ['make-first.ts', TARGET, COMMIT], checkout);
} finally {
  run('git', ['worktree', 'remove', '--force', checkout], ROOT);
  await rm(folder, { recursive: true });
}
