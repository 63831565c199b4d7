// The one interface behind which every platform stands. A collector reads; it stores nothing and decides nothing: what is
// new, changed or missing is capture's business.

import type { Json } from '../core/canonical.ts';
import type { Identity, ItemKind, MissingState, VouchedBy } from '../core/vocabulary.ts';

/** One HTTP exchange as evidence: what was asked (without secrets), when, and what the answer was made of. */
export interface Exchange {
  /** MANUAL: a person saw it and says so; IMPORT: it stands in a file that the platform gave. Then there is no status (0). */
  readonly method: 'GET' | 'POST' | 'MANUAL' | 'IMPORT';
  /** The address without user info, tokens or keys; of an import the file's name and the path in it. */
  readonly url: string;
  readonly status: number;
  /** RFC 3339 UTC, milliseconds: when the answer's body was complete, or the item was imported. */
  readonly receivedAt: string;
  /** The headers that bear on evidence (date, content-type, etag, last-modified, server, revision and rate headers). */
  readonly headers: Readonly<Record<string, string>>;
  /** SHA-256 in hex of the whole decoded body, or of the whole imported file. */
  readonly bodySha256: string;
  readonly bodyLength: number;
}

/** A medium that belongs to an item. */
export interface MediaReference {
  /** *proof*: what shows to everybody that its author wrote the item. */
  readonly role: 'image' | 'video' | 'audio' | 'document' | 'avatar' | 'preview' | 'proof';
  readonly url: string;
  readonly alt: string | null;
  /** As the platform declares it; null when it does not. */
  readonly mediaType: string | null;
  /** A content address (a CID) if the platform has one: equal ids are equal bytes. */
  readonly contentId: string | null;
}

/** An item in the archive's own words. Texts are exactly as the platform gave them (after its own encoding is undone). */
export interface Item {
  readonly kind: ItemKind;
  readonly url: string | null;
  readonly author: {
    readonly id: string | null;
    readonly handle: string | null;
    readonly name: string | null;
  };
  /** RFC 3339 as given by the platform, or null. */
  readonly createdAt: string | null;
  readonly createdAtFrom: VouchedBy;
  readonly title: string | null;
  readonly text: string;
  readonly contentWarning: string | null;
  readonly languages: readonly string[];
  readonly tags: readonly string[];
  readonly links: readonly {
    readonly url: string;
    readonly title: string | null;
    readonly description: string | null;
  }[];
  /** Platform ids in the same namespace rules as the item's own. */
  readonly inReplyTo: string | null;
  readonly threadRoot: string | null;
  readonly quotes: string | null;
  /** The content id of what is quoted, where the platform has such: which of its versions the author saw. */
  readonly quotedContentId?: string;
  readonly reposts: string | null;
}

/** One item as seen in one answer. */
export interface Sighting {
  readonly identity: Identity;
  /** The item's exact bytes as cut from the decoded body: never re-serialised. */
  readonly slice: Uint8Array;
  /** Where the slice begins in the decoded body, in bytes. */
  readonly sliceOffset: number;
  readonly sliceType: 'application/json' | 'application/xml' | 'application/vnd.ipld.dag-cbor' | 'text/csv';
  readonly exchange: Exchange;
  readonly item: Item;
  /** What decides whether content changed, under the collector's comparison rule. Counters never stand in it. */
  readonly comparison: Json;
  /** The same under the rule before it: by it, records that an older version captured go on without false changes or missed ones. */
  readonly former?: { readonly rule: string; readonly comparison: Json };
  /** Changing counters (likes, reposts, replies): observations, kept in the run report. */
  readonly observations: Readonly<Record<string, number>>;
  readonly media: readonly MediaReference[];
  /**
   * Asks for the versions before this one that the platform still shows, oldest first (this one may be among them); null when it
   * shows none. Asked only for an item that is new or changed.
   * @throws CollectError
   */
  readonly earlier?: (signal: AbortSignal) => Promise<PageEvent | null>;
}

/** Something in an answer that could not be cut or read as an item: kept in quarantine with its reason. */
export interface Rejected {
  readonly bytes: Uint8Array;
  readonly exchange: Exchange;
  readonly reason: string;
}

/** Codes of what can go wrong in a run; the message says it in a sentence with the remedy. */
export type ProblemCode =
  | 'unreachable'
  | 'timeout'
  | 'http-status'
  | 'rate-limited'
  /** What a metered platform, or the settings, let a credential ask in a day is used up. */
  | 'budget-spent'
  | 'not-the-expected-format'
  | 'too-large'
  | 'refused-address'
  | 'account-not-found'
  | 'access-lost'
  /** The name in the settings leads to somebody else than before. */
  | 'account-replaced'
  /** It failed so often that its host is left alone for a while: nothing was asked. */
  | 'left-alone'
  | 'incomplete-thread'
  | 'repeated-cursor'
  | 'interrupted'
  | 'media'
  /** What the platform never tells, whoever asks: told with every run, and no fault of any. */
  | 'standing-gap';

