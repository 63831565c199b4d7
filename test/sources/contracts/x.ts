// X as its collector meets it, for the contract suite and the fuzz: a timeline by tokens, conversations by search, an id for every edit.

import { type CollectorContract, type ShownItem, TOKEN_VARIABLE } from '../../support/collector-stage.ts';
import { type FakePost, FakeX, xRefusal } from '../../support/x.ts';

export const x: CollectorContract = {
  pageSize: 2,
  threadDepth: 30,
  tellsDeletions: true,
  readsAllAfter: 24,
  settings: (origin) => ({
    platform: 'x',
    account: '@CityOfExample',
    service: origin,
    token: `\${${TOKEN_VARIABLE}}`,
    unitsPerDay: 1_000_000_000,
    daysBetweenWhole: 1,
    decision: { by: 'J. Counsel', on: '2026-10-01', cite: 'memorandum 7' },
  }),
  open(_, items, account) {
    // Each source is an account of its own.
    const fake = new FakeX(
      [...account].reduce((sum, sign) => (sum * 31 + (sign.codePointAt(0) as number)) % 1e9, 7) + 1,
    );
    fake.pageSize = 2;
    const posts = new Map<ShownItem, FakePost>();
    const postOf = (item: ShownItem): FakePost => {
      const known = posts.get(item);
      if (known !== undefined) return known;
      const post = fake.post(
        item.text,
        item.parent === null ? {} : { parent: postOf(item.parent), by: fake.ann },
      );
      posts.set(item, post);
      return post;
    };
    /** What is older has to be met first. */
    const meet = (): void => {
      for (const item of items.filter(({ parent }) => parent === null).reverse()) postOf(item);
      for (const item of items) postOf(item);
    };
    return {
      besides: [fake.city.id],
      platformId(item) {
        meet();
        return FakeX.idOf(postOf(item));
      },
      asks(url) {
        if (/\/users\/\d+\/tweets$/.test(url.pathname)) return 'list';
        if (url.pathname.includes('/search/')) return 'thread';
        return url.searchParams.has('ids') ? 'look-up' : 'account';
      },
      answer(url, headers) {
        meet();
        const there = new Set(items);
        for (const [item, post] of posts) {
          post.deleted = !there.has(item);
          post.unlisted = item.unlisted;
          if (post.versions.at(-1)?.text !== item.text) fake.edit(post, item.text);
        }
        // The fuzz leaves request headers out.
        return fake.answer(url, { authorization: `Bearer ${fake.token}`, ...headers });
      },
      refusal: xRefusal,
    };
  },
};
