// What is particular to X: an account's posts, the conversations below them by search, and every version of an edited post. Nothing is asked of X
// until counsel's decision stands in the settings; no term of X ever removes a record.

import { RefusedError } from '../core/errors.ts';
import type { XSettings } from '../core/settings.ts';
import type { Identity } from '../core/vocabulary.ts';
import {
  type AccountDialect,
  type FoundAccount,
  type LookUpAsking,
  openAccountCollector,
  type Seen,
  unknown,
} from './account.ts';
import { UnreadableAnswerError } from './answer.ts';
import { Budget, type Meter } from './budget.ts';
import { CollectError } from './collect-error.ts';
import type { Collector, LookUp, PageEvent, Rejected, Sighting } from './collector.ts';
import { Http, type HttpDependencies } from './http.ts';
import type { JsonPart } from './slice.ts';
import { pagesFrom } from './walk.ts';
import { type Api, type ApiAnswer, ask } from './x/api.ts';
import {
  besideOf,
  ID,
  identityOf,
  PLATFORM,
  POST_FIELDS,
  type ReadPost,
  readPost,
  readUser,
  USER_FIELDS,
} from './x/posts.ts';

/** The most that X gives at once, of a list, of a search with all fields, and of named posts. */
const PAGE_SIZE = 100;
/** No timeline goes further back. */
const LONGEST_TIMELINE = 3200;

/**
 * @param settings the origin of `service`, and no other, may be private
 * @throws RefusedError where nobody has decided that X may be collected from
 */
export function openXCollector(
  settings: XSettings,
  dependencies: HttpDependencies & { readonly meter: Meter },
): Collector {
  if (settings.decision === null)
    throw new RefusedError(
      `${settings.id} is not collected: the terms of X restrict keeping what was deleted there, and nobody’s decision about that is recorded`,
      {
        hint: 'When counsel has decided that the law on records comes first, add to the source in muniment.yaml: decision: { by: NAME, on: DATE, cite: WHERE IT IS WRITTEN }. Until then, import X’s own archive.',
      },
    );
  const { clock, meter } = dependencies;
  const { service, token, unitsPerDay } = settings;
  const http = new Http([service], dependencies);
  const budget = new Budget({ platform: 'X', credential: token, unitsPerDay, timezone: 'UTC' }, meter, clock);
  const api: Api = { http, service, token, budget };
  return openAccountCollector(xDialect(api, settings), settings.account, { http, clock });
}

