// An HTTP proxy that stands before a real server and damages what was asked of it, one armed fault at a time: late, lost, cut, altered,
// refused, outdated. What is not armed goes through as it is, bytes and headers.

import { once } from 'node:events';
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

export const HTTP_FAULTS = [
  'delay',
  /** The connection dies before the server has heard of the request. */
  'reset before the request',
  /** The server does what it was asked, and the answer is lost. */
  'reset after the request',
  'reset mid-body',
  /** Fewer bytes than announced, then a proper end of the connection. */
  'truncated body',
  /** Fewer bytes, and the headers agree with them. */
  'shortened body',
  'flipped byte in the answer',
  'flipped byte in the request',
  '500',
  '503 SlowDown',
  '429',
  /** An answer from before: the oldest given for the same address, or that there is nothing. */
  'stale read',
  /** The clock of the server seems to be off by an hour. */
  'clock off by an hour',
] as const;
export type HttpFault = (typeof HTTP_FAULTS)[number];

export interface Asked {
  readonly method: string;
  readonly url: URL;
}

interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Armed {
  readonly fault: HttpFault;
  readonly concerns: (asked: Asked) => boolean;
  /** Matching requests that pass before. */
  skip: number;
  /** Matching requests that suffer. */
  times: number;
  /** In [0, 1): where in a body the damage lies. */
  readonly place: number;
}

export interface FaultProxyOptions {
  /** Bodies of refusals, as the kind of server behind speaks. */
  readonly refusal: (status: number, code: string) => { readonly type: string; readonly body: string };
  /** Whether such a server refuses a request that is dated an hour off; another one only shows its own time. */
  readonly refusesSkew: boolean;
}

