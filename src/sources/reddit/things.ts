// How a thing of Reddit (a post, a comment, an account, a community) becomes an item. What its author deleted, and what moderators removed, stays
// in its place as a trace without words: that is no item, and is told apart by what stands where words stood.

import { z } from 'zod';
import type { Json } from '../../core/canonical.ts';
import type { Identity } from '../../core/vocabulary.ts';
import { faultOf, rejected } from '../answer.ts';
import type { Exchange, Item, MediaReference, Rejected, Sighting } from '../collector.ts';
import { counted, HIDDEN_TAG, itemWith, mediumOf, sightingAs } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';

export const PLATFORM = 'reddit';

/** What a name of a thing looks like: its kind, and a number to the base of 36. */
export const FULLNAME = /^t[1-5]_([a-z0-9]{1,16})$/;
const fullname = z.string().regex(FULLNAME, 'is no name of a thing');
const text = z.string().nullish().catch(null);
const flag = z.boolean().nullish().catch(null);
const count = z.int().nonnegative().nullish().catch(null);
const score = z.int().nullish().catch(null);
/** Seconds of the epoch, with a fraction that is always nought; false where there is none. */
const moment = z.union([z.number().nonnegative().max(1e11), z.literal(false)]).nullish();

const postView = z.looseObject({
  name: fullname,
  title: z.string(),
  selftext: z.string(),
  author: z.string(),
  author_fullname: text,
  created_utc: moment,
  edited: moment,
  permalink: text,
  url: text,
  is_self: flag,
  is_video: flag,
  over_18: flag,
  spoiler: flag,
  locked: flag,
  link_flair_text: text,
  crosspost_parent: text,
  removed_by_category: text,
  num_comments: count,
  score,
  num_crossposts: count,
  media: z
    .looseObject({ reddit_video: z.looseObject({ fallback_url: text }).nullish().catch(null) })
    .nullish()
    .catch(null),
  gallery_data: z
    .looseObject({ items: z.array(z.looseObject({ media_id: z.string(), caption: text })) })
    .nullish()
    .catch(null),
  media_metadata: z
    .record(
      z.string(),
      z.looseObject({ m: text, s: z.looseObject({ u: text, gif: text }).nullish().catch(null) }),
    )
    .nullish()
    .catch(null),
  poll_data: z
    .looseObject({ options: z.array(z.looseObject({ text: z.string() })) })
    .nullish()
    .catch(null),
});
type Post = z.infer<typeof postView>;

const commentView = z.looseObject({
  name: fullname,
  body: z.string(),
  author: z.string(),
  author_fullname: text,
  created_utc: moment,
  edited: moment,
  permalink: text,
  parent_id: fullname,
  link_id: fullname,
  link_author: text,
  score,
});
type Comment = z.infer<typeof commentView>;

/** Comments that are not shown with the others; without children where a branch goes on too deep to be shown. */
export const moreView = z.looseObject({
  kind: z.literal('more'),
  data: z.looseObject({ parent_id: fullname, children: z.array(z.string().regex(/^[a-z0-9]{1,16}$/)) }),
});

const accountView = z.looseObject({
  kind: z.literal('t2'),
  data: z.looseObject({
    id: z.string().regex(/^[a-z0-9]{1,16}$/),
    name: z.string(),
    icon_img: text,
    created_utc: moment,
    link_karma: score,
    comment_karma: score,
    subreddit: z
      .looseObject({ title: text, public_description: text, banner_img: text })
      .nullish()
      .catch(null),
  }),
});
const communityView = z.looseObject({
  kind: z.literal('t5'),
  data: z.looseObject({
    name: fullname,
    display_name: z.string(),
    title: text,
    public_description: text,
    description: text,
    created_utc: moment,
    community_icon: text,
    icon_img: text,
    subscribers: count,
  }),
});

/** Why a thing is a mere trace: its author deleted it, or others took it from the public. */
export type Trace = 'deleted' | 'hidden';

export type Read =
  | { readonly sighting: Sighting; readonly replies: number; readonly thread: string | null }
  | { readonly trace: Trace; readonly name: string }
  | { readonly rejected: Rejected };

export function identityOf(platformId: string): Identity {
  return { platform: PLATFORM, namespace: 'fullname', platformId };
}

