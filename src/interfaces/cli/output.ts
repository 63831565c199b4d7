// How the command line speaks: one JSON document with --json, sentences otherwise; progress and logs on stderr.

import { EXIT, type ExitCode, exitCodeOf, MunimentError } from '../../core/errors.ts';

export interface Output {
  readonly json: boolean;
  /** The result: `value` with --json, the sentences otherwise. */
  result(value: unknown, sentences: string | (() => string)): void;
  progress(text: string): void;
}

export function openOutput(json: boolean): Output {
  return {
    json,
    result(value, sentences) {
      const text = json
        ? JSON.stringify(value, null, 2)
        : typeof sentences === 'string'
          ? sentences
          : sentences();
      process.stdout.write(`${text}\n`);
    },
    progress(text) {
      if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text}`);
    },
  };
}

/** What the operating system may refuse to any command, at any write. */
const REMEDIES: ReadonlyMap<string, string> = new Map([
  [
    'ENOSPC',
    "A disk is full: free or add space for the archive's home and for what you write, then run it again.",
  ],
  ['EDQUOT', 'The disk quota is used up: raise it, then run it again.'],
  ['EACCES', 'Run it as the user who owns the archive, and write where this user may.'],
  ['EPERM', 'Run it as the user who owns the archive, and write where this user may.'],
  ['EROFS', 'The file system is mounted read-only: mount it for writing, then run it again.'],
  ['EMFILE', 'Too many files are open: raise the limit (`ulimit -n`), then run it again.'],
  ['EIO', 'A disk reports errors: stop writing, check the disk, and then `muniment verify`.'],
]);

/** Tells an error: what happened, and what to do next. @returns the exit code */
export function tellError(error: unknown, json: boolean): ExitCode {
  const code = exitCodeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const remedy = REMEDIES.get((error as NodeJS.ErrnoException | null)?.code ?? '');
  const hint = error instanceof MunimentError ? (error.hint ?? null) : (remedy ?? null);
  if (json) writeErrorDocument({ message, hint, exitCode: code });
  process.stderr.write(`muniment: ${message}\n${hint === null ? '' : `  ${hint}\n`}`);
  const isFaultOfOurs = !(error instanceof MunimentError) && remedy === undefined;
  if (code === EXIT.unexpected && isFaultOfOurs && error instanceof Error) {
    process.stderr.write(`${error.stack ?? ''}\n`);
  }
  return code;
}

/** The JSON document of a faulty command line; its sentence is on stderr already. */
export function tellUsageFault(message: string): void {
  writeErrorDocument({
    message,
    hint: 'Add --help to the command for what can be said.',
    exitCode: EXIT.usage,
  });
}

function writeErrorDocument(error: { message: string; hint: string | null; exitCode: ExitCode }): void {
  process.stdout.write(`${JSON.stringify({ error }, null, 2)}\n`);
}
