// Capture: a whole run into the directory store and the ledger, against nothing but writing and fsyncing the same files.

import { mkdirSync } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { registerSource } from '../../src/capture/collect.ts';
import { captureSource } from '../../src/capture/run.ts';
import { systemClock } from '../../src/core/clock.ts';
import { newId } from '../../src/core/ids.ts';
import { openDatabase } from '../../src/db/database.ts';
import { Ledger } from '../../src/ledger/append.ts';
import { openDirectoryStore } from '../../src/store/directory.ts';
import { inDatabase, inFolder, type Measurement, median, seconds } from './measure.ts';
import { townCollector } from './town.ts';

/** Files written at the same time by the bare loops: one, as a plain program does it, and as many as help on a disk with a queue. */
const WRITERS = [1, 32] as const;

async function capture(url: string, folder: string, posts: number, perPage: number): Promise<number> {
  await using database = await openDatabase(url);
  const ledger = new Ledger({ db: database.db, origin: 'bench.example.gov', clock: systemClock });
  await ledger.create();
  await using store = openDirectoryStore({ path: join(folder, 'payloads'), create: true });
  for await (const _ of store.list()) void _; // makes the folders
  const context = {
    database,
    store,
    ledger,
    clock: systemClock,
    actor: newId(systemClock.now()),
    spool: join(folder, 'spool'),
  };
  const source = await registerSource(context, {
    id: 'town',
    platform: 'feed',
    url: 'https://example.gov/feed',
    schedule: null,
    confirmDates: null,
  } as Parameters<typeof registerSource>[1]);
  let captured = 0;
  const time = await seconds(async () => {
    const outcome = await captureSource(context, source, townCollector(posts, perPage), {
      signal: new AbortController().signal,
    });
    captured = outcome.captured;
  });
  if (captured !== posts) throw new Error(`captured ${captured} of ${posts} posts`);
  return time;
}

async function writtenFiles(folder: string): Promise<{ name: string; bytes: Buffer }[]> {
  const files: { name: string; bytes: Buffer }[] = [];
  const objects = join(folder, 'payloads', 'objects');
  for (const shard of await readdir(objects)) {
    for (const name of await readdir(join(objects, shard)))
      files.push({ name: join(shard, name), bytes: await readFile(join(objects, shard, name)) });
  }
  // Capture writes keys in the order of hashes: so does the bare loop.
  return files.sort((a, b) => (basename(a.name).slice(8) < basename(b.name).slice(8) ? -1 : 1));
}

async function writeBare(
  folder: string,
  files: readonly { name: string; bytes: Buffer }[],
  writers: number,
): Promise<number> {
  for (let shard = 0; shard < 256; shard += 1)
    mkdirSync(join(folder, shard.toString(16).padStart(2, '0')), { recursive: true });
  const queue = files[Symbol.iterator]();
  const writer = async () => {
    for (const { name, bytes } of queue) {
      const file = await open(join(folder, name), 'wx');
      await file.write(bytes);
      await file.sync();
      await file.close();
    }
  };
  return await seconds(() => Promise.all(Array.from({ length: writers }, writer)));
}

export async function measureCapture(options: {
  posts: number;
  perPage: number;
  rounds: number;
}): Promise<Measurement[]> {
  const { posts, perPage, rounds } = options;
  const ours: number[] = [];
  const limits = WRITERS.map((writers) => ({ writers, times: [] as number[] }));
  let files = 0;
  let bytes = 0;
  for (let round = 0; round < rounds; round += 1) {
    await inFolder(async (folder) => {
      await inDatabase(async ({ runtimeUrl }) => {
        ours.push(await capture(runtimeUrl, folder, posts, perPage));
      });
      const written = await writtenFiles(folder);
      files = written.length;
      bytes = written.reduce((sum, file) => sum + file.bytes.length, 0);
      for (const { writers, times } of limits)
        times.push(await writeBare(join(folder, `bare-${writers}`), written, writers));
    });
  }
  return limits.map(({ writers, times }) => ({
    name: 'capture: a run of new posts, slices and documents into the directory store, entries and rows into the ledger',
    ours: { perSecond: files / median(ours), what: 'payloads/s captured, durable, with their entries' },
    limit: {
      perSecond: files / median(times),
      what: `files/s written and fsynced bare, ${writers === 1 ? 'one after another' : `${writers} at a time`}`,
    },
    ratio: median(ours.map((time, round) => (times[round] as number) / time)),
    aim: 0.6,
    conditions: [
      `${posts} posts in pages of ${perPage} (one commit a page); ${files} files of ${Math.round(bytes / files)} bytes on average; the bare loop makes no directory entries durable, and has no digests, disclosure trees or database; one capturing process; median of ${rounds} rounds`,
    ],
  }));
}
