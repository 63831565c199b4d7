// A small Reddit that answers as its API does, from things kept in memory. Shapes after the published API and examples: trees that stop at a depth
// and a number, the rest named in `more`; what was deleted or removed stays as a trace where something answers it.

import type { IncomingHttpHeaders } from 'node:http';
import { type Answered, jsonAnswer } from './replay.ts';

export interface FakeThing {
  readonly id: string;
  readonly by: string;
  text: string;
  /** Undefined for a post. */
  readonly parent?: FakeThing;
  readonly createdAt: number;
  edited: number | false;
  /** Left out of its list, whose pages are as long as if it stood there. */
  unlisted?: boolean;
  gone?: 'by its author' | 'by a moderator';
  /** What else there is to say of it, by Reddit's names of fields. */
  more: Record<string, unknown>;
}

type Shown = { kind: string; data: Record<string, unknown> };

const FIRST = Date.parse('2026-10-01T12:00:00Z') / 1000;

export const redditRefusal = (status: number): Answered =>
  jsonAnswer({ message: 'No.', error: status }, status);

export class FakeReddit {
  readonly things: FakeThing[] = [];
  readonly name: string;
  readonly prefix: string;
  readonly requests: URL[] = [];
  pageSize = 100;
  treeDepth = 3;
  treeSize = 10;
  /** The token that is taken. */
  token = 'stage-token';
  suspended = false;

  /** @param prefix of all ids */
  constructor(name: string, prefix: string) {
    this.name = name;
    this.prefix = prefix;
  }

  add(text: string, of: Partial<Pick<FakeThing, 'parent' | 'by' | 'more'>> = {}): FakeThing {
    const number = this.things.length + 1;
    const thing: FakeThing = {
      id: `${this.prefix}${number.toString(36).padStart(4, '0')}`,
      by: of.by ?? this.name,
      text,
      ...(of.parent === undefined ? {} : { parent: of.parent }),
      createdAt: FIRST + number,
      edited: false,
      more: of.more ?? {},
    };
    this.things.push(thing);
    return thing;
  }

  edit(thing: FakeThing, text: string): void {
    thing.text = text;
    thing.edited = (thing.edited || FIRST + 86_400) + 1;
  }

  nameOf(thing: FakeThing): string {
    return `${thing.parent === undefined ? 't3' : 't1'}_${thing.id}`;
  }

