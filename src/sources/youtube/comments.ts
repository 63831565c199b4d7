// Reads comments: the threads of a video, or the newest of all of a channel's videos. A thread shows its first few replies only; where it
// counts more, all of them are asked for by themselves.

import { CollectError } from '../collect-error.ts';
import type { CollectorEvent, Exchange, PageEvent, Rejected, Sighting } from '../collector.ts';
import { momentOf } from '../feed/item.ts';
import type { JsonPart } from '../slice.ts';
import { type Api, type ApiAnswer, type Asking, ask, type Page, pageOf, refused } from './api.ts';
import { type CommentPlace, readComment } from './sighting.ts';
import { threadView } from './views.ts';

const PAGE_SIZE = '100';
/** Pages in a row that bring nothing new before a list counts as going in circles. */
const BARREN_PAGES = 3;
const THREADS = { part: 'snippet,replies', maxResults: PAGE_SIZE, textFormat: 'plainText', order: 'time' };
const REPLIES = { part: 'snippet', maxResults: PAGE_SIZE, textFormat: 'plainText' };

/** Whether a video takes comments: *closed* is the owner's choice, and no failure. */
export type Comments = 'open' | 'closed';

/** One run's reading of a channel's comments. */
export interface Reader {
  readonly api: Api;
  /** When the run began, in epoch milliseconds. */
  readonly now: number;
  asking: Asking;
  /** Ids of items that this run has already offered. */
  readonly offered: Set<string>;
  /** Comments offered, by the id of the video. */
  readonly counted: Map<string, number>;
  /** What of each video's comments this run found, where it asked for them. */
  readonly videos: Map<string, Comments>;
  /** Replies that threads counted when they were last read by themselves: a thread with as many is not read again. Null: all are. */
  before: ReadonlyMap<string, number> | null;
  /** The same of this run, for the next. */
  readonly replies: Map<string, number>;
  /** When the newest thread was begun, in epoch milliseconds; null where none was seen. */
  latest: number | null;
}

interface LongThread {
  readonly id: string;
  readonly root: string | null;
  readonly replies: number;
}

/**
 * Reads all comments below a video.
 * @throws CollectError when a part of them cannot be read; what was yielded before stands
 */
export async function* readComments(reader: Reader, video: string): AsyncIterable<CollectorEvent> {
  const pages = pagesOf(reader, 'commentThreads', { ...THREADS, videoId: video }, (answer) => {
    // Deleted between the listing and now: a later run will miss it and look it up.
    if (answer.reasons.includes('videoNotFound')) return true;
    if (!answer.reasons.includes('commentsDisabled')) return false;
    reader.videos.set(video, 'closed');
    return true;
  });
  for await (const page of pages) {
    if (page.answer.document !== null) reader.videos.set(video, 'open');
    const { event, long } = takeThreads(reader, page, video);
    yield event;
    for (const thread of long) yield* readReplies(reader, thread);
  }
}

/**
 * Reads the threads that were begun below any of a channel's videos since a moment, and whatever else stands on the same pages.
 * @param since epoch milliseconds
 * @returns of each video, the comments in threads begun since
 */
export async function* readNewest(
  reader: Reader,
  channel: string,
  since: number | null,
  fresh: Map<string, number>,
): AsyncIterable<CollectorEvent> {
  const pages = pagesOf(
    reader,
    'commentThreads',
    { ...THREADS, allThreadsRelatedToChannelId: channel },
    ({ reasons }) => reasons.includes('commentsDisabled'),
  );
  for await (const page of pages) {
    const { event, long, threads } = takeThreads(reader, page, null);
    yield event;
    for (const thread of long) yield* readReplies(reader, thread);
    for (const { root, begun, size } of threads)
      if (root !== null && begun !== null && (since === null || begun > since))
        fresh.set(root, (fresh.get(root) ?? 0) + size);
    // By the last: an old one may be shown above those that are newer.
    const last = threads.findLast(({ begun }) => begun !== null)?.begun ?? null;
    if (since !== null && last !== null && last <= since) return;
  }
}

async function* readReplies(
  reader: Reader,
  { id, root, replies }: LongThread,
): AsyncIterable<CollectorEvent> {
  const isAsBefore = reader.before?.get(id) === replies;
  if (!isAsBefore) {
    const pages = pagesOf(reader, 'comments', { ...REPLIES, parentId: id }, ({ reasons }) =>
      reasons.includes('commentNotFound'),
    );
    for await (const { answer, parts } of pages) {
      const sightings: Sighting[] = [];
      const unreadable: Rejected[] = [];
      for (const part of parts)
        take(reader, part, answer.exchange, { root, replies: null }, { sightings, unreadable }, id);
      yield { type: 'page', exchange: answer.exchange, sightings, rejected: unreadable };
    }
  }
  reader.replies.set(id, replies);
}

