// What is particular to LinkedIn: an organisation's posts, asked for with a token of somebody who administers its page, and everybody's comments.

import type { LinkedinSettings } from '../core/settings.ts';
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
import { CollectError } from './collect-error.ts';
import type { Collector, LookUp, Rejected, Sighting } from './collector.ts';
import { Http, type HttpDependencies } from './http.ts';
import { type Api, type ApiAnswer, ask, listOf, named, refused } from './linkedin/api.ts';
import { commentsOf, mediaIn, PLATFORM, readComment, readOrganization, readPost } from './linkedin/posts.ts';
import { counted } from './sighting.ts';
import type { JsonPart } from './slice.ts';
import { pagesFrom } from './walk.ts';

const PAGE_SIZE = 100;
/** A comment, with what it is below and its number. */
const COMMENT = /^urn:li:comment:\((urn:li:[A-Za-z]+:\d+),(\d+)\)$/;

/** @param settings the origin of `service`, and no other, may be private */
export function openLinkedinCollector(settings: LinkedinSettings, dependencies: HttpDependencies): Collector {
  const { service, token, version } = settings;
  const http = new Http([service], dependencies);
  const api: Api = { http, service, token, version };
  return openAccountCollector(linkedinDialect(api, settings.account), settings.account, {
    http,
    clock: dependencies.clock,
  });
}

function linkedinDialect(api: Api, account: string): AccountDialect {
  async function findAccount(signal: AbortSignal): Promise<FoundAccount> {
    const isNumber = /^\d+$/.test(account);
    const [path, query] = isNumber
      ? [`organizations/${account}`, '']
      : ['organizations', `q=vanityName&vanityName=${account}`];
    const answer = await ask(api, path, query, signal);
    const part = isNumber || answer.document === null ? answer.document : listOf(answer).parts[0];
    if (answer.document === null && answer.status !== 404) throw refused(answer);
    if (part === null || part === undefined)
      throw new CollectError('account-not-found', `LinkedIn knows no organisation ${account}`, account, {
        hint: 'Check its name, as in linkedin.com/company/NAME, or its number.',
      });
    const { exchange } = answer;
    const found = readOrganization(part, exchange);
    if (found === null || ![found.handle, String(found.number)].includes(account))
      throw new UnreadableAnswerError(answer, `${exchange.url} gives no organisation ${account}`);
    return {
      id: found.id,
      name: found.name,
      counts: {},
      profile: { exchange, sightings: [found.sighting], rejected: [] },
    };
  }

  return {
    platform: PLATFORM,
    name: 'LinkedIn',
    collectorVersion: 'linkedin/1',
    comparisonRule: 'linkedin-content/1',
    lists: ['posts'],
    showsWholeThreads: true,
    listEndsAfter: null,
    gaps: [
      'LinkedIn names the people who comment by numbers only, and does not tell what was written before an edit.',
      'LinkedIn does not tell who deleted a comment, nor whom the page blocks; what came and went between two readings was never offered.',
      'The organisation’s comments on others’ posts, messages, and articles and newsletters in full are not given.',
    ],
    findAccount,
    async listPage({ account: { id }, cursor, signal }) {
      const query = `q=author&author=${encodeURIComponent(id)}&sortBy=CREATED&count=${PAGE_SIZE}&start=${cursor ?? 0}`;
      const answer = await ask(api, 'posts', query, signal);
      const { parts, hasNext } = listOf(answer);
      const { seen, listed } = await readPosts(api, parts, answer, signal);
      const ids = parts.map(({ value }) => String((value as { id?: unknown } | null)?.id));
      // Places in the list are counted, whether what stands in them is shown or not.
      const next = hasNext ? String(Number(cursor ?? 0) + pageLength(answer)) : null;
      return { ...seen, listed, ids, next, url: answer.exchange.url };
    },
    threadPages: (_, post, signal) => readComments(api, post, signal),
    lookUpBatch: 1,
    lookUp: ([identity], asking) =>
      Promise.all(identity === undefined ? [] : [lookUp(api, identity, asking)]),
  };
}

/** @returns how many places an answer covers: the server may give fewer than it is asked for */
function pageLength({ document }: ApiAnswer): number {
  const count = document?.member('paging')?.member('count')?.value;
  return typeof count === 'number' && Number.isInteger(count) && count > 0 && count <= PAGE_SIZE
    ? count
    : PAGE_SIZE;
}

