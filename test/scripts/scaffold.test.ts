// `npm run scaffold`: what it writes, and that it leaves alone what it does not know. With `--whole` the result is compiled and tried.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { scaffolded } from '../../scripts/scaffold-collector.ts';
import { isWhole } from '../support/whole.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

function textOf(path: string): string | null {
  return existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), 'utf8') : null;
}

test('a new collector is written and registered everywhere, in TypeScript, and nothing that stood there is lost', () => {
  const files = scaffolded('example', textOf);
  assert.deepEqual([...files.keys()].sort(), [
    'src/config.ts',
    'src/core/settings.ts',
    'src/sources/example.ts',
    'src/sources/open.ts',
    'test/sources/contracts.ts',
    'test/sources/contracts/example.ts',
  ]);
  for (const [path, text] of files) {
    assert.doesNotThrow(() => stripTypeScriptTypes(text), path);
    assert.match(text, /example/i);
    const left = text.split('\n');
    let at = 0;
    for (const line of (textOf(path) ?? '').split('\n')) {
      at = left.indexOf(line, at) + 1;
      assert.notEqual(at, 0, `${path} lost “${line}”`);
    }
  }
});

test('a platform that there is, a name that is none, and a project that looks otherwise are refused, each in a sentence', () => {
  assert.throws(() => scaffolded('reddit', textOf), /src\/sources\/reddit\.ts exists/);
  for (const name of ['', '../evil', 'Two Words', '1st'])
    assert.throws(() => scaffolded(name, textOf), /is no name of a platform/);
  const without = (path: string): string | null => (path.endsWith('open.ts') ? '' : textOf(path));
  assert.throws(() => scaffolded('example', without), /open\.ts does not hold/);
});

test('what is written compiles, and the contract suite says what is to be written', {
  skip: !isWhole,
}, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'muniment scaffold '));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const part of [
    'src',
    'scripts',
    'migrations',
    'demo',
    'bin',
    'package.json',
    'tsconfig.json',
    'biome.json',
  ])
    await cp(join(ROOT, part), join(folder, part), { recursive: true });
  const filter = (path: string): boolean => !path.includes(join('test', 'servers', 'node_modules'));
  await cp(join(ROOT, 'test'), join(folder, 'test'), { recursive: true, filter });
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const node = process.execPath;
  await run(node, [join(folder, 'scripts/scaffold-collector.ts'), 'example'], { cwd: folder });
  assert.match(await readFile(join(folder, 'src/sources/open.ts'), 'utf8'), /openExampleCollector/);
  await run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder], { cwd: folder });
  const only = ['--test', '--test-name-pattern=the example collector', 'test/sources/contract.test.ts'];
  // Of its own: under a test, another would take itself for a part of this one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const tried = await run(node, only, { cwd: folder, env }).catch((error: { stdout: string }) => error);
  assert.match(tried.stdout, /the example collector cannot yet find its account/);
});
