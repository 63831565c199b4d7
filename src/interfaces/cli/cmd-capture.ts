// source, collect, serve: what brings items in.

import type { Command } from 'commander';
import { readSettings } from '../../config.ts';
import { type Clock, instantText } from '../../core/clock.ts';
import { EXIT, InputError } from '../../core/errors.ts';
import { requirePermission } from '../../core/people.ts';
import type { SourceSettings } from '../../core/settings.ts';
import { ITEM_KINDS } from '../../core/vocabulary.ts';
import { checkGapReport, findings, type GapReport, gaps, writeGapReport } from '../../gaps.ts';
import { captureManually, checkSource, collectAll, importFile } from '../../operations.ts';
import { serve } from '../../serving.ts';
import { errorLines } from './output.ts';
import { openHome, type Shell } from './shell.ts';

function chosen(sources: readonly SourceSettings[], ids: readonly string[]): readonly SourceSettings[] {
  if (ids.length === 0) return sources.filter(({ platform }) => platform !== 'import');
  return ids.map((id) => {
    const found = sources.find((source) => source.id === id);
    if (found === undefined) {
      throw new InputError(`no source is called ${id}`, {
        hint: `muniment.yaml names: ${sources.map((s) => s.id).join(', ') || 'none'}.`,
      });
    }
    return found;
  });
}

type ManualStatement = Parameters<typeof captureManually>[1];

interface ManualOptions {
  by: string;
  where: string;
  why: string;
  seenAt?: string;
  kind: string;
  author?: string;
  postedAt?: string;
  text?: string;
}

/** @throws InputError */
function statementOf(options: ManualOptions, clock: Clock): ManualStatement {
  const kind = ITEM_KINDS.find((one) => one === options.kind);
  if (kind === undefined)
    throw new InputError(`${options.kind} is no kind of item`, { hint: `Say ${ITEM_KINDS.join(', ')}.` });
  const { by, where, why, author = null, text = null } = options;
  for (const [name, value] of Object.entries({ by, where, why }))
    if (value.trim() === '')
      throw new InputError(`--${name} says nothing`, { hint: 'It is part of the record.' });
  const now = clock.now();
  const seenAt = options.seenAt === undefined ? now : instantOf('--seen-at', options.seenAt);
  const postedAt = options.postedAt === undefined ? null : instantOf('--posted-at', options.postedAt);
  for (const [name, at] of [
    ['--seen-at', seenAt],
    ['--posted-at', postedAt],
  ] as const)
    if (at !== null && Temporal.Instant.compare(at, now) > 0)
      throw new InputError(`${name} ${at} is in the future`, {
        hint: 'Say when it was, with its UTC offset.',
      });
  return {
    by,
    where,
    why,
    kind,
    author,
    text,
    seenAt: instantText(seenAt),
    postedAt: postedAt === null ? null : instantText(postedAt),
  };
}

/** @throws InputError */
function instantOf(option: string, text: string): Temporal.Instant {
  try {
    return Temporal.Instant.from(text);
  } catch (cause) {
    throw new InputError(`${option} ${text} is no moment`, {
      hint: 'Write it with its UTC offset, as 2026-11-01T14:05:00-05:00.',
      cause,
    });
  }
}

function percent(part: number, whole: number): string {
  return `${whole === 0 ? 100 : Math.floor((100 * part) / whole)}%`;
}

interface GapOptions {
  source?: string;
  from?: string;
  to?: string;
  out?: string;
  check?: string;
  key?: string;
}

