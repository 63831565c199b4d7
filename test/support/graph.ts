// A small HTTP server that answers as Meta's Graph APIs do, from accounts and items kept in memory. Shapes after the published reference of
// the Pages API: only the fields that are asked for, cursors beside an address of the next page that holds the token, media under addresses
// that are signed anew in every answer, one error for what was deleted and for what may not be seen.

import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { type Answered, answering, jsonAnswer, type Lasting, sendAnswer } from './replay.ts';

export interface FakeNode {
  readonly id: string;
  readonly by: { readonly id: string; readonly name: string };
  text: string;
  /** What it answers; undefined for what stands in one of the account's own lists. */
  readonly parent?: FakeNode;
  /** The list of the account that it stands in. */
  readonly edge?: string;
  readonly createdAt: string;
  /** What else there is to say of it, by the platform's names of fields. */
  more: Record<string, unknown>;
  deleted?: boolean;
  /** Shown to whoever asks for it, and left out of its list, whose pages are as long as if it stood there. */
  unlisted?: boolean;
}

export const CITY = { id: '1000', name: 'City of Example' };
export const ANN = { id: '77', name: 'Ann' };

/** What a platform calls things. */
export interface GraphStyle {
  readonly version: string;
  /** The edge with everything below a post, or with the answers to a reply. */
  readonly threads: readonly string[];
  profile(graph: FakeGraph): Record<string, unknown>;
  view(graph: FakeGraph, node: FakeNode): Record<string, unknown>;
  /** @returns what an edge of a node lists, in its order */
  below(graph: FakeGraph, node: FakeNode, edge: string): FakeNode[];
}

export function graphError(code: number, subcode: number | null, status = 400, message = 'No.'): Answered {
  const error = {
    message,
    type: 'OAuthException',
    code,
    error_subcode: subcode ?? undefined,
    fbtrace_id: 'A1',
  };
  return jsonAnswer({ error }, status);
}

export class FakeGraph {
  origin = '';
  readonly style: GraphStyle;
  readonly requests: URL[] = [];
  readonly authorizations: (string | undefined)[] = [];
  readonly nodes: FakeNode[] = [];
  pageSize = 100;
  city = CITY;
  /** Whether a page tells the address of the one after it, and not its cursor alone. */
  tellsNext = true;
  /** What the account says of itself. */
  about = 'Official.';
  /** Sent with every answer. */
  headers: Record<string, string> = {};
  /** Answers a request in its own way. @returns whether it did */
  instead: (url: URL, response: ServerResponse) => boolean = () => false;
  #signed = 0;

  private constructor(style: GraphStyle) {
    this.style = style;
  }

  /** A platform's part without a server of its own: whoever serves that origin asks {@link answer}. */
  static at(origin: string, style: GraphStyle): FakeGraph {
    const graph = new FakeGraph(style);
    graph.origin = origin;
    return graph;
  }

  static async start(t: Lasting, style: GraphStyle): Promise<FakeGraph> {
    const graph = new FakeGraph(style);
    const server = await answering(t, (request, response, url) => {
      graph.requests.push(url);
      graph.authorizations.push(request.headers.authorization);
      if (!graph.instead(url, response)) sendAnswer(response, graph.answer(url, request.headers));
    });
    graph.origin = server.origin;
    return graph;
  }

  add(id: string, text: string, rest: Partial<FakeNode> = {}): FakeNode {
    const second = String(this.nodes.length % 60).padStart(2, '0');
    const minute = String(Math.floor(this.nodes.length / 60) % 60).padStart(2, '0');
    const createdAt = `2026-10-01T10:${minute}:${second}+0000`;
    const node = { id, by: rest.parent === undefined ? this.city : ANN, text, createdAt, more: {}, ...rest };
    this.nodes.push(node);
    return node;
  }

  /** The address of a medium, as no answer before has given it. */
  signed(name: string): string {
    this.#signed += 1;
    return `${this.origin}/media/${name}?oh=00_${this.#signed}&oe=6${this.#signed}`;
  }

  allBelow(node: FakeNode): FakeNode[] {
    return this.nodes.filter((one) => {
      for (let up = one.parent; up !== undefined; up = up.parent) if (up === node) return true;
      return false;
    });
  }

