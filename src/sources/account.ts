// Reads an account through what one platform says of its lists, threads and look-ups (its dialect): the walk, what is remembered from run to run,
// and what is told, are the same for all that are read this way.

import { rm } from 'node:fs/promises';
import type { Json } from '../core/canonical.ts';
import { type Clock, instantText } from '../core/clock.ts';
import type { Identity } from '../core/vocabulary.ts';
import { quarantined } from './answer.ts';
import { CollectError } from './collect-error.ts';
import type {
  CollectOptions,
  Collector,
  CollectorEvent,
  Exchange,
  LastCaptured,
  LookUp,
  PageEvent,
  Rejected,
  Sighting,
} from './collector.ts';
import type { Http } from './http.ts';
import { areStillListed, type CursorPage, isWholeDue, isYounger, pagesFrom, reassigned } from './walk.ts';

/** What stands below younger items is read every time: there is most to answer, and to take away. */
const YOUNG = Temporal.Duration.from({ hours: 24 });
/** How many of the newest items of a list a run leaves for the next one to find its place by. */
const REMEMBERED = 100;
/** Of the items after which a list ends: one that is so long is taken for cut off. */
const NEAR = 0.95;
/** Threads in a row that fail before the platform counts as failing. */
const FAILED_THREADS = 5;

/** What is remembered of an item of the account's lists until its replies have been read. */
export interface Listed {
  readonly id: string;
  /** As the platform counts them. */
  readonly replies: number;
  readonly createdAt: string | null;
  /** What its replies are asked for by; null where they need not be asked for. */
  readonly thread: string | null;
}

/** What one answer holds. An item that is a mere trace of a deletion is neither a sighting nor rejected: it is looked up. */
export interface Seen {
  readonly exchange: Exchange;
  readonly sightings: readonly Sighting[];
  readonly rejected: readonly Rejected[];
}

export interface ListPage extends Seen, CursorPage {
  readonly listed: readonly Listed[];
}

export interface FoundAccount {
  readonly id: string;
  /** For people. */
  readonly name: string;
  /** What the platform counts, by the names that run reports give it. */
  readonly counts: Readonly<Record<string, number>>;
  readonly profile: Seen;
  /** What trying the source tells beside: sentences. */
  readonly findings?: readonly string[];
}

export interface ListAsking {
  readonly account: FoundAccount;
  readonly list: string;
  readonly cursor: string | null;
  /** The newest item that the run before saw, where only what came after it is wanted. */
  readonly since: string | null;
  readonly signal: AbortSignal;
}

export interface LookUpAsking {
  /** As the run found it; null when none did. */
  readonly account: FoundAccount | null;
  readonly signal: AbortSignal;
  readonly lastCaptured: (identity: Identity) => Promise<LastCaptured | null>;
}

/** What is particular to one platform. Every function throws CollectError for what cannot be read. */
export interface AccountDialect {
  readonly platform: string;
  /** For people. */
  readonly name: string;
  readonly collectorVersion: string;
  readonly comparisonRule: string;
  /** The account's lists, newest first; the first is that of all its posts. */
  readonly lists: readonly string[];
  /** How often everything is read, in hours; undefined: daily. */
  readonly wholeEvery?: Temporal.Duration;
  /** Whether a list can be asked for what came after an item: then a run between two readings of the whole does so. */
  readonly asksSince?: boolean;
  /** What the platform never tells, whoever asks, under these settings: sentences. */
  readonly gaps: readonly string[];
  /** Whether all that exists below the account's items is shown, however old it is; else no run claims to have been offered all. */
  readonly showsWholeThreads: boolean;
  /** Items after which the first list ends though there are more, or a little before, for what was deleted is left out; null where it shows all. */
  readonly listEndsAfter: number | null;
  readonly findAccount: (signal: AbortSignal) => Promise<FoundAccount>;
  readonly listPage: (asking: ListAsking) => Promise<ListPage>;
  /** Everybody's replies below an item, at any depth. */
  readonly threadPages: (account: FoundAccount, thread: string, signal: AbortSignal) => AsyncIterable<Seen>;
  /** How many look-ups one question answers. */
  readonly lookUpBatch: number;
  /** @returns one answer for each identity. Only the platform's own word about an item may say that it is missing. */
  readonly lookUp: (identities: readonly Identity[], asking: LookUpAsking) => Promise<readonly LookUp[]>;
}

/** What a complete run leaves for the next. */
interface State {
  readonly account: string;
  /** When the whole account was last read; null: it is to be read at once, for something that was listed has gone. */
  readonly wholeAt: string | null;
  /** By list the newest items, newest first, each with its count of replies. */
  readonly newest: Readonly<Record<string, readonly (readonly [id: string, replies: number])[]>>;
}

