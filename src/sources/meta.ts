// Reads an account of a platform of Meta: its profile, its own lists to their ends, and everything below each of its posts. What is particular
// to a platform is its dialect in meta/; what the platforms never tell is told as standing gaps.

import type { Json } from '../core/canonical.ts';
import { instantText } from '../core/clock.ts';
import type { MetaSettings } from '../core/settings.ts';
import { quarantined, UnreadableAnswerError } from './answer.ts';
import { CollectError } from './collect-error.ts';
import type { CollectOptions, Collector, CollectorEvent, Exchange, Problem } from './collector.ts';
import { Http, type HttpDependencies } from './http.ts';
import { fetchedMedium } from './medium.ts';
import { type Api, ask, isNotShown, isUnknownName, listOf, pagesOf, refused } from './meta/api.ts';
import type { Dialect, List, Listed, Place, Profile, Read } from './meta/dialect.ts';
import { lookUpItems } from './meta/look-up.ts';
import type { JsonPart } from './slice.ts';
import { isWholeDue, isYounger, reassigned } from './walk.ts';

/** The most that the platforms give at once. */
const PAGE_SIZE = '100';
/** What stands below younger items is read every time: there is most to answer, and to hide. */
const YOUNG = Temporal.Duration.from({ hours: 24 });
/** How many of the newest items of a list a run leaves for the next one to find its place by. */
const REMEMBERED = 100;
/** Threads in a row that fail before the platform counts as failing. */
const FAILED_THREADS = 5;

/** What a complete run leaves for the next. */
interface State {
  readonly account: string;
  /** When the whole account was last read; null: it is to be read at once, for something that was listed has gone. */
  readonly wholeAt: string | null;
  /** By edge the newest items, newest first, each with its count of replies, its mark and when it ends by itself. */
  readonly newest: Readonly<
    Record<string, readonly (readonly [id: string, replies: number, mark: string, until?: string | null])[]>
  >;
}

/** A walk through one of the account's lists. */
interface Walk {
  readonly listed: Listed[];
  /** *end*: nothing more came. *known*: the rest was read before. *broken*: it could not be read on. */
  ended: 'end' | 'known' | 'broken';
  /** Whether something that the run before saw among the newest was not listed. */
  hasGaps: boolean;
}

/** One run's reading. */
interface Run {
  readonly account: string;
  /** Ids that this run has already offered. */
  readonly offered: Set<string>;
  /** Whether everything below what was to be read was read. */
  threadsWhole: boolean;
  failed: number;
  /** Replies that the platform counts and does not show. */
  notShown: number;
  /** Whether replies came, and whether any named its author. */
  replies: number;
  named: number;
}