  answer(url: URL, headers: IncomingHttpHeaders): Answered {
    this.requests.push(url);
    if (url.pathname === '/api/v1/access_token') {
      const isRight = headers.authorization === `Basic ${Buffer.from('id:secret').toString('base64')}`;
      if (!isRight) return redditRefusal(401);
      return jsonAnswer({ access_token: this.token, token_type: 'bearer', expires_in: 86_400, scope: '*' });
    }
    if (headers.authorization !== `Bearer ${this.token}`) return redditRefusal(401);
    const by = url.searchParams;
    const user = `/user/${this.name}`;
    if (url.pathname === `${user}/about`) return jsonAnswer(this.#about());
    if (url.pathname === `${user}/submitted`)
      return this.#list(
        this.things.filter((one) => one.parent === undefined && one.by === this.name),
        by,
      );
    if (url.pathname === `${user}/comments`)
      return this.#list(
        this.things.filter((one) => one.parent !== undefined && one.by === this.name),
        by,
      );
    if (url.pathname === '/api/info') {
      const names = by.get('id')?.split(',') ?? [];
      const found = names.flatMap((name) => this.things.filter((one) => this.nameOf(one) === name));
      return jsonAnswer(listing(found.map((one) => this.view(one))));
    }
    if (url.pathname === '/api/morechildren') {
      const ids = by.get('children')?.split(',') ?? [];
      const things = ids
        .flatMap((id) => this.things.filter((one) => one.id === id && this.#isInTree(one)))
        .flatMap((one) => [this.view(one), ...this.#rest(one, this.#below(one))]);
      return jsonAnswer({ json: { errors: [], data: { things } } });
    }
    const [, id] = /^\/comments\/(\w+)$/.exec(url.pathname) ?? [];
    const post = this.things.find((one) => one.id === id);
    if (post === undefined) return redditRefusal(404);
    const focus = this.things.find((one) => one.id === by.get('comment'));
    const left = { size: this.treeSize };
    const tree =
      focus === undefined
        ? this.#branch(post, 1, left)
        : [this.view(focus, listing(this.#branch(focus, 2, left)))];
    return jsonAnswer([listing([this.view(post)]), listing(tree)]);
  }

  #about(): Shown {
    if (this.suspended) return { kind: 't2', data: { name: this.name, is_suspended: true } };
    const subreddit = { title: 'City of Example', public_description: 'Official.', banner_img: '' };
    const karma = { link_karma: 12, comment_karma: -3 };
    return {
      kind: 't2',
      data: { id: this.prefix, name: this.name, icon_img: '', created_utc: FIRST, subreddit, ...karma },
    };
  }

  #list(oldest: readonly FakeThing[], by: URLSearchParams): Answered {
    const all = oldest.toReversed();
    const after = all.findIndex((one) => this.nameOf(one) === by.get('after')) + 1;
    const rest = all.slice(after).filter(({ gone }) => gone !== 'by its author');
    const page = rest.slice(0, this.pageSize);
    const last = page.at(-1);
    const next = rest.length > page.length && last !== undefined ? this.nameOf(last) : null;
    return jsonAnswer(
      listing(
        page.filter(({ unlisted }) => unlisted !== true).map((one) => this.view(one)),
        next,
      ),
    );
  }

  #below(thing: FakeThing): FakeThing[] {
    return this.things.filter((one) => one.parent === thing && this.#isInTree(one));
  }

  /** A trace is shown only where something answers it. */
  #isInTree(thing: FakeThing): boolean {
    return thing.gone === undefined || this.things.some((one) => one.parent === thing);
  }

  #rest(parent: FakeThing, children: readonly FakeThing[]): Shown[] {
    if (children.length === 0) return [];
    const [first] = children as [FakeThing];
    const ids = children.map(({ id }) => id);
    const data = {
      count: ids.length,
      id: first.id,
      name: `t1_${first.id}`,
      parent_id: this.nameOf(parent),
      children: ids,
    };
    return [{ kind: 'more', data }];
  }

  #branch(parent: FakeThing, depth: number, left: { size: number }): Shown[] {
    const children = this.#below(parent);
    if (depth > this.treeDepth && children.length > 0) {
      const data = { count: 0, id: '_', name: 't1__', parent_id: this.nameOf(parent), depth, children: [] };
      return [{ kind: 'more', data }];
    }
    const shown: Shown[] = [];
    for (const [nth, child] of children.entries()) {
      if (left.size <= 0) return [...shown, ...this.#rest(parent, children.slice(nth))];
      left.size -= 1;
      const answers = this.#branch(child, depth + 1, left);
      shown.push(this.view(child, answers.length === 0 ? '' : listing(answers)));
    }
    return shown;
  }

  view(thing: FakeThing, replies: unknown = ''): Shown {
    const { id, gone } = thing;
    let post = thing;
    while (post.parent !== undefined) post = post.parent;
    const trace = gone === 'by a moderator' ? '[removed]' : gone === undefined ? null : '[deleted]';
    const common = {
      id,
      name: this.nameOf(thing),
      author: trace === null ? thing.by : '[deleted]',
      ...(trace === null ? { author_fullname: `t2_${thing.by === this.name ? this.prefix : 'ann'}` } : {}),
      created_utc: thing.createdAt,
      edited: thing.edited,
      score: 3,
      permalink: `/r/example/comments/${post.id}/title/${thing === post ? '' : `${id}/`}`,
    };
    if (thing.parent === undefined) {
      const comments = this.things.filter((one) => one !== thing && this.#isBelow(one, thing)).length;
      const removed = gone === 'by a moderator' ? 'moderator' : gone === undefined ? null : 'deleted';
      return {
        kind: 't3',
        data: {
          ...common,
          title: `Title ${id}`,
          selftext: trace ?? thing.text,
          is_self: true,
          url: `https://www.reddit.com${common.permalink}`,
          num_comments: comments,
          removed_by_category: removed,
          ...thing.more,
        },
      };
    }
    const place = { parent_id: this.nameOf(thing.parent), link_id: this.nameOf(post), link_author: post.by };
    return { kind: 't1', data: { ...common, ...place, body: trace ?? thing.text, replies, ...thing.more } };
  }

  #isBelow(thing: FakeThing, post: FakeThing): boolean {
    for (let at: FakeThing | undefined = thing; at !== undefined; at = at.parent)
      if (at === post) return true;
    return false;
  }
}

function listing(children: readonly Shown[], after: string | null = null): Shown {
  return { kind: 'Listing', data: { after, before: null, dist: children.length, modhash: null, children } };
}
