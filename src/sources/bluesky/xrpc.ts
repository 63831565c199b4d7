// One call to an AT Protocol service (XRPC over HTTP): an answer that is JSON, or a typed refusal that the service words itself.

import { jsonOf } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import type { Answer, Http } from '../http.ts';
import type { JsonPart } from '../slice.ts';
import { xrpcError } from './views.ts';

export interface XrpcAnswer extends Answer {
  readonly document: JsonPart;
  /** The error's name (`RecordNotFound` …) when the status is 4xx; null on success. Matched by name, never by message. */
  readonly error: string | null;
  readonly message: string | null;
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

function httpStatusError(answer: Answer): CollectError {
  const { url } = answer.exchange;
  if (isAccessRefused(answer.status)) return accessLost(url, `${url} answered ${answer.status}`);
  return new CollectError('http-status', `${url} answered ${answer.status}`, url, {
    hint: 'Check the address of the service.',
  });
}

/** @throws CollectError when the service refused */
export function requireAccepted(answer: XrpcAnswer): JsonPart {
  if (answer.error === null) return answer.document;
  const { url } = answer.exchange;
  const said = `${url} answered ${answer.status} ${answer.error}: ${answer.message ?? ''}`;
  throw isAccessRefused(answer.status) ? accessLost(url, said) : new CollectError('http-status', said, url);
}

const isAccessRefused = (status: number): boolean => status === 401 || status === 403;

function accessLost(url: string, message: string): CollectError {
  return new CollectError('access-lost', message, url, {
    hint: 'See on the platform what it asks for; nothing in the archive changes.',
  });
}
