// What an archive says of its own completeness: day by day, in a signed report, and only what its runs bear out.

import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ReckonedRun, reckonDays, unwatchedTimes } from '../../src/capture/completeness.ts';
import { ticksBetween } from '../../src/capture/ticks.ts';
import { checkGapReport, findings, gaps, writeGapReport } from '../../src/gaps.ts';
import type { RunReportHead } from '../../src/ledger/documents.ts';
import { archiveStatus, hasGap } from '../../src/status.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, reopened, testArchive, verifyArchiveOf } from '../support/archive.ts';

const QUIET = { signal: new AbortController().signal };

test('each day of a source is complete, incomplete by a number, or unwatched, and an outage is told with the runs it missed', async (t) => {
  await using platform = await FakePlatform.start();
  platform.post('1', 'Main Street is closed');
  const { home, archive } = await testArchive(t, platform);
  await collectCity(archive);
  const settings = join(home, 'muniment.yaml');
  const daily = (await readFile(settings, 'utf8')).replace('id: city', 'id: city\n    schedule: "0 * * * *"');
  await writeFile(settings, daily);
  const began = Temporal.Now.instant();
  const on = async (days: number, work: (archive: Awaited<ReturnType<typeof reopened>>) => Promise<void>) => {
    const later = began.add({ hours: 24 * days });
    await using then = await reopened(home, { now: () => later });
    await work(then);
  };
  await on(1, async (then) => {
    platform.refusing = true;
    assert.equal((await collectCity(then)).status, 'failed');
    platform.refusing = false;
  });
  await on(3, async (then) => {
    platform.unlisted = 2;
    assert.equal((await collectCity(then)).status, 'complete');
  });
  await on(3.5, async (then) => {
    const [city] = (await archiveStatus(then)).sources;
    assert.equal(city?.missedRuns, 11, 'status tells the same day that scheduled runs do not take place');
    assert.equal(city !== undefined && hasGap(city), true);
  });
  await on(4, async (then) => {
    platform.unlisted = 0;
    assert.equal((await collectCity(then)).status, 'complete');
    const report = await gaps(then, QUIET);
    const [city] = report.sources;
    assert.ok(city !== undefined);
    assert.deepEqual(
      city.days.map(({ state, knownMissing, runs }) => [state, knownMissing, runs]),
      [
        ['complete', 0, { complete: 1, partial: 0, failed: 0 }],
        ['unwatched', 0, { complete: 0, partial: 0, failed: 1 }],
        ['unwatched', 0, { complete: 0, partial: 0, failed: 0 }],
        ['incomplete', 2, { complete: 1, partial: 0, failed: 0 }],
        ['complete', 0, { complete: 1, partial: 0, failed: 0 }],
      ],
    );
    assert.match(city.days[1]?.reasons.join(' ') ?? '', /Every run of this day failed\./);
    assert.match(
      city.days[3]?.reasons[0] ?? '',
      /2 items counted by the platform among its posts, and not listed/,
    );
    // From the first run to the one three days later, and from that to the next: each hour but the last one asked for a run.
    assert.deepEqual(
      city.unwatched.map(({ missedRuns }) => missedRuns),
      [71, 23],
    );
    assert.deepEqual(
      findings(city).map(({ from, to }) => from === to),
      [true, true, true, true, true],
    );
    assert.equal((await verifyArchiveOf(then)).ok, true);
  });
});

test('the report is signed over its JSON and its PDF, and a byte changed in either is found without the archive', async (t) => {
  await using platform = await FakePlatform.start();
  platform.post('1', 'Main Street is closed');
  const { archive } = await testArchive(t, platform);
  await collectCity(archive);
  const out = join(await mkdtemp(join(tmpdir(), 'muniment gaps ')), 'report');
  const files = await writeGapReport(archive, await gaps(archive, QUIET), out);
  assert.equal(files.length, 3);
  const key = archive.verifierKeyText;
  assert.deepEqual(await checkGapReport(out, key), {
    origin: 'archive.example.gov/social',
    size: (await archive.ledger.head()).size,
    files: ['gaps.json', 'gaps.pdf'],
  });
  await assert.rejects(writeGapReport(archive, await gaps(archive, QUIET), out), /cannot write .*exists/);
  for (const name of ['gaps.json', 'gaps.pdf', 'gaps.note']) {
    const path = join(out, name);
    const bytes = await readFile(path);
    const changed = Buffer.from(bytes);
    changed[20] = (changed[20] as number) ^ 1;
    await writeFile(path, changed);
    await assert.rejects(checkGapReport(out, key), { exitCode: 3 }, name);
    await writeFile(path, bytes);
  }
  await appendFile(join(out, 'gaps.json'), ' ');
  await assert.rejects(checkGapReport(out, key), /gaps\.json is not the file that was signed/);
});

test('a run report whose bytes were changed is told of, and its day is no longer called complete', async (t) => {
  await using platform = await FakePlatform.start();
  platform.post('1', 'Main Street is closed');
  const { archive } = await testArchive(t, platform);
  await collectCity(archive);
  const { report } = await archive.database.db
    .selectFrom('capture_runs')
    .select('report')
    .executeTakeFirstOrThrow();
  const path = join(archive.store.location, 'objects', report.slice(0, 2), report);
  const bytes = await readFile(path, 'utf8');
  const { chmod } = await import('node:fs/promises');
  await chmod(path, 0o640);
  await writeFile(path, bytes.replace('"rejected":0', '"rejected":1'));
  const told = await gaps(archive, QUIET);
  assert.equal(told.unreadable.length, 1);
  assert.match(told.unreadable[0]?.detail ?? '', /not those it commits to/);
  assert.equal(told.sources[0]?.days[0]?.state, 'unknown');
});

