// How an item that a platform shows as JSON becomes a sighting: what is the same for every platform, whatever its fields are called.

import type { Identity } from '../core/vocabulary.ts';
import { sliceOf } from './answer.ts';
import type { Exchange, Item, MediaReference, Sighting } from './collector.ts';
import type { JsonPart } from './slice.ts';

/**
 * A tag for what the account or the platform has hidden from the public and still shows to the account. With blanks in it, it is nobody's
 * hashtag.
 */
export const HIDDEN_TAG = 'hidden on the platform';

/** @returns the sighting of what stands in a part; null when its bytes nest too deeply to be kept */
export function sightingAs(
  identity: Identity,
  part: JsonPart,
  exchange: Exchange,
  rest: Pick<Sighting, 'item' | 'comparison' | 'observations' | 'media'> &
    Partial<Pick<Sighting, 'former' | 'earlier'>>,
): Sighting | null {
  const slice = sliceOf(part);
  if (slice === null) return null;
  return { identity, slice, sliceOffset: part.offset, sliceType: 'application/json', exchange, ...rest };
}

/** @returns an item of which only what is given is known */
export function itemWith(known: Pick<Item, 'kind' | 'url' | 'author' | 'text'> & Partial<Item>): Item {
  return {
    createdAt: null,
    createdAtFrom: 'unknown',
    title: null,
    contentWarning: null,
    languages: [],
    tags: [],
    links: [],
    inReplyTo: null,
    threadRoot: null,
    quotes: null,
    reposts: null,
    ...known,
  };
}

/**
 * A medium under the platform's own id of it, for its address may be signed anew in every answer.
 * @param id null where the platform names none; then the bytes are fetched for every version
 */
export function mediumOf(
  role: MediaReference['role'],
  url: string | null | undefined,
  id: string | null,
  alt: string | null = null,
): MediaReference[] {
  if (typeof url !== 'string' || !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) return [];
  return [{ role, url, alt, mediaType: null, contentId: id }];
}

export function counted(counts: Readonly<Record<string, number | null | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counts).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  );
}
