// What is particular to Reddit: an account's posts and comments, or a community's posts, and everybody's comments below them. A tree of comments
// shows answers within what they answer; so that each is kept in bytes of its own, those with answers are asked for by name.

import type { RedditSettings } from '../core/settings.ts';
import type { Identity } from '../core/vocabulary.ts';
import {
  type AccountDialect,
  type FoundAccount,
  type ListPage,
  openAccountCollector,
  type Seen,
  unknown,
} from './account.ts';
import { UnreadableAnswerError } from './answer.ts';
import { CollectError } from './collect-error.ts';
import type { Collector, LookUp, Rejected, Sighting } from './collector.ts';
import { Http, type HttpDependencies } from './http.ts';
import { type Api, type ApiAnswer, ask, listingOf, refused, requireDocument } from './reddit/api.ts';
import { FULLNAME, moreView, PLATFORM, readProfile, readThing } from './reddit/things.ts';
import type { JsonPart } from './slice.ts';

/** The most that Reddit gives at once: of a list, of named things, and of a tree. */
const PAGE_SIZE = 100;
const TREE_SIZE = '500';
/** No list goes further back. */
const LONGEST_LIST = 1000;
/** Requests for one thread, before one that always has more counts as endless. */
const LONGEST_WALK = 5000;

/** @param settings the origins of `service` and `login`, and no others, may be private */
export function openRedditCollector(settings: RedditSettings, dependencies: HttpDependencies): Collector {
  const http = new Http([settings.service, settings.login], dependencies);
  const api: Api = { http, settings, applicationToken: null };
  return openAccountCollector(redditDialect(api), settings.account, { http, clock: dependencies.clock });
}

function redditDialect(api: Api): AccountDialect {
  const [kind, name] = api.settings.account.split('/') as ['u' | 'r', string];
  const home = `/${kind === 'u' ? 'user' : 'r'}/${encodeURIComponent(name)}`;

  async function findAccount(signal: AbortSignal): Promise<FoundAccount> {
    const answer = await ask(api, `${home}/about`, {}, signal);
    const { exchange, document } = answer;
    if (document === null) {
      if (answer.status !== 404) throw refused(answer);
      throw new CollectError(
        'account-not-found',
        `Reddit knows no ${api.settings.account}`,
        api.settings.account,
        {
          hint: 'Check its name; what was deleted or banned is not found either.',
        },
      );
    }
    const { is_suspended: isSuspended } = (document.member('data')?.value ?? {}) as {
      is_suspended?: unknown;
    };
    if (isSuspended === true)
      throw new CollectError(
        'access-lost',
        `Reddit says that ${api.settings.account} is suspended`,
        exchange.url,
        {
          hint: 'Sign in on Reddit and see what it asks for; nothing in the archive changes.',
        },
      );
    const found = readProfile(document, exchange);
    if (found === null)
      throw new UnreadableAnswerError(answer, `${exchange.url} gives no account or community`);
    const profile = { exchange, sightings: [found.sighting], rejected: [] };
    return { id: found.id, name: found.name, counts: {}, profile };
  }

  return {
    platform: PLATFORM,
    name: 'Reddit',
    collectorVersion: 'reddit/1',
    comparisonRule: 'reddit-content/1',
    lists: kind === 'u' ? ['submitted', 'comments'] : ['new'],
    listEndsAfter: LONGEST_LIST,
    showsWholeThreads: true,
    gaps: [
      `Reddit lists at most the newest ${LONGEST_LIST} items: what is older when a source begins is never offered.`,
      'Reddit does not tell what was written before an edit, nor which moderator removed something, or why: of several edits between two readings only the last is kept.',
      'Reddit gives videos without their sound, and sizes pictures in comments itself: these are not kept.',
    ],
    findAccount,
    async listPage({ account, list, cursor, signal }): Promise<ListPage> {
      const parameters = {
        limit: String(PAGE_SIZE),
        sort: 'new',
        ...(cursor === null ? {} : { after: cursor }),
      };
      const answer = await ask(api, `${home}/${list}`, parameters, signal);
      const { things, after } = listingOf(answer, requireDocument(answer));
      const { seen, read } = readAll(things, answer, kind === 'u' ? account.name : null);
      const listed = read.map(({ sighting, replies, thread }) => ({
        id: sighting.identity.platformId,
        replies,
        createdAt: sighting.item.createdAt,
        thread,
      }));
      const ids = things.map((one) => String(one.member('data')?.member('name')?.value));
      return { ...seen, listed, ids, next: after, url: answer.exchange.url };
    },
    threadPages: (_, thread, signal) => readTree(api, thread, signal),
    lookUpBatch: PAGE_SIZE,
    async lookUp(identities, { signal }) {
      const named = identities.filter(({ platformId }) => FULLNAME.test(platformId));
      const shown =
        named.length === 0
          ? null
          : await infoOf(
              api,
              named.map(({ platformId }) => platformId),
              signal,
            );
      return identities.map((identity) => lookedUp(identity, shown));
    },
  };
}

interface ReadAll {
  readonly seen: Seen;
  readonly read: readonly Extract<ReturnType<typeof readThing>, { sighting: Sighting }>[];
}

function readAll(things: readonly JsonPart[], { exchange }: ApiAnswer, owner: string | null): ReadAll {
  const read: Extract<ReturnType<typeof readThing>, { sighting: Sighting }>[] = [];
  const unreadable: Rejected[] = [];
  for (const thing of things) {
    const one = readThing(thing, exchange, owner);
    if ('rejected' in one) unreadable.push(one.rejected);
    else if ('sighting' in one) read.push(one);
  }
  const sightings = read.map(({ sighting }) => sighting);
  return { seen: { exchange, sightings, rejected: unreadable }, read };
}