async function readPosts(
  api: Api,
  parts: readonly JsonPart[],
  { exchange }: ApiAnswer,
  signal: AbortSignal,
): Promise<{
  seen: Seen;
  listed: { id: string; replies: number; createdAt: string | null; thread: string }[];
}> {
  const images = await named(api, 'images', mediaIn(parts, 'image'), signal);
  const videos = await named(api, 'videos', mediaIn(parts, 'video'), signal);
  const addresses = new Map([...images, ...videos]);
  const sightings: Sighting[] = [];
  const unreadable: Rejected[] = [];
  const read = parts.map((part) => readPost(part, exchange, addresses));
  const ids = read.flatMap((one) => ('sighting' in one ? [one.sighting.identity.platformId] : []));
  const metadata = await named(api, 'socialMetadata', ids, signal);
  const listed = [];
  for (const one of read) {
    if ('rejected' in one) {
      unreadable.push(one.rejected);
      continue;
    }
    const { sighting } = one;
    const { platformId: id } = sighting.identity;
    const count = commentsOf(metadata.get(id));
    sightings.push({ ...sighting, observations: counted({ replies: count }) });
    // Where none are counted there may be some.
    const replies = count ?? 1;
    listed.push({ id, replies, createdAt: sighting.item.createdAt, thread: id });
  }
  return { seen: { exchange, sightings, rejected: unreadable }, listed };
}

/** Comments below a post, and those below each that has some. */
async function* readComments(api: Api, post: string, signal: AbortSignal): AsyncIterable<Seen> {
  const waiting = [post];
  const asked = new Set<string>();
  for (let above = waiting.pop(); above !== undefined; above = waiting.pop()) {
    if (asked.has(above)) continue;
    asked.add(above);
    const path = `socialActions/${encodeURIComponent(above)}/comments`;
    const page = async (cursor: string | null) => {
      const answer = await ask(api, path, `count=${PAGE_SIZE}&start=${cursor ?? 0}`, signal);
      const { parts, hasNext } = listOf(answer);
      const { exchange } = answer;
      const sightings: Sighting[] = [];
      const unreadable: Rejected[] = [];
      for (const part of parts) {
        const read = readComment(part, exchange, post);
        if ('rejected' in read) unreadable.push(read.rejected);
        else {
          sightings.push(read.sighting);
          if (read.replies > 0) waiting.push(read.sighting.identity.platformId);
        }
      }
      const ids = sightings.map(({ identity }) => identity.platformId);
      const next = hasNext ? String(Number(cursor ?? 0) + pageLength(answer)) : null;
      return { exchange, sightings, rejected: unreadable, ids, next, url: exchange.url };
    };
    yield* pagesFrom(page, signal);
  }
}

/** A post of the organisation that is not found is deleted, to a token that administers the page; a comment only where what it is below says so too. */
async function lookUp(
  api: Api,
  identity: Identity,
  { account, signal, lastCaptured }: LookUpAsking,
): Promise<LookUp> {
  const { platformId: id } = identity;
  const untold = (what: string): LookUp =>
    unknown(identity, new CollectError('not-the-expected-format', what, id));
  if (identity.platform !== PLATFORM || account === null) return untold('it is nothing of this page');
  const [, object, number] = COMMENT.exec(id) ?? [];
  if (object === undefined) {
    const answer = await ask(api, `posts/${encodeURIComponent(id)}`, '', signal);
    const { exchange, body, document } = answer;
    if (answer.status === 404) {
      await requireAdministered(api, account.id, signal);
      return { identity, state: 'deleted', exchange, body };
    }
    if (document === null) throw refused(answer);
    const { seen } = await readPosts(api, [document], answer, signal);
    return presentOr(identity, seen.sightings[0], untold);
  }
  const post = (await lastCaptured(identity))?.threadRoot ?? null;
  const comments = `socialActions/${encodeURIComponent(object)}/comments`;
  const answer = await ask(api, `${comments}/${number}`, '', signal);
  const { exchange, body, document } = answer;
  if (document !== null) {
    const read = readComment(document, exchange, post);
    return presentOr(identity, 'sighting' in read ? read.sighting : undefined, untold);
  }
  if (answer.status !== 404) throw refused(answer);
  const list = await ask(api, comments, 'count=1&start=0', signal);
  if (list.document !== null) listOf(list);
  else if (list.status !== 404) throw refused(list);
  else {
    // What it was below has gone as well: the post must be what is deleted.
    if (post === null) return untold('LinkedIn does not tell what it was below');
    const above = await ask(api, `posts/${encodeURIComponent(post)}`, '', signal);
    if (above.status !== 404) return untold('LinkedIn shows its post, and no comments below it');
    await requireAdministered(api, account.id, signal);
  }
  return { identity, state: 'deleted', exchange, body };
}

/** What is not found may be hidden from a token that no longer administers the page: its list must answer. @throws CollectError when it does not */
async function requireAdministered(api: Api, organization: string, signal: AbortSignal): Promise<void> {
  listOf(await ask(api, 'posts', `q=author&author=${encodeURIComponent(organization)}&count=1`, signal));
}

/** By its name it is asked for next time: a wrong one would have it taken for deleted. */
function presentOr(
  identity: Identity,
  sighting: Sighting | undefined,
  untold: (what: string) => LookUp,
): LookUp {
  if (sighting === undefined || sighting.identity.platformId !== identity.platformId)
    return untold('LinkedIn gives something else than what was asked for');
  return { identity, state: 'present', sighting };
}
