// A small LinkedIn that answers as its versioned API does, from posts and comments kept in memory. Shapes after the published reference.

import type { IncomingHttpHeaders } from 'node:http';
import { type Answered, jsonAnswer } from './replay.ts';

export interface FakeShare {
  readonly number: number;
  text: string;
  /** Undefined for a post. */
  readonly parent?: FakeShare;
  deleted?: boolean;
  /** Left out of its list, whose pages are as long as if it stood there. */
  unlisted?: boolean;
  /** What else there is to say of it, by LinkedIn's names of fields. */
  more: Record<string, unknown>;
}

export const linkedinRefusal = (status: number): Answered =>
  jsonAnswer({ status, code: 'NO', serviceErrorCode: 1, message: 'No.' }, status);

export class FakeLinkedin {
  readonly organization: number;
  readonly shares: FakeShare[] = [];
  readonly requests: { readonly url: URL; readonly headers: IncomingHttpHeaders }[] = [];
  pageSize = 100;
  commentsOnPage = 20;
  token = 'stage-token';
  /** Whether the token's person still administers the page. */
  isAdministered = true;

  constructor(organization: number) {
    this.organization = organization;
  }

  get urn(): string {
    return `urn:li:organization:${this.organization}`;
  }

  add(text: string, parent?: FakeShare, more: Record<string, unknown> = {}): FakeShare {
    const number = this.organization * 100_000 + this.shares.length + 1;
    const share: FakeShare = { number, text, more, ...(parent === undefined ? {} : { parent }) };
    this.shares.push(share);
    return share;
  }

  urnOf(share: FakeShare): string {
    if (share.parent === undefined) return `urn:li:share:${share.number}`;
    return `urn:li:comment:(urn:li:activity:${rootOf(share).number},${share.number})`;
  }

  answer(url: URL, headers: IncomingHttpHeaders): Answered {
    this.requests.push({ url, headers });
    if (headers.authorization !== `Bearer ${this.token}`) return linkedinRefusal(401);
    const [, , kind, name = '', edge, number] = url.pathname.split('/').map(decodeURIComponent);
    if (kind === 'organizations') {
      const organization = {
        id: this.organization,
        localizedName: 'City of Example',
        vanityName: 'city',
        localizedDescription: 'Official.',
      };
      if (name === '') {
        const elements = url.searchParams.get('vanityName') === 'city' ? [organization] : [];
        return jsonAnswer({ paging: { start: 0, count: 10, links: [] }, elements });
      }
      return Number(name) === this.organization ? jsonAnswer(organization) : linkedinRefusal(404);
    }
    if (kind === 'posts' && !this.isAdministered) return linkedinRefusal(name === '' ? 403 : 404);
    if (kind === 'posts' && name === '')
      return this.#list(
        this.shares.filter(({ parent }) => parent === undefined).toReversed(),
        url,
        this.pageSize,
      );
    if (kind === 'posts') return this.#one(this.#named(name));
    if (kind === 'socialActions' && edge === 'comments') {
      const above = this.#named(name);
      if (above === undefined || isGone(above)) return linkedinRefusal(404);
      if (number !== undefined) return this.#one(this.shares.find((one) => String(one.number) === number));
      return this.#list(
        this.shares.filter(({ parent }) => parent === above),
        url,
        this.commentsOnPage,
      );
    }
    const ids = [...(/ids=List\((.*)\)/.exec(url.search)?.[1] ?? '').split(',')].map(decodeURIComponent);
    const results = Object.fromEntries(
      ids.flatMap((id): [string, unknown][] => {
        if (kind !== 'socialMetadata')
          return [[id, { id, downloadUrl: `https://media.example/${id}?signed=1` }]];
        const post = this.#named(id);
        if (post === undefined) return [];
        const below = this.shares.filter((one) => one !== post && rootOf(one) === post && !isGone(one));
        return [[id, { entity: id, commentSummary: { count: below.length }, commentsState: 'OPEN' }]];
      }),
    );
    return jsonAnswer({ results, statuses: {}, errors: {} });
  }

  #named(urn: string): FakeShare | undefined {
    return this.shares.find((one) => this.urnOf(one) === urn || `urn:li:activity:${one.number}` === urn);
  }

  #one(share: FakeShare | undefined): Answered {
    return share === undefined || isGone(share) ? linkedinRefusal(404) : jsonAnswer(this.view(share));
  }

  #list(all: readonly FakeShare[], url: URL, size: number): Answered {
    const start = Number(url.searchParams.get('start'));
    const there = all.filter((one) => !isGone(one));
    const page = there.slice(start, start + size);
    const elements = page.filter(({ unlisted }) => unlisted !== true).map((one) => this.view(one));
    const links =
      start + size < there.length ? [{ rel: 'next', type: 'application/json', href: '/elsewhere' }] : [];
    return jsonAnswer({ paging: { start, count: size, links }, elements });
  }

  view(share: FakeShare): Record<string, unknown> {
    const time = 1_790_000_000_000 + share.number;
    if (share.parent === undefined)
      return {
        id: this.urnOf(share),
        author: this.urn,
        commentary: share.text,
        createdAt: time,
        publishedAt: time,
        lastModifiedAt: time,
        visibility: 'PUBLIC',
        lifecycleState: 'PUBLISHED',
        ...share.more,
      };
    const below = this.shares.filter(({ parent, deleted }) => parent === share && deleted !== true).length;
    return {
      id: String(share.number),
      commentUrn: this.urnOf(share),
      object: `urn:li:activity:${rootOf(share).number}`,
      actor: 'urn:li:person:ann',
      message: { attributes: [], text: share.text },
      created: { actor: 'urn:li:person:ann', time },
      ...(share.parent.parent === undefined ? {} : { parentComment: this.urnOf(share.parent) }),
      ...(below === 0 ? {} : { commentsSummary: { aggregatedTotalComments: below } }),
      ...share.more,
    };
  }
}

function rootOf(share: FakeShare): FakeShare {
  return share.parent === undefined ? share : rootOf(share.parent);
}

/** What a deleted thing stood above goes with it. */
function isGone(share: FakeShare): boolean {
  return share.deleted === true || (share.parent !== undefined && isGone(share.parent));
}
