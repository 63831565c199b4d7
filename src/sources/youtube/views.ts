// The shapes that the YouTube Data API answers with, checked loosely: only what the archive reads has to be right. Counts come as text.

import { z } from 'zod';

const text = z.string().nullish().catch(undefined);
const number = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER).optional().catch(undefined);
/** Statistics are decimal numbers in text, for they may be longer than a number can hold. */
const count = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)
  .optional()
  .catch(undefined);

// The forms keep the three kinds of id apart, for the archive keeps them under one namespace.
export const VIDEO_ID = /^[\w-]{11}$/;
export const CHANNEL_ID = /^UC[\w-]{22}$/;
/** Longer than both; a reply's has that of its thread before a dot. */
export const COMMENT_ID = /^[\w-]{25,100}(\.[\w-]{1,100})?$/;

/** Only the outer shape: each item is checked on its own, so that one bad item does not cost the page. */
export const listView = z.looseObject({
  etag: text,
  nextPageToken: z.string().nullish(),
  pageInfo: z.looseObject({ totalResults: number }).optional().catch(undefined),
  items: z.array(z.unknown()).optional(),
});

/** What a refusal of the API looks like, beside those that any web server makes. */
export const refusalView = z.looseObject({
  error: z.looseObject({
    code: z.number(),
    errors: z.array(z.looseObject({ reason: text })).catch([]),
    details: z
      .array(z.looseObject({ reason: text }))
      .optional()
      .catch(undefined),
  }),
});

const thumbnails = z
  .record(z.string(), z.looseObject({ url: z.string(), width: number }))
  .optional()
  .catch(undefined);
export type Thumbnails = z.infer<typeof thumbnails>;

export const uploadView = z.looseObject({
  contentDetails: z.looseObject({ videoId: z.string().regex(VIDEO_ID) }),
});

export const channelView = z.looseObject({
  id: z.string().regex(CHANNEL_ID),
  snippet: z.looseObject({
    title: z.string(),
    description: text,
    customUrl: text,
    publishedAt: text,
    country: text,
    defaultLanguage: text,
    thumbnails,
  }),
  contentDetails: z.looseObject({
    relatedPlaylists: z.looseObject({ uploads: z.string().regex(/^[\w-]{2,64}$/) }),
  }),
  statistics: z
    .looseObject({ viewCount: count, subscriberCount: count, videoCount: count })
    .optional()
    .catch(undefined),
  brandingSettings: z
    .looseObject({
      channel: z.looseObject({ keywords: text }).optional().catch(undefined),
      image: z.looseObject({ bannerExternalUrl: text }).optional().catch(undefined),
    })
    .optional()
    .catch(undefined),
});
export type ChannelView = z.infer<typeof channelView>;

export const videoView = z.looseObject({
  id: z.string().regex(VIDEO_ID),
  snippet: z.looseObject({
    channelId: z.string().regex(CHANNEL_ID),
    title: z.string(),
    description: z.string(),
    publishedAt: text,
    channelTitle: text,
    tags: z.array(z.string()).nullish().catch(undefined),
    categoryId: text,
    defaultLanguage: text,
    defaultAudioLanguage: text,
    thumbnails,
  }),
  contentDetails: z.looseObject({ duration: text }).optional().catch(undefined),
  status: z.looseObject({ privacyStatus: text, license: text }).optional().catch(undefined),
  statistics: z
    .looseObject({ viewCount: count, likeCount: count, commentCount: count })
    .optional()
    .catch(undefined),
  liveStreamingDetails: z.looseObject({ scheduledStartTime: text }).optional().catch(undefined),
});
export type VideoView = z.infer<typeof videoView>;

export const commentView = z.looseObject({
  id: z.string().regex(COMMENT_ID),
  snippet: z.looseObject({
    textDisplay: z.string(),
    authorDisplayName: text,
    authorChannelId: z.looseObject({ value: text }).nullish().catch(undefined),
    publishedAt: text,
    updatedAt: text,
    likeCount: number,
    parentId: z.string().regex(COMMENT_ID).nullish(),
    videoId: z.string().regex(VIDEO_ID).nullish(),
  }),
});
export type CommentView = z.infer<typeof commentView>;

export const threadView = z.looseObject({
  id: z.string().regex(COMMENT_ID),
  snippet: z.looseObject({
    videoId: z.string().regex(VIDEO_ID).nullish(),
    totalReplyCount: number,
    topLevelComment: z.unknown(),
  }),
  replies: z.looseObject({ comments: z.array(z.unknown()) }).optional(),
});
