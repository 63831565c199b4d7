// One call to a Graph API of Meta: an answer in JSON, or a refusal for the caller to understand by its code. The token goes into a header
// only; and since the platform writes it into the addresses of next pages, it is blotted out of what came before anything is kept.

import { z } from 'zod';
import type { Secret } from '../../core/secret.ts';
import { jsonOf, UnreadableAnswerError } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import { revealed } from '../credential.ts';
import type { Answer, Http } from '../http.ts';
import { type JsonPart, readJsonDocument, UnreadableJsonError } from '../slice.ts';

export interface Api {
  readonly http: Http;
  readonly service: string;
  /** The version that stands before every path, e.g. v25.0. */
  readonly version: string;
  readonly token: Secret;
}

/** What the platform says of a refusal: matched by its numbers, never by its words. */
export interface Refusal {
  readonly code: number;
  readonly subcode: number | null;
  /** The platform's words, for people. */
  readonly message: string;
}

export interface ApiAnswer extends Answer {
  /** Null when the platform refused. */
  readonly document: JsonPart | null;
  /** Null when it did not refuse, or in no words of its own. */
  readonly refusal: Refusal | null;
}

const refusalView = z.object({
  error: z.looseObject({
    code: z.int(),
    error_subcode: z.int().nullish().catch(null),
    message: z.string().catch(''),
  }),
});
const listView = z.looseObject({ data: z.array(z.unknown()) });

/** Application, user, page and custom limits; 80000 to 80014 are those of business use cases. */
const LIMITS = new Set([4, 17, 32, 613]);
/** A token that is no longer one, and a permission that is lacking. */
const ACCESS = new Set([3, 10, 102, 104, 190, 368]);
const NO_SUCH_NAME = 803;
const LONGEST_WORDS = 300;
/** Pages of one list, before one that always offers another counts as endless. */
const LONGEST_LIST = 20_000;
/** Pages in a row that bring nothing new before a list counts as going in circles. */
const BARREN_PAGES = 3;

/**
 * Asks for a path below the version.
 * @returns the answer; one of 4xx has no document
 * @throws CollectError when there is no readable answer; UnreadableAnswerError when a 200 is not JSON
 */
