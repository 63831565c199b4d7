// SIGKILL at every effect of a collecting process, whatever its effects are: they are found by preloading test/support/kill-at.mjs, not
// listed here.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FaultedArchive, type S3Service } from '../support/faulted-archive.ts';
import { runDisturbed } from '../support/process.ts';
import type { FaultReport } from './report.ts';

const PRELOAD = 'kill-at.mjs';

/** @returns the effects of the command, in the order of a run that nothing disturbed */
async function effectsOf(archive: FaultedArchive, command: readonly string[]): Promise<string[]> {
  const file = join(archive.home, '..', 'effects');
  archive.newWork();
  const ended = await runDisturbed(archive, command, {
    preload: PRELOAD,
    variables: { EFFECTS_TO: file },
  });
  if (ended.code !== 0) throw new Error(`${command.join(' ')} ended with ${ended.code}: ${ended.stderr}`);
  const found = (await readFile(file, 'utf8')).split('\n');
  await rm(file);
  return found;
}

/**
 * Kills the command at every effect, or at every `step`-th.
 * @param options.first effect to begin with, so that several can share the work
 */
export async function killAtEffects(
  report: FaultReport,
  options: { command: readonly string[]; first: number; step: number; s3?: S3Service | null },
): Promise<void> {
  const { command, first, step } = options;
  await using archive = await FaultedArchive.make({ s3: options.s3 ?? null });
  archive.newWork();
  await archive.settle();
  const found = await effectsOf(archive, command);
  for (let n = first; ; n += step) {
    archive.newWork();
    const { signal, code, stderr } = await runDisturbed(archive, command, {
      preload: PRELOAD,
      variables: { KILL_AT: String(n) },
    });
    const after = await archive.settle();
    // The command has fewer effects than that: it ran to its end.
    if (signal === null) {
      if (code !== 0)
        report.failures.push(`unclear: an undisturbed ${command[0]} ended with ${code}: ${stderr}`);
      break;
    }
    report.add(
      {
        where: `SIGKILL at every effect, payloads in ${archive.archive.store.location.startsWith('s3:') ? 'S3' : 'a directory'}`,
        fault: `before ${found[n - 1] ?? 'one of the last'}`,
        operation: command.join(' '),
        code: 'killed',
      },
      { outcome: 'told', ...after },
    );
  }
}
