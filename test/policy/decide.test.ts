// What policy decides, case by case: dates are civil dates in the archive's zone, nothing is rounded early, and doubt retains.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide, type PolicySettings, type RecordFacts } from '../../src/policy/decide.ts';
import { cutoffDate, retainThrough } from '../../src/policy/period.ts';
import { holdSchema, scheduleSchema } from '../../src/policy/schedule.ts';

const ARCHIVE: PolicySettings = {
  timezone: 'America/New_York',
  fiscalYear: [{ from: '2000-01-01', starts: '07-01' }],
  confirmDates: [],
};
/** As if somebody had vouched for the dates of the records' source. */
const CONFIRMED: PolicySettings = {
  ...ARCHIVE,
  confirmDates: [{ source: 'city', by: 'J. Officer', on: '2020-06-01' }],
};

const FACTS: RecordFacts = {
  id: '01890000-0000-7000-8000-000000000001',
  sources: ['city'],
  platform: 'bluesky',
  kind: 'post',
  authorId: null,
  authorHandle: 'city.example',
  authorNames: ['city.example'],
  texts: ['Main Street is closed'],
  tags: [],
  languages: ['en'],
  createdAt: '2020-03-01T12:00:00.000Z',
  createdAtFrom: 'platform',
  firstCapturedAt: '2020-03-01T12:10:00.000Z',
  dates: [{ createdAt: '2020-03-01T12:00:00.000Z', capturedAt: '2020-03-01T12:10:00.000Z' }],
};

function schedule(series: object = {}, rest: object = {}) {
  return scheduleSchema.parse({
    id: 'test',
    version: '1',
    issuer: 'Test',
    jurisdiction: 'none',
    effective: { from: '2000-01-01' },
    adopted: true,
    adoptedBy: 'Test',
    adoptedOn: '2000-01-01',
    series: [
      {
        code: 'A',
        title: 'Posts',
        authority: [{ cite: 'invented' }],
        match: { kinds: ['post'] },
        trigger: 'created',
        period: 'P2Y',
        disposition: 'destroy',
        ...series,
      },
    ],
    ...rest,
  });
}

const hold = (scope: object, rest: object = {}) =>
  holdSchema.parse({
    id: 'h',
    matter: 'M',
    kind: 'litigation',
    scope,
    issued: { by: 'Counsel', at: '2026-01-01', reason: 'suit' },
    ...rest,
  });
const on = (date: string) => Temporal.PlainDate.from(date);
const decided = (
  facts: Partial<RecordFacts>,
  today: string,
  schedules = [schedule()],
  holds: ReturnType<typeof hold>[] = [],
  settings = ARCHIVE,
) => decide({ ...FACTS, ...facts }, { schedules, holds }, on(today), settings);

test('when retention has run only what its schedule destroys is eligible; what is to be transferred or reviewed waits for a person', () => {
  for (const [disposition, decision] of [
    ['destroy', 'eligible'],
    ['transfer', 'review'],
    ['review', 'review'],
  ] as const)
    assert.equal(decided({}, '2099-01-01', [schedule({ disposition })]).decision, decision, disposition);
});

test('a period is added once and a day that the month lacks rolls forward, never early', () => {
  for (const [anchor, period, last] of [
    ['2024-02-29', 'P1Y', '2025-03-01'],
    ['2024-02-29', 'P4Y', '2028-02-29'],
    ['2025-08-31', 'P6M', '2026-03-01'],
    ['2025-01-31', 'P1M', '2025-03-01'],
    ['2025-12-31', 'P90D', '2026-03-31'],
    ['2025-12-31', 'P2Y', '2027-12-31'],
  ] as const) {
    assert.equal(retainThrough(on(anchor), period)?.toString(), last, `${anchor} + ${period}`);
  }
});

test('a cutoff moves to the end of month, year or fiscal year; a change of fiscal year makes one short year', () => {
  const changed = [
    { from: '2000-01-01', starts: '07-01' },
    { from: '2026-10-01', starts: '10-01' },
  ];
  for (const [date, cutoff, table, end] of [
    ['2024-02-10', 'month-end', [], '2024-02-29'],
    ['2024-02-10', 'calendar-year-end', [], '2024-12-31'],
    ['2024-06-30', 'fiscal-year-end', ARCHIVE.fiscalYear, '2024-06-30'],
    ['2024-07-01', 'fiscal-year-end', ARCHIVE.fiscalYear, '2025-06-30'],
    ['2026-08-01', 'fiscal-year-end', changed, '2026-09-30'],
    ['2026-10-01', 'fiscal-year-end', changed, '2027-09-30'],
  ] as const) {
    assert.equal(cutoffDate(on(date), cutoff, table)?.toString(), end, `${date} ${cutoff}`);
  }
  assert.equal(cutoffDate(on('1999-01-01'), 'fiscal-year-end', ARCHIVE.fiscalYear), null);
});

