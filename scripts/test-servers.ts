// `npm run test:servers [-- collectors|store]`: the collectors against a real AT Protocol network and the store against a real S3 service.
// Installs what they need where it can (packages into test/servers, Debian's packages as root), and says plainly what a machine cannot run.

import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { withS3 } from './local-s3.ts';

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

/** Runs test files. @returns whether they passed */
function passes(files: readonly string[]): boolean {
  const ran = spawnSync(process.execPath, ['--test', ...files], {
    cwd: ROOT,
    stdio: 'inherit',
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

/** Test files that ask for an S3 service, themselves or through what they import of the tests. */
function storeSuites(): string[] {
  return globSync('test/**/*.test.ts', { cwd: ROOT, exclude: ['test/servers/**'] })
    .filter((file) => asksForS3(join(ROOT, file), new Set()))
    .sort();
}

function asksForS3(file: string, seen: Set<string>): boolean {
  if (seen.has(file) || !file.startsWith(join(ROOT, 'test')) || !existsSync(file)) return false;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  if (text.includes('S3_TEST_ENDPOINT')) return true;
  return [...text.matchAll(/^(?:import|export|\}) .*from '(\.[^']+\.ts)';$/gm)].some(([, path]) =>
    asksForS3(join(dirname(file), path as string), seen),
  );
}

async function testStore(): Promise<boolean> {
  const files = storeSuites();
  return withS3({ install: true, say }, async (found) => {
    if ('missing' in found) {
      say(`SKIPPED: ${files.join(', ')} against a real S3 service, since ${found.missing}.\n${BY_HAND}`);
      return true;
    }
    Object.assign(process.env, found.variables);
    const suites = passes(files);
    const faults = spawnSync(process.execPath, [join(ROOT, 'scripts', 'test-faults.ts'), '--middle'], {
      cwd: ROOT,
      stdio: 'inherit',
    });
    return suites && faults.status === 0;
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
