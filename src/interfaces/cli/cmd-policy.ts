// policy and hold: what is kept for how long, and why.

import type { Command } from 'commander';
import { readSettings } from '../../config.ts';
import { EXIT } from '../../core/errors.ts';
import { requirePermission } from '../../core/people.ts';
import {
  checkPolicyFiles,
  explainRecord,
  type Finding,
  listHolds,
  type PutInForce,
  putPolicyInForce,
} from '../../governance.ts';
import { openHome, type Shell } from './shell.ts';

function findingLine({ level, where, message, fix }: Finding): string {
  return `  ${level}: ${where}: ${message}.\n    ${fix}`;
}

function applicationText({ schedules, holds, changes, acknowledged, inForce, warnings }: PutInForce): string {
  const entries = [
    ...(schedules === null ? [] : [`schedules by entry ${schedules}`]),
    ...(holds === null ? [] : [`holds by entry ${holds}`]),
  ];
  return [
    entries.length === 0
      ? inForce.schedules === null && inForce.holds === null
        ? 'There is nothing to apply: no policy file, and none in force. Every record is retained.'
        : 'Nothing changed: these files are in force already.'
      : `In force: ${entries.join(', ')}.`,
    ...changes.map(({ part, id, change }) => `  ${part} ${id}: ${change}`),
    ...(acknowledged === null
      ? []
      : [
          `  Entered with it: that the holds which the restore of entry ${acknowledged.restore} may have lost are back.`,
        ]),
    ...(entries.length > 0 && changes.length === 0 && acknowledged === null
      ? ['  Only names of files or comments changed, nothing that is decided by.']
      : []),
    ...warnings.map(findingLine),
  ].join('\n');
}

export function addPolicyCommands(program: Command, shell: Shell): void {
  const policy = program.command('policy').description('retention schedules and what they decide');
  policy
    .command('check')
    .description('check the files under policies/, by themselves: no database is asked')
    .action(async () => {
      const settings = await readSettings(shell.home(), shell.environment);
      const result = await checkPolicyFiles(settings, shell.clock);
      const count = (level: string): number => result.findings.filter((f) => f.level === level).length;
      shell
        .output()
        .result(result, () =>
          [
            result.files === 0 && count('error') === 0
              ? `No policy file in ${settings.home}/policies: schedules belong in schedules/, holds in holds/. Without a schedule every record is retained.`
              : `${result.files} file${result.files === 1 ? '' : 's'} read: ${count('error')} errors, ${count('warning')} warnings`,
            ...result.findings.map(findingLine),
            ...(count('error') === 0
              ? [
                  'What is in force was not asked: `muniment policy apply` refuses where a hold in force has lost its file.',
                ]
              : []),
          ].join('\n'),
        );
      if (count('error') > 0) shell.end(EXIT.usage);
    });
  policy
    .command('apply')
    .description('put the files under policies/ in force, in the ledger')
    .option(
      '--lost-holds-are-back',
      'after a restore that lost bodies of entries: every hold that was in force is among the files again',
      false,
    )
    .action(async (options: { lostHoldsAreBack: boolean }) => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'policy apply');
      const applied = await putPolicyInForce(archive, options);
      shell.output().result(applied, () => applicationText(applied));
    });
  policy
    .command('explain')
    .description('say what policy decides of a record, and why')
    .argument('<record>')
    .action(async (record: string) => {
      await using archive = await openHome(shell, 'reading');
      requirePermission(archive.account, 'policy explain');
      const decision = await explainRecord(archive, record);
      shell
        .output()
        .result(decision, () =>
          [
            `${decision.record}: ${decision.decision}${decision.retainThrough === null ? '' : `, kept through ${decision.retainThrough}, eligible on ${decision.eligibleOn}`}`,
            ...decision.reasons.map((reason) => `  ${reason}`),
            ...decision.authority.map((authority) => `  Authority: ${authority.cite}`),
          ].join('\n'),
        );
    });
  program
    .command('hold')
    .description('legal holds')
    .command('list')
    .description('list the holds in force')
    .action(async () => {
      await using archive = await openHome(shell, 'reading');
      requirePermission(archive.account, 'holds read');
      const { holds, unapplied, lost, told } = await listHolds(archive);
      const listed = holds.map((hold) => ({
        id: hold.id,
        matter: hold.matter,
        kind: hold.kind,
        issued: hold.issued,
        released: hold.released ?? null,
      }));
      shell
        .output()
        .result({ holds: listed, unapplied, lost, told }, () =>
          [
            ...(listed.length === 0
              ? [lost === null ? 'No hold is in force.' : 'No hold is known, and some may be lost.']
              : listed.map(
                  (h) =>
                    `${h.id}  ${h.matter}  ${h.kind}  since ${h.issued.at}${h.released === null ? '' : `  released ${h.released.at}`}`,
                )),
            ...told,
          ].join('\n'),
        );
    });
}
