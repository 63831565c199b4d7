// What verification reads, what it is told, and what it answers.

import type { Readable } from 'node:stream';
import type { Problem, StoredEntry } from '../chain.ts';
import type { ProjectedTable } from '../projection.ts';

export interface RowWithSeq extends Readonly<Record<string, unknown>> {
  readonly seq: number;
}

/** What verification reads: entries, rows by position, objects. An adapter for PostgreSQL is in reader.ts. */
export interface ArchiveReader {
  /** All stored entries by ascending position, in batches. */
  entries(): AsyncIterable<StoredEntry[]>;
  /** One entry's bytes, or null. */
  entry(seq: number): Promise<Buffer | null>;
  head(): Promise<{ size: number; root: Buffer; edge: Buffer; last: Buffer; at: string } | null>;
  /** Rows of a table with `from <= seq < to`. */
  rows(
    table: ProjectedTable | 'entry_bodies' | 'accounts' | 'sources',
    from: number,
    to: number,
  ): Promise<RowWithSeq[]>;
  /** Number of rows whose position is no entry's. */
  strayRows(table: ProjectedTable | 'entry_bodies', size: number): Promise<number>;
  subtrees(
    keys: readonly { level: number; n: number }[],
  ): Promise<{ level: number; n: number; hash: Buffer }[]>;
  checkpoints(): Promise<{ size: number; note: string }[]>;
  /** The entry at which a payload is said to have been destroyed, by commitment. */
  destructions(commitments: readonly string[]): Promise<Map<string, number>>;
  /** @param version the store's id of another version than the recorded one. @throws ObjectNotFoundError */
  object(
    commitment: string,
    version?: string,
  ): Promise<{
    contentType: string;
    length: number;
    metadata: Readonly<Record<string, string>>;
    body: Readable;
    /** Of the recorded version; null where no lock has to stand, or nothing can be learned of it. */
    lock: ComparedLock | null;
  }>;
  /** Payloads that are not destroyed and in front of which something stands in the store. */
  covered(): AsyncIterable<CoveredPayload>;
}

/** Until when the store locks an object: as it said when that was recorded, and as it says now. */
export interface ComparedLock {
  readonly recorded: Temporal.Instant;
  /** Null: not at all. */
  readonly real: Temporal.Instant | null;
}

export interface CoveredPayload {
  readonly commitment: string;
  readonly seq: number;
  readonly record: string | null;
  /** A delete marker is the newest thing under its key. */
  readonly hidden: boolean;
  /** Versions that came after it. */
  readonly later: readonly string[];
}

export interface VerifyOptions {
  readonly origin: string;
  /** The signed head pinned outside the database, or null when there is none; `not yet` in a recovery, which verifies what it made before that is signed. */
  readonly pinned: { readonly size: number; readonly root: Buffer } | 'not yet' | null;
  /** Whether the machine signs, so that it must have the head that it signed. One that does not may verify against anchors instead. */
  readonly signs: boolean;
  /** Checkpoints from outside the operator's reach. */
  readonly anchors: readonly { readonly size: number; readonly root: Buffer }[];
  /** In a drill nothing is entered of what its restore could not bring back: its home says it. Null: there is no drill. */
  readonly drill?: { readonly size: number; readonly replayed: number; readonly lostBodies: number } | null;
  /** Opens a note of the checkpoints table with the pinned key. @throws VerificationError */
  readonly openCheckpoint: (note: string) => { size: number; root: Buffer };
  readonly onProgress?: (entries: number) => void;
  /** Called for every problem, also beyond those that the result lists. */
  readonly onProblem?: (problem: Problem) => void;
  readonly signal?: AbortSignal;
}

export interface VerifyResult {
  readonly ok: boolean;
  readonly origin: string;
  readonly size: number;
  /** base64 */
  readonly root: string;
  readonly entries: number;
  /** Entries beyond the last signed head, and beyond the last anchor. */
  readonly unsigned: number;
  readonly unanchored: number;
  /** Entries of a type that this Muniment does not know: in the chain, but of unverified meaning. */
  readonly unverifiedMeaning: number;
  /** Missing bodies that a restore accounts for: it had to take their entries from a published log, and said how many it lost. */
  readonly lostBodies: number;
  readonly payloads: {
    intact: number;
    destroyed: number;
    missing: number;
    altered: number;
    presentAfterDestruction: number;
    /** Nothing is known of these: the store could not be asked. */
    unreadable: number;
    /** Intact, but a delete marker or a version of other bytes was put in front. */
    hidden: number;
    superseded: number;
    /** In the store, but locked for less long than the store once said. */
    shortened: number;
  };
  readonly problems: Problem[];
  /** Problems found beyond those listed. */
  readonly unlisted: number;
}
