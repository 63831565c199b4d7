// Looks single items up after a run did not see them. The platform says the same of what was deleted and of what the token may not see, so
// that alone is no deletion: the list where the item stood must answer too, now, to the same token. Whatever fails says nothing.

import type { Identity } from '../../core/vocabulary.ts';
import { UnreadableAnswerError } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import type { LastCaptured, LookUp } from '../collector.ts';
import { readJsonDocument } from '../slice.ts';
import { type Api, ask, isNotShown, listOf, refused } from './api.ts';
import type { Captured, Dialect, Home } from './dialect.ts';

export interface LookUpContext {
  readonly api: Api;
  readonly dialect: Dialect;
  /** The account's id as the run found it; null when none did. */
  readonly account: string | null;
  readonly now: Temporal.Instant;
}

export async function* lookUpItems(
  context: LookUpContext,
  identities: readonly Identity[],
  signal: AbortSignal,
  lastCaptured: (identity: Identity) => Promise<LastCaptured | null>,
): AsyncIterable<LookUp> {
  const homes = new Map<string, Promise<void>>();
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
  homes: Map<string, Promise<void>>,
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
  if (answer.document !== null) {
    const read = dialect.read(sort, answer.document, {
      exchange,
      account,
      list: null,
      post: home?.post ?? null,
    });
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
  const found = homes.get(home.list) ?? requireAnswering(context, account, home, signal);
  homes.set(home.list, found);
  await found;
  return { identity, state: dialect.isOver(captured, context.now) ? 'hidden' : 'deleted', exchange, body };
}

function homeOf(dialect: Dialect, captured: Captured, account: string): Home | null {
  const sort = dialect.sortOf(captured, account);
  if (sort === 'reply') return dialect.homeOf(captured, account);
  const list = dialect.lists.find((one) => one.sort === sort);
  return list === undefined ? null : { list: `${account}/${list.edge}`, post: null };
}

/** @throws CollectError unless the list answers, or the post that it belonged to has gone as well and the account's own list answers */
async function requireAnswering(
  { api, dialect }: LookUpContext,
  account: string,
  { list, post }: Home,
  signal: AbortSignal,
): Promise<void> {
  const asked = { limit: '1', fields: 'id' };
  const answer = await ask(api, list, asked, signal);
  if (post === null || !isNotShown(answer)) listOf(answer);
  else listOf(await ask(api, `${account}/${dialect.lists[0]?.edge}`, asked, signal));
}

function capturedOf(id: string, { slice, url }: LastCaptured): Captured {
  const { value } = readJsonDocument(slice);
  const path = decodeURIComponent(new URL(url).pathname).replace(/^\/v[\d.]+\//, '');
  const isObject = typeof value === 'object' && value !== null;
  return { id, value: (isObject ? value : {}) as Captured['value'], path };
}
