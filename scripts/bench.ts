// `npm run bench [-- ledger capture collect verify store] [--quick]`: measures what long work costs against the limit that the machine sets to the same
// work, both in this run. It has a PostgreSQL of its own, with every promise of durability kept.

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbedded } from '../src/db/embedded.ts';
import { measureCapture } from './bench/capture.ts';
import { measureCollect } from './bench/collect.ts';
import { measureLedger } from './bench/ledger.ts';
import { type Measurement, tell } from './bench/measure.ts';
import { measureStore } from './bench/store.ts';
import { measureVerify } from './bench/verify.ts';
import { withS3 } from './local-s3.ts';

const known = ['ledger', 'capture', 'collect', 'verify', 'store'] as const;
const quick = process.argv.includes('--quick');
const named = process.argv.slice(2).filter((word) => word !== '--quick');
const unknown = named.filter((word) => !known.some((name) => name === word));
if (unknown.length > 0) {
  process.stderr.write(
    `There is no measurement named ${unknown.join(', ')}. There are: ${known.join(', ')}.\n`,
  );
  process.exit(2);
}
const wanted = (name: (typeof known)[number]): boolean => named.length === 0 || named.includes(name);

const home = await mkdtemp(join(tmpdir(), 'muniment-bench-'));
await chmod(home, 0o755);
const server = await openEmbedded({ home });
process.env.MUNIMENT_TEST_DATABASE_URL = server.adminUrl;
try {
  const [first] = cpus();
  process.stdout.write(
    `${cpus().length} × ${first?.model ?? 'unknown CPU'}, Node ${process.version}${quick ? '; --quick: sizes too small to judge by' : ''}\n\n`,
  );
  const show = (measurements: readonly Measurement[]) => {
    for (const measurement of measurements) process.stdout.write(`${tell(measurement)}\n\n`);
  };
  if (wanted('ledger'))
    show(
      await measureLedger({
        entries: quick ? 500 : 50_000,
        perBatch: quick ? 100 : 1000,
        rounds: quick ? 1 : 3,
      }),
    );
  if (wanted('capture'))
    show(await measureCapture({ posts: quick ? 40 : 4000, perPage: 100, rounds: quick ? 1 : 3 }));
  if (wanted('collect')) show(await measureCollect({ posts: quick ? 300 : 10_000, rounds: quick ? 1 : 5 }));
  if (wanted('verify'))
    show([await measureVerify({ entries: quick ? 1000 : 1_000_000, rounds: quick ? 1 : 3 })]);
  if (wanted('store')) {
    const mebibyte = 1024 ** 2;
    const sizes = {
      small: quick ? 64 : 1000,
      large: quick ? 4 : 20,
      rounds: quick ? 1 : 3,
      file: {
        directory: (quick ? 40 : 5 * 1024) * mebibyte,
        s3: (quick ? 40 : 1536) * mebibyte,
      },
    };
    const say = (text: string): void => void process.stdout.write(`${text}\n`);
    // A service of this machine takes half a minute to start: too long for a look.
    const measure = async (): Promise<void> => {
      const { S3_TEST_ENDPOINT, S3_TEST_REGION = 'us-east-1' } = process.env;
      for await (const one of measureStore(sizes, S3_TEST_ENDPOINT, S3_TEST_REGION))
        say(`${typeof one === 'string' ? one : tell(one)}\n`);
    };
    if (quick) await measure();
    else
      await withS3({ install: false, say }, async (service) => {
        if ('variables' in service) Object.assign(process.env, service.variables);
        await measure();
      });
  }
} finally {
  await server[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
}
