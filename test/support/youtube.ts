// A small HTTP server that answers as the YouTube Data API (v3) does, from videos and comments kept in memory, and as poorly as a test wants
// it. Shapes and errors after https://developers.google.com/youtube/v3/docs, with what the API promises and little else.

import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { type Answered, answering, jsonAnswer, sendAnswer } from './replay.ts';

export interface FakeVideo {
  readonly id: string;
  title: string;
  description: string;
  readonly publishedAt: string;
  /** What else the resource says, member by member. */
  more: Readonly<Record<string, object>>;
  deleted?: boolean;
  /** Its owner alone sees it: whoever asks for its comments is refused. */
  isPrivate?: boolean;
  commentsOff?: boolean;
  /** Shown to whoever asks for it, and left out of the list, whose pages are as long as if it stood there. */
  unlisted?: boolean;
}

export interface FakeComment {
  readonly id: string;
  readonly video: FakeVideo;
  readonly parent: FakeComment | null;
  readonly by: string;
  text: string;
  readonly publishedAt: string;
  updatedAt: string;
  deleted?: boolean;
}

type Reason = readonly [status: number, reason: string, domain: string];
export const REFUSALS: Readonly<Record<string, Reason>> = {
  authError: [401, 'authError', 'global'],
  badRequest: [400, 'badRequest', 'global'],
  commentNotFound: [404, 'commentNotFound', 'youtube.comment'],
  commentsDisabled: [403, 'commentsDisabled', 'youtube.commentThread'],
  dailyLimitExceeded: [403, 'dailyLimitExceeded', 'usageLimits'],
  forbidden: [403, 'forbidden', 'global'],
  keyInvalid: [400, 'keyInvalid', 'usageLimits'],
  playlistNotFound: [404, 'playlistNotFound', 'youtube.playlistItem'],
  quotaExceeded: [403, 'quotaExceeded', 'youtube.quota'],
  rateLimitExceeded: [403, 'rateLimitExceeded', 'usageLimits'],
  videoNotFound: [404, 'videoNotFound', 'youtube.commentThread'],
};

export function refusal(name: keyof typeof REFUSALS): Answered {
  const [code, reason, domain] = REFUSALS[name] as Reason;
  const message = `The words of <code>${name}</code> may change.`;
  return jsonAnswer({ error: { code, message, errors: [{ message, domain, reason }] } }, code);
}

const digest = (text: string): string => createHash('sha256').update(text).digest('base64url');
export const videoId = (word: string): string => digest(word).slice(0, 11);
export const channelId = (word: string): string => `UC${digest(word).slice(0, 22)}`;
const commentId = (word: string): string => `Ug${digest(word).slice(0, 20)}4AaABAg`.slice(0, 26);
const FIRST = Temporal.Instant.from('2026-10-01T10:00:00Z');

/** Not of the API, and without its key. */
const isPicture = (url: URL): boolean => url.pathname.startsWith('/picture/');

export class FakeYoutube {
  origin = '';
  /** Path and query of every call, without media. */
  readonly calls: string[] = [];
  /** Keys as they came. */
  readonly keys: (string | undefined)[] = [];
  account = 'city';
  readonly videos: FakeVideo[] = [];
  readonly comments: FakeComment[] = [];
  /** Channels of commenters that are gone. */
  readonly gone = new Set<string>();
  isGone = false;
  pageSize = 50;
  threadsOnPage = 100;
  repliesOnPage = 100;
  /** Replies that a thread shows. */
  inline = 5;
  /** Answers a call in its own way, or null. */
  instead: (url: URL, response: ServerResponse) => Answered | null = () => null;
  #moments = 0;

  /** A server's part without a server of its own: whoever serves that origin asks {@link answer}. */
  static at(origin: string): FakeYoutube {
    const fake = new FakeYoutube();
    fake.origin = origin;
    return fake;
  }

  static async start(t: TestContext): Promise<FakeYoutube> {
    const fake = new FakeYoutube();
    const server = await answering(t, (request, response, url) => {
      if (isPicture(url)) {
        sendAnswer(response, fake.answer(url, request.headers));
        return;
      }
      fake.calls.push(`${url.pathname.replace('/youtube/v3/', '')}${url.search}`);
      const key = request.headers['x-goog-api-key'];
      fake.keys.push(Array.isArray(key) ? key.join() : key);
      sendAnswer(response, fake.instead(url, response) ?? fake.answer(url, request.headers));
    });
    fake.origin = server.origin;
    return fake;
  }

  get channel(): string {
    return channelId(this.account);
  }

