import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { brotliCompressSync, createGzip, gzipSync } from 'node:zlib';
import { CollectError } from '../../src/sources/collect-error.ts';
import type { ProblemCode } from '../../src/sources/collector.ts';
import { withoutSecrets } from '../../src/sources/evidence.ts';
import { Http, type HttpDependencies } from '../../src/sources/http.ts';
import { type Answering, answering, never, patient, sendEndlessly, sendJson } from '../support/replay.ts';

function problem(code: ProblemCode) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof CollectError, String(error));
    assert.equal(error.problem.code, code, error.message);
    assert.match(error.problem.message, /\.$/);
    return true;
  };
}

async function asking(t: TestContext, answer: Answering, dependencies: HttpDependencies = patient()) {
  const server = await answering(t, answer);
  const http = new Http([server.origin], dependencies);
  t.after(() => http[Symbol.asyncDispose]());
  return { ...server, get: (path = '/') => http.get(server.origin + path, { signal: never() }), http };
}

async function spool(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'muniment-http-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

test('an answer keeps its exact decoded bytes, whatever the encoding they travelled in', async (t) => {
  const body = Buffer.concat([Buffer.from('{"a": "é😀"} \n'), randomBytes(2000)]);
  const { get } = await asking(t, (_, response, url) => {
    const encoding = url.pathname.slice(1);
    response.setHeader('etag', '"v1"').setHeader('set-cookie', 'session=secret');
    if (encoding === 'gzip') response.setHeader('content-encoding', 'gzip').end(gzipSync(body));
    else if (encoding === 'br') response.setHeader('content-encoding', 'br').end(brotliCompressSync(body));
    else response.end(body);
  });
  for (const path of ['/plain', '/gzip', '/br']) {
    const answer = await get(path);
    assert.deepEqual(answer.body, body);
    assert.equal(answer.exchange.bodyLength, body.length);
    assert.equal(answer.exchange.bodySha256, createHash('sha256').update(body).digest('hex'));
    assert.equal(answer.exchange.receivedAt, '2026-11-01T12:00:00.000Z');
    assert.equal(answer.exchange.headers.etag, '"v1"');
    assert.equal(answer.exchange.headers['set-cookie'], undefined);
  }
});

test('evidence never holds a secret of the address', () => {
  assert.equal(
    withoutSecrets('https://u:p@example.org/feed?access_token=abc&page=2&api_key=k#x'),
    'https://example.org/feed?access_token=removed&page=2&api_key=removed',
  );
});

test('user info becomes basic authorization for its own origin only', async (t) => {
  const seen: (string | undefined)[] = [];
  const other = await answering(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.end('done');
  });
  const first = await answering(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(302, { location: `${other.origin}/x` }).end();
  });
  await using http = new Http([first.origin, other.origin], patient());
  const answer = await http.get(first.origin.replace('//', '//ann:pass@'), { signal: never() });
  assert.deepEqual(seen, [`Basic ${Buffer.from('ann:pass').toString('base64')}`, undefined]);
  assert.equal(answer.exchange.url, `${other.origin}/x`);
});

const RATE_HEADERS: readonly (readonly [title: string, headers: Record<string, string>, wait: number])[] = [
  ['Retry-After in seconds', { 'retry-after': '7' }, 7000],
  ['Retry-After as an HTTP date', { 'retry-after': 'Sun, 01 Nov 2026 12:00:09 GMT' }, 9000],
  [
    'ratelimit-reset in epoch seconds',
    { 'ratelimit-remaining': '0', 'ratelimit-reset': String(Date.UTC(2026, 10, 1, 12, 0, 11) / 1000) },
    11_000,
  ],
  ['ratelimit-reset in seconds', { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '13' }, 13_000],
  [
    'X-RateLimit-Reset as an ISO date',
    { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '2026-11-01T12:00:15.000Z' },
    15_000,
  ],
];
for (const [title, headers, wait] of RATE_HEADERS) {
  test(`a 429 is waited out as ${title} says`, async (t) => {
    const dependencies = patient();
    const { get, requests } = await asking(
      t,
      (_, response) =>
        requests.length === 1
          ? sendJson(response, { error: 'slow' }, 429, { date: 'Sun, 01 Nov 2026 12:00:00 GMT', ...headers })
          : sendJson(response, { ok: true }),
      dependencies,
    );
    assert.equal((await get()).status, 200);
    const [slept] = dependencies.slept;
    assert.ok(slept !== undefined && slept >= wait && slept <= wait + 1000, `${slept}`);
  });
}

test('an exhausted limit on a good answer keeps the next request away until its reset', async (t) => {
  const dependencies = patient();
  const { get } = await asking(
    t,
    (_, response) => sendJson(response, {}, 200, { 'ratelimit-remaining': '0', 'ratelimit-reset': '40' }),
    dependencies,
  );
  await get();
  assert.deepEqual(dependencies.slept, []);
  await get();
  assert.ok((dependencies.slept[0] ?? 0) > 39_000);
});

test('a server that asks for hours of quiet ends the run as rate-limited at once', async (t) => {
  const { get, requests } = await asking(t, (_, response) =>
    sendJson(response, {}, 429, { 'retry-after': '86400' }),
  );
  await assert.rejects(get(), problem('rate-limited'));
  assert.equal(requests.length, 1);
});

test('faults of a server are retried a bounded number of times, with growing pauses', async (t) => {
  const dependencies = patient();
  const { get, requests } = await asking(t, (_, response) => sendJson(response, {}, 503), dependencies);
  await assert.rejects(get(), problem('http-status'));
  assert.equal(requests.length, 5);
  assert.deepEqual(dependencies.slept, [250, 500, 1000, 2000]);
});