/** Never throws for what the platform sent: what is unreadable is rejected with its bytes. @param owner name of the account that is read */
export function readThing(part: JsonPart, exchange: Exchange, owner: string | null): Read {
  const { kind } = (part.value ?? {}) as { readonly kind?: unknown };
  const data = part.member('data')?.value;
  if (kind === 't1') {
    const read = commentView.safeParse(data);
    if (!read.success) return rejected(part, exchange, `not a comment: ${faultOf(read.error)}`);
    const trace = traceOf(read.data.author, read.data.body, null);
    return trace === null ? comment(read.data, part, exchange, owner) : { trace, name: read.data.name };
  }
  const read = postView.safeParse(data);
  if (kind !== 't3' || !read.success)
    return rejected(
      part,
      exchange,
      `not a post: ${read.success ? 'another kind of thing' : faultOf(read.error)}`,
    );
  const trace = traceOf(read.data.author, read.data.selftext, read.data.removed_by_category ?? null);
  return trace === null ? post(read.data, part, exchange) : { trace, name: read.data.name };
}

/** What the author wrote may be these very words, so they count only where the author's name is gone too, or the category says so. */
function traceOf(author: string, words: string, category: string | null): Trace | null {
  if (category === 'deleted' || category === 'author') return 'deleted';
  const isNameless = author === '[deleted]';
  if (/^\[ ?removed( by reddit)? ?\]$/i.test(words) && (isNameless || category !== null)) return 'hidden';
  return isNameless && words === '[deleted]' ? 'deleted' : null;
}

function post(view: Post, part: JsonPart, exchange: Exchange): Read {
  const choices = (view.poll_data?.options ?? []).map((one) => `• ${one.text}`).join('\n');
  const words = [view.selftext, choices].filter((one) => one !== '').join('\n\n');
  const isHidden = typeof view.removed_by_category === 'string';
  const media = mediaOf(view);
  const linked =
    view.is_self === true || view.is_video === true || media.length > 0 ? null : webAddress(view.url);
  const captions = (view.gallery_data?.items ?? []).map((one) => [one.media_id, one.caption ?? '']);
  const sighting = sightingAs(identityOf(view.name), part, exchange, {
    item: itemWith({
      kind: 'post',
      url: permalinkOf(view.permalink),
      ...written(view),
      title: view.title,
      text: words,
      contentWarning: view.over_18 === true ? 'NSFW' : view.spoiler === true ? 'spoiler' : null,
      tags: [...(view.link_flair_text ? [view.link_flair_text] : []), ...(isHidden ? [HIDDEN_TAG] : [])],
      links: linked === null ? [] : [{ url: linked, title: null, description: null }],
      quotes: view.crosspost_parent || null,
    }),
    comparison: {
      title: view.title,
      text: words,
      edited: view.edited || null,
      link: linked,
      media: media.map(({ contentId }) => contentId),
      captions,
      flair: view.link_flair_text || null,
      warnings: [view.over_18 === true, view.spoiler === true],
      locked: view.locked === true,
      hidden: isHidden,
    } satisfies Json,
    observations: counted({ score: view.score, replies: view.num_comments, reposts: view.num_crossposts }),
    media,
  });
  if (sighting === null) return rejected(part, exchange, 'the post nests too deeply');
  return { sighting, replies: view.num_comments ?? 0, thread: view.name.slice(3) };
}

function comment(view: Comment, part: JsonPart, exchange: Exchange, owner: string | null): Read {
  const sighting = sightingAs(identityOf(view.name), part, exchange, {
    item: itemWith({
      kind: 'reply',
      url: permalinkOf(view.permalink),
      ...written(view),
      text: view.body,
      inReplyTo: view.parent_id,
      threadRoot: view.link_id,
    }),
    comparison: { text: view.body, edited: view.edited || null },
    observations: counted({ score: view.score }),
    media: [],
  });
  if (sighting === null) return rejected(part, exchange, 'the comment nests too deeply');
  // What is below the account's own post is asked for there. Of a comment's replies none are counted, so there may be some.
  const isBelowOwn = owner !== null && view.link_author === owner;
  return {
    sighting,
    replies: 1,
    thread: isBelowOwn ? null : `${view.link_id.slice(3)}/${view.name.slice(3)}`,
  };
}

