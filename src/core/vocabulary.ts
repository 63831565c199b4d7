// The words of the archive as types, and what an identity can be: what they mean stands in README.md, "Words".

/** Kinds of item. */
export const ITEM_KINDS = ['post', 'reply', 'repost', 'message', 'profile', 'story'] as const;
export type ItemKind = (typeof ITEM_KINDS)[number];

/** Who vouches for a date: the platform that assigned it, its user who claimed it, or nobody. */
export const VOUCHED_BY = ['platform', 'user', 'unknown'] as const;
export type VouchedBy = (typeof VOUCHED_BY)[number];

/** Why an item is missing, as a direct look-up said. They are kept apart: only *deleted* can ever start a clock. */
export const MISSING_STATES = ['deleted', 'hidden', 'access-lost', 'account-gone'] as const;
export type MissingState = (typeof MISSING_STATES)[number];

/** A record's state as shown to people. */
export const RECORD_STATES = ['live', 'missing', 'destroyed'] as const;
export type RecordState = (typeof RECORD_STATES)[number];

/**
 * Figures that collectors report for reconciliation, by name: what the platform counts, and how many of these it listed. The names stand in
 * run reports, which cannot be changed.
 */
export const LISTED: readonly (readonly [total: string, listed: string])[] = [
  ['posts', 'posts listed'],
  ['comments', 'comments listed'],
];
/** Figures of what the platform says that there is, and does not give. */
export const WITHHELD: readonly string[] = [
  'replies not shown',
  'reposts without an address',
  'posts not for everybody',
];
/** Figures of what an earlier run knew of and did not get, and no run has got since, where later ones may be complete without it. */
export const STILL_LACKING: readonly string[] = ['videos not read to the end'];

/** The name that a platform gives an item; unique within platform and namespace. Many identities may lead to one record. */
export interface Identity {
  readonly platform: string;
  readonly namespace: string;
  readonly platformId: string;
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
