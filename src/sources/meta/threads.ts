// What is particular to Threads: posts, reposts, the account's replies elsewhere, and the conversation below each post. It names authors by
// their handles only and counts nothing, so what stands below a post is read when the post is young, and daily.

import { z } from 'zod';
import type { Json } from '../../core/canonical.ts';
import { faultOf, rejected } from '../answer.ts';
import type { Exchange, Item } from '../collector.ts';
import { momentOf } from '../feed/item.ts';
import { HIDDEN_TAG, itemWith, mediumOf } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';
import {
  childrenOf,
  comparedMedia,
  type Dialect,
  flag,
  graphId as id,
  MEDIUM_FIELDS,
  type Medium,
  mediaOf,
  mediumFields,
  nameOf,
  type Place,
  type Profile,
  type Read,
  type Sort,
  sightingOf,
  targetOf,
  text,
} from './dialect.ts';

const PLATFORM = 'threads';

const other = z.looseObject({ id }).nullish();

const accountView = z.looseObject({
  id,
  username: z.string(),
  name: text,
  threads_biography: text,
  threads_profile_picture_url: text,
});

const postView = z.looseObject({
  ...mediumFields,
  text,
  username: text,
  permalink: text,
  timestamp: z.string(),
  children: childrenOf,
  has_replies: flag,
  is_reply: flag,
  root_post: other,
  replied_to: other,
  hide_status: text,
  reply_audience: text,
  quoted_post: other,
  reposted_post: other,
  gif_url: text,
  link_attachment_url: text,
  topic_tag: text,
  text_attachment: z.looseObject({ plaintext: text, link_attachment_url: text }).nullish().catch(null),
  poll_attachment: z
    .looseObject({ option_a: text, option_b: text, option_c: text, option_d: text })
    .nullish()
    .catch(null),
});
type Post = z.infer<typeof postView>;

const BOTH = `id,media_product_type,media_type,media_url,permalink,username,text,timestamp,shortcode,thumbnail_url,children{${MEDIUM_FIELDS}},is_quote_post,has_replies,is_reply,root_post,replied_to,reply_audience,quoted_post,gif_url,poll_attachment,topic_tag`;
const POST = `${BOTH},owner,alt_text,link_attachment_url,reposted_post,text_attachment`;
const REPLY = `${BOTH},is_reply_owned_by_me,hide_status`;

export const THREADS: Dialect = {
  platform: PLATFORM,
  name: 'Threads',
  collectorVersion: 'threads/1',
  comparisonRule: 'threads-content/1',
  version: 'v1.0',
  profileFields: 'id,username,name,threads_profile_picture_url,threads_biography',
  lists: [
    { edge: 'threads', sort: 'post' },
    { edge: 'replies', sort: 'reply' },
  ],
  fields: { post: POST, story: POST, reply: REPLY },
  threadParameters: { reverse: 'false' },
  // The published examples of answers have cursors only.
  countParameters: null,
  archivesPosts: false,
  goesOnWithoutNext: true,
  gaps: [
    'Threads does not tell who hid a reply, when or why, nor which accounts and words are blocked; what came and went between two readings was never offered.',
    'Threads does not tell what a post or reply said before it was edited: of several edits between two readings only the last is kept.',
    'Threads counts no replies, so none can be said to be missing; replies by private profiles, and what others wrote around the account’s replies to them, are not shown.',
  ],
  readProfile,
  read: readPost,
  sortOf: ({ value }) => (value.is_reply === true ? 'reply' : 'post'),
  homeOf({ path, value }, account) {
    const [, found] = /^([^/]+)\/conversation$/.exec(path) ?? [];
    const root = other.safeParse(value.root_post).data?.id ?? null;
    // Where it was asked for by itself: what others wrote is below the account's posts, what it wrote itself is listed as well.
    const post = found ?? (value.is_reply_owned_by_me === true || path.includes('/') ? null : root);
    return {
      lists: post === null ? [`${account}/replies`] : [conversationOf(post), `${account}/threads`],
      post,
    };
  },
  isHidden: () => false,
};

const conversationOf = (post: string): string => `${encodeURIComponent(post)}/conversation`;

