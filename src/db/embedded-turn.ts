// Lets one process at a time start, stop or copy an embedded server. A holder that is killed with -9 blocks nobody: its turn names
// its process, and a turn whose process is gone is over.

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ServiceError } from '../core/errors.ts';

const LONGEST_WAIT_MS = 180_000;
const KEPT_TURNS = 8;
const OVER = 'over';

/** A process id is reused, after a reboot soon: with its start (and boot) it names one process for good. */
async function processName(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    try {
      const line = await readFile(`/proc/${pid}/stat`, 'utf8');
      const started = line.slice(line.lastIndexOf(')') + 2).split(' ')[19];
      const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
      return `${pid} ${started} ${boot}`;
    } catch (error) {
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
      throw error;
    }
  }
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)]);
    return `${pid} ${stdout.trim()}`;
  } catch (error) {
    // ps ends with code 1 when there is no such process; anything else is a fault.
    if ((error as { code?: unknown }).code === 1) return null;
    throw error;
  }
}

const numberOf = (name: string): number => Number(/^turn\.(\d+)$/.exec(name)?.[1] ?? 0);

async function highestTurn(folder: string): Promise<number> {
  return Math.max(0, ...(await readdir(folder)).map(numberOf));
}

/** @returns pid of the process whose turn it is, or null when the turn is over */
async function holderOf(file: string, place: string): Promise<number | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const [holder, where] = text.trim().split('\n');
  // A turn that came with a copy of the home is nobody's: the folder it was taken in is another one.
  if (holder === undefined || holder === OVER || where !== place) return null;
  const pid = Number(holder.split(' ')[0]);
  return (await processName(pid)) === holder ? pid : null;
}

/**
 * Turns are numbered files, each made by link(2), so that exactly one process makes each. The highest is the one that counts and is
 * never removed; whoever makes a number and then sees a higher one came too late, and waits again.
 */
async function takeTurn(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const { dev, ino } = await stat(folder);
  const place = `${dev}:${ino}`;
  const draft = join(folder, `draft.${process.pid}.${randomBytes(6).toString('hex')}`);
  await writeFile(draft, `${await processName(process.pid)}\n${place}\n`);
  const until = performance.now() + LONGEST_WAIT_MS;
  try {
    for (;;) {
      const number = await highestTurn(folder);
      const holder = number === 0 ? null : await holderOf(join(folder, `turn.${number}`), place);
      if (holder === null) {
        const mine = join(folder, `turn.${number + 1}`);
        try {
          await link(draft, mine);
          if ((await highestTurn(folder)) === number + 1) {
            await removeOldTurns(folder, number + 1);
            return mine;
          }
          await rm(mine, { force: true });
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
      } else if (performance.now() > until) {
        throw new ServiceError(
          `process ${holder} has kept the embedded database for itself for three minutes`,
          {
            hint: `See what process ${holder} does; when it is stuck, end it and try again.`,
          },
        );
      }
      await sleep(10 + Math.random() * 40);
    }
  } finally {
    await rm(draft, { force: true });
  }
}

async function removeOldTurns(folder: string, current: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const number = numberOf(name);
    if (number > 0 && number < current - KEPT_TURNS) await rm(join(folder, name), { force: true });
  }
}

/** Runs the work while no other process runs work in this folder. @throws ServiceError after three minutes of waiting */
export async function inTurn<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const turn = await takeTurn(folder);
  try {
    return await work();
  } finally {
    // Replaced, not emptied: a reader sees the whole old text or the whole new one.
    await writeFile(`${turn}.over`, `${OVER}\n`);
    await rename(`${turn}.over`, turn);
  }
}