function xDialect(api: Api, settings: XSettings): AccountDialect {
  const { account, search, daysBetweenWhole, decision } = settings;
  const name = account.replace(/^@/, '');
  const decided = `It is collected by decision of ${decision?.by} of ${decision?.on} (${decision?.cite})`;

  async function findAccount(signal: AbortSignal): Promise<FoundAccount> {
    const answer = await ask(api, `users/by/username/${encodeURIComponent(name)}`, USER_FIELDS, 1, signal);
    const [part] = answer.found;
    if (part === undefined) {
      const { url } = answer.exchange;
      if (answer.refused[0]?.why === 'not-found')
        throw new CollectError('account-not-found', `X knows no account ${account}`, account, {
          hint: 'Check its name; if it was changed, put the new one in the settings.',
        });
      throw new CollectError(
        'access-lost',
        `${url} does not show ${account}: it is suspended, or may not be read`,
        url,
        {
          hint: 'Sign in on X and see what it asks for; nothing in the archive changes.',
        },
      );
    }
    const user = readUser(part, answer.exchange);
    if (user === null || user.name.toLowerCase() !== name.toLowerCase())
      throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no account ${account}`);
    const profile = { exchange: answer.exchange, sightings: [user.sighting], rejected: [] };
    const counts: Record<string, number> = user.posts === null ? {} : { posts: user.posts };
    const least = Math.min(user.posts ?? 0, LONGEST_TIMELINE);
    const findings = [`${api.budget.forecast('Reading all its posts, without replies,', least)}.`];
    return { id: user.id, name: user.name, counts, profile, findings };
  }

  return {
    platform: PLATFORM,
    name: 'X',
    collectorVersion: 'x/1',
    comparisonRule: 'x-content/1',
    lists: ['tweets', 'mentions'],
    wholeEvery: Temporal.Duration.from({ hours: daysBetweenWhole * 24 - 4 }),
    asksSince: true,
    listEndsAfter: LONGEST_TIMELINE,
    showsWholeThreads: search === 'all',
    gaps: [
      `${decided}.`,
      `X lists at most the newest ${LONGEST_TIMELINE} posts of an account: what is older when a source begins is never offered; import X’s own archive for it.`,
      'X does not tell who hid a reply, nor whom the account blocks or mutes; what came and went between two readings was never offered.',
      'X lists at most the newest 800 posts that name the account. Replies below its posts that do not name it are found when everything is read; what others wrote below its replies to them is not read, nor the whole text of what it reposts.',
      ...(search === 'all'
        ? []
        : [
            'The search of X that the settings choose reaches back seven days: later replies below older posts are not read, and no run looks up what is no longer shown.',
          ]),
    ],
    findAccount,
    async listPage({ account: { id }, list, cursor, since, until, signal }) {
      const parameters = {
        ...POST_FIELDS,
        max_results: String(PAGE_SIZE),
        ...(cursor === null ? {} : { pagination_token: cursor }),
        ...(since === null ? {} : { since_id: since }),
        // An id, for a token of a page days ago may not be good any more.
        ...(until === null ? {} : { until_id: until }),
      };
      const answer = await ask(api, `users/${id}/${list}`, parameters, PAGE_SIZE, signal);
      const { seen, posts, ids } = readAll(api, answer);
      const listed = posts.map(({ sighting, versions, replies, conversation }) => ({
        id: versions.at(-1) as string,
        replies,
        createdAt: sighting.item.createdAt,
        thread:
          list === 'tweets' && conversation !== null && versions.includes(conversation) ? conversation : null,
      }));
      return { ...seen, listed, ids, next: answer.next, url: answer.exchange.url };
    },
    async *threadPages(_, thread, signal) {
      const parameters = {
        ...POST_FIELDS,
        query: `conversation_id:${thread}`,
        max_results: String(PAGE_SIZE),
      };
      const page = async (cursor: string | null) => {
        const next = cursor === null ? {} : { next_token: cursor };
        const answer = await ask(
          api,
          `tweets/search/${search}`,
          { ...parameters, ...next },
          PAGE_SIZE,
          signal,
        );
        const { seen, ids } = readAll(api, answer);
        return { ...seen, ids, next: answer.next, url: answer.exchange.url };
      };
      yield* pagesFrom(page, signal);
    },
    lookUpBatch: PAGE_SIZE,
    lookUp: (identities, asking) => lookUp(api, identities, asking),
  };
}

interface ReadAll {
  readonly seen: Seen;
  readonly posts: readonly ReadPost[];
  readonly ids: readonly string[];
}

function readAll(api: Api, { found, document, exchange }: ApiAnswer): ReadAll {
  const beside = besideOf(document);
  const posts: ReadPost[] = [];
  const unreadable: Rejected[] = [];
  for (const part of found) {
    const read = readPost(part, exchange, beside, (ids, signal) => versionsOf(api, ids, signal));
    if ('rejected' in read) unreadable.push(read.rejected);
    else posts.push(read);
  }
  const sightings = posts.map(({ sighting }) => sighting);
  const ids = found.map(({ value }) => String((value as { id?: unknown } | null)?.id));
  return { seen: { exchange, sightings, rejected: unreadable }, posts, ids };
}

/** The versions of a post before its last one, oldest first. */
async function versionsOf(api: Api, ids: readonly string[], signal: AbortSignal): Promise<PageEvent> {
  const { found, document, exchange } = await postsBy(api, ids, signal);
  const beside = besideOf(document);
  const sightings = new Map<string, Sighting>();
  const unreadable: Rejected[] = [];
  for (const part of found) {
    const read = readPost(part, exchange, beside, null);
    if ('rejected' in read) unreadable.push(read.rejected);
    else sightings.set(idOf(part.value), read.sighting);
  }
  const inOrder = ids.flatMap((id) => sightings.get(id) ?? []);
  return { type: 'page', exchange, sightings: inOrder, rejected: unreadable };
}

function postsBy(api: Api, ids: readonly string[], signal: AbortSignal): Promise<ApiAnswer> {
  return ask(api, 'tweets', { ...POST_FIELDS, ids: ids.join(',') }, ids.length, signal);
}

const idOf = (value: unknown): string => String((value as { id?: unknown } | null)?.id);

/** Posts that X says are not found count as deleted only where it still shows their authors. */
async function lookUp(
  api: Api,
  identities: readonly Identity[],
  { signal, lastCaptured }: LookUpAsking,
): Promise<readonly LookUp[]> {
  const wanted = identities.filter(({ platform, namespace, platformId }) => {
    return platform === PLATFORM && namespace === identityOf('').namespace && ID.test(platformId);
  });
  const firsts = wanted.map(({ platformId }) => platformId);
  if (firsts.length === 0) return identities.map((identity) => untold(identity, 'it is no post of X'));
  const answer = await postsBy(api, firsts, signal);
  const gone = answer.refused.filter(({ why }) => why === 'not-found').map(({ id }) => id);
  const authors = new Map<string, string>();
  for (const identity of wanted.filter(({ platformId }) => gone.includes(platformId))) {
    const author = authorIn(await lastCaptured(identity));
    if (author !== null) authors.set(identity.platformId, author);
  }
  const standing = await standingOf(api, [...new Set(authors.values())], signal);
  const shown = new Map(answer.found.map((part) => [idOf(part.value), part]));
  const present = await latestOf(api, answer, signal);
  return identities.map((identity): LookUp => {
    const { platformId: id } = identity;
    const { exchange, body } = answer;
    const why = answer.refused.find((one) => one.id === id)?.why;
    if (!wanted.includes(identity)) return untold(identity, 'it is no post of X');
    if (shown.has(id)) {
      const sighting = present.get(id);
      if (sighting === undefined) return untold(identity, 'what X gives cannot be read as its last version');
      return { identity, state: 'present', sighting };
    }
    if (why === 'not-authorized') return { identity, state: 'access-lost', exchange, body };
    const state = why === 'not-found' ? standing.get(authors.get(id) ?? '') : undefined;
    return state === undefined
      ? untold(identity, 'X does not tell what became of it, or of its author')
      : { identity, state, exchange, body };
  });
}

/** Asked for by its first id, a post is shown as it was at first: where it was edited, its last version is asked for. */
async function latestOf(api: Api, answer: ApiAnswer, signal: AbortSignal): Promise<Map<string, Sighting>> {
  const latest = answer.found.flatMap((part) => {
    const read = readPost(part, answer.exchange, besideOf(answer.document), null);
    return 'rejected' in read ? [] : [{ id: idOf(part.value), last: read.versions.at(-1) as string }];
  });
  const edited = latest.filter(({ id, last }) => id !== last).map(({ last }) => last);
  const answers = edited.length === 0 ? [answer] : [answer, await postsBy(api, edited, signal)];
  const wanted = new Set(latest.map(({ last }) => last));
  const posts = answers.flatMap((one) => {
    const isWanted = (part: JsonPart): boolean => wanted.has(idOf(part.value));
    return readAll(api, { ...one, found: one.found.filter(isWanted) }).posts;
  });
  return new Map(posts.map(({ sighting }) => [sighting.identity.platformId, sighting]));
}

/** @returns by author what a post of theirs is that is not found */
async function standingOf(
  api: Api,
  authors: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, 'deleted' | 'account-gone' | 'access-lost'>> {
  if (authors.length === 0) return new Map();
  const answer = await ask(api, 'users', { ...USER_FIELDS, ids: authors.join(',') }, authors.length, signal);
  const states = new Map<string, 'deleted' | 'account-gone' | 'access-lost'>();
  for (const { id, why } of answer.refused)
    if (why !== 'other') states.set(id, why === 'not-found' ? 'account-gone' : 'access-lost');
  for (const part of answer.found) {
    const user = readUser(part, answer.exchange);
    if (user !== null) states.set(user.id, 'deleted');
  }
  return states;
}

function authorIn(last: Awaited<ReturnType<LookUpAsking['lastCaptured']>>): string | null {
  // An imported post has its account's id in its author alone, not in its bytes.
  if (last === null || !last.url.startsWith('http')) return null;
  const { author_id: author } = JSON.parse(Buffer.from(last.slice).toString('utf8')) as {
    author_id?: unknown;
  };
  return typeof author === 'string' && ID.test(author) ? author : null;
}

function untold(identity: Identity, what: string): LookUp {
  return unknown(identity, new CollectError('not-the-expected-format', what, identity.platformId));
}
