// Mastodon as its collector meets it, for the contract suite and the fuzz: pages by Link, threads cut at twenty levels, edits with their history.

import type { CollectorContract, ShownItem } from '../../support/collector-stage.ts';
import { FakeMastodon, type FakeStatus } from '../../support/mastodon.ts';
import { jsonAnswer } from '../../support/replay.ts';

const ERRORS: Readonly<Record<number, string>> = {
  401: 'The access token is invalid',
  403: 'This action is not allowed',
  429: 'Too many requests',
  500: 'Internal Server Error',
};
const FIRST_EDIT = Temporal.Instant.from('2026-10-02T10:00:00Z');

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

export const mastodon: CollectorContract = {
  pageSize: 2,
  threadDepth: 50,
  tellsDeletions: true,
  readsAllAfter: 24,
  settings: (origin) => ({ platform: 'mastodon', account: '@city@city.example', service: origin }),
  open(origin, items, account) {
    const fake = FakeMastodon.at(origin);
    fake.pageSize = 2;
    fake.home = `https://${account}.example`;
    const statuses = new Map<ShownItem, { readonly status: FakeStatus; text: string }>();
    let edits = 0;
    const statusOf = (item: ShownItem): FakeStatus => {
      const known = statuses.get(item);
      if (known !== undefined) return known.status;
      const rest = item.parent === null ? {} : { by: fake.ann, parent: statusOf(item.parent) };
      const status = fake.post(escaped(item.text), rest);
      statuses.set(item, { status, text: item.text });
      return status;
    };
    /** Ids grow with time: what is older has to be met first. */
    const meet = (): void => {
      for (const item of items.filter(({ parent }) => parent === null).reverse()) statusOf(item);
      for (const item of items) statusOf(item);
    };
    return {
      besides: [`${fake.home}/users/${fake.city.acct}`],
      platformId(item) {
        meet();
        return fake.uri(statusOf(item));
      },
      asks(url) {
        if (/\/accounts\/[^/]+\/statuses$/.test(url.pathname)) return 'list';
        if (url.pathname.endsWith('/context')) return 'thread';
        return /\/statuses\/[^/]+$|\/accounts\/\d+$/.test(url.pathname) ? 'look-up' : 'account';
      },
      answer(url, headers) {
        meet();
        const there = new Set(items);
        for (const [item, known] of statuses) {
          known.status.deleted = !there.has(item);
          known.status.unlisted = item.unlisted;
          if (known.text === item.text) continue;
          known.text = item.text;
          edits += 1;
          fake.edit(known.status, escaped(item.text), FIRST_EDIT.add({ seconds: edits }).toString());
        }
        return fake.answer(url, headers);
      },
      refusal: (status) => jsonAnswer({ error: ERRORS[status] }, status),
    };
  },
};
