// Some twenty faults of every kind, none of which may lose, double or hide anything. `npm run test:faults` injects many hundreds.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { muniment } from '../support/command.ts';
import { FaultedArchive } from '../support/faulted-archive.ts';
import { databaseCuts, poolExhausted } from './database.ts';
import { homeDiskFull } from './disks.ts';
import { killAtEffects } from './kills.ts';
import { FaultReport } from './report.ts';
import { platformFaults } from './wire.ts';

const LIMITED = { doses: [{ skip: 0, times: Number.POSITIVE_INFINITY, place: 0.6 }] };

function assertGood(report: FaultReport, fewest: number): void {
  assert.deepEqual(report.failures, []);
  assert.ok(report.totals.injected >= fewest, report.text());
}

test('faults between an archive and a platform are told, and made good by the next run', async (t) => {
  const report = new FaultReport();
  await platformFaults(report, { faults: [], ...LIMITED }, 'truncated body');
  t.diagnostic(report.text());
  assertGood(report, 5);
});

test('a connection to PostgreSQL that is cut at any packet loses and doubles nothing', async (t) => {
  const report = new FaultReport();
  await databaseCuts(report, { operation: 'collect', kinds: 2, step: 33 });
  t.diagnostic(report.text());
  assertGood(report, 4);
});

test('more runs at once than there are connections all come to their end', async (t) => {
  const report = new FaultReport();
  await poolExhausted(report, { waitItOut: false });
  t.diagnostic(report.text());
  assertGood(report, 17);
  assert.equal(report.totals.completed, report.totals.injected, 'they waited for each other');
});

test('a disk that is full stops a run with a reason, and leaves nothing half entered', async (t) => {
  const report = new FaultReport();
  await homeDiskFull(report, [0, 8]);
  if (report.skipped.length > 0) {
    t.skip(report.skipped[0]);
    return;
  }
  assertGood(report, 2);
});

test('a collecting process that is killed before an effect loses and doubles nothing', async (t) => {
  const report = new FaultReport();
  await killAtEffects(report, { victim: 'collect', first: 90, step: 150 });
  t.diagnostic(report.text());
  assertGood(report, 1);
});

test('a database that vanishes in the middle of a command ends it with one sentence and exit code 5', async () => {
  await using archive = await FaultedArchive.make();
  archive.newWork();
  const { databaseProxy } = archive;
  const packets = databaseProxy.packets.asked;
  databaseProxy.onPacket = () => {
    if (databaseProxy.packets.asked > packets + 40) databaseProxy.cutAll();
  };
  const variables = archive.environment.variables as Record<string, string>;
  const ended = await muniment(['--home', archive.home, 'collect'], { env: variables });
  assert.equal(ended.code, 5, ended.stderr);
  assert.match(
    ended.stderr,
    /^muniment: the (connection to the database \S+ on \S+ was lost|database \S+ on \S+ gives no further connection): .*\n {2}.*run the command again.*\n$/,
  );
  databaseProxy.onPacket = () => undefined;
  const settings = await readFile(`${archive.home}/muniment.yaml`, 'utf8');
  assert.match(settings, /FAULTS_DATABASE_URL/, 'the password stands in no file');
  assert.deepEqual(await archive.settle(), { lost: [], doubled: [], unverifiable: [] });
});
