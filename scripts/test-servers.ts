// `npm run test:servers`: the collectors against a real AT Protocol network and the store against a real S3 service. Installs what they
// need where it can (packages into test/servers, Debian's packages as root), and says plainly what a machine cannot run.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const SERVERS = join(ROOT, 'test', 'servers');
const S3_TESTS = ['s3.test.ts', 'lock-keeper.test.ts', 's3-upload.test.ts', 'archive-in-bucket.test.ts'];

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** @returns whether the command ended well; its output is shown only when it did not */
function succeeds(command: string, parameters: readonly string[], folder: string): boolean {
  const ran = spawnSync(command, parameters, {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (ran.status === 0) return true;
  say(
    `${command} ${parameters.join(' ')}: ${ran.error?.message ?? `${ran.stdout}${ran.stderr}`.slice(-1500)}`,
  );
  return false;
}

const isOnPath = (program: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));

/** Node's own headers come with its npm package, so that nothing is downloaded outside the registry. */
function headersFolder(): string | null {
  const require = createRequire(import.meta.url);
  const name = `node-${process.platform}-${process.arch}`;
  for (const candidate of [dirname(dirname(process.execPath)), ...safeResolve(require, name)]) {
    if (existsSync(join(candidate, 'include', 'node', 'node.h'))) return candidate;
  }
  return null;
}

function safeResolve(require: NodeJS.Require, name: string): string[] {
  try {
    return [dirname(require.resolve(`${name}/package.json`))];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return [];
    throw error;
  }
}

function prepareAtproto(): string | null {
  if (!existsSync(join(SERVERS, 'node_modules', '@atproto', 'dev-env'))) {
    say('Installing the AT Protocol servers into test/servers …');
    if (!succeeds('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], SERVERS))
      return 'its packages could not be installed';
  }
  if (
    !existsSync(join(SERVERS, 'node_modules', 'better-sqlite3', 'build', 'Release', 'better_sqlite3.node'))
  ) {
    const headers = headersFolder();
    say('Compiling better-sqlite3 for them …');
    const build = ['rebuild', 'better-sqlite3', ...(headers === null ? [] : [`--nodedir=${headers}`])];
    if (!succeeds('npm', build, SERVERS)) return 'better-sqlite3 could not be compiled';
  }
  if (!isOnPath('redis-server')) {
    const isRoot = process.getuid?.() === 0;
    if (!isRoot || !isOnPath('apt-get')) return 'there is no redis-server (install Redis)';
    say('Installing Redis …');
    succeeds('apt-get', ['-qq', 'update'], SERVERS);
    if (!succeeds('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', 'redis-server'], SERVERS))
      return 'Redis could not be installed';
  }
  return null;
}

const S3 = join(ROOT, 'scripts', 's3-local.sh');

/** Runs test files. @returns whether they passed */
function passes(files: readonly string[], environment: Record<string, string> = {}): boolean {
  const ran = spawnSync(process.execPath, ['--test', ...files], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  return ran.status === 0;
}

async function testCollectors(): Promise<boolean> {
  const obstacle = prepareAtproto();
  if (obstacle !== null) {
    say(`SKIPPED: tests against a real AT Protocol network, since ${obstacle}.`);
    return true;
  }
  const files = (await readdir(SERVERS)).filter((name) => name.endsWith('.test.ts'));
  return passes(files.map((name) => join(SERVERS, name)));
}

async function testStore(): Promise<boolean> {
  if (!isOnPath('radosgw')) {
    const isRoot = process.getuid?.() === 0;
    if (!isRoot || !isOnPath('apt-get')) {
      say('SKIPPED: tests against a real S3 service, since there is no Ceph RADOS Gateway (radosgw).');
      return true;
    }
    say('Installing Ceph …');
    if (!succeeds('bash', [S3, 'install'], ROOT)) {
      say('SKIPPED: tests against a real S3 service, since Ceph could not be installed.');
      return true;
    }
  }
  const folder = await mkdtemp(join(tmpdir(), 'muniment-s3-'));
  const started = spawnSync('bash', [S3, 'start', folder], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    if (started.status !== 0) {
      say('SKIPPED: tests against a real S3 service, since it did not start here (its reason stands above).');
      return true;
    }
    const lines = started.stdout.matchAll(/^export (\w+)='?([^'\n]*)'?$/gm);
    return passes(
      S3_TESTS.map((name) => join(ROOT, 'test', 'store', name)),
      Object.fromEntries([...lines].map(([, name, value]) => [name, value])),
    );
  } finally {
    spawnSync('bash', [S3, 'stop', folder], { stdio: 'inherit' });
    await rm(folder, { recursive: true, force: true });
  }
}

const good = [await testCollectors(), await testStore()];
process.exitCode = good.every(Boolean) ? 0 : 1;
