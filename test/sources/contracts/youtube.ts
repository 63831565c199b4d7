// YouTube as its collector meets it, for the contract suite and the fuzz: a list of ids, videos asked for by them, threads that show no reply.

import { type CollectorContract, type ShownItem, TOKEN_VARIABLE } from '../../support/collector-stage.ts';
import { jsonAnswer } from '../../support/replay.ts';
import { type FakeComment, type FakeVideo, FakeYoutube, refusal } from '../../support/youtube.ts';

export const youtube: CollectorContract = {
  pageSize: 2,
  threadDepth: 2,
  tellsDeletions: true,
  readsAllAfter: 24,
  settings: (origin) => ({
    platform: 'youtube',
    account: '@city',
    service: origin,
    key: `\${${TOKEN_VARIABLE}}`,
    unitsPerDay: 1_000_000,
  }),
  open(origin, items, account) {
    const fake = FakeYoutube.at(origin);
    fake.account = account;
    fake.pageSize = 2;
    fake.inline = 0;
    fake.repliesOnPage = 2;
    const videos = new Map<ShownItem, FakeVideo>();
    const comments = new Map<ShownItem, FakeComment>();
    const videoOf = (item: ShownItem): FakeVideo => {
      if (item.parent !== null) return videoOf(item.parent);
      const known = videos.get(item) ?? fake.publish(item.key);
      videos.set(item, known);
      return known;
    };
    const commentOf = (item: ShownItem): FakeComment | null => {
      if (item.parent === null) return null;
      const known = comments.get(item) ?? fake.comment(item.text, videoOf(item), commentOf(item.parent));
      comments.set(item, known);
      return known;
    };
    /** What is older has to be met first. */
    const meet = (): void => {
      for (const item of items.filter(({ parent }) => parent === null).reverse()) videoOf(item);
      for (const item of items) commentOf(item);
    };
    return {
      besides: [fake.channel],
      platformId(item) {
        meet();
        return (commentOf(item) ?? videoOf(item)).id;
      },
      asks(url) {
        const by = url.searchParams;
        if (url.pathname.endsWith('/playlistItems')) return 'list';
        if (by.has('id') || by.get('part') === 'id')
          return by.get('id')?.includes(',') ? 'account' : 'look-up';
        return by.has('videoId') || by.has('parentId') ? 'thread' : 'account';
      },
      answer(url, headers) {
        meet();
        const there = new Set(items);
        for (const [item, video] of videos) {
          video.deleted = !there.has(item);
          video.unlisted = item.unlisted;
          video.description = item.text;
        }
        for (const [item, comment] of comments) {
          comment.deleted = !there.has(item);
          if (comment.text !== item.text) fake.edit(comment, item.text);
        }
        return fake.answer(url, headers);
      },
      refusal(status) {
        if (status === 401) return refusal('authError');
        if (status === 403) return refusal('forbidden');
        return jsonAnswer({ error: { code: status, message: 'not now', errors: [] } }, status);
      },
    };
  },
};
