// store: what keeps payloads where they belong.

import type { Command } from 'commander';
import { stringify } from 'yaml';
import { EXIT } from '../../core/errors.ts';
import { requirePermission } from '../../core/people.ts';
import { renewArchiveLocks, renewalText } from '../../locks.ts';
import { copy, sweep } from '../../storage.ts';
import { openHome, type Shell } from './shell.ts';

/** Lines for people; --json has more. */
const SHOWN = 20;

export function addStoreCommands(program: Command, shell: Shell): void {
  const store = program.command('store').description('where the payloads are');
  store
    .command('renew')
    .description('lock payloads on whose lock would end before half of the horizon (serve does it daily)')
    .option('--all', 'ask the store for every lock, whatever is recorded: finds and mends what was shortened')
    .action(async ({ all = false }: { all?: boolean }) => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'store renew');
      const output = shell.output();
      const outcome = await renewArchiveLocks(archive, {
        signal: shell.signal,
        all,
        onProgress: ({ extended, failed }) => output.progress(`${extended} extended, ${failed} failed`),
      });
      output.progress('');
      output.result({ locks: outcome }, () =>
        outcome === null
          ? `${archive.store.location} has no locks: there is nothing to renew.`
          : renewalText(outcome),
      );
      if (outcome !== null && (outcome.failed > 0 || outcome.interrupted)) shell.end(EXIT.incomplete);
    });
  store
    .command('sweep')
    .description('find objects that no row knows and rows whose object is gone')
    .option('--remove', 'remove unreferenced objects that are older than the window', false)
    .option('--window <period>', 'leave alone what was stored within this ISO 8601 period', 'P7D')
    .action(async (options: { remove: boolean; window: string }) => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'store sweep');
      const output = shell.output();
      const result = await sweep(archive, {
        ...options,
        signal: shell.signal,
        onProgress: (text) => output.progress(text),
      });
      output.progress('');
      output.result(result, () => sweepText(result));
      const { missing, presentAfterDestruction, lostRows, unreferenced } = result;
      if (lostRows.count > 0 || (unreferenced.outcomes.named ?? 0) > 0) shell.end(EXIT.unverified);
      else if (missing.count + presentAfterDestruction.count + (unreferenced.outcomes.busy ?? 0) > 0)
        shell.end(EXIT.incomplete);
    });
  store
    .command('copy')
    .description('copy every payload to another store, verified, and move the archive there')
    .requiredOption('--to <file>', 'YAML with the new `store:`, as it is to stand in muniment.yaml')
    .option('--from <file>', 'YAML with the `store:` to copy from, if not that of muniment.yaml')
    .option('--leave-damaged', 'move although the old store has lost or altered payloads', false)
    .action(async (options: { to: string; from?: string; leaveDamaged: boolean }) => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'store copy');
      const output = shell.output();
      const result = await copy(archive, options, {
        environment: shell.environment,
        leaveDamaged: options.leaveDamaged,
        signal: shell.signal,
        onProgress: (text) => output.progress(text),
      });
      output.progress('');
      output.result(result, () => copyText(result));
      if (result.entry === null) shell.end(EXIT.incomplete);
    });
}

type Sweep = Awaited<ReturnType<typeof sweep>>;

const OUTCOMES: Readonly<Record<string, string>> = {
  recent: 'stored within the window: left alone',
  removable: 'may be removed: run it again with --remove',
  removed: 'removed',
  locked: 'kept by a lock of the store: try again when it has ended',
  busy: 'not removed, since a run is going on: try again when none is',
  entered: 'entered meanwhile: no longer unreferenced',
  'after-backup':
    'stored after the backup that the archive was restored from, or after the log it was rebuilt from: perhaps all that is left of a record, never removed',
  foreign: "another archive's: left alone",
  unmarked: 'do not say whose they are, or are too damaged to: never removed',
  named: 'NAMED BY A DOCUMENT whose rows were lost: kept; run `muniment verify`',
  unsure: 'kept, since a document that could name them cannot be read',
};

function some<T>(
  { count, listed }: { count: number; listed: readonly T[] },
  line: (one: T) => string,
): string[] {
  const shown = listed.slice(0, SHOWN).map((one) => `    ${line(one)}`);
  return count > shown.length ? [...shown, `    and ${count - shown.length} more`] : shown;
}

function sweepText(result: Sweep): string {
  const { unreferenced, missing, presentAfterDestruction, lostRows, unfinished } = result;
  const lines = [
    `${result.store}: ${result.objects} objects, ${result.rows} payloads in rows`,
    `  unreferenced: ${unreferenced.count} objects, ${unreferenced.bytes} bytes`,
    ...Object.entries(unreferenced.outcomes).map(
      ([outcome, n]) => `    ${n} ${OUTCOMES[outcome] ?? outcome}`,
    ),
    `  missing: ${missing.count} payloads have no object`,
    ...some(
      missing,
      (m) =>
        `${m.payload}  ${m.role} of ${m.record === null ? `run ${m.run}` : `record ${m.record}`}, entry ${m.entry}`,
    ),
    `  present after destruction: ${presentAfterDestruction.count}`,
    ...some(presentAfterDestruction, (p) => `${p.payload}  destroyed by entry ${p.entry}`),
    `  unfinished for more than an hour: ${unfinished.count} ${unfinished.count === 1 ? 'upload or file' : 'uploads and files'}`,
    ...some(unfinished, (u) => `${u.name}  since ${u.since}`),
  ];
  if (result.sharedSince !== null)
    lines.push(
      `  SHARED: since the restore of entry ${result.sharedSince} this is also the store of the archive that was backed up. Nothing may be removed until this archive has a store of its own (\`muniment store copy\`).`,
    );
  if (lostRows.count > 0)
    lines.push(
      `  ROWS LOST: the ledger names ${lostRows.count} payload${lostRows.count === 1 ? '' : 's'} that no row knows. Nothing was removed. Run \`muniment verify\`.`,
      ...some(lostRows, (l) => `${l.payload}  named by entry ${l.entry}`),
    );
  return lines.join('\n');
}

type Copy = Awaited<ReturnType<typeof copy>>;

function copyText(result: Copy): string {
  const { damaged, entry } = result;
  const lines = [
    `${result.payloads} payloads (${result.bytes} bytes) are in ${result.to}, each verified there; ${result.copied} by this command`,
  ];
  if (result.erased > 0)
    lines.push(`  ${result.erased} copies removed, since the payloads were destroyed meanwhile`);
  if (result.others > 0)
    lines.push(`  ${result.others} other objects are there that no row of this archive knows: left alone`);
  if (damaged.count > 0)
    lines.push(
      `  NOT COPIED: ${damaged.count} payloads that ${result.from} has lost or altered`,
      ...some(
        damaged,
        (d) =>
          `${d.payload}  ${d.state}, ${d.role} of ${d.record === null ? `run ${d.run}` : `record ${d.record}`}: ${d.detail}`,
      ),
    );
  if (entry === null)
    return [
      ...lines,
      'The archive has NOT moved. Restore these payloads from a backup, or run it again with --leave-damaged.',
    ].join('\n');
  return [
    ...lines,
    `By entry ${entry} the archive has moved. Nothing is captured until muniment.yaml says so too; put there, instead of its \`store:\``,
    '',
    stringify({ store: result.store }).trimEnd(),
    '',
    `and run \`muniment verify\`. ${result.from} keeps all it had, later destructions do not reach it: remove it when the new store has verified.`,
  ].join('\n');
}
