// How a post, a comment or an organisation of LinkedIn becomes an item. All are named by their URNs.

import { z } from 'zod';
import type { Json } from '../../core/canonical.ts';
import type { Identity } from '../../core/vocabulary.ts';
import { faultOf, rejected } from '../answer.ts';
import type { Exchange, Item, Rejected, Sighting } from '../collector.ts';
import { counted, itemWith, mediumOf, sightingAs } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';

export const PLATFORM = 'linkedin';

const text = z.string().nullish().catch(null);
/** As it may stand in the path of a request. */
const urn = z.string().regex(/^urn:li:[A-Za-z]+:[A-Za-z0-9_:(),-]{1,200}$/, 'is no URN');
const milliseconds = z.int().nonnegative().max(1e14).nullish().catch(null);
const when = z.looseObject({ time: milliseconds }).nullish().catch(null);

const mediumView = z.looseObject({ id: text, altText: text, title: text });
const postView = z.looseObject({
  id: urn,
  author: z.string(),
  commentary: z.string(),
  createdAt: milliseconds,
  publishedAt: milliseconds,
  visibility: text,
  lifecycleState: text,
  content: z
    .looseObject({
      media: mediumView.nullish().catch(null),
      multiImage: z
        .looseObject({ images: z.array(mediumView) })
        .nullish()
        .catch(null),
      article: z.looseObject({ source: text, title: text, description: text }).nullish().catch(null),
      poll: z
        .looseObject({ question: text, options: z.array(z.looseObject({ text: z.string() })) })
        .nullish()
        .catch(null),
    })
    .nullish(),
  reshareContext: z.looseObject({ parent: text, root: text }).nullish().catch(null),
});
type Post = z.infer<typeof postView>;

const commentView = z.looseObject({
  commentUrn: urn.optional(),
  $URN: urn.optional(),
  actor: z.string(),
  message: z.looseObject({ text: z.string() }),
  created: when,
  parentComment: text,
  content: z
    .array(z.looseObject({ url: text }))
    .nullish()
    .catch(null),
  commentsSummary: z
    .looseObject({ aggregatedTotalComments: z.int().nonnegative().nullish().catch(null) })
    .nullish()
    .catch(null),
});

const organizationView = z.looseObject({
  id: z.int().positive(),
  localizedName: z.string(),
  vanityName: text,
  localizedDescription: text,
  localizedWebsite: text,
});

const mediumAddress = z.looseObject({ downloadUrl: z.string() });
const metadataView = z.looseObject({
  commentSummary: z.looseObject({ count: z.int().nonnegative().max(Number.MAX_SAFE_INTEGER) }),
});

export function identityOf(platformId: string): Identity {
  return { platform: PLATFORM, namespace: 'urn', platformId };
}

/** @returns names of the pictures and videos of posts, for their addresses are told elsewhere */
export function mediaIn(parts: readonly JsonPart[], kind: 'image' | 'video'): string[] {
  const all = parts.flatMap(({ value }) => {
    const read = postView.safeParse(value);
    return read.success ? attachedTo(read.data).flatMap(({ id }) => id ?? []) : [];
  });
  return [...new Set(all)].filter((id) => id.startsWith(`urn:li:${kind}:`) && urn.safeParse(id).success);
}

function attachedTo({ content }: Post): z.infer<typeof mediumView>[] {
  return [...(content?.media ? [content.media] : []), ...(content?.multiImage?.images ?? [])];
}

/** @returns how many comments LinkedIn counts below something; null where it does not tell */
export function commentsOf(metadata: unknown): number | null {
  return metadataView.safeParse(metadata).data?.commentSummary.count ?? null;
}

type Read = { readonly sighting: Sighting } | { readonly rejected: Rejected };

