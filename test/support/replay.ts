// A local HTTP server that answers as a test tells it, well or badly: real sockets on loopback, no mocked client.

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { HttpDependencies, HttpLimits } from '../../src/sources/http.ts';

export type Answering = (
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
) => void | Promise<void>;

export interface AnsweringServer {
  readonly origin: string;
  /** Path and query of every request so far. */
  readonly requests: string[];
}

/** What lasts as long as a test, or as whatever else ends what it has begun. */
export interface Lasting {
  after(work: () => Promise<void>): void;
}

/** Starts a server that is gone after the test, with whatever connections are still open. */
export async function answering(t: Lasting, answer: Answering): Promise<AnsweringServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    void answer(request, response, new URL(request.url ?? '/', 'http://local.invalid'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

export function sendJson(
  response: ServerResponse,
  value: unknown,
  status = 200,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
  response.end(JSON.stringify(value));
}

/** Sends without end until the other side goes away. @returns the bytes sent, once it has */
export async function sendEndlessly(response: ServerResponse, chunk: Uint8Array): Promise<number> {
  let sent = 0;
  const gone = once(response, 'close');
  while (!response.destroyed) {
    sent += chunk.length;
    if (!response.write(chunk)) await Promise.race([once(response, 'drain'), gone]);
    else await new Promise((resolve) => setImmediate(resolve));
  }
  return sent;
}

/** A whole answer, before anything goes wrong with it. */
export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export function jsonAnswer(value: unknown, status = 200, headers: Record<string, string> = {}): Answered {
  const type = { 'content-type': 'application/json; charset=utf-8' };
  return { status, headers: { ...type, ...headers }, body: Buffer.from(JSON.stringify(value)) };
}

export function sendAnswer(response: ServerResponse, { status, headers, body }: Answered): void {
  response.writeHead(status, headers).end(body);
}

/** A way to answer badly where something else is due. */
export type Misbehaviour = (response: ServerResponse, due: Answered) => unknown;

export const sendLoginPage: Misbehaviour = (response) =>
  response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Sign in</title>');

export const sendNothing: Misbehaviour = (response, due) => response.writeHead(200, due.headers).end();

/** One byte after the other, so slowly that it never comes to an end. */
export const sendSlowly: Misbehaviour = (response, due) => {
  response.writeHead(due.status, due.headers);
  let sent = 0;
  const drip = setInterval(() => response.write(due.body.subarray(sent, ++sent)), 20);
  response.on('close', () => clearInterval(drip));
};

export const announceGigabyte: Misbehaviour = (response, due) =>
  response.writeHead(due.status, { ...due.headers, 'content-length': String(2 ** 30) }).write(' ');

/** What is due, after white space without end: as valid as any answer, to whoever has the patience. */
export const sendGigabyte: Misbehaviour = (response, due) => {
  response.writeHead(due.status, due.headers);
  return sendEndlessly(response, Buffer.alloc(2 ** 20, ' '));
};

/** A clock that stands still, a sleep that takes no time but is written down, no jitter, and no spacing. */
export function patient(limits: Partial<HttpLimits> = {}): HttpDependencies & { readonly slept: number[] } {
  const slept: number[] = [];
  return {
    clock: { now: () => Temporal.Instant.from('2026-11-01T12:00:00Z') },
    random: () => 0,
    sleep: async (milliseconds, signal) => {
      signal.throwIfAborted();
      slept.push(milliseconds);
    },
    limits: { spacing: 0, ...limits },
    slept,
  };
}

export const never = (): AbortSignal => new AbortController().signal;
