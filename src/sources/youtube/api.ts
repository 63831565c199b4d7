// One call of the YouTube Data API (v3): each attempt is counted against the day's units first. An answer is JSON, or a refusal whose
// meaning stands in its reasons (`error.errors[].reason`), never in its message.

import type { Secret } from '../../core/secret.ts';
import { jsonOf, UnreadableAnswerError } from '../answer.ts';
import type { Budget } from '../budget.ts';
import { CollectError } from '../collect-error.ts';
import { revealed } from '../credential.ts';
import type { Answer, Http } from '../http.ts';
import type { JsonPart } from '../slice.ts';
import { listView, refusalView } from './views.ts';

export interface Api {
  readonly http: Http;
  readonly service: string;
  readonly key: Secret;
  readonly budget: Budget;
}

export interface ApiAnswer extends Answer {
  /** Null when the API refused, or said that nothing changed (304). */
  readonly document: JsonPart | null;
  /** Why it refused, by the API's own names; none where it was not the API that answered. */
  readonly reasons: readonly string[];
}

export interface Asking {
  readonly signal: AbortSignal;
  /** Of the day's units, that this call may not go beyond. */
  readonly share?: number;
  /** What the answer was called when it was last given. */
  readonly etag?: string | null;
}

/** Every call that the collector makes costs as much. */
const UNITS = 1;
const SPENT = new Set(['quotaExceeded', 'dailyLimitExceeded', 'dailyLimitExceededUnreg']);
const TOO_FAST = new Set(['rateLimitExceeded', 'userRateLimitExceeded', 'servingLimitExceeded']);
const NO_ACCESS = new Set(['keyInvalid', 'keyExpired', 'API_KEY_INVALID', 'accessNotConfigured']);
const SUSPENDED = new Set(['accountSuspended', 'accountClosed', 'accountTerminated']);

/**
 * Asks for a resource's list.
 * @returns the answer; one of 4xx, and a 304 where an etag was shown, have no document
 * @throws CollectError when there is no readable answer, or the day's units are spent; UnreadableAnswerError when a 200 is not JSON
 */
export async function ask(
  api: Api,
  resource: string,
  parameters: Readonly<Record<string, string>>,
  { signal, share = 1, etag = null }: Asking,
): Promise<ApiAnswer> {
  const url = new URL(`/youtube/v3/${resource}`, api.service);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const headers = {
    'x-goog-api-key': revealed(api.key, api.service, 'API key'),
    ...(etag === null ? {} : { 'if-none-match': etag }),
  };
  const beforeAttempt = async (): Promise<void> => {
    await api.budget.spend(UNITS, url.href, share);
  };
  const answer = await api.http.get(url.href, {
    signal,
    accept: 'application/json',
    headers,
    beforeAttempt,
  });
  const { status } = answer;
  if (status === 200) return { ...answer, document: jsonOf(answer), reasons: [] };
  const told = { ...answer, document: null, reasons: reasonsOf(answer) };
  if ((status >= 400 && status < 500) || (status === 304 && etag !== null)) return told;
  throw refused(api, told);
}

function reasonsOf({ body }: Answer): string[] {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
  const read = refusalView.safeParse(value);
  if (!read.success) return [];
  const { errors, details = [] } = read.data.error;
  return [...errors, ...details].flatMap(({ reason }) => (typeof reason === 'string' ? [reason] : []));
}

/** @returns what a refusal that no caller has a meaning for comes to */
export function refused({ budget }: Api, answer: ApiAnswer): CollectError {
  const { reasons } = answer;
  const { url, status } = answer.exchange;
  const is = (names: ReadonlySet<string>): boolean => reasons.some((reason) => names.has(reason));
  const said = reasons.length === 0 ? `${status}` : `${status} (${reasons.join(', ')})`;
  if (is(SPENT)) return budget.spentError(url);
  if (is(TOO_FAST))
    return new CollectError('rate-limited', `${url} answered ${said}: too many calls at once`, url, {
      hint: 'The next run goes on from what is stored.',
    });
  if (is(SUSPENDED))
    return new CollectError(
      'access-lost',
      `${url} answered ${said}: the channel is suspended or closed`,
      url,
      {
        hint: 'Sign in on YouTube and see what it asks for; nothing in the archive changes.',
      },
    );
  if (is(NO_ACCESS) || status === 401 || status === 403)
    return new CollectError('access-lost', `${url} answered ${said}: it may not be read`, url, {
      hint: 'Check that the API key is valid, unrestricted for this machine, and of a project with the YouTube Data API v3 switched on.',
    });
  return new CollectError('http-status', `${url} answered ${said}`, url);
}

/** One page of a list. */
export interface Page {
  readonly answer: ApiAnswer;
  readonly parts: readonly JsonPart[];
  readonly next: string | null;
  readonly etag: string | null;
}

/** @throws CollectError when the API refused; UnreadableAnswerError when the answer is no list, or an empty one that counts items */
export function pageOf(api: Api, answer: ApiAnswer): Page {
  if (answer.document === null) throw refused(api, answer);
  const list = listView.safeParse(answer.document.value);
  // A list without items may leave them out; then it must count none, or it is something else.
  if (!list.success || (list.data.items === undefined && list.data.pageInfo?.totalResults !== 0))
    throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no list`);
  const { nextPageToken, etag } = list.data;
  const parts = answer.document.member('items')?.elements() ?? [];
  return { answer, parts, next: nextPageToken || null, etag: etag ?? null };
}

/**
 * A list that was asked for by ids: only what is there is listed.
 * @throws CollectError as {@link pageOf}; UnreadableAnswerError too when it counts other items than it lists
 */
export function foundOf(api: Api, answer: ApiAnswer): readonly JsonPart[] {
  const { parts } = pageOf(api, answer);
  const total = listView.parse(answer.document?.value).pageInfo?.totalResults;
  if (total !== undefined && total !== parts.length)
    throw new UnreadableAnswerError(
      answer,
      `${answer.exchange.url} counts ${total} items, and lists ${parts.length}`,
    );
  return parts;
}
