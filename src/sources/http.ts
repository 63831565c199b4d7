// The one way a collector talks HTTP: exact decoded bytes with their evidence, under one policy of limits, time-outs, retries
// and refused addresses. A 4xx is an answer, for the collector to understand; what cannot be read at all is a CollectError.

import { createHash, randomUUID } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, type Dispatcher } from 'undici';
import { type Clock, instantText } from '../core/clock.ts';
import type { MunimentError } from '../core/errors.ts';
import { checkedConnector, originOf, type ResolveAll } from './address.ts';
import { CollectError } from './collect-error.ts';
import type { Exchange } from './collector.ts';
import { ACCEPTED_ENCODINGS, type DecodedBody, decoded } from './content-encoding.ts';
import { exchangeOf, withoutSecrets } from './evidence.ts';
import { HostGate, type Sleep } from './host-gate.ts';
import { failureOf, refusedStatus, tooLarge } from './http-failure.ts';
import { backoff, isRetriedStatus, waitAskedFor } from './retry.ts';

export interface HttpLimits {
  /** Largest decoded body kept in memory. */
  readonly bodyBytes: number;
  /** Largest medium spooled to a file. */
  readonly mediaBytes: number;
  readonly connectMilliseconds: number;
  readonly headersMilliseconds: number;
  /** Longest silence within a body. */
  readonly idleMilliseconds: number;
  /** Longest time for one attempt at a body in memory, however steadily it trickles. */
  readonly totalMilliseconds: number;
  readonly mediaTotalMilliseconds: number;
  /** First attempt and retries together. */
  readonly attempts: number;
  /** Longest wait that a server may ask for; beyond it the run ends as rate-limited. */
  readonly longestWaitMilliseconds: number;
  readonly concurrency: number;
  readonly spacing: number;
  readonly burst: number;
}

export const DEFAULT_LIMITS: HttpLimits = {
  bodyBytes: 32 * 2 ** 20,
  mediaBytes: 2 * 2 ** 30,
  connectMilliseconds: 10_000,
  headersMilliseconds: 30_000,
  idleMilliseconds: 30_000,
  totalMilliseconds: 120_000,
  mediaTotalMilliseconds: 3_600_000,
  attempts: 5,
  longestWaitMilliseconds: 15 * 60_000,
  concurrency: 4,
  spacing: 100,
  burst: 30,
};

export interface HttpDependencies {
  readonly clock: Clock;
  readonly limits?: Partial<HttpLimits>;
  readonly sleep?: Sleep;
  /** In [0, 1), for jitter. */
  readonly random?: () => number;
  /** Name resolution; the system's unless a test plays a hostile one. */
  readonly resolveAll?: ResolveAll;
}

/** An answer whose body is wholly in memory. */
export interface Answer {
  readonly exchange: Exchange;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A body that went to a file. */
export interface Download {
  readonly exchange: Exchange;
  readonly file: string;
  readonly length: number;
  readonly sha256: string;
  readonly contentType: string | null;
}

export interface AskOptions {
  readonly signal: AbortSignal;
  readonly accept?: string;
  /** Further request headers (conditional requests). Never recorded. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Called before every attempt: a metered platform counts each. What it throws ends the asking. */
  readonly beforeAttempt?: () => Promise<void>;
}

interface Sent extends AskOptions {
  /** The body of a POST; without it, it is a GET. */
  readonly form?: string;
}

const USER_AGENT = 'Muniment/1 (public records archive)';
const LONGEST_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** One attempt that failed in a way that a later one may not. */
interface Setback {
  readonly error: MunimentError;
  readonly wait: number | null;
}

interface Opened extends DecodedBody {
  readonly url: URL;
  readonly status: number;
  readonly headers: Record<string, string>;
}

export class Http implements AsyncDisposable {
  readonly #agent: Agent;
  readonly #trusted: ReadonlySet<string>;
  readonly #limits: HttpLimits;
  readonly #clock: Clock;
  readonly #sleep: Sleep;
  readonly #random: () => number;
  readonly #gates = new Map<string, HostGate>();

