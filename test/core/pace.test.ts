// Schedules that follow an account's pace.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSettings } from '../../src/config.ts';
import { fastest, scheduleNow, slowest } from '../../src/core/pace.ts';

const LAST_RUN = '2026-11-20T12:00:00.000Z';
/** @returns items that are so many minutes apart, the latest so many before the last run */
const every = (minutes: number, since = minutes / 2) =>
  Array.from({ length: 30 }, (_, n) =>
    Temporal.Instant.from(LAST_RUN)
      .subtract({ seconds: 60 * (since + n * minutes) })
      .toString(),
  );

test('a source is asked four times in the usual pause between its items, between five minutes and a day', () => {
  for (const [minutes, expected] of [
    [1, '*/5 * * * *'],
    [60, '*/15 * * * *'],
    [130, '*/30 * * * *'],
    [24 * 60, '0 */6 * * *'],
    [30 * 24 * 60, '0 0 * * *'],
  ] as const)
    assert.equal(scheduleNow('auto', every(minutes), LAST_RUN), expected, `${minutes}`);
});

test('an account that falls silent is asked less, one that writes again more, and bounds hold', () => {
  assert.equal(scheduleNow('auto', every(60, 24 * 60), LAST_RUN), '0 */6 * * *');
  assert.equal(scheduleNow('auto 15m-3h', every(60, 24 * 60), LAST_RUN), '0 */3 * * *');
  assert.equal(scheduleNow('auto 15m-3h', every(1), LAST_RUN), '*/15 * * * *');
  assert.deepEqual([fastest('auto 15m-3h'), slowest('auto 15m-3h')], ['*/15 * * * *', '0 */3 * * *']);
  assert.deepEqual([fastest('auto'), slowest('auto')], ['*/5 * * * *', '0 0 * * *']);
});

test('a source of which nothing is known is asked soon, one without dates daily, and any other schedule is left as it is', () => {
  assert.equal(scheduleNow('auto', [], null), '*/5 * * * *');
  assert.equal(
    scheduleNow('auto', ['2026-11-20T11:00:00Z', 'no date', '2031-01-01T00:00:00Z'], LAST_RUN),
    '0 0 * * *',
  );
  for (const other of [
    scheduleNow('7 * * * *', every(1), LAST_RUN),
    fastest('7 * * * *'),
    slowest('7 * * * *'),
  ])
    assert.equal(other, '7 * * * *');
});

test('bounds that cannot be are told with the line', () => {
  const settings = (schedule: string) =>
    parseSettings(
      `archive: { name: City, origin: archive.example.gov/social, timezone: UTC }
sources: [{ id: city, platform: feed, url: "https://example.gov/feed", schedule: ${schedule} }]`,
      'muniment.yaml',
      '/nowhere',
      { home: null, token: null, configFolder: '/nonexistent', variables: {} },
    );
  assert.equal(settings('auto 15m-6h').sources[0]?.schedule, 'auto 15m-6h');
  for (const wrong of ['auto 6h-15m', 'auto 7m-1h', 'auto 5m-always'])
    assert.throws(() => settings(wrong), /muniment\.yaml:2:.*has no such bounds/);
  assert.throws(() => settings('automatic'), /a schedule has five fields/);
});
