// Reads a feed (RSS 2.0, Atom 1.0, JSON Feed 1.x) by conditional GET. A feed shows only what is recent and cannot answer for one
// item: what falls off its end is never missing, and every look-up is *unknown*.

import { DetectError, MalformedError, ParseError } from 'feedsmith';
import { canonicalText, type Json, wellFormed } from '../core/canonical.ts';
import { sha256Hex } from '../core/digest.ts';
import type { FeedSettings } from '../core/settings.ts';
import { type Identity, identityFault } from '../core/vocabulary.ts';
import { jsonOf, quarantined, UnreadableAnswerError } from './answer.ts';
import { CollectError } from './collect-error.ts';
import type { CollectOptions, Collector, CollectorEvent, Rejected, Sighting } from './collector.ts';
import { hasSecretParameter, withoutSecrets } from './evidence.ts';
import { cutFeed, decodeXml, UnreadableFeedError } from './feed/cut.ts';
import { type FeedItem, readAtomEntry, readJsonItem, readRssItem } from './feed/item.ts';
import { type Answer, Http, type HttpDependencies } from './http.ts';
import { fetchedMedium } from './medium.ts';
import { UnreadableJsonError } from './slice.ts';

const PLATFORM = 'feed';
const ACCEPT =
  'application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, text/xml;q=0.9, application/json;q=0.8, */*;q=0.1';

