// How a post or an account of X becomes an item. Every edit has an id of its own, and the first of them names the post, as it does in what is
// imported from X's own archives.

import { z } from 'zod';
import type { Json } from '../../core/canonical.ts';
import type { Identity } from '../../core/vocabulary.ts';
import { faultOf, rejected } from '../answer.ts';
import type { Exchange, Item, MediaReference, PageEvent, Rejected, Sighting } from '../collector.ts';
import { momentOf } from '../feed/item.ts';
import { counted, itemWith, mediumOf, sightingAs } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';

export const PLATFORM = 'x';
/** What an import of X's own archive compares by: records that it made go on with what the platform shows. */
const IMPORT_RULE = 'x-import/1';

export const ID = /^\d{1,25}$/;
const id = z.string().regex(ID, 'is no id of X');
const text = z.string().nullish().catch(null);
const count = z.int().nonnegative().nullish().catch(null);

const links = z
  .looseObject({
    urls: z
      .array(z.looseObject({ expanded_url: text, unwound_url: text, title: text, description: text }))
      .nullish(),
    hashtags: z.array(z.looseObject({ tag: z.string() })).nullish(),
  })
  .nullish()
  .catch(null);

const postView = z.looseObject({
  id,
  text: z.string(),
  note_tweet: z.looseObject({ text: z.string(), entities: links }).nullish(),
  author_id: id,
  created_at: text,
  conversation_id: text,
  edit_history_tweet_ids: z.array(id).min(1),
  referenced_tweets: z.array(z.looseObject({ type: z.string(), id })).nullish(),
  attachments: z
    .looseObject({ media_keys: z.array(z.string()).nullish(), poll_ids: z.array(z.string()).nullish() })
    .nullish(),
  entities: links,
  lang: text,
  possibly_sensitive: z.boolean().nullish().catch(null),
  reply_settings: text,
  public_metrics: z.record(z.string(), count).nullish().catch(null),
});

const userView = z.looseObject({
  id,
  username: z.string(),
  name: z.string(),
  description: text,
  location: text,
  url: text,
  profile_image_url: text,
  created_at: text,
  public_metrics: z.record(z.string(), count).nullish().catch(null),
});

const mediumView = z.looseObject({
  media_key: z.string(),
  type: z.string(),
  url: text,
  alt_text: text,
  preview_image_url: text,
  variants: z
    .array(z.looseObject({ url: z.string(), content_type: text, bit_rate: count }))
    .nullish()
    .catch(null),
});
const pollView = z.looseObject({
  id: z.string(),
  options: z.array(z.looseObject({ label: z.string(), votes: count })),
});

/** What stands beside the posts of an answer, by id. */
export interface Beside {
  readonly users: ReadonlyMap<string, z.infer<typeof userView>>;
  readonly media: ReadonlyMap<string, z.infer<typeof mediumView>>;
  readonly polls: ReadonlyMap<string, z.infer<typeof pollView>>;
}

const FIELDS_OF_USER =
  'id,name,username,description,location,url,profile_image_url,created_at,protected,public_metrics';
export const USER_FIELDS = { 'user.fields': FIELDS_OF_USER };
/** Posts that are referred to are not asked for: each would be paid for. */
export const POST_FIELDS = {
  'tweet.fields':
    'id,text,note_tweet,author_id,created_at,conversation_id,edit_history_tweet_ids,referenced_tweets,attachments,entities,lang,possibly_sensitive,reply_settings,public_metrics',
  expansions: 'author_id,attachments.media_keys,attachments.poll_ids',
  'media.fields': 'media_key,type,url,alt_text,preview_image_url,variants',
  'poll.fields': 'id,options',
  ...USER_FIELDS,
};

