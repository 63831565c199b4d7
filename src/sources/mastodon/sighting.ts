// Turns what a server shows (a status, one edit of it, an account) into sightings. The unit is the exact bytes of the status. What decides
// whether it changed is what the author wrote, in words that every server has in common: their HTML, ids and copies of media differ.

import type { Json } from '../../core/canonical.ts';
import type { Identity } from '../../core/vocabulary.ts';
import { faultOf, rejected, sliceOf } from '../answer.ts';
import type { Exchange, Item, MediaReference, PageEvent, Rejected, Sighting } from '../collector.ts';
import { momentOf } from '../feed/item.ts';
import { plainText } from '../feed/plain-text.ts';
import type { JsonPart } from '../slice.ts';
import { linksOf } from './html.ts';
import {
  type AccountView,
  type Attachment,
  accountView,
  type EditView,
  editView,
  type StatusView,
  statusView,
  type Written,
} from './views.ts';

export const PLATFORM = 'mastodon';
/** What an account's export and its server both tell of a post. */
export const IMPORT_RULE = 'mastodon-import/1';
/** By ActivityPub's own name of the object: the same status seen through two servers is one record. */
const NAMESPACE = 'activitypub-uri';

export function identityOf(uri: string): Identity {
  return { platform: PLATFORM, namespace: NAMESPACE, platformId: uri };
}

/** What has been learned of statuses by the server's own ids, which replies name their parents by. */
export type Known = Map<string, { readonly uri: string; readonly parent: string | null }>;

export interface Reading {
  readonly exchange: Exchange;
  readonly service: string;
  /** The domain in handles of the server's own accounts. */
  readonly domain: string;
  readonly known: Known;
  /** Asks for the edits of a status, by its id; null when the server keeps none. */
  readonly edits: (
    id: string,
    signal: AbortSignal,
  ) => Promise<{ exchange: Exchange; parts: JsonPart[] } | null>;
}

export type Read =
  | { readonly sighting: Sighting; readonly status: StatusView }
  | { readonly rejected: Rejected }
  /** Not for everybody: it makes no record, for the archive has no compartment for such. */
  | { readonly closed: StatusView };

const CLOSED = new Set(['private', 'direct', 'limited', 'mutuals_only']);

/** @returns whether a status is for everybody: all that the archive keeps of them */
export function isOpen({ visibility }: StatusView): boolean {
  return !CLOSED.has(visibility ?? 'public');
}

const statuses = new WeakMap<JsonPart, ReturnType<typeof statusView.safeParse>>();

/** @returns the status that stands there, or what is wrong with it: checked once, however many ask */
export function statusOf(part: JsonPart): ReturnType<typeof statusView.safeParse> {
  let read = statuses.get(part);
  if (read === undefined) {
    read = statusView.safeParse(part.value);
    statuses.set(part, read);
  }
  return read;
}

/** Reads a status. Never throws for what the server sent: an unreadable one is rejected with its bytes. */
export function readStatus(part: JsonPart, reading: Reading): Read {
  const { exchange } = reading;
  const read = statusOf(part);
  if (!read.success) return rejected(part, exchange, `not a status: ${faultOf(read.error)}`);
  const status = read.data;
  if (!isOpen(status)) return { closed: status };
  const slice = sliceOf(part);
  if (slice === null) return rejected(part, exchange, 'the status nests too deeply');
  const sighting: Sighting = {
    identity: identityOf(status.uri),
    slice,
    sliceOffset: part.offset,
    sliceType: 'application/json',
    exchange,
    item: status.reblog ? boostOf(status, status.reblog, reading) : itemOf(status, status, reading),
    comparison: status.reblog ? { reposts: status.reblog.uri } : comparisonOf(status, status.edited_at),
    former: {
      rule: IMPORT_RULE,
      comparison: importComparison(
        status.reblog
          ? { reposts: status.reblog.uri }
          : { text: textOf(status), warning: status.spoiler_text, editedAt: status.edited_at },
      ),
    },
    observations: status.reblog ? {} : observationsOf(status),
    media: status.reblog ? [] : mediaOf(status, reading.service),
    ...(status.reblog || momentOf(status.edited_at ?? undefined) === null
      ? {}
      : { earlier: (signal: AbortSignal) => earlierOf(status, reading, signal) }),
  };
  return { sighting, status };
}