/** @param addresses what LinkedIn tells of media, by their names */
export function readPost(part: JsonPart, exchange: Exchange, addresses: ReadonlyMap<string, unknown>): Read {
  const read = postView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a post: ${faultOf(read.error)}`);
  const post = read.data;
  const { article, poll } = post.content ?? {};
  const choices = poll
    ? [poll.question, ...poll.options.map((one) => `• ${one.text}`)].filter((one) => one)
    : [];
  const words = [spoken(post.commentary), choices.join('\n')].filter((one) => one !== '').join('\n\n');
  const attached = attachedTo(post);
  const sighting = sightingAs(identityOf(post.id), part, exchange, {
    item: itemWith({
      kind: post.reshareContext?.parent ? 'repost' : 'post',
      url: `https://www.linkedin.com/feed/update/${post.id}/`,
      author: { id: post.author, handle: null, name: null },
      ...createdAt(post.publishedAt ?? post.createdAt),
      title: attached.find(({ title }) => title)?.title ?? null,
      text: words,
      tags: [
        ...new Set(
          [...post.commentary.matchAll(/\{hashtag\|\\?#\|([^}|]+)\}/g)].map(([, tag]) => tag as string),
        ),
      ],
      links: article?.source
        ? [{ url: article.source, title: article.title ?? null, description: article.description ?? null }]
        : [],
      reposts: post.reshareContext?.parent ?? null,
    }),
    comparison: {
      text: words,
      media: attached.map(({ id, altText }) => [id ?? null, altText ?? '']),
      link: article?.source ?? null,
      visibility: post.visibility ?? null,
      state: post.lifecycleState ?? null,
      reposts: post.reshareContext?.parent ?? null,
    } satisfies Json,
    observations: {},
    media: attached.flatMap(({ id, altText }) => {
      const address = mediumAddress.safeParse(addresses.get(id ?? '')).data?.downloadUrl;
      return mediumOf(
        id?.startsWith('urn:li:video:') ? 'video' : 'image',
        address,
        id ?? null,
        altText || null,
      );
    }),
  });
  return sighting === null ? rejected(part, exchange, 'the post nests too deeply') : { sighting };
}

/** @param post that it is below; null where that is not known. @returns with its count of answers */
export function readComment(
  part: JsonPart,
  exchange: Exchange,
  post: string | null,
): { readonly sighting: Sighting; readonly replies: number } | { readonly rejected: Rejected } {
  const read = commentView.safeParse(part.value);
  const name = read.data?.commentUrn ?? read.data?.$URN;
  if (!read.success || name === undefined)
    return rejected(
      part,
      exchange,
      `not a comment: ${read.success ? 'it has no name' : faultOf(read.error)}`,
    );
  const comment = read.data;
  const pictures = (comment.content ?? []).flatMap(({ url }) => mediumOf('image', url, nameOf(url)));
  const replies = comment.commentsSummary?.aggregatedTotalComments ?? 0;
  const sighting = sightingAs(identityOf(name), part, exchange, {
    item: itemWith({
      kind: 'reply',
      url:
        post === null
          ? null
          : `https://www.linkedin.com/feed/update/${post}/?commentUrn=${encodeURIComponent(name)}`,
      author: { id: comment.actor, handle: null, name: null },
      ...createdAt(comment.created?.time),
      text: comment.message.text,
      inReplyTo: comment.parentComment ?? post,
      threadRoot: post,
    }),
    comparison: { text: comment.message.text, media: pictures.map(({ contentId }) => contentId) },
    observations: counted({ replies }),
    media: pictures,
  });
  return sighting === null ? rejected(part, exchange, 'the comment nests too deeply') : { sighting, replies };
}

function nameOf(url: string | null | undefined): string | null {
  return url && URL.canParse(url) ? new URL(url).pathname : null;
}

function createdAt(time: number | null | undefined): Pick<Item, 'createdAt' | 'createdAtFrom'> {
  if (typeof time !== 'number') return { createdAt: null, createdAtFrom: 'unknown' };
  return { createdAt: Temporal.Instant.fromEpochMilliseconds(time).toString(), createdAtFrom: 'platform' };
}

/** Undoes LinkedIn's own way to write text: templates of hashtags and mentions, and a stroke before signs that mean something to it. */
function spoken(commentary: string): string {
  return commentary
    .replace(/\{hashtag\|\\?#\|([^}|]+)\}/g, '#$1')
    .replace(/@\[([^\]]*)\]\(urn:[^)]*\)/g, '@$1')
    .replace(/\\([|{}@[\]()<>#\\*_~])/g, '$1');
}

/** @returns null when it is no organisation */
export function readOrganization(
  part: JsonPart,
  exchange: Exchange,
): {
  readonly id: string;
  readonly number: number;
  readonly handle: string | null;
  readonly name: string;
  readonly sighting: Sighting;
} | null {
  const read = organizationView.safeParse(part.value);
  if (!read.success) return null;
  const { id: number, localizedName: name, vanityName, localizedDescription, localizedWebsite } = read.data;
  const id = `urn:li:organization:${number}`;
  const words = localizedDescription ?? '';
  const sighting = sightingAs(identityOf(id), part, exchange, {
    item: itemWith({
      kind: 'profile',
      url: `https://www.linkedin.com/company/${encodeURIComponent(vanityName || String(number))}/`,
      author: { id, handle: vanityName ?? null, name },
      title: name,
      text: words,
    }),
    comparison: { name, handle: vanityName || null, text: words, link: localizedWebsite || null },
    observations: {},
    media: [],
  });
  return sighting === null ? null : { id, number, handle: vanityName ?? null, name, sighting };
}
