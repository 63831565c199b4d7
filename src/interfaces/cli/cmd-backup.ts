// backup, restore, rebuild: how an archive survives the loss of what it stands on.

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { backUp, listBackups } from '../../backups.ts';
import { resolveSecret } from '../../config.ts';
import { EXIT, InputError } from '../../core/errors.ts';
import { requirePermission } from '../../core/people.ts';
import { rebuildArchive } from '../../rebuild.ts';
import { restoreArchive } from '../../restore.ts';
import { bringKeysBack } from '../../restored-home.ts';
import { openHome, type Shell } from './shell.ts';

interface BucketOptions {
  region?: string;
  endpoint?: string;
}

/** On a command line a relative path means the current folder. */
function secret(reference: string | undefined, shell: Shell, option: string): string | undefined {
  if (reference === undefined) return undefined;
  if (!/^(file:|\$\{)/.test(reference))
    throw new InputError(`${option} takes a reference, not the secret itself`, {
      hint: `Write file:PATH or '\${NAME}': what stands on a command line is read by everyone on this machine.`,
    });
  return resolveSecret(reference, process.cwd(), shell.environment, option);
}

async function pem(path: string | undefined, option: string): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const file = resolve(path.replace(/^file:/, ''));
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new InputError(`${option}: the file ${file} cannot be read`, {
      hint: 'Check its path and permissions.',
      cause,
    });
  });
}

/** What opens the sealed keys; null where nothing was given. */
async function unsealing(
  options: { passphrase?: string; recoveryKey?: string },
  shell: Shell,
): Promise<{ passphrase: string } | { recoveryKey: string } | null> {
  const passphrase = secret(options.passphrase, shell, '--passphrase');
  const recoveryKey = await pem(options.recoveryKey, '--recovery-key');
  if (passphrase !== undefined && recoveryKey !== undefined)
    throw new InputError('--passphrase and --recovery-key contradict each other', {
      hint: 'The keys of a backup are sealed to one of the two: give that one.',
    });
  return passphrase !== undefined ? { passphrase } : recoveryKey !== undefined ? { recoveryKey } : null;
}

const plural = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

export function addBackupCommands(program: Command, shell: Shell): void {
  addBackup(program, shell);
  addRestore(program, shell);
  addRebuild(program, shell);
}

