// What is particular to Facebook Pages: the fields of a page, its published posts and their comments, and what of them decides whether they
// changed. Neither counts nor addresses of media do, nor `updated_time`, which every comment moves, nor what is shown of a linked page.

import { z } from 'zod';
import type { Json } from '../../core/canonical.ts';
import { faultOf, rejected } from '../answer.ts';
import type { Exchange, Item, MediaReference } from '../collector.ts';
import { momentOf } from '../feed/item.ts';
import { counted, HIDDEN_TAG, itemWith, mediumOf } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';
import {
  count,
  type Dialect,
  flag,
  graphId as id,
  type Place,
  type Profile,
  type Read,
  sightingOf,
  targetOf,
  text,
} from './dialect.ts';

const PLATFORM = 'facebook';
const POSTS = 'published_posts';

const author = z.looseObject({ id: text, name: text }).nullish().catch(null);

const media = z
  .looseObject({ image: z.looseObject({ src: text }).nullish().catch(null), source: text })
  .nullish()
  .catch(null);
const attachmentFields = {
  type: text,
  media_type: text,
  title: text,
  description: text,
  url: text,
  unshimmed_url: text,
  target: z.looseObject({ id: text, url: text }).nullish().catch(null),
  media,
};
const attachment = z.looseObject({
  ...attachmentFields,
  subattachments: z.looseObject({ data: z.array(z.looseObject(attachmentFields)) }).nullish(),
});
type Attachment = z.infer<typeof attachment>;

const pageView = z.looseObject({
  id,
  name: z.string(),
  username: text,
  about: text,
  description: text,
  website: text,
  phone: text,
  emails: z.array(z.string()).nullish().catch(null),
  link: text,
  category: text,
  fan_count: count,
  followers_count: count,
  picture: z
    .looseObject({ data: z.looseObject({ url: text, cache_key: text }) })
    .nullish()
    .catch(null),
  cover: z.looseObject({ id: text, source: text }).nullish().catch(null),
});

const summary = z
  .looseObject({ summary: z.looseObject({ total_count: count }) })
  .nullish()
  .catch(null);
const postView = z.looseObject({
  id,
  message: text,
  story: text,
  from: author,
  created_time: z.string(),
  updated_time: text,
  backdated_time: text,
  permalink_url: text,
  is_hidden: flag,
  is_published: flag,
  parent_id: text,
  shares: z.looseObject({ count }).nullish().catch(null),
  comments: summary,
  reactions: summary,
  attachments: z.looseObject({ data: z.array(attachment) }).nullish(),
});
const commentView = z.looseObject({
  id,
  message: text,
  from: author,
  created_time: z.string(),
  permalink_url: text,
  is_hidden: flag,
  is_private: flag,
  parent: z.looseObject({ id }).nullish(),
  like_count: count,
  comment_count: count,
  attachment: attachment.nullish(),
});

const ATTACHMENT = 'type,media_type,title,description,url,unshimmed_url,target,media';
const POST = [
  'id,message,story,from,created_time,updated_time,backdated_time,permalink_url,status_type,is_hidden,is_published,parent_id,shares',
  `attachments{${ATTACHMENT},subattachments.limit(100){${ATTACHMENT}}}`,
  'comments.filter(stream).limit(0).summary(total_count)',
  'reactions.limit(0).summary(total_count)',
].join(',');
const COMMENT = `id,message,from,created_time,permalink_url,is_hidden,is_private,parent{id},like_count,comment_count,attachment{${ATTACHMENT}}`;

