// The shapes that a server with Mastodon's API answers with, checked loosely: only what the archive reads has to be right. Servers differ,
// and what is optional here is left out by some of them.

import { z } from 'zod';

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER).optional().catch(undefined);
const text = z.string().nullish().catch(undefined);
/** Ids are opaque; some servers' are as long as an address. */
const id = z.string().min(1).max(2048);
const address = z.url({ protocol: /^https?$/ }).max(2048);

export const accountView = z.looseObject({
  id,
  username: z.string(),
  acct: z.string(),
  url: text,
  uri: text,
  display_name: text,
  note: text,
  avatar: text,
  header: text,
  created_at: text,
  suspended: z.boolean().optional().catch(undefined),
  fields: z
    .array(z.looseObject({ name: z.string(), value: z.string() }))
    .nullish()
    .catch(undefined),
  statuses_count: count,
  followers_count: count,
  following_count: count,
});
export type AccountView = z.infer<typeof accountView>;

const attachment = z.looseObject({
  id: z.string(),
  type: z.string(),
  url: text,
  remote_url: text,
  description: text,
});
export type Attachment = z.infer<typeof attachment>;

const poll = z.looseObject({
  options: z.array(z.looseObject({ title: z.string(), votes_count: count })),
  votes_count: count,
  voters_count: count,
});

/** What an author writes, as a status and as one of its edits have it. */
const written = {
  content: z.string(),
  spoiler_text: text,
  sensitive: z.boolean().nullish().catch(undefined),
  media_attachments: z.array(attachment).nullish(),
  poll: poll.nullish(),
};
export type Written = z.infer<z.ZodObject<typeof written>>;

export const statusView = z.looseObject({
  ...written,
  id,
  uri: address,
  url: text,
  account: accountView,
  created_at: z.string(),
  edited_at: text,
  visibility: text,
  language: text,
  in_reply_to_id: z.string().nullish(),
  in_reply_to_account_id: z.string().nullish(),
  reblog: z.looseObject({ uri: address, url: text, content: z.string(), account: accountView }).nullish(),
  quote: z
    .looseObject({ quoted_status: z.looseObject({ uri: address }).nullish() })
    .nullish()
    .catch(undefined),
  card: z.looseObject({ url: z.string(), title: text, description: text }).nullish().catch(undefined),
  tags: z
    .array(z.looseObject({ name: z.string() }))
    .nullish()
    .catch(undefined),
  replies_count: count,
  reblogs_count: count,
  favourites_count: count,
  quotes_count: count,
});
export type StatusView = z.infer<typeof statusView>;

export const editView = z.looseObject({ ...written, created_at: z.string() });
export type EditView = z.infer<typeof editView>;

/** Only the outer shapes: each status is checked on its own, so that one bad item does not cost the page. */
export const statusList = z.array(z.unknown());
export const contextView = z.looseObject({
  ancestors: z.array(z.unknown()),
  descendants: z.array(z.unknown()),
});
/** What a refusal of the API itself looks like, beside those that any web server makes. */
export const refusal = z.looseObject({ error: z.string() });