function addBackup(program: Command, shell: Shell): void {
  const backup = program
    .command('backup')
    .description('make a backup: database, settings, payloads and sealed keys, signed')
    .argument('<place>', 'a folder, or s3://BUCKET/PREFIX, that is empty or holds this unfinished backup')
    .option('--passphrase <ref>', `seal the keys to a passphrase: file:PATH or '\${NAME}'`)
    .option('--recipient <pem>', 'seal the keys to an X25519 public key (openssl genpkey -algorithm X25519)')
    .option('--without-keys', 'leave the keys out: a copy of keys/ is kept elsewhere', false)
    .option('--payloads <how>', 'copy, or reference (default: copy of a folder, reference to a bucket)')
    .option('--expires <period>', 'how long the backup is kept', 'P90D')
    .option('--region <region>', 'of the bucket')
    .option('--endpoint <url>', 'of the storage service')
    .action(
      async (
        address: string,
        options: BucketOptions & {
          passphrase?: string;
          recipient?: string;
          withoutKeys: boolean;
          payloads?: string;
          expires: string;
        },
      ) => {
        const passphrase = secret(options.passphrase, shell, '--passphrase');
        const recipient = await pem(options.recipient, '--recipient');
        const ways = [passphrase, recipient, options.withoutKeys ? '' : undefined];
        if (ways.filter((way) => way !== undefined).length !== 1)
          throw new InputError(
            'say how the keys are kept: one of --passphrase, --recipient, --without-keys',
            {
              hint: 'Without the signing key and the archive secret no backup is of full use.',
            },
          );
        const { payloads } = options;
        if (payloads !== undefined && payloads !== 'copy' && payloads !== 'reference')
          throw new InputError(`${payloads} is no way to keep payloads`, { hint: 'Say copy or reference.' });
        await using archive = await openHome(shell);
        requirePermission(archive.account, 'backup');
        const output = shell.output();
        const made = await backUp(archive, {
          address,
          region: options.region,
          endpoint: options.endpoint,
          payloads,
          sealing: passphrase !== undefined ? { passphrase } : recipient !== undefined ? { recipient } : null,
          expires: options.expires,
          signal: shell.signal,
          onProgress: (done) => output.progress(done),
        });
        output.progress('');
        output.result(
          made,
          () => `Backed up ${plural(made.size, 'entry').replace('entrys', 'entries')} to ${made.place}
  ${plural(made.tables, 'table')} with ${plural(made.rows, 'row')}; ${made.payloads === 'copy' ? `${plural(made.copied, 'payload')} copied` : 'payloads by reference: the bucket or folder they lie in is NOT in this backup'}
  keys: ${made.keys ? 'sealed' : 'NOT in this backup'}
  to be removed after ${made.expires}; entered as ${made.entry}
${made.leftOut.map(({ path, why }) => `  NOT in this backup: ${path} (${why})\n`).join('')}${
  made.lacking.length === 0
    ? 'Restore it once, elsewhere, to know that you can: muniment restore --drill'
    : `INCOMPLETE: ${plural(made.lacking.length, 'payload')} could not be copied (${made.lacking[0]?.problem} in the archive itself). Run \`muniment verify\`.`
}`,
        );
        if (made.lacking.length > 0) shell.end(EXIT.incomplete);
      },
    );
  backup
    .command('keys')
    .description('put files of keys/ that this home has lost back from a backup; what stands is left alone')
    .argument('<backup>', 'a folder, or s3://BUCKET/PREFIX')
    .option('--passphrase <ref>', `opens the sealed keys: file:PATH or '\${NAME}'`)
    .option('--recovery-key <pem>', 'opens the sealed keys: the X25519 private key')
    .option('--key <vkey>', "the archive's verifier key, obtained by another way")
    .option('--region <region>', 'of the bucket')
    .option('--endpoint <url>', 'of the storage service')
    .action(async (address: string, _: unknown, command: Command) => {
      // `backup` has options of the same names, and commander gives them to it.
      const options = command.optsWithGlobals<
        BucketOptions & { passphrase?: string; recoveryKey?: string; key?: string }
      >();
      const { region, endpoint, key } = options;
      const back = await bringKeysBack(
        {
          backup: address,
          region,
          endpoint,
          key,
          home: shell.home(),
          unsealing: await unsealing(options, shell),
        },
        shell,
      );
      shell
        .output()
        .result(back, () =>
          back.placed.length === 0
            ? `Nothing was missing in ${back.keys}.`
            : `Brought back into ${back.keys}: ${back.placed.join(', ')}${back.head === null ? '' : `\nhead.json is that of ${back.head} entries. Whatever was signed later, verify against: \`muniment verify --anchor\` with the newest checkpoint that somebody holds.`}`,
        );
    });
  backup
    .command('list')
    .description('list the backups that the ledger knows of, and which are to be removed')
    .action(async () => {
      await using archive = await openHome(shell, 'reading');
      requirePermission(archive.account, 'backups read');
      const backups = await listBackups(archive);
      shell
        .output()
        .result({ backups }, () =>
          backups.length === 0
            ? 'No backup was made.'
            : backups
                .map(
                  (b) =>
                    `${b.backup}  ${b.madeAt}  ${b.size} entries, payloads by ${b.payloads}  ${b.expired ? `EXPIRED on ${b.expires}: remove it` : `until ${b.expires}`}  ${b.place}`,
                )
                .join('\n'),
        );
    });
}

function addRebuild(program: Command, shell: Shell): void {
  program
    .command('rebuild')
    .description('make the database anew from ledger and objects alone, into an empty database of this home')
    .option('--published <dir>', 'the published log')
    .option('--from-database <ref>', `or a database whose ledger still stands: file:PATH or '\${NAME}'`)
    .option('--checkpoint <file>', 'the last checkpoint that somebody holds')
    .option('--accept-losses', 'serve although something that was signed is gone for good', false)
    .action(
      async (options: {
        published?: string;
        fromDatabase?: string;
        checkpoint?: string;
        acceptLosses: boolean;
      }) => {
        const { published = null, checkpoint, acceptLosses } = options;
        const fromDatabase = secret(options.fromDatabase, shell, '--from-database') ?? null;
        if ((published === null) === (fromDatabase === null))
          throw new InputError('say where the ledger is: --published or --from-database', {
            hint: 'Give one of the two.',
          });
        const output = shell.output();
        const rebuilt = await rebuildArchive(
          { home: shell.home(), published, fromDatabase, checkpoint, acceptLosses },
          {
            environment: shell.environment,
            clock: shell.clock,
            signal: shell.signal,
            onProgress: (done) => output.progress(done),
          },
        );
        output.progress('');
        const { verified: _, ...finished } = rebuilt.finished;
        output.result({ ...rebuilt, finished }, () =>
          [
            `Rebuilt ${rebuilt.origin} in ${rebuilt.home} from ${rebuilt.entries} entries`,
            ...(finished.lostBodies > 0
              ? [
                  `  LOST: the bodies of ${finished.lostBodies} entries (accounts, policy, holds): a published log holds none. Nothing may be destroyed until the files of every hold are back and \`muniment policy apply --lost-holds-are-back\` says so`,
                ]
              : []),
            ...(rebuilt.lostCount > 0
              ? [`  LOST: ${plural(rebuilt.lostCount, 'payload')}; \`muniment verify\` lists them`]
              : []),
            ...(rebuilt.token === null ? [] : [`  Operator's token (shown once): ${rebuilt.token}`]),
          ].join('\n'),
        );
        if (finished.losses > 0 || finished.lostBodies > 0) shell.end(EXIT.incomplete);
      },
    );
}

