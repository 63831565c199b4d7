// `npm run test:fuzz [-- PLATFORM …] [--seed TEXT] [--answers N]`: 10,000 mutated answers for each collector, through the real capture path.
// The seed is printed; the same seed mutates the same answers in the same way.

import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { CONTRACTS } from '../test/sources/contracts.ts';
import { fuzz } from '../test/sources/fuzz.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: randomUUID().slice(0, 8) },
    answers: { type: 'string', default: '10000' },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const known = Object.keys(CONTRACTS);
const unknown = positionals.filter((name) => !known.includes(name));
const answers = Number(values.answers);
if (unknown.length > 0 || !Number.isSafeInteger(answers) || answers < 1) {
  process.stderr.write(
    `usage: npm run test:fuzz [-- PLATFORM …] [--seed TEXT] [--answers N]; platforms: ${known.join(', ')}\n`,
  );
  process.exit(2);
}

say(`seed ${values.seed}`);
for (const [name, contract] of Object.entries(CONTRACTS)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  await using lasting = new AsyncDisposableStack();
  const started = performance.now();
  const report = await fuzz({ after: (work) => lasting.defer(work) }, name, contract, {
    seed: values.seed,
    answers,
    progress: (count, failed) =>
      process.stderr.write(`${name}: ${count} of ${answers}, ${failed} failures\n`),
  });
  const { failures, ...figures } = report;
  const seconds = Math.round((performance.now() - started) / 1000);
  say(`${name}: ${failures.length} failures in ${seconds} s ${JSON.stringify(figures)}`);
  for (const failure of failures) say(`  ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
}
