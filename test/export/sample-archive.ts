// A small real archive for tests of search and export: PostgreSQL, directory store and ledger, filled through the sequencer with
// the documents that capture would write.

import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { sql } from 'kysely';
import pg from 'pg';
import { observationDocumentOf, snapshotDocumentOf } from '../../src/capture/documents.ts';
import { type StoredPayload, storePayload } from '../../src/capture/payloads.ts';
import { canonicalBytes, type Json } from '../../src/core/canonical.ts';
import { newSalt } from '../../src/core/digest.ts';
import { newId } from '../../src/core/ids.ts';
import type { MissingState } from '../../src/core/vocabulary.ts';
import type { Database } from '../../src/db/database.ts';
import { Ledger } from '../../src/ledger/append.ts';
import { disclosureTree } from '../../src/ledger/disclosure.ts';
import type { MediaEntry, SnapshotDocument } from '../../src/ledger/documents.ts';
import { ERASED_COLUMNS, type PayloadFacts } from '../../src/ledger/projection.ts';
import type { Item } from '../../src/sources/collector.ts';
import { openDirectoryStore } from '../../src/store/directory.ts';
import { directoryEraser } from '../../src/store/eraser.ts';
import type { ObjectStore } from '../../src/store/objects.ts';
import { testArchiveDatabase } from './database.ts';
import { type TestKey, testKey } from './key.ts';

export const ORIGIN = 'archive.example.gov/social';
export const TIMEZONE = 'America/New_York';

export interface CaptureOptions {
  readonly source: string;
  /** An earlier capture of the same item. */
  readonly again?: SampleRecord;
  readonly platform?: string;
  readonly platformId: string;
  readonly item?: Partial<Item>;
  readonly slice?: string;
  readonly media?: readonly {
    readonly bytes: Uint8Array;
    readonly mediaType: string;
    readonly alt?: string;
  }[];
}

export interface SampleRecord {
  readonly id: string;
  readonly version: number;
  readonly seq: number;
  readonly identity: SnapshotDocument['identity'];
  readonly source: { readonly id: string; readonly name: string };
}

export class SampleArchive {
  readonly db: Database;
  readonly store: ObjectStore;
  readonly storePath: string;
  readonly folder: string;
  readonly ledger: Ledger;
  readonly key: TestKey;
  readonly #adminUrl: string;
  readonly #sources = new Map<string, { id: string; name: string }>();
  readonly #actor: string;
  readonly #run: string;
  #now = Temporal.Instant.from('2026-11-01T12:00:00Z');

