// Reads the public's replies: the thread below a post, at any depth. Where a service stops before the end, the walk goes on
// from there with a request of its own.

import { rejected, UnreadableAnswerError } from '../answer.ts';
import type { CollectError } from '../collect-error.ts';
import type { CollectorEvent, Rejected, Sighting } from '../collector.ts';
import type { Http } from '../http.ts';
import type { JsonPart } from '../slice.ts';
import { type Beside, readPost } from './sighting.ts';
import { threadPage } from './views.ts';
import { callXrpc, requireAccepted } from './xrpc.ts';

/** The deepest that the method's lexicon permits. */
const DEPTH = '1000';

export interface ThreadReader {
  readonly http: Http;
  readonly service: string;
  readonly beside: Beside;
  /** Addresses of items that this run has already offered. */
  readonly offered: Set<string>;
  /** Posts whose replies this run has already asked for or seen. */
  readonly covered: Set<string>;
  /** Replies that the service counts but does not show, and nodes it blocks. */
  notShown: number;
}

/**
 * Reads everything below one post.
 * @throws CollectError when a part of the thread cannot be read; what was yielded before stands
 */
export async function* readThread(
  reader: ThreadReader,
  uri: string,
  signal: AbortSignal,
): AsyncIterable<CollectorEvent> {
  const waiting = [uri];
  const asked = new Set<string>();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    asked.add(next);
    const parameters = { uri: next, depth: DEPTH, parentHeight: '0' };
    const answer = await callXrpc(
      reader.http,
      reader.service,
      'app.bsky.feed.getPostThread',
      parameters,
      signal,
    );
    if (answer.error === 'NotFound') {
      // Deleted between the listing and now: the next run will miss it and look it up.
      reader.notShown += 1;
      continue;
    }
    const document = requireAccepted(answer);
    const root = document.member('thread');
    if (!threadPage.safeParse(document.value).success || root === undefined) {
      throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no thread`);
    }
    const sightings: Sighting[] = [];
    const unreadable: Rejected[] = [];
    for (const nodes = [root]; nodes.length > 0; ) {
      const node = nodes.pop() as JsonPart;
      const post = node.member('post');
      if (post === undefined) {
        // notFoundPost, blockedPost: a place in the thread without an item.
        if (isPlaceholder(node.value)) reader.notShown += 1;
        else
          unreadable.push(
            rejected(node, answer.exchange, 'neither a post nor a placeholder in a thread').rejected,
          );
        continue;
      }
      const replies = node.member('replies')?.elements() ?? [];
      nodes.push(...replies.toReversed());
      const read = await readPost(post, answer.exchange, reader.beside);
      if ('rejected' in read) {
        unreadable.push(read.rejected);
        continue;
      }
      const address = read.post.uri;
      reader.covered.add(address);
      if (!reader.offered.has(address)) {
        reader.offered.add(address);
        sightings.push(read.sighting);
      }
      const hidden = (read.post.replyCount ?? 0) - replies.length;
      if (hidden <= 0) continue;
      if (replies.length === 0 && !asked.has(address)) waiting.push(address);
      else reader.notShown += hidden;
    }
    yield { type: 'page', exchange: answer.exchange, sightings, rejected: unreadable };
  }
}

function isPlaceholder(value: unknown): boolean {
  if (value === null || typeof value !== 'object') return false;
  const shown = value as { notFound?: unknown; blocked?: unknown };
  return shown.notFound === true || shown.blocked === true;
}

/** @returns the problem of a thread that could not be read to its end */
export function incompleteThread(uri: string, error: CollectError): CollectorEvent {
  return {
    type: 'problem',
    problem: {
      code: 'incomplete-thread',
      message: `The replies to ${uri} are incomplete: ${error.problem.message}`,
      subject: uri,
    },
  };
}
