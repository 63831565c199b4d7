// Looks single items up after a run did not see them. A list by ids leaves out what is not there: that counts when it is asked for the item
// alone too, and only together with what the API says of the video. Whatever fails says nothing about the item.

import type { Identity } from '../../core/vocabulary.ts';
import { UnreadableAnswerError } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import type { LastCaptured, LookUp, Problem, Sighting } from '../collector.ts';
import type { JsonPart } from '../slice.ts';
import { type Api, type ApiAnswer, ask, foundOf, pageOf, refused } from './api.ts';
import type { Comments } from './comments.ts';
import { PLATFORM, readChannel, readComment, readVideo } from './sighting.ts';
import { VIDEO_PARTS } from './uploads.ts';
import { CHANNEL_ID, COMMENT_ID, VIDEO_ID } from './views.ts';

/** Most ids that one call takes. */
const BATCH = 50;

export interface LookUpContext {
  readonly api: Api;
  /** What this run found of the videos' comments. */
  readonly videos: ReadonlyMap<string, Comments>;
}

type Kind = 'videos' | 'comments' | 'channels';
interface Captured {
  readonly author: string | null;
  /** Null for a comment on the channel itself. */
  readonly video: string | null;
}

/** What the API says of a video when it is asked for its comments. */
type Standing = Comments | 'deleted' | 'access-lost';

interface Asked extends LookUpContext {
  readonly signal: AbortSignal;
  readonly standings: Map<string, Promise<{ standing: Standing; answer: ApiAnswer | null }>>;
  readonly authors: Map<string, Promise<{ isThere: boolean; answer: ApiAnswer }>>;
}

const PARTS: Readonly<Record<Kind, Readonly<Record<string, string>>>> = {
  videos: { part: VIDEO_PARTS },
  comments: { part: 'snippet', textFormat: 'plainText' },
  channels: { part: 'snippet,contentDetails,statistics,brandingSettings' },
};

export async function* lookUpItems(
  context: LookUpContext,
  identities: readonly Identity[],
  signal: AbortSignal,
  lastCaptured: (identity: Identity) => Promise<LastCaptured | null>,
): AsyncIterable<LookUp> {
  const asked: Asked = { ...context, signal, standings: new Map(), authors: new Map() };
  const byKind = Map.groupBy(identities, kindOf);
  for (const [kind, wanted] of byKind) {
    for (let from = 0; from < wanted.length; from += BATCH) {
      const batch = wanted.slice(from, from + BATCH);
      if (kind === null) {
        for (const identity of batch)
          yield unknown(identity, {
            code: 'not-the-expected-format',
            message: 'it is no id of this platform.',
            subject: identity.platformId,
          });
        continue;
      }
      const shown = await answered(() =>
        shownOf(
          asked,
          kind,
          batch.map(({ platformId }) => platformId),
        ),
      );
      for (const identity of batch) {
        const found = await answered(async () => {
          if (shown instanceof CollectError) throw shown;
          const captured = await lastCaptured(identity);
          return lookUp(asked, kind, identity, shown, capturedOf(captured));
        });
        yield found instanceof CollectError ? unknown(identity, found.problem) : found;
      }
    }
  }
}

function kindOf({ platform, platformId }: Identity): Kind | null {
  if (platform !== PLATFORM) return null;
  if (VIDEO_ID.test(platformId)) return 'videos';
  if (CHANNEL_ID.test(platformId)) return 'channels';
  return COMMENT_ID.test(platformId) ? 'comments' : null;
}

/** Replies that were read by themselves do not name their video: where they stood was known when they were captured. */
function capturedOf(last: LastCaptured | null): Captured {
  if (last === null) return { author: null, video: null };
  const { snippet } = JSON.parse(Buffer.from(last.slice).toString('utf8')) as {
    snippet?: { videoId?: unknown; authorChannelId?: { value?: unknown } | null };
  };
  const author = snippet?.authorChannelId?.value;
  const video = [snippet?.videoId, last.threadRoot].find(
    (id): id is string => typeof id === 'string' && VIDEO_ID.test(id),
  );
  return {
    author: typeof author === 'string' && CHANNEL_ID.test(author) ? author : null,
    video: video ?? null,
  };
}

interface Shown {
  readonly answer: ApiAnswer;
  readonly parts: ReadonlyMap<string, JsonPart>;
}

