// Reads an account on a server with Mastodon's API: profile, statuses, boosts and replies to the end of its list, and the threads around
// them. How one answer becomes items is in mastodon/sighting.ts; what a server does not offer is told as a standing gap.

import type { Json } from '../core/canonical.ts';
import { instantText } from '../core/clock.ts';
import type { MastodonSettings } from '../core/settings.ts';
import { quarantined, UnreadableAnswerError } from './answer.ts';
import { CollectError } from './collect-error.ts';
import type { CollectOptions, Collector, CollectorEvent, Exchange, Problem } from './collector.ts';
import { Http, type HttpDependencies } from './http.ts';
import { type Api, type ApiAnswer, ask, refused, requireDocument } from './mastodon/api.ts';
import { type LookUpContext, lookUpStatuses } from './mastodon/look-up.ts';
import { actorOf, copiesOf, isOpen, PLATFORM, readProfile, statusOf } from './mastodon/sighting.ts';
import {
  gap,
  incompleteThread,
  learn,
  type Reader,
  readAll,
  readThread,
  type Thread,
} from './mastodon/threads.ts';
import { type AccountView, accountView, type StatusView, statusList } from './mastodon/views.ts';
import { fetchedMedium } from './medium.ts';
import type { JsonPart } from './slice.ts';
import { areStillListed, isWholeDue, isYounger, reassigned } from './walk.ts';

/** The most that Mastodon gives at once, and what it gives unasked: a server that does not page may hold more than a page of so many. */
const PAGE_SIZE = 40;
const USUAL_PAGE_SIZE = 20;
/** Pages in a row that bring nothing new before the list counts as going in circles. */
const BARREN_PAGES = 3;
/** Threads in a row that fail before the server counts as failing. */
const FAILED_THREADS = 5;
/** A list that is read to its end in so many requests is read so every time. A longer one is once a day; in between, only what is new. */
const SHORT_LIST = 2;
/** Threads of younger statuses are read every time; others when the count of replies changes, and when the whole account is read. */
const YOUNG = Temporal.Duration.from({ hours: 7 * 24 });
/** How many of the newest statuses a run leaves for the next one to find its place by. */
const REMEMBERED = 2 * PAGE_SIZE;

/** What a complete run leaves for the next. */
interface State {
  readonly account: string;
  /** When the whole account was last read. */
  readonly wholeAt: string;
  /** Requests that its list took then. */
  readonly pages: number;
  /** The newest statuses, newest first, each with its count of replies. */
  readonly newest: readonly (readonly [id: string, replies: number])[];
  /** Whether the server was found to keep no edits. */
  readonly editsUntold: boolean;
}

interface Account extends AccountView {
  readonly actor: string;
  readonly part: JsonPart;
  readonly exchange: Exchange;
}

/** What is remembered of a status until its account's list has been read. */
interface Listed extends Thread {
  readonly createdAt: string;
  /** What it answers, by the server's id. */
  readonly parent: string | null;
  /** Whether it is for everybody. */
  readonly isOpen: boolean;
  readonly isBoost: boolean;
}

/** A walk through the account's list. */
interface Walk {
  /** Newest first. */
  readonly listed: Listed[];
  pages: number;
  /** *end*: nothing more came. *known*: the rest was read before, and nothing newer has gone. *broken*: it could not be read on. */
  ended: 'end' | 'known' | 'broken';
}

