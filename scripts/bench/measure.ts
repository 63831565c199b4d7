// What every measurement shares: a figure of ours, the limit it is held against, measured in the same run on the same machine in turns,
// and how they are told. Nothing here judges: a ratio below its aim is printed, not thrown.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freshDatabase } from '../../test/support/postgres.ts';

export interface Figure {
  /** What was done per second, e.g. entries. */
  readonly perSecond: number;
  readonly what: string;
}

export interface Measurement {
  readonly name: string;
  readonly ours: Figure;
  readonly limit: Figure;
  /** Median over the rounds of ours divided by limit. */
  readonly ratio: number;
  /** Null: the ratio is only told. */
  readonly aim: number | null;
  /** Sentences on the conditions: sizes, rows per commit, indexes, processes. */
  readonly conditions: readonly string[];
}

/** Seconds that `work` takes. */
export async function seconds(work: () => Promise<unknown>): Promise<number> {
  const from = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - from) / 1e9;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}

/**
 * Measures ours and limit in turns, so that a machine that slows down slows both.
 * @param count how many of `unit` one call does
 */
export async function inTurns(options: {
  rounds: number;
  count: number;
  ours: (round: number) => Promise<void>;
  limit: (round: number) => Promise<void>;
}): Promise<{ ours: number; limit: number; ratio: number }> {
  const ours: number[] = [];
  const limit: number[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    ours.push(await seconds(() => options.ours(round)));
    limit.push(await seconds(() => options.limit(round)));
  }
  return {
    ours: options.count / median(ours),
    limit: options.count / median(limit),
    ratio: median(ours.map((time, round) => (limit[round] as number) / time)),
  };
}

/** A folder of its own, removed afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'muniment-bench-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A fresh database of the server that this run started, removed afterwards. */
export async function inDatabase<T>(
  work: (urls: { adminUrl: string; runtimeUrl: string }) => Promise<T>,
): Promise<T> {
  const fresh = await freshDatabase();
  try {
    return await work(fresh);
  } finally {
    await fresh.close();
  }
}

export function tell(measurement: Measurement): string {
  const { name, ours, limit, ratio, aim, conditions } = measurement;
  const figure = (f: Figure) => `${Math.round(f.perSecond).toLocaleString('en-US').padStart(10)} ${f.what}`;
  return [
    name,
    `  ours   ${figure(ours)}`,
    `  limit  ${figure(limit)}`,
    `  ratio  ${ratio.toFixed(2).padStart(10)} ${aim === null ? '(no aim)' : `(aim: at least ${aim})${ratio < aim ? '  BELOW ITS AIM' : ''}`}`,
    ...conditions.map((sentence) => `  ${sentence}`),
  ].join('\n');
}

/** Where the program keeps its compiled code (bin/launch.js): a process that is measured starts as the program does. */
const COMPILED = fileURLToPath(new URL('../../node_modules/.cache/muniment', import.meta.url));

/** Peak resident memory, in MiB, of a process that runs one of these scripts with arguments; it prints its peak in bytes. */
export async function peakMemory(script: string, args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_COMPILE_CACHE: COMPILED },
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`the measuring process ended with ${code}`);
  return Number(out) / 1024 ** 2;
}
