// A proxy before a real S3 service that lies in one chosen way, as some services in the field do: what it takes upon itself it does through
// a client of its own; everything else goes through unchanged, signatures included.

import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Told {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** Answers in the service's place, or null to let the request through. */
export type Lie = (asked: Asked) => Told | null | Promise<Told | null>;

/** What S3 says when it refuses. */
export function refusal(status: number, code: string): Told {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>told by the proxy</Message></Error>`;
  return { status, headers: { 'content-type': 'application/xml' }, body };
}

export class LyingS3 implements AsyncDisposable {
  readonly origin: string;
  /** May be set at any time; null: it tells the truth. */
  lie: Lie | null = null;
  /** Requests seen so far, `METHOD path?query`. */
  readonly seen: string[] = [];
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async before(endpoint: string): Promise<LyingS3> {
    const target = new URL(endpoint);
    const server = createServer((asked, answer) => {
      proxy.#answer(target, asked, answer).catch((error: unknown) => answer.destroy(error as Error));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new LyingS3(server);
    return proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(target: URL, asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(asked.url ?? '/', this.origin);
    this.seen.push(`${asked.method} ${asked.url}`);
    const body = await buffer(asked);
    const told = await this.lie?.({
      method: asked.method ?? '',
      path: decodeURIComponent(pathname),
      query: searchParams,
      headers: asked.headers,
      body,
    });
    if (told) {
      answer.writeHead(told.status, { date: new Date().toUTCString(), ...told.headers }).end(told.body);
      return;
    }
    // The Host header is signed: it goes through as it came.
    const through = request(
      {
        host: target.hostname,
        port: target.port,
        method: asked.method,
        path: asked.url,
        headers: asked.headers,
      },
      (real) => {
        answer.writeHead(real.statusCode ?? 502, real.rawHeaders);
        real.pipe(answer);
      },
    );
    through.on('error', (error) => answer.destroy(error)).end(body);
  }
}
