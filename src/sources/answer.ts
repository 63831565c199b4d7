// An answer, or a part of one, that is not what it must be: an error or a rejection that still holds the bytes, for quarantine keeps them.

import { CollectError } from './collect-error.ts';
import type { CollectorEvent, Exchange, Rejected } from './collector.ts';
import type { Answer } from './http.ts';
import { type JsonPart, readJsonDocument, UnreadableJsonError } from './slice.ts';

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

/** @returns the page event that puts the whole unreadable answer aside, when the error has one */
export function quarantined(error: CollectError): CollectorEvent[] {
  if (!(error instanceof UnreadableAnswerError) || error.answer.body.length === 0) return [];
  const { exchange, body } = error.answer;
  return [
    { type: 'page', exchange, sightings: [], rejected: [{ bytes: body, exchange, reason: error.message }] },
  ];
}

/** @returns the JSON of an answer. @throws UnreadableAnswerError when it is something else (HTML, an empty or broken body) */
export function jsonOf(answer: Answer): JsonPart {
  const { url } = answer.exchange;
  if (answer.body.length === 0)
    throw new UnreadableAnswerError(answer, `${url} answered ${answer.status} with an empty body`);
  const type = answer.headers['content-type'] ?? '';
  if (/^\s*text\/html/i.test(type))
    throw new UnreadableAnswerError(
      answer,
      `${url} answered ${answer.status} with a web page where JSON is due`,
    );
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

/** @returns a part of an answer that is put aside, with its bytes */
export function rejected(part: JsonPart, exchange: Exchange, reason: string): { rejected: Rejected } {
  return { rejected: { bytes: part.raw(), exchange, reason } };
}

/** @returns the exact bytes, or null when they nest too deeply to be kept as an item */
export function sliceOf(part: JsonPart): Uint8Array | null {
  try {
    return part.slice();
  } catch (error) {
    if (error instanceof UnreadableJsonError) return null;
    throw error;
  }
}

export function faultOf(error: {
  issues: readonly { path: readonly PropertyKey[]; message: string }[];
}): string {
  const [issue] = error.issues;
  return issue === undefined
    ? 'unreadable'
    : `${issue.path.map(String).join('.') || 'the value'}: ${issue.message}`;
}
