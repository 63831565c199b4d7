// One item of a feed in the archive's own words, from RSS 2.0, Atom 1.0 or JSON Feed as the kept parser reads them.

import { parseAtomFeed, parseJsonFeed, parseRssFeed } from 'feedsmith';
import type { Json } from '../../core/canonical.ts';
import { sha256Hex } from '../../core/digest.ts';
import type { Item, MediaReference } from '../collector.ts';
import { plainText } from './plain-text.ts';

export interface FeedItem {
  /** guid or id; else the link; else `sha256:` of title and date; else of what is written: an item without a name keeps its identity. */
  readonly id: string;
  readonly item: Item;
  /** What the author wrote, under `feed-content/2`. */
  readonly comparison: Json;
  /** The same under `feed-content/1`. */
  readonly formerComparison: Json;
  readonly media: readonly MediaReference[];
}

interface Parts {
  readonly id: string | undefined;
  readonly link: string | undefined;
  readonly title: string | undefined;
  /** Text or HTML as the feed gives it. */
  readonly content: string | undefined;
  readonly contentIsHtml: boolean;
  readonly author: string | undefined;
  readonly date: string | undefined;
  readonly language: string | undefined;
  readonly tags: readonly (string | undefined)[];
  readonly links: readonly (string | undefined)[];
  readonly enclosures: readonly {
    readonly url?: string | undefined;
    readonly type?: string | undefined;
    readonly title?: string | undefined;
  }[];
  /**
   * Everything that the author controls, by the feed's own names. Left out is what changes though nobody edits: counters and addresses of
   * comments (slash, thr, wfw, rel=replies), views and ratings, addresses of thumbnails and players (signed anew for each answer), an
   * author's picture, and the date of the last change, which many servers set whenever they answer (in Atom it counts where no other is given).
   * Addresses stand whole and as written: which of their parameters only track a reader, their server alone knows. Members are named one
   * by one, so that a parser that learns to read more makes no false edits.
   */
  readonly written: Readonly<Record<string, unknown>>;
}

/** @param document a whole RSS document with one item. @returns null when the parser finds none in it */
export function readRssItem(document: string, base: string): FeedItem | null {
  const item = parseRssFeed(document).items?.[0];
  if (item === undefined) return null;
  const person = item.authors?.[0];
  const permalink =
    item.guid?.isPermaLink !== false && URL.canParse(item.guid?.value ?? '') ? item.guid?.value : undefined;
  return feedItem(
    {
      id: item.guid?.value,
      link: item.link ?? permalink,
      title: item.title,
      content: item.content?.encoded ?? item.description,
      contentIsHtml: true,
      author: person?.name ?? person?.email ?? item.dc?.creators?.[0],
      date: item.pubDate ?? item.dc?.dates?.[0],
      language: item.dc?.languages?.[0],
      tags: item.categories?.map((category) => category.name) ?? [],
      links: [],
      enclosures: item.enclosures ?? [],
      written: {
        title: item.title,
        link: item.link,
        permalink,
        description: item.description,
        encoded: item.content?.encoded,
        authors: item.authors,
        published: item.pubDate ?? item.dc?.dates,
        categories: item.categories,
        enclosures: item.enclosures,
        source: item.source,
        creators: item.dc?.creators,
        contributors: item.dc?.contributors,
        subjects: item.dc?.subjects,
        dcDescriptions: item.dc?.descriptions,
        languages: item.dc?.languages,
        rights: item.dc?.rights,
        itunes: [item.itunes?.title, item.itunes?.subtitle, item.itunes?.summary],
        media: mediaTexts(item.media),
      },
    },
    base,
  );
}

