// alerts: who is told what is amiss.

import type { Command } from 'commander';
import { tellAlerts, tryAlerts } from '../../alerts.ts';
import { EXIT } from '../../core/errors.ts';
import { requirePermission } from '../../core/people.ts';
import { openHome, type Shell } from './shell.ts';

export function addAlertCommands(program: Command, shell: Shell): void {
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
