// One call to an AT Protocol service (XRPC over HTTP): an answer that is JSON, or a typed refusal that the service words itself.

import { CollectError } from '../collect-error.ts';
import type { Answer, Http } from '../http.ts';
import { type JsonPart, readJsonDocument, UnreadableJsonError } from '../slice.ts';
import { xrpcError } from './views.ts';

export interface XrpcAnswer extends Answer {
  readonly document: JsonPart;
  /** The error's name (`RecordNotFound` …) when the status is 4xx; null on success. Matched by name, never by message. */
  readonly error: string | null;
  readonly message: string | null;
}

/** The bytes of an answer that is not what it must be: quarantine keeps them. */
export class UnreadableAnswerError extends CollectError {
  readonly answer: Answer;
  constructor(answer: Answer, message: string, cause?: unknown) {
    super('not-the-expected-format', message, answer.exchange.url, {
      cause,
      hint: 'Check that the address is that of the service itself, not of a login or proxy page.',
    });
    this.answer = answer;
  }
}

/** @returns the JSON of an answer. @throws UnreadableAnswerError when it is something else (HTML, an empty or broken body) */
export function jsonOf(answer: Answer): JsonPart {
  const { url } = answer.exchange;
  if (answer.body.length === 0)
    throw new UnreadableAnswerError(answer, `${url} answered ${answer.status} with an empty body`);
  const type = answer.headers['content-type'] ?? '';
  if (/^\s*text\/html/i.test(type))
    throw new UnreadableAnswerError(answer, `${url} answered with a web page where JSON is due`);
  try {
    return readJsonDocument(answer.body);
  } catch (error) {
    if (!(error instanceof UnreadableJsonError)) throw error;
    throw new UnreadableAnswerError(
      answer,
      `${url} answered with something other than JSON: ${error.message}`,
      error,
    );
  }
}

/** @returns the whole address of a method with its parameters */
export function xrpcAddress(
  service: string,
  method: string,
  parameters: Readonly<Record<string, string | readonly string[]>>,
): string {
  const url = new URL(`/xrpc/${method}`, service);
  for (const [name, values] of Object.entries(parameters)) {
    for (const value of typeof values === 'string' ? [values] : values) url.searchParams.append(name, value);
  }
  return url.href;
}

/**
 * Calls a method.
 * @returns the answer, 4xx included
 * @throws CollectError when there is no readable answer; UnreadableAnswerError when it is not JSON
 */
export async function callXrpc(
  http: Http,
  service: string,
  method: string,
  parameters: Readonly<Record<string, string | readonly string[]>>,
  signal: AbortSignal,
): Promise<XrpcAnswer> {
  const answer = await http.get(xrpcAddress(service, method, parameters), {
    signal,
    accept: 'application/json',
  });
  const document = jsonOf(answer);
  if (answer.status === 200) return { ...answer, document, error: null, message: null };
  const refusal = xrpcError.safeParse(document.value);
  if (answer.status >= 400 && answer.status < 500 && refusal.success) {
    return { ...answer, document, error: refusal.data.error, message: refusal.data.message ?? null };
  }
  throw httpStatusError(answer);
}

export function httpStatusError(answer: Answer): CollectError {
  const { url } = answer.exchange;
  return new CollectError('http-status', `${url} answered ${answer.status}`, url, {
    hint: 'Check the address of the service.',
  });
}

/** @throws CollectError when the service refused */
export function requireAccepted(answer: XrpcAnswer): JsonPart {
  if (answer.error === null) return answer.document;
  const { url } = answer.exchange;
  throw new CollectError(
    'http-status',
    `${url} answered ${answer.status} ${answer.error}: ${answer.message ?? ''}`,
    url,
  );
}
