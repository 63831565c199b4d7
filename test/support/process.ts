// Runs a command of a faulted archive in a process of its own, with something preloaded that disturbs it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Ended, FaultedArchive } from './faulted-archive.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const PROGRAM = join(ROOT, 'src', 'main.ts');

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * @param options.preload a file of this folder
 * @param options.limit kibibytes that no file of the process may exceed
 * @param options.begun is given the process when it begins
 */
export async function runDisturbed(
  archive: Pick<FaultedArchive, 'home' | 'environment'>,
  command: readonly string[],
  options: {
    preload?: string;
    variables?: Record<string, string>;
    limit?: number;
    begun?: (child: ChildProcess) => void;
  } = {},
): Promise<ProcessEnd> {
  const { preload, variables = {}, limit } = options;
  const program = [
    process.execPath,
    ...(preload === undefined ? [] : ['--import', join(import.meta.dirname, preload)]),
    PROGRAM,
    '--home',
    archive.home,
    ...command,
  ];
  const [first, ...rest] =
    limit === undefined ? program : ['bash', '-c', `ulimit -f ${limit}; exec "$@"`, 'bash', ...program];
  const child = spawn(first as string, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      // A killed process would leave half a coverage file.
      NODE_V8_COVERAGE: '',
      // Hundreds of processes load the same code.
      NODE_COMPILE_CACHE: limit === undefined ? join(tmpdir(), 'muniment-test-compiled') : '',
      ...(archive.environment.variables as Record<string, string>),
      ...variables,
    },
  });
  options.begun?.(child);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, stdout, stderr };
}

/** What an operator was told: a stack trace, or the code of an unexpected failure, tells nothing. */
export function asTold({ code, stderr }: ProcessEnd): Ended {
  if (code === 0) return { outcome: 'completed', code: '' };
  if (code === null || code === 1 || /^ {4}at /m.test(stderr))
    return { outcome: 'unclear', code: `exit ${code}: ${stderr}` };
  return { outcome: 'told', code: `exit ${code}` };
}
