// Stands in for a document that the store no longer gives: what the rows still say of it. The bundle names the document as missing
// or altered, and no check of such a bundle passes.

import type { ObservationDocument, SnapshotDocument } from '../ledger/documents.ts';
import type { RecordView, StateView, VersionView } from '../search/records.ts';

/** @returns as much of a snapshot document as its row repeats; the rest is empty */
export function rowsAsDocument(record: RecordView, version: VersionView): SnapshotDocument {
  const [source] = record.sources;
  return {
    v: 'muniment/v1/snapshot',
    record: record.id,
    snapshot: version.snapshot,
    version: version.version,
    cause: version.version === 1 ? 'first' : 'changed',
    source: { id: source?.id ?? '', name: source?.name ?? '' },
    run: version.run,
    identity: {
      platform: record.platform,
      namespace: record.namespace ?? '',
      platformId: record.platformId ?? '',
    },
    collector: '',
    rule: '',
    content: '',
    exchange: {
      method: '',
      url: '',
      status: 0,
      receivedAt: version.capturedAt ?? '',
      headers: {},
      bodySha256: '',
      bodyLength: 0,
    },
    slice: { commitment: '', sha256: '', length: 0, mediaType: '', offset: 0 },
    item: {
      kind: record.kind,
      url: version.url,
      author: version.author,
      createdAt: version.createdAt,
      createdAtFrom:
        version.createdAtFrom === 'platform' || version.createdAtFrom === 'user'
          ? version.createdAtFrom
          : 'unknown',
      title: version.title,
      text: version.text ?? '',
      contentWarning: null,
      languages: [...version.languages],
      tags: [...version.tags],
      links: [],
      inReplyTo: version.inReplyTo,
      threadRoot: version.threadRoot,
      quotes: null,
      reposts: null,
    },
    media: [],
  };
}

export function rowsAsObservation(
  state: StateView,
): Pick<ObservationDocument, 'lastSeenAt' | 'firstMissingAt' | 'seenAt'> {
  return { lastSeenAt: state.lastSeenAt, firstMissingAt: state.firstMissingAt, seenAt: state.seenAt };
}
