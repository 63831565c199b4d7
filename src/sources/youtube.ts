// Reads a YouTube channel over the Data API (v3): its profile, its uploads, and everybody's comments below them. Every call costs units of
// a daily budget, so most runs ask three times; once a day everything is read. How one answer becomes items is in youtube/sighting.ts.

import type { Json } from '../core/canonical.ts';
import { instantText } from '../core/clock.ts';
import type { YoutubeSettings } from '../core/settings.ts';
import { quarantined, UnreadableAnswerError } from './answer.ts';
import { Budget, type Meter } from './budget.ts';
import { CollectError } from './collect-error.ts';
import type { CollectOptions, Collector, CollectorEvent, Sighting } from './collector.ts';
import { Http, type HttpDependencies } from './http.ts';
import { fetchedMedium } from './medium.ts';
import { isWholeDue, reassigned } from './walk.ts';
import { type Api, type Asking, ask, foundOf, refused } from './youtube/api.ts';
import {
  type Comments,
  incompleteComments,
  type Reader,
  readComments,
  readNewest,
} from './youtube/comments.ts';
import { lookUpItems } from './youtube/look-up.ts';
import { PLATFORM, readChannel } from './youtube/sighting.ts';
import { type Channel, PAGE_SIZE, readUploads, type Video, type Walk } from './youtube/uploads.ts';
import { CHANNEL_ID } from './youtube/views.ts';

/** YouTube's day of units begins at midnight there. */
const TIMEZONE = 'America/Los_Angeles';
/** Of a day's units, for reading everything: the rest is for the polls, and for looking up what has gone. */
const SHARE_OF_WHOLE = 0.8;
/** Videos in a row whose comments fail before the service counts as failing. */
const FAILED_VIDEOS = 5;
const COMMENTS_ON_PAGE = 100;
/** Threads whose count of replies is remembered from run to run. */
const REMEMBERED_THREADS = 1000;

/** What a complete run leaves for the next, and one that ran out of units while it read all comments. */
interface State {
  readonly channel: string;
  readonly uploads: string;
  /** When everything was last read. */
  readonly wholeAt: string;
  /** What the first page of the uploads was called. */
  readonly etag: string | null;
  /** The newest videos, newest first, each with its count of comments. */
  readonly newest: readonly (readonly [id: string, comments: number | null])[];
  /** When the newest thread was begun, in epoch milliseconds. */
  readonly latest: number | null;
  /** Threads with more replies than they show, and how many they counted. */
  readonly replies: readonly (readonly [id: string, count: number])[];
  /** Where a reading of everything, oldest first, goes on: at videos of this moment. Null: none broke off. */
  readonly from: string | null;
  /** Ids of videos whose comments were not read to their end, or not all readable, when everything was last read. */
  readonly unread?: readonly string[];
  /** Videos that wait for that reading to go on, or were unreadable in it. */
  readonly waiting?: number;
}