  #moment(): string {
    this.#moments += 1;
    return FIRST.add({ seconds: this.#moments }).toString();
  }

  publish(word: string, rest: Partial<FakeVideo> = {}): FakeVideo {
    const id = videoId(`${this.account} ${word}`);
    const description = `About ${word}`;
    const video = { id, title: word, description, publishedAt: this.#moment(), more: {}, ...rest };
    this.videos.push(video);
    return video;
  }

  comment(text: string, video: FakeVideo, parent: FakeComment | null = null, by = 'ann'): FakeComment {
    const own = commentId(`${this.account} ${this.comments.length}`);
    const id = parent === null ? own : `${parent.id}.${own.slice(4)}`;
    const publishedAt = this.#moment();
    const comment = { id, video, parent, by, text, publishedAt, updatedAt: publishedAt };
    this.comments.push(comment);
    return comment;
  }

  edit(comment: FakeComment, text: string): void {
    comment.text = text;
    comment.updatedAt = this.#moment();
  }

  #shown(): FakeVideo[] {
    return this.videos.filter((one) => !one.deleted && !one.isPrivate);
  }

  #isShown({ deleted, parent, video }: FakeComment): boolean {
    return !deleted && !parent?.deleted && !video.deleted && !video.isPrivate && !video.commentsOff;
  }

  #replies(comment: FakeComment): FakeComment[] {
    return this.comments.filter((one) => one.parent === comment && this.#isShown(one));
  }