interface Shown {
  readonly answer: ApiAnswer;
  readonly things: ReadonlyMap<string, JsonPart>;
}

/** Asks for things by their names. */
async function infoOf(api: Api, names: readonly string[], signal: AbortSignal): Promise<Shown> {
  const answer = await ask(api, '/api/info', { id: names.join(',') }, signal);
  const { things } = listingOf(answer, requireDocument(answer));
  return {
    answer,
    things: new Map(things.map((one) => [String(one.member('data')?.member('name')?.value), one])),
  };
}

/** A thing without words is Reddit's own word about it; one that is not given is none. */
function lookedUp(identity: Identity, shown: Shown | null): LookUp {
  const thing = shown?.things.get(identity.platformId);
  const untold = (what: string): LookUp =>
    unknown(identity, new CollectError('not-the-expected-format', what, identity.platformId));
  if (shown === null || thing === undefined || identity.platform !== PLATFORM)
    return untold('Reddit does not tell what became of it');
  const { exchange, body } = shown.answer;
  const read = readThing(thing, exchange, null);
  if ('rejected' in read) return untold(`what Reddit gives is ${read.rejected.reason}`);
  if ('trace' in read) return { identity, state: read.trace, exchange, body };
  return { identity, state: 'present', sighting: read.sighting };
}

/** What is still to be asked for of one tree. */
interface Tree {
  /** Names of comments that were shown with others' answers in them. */
  readonly nested: Set<string>;
  /** Ids of comments that were named and not shown. */
  readonly named: string[];
  /** Ids of comments below which the tree was too deep to be shown. */
  readonly deeper: string[];
  /** Ids and names that were asked for already. */
  readonly asked: Set<string>;
}

/** @param thread id of a post, or of a post and of the comment below which it is read. @throws CollectError when a part cannot be read */
async function* readTree(api: Api, thread: string, signal: AbortSignal): AsyncIterable<Seen> {
  const [post = '', comment] = thread.split('/');
  const tree: Tree = { nested: new Set(), named: [], deeper: [], asked: new Set() };
  const branch = async (below: string | undefined): Promise<Seen> => {
    const focus = below === undefined ? {} : { comment: below };
    const parameters = { limit: TREE_SIZE, sort: 'old', showmore: 'true', ...focus };
    const answer = await ask(api, `/comments/${post}`, parameters, signal);
    const [, comments] = requireDocument(answer).elements();
    return flattened(listingOf(answer, comments).things, answer, tree);
  };
  yield await branch(comment);
  for (let requests = 1; ; requests += 1) {
    signal.throwIfAborted();
    if (requests >= LONGEST_WALK)
      throw new CollectError('incomplete-thread', `it goes on after ${LONGEST_WALK} requests`, post);
    const named = fresh(tree, tree.named.splice(0, PAGE_SIZE));
    const nested = [...tree.nested].slice(0, PAGE_SIZE);
    const deeper = tree.deeper.pop();
    if (named.length > 0) {
      const parameters = {
        api_type: 'json',
        link_id: `t3_${post}`,
        children: named.join(','),
        limit_children: 'false',
      };
      const answer = await ask(api, '/api/morechildren', parameters, signal);
      const things = requireDocument(answer).member('json')?.member('data')?.member('things');
      if (things === undefined || !Array.isArray(things.value))
        throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no comments`);
      yield flattened(things.elements(), answer, tree);
      if (deeper !== undefined) tree.deeper.push(deeper);
    } else if (deeper !== undefined) {
      if (fresh(tree, [`${deeper} and below`]).length > 0) yield await branch(deeper);
    } else if (nested.length > 0) {
      for (const name of nested) tree.nested.delete(name);
      const { answer, things } = await infoOf(api, nested, signal);
      yield readAll(
        nested.flatMap((name) => things.get(name) ?? []),
        answer,
        null,
      ).seen;
      const untold = nested.find((name) => !things.has(name));
      if (untold !== undefined)
        throw new UnreadableAnswerError(
          answer,
          `${answer.exchange.url} does not give ${untold}, which is shown`,
        );
    } else if (tree.named.length === 0) return;
  }
}

function fresh({ asked }: Tree, ids: readonly string[]): string[] {
  return ids.filter((id) => {
    const isFresh = !asked.has(id);
    asked.add(id);
    return isFresh;
  });
}

/** Reads comments that stand alone, and notes what else there is. */
function flattened(things: readonly JsonPart[], answer: ApiAnswer, tree: Tree): Seen {
  const alone: JsonPart[] = [];
  const waiting = things.toReversed();
  for (let thing = waiting.pop(); thing !== undefined; thing = waiting.pop()) {
    const more = moreView.safeParse(thing.value);
    if (more.success) {
      const { children, parent_id: parent } = more.data.data;
      tree.named.push(...children);
      if (children.length === 0 && parent.startsWith('t1_')) tree.deeper.push(parent.slice(3));
      continue;
    }
    const answers =
      thing.member('data')?.member('replies')?.member('data')?.member('children')?.elements() ?? [];
    waiting.push(...answers.toReversed());
    const name = thing.member('data')?.member('name')?.value;
    // Answers that are only named are nobody's words.
    if (answers.every((one) => moreView.safeParse(one.value).success)) alone.push(thing);
    else if (typeof name === 'string' && FULLNAME.test(name))
      for (const one of fresh(tree, [name])) tree.nested.add(one);
    else alone.push(thing);
  }
  return readAll(alone, answer, null).seen;
}
