// SIGKILL at every effect of a command, whatever its effects are: they are found by preloading test/support/kill-at.mjs, not listed here.

import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openLockKeeper } from '../../src/store/lock-keeper.ts';
import { FaultedArchive, type S3Service } from '../support/faulted-archive.ts';
import { type ProcessEnd, runDisturbed } from '../support/process.ts';
import type { FaultReport } from './report.ts';

/** A command to kill: what makes it have something to do, and what must hold once it has been run again. */
interface Victim {
  readonly command: readonly string[];
  readonly prepare: (archive: FaultedArchive) => Promise<void>;
  /** @returns what is wrong */
  readonly mend: (archive: FaultedArchive) => Promise<string[]>;
}

const COLLECT: Victim = {
  command: ['collect'],
  prepare: async (archive) => archive.newWork(),
  mend: async () => [],
};

const FAR = 'P80D';

/** New payloads are locked by the archive as it was opened; the command reads a settings file that wants them locked for longer. */
const RENEW: Victim = {
  command: ['store', 'renew'],
  async prepare(archive) {
    archive.newWork();
    await archive.settle();
    const settings = join(archive.home, 'muniment.yaml');
    const text = await readFile(settings, 'utf8');
    await writeFile(settings, text.replace(/horizon: P\d+D/, `horizon: ${FAR}`));
  },
  async mend(archive) {
    const wrong = await lockFaults(archive, Temporal.Duration.from({ hours: 0 }));
    const again = await runDisturbed(archive, ['store', 'renew']);
    if (again.code !== 0) wrong.push(`store renew, run again, ended with ${again.code}: ${again.stderr}`);
    return [...wrong, ...(await lockFaults(archive, Temporal.Duration.from(FAR).subtract({ days: 1 })))];
  },
};

/** Compares the newest payloads' locks with what the service says. @returns those that are shorter than is claimed or wanted */
async function lockFaults(archive: FaultedArchive, wanted: Temporal.Duration): Promise<string[]> {
  const { rows } = await archive.archive.database.pool.query<{
    commitment: string;
    version: string | null;
    locked_until: string;
  }>(
    `SELECT l.commitment, v.version, l.locked_until FROM payload_locks AS l
     JOIN payloads USING (commitment) LEFT JOIN payload_versions AS v USING (commitment, store) ORDER BY seq DESC LIMIT 30`,
  );
  await using keeper = openLockKeeper(archive.archive.settings.store);
  if (keeper === null) throw new Error('this store has no locks');
  const least = Temporal.Now.instant().add({ seconds: Math.floor(wanted.total('seconds')) });
  const judged = rows.map(async ({ commitment, version, locked_until }) => {
    const { until } = await keeper.read(commitment, version);
    if (until === null) return `payload ${commitment} is not locked`;
    if (Temporal.Instant.compare(until, Temporal.Instant.from(locked_until)) < 0)
      return `payload ${commitment} is locked until ${until}, and the archive believes ${locked_until}`;
    return Temporal.Instant.compare(until, least) < 0
      ? `payload ${commitment} is locked only until ${until}`
      : null;
  });
  return (await Promise.all(judged)).filter((fault) => fault !== null);
}

function kill(archive: FaultedArchive, command: readonly string[], at: number): Promise<ProcessEnd> {
  return runDisturbed(archive, command, { preload: 'kill-at.mjs', variables: { KILL_AT: String(at) } });
}

/** @returns the effects of the command, in the order of a run that nothing disturbed */
async function effectsOf(archive: FaultedArchive, victim: Victim): Promise<string[]> {
  const file = join(archive.home, '..', 'effects');
  await victim.prepare(archive);
  const ended = await runDisturbed(archive, victim.command, {
    preload: 'kill-at.mjs',
    variables: { EFFECTS_TO: file },
  });
  if (ended.code !== 0)
    throw new Error(`${victim.command.join(' ')} ended with ${ended.code}: ${ended.stderr}`);
  const found = (await readFile(file, 'utf8')).split('\n');
  await rm(file);
  return found;
}

/** Kills `collect`, or `store renew` where there is a bucket, at every effect or at every `step`-th from `first` on. */
export async function killAtEffects(
  report: FaultReport,
  options: { victim: 'collect' | 'renew'; first: number; step: number; s3?: S3Service | null },
): Promise<void> {
  const { first, step } = options;
  const victim = options.victim === 'collect' ? COLLECT : RENEW;
  const operation = victim.command.join(' ');
  await using archive = await FaultedArchive.make({ s3: options.s3 ?? null });
  archive.newWork();
  await archive.settle();
  const found = await effectsOf(archive, victim);
  for (let n = first; ; n += step) {
    await victim.prepare(archive);
    const { signal, code, stderr } = await kill(archive, victim.command, n);
    const after = await archive.settle();
    const wrong = await victim.mend(archive);
    // The command has fewer effects than that: it ran to its end.
    if (signal === null) {
      if (code !== 0)
        report.failures.push(`unclear: an undisturbed ${operation} ended with ${code}: ${stderr}`);
      break;
    }
    report.add(
      {
        where: `SIGKILL at every effect, payloads in ${options.s3 ? 'S3' : 'a directory'}`,
        fault: `before ${found[n - 1] ?? 'one of the last'}`,
        operation,
        code: 'killed',
      },
      { outcome: 'told', ...after, lost: [...after.lost, ...wrong] },
    );
  }
}