  channelResource(): Record<string, unknown> {
    return {
      kind: 'youtube#channel',
      etag: 'c',
      id: this.channel,
      snippet: {
        title: 'City of Example',
        description: 'Official.',
        customUrl: '@city',
        publishedAt: '2015-01-01T00:00:00.123456Z',
        thumbnails: { default: { url: `${this.origin}/picture/avatar=s88`, width: 88, height: 88 } },
      },
      contentDetails: { relatedPlaylists: { likes: '', uploads: `UU${this.channel.slice(2)}` } },
      statistics: {
        viewCount: '1234',
        subscriberCount: '56',
        hiddenSubscriberCount: false,
        videoCount: String(this.#shown().length),
      },
      brandingSettings: { channel: { title: 'City of Example' } },
    };
  }

  videoResource(video: FakeVideo): Record<string, unknown> {
    const comments = this.comments.filter((one) => one.video === video && this.#isShown(one)).length;
    return {
      kind: 'youtube#video',
      etag: 'v',
      id: video.id,
      snippet: {
        publishedAt: video.publishedAt,
        channelId: this.channel,
        title: video.title,
        description: video.description,
        thumbnails: {},
        channelTitle: 'City of Example',
        tags: ['council'],
        categoryId: '25',
        liveBroadcastContent: 'none',
        defaultAudioLanguage: 'en',
        localized: { title: video.title, description: video.description },
        ...video.more.snippet,
      },
      contentDetails: { duration: 'PT1M', dimension: '2d', definition: 'hd', ...video.more.contentDetails },
      status: {
        uploadStatus: 'processed',
        privacyStatus: 'public',
        license: 'youtube',
        ...video.more.status,
      },
      statistics: {
        viewCount: '10',
        likeCount: '2',
        favoriteCount: '0',
        ...(video.commentsOff ? {} : { commentCount: String(comments) }),
      },
    };
  }

  /** @param isInThread comments that are asked for by themselves do not name their video */
  commentResource(comment: FakeComment, isInThread = false): Record<string, unknown> {
    const { id, by, text, parent, video, publishedAt, updatedAt } = comment;
    return {
      kind: 'youtube#comment',
      etag: 'm',
      id,
      snippet: {
        ...(isInThread ? { channelId: this.channel, videoId: video.id } : {}),
        textDisplay: text,
        textOriginal: text,
        ...(parent === null ? {} : { parentId: parent.id }),
        authorDisplayName: `@${by}`,
        authorChannelUrl: `http://www.youtube.com/@${by}`,
        authorChannelId: { value: channelId(by) },
        canRate: true,
        viewerRating: 'none',
        likeCount: 0,
        publishedAt,
        updatedAt,
      },
    };
  }

  #thread(comment: FakeComment): Record<string, unknown> {
    const replies = this.#replies(comment);
    const shown = replies.slice(0, this.inline);
    return {
      kind: 'youtube#commentThread',
      etag: 't',
      id: comment.id,
      snippet: {
        channelId: this.channel,
        videoId: comment.video.id,
        topLevelComment: this.commentResource(comment, true),
        canReply: true,
        totalReplyCount: replies.length,
        isPublic: true,
      },
      ...(shown.length === 0
        ? {}
        : { replies: { comments: shown.map((one) => this.commentResource(one, true)) } }),
    };
  }

  answer(url: URL, headers: IncomingHttpHeaders): Answered {
    if (isPicture(url))
      return {
        status: 200,
        headers: { 'content-type': 'image/jpeg' },
        body: Buffer.from(`bytes of ${url.pathname}`),
      };
    if (headers['x-goog-api-key'] === undefined && Object.keys(headers).length > 0)
      return refusal('forbidden');
    const given = (name: string): string | null => url.searchParams.get(name);
    const ids = given('id')?.split(',') ?? [];
    if (ids.length > 50) return refusal('badRequest');
    switch (url.pathname.replace('/youtube/v3/', '')) {
      case 'channels': {
        const own = given('forHandle') === null ? ids.includes(this.channel) : true;
        const found: unknown[] = own && !this.isGone ? [this.channelResource()] : [];
        for (const by of new Set(this.comments.map((one) => one.by)))
          if (ids.includes(channelId(by)) && !this.gone.has(by))
            found.push({ ...this.channelResource(), id: channelId(by) });
        return this.#list('channel', found, found.length, null, headers, found.length === 0);
      }
      case 'playlistItems': {
        if (this.isGone || given('playlistId') !== `UU${this.channel.slice(2)}` || this.#shown().length === 0)
          return refusal('playlistNotFound');
        const [page, next] = paged(this.#shown().reverse(), url, this.pageSize);
        const items = page
          .filter((one) => !one.unlisted)
          .map(({ id, publishedAt }) => ({
            kind: 'youtube#playlistItem',
            etag: 'p',
            id: `UU.${id}`,
            contentDetails: { videoId: id, videoPublishedAt: publishedAt },
          }));
        return this.#list('playlistItem', items, this.#shown().length, next, headers);
      }
      case 'videos': {
        const found = this.#shown().filter(({ id }) => ids.includes(id));
        return this.#list(
          'video',
          found.map((one) => this.videoResource(one)),
          found.length,
          null,
          headers,
        );
      }
      case 'commentThreads':
        return this.#threads(url, headers);
      case 'comments': {
        const parent = given('parentId');
        if (parent === null) {
          const found = this.comments.filter((one) => ids.includes(one.id) && this.#isShown(one));
          const items = found.map((one) => this.commentResource(one));
          return this.#list('comment', items, items.length, null, headers);
        }
        const thread = this.comments.find((one) => one.id === parent && this.#isShown(one));
        if (thread === undefined) return refusal('commentNotFound');
        const [page, next] = paged(this.#replies(thread), url, this.repliesOnPage);
        const items = page.map((one) => this.commentResource(one));
        return this.#list('comment', items, page.length, next, headers);
      }
      default:
        return jsonAnswer({ error: { code: 404, message: 'Not Found', errors: [] } }, 404);
    }
  }

  #threads(url: URL, headers: IncomingHttpHeaders): Answered {
    const id = url.searchParams.get('videoId');
    const video = this.videos.find((one) => one.id === id);
    if (id !== null && (video === undefined || video.deleted)) return refusal('videoNotFound');
    if (video?.isPrivate) return refusal('forbidden');
    if (video?.commentsOff) return refusal('commentsDisabled');
    const begun = this.comments.filter(
      (one) => one.parent === null && (video === undefined || one.video === video) && this.#isShown(one),
    );
    const [page, next] = paged(begun.reverse(), url, this.threadsOnPage);
    return this.#list(
      'commentThread',
      page.map((one) => this.#thread(one)),
      page.length,
      next,
      headers,
    );
  }

  #list(
    kind: string,
    items: readonly unknown[],
    totalResults: number,
    next: string | null,
    headers: IncomingHttpHeaders,
    isLeftOut = false,
  ): Answered {
    const etag = digest(JSON.stringify([items, totalResults, next]));
    if (headers['if-none-match'] === etag) return { status: 304, headers: { etag }, body: Buffer.alloc(0) };
    const body = {
      kind: `youtube#${kind}ListResponse`,
      etag,
      ...(next === null ? {} : { nextPageToken: next }),
      pageInfo: { totalResults, resultsPerPage: items.length },
      ...(isLeftOut ? {} : { items }),
    };
    return jsonAnswer(body, 200, { etag });
  }
}

/** Places in the list are counted from its beginning: what goes from it meanwhile moves the rest. */
function paged<Item>(
  all: readonly Item[],
  url: URL,
  size: number,
): [page: readonly Item[], next: string | null] {
  const from = Number(url.searchParams.get('pageToken')?.replace('from-', '') ?? 0);
  const to = from + Math.min(size, Number(url.searchParams.get('maxResults') ?? 5));
  return [all.slice(from, to), to < all.length ? `from-${to}` : null];
}
