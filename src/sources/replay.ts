// Serves recorded HTTP answers on loopback, so that the demo runs the real collector without a network. Bodies go out byte for
// byte as recorded; only in DID documents does this server's own address stand where the recorded server's stood.

import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { InputError } from '../core/errors.ts';

/** What stands in a recorded DID document in place of the repository server's origin. */
export const ORIGIN_MARK = '{origin}';

const recording = z.strictObject({
  /** One sentence: where the answers come from. */
  from: z.string(),
  recordedAt: z.string(),
  /** The account to collect. */
  account: z.string(),
  answers: z.array(
    z.strictObject({
      /** As {@link requestKey} gives it. */
      request: z.string(),
      status: z.number().int(),
      headers: z.record(z.string(), z.string()),
      body: z.string(),
      encoding: z.enum(['utf8', 'base64']),
    }),
  ),
});
export type Recording = z.infer<typeof recording>;

/** @returns path and query with the parameters in order, so that the order in which they were asked does not matter */
export function requestKey(pathAndQuery: string): string {
  const url = new URL(pathAndQuery, 'http://recorded.invalid');
  url.searchParams.sort();
  const parameters = [...url.searchParams].map(([name, value]) => `${name}=${value}`).sort();
  return parameters.length === 0 ? url.pathname : `${url.pathname}?${parameters.join('&')}`;
}

export interface Replay extends AsyncDisposable {
  /** http://127.0.0.1:PORT: service, directory and repository of the source. */
  readonly origin: string;
  readonly account: string;
  /** One sentence that tells a reader where the answers come from. */
  readonly from: string;
  readonly acts: number;
  /** Chooses what the platform looks like from now on, from 1. */
  act(number: number): void;
  close(): Promise<void>;
}

/**
 * @param directory holds act-1.json, act-2.json …
 * @throws InputError when a recording is missing or unreadable
 */
export async function startReplay(directory: string, options: { port: number }): Promise<Replay> {
  const names = (await readdir(directory)).filter((name) => /^act-\d+\.json$/.test(name)).sort();
  const acts: Recording[] = [];
  for (const name of names) {
    const read = recording.safeParse(JSON.parse(await readFile(join(directory, name), 'utf8')));
    if (!read.success)
      throw new InputError(`${join(directory, name)} is not a recording`, { hint: 'Record it anew.' });
    acts.push(read.data);
  }
  const [first] = acts;
  if (first === undefined) throw new InputError(`${directory} holds no recording (act-1.json)`);
  const answers = acts.map((one) => new Map(one.answers.map((answer) => [answer.request, answer])));
  let current = answers[0];
  let origin = '';
  const server = createServer((request, response) => {
    const answer = request.method === 'GET' ? current?.get(requestKey(request.url ?? '/')) : undefined;
    if (answer === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: 'NotRecorded', message: 'this answer was not recorded' }));
      return;
    }
    const text = answer.request.startsWith('/did:')
      ? answer.body.replaceAll(ORIGIN_MARK, origin)
      : answer.body;
    const body = Buffer.from(text, answer.encoding);
    response.writeHead(answer.status, { ...answer.headers, 'content-length': body.length });
    response.end(body);
  });
  server.listen(options.port, '127.0.0.1');
  await once(server, 'listening');
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return {
    origin,
    account: first.account,
    from: first.from,
    acts: acts.length,
    act(number) {
      const chosen = answers[number - 1];
      if (chosen === undefined)
        throw new InputError(`the recording has ${acts.length} acts, and no act ${number}`);
      current = chosen;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
