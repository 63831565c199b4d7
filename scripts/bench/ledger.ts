// Ledger append: batches of 1,000 through the sequencer, against a binary COPY of the very same rows into the same tables of the same server,
// the same number of rows to a commit.

import { once } from 'node:events';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { snapshotDocumentOf } from '../../src/capture/documents.ts';
import { canonicalBytes, type Json } from '../../src/core/canonical.ts';
import { systemClock } from '../../src/core/clock.ts';
import { newSalt, payloadCommitment, sha256 } from '../../src/core/digest.ts';
import { newId } from '../../src/core/ids.ts';
import { openDatabase } from '../../src/db/database.ts';
import { Ledger } from '../../src/ledger/append.ts';
import { disclosureTree } from '../../src/ledger/disclosure.ts';
import type { EntryDraft } from '../../src/ledger/entry.ts';
import type { PayloadFacts, ProjectionInput } from '../../src/ledger/projection.ts';
import { inDatabase, type Measurement, median, seconds } from './measure.ts';
import { postOf } from './town.ts';

const TABLES = [
  'ledger_entries',
  'ledger_subtrees',
  'records',
  'record_identities',
  'record_sources',
  'snapshots',
  'payloads',
] as const;

interface Prepared {
  readonly draft: EntryDraft;
  readonly input?: ProjectionInput;
}

/** One captured post, everything made that is capture's work and not the ledger's. */
function capturedPost(n: number, run: string, source: { id: string; name: string }): Prepared {
  const now = systemClock.now();
  const sighting = postOf(n);
  const facts = new Map<string, PayloadFacts>();
  const payload = (bytes: Uint8Array, contentType: string) => {
    const salt = newSalt();
    const digest = sha256(bytes);
    const commitment = payloadCommitment(salt, digest);
    facts.set(commitment, { salt, sha256: digest.toString('hex'), length: bytes.length, contentType });
    return { commitment, sha256: digest.toString('hex'), length: bytes.length };
  };
  const document = snapshotDocumentOf({
    record: newId(now),
    snapshot: newId(now),
    version: 1,
    cause: 'first',
    source,
    run,
    collector: 'bench/1',
    rule: 'bench/1',
    content: sha256(sighting.slice).toString('hex'),
    sighting,
    slice: payload(sighting.slice, 'application/json'),
    media: [],
  });
  const seed = newSalt();
  const tree = disclosureTree(document as unknown as Json, seed);
  const own = payload(canonicalBytes(document as unknown as Json), 'application/json');
  return {
    draft: {
      type: 'item.captured',
      record: document.record,
      snapshot: document.snapshot,
      run,
      version: 1,
      document: own.commitment,
      disclosure: tree.root.toString('hex'),
      leaves: tree.leaves,
    },
    input: { document, seed, facts: (commitment) => facts.get(commitment) as PayloadFacts },
  };
}

async function indexesOf(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM pg_indexes WHERE tablename = ANY($1)',
      [TABLES],
    );
    return (rows[0] as { n: number }).n;
  } finally {
    await client.end();
  }
}

/** Rows of each table that belong to one batch, in COPY's binary form. */
async function binaryRows(url: string, batches: number, perBatch: number): Promise<Map<string, Buffer>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const all: Map<string, Buffer>[] = [];
    for (let batch = 0; batch < batches; batch += 1) {
      const rows = new Map<string, Buffer>();
      for (const table of TABLES) {
        const where =
          table === 'ledger_subtrees'
            ? `(n + 1) * 256 ^ level > ${batch * perBatch} AND (n + 1) * 256 ^ level <= ${(batch + 1) * perBatch}`
            : `seq >= ${batch * perBatch} AND seq < ${(batch + 1) * perBatch}`;
        const stream = client.query(
          copyTo(`COPY (SELECT * FROM ${table} WHERE ${where}) TO STDOUT (FORMAT binary)`),
        );
        const chunks: Buffer[] = [];
        for await (const chunk of stream) chunks.push(chunk as Buffer);
        rows.set(table, Buffer.concat(chunks));
      }
      all.push(rows);
    }
    return all;
  } finally {
    await client.end();
  }
}

async function copyIn(url: string, batches: readonly Map<string, Buffer>[]): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await seconds(async () => {
      for (const rows of batches) {
        await client.query('BEGIN');
        for (const [table, bytes] of rows) {
          const stream = client.query(copyFrom(`COPY ${table} FROM STDIN (FORMAT binary)`));
          stream.end(bytes);
          await once(stream, 'finish');
        }
        await client.query('COMMIT');
      }
    });
  } finally {
    await client.end();
  }
}

async function append(url: string, batches: readonly (readonly Prepared[])[]): Promise<number> {
  await using database = await openDatabase(url);
  const ledger = new Ledger({ db: database.db, origin: 'bench.example.gov', clock: systemClock });
  await ledger.create();
  const actor = newId(systemClock.now());
  return await seconds(async () => {
    for (const batch of batches)
      await ledger.write(actor, async (writer) => {
        for (const { draft, input } of batch) writer.add(draft, input);
      });
  });
}

export async function measureLedger(options: {
  entries: number;
  perBatch: number;
  rounds: number;
}): Promise<Measurement[]> {
  const { entries, perBatch, rounds } = options;
  const batches = Math.ceil(entries / perBatch);
  const run = newId(systemClock.now());
  const source = { id: newId(systemClock.now()), name: 'town' };
  const kinds: { name: string; make: (n: number) => Prepared }[] = [
    {
      name: 'ledger: entries with all rows of a captured post',
      make: (n) => capturedPost(n, run, source),
    },
    {
      name: 'ledger: entries alone',
      make: () => ({ draft: { type: 'archive.created', software: 'bench/1' } }),
    },
  ];
  const measured: Measurement[] = [];
  for (const { name, make } of kinds) {
    const ours: number[] = [];
    const limit: number[] = [];
    let rows = 0;
    let indexes = 0;
    const prepared = Array.from({ length: batches }, (_, batch) =>
      Array.from({ length: perBatch }, (__, at) => make(batch * perBatch + at)),
    );
    for (let round = 0; round < rounds; round += 1) {
      const copies = await inDatabase(async ({ adminUrl, runtimeUrl }) => {
        ours.push(await append(runtimeUrl, prepared));
        indexes = await indexesOf(adminUrl);
        return await binaryRows(adminUrl, batches, perBatch);
      });
      limit.push(
        await inDatabase(async ({ adminUrl }) => {
          const time = await copyIn(adminUrl, copies);
          rows = await rowsIn(adminUrl);
          return time;
        }),
      );
    }
    const count = batches * perBatch;
    measured.push({
      name,
      ours: { perSecond: count / median(ours), what: 'entries/s through the sequencer' },
      limit: { perSecond: count / median(limit), what: 'entries/s by binary COPY of the same rows' },
      ratio: median(ours.map((time, round) => (limit[round] as number) / time)),
      aim: 0.25,
      conditions: [
        `${count} entries in commits of ${perBatch}: ${(rows / count).toFixed(1)} rows an entry, ${Math.round(rows / batches)} rows a commit, into ${indexes} indexes of ${TABLES.length} tables, both sides alike; fsync on; one writing process, one connection; median of ${rounds} rounds`,
      ],
    });
  }
  return measured;
}

async function rowsIn(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ n: number }>(
      `SELECT (${TABLES.map((table) => `(SELECT count(*) FROM ${table})`).join(' + ')})::int AS n`,
    );
    return (rows[0] as { n: number }).n;
  } finally {
    await client.end();
  }
}
