// Bluesky as its collector meets it, for the contract suite and the fuzz.

import { FakePlatform, type FakePost } from '../../support/appview.ts';
import type { CollectorContract, ShownItem } from '../../support/collector-stage.ts';
import { jsonAnswer } from '../../support/replay.ts';

const CITIZEN = { did: 'did:plc:citizenaaaaaaaaaaaaaaaaa', handle: 'ana.example' };
const ERRORS: Readonly<Record<number, string>> = {
  401: 'ExpiredToken',
  403: 'AuthMissing',
  429: 'RateLimitExceeded',
  500: 'InternalServerError',
};

export const bluesky: CollectorContract = {
  pageSize: 2,
  threadDepth: 50,
  tellsDeletions: true,
  readsAllAfter: 24,
  settings: (origin) => ({
    platform: 'bluesky',
    account: 'city.example',
    service: origin,
    directory: origin,
    repository: origin,
    proofs: 0,
  }),
  open(origin, items, account) {
    const platform = FakePlatform.at(origin);
    platform.account = { did: `did:plc:${account}`, handle: 'city.example' };
    platform.threadDepth = 10;
    platform.profile = { displayName: 'City', description: 'The city’s own account.' };
    const posts = new Map<ShownItem, FakePost>();
    const postOf = (item: ShownItem): FakePost => {
      const known = posts.get(item);
      if (known !== undefined) return known;
      const rest = item.parent === null ? {} : { ...CITIZEN, parent: postOf(item.parent) };
      const post = platform.post(item.key, item.text, rest);
      posts.set(item, post);
      return post;
    };
    return {
      besides: [`at://${platform.account.did}/app.bsky.actor.profile/self`],
      platformId: (item) => platform.uri(postOf(item)),
      asks(url) {
        if (url.pathname.endsWith('getAuthorFeed')) return 'list';
        if (url.pathname.endsWith('getPostThread')) return 'thread';
        return /getPosts$|getRecord$|getRepoStatus$/.test(url.pathname) ? 'look-up' : 'account';
      },
      answer(url) {
        const shown = items.map((item) =>
          Object.assign(postOf(item), { text: item.text, unlisted: item.unlisted }),
        );
        platform.posts.splice(0, Number.POSITIVE_INFINITY, ...shown);
        const { status, type, body } = platform.answer(url);
        return { status, headers: { 'content-type': type }, body: Buffer.from(body) };
      },
      refusal: (status) => jsonAnswer({ error: ERRORS[status], message: 'not now' }, status),
    };
  },
};
