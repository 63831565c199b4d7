// A small X that answers as its API (v2) does, from posts kept in memory. Shapes after the published reference: every edit has an id of its own,
// what is not there stands in `errors` of a 200, and an empty list has no `data`.

import type { IncomingHttpHeaders } from 'node:http';
import { type Answered, jsonAnswer } from './replay.ts';

export interface FakeUser {
  readonly id: string;
  readonly username: string;
  state?: 'gone' | 'suspended';
}

export interface FakePost {
  readonly by: FakeUser;
  /** Oldest first. */
  readonly versions: { readonly id: string; readonly text: string }[];
  readonly parent?: FakePost;
  deleted?: boolean;
  /** Left out of its list, whose pages are as long as if it stood there. */
  unlisted?: boolean;
  /** What else there is to say of it, by X's names of fields. */
  more: Record<string, unknown>;
}

const PROBLEM = 'https://api.twitter.com/2/problems';

export const xRefusal = (status: number): Answered =>
  jsonAnswer({ title: 'No', detail: 'No.', type: 'about:blank', status }, status);

export class FakeX {
  readonly city: FakeUser;
  readonly ann: FakeUser;
  readonly posts: FakePost[] = [];
  readonly requests: URL[] = [];
  /** Of the account's list. */
  pageSize = 100;
  searchPageSize = 100;
  includes: Record<string, unknown[]> = {};
  token = 'stage-token';
  /** Conversations whose search fails. */
  refused: ReadonlySet<string> = new Set();
  #next: bigint;

