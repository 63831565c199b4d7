// What rows an entry stands for. Capture inserts these rows, rebuilding makes them anew, verification compares them: one function,
// so that the three cannot disagree. Pure: whoever calls brings the documents and the salts.

import type { ObservationDocument, RunPayload, SnapshotDocument } from './documents.ts';
import type { Entry } from './entry.ts';

/** What of a payload is not in entry or document: its salt (object metadata), and for a document its own digest and length. */
export interface PayloadFacts {
  readonly salt: Buffer;
  readonly sha256: string;
  readonly length: number;
  readonly contentType: string;
}

export interface ProjectionInput {
  readonly document?: SnapshotDocument | ObservationDocument | undefined;
  /** Payloads of the run that its report names. */
  readonly kept?: readonly RunPayload[];
  /** Disclosure seed of a snapshot document (object metadata). */
  readonly seed?: Buffer | undefined;
  /** Facts of a payload that this entry's document names, or of the document itself. */
  readonly facts: (commitment: string) => PayloadFacts;
}

type Cell = string | number | null | Buffer | readonly string[];
export type Row = Readonly<Record<string, Cell>>;

/** Tables in the order in which rows must be inserted. */
export const PROJECTED_TABLES = [
  'records',
  'record_identities',
  'record_sources',
  'snapshots',
  'capture_runs',
  'payloads',
  'record_states',
  'payload_destructions',
  'bundles',
] as const;
export type ProjectedTable = (typeof PROJECTED_TABLES)[number];
export type ProjectedRow = { readonly table: ProjectedTable; readonly row: Row };

/** Columns that a destruction sets to NULL. */
export const ERASED_COLUMNS = {
  record_identities: ['namespace', 'platform_id'],
  snapshots: [
    'seed',
    'content',
    'rule',
    'captured_at',
    'url',
    'author_id',
    'author_handle',
    'author_name',
    'created_at',
    'created_from',
    'title',
    'text',
    'languages',
    'tags',
    'in_reply_to',
    'thread_root',
    'media_missing',
  ],
  payloads: ['salt', 'sha256'],
} as const;

/** @returns the rows of one entry, none for types that stand for no row here */
export function projectEntry(entry: Entry, input: ProjectionInput): ProjectedRow[] {
  switch (entry.type) {
    case 'item.captured':
      return input.document?.v === 'muniment/v1/snapshot' ? capturedRows(entry, input.document, input) : [];
    case 'item.missing':
    case 'item.restored':
      return stateRows(entry, input);
    case 'record.linked':
      return [
        {
          table: 'record_sources',
          row: { record_id: entry.record, source_id: entry.source, seq: entry.seq },
        },
      ];
    case 'run.finished':
      return [
        runRow(entry),
        payloadRow(entry.seq, { run_id: entry.run }, 'report', entry.report, input),
        ...(input.kept ?? []).map(({ commitment, role }) =>
          payloadRow(entry.seq, { run_id: entry.run }, role, commitment, input),
        ),
      ];
    case 'payload.destroyed':
      return [
        {
          table: 'payload_destructions',
          row: { commitment: entry.payload, seq: entry.seq, record_id: entry.record, intent: entry.intent },
        },
      ];
    case 'bundle.produced':
      return [
        {
          table: 'bundles',
          row: {
            id: entry.bundle,
            seq: entry.seq,
            size: entry.size,
            records: entry.records,
            manifest: entry.manifest,
          },
        },
      ];
    default:
      return [];
  }
}

/** Where only a destroyed or lost document said it. */
const UNKNOWN = 'unknown';

/**
 * The rows of an entry whose document is gone: what the entry says by itself.
 * @param destroyed with authority: then the row of the snapshot stands, erased. Of a lost one it does not, so that nothing lost is taken
 *   for destroyed; only a bare record is left, for other rows to refer to.
 */
export function projectWithoutDocument(entry: Entry, destroyed: boolean): ProjectedRow[] {
  if (entry.type === 'item.missing' || entry.type === 'item.restored') return [stateRow(entry)];
  if (entry.type === 'run.finished') return [runRow(entry)];
  if (entry.type !== 'item.captured') return projectEntry(entry, { facts: noFacts });
  const { seq, record } = entry;
  const rows: ProjectedRow[] = [];
  if (entry.version === 1) {
    rows.push({ table: 'records', row: { id: record, seq, platform: UNKNOWN, kind: UNKNOWN } });
    if (destroyed) {
      const row = { record_id: record, seq, platform: UNKNOWN, namespace: null, platform_id: null };
      rows.push({ table: 'record_identities', row });
    }
  }
  if (destroyed) {
    const erased = Object.fromEntries(ERASED_COLUMNS.snapshots.map((column) => [column, null]));
    rows.push({ table: 'snapshots', row: { ...snapshotKey(entry), ...erased } });
  }
  return rows;
}