function written(view: Post | Comment): Pick<Item, 'author' | 'createdAt' | 'createdAtFrom'> {
  const isGone = view.author === '[deleted]';
  const createdAt = momentText(view.created_utc);
  return {
    author: {
      id: isGone ? null : (view.author_fullname ?? null),
      handle: isGone ? null : view.author,
      name: null,
    },
    createdAt,
    createdAtFrom: createdAt === null ? 'unknown' : 'platform',
  };
}

function momentText(seconds: number | false | null | undefined): string | null {
  if (typeof seconds !== 'number') return null;
  return Temporal.Instant.fromEpochMilliseconds(Math.floor(seconds * 1000)).toString();
}

function permalinkOf(path: string | null | undefined): string | null {
  return path && URL.canParse(path, 'https://www.reddit.com')
    ? new URL(path, 'https://www.reddit.com').href
    : null;
}

function webAddress(url: string | null | undefined): string | null {
  return url && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol) ? url : null;
}

/** Pictures under the names that their files have, not under the signed addresses of smaller copies. */
function mediaOf(view: Post): MediaReference[] {
  const gallery = (view.gallery_data?.items ?? []).flatMap(({ media_id: id, caption }) => {
    const told = view.media_metadata?.[id];
    const [type, form] = (told?.m ?? '').split('/');
    const original =
      /^[A-Za-z0-9]+$/.test(id) && form ? `https://i.redd.it/${id}.${form === 'jpeg' ? 'jpg' : form}` : null;
    return mediumOf(
      type === 'video' ? 'video' : 'image',
      original ?? told?.s?.u ?? told?.s?.gif,
      id,
      caption || null,
    );
  });
  if (gallery.length > 0) return gallery;
  const video = view.media?.reddit_video?.fallback_url;
  if (video) return mediumOf('video', video, nameIn(video));
  const url = webAddress(view.url);
  const isPicture = url !== null && new URL(url).hostname === 'i.redd.it';
  return isPicture ? mediumOf('image', url, nameIn(url)) : [];
}

function nameIn(url: string): string | null {
  return URL.canParse(url) ? new URL(url).pathname : null;
}

export interface ReadProfile {
  readonly id: string;
  readonly name: string;
  readonly sighting: Sighting;
}

/** @returns the account or community; null when it is neither */
export function readProfile(part: JsonPart, exchange: Exchange): ReadProfile | null {
  const account = accountView.safeParse(part.value);
  if (account.success) {
    const { id, name, subreddit, ...rest } = account.data.data;
    return profile(`t2_${id}`, part, exchange, {
      name,
      title: subreddit?.title || name,
      url: `https://www.reddit.com/user/${encodeURIComponent(name)}/`,
      words: subreddit?.public_description ?? '',
      pictures: [rest.icon_img, subreddit?.banner_img],
      created: rest.created_utc,
      observations: counted({ 'link karma': rest.link_karma, 'comment karma': rest.comment_karma }),
    });
  }
  const community = communityView.safeParse(part.value);
  if (!community.success) return null;
  const { name, display_name: shown, public_description: short, description, ...rest } = community.data.data;
  return profile(name, part, exchange, {
    name: shown,
    title: rest.title || shown,
    url: `https://www.reddit.com/r/${encodeURIComponent(shown)}/`,
    words: [short, description].filter((one) => one).join('\n\n'),
    pictures: [rest.community_icon || rest.icon_img],
    created: rest.created_utc,
    observations: counted({ followers: rest.subscribers }),
  });
}

function profile(
  id: string,
  part: JsonPart,
  exchange: Exchange,
  of: {
    readonly name: string;
    readonly title: string;
    readonly url: string;
    readonly words: string;
    readonly pictures: readonly (string | null | undefined)[];
    readonly created: number | false | null | undefined;
    readonly observations: Readonly<Record<string, number>>;
  },
): ReadProfile | null {
  const media = of.pictures.flatMap((url) => mediumOf('avatar', url, nameIn(url ?? '')));
  const createdAt = momentText(of.created);
  const sighting = sightingAs(identityOf(id), part, exchange, {
    item: itemWith({
      kind: 'profile',
      url: of.url,
      author: { id, handle: of.name, name: of.title },
      title: of.title,
      text: of.words,
      createdAt,
      createdAtFrom: createdAt === null ? 'unknown' : 'platform',
    }),
    comparison: {
      handle: of.name,
      title: of.title,
      text: of.words,
      pictures: media.map((one) => one.contentId),
    },
    observations: of.observations,
    media,
  });
  return sighting === null ? null : { id, name: of.name, sighting };
}
