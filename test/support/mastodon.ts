// A small HTTP server that answers as Mastodon's API does, from accounts and statuses kept in memory, and as poorly as a test wants it.
// Shapes after https://docs.joinmastodon.org/entities/, with what the API promises and little else.

import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { type Answered, answering, jsonAnswer, sendAnswer } from './replay.ts';

export interface FakeAccount {
  readonly id: string;
  readonly acct: string;
  gone?: boolean;
}

export interface FakeStatus {
  readonly id: string;
  readonly by: FakeAccount;
  html: string;
  readonly parent?: FakeStatus;
  readonly createdAt: string;
  /** What else the status says. */
  more: Record<string, unknown>;
  readonly edits: { html: string; at: string }[];
  deleted?: boolean;
  /** Shown to whoever asks for it, and left out of the account's list, whose pages are as long as if it stood there. */
  unlisted?: boolean;
}

export class FakeMastodon {
  origin = '';
  readonly requests: string[] = [];
  /** Authorization headers as they came. */
  readonly authorizations: (string | undefined)[] = [];
  readonly city: FakeAccount = { id: '1', acct: 'city' };
  readonly ann: FakeAccount = { id: '2', acct: 'ann@elsewhere.example' };
  readonly statuses: FakeStatus[] = [];
  pageSize = 40;
  hasLinks = true;
  hasHistory = true;
  pages = true;
  /** Whether single statuses and threads are shown to nobody without a token. */
  wantsToken = false;
  /** The most levels of replies that a context shows. */
  depth = 20;
  /** Answers a request in its own way. @returns whether it did */
  instead: (url: URL, response: ServerResponse) => boolean = () => false;
  /** Names of statuses are those of their own server: two servers show the same. */
  home = 'https://city.example';

  /** A server's part without a server of its own: whoever serves that origin asks {@link answer}. */
  static at(origin: string): FakeMastodon {
    const fake = new FakeMastodon();
    fake.origin = origin;
    return fake;
  }

  static async start(t: TestContext): Promise<FakeMastodon> {
    const fake = new FakeMastodon();
    const server = await answering(t, (request, response, url) => {
      fake.requests.push(`${url.pathname}${url.search}`);
      fake.authorizations.push(request.headers.authorization);
      if (!fake.instead(url, response)) sendAnswer(response, fake.answer(url, request.headers));
    });
    fake.origin = server.origin;
    return fake;
  }

  post(html: string, rest: Partial<FakeStatus> = {}): FakeStatus {
    const number = this.statuses.length + 1;
    const status: FakeStatus = {
      id: String(10_000 + number),
      by: this.city,
      html: `<p>${html}</p>`,
      createdAt: `2026-10-01T10:00:00.${String(number % 1000).padStart(3, '0')}Z`,
      more: {},
      edits: [],
      ...rest,
    };
    this.statuses.push(status);
    return status;
  }

  edit(status: FakeStatus, html: string, at: string): void {
    if (status.edits.length === 0) status.edits.push({ html: status.html, at: status.createdAt });
    status.html = `<p>${html}</p>`;
    status.edits.push({ html: status.html, at });
  }

  uri(status: FakeStatus): string {
    const home = status.by === this.city ? this.home : 'https://elsewhere.example';
    return `${home}/statuses/${createHash('sha256').update(`${this.home} ${status.id}`).digest('hex').slice(0, 8)}`;
  }

  account(account: FakeAccount): Record<string, unknown> {
    const name = account.acct.split('@')[0] as string;
    const host = account.acct.includes('@') ? 'https://elsewhere.example' : this.home;
    return {
      id: account.id,
      username: name,
      acct: account.acct,
      display_name: name.toUpperCase(),
      uri: `${host}/users/${name}`,
      url: `${host}/@${name}`,
      note: '<p>Official.</p>',
      avatar: '',
      header: '',
      fields: [],
      created_at: '2020-01-01T00:00:00.000Z',
      followers_count: 7,
      following_count: 3,
      statuses_count: this.statuses.filter((one) => one.by === account && !one.deleted).length,
    };
  }