function addRestore(program: Command, shell: Shell): void {
  program
    .command('restore')
    .description('make the archive anew from a backup, into an empty home (--home) and database')
    .argument('<backup>', 'a folder, or s3://BUCKET/PREFIX')
    .option('--passphrase <ref>', `opens the sealed keys: file:PATH or '\${NAME}'`)
    .option('--recovery-key <pem>', 'opens the sealed keys: the X25519 private key')
    .option('--keys <dir>', 'use this copy of keys/ instead')
    .option('--key <vkey>', "the archive's verifier key, obtained by another way")
    .option('--database <url>', `a reference to a PostgreSQL URL, or the word embedded (default: as it was)`)
    .option('--admin-url <ref>', 'administrator of that database, if it is to be migrated')
    .option(
      '--store <where>',
      'put payloads into this folder or s3://BUCKET/PREFIX (default: where they were)',
    )
    .option('--payloads-from <backup>', 'a backup by value, for one by reference whose store is gone')
    .option('--published <dir>', 'the last published log: what came after the backup is taken over from it')
    .option('--checkpoint <file>', 'the last checkpoint that somebody holds')
    .option('--nothing-later', 'no checkpoint left the archive after the backup', false)
    .option('--accept-losses', 'serve although something that was signed is gone for good', false)
    .option('--drill', 'only prove the backup: the home that is made can be read, and nothing else', false)
    .option('--region <region>', 'of the bucket')
    .option('--endpoint <url>', 'of the storage service')
    .action(
      async (
        address: string,
        options: BucketOptions & {
          passphrase?: string;
          recoveryKey?: string;
          keys?: string;
          key?: string;
          database?: string;
          adminUrl?: string;
          store?: string;
          payloadsFrom?: string;
          published?: string;
          checkpoint?: string;
          nothingLater: boolean;
          acceptLosses: boolean;
          drill: boolean;
        },
      ) => {
        const output = shell.output();
        const restored = await restoreArchive(
          {
            ...options,
            backup: address,
            home: shell.home(),
            database: options.database?.startsWith('file:')
              ? `file:${resolve(options.database.slice('file:'.length))}`
              : options.database,
            adminUrl: secret(options.adminUrl, shell, '--admin-url') ?? null,
            unsealing: await unsealing(options, shell),
          },
          {
            environment: shell.environment,
            clock: shell.clock,
            signal: shell.signal,
            onProgress: (done) => output.progress(done),
          },
        );
        output.progress('');
        const { finished, backup, payloads } = restored;
        const { verified: _, ...ended } = finished;
        output.result({ ...restored, finished: ended }, () =>
          [
            `${restored.drill ? 'DRILL: restored' : 'Restored'} ${restored.origin} into ${restored.home}: verified, ${finished.size} entries`,
            `  from the backup ${backup.id} of ${backup.madeAt} (${backup.size} entries)${restored.replayed > 0 ? `, and ${restored.replayed} from the published log` : ''}`,
            `  ${plural(payloads.carried, 'payload')} brought back, ${finished.destroyedAgain} destroyed again or kept out`,
            restored.drill
              ? '  This home can be read and verified; it never signs, captures, destroys or writes to the store. When you have seen enough, remove it: `muniment db remove`, then the folder'
              : '  The archive that was backed up must not be used any more: two would sign two logs under one key. To try a backup beside an archive that lives, restore it with --drill',
            ...(restored.sharedStore === null
              ? []
              : restored.drill
                ? [`  payloads are read from ${restored.sharedStore}, where they were`]
                : [
                    `  SHARED: ${restored.sharedStore} is also the store of the archive that was backed up; \`muniment store copy\` gives this one a store of its own`,
                  ]),
            ...(finished.lostBodies > 0
              ? [
                  `  LOST: the bodies of ${finished.lostBodies} published entries, among them perhaps holds${restored.drill ? '' : ': nothing may be destroyed until the files of every hold are back and `muniment policy apply --lost-holds-are-back` says so'}`,
                ]
              : []),
            ...(finished.losses > 0
              ? [`  LOST, as you accepted: ${finished.losses} findings; \`muniment verify\` lists them`]
              : []),
            restored.keyConfirmed
              ? `  verifier key ${restored.verifierKey}`
              : `  verifier key ${restored.verifierKey}: it came with the backup; compare it with what you published`,
          ].join('\n'),
        );
        if (finished.losses > 0 || finished.lostBodies > 0) shell.end(EXIT.incomplete);
      },
    );
}