test('a record is kept through its last day and eligible the day after', () => {
  const last = decided({}, '2022-03-01');
  assert.deepEqual(
    [last.decision, last.retainThrough, last.eligibleOn],
    ['retain', '2022-03-01', '2022-03-02'],
  );
  assert.equal(decided({}, '2022-03-02').decision, 'eligible');
});

test('23:30 on 31 December belongs to the old year where the agency is', () => {
  const late = decided(
    { createdAt: '2021-01-01T04:30:00.000Z', firstCapturedAt: '2021-01-01T04:31:00.000Z' },
    '2022-01-01',
    [schedule({ cutoff: 'calendar-year-end' })],
  );
  assert.deepEqual([late.triggerDate, late.retainThrough], ['2020-12-31', '2022-12-31']);
});

test('a date that a user claims starts no clock before our first proof, unless a person confirms it', () => {
  const backdated = { createdAt: '1995-01-01T00:00:00.000Z', createdAtFrom: 'user' } as const;
  assert.equal(decided(backdated, '2022-03-01').decision, 'retain');
  assert.equal(decided(backdated, '2022-03-01').triggerDate, '2020-03-01');
  const confirmed = decided(backdated, '2022-03-01', [schedule()], [], CONFIRMED);
  assert.equal(confirmed.decision, 'eligible');
  assert.match(confirmed.reasons.join(' '), /J\. Officer confirmed the dates of city on 2020-06-01/);
  const elsewhere = decided({ ...backdated, sources: ['county'] }, '2022-03-01', [schedule()], [], CONFIRMED);
  assert.equal(elsewhere.decision, 'retain');
  const early = decided(backdated, '2020-05-31', [schedule()], [], CONFIRMED);
  assert.equal(early.triggerDate, '2020-03-01', 'before the day of the confirmation');
});

test('a date that nobody can mean starts no clock, even where a person confirmed the dates of the source', () => {
  for (const createdAt of [
    '-000043-03-15T12:00:00Z',
    '0000-01-01T00:00:00Z',
    '1970-01-01T00:00:00Z',
    '+010000-01-01T00:00:00Z',
    '+275760-09-13T00:00:00Z',
  ]) {
    for (const createdAtFrom of ['user', 'platform'] as const) {
      for (const cutoff of ['none', 'calendar-year-end', 'fiscal-year-end']) {
        const facts = { createdAt, createdAtFrom };
        const result = decided(facts, '2021-01-01', [schedule({ cutoff })], [], CONFIRMED);
        assert.deepEqual([result.decision, result.triggerDate], ['retain', '2020-03-01'], createdAt);
        assert.ok(
          result.reasons.some((reason) => reason.includes('credible')),
          createdAt,
        );
      }
    }
  }
});

test('what would be kept past the year 9999 is permanent: no period is too long to be decided by', () => {
  for (const period of ['P9999Y', 'P9999Y99999M99999W999999D', 'P7979Y']) {
    const result = decided({}, '9998-01-01', [schedule({ period })]);
    assert.deepEqual(
      [result.decision, result.triggerDate, result.retainThrough, result.eligibleOn],
      ['permanent', '2020-03-01', null, null],
      period,
    );
    assert.match(result.reasons.join(' '), /9999/);
  }
  const late = decided({ createdAt: '9998-12-31T12:00:00Z' }, '9998-12-31', [schedule({ period: 'P1D' })]);
  assert.equal(late.decision, 'permanent');
  assert.equal(retainThrough(on('+275760-09-13'), 'P1Y'), null);
  assert.equal(decided({}, '2021-01-01', [schedule({ period: 'P7978Y' })]).retainThrough, '9998-03-01');
});

test('holds beat everything, and matching any version is enough', () => {
  const texts = ['an old version about the bridge', 'nothing'];
  assert.equal(decided({ texts }, '2030-01-01', [schedule()], [hold({ text: ['Bridge'] })]).decision, 'held');
  assert.equal(
    decided({ texts }, '2030-01-01', [schedule()], [hold({ text: ['tunnel'] })]).decision,
    'eligible',
  );
  assert.equal(decided({}, '2030-01-01', [schedule({ disposition: 'permanent' })]).decision, 'permanent');
});