  view(status: FakeStatus): Record<string, unknown> {
    return {
      id: status.id,
      uri: this.uri(status),
      url: this.uri(status),
      account: this.account(status.by),
      content: status.html,
      spoiler_text: '',
      sensitive: false,
      visibility: 'public',
      language: 'en',
      created_at: status.createdAt,
      edited_at: status.edits.at(-1)?.at ?? null,
      in_reply_to_id: status.parent?.id ?? null,
      in_reply_to_account_id: status.parent?.by.id ?? null,
      reblog: null,
      poll: null,
      card: null,
      media_attachments: [],
      mentions: [],
      tags: [],
      replies_count: this.#replies(status).length,
      reblogs_count: 0,
      favourites_count: 0,
      ...status.more,
    };
  }

  #replies(status: FakeStatus): FakeStatus[] {
    return this.statuses.filter((one) => one.parent === status && !one.deleted);
  }

  #below(status: FakeStatus, depth: number): FakeStatus[] {
    if (depth === 0) return [];
    return this.#replies(status).flatMap((one) => [one, ...this.#below(one, depth - 1)]);
  }

  answer(url: URL, { authorization }: IncomingHttpHeaders): Answered {
    const notFound = (): Answered => jsonAnswer({ error: 'Record not found' }, 404);
    const [kind, id, what] = url.pathname.replace('/api/v1/', '').split('/');
    if (kind === 'accounts' && id === 'lookup') {
      const known = url.searchParams.get('acct')?.split('@')[0] === 'city' && !this.city.gone;
      return known ? jsonAnswer(this.account(this.city)) : notFound();
    }
    if (kind === 'accounts') {
      const account = [this.city, this.ann].find((one) => one.id === id);
      if (account === undefined || account.gone) return notFound();
      return what === 'statuses' ? this.#list(url) : jsonAnswer(this.account(account));
    }
    if (this.wantsToken && authorization === undefined)
      return jsonAnswer({ error: 'This method requires an authenticated user' }, 401);
    const status = this.statuses.find((one) => one.id === id && !one.deleted && !one.by.gone);
    if (status === undefined) return notFound();
    if (what === undefined) return jsonAnswer(this.view(status));
    if (what === 'context') {
      const ancestors: FakeStatus[] = [];
      for (let up = status.parent; up !== undefined; up = up.parent) if (!up.deleted) ancestors.unshift(up);
      const views = (all: FakeStatus[]) => all.map((one) => this.view(one));
      return jsonAnswer({
        ancestors: views(ancestors),
        descendants: views(this.#below(status, this.depth)),
      });
    }
    if (what !== 'history' || !this.hasHistory) return notFound();
    return jsonAnswer(
      status.edits.map(({ html, at }) => ({
        content: html,
        spoiler_text: '',
        sensitive: false,
        created_at: at,
        account: this.account(status.by),
        media_attachments: [],
        emojis: [],
      })),
    );
  }

  #list(url: URL): Answered {
    const before = this.pages ? url.searchParams.get('max_id') : null;
    const own = this.statuses.filter((one) => one.by === this.city && !one.deleted).reverse();
    const left = own.filter((one) => before === null || Number(one.id) < Number(before));
    const page = left.slice(0, Math.min(this.pageSize, Number(url.searchParams.get('limit') ?? 20)));
    const next = `<${this.origin}${url.pathname}?limit=40&max_id=${page.at(-1)?.id}>; rel="next", <${this.origin}/x?min_id=1>; rel="prev"`;
    return jsonAnswer(
      page.filter((one) => !one.unlisted).map((one) => this.view(one)),
      200,
      this.hasLinks && left.length > page.length ? { link: next } : {},
    );
  }
}
