// What one platform of Meta adds to what they have in common: which lists there are, which fields are asked for, and how an item is read.

import { z } from 'zod';
import type { Json } from '../../core/canonical.ts';
import type { Identity } from '../../core/vocabulary.ts';
import type { Exchange, MediaReference, Rejected, Sighting } from '../collector.ts';
import { mediumOf, sightingAs } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';

/** An id, as it may stand in the path of a request: what else a hostile answer calls one leads nowhere. */
export const graphId = z.string().regex(/^[A-Za-z0-9_-]{1,200}$/);

/** Fields without which an item can still be read, whatever stands in them. */
export const text = z.string().nullish().catch(null);
export const flag = z.boolean().nullish().catch(null);
export const count = z.int().nonnegative().nullish().catch(null);

/** Kinds of node that the platform is asked for in different words. */
export type Sort = 'post' | 'story' | 'reply';

export interface Profile {
  readonly id: string;
  /** For people: the account's name. */
  readonly name: string;
  /** What the platform counts, by the names that run reports give it. */
  readonly counts: Readonly<Record<string, number>>;
  readonly sighting: Sighting;
}

/** What is remembered of an item until its replies have been read. */
export interface Listed {
  readonly id: string;
  /** As the platform counts them, at any depth; 1 where it only tells that there are some. */
  readonly replies: number;
  /** Changes when something may have happened below it. */
  readonly mark: string;
  readonly createdAt: string | null;
  /** The path of the list of what is below it; null where that need not be asked for. */
  readonly thread: string | null;
  /** From when on its absence may be nobody's doing, for its time runs out by itself; null where nothing goes unless somebody takes it away. */
  readonly until: string | null;
}

export type Read = { readonly sighting: Sighting; readonly listed: Listed } | { readonly rejected: Rejected };

/** Where an item stands. */
export interface Place {
  readonly exchange: Exchange;
  /** The account's id. */
  readonly account: string;
  /** The post that a reply was found under; null where that is not known from where it was found. */
  readonly post: string | null;
  /** The path of the list that it was found in; null where it was asked for by itself. */
  readonly list: string | null;
}

export interface List {
  readonly edge: string;
  readonly sort: Sort;
}

export interface Home {
  /** The list where it stood, then those where what it stood below stood in turn: the next counts only where the one before is not shown itself. */
  readonly lists: readonly string[];
  readonly post: string | null;
}

/** What was captured of an item, for a look-up of it. */
export interface Captured {
  readonly id: string;
  readonly part: JsonPart;
  /** What the part holds, as far as it is an object. */
  readonly value: Readonly<Record<string, unknown>>;
  /** The path, below the version, of the list that gave it. */
  readonly path: string;
}

export interface Dialect {
  readonly platform: string;
  /** For people. */
  readonly name: string;
  readonly collectorVersion: string;
  readonly comparisonRule: string;
  readonly version: string;
  readonly profileFields: string;
  /** The account's own lists, newest first. */
  readonly lists: readonly List[];
  readonly fields: Readonly<Record<Sort, string>>;
  /** What the lists of replies are asked for. */
  readonly threadParameters: Readonly<Record<string, string>>;
  /** What has a list of replies tell how many there are besides, in `summary.total_count`; null where nothing does. */
  readonly countParameters: Readonly<Record<string, string>> | null;
  /** Whether the platform says the same of a post that was deleted and of one that the account put away for itself. */
  readonly archivesPosts: boolean;
  /** Whether a list may go on where no address of a next page is given, but a cursor. */
  readonly goesOnWithoutNext: boolean;
  /** What the platform never tells, whoever asks: sentences. */
  readonly gaps: readonly string[];
  /** @returns null when it is no account */
  readonly readProfile: (part: JsonPart, exchange: Exchange) => Profile | null;
  /** Never throws for what the platform sent: what is unreadable is rejected with its bytes. */
  readonly read: (sort: Sort, part: JsonPart, place: Place) => Read;
  readonly sortOf: (captured: Captured, account: string) => Sort;
  /** @returns the lists of which one must answer before a reply that is not shown counts as deleted, and its post; null when none is known */
  readonly homeOf: (captured: Captured, account: string) => Home | null;
  /** @returns whether what the platform shows of an item says that it is not public, though it is there */
  readonly isHidden: (value: Readonly<Record<string, unknown>>) => boolean;
}

/** Ids are the platform's own in all of its API, so accounts, posts and replies have one namespace. */
export function identityOf(platform: string, id: string): Identity {
  return { platform, namespace: 'graph-id', platformId: id };
}

/** @returns a sighting under the platform's id; null when the bytes nest too deeply to be kept */
export function sightingOf(
  platform: string,
  id: string,
  part: JsonPart,
  exchange: Exchange,
  rest: Pick<Sighting, 'item' | 'comparison' | 'observations' | 'media'>,
): Sighting | null {
  return sightingAs(identityOf(platform, id), part, exchange, rest);
}

/** A medium as Threads and Instagram tell of it: a post, or one of its children. */
export const mediumFields = {
  id: graphId,
  media_type: text,
  media_url: text,
  thumbnail_url: text,
  alt_text: text,
};
export const MEDIUM_FIELDS = 'id,media_type,media_url,thumbnail_url,alt_text';
export const childrenOf = z.looseObject({ data: z.array(z.looseObject(mediumFields)) }).nullish();
export type Medium = z.infer<z.ZodObject<typeof mediumFields>>;

const ROLES: Readonly<Record<string, MediaReference['role']>> = { VIDEO: 'video', AUDIO: 'audio' };

export function mediaOf(parts: readonly Medium[]): MediaReference[] {
  return parts.flatMap((one) => [
    ...mediumOf(ROLES[one.media_type ?? ''] ?? 'image', one.media_url, one.id, one.alt_text || null),
    ...mediumOf('preview', one.thumbnail_url, `${one.id}/preview`),
  ]);
}

/** @returns what of media decides whether a post changed */
export function comparedMedia(parts: readonly Medium[]): Json {
  return parts.map((one) => [one.media_type ?? null, one.id, one.alt_text ?? '']);
}

/** @returns the name of a medium whose id is not told: the end of its address stays the same when that is signed anew */
export function nameOf(address: string | null | undefined): string | null {
  if (typeof address !== 'string' || !URL.canParse(address)) return null;
  return new URL(address).pathname.split('/').at(-1) || null;
}

/** @returns where a link leads: past the platform's own redirection, and without the mark that it adds for each click */
export function targetOf(address: string): string | null {
  if (!URL.canParse(address)) return null;
  let url = new URL(address);
  if (/^lm?\.(facebook|instagram|threads)\.(com|net)$/.test(url.hostname)) {
    const target = url.searchParams.get('u') ?? '';
    if (!URL.canParse(target)) return null;
    url = new URL(target);
  }
  if (!/^https?:$/.test(url.protocol)) return null;
  // By text, for what remains must be as it was written.
  url.search = url.search.replace(/(?<=[?&])fbclid=[^&]*(?:&|$)/, '').replace(/[?&]$/, '');
  return url.href;
}
