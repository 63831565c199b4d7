// Full disks: of the archive's home (directory store, spool, signed head) and of PostgreSQL, on small file systems in memory that need
// root; and a limit on file size, which anybody can set.

import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ended, FaultedArchive } from '../support/faulted-archive.ts';
import { migratedDatabase } from '../support/postgres.ts';
import { asTold, runDisturbed } from '../support/process.ts';
import { ownServer } from './database.ts';
import type { FaultReport } from './report.ts';

const PAGE = 4096;

interface SmallDisk extends AsyncDisposable {
  readonly folder: string;
  /** Leaves so many bytes free. */
  fill(left: number): Promise<void>;
  empty(): Promise<void>;
}

/** @returns null where this process may not mount */
async function smallDisk(size: string): Promise<SmallDisk | null> {
  if (process.getuid?.() !== 0) return null;
  const folder = await mkdtemp(join(tmpdir(), 'muniment-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'muniment-faults', folder]);
  if (mounted.status !== 0) {
    await rm(folder, { recursive: true });
    return null;
  }
  await chmod(folder, 0o755);
  const ballast = join(folder, 'ballast');
  return {
    folder,
    async fill(left) {
      const { bavail, bsize } = await statfs(folder);
      await writeFile(ballast, Buffer.alloc(Math.max(0, bavail * bsize - left)));
    },
    empty: () => rm(ballast, { force: true }),
    async [Symbol.asyncDispose]() {
      spawnSync('umount', [folder]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const NO_MOUNT = 'needs root and the right to mount a tmpfs: run it as root';

async function judge(
  archive: FaultedArchive,
  report: FaultReport,
  at: { where: string; fault: string; operation: string },
  ended: Ended,
): Promise<void> {
  const gap = ended.outcome === 'completed' ? (await archive.findings()).lost : [];
  const after = await archive.settle();
  report.add(
    { ...at, code: ended.code },
    { outcome: ended.outcome, ...after, lost: [...gap.map((what) => `silently, ${what}`), ...after.lost] },
  );
}

/** The disk that holds payloads, spool and signed head is full to so many pages. */
export async function homeDiskFull(report: FaultReport, pagesLeft: readonly number[]): Promise<void> {
  await using disk = await smallDisk('24m');
  if (disk === null) {
    report.skip(`disk full in the directory store ${NO_MOUNT}.`);
    return;
  }
  await using archive = await FaultedArchive.make({ folder: disk.folder });
  archive.newWork();
  await archive.settle();
  for (const pages of pagesLeft) {
    archive.newWork();
    await disk.fill(pages * PAGE);
    const ended = await archive.collect();
    await disk.empty();
    await judge(
      archive,
      report,
      { where: 'disks', fault: 'disk of the home full', operation: 'collect' },
      ended,
    );
  }
}

/** The disk of PostgreSQL is full to so many pages; where that ends the server, it is started again once there is space. */
export async function databaseDiskFull(report: FaultReport, pagesLeft: readonly number[]): Promise<void> {
  await using disk = await smallDisk('256m');
  if (disk === null) {
    report.skip(`disk full in PostgreSQL ${NO_MOUNT}.`);
    return;
  }
  await using own = await ownServer(disk.folder);
  await using archive = await FaultedArchive.make({
    databaseUrl: await migratedDatabase(own.server, 'city'),
  });
  archive.newWork();
  await archive.settle();
  for (const pages of pagesLeft) {
    // Until the server wants new space: most of what it writes goes where something stood.
    for (let round = 0; round < 40; round += 1) {
      archive.newWork();
      await disk.fill(pages * PAGE);
      const ended = await archive.collect();
      await disk.empty();
      await own.server.start();
      if (ended.outcome === 'completed') continue;
      await judge(
        archive,
        report,
        { where: 'disks', fault: 'disk of PostgreSQL full', operation: 'collect' },
        ended,
      );
      break;
    }
  }
}

/** No file of the process may be larger than so many KiB. */
export async function fileSizeLimited(report: FaultReport, limits: readonly number[]): Promise<void> {
  await using archive = await FaultedArchive.make();
  archive.newWork();
  await archive.settle();
  for (const limit of limits) {
    archive.newWork();
    const ended = asTold(await runDisturbed(archive, ['collect'], { limit }));
    await judge(archive, report, { where: 'disks', fault: 'file size limited', operation: 'collect' }, ended);
  }
}
