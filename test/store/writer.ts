// A process of its own that writes to a store, for the contract's races and kills: it prints a line when a put returned.

import { writeSync } from 'node:fs';
import { systemClock } from '../../src/core/clock.ts';
import { sha256Hex } from '../../src/core/digest.ts';
import { type MunimentError, ObjectExistsError } from '../../src/core/errors.ts';
import { openStore } from '../../src/store/open.ts';
import type { ArrangedStore } from './contract.ts';

const [arrangement = '', mode, ...rest] = process.argv.slice(2);
const { settings, credentials } = JSON.parse(arrangement) as ArrangedStore;
const description = { contentType: 'text/plain', metadata: { kind: 'slice' } };
const say = (line: string) => writeSync(1, `${line}\n`);

await using store = await openStore(settings, {
  clock: systemClock,
  ...(credentials ? { credentials } : {}),
});

if (mode === 'file') {
  const [key = '', file = '', length] = rest;
  const before = process.memoryUsage().rss;
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, 5);
  const object = await store.put(key, { file, length: Number(length) }, description);
  clearInterval(watch);
  say(JSON.stringify({ grown: Math.max(most, process.memoryUsage().rss) - before, object }));
} else if (mode === 'race') {
  const [key = '', colour = ''] = rest;
  const putOnce = async () => {
    const outcome = await store.put(key, { bytes: Buffer.from(colour) }, description).then(
      () => 'stored',
      (error: unknown) => (error instanceof ObjectExistsError ? 'exists' : String(error)),
    );
    say(JSON.stringify({ colour, outcome }));
  };
  await Promise.all(Array.from({ length: 8 }, putOnce));
} else if (mode === 'large') {
  process.on('SIGXFSZ', () => {}); // the write fails instead
  const outcomes = [];
  for (const fresh of [false, true]) {
    for (const size of [100_000, 1_000_000, 100]) {
      const key = sha256Hex(`key ${size} ${fresh}`);
      const error = await store.put(key, { bytes: Buffer.alloc(size) }, description, { fresh }).then(
        () => null,
        (thrown: MunimentError) => thrown,
      );
      outcomes.push({ size, fresh, error: error?.name ?? null, remedy: Boolean(error?.hint) });
    }
  }
  say(JSON.stringify(outcomes));
} else {
  let n = 0;
  const putOn = async () => {
    while (n < 100_000) {
      const bytes = Buffer.alloc(1 + ((n * 7919) % 40_000), `${rest[0]} ${n++} `);
      const key = sha256Hex(bytes);
      await store.put(key, { bytes }, description);
      say(key);
    }
  };
  await Promise.all(Array.from({ length: 16 }, putOn));
}