  private constructor(parts: {
    db: Database;
    adminUrl: string;
    folder: string;
    store: ObjectStore;
    storePath: string;
  }) {
    this.db = parts.db;
    this.#adminUrl = parts.adminUrl;
    this.folder = parts.folder;
    this.store = parts.store;
    this.storePath = parts.storePath;
    this.key = testKey(ORIGIN);
    this.ledger = new Ledger({ db: parts.db, origin: ORIGIN, clock: { now: () => this.#tick() } });
    this.#actor = newId(this.#now);
    this.#run = newId(this.#now);
  }

  static async open(test: Pick<TestContext, 'after'>): Promise<SampleArchive> {
    const { db, adminUrl } = await testArchiveDatabase(test);
    const folder = await mkdtemp(path.join(tmpdir(), 'muniment-export-'));
    test.after(() => rm(folder, { recursive: true, force: true }));
    const storePath = path.join(folder, 'store');
    const store = openDirectoryStore({ path: storePath, create: true });
    const archive = new SampleArchive({ db, adminUrl, folder, store, storePath });
    await archive.ledger.create();
    await archive.ledger.write(archive.#actor, async (batch) => {
      batch.add({ type: 'archive.created', software: 'test' });
    });
    return archive;
  }

  #tick(): Temporal.Instant {
    this.#now = this.#now.add({ seconds: 1 });
    return this.#now;
  }

  async source(name: string, platform: string): Promise<{ id: string; name: string }> {
    const known = this.#sources.get(name);
    if (known !== undefined) return known;
    const source = { id: newId(this.#tick()), name };
    const seq = await this.ledger.write(this.#actor, async (batch) =>
      batch.addWithBody({ type: 'source.changed', source: source.id, change: 'added' }, 'source', {
        name,
        platform,
      }),
    );
    await this.db.insertInto('sources').values({ id: source.id, seq, name, platform }).execute();
    this.#sources.set(name, source);
    return source;
  }

  async capture(options: CaptureOptions): Promise<SampleRecord> {
    const platform = options.platform ?? 'bluesky';
    const source = await this.source(options.source, platform);
    const record = options.again?.id ?? newId(this.#tick());
    const version = (options.again?.version ?? 0) + 1;
    const snapshot = newId(this.#tick());
    const identity = options.again?.identity ?? { platform, namespace: 'at', platformId: options.platformId };
    const slice = Buffer.from(
      options.slice ?? JSON.stringify({ uri: options.platformId, text: options.item?.text ?? '' }),
    );
    const owner = { record };
    const facts = new Map<string, PayloadFacts>();
    const keep = (stored: StoredPayload) => facts.set(stored.commitment, stored) && stored;
    const storedSlice = keep(
      await storePayload(this, slice, { owner, role: 'slice', contentType: 'application/json' }),
    );
    const media: MediaEntry[] = [];
    for (const [n, medium] of (options.media ?? []).entries()) {
      const stored = keep(
        await storePayload(this, medium.bytes, { owner, role: 'media', contentType: medium.mediaType }),
      );
      media.push({
        role: 'image',
        url: `https://cdn.example/${n}`,
        alt: medium.alt ?? null,
        mediaType: medium.mediaType,
        contentId: null,
        since: version,
        commitment: stored.commitment,
        sha256: stored.sha256,
        length: stored.length,
        problem: null,
      });
    }
    const document = snapshotDocumentOf({
      record,
      snapshot,
      version,
      cause: version === 1 ? 'first' : 'changed',
      source,
      run: this.#run,
      collector: 'sample/1',
      rule: 'sample/1',
      content: createHash('sha256').update(slice).digest('hex'),
      sighting: {
        identity,
        slice,
        sliceOffset: 0,
        sliceType: 'application/json',
        exchange: {
          method: 'GET',
          url: 'https://api.example/posts',
          status: 200,
          receivedAt: this.#tick().toString({ smallestUnit: 'millisecond' }),
          headers: { 'content-type': 'application/json' },
          bodySha256: createHash('sha256').update(slice).digest('hex'),
          bodyLength: slice.length,
        },
        item: {
          kind: 'post',
          url: `https://social.example/${encodeURIComponent(options.platformId)}`,
          author: { id: 'did:example:city', handle: 'city.example.gov', name: 'City of Example' },
          createdAt: '2026-10-01T12:00:00Z',
          createdAtFrom: 'user',
          title: null,
          text: '',
          contentWarning: null,
          languages: ['en'],
          tags: [],
          links: [],
          inReplyTo: null,
          threadRoot: null,
          quotes: null,
          reposts: null,
          ...options.item,
        },
        comparison: {},
        observations: {},
        media: [],
      },
      slice: { commitment: storedSlice.commitment, sha256: storedSlice.sha256, length: storedSlice.length },
      media,
    });
    const seed = newSalt();
    const stored = keep(
      await storePayload(this, canonicalBytes(document as unknown as Json), {
        owner,
        role: 'document',
        contentType: 'application/json',
        seed,
      }),
    );
    const tree = disclosureTree(document as unknown as Json, seed);
    const seq = await this.ledger.write(this.#actor, async (batch) =>
      batch.add(
        {
          type: 'item.captured',
          record,
          snapshot,
          run: this.#run,
          version,
          document: stored.commitment,
          disclosure: tree.root.toString('hex'),
          leaves: tree.leaves,
        },
        { document, seed, facts: (commitment) => facts.get(commitment) as PayloadFacts },
      ),
    );
    return { id: record, version, seq, identity, source };
  }

  async missing(record: SampleRecord, state: MissingState = 'deleted'): Promise<number> {
    const [lastSeenAt, firstMissingAt] = ['2026-10-20T00:00:00.000Z', '2026-10-21T00:00:00.000Z'];
    return this.#observe(record, { kind: 'missing', state, lastSeenAt, firstMissingAt, seenAt: null });
  }

  async restored(record: SampleRecord): Promise<number> {
    return this.#observe(record, {
      kind: 'restored',
      state: null,
      lastSeenAt: null,
      firstMissingAt: null,
      seenAt: '2026-10-25T00:00:00.000Z',
    });
  }

  async #observe(
    record: SampleRecord,
    seen: {
      kind: 'missing' | 'restored';
      state: MissingState | null;
      lastSeenAt: string | null;
      firstMissingAt: string | null;
      seenAt: string | null;
    },
  ): Promise<number> {
    const owner = { record: record.id };
    const answer = await storePayload(this, Buffer.from('{"posts":[]}'), {
      owner,
      role: 'answer',
      contentType: 'application/json',
    });
    const document = observationDocumentOf({
      record: record.id,
      run: this.#run,
      source: record.source,
      identity: record.identity,
      collector: 'sample/1',
      exchange: null,
      ...seen,
      answer: {
        commitment: answer.commitment,
        sha256: answer.sha256,
        length: answer.length,
        mediaType: 'application/json',
      },
    });
    const stored = await storePayload(this, canonicalBytes(document as unknown as Json), {
      owner,
      role: 'observation',
      contentType: 'application/json',
    });
    const facts = new Map([answer, stored].map((payload) => [payload.commitment, payload]));
    const input = { document, facts: (commitment: string) => facts.get(commitment) as PayloadFacts };
    return this.ledger.write(this.#actor, async (batch) =>
      seen.kind === 'missing'
        ? batch.add(
            {
              type: 'item.missing',
              record: record.id,
              run: this.#run,
              state: seen.state as MissingState,
              lastSeenAt: seen.lastSeenAt as string,
              firstMissingAt: seen.firstMissingAt as string,
              document: stored.commitment,
            },
            input,
          )
        : batch.add(
            {
              type: 'item.restored',
              record: record.id,
              run: this.#run,
              seenAt: seen.seenAt as string,
              document: stored.commitment,
            },
            input,
          ),
    );
  }

  async link(record: SampleRecord, name: string): Promise<void> {
    const source = await this.source(name, record.identity.platform);
    await this.ledger.write(this.#actor, async (batch) => {
      batch.add({ type: 'record.linked', record: record.id, source: source.id, run: this.#run });
    });
  }

  /** Destroys a record as disposition does: entries, then columns, then objects. */
  async destroy(record: SampleRecord): Promise<void> {
    const payloads = await this.db
      .selectFrom('payloads')
      .select('commitment')
      .where('record_id', '=', record.id)
      .orderBy('seq')
      .execute();
    await this.ledger.write(this.#actor, async (batch) => {
      for (const { commitment } of payloads)
        batch.add({ type: 'payload.destroyed', record: record.id, payload: commitment, intent: 0 });
    });
    await this.asSuperuser(async (client) => {
      for (const [table, columns] of Object.entries(ERASED_COLUMNS)) {
        await client.query(
          `UPDATE ${table} SET ${columns.map((name) => `${name} = NULL`).join(', ')} WHERE record_id = $1`,
          [record.id],
        );
      }
    });
    const eraser = directoryEraser({ path: this.storePath });
    for (const { commitment } of payloads) await eraser.erase(commitment);
  }

  async asSuperuser<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ connectionString: this.#adminUrl });
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  /** A signed head of the ledger as it stands. */
  async checkpoint(): Promise<{ size: number; root: Buffer; note: string; at: string }> {
    const { size, root } = await this.ledger.head();
    return {
      size,
      root,
      note: this.key.signNote(`${ORIGIN}\n${size}\n${root.toString('base64')}\n`),
      at: '2026-11-02T09:30:00.000Z',
    };
  }

  async asOf(): Promise<{ size: number; timezone: string }> {
    return { size: (await this.ledger.head()).size, timezone: TIMEZONE };
  }

  async payloadsOf(record: SampleRecord, role: string): Promise<string[]> {
    const { rows } = await sql<{ commitment: string }>`
      SELECT commitment FROM payloads WHERE record_id = ${record.id} AND role = ${role} ORDER BY seq`.execute(
      this.db,
    );
    return rows.map((row) => row.commitment);
  }
}
