// One call to Reddit's API: an answer in JSON, or a refusal for the caller to understand by its status. The token is the settings' own, or is got
// for the application (client credentials) and renewed when it is no longer taken; both stand in a request's header only.

import { z } from 'zod';
import type { RedditSettings } from '../../core/settings.ts';
import { jsonOf, UnreadableAnswerError } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import { revealed } from '../credential.ts';
import type { Answer, Http } from '../http.ts';
import { type JsonPart, readJsonDocument, UnreadableJsonError } from '../slice.ts';

export interface Api {
  readonly http: Http;
  readonly settings: RedditSettings;
  /** The application's token while it is taken. */
  applicationToken: string | null;
}

export interface ApiAnswer extends Answer {
  /** Null when Reddit refused. */
  readonly document: JsonPart | null;
}

const tokenView = z.looseObject({ access_token: z.string().regex(/^[!-~]+$/) });
const listingView = z.looseObject({
  kind: z.literal('Listing'),
  data: z.looseObject({ after: z.string().nullish(), children: z.array(z.unknown()) }),
});

/**
 * Asks for a path.
 * @returns the answer; one of 4xx has no document
 * @throws CollectError when there is no readable answer; UnreadableAnswerError when a 200 is not JSON
 */
export async function ask(
  api: Api,
  path: string,
  parameters: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<ApiAnswer> {
  const url = new URL(path, api.settings.service);
  // Without it, three signs of every text come as entities of HTML.
  for (const [name, value] of Object.entries({ raw_json: '1', ...parameters }))
    url.searchParams.set(name, value);
  const accept = 'application/json';
  const send = async (): Promise<Answer> => {
    const headers = { authorization: `Bearer ${await tokenOf(api, signal)}` };
    return api.http.get(url.href, { signal, accept, headers });
  };
  let answer = await send();
  if (answer.status === 401 && api.applicationToken !== null) {
    // It lasts for a day at most, and a run may take longer.
    api.applicationToken = null;
    answer = await send();
  }
  if (answer.status === 200) return { ...answer, document: jsonOf(answer) };
  if (answer.status >= 400 && answer.status < 500) return { ...answer, document: null };
  throw refused(answer);
}

/** @throws CollectError `access-lost` when there is none */
async function tokenOf(api: Api, signal: AbortSignal): Promise<string> {
  const { access, login } = api.settings;
  if ('token' in access) return revealed(access.token, api.settings.service, 'token, id or secret');
  if (api.applicationToken !== null) return api.applicationToken;
  const url = new URL('/api/v1/access_token', login).href;
  const pair = `${revealed(access.clientId, login, 'token, id or secret')}:${revealed(access.clientSecret, login, 'token, id or secret')}`;
  const headers = { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
  const form = { grant_type: 'client_credentials' };
  const { status, body } = await api.http.post(url, form, { signal, accept: 'application/json', headers });
  const read = tokenView.safeParse(status === 200 ? jsonIn(body) : null);
  // What came is kept nowhere: it may hold a token.
  if (!read.success)
    throw new CollectError('access-lost', `${url} answered ${status} and gave no access token`, url, {
      hint: 'Check the id and the secret of the application under reddit.com/prefs/apps.',
    });
  api.applicationToken = read.data.access_token;
  return api.applicationToken;
}

function jsonIn(body: Buffer): unknown {
  try {
    return readJsonDocument(body).value;
  } catch (error) {
    if (error instanceof UnreadableJsonError) return null;
    throw error;
  }
}

/** @returns what a refusal that no caller has a meaning for comes to */
export function refused({ exchange: { url, status } }: Pick<Answer, 'exchange'>): CollectError {
  const message = `${url} answered ${status}`;
  if (status === 401 || status === 403)
    return new CollectError('access-lost', `${message}: it may not be read`, url, {
      hint: 'Check that the token or the application is valid, and that the account or community is open to it; nothing in the archive changes.',
    });
  return new CollectError('http-status', message, url);
}

/** @throws CollectError when Reddit refused */
export function requireDocument(answer: ApiAnswer): JsonPart {
  if (answer.document === null) throw refused(answer);
  return answer.document;
}

export interface Listing {
  readonly things: readonly JsonPart[];
  readonly after: string | null;
}

/** @param part the answer, or the part of it that is a listing. @throws UnreadableAnswerError when it is none */
export function listingOf(answer: ApiAnswer, part: JsonPart | undefined): Listing {
  const read = listingView.safeParse(part?.value);
  if (!read.success) throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no listing`);
  return {
    things: part?.member('data')?.member('children')?.elements() ?? [],
    after: read.data.data.after || null,
  };
}