  isGone(node: FakeNode): boolean {
    return node.deleted === true || (node.parent !== undefined && this.isGone(node.parent));
  }

  answer(url: URL, { authorization }: IncomingHttpHeaders): Answered {
    const answer = this.#answer(url, authorization);
    return { ...answer, headers: { ...answer.headers, ...this.headers } };
  }

  #answer(url: URL, authorization: string | undefined): Answered {
    const [, version, id = '', edge] = url.pathname.split('/').map(decodeURIComponent);
    if (version === 'media')
      return { status: 200, headers: { 'content-type': 'image/jpeg' }, body: Buffer.from(`BYTES OF ${id}`) };
    const token = /^Bearer (.+)$/.exec(authorization ?? '')?.[1];
    if (token === undefined || url.searchParams.has('access_token')) return graphError(190, 463);
    if (version !== this.style.version) return graphError(2635, null);
    const fields = fieldsOf(url.searchParams.get('fields') ?? 'id');
    const isAccount = [this.city.id, 'city', 'me'].includes(id);
    if (isAccount && edge === undefined) return jsonAnswer(only(this.style.profile(this), fields));
    const node = this.nodes.find((one) => one.id === id && !this.isGone(one));
    if (isAccount)
      return this.#list(url, token, fields, this.nodes.filter((one) => one.edge === edge).reverse());
    if (node === undefined) return graphError(100, 33, 400, `Unsupported get request with ${token}`);
    if (edge === undefined) return jsonAnswer(only(this.style.view(this, node), fields));
    if (!this.style.threads.includes(edge)) return graphError(100, null);
    return this.#list(url, token, fields, this.style.below(this, node, edge));
  }

  #list(url: URL, token: string, fields: readonly string[], all: readonly FakeNode[]): Answered {
    const there = all.filter((one) => !this.isGone(one));
    const after = url.searchParams.get('after');
    // A cursor stands for an item, also when that has gone meanwhile.
    const place = after === null ? -1 : all.findIndex((one) => cursorOf(one) === after);
    const left = there.filter((one) => all.indexOf(one) > place);
    const page = left.slice(0, Math.min(this.pageSize, Number(url.searchParams.get('limit') ?? 25)));
    const last = page.at(-1);
    const summary = url.searchParams.has('summary') ? { summary: { total_count: there.length } } : {};
    const next = new URL(url, this.origin);
    next.searchParams.set('access_token', token);
    if (last !== undefined) next.searchParams.set('after', cursorOf(last));
    const cursors = { before: 'x', after: last === undefined ? 'x' : cursorOf(last) };
    return jsonAnswer({
      ...summary,
      data: page.filter((one) => !one.unlisted).map((one) => only(this.style.view(this, one), fields)),
      ...(page.length === 0
        ? {}
        : { paging: { cursors, ...(left.length > page.length && this.tellsNext ? { next } : {}) } }),
    });
  }
}

const cursorOf = (node: FakeNode): string => Buffer.from(`cursor ${node.id}`).toString('base64url');

/** @returns the names of the outermost fields of an expression such as `id,a{b,c},d.limit(0)` */
function fieldsOf(expression: string): string[] {
  let depth = 0;
  let names = '';
  for (const sign of expression) {
    if (sign === '}' || sign === ')') depth -= 1;
    else if (sign === '{' || sign === '(') depth += 1;
    else if (depth === 0) names += sign;
  }
  return names.split(',').map((name) => name.split('.')[0] as string);
}

function only(view: Record<string, unknown>, fields: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(view).filter(([name]) => name === 'id' || fields.includes(name)));
}

