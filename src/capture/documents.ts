// Builds the documents that capture stores: snapshot documents and observation documents (FORMAT.md, sections 5 and 6). What a
// platform wrote is made well-formed for them; the slice keeps what it sent.

import { canonicalBytes, type Json, wellFormed } from '../core/canonical.ts';
import type { Identity } from '../core/vocabulary.ts';
import type { MediaEntry, ObservationDocument, SnapshotDocument } from '../ledger/documents.ts';
import type { Exchange, Sighting } from '../sources/collector.ts';

export interface SourceName {
  readonly id: string;
  readonly name: string;
}

/** The bound on an identity: an index entry of the database holds no more. In UTF-8 bytes, namespace and id together. */
const IDENTITY_LIMIT = 2000;

/** @returns why this identity cannot be kept, or null when it can */
export function identityFault(identity: Identity): string | null {
  const joined = identity.namespace + identity.platformId;
  if (identity.platformId === '') return 'the item has no id';
  if (joined.includes('\u0000')) return "the item's id holds U+0000";
  if (!joined.isWellFormed()) return "the item's id is not valid Unicode";
  if (Buffer.byteLength(joined) > IDENTITY_LIMIT)
    return `the item's id is longer than ${IDENTITY_LIMIT} bytes`;
  return null;
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
