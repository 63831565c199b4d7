// store renew: what keeps the object store in order.

import type { Command } from 'commander';
import { EXIT } from '../../core/errors.ts';
import { requirePermission } from '../../core/people.ts';
import { renewArchiveLocks, renewalText } from '../../locks.ts';
import { openHome, type Shell } from './shell.ts';

export function addStoreCommands(program: Command, shell: Shell): void {
  const store = program.command('store').description('the store of payloads');
  store
    .command('renew')
    .description('lock payloads on whose lock would end before half of the horizon (serve does it daily)')
    .action(async () => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'store renew');
      const output = shell.output();
      const outcome = await renewArchiveLocks(archive, {
        signal: shell.signal,
        onProgress: ({ extended, failed }) => output.progress(`${extended} extended, ${failed} failed`),
      });
      output.progress('');
      output.result({ locks: outcome }, () =>
        outcome === null
          ? `${archive.store.location} has no locks: there is nothing to renew.`
          : renewalText(outcome),
      );
      if (outcome !== null && outcome.failed > 0) shell.end(EXIT.incomplete);
    });
}
