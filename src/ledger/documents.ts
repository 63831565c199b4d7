// The documents that entries commit to (FORMAT.md, sections 5 to 7), as types and as the checks that a reader of hostile bytes needs.

import { z } from 'zod';
import { ITEM_KINDS, MISSING_STATES, VOUCHED_BY } from '../core/vocabulary.ts';

const id = z.string();
const hex = z.string().regex(/^[0-9a-f]{64}$/);
const text = z.string().nullable();
const source = z.object({ id, name: z.string() });
const identity = z.object({ platform: z.string(), namespace: z.string(), platformId: z.string() });

const exchange = z.object({
  method: z.string(),
  url: z.string(),
  status: z.int(),
  receivedAt: z.string(),
  headers: z.record(z.string(), z.string()),
  bodySha256: hex,
  bodyLength: z.int(),
});

export const mediaEntry = z.object({
  role: z.string(),
  url: z.string(),
  alt: text,
  mediaType: text,
  contentId: text,
  /** Version of the snapshot that first stored these bytes; null when they could not be had (then `problem` says why). */
  since: z.int().nullable(),
  commitment: hex.nullable(),
  sha256: hex.nullable(),
  length: z.int().nullable(),
  problem: text,
});
export type MediaEntry = z.infer<typeof mediaEntry>;

export const snapshotDocument = z.object({
  v: z.literal('muniment/v1/snapshot'),
  record: id,
  snapshot: id,
  version: z.int().min(1),
  cause: z.enum(['first', 'changed', 'media']),
  source,
  run: id,
  identity,
  collector: z.string(),
  rule: z.string(),
  content: hex,
  exchange,
  slice: z.object({ commitment: hex, sha256: hex, length: z.int(), mediaType: z.string(), offset: z.int() }),
  item: z.object({
    kind: z.enum(ITEM_KINDS),
    url: text,
    author: z.object({ id: text, handle: text, name: text }),
    createdAt: text,
    createdAtFrom: z.enum(VOUCHED_BY),
    title: text,
    text: z.string(),
    contentWarning: text,
    languages: z.array(z.string()),
    tags: z.array(z.string()),
    links: z.array(z.object({ url: z.string(), title: text, description: text })),
    inReplyTo: text,
    threadRoot: text,
    quotes: text,
    quotedContentId: z.string().optional(),
    reposts: text,
  }),
  media: z.array(mediaEntry),
});
export type SnapshotDocument = z.infer<typeof snapshotDocument>;

export const observationDocument = z.object({
  v: z.literal('muniment/v1/observation'),
  record: id,
  run: id,
  kind: z.enum(['missing', 'restored']),
  state: z.enum(MISSING_STATES).nullable(),
  lastSeenAt: text,
  firstMissingAt: text,
  seenAt: text,
  source,
  identity,
  collector: z.string(),
  exchange: exchange.nullable(),
  answer: z.object({ commitment: hex, sha256: hex, length: z.int(), mediaType: z.string() }).nullable(),
});
export type ObservationDocument = z.infer<typeof observationDocument>;

const count = z.int().min(0);
export const runReportHead = z.object({
  v: z.literal('muniment/v1/run'),
  run: id,
  source,
  collector: z.string(),
  startedAt: z.string(),
  finishedAt: z.string(),
  status: z.enum(['complete', 'partial', 'failed']),
  coverage: z.enum(['all', 'recent', 'unchanged', 'none']),
  requests: count,
  bytes: count,
  reported: z.record(z.string(), z.int()),
  counts: z.object({
    seen: count,
    captured: count,
    changed: count,
    missing: count,
    restored: count,
    media: count,
    rejected: count,
  }),
  errors: z.array(z.object({ code: z.string(), message: z.string(), subject: text })),
});
export type RunReportHead = z.infer<typeof runReportHead>;

/** A later line of a run report. */
export const runReportLine = z.union([
  z.object({ record: id, at: z.string(), observations: z.record(z.string(), z.number()) }),
  z.object({ quarantine: z.object({ commitment: hex, sha256: hex, length: z.int(), reason: z.string() }) }),
  /** The file of an import, whole. */
  z.object({ original: z.object({ commitment: hex, sha256: hex, length: z.int(), name: z.string() }) }),
]);

/** A payload that belongs to a run, as a line of its report names it. */
export interface RunPayload {
  readonly commitment: string;
  readonly role: 'quarantine' | 'original';
}

/** How the lines begin that name one: a report is mostly of other lines, which need not be parsed to know that. */
export const NAMES_PAYLOAD = /^\{"(quarantine|original)":/;

/** @returns the payload that a line names, or null */
export function runPayload(line: z.infer<typeof runReportLine>): RunPayload | null {
  if ('quarantine' in line) return { commitment: line.quarantine.commitment, role: 'quarantine' };
  if ('original' in line) return { commitment: line.original.commitment, role: 'original' };
  return null;
}