export const FACEBOOK: Dialect = {
  platform: PLATFORM,
  name: 'Facebook',
  collectorVersion: 'facebook/1',
  comparisonRule: 'facebook-content/1',
  version: 'v25.0',
  profileFields:
    'id,name,username,about,description,website,phone,emails,link,category,fan_count,followers_count,picture.width(2048){url,cache_key},cover{id,source}',
  lists: [{ edge: POSTS, sort: 'post' }],
  fields: { post: POST, story: POST, reply: COMMENT },
  // Without `stream` only what answers the post itself comes; live videos leave out more by default.
  threadParameters: { filter: 'stream', order: 'chronological', live_filter: 'no_filter' },
  countParameters: { filter: 'stream', summary: 'total_count' },
  archivesPosts: false,
  goesOnWithoutNext: false,
  gaps: [
    'Facebook does not tell who hid or deleted a comment, when or why, nor which accounts and words a Page has blocked; what came and went between two readings was never offered.',
    'Facebook does not tell what a post or comment said before it was edited: of several edits between two readings only the last is kept.',
    'The list of a Page’s published posts leaves out its stories and reels, and what visitors posted on the Page.',
  ],
  readProfile,
  read: (sort, part, place) => (sort === 'reply' ? readComment(part, place) : readPost(part, place)),
  sortOf: ({ id: captured }, account) => (captured.startsWith(`${account}_`) ? 'post' : 'reply'),
  homeOf({ id: captured, path }, account) {
    const [, found] = /^([^/]+)\/comments$/.exec(path) ?? [];
    const [first, second] = captured.split('_');
    // A comment's id begins with the post's own number.
    const post = found ?? (second === undefined ? null : `${account}_${first}`);
    return post === null ? null : { lists: [commentsOf(post), `${account}/${POSTS}`], post };
  },
  isHidden: (value) => value.is_published === false,
};

const commentsOf = (post: string): string => `${encodeURIComponent(post)}/comments`;

function readProfile(part: JsonPart, exchange: Exchange): Profile | null {
  const read = pageView.safeParse(part.value);
  if (!read.success) return null;
  const page = read.data;
  const { about, description, website, phone, emails, picture, cover } = page;
  const lines = [about, description, website, phone, ...(emails ?? [])];
  const rest = {
    item: itemWith({
      kind: 'profile',
      url: page.link ?? null,
      author: { id: page.id, handle: page.username ?? null, name: page.name },
      title: page.name,
      text: lines.filter((line) => line).join('\n'),
      links: linksOf((website ?? '').split(/\s+/)),
    }),
    comparison: {
      name: page.name,
      username: page.username ?? null,
      category: page.category ?? null,
      text: lines.map((line) => line ?? null),
      pictures: [picture?.data.cache_key ?? null, cover?.id ?? null],
    },
    observations: counted({ likes: page.fan_count, followers: page.followers_count }),
    media: [
      ...mediumOf('avatar', picture?.data.url, picture?.data.cache_key ?? null),
      ...mediumOf('image', cover?.source, cover?.id ?? null),
    ],
  };
  const sighting = sightingOf(PLATFORM, page.id, part, exchange, rest);
  return sighting === null ? null : { id: page.id, name: page.name, counts: {}, sighting };
}