/** A walk through one of the account's lists. */
interface Walk {
  readonly name: string;
  readonly listed: Listed[];
  /** *end*: nothing more came. *known*: the rest was read before. *broken*: it could not be read on. */
  ended: 'end' | 'known' | 'broken';
  /** Whether something that the run before saw among the newest was not listed. */
  hasGaps: boolean;
}

/** One run's reading. */
interface Run {
  readonly account: FoundAccount;
  /** Ids that this run has already offered. */
  readonly offered: Set<string>;
  threadsWhole: boolean;
  failed: number;
  /** Replies that the platform counts and does not show. */
  notShown: number;
}

/** @param account as it stands in the settings. @param http is closed with the collector */
export function openAccountCollector(
  dialect: AccountDialect,
  account: string,
  { http, clock }: { readonly http: Http; readonly clock: Clock },
): Collector {
  let found: FoundAccount | null = null;

  async function* collect({ state, isLatest, signal }: CollectOptions): AsyncIterable<CollectorEvent> {
    found = null;
    const of = await dialect.findAccount(signal);
    const before = stateOf(state);
    if (before !== null && before.account !== of.id)
      throw reassigned(account, { what: 'account', before: before.account, now: of.id, isSetting: false });
    found = of;
    const run: Run = { account: of, offered: new Set(), threadsWhole: true, failed: 0, notShown: 0 };
    yield pageOf(run, of.profile);
    for (const [what, count] of Object.entries(of.counts)) yield { type: 'reported', what, count };
    const now = clock.now();
    const wholeAt = before?.wholeAt ?? null;
    const isDue = !isLatest || wholeAt === null || isWholeDue(wholeAt, now, dialect.wholeEvery);
    const walks: Walk[] = [];
    for (const name of dialect.lists) {
      const walk: Walk = { name, listed: [], ended: 'broken', hasGaps: false };
      walks.push(walk);
      yield* readList(run, walk, isDue ? null : (before?.newest[name] ?? []).map(([id]) => id), signal);
    }
    const counts = new Map(Object.values(before?.newest ?? {}).flat());
    const isStirred = ({ id, replies, createdAt }: Listed): boolean =>
      counts.get(id) !== replies || isYounger(createdAt, now.subtract(YOUNG));
    const roots = new Map<string, Listed>();
    // Oldest first, as the lists are newest first.
    for (const one of walks.flatMap(({ listed }) => listed.toReversed()))
      if (one.thread !== null && one.replies > 0 && (isDue || isStirred(one))) roots.set(one.thread, one);
    for (const [thread, one] of roots) yield* readThread(run, thread, one, signal);
    const [first] = walks;
    const end = dialect.listEndsAfter ?? Number.POSITIVE_INFINITY;
    const isCapped = first !== undefined && first.listed.length >= NEAR * end;
    const isRead = isDue && run.threadsWhole && walks.every(({ ended }) => ended === 'end');
    if (isRead && !isCapped && first !== undefined)
      yield { type: 'reported', what: 'posts listed', count: first.listed.length };
    for (const message of dialect.gaps) yield gap(message);
    if (isCapped)
      yield gap(
        `${dialect.name} lists only the newest ${dialect.listEndsAfter} items: nothing tells what became of older ones, nor what was written below them since.`,
      );
    if (run.notShown > 0) {
      // Deleted ones may be counted too, so this is no number of what is missing.
      yield { type: 'reported', what: 'replies counted and not shown', count: run.notShown };
      yield gap(
        `${dialect.name} counts more replies than it shows: deleted ones may be among them, and those that it hides.`,
      );
    }
    // Whether something has gone is for a reading of the whole to tell: the next run's, if this was none.
    const hasGaps = !isDue && walks.some((walk) => walk.hasGaps);
    const next: State = {
      account: of.id,
      wholeAt: isRead ? instantText(now) : hasGaps ? null : wholeAt,
      newest: Object.fromEntries(walks.map((walk) => [walk.name, newestOf(walk, before?.newest[walk.name])])),
    };
    const coverage = isRead && !isCapped && dialect.showsWholeThreads ? 'all' : 'recent';
    yield { type: 'end', coverage, state: next as unknown as Json };
  }

  /** @returns the event of what was seen for the first time in this run */
  function pageOf({ offered }: Run, { exchange, sightings, rejected }: Seen): PageEvent {
    const fresh = sightings.filter(({ identity: { platformId } }) => {
      const isFresh = !offered.has(platformId);
      offered.add(platformId);
      return isFresh;
    });
    return { type: 'page', exchange, sightings: fresh, rejected };
  }

  /** @param known ids to stop at, newest first, or null to read to the end */
  async function* readList(
    run: Run,
    walk: Walk,
    known: readonly string[] | null,
    signal: AbortSignal,
  ): AsyncIterable<CollectorEvent> {
    const seen = new Set<string>();
    const since = dialect.asksSince === true ? (known?.[0] ?? null) : null;
    try {
      const ask = (cursor: string | null): Promise<ListPage> =>
        dialect.listPage({ account: run.account, list: walk.name, cursor, since, signal });
      for await (const page of pagesFrom(ask, signal)) {
        yield pageOf(run, page);
        for (const one of page.listed) {
          if (!seen.has(one.id)) walk.listed.push(one);
          seen.add(one.id);
        }
        if (known === null || since !== null || !known.some((id) => seen.has(id))) continue;
        walk.ended = 'known';
        walk.hasGaps = !areStillListed(known, seen);
        return;
      }
      walk.ended = since === null ? 'end' : 'known';
      walk.hasGaps = since === null && (known ?? []).length > 0;
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      yield* quarantined(error);
      yield { type: 'problem', problem: error.problem };
    }
  }

  /** @throws CollectError when thread after thread fails, or the platform wants to be left alone */
  async function* readThread(
    run: Run,
    thread: string,
    root: Listed,
    signal: AbortSignal,
  ): AsyncIterable<CollectorEvent> {
    const shown = new Set<string>();
    try {
      for await (const page of dialect.threadPages(run.account, thread, signal)) {
        for (const { identity } of page.sightings) shown.add(identity.platformId);
        yield pageOf(run, page);
      }
      run.notShown += Math.max(0, root.replies - shown.size);
      run.failed = 0;
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      run.threadsWhole = false;
      yield* quarantined(error);
      const message = `What is below ${root.id} is incomplete: ${error.problem.message}`;
      yield { type: 'problem', problem: { code: 'incomplete-thread', message, subject: root.id } };
      run.failed += 1;
      const { code } = error.problem;
      if (run.failed >= FAILED_THREADS || code === 'rate-limited' || code === 'budget-spent') throw error;
    }
  }

  const gap = (message: string): CollectorEvent => ({
    type: 'problem',
    problem: { code: 'standing-gap', message, subject: account },
  });

  async function* lookUp(
    identities: readonly Identity[],
    signal: AbortSignal,
    lastCaptured: LookUpAsking['lastCaptured'] = async () => null,
  ): AsyncIterable<LookUp> {
    for (let from = 0; from < identities.length; from += dialect.lookUpBatch) {
      const batch = identities.slice(from, from + dialect.lookUpBatch);
      try {
        yield* await dialect.lookUp(batch, { account: found, signal, lastCaptured });
      } catch (error) {
        if (!(error instanceof CollectError)) throw error;
        for (const identity of batch) yield unknown(identity, error);
      }
    }
  }

  return {
    platform: dialect.platform,
    collectorVersion: dialect.collectorVersion,
    comparisonRule: dialect.comparisonRule,
    async check(signal) {
      const of = await dialect.findAccount(signal);
      const findings = [`${account} is ${of.name} (${of.id}) on ${dialect.name}`];
      for (const list of dialect.lists) {
        await dialect.listPage({ account: of, list, cursor: null, since: null, signal });
        findings.push(`its list of ${list} can be read`);
      }
      return { account, findings: [...findings, ...(of.findings ?? []), ...dialect.gaps] };
    },
    collect,
    lookUp,
    async fetchMedia(reference, directory, signal) {
      const { contentType, ...fetched } = await http.download(reference.url, directory, { signal });
      const received = contentType?.split(';')[0]?.trim().toLowerCase() ?? null;
      if (received === 'text/html') {
        await rm(fetched.file, { force: true });
        const { url } = fetched.exchange;
        throw new CollectError('media', `${url} answered with a web page instead of the medium`, url);
      }
      return { ...fetched, mediaType: received ?? reference.mediaType ?? 'application/octet-stream' };
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

/** @returns the answer to a look-up that told nothing */
export function unknown(identity: Identity, error: CollectError): LookUp {
  const { code, message } = error.problem;
  const { platformId: subject } = identity;
  const problem = { code, message: `${subject} could not be looked up: ${message}`, subject };
  return { identity, state: 'unknown', problem };
}

/** A walk that asked for what is new alone is followed by what was known before it. */
function newestOf({ listed, ended }: Walk, before: State['newest'][string] = []): State['newest'][string] {
  const now = listed.map(({ id, replies }) => [id, replies] as const);
  const ids = new Set(now.map(([id]) => id));
  const rest = ended === 'known' ? before.filter(([id]) => !ids.has(id)) : [];
  return [...now, ...rest].slice(0, REMEMBERED);
}

function stateOf(state: Json): State | null {
  const isState = state !== null && typeof state === 'object' && 'account' in state && 'newest' in state;
  return isState ? (state as unknown as State) : null;
}
