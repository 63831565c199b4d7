// init, key, ledger, db, status: the archive as a thing to make and to keep.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import { archiveFindings } from '../../alerts.ts';
import { readSettings, resolveSecret } from '../../config.ts';
import { homePaths } from '../../context.ts';
import { EXIT, InputError } from '../../core/errors.ts';
import { requirePermission } from '../../core/people.ts';
import { archiveLocks, locksAlert } from '../../locks.ts';
import { embeddedControl, migrateArchive, migrateDatabase, publishLedger } from '../../operations.ts';
import { initArchive } from '../../setup.ts';
import { archiveStatus, departureAlert, drillLine, hasGap, type SourceStatus } from '../../status.ts';
import { openHome, type Shell } from './shell.ts';

/** On a command line a relative path means the current folder; in muniment.yaml it means the home. */
function wholePath(reference: string | undefined): string | undefined {
  return reference?.startsWith('file:') === true
    ? `file:${resolve(reference.slice('file:'.length))}`
    : reference;
}

export function addArchiveCommands(program: Command, shell: Shell): void {
  program
    .command('init')
    .description('make a new archive')
    .argument('<dir>', 'a folder that does not exist or is empty')
    .requiredOption('--name <name>', 'name of the agency')
    .requiredOption('--origin <origin>', 'name of the log, such as archive.example.gov/social; never changes')
    .requiredOption('--timezone <zone>', 'IANA zone of the agency, such as America/New_York')
    .option(
      '--database <url>',
      `PostgreSQL URL, or where it has a password a reference to one: '\${NAME}' or file:PATH; absent: the embedded server`,
    )
    .action(
      async (dir: string, options: { name: string; origin: string; timezone: string; database?: string }) => {
        const made = await initArchive(
          dir,
          { ...options, databaseUrl: wholePath(options.database) },
          shell.environment,
          shell.clock,
        );
        const { token, ...shown } = made;
        shell.output().result(
          { ...shown, token },
          () => `Made the archive ${made.origin} in ${made.home}

Verifier key: ${made.verifierKey}
Operator's token (shown once; needed when the archive has other accounts): ${token}

Keep a copy of ${homePaths(made.home).keys} in a safe place: nothing can replace the signing key and the archive secret.
Next: add sources to ${homePaths(made.home).settings}, try them with \`muniment --home "${made.home}" source check\`, then \`collect\`.`,
        );
      },
    );

  const key = program.command('key').description("the archive's keys");
  key
    .command('export')
    .description('print the C2SP verifier key')
    .action(async () => {
      await using archive = await openHome(shell, 'reading');
      shell.output().result({ key: archive.verifierKeyText }, archive.verifierKeyText);
    });

  const ledger = program.command('ledger').description('the hash-chained ledger');
  ledger
    .command('checkpoint')
    .description('sign the present head and print the checkpoint')
    .action(async () => {
      await using archive = await openHome(shell);
      const signed = await archive.checkpoint();
      if (signed === null)
        throw new InputError('this machine holds no signing key', {
          hint: 'Run it where keys/signing.key is.',
        });
      const { size, root, note } = signed;
      shell
        .output()
        .result(
          { origin: archive.settings.archive.origin, size, root: root.toString('base64'), note },
          note.trimEnd(),
        );
    });
  ledger
    .command('publish')
    .description('write checkpoint, tiles and entry bundles as C2SP tlog-tiles')
    .argument('<dir>')
    .action(async (dir: string) => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'publish');
      const published = await publishLedger(archive, dir);
      shell.output().result(published, `Published ${published.size} entries in ${published.directory}`);
    });

  const db = program.command('db').description('the database');
  db.command('start')
    .description('start the embedded server and leave it running')
    .action(async () => {
      await embeddedControl.start(shell.home(), shell.environment);
      shell.output().result({ running: true }, 'The embedded server runs. Stop it with `muniment db stop`.');
    });
  db.command('stop')
    .description('stop the embedded server')
    .action(async () => {
      const stopped = await embeddedControl.stop(shell.home(), shell.environment);
      shell
        .output()
        .result(
          { stopped },
          stopped ? 'The embedded server is stopped.' : 'The embedded server was not running.',
        );
    });
  db.command('remove')
    .description('remove the embedded database of a drill, or of an archive that was never finished')
    .action(async () => {
      const home = shell.home();
      const removed = await embeddedControl.remove(home, shell.environment);
      shell
        .output()
        .result(
          { removed },
          `${removed ? 'The database is removed.' : 'There is no embedded database.'} What is left is in ${home}: remove that folder.`,
        );
    });
  db.command('url')
    .description("print the superuser's URL of the embedded server, starting it")
    .action(async () => {
      const url = await embeddedControl.start(shell.home(), shell.environment);
      shell.output().result({ url }, url);
    });
  db.command('migrate')
    .description("bring the database to this version's schema")
    .option(
      '--admin-url <url>',
      `external databases: URL of a role that may create roles and tables, or a reference: '\${NAME}' or file:PATH`,
    )
    .option('--runtime-user <login>', 'before `init`: the login that the archive will work as')
    .action(async (options: { adminUrl?: string; runtimeUser?: string }) => {
      const { environment } = shell;
      const adminUrl =
        options.adminUrl === undefined
          ? null
          : resolveSecret(options.adminUrl, process.cwd(), environment, '--admin-url');
      if (options.runtimeUser !== undefined && adminUrl === null)
        throw new InputError('--runtime-user goes with --admin-url', { hint: 'Give both, or neither.' });
      const done =
        options.runtimeUser !== undefined && adminUrl !== null
          ? await migrateDatabase(adminUrl, options.runtimeUser)
          : await migrateArchive(await readSettings(shell.home(), environment), adminUrl);
      shell
        .output()
        .result(
          { migrations: done },
          done.length === 0 ? 'The schema is up to date.' : `Ran ${done.join(', ')}.`,
        );
    });

  program
    .command('status')
    .description('what the archive holds and when its sources ran')
    .action(async () => {
      await using archive = await openHome(shell, 'reading');
      const status = await archiveStatus(archive);
      // What a drill knows of locks is as old as its backup, and renewing them is not its work.
      const locks = archive.drill === null ? await archiveLocks(archive) : null;
      const { origin, drill, records, entries, unsigned, store, lock, left, sources, lostHolds } = status;
      const findings = await archiveFindings(archive, status, locks);
      const alerts = [
        lostHolds === null ? null : `HOLDS MAY BE LOST. ${lostHolds.sentence}`,
        left === null ? null : departureAlert(left),
        locks === null ? null : locksAlert(locks),
      ].filter((alert) => alert !== null);
      shell.output().result({ ...status, locks, findings }, () =>
        [
          ...(drill === null ? [] : [drillLine(drill)]),
          `${origin}: ${records} records, ${entries} entries, ${unsigned} unsigned; payloads in ${store} (lock: ${lock})`,
          ...(sources.length === 0 ? ['No source is configured.'] : sources.map(sourceLine)),
          ...alerts,
          // The others stand above.
          ...findings.flatMap(({ source, sentence }) => (source === null ? [] : [`  ! ${sentence}`])),
        ].join('\n'),
      );
      if (alerts.length > 0 || sources.some(hasGap)) shell.end(EXIT.incomplete);
    });
}

function sourceLine({ source, lastRun, status, rejected, missedRuns, unfinished }: SourceStatus): string {
  const aside = rejected === null || rejected === 0 ? '' : `, ${rejected} rejected`;
  const last = lastRun === null ? 'no run has ended' : `${status} at ${lastRun}${aside}`;
  const missed =
    missedRuns === 0
      ? ''
      : `; ${missedRuns} scheduled run${missedRuns === 1 ? '' : 's'} MISSED since: is \`muniment serve\` running?`;
  if (unfinished === null) return `  ${source}: ${lastRun === null ? 'never ran' : `${last}${missed}`}`;
  return unfinished.running
    ? `  ${source}: a run goes on since ${unfinished.startedAt}; before it, ${last}`
    : `  ${source}: INTERRUPTED: the run of ${unfinished.startedAt} did not end (run \`muniment collect ${source}\`); before it, ${last}`;
}
