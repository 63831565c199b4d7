// Reads the thread that a status stands in: what it answers, and everybody's replies below it at any depth. Where a server stops before the
// end (Mastodon shows strangers 60 replies and 20 levels at once), the walk goes on from there with a request of its own.

import { UnreadableAnswerError } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import type { CollectorEvent, Exchange, Problem, Rejected, Sighting } from '../collector.ts';
import type { JsonPart } from '../slice.ts';
import { type Api, ask, refused } from './api.ts';
import { type Known, type Read, type Reading, readStatus } from './sighting.ts';
import { contextView } from './views.ts';

/** Requests for one thread, before a server that always has more counts as endless. */
const LONGEST_WALK = 5000;

/** One run's reading of an account and its threads. */
export interface Reader {
  readonly api: Api;
  readonly domain: string;
  readonly known: Known;
  readonly edits: Reading['edits'];
  /** Addresses of items that this run has already offered. */
  readonly offered: Set<string>;
  /** Ids of statuses whose replies this run has already asked for or seen. */
  readonly covered: Set<string>;
  /** Told of every status that is offered. */
  readonly onStatus: (read: Extract<Read, { sighting: Sighting }>) => void;
  /** Replies that the server counts but does not show. */
  notShown: number;
  /** Statuses that are not for everybody. */
  closed: number;
  /** Whether the server lets threads be read: unknown until it was asked. */
  threads: 'unknown' | 'read' | 'refused';
}

/** A status as the thread around it is asked for: the server's id, its address, and how many direct replies the server counts. */
export interface Thread {
  readonly id: string;
  readonly uri: string;
  readonly replies: number;
}

/** Learns the ids and addresses of statuses first, since a reply may stand before what it answers; then reads them. */
export function readAll(
  reader: Reader,
  parts: readonly JsonPart[],
  exchange: Exchange,
): { sightings: Sighting[]; unreadable: Rejected[] } {
  learn(reader.known, parts);
  const sightings: Sighting[] = [];
  const unreadable: Rejected[] = [];
  const { api, domain, known, edits } = reader;
  for (const part of parts) {
    const read = readStatus(part, { exchange, service: api.service, domain, known, edits });
    if ('rejected' in read) unreadable.push(read.rejected);
    else if ('closed' in read) reader.closed += 1;
    else if (!reader.offered.has(read.status.uri)) {
      reader.offered.add(read.status.uri);
      reader.onStatus(read);
      sightings.push(read.sighting);
    }
  }
  return { sightings, unreadable };
}

export function learn(known: Known, parts: readonly JsonPart[]): void {
  for (const { value } of parts) {
    const { id, uri, in_reply_to_id: parent } = (value ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof id === 'string' && typeof uri === 'string')
      known.set(id, { uri, parent: typeof parent === 'string' ? parent : null });
  }
}

/**
 * Reads the thread around one status of the account.
 * @throws CollectError when a part of the thread cannot be read; what was yielded before stands
 */
export async function* readThread(
  reader: Reader,
  { id, replies }: Thread,
  signal: AbortSignal,
): AsyncIterable<CollectorEvent> {
  const { api } = reader;
  const waiting = [{ id, replies }];
  const asked = new Set<string>();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (reader.threads === 'refused') return;
    if (asked.size >= LONGEST_WALK)
      throw new CollectError('incomplete-thread', `it goes on after ${LONGEST_WALK} requests`, api.service);
    asked.add(next.id);
    const answer = await ask(api, `v1/statuses/${encodeURIComponent(next.id)}/context`, {}, signal);
    if (answer.document === null) {
      // Deleted between the listing and now: a later run will miss it and look it up.
      if (answer.status === 404 || answer.status === 410) {
        reader.notShown += next.replies;
        continue;
      }
      const isClosed = answer.status === 401 || answer.status === 403;
      // From the first request on, and to one who shows no token: so it is for everybody. Otherwise something has gone wrong.
      if (!isClosed || reader.threads === 'read' || reader.api.token !== null) throw refused(answer);
      reader.threads = 'refused';
      yield { type: 'page', exchange: answer.exchange, sightings: [], rejected: [] };
      yield { type: 'problem', problem: threadsRefused(reader.api.service) };
      return;
    }
    if (!contextView.safeParse(answer.document.value).success)
      throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no thread`);
    reader.threads = 'read';
    const ancestors = answer.document.member('ancestors')?.elements() ?? [];
    const descendants = answer.document.member('descendants')?.elements() ?? [];
    const { exchange } = answer;
    const { sightings, unreadable } = readAll(reader, [...ancestors, ...descendants], exchange);
    const children = new Map<string, number>();
    const counted = [next];
    for (const { value } of descendants) {
      const shown = (value ?? {}) as Readonly<Record<string, unknown>>;
      const { id: own, in_reply_to_id: parent, replies_count: count } = shown;
      if (typeof parent === 'string') children.set(parent, (children.get(parent) ?? 0) + 1);
      if (typeof own === 'string') counted.push({ id: own, replies: typeof count === 'number' ? count : 0 });
    }
    for (const one of counted) {
      reader.covered.add(one.id);
      const shown = children.get(one.id) ?? 0;
      if (one.replies <= shown) continue;
      if (shown === 0 && !asked.has(one.id)) waiting.push(one);
      else reader.notShown += one.replies - shown;
    }
    yield { type: 'page', exchange, sightings, rejected: unreadable };
  }
}

export function gap(message: string, subject: string): Problem {
  return { code: 'standing-gap', message, subject };
}

function threadsRefused(service: string): Problem {
  return gap(
    `${service} shows threads only to whoever has a token, so neither the public's replies nor deletions can be told. Put a token into the settings.`,
    service,
  );
}

/** @returns the problem of a thread that could not be read to its end */
export function incompleteThread(uri: string, error: CollectError): CollectorEvent {
  return {
    type: 'problem',
    problem: {
      code: 'incomplete-thread',
      message: `The thread of ${uri} is incomplete: ${error.problem.message}`,
      subject: uri,
    },
  };
}
