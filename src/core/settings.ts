// The shapes of an archive's settings once `muniment.yaml` has been read and checked (src/config.ts does that). Code takes
// these values; it never reads the file or the environment itself.

import type { Secret } from './secret.ts';

/** A row of a dated table: from this civil date on, the fiscal year starts on this month and day ("MM-DD"). */
export interface FiscalYearRule {
  readonly from: string;
  readonly starts: string;
}

export interface ArchiveSettings {
  readonly name: string;
  readonly origin: string;
  /** IANA zone: civil dates of policy are dates there. */
  readonly timezone: string;
  readonly fiscalYear: readonly FiscalYearRule[];
}

export interface LockSettings {
  readonly mode: 'GOVERNANCE' | 'COMPLIANCE';
  /** ISO 8601 period of the rolling lock, e.g. P90D. */
  readonly horizon: string;
}

/** SSE-KMS: the storage service encrypts every payload with this key of its key service. */
export interface EncryptionSettings {
  /** Id, alias or ARN, as the service knows it. */
  readonly kmsKey: string;
}

export type StoreSettings =
  | { readonly provider: 'directory'; readonly path: string }
  | {
      readonly provider: 's3';
      readonly bucket: string;
      readonly region: string;
      readonly endpoint: string | null;
      readonly prefix: string;
      readonly lock: LockSettings | 'none';
      /** Absent or null: as the bucket does by itself. */
      readonly encryption?: EncryptionSettings | null;
    };

interface CommonSourceSettings {
  readonly id: string;
  /** Cron expression in the archive's zone; `auto`, with bounds or without (pace.ts); or null: only by hand. */
  readonly schedule: string | null;
  /** A person vouches by name that the claimed dates of this source may anchor retention clocks. */
  readonly confirmDates: { readonly by: string; readonly on: string } | null;
}

export interface BlueskySettings extends CommonSourceSettings {
  readonly platform: 'bluesky';
  /** A handle or a DID. */
  readonly account: string;
  /** The AppView's origin. */
  readonly service: string;
  /** The PLC directory's origin, which resolves did:plc. */
  readonly directory: string;
  /** The account's repository server; null: as its DID document says. */
  readonly repository: string | null;
  /** How many records of the account, new or changed, are proved in one run by what it signed; 0: none. */
  readonly proofs: number;
}

export interface FeedSettings extends CommonSourceSettings {
  readonly platform: 'feed';
  readonly url: string;
}

export interface MastodonSettings extends CommonSourceSettings {
  readonly platform: 'mastodon';
  /** name, name@host or @name@host. */
  readonly account: string;
  /** The origin of the server that is asked. */
  readonly service: string;
  /** An access token of that server, or null: only what it shows to everybody. */
  readonly token: Secret | null;
}

/** The platforms of Meta, each through its Graph API. */
export interface MetaSettings extends CommonSourceSettings {
  readonly platform: 'facebook' | 'instagram' | 'threads';
  /** The account's id, or its name where the platform takes one. */
  readonly account: string;
  /** The origin of the API. */
  readonly service: string;
  /** The account's own access token: these platforms show nothing without one. */
  readonly token: Secret;
}

/** What `muniment import` is given stands under a source of its own, which nothing is collected from. */
export interface ImportSettings extends CommonSourceSettings {
  readonly platform: 'import';
  readonly schedule: null;
  /** Whose files these must be, in the words in which they say it themselves; absent where that is not checked. */
  readonly account?: string | undefined;
}

export interface YoutubeSettings extends CommonSourceSettings {
  readonly platform: 'youtube';
  /** A handle (@name) or a channel's id (UC…). */
  readonly account: string;
  /** The origin of the Data API. */
  readonly service: string;
  /** An API key of a Google Cloud project. */
  readonly key: Secret;
  /** Quota units that all sources with this key may spend in a day, which begins at midnight in Los Angeles. */
  readonly unitsPerDay: number;
}

export interface RedditSettings extends CommonSourceSettings {
  readonly platform: 'reddit';
  /** u/NAME for an account, r/NAME for a community. */
  readonly account: string;
  /** The origin of the API. */
  readonly service: string;
  /** The origin that gives an application its token. */
  readonly login: string;
  /** A token that somebody else renews, or what an application gets its own by. */
  readonly access: { readonly token: Secret } | { readonly clientId: Secret; readonly clientSecret: Secret };
}

export interface XSettings extends CommonSourceSettings {
  readonly platform: 'x';
  /** @NAME. */
  readonly account: string;
  /** The origin of the API. */
  readonly service: string;
  readonly token: Secret;
  /** Conversations are searched in all of X, or in its last seven days. */
  readonly search: 'all' | 'recent';
  /** Posts and accounts that may be paid for in a day (UTC), by all sources with this token. */
  readonly unitsPerDay: number;
  /** How often all posts and conversations are read: each reading is paid for. */
  readonly daysBetweenWhole: number;
  /** Who decided, when, and where it is written, that X may be collected from; null: nobody, and it is not. */
  readonly decision: { readonly by: string; readonly on: string; readonly cite: string } | null;
}

export interface FlickrSettings extends CommonSourceSettings {
  readonly platform: 'flickr';
  /** A name in addresses, or the account's number. */
  readonly account: string;
  /** The origin of the API. */
  readonly service: string;
  /** Of an application. */
  readonly key: Secret;
}

export interface LinkedinSettings extends CommonSourceSettings {
  readonly platform: 'linkedin';
  /** An organisation's name in addresses, or its number. */
  readonly account: string;
  /** The origin of the API. */
  readonly service: string;
  /** Of a person who administers the organisation's page. */
  readonly token: Secret;
  /** The month of the API that is asked, such as 202601. */
  readonly version: string;
}

export type SourceSettings =
  | BlueskySettings
  | FeedSettings
  | FlickrSettings
  | MastodonSettings
  | MetaSettings
  | LinkedinSettings
  | RedditSettings
  | XSettings
  | YoutubeSettings
  | ImportSettings;

/** What people capture by hand stands under a source of its own; no configured one can have this id. */
export interface ManualSettings extends CommonSourceSettings {
  readonly platform: 'manual';
}
export const MANUAL_SOURCE: ManualSettings = {
  id: '_manual',
  platform: 'manual',
  schedule: null,
  confirmDates: null,
};

/** Where an archive's alerts go. */
export interface AlertSettings {
  /** Whether `serve` logs them. */
  readonly log: boolean;
  readonly webhook: {
    /** The address, which may be a secret itself. */
    readonly url: Secret;
    /** Signs what is sent; null: nothing does. */
    readonly secret: Secret | null;
  } | null;
  readonly email: {
    /** smtp://USER:PASSWORD@HOST:PORT, or smtps://. */
    readonly smtp: Secret;
    readonly from: string;
    readonly to: readonly string[];
  } | null;
  /** What is told by email at the beginning of each day, or each Monday, whether anything is amiss or not. */
  readonly digest: { readonly every: 'day' | 'week'; readonly to: readonly string[] } | null;
}