export interface Problem {
  readonly code: ProblemCode;
  readonly message: string;
  /** The address (without secrets) or item it concerns. */
  readonly subject: string | null;
}

export interface PageEvent {
  readonly type: 'page';
  readonly exchange: Exchange;
  readonly sightings: readonly Sighting[];
  readonly rejected: readonly Rejected[];
}

export type CollectorEvent =
  | PageEvent
  /**
   * A part of the run failed; what remains goes on. The run is then partial, and nothing is looked up as missing. A `standing-gap` is
   * told and changes neither.
   */
  | { readonly type: 'problem'; readonly problem: Problem }
  /** A figure that the platform itself gives (posts in the account), for reconciliation. */
  | { readonly type: 'reported'; readonly what: string; readonly count: number }
  /**
   * The last event of a run that came to its end. `coverage`: *all*: every item of the source that exists was offered, so
   * what was not seen is worth a look-up; *recent*: falling off the end is no sign of deletion (feeds); *unchanged*: the
   * platform said that nothing changed (304). `state` is kept for the next run and committed with this run's end, if the run is
   * complete; *resumable*: if it is partial too, for the state claims no more than was read, and where it broke off.
   */
  | {
      readonly type: 'end';
      readonly coverage: 'all' | 'recent' | 'unchanged';
      readonly state: Json;
      readonly resumable?: boolean;
    };

/** The answer to a direct look-up of one item. An empty or failed answer is *unknown*, never a deletion. */
export type LookUp =
  | { readonly identity: Identity; readonly state: 'present'; readonly sighting: Sighting | null }
  | {
      readonly identity: Identity;
      readonly state: MissingState;
      readonly exchange: Exchange;
      readonly body: Uint8Array;
    }
  | { readonly identity: Identity; readonly state: 'unknown'; readonly problem: Problem };

/** What a source last captured of an item: for platforms that want more than its identity when they are asked for it. */
export interface LastCaptured {
  readonly slice: Uint8Array;
  /** The address, without secrets, that gave it. */
  readonly url: string;
  /** What it was known to stand below, which the slice itself may not say. */
  readonly threadRoot: string | null;
}

/** Media bytes, spooled to a file that the caller removes. */
export interface FetchedMedia {
  readonly file: string;
  readonly length: number;
  readonly sha256: string;
  readonly mediaType: string;
  readonly exchange: Exchange;
}

/**
 * Whether a comparison rule is an import's. A file shows an item in another shape than the platform does, as of a time that nobody vouches for:
 * so it makes no version of what the platform showed, and the platform's next answer is held against it by `former`, or else by its words alone.
 */
export function isImportRule(rule: string): boolean {
  return /-import\/\d+$/.test(rule);
}

export interface CollectOptions {
  /** What the last completed or resumable run left in its `end` event, or null on the first run. */
  readonly state: Json;
  /**
   * Whether no other run came after the one that left `state`. Else newer content may have been captured since, and the platform
   * must not be asked only for what changed since then: if it went back, it would truly say that nothing did.
   */
  readonly isLatest: boolean;
  readonly signal: AbortSignal;
}

export interface Collector extends AsyncDisposable {
  readonly platform: string;
  /** `name/version` of the code that read, e.g. "bluesky/1". Stands in every snapshot document. */
  readonly collectorVersion: string;
  /** Id of the comparison rule, e.g. "bluesky-content/1". */
  readonly comparisonRule: string;
  /** Tries the source without capturing. @returns sentences for the operator. @throws MunimentError */
  check(signal: AbortSignal): Promise<{ account: string; findings: string[] }>;
  /** Reads the whole source; ends with an `end` event, or throws a CollectError when nothing more can be read. */
  collect(options: CollectOptions): AsyncIterable<CollectorEvent>;
  /** Looks each identity up directly, one answer per identity, in any order. */
  lookUp(
    identities: readonly Identity[],
    signal: AbortSignal,
    lastCaptured?: (identity: Identity) => Promise<LastCaptured | null>,
  ): AsyncIterable<LookUp>;
  /** @throws CollectError (code `media`, `too-large`, `refused-address` …); of a proof `standing-gap`: none is to be had, now or later */
  fetchMedia(reference: MediaReference, directory: string, signal: AbortSignal): Promise<FetchedMedia>;
}
