// `npm test`: types, lint, the import table, dead code, generated files, then every test in parallel with coverage. Arguments name test files.
// `npm test -- --whole`: the suites of which that leaves something out, whole.
// One PostgreSQL serves the whole run, so that no test file waits for a server of its own.

import { spawn } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { startTestServer } from '../test/support/postgres.ts';
import { WHOLE_VARIABLE } from '../test/support/whole.ts';

const failed: string[] = [];

function run(
  name: string,
  command: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...environment } });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code !== 0) failed.push(name);
      resolve();
    });
  });
}

const bin = (name: string): string => `node_modules/.bin/${name}`;
const { values, positionals: named } = parseArgs({
  allowPositionals: true,
  options: { whole: { type: 'boolean', default: false } },
});
const server = await startTestServer();
const environment = {
  MUNIMENT_TEST_DATABASE_URL: server.adminUrl,
  ...(values.whole ? { [WHOLE_VARIABLE]: '1' } : {}),
};

const isAll = named.length === 0 && !values.whole;
if (isAll) {
  await Promise.all([
    run('Types', bin('tsc'), ['-p', '.']),
    run('Lint and format', bin('biome'), ['check', '--error-on-warnings', '.']),
    run('The import table', process.execPath, ['scripts/import-table.ts']),
    run('Dead code', process.execPath, [bin('knip')]),
    run('Generated types', process.execPath, ['scripts/types.ts', '--check'], environment),
  ]);
}
/** Suites that wait more than they work (for a minute to begin, for processes to start and end) begin first; the others fill the time. */
const WAITING = [
  'test/interfaces/',
  'test/backup/',
  'test/db/',
  'test/capture/',
  'test/faults/',
  'test/sources/contract',
  'test/sources/fuzz',
  'test/export/tamper',
];
const isWaiting = (file: string): boolean => WAITING.some((folder) => file.startsWith(folder));
const byWaiting = (a: string, b: string): number => Number(isWaiting(b)) - Number(isWaiting(a));
/** Suites that are longer when they are whole say so by what they import. */
const isShortened = (file: string): boolean => readFileSync(file, 'utf8').includes('support/whole.ts');
const all = globSync('test/**/*.test.ts', { exclude: ['test/servers/**'] })
  .sort()
  .sort(byWaiting);
const files = named.length > 0 ? named : isAll ? all : all.filter(isShortened);
await run(
  'Tests',
  process.execPath,
  [
    '--test',
    `--test-concurrency=${availableParallelism() + 2}`,
    ...(!isAll
      ? []
      : [
          '--experimental-test-coverage',
          '--test-coverage-include=src/**',
          '--test-reporter=dot',
          '--test-reporter-destination=stderr',
          '--test-reporter=spec',
          '--test-reporter-destination=stdout',
        ]),
    ...files,
  ],
  environment,
);
// Not process.exit: the server is stopped when nothing else is left to do.
process.exitCode = failed.length === 0 ? 0 : 1;
// Last, for what comes before it is long.
if (failed.length > 0) process.stderr.write(`\nFAILED: ${failed.join(', ')}\n`);