/**
 * Asks for a list page by page.
 * @param isTold whether a refusal says that there is nothing to read; the page that it comes as is empty
 */
async function* pagesOf(
  { api, asking }: Reader,
  resource: string,
  parameters: Readonly<Record<string, string>>,
  isTold: (answer: ApiAnswer) => boolean,
): AsyncIterable<Page> {
  const cursors = new Set<string>();
  const seen = new Set<unknown>();
  let barren = 0;
  for (let cursor: string | null = null; ; ) {
    asking.signal.throwIfAborted();
    const place: Record<string, string> = cursor === null ? {} : { pageToken: cursor };
    const answer = await ask(api, resource, { ...parameters, ...place }, asking);
    if (answer.document === null) {
      if (!isTold(answer)) throw refused(api, answer);
      yield { answer, parts: [], next: null, etag: null };
      return;
    }
    const page = pageOf(api, answer);
    yield page;
    cursor = page.next;
    if (cursor === null) return;
    const before = seen.size;
    for (const { value } of page.parts) seen.add((value as { id?: unknown } | null)?.id);
    barren = seen.size === before ? barren + 1 : 0;
    if (cursors.has(cursor) || barren >= BARREN_PAGES) throw inCircles(answer.exchange.url);
    cursors.add(cursor);
  }
}

export function inCircles(url: string): CollectError {
  return new CollectError('repeated-cursor', `${url} pages in circles, so its end was not reached`, url);
}

interface Taken {
  readonly event: PageEvent;
  /** Threads that count more replies than they show. */
  readonly long: readonly LongThread[];
  readonly threads: readonly {
    readonly root: string | null;
    /** Epoch milliseconds; null where it is not known, or has yet to come. */
    readonly begun: number | null;
    /** Comments in it. */
    readonly size: number;
  }[];
}

/** @param video what the threads were asked for by; null: by the channel */
function takeThreads(reader: Reader, { answer, parts }: Page, video: string | null): Taken {
  const { exchange } = answer;
  const sightings: Sighting[] = [];
  const unreadable: Rejected[] = [];
  const long: LongThread[] = [];
  const threads: Taken['threads'][number][] = [];
  for (const part of parts) {
    const read = threadView.safeParse(part.value);
    const top = part.member('snippet')?.member('topLevelComment');
    const reject = (reason: string): void => void unreadable.push({ bytes: part.raw(), exchange, reason });
    if (!read.success || top === undefined) {
      reject('not a thread of comments');
      continue;
    }
    const { id, snippet } = read.data;
    if (video !== null && (snippet.videoId ?? video) !== video) {
      reject('a thread below another video than the one asked for');
      continue;
    }
    const root = snippet.videoId ?? video;
    const into = { sightings, unreadable };
    const replies = snippet.totalReplyCount ?? 0;
    const comment = take(
      reader,
      top,
      exchange,
      { root, replies: snippet.totalReplyCount ?? null },
      into,
      null,
    );
    const shown = part.member('replies')?.member('comments')?.elements() ?? [];
    for (const reply of shown) take(reader, reply, exchange, { root, replies: null }, into, id);
    if (replies > shown.length) long.push({ id, root, replies });
    const moment = momentOf(comment?.item.createdAt ?? undefined);
    const dated = moment === null ? null : Temporal.Instant.from(moment).epochMilliseconds;
    // What is dated after this run would hide, as the newest, all that comes until then.
    const begun = dated !== null && dated <= reader.now ? dated : null;
    if (begun !== null) reader.latest = Math.max(reader.latest ?? begun, begun);
    threads.push({ root, begun, size: 1 + replies });
  }
  return { event: { type: 'page', exchange, sightings, rejected: unreadable }, long, threads };
}

/** @param thread that a reply must stand in; null for what begins one */
function take(
  reader: Reader,
  part: JsonPart,
  exchange: Exchange,
  place: CommentPlace,
  into: { readonly sightings: Sighting[]; readonly unreadable: Rejected[] },
  thread: string | null,
): Sighting | null {
  const read = readComment(part, exchange, place);
  if ('rejected' in read) {
    into.unreadable.push(read.rejected);
    return null;
  }
  if ((read.view.snippet.parentId ?? null) !== thread) {
    const reason = 'a comment that answers another than the one it stands below';
    into.unreadable.push({ bytes: part.raw(), exchange, reason });
    return null;
  }
  const { id } = read.view;
  if (!reader.offered.has(id)) {
    reader.offered.add(id);
    const video = place.root;
    if (video !== null) reader.counted.set(video, (reader.counted.get(video) ?? 0) + 1);
    into.sightings.push(read.sighting);
  }
  return read.sighting;
}

/** @returns the problem of comments that could not be read to their end */
export function incompleteComments(video: string, error: CollectError): CollectorEvent {
  const message = `The comments below ${video} are incomplete: ${error.problem.message}`;
  return { type: 'problem', problem: { code: 'incomplete-thread', message, subject: video } };
}
