// Finds the repository server of an account by its DID document (did:plc through the directory, did:web through its host), and
// says when an account is gone. Answers are kept for one run only: accounts move.

import type { Clock } from '../../core/clock.ts';
import { jsonOf, UnreadableAnswerError } from '../answer.ts';
import { CollectError } from '../collect-error.ts';
import { type Answer, Http } from '../http.ts';
import { type SigningKey, signingKeyOf } from './signing-key.ts';
import { type DidDocument, didDocument, repoStatus } from './views.ts';
import { callXrpc } from './xrpc.ts';

export interface RepositorySettings {
  readonly directory: string;
  /** Repository server of `account`; other accounts' servers are always as their DID documents say. */
  readonly repository: string | null;
}

/** Where an account's repository is, or the answer that says that there is none any more. */
export type Located = { readonly origin: string } | { readonly gone: Answer };

type Resolved = { readonly document: DidDocument } | { readonly gone: Answer };

/** Whether an account's repository may be read, in the words of the capture rules. */
export type Availability =
  | { readonly state: 'available'; readonly origin: string }
  | { readonly state: 'account-gone' | 'access-lost'; readonly answer: Answer };

/**
 * For files: asks a directory, once and not for long, which key an account signs with.
 * @returns the key, or why there is none to be had
 */
export async function askForKey(
  directory: string,
  did: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<SigningKey | string> {
  await using http = new Http([directory], {
    clock,
    limits: {
      attempts: 1,
      connectMilliseconds: 5000,
      headersMilliseconds: 10_000,
      totalMilliseconds: 15_000,
    },
  });
  try {
    return await new Repositories(http, { directory, repository: null }).signingKey(did, signal);
  } catch (error) {
    if (error instanceof CollectError) return error.message;
    throw error;
  }
}

export class Repositories {
  readonly #http: Http;
  readonly #settings: RepositorySettings;
  readonly #documents = new Map<string, Promise<Resolved>>();
  #account: string | null = null;

  constructor(http: Http, settings: RepositorySettings) {
    this.#http = http;
    this.#settings = settings;
  }

  /** Begins a run: forgets what was found, and names the account that `settings.repository` is for. */
  begin(account: string): void {
    this.#documents.clear();
    this.#account = account;
  }

  /** The account that the run is about, once it was found. */
  get account(): string | null {
    return this.#account;
  }

  /** @throws CollectError when the DID document cannot be read or names no usable server */
  async locate(did: string, signal: AbortSignal): Promise<Located> {
    const { repository } = this.#settings;
    if (repository !== null && did === this.#account) return { origin: new URL(repository).origin };
    const resolved = await this.#document(did, signal);
    if ('gone' in resolved) return resolved;
    const service = resolved.document.service?.find(
      (one) =>
        (one.id === '#atproto_pds' || one.id === `${did}#atproto_pds`) &&
        one.type === 'AtprotoPersonalDataServer',
    );
    const endpoint = service?.serviceEndpoint;
    if (typeof endpoint !== 'string' || !this.#http.isAskable(endpoint)) {
      throw new CollectError(
        'refused-address',
        `the DID document of ${did} names no repository server that may be asked`,
        did,
      );
    }
    return { origin: new URL(endpoint).origin };
  }

  /** @returns the key that the account signs with, or why there is none. @throws CollectError when the DID document cannot be read */
  async signingKey(did: string, signal: AbortSignal): Promise<SigningKey | string> {
    const resolved = await this.#document(did, signal);
    return 'gone' in resolved ? 'the account is gone' : signingKeyOf(resolved.document);
  }

  async #document(did: string, signal: AbortSignal): Promise<Resolved> {
    const known = this.#documents.get(did);
    if (known !== undefined) return known;
    const asked = this.#resolve(did, signal);
    this.#documents.set(did, asked);
    // A failure is not kept: the next asker tries again. The rejection itself reaches the asker below.
    asked.catch(() => this.#documents.delete(did));
    return asked;
  }

  async #resolve(did: string, signal: AbortSignal): Promise<Resolved> {
    const answer = await this.#http.get(this.#documentAddress(did), {
      signal,
      accept: 'application/did+ld+json, application/json',
    });
    // The PLC directory answers 410 for a tombstone and 404 for an id never registered.
    if (did.startsWith('did:plc:') && (answer.status === 404 || answer.status === 410))
      return { gone: answer };
    const read = answer.status === 200 ? didDocument.safeParse(jsonOf(answer).value) : null;
    if (read === null || !read.success || read.data.id !== did) {
      throw new UnreadableAnswerError(
        answer,
        `${answer.exchange.url} gives no DID document of ${did} (status ${answer.status})`,
      );
    }
    return { document: read.data };
  }

  #documentAddress(did: string): string {
    if (did.startsWith('did:plc:')) return new URL(`/${did}`, this.#settings.directory).href;
    const host = /^did:web:([^:]+)$/.exec(did)?.[1];
    const address = host === undefined ? null : `https://${decodeURIComponent(host)}/.well-known/did.json`;
    if (address !== null && URL.canParse(address)) return address;
    throw new CollectError('refused-address', `${did} is of a kind that the AT Protocol does not use`, did);
  }

  /**
   * Asks whether the repository can be read at all, so that an account's end is never taken for the deletion of its posts.
   * @throws CollectError when nobody gives a readable answer
   */
  async availability(did: string, signal: AbortSignal): Promise<Availability> {
    const located = await this.locate(did, signal);
    if ('gone' in located) return { state: 'account-gone', answer: located.gone };
    const answer = await callXrpc(
      this.#http,
      located.origin,
      'com.atproto.sync.getRepoStatus',
      { did },
      signal,
    );
    if (answer.error === 'RepoNotFound') return { state: 'account-gone', answer };
    if (answer.error !== null) {
      throw new CollectError(
        'http-status',
        `${answer.exchange.url} answered ${answer.status} ${answer.error}`,
        did,
      );
    }
    const status = repoStatus.safeParse(answer.document.value);
    if (!status.success)
      throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no status of ${did}`);
    if (status.data.active) return { state: 'available', origin: located.origin };
    return { state: status.data.status === 'deleted' ? 'account-gone' : 'access-lost', answer };
  }
}
