// Looks single items up after a run did not see them. The platform says the same of what was deleted and of what the token may not see, so
// that alone is no deletion: the list where the item stood must answer too, now, to the same token, and not be empty while it counts what it
// does not show. What ends by itself is then hidden, and no deletion either. Whatever fails says nothing.

import type { Identity } from '../../core/vocabulary.ts';
import { UnreadableAnswerError } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import type { Exchange, LastCaptured, LookUp } from '../collector.ts';
import { readJsonDocument } from '../slice.ts';
import { type Api, ask, isNotShown, listOf, refused } from './api.ts';
import type { Captured, Dialect, Home } from './dialect.ts';

export interface LookUpContext {
  readonly api: Api;
  readonly dialect: Dialect;
  /** The account's id as the run found it; null when none did. */
  readonly account: string | null;
  /** Whether the run was shown any reply: then the token may read them. */
  readonly showsReplies: boolean;
}

export async function* lookUpItems(
  context: LookUpContext,
  identities: readonly Identity[],
  signal: AbortSignal,
  lastCaptured: (identity: Identity) => Promise<LastCaptured | null>,
): AsyncIterable<LookUp> {
  const homes = new Map<string, Promise<string>>();
  for (const identity of identities) {
    try {
      yield await lookUp(context, homes, identity, await lastCaptured(identity), signal);
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      const { code, message } = error.problem;
      const { platformId: subject } = identity;
      const problem = { code, message: `${subject} could not be looked up: ${message}`, subject };
      yield { identity, state: 'unknown', problem };
    }
  }
}

async function lookUp(
  context: LookUpContext,
  homes: Map<string, Promise<string>>,
  identity: Identity,
  last: LastCaptured | null,
  signal: AbortSignal,
): Promise<LookUp> {
  const { api, dialect, account } = context;
  const { platformId: id } = identity;
  if (account === null || last === null || identity.platform !== dialect.platform)
    throw new CollectError('not-the-expected-format', `nothing tells where ${dialect.name} has it`, id);
  const captured = capturedOf(id, last);
  const sort = dialect.sortOf(captured, account);
  const home = homeOf(dialect, captured, account);
  const answer = await ask(api, encodeURIComponent(id), { fields: dialect.fields[sort] }, signal);
  const { exchange, body } = answer;
  const place = { exchange, account, list: null, post: home?.post ?? null };
  if (answer.document !== null) {
    const read = dialect.read(sort, answer.document, place);
    // By its id the item is asked for next time: a wrong one would have it taken for deleted.
    if ('rejected' in read || read.listed.id !== id)
      throw new UnreadableAnswerError(answer, `${exchange.url} gives another item than the one asked for`);
    if (dialect.isHidden(answer.document.value as Captured['value']))
      return { identity, state: 'hidden', exchange, body };
    return { identity, state: 'present', sighting: read.sighting };
  }
  if (!isNotShown(answer)) throw refused(answer);
  if (home === null)
    throw new CollectError('not-the-expected-format', 'nothing tells in which list it stood', id);
  const key = home.lists.join(' ');
  const found = homes.get(key) ?? requireAnswering(context, home, signal);
  homes.set(key, found);
  const answering = await found;
  const was = dialect.read(sort, captured.part, place);
  if ('listed' in was && isReached(was.listed.until, exchange))
    return { identity, state: 'hidden', exchange, body };
  // A reply goes with its post: then only the account's own list is left to answer.
  const goesWithPost = sort === 'post' || (sort === 'reply' && answering.startsWith(`${account}/`));
  const state = dialect.archivesPosts && goesWithPost ? 'access-lost' : 'deleted';
  return { identity, state, exchange, body };
}

/** @returns whether a moment has come by the platform's clock or by ours: one that is slow must make no deletion of what ended by itself */
function isReached(moment: string | null, { receivedAt, headers }: Exchange): boolean {
  if (moment === null) return false;
  const { epochMilliseconds } = Temporal.Instant.from(moment);
  return [receivedAt, headers.date ?? ''].some((clock) => Date.parse(clock) >= epochMilliseconds);
}

function homeOf(dialect: Dialect, captured: Captured, account: string): Home | null {
  const sort = dialect.sortOf(captured, account);
  if (sort === 'reply') return dialect.homeOf(captured, account);
  const list = dialect.lists.find((one) => one.sort === sort);
  return list === undefined ? null : { lists: [`${account}/${list.edge}`], post: null };
}

/** @returns the list that answered. @throws CollectError unless the first one does, or, when what it belonged to has gone as well, the next */
async function requireAnswering(
  { api, dialect, showsReplies }: LookUpContext,
  { lists, post }: Home,
  signal: AbortSignal,
): Promise<string> {
  for (const [nth, list] of lists.entries()) {
    // The first is the list of replies, if there is one.
    const counting = post !== null && nth === 0 ? dialect.countParameters : null;
    const answer = await ask(api, list, { limit: '1', fields: 'id', ...counting }, signal);
    if (!isNotShown(answer) || nth === lists.length - 1) {
      const shown = listOf(answer);
      const { summary } = (answer.document?.value ?? {}) as { summary?: { total_count?: unknown } | null };
      const count = counting === null ? 0 : Number(summary?.total_count ?? 0);
      // To a token that may no longer read what people wrote the list is empty. What was deleted can be counted too, so the count alone says nothing.
      if (shown.length === 0 && count > 0 && !showsReplies)
        throw new CollectError(
          'access-lost',
          `${dialect.name} counts ${count} below ${post} and shows none of them, nor any other in this run`,
          list,
          { hint: 'Check that the token still has the permission to read what people write.' },
        );
      return list;
    }
    // Where a permission is lacking, the list of what is there says the same.
    const itself = await ask(api, list.slice(0, list.lastIndexOf('/')), { fields: 'id' }, signal);
    if (!isNotShown(itself)) throw refused(itself.document === null ? itself : answer);
  }
  throw new TypeError('a home without lists');
}

function capturedOf(id: string, { slice, url }: LastCaptured): Captured {
  const part = readJsonDocument(slice);
  const { value } = part;
  const path = decodeURIComponent(new URL(url).pathname).replace(/^\/v[\d.]+\//, '');
  const isObject = typeof value === 'object' && value !== null;
  return { id, part, value: (isObject ? value : {}) as Captured['value'], path };
}