/** The versions that the server keeps of an edited status; each is cut from the answer as exactly as the status itself. */
async function earlierOf(
  status: StatusView,
  reading: Reading,
  signal: AbortSignal,
): Promise<PageEvent | null> {
  const answer = await reading.edits(status.id, signal);
  if (answer === null) return null;
  const { exchange } = answer;
  const sightings: Sighting[] = [];
  const unreadable: Rejected[] = [];
  for (const [index, part] of answer.parts.entries()) {
    const read = editView.safeParse(part.value);
    const slice = sliceOf(part);
    if (!read.success || slice === null) {
      unreadable.push(rejected(part, exchange, 'an edit of a status that cannot be read').rejected);
      continue;
    }
    sightings.push({
      identity: identityOf(status.uri),
      slice,
      sliceOffset: part.offset,
      sliceType: 'application/json',
      exchange,
      item: itemOf(status, read.data, reading),
      comparison: comparisonOf(read.data, index === 0 ? null : read.data.created_at),
      observations: {},
      media: mediaOf(read.data, reading.service),
    });
  }
  return { type: 'page', exchange, sightings, rejected: unreadable };
}

/** The account's profile, which its own server names by an address as it does statuses. @returns null when it is named by none */
export function readProfile(
  part: JsonPart,
  exchange: Exchange,
  service: string,
  domain: string,
): Sighting | null {
  const account = accountView.parse(part.value);
  const uri = actorOf(account);
  const slice = sliceOf(part);
  if (uri === null || slice === null) return null;
  const fields = (account.fields ?? []).map(({ name, value }) => [name, plainText(value), ...linksOf(value)]);
  const note = account.note ?? '';
  const text = [plainText(note), ...fields.map(([name, value]) => `${name}: ${value}`)];
  const pictures = [
    { role: 'avatar' as const, url: account.avatar },
    { role: 'image' as const, url: account.header },
  ].filter((one): one is { role: 'avatar' | 'image'; url: string } => URL.canParse(one.url ?? ''));
  const links = [note, ...(account.fields ?? []).map((field) => field.value)].flatMap(linksOf);
  const createdAt = momentOf(account.created_at ?? undefined);
  return {
    identity: identityOf(uri),
    slice,
    sliceOffset: part.offset,
    sliceType: 'application/json',
    exchange,
    item: {
      kind: 'profile',
      url: account.url ?? null,
      author: authorOf(account, domain),
      createdAt,
      createdAtFrom: createdAt === null ? 'unknown' : isLocal(account, domain) ? 'platform' : 'user',
      title: account.display_name || null,
      text: text.filter((line) => line !== '').join('\n'),
      contentWarning: null,
      languages: [],
      tags: [],
      links: [...new Set(links)].map(plainLink),
      inReplyTo: null,
      threadRoot: null,
      quotes: null,
      reposts: null,
    },
    comparison: {
      name: account.display_name ?? null,
      note: [plainText(note), ...linksOf(note)],
      fields,
      // A server may move its files to another host; another picture has another name.
      pictures: pictures.map(({ role, url }) => [role, new URL(url).pathname.split('/').at(-1) as string]),
    },
    observations: counted({
      followers: account.followers_count,
      following: account.following_count,
      posts: account.statuses_count,
    }),
    media: pictures.map(({ role, url }): MediaReference => {
      return { role, url: new URL(url, service).href, alt: null, mediaType: null, contentId: null };
    }),
  };
}

/** @returns what names an account in ActivityPub; servers before Mastodon 4.2 tell its address alone */
export function actorOf({ uri, url }: AccountView): string | null {
  return uri || url || null;
}

function isLocal({ acct }: AccountView, domain: string): boolean {
  return !acct.includes('@') || acct.toLowerCase().endsWith(`@${domain.toLowerCase()}`);
}

function authorOf(account: AccountView, domain: string): Item['author'] {
  const handle = account.acct.includes('@') ? account.acct : `${account.acct}@${domain}`;
  return { id: actorOf(account), handle, name: account.display_name || null };
}

export const plainLink = (url: string): Item['links'][number] => ({ url, title: null, description: null });

function itemOf(status: StatusView, written: Written, { known, domain }: Reading): Item {
  const links = wordsOf(written).links.map(plainLink);
  const { card } = status;
  if (written === status && card && URL.canParse(card.url)) {
    const shown = { url: card.url, title: card.title || null, description: card.description || null };
    const at = links.findIndex(({ url }) => url === card.url);
    if (at < 0) links.push(shown);
    else links[at] = shown;
  }
  const parent = status.in_reply_to_id ?? null;
  const createdAt = momentOf(status.created_at);
  return {
    kind: parent === null && !status.in_reply_to_account_id ? 'post' : 'reply',
    url: status.url ?? null,
    author: authorOf(status.account, domain),
    createdAt,
    createdAtFrom: createdAt === null ? 'unknown' : isLocal(status.account, domain) ? 'platform' : 'user',
    title: null,
    text: textOf(written),
    contentWarning: written.spoiler_text || null,
    languages: status.language ? [status.language] : [],
    tags: [...new Set((status.tags ?? []).map(({ name }) => name))],
    links,
    inReplyTo: parent === null ? null : (known.get(parent)?.uri ?? null),
    threadRoot: parent === null ? null : rootOf(parent, known),
    quotes: status.quote?.quoted_status?.uri ?? null,
    reposts: null,
  };
}

