// Makes durable what one item brings: its media, its exact slice, its snapshot document. Nothing is entered here: what dies before its
// entry leaves unreferenced objects at worst.

import { rm } from 'node:fs/promises';
import { canonicalBytes, canonicalText, type Json } from '../core/canonical.ts';
import { newSalt } from '../core/digest.ts';
import { newId } from '../core/ids.ts';
import { type MediaEntry, type SnapshotDocument, snapshotDocument } from '../ledger/documents.ts';
import { readPayload } from '../ledger/payload.ts';
import { CollectError } from '../sources/collect-error.ts';
import type { MediaReference, Sighting } from '../sources/collector.ts';
import { observationDocumentOf, snapshotDocumentOf } from './documents.ts';
import { type KnownItem, storedMedia } from './known.ts';
import { type StoredPayload, storePayload, storePayloadFile } from './payloads.ts';
import { type CaptureContext, noteExchange, noteProblem, type RunProgress } from './progress.ts';

/** An item whose payloads are durable and that no entry names yet. */
export interface Prepared {
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

export interface Restoration {
  readonly sighting: Sighting;
  readonly record: string;
  readonly document: StoredPayload;
}

/**
 * Stores what a sighting brings: media, slice, snapshot document.
 * @returns null when nothing new came of it
 */
export async function prepare(
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
  const slice = await storePayload(context, sighting.slice, {
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
  const text = canonicalText(document as unknown as Json);
  const [tree, stored] = await Promise.all([
    run.disclosing.tree(text, seed),
    storePayload(context, Buffer.from(text, 'utf8'), {
      owner: { record },
      role: 'document',
      contentType: 'application/json',
      seed,
    }),
  ]);
  payloads.set(stored.commitment, stored);
  return {
    sighting,
    key,
    document,
    commitment: stored.commitment,
    seed,
    disclosure: tree.root,
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
  const earlier = item === undefined ? [] : (await readSnapshotDocument(context, item.document)).media;
  const stored = item === undefined ? null : await storedMedia(context.database.db, record);
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
      const fresh = [...payloads.values()].find((p) => p.sha256 === fetched.sha256);
      const twin =
        fresh === undefined ? stored?.get(fetched.sha256) : { commitment: fresh.commitment, since: version };
      if (twin !== undefined) {
        entries.push({
          ...base,
          mediaType: contentType,
          since: twin.since,
          commitment: twin.commitment,
          sha256: fetched.sha256,
          length: fetched.length,
          problem: null,
        });
      } else {
        const payload = await storePayloadFile(
          context,
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
      // A proof that is not to be had is nothing that the item lacks.
      if (reference.role === 'proof' && error.problem.code === 'standing-gap') continue;
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

/** @param commitment of the document. @throws MunimentError when it can't be had from the store */
export async function readSnapshotDocument(
  context: Pick<CaptureContext, 'database' | 'store'>,
  commitment: string,
): Promise<SnapshotDocument> {
  const bytes = await readPayload(context.database.db, context.store, commitment);
  return snapshotDocument.parse(JSON.parse(bytes.toString('utf8')));
}

export async function prepareRestoration(
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
  const stored = await storePayload(context, canonicalBytes(document as unknown as Json), {
    owner: { record: item.record },
    role: 'observation',
    contentType: 'application/json',
  });
  return { sighting, record: item.record, document: stored };
}
