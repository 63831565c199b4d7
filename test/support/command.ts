// Runs the real command line as a user does: bin/muniment in a process of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export const PROGRAM = join(import.meta.dirname, '..', '..', 'bin', 'muniment');

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * @param args of muniment, as typed
 * @param options.program another launcher than the checkout's
 */
export async function muniment(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; program?: string } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [options.program ?? PROGRAM, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: options.cwd,
    // The test's own coverage is not the program's; neither is the token of whoever runs the tests.
    env: { ...process.env, NODE_V8_COVERAGE: '', MUNIMENT_TOKEN: '', MUNIMENT_HOME: '', ...options.env },
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