function readPost(part: JsonPart, { exchange, account }: Place): Read {
  const read = postView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a post: ${faultOf(read.error)}`);
  const post = read.data;
  const attachments = post.attachments?.data ?? [];
  const isBackdated = momentOf(post.backdated_time ?? undefined) !== null;
  const created = momentOf(post.created_time);
  const sighting = sightingOf(PLATFORM, post.id, part, exchange, {
    item: itemWith({
      kind: 'post',
      url: post.permalink_url ?? null,
      author: { id: post.from?.id ?? account, handle: null, name: post.from?.name ?? null },
      createdAt: created,
      createdAtFrom: created === null ? 'unknown' : isBackdated ? 'user' : 'platform',
      title: post.story || null,
      text: post.message ?? '',
      tags: post.is_hidden === true ? [HIDDEN_TAG] : [],
      links: shownLinks(attachments),
      quotes: post.parent_id || null,
    }),
    comparison: comparisonOf(post.message, post.is_hidden, attachments),
    observations: counted({
      comments: post.comments?.summary.total_count,
      reactions: post.reactions?.summary.total_count,
      shares: post.shares?.count,
    }),
    media: attachments.flatMap(mediaOf),
  });
  if (sighting === null) return rejected(part, exchange, 'the post nests too deeply');
  // Where comments are not counted they are asked for all the same.
  const replies = post.comments?.summary.total_count ?? 1;
  const mark = post.updated_time ?? '';
  return {
    sighting,
    listed: { id: post.id, replies, mark, createdAt: created, thread: commentsOf(post.id), until: null },
  };
}

function readComment(part: JsonPart, { exchange, post }: Place): Read {
  const read = commentView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a comment: ${faultOf(read.error)}`);
  const comment = read.data;
  const attachments = comment.attachment ? [comment.attachment] : [];
  const created = momentOf(comment.created_time);
  const sighting = sightingOf(PLATFORM, comment.id, part, exchange, {
    item: itemWith({
      kind: 'reply',
      url: comment.permalink_url ?? null,
      author: { id: comment.from?.id ?? null, handle: null, name: comment.from?.name ?? null },
      createdAt: created,
      createdAtFrom: created === null ? 'unknown' : 'platform',
      text: comment.message ?? '',
      tags: comment.is_hidden === true ? [HIDDEN_TAG] : [],
      links: shownLinks(attachments),
      inReplyTo: comment.parent?.id ?? post,
      threadRoot: post,
    }),
    comparison: comparisonOf(comment.message, comment.is_hidden, attachments),
    observations: counted({ likes: comment.like_count, replies: comment.comment_count }),
    media: attachments.flatMap(mediaOf),
  });
  if (sighting === null) return rejected(part, exchange, 'the comment nests too deeply');
  return {
    sighting,
    listed: { id: comment.id, replies: 0, mark: '', createdAt: created, thread: null, until: null },
  };
}

/** What was written and attached, and whether it is hidden: the account's moderation makes a version, as an edit does. */
function comparisonOf(
  message: string | null | undefined,
  isHidden: boolean | null | undefined,
  attachments: readonly Attachment[],
): Json {
  return {
    text: message ?? '',
    hidden: isHidden === true,
    attachments: attachments.flatMap(flat).map((one): Json => {
      // What was uploaded has an id; a link has where it leads.
      return [one.media_type ?? one.type ?? null, one.target?.id ?? linkOf(one)];
    }),
  };
}

function flat({ subattachments, ...one }: Attachment): Attachment[] {
  const parts = subattachments?.data ?? [];
  return parts.length === 0 ? [one] : parts;
}

/** @returns what an attachment leads to outside the platform, by the address that its author gave */
function linkOf({ unshimmed_url: plain, target, url }: Attachment): string | null {
  for (const address of [plain, target?.url, url]) {
    const found = typeof address === 'string' ? targetOf(address) : null;
    if (found !== null) return found;
  }
  return null;
}

function shownLinks(attachments: readonly Attachment[]): Item['links'] {
  return attachments.flatMap(flat).flatMap((one) => {
    const url = isUpload(one) ? null : linkOf(one);
    return url === null ? [] : [{ url, title: one.title || null, description: one.description || null }];
  });
}

function linksOf(addresses: readonly string[]): Item['links'] {
  const urls = addresses.map(targetOf).filter((url) => url !== null);
  return urls.map((url) => ({ url, title: null, description: null }));
}

const UPLOADS = new Set(['photo', 'video', 'album', 'sticker']);
const isUpload = ({ media_type: kind, type }: Attachment): boolean =>
  UPLOADS.has(kind ?? '') || /^(photo|video|cover_photo|profile_media|sticker)/.test(type ?? '');

function mediaOf(one: Attachment): MediaReference[] {
  return flat(one).flatMap((part) => {
    const known = part.target?.id || null;
    const video = mediumOf('video', part.media?.source, known);
    const isStill = video.length > 0 || part.media_type === 'video' || !isUpload(part);
    const still = known === null ? null : isStill ? `${known}/preview` : known;
    return [...video, ...mediumOf(isStill ? 'preview' : 'image', part.media?.image?.src, still)];
  });
}