  /** @param trustedOrigins the exact origins that a source is configured with; only these may be private */
  constructor(trustedOrigins: readonly string[], dependencies: HttpDependencies) {
    this.#limits = { ...DEFAULT_LIMITS, ...dependencies.limits };
    this.#trusted = new Set(trustedOrigins.map((origin) => originOf(new URL(origin))));
    this.#clock = dependencies.clock;
    this.#sleep =
      dependencies.sleep ?? (async (milliseconds, signal) => delay(milliseconds, undefined, { signal }));
    this.#random = dependencies.random ?? Math.random;
    this.#agent = new Agent({
      connect: checkedConnector(this.#trusted, this.#limits.connectMilliseconds, dependencies.resolveAll),
      headersTimeout: this.#limits.headersMilliseconds,
      bodyTimeout: this.#limits.idleMilliseconds,
      connections: this.#limits.concurrency,
      maxHeaderSize: 64 * 1024,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  /** @returns whether an address may be asked at all: http(s), and https unless its origin is a configured one */
  isAskable(address: string): boolean {
    if (!URL.canParse(address)) return false;
    const url = new URL(address);
    return url.protocol === 'https:' || (url.protocol === 'http:' && this.#trusted.has(originOf(url)));
  }

  /**
   * Asks and reads the whole answer.
   * @throws CollectError when there is no readable answer, or 429/5xx to the end; the signal's reason when aborted
   */
  async get(address: string, options: AskOptions): Promise<Answer> {
    return this.#ask(address, options);
  }

  /**
   * Sends a form, as asking for a token takes; a redirect is not followed. Its answer is no evidence, for it may hold a secret.
   * @throws CollectError as {@link get}
   */
  async post(
    address: string,
    form: Readonly<Record<string, string>>,
    options: AskOptions,
  ): Promise<Pick<Answer, 'status' | 'headers' | 'body'>> {
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const headers = { ...options.headers, ...type };
    return this.#ask(address, { ...options, headers, form: new URLSearchParams(form).toString() });
  }

  async #ask(address: string, options: Sent): Promise<Answer> {
    const limit = this.#limits.bodyBytes;
    return this.#attempt(address, options, this.#limits.totalMilliseconds, limit, async (opened) => {
      const parts: Buffer[] = [];
      let length = 0;
      for await (const part of opened.body) {
        length += part.length;
        if (length > limit) throw tooLarge(opened.url.href, limit);
        parts.push(part);
      }
      const body = Buffer.concat(parts, length);
      const digest = createHash('sha256').update(body).digest('hex');
      return {
        exchange: this.#evidence(opened, digest, length),
        status: opened.status,
        headers: opened.headers,
        body,
      };
    });
  }

  /**
   * Streams a 200 answer into a new file in the directory; the caller removes it. A failed attempt leaves no file.
   * @throws CollectError as {@link get}, and with `media` for any other status
   */
  async download(address: string, directory: string, options: AskOptions): Promise<Download> {
    const limit = this.#limits.mediaBytes;
    return this.#attempt(address, options, this.#limits.mediaTotalMilliseconds, limit, async (opened) => {
      const shown = withoutSecrets(opened.url.href);
      if (opened.status !== 200)
        throw new CollectError('media', `${shown} answered ${opened.status} instead of a medium`, shown);
      const file = join(directory, randomUUID());
      const handle = await open(file, 'wx', 0o600);
      try {
        const digest = createHash('sha256');
        let length = 0;
        for await (const part of opened.body) {
          length += part.length;
          if (length > limit) throw tooLarge(opened.url.href, limit);
          digest.update(part);
          await handle.writeFile(part);
        }
        const sha256 = digest.digest('hex');
        const contentType = opened.headers['content-type'] ?? null;
        return { exchange: this.#evidence(opened, sha256, length), file, length, sha256, contentType };
      } catch (error) {
        await rm(file, { force: true });
        throw error;
      } finally {
        await handle.close();
      }
    });
  }

  #evidence(opened: Opened, bodySha256: string, bodyLength: number): Exchange {
    const receivedAt = instantText(this.#clock.now());
    return exchangeOf({
      address: opened.url.href,
      status: opened.status,
      headers: opened.headers,
      receivedAt,
      bodySha256,
      bodyLength,
    });
  }

