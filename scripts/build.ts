// `npm run build`: dist/, the program as an installed package runs it. The compiler writes the JavaScript; every file that the
// program reads by its path is copied beside it, to the byte.

import { spawnSync } from 'node:child_process';
import { cpSync, globSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');

function compile(): void {
  const compiler = join(ROOT, 'node_modules', '.bin', 'tsc');
  const ran = spawnSync(compiler, ['-p', join(ROOT, 'tsconfig.build.json')], { stdio: 'inherit' });
  if (ran.error !== undefined) throw ran.error;
  if (ran.status !== 0) throw new Error('the compiler found errors, so dist/ is not complete');
}

/** What is neither source nor documentation is read at run time: a bundle holds the verifier to the byte, for one. */
function copyAssets(): void {
  const assets = globSync('**/*', { cwd: join(ROOT, 'src'), withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.(ts|mts|md)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  for (const asset of assets) cpSync(asset, join(DIST, asset.slice(join(ROOT, 'src').length)));
}

rmSync(DIST, { recursive: true, force: true });
compile();
copyAssets();
