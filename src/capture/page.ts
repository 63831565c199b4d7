// What happens to the items of one page: new ones and changed ones are stored and entered, one transaction for the page; unchanged
// ones are only noted as seen. Nothing is entered before its payloads are durable.

import { rm } from 'node:fs/promises';
import { canonicalBytes, canonicalText, type Json } from '../core/canonical.ts';
import { newSalt } from '../core/digest.ts';
import { newId } from '../core/ids.ts';
import type { Batch } from '../ledger/append.ts';
import { disclosureTree } from '../ledger/disclosure.ts';
import { type MediaEntry, type SnapshotDocument, snapshotDocument } from '../ledger/documents.ts';
import { CollectError } from '../sources/collect-error.ts';
import type { MediaReference, Rejected, Sighting } from '../sources/collector.ts';
import { readObject } from '../store/objects.ts';
import { comparisonBytes, identityFault, observationDocumentOf, snapshotDocumentOf } from './documents.ts';
import { identityKey, type KnownItem, knownItems, storedMedia } from './known.ts';
import { contentDigest, type StoredPayload, storePayload, storePayloadFile } from './payloads.ts';
import {
  type CaptureContext,
  known,
  noteExchange,
  noteProblem,
  quarantine,
  type RunProgress,
  recordVersions,
} from './progress.ts';

/** Items stored at the same time; each waits mostly for the disk or the bucket. */
const CONCURRENCY = 16;

interface Prepared {
  readonly sighting: Sighting;
  readonly key: string;
  readonly document: SnapshotDocument;
  readonly commitment: string;
  readonly seed: Buffer;
  readonly disclosure: string;
  readonly leaves: number;
  readonly payloads: Map<string, StoredPayload>;
  readonly newMedia: number;
}

interface Restoration {
  readonly sighting: Sighting;
  readonly record: string;
  readonly document: StoredPayload;
}

export async function capturePage(
  context: CaptureContext,
  run: RunProgress,
  sightings: readonly Sighting[],
  rejected: readonly Rejected[],
): Promise<void> {
  for (const one of rejected) await quarantine(context, run, one.bytes, one.reason);
  // The same item may stand twice in one page; each round takes every item once, so that a later sighting meets what the earlier one left.
  let rest: Sighting[] = [];
  for (const sighting of sightings) {
    const fault = identityFault(sighting.identity);
    if (fault === null) rest.push(sighting);
    else await quarantine(context, run, sighting.slice, fault);
  }
  while (rest.length > 0) {
    const round = new Map<string, Sighting>();
    const later: Sighting[] = [];
    for (const sighting of rest) {
      const key = identityKey(sighting.identity);
      if (round.has(key)) later.push(sighting);
      else round.set(key, sighting);
    }
    await captureRound(context, run, round);
    rest = later;
  }
}

function changed(sighting: Sighting, content: string, rule: string, item: KnownItem): boolean {
  if (item.content === null) return false;
  if (item.rule === rule) return item.content !== content;
  // Another version of the rule can't be compared by digest; only a visible difference makes a new version then.
  return sighting.item.text !== (item.text ?? '') || sighting.item.title !== item.title;
}

async function captureRound(
  context: CaptureContext,
  run: RunProgress,
  round: ReadonlyMap<string, Sighting>,
): Promise<void> {
  const before = await knownItems(
    context.database.db,
    run.source.id,
    [...round.values()].map((s) => s.identity),
  );
  const work: (() => Promise<void>)[] = [];
  const prepared: Prepared[] = [];
  const restorations: Restoration[] = [];
  for (const [key, sighting] of round) {
    const item = before.get(key);
    const content = contentDigest(comparisonBytes(sighting.comparison));
    const cause =
      item === undefined
        ? 'first'
        : changed(sighting, content, run.collector.comparisonRule, item)
          ? 'changed'
          : item.mediaMissing > 0
            ? 'media'
            : null;
    if (cause !== null) {
      work.push(async () => {
        const one = await prepare(context, run, sighting, key, item, cause, content);
        if (one !== null) prepared.push(one);
      });
    }
    if (item !== undefined && item.state !== null && item.state !== 'restored') {
      work.push(async () => {
        restorations.push(await prepareRestoration(context, run, sighting, item));
      });
    }
  }
  await inParallel(work, CONCURRENCY);
  // The order in which stores answered must not show in the ledger: items stand in the page's order.
  const order = new Map([...round.keys()].map((key, position) => [key, position]));
  prepared.sort((a, b) => (order.get(a.key) as number) - (order.get(b.key) as number));
  restorations.sort((a, b) => (a.record < b.record ? -1 : 1));
  const links = [...round].filter(([key]) => before.get(key)?.linked === false);
  if (prepared.length + restorations.length + links.length > 0) {
    await context.ledger.write(context.actor, (batch) => enter(batch, context, run, prepared, restorations));
  }
  await noteSeen(context, run, round);
}

