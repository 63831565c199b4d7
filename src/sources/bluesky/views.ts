// The shapes that a Bluesky service answers with, checked loosely: only what the archive reads has to be right, all else may
// change without notice.

import { z } from 'zod';

const did = z
  .string()
  .regex(/^did:[a-z]+:[A-Za-z0-9._:%-]+$/)
  .max(2048);
const atUri = z
  .string()
  .regex(/^at:\/\/did:[a-z]+:[A-Za-z0-9._:%-]+\/[a-zA-Z0-9.-]+\/[A-Za-z0-9._:~-]+$/)
  .max(8192);
const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER).optional().catch(undefined);

const shownText = z.string().optional().catch(undefined);
export const profileView = z.looseObject({
  did,
  handle: z.string(),
  displayName: shownText,
  description: shownText,
  avatar: shownText,
  banner: shownText,
  createdAt: shownText,
  indexedAt: shownText,
  labels: z
    .array(z.looseObject({ val: z.string(), src: z.string() }))
    .optional()
    .catch(undefined),
  postsCount: count,
  followersCount: count,
  followsCount: count,
});
export type ProfileView = z.infer<typeof profileView>;

export const author = z.looseObject({
  did,
  handle: z.string(),
  displayName: z.string().optional().catch(undefined),
});

export const postView = z.looseObject({
  uri: atUri,
  cid: z.string().min(1),
  author,
  record: z.looseObject({ text: z.string(), createdAt: z.string() }),
  replyCount: count,
  repostCount: count,
  likeCount: count,
  quoteCount: count,
  indexedAt: z.string().optional().catch(undefined),
});
export type PostView = z.infer<typeof postView>;

export const repostReason = z.looseObject({
  $type: z.literal('app.bsky.feed.defs#reasonRepost'),
  by: author,
  uri: atUri.optional(),
  cid: z.string().optional(),
  indexedAt: z.string(),
});

/** Only the outer shape: each element is checked on its own, so that one bad item does not cost the page. */
export const feedPage = z.looseObject({ feed: z.array(z.unknown()), cursor: z.string().optional() });
export const threadPage = z.looseObject({ thread: z.looseObject({}) });
export const postsPage = z.looseObject({ posts: z.array(z.unknown()) });
export const resolvedHandle = z.looseObject({ did });
export const xrpcError = z.looseObject({
  error: z.string(),
  message: z.string().optional().catch(undefined),
});
export const repoStatus = z.looseObject({ active: z.boolean(), status: z.string().optional() });
export const repoRecord = z.looseObject({
  uri: atUri,
  cid: z.string().optional().catch(undefined),
  value: z.looseObject({}),
});

export const didDocument = z.looseObject({
  id: did,
  alsoKnownAs: z.array(z.string()).optional().catch(undefined),
  service: z
    .array(z.looseObject({ id: z.string(), type: z.string(), serviceEndpoint: z.unknown() }))
    .optional()
    .catch(undefined),
  verificationMethod: z
    .array(
      z.looseObject({
        id: z.string(),
        type: z.string(),
        publicKeyMultibase: z.string().optional().catch(undefined),
      }),
    )
    .optional()
    .catch(undefined),
});
export type DidDocument = z.infer<typeof didDocument>;

const blob = z.union([
  z
    .looseObject({ ref: z.looseObject({ $link: z.string() }), mimeType: z.string() })
    .transform((it) => ({ cid: it.ref.$link, mediaType: it.mimeType })),
  // The form before 2023, still found in old records.
  z
    .looseObject({ cid: z.string(), mimeType: z.string() })
    .transform((it) => ({ cid: it.cid, mediaType: it.mimeType })),
]);

const strongRef = z.looseObject({ uri: z.string(), cid: z.string().optional().catch(undefined) });
const images = z.looseObject({
  $type: z.literal('app.bsky.embed.images'),
  images: z.array(z.looseObject({ image: blob, alt: z.string().optional().catch(undefined) })),
});
const video = z.looseObject({
  $type: z.literal('app.bsky.embed.video'),
  video: blob,
  alt: z.string().optional().catch(undefined),
  captions: z.array(z.looseObject({ lang: z.string(), file: blob })).optional(),
});
const external = z.looseObject({
  $type: z.literal('app.bsky.embed.external'),
  external: z.looseObject({
    uri: z.string(),
    title: z.string().optional().catch(undefined),
    description: z.string().optional().catch(undefined),
    thumb: blob.optional().catch(undefined),
  }),
});
const quoted = z.looseObject({ $type: z.literal('app.bsky.embed.record'), record: strongRef });
const medium = z.discriminatedUnion('$type', [images, video, external]);
const quotedWithMedia = z.looseObject({
  $type: z.literal('app.bsky.embed.recordWithMedia'),
  record: z.looseObject({ record: strongRef }),
  media: medium,
});
/** Embeds that are known; others stay in the record's slice and are not taken apart. */
export const embed = z.discriminatedUnion('$type', [images, video, external, quoted, quotedWithMedia]);
export type Medium = z.infer<typeof medium>;

const labels = z
  .looseObject({ values: z.array(z.looseObject({ val: z.string() })) })
  .optional()
  .catch(undefined);
const feature = z.looseObject({
  $type: z.string(),
  uri: z.string().optional(),
  tag: z.string().optional(),
});
/** The optional parts of a post's record; each unreadable part counts as absent, the exact bytes are kept anyway. */
export const postRecord = z.looseObject({
  text: z.string(),
  createdAt: z.string(),
  langs: z.array(z.string()).optional().catch(undefined),
  tags: z.array(z.string()).optional().catch(undefined),
  facets: z
    .array(z.looseObject({ features: z.array(feature) }))
    .optional()
    .catch(undefined),
  reply: z.looseObject({ root: strongRef, parent: strongRef }).optional().catch(undefined),
  embed: embed.optional().catch(undefined),
  labels,
});

/** Records as a repository has them; a service never shows them bare. */
export const repostRecord = z.looseObject({ subject: strongRef, createdAt: z.string() });
export const profileRecord = z.looseObject({
  displayName: z.string().optional().catch(undefined),
  description: z.string().optional().catch(undefined),
  createdAt: z.string().optional().catch(undefined),
  avatar: blob.optional().catch(undefined),
  banner: blob.optional().catch(undefined),
  labels,
});
