// What every command receives: where it runs, as whom, and how it speaks.

import type { Environment } from '../../config.ts';
import { type Archive, openArchive } from '../../context.ts';
import type { Clock } from '../../core/clock.ts';
import type { ExitCode } from '../../core/errors.ts';
import type { Output } from './output.ts';

export interface Shell {
  readonly environment: Environment;
  readonly clock: Clock;
  /** Aborted by SIGTERM and SIGINT. */
  readonly signal: AbortSignal;
  home(): string;
  output(): Output;
  /** Sets an exit code other than 0 for work that ended without an error. */
  end(code: ExitCode): void;
}

/** @param purpose what only reads says so, and works in a drill too */
export function openHome(shell: Shell, purpose: 'work' | 'reading' = 'work'): Promise<Archive> {
  return openArchive(shell.home(), shell.environment, shell.clock, purpose);
}
