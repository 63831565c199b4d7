// A real server with Mastodon's API for tests: snac, one of the smallest there are, started on loopback; and its accounts, who write.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** @returns why this machine cannot run the server, or null when it can */
export function snacObstacle(): string | null {
  const found = (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, 'snac')));
  return found ? null : 'there is no snac (Debian: package snac2)';
}

export interface SnacServer extends AsyncDisposable {
  readonly origin: string;
  createAccount(name: string): Promise<SnacAccount>;
}

export interface SnacStatus {
  readonly id: string;
  readonly uri: string;
}

/** An account that can write. */
export interface SnacAccount {
  readonly token: string;
  post(status: string, more?: Record<string, unknown>): Promise<SnacStatus>;
  edit(status: SnacStatus, text: string): Promise<void>;
  /** By the web page: the API cannot. */
  remove(status: SnacStatus): Promise<void>;
  upload(bytes: Uint8Array<ArrayBuffer>, description: string): Promise<string>;
  /** Whether the thread below one status shows another: snac hands replies round after some seconds. */
  sees(reply: SnacStatus, below: SnacStatus): Promise<boolean>;
}

export async function startSnac(): Promise<SnacServer> {
  const folder = await mkdtemp(join(tmpdir(), 'muniment-snac-'));
  const home = join(folder, 'home');
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  const host = `localhost:${port}`;
  snac(['init', home], `127.0.0.1\n${port}\n${host}\n\nadmin@mail.example\n`);
  const settings = join(home, 'server.json');
  const written = JSON.parse(await readFile(settings, 'utf8')) as object;
  await writeFile(settings, JSON.stringify({ ...written, protocol: 'http' }));
  const server = spawn('snac', ['httpd', home], { stdio: 'ignore' });
  const origin = `http://${host}`;
  await until(async () => (await fetch(`${origin}/api/v1/instance`).catch(() => null))?.ok === true);
  return {
    origin,
    async createAccount(name) {
      const password = /password is (\S+)/.exec(snac(['adduser', home, name]))?.[1] as string;
      return accountOf(origin, name, password, await tokenOf(origin, name, password));
    },
    async [Symbol.asyncDispose]() {
      const gone = once(server, 'exit');
      server.kill('SIGTERM');
      await gone;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function snac(parameters: readonly string[], input = ''): string {
  const ran = spawnSync('snac', parameters, { input, encoding: 'utf8' });
  if (ran.status !== 0) throw new Error(`snac ${parameters[0]} ended with ${ran.status}: ${ran.stderr}`);
  return `${ran.stdout}${ran.stderr}`;
}

/** Tries until it holds. @throws Error after half a minute */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 120; tries += 1) {
    if (await holds()) return;
    await delay(250);
  }
  throw new Error('snac did not do in time what was waited for');
}

async function tokenOf(origin: string, name: string, password: string): Promise<string> {
  const redirect = 'urn:ietf:wg:oauth:2.0:oob';
  const made = await answerOf(`${origin}/api/v1/apps`, {
    method: 'POST',
    body: new URLSearchParams({ client_name: 'tests', redirect_uris: redirect, scopes: 'read write' }),
  });
  const app = JSON.parse(made) as { client_id: string; client_secret: string };
  const code = await answerOf(`${origin}/oauth/x-snac-login`, {
    method: 'POST',
    body: new URLSearchParams({
      login: name,
      passwd: password,
      redir: redirect,
      cid: app.client_id,
      state: '',
    }),
  });
  const token = await answerOf(`${origin}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: app.client_id,
      client_secret: app.client_secret,
      redirect_uri: redirect,
      code: code.trim(),
    }),
  });
  return (JSON.parse(token) as { access_token: string }).access_token;
}

async function answerOf(address: string, request: RequestInit): Promise<string> {
  const response = await fetch(address, { redirect: 'manual', ...request });
  const text = await response.text();
  if (response.status >= 400) throw new Error(`${address} answered ${response.status}: ${text}`);
  return text;
}

function accountOf(origin: string, name: string, password: string, token: string): SnacAccount {
  const call = async (method: string, path: string, body?: object): Promise<unknown> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    return JSON.parse(await answerOf(`${origin}/api/v1/${path}`, { method, headers, ...sent }));
  };
  return {
    token,
    post: async (status, more = {}) => (await call('POST', 'statuses', { status, ...more })) as SnacStatus,
    async edit({ id }, status) {
      await call('PUT', `statuses/${id}`, { status });
    },
    async remove({ uri }) {
      await answerOf(`${origin}/${name}/admin/action`, {
        method: 'POST',
        headers: {
          authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
          // Exactly so: with a charset behind it, snac does not read the form.
          'content-type': 'application/x-www-form-urlencoded',
        },
        body: `${new URLSearchParams({ id: uri, action: 'Delete', actor: `${origin}/${name}`, redir: 'top' })}`,
      });
    },
    async upload(bytes, description) {
      const form = new FormData();
      form.set('file', new File([bytes], 'picture.png', { type: 'image/png' }));
      form.set('description', description);
      const headers = { authorization: `Bearer ${token}` };
      const made = await answerOf(`${origin}/api/v2/media`, { method: 'POST', headers, body: form });
      return (JSON.parse(made) as { id: string }).id;
    },
    async sees(reply, below) {
      const thread = (await call('GET', `statuses/${below.id}/context`)) as { descendants: SnacStatus[] };
      return thread.descendants.some(({ uri }) => uri === reply.uri);
    },
  };
}
