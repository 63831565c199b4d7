// Reads an account through what one platform says of its lists, threads and look-ups (its dialect): the walk, what is remembered from run to run,
// and what is told, are the same for all that are read this way.

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
import { fetchedMedium } from './medium.ts';
import { areStillListed, type CursorPage, isWholeDue, isYounger, pagesFrom, reassigned } from './walk.ts';

/** What stands below younger items is read every time: there is most to answer, and to take away. */
const YOUNG = Temporal.Duration.from({ hours: 24 });
/** How many of the newest items of a list a run leaves for the next one to find its place by. */
const REMEMBERED = 100;
/** Of the items after which a list ends: one that is so long is taken for cut off. */
const NEAR = 0.95;
/** Threads in a row that fail before the platform counts as failing. */
const FAILED_THREADS = 5;
/** Of the newest items of a list, how many must still be there when a reading in parts has ended. */
const CHECKED = 10;
/** A reading in parts that takes longer says nothing of what has gone, and no longer waits for what fails. */
const LONGEST_READING = Temporal.Duration.from({ hours: 7 * 24 });
/** Of what a reading in parts offered, and of the threads that it has left: with more, it cannot tell what it has seen. */
const MOST_KEPT = 20_000;

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
  /** The oldest item that a reading in parts has reached, where it goes on: what is newer need not be given again. Only a budget leads to one. */
  readonly until: string | null;
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

/** How far a reading in parts has come in a list. */
interface Reached {
  /** The oldest item; null before the first. */
  readonly oldest: string | null;
  readonly isAtEnd: boolean;
  readonly count: number;
}

/** A reading of the whole that a budget broke off, as far as it has come. */
interface Reading {
  readonly begunAt: string;
  readonly lists: Readonly<Record<string, Reached>>;
  /** Threads that are still to be read. */
  readonly waiting: readonly (readonly [thread: string, root: string, replies: number])[];
  /** Ids of all that its parts offered. */
  readonly offered: readonly string[];
  /** Waiting threads that were begun and not read to their end: once more, and they are passed over. */
  readonly tried: readonly string[];
  /** Whether its parts can no longer make a whole. */
  readonly isTorn: boolean;
}

/** What a complete run leaves for the next, and one that a budget broke off. */
interface State {
  readonly account: string;
  /** When the whole account was last read; null: it is to be read at once, for something that was listed has gone. */
  readonly wholeAt: string | null;
  /** By list the newest items, newest first, each with its count of replies. */
  readonly newest: Readonly<Record<string, readonly (readonly [id: string, replies: number])[]>>;
  /** Null or absent: none broke off. */
  readonly reading?: Reading | null;
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

/** Which part of a list is read: down to what is known, newest first, or to its end; from where another part ended. */
interface Span {
  readonly known?: readonly string[];
  /** The newest of the known, where only what came after it is asked for. */
  readonly since?: string | null;
  readonly until?: string | null;
}

type Root = Pick<Listed, 'id' | 'replies'>;

/** One run's reading. */
interface Run {
  readonly account: FoundAccount;
  /** Ids that this run has already offered. */
  readonly offered: Set<string>;
  /** Threads that were not read to their end. */
  readonly waiting: Map<string, Root>;
  /** Threads that this run or the part before it began and did not read to their end. */
  readonly tried: Set<string>;
  /** Whether threads were passed over. */
  isTorn: boolean;
  /** Whether no more is to be asked: the budget is spent, or, where a reading goes on, thread after thread failed. */
  isStopped: boolean;
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
  /** What the parts of the reading before the last run's offered. */
  let offeredBefore: ReadonlySet<string> = new Set();

