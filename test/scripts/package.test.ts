// The package that an agency installs: what is in it, and that the built program does the main job.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { removeHome } from '../support/archive.ts';
import { munimentProcess } from '../support/command.ts';
import { pack } from '../support/package.ts';
import { isWhole } from '../support/whole.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..');
let folder: string;
let installed: string;
let files: string[];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'muniment package '));
  const packed = await pack(folder);
  files = packed.files;
  await run('tar', ['-xzf', packed.tarball, '-C', folder]);
  installed = join(folder, 'package');
  await symlink(join(ROOT, 'node_modules'), join(installed, 'node_modules'));
});
after(async () => {
  await removeHome(join(folder, 'empty', 'demo', 'archive'));
  await rm(folder, { recursive: true });
});

test('the package holds the built program and what it reads, no TypeScript, no test and no path of the machine that built it', async () => {
  for (const file of files) {
    assert.match(
      file,
      /^(bin|dist|migrations|policies|demo\/recordings)\/|^src\/(ledger\/FORMAT|README)\.md$|^(LICENSE|README\.md|package\.json)$/,
    );
    assert.doesNotMatch(file, /\.m?ts$|test/);
    assert.ok(!(await readFile(join(installed, file))).includes(ROOT), `${file} names ${ROOT}`);
  }
});

test('every file of the source that is no TypeScript is in dist/, to the byte', async () => {
  const assets = globSync('**/*', { cwd: join(ROOT, 'src'), withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.(ts|mts|md)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(join(ROOT, 'src').length));
  assert.ok(assets.includes('/export/verifier/verify.mjs'));
  for (const asset of assets) {
    assert.deepEqual(
      await readFile(join(installed, 'dist', asset)),
      await readFile(join(ROOT, 'src', asset)),
      asset,
    );
  }
});

// `npm run test:package` does more, from the registry.
if (isWhole)
  test('the built program captures, exports, verifies and catches tampered copies, with no source beside it', async () => {
    const program = join(installed, 'bin', 'muniment');
    const cwd = join(folder, 'empty');
    await mkdir(cwd);
    const demo = await munimentProcess(['--json', 'demo'], { program, cwd });
    assert.equal(demo.code, 0, demo.stderr);
    const made = JSON.parse(demo.stdout) as { home: string; bundle: string };
    assert.deepEqual((await readdir(join(cwd, 'demo'))).sort(), ['archive', 'bundle.zip']);
    const verified = await munimentProcess(['--json', '--home', made.home, 'verify'], { program });
    assert.equal((JSON.parse(verified.stdout) as { ok: boolean }).ok, true, verified.stderr);
    assert.equal((await munimentProcess(['--home', made.home, 'db', 'stop'], { program })).code, 0);
    // What one build writes the other reads: the checkout checks the package's bundle.
    const checked = await munimentProcess(['--json', 'verify-bundle', made.bundle]);
    assert.equal((JSON.parse(checked.stdout) as { ok: boolean }).ok, true, checked.stderr);
  });
