// What is amiss, and when it is told.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestBegins } from '../../src/alerts/digest.ts';
import { type Finding, findingsOf, quietSince, type SourceFacts } from '../../src/alerts/findings.ts';
import { alertLine, alertsDue, type Told } from '../../src/alerts/telling.ts';
import { minutesAlone } from '../../src/capture/breaker.ts';
import { usualAfter } from '../../src/capture/health.ts';

const NOW = Temporal.Instant.from('2026-11-20T12:00:00Z');
const WELL: SourceFacts = {
  source: 'city',
  status: 'complete',
  missedRuns: 0,
  isBrokenOff: false,
  leftAloneUntil: null,
  health: {
    run: 'r1',
    codes: ['standing-gap'],
    figures: { posts: 100 },
    usual: { posts: { count: 100, at: '2026-11-20T11:00:00Z' } },
    newest: [],
    clockOffset: 3,
    renamedAt: null,
  },
};
const kinds = (facts: Partial<SourceFacts>, health: Partial<NonNullable<SourceFacts['health']>> = {}) =>
  findingsOf(
    { ...WELL, ...facts, health: { ...(WELL.health as NonNullable<SourceFacts['health']>), ...health } },
    NOW,
  ).map(({ kind }) => kind);

test('a source that is well has no findings, and neither has one that never ran', () => {
  assert.deepEqual(kinds({}), []);
  assert.deepEqual(findingsOf({ ...WELL, status: null, health: null }, NOW), []);
});

test('each way in which a source can be amiss is a finding of its own', () => {
  assert.deepEqual(kinds({ status: 'failed' }, { codes: ['timeout'] }), ['failed']);
  assert.deepEqual(kinds({ status: 'failed' }, { codes: ['access-lost'] }), ['access-lost', 'failed']);
  assert.deepEqual(kinds({ status: 'failed' }, { codes: ['account-replaced'] }), [
    'account-replaced',
    'failed',
  ]);
  assert.deepEqual(kinds({ status: 'partial' }, { codes: ['media', 'standing-gap'] }), ['incomplete']);
  assert.deepEqual(
    kinds({ status: 'partial' }, { codes: ['interrupted'] }),
    [],
    'a run that was told to stop',
  );
  assert.deepEqual(kinds({ missedRuns: 2, isBrokenOff: true }), ['broken-off', 'missed']);
  assert.deepEqual(kinds({ leftAloneUntil: '2026-11-20T13:00:00.000Z' }), ['left-alone']);
  assert.deepEqual(kinds({}, { clockOffset: -3600 }), ['clock']);
  assert.deepEqual(kinds({}, { renamedAt: '2026-11-19T12:00:00Z' }), ['account-renamed']);
  assert.deepEqual(kinds({}, { renamedAt: '2026-11-01T12:00:00Z' }), []);
  assert.deepEqual(kinds({}, { figures: { posts: 60 } }), ['fell-posts']);
});

test('an account is quiet when nothing is new for twice its longest pause, and at least two days', () => {
  const every = (hours: number, count: number, sinceLast: number) =>
    Array.from({ length: count }, (_, n) => NOW.subtract({ hours: sinceLast + n * hours }).toString());
  assert.equal(quietSince(every(24, 10, 47), NOW), null);
  assert.equal(quietSince(every(24, 10, 49), NOW), '2026-11-18T11:00:00.000Z');
  assert.equal(quietSince(every(168, 10, 300), NOW), null, 'it posts once a week');
  assert.notEqual(quietSince(every(168, 10, 340), NOW), null);
  assert.equal(quietSince(every(1, 4, 1000), NOW), null, 'too few to know its pace');
  assert.equal(quietSince(['no date', ...every(24, 10, 30), '2030-01-01T00:00:00Z'], NOW), null);
  assert.equal(quietSince(['2026-11-01T12:00:00+25:99', 'x'], NOW), null);
});