  async function* collect({ state, isLatest, signal }: CollectOptions): AsyncIterable<CollectorEvent> {
    found = null;
    offeredBefore = new Set();
    const before = stateOf(state);
    let of: FoundAccount;
    try {
      of = await dialect.findAccount(signal);
    } catch (error) {
      if (before === null || !isSpent(error)) throw error;
      yield { type: 'problem', problem: error.problem };
      // Else the next day's run would take it that others came between, and read the whole.
      const kept: State = { ...before, wholeAt: isLatest ? before.wholeAt : null };
      yield { type: 'end', coverage: 'recent', state: kept as unknown as Json, resumable: true };
      return;
    }
    if (before !== null && before.account !== of.id)
      throw reassigned(account, { what: 'account', before: before.account, now: of.id, isSetting: false });
    found = of;
    const begun = before?.reading ?? null;
    offeredBefore = new Set(begun?.offered);
    const run: Run = {
      account: of,
      offered: new Set(),
      waiting: new Map(),
      tried: new Set(begun?.tried),
      isTorn: begun?.isTorn === true,
      isStopped: false,
      failed: 0,
      notShown: 0,
    };
    yield pageOf(run, of.profile);
    for (const [what, count] of Object.entries(of.counts)) yield { type: 'reported', what, count };
    const now = clock.now();
    const wholeAt = before?.wholeAt ?? null;
    const isDue =
      begun !== null || !isLatest || wholeAt === null || isWholeDue(wholeAt, now, dialect.wholeEvery);
    const hadPart =
      begun !== null &&
      (begun.waiting.length > 0 || !dialect.lists.every((name) => begun.lists[name]?.isAtEnd));
    // Where the parts are to make a whole, some of what they began with is asked for again: whether it is still there.
    const sinceOf = (known: readonly string[]): string | null =>
      dialect.asksSince === true ? (known[begun === null || hadPart ? 0 : CHECKED] ?? null) : null;
    /** The newest of each list, where that is not all that is read of it. */
    const heads: Walk[] = [];
    const walks: Walk[] = [];
    const reached: Record<string, Reached> = {};
    for (const name of dialect.lists) {
      const from = begun?.lists[name] ?? { oldest: null, isAtEnd: false, count: 0 };
      const known = (before?.newest[name] ?? []).map(([id]) => id);
      const hasPart = from.oldest !== null || from.isAtEnd;
      const head = walkOf(name);
      if (hasPart || !isDue) {
        heads.push(head);
        if (!run.isStopped) yield* readList(run, head, { known, since: sinceOf(known) }, signal);
      }
      const walk = walkOf(name);
      walks.push(walk);
      if (from.isAtEnd) walk.ended = 'end';
      else if (isDue && !run.isStopped) yield* readList(run, walk, { until: from.oldest }, signal);
      reached[name] = {
        oldest: walk.listed.at(-1)?.id ?? from.oldest,
        isAtEnd: walk.ended === 'end',
        count: from.count + walk.listed.length + head.listed.filter(({ id }) => !known.includes(id)).length,
      };
    }
    const counts = new Map(Object.values(before?.newest ?? {}).flat());
    const isStirred = ({ id, replies, createdAt }: Listed): boolean =>
      counts.get(id) !== replies || isYounger(createdAt, now.subtract(YOUNG));
    for (const [thread, id, replies] of begun?.waiting ?? []) run.waiting.set(thread, { id, replies });
    // Oldest first, as the lists are newest first.
    for (const one of [...walks, ...heads].flatMap(({ listed }) => listed.toReversed()))
      if (one.thread !== null && one.replies > 0 && (isDue || isStirred(one)))
        run.waiting.set(one.thread, one);
    for (const [thread, root] of [...run.waiting])
      if (!run.isStopped) yield* readThread(run, thread, root, begun !== null, signal);
    const begunAt = begun === null ? now : Temporal.Instant.from(begun.begunAt);
    const isLate = Temporal.Instant.compare(begunAt.add(LONGEST_READING), now) <= 0;
    const offered = new Set([...offeredBefore, ...run.offered]);
    const isTorn =
      isLate ||
      run.isTorn ||
      Math.max(offered.size, run.waiting.size) > MOST_KEPT ||
      heads.some(({ hasGaps }) => hasGaps);
    const isAllRead =
      isDue &&
      !run.isStopped &&
      run.waiting.size === 0 &&
      walks.every(({ ended }) => ended === 'end') &&
      heads.every(({ ended }) => ended !== 'broken');
    const [first] = dialect.lists;
    const listed = reached[first ?? '']?.count ?? 0;
    const isCapped = listed >= NEAR * (dialect.listEndsAfter ?? Number.POSITIVE_INFINITY);
    const mayBeWhole = (begun === null || !isTorn) && !isCapped && dialect.showsWholeThreads;
    // The run after the last part says that all was offered: it has a budget for looking up what was not, and is cheap to repeat.
    const isRead = isAllRead && !(hadPart && mayBeWhole);
    if (isRead && !isCapped) yield { type: 'reported', what: 'posts listed', count: listed };
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
    if (run.isStopped && !isDue) {
      // A poll that was broken off is made again from where it began: of its answers none hides another.
      yield { type: 'end', coverage: 'recent', state: before as unknown as Json, resumable: true };
      return;
    }
    const newest = Object.fromEntries(
      dialect.lists.map((name) => {
        const isOf = (walk: Walk): boolean => walk.name === name;
        const parts = { head: heads.find(isOf), walk: walks.find(isOf) };
        return [name, newestOf(parts, before?.newest[name])];
      }),
    );
    const isLeft = isDue && !isRead && (run.isStopped || (begun !== null && !isLate));
    if (isLeft) {
      yield { type: 'reported', what: 'threads not read yet', count: run.waiting.size };
      const waiting = [...run.waiting].map(([thread, { id, replies }]) => [thread, id, replies] as const);
      const reading: Reading = {
        begunAt: instantText(begunAt),
        lists: reached,
        waiting: waiting.slice(0, MOST_KEPT),
        offered: isTorn ? [] : [...offered],
        tried: [...run.tried].filter((thread) => run.waiting.has(thread)),
        isTorn,
      };
      const left: State = { account: of.id, wholeAt, newest, reading };
      yield { type: 'end', coverage: 'recent', state: left as unknown as Json, resumable: true };
      return;
    }
    // Whether something has gone is for a reading of the whole to tell: the next run's, if this was none.
    const hasGaps = !isDue && heads.some((head) => head.hasGaps);
    const isOver = isRead || begun !== null;
    const next: State = {
      account: of.id,
      wholeAt: isOver ? instantText(now) : hasGaps ? null : wholeAt,
      newest,
    };
    const coverage = isRead && mayBeWhole ? 'all' : 'recent';
    const end = { type: 'end', coverage, state: next as unknown as Json } as const;
    // Else one bad item in the last part would have it read, and paid for, with every run. After *all*, what could not be looked up is again.
    yield begun === null || coverage === 'all' ? end : { ...end, resumable: true };
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

  async function* readList(
    run: Run,
    walk: Walk,
    { known, since = null, until = null }: Span,
    signal: AbortSignal,
  ): AsyncIterable<CollectorEvent> {
    const seen = new Set<string>();
    try {
      const ask = (cursor: string | null): Promise<ListPage> =>
        dialect.listPage({ account: run.account, list: walk.name, cursor, since, until, signal });
      for await (const page of pagesFrom(ask, signal)) {
        yield pageOf(run, page);
        for (const one of page.listed) {
          if (!seen.has(one.id)) walk.listed.push(one);
          seen.add(one.id);
        }
        if (known === undefined || since !== null || !known.some((id) => seen.has(id))) continue;
        walk.ended = 'known';
        walk.hasGaps = !areStillListed(known, seen);
        return;
      }
      walk.ended = since === null ? 'end' : 'known';
      const expected = known?.slice(0, since === null ? known.length : known.indexOf(since)) ?? [];
      walk.hasGaps = !expected.every((id) => seen.has(id));
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      run.isStopped ||= isSpent(error);
      yield* quarantined(error);
      yield { type: 'problem', problem: error.problem };
    }
  }

  /**
   * @param isPart whether it belongs to a reading that goes on
   * @throws CollectError when thread after thread fails, or the platform wants to be left alone
   */
  async function* readThread(
    run: Run,
    thread: string,
    root: Root,
    isPart: boolean,
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
      run.waiting.delete(thread);
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      yield* quarantined(error);
      run.isStopped = isSpent(error);
      const isBegun = !run.isStopped || shown.size > 0;
      // One that always fails, or takes more than a day's budget by itself, must not keep a reading from its end for ever.
      const isPassed = isPart && isBegun && run.tried.has(thread);
      if (isBegun) run.tried.add(thread);
      if (isPassed) {
        run.waiting.delete(thread);
        run.isTorn = true;
      }
      if (run.isStopped) yield { type: 'problem', problem: error.problem };
      if (run.isStopped && !isPassed) return;
      const message = `What is below ${root.id} is incomplete: ${error.problem.message}`;
      yield { type: 'problem', problem: { code: 'incomplete-thread', message, subject: root.id } };
      run.failed += 1;
      if (error.problem.code === 'rate-limited') throw error;
      if (run.failed < FAILED_THREADS) return;
      if (!isPart) throw error;
      // What has been read of the part is kept.
      run.isStopped = true;
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
    // A reading in parts has seen these before the part of this run: asking again would pay for the whole twice.
    const isOffered = ({ platformId }: Identity): boolean => offeredBefore.has(platformId);
    for (const identity of identities.filter(isOffered)) yield { identity, state: 'present', sighting: null };
    const unseen = identities.filter((identity) => !isOffered(identity));
    for (let from = 0; from < unseen.length; from += dialect.lookUpBatch) {
      const batch = unseen.slice(from, from + dialect.lookUpBatch);
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
        await dialect.listPage({ account: of, list, cursor: null, since: null, until: null, signal });
        findings.push(`its list of ${list} can be read`);
      }
      return { account, findings: [...findings, ...(of.findings ?? []), ...dialect.gaps] };
    },
    collect,
    lookUp,
    fetchMedia: (reference, directory, signal) =>
      fetchedMedium(http.download(reference.url, directory, { signal }), reference),
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

const walkOf = (name: string): Walk => ({ name, listed: [], ended: 'broken', hasGaps: false });

function isSpent(error: unknown): error is CollectError {
  return error instanceof CollectError && error.problem.code === 'budget-spent';
}

/** A walk to what was known before is followed by that, and where it broke off it says nothing of what is between. */
function newestOf(
  { head, walk }: { readonly head: Walk | undefined; readonly walk: Walk | undefined },
  before: State['newest'][string] = [],
): State['newest'][string] {
  const of = (one: Walk | undefined) => (one?.listed ?? []).map(({ id, replies }) => [id, replies] as const);
  const fresh = head === undefined || head.ended === 'broken' ? [] : of(head);
  const rest = head === undefined || head.ended === 'end' ? [] : before;
  const all = new Map<string, number>();
  for (const [id, replies] of [...fresh, ...rest, ...of(walk)]) if (!all.has(id)) all.set(id, replies);
  return [...all].slice(0, REMEMBERED);
}

function stateOf(state: Json): State | null {
  const isState = state !== null && typeof state === 'object' && 'account' in state && 'newest' in state;
  return isState ? (state as unknown as State) : null;
}