test('a hold finds its author by id, handle or display name, in whatever spelling and in any version', () => {
  const authorNames = ['did:plc:a', 'clerk.example', 'Ren\u00e9e O\u2019Hara', 'Former Name'];
  const decisionOf = (author: string) =>
    decided({ authorNames }, '2030-01-01', [schedule()], [hold({ authors: [author] })]).decision;
  for (const author of ['did:plc:a', 'Clerk.Example', 'RENE\u0301E O\u2019HARA', 'former  name'])
    assert.equal(decisionOf(author), 'held', author);
  assert.equal(decisionOf('Former'), 'eligible');
});

test('a hold finds its words however they are written', () => {
  for (const [asked, said] of [
    ['Cafe\u0301', 'the caf\u00e9 on Main Street'],
    ['caf\u00e9', 'THE CAFE\u0301'],
    ['permit 42', '\uff30\uff25\uff32\uff2d\uff29\uff34 \uff14\uff12'],
    ['office fire', 'o\ufb03ce \ufb01re'],
    ['STRASSE', 'Stra\u00dfe gesperrt'],
    ['\u039f\u0394\u039f\u03a3', '\u03bf\u03b4\u03cc\u03c2 \u03bf\u03b4\u03bf\u03c3'],
    ['street', 'str\u00adeet'],
    ['Main Street', 'main\nstreet'],
    ['Main Street', 'Main\u00a0Street'],
  ] as const) {
    const texts = [said, 'edited away'];
    const result = decided({ texts }, '2030-01-01', [schedule()], [hold({ text: [asked] })]);
    assert.equal(result.decision, 'held', `${asked} in ${said}`);
  }
});

test('a hold by dates covers what any version claims, when any was captured, and what may have been made then', () => {
  const dates = [
    { createdAt: '2020-03-01T12:00:00Z', capturedAt: '2020-03-01T12:10:00Z' },
    { createdAt: '2022-02-02T12:00:00Z', capturedAt: '2024-05-05T12:00:00Z' },
  ];
  const undated = (createdAt: string | null) => [{ createdAt, capturedAt: '2024-05-05T12:00:00Z' }];
  for (const [own, scope, decision] of [
    [dates, { from: '2020-03-01', to: '2020-03-01' }, 'held'],
    [dates, { from: '2024-05-01', to: '2024-05-31' }, 'held'],
    [dates, { from: '2022-02-01', to: '2022-02-28' }, 'held'],
    [dates, { from: '2023-01-01', to: '2023-12-31' }, 'eligible'],
    [dates, { from: '2024-06-01' }, 'eligible'],
    [undated(null), { from: '2019-01-01', to: '2019-12-31' }, 'held'],
    [undated('0001-01-01T00:00:00Z'), { from: '2019-01-01', to: '2019-12-31' }, 'held'],
    [undated('+275760-09-13T00:00:00Z'), { to: '2019-12-31' }, 'held'],
    [undated(null), { from: '2025-01-01', to: '2025-12-31' }, 'eligible'],
  ] as const) {
    const result = decided({ dates: own }, '2030-01-01', [schedule()], [hold(scope)]);
    assert.equal(result.decision, decision, JSON.stringify([own, scope]));
  }
});

test('a hold holds until the day of its release', () => {
  const released = hold({}, { released: { by: 'Counsel', at: '2031-01-01', reason: 'settled' } });
  assert.equal(decided({}, '2030-12-31', [schedule()], [released]).decision, 'held');
  assert.equal(decided({}, '2031-01-01', [schedule()], [released]).decision, 'eligible');
});

test('what is unadopted, not in effect, ambiguous or unclassified is retained, with the reason', () => {
  for (const [schedules, words] of [
    [[], /unclassified/],
    [[schedule({}, { adopted: false })], /not adopted/],
    [[schedule({}, { effective: { from: '2099-01-01' } })], /not in effect/],
    [[schedule(), schedule({ code: 'B' }, { id: 'other' })], /ambiguous/],
    [[schedule({ match: { kinds: ['reply'] } })], /unclassified/],
  ] as const) {
    const result = decided({}, '2050-01-01', [...schedules]);
    assert.equal(result.decision, 'retain');
    assert.match(result.reasons.join(' '), words);
  }
});

test('no record is eligible before its date or under a hold, whatever the dates', () => {
  for (let n = 0; n < 500; n += 1) {
    const created = on('2019-01-01').add({ days: n * 3 });
    const at = `${created}T12:00:00.000Z`;
    const today = on('2021-01-01').add({ days: (n * 7) % 1500 });
    const facts = { createdAt: at, firstCapturedAt: at };
    const free = decided(facts, today.toString());
    if (free.decision === 'eligible')
      assert.ok(Temporal.PlainDate.compare(today, created.add({ years: 2 })) > 0);
    assert.equal(decided(facts, today.toString(), [schedule()], [hold({})]).decision, 'held');
  }
});
