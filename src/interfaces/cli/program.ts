// The command line: one table of commands, one place where errors become exit codes. What a command does is in its own file.

import { Command, CommanderError } from 'commander';
import { type Environment, readEnvironment } from '../../config.ts';
import { SOFTWARE } from '../../context.ts';
import { systemClock } from '../../core/clock.ts';
import { EXIT, type ExitCode, IncompleteError } from '../../core/errors.ts';
import { addAlertCommands } from './cmd-alerts.ts';
import { addArchiveCommands } from './cmd-archive.ts';
import { addBackupCommands } from './cmd-backup.ts';
import { addCaptureCommands } from './cmd-capture.ts';
import { addDoctorCommand } from './cmd-doctor.ts';
import { addPolicyCommands } from './cmd-policy.ts';
import { addReadCommands } from './cmd-read.ts';
import { addStoreCommands } from './cmd-store.ts';
import { openOutput, type Streams, tellError, tellUsageFault } from './output.ts';
import type { Shell } from './shell.ts';

const EXIT_CODES = `
Exit codes: 0 done · 1 unexpected failure · 2 bad usage, configuration or input · 3 verification failed
            4 refused by a rule · 5 finished, but incomplete`;

/** A command that a signal ended is no failure of it. @returns any other error as it is */
function stopped(error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== 'AbortError') return error;
  return new IncompleteError('it was told to stop, and stopped before its end', {
    hint: 'Run the command again: what is stored stays, and the rest is done then.',
    cause: error,
  });
}

/** Where a command line is said: the process, unless told. */
export interface Surroundings {
  readonly environment?: Environment;
  readonly streams?: Streams;
}

/** @param args without node and script. @returns the exit code */
export async function runCommandLine(
  args: readonly string[],
  { environment = readEnvironment(), streams = process }: Surroundings = {},
): Promise<ExitCode> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  const program = new Command('muniment')
    .description('An archive of what public agencies and the public say on social media.')
    .option('--home <dir>', 'the archive (default: $MUNIMENT_HOME, else the current folder)')
    .option('--json', 'one JSON document on stdout', false)
    .version(SOFTWARE, '--version', 'print the version')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('afterAll', EXIT_CODES)
    .showHelpAfterError('(add --help for what can be said)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => streams.stdout.write(text),
      writeErr: (text) => streams.stderr.write(text),
    });
  let code: ExitCode = EXIT.done;
  const shell: Shell = {
    environment,
    clock: systemClock,
    signal: stop.signal,
    home: () => (program.opts().home as string | undefined) ?? environment.home ?? process.cwd(),
    output: () => openOutput(program.opts().json === true, streams),
    end: (ended) => {
      code = ended;
    },
  };
  addArchiveCommands(program, shell);
  addCaptureCommands(program, shell);
  addPolicyCommands(program, shell);
  addReadCommands(program, shell);
  addStoreCommands(program, shell);
  addDoctorCommand(program, shell);
  addAlertCommands(program, shell);
  addBackupCommands(program, shell);
  try {
    await program.parseAsync(args as string[], { from: 'user' });
    return code;
  } catch (error) {
    // A faulty command line is told before its options are known.
    const json = args.includes('--json');
    if (!(error instanceof CommanderError))
      return tellError(stop.signal.aborted ? stopped(error) : error, json, streams);
    if (error.exitCode === 0) return EXIT.done;
    if (json) tellUsageFault(error.message.replace(/^error: /, ''), streams);
    return EXIT.usage;
  } finally {
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
  }
}
