// doctor: what the archive leans on, tried.

import type { Command } from 'commander';
import { EXIT } from '../../core/errors.ts';
import { examinationText, examine } from '../../doctor.ts';
import type { Shell } from './shell.ts';

export function addDoctorCommand(program: Command, shell: Shell): void {
  program
    .command('doctor')
    .description('try what the archive leans on: keys, store, database, signed head, policy')
    .action(async () => {
      const found = await examine(shell.home(), shell.environment, shell.clock, shell.signal);
      shell.output().result(found, () => examinationText(found));
      if (!found.ok) shell.end(EXIT.incomplete);
    });
}
