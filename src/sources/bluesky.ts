// Reads an account on Bluesky (AT Protocol) over its public HTTP methods: the account's posts, replies and reposts, then everybody's
// replies below them. A long feed is read to its end once a day, and in between until it meets what is known. How one answer becomes items
// is in bluesky/sighting.ts.

import { rm } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Json } from '../core/canonical.ts';
import { instantText } from '../core/clock.ts';
import type { BlueskySettings } from '../core/settings.ts';
import { quarantined, rejected, UnreadableAnswerError } from './answer.ts';
import { sha256OfContentId } from './bluesky/content-id.ts';
import { lookUpItems } from './bluesky/look-up.ts';
import { faultOfProof } from './bluesky/proof.ts';
import { Repositories } from './bluesky/repositories.ts';
import {
  type Beside,
  momentOrNull,
  PLATFORM,
  PROFILE_KEY,
  PROFILES,
  parseAtUri,
  profileComparison,
  readPost,
  readProfile,
  readRepost,
  showsProfile,
} from './bluesky/sighting.ts';
import { incompleteThread, readThread, type ThreadReader } from './bluesky/threads.ts';
import { feedPage, type ProfileView, profileView, repoRecord, resolvedHandle } from './bluesky/views.ts';
import { callXrpc, requireAccepted, type XrpcAnswer, xrpcAddress } from './bluesky/xrpc.ts';
import { CollectError } from './collect-error.ts';
import type {
  CollectOptions,
  Collector,
  CollectorEvent,
  FetchedMedia,
  MediaReference,
  Problem,
  Rejected,
  Sighting,
} from './collector.ts';
import { Http, type HttpDependencies } from './http.ts';
import { areStillListed, isWholeDue, isYounger, reassigned } from './walk.ts';

const PAGE_SIZE = '100';
/** Pages in a row that bring nothing new before the feed counts as going in circles. */
const BARREN_PAGES = 3;
/** Threads in a row that fail before the service counts as failing. */
const FAILED_THREADS = 5;
/** A feed that is read to its end in so many requests is read so every time. A longer one is once a day; in between, only what is new. */
const SHORT_FEED = 2;
/** Threads of younger posts are read every time; others when the count of replies changes, and when the whole account is read. */
const YOUNG = Temporal.Duration.from({ hours: 7 * 24 });
/** How many of the newest elements a run leaves for the next one to find its place by: more than a page. */
const REMEMBERED = 2 * Number(PAGE_SIZE);
const PROOF = 'com.atproto.sync.getRecord';
/** Proofs in a row that fail before none is asked for any more in a run. */
const UNPROVED = 5;

interface Account {
  readonly did: string;
  readonly handle: string;
  readonly postsCount: number | null;
  readonly profile: ProfileView;
  readonly answer: XrpcAnswer;
}

/** What a complete run leaves for the next. */
interface State {
  readonly account: string;
  /** When the whole account was last read. */
  readonly wholeAt: string;
  /** Requests that its feed took then. */
  readonly pages: number;
  /** Posts that the service counted. */
  readonly posts: number | null;
  /** The newest elements of the feed, newest first, each with its count of replies. */
  readonly newest: readonly (readonly [uri: string, replies: number])[];
  /** What stood in the profile, and the content id of its record, so that this is asked for only when that changes. */
  readonly profile?: { readonly shown: Json; readonly cid: string | null };
}

/** What is remembered of an element until the feed has been read. */
interface Listed {
  readonly uri: string;
  readonly kind: 'root' | 'reply' | 'repost';
  readonly replies: number;
  /** When the service first saw it; null where it does not say. */
  readonly indexedAt: string | null;
}

/** A walk through the account's feed. */
interface Feed {
  /** Newest first. */
  readonly listed: Listed[];
  unnamedReposts: number;
  pages: number;
  /** *end*: nothing more came. *known*: the rest was read before, and nothing has gone. *broken*: a part of it could not be read. */
  ended: 'end' | 'known' | 'broken';
}