export const S3_REFUSALS: FaultProxyOptions = {
  refusesSkew: true,
  refusal: (_, code) => ({
    type: 'application/xml',
    body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>injected</Message></Error>`,
  }),
};
export const JSON_REFUSALS: FaultProxyOptions = {
  refusesSkew: false,
  refusal: (_, code) => ({ type: 'application/json', body: JSON.stringify({ error: code, message: code }) }),
};

const DELAY_MS = 60;
const HOUR_MS = 3_600_000;

export class FaultProxy implements AsyncDisposable {
  readonly origin: string;
  /** Faults that met a request. */
  injected = 0;
  /** Called for every request, before anything happens to it. */
  onRequest: (asked: Asked) => void = () => undefined;
  readonly #server: Server;
  readonly #upstream: URL;
  readonly #options: FaultProxyOptions;
  readonly #firstAnswers = new Map<string, Answered>();
  #armed: Armed | null = null;

  private constructor(server: Server, upstream: string, options: FaultProxyOptions) {
    this.#server = server;
    this.#upstream = new URL(upstream);
    this.#options = options;
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(upstream: string, options: FaultProxyOptions): Promise<FaultProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new FaultProxy(server, upstream, options);
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      proxy.#serve(request, response).catch(() => response.destroy());
    };
    // A large upload asks first; it is let through, for the body is read whole here.
    server.on('request', serve).on('checkContinue', (request, response) => {
      response.writeContinue();
      serve(request, response);
    });
    return proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  arm(
    fault: HttpFault,
    options: { concerns?: (asked: Asked) => boolean; skip?: number; times?: number; place?: number } = {},
  ): void {
    const { concerns = () => true, skip = 0, times = 1, place = 0.5 } = options;
    this.#armed = { fault, concerns, skip, times, place };
  }

  disarm(): void {
    this.#armed = null;
  }

  #faultFor(asked: Asked): Armed | null {
    const armed = this.#armed;
    if (armed === null || armed.times === 0 || !armed.concerns(asked)) return null;
    if (armed.skip > 0) {
      armed.skip -= 1;
      return null;
    }
    armed.times -= 1;
    this.injected += 1;
    return armed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = { method: request.method as string, url: new URL(request.url as string, this.origin) };
    this.onRequest(asked);
    const armed = this.#faultFor(asked);
    const fault = armed?.fault;
    const place = armed?.place ?? 0;
    let sent: Buffer = await buffer(request);
    if (fault === 'reset before the request') {
      request.socket.resetAndDestroy();
      return;
    }
    const refused = fault === undefined ? null : this.#refusalOf(fault);
    if (refused !== null) {
      answer(response, refused);
      return;
    }
    if (fault === 'stale read') {
      const nothing = this.#options.refusal(404, 'NoSuchKey');
      const former = this.#firstAnswers.get(addressOf(asked));
      answer(
        response,
        former ?? {
          status: 404,
          headers: { 'content-type': nothing.type },
          body: Buffer.from(nothing.body),
        },
      );
      return;
    }
    if (fault === 'flipped byte in the request') sent = flipped(sent, place);
    const answered = await this.#forward(request, sent);
    if (request.method === 'GET' && !this.#firstAnswers.has(addressOf(asked)))
      this.#firstAnswers.set(addressOf(asked), answered);
    switch (fault) {
      case 'delay':
        await sleep(DELAY_MS);
        break;
      case 'reset after the request':
        request.socket.resetAndDestroy();
        return;
      case 'reset mid-body':
      case 'truncated body': {
        const part = answered.body.subarray(0, Math.floor(answered.body.length * place));
        response.writeHead(answered.status, headersFor(answered, request.method === 'HEAD'));
        response.flushHeaders();
        if (part.length > 0) await new Promise((resolve) => response.write(part, resolve));
        if (fault === 'truncated body') request.socket.end();
        // Long enough for what was sent to arrive: a reset discards what the other end has not read.
        else setTimeout(() => request.socket.resetAndDestroy(), 5);
        return;
      }
      case 'shortened body':
        answer(response, {
          ...answered,
          body: answered.body.subarray(0, Math.floor(answered.body.length * place)),
        });
        return;
      case 'flipped byte in the answer':
        answer(response, { ...answered, body: flipped(answered.body, place) });
        return;
      case 'clock off by an hour':
        answer(response, { ...answered, headers: { ...answered.headers, date: hourAhead() } });
        return;
      default:
    }
    answer(response, answered, request.method === 'HEAD');
  }

  #refusalOf(fault: HttpFault): Answered | null {
    const refused = (status: number, code: string, headers: IncomingHttpHeaders = {}): Answered => {
      const { type, body } = this.#options.refusal(status, code);
      return { status, headers: { 'content-type': type, ...headers }, body: Buffer.from(body) };
    };
    if (fault === '500') return refused(500, 'InternalError');
    if (fault === '503 SlowDown') return refused(503, 'SlowDown', { 'retry-after': '1' });
    if (fault === '429') return refused(429, 'TooManyRequests', { 'retry-after': '1' });
    if (fault === 'clock off by an hour' && this.#options.refusesSkew)
      return refused(403, 'RequestTimeTooSkewed', { date: hourAhead() });
    return null;
  }

  async #forward(request: IncomingMessage, body: Buffer): Promise<Answered> {
    const { expect: _, ...headers } = request.headers;
    const forwarded = httpRequest({
      host: this.#upstream.hostname,
      port: this.#upstream.port,
      method: request.method,
      path: request.url,
      // The host as it was asked: a signature covers it.
      headers,
      agent: false,
    });
    // A server may refuse before it has read the whole body, and close: what was answered counts.
    const response = once(forwarded, 'response');
    forwarded.on('error', () => undefined);
    forwarded.end(body);
    const [answered] = (await response) as [IncomingMessage];
    return {
      status: answered.statusCode as number,
      headers: answered.headers,
      body: await buffer(answered),
    };
  }
}

const hourAhead = (): string => new Date(Date.now() + HOUR_MS).toUTCString();
const addressOf = ({ method, url }: Asked): string => `${method} ${url.pathname}${url.search}`;

function flipped(bytes: Buffer, place: number): Buffer {
  const copy = Buffer.from(bytes);
  const at = Math.floor(copy.length * place);
  if (at < copy.length) copy[at] = (copy[at] as number) ^ 0x01;
  return copy;
}

function headersFor(answered: Answered, isHead: boolean): Record<string, string | string[]> {
  const {
    'transfer-encoding': _,
    connection: __,
    'keep-alive': ___,
    'content-length': announced,
    ...rest
  } = answered.headers;
  const length = isHead ? announced : String(answered.body.length);
  return {
    ...(rest as Record<string, string | string[]>),
    ...(length === undefined || answered.status === 204 ? {} : { 'content-length': length }),
  };
}

function answer(response: ServerResponse, answered: Answered, isHead = false): void {
  response.writeHead(answered.status, headersFor(answered, isHead));
  response.end(isHead ? undefined : answered.body);
}
