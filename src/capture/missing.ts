// What a complete run did not see is looked up directly. Only the platform's own answer about that very item makes it missing, and
// the answer is kept as evidence; a failed or empty answer changes nothing but the run's account.

import { canonicalBytes, type Json } from '../core/canonical.ts';
import { readPayload } from '../ledger/payload.ts';
import type { LastCaptured, LookUp, Sighting } from '../sources/collector.ts';
import { observationDocumentOf } from './documents.ts';
import { identityKey, lastDocument, type UnseenItem, unseenItems } from './known.ts';
import { Pages } from './page.ts';
import { type StoredPayload, storePayload } from './payloads.ts';
import { readSnapshotDocument } from './prepare.ts';
import {
  type CaptureContext,
  known,
  noteExchange,
  noteProblem,
  type RunProgress,
  recordVersions,
} from './progress.ts';

/** Look-ups asked for at once: what the platforms' own batch calls take. */
const BATCH = 25;

type Missing = Exclude<LookUp, { state: 'present' } | { state: 'unknown' }>;

export async function lookUpUnseen(context: CaptureContext, run: RunProgress): Promise<void> {
  for await (const unseen of unseenItems(context.database.db, run.source.id, run.id, BATCH)) {
    if (run.signal.aborted) return;
    const byIdentity = new Map(unseen.map((item) => [identityKey(item.identity), item]));
    const present: Sighting[] = [];
    const missing: { item: UnseenItem; answer: Missing }[] = [];
    for await (const answer of run.collector.lookUp(
      unseen.map((item) => item.identity),
      run.signal,
      async (identity) => {
        const item = byIdentity.get(identityKey(identity));
        return item === undefined ? null : lastCaptured(context, run, item.record);
      },
    )) {
      const item = byIdentity.get(identityKey(answer.identity));
      if (item === undefined) continue;
      if (answer.state === 'unknown') noteProblem(run, answer.problem);
      else if (answer.state === 'present') {
        if (answer.sighting !== null) present.push(answer.sighting);
      } else missing.push({ item, answer });
    }
    if (present.length > 0) {
      for (const sighting of present) noteExchange(run, sighting.exchange);
      const pages = new Pages(context, run);
      await pages.take(present, []);
      await pages.entered();
    }
    if (missing.length > 0) await enterMissing(context, run, missing);
  }
}

async function lastCaptured(
  context: CaptureContext,
  run: RunProgress,
  record: string,
): Promise<LastCaptured | null> {
  const { db } = context.database;
  const commitment = await lastDocument(db, run.source.id, record);
  if (commitment === null) return null;
  const document = await readSnapshotDocument(context, commitment);
  const slice = await readPayload(db, context.store, document.slice.commitment);
  return { slice, url: document.exchange.url, threadRoot: document.item.threadRoot };
}

async function enterMissing(
  context: CaptureContext,
  run: RunProgress,
  missing: { item: UnseenItem; answer: Missing }[],
): Promise<void> {
  const stored: {
    item: UnseenItem;
    answer: Missing;
    document: StoredPayload;
    body: StoredPayload;
    parsed: ReturnType<typeof observationDocumentOf>;
  }[] = [];
  for (const { item, answer } of missing) {
    noteExchange(run, answer.exchange);
    const owner = { record: item.record };
    const mediaType = answer.exchange.headers['content-type']?.split(';')[0]?.trim() ?? '';
    const contentType = /^[\w.+-]+\/[\w.+-]+$/.test(mediaType) ? mediaType : 'application/octet-stream';
    const body = await storePayload(context, answer.body, { owner, role: 'answer', contentType });
    const parsed = observationDocumentOf({
      record: item.record,
      run: run.id,
      kind: 'missing',
      state: answer.state,
      lastSeenAt: item.lastSeenAt,
      firstMissingAt: answer.exchange.receivedAt,
      seenAt: null,
      source: { ...run.source },
      identity: { ...item.identity },
      collector: run.collector.collectorVersion,
      exchange: answer.exchange,
      answer: {
        commitment: body.commitment,
        sha256: body.sha256,
        length: body.length,
        mediaType: contentType,
      },
    });
    const document = await storePayload(context, canonicalBytes(parsed as unknown as Json), {
      owner,
      role: 'observation',
      contentType: 'application/json',
    });
    stored.push({ item, answer, document, body, parsed });
  }
  await context.ledger.write(context.actor, async (batch) => {
    for (const { item, answer, document, body, parsed } of stored) {
      const facts = new Map([
        [document.commitment, document],
        [body.commitment, body],
      ]);
      batch.add(
        {
          type: 'item.missing',
          record: item.record,
          run: run.id,
          state: answer.state,
          lastSeenAt: item.lastSeenAt,
          firstMissingAt: answer.exchange.receivedAt,
          document: document.commitment,
        },
        { document: parsed, facts: (commitment) => known(facts, commitment) },
      );
      await recordVersions(batch.tx, context.store.identity, facts.values());
      run.counts.missing += 1;
    }
  });
}