/** @param settings only the exact origin of `url` may be private; enclosures elsewhere must be on the public internet */
export function openFeedCollector(settings: FeedSettings, dependencies: HttpDependencies): Collector {
  const http = new Http([settings.url], dependencies);
  const shown = withoutSecrets(settings.url);
  // Two such addresses may be two feeds, and one such address must stay one feed when its token is rotated: the source says which it is.
  const namespace = hasSecretParameter(settings.url) ? `${shown}#${settings.id}` : shown;

  async function ask(signal: AbortSignal, headers: Record<string, string>): Promise<Answer> {
    const answer = await http.get(settings.url, { signal, accept: ACCEPT, headers });
    const { status } = answer;
    // “Not modified” answers a condition; from a server that was given none it says nothing of the feed.
    if (status === 200 || (status === 304 && Object.keys(headers).length > 0)) return answer;
    if (status === 404 || status === 410) {
      throw new CollectError(
        'account-not-found',
        `${shown} answered ${status}: there is no such feed`,
        shown,
        { hint: 'Check the address in the settings.' },
      );
    }
    if (status === 401 || status === 403) {
      throw new CollectError('access-lost', `${shown} answered ${status}: the feed may not be read`, shown, {
        hint: 'Ask its owner for access.',
      });
    }
    throw new CollectError('http-status', `${shown} answered ${status}`, shown);
  }

  async function* collect({ state, isLatest, signal }: CollectOptions): AsyncIterable<CollectorEvent> {
    const before = stateOf(state, namespace);
    const answer = await ask(signal, isLatest ? conditions(before) : {});
    if (answer.status === 304) {
      yield { type: 'page', exchange: answer.exchange, sightings: [], rejected: [] };
      yield { type: 'end', coverage: 'unchanged', state };
      return;
    }
    let page: Page;
    try {
      page = readFeed(answer, namespace, new Set(before.shared));
    } catch (error) {
      if (error instanceof CollectError) yield* quarantined(error);
      throw error;
    }
    yield { type: 'page', exchange: answer.exchange, sightings: page.sightings, rejected: page.rejected };
    if (page.encoding !== 'utf-8')
      yield {
        type: 'reported',
        what: `items re-encoded from ${page.encoding} to utf-8`,
        count: page.sightings.length,
      };
    const { etag, 'last-modified': lastModified } = answer.headers;
    yield {
      type: 'end',
      coverage: 'recent',
      state: { url: namespace, etag: etag ?? null, lastModified: lastModified ?? null, shared: page.shared },
    };
  }

  return {
    platform: PLATFORM,
    collectorVersion: 'feed/1',
    comparisonRule: 'feed-content/2',
    collect,
    async check(signal) {
      const answer = await ask(signal, {});
      const page = readFeed(answer, namespace, new Set());
      const findings = [
        `${shown} is a feed in ${page.format} with ${page.sightings.length} item${page.sightings.length === 1 ? '' : 's'}`,
      ];
      if (page.rejected.length > 0)
        findings.push(`${page.rejected.length} of its items cannot be read: ${page.rejected[0]?.reason}`);
      if (page.encoding !== 'utf-8') findings.push(`it comes in ${page.encoding}; items are kept in utf-8`);
      return { account: shown, findings };
    },
    async *lookUp(identities) {
      for (const identity of identities) {
        const message = 'A feed cannot say what became of an item that it no longer lists.';
        yield {
          identity,
          state: 'unknown',
          problem: { code: 'not-the-expected-format', message, subject: identity.platformId },
        };
      }
    },
    fetchMedia: (reference, directory, signal) =>
      fetchedMedium(http.download(reference.url, directory, { signal }), reference),
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

/** What a completed run leaves for the next. */
interface State {
  readonly etag: string | null;
  readonly lastModified: string | null;
  /** Ids that named several items: an item that is left alone under one keeps the identity that it has. */
  readonly shared: readonly string[];
}

/** @returns the state of the last completed run, empty when the source has another address since */
function stateOf(state: Json, namespace: string): State {
  const empty = { etag: null, lastModified: null, shared: [] };
  if (state === null || typeof state !== 'object' || Array.isArray(state)) return empty;
  const { url, etag, lastModified, shared } = state as Readonly<Record<string, Json>>;
  if (url !== namespace) return empty;
  return {
    etag: typeof etag === 'string' ? etag : null,
    lastModified: typeof lastModified === 'string' ? lastModified : null,
    shared: Array.isArray(shared) ? (shared as string[]) : [],
  };
}

function conditions({ etag, lastModified }: State): Record<string, string> {
  return {
    ...(etag === null ? {} : { 'if-none-match': etag }),
    ...(lastModified === null ? {} : { 'if-modified-since': lastModified }),
  };
}

interface Page {
  readonly format: 'RSS' | 'Atom' | 'JSON Feed';
  readonly encoding: string;
  readonly sightings: Sighting[];
  readonly rejected: Rejected[];
  /** Ids that name several items of this feed. */
  readonly shared: string[];
}

/** One item as cut, before it is read. */
interface Cut {
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly fault: string | null;
  read(): FeedItem | null;
}

/** @throws UnreadableAnswerError when it is no feed */
function readFeed(answer: Answer, namespace: string, shared: ReadonlySet<string>): Page {
  const base = answer.exchange.url;
  if (answer.body.length === 0)
    throw new UnreadableAnswerError(answer, `${base} answered with an empty body`);
  const opening = answer.body.toString('latin1', 0, 512).replace(/^ï»¿/, '').trimStart();
  if (opening.startsWith('{')) {
    return {
      format: 'JSON Feed',
      encoding: 'utf-8',
      ...readItems(cutJson(answer, base), answer, namespace, 'application/json', shared),
    };
  }
  try {
    const { text, encoding, markLength } = decodeXml(answer.body, answer.headers['content-type'] ?? '');
    const feed = cutFeed(text);
    const readOne = feed.format === 'rss' ? readRssItem : readAtomEntry;
    let offset = markLength;
    let measured = 0;
    const cuts = feed.items.map((item): Cut => {
      offset += Buffer.byteLength(text.slice(measured, item.start));
      measured = item.start;
      return {
        bytes: Buffer.from(item.text),
        offset,
        fault: null,
        read: () => readOne(feed.wrap(item), base),
      };
    });
    return {
      format: feed.format === 'rss' ? 'RSS' : 'Atom',
      encoding,
      ...readItems(cuts, answer, namespace, 'application/xml', shared),
    };
  } catch (error) {
    if (!(error instanceof UnreadableFeedError)) throw error;
    throw new UnreadableAnswerError(
      answer,
      `${base} is not a feed that can be read: ${error.message}`,
      error,
    );
  }
}

function cutJson(answer: Answer, base: string): Cut[] {
  const document = jsonOf(answer);
  const version = document.member('version')?.value;
  const items = document.member('items');
  if (
    typeof version !== 'string' ||
    !version.startsWith('https://jsonfeed.org/version/1') ||
    !Array.isArray(items?.value)
  ) {
    throw new UnreadableAnswerError(answer, `${base} is JSON, but not JSON Feed 1`);
  }
  return items.elements().map((part): Cut => {
    const read = (): FeedItem | null => readJsonItem(part.value, base);
    try {
      return { bytes: part.slice(), offset: part.offset, fault: null, read };
    } catch (error) {
      if (!(error instanceof UnreadableJsonError)) throw error;
      return { bytes: part.raw(), offset: part.offset, fault: error.message, read };
    }
  });
}

function readItems(
  cuts: readonly Cut[],
  answer: Answer,
  namespace: string,
  sliceType: Sighting['sliceType'],
  sharedBefore: ReadonlySet<string>,
): Pick<Page, 'sightings' | 'rejected' | 'shared'> {
  const { exchange } = answer;
  const rejected: Rejected[] = [];
  const readable: { cut: Cut; read: FeedItem; content: string }[] = [];
  const contents = new Map<string, Set<string>>();
  for (const cut of cuts) {
    const read = cut.fault === null ? readCut(cut) : cut.fault;
    if (typeof read === 'string') {
      rejected.push({ bytes: cut.bytes, exchange, reason: read });
      continue;
    }
    const content = canonicalText(wellFormed(read.comparison));
    const under = contents.get(read.id) ?? new Set();
    // The same item twice is one item.
    if (under.has(content)) continue;
    contents.set(read.id, under.add(content));
    readable.push({ cut, read, content });
  }
  const shared = [...contents].flatMap(([id, { size }]) => (size > 1 || sharedBefore.has(id) ? [id] : []));
  const isShared = new Set(shared);
  const sightings = readable.map(({ cut, read, content }): Sighting => {
    const { id, item, comparison, formerComparison, media } = read;
    return {
      identity: identityOf(namespace, isShared.has(id) ? `${id} sha256:${sha256Hex(content)}` : id),
      slice: cut.bytes,
      sliceOffset: cut.offset,
      sliceType,
      exchange,
      item,
      comparison,
      former: { rule: 'feed-content/1', comparison: formerComparison },
      observations: {},
      media,
    };
  });
  return { sightings, rejected, shared };
}

/** An id that no identity can hold (too long, or with U+0000) is named by its digest; the slice keeps it. */
function identityOf(namespace: string, id: string): Identity {
  const identity = { platform: PLATFORM, namespace, platformId: id };
  if (identityFault(identity) === null) return identity;
  return { ...identity, platformId: `sha256:${sha256Hex(id)}` };
}

/** @returns the item, or why there is none */
function readCut(cut: Cut): FeedItem | string {
  try {
    return cut.read() ?? 'nothing is written in the item';
  } catch (error) {
    if (error instanceof DetectError || error instanceof MalformedError || error instanceof ParseError)
      return `the item cannot be read: ${error.message}`;
    throw error;
  }
}
