// `npm run test:servers [-- collectors|store]`: the collectors against a real AT Protocol network and the store against a real S3 service. Installs what they
// need where it can (packages into test/servers, Debian's packages as root), and says plainly what a machine cannot run.

import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const SERVERS = join(ROOT, 'test', 'servers');

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

/** How to run the suite on a machine where it was skipped. */
const BY_HAND = `To run it: \`sudo bash scripts/s3-local.sh install\` on Debian or Ubuntu, then \`npm run test:servers -- store\`. Or on any S3 service that may be
filled with rubbish: set S3_TEST_ENDPOINT, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then the same.`;

/** Test files that ask for an S3 service. */
function storeSuites(): string[] {
  return globSync('test/**/*.test.ts', { cwd: ROOT, exclude: ['test/servers/**'] })
    .filter((file) => readFileSync(join(ROOT, file), 'utf8').includes('S3_TEST_ENDPOINT'))
    .sort();
}

function skipStore(files: readonly string[], reason: string): boolean {
  say(`SKIPPED: ${files.join(', ')} against a real S3 service, since ${reason}.\n${BY_HAND}`);
  return true;
}

/** @returns why there is no Ceph here, or null when there is */
function prepareCeph(): string | null {
  if (spawnSync('bash', [S3, 'check']).status === 0) return null;
  if (process.getuid?.() !== 0) return 'there is no Ceph RADOS Gateway, and only root could install it';
  if (!isOnPath('apt-get')) return 'there is no Ceph RADOS Gateway, and no apt-get to install it with';
  say('Installing Ceph …');
  return succeeds('bash', [S3, 'install'], ROOT)
    ? null
    : 'Ceph could not be installed (its reason stands above)';
}

async function testStore(): Promise<boolean> {
  const files = storeSuites();
  if (process.env.S3_TEST_ENDPOINT) return passes(files);
  const obstacle = prepareCeph();
  if (obstacle !== null) return skipStore(files, obstacle);
  const folder = await mkdtemp(join(tmpdir(), 'muniment-s3-'));
  try {
    const started = spawnSync('bash', [S3, 'start', folder, String(await freePort())], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (started.status !== 0) return skipStore(files, 'it did not start here (its reason stands above)');
    const lines = started.stdout.matchAll(/^export (\w+)='?([^'\n]*)'?$/gm);
    return passes(
      files,
      Object.fromEntries([...lines].map(([, name, value]) => [name as string, value as string])),
    );
  } finally {
    spawnSync('bash', [S3, 'stop', folder], { stdio: 'inherit' });
    await rm(folder, { recursive: true, force: true });
  }
}

/** A port with the fifty after it free, below those that the system gives out: two runs on one machine do not meet. */
async function freePort(): Promise<number> {
  for (let port = 18000; port < 28000; port += 50) {
    const taken = await Promise.all([0, 1, 2, 3, 10, 20, 30].map((more) => isTaken(port + more)));
    if (!taken.includes(true)) return port;
  }
  return 18000;
}

function isTaken(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(true));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(false)));
  });
}

const SUITES = { collectors: testCollectors, store: testStore };
const named = process.argv.slice(2);
const unknown = named.filter((name) => !(name in SUITES));
if (unknown.length > 0) {
  say(`There is no suite ${unknown.join(', ')}: name ${Object.keys(SUITES).join(' or ')}, or none for both.`);
  process.exitCode = 2;
} else {
  for (const [name, suite] of Object.entries(SUITES))
    if ((named.length === 0 || named.includes(name)) && !(await suite())) process.exitCode = 1;
}
