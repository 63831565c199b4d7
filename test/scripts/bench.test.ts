// `npm run bench`, on sizes too small to judge by: every measurement runs (one of them, within `npm test`) and tells figure, limit, ratio and
// memory. No time is asserted.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { isWhole } from '../support/whole.ts';

const run = promisify(execFile);

test('each measurement tells our figure, the limit from the same run, their ratio and its conditions', async () => {
  const { stdout } = await run(process.execPath, [
    'scripts/bench.ts',
    '--quick',
    ...(isWhole ? [] : ['ledger']),
  ]);
  const others = [
    'capture: a run',
    'collect: bluesky',
    'collect: mastodon',
    'verify: the chain',
    'store: directory, put of 2 KiB',
    'store: directory, get of 5 MiB',
  ];
  for (const name of ['ledger: entries with all rows', 'ledger: entries alone', ...(isWhole ? others : [])]) {
    const block = stdout.split('\n\n').find((text) => text.startsWith(name));
    assert.ok(block, `${name} is missing in:\n${stdout}`);
    for (const line of [
      /^ {2}ours +[\d,]+ /m,
      /^ {2}limit +[\d,]+ /m,
      /^ {2}ratio +\d+\.\d\d \((aim: at least 0\.\d+|no aim)\)/m,
    ])
      assert.match(block, line);
  }
  assert.match(stdout, /rows a commit, into \d+ indexes/);
  if (!isWhole) return;
  assert.match(stdout, /a poll where nothing happened: [1-3] requests \(aim: at most 3\)/);
  assert.match(stdout, /peak resident memory of the process: \d+ MiB for 10 entries/);
  assert.match(stdout, /a file of 40 MiB put and read back\n {2}peak resident memory of the process: \d+ MB/);
});

test('a measurement that does not exist is refused', async () => {
  await assert.rejects(run(process.execPath, ['scripts/bench.ts', 'speed']), { code: 2 });
});