/** @param document a whole Atom document with one entry. @returns null when the parser finds none in it */
export function readAtomEntry(document: string, base: string): FeedItem | null {
  const entry = parseAtomFeed(document).entries?.[0];
  if (entry === undefined) return null;
  const links = entry.links ?? [];
  const content = entry.content?.value === undefined ? entry.summary : entry.content;
  const person = entry.authors?.[0];
  return feedItem(
    {
      id: entry.id,
      link: links.find((link) => link.rel === undefined || link.rel === 'alternate')?.href,
      title:
        entry.title?.type === 'html' || entry.title?.type === 'xhtml'
          ? plainText(entry.title.value)
          : entry.title?.value,
      content: content?.value,
      // RFC 4287 section 3.1.1: without a type it is plain text.
      contentIsHtml: /html/i.test(content?.type ?? 'text'),
      author: person?.name ?? person?.email,
      date: entry.published ?? entry.updated,
      language: entry.xml?.lang,
      tags: entry.categories?.map((category) => category.label ?? category.term) ?? [],
      links: [
        ...links.filter((link) => link.rel === 'related' || link.rel === 'via').map((link) => link.href),
        entry.content?.src,
      ],
      enclosures: links
        .filter((link) => link.rel === 'enclosure')
        .map((link) => ({ url: link.href, type: link.type, title: link.title })),
      written: {
        title: [entry.title?.type, entry.title?.value],
        summary: [entry.summary?.type, entry.summary?.value],
        content: [entry.content?.type, entry.content?.value, entry.content?.src],
        authors: entry.authors?.map(({ name, uri, email }) => [name, uri, email]),
        contributors: entry.contributors?.map(({ name, uri, email }) => [name, uri, email]),
        published: entry.published ?? entry.updated,
        categories: entry.categories,
        links: links
          .filter((link) => !SERVERS_LINKS.has(link.rel ?? 'alternate'))
          .map(({ href, rel, type, hreflang, title, length }) => [href, rel, type, hreflang, title, length]),
        rights: entry.rights?.value,
        source: [entry.source?.id, entry.source?.title?.value],
        language: entry.xml?.lang,
        media: mediaTexts(entry.media),
      },
    },
    base,
  );
}

/** Links that the server adds for programs; those of replies carry counters. */
const SERVERS_LINKS = new Set([
  'self',
  'edit',
  'edit-media',
  'replies',
  'hub',
  'service.post',
  'service.edit',
]);

/** In some feeds the only place of a video's description, or of what a picture shows. */
function mediaTexts(media: MediaTexts | undefined): unknown {
  return [media, ...(media?.contents ?? []), media?.group, ...(media?.group?.contents ?? [])].map((one) => [
    one?.title?.value,
    one?.description?.value,
    one?.keywords,
  ]);
}

interface MediaText {
  readonly title?: { readonly value?: string | undefined } | undefined;
  readonly description?: { readonly value?: string | undefined } | undefined;
  readonly keywords?: readonly string[] | undefined;
}

interface MediaTexts extends MediaText {
  readonly contents?: readonly MediaText[] | undefined;
  readonly group?: (MediaText & { readonly contents?: readonly MediaText[] | undefined }) | undefined;
}

/** @param value one element of a JSON Feed's `items`. @returns null when the parser finds no item in it */
export function readJsonItem(value: unknown, base: string): FeedItem | null {
  const item = parseJsonFeed({ version: 'https://jsonfeed.org/version/1.1', title: '', items: [value] })
    .items?.[0];
  if (item === undefined) return null;
  const picture = item.image === undefined ? [] : [{ url: item.image, type: undefined }];
  return feedItem(
    {
      id: item.id,
      link: item.url,
      title: item.title,
      content: item.content_text ?? item.content_html ?? item.summary,
      contentIsHtml: item.content_text === undefined && item.content_html !== undefined,
      author: item.authors?.[0]?.name ?? item.authors?.[0]?.url,
      date: item.date_published,
      language: item.language,
      tags: item.tags ?? [],
      links: [item.external_url],
      enclosures: [
        ...picture,
        ...(item.attachments ?? []).map((one) => ({ url: one.url, type: one.mime_type, title: one.title })),
      ],
      written: {
        title: item.title,
        url: item.url,
        externalUrl: item.external_url,
        text: item.content_text,
        html: item.content_html,
        summary: item.summary,
        image: item.image,
        bannerImage: item.banner_image,
        published: item.date_published,
        authors: item.authors?.map(({ name, url }) => [name, url]),
        tags: item.tags,
        language: item.language,
        attachments: item.attachments,
      },
    },
    base,
  );
}

