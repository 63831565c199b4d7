// Reddit as its collector meets it, for the contract suite and the fuzz: trees cut at a depth and a number, the rest named, traces of what was deleted.

import { type CollectorContract, type ShownItem, TOKEN_VARIABLE } from '../../support/collector-stage.ts';
import { FakeReddit, type FakeThing, redditRefusal } from '../../support/reddit.ts';

const ACCOUNT = 'CityOfExample';

export const reddit: CollectorContract = {
  pageSize: 2,
  threadDepth: 8,
  tellsDeletions: true,
  readsAllAfter: 24,
  settings: (origin) => ({
    platform: 'reddit',
    account: `u/${ACCOUNT}`,
    service: origin,
    login: origin,
    token: `\${${TOKEN_VARIABLE}}`,
  }),
  open(_, items, account) {
    // Each source is an account of its own.
    const prefix = [...account].reduce((sum, sign) => (sum * 31 + (sign.codePointAt(0) as number)) % 1e9, 7);
    const fake = new FakeReddit(ACCOUNT, prefix.toString(36));
    fake.pageSize = 2;
    const things = new Map<ShownItem, FakeThing>();
    const thingOf = (item: ShownItem): FakeThing => {
      const known = things.get(item);
      if (known !== undefined) return known;
      const thing = fake.add(
        item.text,
        item.parent === null ? {} : { parent: thingOf(item.parent), by: 'Ann' },
      );
      things.set(item, thing);
      return thing;
    };
    /** What is older has to be met first. */
    const meet = (): void => {
      for (const item of items.filter(({ parent }) => parent === null).reverse()) thingOf(item);
      for (const item of items) thingOf(item);
    };
    return {
      besides: [`t2_${fake.prefix}`],
      platformId(item) {
        meet();
        return fake.nameOf(thingOf(item));
      },
      asks(url) {
        if (url.pathname.endsWith('/submitted')) return 'list';
        if (url.pathname === '/api/info')
          return url.searchParams.get('id')?.startsWith('t3_') ? 'look-up' : 'thread';
        return /^\/comments|morechildren$/.test(url.pathname) ? 'thread' : 'account';
      },
      answer(url, headers) {
        meet();
        const there = new Set(items);
        for (const [item, thing] of things) {
          if (there.has(item)) delete thing.gone;
          else thing.gone = 'by its author';
          thing.unlisted = item.unlisted;
          if (thing.text !== item.text) fake.edit(thing, item.text);
        }
        // The fuzz leaves request headers out.
        return fake.answer(url, { authorization: `Bearer ${fake.token}`, ...headers });
      },
      refusal: redditRefusal,
    };
  },
};