/** @param settings the origin of `service`, and no other, may be private */
export function openMetaCollector(
  dialect: Dialect,
  settings: MetaSettings,
  dependencies: HttpDependencies,
): Collector {
  const { service, token } = settings;
  const http = new Http([service], dependencies);
  const api: Api = { http, service, token, version: dialect.version };
  let found: string | null = null;
  let showsReplies = false;

  async function findAccount(signal: AbortSignal): Promise<Profile & { exchange: Exchange }> {
    const answer = await ask(
      api,
      encodeURIComponent(settings.account),
      { fields: dialect.profileFields },
      signal,
    );
    const { exchange, document } = answer;
    if (document === null) {
      if (!isUnknownName(answer) && !isNotShown(answer)) throw refused(answer);
      throw new CollectError(
        'account-not-found',
        `${dialect.name} knows no account ${settings.account}, or shows it not to this token`,
        settings.account,
        { hint: 'Check its id, and that the token is the account’s own.' },
      );
    }
    const profile = dialect.readProfile(document, exchange);
    if (profile === null)
      throw new UnreadableAnswerError(answer, `${exchange.url} gives no account ${settings.account}`);
    return { ...profile, exchange };
  }

  async function* collect({ state, isLatest, signal }: CollectOptions): AsyncIterable<CollectorEvent> {
    found = null;
    showsReplies = false;
    const account = await findAccount(signal);
    const before = stateOf(state);
    if (before !== null && before.account !== account.id)
      throw reassigned(settings.account, {
        what: 'account',
        before: before.account,
        now: account.id,
        isSetting: false,
      });
    found = account.id;
    const { exchange, sighting } = account;
    yield { type: 'page', exchange, sightings: [sighting], rejected: [] };
    for (const [what, count] of Object.entries(account.counts)) yield { type: 'reported', what, count };
    const now = dependencies.clock.now();
    const wholeAt = before?.wholeAt ?? null;
    const isDue = !isLatest || wholeAt === null || isWholeDue(wholeAt, now);
    const run: Run = {
      account: account.id,
      offered: new Set([account.id]),
      threadsWhole: true,
      failed: 0,
      notShown: 0,
      replies: 0,
      named: 0,
    };
    const walks: [List, Walk][] = [];
    for (const list of dialect.lists) {
      const walk: Walk = { listed: [], ended: 'broken', hasGaps: false };
      walks.push([list, walk]);
      const known = (before?.newest[list.edge] ?? []).filter(([, , , until]) => !isOver(until ?? null, now));
      yield* readList(run, list, walk, isDue ? null : known.map(([id]) => id), signal);
    }
    const remembered = new Map(
      Object.values(before?.newest ?? {}).flatMap((all) => all.map((one) => [one[0], one])),
    );
    const isStirred = ({ id, replies, mark, createdAt }: Listed): boolean => {
      const [, count, was] = remembered.get(id) ?? [];
      return count !== replies || was !== mark || isYounger(createdAt, now.subtract(YOUNG));
    };
    // Oldest first, as the lists are newest first.
    for (const one of walks.flatMap(([, { listed }]) => listed.toReversed()))
      if (one.thread !== null && one.replies > 0 && (isDue || isStirred(one)))
        yield* readThread(run, one, signal);
    showsReplies = run.replies > 0;
    const isWhole = isDue && run.threadsWhole && walks.every(([, { ended }]) => ended === 'end');
    for (const [{ sort }, { ended, listed }] of walks)
      if (sort === 'post' && ended === 'end')
        yield { type: 'reported', what: 'posts listed', count: listed.length };
    yield* reports(run);
    // Whether something has gone is for a reading of the whole to tell: the next run's, if this was none.
    const hasGaps = !isDue && walks.some(([, walk]) => walk.hasGaps);
    const next: State = {
      account: account.id,
      wholeAt: isWhole ? instantText(now) : hasGaps ? null : wholeAt,
      newest: Object.fromEntries(
        walks.map(([{ edge }, { listed }]) => [
          edge,
          listed
            .slice(0, REMEMBERED)
            .map(({ id, replies, mark, until }) => [id, replies, mark, until] as const),
        ]),
      ),
    };
    yield { type: 'end', coverage: isWhole ? 'all' : 'recent', state: next as unknown as Json };
  }

  /** Turns a page's parts into its event. @returns what was read for the first time in this run */
  function readParts(
    run: Run,
    parts: readonly JsonPart[],
    exchange: Exchange,
    sort: List['sort'],
    place: Pick<Place, 'list' | 'post'>,
  ): { event: CollectorEvent; listed: Listed[] } {
    const listed: Listed[] = [];
    const sightings = [];
    const unreadable = [];
    for (const part of parts) {
      const read: Read = dialect.read(sort, part, { exchange, account: run.account, ...place });
      if ('rejected' in read) unreadable.push(read.rejected);
      else if (!run.offered.has(read.listed.id)) {
        run.offered.add(read.listed.id);
        sightings.push(read.sighting);
        listed.push(read.listed);
      }
    }
    if (sort === 'reply') {
      run.replies += sightings.length;
      run.named += sightings.filter(({ item }) => item.author.id ?? item.author.handle).length;
    }
    return { event: { type: 'page', exchange, sightings, rejected: unreadable }, listed };
  }

  /** @param before ids to stop at, newest first, or null to read to the end */
  async function* readList(
    run: Run,
    { edge, sort }: List,
    walk: Walk,
    before: readonly string[] | null,
    signal: AbortSignal,
  ): AsyncIterable<CollectorEvent> {
    const seen = new Set<string>();
    const missed = (upTo: number): boolean => (before ?? []).slice(0, upTo + 1).some((id) => !seen.has(id));
    try {
      const path = `${run.account}/${edge}`;
      const parameters = { fields: dialect.fields[sort], limit: PAGE_SIZE };
      for await (const { answer, parts, isLast } of pagesOf(
        api,
        path,
        parameters,
        signal,
        dialect.goesOnWithoutNext,
      )) {
        const { event, listed } = readParts(run, parts, answer.exchange, sort, { list: path, post: null });
        yield event;
        walk.listed.push(...listed);
        for (const { id } of listed) seen.add(id);
        const reached = (before ?? []).findLastIndex((id) => seen.has(id));
        if (!isLast && reached < 0) continue;
        walk.ended = isLast ? 'end' : 'known';
        walk.hasGaps = missed(isLast ? Number.POSITIVE_INFINITY : reached);
        return;
      }
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      yield* quarantined(error);
      yield { type: 'problem', problem: error.problem };
    }
  }

  /** @throws CollectError when thread after thread fails, or the platform wants to be left alone */
  async function* readThread(run: Run, root: Listed, signal: AbortSignal): AsyncIterable<CollectorEvent> {
    const asked = { limit: PAGE_SIZE, ...dialect.threadParameters, fields: dialect.fields.reply };
    const waiting = [root.thread];
    let shown = 0;
    try {
      for (let list = waiting.pop(); typeof list === 'string'; list = waiting.pop()) {
        for await (const { answer, parts } of pagesOf(api, list, asked, signal, dialect.goesOnWithoutNext)) {
          const { event, listed } = readParts(run, parts, answer.exchange, 'reply', { list, post: root.id });
          shown += listed.length;
          waiting.push(...listed.filter(({ replies }) => replies > 0).map(({ thread }) => thread));
          yield event;
        }
      }
      run.notShown += Math.max(0, root.replies - shown);
      run.failed = 0;
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      run.threadsWhole = false;
      yield* quarantined(error);
      yield { type: 'problem', problem: incompleteThread(root.id, error) };
      run.failed += 1;
      if (run.failed >= FAILED_THREADS || error.problem.code === 'rate-limited') throw error;
    }
  }

  function* reports({ notShown, replies, named }: Run): Iterable<CollectorEvent> {
    for (const message of dialect.gaps) yield gap(message);
    if (notShown > 0) {
      // Deleted ones are counted too, so this is no number of what is missing.
      yield { type: 'reported', what: 'replies counted and not shown', count: notShown };
      yield gap(
        `${dialect.name} counts more replies than it shows: also deleted ones, and those of whom it hides.`,
      );
    }
    if (replies > 0 && named === 0)
      yield gap(
        `${dialect.name} names no authors of replies to this token: it lacks a permission, or is not the account’s own.`,
      );
  }

  const gap = (message: string): CollectorEvent => ({
    type: 'problem',
    problem: { code: 'standing-gap', message, subject: settings.account },
  });

  async function check(signal: AbortSignal): Promise<{ account: string; findings: string[] }> {
    const account = await findAccount(signal);
    const findings = [`${settings.account} is ${account.name} (${account.id}) on ${dialect.name}`];
    for (const { edge, sort } of dialect.lists) {
      const list = `${account.id}/${edge}`;
      const answer = await ask(api, list, { fields: dialect.fields[sort], limit: '1' }, signal);
      const [first] = listOf(answer);
      findings.push(`its ${edge.replaceAll('_', ' ')} can be read`);
      const place = { exchange: answer.exchange, account: account.id, list, post: null };
      const read = first === undefined ? null : dialect.read(sort, first, place);
      if (read === null || 'rejected' in read || read.listed.thread === null) continue;
      const asked = { ...dialect.threadParameters, fields: dialect.fields.reply, limit: '1' };
      listOf(await ask(api, read.listed.thread, asked, signal));
      findings.push(`what is below its ${edge.replaceAll('_', ' ')} can be read`);
    }
    return { account: settings.account, findings: [...findings, ...dialect.gaps] };
  }

  return {
    platform: dialect.platform,
    collectorVersion: dialect.collectorVersion,
    comparisonRule: dialect.comparisonRule,
    check,
    collect,
    lookUp: (identities, signal, lastCaptured = async () => null) =>
      lookUpItems({ api, dialect, account: found, showsReplies }, identities, signal, lastCaptured),
    fetchMedia: (reference, directory, signal) =>
      fetchedMedium(http.download(reference.url, directory, { signal }), reference),
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

function incompleteThread(id: string, error: CollectError): Problem {
  const message = `What is below ${id} is incomplete: ${error.problem.message}`;
  return { code: 'incomplete-thread', message, subject: id };
}

function isOver(until: string | null, now: Temporal.Instant): boolean {
  return until !== null && Temporal.Instant.compare(Temporal.Instant.from(until), now) <= 0;
}

function stateOf(state: Json): State | null {
  const isState = state !== null && typeof state === 'object' && 'account' in state && 'newest' in state;
  return isState ? (state as unknown as State) : null;
}