/** A boost is the account's; the status in it is somebody's own, so it is told as a link, never as the account's text. */
function boostOf(status: StatusView, boosted: NonNullable<StatusView['reblog']>, reading: Reading): Item {
  const { handle } = authorOf(boosted.account, reading.domain);
  const url = boosted.url ?? boosted.uri;
  return {
    ...itemOf(status, { ...status, content: '', spoiler_text: null, poll: null }, reading),
    kind: 'repost',
    url,
    languages: [],
    tags: [],
    links: [{ url, title: `@${handle}`, description: plainText(boosted.content) }],
    quotes: null,
    reposts: boosted.uri,
  };
}

const words = new WeakMap<Written, { readonly text: string; readonly links: readonly string[] }>();

/** What the HTML of a status says, read once: the item, its comparison and that of an import all ask. */
function wordsOf(written: Written): { readonly text: string; readonly links: readonly string[] } {
  let read = words.get(written);
  if (read === undefined) {
    read = { text: plainText(written.content), links: linksOf(written.content) };
    words.set(written, read);
  }
  return read;
}

/** @returns the text with the answers of a poll, one a line, as its author wrote them */
function textOf(written: Written): string {
  const { poll } = written;
  return textWithChoices(
    wordsOf(written).text,
    (poll?.options ?? []).map(({ title }) => title),
  );
}

export function textWithChoices(text: string, choices: readonly string[]): string {
  const lines = choices.map((choice) => `• ${choice}`).join('\n');
  return [text, lines].filter((part) => part !== '').join('\n\n');
}

/** @returns the comparison under {@link IMPORT_RULE} */
export function importComparison(
  shown:
    | { readonly reposts: string }
    | {
        readonly text: string;
        readonly warning: string | null | undefined;
        readonly editedAt: string | null | undefined;
      },
): Json {
  if ('reposts' in shown) return shown;
  return { text: shown.text, warning: shown.warning || null, edited: toTheSecond(shown.editedAt) };
}

function toTheSecond(moment: string | null | undefined): string | null {
  const at = momentOf(moment ?? undefined);
  if (at === null) return null;
  return Temporal.Instant.from(at).round({ smallestUnit: 'second', roundingMode: 'floor' }).toString();
}

/** Climbs as far as the thread is known. @returns null where it breaks off before its beginning */
function rootOf(id: string, known: Known): string | null {
  const climbed = new Set<string>();
  for (let next = id; !climbed.has(next); ) {
    climbed.add(next);
    const status = known.get(next);
    if (status === undefined) return null;
    if (status.parent === null) return status.uri;
    next = status.parent;
  }
  return null;
}

/** @param editedAt to the second, as ActivityPub carries it from server to server; null for what was never edited */
function comparisonOf(written: Written | EditView, editedAt: string | null | undefined): Json {
  return {
    ...wordsOf(written),
    warning: written.spoiler_text || null,
    sensitive: written.sensitive ?? false,
    media: (written.media_attachments ?? []).map(({ type, description }) => [type, description ?? '']),
    poll: (written.poll?.options ?? []).map(({ title }) => title),
    edited: toTheSecond(editedAt),
  };
}

function mediaOf({ media_attachments: attachments }: Written, service: string): MediaReference[] {
  return (attachments ?? []).map((one) => ({
    role: roleOf(one.type),
    url: originalOf(one) ?? new URL(`/api/v1/media/${encodeURIComponent(one.id)}`, service).href,
    alt: one.description || null,
    mediaType: null,
    contentId: null,
  }));
}

/** The author's own file where it is known, else the server's copy; null while it is still being prepared. */
function originalOf({ remote_url: remote, url }: Attachment): string | null {
  return [remote, url].find((one): one is string => typeof one === 'string' && URL.canParse(one)) ?? null;
}

/** @returns addresses of the server's copies by those of the originals, where they are two */
export function copiesOf({ media_attachments: attachments }: Written): [original: string, copy: string][] {
  return (attachments ?? []).flatMap((one): [string, string][] => {
    const original = originalOf(one);
    return original !== null && one.url && one.url !== original ? [[original, one.url]] : [];
  });
}

function roleOf(type: string): MediaReference['role'] {
  if (type === 'gifv') return 'video';
  return type === 'image' || type === 'video' || type === 'audio' ? type : 'document';
}

function observationsOf(status: StatusView): Record<string, number> {
  const { poll } = status;
  const votes = (poll?.options ?? []).map(({ votes_count: count }, index) => [
    `votes for ${index + 1}`,
    count,
  ]);
  return counted({
    likes: status.favourites_count,
    reposts: status.reblogs_count,
    replies: status.replies_count,
    quotes: status.quotes_count,
    votes: poll?.votes_count,
    voters: poll?.voters_count,
    ...Object.fromEntries(votes),
  });
}

function counted(counts: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counts).filter((entry): entry is [string, number] => entry[1] !== undefined),
  );
}
