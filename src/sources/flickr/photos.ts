// How a photo, a comment or an account of Flickr becomes an item. All are named by Flickr's own ids.

import { z } from 'zod';
import type { Json } from '../../core/canonical.ts';
import type { Identity } from '../../core/vocabulary.ts';
import { faultOf, rejected } from '../answer.ts';
import type { Exchange, Item, MediaReference, Rejected, Sighting } from '../collector.ts';
import { plainText } from '../feed/plain-text.ts';
import { counted, itemWith, mediumOf, sightingAs } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';

export const PLATFORM = 'flickr';
export const PHOTO_ID = /^\d{1,20}$/;
/** The account's number, the photo's, and its own. */
export const COMMENT_ID = /^\d{1,20}-\d{1,20}-\d{1,20}$/;
export const ACCOUNT_ID = /^\d{1,20}@N\d{2}$/;

/** Sizes, largest first: the original where the owner gives it away. */
const SIZES = [
  'url_o',
  'url_6k',
  'url_5k',
  'url_4k',
  'url_3k',
  'url_k',
  'url_h',
  'url_l',
  'url_c',
  'url_z',
] as const;
/** What a list of photos is asked to say of each. */
export const EXTRAS = [
  'description,date_upload,date_taken,last_update,owner_name,path_alias,original_format,tags,media,count_comments,count_faves,views',
  ...SIZES,
].join(',');

const text = z.string().nullish().catch(null);
const content = z.looseObject({ _content: z.string() }).nullish().catch(null);
const seconds = z.coerce.number().int().nonnegative().max(1e11).nullish().catch(null);
const count = z.coerce.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER).nullish().catch(null);

const photoView = z.looseObject({
  id: z.string().regex(PHOTO_ID, 'is no id of a photo'),
  owner: z.string().regex(ACCOUNT_ID, 'is no id of an account'),
  ownername: text,
  pathalias: text,
  title: text,
  description: content,
  dateupload: seconds,
  tags: text,
  media: text,
  count_comments: count,
  count_faves: count,
  views: count,
  ...Object.fromEntries(SIZES.map((size) => [size, text])),
});

const commentView = z.looseObject({
  id: z.string().regex(COMMENT_ID, 'is no id of a comment'),
  author: text,
  authorname: text,
  realname: text,
  datecreate: seconds,
  permalink: text,
  _content: z.string(),
});

const personView = z.looseObject({
  nsid: z.string().regex(ACCOUNT_ID, 'is no id of an account'),
  path_alias: text,
  username: content,
  realname: content,
  description: content,
  location: content,
  photosurl: content,
  photos: z
    .looseObject({ count: z.looseObject({ _content: count }).nullish().catch(null) })
    .nullish()
    .catch(null),
});

export function identityOf(platformId: string): Identity {
  return { platform: PLATFORM, namespace: 'id', platformId };
}

function createdAt(time: number | null | undefined): Pick<Item, 'createdAt' | 'createdAtFrom'> {
  if (typeof time !== 'number') return { createdAt: null, createdAtFrom: 'unknown' };
  return {
    createdAt: Temporal.Instant.fromEpochMilliseconds(time * 1000).toString(),
    createdAtFrom: 'platform',
  };
}

/** By the path of its address, which changes with what is uploaded in its place. */
function pictureOf(photo: Readonly<Record<string, unknown>>, isVideo: boolean): MediaReference[] {
  const url = SIZES.map((size) => photo[size]).find((one) => typeof one === 'string' && URL.canParse(one));
  if (typeof url !== 'string') return [];
  return mediumOf(isVideo ? 'preview' : 'image', url, new URL(url).pathname);
}

/** @returns with its count of comments; null where Flickr does not tell */
export function readPhoto(
  part: JsonPart,
  exchange: Exchange,
): { readonly sighting: Sighting; readonly comments: number | null } | { readonly rejected: Rejected } {
  const read = photoView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a photo: ${faultOf(read.error)}`);
  const photo = read.data;
  const isVideo = photo.media === 'video';
  const words = plainText(photo.description?._content ?? '');
  const tags = (photo.tags ?? '').split(' ').filter((tag) => tag !== '');
  const media = pictureOf(photo, isVideo);
  const sighting = sightingAs(identityOf(photo.id), part, exchange, {
    item: itemWith({
      kind: 'post',
      url: `https://www.flickr.com/photos/${encodeURIComponent(photo.pathalias || photo.owner)}/${photo.id}/`,
      author: { id: photo.owner, handle: photo.pathalias || null, name: photo.ownername ?? null },
      ...createdAt(photo.dateupload),
      title: photo.title || null,
      text: words,
      tags,
    }),
    comparison: {
      title: photo.title ?? '',
      text: words,
      tags: tags.toSorted(),
      media: media.map(({ contentId }) => contentId),
    } satisfies Json,
    observations: counted({
      replies: photo.count_comments,
      favourites: photo.count_faves,
      views: photo.views,
    }),
    media,
  });
  if (sighting === null) return rejected(part, exchange, 'the photo nests too deeply');
  return { sighting, comments: photo.count_comments ?? null };
}

/** @param photo that it is below */
export function readComment(
  part: JsonPart,
  exchange: Exchange,
  photo: string,
): { readonly sighting: Sighting } | { readonly rejected: Rejected } {
  const read = commentView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a comment: ${faultOf(read.error)}`);
  const comment = read.data;
  const words = plainText(comment._content);
  const sighting = sightingAs(identityOf(comment.id), part, exchange, {
    item: itemWith({
      kind: 'reply',
      url: comment.permalink ?? null,
      author: {
        id: comment.author ?? null,
        handle: null,
        name: comment.realname || comment.authorname || null,
      },
      ...createdAt(comment.datecreate),
      text: words,
      inReplyTo: photo,
      threadRoot: photo,
    }),
    comparison: { text: words },
    observations: {},
    media: [],
  });
  return sighting === null ? rejected(part, exchange, 'the comment nests too deeply') : { sighting };
}

/** @returns null when it is no account */
export function readPerson(
  part: JsonPart,
  exchange: Exchange,
): {
  readonly id: string;
  readonly name: string;
  readonly photos: number | null;
  readonly sighting: Sighting;
} | null {
  const read = personView.safeParse(part.value);
  if (!read.success) return null;
  const person = read.data;
  const name = person.realname?._content || person.username?._content || person.nsid;
  const words = plainText(person.description?._content ?? '');
  const sighting = sightingAs(identityOf(person.nsid), part, exchange, {
    item: itemWith({
      kind: 'profile',
      url: person.photosurl?._content ?? null,
      author: { id: person.nsid, handle: person.path_alias || null, name },
      title: name,
      text: words,
    }),
    comparison: {
      name,
      user: person.username?._content ?? null,
      handle: person.path_alias || null,
      text: words,
      place: person.location?._content || null,
    },
    observations: {},
    media: [],
  });
  const photos = person.photos?.count?._content ?? null;
  return sighting === null ? null : { id: person.nsid, name, photos, sighting };
}
