// LinkedIn as its collector meets it, for the contract suite and the fuzz: pages by place in the list, answers to comments asked for one by one.

import { type CollectorContract, type ShownItem, TOKEN_VARIABLE } from '../../support/collector-stage.ts';
import { FakeLinkedin, type FakeShare, linkedinRefusal } from '../../support/linkedin.ts';

export const linkedin: CollectorContract = {
  pageSize: 2,
  threadDepth: 2,
  tellsDeletions: true,
  readsAllAfter: 24,
  settings: (origin) => ({
    platform: 'linkedin',
    account: 'city',
    service: origin,
    token: `\${${TOKEN_VARIABLE}}`,
  }),
  open(_, items, account) {
    // Each source is an organisation of its own.
    const fake = new FakeLinkedin(
      [...account].reduce((sum, sign) => (sum * 31 + (sign.codePointAt(0) as number)) % 1e9, 7) + 1,
    );
    fake.pageSize = 2;
    const shares = new Map<ShownItem, FakeShare>();
    const shareOf = (item: ShownItem): FakeShare => {
      const known = shares.get(item);
      if (known !== undefined) return known;
      const share = fake.add(item.text, item.parent === null ? undefined : shareOf(item.parent));
      shares.set(item, share);
      return share;
    };
    /** What is older has to be met first. */
    const meet = (): void => {
      for (const item of items.filter(({ parent }) => parent === null).reverse()) shareOf(item);
      for (const item of items) shareOf(item);
    };
    return {
      besides: [fake.urn],
      platformId(item) {
        meet();
        return fake.urnOf(shareOf(item));
      },
      asks(url) {
        if (url.pathname === '/rest/posts') return 'list';
        if (url.pathname.endsWith('/comments') && url.searchParams.get('count') !== '1') return 'thread';
        return /^\/rest\/(posts|socialActions)\//.test(url.pathname) ? 'look-up' : 'account';
      },
      answer(url, headers) {
        meet();
        const there = new Set(items);
        for (const [item, share] of shares) {
          share.deleted = !there.has(item);
          share.unlisted = item.unlisted;
          share.text = item.text;
        }
        // The fuzz leaves request headers out.
        return fake.answer(url, { authorization: `Bearer ${fake.token}`, ...headers });
      },
      refusal: linkedinRefusal,
    };
  },
};
