// `npm run test:package`: packs this checkout, installs the package from the npm registry into an empty folder with a space in its name, and
// does the main job with it as a user would. As root it is also used by a user without rights, who cannot write to the installation.

import { type SpawnSyncOptions, spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from '../test/support/package.ts';

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** @throws Error with what the command wrote when it did not end as it should */
function run(command: string, args: readonly string[], options: SpawnSyncOptions, expected = 0): string {
  const ran = spawnSync(command, args, { ...options, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (ran.error !== undefined) throw ran.error;
  if (ran.status !== expected)
    throw new Error(`${command} ${args.join(' ')} ended with ${ran.status}:\n${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

const folder = await mkdtemp(join(tmpdir(), 'muniment package '));
try {
  await chmod(folder, 0o755);
  const { tarball, bytes, files } = await pack(folder);
  say(`packed: ${files.length} files, ${bytes} bytes`);
  const installation = join(folder, 'an installation');
  await mkdir(installation);
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', tarball], { cwd: installation });
  say('installed');
  const program = join(installation, 'node_modules', '.bin', 'muniment');
  const muniment = (args: readonly string[], options: SpawnSyncOptions = {}, expected = 0): string =>
    run(program, args, options, expected);
  const demo = (place: string, options: SpawnSyncOptions = {}): { home: string; bundle: string } =>
    JSON.parse(muniment(['--json', 'demo', '--folder', join(place, 'a demo')], options));
  run('npx', ['muniment', '--help'], { cwd: installation });
  const own = join(folder, 'an archive');
  muniment(['init', own, '--name', 'City', '--origin', 'archive.example/social', '--timezone', 'UTC']);
  const { home, bundle } = demo(folder);
  const again = join(folder, 'again.zip');
  // What the demo read from is gone: a source that fails is told by the exit code, and the rest works on.
  muniment(['--home', home, 'collect'], {}, 5);
  muniment(['--home', home, 'export', '--out', again]);
  muniment(['--home', home, 'verify']);
  const key = (await readFile(join(home, 'keys', 'archive.vkey'), 'utf8')).trim();
  for (const file of [bundle, again]) muniment(['verify-bundle', file, '--key', key]);
  for (const archive of [own, home]) muniment(['--home', archive, 'db', 'stop']);
  say('init, collect, export, verify, verify-bundle and demo work for the user who installed it');
  if (process.getuid?.() === 0) {
    const NOBODY = 65534;
    const theirs = join(folder, 'theirs');
    await mkdir(theirs);
    await chown(theirs, NOBODY, NOBODY);
    const env = { ...process.env, HOME: theirs, npm_config_cache: join(theirs, '.npm') };
    const options = { cwd: theirs, uid: NOBODY, gid: NOBODY, env };
    const made = demo(theirs, options);
    muniment(['--home', made.home, 'db', 'stop'], options);
    say('the demo works too for a user without rights, who cannot write to the installation');
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
