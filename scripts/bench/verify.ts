// Verification of the chain: reading every entry, checking form, chain, times and tree, against nothing but reading, parsing and hashing the
// same rows; and the memory that this takes, at two lengths a hundredfold apart, each in a process of its own.

import { hash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/core/clock.ts';
import { newSalt } from '../../src/core/digest.ts';
import { newId } from '../../src/core/ids.ts';
import { openDatabase } from '../../src/db/database.ts';
import { Ledger } from '../../src/ledger/append.ts';
import { ChainCheck } from '../../src/ledger/chain.ts';
import { entriesFrom } from '../../src/ledger/reader.ts';
import { inDatabase, type Measurement, median, peakMemory, seconds } from './measure.ts';

const SELF = fileURLToPath(import.meta.url);
const ORIGIN = 'bench.example.gov';

/** Entries of the size and shape that capture makes, without their rows: what is measured is the chain. */
async function fill(url: string, entries: number): Promise<void> {
  await using database = await openDatabase(url);
  const ledger = new Ledger({ db: database.db, origin: ORIGIN, clock: systemClock });
  await ledger.create();
  const actor = newId(systemClock.now());
  const run = newId(systemClock.now());
  const document = { v: 'none' } as never;
  const facts = () => {
    throw new Error('these entries have no payloads');
  };
  for (let from = 0; from < entries; from += 1000) {
    await ledger.write(actor, async (batch) => {
      for (let at = from; at < Math.min(entries, from + 1000); at += 1) {
        const now = systemClock.now();
        batch.add(
          {
            type: 'item.captured',
            record: newId(now),
            snapshot: newId(now),
            run,
            version: 1,
            document: newSalt().toString('hex'),
            disclosure: newSalt().toString('hex'),
            leaves: 100,
          },
          { document, facts },
        );
      }
    });
  }
}

async function check(url: string, entries: number, onBatch = () => {}): Promise<void> {
  await using database = await openDatabase(url);
  const chain = new ChainCheck(ORIGIN, [entries]);
  for await (const batch of entriesFrom(database.db, 0, entries)) {
    const { problems } = await chain.take(batch);
    if (problems.length > 0) throw new Error(JSON.stringify(problems[0]));
    onBatch();
  }
  if (chain.rootAt(entries) === undefined || chain.size !== entries)
    throw new Error(`checked ${chain.size} of ${entries} entries`);
}

async function bare(url: string, entries: number): Promise<void> {
  await using database = await openDatabase(url, { max: 1 });
  let next = 0;
  while (next < entries) {
    const { rows } = await database.pool.query<{ seq: number; entry: Buffer; leaf: Buffer }>(
      'SELECT seq, entry, leaf FROM ledger_entries WHERE seq >= $1 ORDER BY seq LIMIT 1000',
      [next],
    );
    for (const { seq, entry, leaf } of rows) {
      const parsed = JSON.parse(entry.toString('utf8')) as { seq: number };
      const digest = hash('sha256', entry, 'buffer') as Buffer;
      if (parsed.seq !== seq || digest.equals(leaf)) throw new Error(`row ${next} is not what was written`);
      next += 1;
    }
  }
}

export async function measureVerify(options: { entries: number; rounds: number }): Promise<Measurement> {
  const { entries, rounds } = options;
  return inDatabase(async ({ runtimeUrl, adminUrl }) => {
    await fill(runtimeUrl, entries);
    await using admin = await openDatabase(adminUrl, { max: 1 });
    await admin.pool.query('VACUUM ANALYZE ledger_entries');
    const ours: number[] = [];
    const limit: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      limit.push(await seconds(() => bare(runtimeUrl, entries)));
      ours.push(await seconds(() => check(runtimeUrl, entries)));
    }
    const lengths = [entries / 100, entries / 10, entries].map((length) => Math.max(1, Math.round(length)));
    const peaks: string[] = [];
    const peakOf = (length: number) => peakMemory(SELF, [runtimeUrl, String(length)]);
    await peakOf(1); // the first one compiles
    for (const length of lengths)
      peaks.push(`${(await peakOf(length)).toFixed(0)} MiB for ${length} entries`);
    return {
      name: 'verify: the chain, from the database',
      ours: { perSecond: entries / median(ours), what: 'entries/s verified (form, chain, times, tree)' },
      limit: { perSecond: entries / median(limit), what: 'entries/s read, parsed and hashed bare' },
      ratio: median(ours.map((time, round) => (limit[round] as number) / time)),
      aim: 0.7,
      conditions: [
        `${entries} entries, 1,000 rows a query on both sides, one process and one connection each; ours reads one query ahead, the bare loop waits for each; median of ${rounds} rounds`,
        `peak resident memory of the process: ${peaks.join(', ')}`,
      ],
    };
  });
}

if (process.argv[1] === SELF) {
  // Sampled: the kernel's own peak would begin with that of the process which started this one.
  let peak = 0;
  await check(process.argv[2] as string, Number(process.argv[3]), () => {
    peak = Math.max(peak, process.memoryUsage.rss());
  });
  process.stdout.write(String(peak));
}
