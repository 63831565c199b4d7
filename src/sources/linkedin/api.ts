// One call to LinkedIn's versioned API (rest/…): an answer in JSON, or a refusal for the caller to understand by its status.

import { z } from 'zod';
import type { Secret } from '../../core/secret.ts';
import { jsonOf, UnreadableAnswerError } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import { revealed } from '../credential.ts';
import type { Answer, Http } from '../http.ts';
import type { JsonPart } from '../slice.ts';

export interface Api {
  readonly http: Http;
  readonly service: string;
  readonly token: Secret;
  /** The month of the API, such as 202601: one is kept for about a year. */
  readonly version: string;
}

export interface ApiAnswer extends Answer {
  /** Null when LinkedIn refused. */
  readonly document: JsonPart | null;
}

const listView = z.looseObject({
  elements: z.array(z.unknown()),
  paging: z.looseObject({ links: z.array(z.looseObject({ rel: z.string() })).optional() }).optional(),
});
const resultsView = z.looseObject({ results: z.record(z.string(), z.unknown()) });

/**
 * @param query as it stands in the address, for lists are written with signs that stay as they are
 * @returns the answer; one of 4xx has no document
 * @throws CollectError when there is no readable answer; UnreadableAnswerError when a 200 is not JSON
 */
export async function ask(
  { http, service, token, version }: Api,
  path: string,
  query: string,
  signal: AbortSignal,
): Promise<ApiAnswer> {
  const url = new URL(`/rest/${path}${query === '' ? '' : `?${query}`}`, service);
  const headers = {
    authorization: `Bearer ${revealed(token, service)}`,
    'linkedin-version': version,
    'x-restli-protocol-version': '2.0.0',
  };
  const answer = await http.get(url.href, { signal, accept: 'application/json', headers });
  if (answer.status === 200) return { ...answer, document: jsonOf(answer) };
  if (answer.status >= 400 && answer.status < 500) return { ...answer, document: null };
  throw refused(answer);
}

/** @returns what a refusal that no caller has a meaning for comes to */
export function refused({ exchange: { url, status } }: Answer): CollectError {
  const message = `${url} answered ${status}`;
  if (status === 401 || status === 403)
    return new CollectError('access-lost', `${message}: it may not be read`, url, {
      hint: 'Renew the access token (it lasts for two months), and see that its person administers the page; nothing in the archive changes.',
    });
  if (status === 426)
    return new CollectError(
      'http-status',
      `${message}: LinkedIn no longer keeps this version of its API`,
      url,
      {
        hint: 'Put a later month into the settings as version.',
      },
    );
  return new CollectError('http-status', message, url);
}

/** @throws CollectError when LinkedIn refused */
export function requireDocument(answer: ApiAnswer): JsonPart {
  if (answer.document === null) throw refused(answer);
  return answer.document;
}

/** @throws CollectError when the answer is no list */
export function listOf(answer: ApiAnswer): { parts: readonly JsonPart[]; hasNext: boolean } {
  const document = requireDocument(answer);
  const read = listView.safeParse(document.value);
  if (!read.success) throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no list`);
  const hasNext = (read.data.paging?.links ?? []).some(({ rel }) => rel === 'next');
  return { parts: document.member('elements')?.elements() ?? [], hasNext };
}

/** Asks for things by their names. @returns what is given of them, by name */
export async function named(
  api: Api,
  kind: 'images' | 'videos' | 'socialMetadata',
  urns: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, unknown>> {
  if (urns.length === 0) return new Map();
  const answer = await ask(api, kind, `ids=List(${urns.map(encodeURIComponent).join(',')})`, signal);
  const read = resultsView.safeParse(requireDocument(answer).value);
  if (!read.success)
    throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no things by name`);
  return new Map(Object.entries(read.data.results));
}
