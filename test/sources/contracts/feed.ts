// An RSS feed as its collector meets it, for the contract suite and the fuzz: one answer that holds everything, with a validator.

import { createHash } from 'node:crypto';
import type { CollectorContract } from '../../support/collector-stage.ts';
import type { Answered } from '../../support/replay.ts';

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

export const feed: CollectorContract = {
  pageSize: null,
  threadDepth: null,
  tellsDeletions: false,
  readsAllAfter: 0,
  settings: (origin) => ({ platform: 'feed', url: `${origin}/news.rss` }),
  open: (_, items) => ({
    platformId: (item) => item.key,
    asks: () => 'list',
    answer(_, headers): Answered {
      const shown = items.filter((item) => !item.unlisted);
      const cut = shown.map(
        ({ key, text }) =>
          `<item><guid isPermaLink="false">${key}</guid><title>${key}</title><description>${escaped(text)}</description><pubDate>Sun, 01 Nov 2026 12:00:00 GMT</pubDate></item>`,
      );
      const body = Buffer.from(
        `<?xml version="1.0"?>\n<rss version="2.0"><channel><title>City of Example</title><link>https://example.gov/</link><description>News</description>${cut.join('\n')}</channel></rss>\n`,
      );
      const etag = `"${createHash('sha256').update(body).digest('hex')}"`;
      if (headers['if-none-match'] === etag) return { status: 304, headers: { etag }, body: Buffer.alloc(0) };
      return { status: 200, headers: { 'content-type': 'application/rss+xml; charset=utf-8', etag }, body };
    },
    refusal: (status) => ({
      status,
      headers: { 'content-type': 'text/plain' },
      body: Buffer.from('not now'),
    }),
  }),
};
