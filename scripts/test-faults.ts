// `npm run test:faults`: injects faults of every kind into a working archive and accounts for each: completed in spite of it, or told
// and completed by running again; never lost, never doubled, always verifiable. Ends with 1 when one was not. `--middle` is the part
// that .ci/run has time for.

import { parseArgs } from 'node:util';
import {
  connectionsExhausted,
  databaseCuts,
  databaseRestarts,
  poolExhausted,
} from '../test/faults/database.ts';
import { databaseDiskFull, fileSizeLimited, homeDiskFull } from '../test/faults/disks.ts';
import { killAtEffects } from '../test/faults/kills.ts';
import { FaultReport } from '../test/faults/report.ts';
import { FULL, MIDDLE, ownClockOff, platformFaults, storeFaults, uploadFaults } from '../test/faults/wire.ts';
import { HTTP_FAULTS } from '../test/support/fault-proxy.ts';
import type { S3Service } from '../test/support/faulted-archive.ts';
import { withS3 } from './local-s3.ts';

/** Archives that suffer at the same time: while one waits for its disk or a dying process, another one works. */
const AT_ONCE = 3;

const { values: options } = parseArgs({ options: { middle: { type: 'boolean', default: false } } });
const say = (text: string): void => void process.stdout.write(`${text}\n`);

type Job = readonly [name: string, work: (report: FaultReport) => Promise<void>];

function fullJobs(s3: S3Service | null): Job[] {
  /** @param every effect that is met; `parts` archives share them */
  const kills = (victim: 'collect' | 'renew', on: S3Service | null, every: number, parts: number): Job[] =>
    Array.from({ length: parts }, (_, part) => [
      `SIGKILL, ${victim}${on === null ? '' : ' on S3'}, part ${part + 1}`,
      (report) => killAtEffects(report, { victim, first: 1 + part * every, step: every * parts, s3: on }),
    ]);
  return [
    ...kills('collect', null, 1, 6),
    ...(s3 === null ? [] : kills('collect', s3, 9, 1)),
    ['an exhausted pool', (report) => poolExhausted(report, { waitItOut: true })],
    ['a clock that is off', (report) => ownClockOff(report, s3)],
    [
      'collect, cut from PostgreSQL',
      (report) => databaseCuts(report, { operation: 'collect', kinds: 3, step: 2 }),
    ],
    [
      'verify, cut from PostgreSQL',
      (report) => databaseCuts(report, { operation: 'verify', kinds: 2, step: 4 }),
    ],
    [
      'export, cut from PostgreSQL',
      (report) => databaseCuts(report, { operation: 'export', kinds: 2, step: 4 }),
    ],
    ['PostgreSQL restarted', (report) => databaseRestarts(report, [5, 20, 35, 50])],
    ['too few connections', (report) => connectionsExhausted(report, [1, 2, 3, 4, 6])],
    ['a full disk', (report) => homeDiskFull(report, [0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24])],
    ['a full disk of PostgreSQL', (report) => databaseDiskFull(report, [0, 0, 8, 64])],
    ['limited files', (report) => fileSizeLimited(report, [1, 2])],
    ...HTTP_FAULTS.map(
      (fault): Job => [`${fault}, platform`, (report) => platformFaults(report, FULL, fault)],
    ),
    ...(s3 === null
      ? []
      : HTTP_FAULTS.flatMap((fault): Job[] => [
          [`${fault}, S3`, (report) => storeFaults(report, FULL, fault, s3)],
          [`${fault}, S3 in parts`, (report) => uploadFaults(report, fault, s3)],
        ])),
    // Last, since they take longest: three archives at a time, which is what one service bears.
    ...(s3 === null ? [] : kills('renew', s3, 1, 3)),
  ];
}

function middleJobs(s3: S3Service | null): Job[] {
  return [
    [
      'SIGKILL while it runs collect',
      (report) => killAtEffects(report, { victim: 'collect', first: 1, step: 9 }),
    ],
    ['an exhausted pool', (report) => poolExhausted(report, { waitItOut: false })],
    [
      'collect, cut from PostgreSQL',
      (report) => databaseCuts(report, { operation: 'collect', kinds: 2, step: 9 }),
    ],
    ['PostgreSQL restarted', (report) => databaseRestarts(report, [20])],
    ['a full disk', (report) => homeDiskFull(report, [0, 4, 12])],
    ['a full disk of PostgreSQL', (report) => databaseDiskFull(report, [0])],
    ...HTTP_FAULTS.filter((fault) => fault !== 'delay').map(
      (fault): Job => [`${fault}, platform`, (report) => platformFaults(report, MIDDLE, fault)],
    ),
    ...(s3 === null
      ? []
      : HTTP_FAULTS.filter((fault) => fault !== 'delay').map(
          (fault): Job => [`${fault}, S3`, (report) => storeFaults(report, MIDDLE, fault, s3)],
        )),
  ];
}

async function runAll(jobs: readonly Job[], report: FaultReport): Promise<void> {
  const queue = jobs[Symbol.iterator]();
  const started = performance.now();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const [name, work] of queue) {
        try {
          await work(report);
        } catch (error) {
          report.failures.push(
            `unclear: ${name} broke: ${error instanceof Error ? error.stack : String(error)}`,
          );
        }
        const seconds = Math.round((performance.now() - started) / 1000);
        process.stderr.write(`${seconds} s  ${report.totals.injected} faults  ${name}\n`);
      }
    }),
  );
}

const report = new FaultReport();
await withS3({ install: false, say }, async (found) => {
  let s3: S3Service | null = null;
  if ('missing' in found) {
    report.skip(
      `faults between archive and S3, since ${found.missing}: \`scripts/s3-local.sh install\` as root on Debian, then run this again. Payloads went to a directory.`,
    );
  } else {
    Object.assign(process.env, found.variables);
    s3 = {
      endpoint: process.env.S3_TEST_ENDPOINT as string,
      region: process.env.S3_TEST_REGION ?? 'us-east-1',
    };
  }
  await runAll(options.middle ? middleJobs(s3) : fullJobs(s3), report);
});
say(report.text());
process.exitCode = report.good ? 0 : 1;
