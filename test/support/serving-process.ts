// `muniment serve` with schedules that tick every so many milliseconds instead of once a minute: serving-process.ts HOME MILLISECONDS, until
// SIGTERM. Each tick that it sees it prints.

import { openArchive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { serve } from '../../src/serving.ts';

const every = Number(process.argv[3]);
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
const environment = { home: null, token: null, configFolder: '/nonexistent', variables: {} };
await using archive = await openArchive(process.argv[2] as string, environment, systemClock);
await serve(archive, stop.signal, (line) => process.stderr.write(`${line}\n`), {
  jitter: 0,
  heartbeat: 10,
  ticker(_source, onTick) {
    let timer: NodeJS.Timeout;
    const next = (): void => {
      const at = (Math.floor(Date.now() / every) + 1) * every;
      timer = setTimeout(() => {
        const tick = new Date(at).toISOString();
        process.stdout.write(`${tick}\n`);
        onTick(tick);
        next();
      }, at - Date.now());
    };
    next();
    return { destroy: () => clearTimeout(timer) };
  },
});
