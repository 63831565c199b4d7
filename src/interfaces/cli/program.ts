// The command line: one table of commands, one place where errors become exit codes. What a command does is in its own file.

import { Command, CommanderError } from 'commander';
import { readEnvironment } from '../../config.ts';
import { systemClock } from '../../core/clock.ts';
import { EXIT, type ExitCode } from '../../core/errors.ts';
import { addArchiveCommands } from './cmd-archive.ts';
import { addCaptureCommands } from './cmd-capture.ts';
import { addPolicyCommands } from './cmd-policy.ts';
import { addReadCommands } from './cmd-read.ts';
import { addStoreCommands } from './cmd-store.ts';
import { openOutput, tellError } from './output.ts';
import type { Shell } from './shell.ts';

const EXIT_CODES = `
Exit codes: 0 done · 1 unexpected failure · 2 bad usage, configuration or input · 3 verification failed
            4 refused by a rule · 5 finished, but incomplete`;

/** @param args without node and script. @returns the exit code */
export async function runCommandLine(args: readonly string[]): Promise<ExitCode> {
  const environment = readEnvironment();
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  const program = new Command('muniment')
    .description('An archive of what public agencies and the public say on social media.')
    .option('--home <dir>', 'the archive (default: $MUNIMENT_HOME, else the current folder)')
    .option('--json', 'one JSON document on stdout', false)
    .addHelpText('after', EXIT_CODES)
    .showHelpAfterError('(add --help for what can be said)')
    .exitOverride()
    .configureOutput({ writeErr: (text) => process.stderr.write(text) });
  let code: ExitCode = EXIT.done;
  const shell: Shell = {
    environment,
    clock: systemClock,
    signal: stop.signal,
    home: () => (program.opts().home as string | undefined) ?? environment.home ?? process.cwd(),
    output: () => openOutput(program.opts().json === true),
    end: (ended) => {
      code = ended;
    },
  };
  addArchiveCommands(program, shell);
  addCaptureCommands(program, shell);
  addPolicyCommands(program, shell);
  addReadCommands(program, shell);
  addStoreCommands(program, shell);
  for (const command of program.commands) {
    command.exitOverride();
    for (const inner of command.commands) inner.exitOverride();
  }
  try {
    await program.parseAsync(args as string[], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    return tellError(error, program.opts().json === true);
  } finally {
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
  }
}
