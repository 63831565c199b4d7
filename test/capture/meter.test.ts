// What a credential has spent of its day: counted once for all, whatever the clocks say.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { meterOf } from '../../src/capture/meter.ts';
import { passingMeter } from '../../src/sources/budget.ts';
import { FakePlatform } from '../support/appview.ts';
import { testArchive } from '../support/archive.ts';

test('units are counted once for all who spend them, day by day, and a clock that was far ahead spends no later day’s', async (t) => {
  await using platform = await FakePlatform.start();
  const { archive } = await testArchive(t, platform);
  for (const meter of [meterOf(archive.database.db), passingMeter()]) {
    const together = Array.from({ length: 20 }, () => meter.spend('key', '2026-11-20', 1, 10));
    assert.equal((await Promise.all(together)).filter(Boolean).length, 10);
    assert.equal(await meter.spend('other', '2026-11-20', 1, 10), true);
    assert.deepEqual(
      [await meter.spent('key', '2026-11-20'), await meter.spent('key', '2026-11-21')],
      [10, 0],
    );
    assert.equal(await meter.spend('key', '2026-11-21', 4, 10), true);
    // Another worker's clock is some hours behind.
    assert.equal(await meter.spend('key', '2026-11-20', 7, 10), false);
    assert.equal(await meter.spend('key', '2026-11-20', 6, 10), true);
    assert.equal(await meter.spent('key', '2026-11-21'), 10);
    assert.equal(await meter.spend('key', '2031-01-01', 10, 10), true);
    assert.equal(await meter.spent('key', '2026-11-22'), 0);
    assert.equal(await meter.spend('key', '2026-11-22', 10, 10), true);
    assert.equal(await meter.spend('key', '2026-11-22', 1, 10), false);
    assert.equal(await meter.spend('key', '2026-11-23', 1, 10), true);
  }
});