/** X writes three characters of every text as entities of HTML. */
export function withoutEntities(written: string): string {
  return written.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

/** @param first id of the first version of a post, or of an account */
export function identityOf(first: string, namespace: 'post-id' | 'user-id' = 'post-id'): Identity {
  return { platform: PLATFORM, namespace, platformId: first };
}

export function besideOf(document: JsonPart): Beside {
  const includes = document.member('includes');
  const all = <View extends z.ZodType>(name: string, view: View, key: (one: z.infer<View>) => string) =>
    new Map(
      (includes?.member(name)?.elements() ?? []).flatMap(({ value }): [string, z.infer<View>][] => {
        const read = view.safeParse(value);
        return read.success ? [[key(read.data), read.data]] : [];
      }),
    );
  return {
    users: all('users', userView, (one) => one.id),
    media: all('media', mediumView, (one) => one.media_key),
    polls: all('polls', pollView, (one) => one.id),
  };
}

export interface ReadPost {
  readonly sighting: Sighting;
  /** Ids of all versions, oldest first. */
  readonly versions: readonly string[];
  readonly replies: number;
  readonly conversation: string | null;
}

/** Asks for posts by their ids. */
export type AskVersions = (ids: readonly string[], signal: AbortSignal) => Promise<PageEvent>;

/**
 * Never throws for what the platform sent: what is unreadable is rejected with its bytes.
 * @param askVersions null where the versions before are being read themselves, or are not wanted
 */
export function readPost(
  part: JsonPart,
  exchange: Exchange,
  beside: Beside,
  askVersions: AskVersions | null,
): ReadPost | { readonly rejected: Rejected } {
  const read = postView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a post: ${faultOf(read.error)}`);
  const post = read.data;
  const versions = post.edit_history_tweet_ids;
  const nth = versions.indexOf(post.id);
  if (nth < 0) return rejected(part, exchange, 'a post that is none of its own versions');
  if (askVersions !== null && nth < versions.length - 1)
    return rejected(part, exchange, 'a version that an edit has replaced, without the one that replaced it');
  const [first] = versions as [string];
  const words = withoutEntities(post.note_tweet?.text ?? post.text);
  const polls = (post.attachments?.poll_ids ?? []).flatMap((one) => beside.polls.get(one)?.options ?? []);
  const whole = [words, polls.map(({ label }) => `• ${label}`).join('\n')]
    .filter((one) => one !== '')
    .join('\n\n');
  const referred = (type: string): string | null =>
    post.referenced_tweets?.find((one) => one.type === type)?.id ?? null;
  const createdAt = momentOf(post.created_at ?? undefined);
  const author = beside.users.get(post.author_id);
  const media = (post.attachments?.media_keys ?? []).flatMap((key) => mediaOf(key, beside));
  const entities = post.note_tweet?.entities ?? post.entities;
  const linked = (entities?.urls ?? []).flatMap((one): Item['links'][number][] => {
    const url = one.unwound_url ?? one.expanded_url;
    return url ? [{ url, title: one.title ?? null, description: one.description ?? null }] : [];
  });
  const repliedTo = referred('replied_to');
  const reposts = referred('retweeted');
  const conversation = post.conversation_id ?? null;
  const before = versions.slice(0, nth);
  const sighting = sightingAs(identityOf(first), part, exchange, {
    item: itemWith({
      kind: reposts !== null ? 'repost' : repliedTo !== null ? 'reply' : 'post',
      url: `https://x.com/i/status/${post.id}`,
      author: { id: post.author_id, handle: author?.username ?? null, name: author?.name ?? null },
      createdAt,
      createdAtFrom: createdAt === null ? 'unknown' : 'platform',
      text: whole,
      contentWarning: post.possibly_sensitive === true ? 'possibly sensitive' : null,
      languages: post.lang && !/^(und|zxx|q..)$/.test(post.lang) ? [post.lang] : [],
      tags: [...new Set((entities?.hashtags ?? []).map(({ tag }) => tag))],
      links: linked,
      inReplyTo: repliedTo,
      threadRoot: conversation === null || versions.includes(conversation) ? null : conversation,
      quotes: referred('quoted'),
      reposts,
    }),
    // An edit is a version of its own even where it goes back to what was written before.
    comparison: {
      id: post.id,
      text: words,
      polls: polls.map(({ label }) => label),
      media: [...(post.attachments?.media_keys ?? [])],
      replies: post.reply_settings ?? null,
    },
    former: { rule: IMPORT_RULE, comparison: { id: post.id, text: withoutEntities(post.text) } },
    observations: counted({
      ...post.public_metrics,
      ...Object.fromEntries(polls.map(({ votes }, index) => [`votes for ${index + 1}`, votes])),
    }),
    media,
    ...(askVersions === null || before.length === 0
      ? {}
      : { earlier: (signal: AbortSignal) => askVersions(before, signal) }),
  });
  if (sighting === null) return rejected(part, exchange, 'the post nests too deeply');
  return { sighting, versions, replies: post.public_metrics?.reply_count ?? 0, conversation };
}

/** Of a video, the file with the most bits. */
function mediaOf(key: string, { media }: Beside): MediaReference[] {
  const one = media.get(key);
  if (one === undefined) return [];
  const files = (one.variants ?? []).filter(({ content_type: type }) => type === 'video/mp4');
  const best = files.sort((a, b) => (b.bit_rate ?? 0) - (a.bit_rate ?? 0))[0]?.url;
  const alt = one.alt_text || null;
  if (one.type !== 'photo' && best !== undefined) return mediumOf('video', best, key, alt);
  return [
    ...mediumOf('image', one.url, key, alt),
    ...(one.type === 'photo' ? [] : mediumOf('preview', one.preview_image_url, `${key}/preview`, alt)),
  ];
}

export interface ReadUser {
  readonly id: string;
  readonly name: string;
  readonly posts: number | null;
  readonly sighting: Sighting;
}

/** @returns null when it is no account */
export function readUser(part: JsonPart, exchange: Exchange): ReadUser | null {
  const read = userView.safeParse(part.value);
  if (!read.success) return null;
  const user = read.data;
  // The size stands in the name of the file; without it, it is the picture as it was given.
  const picture = user.profile_image_url?.replace(/_normal(\.\w+)$/, '$1') ?? null;
  const words = withoutEntities(user.description ?? '');
  const createdAt = momentOf(user.created_at ?? undefined);
  const sighting = sightingAs(identityOf(user.id, 'user-id'), part, exchange, {
    item: itemWith({
      kind: 'profile',
      url: `https://x.com/${user.username}`,
      author: { id: user.id, handle: user.username, name: user.name },
      title: user.name,
      text: words,
      createdAt,
      createdAtFrom: createdAt === null ? 'unknown' : 'platform',
    }),
    comparison: {
      handle: user.username,
      name: user.name,
      text: words,
      location: user.location || null,
      link: user.url || null,
      picture,
    } satisfies Json,
    observations: counted(user.public_metrics ?? {}),
    media: mediumOf('avatar', picture, picture),
  });
  if (sighting === null) return null;
  return { id: user.id, name: user.username, posts: user.public_metrics?.tweet_count ?? null, sighting };
}
