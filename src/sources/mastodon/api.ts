// One call to a server with Mastodon's API: an answer in JSON, or a refusal for the caller to understand by its status.

import type { Secret } from '../../core/secret.ts';
import { jsonOf } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import { revealed } from '../credential.ts';
import type { Answer, Http } from '../http.ts';
import type { JsonPart } from '../slice.ts';
import { refusal } from './views.ts';

export interface Api {
  readonly http: Http;
  readonly service: string;
  readonly token: Secret | null;
}

export interface ApiAnswer extends Answer {
  /** Null when the server refused. */
  readonly document: JsonPart | null;
}

/**
 * Asks for a path below /api/.
 * @returns the answer; one of 4xx has no document
 * @throws CollectError when there is no readable answer; UnreadableAnswerError when a 200 is not JSON
 */
export async function ask(
  api: Api,
  path: string,
  parameters: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<ApiAnswer> {
  const url = new URL(`/api/${path}`, api.service);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const headers = authorization(api);
  const answer = await api.http.get(url.href, { signal, accept: 'application/json', headers });
  if (answer.status === 200) return { ...answer, document: jsonOf(answer) };
  if (answer.status >= 400 && answer.status < 500) return { ...answer, document: null };
  throw refused(answer);
}

function authorization({ token, service }: Api): Record<string, string> {
  return token === null ? {} : { authorization: `Bearer ${revealed(token, service)}` };
}

/** @returns what a status that no caller has a meaning for comes to */
export function refused(answer: Answer): CollectError {
  const { url, status } = answer.exchange;
  if (status !== 401 && status !== 403)
    return new CollectError('http-status', `${url} answered ${status}`, url);
  return new CollectError('access-lost', `${url} answered ${status}: it may not be read`, url, {
    hint: 'Some servers show this only to a valid access token; put one in the settings as a reference, or renew it.',
  });
}

/** @returns whether a refusal is in the API's own words, not a page of whatever stands before it */
export function isApiRefusal(answer: Answer): boolean {
  try {
    return refusal.safeParse(JSON.parse(answer.body.toString('utf8'))).success;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

/** @throws CollectError when the server refused */
export function requireDocument(answer: ApiAnswer): JsonPart {
  if (answer.document === null) throw refused(answer);
  return answer.document;
}
