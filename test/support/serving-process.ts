// `muniment serve` with schedules that tick four times a second instead of once a minute: serving-process.ts HOME, until SIGTERM.

import { openArchive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { serve } from '../../src/serving.ts';

const TICK_MS = 250;
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
const environment = { home: null, token: null, configFolder: '/nonexistent', variables: {} };
await using archive = await openArchive(process.argv[2] as string, environment, systemClock);
const summary = await serve(archive, stop.signal, (line) => process.stderr.write(`${line}\n`), {
  jitter: 0,
  heartbeat: 10,
  ticker(_source, onTick) {
    const timer = setInterval(() => {
      onTick(new Date(Math.floor(Date.now() / TICK_MS) * TICK_MS).toISOString());
    }, TICK_MS);
    return { destroy: () => clearInterval(timer) };
  },
});
process.stdout.write(JSON.stringify(summary));
