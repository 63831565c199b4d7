// `npm run test:servers [-- collectors|store]`: the collectors against a real AT Protocol network and a real snac (a
// part of Mastodon's API), and the store against a real S3 service.
// Installs what they need where it can (packages into test/servers, Debian's packages as root), and says plainly what a machine cannot run.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  globSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
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

/** The build splits the path of the headers at a space: it is given one that has none. */
function compiles(headers: string | null): boolean {
  if (headers === null) return succeeds('npm', ['rebuild', 'better-sqlite3'], SERVERS);
  const folder = mkdtempSync(join(tmpdir(), 'muniment-headers-'));
  const link = join(folder, 'node');
  try {
    symlinkSync(headers, link);
    return succeeds('npm', ['rebuild', 'better-sqlite3', `--nodedir=${link}`], SERVERS);
  } finally {
    rmSync(folder, { recursive: true });
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
    say('Compiling better-sqlite3 for them …');
    if (!compiles(headersFolder())) return 'better-sqlite3 could not be compiled';
  }
  if (!isOnPath('redis-server')) {
    const isRoot = process.getuid?.() === 0;
    if (!isRoot || !isOnPath('apt-get')) return 'there is no redis-server (install Redis)';
    say('Installing Redis …');
    succeeds('apt-get', ['-qq', 'update'], SERVERS);
    if (!installs('redis-server')) return 'Redis could not be installed';
  }
  return null;
}

/** snac stands in Debian's backports, so these are asked beside what the machine's own list names, without a change to that list. */
function prepareSnac(): string | null {
  if (isOnPath('snac')) return null;
  if (process.getuid?.() !== 0 || !isOnPath('apt-get')) return 'there is no snac (Debian: package snac2)';
  say('Installing snac …');
  succeeds('apt-get', ['-qq', 'update'], SERVERS);
  if (offers('snac2')) return installs('snac2') ? null : 'snac could not be installed';
  const lists = told('apt-get', ['indextargets', '--format', '$(REPO_URI) $(CODENAME) $(COMPONENT)']);
  // The release's own line, not that of its updates.
  const main = /^(\S+) ([a-z]+) main$/m.exec(lists);
  if (main === null) return 'snac is in no list of this machine';
  const folder = mkdtempSync(join(tmpdir(), 'muniment-apt-'));
  try {
    const list = join(folder, 'backports.list');
    writeFileSync(list, `deb ${main[1]} ${main[2]}-backports main\n`);
    const only = ['-o', `Dir::Etc::sourcelist=${list}`, '-o', 'Dir::Etc::sourceparts=/dev/null'];
    const quiet = ['-qq', ...only, '-o', 'APT::Get::List-Cleanup=0'];
    // apt gives up root to download, and then must be able to write here.
    chmodSync(folder, 0o777);
    if (
      !succeeds('apt-get', [...quiet, 'update'], folder) ||
      !succeeds('apt-get', [...quiet, 'download', 'snac2'], folder)
    )
      return 'snac could not be downloaded from the backports';
    const [file] = globSync('snac2_*.deb', { cwd: folder });
    return file !== undefined && installs(join(folder, file)) ? null : 'snac could not be installed';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const told = (command: string, parameters: readonly string[]): string =>
  spawnSync(command, parameters, { encoding: 'utf8' }).stdout ?? '';

const offers = (name: string): boolean => /Candidate: (?!\(none\))/.test(told('apt-cache', ['policy', name]));

const installs = (name: string): boolean =>
  succeeds('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', name], ROOT);

/** Runs test files. @returns whether they passed */
function passes(files: readonly string[]): boolean {
  const ran = spawnSync(process.execPath, ['--test', ...files], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  return ran.status === 0;
}

async function testCollectors(): Promise<boolean> {
  const files = (await readdir(SERVERS)).filter((name) => name.endsWith('.test.ts'));
  const skipped = new Set<string>();
  const servers = [
    { name: 'AT Protocol network', test: 'bluesky.test.ts', obstacle: prepareAtproto() },
    { name: 'snac (Mastodon API)', test: 'mastodon.test.ts', obstacle: prepareSnac() },
  ];
  for (const { name, test, obstacle } of servers) {
    if (obstacle === null) continue;
    say(`SKIPPED: tests against a real ${name}, since ${obstacle}.`);
    skipped.add(test);
  }
  const run = files.filter((name) => !skipped.has(name));
  return run.length === 0 || passes(run.map((name) => join(SERVERS, name)));
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
