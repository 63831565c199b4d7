// Turns what the Data API shows (a channel, a video, a comment) into sightings. The unit is the exact bytes of the resource; a comment is
// cut out of its thread. What decides whether it changed is what its author wrote or set, never a count or an address of a picture's copy.

import type { Json } from '../../core/canonical.ts';
import type { Identity } from '../../core/vocabulary.ts';
import { faultOf, rejected, sliceOf } from '../answer.ts';
import type { Exchange, Item, MediaReference, Rejected, Sighting } from '../collector.ts';
import { momentOf } from '../feed/item.ts';
import type { JsonPart } from '../slice.ts';
import {
  type ChannelView,
  type CommentView,
  channelView,
  commentView,
  type Thumbnails,
  type VideoView,
  videoView,
} from './views.ts';

export const PLATFORM = 'youtube';
/** Channels, videos and comments under their own ids: the forms differ, and a comment answers a video or a comment. */
const NAMESPACE = 'youtube-id';

export function identityOf(id: string): Identity {
  return { platform: PLATFORM, namespace: NAMESPACE, platformId: id };
}

export type Read<View> =
  | { readonly sighting: Sighting; readonly view: View }
  | { readonly rejected: Rejected };

const NOTHING_MORE = {
  contentWarning: null,
  links: [],
  quotes: null,
  reposts: null,
} as const;

/** Reads a video. Never throws for what was sent: an unreadable one is rejected with its bytes. */
export function readVideo(part: JsonPart, exchange: Exchange): Read<VideoView> {
  const read = videoView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a video: ${faultOf(read.error)}`);
  const slice = sliceOf(part);
  if (slice === null) return rejected(part, exchange, 'the video nests too deeply');
  const { id, snippet, contentDetails, status, statistics, liveStreamingDetails } = read.data;
  const item: Item = {
    ...NOTHING_MORE,
    kind: 'post',
    url: `https://www.youtube.com/watch?v=${id}`,
    author: { id: snippet.channelId, handle: null, name: snippet.channelTitle || null },
    ...createdAt(snippet.publishedAt),
    title: snippet.title,
    text: snippet.description,
    languages: [...new Set([snippet.defaultLanguage, snippet.defaultAudioLanguage])].filter(isText),
    tags: [...new Set(snippet.tags ?? [])],
    inReplyTo: null,
    threadRoot: null,
  };
  const comparison: Json = {
    title: snippet.title,
    description: snippet.description,
    tags: snippet.tags ?? [],
    category: snippet.categoryId || null,
    // That of the sound may be the platform's own guess.
    language: snippet.defaultLanguage || null,
    privacy: status?.privacyStatus || null,
    license: status?.license || null,
    // Shortened in YouTube's editor, a video is another one. What has not been streamed or processed yet has none.
    duration: durationOf(contentDetails?.duration),
    scheduled: toTheSecond(liveStreamingDetails?.scheduledStartTime),
  };
  const observations = counted({
    views: statistics?.viewCount,
    likes: statistics?.likeCount,
    comments: statistics?.commentCount,
  });
  const picture = largest(snippet.thumbnails);
  const media = picture === null ? [] : [mediumOf('preview', picture)];
  const sighting = sightingOf(id, part, slice, exchange, { item, comparison, observations, media });
  return { sighting, view: read.data };
}

/** Where a comment stands, as far as what surrounds it tells. */
export interface CommentPlace {
  /** The video's id, or the channel's for a comment on the channel itself; null where it is not known. */
  readonly root: string | null;
  /** Replies that its thread counts; null for a reply, and where no thread is shown. */
  readonly replies: number | null;
}

/** Reads a comment or a reply. Never throws for what was sent. */
export function readComment(
  part: JsonPart,
  exchange: Exchange,
  { root, replies }: CommentPlace,
): Read<CommentView> {
  const read = commentView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a comment: ${faultOf(read.error)}`);
  const slice = sliceOf(part);
  if (slice === null) return rejected(part, exchange, 'the comment nests too deeply');
  const { id, snippet } = read.data;
  const threadRoot = snippet.videoId ?? root;
  const name = snippet.authorDisplayName || null;
  const item: Item = {
    ...NOTHING_MORE,
    kind: 'reply',
    url: threadRoot === null ? null : `https://www.youtube.com/watch?v=${threadRoot}&lc=${id}`,
    author: {
      id: snippet.authorChannelId?.value || null,
      handle: name?.startsWith('@') ? name : null,
      name,
    },
    ...createdAt(snippet.publishedAt),
    title: null,
    text: snippet.textDisplay,
    languages: [],
    tags: [],
    inReplyTo: snippet.parentId ?? threadRoot,
    threadRoot,
  };
  const [written, updated] = [toTheSecond(snippet.publishedAt), toTheSecond(snippet.updatedAt)];
  const comparison: Json = { text: snippet.textDisplay, edited: updated === written ? null : updated };
  const observations = counted({ likes: snippet.likeCount, replies: replies ?? undefined });
  const sighting = sightingOf(id, part, slice, exchange, { item, comparison, observations, media: [] });
  return { sighting, view: read.data };
}