/** Runs in the sequencer's transaction: what another source captured meanwhile is left out, its payloads stay unreferenced. */
async function enter(
  batch: Batch,
  context: CaptureContext,
  run: RunProgress,
  prepared: Prepared[],
  restorations: Restoration[],
): Promise<void> {
  const now = await knownItems(
    batch.tx,
    run.source.id,
    prepared.map((p) => p.sighting.identity),
  );
  for (const one of prepared) {
    const { document } = one;
    if ((now.get(one.key)?.version ?? 0) !== document.version - 1) continue;
    batch.add(
      {
        type: 'item.captured',
        record: document.record,
        snapshot: document.snapshot,
        run: run.id,
        version: document.version,
        document: one.commitment,
        disclosure: one.disclosure,
        leaves: one.leaves,
      },
      { document, seed: one.seed, facts: (commitment) => known(one.payloads, commitment) },
    );
    await recordVersions(batch.tx, one.payloads.values());
    run.counts.media += one.newMedia;
    if (document.cause === 'first') run.counts.captured += 1;
    else run.counts.changed += 1;
  }
  for (const one of restorations) {
    batch.add(
      {
        type: 'item.restored',
        record: one.record,
        run: run.id,
        seenAt: one.sighting.exchange.receivedAt,
        document: one.document.commitment,
      },
      { facts: () => one.document },
    );
    await recordVersions(batch.tx, [one.document]);
    run.counts.restored += 1;
  }
  void context;
}

async function prepare(
  context: CaptureContext,
  run: RunProgress,
  sighting: Sighting,
  key: string,
  item: KnownItem | undefined,
  cause: SnapshotDocument['cause'],
  content: string,
): Promise<Prepared | null> {
  const now = context.clock.now();
  const record = item?.record ?? newId(now);
  const version = (item?.version ?? 0) + 1;
  const payloads = new Map<string, StoredPayload>();
  const media = await prepareMedia(context, run, sighting.media, record, version, item, payloads);
  // A retry that brought nothing new makes no version.
  if (cause === 'media' && payloads.size === 0) return null;
  const newMedia = payloads.size;
  const slice = await storePayload(context.store, sighting.slice, {
    owner: { record },
    role: 'slice',
    contentType: sighting.sliceType,
  });
  payloads.set(slice.commitment, slice);
  const document = snapshotDocumentOf({
    record,
    snapshot: newId(now),
    version,
    cause,
    source: run.source,
    run: run.id,
    collector: run.collector.collectorVersion,
    rule: run.collector.comparisonRule,
    content,
    sighting,
    slice,
    media,
  });
  const seed = newSalt();
  const tree = disclosureTree(document as unknown as Json, seed);
  const stored = await storePayload(context.store, canonicalBytes(document as unknown as Json), {
    owner: { record },
    role: 'document',
    contentType: 'application/json',
    seed,
  });
  payloads.set(stored.commitment, stored);
  return {
    sighting,
    key,
    document,
    commitment: stored.commitment,
    seed,
    disclosure: tree.root.toString('hex'),
    leaves: tree.leaves,
    payloads,
    newMedia,
  };
}

