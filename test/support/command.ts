// Runs the real command line: in this process where only its words and its exit code matter, or as a user does, bin/muniment in a
// process of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { readEnvironment } from '../../src/config.ts';
import { runCommandLine } from '../../src/interfaces/cli/program.ts';

export const PROGRAM = join(import.meta.dirname, '..', '..', 'bin', 'muniment');

/** The token and the home of whoever runs the tests are none of theirs. */
const NOBODY = { MUNIMENT_TOKEN: '', MUNIMENT_HOME: '' };

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param args of muniment, as typed */
export async function muniment(
  args: readonly string[],
  { env = {} }: { env?: Record<string, string> } = {},
): Promise<Ended> {
  const said = { stdout: '', stderr: '' };
  const listener = (stream: keyof typeof said) => ({
    write(text: string) {
      said[stream] += text;
    },
  });
  const streams = { stdout: listener('stdout'), stderr: listener('stderr') };
  const environment = readEnvironment({ ...process.env, ...NOBODY, ...env });
  const code = await runCommandLine(args, { environment, streams });
  return { code, ...said };
}

/** @param options.program another launcher than the checkout's. @param options.timeout milliseconds until it is killed, which ends with no code */
export async function munimentProcess(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; program?: string; timeout?: number } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [options.program ?? PROGRAM, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: options.cwd,
    timeout: options.timeout,
    killSignal: 'SIGKILL',
    // The test's own coverage is not the program's.
    env: { ...process.env, NODE_V8_COVERAGE: '', ...NOBODY, ...options.env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
