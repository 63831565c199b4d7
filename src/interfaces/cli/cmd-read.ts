// search, export, verify, verify-bundle: what gets things out, and what proves them.

import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { EXIT, InputError } from '../../core/errors.ts';
import { makeNamedFolder } from '../../core/folder.ts';
import { requirePermission } from '../../core/people.ts';
import type { RecordState } from '../../core/vocabulary.ts';
import { runDemo } from '../../demo.ts';
import { checkBundleAt, exportRecords, searchRecords, verify } from '../../operations.ts';
import { openHome, type Shell } from './shell.ts';

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

function list(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

const EXCERPT = 160;

/** The beginning of a record's title and text on one line; a cut shows as one. */
function excerpt({ title, text, url }: Record<'title' | 'text' | 'url', string | null>): string {
  const written = [title, text].map((one) => one?.replaceAll(/\s+/g, ' ').trim()).filter((one) => one);
  const flat = [...written.join(': ')];
  if (flat.length === 0) return `(no text) ${url ?? ''}`.trimEnd();
  return flat.length > EXCERPT ? `${flat.slice(0, EXCERPT).join('')}…` : flat.join('');
}

interface Picked {
  text?: string;
  source?: string[];
  from?: string;
  to?: string;
  id?: string[];
}

export function addReadCommands(program: Command, shell: Shell): void {
  program
    .command('search')
    .description('find records')
    .argument('[words...]', 'words that must all occur, in any version')
    .option('--source <id>')
    .option('--from <date>', 'created, or else first captured, on or after this civil date')
    .option('--to <date>', 'created, or else first captured, on or before this civil date')
    .option('--state <state>', 'live, missing or destroyed')
    .option('--tag <tag>', 'tagged so by watch words')
    .option('--limit <n>', 'at most so many', wholeNumber, 50)
    .option('--offset <n>', 'skip so many', wholeNumber, 0)
    .action(
      async (
        words: string[],
        options: {
          source?: string;
          from?: string;
          to?: string;
          state?: string;
          tag?: string;
          limit: number;
          offset: number;
        },
      ) => {
        if (options.state !== undefined && !['live', 'missing', 'destroyed'].includes(options.state)) {
          throw new InputError(`${options.state} is no state of a record`, {
            hint: 'Say live, missing or destroyed.',
          });
        }
        await using archive = await openHome(shell, 'reading');
        requirePermission(archive.account, 'search');
        const found = await searchRecords(archive, {
          ...options,
          state: options.state as RecordState | undefined,
          text: words.length === 0 ? undefined : words.join(' '),
        });
        shell
          .output()
          .result(found, () =>
            [
              `${found.total} record${found.total === 1 ? '' : 's'}`,
              ...found.records.map(
                (r) =>
                  `${r.id}  ${r.state}  ${r.createdAt ?? '-'}  ${r.author?.handle ?? r.author?.name ?? ''}${(r.versions ?? 1) > 1 ? `  (${r.versions} versions)` : ''}\n    ${excerpt(r)}`,
              ),
            ].join('\n'),
          );
      },
    );

  program
    .command('export')
    .description('write a bundle (PDF, data, media, proofs) for a public-records request')
    .requiredOption('--out <file>', 'the ZIP to write')
    .option('--source <id>', 'of this source (may be repeated)', list)
    .option('--from <date>', 'created, or else first captured, on or after this civil date')
    .option('--to <date>', 'created, or else first captured, on or before this civil date')
    .option('--text <words>', 'all words, in any version')
    .option('--id <record>', 'this record (may be repeated)', list)
    .option('--at <size>', 'as of the checkpoint of this size', wholeNumber)
    .option('--force', 'replace the file', false)
    .action(async (options: Picked & { out: string; at?: number; force: boolean }) => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'export');
      const output = shell.output();
      const result = await exportRecords(
        archive,
        { sources: options.source, from: options.from, to: options.to, text: options.text, ids: options.id },
        {
          out: options.out,
          ...(options.at === undefined ? {} : { at: options.at }),
          replace: options.force,
          signal: shell.signal,
          onRecord: (n) => output.progress(`${n} records`),
        },
      );
      output.progress('');
      output.result(
        result,
        () =>
          `${result.bundle}\n  ${result.records} records, ${result.files} files, ${result.bytes} bytes\n  SHA-256 ${result.sha256}\n  as of ${result.checkpoint.origin} size ${result.checkpoint.size}\n${result.records === 0 ? 'NO RECORD matches this selection: the bundle says so, and nothing else.\n' : ''}UNREVIEWED: review and redact before you release it.`,
      );
      if (result.problems.length > 0) shell.end(EXIT.incomplete);
    });

  program
    .command('verify')
    .description('verify ledger, rows and payloads of the archive')
    .option('--anchor <file>', "a checkpoint kept outside the operator's reach (may be repeated)", list)
    .action(async (options: { anchor?: string[] }) => {
      await using archive = await openHome(shell, 'reading');
      requirePermission(archive.account, 'verify');
      const output = shell.output();
      const result = await verify(archive, {
        anchors: options.anchor ?? [],
        signal: shell.signal,
        onProgress: (n) => output.progress(`${n} entries`),
      });
      output.progress('');
      output.result(result, () => {
        const {
          intact,
          destroyed,
          missing,
          altered,
          presentAfterDestruction,
          unreadable,
          hidden,
          superseded,
          shortened,
        } = result.payloads;
        const troubled = [
          ...(unreadable > 0 ? [`${unreadable} could not be read`] : []),
          ...(hidden > 0 ? [`${hidden} hidden by a delete marker`] : []),
          ...(shortened > 0 ? [`${shortened} locked for less long than recorded`] : []),
          ...(superseded > 0 ? [`${superseded} with other bytes put in front`] : []),
        ];
        const lines = [
          `${result.ok ? 'Verified' : 'NOT VERIFIED'}: ${result.origin}, ${result.entries} entries, root ${result.root}`,
          `  payloads: ${intact} intact, ${destroyed} destroyed, ${missing} missing, ${altered} altered, ${presentAfterDestruction} present after destruction${troubled.map((one) => `, ${one}`).join('')}`,
          `  ${result.unsigned} entries beyond the last signed head`,
          options.anchor === undefined
            ? '  no checkpoint kept by somebody else was given (--anchor FILE): a rewriting with the signing key would not show'
            : `  ${result.unanchored} entries beyond the last anchor`,
          ...result.problems.map(
            (p) =>
              `  ${p.kind}${p.seq === null ? '' : ` at entry ${p.seq}`}${p.record === null ? '' : ` (record ${p.record})`}: ${p.detail}`,
          ),
        ];
        if (result.unlisted > 0) lines.push(`  and ${result.unlisted} more`);
        return lines.join('\n');
      });
      if (!result.ok) shell.end(EXIT.unverified);
    });

  program
    .command('demo')
    .description('the main job on a small account, from capture to a tampered copy that is caught')
    .option(
      '--source <platform:account>',
      'a live account instead of the replay, such as bluesky:example.gov',
    )
    .option('--folder <dir>', 'where archive and bundle go', 'demo')
    .action(async (options: { source?: string; folder: string }) => {
      const account = options.source?.replace(/^bluesky:/, '') ?? null;
      if (options.source !== undefined && !options.source.startsWith('bluesky:')) {
        throw new InputError(`${options.source} is no source of the demo`, { hint: 'Say bluesky:HANDLE.' });
      }
      const output = shell.output();
      const folder = resolve(options.folder);
      makeNamedFolder(folder);
      const result = await runDemo({
        folder,
        account,
        environment: shell.environment,
        clock: shell.clock,
        signal: shell.signal,
        say: output.say,
      });
      output.result(
        result,
        () => `
It left
  ${result.home}   an archive that every command works on${account === null ? ' (for collect put an account into its muniment.yaml: the replay is over)' : ''}
  ${result.bundle}   a bundle: unzip it; its folder has data/records.pdf to read and verify.mjs to run

Try next
  npx muniment --home "${result.home}" search road
  npx muniment --home "${result.home}" verify
  npx muniment verify-bundle "${result.bundle}"`,
      );
    });

  program
    .command('verify-bundle')
    .description('verify a bundle, offline')
    .argument('<bundle>', 'a ZIP, or the folder it was unpacked to')
    .option('--key <vkey>', "the archive's verifier key, obtained from the agency by another way")
    .action(async (bundle: string, options: { key?: string }) => {
      const { value, text } = await checkBundleAt(bundle, options.key);
      shell.output().result(value, text.trimEnd());
      if (!value.ok) shell.end(EXIT.unverified);
    });
}