export function addCaptureCommands(program: Command, shell: Shell): void {
  const source = program.command('source').description('configured accounts and feeds');
  source
    .command('list')
    .description('list the sources of muniment.yaml')
    .action(async () => {
      const { sources } = await readSettings(shell.home(), shell.environment);
      shell
        .output()
        .result({ sources }, () =>
          sources.length === 0
            ? 'No source is configured.'
            : sources
                .map(
                  (s) =>
                    `${s.id}  ${s.platform}  ${s.platform === 'import' ? 'files' : s.platform === 'feed' ? s.url : s.account}  ${s.schedule ?? 'by hand'}`,
                )
                .join('\n'),
        );
    });
  source
    .command('check')
    .description('try a source without capturing')
    .argument('[id...]')
    .action(async (ids: string[]) => {
      const settings = await readSettings(shell.home(), shell.environment);
      const checks: ({ source: string } & Awaited<ReturnType<typeof checkSource>>)[] = [];
      for (const one of chosen(settings.sources, ids)) {
        const found = await checkSource(one, shell.clock, shell.signal);
        checks.push({ source: one.id, ...found });
        if (!found.ok) shell.end(found.refused ? EXIT.refused : EXIT.incomplete);
      }
      shell
        .output()
        .result({ checks }, () =>
          checks.length === 0
            ? 'No source is configured.'
            : checks
                .map(
                  (c) => `${c.source}: ${c.ok ? 'reachable' : 'NOT reachable'}\n  ${c.findings.join('\n  ')}`,
                )
                .join('\n'),
        );
    });

  program
    .command('collect')
    .description('run sources once')
    .argument('[id...]', 'sources; all when none is named')
    .action(async (ids: string[]) => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'collect');
      const output = shell.output();
      const { runs, defects, refusals } = await collectAll(archive, chosen(archive.settings.sources, ids), {
        signal: shell.signal,
        onProgress: (source, counts) =>
          output.progress(`${source}: ${counts.captured} new, ${counts.changed} changed`),
        onNote: output.note,
      });
      await archive.checkpoint();
      output.progress('');
      output.result({ runs }, () =>
        runs.length === 0
          ? refusals.length > 0
            ? 'No source was run.'
            : 'No source is configured: add one to muniment.yaml.'
          : runs
              .map(
                (run) =>
                  `${run.source}: ${run.status}. ${run.seen} seen, ${run.captured} captured, ${run.changed} changed, ${run.missing} missing, ${run.restored} restored, ${run.media} media, ${run.rejected} rejected.${errorLines(run.errors)}`,
              )
              .join('\n'),
      );
      for (const defect of defects) output.note(defect instanceof Error ? (defect.stack ?? '') : `${defect}`);
      for (const { message, hint } of refusals) output.note(`${message}. ${hint ?? ''}`);
      if (defects.length > 0) shell.end(EXIT.unexpected);
      else if (refusals.length > 0) shell.end(EXIT.refused);
      else if (runs.some((run) => run.status !== 'complete')) shell.end(EXIT.incomplete);
    });

  program
    .command('capture')
    .description('capture what no collector can')
    .command('manual')
    .description('capture screenshots or PDFs that a person took, with who saw what, where, when and why')
    .argument('<file...>', 'PNG, JPEG, GIF, WebP, MP4, WebM or PDF')
    .requiredOption('--by <name>', 'who saw it')
    .requiredOption('--where <place>', 'where it was seen: its address, else words')
    .requiredOption('--why <reason>', 'why it is captured by hand')
    .option('--seen-at <time>', 'when it was seen, such as 2026-11-01T14:05:00-05:00 (default: now)')
    .option('--kind <kind>', `what it is: ${ITEM_KINDS.join(', ')}`, 'post')
    .option('--author <name>', 'who wrote it, as far as it shows')
    .option('--posted-at <time>', 'when it was posted, as far as it shows')
    .option('--text <text>', 'what it says: only what is typed here is found by search and by holds')
    .action(async (files: string[], options: ManualOptions) => {
      const statement = statementOf(options, shell.clock);
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'collect');
      const output = shell.output();
      const { outcome, record } = await captureManually(archive, statement, files, {
        signal: shell.signal,
        onNote: output.note,
      });
      const done =
        outcome.captured > 0
          ? `Captured as record ${record}, with ${outcome.media} file${outcome.media === 1 ? '' : 's'}.`
          : record === null
            ? 'Nothing was captured.'
            : `This was captured before, as record ${record}; nothing was added.`;
      output.result({ record, run: outcome }, `${done}${errorLines(outcome.errors)}`);
      if (outcome.status !== 'complete') shell.end(EXIT.incomplete);
    });

  program
    .command('import')
    .description(
      'take in what a platform gives as a file, under a source of muniment.yaml whose platform is import',
    )
    .argument('<kind>', 'bluesky, facebook, instagram, mastodon, x, youtube or mapping')
    .argument('<file>', 'the file as the platform made it; it is kept whole')
    .requiredOption('--source <id>', 'the source that the records stand under')
    .option('--map <file>', "with mapping: says which column of another archive's file is what")
    .action(async (kind: string, path: string, options: { source: string; map?: string }) => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'collect');
      const output = shell.output();
      const { outcome, file, findings } = await importFile(
        archive,
        { kind, path, source: options.source, map: options.map },
        {
          signal: shell.signal,
          onRead: (read, length) => output.progress(`reading ${percent(read, length)}`),
          onProgress: (counts) =>
            output.progress(`${counts.captured} new, ${counts.changed} changed, ${counts.media} media`),
          onNote: output.note,
        },
      );
      output.progress('');
      const { status, seen, captured, changed, media, rejected } = outcome;
      output.result(
        { file, findings, run: outcome },
        () =>
          `${file.name} (SHA-256 ${file.sha256}), ${findings.join(', ')}: ${status}. ${seen} seen, ${captured} captured, ${changed} changed, ${media} media, ${rejected} rejected.${errorLines(outcome.errors)}`,
      );
      if (outcome.status !== 'complete') shell.end(EXIT.incomplete);
    });

  program
    .command('gaps')
    .description('what the archive knows to be missing, and when nothing was watched, by source and day')
    .option('--source <id>')
    .option('--from <date>', 'first civil date (default: 30 days, to the last)')
    .option('--to <date>', 'last civil date (default: today)')
    .option(
      '--out <folder>',
      'also write gaps.json and gaps.pdf there, and the archive key’s signature over both',
    )
    .option('--check <folder>', 'check a report that --out wrote; needs --key and no archive')
    .option(
      '--key <vkey>',
      "with --check: the archive's verifier key, obtained from the agency by another way",
    )
    .action(async (options: GapOptions) => {
      if (options.check !== undefined) {
        if (options.key === undefined)
          throw new InputError('a report is checked against a key', {
            hint: 'Give --key with the verifier key that `muniment key export` prints where the archive is.',
          });
        const checked = await checkGapReport(options.check, options.key);
        const files = checked.files.join(' and ');
        return shell
          .output()
          .result(
            { ok: true, ...checked },
            `Verified: ${files} are as ${checked.origin} signed them, as of ledger size ${checked.size}.`,
          );
      }
      await using archive = await openHome(shell, options.out === undefined ? 'reading' : undefined);
      requirePermission(archive.account, 'gaps read');
      const output = shell.output();
      const { out, source, from, to } = options;
      const asked = { ...(source && { source }), ...(from && { from }), ...(to && { to }) };
      const report = await gaps(archive, {
        ...asked,
        signal: shell.signal,
        onProgress: (source, runs) => output.progress(`${source}: ${runs} runs read`),
      });
      output.progress('');
      const files = out === undefined ? [] : await writeGapReport(archive, report, out);
      output.result({ ...report, files }, () => gapText(report, files));
      if (report.unreadable.length > 0) shell.end(EXIT.incomplete);
    });

  program
    .command('serve')
    .description('run sources on their schedules until stopped')
    .action(async () => {
      await using archive = await openHome(shell);
      requirePermission(archive.account, 'collect');
      const output = shell.output();
      const summary = await serve(archive, shell.signal, output.note);
      const { complete, partial, failed } = summary.runs;
      output.result(
        summary,
        `Stopped after ${complete + partial + failed} runs: ${complete} complete, ${partial} partial, ${failed} failed.`,
      );
    });
}

function gapText(report: GapReport, files: readonly string[]): string {
  const lines = [`${report.from} to ${report.to}, as of ledger size ${report.size}`];
  for (const one of report.sources) {
    const { source, schedule, configured, unwatched } = one;
    lines.push('', `${source}  ${configured ? (schedule ?? 'by hand') : 'no longer configured'}`);
    for (const { from, to, finding, reasons } of findings(one)) {
      lines.push(`  ${from === to ? from : `${from} to ${to}`}  ${finding}`);
      for (const reason of reasons) lines.push(`    ${reason}`);
    }
    if (one.days.length === 0) lines.push('  registered after these days');
    for (const { from, to, missedRuns } of unwatched) {
      const missed = `${missedRuns} scheduled run${missedRuns === 1 ? '' : 's'} missed`;
      lines.push(`  UNWATCHED from ${from ?? 'its registration'} to ${to ?? 'now'}: ${missed}`);
    }
  }
  if (report.sources.length === 0) lines.push('', 'No source has been run yet.');
  for (const { source, run, detail } of report.unreadable)
    lines.push('', `NOT READ: the report of run ${run} of ${source}: ${detail}`);
  if (files.length > 0) lines.push('', ...files);
  return lines.join('\n');
}
