// A short fuzz of every collector, with another seed each time; `npm run test:fuzz` does it at length, and again with a seed that is told.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { isWhole } from '../support/whole.ts';
import { CONTRACTS } from './contracts.ts';
import { fuzz } from './fuzz.ts';

const ANSWERS = isWhole ? 200 : 20;

for (const [platform, contract] of Object.entries(CONTRACTS)) {
  test(`${ANSWERS} mutated answers break no run of the ${platform} collector, and delete nothing`, async (t) => {
    const report = await fuzz(t, platform, contract, { seed: randomUUID().slice(0, 8), answers: ANSWERS });
    t.diagnostic(JSON.stringify(report));
    assert.deepEqual(report.failures, []);
  });
}