/** @returns which of them are there. @throws CollectError */
async function shownOf({ api, signal }: Asked, kind: Kind, ids: readonly string[]): Promise<Shown> {
  const answer = await ask(api, kind, { ...PARTS[kind], id: ids.join(',') }, { signal });
  // One that is not there may also make the whole question a wrong one.
  if (answer.reasons.includes('commentNotFound')) return { answer, parts: new Map() };
  const parts = new Map<string, JsonPart>();
  for (const part of foundOf(api, answer)) {
    const id = (part.value as { id?: unknown } | null)?.id;
    if (typeof id !== 'string' || !ids.includes(id))
      throw new UnreadableAnswerError(
        answer,
        `${answer.exchange.url} gives another item than those asked for`,
      );
    parts.set(id, part);
  }
  return { answer, parts };
}

async function lookUp(
  asked: Asked,
  kind: Kind,
  identity: Identity,
  together: Shown,
  captured: Captured,
): Promise<LookUp> {
  const { platformId: id } = identity;
  const alone = together.parts.has(id) ? together : await shownOf(asked, kind, [id]);
  const part = alone.parts.get(id);
  const video = kind === 'comments' ? captured.video : id;
  if (part !== undefined) {
    const read = readingOf(kind, part, alone.answer, video);
    if ('rejected' in read)
      throw new UnreadableAnswerError(alone.answer, `${alone.answer.exchange.url}: ${read.rejected.reason}`);
    // Without its video a comment would lose its place.
    return { identity, state: 'present', sighting: video === null ? null : read.sighting };
  }
  const { exchange, body } = alone.answer;
  if (kind === 'channels') return { identity, state: 'account-gone', exchange, body };
  if (kind === 'videos') {
    const { standing, answer } = await standingOf(asked, id);
    const told = { exchange: answer?.exchange ?? exchange, body: answer?.body ?? body };
    if (standing === 'deleted' || standing === 'access-lost') return { identity, state: standing, ...told };
    return { identity, state: 'hidden', exchange, body };
  }
  if (video !== null) {
    // Where comments are turned off, those that were there are shown to nobody, and are not deleted.
    const { standing, answer } = await standingOf(asked, video);
    const told = { exchange: answer?.exchange ?? exchange, body: answer?.body ?? body };
    if (standing === 'closed') return { identity, state: 'hidden', ...told };
    if (standing === 'access-lost') return { identity, state: 'access-lost', ...told };
  }
  const { author } = captured;
  if (author === null) return { identity, state: 'deleted', exchange, body };
  const { isThere, answer } = await remembered(asked.authors, author, async () => {
    const shown = await shownOf(asked, 'channels', [author]);
    return { isThere: shown.parts.has(author), answer: shown.answer };
  });
  if (isThere) return { identity, state: 'deleted', exchange, body };
  return { identity, state: 'account-gone', exchange: answer.exchange, body: answer.body };
}

function readingOf(
  kind: Kind,
  part: JsonPart,
  { exchange }: ApiAnswer,
  video: string | null,
): { readonly sighting: Sighting } | { readonly rejected: { readonly reason: string } } {
  if (kind === 'videos') return readVideo(part, exchange);
  if (kind === 'channels') return readChannel(part, exchange);
  return readComment(part, exchange, { root: video, replies: null });
}

/** @throws CollectError where the API does not say */
async function standingOf(
  asked: Asked,
  video: string,
): Promise<{ standing: Standing; answer: ApiAnswer | null }> {
  const found = asked.videos.get(video);
  if (found === 'open') return { standing: found, answer: null };
  return remembered(asked.standings, video, async () => {
    const { api, signal } = asked;
    const parameters = { part: 'id', videoId: video, maxResults: '1' };
    const answer = await ask(api, 'commentThreads', parameters, { signal });
    const { reasons, status } = answer;
    if (answer.document !== null) {
      pageOf(api, answer);
      return { standing: 'open', answer };
    }
    if (reasons.includes('commentsDisabled')) return { standing: 'closed', answer };
    if (status === 404 && reasons.includes('videoNotFound')) return { standing: 'deleted', answer };
    // By its name, and of this video: the key itself has just been good for another question.
    if (status === 403 && reasons.includes('forbidden')) return { standing: 'access-lost', answer };
    throw refused(api, answer);
  });
}

function remembered<Value>(
  known: Map<string, Promise<Value>>,
  key: string,
  work: () => Promise<Value>,
): Promise<Value> {
  const found = known.get(key) ?? work();
  known.set(key, found);
  return found;
}

/** @returns the value, or the platform's failure as a value; anything else is thrown */
async function answered<T>(work: () => Promise<T>): Promise<T | CollectError> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CollectError) return error;
    throw error;
  }
}

function unknown(identity: Identity, { code, message }: Problem): LookUp {
  const { platformId: subject } = identity;
  const problem = { code, message: `${subject} could not be looked up: ${message}`, subject };
  return { identity, state: 'unknown', problem };
}
