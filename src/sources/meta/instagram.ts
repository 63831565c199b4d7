// What is particular to Instagram: posts, carousels, reels and videos, stories while they are shown, and comments, whose answers are a list of
// their own below each. A comment is asked for with the ids of its answers only, so that its bytes hold nobody else's words.

import { z } from 'zod';
import { instantText } from '../../core/clock.ts';
import { faultOf, rejected } from '../answer.ts';
import type { Exchange } from '../collector.ts';
import { momentOf } from '../feed/item.ts';
import { counted, HIDDEN_TAG, itemWith, mediumOf } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';
import {
  childrenOf,
  comparedMedia,
  count,
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

const PLATFORM = 'instagram';
/** A story is shown for 24 hours. In the last of them its absence says nothing: nobody promises the minute. */
const STORY_SHOWN = Temporal.Duration.from({ hours: 23 });

const accountView = z.looseObject({
  id,
  username: z.string(),
  name: text,
  biography: text,
  website: text,
  profile_picture_url: text,
  followers_count: count,
  follows_count: count,
  media_count: count,
});

const mediaView = z.looseObject({
  ...mediumFields,
  media_product_type: text,
  caption: text,
  username: text,
  owner: z.looseObject({ id: text }).nullish().catch(null),
  permalink: text,
  timestamp: z.string(),
  children: childrenOf,
  is_comment_enabled: flag,
  like_count: count,
  comments_count: count,
});
type Post = z.infer<typeof mediaView>;

const commentView = z.looseObject({
  id,
  text,
  timestamp: z.string(),
  username: text,
  from: z.looseObject({ id: text, username: text }).nullish().catch(null),
  hidden: flag,
  like_count: count,
  parent_id: id.nullish(),
  media: z.looseObject({ id, media_product_type: text }).nullish(),
  replies: z.unknown().optional(),
});
const noReplies = z.looseObject({ data: z.tuple([]), paging: z.undefined().optional() }).nullish();

const MEDIA = `${MEDIUM_FIELDS},media_product_type,caption,username,owner,permalink,timestamp,children{${MEDIUM_FIELDS}},is_comment_enabled,like_count,comments_count`;
const COMMENT =
  'id,text,timestamp,username,from,hidden,like_count,parent_id,media{id,media_product_type},replies{id}';

export const INSTAGRAM: Dialect = {
  platform: PLATFORM,
  name: 'Instagram',
  collectorVersion: 'instagram/1',
  comparisonRule: 'instagram-content/1',
  version: 'v25.0',
  profileFields:
    'id,username,name,biography,website,profile_picture_url,followers_count,follows_count,media_count',
  lists: [
    { edge: 'media', sort: 'post' },
    { edge: 'stories', sort: 'story' },
  ],
  fields: { post: MEDIA, story: MEDIA, reply: COMMENT },
  // More comments than these are not given at once.
  threadParameters: { limit: '50' },
  countParameters: null,
  archivesPosts: true,
  goesOnWithoutNext: false,
  gaps: [
    'Instagram does not tell who hid or deleted a comment, when or why, nor which accounts and words are blocked; comments of restricted accounts that nobody has approved, and what came and went between two readings, were never offered.',
    'Instagram shows a post that the account archived as little as a deleted one: both, and what stood below them, are kept as access lost.',
    'Instagram does not tell what a caption or comment said before it was edited: of several edits between two readings only the last is kept.',
    'Instagram lists the newest 10,000 posts, without live videos, stories that were shared on, comments on advertisements and on posts with an age limit, and what the account wrote below others’ posts; files in which it found others’ works are withheld.',
  ],
  readProfile,
  read: (sort, part, place) => (sort === 'reply' ? readComment(part, place) : readMedia(sort, part, place)),
  sortOf: ({ value, path }) =>
    value.media_type === undefined
      ? 'reply'
      : isStory(value.media_product_type) || path.endsWith('/stories')
        ? 'story'
        : 'post',
  homeOf({ path, part }, account) {
    const read = commentView.safeParse(part.value).data;
    const above = parentIn(path) ?? read?.parent_id ?? null;
    const post = postIn(path) ?? read?.media?.id ?? null;
    const lists = [
      ...(above === null ? [] : [repliesTo(above)]),
      ...(post === null ? [] : [commentsOn(post), `${account}/media`]),
    ];
    return lists.length === 0 ? null : { lists, post };
  },
  isHidden: () => false,
};

const isStory = (product: unknown): boolean => product === 'STORY';
const commentsOn = (post: string): string => `${encodeURIComponent(post)}/comments`;
const repliesTo = (comment: string): string => `${encodeURIComponent(comment)}/replies`;
const postIn = (path: string): string | null => /^([^/]+)\/comments$/.exec(path)?.[1] ?? null;
const parentIn = (path: string | null): string | null => /^([^/]+)\/replies$/.exec(path ?? '')?.[1] ?? null;

function readProfile(answer: JsonPart, exchange: Exchange): Profile | null {
  // The published example of `me` is a list of one; a question by id is answered with the account itself.
  const part = answer.member('data')?.elements()[0] ?? answer;
  const read = accountView.safeParse(part.value);
  if (!read.success) return null;
  const account = read.data;
  const { username, biography, website, profile_picture_url: picture, media_count: posts } = account;
  const name = account.name || username;
  const leadsTo = targetOf(website ?? '');
  const sighting = sightingOf(PLATFORM, account.id, part, exchange, {
    item: itemWith({
      kind: 'profile',
      url: `https://www.instagram.com/${encodeURIComponent(username)}/`,
      author: { id: account.id, handle: username, name },
      title: name,
      text: [biography, website].filter((line) => line).join('\n'),
      links: leadsTo === null ? [] : [{ url: leadsTo, title: null, description: null }],
    }),
    comparison: {
      handle: username,
      name,
      text: biography ?? '',
      website: website ?? '',
      picture: nameOf(picture),
    },
    observations: counted({ followers: account.followers_count, follows: account.follows_count, posts }),
    media: mediumOf('avatar', picture, nameOf(picture)),
  });
  return sighting === null ? null : { id: account.id, name, counts: counted({ posts }), sighting };
}

function readMedia(sort: Sort, part: JsonPart, { exchange }: Place): Read {
  const read = mediaView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a post: ${faultOf(read.error)}`);
  const post = read.data;
  const created = momentOf(post.timestamp);
  const passes = sort === 'story' || isStory(post.media_product_type);
  const parts = partsOf(post);
  const sighting = sightingOf(PLATFORM, post.id, part, exchange, {
    item: itemWith({
      kind: passes ? 'story' : 'post',
      url: post.permalink ?? null,
      author: { id: post.owner?.id ?? null, handle: post.username ?? null, name: null },
      createdAt: created,
      createdAtFrom: created === null ? 'unknown' : 'platform',
      text: post.caption ?? '',
    }),
    // Turning comments off is moderation too.
    comparison: {
      text: post.caption ?? '',
      commentable: post.is_comment_enabled !== false,
      media: comparedMedia(parts),
    },
    observations: counted({ likes: post.like_count, comments: post.comments_count }),
    media: mediaOf(parts),
  });
  if (sighting === null) return rejected(part, exchange, 'the post nests too deeply');
  return {
    sighting,
    listed: {
      id: post.id,
      // Where comments are not counted they are asked for all the same; below stories few accounts take any.
      replies: post.comments_count ?? (passes ? 0 : 1),
      mark: '',
      createdAt: created,
      thread: commentsOn(post.id),
      until: passes ? endOf(created, exchange) : null,
    },
  };
}

/** @returns when a story may end; one whose beginning is not told, or lies ahead, may do so at once */
function endOf(created: string | null, { receivedAt }: Exchange): string {
  if (created === null) return receivedAt;
  const began = Temporal.Instant.from(created);
  const isAhead = Temporal.Instant.compare(began, Temporal.Instant.from(receivedAt)) > 0;
  return isAhead ? receivedAt : instantText(began.add(STORY_SHOWN));
}

function partsOf({ children, ...post }: Post): readonly Medium[] {
  return children?.data.length ? children.data : [post];
}

function readComment(part: JsonPart, { exchange, list, post }: Place): Read {
  const read = commentView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a comment: ${faultOf(read.error)}`);
  const { id: own, from, media, replies, parent_id: parent, ...comment } = read.data;
  const created = momentOf(comment.timestamp);
  const root = post ?? media?.id ?? null;
  const sighting = sightingOf(PLATFORM, own, part, exchange, {
    item: itemWith({
      kind: 'reply',
      url: null,
      author: { id: from?.id ?? null, handle: comment.username ?? from?.username ?? null, name: null },
      createdAt: created,
      createdAtFrom: created === null ? 'unknown' : 'platform',
      text: comment.text ?? '',
      tags: comment.hidden === true ? [HIDDEN_TAG] : [],
      inReplyTo: parent ?? parentIn(list) ?? root,
      threadRoot: root,
    }),
    comparison: { text: comment.text ?? '', hidden: comment.hidden === true },
    observations: counted({ likes: comment.like_count }),
    media: [],
  });
  if (sighting === null) return rejected(part, exchange, 'the comment nests too deeply');
  return {
    sighting,
    listed: {
      id: own,
      // How many there are is not told. A page of none may have others after it.
      replies: noReplies.safeParse(replies).success ? 0 : 1,
      mark: '',
      createdAt: created,
      thread: repliesTo(own),
      // It goes with its story, and when that ends is not told of it.
      until: isStory(media?.media_product_type) ? (created ?? exchange.receivedAt) : null,
    },
  };
}