  /** @param first number of all ids */
  constructor(first: number) {
    this.#next = BigInt(first) * 1_000_000n;
    this.city = { id: this.#id(), username: 'CityOfExample' };
    this.ann = { id: this.#id(), username: 'Ann' };
  }

  #id(): string {
    this.#next += 1n;
    return String(this.#next);
  }

  post(text: string, of: Partial<Pick<FakePost, 'parent' | 'by' | 'more'>> = {}): FakePost {
    const { by = this.city, parent, more = {} } = of;
    const post: FakePost = {
      by,
      versions: [{ id: this.#id(), text }],
      more,
      ...(parent === undefined ? {} : { parent }),
    };
    this.posts.push(post);
    return post;
  }

  edit(post: FakePost, text: string): void {
    post.versions.push({ id: this.#id(), text });
  }

  static idOf(post: FakePost): string {
    return (post.versions[0] as { id: string }).id;
  }

  answer(url: URL, headers: IncomingHttpHeaders): Answered {
    this.requests.push(url);
    if (headers.authorization !== `Bearer ${this.token}`) return xRefusal(401);
    const path = url.pathname;
    const by = url.searchParams;
    const ids = by.get('ids')?.split(',') ?? [];
    if (path.startsWith('/2/users/by/username/')) return this.#user(path.split('/').at(-1) as string);
    if (path === `/2/users/${this.city.id}/tweets`)
      return this.#list(
        this.posts.filter((post) => post.by === this.city),
        by,
        this.pageSize,
      );
    if (path === `/2/users/${this.city.id}/mentions`)
      return this.#list(
        this.posts.filter((post) => post.by !== this.city && post.parent?.by === this.city),
        by,
        100,
      );
    if (path.startsWith('/2/tweets/search/')) {
      const of = by.get('query')?.replace('conversation_id:', '');
      if (this.refused.has(of ?? '')) return xRefusal(400);
      const found = this.posts.filter((post) => FakeX.idOf(rootOf(post)) === of);
      return this.#list(found, by, this.searchPageSize);
    }
    if (path === '/2/users') return this.#users(ids);
    if (path === '/2/tweets') return this.#named(ids);
    return xRefusal(404);
  }

  #user(name: string): Answered {
    const [user] = [this.city, this.ann].filter(({ username }) => username === name);
    if (user === undefined || user.state !== undefined) {
      const type = `${PROBLEM}/${user?.state === 'suspended' ? 'resource-unavailable' : 'resource-not-found'}`;
      return jsonAnswer({ errors: [{ value: name, resource_id: name, parameter: 'username', type }] });
    }
    return jsonAnswer({ data: this.#userView(user) });
  }

  #users(ids: readonly string[]): Answered {
    const all = [this.city, this.ann];
    const data = all.filter((user) => ids.includes(user.id) && user.state === undefined);
    const errors = ids
      .filter((id) => !data.some((user) => user.id === id))
      .map((id) => {
        const isSuspended = all.some((user) => user.id === id && user.state === 'suspended');
        return {
          resource_id: id,
          type: `${PROBLEM}/${isSuspended ? 'resource-unavailable' : 'resource-not-found'}`,
        };
      });
    return jsonAnswer({
      ...some(
        'data',
        data.map((one) => this.#userView(one)),
      ),
      ...some('errors', errors),
    });
  }

  #named(ids: readonly string[]): Answered {
    const data = [];
    const errors = [];
    for (const id of ids) {
      const post = this.posts.find(({ versions }) => versions.some((version) => version.id === id));
      if (post === undefined || post.deleted === true || post.by.state !== undefined) {
        const kind = post?.by.state === 'suspended' ? 'not-authorized-for-resource' : 'resource-not-found';
        errors.push({
          resource_type: 'tweet',
          resource_id: id,
          value: id,
          parameter: 'ids',
          type: `${PROBLEM}/${kind}`,
        });
      } else data.push(this.view(post, id));
    }
    return jsonAnswer({ ...some('data', data), ...some('errors', errors), includes: this.#includes() });
  }

  #list(oldest: readonly FakePost[], by: URLSearchParams, size: number): Answered {
    const since = BigInt(by.get('since_id') ?? 0);
    const until = BigInt(by.get('until_id') ?? 2n ** 64n);
    const isWithin = (id: bigint): boolean => id > since && id < until;
    const all = oldest.toReversed();
    const cursor = by.get('pagination_token') ?? by.get('next_token');
    const after = cursor === null ? 0 : all.findIndex((post) => FakeX.idOf(post) === cursor.slice(1)) + 1;
    const rest = all
      .slice(after)
      .filter((post) => post.deleted !== true && isWithin(BigInt(lastOf(post).id)));
    const page = rest.slice(0, size);
    const data = page
      .filter(({ unlisted }) => unlisted !== true)
      .map((post) => this.view(post, lastOf(post).id));
    const last = page.at(-1);
    const next =
      rest.length > page.length && last !== undefined ? { next_token: `b${FakeX.idOf(last)}` } : {};
    const meta = { result_count: data.length, ...next };
    return jsonAnswer({
      ...some('data', data),
      ...(data.length > 0 ? { includes: this.#includes() } : {}),
      meta,
    });
  }

  #includes(): Record<string, unknown> {
    return { users: [this.city, this.ann].map((one) => this.#userView(one)), ...this.includes };
  }

  #userView({ id, username }: FakeUser): Record<string, unknown> {
    const metrics = {
      tweet_count: this.posts.filter(({ by, deleted }) => by.id === id && deleted !== true).length,
    };
    return { id, username, name: `The ${username}`, description: 'Official.', public_metrics: metrics };
  }

  view(post: FakePost, id: string): Record<string, unknown> {
    const version = post.versions.find((one) => one.id === id) as { id: string; text: string };
    const replies = this.posts.filter(({ parent, deleted }) => parent === post && deleted !== true).length;
    return {
      id,
      text: version.text.replaceAll('&', '&amp;').replaceAll('<', '&lt;'),
      author_id: post.by.id,
      created_at: '2026-10-01T12:00:00.000Z',
      conversation_id: FakeX.idOf(rootOf(post)),
      edit_history_tweet_ids: post.versions.map((one) => one.id),
      ...(post.parent === undefined
        ? {}
        : { referenced_tweets: [{ type: 'replied_to', id: FakeX.idOf(post.parent) }] }),
      public_metrics: { reply_count: replies, like_count: 2 },
      ...post.more,
    };
  }
}

function rootOf(post: FakePost): FakePost {
  return post.parent === undefined ? post : rootOf(post.parent);
}

function lastOf({ versions }: FakePost): { readonly id: string } {
  return versions.at(-1) as { id: string };
}

function some(name: string, list: readonly unknown[]): Record<string, unknown> {
  return list.length === 0 ? {} : { [name]: list };
}
