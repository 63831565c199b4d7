// The payload stores: put and get through ours against the bare minimum on the same disk or server, with the same number at work; and the
// memory of a process through which a large file passes.

import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { mkdtempDisposable, readFile, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { systemClock } from '../../src/core/clock.ts';
import { newSalt } from '../../src/core/digest.ts';
import { newId } from '../../src/core/ids.ts';
import type { StoreSettings } from '../../src/core/settings.ts';
import { type ObjectStore, readObject } from '../../src/store/objects.ts';
import { openStore } from '../../src/store/open.ts';
import { inFolder, inTurns, type Measurement, peakMemory } from './measure.ts';

const SELF = fileURLToPath(import.meta.url);
const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
/** At work at one time, as in capture. */
const CONCURRENCY = 32;
const DESCRIPTION = {
  contentType: 'application/json',
  metadata: { salt: newSalt().toString('hex'), role: 'slice' },
};
/** As capture puts: under a key that it has just made. */
const FRESH = { fresh: true };
const fsync = promisify(fs.fsync);

interface StoreSizes {
  readonly small: number;
  readonly large: number;
  readonly rounds: number;
  /** Bytes of the file that passes through. */
  readonly file: { readonly directory: number; readonly s3: number };
}

/** The bare way to do what a store does. */
interface Bare {
  put(key: string, bytes: Buffer): Promise<void>;
  /** @returns the number of bytes read */
  get(key: string): Promise<number>;
  readonly what: { readonly put: string; readonly get: string };
  readonly aim: { readonly put: number; readonly get: number | null };
}

async function allAtWork(count: number, work: (at: number) => Promise<void>): Promise<void> {
  const queue = Array.from({ length: count }, (_, at) => at).values();
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (const at of queue) await work(at);
    }),
  );
}

const freshKey = (): string => newSalt().toString('hex');

async function* measureBoth(
  name: string,
  store: ObjectStore,
  bare: Bare,
  sizes: StoreSizes,
): AsyncGenerator<Measurement> {
  for (const [size, count, told] of [
    [2 * KIBIBYTE, sizes.small, '2 KiB'],
    [5 * MEBIBYTE, sizes.large, '5 MiB'],
  ] as const) {
    const bytes = randomBytes(size);
    // A process's first put learns what the service does, opens connections and warms up code: it is not measured.
    await store.put(freshKey(), { bytes }, DESCRIPTION, FRESH);
    await bare.put(freshKey(), bytes);
    const versions = new Map<string, string | null>();
    const bareKeys: string[] = [];
    const puts = await inTurns({
      rounds: sizes.rounds,
      count,
      ours: () =>
        allAtWork(count, async () => {
          const { key, version } = await store.put(freshKey(), { bytes }, DESCRIPTION, FRESH);
          versions.set(key, version);
        }),
      limit: () =>
        allAtWork(count, async () => {
          const key = freshKey();
          await bare.put(key, bytes);
          bareKeys.push(key);
        }),
    });
    const stored = [...versions];
    const gets = await inTurns({
      rounds: sizes.rounds,
      count,
      ours: () =>
        allAtWork(count, async (at) => {
          const [key, version] = stored[at] as [string, string | null];
          mustBe(size, (await readObject(store, key, version)).bytes.length);
        }),
      limit: () => allAtWork(count, async (at) => mustBe(size, await bare.get(bareKeys[at] as string))),
    });
    for (const [verb, { ours, limit, ratio }] of [
      ['put', puts],
      ['get', gets],
    ] as const) {
      yield {
        name: `store: ${name}, ${verb} of ${told}`,
        ours: { perSecond: ours, what: `${verb}s/s through our store` },
        limit: { perSecond: limit, what: `${verb}s/s ${bare.what[verb]}` },
        ratio,
        aim: bare.aim[verb],
        conditions: [
          `${count} payloads, ${CONCURRENCY} at work on both sides, one process; median of ${sizes.rounds} rounds`,
        ],
      };
    }
  }
}

function mustBe(size: number, read: number): void {
  if (read !== size) throw new Error(`${read} of ${size} bytes were read`);
}

/** What any writer of files that must outlive a crash does: new file, bytes, fsync. */
function bareFiles(folder: string): Bare {
  return {
    async put(key, bytes) {
      const fd = fs.openSync(join(folder, key), 'wx', 0o440);
      try {
        for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at);
        await fsync(fd);
      } finally {
        fs.closeSync(fd);
      }
    },
    get: async (key) => (await readFile(join(folder, key))).length,
    what: { put: 'with a bare fsynced file', get: 'by reading a bare file' },
    // A reading checks the object's header and streams; there is no bare way to do that.
    aim: { put: 0.8, get: null },
  };
}

