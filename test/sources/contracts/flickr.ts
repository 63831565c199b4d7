// Flickr as its collector meets it, for the contract suite and the fuzz: numbered pages of photos, all comments of one in one answer.

import { type CollectorContract, type ShownItem, TOKEN_VARIABLE } from '../../support/collector-stage.ts';
import { FakeFlickr, type FakePhoto, flickrRefusal } from '../../support/flickr.ts';

export const flickr: CollectorContract = {
  pageSize: 2,
  threadDepth: 1,
  threadIsOneAnswer: true,
  tellsDeletions: true,
  deletedItemsAre: 'access-lost',
  readsAllAfter: 24,
  settings: (origin) => ({
    platform: 'flickr',
    account: 'city',
    service: origin,
    key: `\${${TOKEN_VARIABLE}}`,
  }),
  open(_, items, account) {
    // Each source is an account of its own.
    const fake = new FakeFlickr(
      [...account].reduce((sum, sign) => (sum * 31 + (sign.codePointAt(0) as number)) % 1e9, 7) + 1,
    );
    fake.pageSize = 2;
    const photos = new Map<ShownItem, FakePhoto>();
    const photoOf = (item: ShownItem): FakePhoto => {
      const known = photos.get(item);
      if (known !== undefined) return known;
      const photo = fake.add(item.text, item.parent === null ? undefined : photoOf(rootOf(item)));
      photos.set(item, photo);
      return photo;
    };
    /** What is older has to be met first. */
    const meet = (): void => {
      for (const item of items.filter(({ parent }) => parent === null).reverse()) photoOf(item);
      for (const item of items) photoOf(item);
    };
    return {
      besides: [fake.id],
      platformId(item) {
        meet();
        return fake.idOf(photoOf(item));
      },
      asks(url) {
        const method = url.searchParams.get('method') ?? '';
        if (method.endsWith('getPublicPhotos')) return 'list';
        if (method.endsWith('comments.getList')) return 'thread';
        return /photos\.(getInfo|search)$/.test(method) ? 'look-up' : 'account';
      },
      answer(url) {
        meet();
        const there = new Set(items);
        for (const [item, photo] of photos) {
          photo.deleted = !there.has(item);
          photo.unlisted = item.unlisted;
          photo.text = item.text;
        }
        return fake.answer(url);
      },
      refusal: flickrRefusal,
    };
  },
};

/** Who answers a comment stands below the same photo. */
function rootOf(item: ShownItem): ShownItem {
  return item.parent === null ? item : rootOf(item.parent);
}