function readProfile(part: JsonPart, exchange: Exchange): Profile | null {
  const read = accountView.safeParse(part.value);
  if (!read.success) return null;
  const account = read.data;
  const { threads_profile_picture_url: picture, threads_biography: biography } = account;
  const name = account.name || account.username;
  const sighting = sightingOf(PLATFORM, account.id, part, exchange, {
    item: itemWith({
      kind: 'profile',
      url: `https://www.threads.com/@${account.username}`,
      author: { id: account.id, handle: account.username, name },
      title: name,
      text: biography ?? '',
    }),
    comparison: { handle: account.username, name, text: biography ?? '', picture: nameOf(picture) },
    observations: {},
    media: mediumOf('avatar', picture, nameOf(picture)),
  });
  return sighting === null ? null : { id: account.id, name, counts: {}, sighting };
}

function readPost(sort: Sort, part: JsonPart, { exchange, account, list }: Place): Read {
  const read = postView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a post: ${faultOf(read.error)}`);
  const post = read.data;
  const created = momentOf(post.timestamp);
  const isHidden = !['NOT_HUSHED', 'UNHUSHED'].includes(statusOf(post));
  const attached = [post.link_attachment_url, post.text_attachment?.link_attachment_url].flatMap(
    (address) => targetOf(address ?? '') ?? [],
  );
  const isOwn = sort === 'post' || list === `${account}/replies`;
  const sighting = sightingOf(PLATFORM, post.id, part, exchange, {
    item: itemWith({
      kind: post.reposted_post ? 'repost' : sort === 'reply' ? 'reply' : 'post',
      url: post.permalink ?? null,
      author: { id: isOwn ? account : null, handle: post.username ?? null, name: null },
      createdAt: created,
      createdAtFrom: created === null ? 'unknown' : 'platform',
      text: textOf(post),
      tags: [...(post.topic_tag ? [post.topic_tag] : []), ...(isHidden ? [HIDDEN_TAG] : [])],
      links: attached.map((url): Item['links'][number] => ({ url, title: null, description: null })),
      inReplyTo: post.replied_to?.id ?? null,
      threadRoot: post.root_post?.id ?? null,
      quotes: post.quoted_post?.id ?? null,
      reposts: post.reposted_post?.id ?? null,
    }),
    comparison: comparisonOf(post, attached),
    observations: {},
    media: [...mediaOf(partsOf(post)), ...mediumOf('image', post.gif_url, nameOf(post.gif_url))],
  });
  if (sighting === null) return rejected(part, exchange, 'the post nests too deeply');
  // A conversation has every depth already; what is below the account's replies to others comes level by level.
  const thread =
    sort === 'post'
      ? conversationOf(post.id)
      : list?.endsWith('/replies')
        ? `${encodeURIComponent(post.id)}/replies`
        : null;
  const replies = post.has_replies === true ? 1 : 0;
  return { sighting, listed: { id: post.id, replies, mark: '', createdAt: created, thread, until: null } };
}

const statusOf = ({ hide_status: status }: Post): string => status ?? 'NOT_HUSHED';

function choicesOf({ poll_attachment: poll }: Post): string[] {
  return [poll?.option_a, poll?.option_b, poll?.option_c, poll?.option_d].flatMap((one) => one || []);
}

/** @returns the text, the long text that is attached to it, and the answers of a poll, one a line */
function textOf(post: Post): string {
  const choices = choicesOf(post).map((one) => `• ${one}`);
  return [post.text, post.text_attachment?.plaintext, choices.join('\n')].filter((one) => one).join('\n\n');
}

/** What was written and attached, who may reply, and what became of a reply: *unhushed* tells that it had been hidden. */
function comparisonOf(post: Post, attached: readonly string[]): Json {
  return {
    text: textOf(post),
    links: [...attached],
    status: statusOf(post),
    audience: post.reply_audience ?? null,
    topic: post.topic_tag ?? null,
    quotes: post.quoted_post?.id ?? null,
    reposts: post.reposted_post?.id ?? null,
    media: comparedMedia(partsOf(post)),
    gif: nameOf(post.gif_url),
  };
}

function partsOf(post: Post): readonly Medium[] {
  const children = post.children?.data ?? [];
  return children.length > 0 ? children : post.media_url ? [post] : [];
}