/** Facebook Pages. Posts have the Page's id before their own, comments the post's. */
export const FACEBOOK_STYLE: GraphStyle = {
  version: 'v25.0',
  threads: ['comments'],
  profile: (graph) => ({
    id: graph.city.id,
    name: graph.city.name,
    username: 'city',
    about: graph.about,
    link: 'https://www.facebook.com/city',
    followers_count: 12,
    picture: { data: { url: graph.signed('avatar.jpg'), cache_key: 'avatar-1' } },
  }),
  view(graph, node) {
    const common = {
      id: node.id,
      message: node.text,
      from: node.by,
      created_time: node.createdAt,
      permalink_url: `https://www.facebook.com/${node.id}`,
      is_hidden: false,
    };
    if (node.parent === undefined) {
      const count = graph.allBelow(node).filter((one) => !graph.isGone(one)).length;
      return {
        ...common,
        is_published: true,
        updated_time: node.createdAt,
        comments: { data: [], summary: { total_count: count, order: 'chronological' } },
        ...node.more,
      };
    }
    const parent = node.parent.parent === undefined ? {} : { parent: { id: node.parent.id } };
    return { ...common, like_count: 1, comment_count: 0, ...parent, ...node.more };
  },
  below: (graph, node) => graph.allBelow(node),
};

/** Threads. A conversation has every depth, and comes with cursors alone. */
export const THREADS_STYLE: GraphStyle = {
  version: 'v1.0',
  threads: ['conversation', 'replies'],
  profile: (graph) => ({
    id: graph.city.id,
    username: 'city',
    name: graph.city.name,
    threads_biography: graph.about,
    threads_profile_picture_url: graph.signed('avatar.jpg'),
  }),
  view(graph, node) {
    const below = graph.nodes.some((one) => one.parent === node && !graph.isGone(one));
    const common = {
      id: node.id,
      media_product_type: 'THREADS',
      media_type: 'TEXT_POST',
      text: node.text,
      username: node.by === graph.city ? 'city' : node.by.name.toLowerCase(),
      permalink: `https://www.threads.com/@x/post/${node.id}`,
      timestamp: node.createdAt,
      has_replies: below,
      is_reply: node.parent !== undefined || node.edge === 'replies',
    };
    if (node.parent === undefined) return { ...common, ...node.more };
    let root = node.parent;
    while (root.parent !== undefined) root = root.parent;
    return {
      ...common,
      root_post: { id: root.id },
      replied_to: { id: node.parent.id },
      is_reply_owned_by_me: node.by === graph.city,
      hide_status: 'NOT_HUSHED',
      ...node.more,
    };
  },
  below: (graph, node, edge) =>
    edge === 'replies' ? graph.nodes.filter((one) => one.parent === node) : graph.allBelow(node),
};

/** Instagram. Comments answer a post or a comment; of a comment's answers it shows the ids with it, and the rest by themselves. */
export const INSTAGRAM_STYLE: GraphStyle = {
  version: 'v25.0',
  threads: ['comments', 'replies'],
  profile: (graph) => ({
    id: graph.city.id,
    username: 'city',
    name: graph.city.name,
    biography: graph.about,
    website: 'https://city.example/',
    profile_picture_url: graph.signed('avatar.jpg'),
    followers_count: 12,
    follows_count: 3,
    media_count: graph.nodes.filter((one) => one.edge === 'media' && !graph.isGone(one)).length,
  }),
  view(graph, node) {
    const username = node.by === graph.city ? 'city' : node.by.name.toLowerCase();
    const common = { id: node.id, timestamp: node.createdAt, username, like_count: 1 };
    let root = node;
    while (root.parent !== undefined) root = root.parent;
    const product = root.edge === 'stories' ? 'STORY' : 'FEED';
    if (node === root)
      return {
        ...common,
        media_type: 'IMAGE',
        media_product_type: product,
        caption: node.text,
        owner: { id: node.by.id },
        permalink: `https://www.instagram.com/p/${node.id}/`,
        is_comment_enabled: true,
        comments_count: graph.allBelow(node).filter((one) => !graph.isGone(one)).length,
        ...node.more,
      };
    const answers = graph.nodes.filter((one) => one.parent === node && !graph.isGone(one));
    return {
      ...common,
      text: node.text,
      from: { id: node.by.id, username },
      hidden: false,
      media: { id: root.id, media_product_type: product },
      ...(node.parent === root ? {} : { parent_id: node.parent?.id }),
      ...(answers.length === 0 ? {} : { replies: { data: answers.map(({ id }) => ({ id })) } }),
      ...node.more,
    };
  },
  below: (graph, node) => graph.nodes.filter((one) => one.parent === node).reverse(),
};