export async function ask(
  { http, service, version, token }: Api,
  path: string,
  parameters: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<ApiAnswer> {
  const url = new URL(`/${version}/${path}`, service);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const secret = revealed(token, service);
  const headers = { authorization: `Bearer ${secret}` };
  const came = await http.get(url.href, { signal, accept: 'application/json', headers });
  const answer = { ...came, body: blotted(came.body, secret) };
  const refusal = refusalOf(answer.body);
  if (answer.status === 200 && refusal === null) return { ...answer, document: jsonOf(answer), refusal };
  if (answer.status === 200 || (answer.status >= 400 && answer.status < 500))
    return { ...answer, document: null, refusal };
  throw refused({ ...answer, document: null, refusal });
}

/** @returns the body with every access token in it overwritten by as many x, so that each byte stays in its place */
function blotted(body: Buffer, secret: string): Buffer {
  const text = body.toString('latin1');
  const ink = (found: string): string => 'x'.repeat(found.length);
  let clean = text.replaceAll(
    /(access_token(?:=|%3D))([^&"\\\s]+)/gi,
    (_, name: string, value: string) => name + ink(value),
  );
  for (const one of new Set([secret, encodeURIComponent(secret)])) clean = clean.replaceAll(one, ink(one));
  return clean === text ? body : Buffer.from(clean, 'latin1');
}

/** Platforms of Meta also refuse with a status of 200. */
function refusalOf(body: Buffer): Refusal | null {
  // Longer ones are none, and need not be read twice.
  if (body.length > 16_384) return null;
  try {
    const read = refusalView.safeParse(readJsonDocument(body).value);
    if (!read.success) return null;
    const { code, error_subcode: subcode, message } = read.data.error;
    return {
      code,
      subcode: subcode ?? null,
      message: message.replaceAll(/\s+/g, ' ').slice(0, LONGEST_WORDS),
    };
  } catch (error) {
    if (error instanceof UnreadableJsonError) return null;
    throw error;
  }
}

/** @returns whether there is no such item, or none that this token may see: the platform says the same of both */
export function isNotShown({ refusal }: ApiAnswer): boolean {
  return refusal !== null && refusal.code === 100 && refusal.subcode === 33;
}

export function isUnknownName({ refusal, status }: ApiAnswer): boolean {
  return refusal?.code === NO_SUCH_NAME || status === 404;
}

/** @returns what a refusal that no caller has a meaning for comes to */
export function refused({ exchange, refusal }: ApiAnswer): CollectError {
  const { url, status } = exchange;
  const numbers = refusal === null ? '' : [refusal.code, refusal.subcode ?? []].flat().join('/');
  const said = refusal === null ? '' : ` with error ${numbers}: ${refusal.message}`;
  const message = `${url} answered ${status}${said}`;
  const code = refusal?.code ?? 0;
  if (LIMITS.has(code) || (code >= 80_000 && code <= 80_014))
    return new CollectError('rate-limited', message, url, {
      hint: 'Collect less often, or wait for an hour.',
    });
  if (
    ACCESS.has(code) ||
    (code >= 200 && code < 300) ||
    (refusal === null && (status === 401 || status === 403))
  )
    return new CollectError('access-lost', message, url, {
      hint: 'Renew the access token, and see on the platform which permissions it has; nothing in the archive changes.',
    });
  return new CollectError('http-status', message, url);
}

/** @throws CollectError when the platform refused */
export function requireDocument(answer: ApiAnswer): JsonPart {
  if (answer.document === null) throw refused(answer);
  return answer.document;
}

export interface ListPage {
  readonly answer: ApiAnswer;
  readonly parts: readonly JsonPart[];
  /** Whether the platform offers no page after this one: a short or empty page is no sign of that. */
  readonly isLast: boolean;
}

/**
 * Reads a list page by page. The address of the next page is never followed: only the cursor that it stands for is taken from the answer.
 * @param goesOnWithoutNext whether a cursor alone offers a next page, which may be an empty one
 * @throws CollectError `repeated-cursor` when the list goes in circles, and whatever makes a page unreadable
 */
export async function* pagesOf(
  api: Api,
  path: string,
  parameters: Readonly<Record<string, string>>,
  signal: AbortSignal,
  goesOnWithoutNext: boolean,
): AsyncIterable<ListPage> {
  const cursors = new Set<string>();
  const seen = new Set<string>();
  let barren = 0;
  for (let after: string | null = null; ; ) {
    signal.throwIfAborted();
    const answer = await ask(api, path, after === null ? parameters : { ...parameters, after }, signal);
    const parts = listOf(answer);
    const next = cursorOf(answer, goesOnWithoutNext && parts.length > 0);
    yield { answer, parts, isLast: next === null };
    if (next === null) return;
    const ids = parts.map(({ value }) => (value as { id?: unknown } | null)?.id).map(String);
    barren = ids.length > 0 && ids.every((id) => seen.has(id)) ? barren + 1 : 0;
    for (const id of ids) seen.add(id);
    if (cursors.has(next) || barren >= BARREN_PAGES || cursors.size >= LONGEST_LIST) {
      const { url } = answer.exchange;
      throw new CollectError('repeated-cursor', `${url} pages in circles, so its end was not reached`, url);
    }
    cursors.add(next);
    after = next;
  }
}

/** @returns the elements of a list. @throws CollectError when the answer is none */
export function listOf(answer: ApiAnswer): JsonPart[] {
  const document = requireDocument(answer);
  if (!listView.safeParse(document.value).success)
    throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no list`);
  return document.member('data')?.elements() ?? [];
}

/** @returns the cursor of the page after this one; null where the platform offers none */
function cursorOf(answer: ApiAnswer, isCursorEnough: boolean): string | null {
  const paging = answer.document?.member('paging');
  const next = paging?.member('next')?.value ?? null;
  const after = paging?.member('cursors')?.member('after')?.value;
  if (typeof after === 'string' && after !== '' && (next !== null || isCursorEnough)) return after;
  if (next === null) return null;
  const stated =
    typeof next === 'string' && URL.canParse(next) ? new URL(next).searchParams.get('after') : null;
  if (stated) return stated;
  throw new UnreadableAnswerError(answer, `${answer.exchange.url} offers a next page without a cursor`);
}
