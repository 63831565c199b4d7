// Reads the list of a channel's uploads, newest first, and what each page names: the list has ids alone, the videos are asked for by them.

import { quarantined } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import type { CollectorEvent, Rejected, Sighting } from '../collector.ts';
import type { JsonPart } from '../slice.ts';
import { areStillListed } from '../walk.ts';
import { type Asking, ask, foundOf, type Page, pageOf, refused } from './api.ts';
import { inCircles, type Reader } from './comments.ts';
import { readVideo } from './sighting.ts';
import { uploadView } from './views.ts';

/** The most that the API gives at once, of the list and of videos. */
export const PAGE_SIZE = 50;
const BARREN_PAGES = 3;
export const VIDEO_PARTS = 'snippet,contentDetails,status,statistics,liveStreamingDetails';

export interface Channel {
  readonly id: string;
  /** The list of its uploads. */
  readonly uploads: string;
  /** Public videos that YouTube counts; null where it does not, or was not asked. */
  readonly videos: number | null;
}

/** What is remembered of a video. */
export interface Video {
  readonly id: string;
  /** Comments that YouTube counts; null where it tells none, as where they are turned off. */
  readonly comments: number | null;
  readonly createdAt: string | null;
}

/** What the run before left to stop at. */
export interface Known {
  /** Newest first. */
  readonly ids: readonly string[];
  /** What the list's first page was called; null where it may not be trusted. */
  readonly etag: string | null;
  /** Whether the list is read to its end where one of them has gone. */
  readonly mayReadAll: boolean;
}

export interface Walk {
  /** Newest first. */
  readonly videos: Video[];
  etag: string | null;
  /** Videos that were put aside. */
  unreadable: number;
  /** *end*: nothing more came. *known*: the rest was read before. *gone*: there is no such list any more, or nothing in it. *broken*: it could not be read on. */
  ended: 'end' | 'known' | 'gone' | 'broken';
}

/** @param known null: the list is read to its end */
export async function* readUploads(
  reader: Reader,
  channel: Channel,
  walk: Walk,
  known: Known | null,
): AsyncIterable<CollectorEvent> {
  const { api, asking } = reader;
  try {
    const cursors = new Set<string>();
    const seen = new Set<string>();
    let barren = 0;
    for (let cursor: string | null = null; ; ) {
      asking.signal.throwIfAborted();
      const isFirst = cursor === null;
      const page = await uploadsPage(reader, channel, cursor, isFirst ? known : null);
      if (isFirst) walk.etag = page.etag;
      if (isFirst && known !== null && page.answer.reasons.includes('playlistNotFound')) {
        yield { type: 'page', exchange: page.answer.exchange, sightings: [], rejected: [] };
        walk.ended = 'gone';
        return;
      }
      const before = seen.size;
      const { ids, unreadable } = idsOf(page, known);
      const fresh = ids.filter((id) => !seen.has(id));
      for (const id of fresh) seen.add(id);
      walk.unreadable += unreadable.length;
      yield { type: 'page', exchange: page.answer.exchange, sightings: [], rejected: unreadable };
      // Fifty at most, whatever the page held.
      for (let from = 0; from < fresh.length; from += PAGE_SIZE)
        yield* readVideos(reader, channel, walk, fresh.slice(from, from + PAGE_SIZE), asking);
      cursor = page.next;
      if (known !== null) {
        const isMet = known.ids.some((id) => seen.has(id));
        if (areStillListed(known.ids, seen) || (isMet && !known.mayReadAll)) {
          walk.ended = 'known';
          return;
        }
      }
      if (cursor === null) break;
      barren = seen.size === before ? barren + 1 : 0;
      if (cursors.has(cursor) || barren >= BARREN_PAGES) throw inCircles(page.answer.exchange.url);
      cursors.add(cursor);
    }
    if (seen.size === 0 && known !== null && known.ids.length > 0) {
      walk.ended = 'gone';
      return;
    }
    if (seen.size === 0 && (channel.videos ?? 0) > 0) {
      const message = `${api.service} counts ${channel.videos} videos of ${channel.id} but listed none; nothing is taken as deleted.`;
      yield { type: 'problem', problem: { code: 'not-the-expected-format', message, subject: channel.id } };
      return;
    }
    walk.ended = 'end';
  } catch (error) {
    if (!(error instanceof CollectError)) throw error;
    yield* quarantined(error);
    yield { type: 'problem', problem: error.problem };
  }
}

async function uploadsPage(
  { api, asking }: Reader,
  { uploads, videos }: Channel,
  cursor: string | null,
  known: Known | null,
): Promise<Page> {
  const parameters = {
    part: 'contentDetails',
    playlistId: uploads,
    maxResults: String(PAGE_SIZE),
    ...(cursor === null ? {} : { pageToken: cursor }),
  };
  const etag = known?.etag ?? null;
  const answer = await ask(api, 'playlistItems', parameters, { ...asking, etag });
  // Nothing on the first page has changed: what it named is named again, and pages behind it were read before.
  if (answer.status === 304) return { answer, parts: [], next: null, etag };
  // A channel without videos has no such list; where there was one, the caller asks what became of the channel.
  if (answer.reasons.includes('playlistNotFound') && (videos === 0 || known !== null))
    return { answer, parts: [], next: null, etag: null };
  if (answer.document === null) throw refused(api, answer);
  return pageOf(api, answer);
}

function idsOf({ answer, parts }: Page, known: Known | null): { ids: string[]; unreadable: Rejected[] } {
  if (answer.status === 304) return { ids: [...(known?.ids ?? [])], unreadable: [] };
  const ids: string[] = [];
  const unreadable: Rejected[] = [];
  for (const part of parts) {
    const read = uploadView.safeParse(part.value);
    if (read.success) ids.push(read.data.contentDetails.videoId);
    else
      unreadable.push({
        bytes: part.raw(),
        exchange: answer.exchange,
        reason: 'an upload that names no video',
      });
  }
  return { ids, unreadable };
}

/** What is listed and not shown is no failure: it has just gone, or is for its owner alone, and is looked up. */
async function* readVideos(
  reader: Reader,
  channel: Channel,
  walk: Walk,
  ids: readonly string[],
  asking: Asking,
): AsyncIterable<CollectorEvent> {
  const { api, offered } = reader;
  const answer = await ask(api, 'videos', { part: VIDEO_PARTS, id: ids.join(',') }, asking);
  const { exchange } = answer;
  const sightings: Sighting[] = [];
  const unreadable: Rejected[] = [];
  const reject = (part: JsonPart, reason: string): void =>
    void unreadable.push({ bytes: part.raw(), exchange, reason });
  const shown = new Map<string, Video>();
  for (const part of foundOf(api, answer)) {
    const read = readVideo(part, exchange);
    if ('rejected' in read) unreadable.push(read.rejected);
    else if (!ids.includes(read.view.id)) reject(part, 'another video than those asked for');
    else if (read.view.snippet.channelId !== channel.id)
      reject(part, 'somebody else’s video among the uploads');
    else if (!offered.has(read.view.id)) {
      const { id, statistics } = read.view;
      offered.add(id);
      sightings.push(read.sighting);
      const { createdAt } = read.sighting.item;
      shown.set(id, { id, comments: statistics?.commentCount ?? null, createdAt });
    }
  }
  for (const id of ids) {
    const video = shown.get(id);
    if (video !== undefined) walk.videos.push(video);
  }
  walk.unreadable += unreadable.length;
  yield { type: 'page', exchange, sightings, rejected: unreadable };
}
