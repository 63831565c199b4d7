// How the command line speaks: one JSON document with --json, sentences otherwise; progress and logs on stderr.

import { EXIT, type ExitCode, exitCodeOf, MunimentError } from '../../core/errors.ts';

interface Stream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export interface Streams {
  readonly stdout: Stream;
  readonly stderr: Stream;
}

export interface Output {
  readonly json: boolean;
  /** The result: `value` with --json, the sentences otherwise. */
  result(value: unknown, sentences: string | (() => string)): void;
  /** What is told on the way to the result, where it is read by people. */
  say(text: string): void;
  /** A line beside the result. */
  note(text: string): void;
  progress(text: string): void;
}

/** What others wrote may hold what a terminal obeys: the characters' numbers are shown instead. */
function shown(text: string): string {
  return text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** In JSON these are written by their numbers too. */
const shownDocument = (value: unknown): string => shown(JSON.stringify(value, null, 2));

/** @returns what a run told, a line each, whatever lines it has within */
export function errorLines(errors: readonly { readonly code: string; readonly message: string }[]): string {
  return errors.map(({ code, message }) => `\n  ${code}: ${message.replace(/\s*\n\s*/g, ' ')}`).join('');
}

export function openOutput(json: boolean, { stdout, stderr }: Streams): Output {
  return {
    json,
    result(value, sentences) {
      const text = json
        ? shownDocument(value)
        : shown(typeof sentences === 'string' ? sentences : sentences());
      stdout.write(`${text}\n`);
    },
    say(text) {
      if (!json) stdout.write(`${shown(text)}\n`);
    },
    note(text) {
      stderr.write(`${shown(text)}\n`);
    },
    progress(text) {
      if (stderr.isTTY) stderr.write(`\r\u001b[2K${shown(text)}`);
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
export function tellError(error: unknown, json: boolean, streams: Streams): ExitCode {
  const code = exitCodeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const remedy = REMEDIES.get((error as NodeJS.ErrnoException | null)?.code ?? '');
  const hint = error instanceof MunimentError ? (error.hint ?? null) : (remedy ?? null);
  if (json) writeErrorDocument({ message, hint, exitCode: code }, streams);
  streams.stderr.write(shown(`muniment: ${message}\n${hint === null ? '' : `  ${hint}\n`}`));
  const isFaultOfOurs = !(error instanceof MunimentError) && remedy === undefined;
  if (code === EXIT.unexpected && isFaultOfOurs && error instanceof Error) {
    streams.stderr.write(shown(`${error.stack ?? ''}\n`));
  }
  return code;
}

/** The JSON document of a faulty command line; its sentence is on stderr already. */
export function tellUsageFault(message: string, streams: Streams): void {
  const hint = 'Add --help to the command for what can be said.';
  writeErrorDocument({ message, hint, exitCode: EXIT.usage }, streams);
}

function writeErrorDocument(
  error: { message: string; hint: string | null; exitCode: ExitCode },
  { stdout }: Streams,
): void {
  stdout.write(`${shownDocument({ error })}\n`);
}
