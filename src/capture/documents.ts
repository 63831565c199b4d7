// Builds the documents that capture stores: snapshot documents and observation documents (FORMAT.md, sections 5 and 6). What a
// platform wrote is made well-formed for them; the slice keeps what it sent.

import { canonicalBytes, type Json, wellFormed } from '../core/canonical.ts';
import type { MediaEntry, ObservationDocument, SnapshotDocument } from '../ledger/documents.ts';
import type { Exchange, Sighting } from '../sources/collector.ts';

export interface SourceName {
  readonly id: string;
  readonly name: string;
}

/** @returns SHA-256 input that decides whether content changed */
export function comparisonBytes(comparison: Json): Buffer {
  return canonicalBytes(wellFormed(comparison));
}

function exchangeOf(exchange: Exchange): SnapshotDocument['exchange'] {
  return { ...exchange, headers: { ...exchange.headers } };
}

export function snapshotDocumentOf(parts: {
  record: string;
  snapshot: string;
  version: number;
  cause: SnapshotDocument['cause'];
  source: SourceName;
  run: string;
  collector: string;
  rule: string;
  content: string;
  sighting: Sighting;
  slice: { commitment: string; sha256: string; length: number };
  media: MediaEntry[];
}): SnapshotDocument {
  const { sighting } = parts;
  const document: SnapshotDocument = {
    v: 'muniment/v1/snapshot',
    record: parts.record,
    snapshot: parts.snapshot,
    version: parts.version,
    cause: parts.cause,
    source: { id: parts.source.id, name: parts.source.name },
    run: parts.run,
    identity: { ...sighting.identity },
    collector: parts.collector,
    rule: parts.rule,
    content: parts.content,
    exchange: exchangeOf(sighting.exchange),
    slice: {
      commitment: parts.slice.commitment,
      sha256: parts.slice.sha256,
      length: parts.slice.length,
      mediaType: sighting.sliceType,
      offset: sighting.sliceOffset,
    },
    item: {
      ...sighting.item,
      author: { ...sighting.item.author },
      languages: [...sighting.item.languages],
      tags: [...sighting.item.tags],
      links: sighting.item.links.map((link) => ({ ...link })),
    },
    media: parts.media,
  };
  return wellFormed(document as unknown as Json) as unknown as SnapshotDocument;
}

export function observationDocumentOf(
  parts: Omit<ObservationDocument, 'v' | 'exchange'> & { exchange: Exchange | null },
): ObservationDocument {
  const document: ObservationDocument = {
    ...parts,
    v: 'muniment/v1/observation',
    exchange: parts.exchange === null ? null : exchangeOf(parts.exchange),
  };
  return wellFormed(document as unknown as Json) as unknown as ObservationDocument;
}