type S3Settings = Extract<StoreSettings, { provider: 's3' }>;

/** Puts what our store puts: the same description and the same lock. */
function bareSdk({ bucket: Bucket, region, endpoint }: S3Settings): Bare & { readonly client: S3Client } {
  const client = new S3Client({
    region,
    ...(endpoint === null ? {} : { endpoint, forcePathStyle: true }),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { httpAgent: { keepAlive: true, maxSockets: 64 } },
  });
  const until = new Date(systemClock.now().add({ hours: 7 * 24 }).epochMilliseconds);
  return {
    client,
    async put(key, bytes) {
      await client.send(
        new PutObjectCommand({
          Bucket,
          Key: `bare/${key}`,
          Body: bytes,
          ContentType: DESCRIPTION.contentType,
          Metadata: DESCRIPTION.metadata,
          ObjectLockMode: 'GOVERNANCE',
          ObjectLockRetainUntilDate: until,
        }),
      );
    },
    async get(key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: `bare/${key}` }));
      const bytes = await Body?.transformToByteArray();
      return bytes?.length ?? 0;
    },
    what: { put: 'by the bare SDK, of the same locked object', get: 'by the bare SDK' },
    aim: { put: 0.9, get: 0.9 },
  };
}

async function passThrough(settings: StoreSettings, length: number, remark = ''): Promise<string> {
  return inFolder(async (folder) => {
    const file = join(folder, 'video');
    await writeFile(file, '');
    const peakOf = (bytes: number) => peakMemory(SELF, [JSON.stringify(settings), file, String(bytes)]);
    const small = Math.min(length, MEBIBYTE);
    await truncate(file, small);
    await peakOf(small); // the first one compiles
    await truncate(file, length); // a hole: reading it takes no disk of its own
    const peak = (await peakOf(length)) * 1.048576;
    const told = length >= 1024 * MEBIBYTE ? `${length / MEBIBYTE / 1024} GiB` : `${length / MEBIBYTE} MiB`;
    return `store: ${settings.provider === 's3' ? 'S3' : 'directory'}, a file of ${told} put and read back\n  peak resident memory of the process: ${peak.toFixed(0)} MB (aim: under 200 MB)${peak >= 200 ? '  ABOVE ITS AIM' : ''}${remark}`;
  });
}

/**
 * Measurements, and sentences on what has no ratio, as they come.
 * @param endpoint undefined: there is no S3 service to measure
 */
export async function* measureStore(
  sizes: StoreSizes,
  endpoint: string | undefined,
  region: string,
): AsyncGenerator<Measurement | string> {
  {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'muniment-bench-'));
    const settings: StoreSettings = { provider: 'directory', path: join(folder.path, 'payloads') };
    fs.mkdirSync(join(folder.path, 'bare'));
    await using store = await openStore(settings, { clock: systemClock, create: true });
    yield* measureBoth('directory', store, bareFiles(join(folder.path, 'bare')), sizes);
    yield await passThrough(settings, sizes.file.directory);
  }
  if (endpoint === undefined) {
    yield 'store: S3 was not measured, since S3_TEST_ENDPOINT names no service: `scripts/s3-local.sh start DIR` starts one and prints the environment.';
    return;
  }
  const settings: S3Settings = {
    provider: 's3',
    bucket: `muniment-bench-${newId(systemClock.now())}`,
    region,
    endpoint,
    prefix: 'city/',
    lock: { mode: 'GOVERNANCE', horizon: 'P7D' },
  };
  const bare = bareSdk(settings);
  try {
    await bare.client.send(
      new CreateBucketCommand({ Bucket: settings.bucket, ObjectLockEnabledForBucket: true }),
    );
    await using store = await openStore(settings, { clock: systemClock });
    yield* measureBoth('S3', store, bare, sizes);
    const smaller =
      sizes.file.s3 < sizes.file.directory
        ? '\n  smaller than the file of the directory store: the local service keeps its objects in memory'
        : '';
    yield await passThrough(settings, sizes.file.s3, smaller);
  } finally {
    bare.client.destroy();
  }
}

if (process.argv[1] === SELF) {
  const [settings = '', file = '', length] = process.argv.slice(2);
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 20);
  await using store = await openStore(JSON.parse(settings) as StoreSettings, { clock: systemClock });
  const put = await store.put(freshKey(), { file, length: Number(length) }, DESCRIPTION);
  const { body } = await store.get(put.key, put.version);
  let read = 0;
  const count = new Writable({
    write(chunk: Buffer, _encoding, done) {
      read += chunk.length;
      done();
    },
  });
  await pipeline(body, count);
  mustBe(Number(length), read);
  clearInterval(watch);
  process.stdout.write(String(peak));
}