function feedItem(parts: Parts, base: string): FeedItem | null {
  const link = webAddress(parts.link, base);
  const id = (parts.id || link || nameless(parts))?.toWellFormed();
  if (id === undefined) return null;
  const createdAt = momentOf(parts.date);
  const media = parts.enclosures.flatMap(({ url, type, title }): MediaReference[] => {
    const address = webAddress(url, base);
    if (address === null) return [];
    return [
      { role: roleOf(type), url: address, alt: title || null, mediaType: type || null, contentId: null },
    ];
  });
  const content = parts.content ?? '';
  const item: Item = {
    kind: 'post',
    url: link,
    author: { id: null, handle: null, name: parts.author || null },
    createdAt,
    createdAtFrom: createdAt === null ? 'unknown' : 'user',
    title: parts.title || null,
    text: parts.contentIsHtml ? plainText(content) : content,
    contentWarning: null,
    languages: given([parts.language]),
    tags: [...new Set(given(parts.tags))],
    links: given(parts.links.map((one) => webAddress(one, base))).map((url) => ({
      url,
      title: null,
      description: null,
    })),
    inReplyTo: null,
    threadRoot: null,
    quotes: null,
    reposts: null,
  };
  const formerComparison: Json = {
    title: parts.title ?? null,
    link,
    content,
    enclosures: media.map((one) => one.url),
    author: parts.author ?? null,
    published: parts.date ?? null,
  };
  // By way of JSON text: members that the feed does not have are left out.
  const comparison = JSON.parse(JSON.stringify(parts.written)) as Json;
  return { id, item, comparison, formerComparison, media };
}

function given(values: readonly (string | null | undefined)[]): string[] {
  return values.filter((value): value is string => value !== undefined && value !== null && value !== '');
}

/** @returns null when nothing is written in it */
function nameless({ title, date, content, enclosures }: Parts): string | null {
  if (title || date) return `sha256:${sha256Hex(`${title ?? ''}\n${date ?? ''}`)}`;
  const written = given([content, ...enclosures.map((one) => one.url)]);
  return written.length === 0 ? null : `sha256:${sha256Hex(JSON.stringify(written))}`;
}

/** @returns an absolute http(s) address, or null */
function webAddress(text: string | null | undefined, base: string): string | null {
  if (!text || !URL.canParse(text, base)) return null;
  const url = new URL(text, base);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
}

/** RFC 5322 dates with an offset or one of the zones that RFC 822 names; Date.parse would read others in this machine's zone. */
const MAIL_DATE =
  /\b\d{1,2}\s+[A-Za-z]{3}[a-z]*\.?\s+\d{2,4}\s+\d{1,2}:\d{2}(:\d{2})?\s*(GMT|UTC?|Z|[ECMP][SD]T|[+-]\d{2}:?\d{2})\s*$/;

/** @returns the moment in RFC 3339 (UTC unless it was RFC 3339 already), or null when the text names none for certain */
export function momentOf(text: string | undefined): string | null {
  if (text === undefined) return null;
  const trimmed = text.trim();
  if (MAIL_DATE.test(trimmed)) {
    const at = Date.parse(trimmed.replace(/\bUT$/, 'UTC'));
    return Number.isNaN(at) ? null : Temporal.Instant.fromEpochMilliseconds(at).toString();
  }
  try {
    Temporal.Instant.from(trimmed);
    return trimmed;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function roleOf(mediaType: string | undefined): MediaReference['role'] {
  const [kind] = (mediaType ?? 'image').split('/');
  return kind === 'image' || kind === 'video' || kind === 'audio' ? kind : 'document';
}
