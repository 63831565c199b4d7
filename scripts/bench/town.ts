// A made-up town's posts, as a collector would report them: what the measurements capture. Deterministic in its number.

import { Buffer } from 'node:buffer';
import { sha256Hex } from '../../src/core/digest.ts';
import type { Collector, Exchange, Sighting } from '../../src/sources/collector.ts';

const WORDS =
  'council water street library hearing closed tonight budget snow route permit park meeting road notice repair schedule residents'.split(
    ' ',
  );

/** Text of post `n`: 120 to 400 characters, as posts are. */
function textOf(n: number): string {
  let text = `Notice ${n}:`;
  for (let at = 0; text.length < 120 + ((n * 37) % 280); at += 1)
    text += ` ${WORDS[(n * 7 + at * 13) % WORDS.length]}`;
  return text;
}

export function postOf(n: number): Sighting {
  const did = `did:plc:town${String(n % 50).padStart(20, '0')}`;
  const platformId = `at://${did}/app.bsky.feed.post/${n.toString(36).padStart(13, '2')}`;
  const text = textOf(n);
  const createdAt = new Date(Date.UTC(2026, 0, 1) + n * 60_000).toISOString();
  // About what an AppView answers for one post.
  const slice = Buffer.from(
    JSON.stringify({
      uri: platformId,
      cid: `bafyrei${sha256Hex(platformId).slice(0, 52)}`,
      author: {
        did,
        handle: 'town.example.gov',
        displayName: 'Town of Example',
        avatar: `https://cdn.example/avatar/${did}`,
      },
      record: { $type: 'app.bsky.feed.post', createdAt, langs: ['en'], text },
      replyCount: n % 9,
      repostCount: n % 5,
      likeCount: n % 31,
      indexedAt: createdAt,
      labels: [],
      viewer: {},
      padding: 'x'.repeat((n * 53) % 600),
    }),
  );
  return {
    identity: { platform: 'bluesky', namespace: did, platformId },
    slice,
    sliceOffset: 0,
    sliceType: 'application/json',
    exchange: exchangeOf(Math.floor(n / 100)),
    item: {
      kind: 'post',
      url: `https://bsky.app/profile/${did}/post/${n}`,
      author: { id: did, handle: 'town.example.gov', name: 'Town of Example' },
      createdAt,
      createdAtFrom: 'user',
      title: null,
      text,
      contentWarning: null,
      languages: ['en'],
      tags: [],
      links: [],
      inReplyTo: null,
      threadRoot: null,
      quotes: null,
      reposts: null,
    },
    comparison: { text },
    observations: { likes: n % 31, reposts: n % 5, replies: n % 9 },
    media: [],
  };
}

function exchangeOf(page: number): Exchange {
  return {
    method: 'GET',
    url: `https://public.api.example/xrpc/app.bsky.feed.getAuthorFeed?cursor=${page}`,
    status: 200,
    receivedAt: '2026-11-01T12:00:00.000Z',
    headers: { 'content-type': 'application/json', date: 'Sun, 01 Nov 2026 12:00:00 GMT' },
    bodySha256: sha256Hex(`page ${page}`),
    bodyLength: 120_000,
  };
}

/** Reports `count` posts in pages, from memory: the platform costs nothing, so that what is left is ours. */
export function townCollector(count: number, perPage: number): Collector {
  return {
    platform: 'bluesky',
    collectorVersion: 'bench/1',
    comparisonRule: 'bench/1',
    async check() {
      return { account: 'town', findings: [] };
    },
    async *collect() {
      for (let from = 0; from < count; from += perPage) {
        const sightings = Array.from({ length: Math.min(perPage, count - from) }, (_, at) =>
          postOf(from + at),
        );
        yield {
          type: 'page',
          exchange: exchangeOf(from / perPage),
          sightings,
          rejected: [],
        };
      }
      yield { type: 'end', coverage: 'recent', state: null };
    },
    async *lookUp() {},
    async fetchMedia() {
      throw new Error('these posts have no media');
    },
    async [Symbol.asyncDispose]() {},
  };
}
