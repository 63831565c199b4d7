// A real AT Protocol network for tests and recordings: starts it with its PostgreSQL and Redis, and speaks to it as accounts do.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freshDatabase } from '../support/postgres.ts';

export interface AtprotoNetwork extends AsyncDisposable {
  /** Origins, as source settings name them. */
  readonly repository: string;
  readonly directory: string;
  readonly service: string;
  /** Waits until the AppView shows what the repository server holds. */
  settle(): Promise<void>;
  createAccount(handle: string, displayName: string): Promise<Person>;
}

export interface StrongRef {
  readonly uri: string;
  readonly cid: string;
}

/** An account that can write. */
export interface Person {
  readonly did: string;
  readonly handle: string;
  post(record: Record<string, unknown> & { text: string }): Promise<StrongRef>;
  reply(text: string, root: StrongRef, parent: StrongRef, more?: Record<string, unknown>): Promise<StrongRef>;
  repost(subject: StrongRef): Promise<StrongRef>;
  like(subject: StrongRef): Promise<StrongRef>;
  /** Puts another record under a post's key. */
  edit(post: StrongRef, record: Record<string, unknown> & { text: string }): Promise<StrongRef>;
  remove(post: StrongRef): Promise<void>;
  uploadBlob(bytes: Uint8Array, mediaType: string): Promise<unknown>;
  deactivate(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** @returns why this machine cannot run the network, or null when it can */
export function atprotoObstacle(): string | null {
  if (!existsSync(join(import.meta.dirname, 'node_modules', '@atproto', 'dev-env')))
    return 'its packages are not installed in test/servers';
  const redis = (process.env.PATH ?? '')
    .split(':')
    .some((folder) => existsSync(join(folder, 'redis-server')));
  return redis ? null : 'there is no redis-server';
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

export async function startAtproto(): Promise<AtprotoNetwork> {
  const folder = await mkdtemp(join(tmpdir(), 'muniment-atproto-'));
  const database = await freshDatabase();
  const redisPort = await freePort();
  const redis = spawn(
    'redis-server',
    ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--dir', folder],
    { stdio: 'ignore' },
  );
  const network = spawn(process.execPath, ['--no-warnings', join(import.meta.dirname, 'atproto.mjs')], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      ...process.env,
      TMPDIR: folder,
      DB_POSTGRES_URL: database.adminUrl,
      DB_POSTGRES_SCHEMA: 'network',
      REDIS_HOST: `127.0.0.1:${redisPort}`,
      LOG_ENABLED: 'false',
    },
  });
  let complaints = '';
  network.stderr.on('data', (bytes: Buffer) => {
    complaints = (complaints + bytes.toString()).slice(-4000);
  });
  // Lines that are not JSON objects are the packages' own talk.
  const waiting: ((line: Record<string, unknown>) => void)[] = [];
  createInterface({ input: network.stdout }).on('line', (line) => {
    if (/^\{"(repository|settled)"/.test(line)) waiting.shift()?.(JSON.parse(line));
  });
  const next = (): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      waiting.push(resolve);
      network.once('exit', (code) =>
        reject(new Error(`the AT Protocol network ended with ${code}: ${complaints}`)),
      );
    });
  const origins = (await next()) as { repository: string; directory: string; service: string };
  return {
    ...origins,
    async settle() {
      const settled = next();
      network.stdin.write('settle\n');
      await settled;
    },
    createAccount: (handle, displayName) => createAccount(origins.repository, handle, displayName),
    async [Symbol.asyncDispose]() {
      const gone = once(network, 'exit');
      if (network.exitCode === null) {
        network.stdin.end();
        const late = setTimeout(() => network.kill('SIGKILL'), 10_000);
        await gone;
        clearTimeout(late);
      }
      await stop(redis, 'SIGTERM');
      await database.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function call(
  repository: string,
  method: string,
  token: string | null,
  body: unknown,
  mediaType = 'application/json',
): Promise<Record<string, unknown>> {
  const response = await fetch(`${repository}/xrpc/${method}`, {
    method: 'POST',
    headers: { 'content-type': mediaType, ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
    body: body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} answered ${response.status}: ${text}`);
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

async function createAccount(repository: string, handle: string, displayName: string): Promise<Person> {
  const email = `${handle.replaceAll('.', '-')}@mail.example`;
  const account = await call(repository, 'com.atproto.server.createAccount', null, {
    handle,
    email,
    password: 'only-in-tests',
  });
  const did = account.did as string;
  const token = account.accessJwt as string;
  const write = async (collection: string, record: Record<string, unknown>): Promise<StrongRef> => {
    const made = await call(repository, 'com.atproto.repo.createRecord', token, {
      repo: did,
      collection,
      record: { $type: collection, createdAt: new Date().toISOString(), ...record },
    });
    return { uri: made.uri as string, cid: made.cid as string };
  };
  const keyOf = (post: StrongRef): string => post.uri.split('/').at(-1) as string;
  await call(repository, 'com.atproto.repo.putRecord', token, {
    repo: did,
    collection: 'app.bsky.actor.profile',
    rkey: 'self',
    record: { $type: 'app.bsky.actor.profile', displayName },
  });
  return {
    did,
    handle,
    post: (record) => write('app.bsky.feed.post', record),
    reply: (text, root, parent, more = {}) =>
      write('app.bsky.feed.post', { text, reply: { root, parent }, ...more }),
    repost: (subject) => write('app.bsky.feed.repost', { subject }),
    like: (subject) => write('app.bsky.feed.like', { subject }),
    async edit(post, record) {
      const collection = 'app.bsky.feed.post';
      const made = await call(repository, 'com.atproto.repo.putRecord', token, {
        repo: did,
        collection,
        rkey: keyOf(post),
        record: { $type: collection, createdAt: new Date().toISOString(), ...record },
      });
      return { uri: made.uri as string, cid: made.cid as string };
    },
    async remove(post) {
      await call(repository, 'com.atproto.repo.deleteRecord', token, {
        repo: did,
        collection: post.uri.split('/').at(-2),
        rkey: keyOf(post),
      });
    },
    async uploadBlob(bytes, mediaType) {
      return (await call(repository, 'com.atproto.repo.uploadBlob', token, bytes, mediaType)).blob;
    },
    async deactivate() {
      await call(repository, 'com.atproto.server.deactivateAccount', token, {});
    },
  };
}