  /** Tries until an answer is read, the attempts are used up, or no later attempt can help. */
  async #attempt<T>(
    address: string,
    options: Sent,
    totalMilliseconds: number,
    bodyBytes: number,
    read: (opened: Opened) => Promise<T>,
  ): Promise<T> {
    const shown = withoutSecrets(address);
    for (let attempt = 1; ; attempt += 1) {
      options.signal.throwIfAborted();
      await options.beforeAttempt?.();
      const tried = await this.#once(address, options, totalMilliseconds, bodyBytes, read);
      if (!('setback' in tried)) return tried.value;
      const { error, wait } = tried.setback;
      if (attempt >= this.#limits.attempts) throw error;
      if (wait !== null && wait > this.#limits.longestWaitMilliseconds) {
        const until = this.#clock.now().add({ milliseconds: Math.round(wait) });
        throw new CollectError(
          'rate-limited',
          `${new URL(address).host} asks to be left alone until ${instantText(until)}`,
          shown,
          {
            hint: 'The next run after that goes on from what is stored.',
            cause: error,
          },
        );
      }
      const jitter = backoff(attempt, this.#random());
      await this.#sleep(wait === null ? jitter : Math.ceil(wait) + Math.min(jitter, 1000), options.signal);
    }
  }

  async #once<T>(
    address: string,
    options: Sent,
    totalMilliseconds: number,
    bodyBytes: number,
    read: (opened: Opened) => Promise<T>,
  ): Promise<{ value: T } | { setback: Setback }> {
    const shown = withoutSecrets(address);
    const clockStop = new AbortController();
    const signal = AbortSignal.any([options.signal, clockStop.signal]);
    let timer: NodeJS.Timeout | undefined;
    try {
      return await this.#gateOf(address).pass(options.signal, async () => {
        // Set within the gate: waiting for other requests is not this server's slowness.
        timer = setTimeout(() => clockStop.abort(), totalMilliseconds);
        const opened = await this.#open(address, options, signal, bodyBytes);
        try {
          const now = this.#clock.now().epochMilliseconds;
          const wait = waitAskedFor(opened.status, opened.headers, now);
          if (isRetriedStatus(opened.status))
            return { setback: { error: refusedStatus(opened.status, opened.url.host, shown), wait } };
          const value = await read(opened);
          if (wait !== null)
            this.#gateOf(address).quietFor(Math.min(wait, this.#limits.longestWaitMilliseconds));
          return { value };
        } finally {
          opened.close();
        }
      });
    } catch (error) {
      if (options.signal.aborted) throw options.signal.reason;
      if (clockStop.signal.aborted) {
        throw new CollectError(
          'timeout',
          `${shown} took longer than ${totalMilliseconds / 1000} s to answer in full`,
          shown,
          {
            hint: 'The server is too slow or means harm; try again later.',
          },
        );
      }
      const failure = failureOf(error, shown);
      if (failure.retried) return { setback: { error: failure.error, wait: null } };
      throw failure.error;
    } finally {
      clearTimeout(timer);
    }
  }

  #gateOf(address: string): HostGate {
    const { host } = new URL(address);
    let gate = this.#gates.get(host);
    if (gate === undefined) {
      gate = new HostGate(this.#limits, this.#sleep, () => performance.now());
      this.#gates.set(host, gate);
    }
    return gate;
  }

  /** Follows redirects by hand, so that each hop goes through the same checks, and secrets stay with their origin. */
  async #open(address: string, options: Sent, signal: AbortSignal, bodyBytes: number): Promise<Opened> {
    let url = askable(address);
    const start = originOf(url);
    for (let hop = 0; ; hop += 1) {
      const authorization = originOf(url) === start ? basicAuthorization(new URL(address)) : {};
      const sent = originOf(url) === start ? options.headers : {};
      const response = await this.#agent.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        ...(options.form === undefined ? { method: 'GET' } : { method: 'POST', body: options.form }),
        signal,
        headers: {
          'user-agent': USER_AGENT,
          accept: options.accept ?? '*/*',
          'accept-encoding': ACCEPTED_ENCODINGS,
          ...authorization,
          ...sent,
        },
      });
      const headers = flatHeaders(response.headers);
      // A body that is given up on rejects; whoever still reads it gets the error, nobody else needs it.
      response.body.on('error', () => undefined);
      const location = headers.location;
      if (REDIRECTS.has(response.statusCode) && location !== undefined && options.form === undefined) {
        response.body.destroy();
        const shown = withoutSecrets(url.href);
        if (hop >= LONGEST_REDIRECTS)
          throw new CollectError(
            'unreachable',
            `${shown} redirects more than ${LONGEST_REDIRECTS} times`,
            shown,
          );
        const target = askable(location, url);
        if (url.protocol === 'https:' && target.protocol === 'http:') {
          throw new CollectError(
            'refused-address',
            `${shown} redirects from https to http, which anyone on the way could change`,
            shown,
          );
        }
        url = target;
        continue;
      }
      const length = Number(headers['content-length'] ?? 0);
      if (length > bodyBytes) {
        response.body.destroy();
        throw tooLarge(url.href, bodyBytes);
      }
      return {
        url,
        status: response.statusCode,
        headers,
        ...decoded(response.body, headers['content-encoding'], url.href),
      };
    }
  }
}

/** @throws CollectError unless it is an http(s) address */
function askable(address: string, base?: URL): URL {
  if (URL.canParse(address, base?.href)) {
    const url = new URL(address, base?.href);
    if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  }
  const shown = withoutSecrets(address);
  throw new CollectError('refused-address', `“${shown}” is not an http or https address`, shown);
}

function basicAuthorization(url: URL): Record<string, string> {
  if (url.username === '' && url.password === '') return {};
  const text = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { authorization: `Basic ${Buffer.from(text).toString('base64')}` };
}

function flatHeaders(headers: Dispatcher.ResponseData['headers']): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : value;
  }
  return flat;
}
