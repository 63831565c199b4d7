// Types of verify.mjs, which is plain JavaScript because it runs alone inside every bundle.

import type { ObservationDocument, SnapshotDocument } from '../../ledger/documents.ts';

/** Nothing that can be read, or a key that is none. */
export class BundleInputError extends Error {}

export interface BundleProblem {
  readonly kind: string;
  readonly path: string;
  readonly detail: string;
}

export interface BundleCheck {
  readonly ok: boolean;
  readonly signer: 'confirmed' | 'unconfirmed';
  readonly records: number;
  readonly files: number;
  readonly problems: readonly BundleProblem[];
  /** SHA-256 in hex of the public key that was used. */
  readonly fingerprint: string | null;
  readonly origin: string | null;
  readonly size: number | null;
  /** base64 */
  readonly root: string | null;
}

export function verifyBundle(path: string, options?: { key?: string }): Promise<BundleCheck>;
export function resultText(result: BundleCheck): string;
export function canonical(value: unknown): string;
export function parseVerifierKey(line: string): {
  name: string;
  id: Buffer;
  publicKey: Buffer;
  text: string;
  fingerprint: string;
};

/** Roles of payloads that a bundle can hold. */
export type BundledRole = 'document' | 'slice' | 'media' | 'observation' | 'answer';
export function payloadPath(role: BundledRole, commitment: string, contentType: string): string;
export function bundleStatement(origin: string, size: number, tagManifestSha256: string): string;

type ItemContent = Omit<SnapshotDocument['item'], 'kind'>;

export interface BundledVersion extends ItemContent {
  readonly version: number;
  readonly snapshot: string;
  readonly seq: number;
  readonly at: string;
  readonly capturedAt: string;
  readonly cause: SnapshotDocument['cause'];
  readonly document: string;
  readonly slice: string;
  readonly sliceSha256: string;
  readonly request: { readonly method: string; readonly url: string; readonly status: number };
  readonly media: readonly (SnapshotDocument['media'][number] & { readonly path: string | null })[];
}

export interface BundledState {
  readonly seq: number;
  readonly at: string;
  readonly state: 'deleted' | 'hidden' | 'access-lost' | 'account-gone' | 'restored';
  readonly lastSeenAt: string | null;
  readonly firstMissingAt: string | null;
  readonly seenAt: string | null;
  readonly document: string;
}

export interface BundledSource {
  readonly id: string;
  readonly name: string;
  readonly seq: number;
}

/** A line of records.jsonl. */
export type BundledRecord = DestroyedRecord | KeptRecord;

export interface DestroyedRecord {
  readonly id: string;
  readonly state: 'destroyed';
  readonly destruction: { readonly seqs: readonly number[]; readonly at: string | null };
}

export interface KeptRecord extends ItemContent {
  readonly id: string;
  readonly state: 'live' | 'missing';
  readonly kind: SnapshotDocument['item']['kind'];
  readonly platform: string;
  readonly platformId: string;
  readonly identity: SnapshotDocument['identity'];
  readonly sources: readonly BundledSource[];
  readonly thread: { readonly parent: string | null; readonly depth: number };
  readonly retention: string | null;
  readonly versions: readonly BundledVersion[];
  readonly states: readonly BundledState[];
}

export interface CapturedEntry {
  readonly seq: number;
  readonly at: string;
  readonly snapshot: string;
  readonly version: number;
  readonly document: string;
}

export interface ObservedEntry {
  readonly type: 'item.missing' | 'item.restored';
  readonly seq: number;
  readonly at: string;
  readonly state?: BundledState['state'];
  readonly document: string;
}

export function recordOf(
  parts:
    | { readonly id: string; readonly destruction: DestroyedRecord['destruction'] }
    | {
        readonly id: string;
        readonly destruction: null;
        readonly captured: readonly { readonly entry: CapturedEntry; readonly document: SnapshotDocument }[];
        readonly observed: readonly {
          readonly entry: ObservedEntry;
          readonly document: Pick<ObservationDocument, 'lastSeenAt' | 'firstMissingAt' | 'seenAt'>;
        }[];
        readonly linked: readonly BundledSource[];
        readonly thread: KeptRecord['thread'];
        readonly retention: string | null;
        readonly pathOf: (commitment: string) => string | null;
      },
): BundledRecord;

export const CSV_HEADER: string;
export function csvRows(record: BundledRecord): string;