/**
 * @param settings `repository`, when set, is the configured account's server only; other authors' servers are found by their
 *   DID documents. The origins in the settings, and no others, may be private.
 */
export function openBlueskyCollector(settings: BlueskySettings, dependencies: HttpDependencies): Collector {
  const { service } = settings;
  const trusted = [
    service,
    settings.directory,
    ...(settings.repository === null ? [] : [settings.repository]),
  ];
  const http = new Http(trusted, dependencies);
  const repositories = new Repositories(http, settings);

  /** The server is resolved again when bytes are fetched; an address that can't be told now must not stop the item. */
  const blobAddress = (signal: AbortSignal) => async (did: string, contentId: string) => {
    let origin = new URL(settings.repository ?? service).origin;
    try {
      const located = await repositories.locate(did, signal);
      if ('origin' in located) ({ origin } = located);
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
    }
    return xrpcAddress(origin, 'com.atproto.sync.getBlob', { did, cid: contentId });
  };

  let proved = 0;
  let unproved = 0;

  const besideOf = (signal: AbortSignal): Beside => ({
    blobAddress: blobAddress(signal),
    async proofs(uri, contentId) {
      const at = parseAtUri(uri);
      if (settings.proofs === 0 || at === null || at.did !== repositories.account) return [];
      const { did, collection, rkey } = at;
      let origin = new URL(settings.repository ?? service).origin;
      try {
        const located = await repositories.locate(did, signal);
        if ('origin' in located) ({ origin } = located);
      } catch (error) {
        if (!(error instanceof CollectError)) throw error;
      }
      const url = xrpcAddress(origin, PROOF, { did, collection, rkey });
      return [{ role: 'proof', url, alt: null, mediaType: 'application/vnd.ipld.car', contentId }];
    },
  });

  /** A record's proof, once it has been checked. It is an addition: where it can't be had, the record lacks nothing else. */
  async function fetchProof(
    reference: MediaReference,
    directory: string,
    signal: AbortSignal,
  ): Promise<FetchedMedia> {
    const asked = new URL(reference.url).searchParams;
    const [did, collection, rkey] = ['did', 'collection', 'rkey'].map((name) => asked.get(name) ?? '');
    const uri = `at://${did}/${collection}/${rkey}`;
    if (unproved >= UNPROVED)
      throw unprovable(
        `${UNPROVED} records could not be proved in this run, so no more was asked for.`,
        null,
      );
    if (proved >= settings.proofs)
      throw unprovable(
        `A run of ${settings.id} proves ${settings.proofs} records at most; what was new beyond that is kept without the proof that the account signed it. An export of the repository proves all of it at once.`,
        null,
      );
    proved += 1;
    let file: string | null = null;
    try {
      await knowAccount(signal);
      const key = await repositories.signingKey(did as string, signal);
      const located = await repositories.locate(did as string, signal);
      if (typeof key === 'string' || 'gone' in located)
        throw unprovable(
          `${uri} is not proved: ${typeof key === 'string' ? key : 'the account is gone'}.`,
          uri,
        );
      const address = xrpcAddress(located.origin, PROOF, Object.fromEntries(asked));
      const fetched = await http.download(address, directory, { signal });
      ({ file } = fetched);
      const claim = {
        did: did as string,
        key: `${collection}/${rkey}`,
        contentId: reference.contentId as string,
      };
      const fault = await faultOfProof(file, claim, key, signal);
      if (fault !== null) throw unprovable(`${uri} is not proved: ${fault}.`, uri);
      unproved = 0;
      return { ...fetched, mediaType: reference.mediaType ?? 'application/vnd.ipld.car' };
    } catch (error) {
      if (file !== null) await rm(file, { force: true });
      unproved += 1;
      // A server that does not give proofs will not give them later.
      if (error instanceof CollectError && error.problem.code === 'media')
        throw unprovable(`${uri} is not proved: ${error.message}.`, uri);
      throw error;
    }
  }

  async function findAccount(signal: AbortSignal): Promise<Account> {
    const did = settings.account.startsWith('did:')
      ? settings.account
      : await resolveHandle(settings.account.replace(/^@/, ''), signal);
    repositories.begin(did);
    const answer = await callXrpc(http, service, 'app.bsky.actor.getProfile', { actor: did }, signal);
    if (answer.error !== null) throw accountError(settings.account, answer);
    const profile = profileView.safeParse(answer.document.value);
    if (!profile.success || profile.data.did !== did)
      throw new UnreadableAnswerError(answer, `${service} gives no profile of ${did}`);
    const { handle, postsCount } = profile.data;
    return { did, handle, postsCount: postsCount ?? null, profile: profile.data, answer };
  }

  /** The content id of the profile's record; null when the repository does not give it, which takes nothing from what the service shows. */
  async function profileId(did: string, signal: AbortSignal): Promise<string | null> {
    try {
      const located = await repositories.locate(did, signal);
      if ('gone' in located) return null;
      const parameters = { repo: did, collection: PROFILES, rkey: PROFILE_KEY };
      const answer = await callXrpc(http, located.origin, 'com.atproto.repo.getRecord', parameters, signal);
      const record = repoRecord.safeParse(answer.document.value);
      return record.success && parseAtUri(record.data.uri)?.did === did ? (record.data.cid ?? null) : null;
    } catch (error) {
      if (error instanceof CollectError) return null;
      throw error;
    }
  }

  /** The profile, where the account has one, as a page of its own, and what the next run is to know of it. */
  async function profilePage(
    { did, profile, answer }: Account,
    before: State['profile'],
    signal: AbortSignal,
  ): Promise<{ events: CollectorEvent[]; known: State['profile'] }> {
    if (!showsProfile(profile)) return { events: [], known: undefined };
    const shown = profileComparison(profile);
    const isKnown = before !== undefined && before.cid !== null && isDeepStrictEqual(before.shown, shown);
    const cid = isKnown ? before.cid : await profileId(did, signal);
    const { document, exchange } = answer;
    const sighting = await readProfile(document, profile, cid, exchange, besideOf(signal));
    const unreadable =
      sighting === null ? [rejected(document, exchange, 'the profile nests too deeply').rejected] : [];
    const sightings = sighting === null ? [] : [sighting];
    return {
      events: [{ type: 'page', exchange, sightings, rejected: unreadable }],
      known: { shown, cid },
    };
  }

  async function resolveHandle(handle: string, signal: AbortSignal): Promise<string> {
    const answer = await callXrpc(http, service, 'com.atproto.identity.resolveHandle', { handle }, signal);
    if (answer.error !== null) throw accountError(handle, answer);
    const resolved = resolvedHandle.safeParse(answer.document.value);
    if (!resolved.success) throw new UnreadableAnswerError(answer, `${service} gives no DID for ${handle}`);
    return resolved.data.did;
  }

  /** A pinned repository server is the account's: outside a run, the account has to be found first. */
  async function knowAccount(signal: AbortSignal): Promise<void> {
    if (settings.repository !== null && repositories.account === null) await findAccount(signal);
  }

  async function* collect({ state, isLatest, signal }: CollectOptions): AsyncIterable<CollectorEvent> {
    proved = 0;
    unproved = 0;
    const account = await findAccount(signal);
    const known = accountOf(state);
    if (known !== null && known !== account.did)
      throw reassigned(settings.account, {
        what: 'account',
        before: known,
        now: account.did,
        isSetting: true,
      });
    const before = stateOf(state);
    const now = dependencies.clock.now();
    const isDue =
      before === null || !isLatest || before.pages <= SHORT_FEED || isWholeDue(before.wholeAt, now);
    if (account.postsCount !== null) yield { type: 'reported', what: 'posts', count: account.postsCount };
    const reader: ThreadReader = {
      http,
      service,
      beside: besideOf(signal),
      offered: new Set(),
      covered: new Set(),
      notShown: 0,
    };
    const profile = await profilePage(account, before?.profile, signal);
    yield* profile.events;
    const feed: Feed = { listed: [], unnamedReposts: 0, pages: 0, ended: 'broken' };
    yield* readFeed(account, reader, feed, isDue ? null : before, signal);
    const remembered = new Map(before?.newest);
    // Where the feed was not read to its end, a thread of an old post is worth a request only if something happened in it.
    const isStirred = ({ uri, replies, indexedAt }: Listed): boolean =>
      feed.ended !== 'known' || remembered.get(uri) !== replies || isYounger(indexedAt, now.subtract(YOUNG));
    const wanted = feed.listed.filter((one) => one.kind !== 'repost' && one.replies > 0 && isStirred(one));
    let whole = feed.ended !== 'broken';
    let failed = 0;
    // Roots first: most of the account's own replies stand in those threads already. Oldest first, as the feed is newest first.
    const roots = wanted.filter(({ kind }) => kind === 'root').reverse();
    for (const { uri } of [...roots, ...wanted.filter(({ kind }) => kind === 'reply').reverse()]) {
      signal.throwIfAborted();
      if (reader.covered.has(uri)) continue;
      try {
        yield* readThread(reader, uri, signal);
        failed = 0;
      } catch (error) {
        if (!(error instanceof CollectError)) throw error;
        whole = false;
        yield* quarantined(error);
        yield incompleteThread(uri, error);
        failed += 1;
        if (failed >= FAILED_THREADS) throw error;
      }
    }
    // Only an end that was reached says that what was not listed is lacking.
    const isWhole = whole && feed.ended === 'end';
    if (feed.ended === 'end') yield { type: 'reported', what: 'posts listed', count: postsOf(feed.listed) };
    if (reader.notShown > 0) yield { type: 'reported', what: 'replies not shown', count: reader.notShown };
    if (feed.unnamedReposts > 0)
      yield { type: 'reported', what: 'reposts without an address', count: feed.unnamedReposts };
    const next: State = {
      account: account.did,
      wholeAt: isWhole || before === null ? instantText(now) : before.wholeAt,
      pages: isWhole || before === null ? feed.pages : before.pages,
      posts: account.postsCount,
      newest: feed.listed.slice(0, REMEMBERED).map(({ uri, replies }) => [uri, replies]),
      ...(profile.known === undefined ? {} : { profile: profile.known }),
    };
    yield { type: 'end', coverage: isWhole ? 'all' : 'recent', state: next as unknown as Json };
  }

  /**
   * Reads the account's feed page by page.
   * @param before what to stop at, or null to read to the end
   */
  async function* readFeed(
    account: Account,
    reader: ThreadReader,
    feed: Feed,
    before: State | null,
    signal: AbortSignal,
  ): AsyncIterable<CollectorEvent> {
    let isReadable = true;
    const cursors = new Set<string>();
    let cursor: string | undefined;
    let barren = 0;
    let elements = 0;
    while (true) {
      signal.throwIfAborted();
      const parameters = {
        actor: account.did,
        filter: 'posts_with_replies',
        limit: PAGE_SIZE,
        ...(cursor === undefined ? {} : { cursor }),
      };
      const page = await feedAnswer(parameters, signal);
      if ('events' in page) {
        yield* page.events;
        return;
      }
      feed.pages += 1;
      const sightings: Sighting[] = [];
      const unreadable: Rejected[] = [];
      for (const part of page.parts) {
        elements += 1;
        const reason = part.member('reason')?.value as { $type?: unknown } | undefined;
        const isRepost = reason?.$type === 'app.bsky.feed.defs#reasonRepost';
        const post = part.member('post');
        const read = isRepost
          ? await readRepost(part, page.answer.exchange, account.did, reader.beside)
          : post === undefined
            ? rejected(part, page.answer.exchange, 'an element of a feed without a post')
            : await readPost(post, page.answer.exchange, reader.beside);
        if (read === null) feed.unnamedReposts += 1;
        else if ('rejected' in read) unreadable.push(read.rejected);
        else if (!isRepost && read.post.author.did !== account.did) {
          unreadable.push({
            bytes: part.raw(),
            exchange: page.answer.exchange,
            reason: 'somebody else’s post in the account’s feed, not as a repost',
          });
        } else {
          const { platformId } = read.sighting.identity;
          if (reader.offered.has(platformId)) continue;
          reader.offered.add(platformId);
          sightings.push(read.sighting);
          feed.listed.push({
            uri: platformId,
            kind: isRepost ? 'repost' : read.sighting.item.kind === 'reply' ? 'reply' : 'root',
            replies: isRepost ? 0 : (read.post.replyCount ?? 0),
            indexedAt: isRepost ? null : momentOrNull(read.post.indexedAt ?? ''),
          });
        }
      }
      if (unreadable.length > 0) isReadable = false;
      yield { type: 'page', exchange: page.answer.exchange, sightings, rejected: unreadable };
      cursor = page.cursor;
      // An empty page may have pages behind it: what is not shown is left out of a page after it was counted.
      if (cursor === undefined || (page.parts.length === 0 && cursors.has(cursor))) break;
      barren = sightings.length === 0 ? barren + 1 : 0;
      if (cursors.has(cursor) || barren >= BARREN_PAGES) {
        yield { type: 'problem', problem: repeatedCursor(page.answer) };
        return;
      }
      cursors.add(cursor);
      if (before !== null && isReadable && isUnchangedBelow(before, feed.listed, account.postsCount)) {
        feed.ended = 'known';
        return;
      }
    }
    if (elements === 0 && (account.postsCount ?? 0) > 0) {
      const message = `${service} counts ${account.postsCount} posts of @${account.handle} but listed none; nothing is taken as deleted.`;
      yield { type: 'problem', problem: { code: 'not-the-expected-format', message, subject: account.did } };
      return;
    }
    if (isReadable) feed.ended = 'end';
  }

  /** One page of the feed, or, when it is no such page after earlier ones were, the events that say so. */
  async function feedAnswer(parameters: Record<string, string>, signal: AbortSignal) {
    try {
      const answer = await callXrpc(http, service, 'app.bsky.feed.getAuthorFeed', parameters, signal);
      const document = requireAccepted(answer);
      const page = feedPage.safeParse(document.value);
      if (!page.success) throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no feed`);
      return { answer, cursor: page.data.cursor, parts: document.member('feed')?.elements() ?? [] };
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      return { events: [...quarantined(error), { type: 'problem', problem: error.problem } as const] };
    }
  }

  async function check(signal: AbortSignal): Promise<{ account: string; findings: string[] }> {
    const account = await findAccount(signal);
    const located = await repositories.locate(account.did, signal);
    const findings = [`@${account.handle} is ${account.did}`];
    if (account.postsCount !== null) findings.push(`${service} counts ${account.postsCount} posts`);
    if ('gone' in located)
      throw new CollectError(
        'account-not-found',
        `the directory says that ${account.did} is gone`,
        account.did,
      );
    findings.push(`its repository is at ${located.origin}`);
    const page = await feedAnswer({ actor: account.did, filter: 'posts_with_replies', limit: '1' }, signal);
    if ('events' in page)
      throw new CollectError('http-status', 'the account’s feed cannot be read', account.did);
    findings.push('its feed can be read');
    return { account: `@${account.handle}`, findings };
  }

  return {
    platform: PLATFORM,
    collectorVersion: 'bluesky/1',
    comparisonRule: 'bluesky-content/1',
    check,
    collect,
    async *lookUp(identities, signal) {
      await knowAccount(signal);
      yield* lookUpItems({ http, service, repositories, beside: besideOf(signal) }, identities, signal);
    },
    async fetchMedia(reference, directory, signal) {
      if (reference.role === 'proof') return fetchProof(reference, directory, signal);
      const asked = new URL(reference.url);
      const did = asked.searchParams.get('did');
      const cid = reference.contentId;
      const expected = cid === null ? null : sha256OfContentId(cid);
      if (did === null || cid === null || expected === null) {
        throw new CollectError(
          'media',
          `the content id ${cid} cannot be checked, so its bytes are not kept`,
          cid,
        );
      }
      await knowAccount(signal);
      const located = await repositories.locate(did, signal);
      if ('gone' in located)
        throw new CollectError('media', `the account ${did} is gone, and its media with it`, did);
      const address = xrpcAddress(located.origin, 'com.atproto.sync.getBlob', { did, cid });
      const { contentType, ...fetched } = await http.download(address, directory, { signal });
      if (fetched.sha256 !== expected) {
        await rm(fetched.file, { force: true });
        throw new CollectError(
          'media',
          `the server gave other bytes for ${cid} than its content id promises`,
          cid,
          {
            hint: 'They were not kept; the next run asks again.',
          },
        );
      }
      return { ...fetched, mediaType: reference.mediaType ?? contentType ?? 'application/octet-stream' };
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

function unprovable(message: string, subject: string | null): CollectError {
  return new CollectError('standing-gap', message, subject);
}

function repeatedCursor(answer: XrpcAnswer): Problem {
  const { url } = answer.exchange;
  return {
    code: 'repeated-cursor',
    message: `${url} pages in circles, so the end of the account was not reached.`,
    subject: url,
  };
}

/** What the service says of an account that it does not show; names by the lexicon of getProfile. */
function accountError(account: string, answer: XrpcAnswer): CollectError {
  if (
    answer.error === 'AccountTakedown' ||
    answer.error === 'AccountDeactivated' ||
    answer.error === 'AuthMissing' ||
    answer.status === 401 ||
    answer.status === 403
  ) {
    const said = `${answer.status} ${answer.error}`;
    return new CollectError('access-lost', `${account} is not shown to us (${said})`, account, {
      hint: 'Sign in on the platform and see what it asks for; nothing in the archive changes.',
    });
  }
  return new CollectError(
    'account-not-found',
    `the service knows no account ${account} (${answer.message ?? answer.error})`,
    account,
    {
      hint: 'Check the handle; if it was changed, put the new one, or the DID, in the settings.',
    },
  );
}

const postsOf = (listed: readonly Listed[]): number => listed.filter(({ kind }) => kind !== 'repost').length;

/**
 * Whether what is further down the feed than what was listed can be taken as read. The newest that are known are all still there, and the service
 * counts as many posts more as are new: else something further down has gone, or has come with an older date.
 */
function isUnchangedBelow(before: State, listed: readonly Listed[], count: number | null): boolean {
  const seen = new Set(listed.map(({ uri }) => uri));
  const ids = before.newest.map(([uri]) => uri);
  if (!areStillListed(ids, seen)) return false;
  const known = new Set(ids);
  const fresh = postsOf(listed.filter(({ uri }) => !known.has(uri)));
  return count === null || before.posts === null || count - before.posts === fresh;
}

function stateOf(state: Json): State | null {
  const isState = state !== null && typeof state === 'object' && 'account' in state && 'wholeAt' in state;
  return isState ? (state as unknown as State) : null;
}

/** States of older versions hold nothing else. */
function accountOf(state: Json): string | null {
  const known = state !== null && typeof state === 'object' && 'account' in state ? state.account : null;
  return typeof known === 'string' ? known : null;
}
