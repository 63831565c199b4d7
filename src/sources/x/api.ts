// One call to the API of X (v2), where every post and account that an answer holds is paid for: the most that it may hold is counted before each
// attempt, and what it did not hold is given back. A 200 may refuse single things in `errors`, by the address of the kind of problem.

import { z } from 'zod';
import type { Secret } from '../../core/secret.ts';
import { jsonOf, UnreadableAnswerError } from '../answer.ts';
import type { Budget } from '../budget.ts';
import { CollectError } from '../collect-error.ts';
import { revealed } from '../credential.ts';
import type { Answer, Http } from '../http.ts';
import type { JsonPart } from '../slice.ts';

export interface Api {
  readonly http: Http;
  readonly service: string;
  readonly token: Secret;
  readonly budget: Budget;
}

/** What X says of a single thing that it does not give. */
export interface Refused {
  readonly id: string;
  /** By the kind of problem, never by its words. */
  readonly why: 'not-found' | 'not-authorized' | 'other';
}

export interface ApiAnswer extends Answer {
  readonly document: JsonPart;
  /** Things, one for each that the answer gives. */
  readonly found: readonly JsonPart[];
  readonly refused: readonly Refused[];
  readonly next: string | null;
}

const answerView = z.looseObject({
  data: z.union([z.array(z.unknown()), z.looseObject({})]).optional(),
  errors: z
    .array(
      z.looseObject({
        type: z.string().optional().catch(undefined),
        resource_id: z.string().optional().catch(undefined),
        value: z.string().optional().catch(undefined),
      }),
    )
    .optional(),
  meta: z
    .looseObject({ result_count: z.int().nonnegative().optional(), next_token: z.string().nullish() })
    .optional(),
});

const PROBLEMS: readonly (readonly [end: string, why: Refused['why']])[] = [
  ['/resource-not-found', 'not-found'],
  ['/not-authorized-for-resource', 'not-authorized'],
  ['/resource-unavailable', 'not-authorized'],
];

/**
 * @param most posts or accounts that the answer may hold
 * @throws CollectError when X refused, there is no readable answer, or the day's units are spent; UnreadableAnswerError when it is no answer of X
 */
export async function ask(
  { http, service, token, budget }: Api,
  path: string,
  parameters: Readonly<Record<string, string>>,
  most: number,
  signal: AbortSignal,
): Promise<ApiAnswer> {
  const url = new URL(`/2/${path}`, service);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const headers = { authorization: `Bearer ${revealed(token, service)}` };
  let day = '';
  const beforeAttempt = async (): Promise<void> => {
    day = await budget.spend(most, url.href);
  };
  const came = await http.get(url.href, { signal, accept: 'application/json', headers, beforeAttempt });
  if (came.status !== 200) throw refusal(came);
  const document = jsonOf(came);
  const read = answerView.safeParse(document.value);
  const { data, errors, meta } = read.data ?? {};
  // An answer without things says so itself: it counts none, or tells what is the matter with each.
  if (!read.success || (data === undefined && errors === undefined && meta?.result_count !== 0))
    throw new UnreadableAnswerError(came, `${came.exchange.url} gives no answer of X`);
  const part = document.member('data');
  const found = Array.isArray(data) ? (part?.elements() ?? []) : part === undefined ? [] : [part];
  await budget.giveBack(most - found.length, day);
  return {
    ...came,
    document,
    found,
    refused: (errors ?? []).flatMap(({ type = '', resource_id: resource, value }) => {
      const id = resource ?? value;
      const [, why = 'other'] = PROBLEMS.find(([end]) => type.endsWith(end)) ?? [];
      return id === undefined ? [] : [{ id, why }];
    }),
    next: meta?.next_token || null,
  };
}

function refusal({ exchange: { url, status } }: Answer): CollectError {
  const message = `${url} answered ${status}`;
  if (status === 402)
    return new CollectError('budget-spent', `${message}: what was paid for is used up`, url, {
      hint: 'Add credit on X; the next run goes on from what is stored.',
    });
  if (status === 401 || status === 403)
    return new CollectError('access-lost', `${message}: it may not be read`, url, {
      hint: 'Check the access token, and what its plan on X allows; nothing in the archive changes.',
    });
  return new CollectError('http-status', message, url);
}