const HEAD: RunReportHead = {
  v: 'muniment/v1/run',
  run: '0',
  source: { id: '0', name: 'news' },
  collector: 'feed/1',
  startedAt: '2026-11-01T10:00:00.000Z',
  finishedAt: '2026-11-01T10:00:01.000Z',
  status: 'complete',
  coverage: 'recent',
  requests: 1,
  bytes: 1,
  reported: {},
  counts: { seen: 3, captured: 0, changed: 0, missing: 0, restored: 0, media: 0, rejected: 0 },
  errors: [],
};

function run(at: string, change: Partial<RunReportHead>, rest: Partial<ReckonedRun> = {}): ReckonedRun {
  const status = change.status ?? 'complete';
  return { at, status, report: { head: { ...HEAD, ...change }, rejected: 0 }, missingMedia: 0, ...rest };
}

function dayOf(runs: ReckonedRun[], timezone = 'UTC') {
  const day = Temporal.PlainDate.from('2026-11-01');
  const [only] = reckonDays(runs, { timezone, from: day, to: day });
  assert.ok(only !== undefined);
  return only;
}

test('a feed is never called complete: it does not tell what fell off its end', () => {
  assert.equal(dayOf([run('2026-11-01T10:00:00Z', {})]).state, 'unknown');
  const jump = dayOf([run('2026-11-01T10:00:00Z', { counts: { ...HEAD.counts, captured: 3 } })]);
  assert.match(jump.reasons.join(' '), /1 run found new items only/);
});

test('media, quarantine, threads and a reading that broke off make a day incomplete, and only what is counted is counted', () => {
  const error = (code: string) => ({ code, message: 'it went wrong', subject: null });
  const at = '2026-11-01T10:00:00Z';
  assert.equal(dayOf([run(at, { coverage: 'all' }, { missingMedia: 2 })]).knownMissing, 2);
  const cut = dayOf([
    run(at, { coverage: 'all', status: 'partial', errors: [error('timeout'), error('incomplete-thread')] }),
  ]);
  assert.equal(cut.state, 'incomplete');
  assert.equal(cut.knownMissing, 1);
  const put = run(
    at,
    { status: 'partial', errors: [error('rejected')] },
    { report: { head: { ...HEAD, status: 'partial' }, rejected: 4 } },
  );
  assert.equal(dayOf([put]).knownMissing, 4);
  const known = dayOf([run(at, { reported: { 'videos not read to the end': 3 } })]);
  assert.deepEqual([known.state, known.knownMissing], ['incomplete', 3], 'what an earlier run did not get');
  const later = dayOf([
    run(at, { coverage: 'all', status: 'partial', errors: [error('timeout')] }),
    run(at, { coverage: 'all' }),
  ]);
  assert.equal(later.state, 'complete', 'a later reading of the day that got everything mends it');
});

test('a day stays complete while later runs read what is new, and what a platform never tells is a reason and no lack', () => {
  const at = '2026-11-01T10:00:00Z';
  const gap = { code: 'standing-gap', message: 'earlier words are not told', subject: null };
  const whole = run(at, { coverage: 'all', errors: [gap] });
  const day = dayOf([whole, run(at, {}), run(at, {})]);
  assert.deepEqual(
    [day.state, day.knownMissing, day.reasons],
    ['complete', 0, ['earlier words are not told.']],
  );
  const short = { posts: 9, 'posts listed': 7 };
  assert.equal(dayOf([run(at, { coverage: 'all', reported: short }), run(at, {})]).knownMissing, 2);
  const timeout = { code: 'timeout', message: 'it went wrong', subject: null };
  const broken = run(at, { status: 'partial', errors: [timeout] });
  assert.equal(dayOf([whole, broken]).state, 'incomplete');
  assert.equal(dayOf([whole, broken, run(at, {})]).state, 'unknown');
});

test("days are the agency's: a run half an hour before midnight in New York belongs to the day that ends", () => {
  const late = run('2026-11-02T04:30:00Z', { coverage: 'all' });
  assert.equal(dayOf([late], 'America/New_York').state, 'complete');
  assert.equal(dayOf([late], 'UTC').state, 'unwatched');
});

test('a schedule is counted in its zone, through the hour that comes twice', () => {
  const daily = { schedule: '30 1 * * *', timezone: 'America/New_York' };
  assert.equal(ticksBetween(daily, '2026-10-31T00:00:00Z', '2026-10-31T23:00:00Z'), 1);
  const hourly = { schedule: '0 * * * *', timezone: 'America/New_York' };
  assert.equal(ticksBetween(hourly, '2026-11-01T04:30:00Z', '2026-11-01T08:30:00Z'), 4);
  assert.equal(ticksBetween(hourly, '2026-11-01T04:00:00Z', '2026-11-01T04:00:00Z'), 0);
});

test('one late run is no outage; a source that was never read is one from its registration on', () => {
  const hourly = (after: string, before: string) =>
    ticksBetween({ schedule: '0 * * * *', timezone: 'UTC' }, after, before);
  const reading = (hour: number) => ({
    startedAt: `2026-11-01T0${hour}:00:05Z`,
    finishedAt: `2026-11-01T0${hour}:00:30Z`,
  });
  const within = { lastReading: null, from: '2026-11-01T00:30:00Z', to: '2026-11-01T03:30:00Z' };
  assert.deepEqual(unwatchedTimes([reading(1), reading(2), reading(3)], within, hourly), []);
  assert.deepEqual(unwatchedTimes([], within, hourly), [{ from: null, to: null, missedRuns: 3 }]);
});
