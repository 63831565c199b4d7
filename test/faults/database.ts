// Faults of PostgreSQL: every packet lost in turn, restarts in the middle of a batch, no connection left.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cut } from '../support/cutting-proxy.ts';
import { type Ended, FaultedArchive, type Findings } from '../support/faulted-archive.ts';
import { migratedDatabase, startOwnServer } from '../support/postgres.ts';
import type { FaultReport } from './report.ts';

const WHERE = 'PostgreSQL';
const NOTHING: Findings = { lost: [], doubled: [], unverifiable: [] };

/** Judges an operation that met a fault, and the archive after it. */
async function judge(
  archive: FaultedArchive,
  report: FaultReport,
  fault: string,
  operation: string,
  ended: Ended,
): Promise<void> {
  archive.disarm();
  const gap = ended.outcome === 'completed' && operation === 'collect' ? await archive.findings() : NOTHING;
  const after = await archive.settle();
  report.add(
    { where: WHERE, fault, operation, code: ended.code },
    {
      outcome: ended.outcome,
      lost: [...gap.lost.map((what) => `silently, ${what}`), ...after.lost],
      doubled: [...gap.doubled, ...after.doubled],
      unverifiable: after.unverifiable,
    },
  );
}

const CUTS: readonly (Omit<Cut, 'after'> & { readonly fault: string })[] = [
  { fault: 'cut before a statement', direction: 'asked', delivered: false },
  { fault: 'cut before its answer', direction: 'answered', delivered: false },
  { fault: 'cut after a statement', direction: 'asked', delivered: true },
];

/** Cuts the connection at every `step`-th packet of an operation, in every way, until the operation has no further packet. */
export async function databaseCuts(
  report: FaultReport,
  options: { operation: 'collect' | 'verify' | 'export'; kinds: number; step: number },
): Promise<void> {
  await using archive = await FaultedArchive.make();
  archive.newWork();
  await archive.settle();
  const proxy = archive.databaseProxy;
  const bundle = join(archive.home, '..', 'bundle.zip');
  for (const { fault, ...cut } of CUTS.slice(0, options.kinds)) {
    for (let after = 0; ; after += options.step) {
      if (options.operation === 'collect') archive.newWork();
      const before = proxy.cuts;
      proxy.arm({ ...cut, after });
      const ended = await (options.operation === 'export'
        ? archive.export(bundle)
        : archive[options.operation]());
      if (proxy.cuts === before) break;
      await judge(archive, report, fault, options.operation, ended);
    }
    archive.disarm();
    await archive.settle();
  }
}

/** Stops the server in the middle of runs, as an administrator and as a crash does, and starts it again. */
export async function databaseRestarts(report: FaultReport, moments: readonly number[]): Promise<void> {
  await using own = await ownServer();
  await using archive = await FaultedArchive.make({
    databaseUrl: await migratedDatabase(own.server, 'city'),
  });
  archive.newWork();
  await archive.settle();
  for (const mode of ['fast', 'immediate'] as const) {
    for (const moment of moments) {
      archive.newWork();
      let stopped: Promise<void> | null = null;
      const from = archive.databaseProxy.packets.asked;
      archive.databaseProxy.onPacket = () => {
        if (archive.databaseProxy.packets.asked - from >= moment) stopped ??= own.server.stop(mode);
      };
      const ended = await archive.collect();
      archive.databaseProxy.onPacket = () => undefined;
      await stopped;
      await own.server.start();
      await judge(archive, report, `restarted (${mode}) mid-batch`, 'collect', ended);
    }
  }
}

/** Fewer connections than an archive wants, down to one. */
export async function connectionsExhausted(report: FaultReport, limits: readonly number[]): Promise<void> {
  await using own = await ownServer();
  await using archive = await FaultedArchive.make({
    databaseUrl: await migratedDatabase(own.server, 'city'),
  });
  archive.newWork();
  await archive.settle();
  for (const limit of limits) {
    archive.newWork();
    await own.server.ask('postgres', `ALTER DATABASE city CONNECTION LIMIT ${limit}`);
    await archive.reopen();
    const ended = await archive.collect();
    await own.server.ask('postgres', 'ALTER DATABASE city CONNECTION LIMIT -1');
    await judge(archive, report, 'too few connections', 'collect', ended);
  }
}

/** More runs at once than the pool has connections, and a pool whose connections others keep. */
export async function poolExhausted(report: FaultReport, options: { waitItOut: boolean }): Promise<void> {
  await using archive = await FaultedArchive.make();
  const { pool } = archive.archive.database;
  archive.newWork();
  await archive.settle();
  const sources = Array.from({ length: 2 * pool.options.max }, (_, n) => `city-${n}`);
  archive.newWork();
  const operation = `runs of ${sources.length} sources at once`;
  const all = await Promise.all(sources.map((id) => archive.collect(id)));
  for (const { outcome, code } of all.slice(1))
    report.add({ where: WHERE, fault: 'pool exhausted', operation, code }, { outcome, ...NOTHING });
  await judge(archive, report, 'pool exhausted', operation, all[0] as Ended);
  for (const milliseconds of options.waitItOut ? [300, 16_000] : [300]) {
    archive.newWork();
    const kept = await Promise.all(Array.from({ length: pool.options.max }, () => pool.connect()));
    const running = archive.collect();
    await sleep(milliseconds);
    for (const client of kept) client.release();
    await judge(archive, report, 'pool exhausted', 'collect', await running);
  }
}

export async function ownServer(within?: string) {
  const closing: (() => Promise<void>)[] = [];
  const server = await startOwnServer(
    { after: (work) => void closing.push(work) },
    within === undefined ? {} : { within },
  );
  return {
    server,
    async [Symbol.asyncDispose]() {
      for (const work of closing) await work();
    },
  };
}