/** Fetches what is not stored yet. A medium that can't be had is entered with its problem and tried again by later runs. */
async function prepareMedia(
  context: CaptureContext,
  run: RunProgress,
  references: readonly MediaReference[],
  record: string,
  version: number,
  item: KnownItem | undefined,
  payloads: Map<string, StoredPayload>,
): Promise<MediaEntry[]> {
  if (references.length === 0) return [];
  const earlier = item === undefined ? [] : await mediaOf(context, item.document);
  const stored = item === undefined ? new Map() : await storedMedia(context.database.db, record);
  const entries: MediaEntry[] = [];
  for (const reference of references) {
    const base = {
      role: reference.role,
      url: reference.url,
      alt: reference.alt,
      contentId: reference.contentId,
    };
    const same = earlier.find(
      (m) => m.commitment !== null && reference.contentId !== null && m.contentId === reference.contentId,
    );
    if (same !== undefined) {
      entries.push({ ...same, ...base });
      continue;
    }
    try {
      const fetched = await run.collector.fetchMedia(reference, run.spool, run.signal);
      noteExchange(run, fetched.exchange);
      const contentType = /^[\w.+-]+\/[\w.+-]+$/.test(fetched.mediaType)
        ? fetched.mediaType
        : 'application/octet-stream';
      const twin =
        stored.get(fetched.sha256) ?? [...payloads.values()].find((p) => p.sha256 === fetched.sha256);
      const since =
        twin === undefined || payloads.has(twin.commitment)
          ? version
          : (earlier.find((m) => m.commitment === twin.commitment)?.since ?? null);
      if (twin !== undefined && since !== null) {
        entries.push({
          ...base,
          mediaType: contentType,
          since,
          commitment: twin.commitment,
          sha256: fetched.sha256,
          length: fetched.length,
          problem: null,
        });
      } else {
        const payload = await storePayloadFile(
          context.store,
          { path: fetched.file, length: fetched.length, sha256: fetched.sha256 },
          { owner: { record }, role: 'media', contentType },
        );
        payloads.set(payload.commitment, payload);
        entries.push({
          ...base,
          mediaType: contentType,
          since: version,
          commitment: payload.commitment,
          sha256: payload.sha256,
          length: payload.length,
          problem: null,
        });
      }
      await rm(fetched.file, { force: true });
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      noteProblem(run, error.problem);
      entries.push({
        ...base,
        mediaType: reference.mediaType,
        since: null,
        commitment: null,
        sha256: null,
        length: null,
        problem: error.problem.message,
      });
    }
  }
  return entries;
}

async function mediaOf(context: CaptureContext, document: string): Promise<MediaEntry[]> {
  const { bytes } = await readObject(context.store, document);
  return snapshotDocument.parse(JSON.parse(bytes.toString('utf8'))).media;
}

async function prepareRestoration(
  context: CaptureContext,
  run: RunProgress,
  sighting: Sighting,
  item: KnownItem,
): Promise<Restoration> {
  const document = observationDocumentOf({
    record: item.record,
    run: run.id,
    kind: 'restored',
    state: null,
    lastSeenAt: null,
    firstMissingAt: null,
    seenAt: sighting.exchange.receivedAt,
    source: { ...run.source },
    identity: { ...sighting.identity },
    collector: run.collector.collectorVersion,
    exchange: sighting.exchange,
    answer: null,
  });
  const stored = await storePayload(context.store, canonicalBytes(document as unknown as Json), {
    owner: { record: item.record },
    role: 'observation',
    contentType: 'application/json',
  });
  return { sighting, record: item.record, document: stored };
}

/** Last-seen times and counters: working memory, from which the run report is written. */
async function noteSeen(
  context: CaptureContext,
  run: RunProgress,
  round: ReadonlyMap<string, Sighting>,
): Promise<void> {
  const { db } = context.database;
  const now = await knownItems(
    db,
    run.source.id,
    [...round.values()].map((s) => s.identity),
  );
  const byRecord = new Map<
    string,
    { record_id: string; source_id: string; seen_at: string; run_id: string; observations: string }
  >();
  for (const [key, sighting] of round) {
    const item = now.get(key);
    if (item === undefined) continue;
    byRecord.set(item.record, {
      record_id: item.record,
      source_id: run.source.id,
      seen_at: sighting.exchange.receivedAt,
      run_id: run.id,
      observations: canonicalText({ ...sighting.observations }),
    });
  }
  const unlinked = [
    ...new Set(
      [...round.keys()]
        .map((key) => now.get(key))
        .filter((item) => item?.linked === false)
        .map((item) => (item as KnownItem).record),
    ),
  ];
  if (unlinked.length > 0) {
    await context.ledger.write(context.actor, async (batch) => {
      for (const record of unlinked)
        batch.add({ type: 'record.linked', record, source: run.source.id, run: run.id });
    });
  }
  if (byRecord.size === 0) return;
  await db
    .insertInto('sightings')
    .values([...byRecord.values()])
    .onConflict((conflict) =>
      conflict.columns(['source_id', 'record_id']).doUpdateSet((row) => ({
        seen_at: row.ref('excluded.seen_at'),
        run_id: row.ref('excluded.run_id'),
        observations: row.ref('excluded.observations'),
      })),
    )
    .execute();
}

/** Runs jobs, a few at a time; the first failure is thrown after those under way have ended. */
async function inParallel(jobs: readonly (() => Promise<void>)[], limit: number): Promise<void> {
  const queue = jobs[Symbol.iterator]();
  const workers = Array.from({ length: Math.min(limit, jobs.length) }, async () => {
    for (const job of queue) await job();
  });
  const results = await Promise.allSettled(workers);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
