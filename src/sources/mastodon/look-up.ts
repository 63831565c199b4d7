// Looks single statuses up after a run did not see them. A refusal counts only where the server is known to answer such questions: it is
// first asked for a status that it has just shown. Whatever fails says nothing about the item.

import type { Identity } from '../../core/vocabulary.ts';
import { UnreadableAnswerError } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import type { LastCaptured, LookUp, Problem } from '../collector.ts';
import { type Api, type ApiAnswer, ask, isApiRefusal, refused, requireDocument } from './api.ts';
import { PLATFORM, type Reading, readStatus } from './sighting.ts';
import { gap } from './threads.ts';
import { accountView } from './views.ts';

export interface LookUpContext {
  readonly api: Api;
  readonly domain: string;
  readonly edits: Reading['edits'];
  /** A status that this run saw listed, by the server's id and its address; null when it saw none. */
  readonly control: { readonly id: string; readonly uri: string } | null;
  /** Whether this run read threads: a server that shows them to strangers shows single statuses too, unless something has gone wrong. */
  readonly showsThreads: boolean;
}

/** Whether the server answers for a status that it lists: then its refusals are about the item. */
type Control = 'answers' | 'refuses' | 'untold';

interface Place {
  readonly id: string;
  readonly account: string | null;
}

export async function* lookUpStatuses(
  context: LookUpContext,
  identities: readonly Identity[],
  signal: AbortSignal,
  lastCaptured: (identity: Identity) => Promise<LastCaptured | null>,
): AsyncIterable<LookUp> {
  let control: Promise<Control> | null = null;
  const accounts = new Map<string, Promise<ApiAnswer>>();
  const asked: Asking = {
    ...context,
    signal,
    controlled: () => {
      control ??= tryControl(context, signal);
      return control;
    },
    account: (id) => {
      const answer =
        accounts.get(id) ?? ask(context.api, `v1/accounts/${encodeURIComponent(id)}`, {}, signal);
      accounts.set(id, answer);
      return answer;
    },
  };
  for (const identity of identities) {
    try {
      yield await lookUp(
        asked,
        identity,
        placeOf(identity, await lastCaptured(identity), context.api.service),
      );
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      yield unknown(identity, error.problem);
    }
  }
}

interface Asking extends LookUpContext {
  readonly signal: AbortSignal;
  readonly controlled: () => Promise<Control>;
  readonly account: (id: string) => Promise<ApiAnswer>;
}

async function lookUp(asking: Asking, identity: Identity, place: Place | null): Promise<LookUp> {
  const { api, domain, edits, signal } = asking;
  if (place === null)
    return unknown(identity, {
      code: 'not-the-expected-format',
      message: `${api.service} has not told by which id it knows the item.`,
      subject: identity.platformId,
    });
  const answer = await ask(api, `v1/statuses/${encodeURIComponent(place.id)}`, {}, signal);
  const { exchange, body } = answer;
  if (answer.document !== null) {
    const reading = { exchange, service: api.service, domain, known: new Map(), edits };
    const read = readStatus(answer.document, reading);
    const shown = 'closed' in read ? read.closed : 'status' in read ? read.status : null;
    // By its id the item is asked for next time: a wrong one would have it taken for deleted.
    if (shown?.uri !== identity.platformId || shown.id !== place.id)
      throw new UnreadableAnswerError(answer, `${exchange.url} gives another status than the one asked for`);
    return { identity, state: 'present', sighting: 'sighting' in read ? read.sighting : null };
  }
  const control = await asking.controlled();
  if (answer.status === 401 || answer.status === 403) {
    if (control === 'answers') return { identity, state: 'access-lost', exchange, body };
    throw new CollectError(
      control === 'refuses' && api.token === null && !asking.showsThreads ? 'standing-gap' : 'access-lost',
      `${api.service} answers ${answer.status} when it is asked for a single status, so it cannot be told what became of those that are no longer listed`,
      api.service,
      { hint: 'Put an access token into the settings, or renew it.' },
    );
  }
  const isTold = control === 'answers' || (control === 'untold' && isApiRefusal(answer));
  if ((answer.status !== 404 && answer.status !== 410) || !isTold || place.account === null)
    throw refused(answer);
  const author = await asking.account(place.account);
  if (author.status === 404 || author.status === 410)
    return { identity, state: 'account-gone', exchange: author.exchange, body: author.body };
  const account = accountView.safeParse(requireDocumentOf(author));
  if (!account.success || account.data.id !== place.account)
    throw new UnreadableAnswerError(author, `${author.exchange.url} gives no account`);
  // A suspended account still answers, and shows nothing: that is no deletion by its owner.
  if (account.data.suspended === true)
    return { identity, state: 'access-lost', exchange: author.exchange, body: author.body };
  return { identity, state: 'deleted', exchange, body };
}

const requireDocumentOf = (answer: ApiAnswer): unknown => requireDocument(answer).value;

async function tryControl({ api, control }: LookUpContext, signal: AbortSignal): Promise<Control> {
  if (control === null) return 'untold';
  const answer = await ask(api, `v1/statuses/${encodeURIComponent(control.id)}`, {}, signal);
  const shown = answer.document?.value as { uri?: unknown } | undefined;
  return shown?.uri === control.uri ? 'answers' : 'refuses';
}

/**
 * Where this server has an item: its own ids stand in what was captured from it.
 * @returns null when nothing was
 */
function placeOf(identity: Identity, last: LastCaptured | null, service: string): Place | null {
  if (identity.platform !== PLATFORM) return null;
  const fromHere = last !== null && new URL(last.url).origin === new URL(service).origin ? last : null;
  const captured = (fromHere === null ? {} : JSON.parse(Buffer.from(fromHere.slice).toString('utf8'))) as {
    id?: unknown;
    uri?: unknown;
    account?: { id?: unknown };
  };
  const account = typeof captured.account?.id === 'string' ? captured.account.id : null;
  if (typeof captured.id === 'string' && captured.uri === identity.platformId)
    return { id: captured.id, account };
  // An edit has no id of its own: the address that gave it has.
  const history = /\/statuses\/([^/]+)\/history$/.exec(
    fromHere === null ? '' : new URL(fromHere.url).pathname,
  );
  return history === null ? null : { id: decodeURIComponent(history[1] as string), account };
}

function unknown({ platformId, ...rest }: Identity, problem: Problem): LookUp {
  const identity = { ...rest, platformId };
  if (problem.code === 'standing-gap')
    return { identity, state: 'unknown', problem: gap(problem.message, problem.subject ?? platformId) };
  const message = `${platformId} could not be looked up: ${problem.message}`;
  return { identity, state: 'unknown', problem: { code: problem.code, message, subject: platformId } };
}