/** @param settings the origin of `service`, and no other, may be private */
export function openMastodonCollector(settings: MastodonSettings, dependencies: HttpDependencies): Collector {
  const { service } = settings;
  const http = new Http([service], dependencies);
  const api: Api = { http, service, token: settings.token };
  const name = settings.account.replace(/^@/, '');
  const domain = name.split('@')[1] ?? new URL(service).host;
  /** Where the server itself has a copy of somebody's file. */
  const copies = new Map<string, string>();
  /** Whether the server was found to keep no edits, and whether it need not be asked again before the whole account is read. */
  let editsUntold = false;
  let editsAsked = false;
  let control: LookUpContext['control'] = null;
  let showsThreads = false;

  const edits: Reader['edits'] = async (id, signal) => {
    if (editsUntold && editsAsked) return null;
    const answer = await ask(api, `v1/statuses/${encodeURIComponent(id)}/history`, {}, signal);
    const { status, exchange } = answer;
    if (answer.document === null) {
      if (status !== 404 && (settings.token !== null || (status !== 401 && status !== 403)))
        throw refused(answer);
      // A status that was deleted meanwhile has no edits either: so the server is asked again some day.
      editsUntold = true;
      editsAsked = true;
      return null;
    }
    editsUntold = false;
    if (!Array.isArray(answer.document.value))
      throw new UnreadableAnswerError(answer, `${exchange.url} gives no list of edits`);
    return { exchange, parts: answer.document.elements() };
  };

  async function findAccount(signal: AbortSignal): Promise<Account> {
    const answer = await ask(api, 'v1/accounts/lookup', { acct: name }, signal);
    const { exchange, document } = answer;
    if (document === null) {
      if (answer.status !== 404 && answer.status !== 410) throw refused(answer);
      throw new CollectError('account-not-found', `${service} knows no account ${settings.account}`, name, {
        hint: 'Check its name; if it was changed, put the new one in the settings.',
      });
    }
    const account = accountView.safeParse(document.value);
    const actor = account.success ? actorOf(account.data) : null;
    if (!account.success || actor === null)
      throw new UnreadableAnswerError(answer, `${service} gives no account ${settings.account}`);
    if (account.data.suspended === true)
      throw new CollectError(
        'access-lost',
        `${settings.account} exists but is suspended on ${service}`,
        name,
        {
          hint: 'Sign in on the server and see what it asks for; nothing in the archive changes.',
        },
      );
    return { ...account.data, actor, part: document, exchange };
  }

  async function* collect({ state, isLatest, signal }: CollectOptions): AsyncIterable<CollectorEvent> {
    const account = await findAccount(signal);
    const before = stateOf(state);
    if (before !== null && before.account !== account.actor)
      throw reassigned(settings.account, {
        what: 'account',
        before: before.account,
        now: account.actor,
        isSetting: false,
      });
    const profile = readProfile(account.part, account.exchange, service, domain);
    yield {
      type: 'page',
      exchange: account.exchange,
      sightings: profile === null ? [] : [profile],
      rejected: [],
    };
    if (account.statuses_count !== undefined)
      yield { type: 'reported', what: 'posts', count: account.statuses_count };
    const now = dependencies.clock.now();
    const isDue =
      before === null || !isLatest || before.pages <= SHORT_LIST || isWholeDue(before.wholeAt, now);
    const remembered = new Map(before?.newest);
    // In a run that may end early a thread of an old status is worth a request only if something happened in it.
    const isStirred = ({ id, replies, createdAt }: Listed): boolean =>
      isDue || remembered.get(id) !== replies || isYounger(createdAt, now.subtract(YOUNG));
    control = null;
    showsThreads = false;
    editsUntold = before?.editsUntold === true;
    // Asked anew when the whole account is read: the server may have learned it.
    editsAsked = !isDue;
    const reader: Reader = {
      api,
      domain,
      known: new Map(),
      edits,
      offered: new Set(),
      covered: new Set(),
      onStatus: ({ status }) => {
        for (const [original, copy] of copiesOf(status)) copies.set(original, copy);
      },
      notShown: 0,
      closed: 0,
      threads: 'unknown',
    };
    const walk: Walk = { listed: [], pages: 0, ended: 'broken' };
    const threads = new Threads(reader);
    yield* readList(account, reader, threads, walk, isDue ? null : [...remembered.keys()], isStirred, signal);
    control = walk.listed.find((one) => one.isOpen) ?? null;
    const isRead = ({ replies, parent }: Listed): boolean =>
      replies > 0 || (parent !== null && !reader.known.has(parent));
    const wanted = walk.listed.filter(
      (one) => one.isOpen && !one.isBoost && isRead(one) && (walk.ended === 'end' || isStirred(one)),
    );
    // Roots first: most of the account's own replies stand in those threads already. Oldest first, as the list is newest first.
    const roots = wanted.filter(({ parent }) => parent === null).reverse();
    for (const one of [...roots, ...wanted.filter(({ parent }) => parent !== null).reverse()]) {
      signal.throwIfAborted();
      yield* threads.read(one, signal);
    }
    showsThreads = reader.threads === 'read';
    // Only an end that was reached says that what was not listed is lacking.
    if (walk.ended === 'end') yield { type: 'reported', what: 'posts listed', count: walk.listed.length };
    yield* reports(reader);
    if (editsUntold) yield problem(EDITS_UNTOLD(service), service);
    const isWhole = walk.ended === 'end' && threads.whole && reader.threads !== 'refused';
    // Without threads nothing says what became of the public's replies, but the list was read, and is due again as if it were all.
    const wasRead = walk.ended === 'end' && threads.whole;
    const next: State = {
      account: account.actor,
      wholeAt: wasRead || before === null ? instantText(now) : before.wholeAt,
      pages: wasRead || before === null ? walk.pages : before.pages,
      newest: walk.listed.slice(0, REMEMBERED).map(({ id, replies }) => [id, replies]),
      editsUntold,
    };
    yield { type: 'end', coverage: isWhole ? 'all' : 'recent', state: next as unknown as Json };
  }

  /** @param before ids to stop at, newest first, or null to read to the end */
  async function* readList(
    account: Account,
    reader: Reader,
    threads: Threads,
    walk: Walk,
    before: readonly string[] | null,
    isStirred: (status: Listed) => boolean,
    signal: AbortSignal,
  ): AsyncIterable<CollectorEvent> {
    const cursors = new Set<string>();
    let cursor: string | null = null;
    let barren = 0;
    let previous: readonly string[] = [];
    const seen = new Set<string>();
    while (true) {
      signal.throwIfAborted();
      const page = await listPage(account, cursor, signal);
      if ('events' in page) {
        yield* page.events;
        return;
      }
      walk.pages += 1;
      const { answer, parts } = page;
      const ids = parts
        .map(({ value }) => (value as { id?: unknown } | null)?.id)
        .filter((id) => typeof id === 'string');
      // A page whose statuses are all hidden is empty too, and offers a next one.
      if (parts.length === 0 && page.link === null) {
        if (seen.size === 0 && (account.statuses_count ?? 0) > 0) {
          const message = `${service} counts ${account.statuses_count} posts of ${settings.account} but listed none; nothing is taken as deleted.`;
          yield { type: 'page', exchange: answer.exchange, sightings: [], rejected: [] };
          yield {
            type: 'problem',
            problem: { code: 'not-the-expected-format', message, subject: account.actor },
          };
          return;
        }
        yield { type: 'page', exchange: answer.exchange, sightings: [], rejected: [] };
        walk.ended = 'end';
        return;
      }
      if (walk.pages === 2 && page.link === null && ids.join('\n') === previous.join('\n')) {
        // It does not know `max_id`, and says so by not offering a next page.
        yield { type: 'page', exchange: answer.exchange, sightings: [], rejected: [] };
        if (ids.length < USUAL_PAGE_SIZE) walk.ended = 'end';
        else {
          walk.ended = 'known';
          yield problem(
            `${service} shows only the newest ${ids.length} posts of an account, so what is older is not told.`,
            service,
          );
        }
        return;
      }
      const fresh = ids.filter((id) => !seen.has(id));
      for (const id of fresh) seen.add(id);
      learn(reader.known, parts);
      const own: JsonPart[] = [];
      const unreadable = [];
      for (const part of parts) {
        const read = statusOf(part);
        if (read.success && read.data.account.id !== account.id) {
          const reason = 'somebody else’s status in the account’s list, not as a boost';
          unreadable.push({ bytes: part.raw(), exchange: answer.exchange, reason });
          continue;
        }
        own.push(part);
        if (!read.success || !fresh.includes(read.data.id)) continue;
        const listed = listedAs(read.data);
        walk.listed.push(listed);
        const { parent } = listed;
        // What it answers stands in another's thread, or further down the list: only the thread says by which address.
        const isOrphan = listed.isOpen && parent !== null && !reader.known.has(parent);
        if (isOrphan && (isStirred(listed) || read.data.edited_at)) yield* threads.read(listed, signal);
      }
      const read = readAll(reader, own, answer.exchange);
      const put = [...read.unreadable, ...unreadable];
      yield { type: 'page', exchange: answer.exchange, sightings: read.sightings, rejected: put };
      const last = ids.at(-1);
      cursor = page.link ?? last ?? null;
      barren = fresh.length === 0 ? barren + 1 : 0;
      if (cursor === null || cursors.has(cursor) || barren >= BARREN_PAGES) {
        yield { type: 'problem', problem: repeatedCursor(answer) };
        return;
      }
      cursors.add(cursor);
      previous = ids;
      // Where the newest known statuses are all still there, nothing has gone; otherwise the whole account is read to tell what.
      if (before !== null && areStillListed(before, seen)) {
        walk.ended = 'known';
        return;
      }
    }
  }

  /** One page of the list, or, when it is no such page, the events that say so. */
  async function listPage(account: Account, cursor: string | null, signal: AbortSignal) {
    const parameters = { limit: String(PAGE_SIZE), ...(cursor === null ? {} : { max_id: cursor }) };
    try {
      const path = `v1/accounts/${encodeURIComponent(account.id)}/statuses`;
      const answer = await ask(api, path, parameters, signal);
      const document = requireDocument(answer);
      if (!statusList.safeParse(document.value).success)
        throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no list of statuses`);
      return { answer, link: nextOf(answer), parts: document.elements() };
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      return { events: [...quarantined(error), { type: 'problem', problem: error.problem } as const] };
    }
  }

  async function check(signal: AbortSignal): Promise<{ account: string; findings: string[] }> {
    const account = await findAccount(signal);
    const findings = [`${settings.account} is ${account.actor} on ${service}`];
    if (account.statuses_count !== undefined) findings.push(`it counts ${account.statuses_count} posts`);
    const page = await listPage(account, null, signal);
    if ('events' in page) {
      const found = page.events.find((event) => event.type === 'problem');
      throw new CollectError(
        found?.problem.code ?? 'http-status',
        `the posts of ${settings.account} cannot be read: ${found?.problem.message}`,
        account.actor,
      );
    }
    findings.push('its posts can be read');
    const first = page.parts.map(statusOf).find((read) => read.success)?.data;
    if (first === undefined) return { account: settings.account, findings };
    const id = encodeURIComponent(first.id);
    const thread = await ask(api, `v1/statuses/${id}/context`, {}, signal);
    findings.push(
      thread.document === null
        ? `threads cannot be read (${thread.status}): the public’s replies and deletions will not be told${settings.token === null ? '; a token may help' : ''}`
        : 'threads can be read',
    );
    const history = await ask(api, `v1/statuses/${id}/history`, {}, signal);
    findings.push(
      history.document === null ? EDITS_UNTOLD(service) : 'earlier versions of edited posts can be read',
    );
    return { account: settings.account, findings };
  }

  return {
    platform: PLATFORM,
    collectorVersion: 'mastodon/1',
    comparisonRule: 'mastodon-content/1',
    check,
    collect,
    lookUp: (identities, signal, lastCaptured = async () => null) =>
      lookUpStatuses({ api, domain, edits, control, showsThreads }, identities, signal, lastCaptured),
    async fetchMedia(reference, directory, signal) {
      const copy = copies.get(reference.url);
      const download = (address: string) => http.download(address, directory, { signal });
      const either = download(reference.url).catch((error: unknown) => {
        // The author's server may be gone or closed; this one has what its readers were shown.
        if (copy === undefined || !(error instanceof CollectError)) throw error;
        return download(copy);
      });
      return fetchedMedium(either, reference);
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

/** Reads threads one by one, as long as the server does not fail too often. */
class Threads {
  whole = true;
  readonly #reader: Reader;
  #failed = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** @throws CollectError when thread after thread fails */
  async *read(status: Thread, signal: AbortSignal): AsyncIterable<CollectorEvent> {
    const reader = this.#reader;
    if (reader.covered.has(status.id) || reader.threads === 'refused') return;
    reader.covered.add(status.id);
    try {
      yield* readThread(reader, status, signal);
      this.#failed = 0;
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      this.whole = false;
      yield* quarantined(error);
      yield incompleteThread(status.uri, error);
      this.#failed += 1;
      if (this.#failed >= FAILED_THREADS) throw error;
    }
  }
}

function* reports({ api, notShown, closed, threads }: Reader): Iterable<CollectorEvent> {
  const { service, token } = api;
  if (notShown > 0) {
    yield { type: 'reported', what: 'replies not shown', count: notShown };
    if (token === null && threads === 'read')
      yield problem(
        `${service} counts replies that it does not show to whoever has no token: Mastodon stops at 60 below a post. Put a token into the settings.`,
        service,
      );
  }
  if (closed === 0) return;
  yield { type: 'reported', what: 'posts not for everybody', count: closed };
  yield problem(
    'Posts for followers or for single persons are shown to this token. They are not kept: the archive has no compartment for them yet.',
    service,
  );
}

const EDITS_UNTOLD = (service: string): string =>
  `${service} tells that a post was edited, but not what it said before: of several edits between two runs only the last is kept.`;

const problem = (message: string, subject: string): CollectorEvent => ({
  type: 'problem',
  problem: gap(message, subject),
});

function listedAs(status: StatusView): Listed {
  return {
    id: status.id,
    uri: status.uri,
    replies: status.replies_count ?? 0,
    createdAt: status.created_at,
    parent: status.in_reply_to_id || null,
    isOpen: isOpen(status),
    isBoost: Boolean(status.reblog),
  };
}

/** @returns `max_id` of the next page as the Link header (RFC 8288) offers it; null when it offers none. The address itself is not followed. */
function nextOf(answer: ApiAnswer): string | null {
  for (const [, address, parameters] of (answer.headers.link ?? '').matchAll(/<([^>]*)>([^,<]*)/g)) {
    if (!/;\s*rel="?next"?/i.test(parameters ?? '') || !URL.canParse(address as string)) continue;
    return new URL(address as string).searchParams.get('max_id');
  }
  return null;
}

function repeatedCursor(answer: ApiAnswer): Problem {
  const { url } = answer.exchange;
  return {
    code: 'repeated-cursor',
    message: `${url} pages in circles, so the end of the account was not reached.`,
    subject: url,
  };
}

function stateOf(state: Json): State | null {
  const isState = state !== null && typeof state === 'object' && 'account' in state && 'wholeAt' in state;
  return isState ? (state as unknown as State) : null;
}
