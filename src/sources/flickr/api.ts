// One call to Flickr's API: an answer in JSON, which says by itself whether it was given, or a refusal by its number.

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
  readonly key: Secret;
}

export interface ApiAnswer extends Answer {
  readonly document: JsonPart;
  /** Flickr's number for why it gave nothing; null when it gave what was asked for. */
  readonly refusal: number | null;
}

/** What is asked for does not exist, or not for this key: each method has it as its first number. */
export const NOT_FOUND = 1;
/** The key, or a signature, is no good. */
const NOT_LET_IN = new Set([96, 97, 98, 99, 100]);

const outcome = z.union([
  z.looseObject({ stat: z.literal('ok') }),
  z.looseObject({ stat: z.literal('fail'), code: z.coerce.number().int(), message: z.string().catch('') }),
]);

/**
 * @param parameters beside the method's name, the key and the format
 * @throws CollectError for every refusal but {@link NOT_FOUND}; UnreadableAnswerError when an answer is not Flickr's
 */
export async function ask(
  { http, service, key }: Api,
  method: string,
  parameters: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<ApiAnswer> {
  const url = new URL('/services/rest/', service);
  const all = {
    method,
    ...parameters,
    format: 'json',
    nojsoncallback: '1',
    api_key: revealed(key, service, 'key'),
  };
  for (const [name, value] of Object.entries(all)) url.searchParams.set(name, value);
  const answer = await http.get(url.href, { signal, accept: 'application/json' });
  const { url: shown, status } = answer.exchange;
  if (status === 401 || status === 403) throw notLetIn(`${shown} answered ${status}`, shown);
  if (status !== 200) throw new CollectError('http-status', `${shown} answered ${status}`, shown);
  const document = jsonOf(answer);
  const read = outcome.safeParse(document.value);
  if (!read.success) throw new UnreadableAnswerError(answer, `${shown} does not say whether it answers`);
  if (read.data.stat === 'ok') return { ...answer, document, refusal: null };
  const { code, message } = read.data;
  if (code === NOT_FOUND) return { ...answer, document, refusal: code };
  const said = `${shown} refused with ${code}${message === '' ? '' : ` (${message.slice(0, 200)})`}`;
  throw NOT_LET_IN.has(code) ? notLetIn(said, shown) : new CollectError('http-status', said, shown);
}

function notLetIn(said: string, url: string): CollectError {
  return new CollectError('access-lost', `${said}: the key is not accepted`, url, {
    hint: 'See at flickr.com/services/apps whether the key is still good; nothing in the archive changes.',
  });
}
