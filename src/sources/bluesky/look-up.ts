// Looks single items up after a run did not see them: first where the public reads, then in the author's own repository, which
// is the authority on what was deleted. Whatever fails says nothing about the item.

import type { Identity } from '../../core/vocabulary.ts';
import { UnreadableAnswerError } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import type { LookUp } from '../collector.ts';
import type { Http } from '../http.ts';
import type { Availability, Repositories } from './repositories.ts';
import { type AtUri, type Beside, PLATFORM, PROFILES, parseAtUri, readPost } from './sighting.ts';
import { postsPage, repoRecord } from './views.ts';
import { callXrpc, requireAccepted } from './xrpc.ts';

/** Most addresses that app.bsky.feed.getPosts takes. */
const BATCH = 25;

export interface LookUpContext {
  readonly http: Http;
  readonly service: string;
  readonly repositories: Repositories;
  readonly beside: Beside;
}

interface Wanted {
  readonly identity: Identity;
  readonly at: AtUri;
}

export async function* lookUpItems(
  context: LookUpContext,
  identities: readonly Identity[],
  signal: AbortSignal,
): AsyncIterable<LookUp> {
  const wanted: Wanted[] = [];
  for (const identity of identities) {
    const at = identity.platform === PLATFORM ? parseAtUri(identity.platformId) : null;
    if (at !== null) wanted.push({ identity, at });
    else
      yield unknown(
        identity,
        new CollectError(
          'not-the-expected-format',
          `${identity.platformId} is no address of this platform`,
          identity.platformId,
        ),
      );
  }
  const accounts = new Map<string, Promise<Availability>>();
  for (let from = 0; from < wanted.length; from += BATCH) {
    const batch = wanted.slice(from, from + BATCH);
    const shown = await answered(() =>
      shownPosts(
        context,
        batch.filter((one) => one.at.collection === 'app.bsky.feed.post'),
        signal,
      ),
    );
    for (const one of batch) {
      if (shown instanceof CollectError) yield unknown(one.identity, shown);
      else yield shown.get(one.identity.platformId) ?? (await inRepository(context, accounts, one, signal));
    }
  }
}

/** What the service still shows. @throws CollectError */
async function shownPosts(
  context: LookUpContext,
  wanted: readonly Wanted[],
  signal: AbortSignal,
): Promise<Map<string, LookUp>> {
  const found = new Map<string, LookUp>();
  if (wanted.length === 0) return found;
  const uris = wanted.map((one) => one.identity.platformId);
  const answer = await callXrpc(context.http, context.service, 'app.bsky.feed.getPosts', { uris }, signal);
  const document = requireAccepted(answer);
  if (!postsPage.safeParse(document.value).success)
    throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no posts`);
  for (const part of document.member('posts')?.elements() ?? []) {
    const read = await readPost(part, answer.exchange, context.beside);
    if ('rejected' in read)
      throw new UnreadableAnswerError(answer, `${answer.exchange.url}: ${read.rejected.reason}`);
    const { identity } = read.sighting;
    found.set(identity.platformId, { identity, state: 'present', sighting: read.sighting });
  }
  return found;
}

async function inRepository(
  context: LookUpContext,
  accounts: Map<string, Promise<Availability>>,
  { identity, at }: Wanted,
  signal: AbortSignal,
): Promise<LookUp> {
  const found = await answered(async (): Promise<LookUp> => {
    const asked = accounts.get(at.did) ?? context.repositories.availability(at.did, signal);
    accounts.set(at.did, asked);
    const account = await asked;
    if (account.state !== 'available') {
      return { identity, state: account.state, exchange: account.answer.exchange, body: account.answer.body };
    }
    const parameters = { repo: at.did, collection: at.collection, rkey: at.rkey };
    const answer = await callXrpc(
      context.http,
      account.origin,
      'com.atproto.repo.getRecord',
      parameters,
      signal,
    );
    const { exchange, body } = answer;
    if (answer.error === 'RecordNotFound') return { identity, state: 'deleted', exchange, body };
    const record = repoRecord.safeParse(requireAccepted(answer).value);
    if (!record.success || record.data.uri !== identity.platformId) {
      throw new UnreadableAnswerError(answer, `${exchange.url} gives another record than the one asked for`);
    }
    // Whatever the service shows of a profile that is there, it hides none.
    if (at.collection === PROFILES) return { identity, state: 'present', sighting: null };
    return { identity, state: 'hidden', exchange, body };
  });
  return found instanceof CollectError ? unknown(identity, found) : found;
}

/** @returns the value, or the platform's failure as a value; anything else is thrown */
async function answered<T>(ask: () => Promise<T>): Promise<T | CollectError> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof CollectError) return error;
    throw error;
  }
}

function unknown(identity: Identity, error: CollectError): LookUp {
  const message = `${identity.platformId} could not be looked up: ${error.problem.message}`;
  return {
    identity,
    state: 'unknown',
    problem: { code: error.problem.code, message, subject: identity.platformId },
  };
}
