// alerts and watch: who is told what is amiss, and what the watch words find.

import type { Command } from 'commander';
import { tellAlerts, tryAlerts } from '../../alerts.ts';
import { EXIT } from '../../core/errors.ts';
import { requirePermission } from '../../core/people.ts';
import { runWatch } from '../../watch.ts';
import { openHome, type Shell } from './shell.ts';

export function addAlertCommands(program: Command, shell: Shell): void {
  program
    .command('watch')
    .description('watch words: the rules of policies/alerts/')
    .command('run')
    .description('look at every version that is there by the rules in force, and tag what they match')
    .action(async () => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'policy apply');
      const output = shell.output();
      const result = await runWatch(archive, shell.signal, (looked) => output.progress(`${looked} versions`));
      output.progress('');
      output.result(
        result,
        () =>
          `${result.looked} versions looked at, ${result.matched} matched, ${result.unread} not to be read`,
      );
      if (result.unread > 0) shell.end(EXIT.incomplete);
    });
  const alerts = program.command('alerts').description('who is told what is amiss');
  alerts
    .command('test')
    .description('send a trial by every channel of muniment.yaml')
    .action(async () => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'alerts send');
      const output = shell.output();
      const channels = await tryAlerts(archive, output.note, shell.signal);
      output.result({ channels }, () =>
        channels.map(({ channel, error }) => `${channel}: ${error ?? 'sent'}`).join('\n'),
      );
      if (channels.some(({ error }) => error !== null)) shell.end(EXIT.incomplete);
    });
  alerts
    .command('send')
    .description('tell now what is due; `serve` does so every minute')
    .action(async () => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'alerts send');
      const output = shell.output();
      const telling = await tellAlerts(archive, output.note, shell.signal);
      const { told, failed, digest } = telling ?? { told: [], failed: [], digest: false };
      output.result(
        { told, failed, digest },
        () =>
          [
            ...told.map(({ channel, alerts: sent }) => `${channel}: ${sent.length} told`),
            ...failed.map(({ channel, reason }) => `${channel}: ${reason}`),
            ...(digest ? ['digest: sent'] : []),
          ].join('\n') || 'Nothing is due.',
      );
      if (failed.length > 0) shell.end(EXIT.incomplete);
    });
}