/** Reads a channel as its profile. Never throws for what was sent. */
export function readChannel(part: JsonPart, exchange: Exchange): Read<ChannelView> {
  const read = channelView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a channel: ${faultOf(read.error)}`);
  const slice = sliceOf(part);
  if (slice === null) return rejected(part, exchange, 'the channel nests too deeply');
  const { id, snippet, statistics, brandingSettings } = read.data;
  const pictures = (
    [
      ['avatar', largest(snippet.thumbnails)],
      ['image', addressOf(brandingSettings?.image?.bannerExternalUrl)],
    ] as const
  ).flatMap(([role, url]) => (url === null ? [] : [{ role, url }]));
  const item: Item = {
    ...NOTHING_MORE,
    kind: 'profile',
    url: `https://www.youtube.com/channel/${id}`,
    author: { id, handle: snippet.customUrl || null, name: snippet.title || null },
    ...createdAt(snippet.publishedAt),
    title: snippet.title || null,
    text: snippet.description ?? '',
    languages: [snippet.defaultLanguage].filter(isText),
    tags: [],
    inReplyTo: null,
    threadRoot: null,
  };
  const comparison: Json = {
    title: snippet.title,
    description: snippet.description ?? '',
    handle: snippet.customUrl || null,
    country: snippet.country || null,
    language: snippet.defaultLanguage || null,
    keywords: brandingSettings?.channel?.keywords || null,
    // Host and size are those of the copy; another picture has another name.
    pictures: pictures.map(({ role, url }) => [role, new URL(url).pathname.replace(/=[^/]*$/, '')]),
  };
  const observations = counted({
    followers: statistics?.subscriberCount,
    views: statistics?.viewCount,
    posts: statistics?.videoCount,
  });
  const media = pictures.map(({ role, url }) => mediumOf(role, url));
  const sighting = sightingOf(id, part, slice, exchange, { item, comparison, observations, media });
  return { sighting, view: read.data };
}

function sightingOf(
  id: string,
  part: JsonPart,
  slice: Uint8Array,
  exchange: Exchange,
  rest: Pick<Sighting, 'item' | 'comparison' | 'observations' | 'media'>,
): Sighting {
  const { offset: sliceOffset } = part;
  return { identity: identityOf(id), slice, sliceOffset, sliceType: 'application/json', exchange, ...rest };
}

function createdAt(text: string | null | undefined): Pick<Item, 'createdAt' | 'createdAtFrom'> {
  const moment = momentOf(text ?? undefined);
  return { createdAt: moment, createdAtFrom: moment === null ? 'unknown' : 'platform' };
}

/** The API has given moments with and without fractions: to the second they are the same. */
function toTheSecond(text: string | null | undefined): string | null {
  const moment = momentOf(text ?? undefined);
  if (moment === null) return null;
  return Temporal.Instant.from(moment).round({ smallestUnit: 'second', roundingMode: 'floor' }).toString();
}

function durationOf(text: string | null | undefined): string | null {
  return text && !/^P0D$|^PT0S$/.test(text) ? text : null;
}

function largest(thumbnails: Thumbnails): string | null {
  const sizes = Object.values(thumbnails ?? {}).filter(({ url }) => addressOf(url) !== null);
  return sizes.sort((one, other) => (other.width ?? 0) - (one.width ?? 0))[0]?.url ?? null;
}

function addressOf(text: string | null | undefined): string | null {
  return text && URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) ? text : null;
}

function mediumOf(role: MediaReference['role'], url: string): MediaReference {
  return { role, url, alt: null, mediaType: null, contentId: null };
}

const isText = (text: string | null | undefined): text is string => typeof text === 'string' && text !== '';

function counted(counts: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counts).filter((entry): entry is [string, number] => entry[1] !== undefined),
  );
}