test('a figure that falls by a fifth and more is held against what it was for a week', () => {
  const at = (day: number) => `2026-11-${String(day).padStart(2, '0')}T12:00:00Z`;
  const usual = { followers: { count: 1000, at: at(1) } };
  assert.deepEqual(usualAfter(usual, { followers: 900 }, at(2)), { followers: { count: 900, at: at(2) } });
  assert.deepEqual(usualAfter(usual, { followers: 700 }, at(2)), usual);
  assert.deepEqual(usualAfter(usual, { followers: 700 }, at(9)), { followers: { count: 700, at: at(9) } });
  assert.deepEqual(usualAfter({ posts: { count: 9, at: at(1) } }, { posts: 2 }, at(2)), {
    posts: { count: 2, at: at(2) },
  });
});

test('what is amiss is told at once, after two days, then every five, until it is mended', () => {
  const finding: Finding = {
    id: 'failed:city',
    kind: 'failed',
    source: 'city',
    run: 'r1',
    sentence: 'city: the last run failed.',
  };
  let told: Told[] = [];
  const when: string[] = [];
  const hour = (hours: number) => NOW.add({ hours }).toString();
  for (let hours = 0; hours < 15 * 24; hours += 1) {
    const [due] = alertsDue([finding], told, hour(hours));
    if (due === undefined) continue;
    when.push(`${due.state} after ${hours / 24}`);
    told = [{ finding: finding.id, since: due.since, toldAt: hour(hours), times: (told[0]?.times ?? 0) + 1 }];
  }
  assert.deepEqual(when, ['found after 0', 'lasting after 2', 'lasting after 7', 'lasting after 12']);
  const [mended, ...none] = alertsDue([], told, hour(15 * 24));
  assert.deepEqual([mended?.state, mended?.since, none], ['mended', NOW.toString(), []]);
  assert.equal(mended && alertLine(mended), 'Alert of 2026-11-20T12:00:00Z, city: mended: failed.');
});

test('a host is left alone after three failures, for a time that doubles to six hours', () => {
  assert.deepEqual([1, 2, 3, 4, 5, 9, 99].map(minutesAlone), [0, 0, 5, 10, 20, 320, 360]);
});

test('a digest covers the last whole day or week, in the zone of the archive, also where a day has 23 hours', () => {
  const at = (text: string) => Temporal.ZonedDateTime.from(`${text}[America/New_York]`);
  const covered = (every: 'day' | 'week', text: string) => {
    const { from, to } = digestBegins(every, at(text));
    return [from, to].map((one) => one.toPlainDateTime().toString());
  };
  assert.deepEqual(covered('day', '2026-11-20T06:59'), ['2026-11-18T07:00:00', '2026-11-19T07:00:00']);
  assert.deepEqual(covered('day', '2026-11-20T07:00'), ['2026-11-19T07:00:00', '2026-11-20T07:00:00']);
  assert.deepEqual(covered('day', '2026-03-08T09:00'), ['2026-03-07T07:00:00', '2026-03-08T07:00:00']);
  assert.deepEqual(covered('week', '2026-11-20T12:00'), ['2026-11-09T07:00:00', '2026-11-16T07:00:00']);
  assert.deepEqual(covered('week', '2026-11-16T06:00'), ['2026-11-02T07:00:00', '2026-11-09T07:00:00']);
});

test('an alert that a clock which was years ahead told is told again once the clock is right, not years later', () => {
  const finding: Finding = {
    id: 'failed:city',
    kind: 'failed',
    source: 'city',
    run: null,
    sentence: 'city: failed.',
  };
  const told = (at: string): Told[] => [{ finding: finding.id, since: at, toldAt: at, times: 1 }];
  const due = (at: string): number => alertsDue([finding], told(at), '2026-11-20T12:00:00.000Z').length;
  assert.equal(due('2030-01-01T00:00:00.000Z'), 1);
  assert.equal(due('2026-11-20T12:05:00.000Z'), 0);
});