test('a connection that breaks, in the middle of a body too, is tried again', async (t) => {
  const { get, requests } = await asking(t, (request, response) => {
    if (requests.length === 1) request.socket.destroy();
    else if (requests.length === 2) {
      response.writeHead(200, { 'content-length': '100' }).write('half');
      setImmediate(() => request.socket.destroy());
    } else sendJson(response, { ok: true });
  });
  assert.equal((await get()).body.toString(), '{"ok":true}');
  assert.equal(requests.length, 3);
});

test('a 404 is an answer, and is not retried', async (t) => {
  const { get, requests } = await asking(t, (_, response) => sendJson(response, { error: 'NotFound' }, 404));
  assert.equal((await get()).status, 404);
  assert.equal(requests.length, 1);
});

test('a body that is announced as 2 GB is refused before it is read', async (t) => {
  const { get, requests } = await asking(t, (_, response) => {
    response.writeHead(200, { 'content-length': String(2 * 2 ** 30) }).write('x');
  });
  await assert.rejects(get(), problem('too-large'));
  assert.equal(requests.length, 1);
});

test('an endless body is given up soon after the limit', async (t) => {
  let sent: Promise<number> | undefined;
  const { get } = await asking(
    t,
    (_, response) => {
      sent = sendEndlessly(response, Buffer.alloc(64 * 1024, 'x'));
    },
    patient({ bodyBytes: 2 ** 20 }),
  );
  await assert.rejects(get(), problem('too-large'));
  assert.ok(((await sent) ?? 0) < 64 * 2 ** 20);
});

test('a small answer that unpacks to a huge one is refused by its unpacked size', async (t) => {
  const { get } = await asking(
    t,
    async (_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      const gzip = createGzip();
      gzip.pipe(response);
      for (let part = 0; part < 64; part += 1) gzip.write(Buffer.alloc(2 ** 20));
      gzip.end();
    },
    patient({ bodyBytes: 2 ** 20 }),
  );
  await assert.rejects(get(), problem('too-large'));
});

test('a body whose compression is broken is not the expected format', async (t) => {
  const { get } = await asking(t, (_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end('not gzip at all');
  });
  await assert.rejects(get(), problem('not-the-expected-format'));
});

test('a server that trickles its body is given up after the total time', async (t) => {
  const { get } = await asking(
    t,
    (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(drip));
    },
    patient({ totalMilliseconds: 300 }),
  );
  await assert.rejects(get(), problem('timeout'));
});

test('a server that never answers is given up after the time for headers', async (t) => {
  const { get } = await asking(t, () => undefined, patient({ headersMilliseconds: 100, attempts: 2 }));
  await assert.rejects(get(), problem('timeout'));
});

test('an abort stops a request under way with the reason that was given', async (t) => {
  const stop = new AbortController();
  const server = await answering(t, () => stop.abort(new Error('enough')));
  await using http = new Http([server.origin], patient());
  await assert.rejects(http.get(server.origin, { signal: stop.signal }), /enough/);
});

test('redirects are followed a few times, never to a private address, another scheme or in circles', async (t) => {
  let reached = false;
  const inner = await answering(t, (_, response) => {
    reached = true;
    response.end('secret');
  });
  const { get } = await asking(t, (_, response, url) => {
    const targets: Record<string, string> = {
      '/private': inner.origin,
      '/scheme': 'file:///etc/passwd',
      '/circle': '/circle',
      '/once': '/end',
    };
    const location = targets[url.pathname];
    if (location === undefined) response.end('end');
    else response.writeHead(302, { location }).end();
  });
  await assert.rejects(get('/private'), problem('refused-address'));
  await assert.rejects(get('/scheme'), problem('refused-address'));
  await assert.rejects(get('/circle'), problem('unreachable'));
  assert.equal((await get('/once')).body.toString(), 'end');
  assert.equal(reached, false);
});

test('media are streamed to a file with their digest; a failed download leaves none', async (t) => {
  const folder = await spool(t);
  const bytes = randomBytes(300_000);
  const { http, origin } = await asking(
    t,
    (_, response, url) => {
      if (url.pathname === '/gone') response.writeHead(404).end();
      else if (url.pathname === '/endless') void sendEndlessly(response, Buffer.alloc(64 * 1024));
      else response.writeHead(200, { 'content-type': 'image/png' }).end(bytes);
    },
    patient({ mediaBytes: 2 ** 20 }),
  );
  const got = await http.download(`${origin}/picture`, folder, { signal: never() });
  assert.deepEqual(await readFile(got.file), bytes);
  assert.equal(got.sha256, createHash('sha256').update(bytes).digest('hex'));
  assert.equal(got.contentType, 'image/png');
  await rm(got.file);
  await assert.rejects(http.download(`${origin}/gone`, folder, { signal: never() }), problem('media'));
  await assert.rejects(http.download(`${origin}/endless`, folder, { signal: never() }), problem('too-large'));
  assert.deepEqual(await readdir(folder), []);
});

test('no more requests than the limit are under way at one host', async (t) => {
  let underWay = 0;
  let most = 0;
  const { get } = await asking(
    t,
    async (_, response) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await new Promise((resolve) => setTimeout(resolve, 10));
      underWay -= 1;
      response.end('x');
    },
    patient({ concurrency: 3 }),
  );
  await Promise.all(Array.from({ length: 20 }, () => get()));
  assert.ok(most <= 3, `${most}`);
});
