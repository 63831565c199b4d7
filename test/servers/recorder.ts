// Stands between a collector and a real AT Protocol network, passes every request on and writes down the answers.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ORIGIN_MARK, type Recording, requestKey } from '../../src/sources/replay.ts';
import type { AtprotoNetwork } from './atproto.ts';

type RecordedAnswer = Recording['answers'][number];

export interface Recorder extends AsyncDisposable {
  readonly origin: string;
  /** @returns the answers since the last call, in the order of their requests' text */
  take(): RecordedAnswer[];
}

/** Headers that belong to a connection or a moment rather than to the answer. */
const LEFT_OUT =
  /^(date|connection|keep-alive|transfer-encoding|content-length|content-encoding|x-powered-by|vary|access-control-.*)$/;

export async function startRecorder(network: AtprotoNetwork): Promise<Recorder> {
  const answers = new Map<string, RecordedAnswer>();
  const target = (path: string): string => {
    if (path.startsWith('/did:')) return network.directory;
    return /^\/xrpc\/com\.atproto\.(sync|repo)\./.test(path) ? network.repository : network.service;
  };
  const server = createServer(async (request, response) => {
    const path = request.url ?? '/';
    const answer = await fetch(target(path) + path, { headers: { accept: request.headers.accept ?? '*/*' } });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const headers = Object.fromEntries([...answer.headers].filter(([name]) => !LEFT_OUT.test(name)));
    const isText = Buffer.from(bytes.toString('utf8')).equals(bytes);
    const body = bytes.toString(isText ? 'utf8' : 'base64');
    const recorded = path.startsWith('/did:') ? body.replaceAll(network.repository, ORIGIN_MARK) : body;
    answers.set(requestKey(path), {
      request: requestKey(path),
      status: answer.status,
      headers,
      body: recorded,
      encoding: isText ? 'utf8' : 'base64',
    });
    response.writeHead(answer.status, headers);
    response.end(path.startsWith('/did:') ? recorded.replaceAll(ORIGIN_MARK, origin) : bytes);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    take() {
      const taken = [...answers.values()].sort((a, b) => (a.request < b.request ? -1 : 1));
      answers.clear();
      return taken;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