function noFacts(commitment: string): never {
  throw new TypeError(`the facts of payload ${commitment} are not at hand`);
}

/** @returns columns of a snapshot's row that the entry itself tells, with or without its document */
export function snapshotKey(entry: Extract<Entry, { type: 'item.captured' }>) {
  return {
    id: entry.snapshot,
    seq: entry.seq,
    record_id: entry.record,
    run_id: entry.run,
    version: entry.version,
    document: entry.document,
    disclosure: entry.disclosure,
    leaves: entry.leaves,
  };
}

function runRow(entry: Extract<Entry, { type: 'run.finished' }>): ProjectedRow {
  return {
    table: 'capture_runs',
    row: {
      id: entry.run,
      seq: entry.seq,
      source_id: entry.source,
      status: entry.status,
      report: entry.report,
    },
  };
}

function payloadRow(
  seq: number,
  owner: { record_id: string } | { run_id: string },
  role: string,
  commitment: string,
  input: ProjectionInput,
): ProjectedRow {
  const facts = input.facts(commitment);
  return {
    table: 'payloads',
    row: {
      commitment,
      seq,
      record_id: 'record_id' in owner ? owner.record_id : null,
      run_id: 'run_id' in owner ? owner.run_id : null,
      role,
      content_type: facts.contentType,
      length: facts.length,
      salt: facts.salt,
      sha256: facts.sha256,
    },
  };
}

function capturedRows(
  entry: Extract<Entry, { type: 'item.captured' }>,
  document: SnapshotDocument,
  input: ProjectionInput,
): ProjectedRow[] {
  const { seq, record } = entry;
  const rows: ProjectedRow[] = [];
  if (document.version === 1) {
    rows.push(
      {
        table: 'records',
        row: { id: record, seq, platform: document.identity.platform, kind: document.item.kind },
      },
      {
        table: 'record_identities',
        row: {
          record_id: record,
          seq,
          platform: document.identity.platform,
          namespace: document.identity.namespace,
          platform_id: document.identity.platformId,
        },
      },
      { table: 'record_sources', row: { record_id: record, source_id: document.source.id, seq } },
    );
  }
  const { item } = document;
  rows.push({
    table: 'snapshots',
    row: {
      ...snapshotKey(entry),
      seed: input.seed ?? null,
      content: document.content,
      rule: document.rule,
      captured_at: document.exchange.receivedAt,
      url: column(item.url),
      author_id: column(item.author.id),
      author_handle: column(item.author.handle),
      author_name: column(item.author.name),
      created_at: column(item.createdAt),
      created_from: item.createdAtFrom,
      title: column(item.title),
      text: column(item.text),
      languages: item.languages.map(withoutNul),
      tags: item.tags.map(withoutNul),
      in_reply_to: column(item.inReplyTo),
      thread_root: column(item.threadRoot),
      media_missing: document.media.filter((media) => media.commitment === null).length,
    },
  });
  const owner = { record_id: record };
  rows.push(payloadRow(seq, owner, 'document', entry.document, input));
  rows.push(payloadRow(seq, owner, 'slice', document.slice.commitment, input));
  const stored = new Set<string>();
  for (const media of document.media) {
    if (media.commitment === null || media.since !== document.version || stored.has(media.commitment))
      continue;
    stored.add(media.commitment);
    rows.push(payloadRow(seq, owner, 'media', media.commitment, input));
  }
  return rows;
}

function stateRows(
  entry: Extract<Entry, { type: 'item.missing' | 'item.restored' }>,
  input: ProjectionInput,
): ProjectedRow[] {
  const owner = { record_id: entry.record };
  const rows: ProjectedRow[] = [
    stateRow(entry),
    payloadRow(entry.seq, owner, 'observation', entry.document, input),
  ];
  if (input.document?.v === 'muniment/v1/observation' && input.document.answer !== null) {
    rows.push(payloadRow(entry.seq, owner, 'answer', input.document.answer.commitment, input));
  }
  return rows;
}

function stateRow(entry: Extract<Entry, { type: 'item.missing' | 'item.restored' }>): ProjectedRow {
  return {
    table: 'record_states',
    row: {
      seq: entry.seq,
      record_id: entry.record,
      run_id: entry.run,
      state: entry.type === 'item.missing' ? entry.state : 'restored',
      last_seen_at: entry.type === 'item.missing' ? entry.lastSeenAt : null,
      first_missing_at: entry.type === 'item.missing' ? entry.firstMissingAt : null,
      seen_at: entry.type === 'item.restored' ? entry.seenAt : null,
      document: entry.document,
    },
  };
}

/** PostgreSQL's text cannot hold U+0000; the document keeps it, the column shows U+FFFD. */
function withoutNul(text: string): string {
  return text.replaceAll('\u0000', '\uFFFD');
}

/** @returns the text as its column shows it */
export function column<T extends string | null>(text: T): T {
  return (text === null ? null : withoutNul(text)) as T;
}