/** @param settings the origin of `service`, and no other, may be private */
export function openYoutubeCollector(
  settings: YoutubeSettings,
  dependencies: HttpDependencies & { readonly meter: Meter },
): Collector {
  const { service, key, unitsPerDay } = settings;
  const { clock, meter } = dependencies;
  const http = new Http([service], dependencies);
  const terms = { platform: 'YouTube', credential: key, unitsPerDay, timezone: TIMEZONE };
  const budget = new Budget(terms, meter, clock);
  const api: Api = { http, service, key, budget };
  /** What the last run found of the videos' comments, for looking up what it did not see. */
  let videos: ReadonlyMap<string, Comments> = new Map();

  async function findChannel(asking: Asking): Promise<{ channel: Channel; profile: Sighting }> {
    const { account } = settings;
    const by = CHANNEL_ID.test(account) ? { id: account } : { forHandle: account };
    const parameters = { part: 'snippet,contentDetails,statistics,brandingSettings', ...by };
    const answer = await ask(api, 'channels', parameters, asking);
    const isUnknown = answer.reasons.includes('channelNotFound');
    if (answer.document === null && !isUnknown) throw refused(api, answer);
    const [part] = isUnknown ? [] : foundOf(api, answer);
    if (part === undefined)
      throw new CollectError('account-not-found', `YouTube knows no channel ${account}`, account, {
        hint: 'Check its handle or id; if it was changed, put the new one in the settings.',
      });
    const read = readChannel(part, answer.exchange);
    if ('rejected' in read || (CHANNEL_ID.test(account) && read.view.id !== account))
      throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no channel ${account}`);
    const { id, contentDetails, statistics } = read.view;
    const { uploads } = contentDetails.relatedPlaylists;
    return { channel: { id, uploads, videos: statistics?.videoCount ?? null }, profile: read.sighting };
  }

  async function* collect({ state, isLatest, signal }: CollectOptions): AsyncIterable<CollectorEvent> {
    const before = stateOf(state);
    const now = clock.now();
    const mayReadAll = before === null || (await budget.left(SHARE_OF_WHOLE)) > 0;
    const isDue = before === null || before.newest.length === 0 || isWholeDue(before.wholeAt, now);
    const reader: Reader = {
      api,
      now: now.epochMilliseconds,
      asking: { signal },
      offered: new Set(),
      counted: new Map(),
      videos: new Map(),
      before: isLatest ? new Map(before?.replies) : null,
      replies: new Map(),
      latest: null,
    };
    videos = reader.videos;
    const walk: Walk = { videos: [], etag: null, unreadable: 0, ended: 'broken' };
    let channel: Channel | null = null;
    if (before !== null && !(isDue && mayReadAll)) {
      channel = { id: before.channel, uploads: before.uploads, videos: null };
      const ids = before.newest.map(([id]) => id);
      yield* readUploads(reader, channel, walk, { ids, etag: isLatest ? before.etag : null, mayReadAll });
    }
    if (channel === null || walk.ended === 'gone') {
      // A list that has gone says nothing; the channel does.
      reader.asking = { signal, share: SHARE_OF_WHOLE };
      const found = await findChannel(walk.ended === 'gone' && channel !== null ? { signal } : reader.asking);
      channel = found.channel;
      if (before !== null && before.channel !== channel.id)
        throw reassigned(settings.account, {
          what: 'channel',
          before: before.channel,
          now: channel.id,
          isSetting: true,
        });
      const { profile } = found;
      yield { type: 'page', exchange: profile.exchange, sightings: [profile], rejected: [] };
      if (channel.videos !== null) yield { type: 'reported', what: 'posts', count: channel.videos };
      walk.ended = 'broken';
      yield* readUploads(reader, channel, walk, null);
    }
    const rest = { before, now, reader, walk, channel };
    yield* standingGaps(service);
    if (walk.ended === 'end') yield* readAllComments(rest);
    else yield* readNewComments(rest);
  }

  interface Run {
    readonly before: State | null;
    readonly now: Temporal.Instant;
    readonly reader: Reader;
    readonly walk: Walk;
    readonly channel: Channel;
  }

  /** After the whole list: the comments below every video, oldest first, so that what a reading without units leaves is in one piece. */
  async function* readAllComments({
    before,
    now,
    reader,
    walk,
    channel,
  }: Run): AsyncIterable<CollectorEvent> {
    const { signal } = reader.asking;
    reader.asking = { signal, share: SHARE_OF_WHOLE };
    reader.before = null;
    yield { type: 'reported', what: 'posts listed', count: walk.videos.length };
    const from = before?.from ?? null;
    // By their dates: the list need not be in their order, and what is left is told by a date.
    const left = walk.videos.filter(({ createdAt }) => !isBefore(createdAt, from)).sort(byDate);
    const isInOne = left.length === walk.videos.length;
    const comments = new VideoComments(reader, from === null ? [] : before?.unread);
    const longAgo = before?.wholeAt ?? instantText(Temporal.Instant.fromEpochMilliseconds(0));
    for (const [index, video] of left.entries()) {
      try {
        // Whether a count of none means that comments are turned off is asked only where some that were there are missed.
        if (video.comments !== 0) yield* comments.read(video.id);
      } catch (error) {
        if (!isSpent(error)) throw error;
        const units = forecastOf(left.slice(index));
        const message = `${error.problem.message} ${budget.forecast(`What is left, the comments below ${left.length - index} videos,`, units, SHARE_OF_WHOLE)}.`;
        yield { type: 'problem', problem: { ...error.problem, message } };
        // One that takes more than a day's units by itself must not keep those after it from being read for ever.
        const isTooLong =
          index === 0 && from !== null && video.createdAt === from && reader.videos.has(video.id);
        if (isTooLong) {
          comments.unread.add(video.id);
          yield incompleteComments(video.id, error);
        }
        const isTried = ({ id, createdAt }: Video): boolean =>
          createdAt === from && (isTooLong || comments.failed.has(id));
        const again = left.find((one, at) => (at >= index || comments.failed.has(one.id)) && !isTried(one));
        const latest = before === null ? now.epochMilliseconds : before.latest;
        const wholeAt = again === undefined ? instantText(now) : longAgo;
        const unread = [...comments.unread];
        const waiting = left.length - index - Number(isTooLong) + walk.unreadable;
        yield lacking(unread, waiting);
        const rest = { latest, wholeAt, from: again?.createdAt ?? null, unread, waiting };
        const next = stateAfter({ reader, walk, channel, ...rest });
        yield { type: 'end', coverage: 'recent', state: next, resumable: true };
        return;
      }
    }
    const isWhole = isInOne && comments.failed.size === 0;
    if (isWhole) yield* countsOf(walk.videos, reader);
    if (!isInOne)
      yield gap(
        'Everything takes more than one day’s units, so nothing tells what became of older comments and videos that are no longer shown. Raise unitsPerDay where YouTube grants more.',
        service,
      );
    const latest = Math.max(before?.latest ?? 0, reader.latest ?? 0) || null;
    // What failed is tried again by the next run, as long as there are units; where all takes days, when all is read anew.
    const wholeAt = isInOne && !isWhole ? longAgo : instantText(now);
    const unread = [...comments.unread];
    const waiting = walk.unreadable;
    yield lacking(unread, waiting);
    const next = stateAfter({ reader, walk, channel, latest, wholeAt, from: null, unread, waiting });
    // Left by a partial run too: else one bad video or comment would have every run read all, until no units are left for any poll.
    yield { type: 'end', coverage: isWhole ? 'all' : 'recent', state: next, resumable: true };
  }

  /** After the newest videos: threads that are new below any video, and the comments below those whose count is not explained by them. */
  async function* readNewComments({ before, reader, walk, channel }: Run): AsyncIterable<CollectorEvent> {
    const comments = new VideoComments(reader, before?.unread);
    try {
      if (before !== null && walk.ended === 'known') {
        const fresh = new Map<string, number>();
        yield* newest(reader, channel, before, fresh);
        const counts = new Map(before.newest);
        for (const { id, comments: count } of walk.videos)
          if (count !== null && count !== (counts.get(id) ?? 0) + (fresh.get(id) ?? 0))
            yield* comments.read(id);
      }
    } catch (error) {
      if (!isSpent(error)) throw error;
      yield { type: 'problem', problem: error.problem };
    }
    const latest = Math.max(before?.latest ?? 0, reader.latest ?? 0) || null;
    // Those that were just met stand last: they are kept where not all can be.
    const replies = new Map(before?.replies);
    for (const [id, count] of reader.replies) {
      replies.delete(id);
      replies.set(id, count);
    }
    const { wholeAt = instantText(Temporal.Instant.fromEpochMilliseconds(0)), from = null } = before ?? {};
    const unread = [...comments.unread];
    const waiting = before?.waiting ?? 0;
    yield lacking(unread, waiting);
    const found = { ...reader, replies };
    const next = stateAfter({ reader: found, walk, channel, latest, wholeAt, from, unread, waiting });
    yield { type: 'end', coverage: 'recent', state: next };
  }

  async function* newest(
    reader: Reader,
    channel: Channel,
    before: State,
    fresh: Map<string, number>,
  ): AsyncIterable<CollectorEvent> {
    try {
      yield* readNewest(reader, channel.id, before.latest, fresh);
    } catch (error) {
      if (!(error instanceof CollectError) || isSpent(error)) throw error;
      if (error.problem.code === 'access-lost') {
        // The key has just been good for the videos: so this list is not for everybody.
        yield gap(
          'YouTube does not list the newest comments below all videos of this channel: those below older videos are found once a day.',
          service,
        );
        return;
      }
      yield* quarantined(error);
      yield incompleteComments(channel.id, error);
    }
  }

  async function check(signal: AbortSignal): Promise<{ account: string; findings: string[] }> {
    const { account } = settings;
    const { channel, profile } = await findChannel({ signal });
    const findings = [`${account} is “${profile.item.title ?? ''}” (${channel.id})`];
    if (channel.videos !== null) findings.push(`YouTube counts ${channel.videos} videos`);
    const parameters = { part: 'id', playlistId: channel.uploads, maxResults: '1' };
    const uploads = await ask(api, 'playlistItems', parameters, { signal });
    if (uploads.document === null && !(uploads.reasons.includes('playlistNotFound') && channel.videos === 0))
      throw refused(api, uploads);
    findings.push('its uploads can be read');
    const count = channel.videos ?? 0;
    const units = 1 + 2 * Math.max(1, Math.ceil(count / PAGE_SIZE)) + count;
    findings.push(
      budget.forecast('reading everything, where every video has comments,', units, SHARE_OF_WHOLE),
    );
    return { account, findings };
  }

  return {
    platform: PLATFORM,
    collectorVersion: 'youtube/1',
    comparisonRule: 'youtube-content/1',
    check,
    collect,
    lookUp: (identities, signal, lastCaptured = async () => null) =>
      lookUpItems({ api, videos }, identities, signal, lastCaptured),
    fetchMedia: (reference, directory, signal) =>
      fetchedMedium(http.download(reference.url, directory, { signal }), reference),
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

/** Reads videos' comments one by one, as long as the service does not fail too often. */
class VideoComments {
  /** Ids of videos whose comments could not be read to their end. */
  readonly failed = new Set<string>();
  /** Those too of which something could not be read, and those of earlier runs that were not read again. */
  readonly unread: Set<string>;
  readonly #reader: Reader;
  #inARow = 0;

  constructor(reader: Reader, unread: readonly string[] = []) {
    this.#reader = reader;
    this.unread = new Set(unread);
  }

  /** @throws CollectError when video after video fails, or the units are spent */
  async *read(video: string): AsyncIterable<CollectorEvent> {
    try {
      let rejected = 0;
      for await (const event of readComments(this.#reader, video)) {
        if (event.type === 'page') rejected += event.rejected.length;
        yield event;
      }
      if (rejected === 0) this.unread.delete(video);
      else this.unread.add(video);
      this.#inARow = 0;
    } catch (error) {
      if (!(error instanceof CollectError) || isSpent(error)) throw error;
      this.failed.add(video);
      this.unread.add(video);
      yield* quarantined(error);
      yield incompleteComments(video, error);
      this.#inARow += 1;
      if (this.#inARow >= FAILED_VIDEOS) throw error;
    }
  }
}

type SpentError = CollectError & { readonly problem: { readonly code: 'budget-spent' } };

function isSpent(error: unknown): error is SpentError {
  return error instanceof CollectError && error.problem.code === 'budget-spent';
}

/** @returns the calls that the comments of videos take at least: long threads take more */
function forecastOf(videos: readonly Video[]): number {
  return videos.reduce((sum, { comments }) => sum + Math.ceil((comments ?? 1) / COMMENTS_ON_PAGE), 0);
}

/** What YouTube counts, and how much of it was listed, of the videos whose comments are open. */
function* countsOf(videos: readonly Video[], { videos: found, counted }: Reader): Iterable<CollectorEvent> {
  let total = 0;
  let listed = 0;
  for (const { id, comments } of videos) {
    if (comments === null || found.get(id) !== 'open') continue;
    total += comments;
    listed += Math.min(comments, counted.get(id) ?? 0);
  }
  yield { type: 'reported', what: 'comments', count: total };
  yield { type: 'reported', what: 'comments listed', count: listed };
}

function* standingGaps(service: string): Iterable<CollectorEvent> {
  yield gap(
    'YouTube’s API gives neither the video itself nor its captions, live chat and community posts: keep the agency’s own copies.',
    service,
  );
  yield gap(
    'Comments that are held for review, or that were removed by a moderator, are shown to nobody but the channel’s owner; who removed them is not told.',
    service,
  );
  yield gap(
    'YouTube tells that a comment was edited, but not what it said before, and keeps no edits of videos: of several edits between two runs only the last is kept.',
    service,
  );
}

function lacking(unread: readonly string[], waiting: number): CollectorEvent {
  return { type: 'reported', what: 'videos not read to the end', count: unread.length + waiting };
}

function gap(message: string, subject: string): CollectorEvent {
  return { type: 'problem', problem: { code: 'standing-gap', message, subject } };
}

function isBefore(createdAt: string | null, from: string | null): boolean {
  return (
    createdAt !== null &&
    from !== null &&
    Temporal.Instant.compare(Temporal.Instant.from(createdAt), Temporal.Instant.from(from)) < 0
  );
}

/** Oldest first; those without a date before all others. */
function byDate(one: Video, other: Video): number {
  if (one.createdAt === null || other.createdAt === null)
    return Number(other.createdAt === null) - Number(one.createdAt === null);
  return Temporal.Instant.compare(
    Temporal.Instant.from(one.createdAt),
    Temporal.Instant.from(other.createdAt),
  );
}

function stateAfter({
  reader,
  walk,
  channel,
  ...rest
}: Pick<State, 'latest' | 'wholeAt' | 'from' | 'unread' | 'waiting'> & {
  readonly reader: Reader;
  readonly walk: Walk;
  readonly channel: Channel;
}): Json {
  const state: State = {
    channel: channel.id,
    uploads: channel.uploads,
    etag: walk.etag,
    newest: walk.videos.slice(0, PAGE_SIZE).map(({ id, comments }) => [id, comments]),
    replies: [...reader.replies].slice(-REMEMBERED_THREADS),
    ...rest,
  };
  return state as unknown as Json;
}

function stateOf(state: Json): State | null {
  const isState = state !== null && typeof state === 'object' && 'channel' in state && 'wholeAt' in state;
  return isState ? (state as unknown as State) : null;
}
