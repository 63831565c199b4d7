// Turns what a Bluesky service shows (a post view, a feed element with a repost) into sightings. The unit is the post view's
// exact bytes; the author's name, picture and the counters in it change on their own and decide nothing.

import type { Json } from '../../core/canonical.ts';
import type { Identity } from '../../core/vocabulary.ts';
import { faultOf, rejected, sliceOf } from '../answer.ts';
import type { Exchange, Item, MediaReference, Rejected, Sighting } from '../collector.ts';
import { itemWith } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';
import { type Medium, type PostView, type ProfileView, postRecord, postView, repostReason } from './views.ts';

export const PLATFORM = 'bluesky';
const NAMESPACE = 'at-uri';
export const POSTS = 'app.bsky.feed.post';
export const PROFILES = 'app.bsky.actor.profile';
/** The one key of a profile. */
export const PROFILE_KEY = 'self';
/** What an account's repository, as a file, and a service both tell of a record. */
export const IMPORT_RULE = 'bluesky-import/1';

export interface AtUri {
  readonly did: string;
  readonly collection: string;
  readonly rkey: string;
}

/** @returns the parts of at://did/collection/rkey, or null when it is no such address */
export function parseAtUri(uri: string): AtUri | null {
  const match = /^at:\/\/(did:[^/]+)\/([^/]+)\/([^/]+)$/.exec(uri);
  return match === null
    ? null
    : { did: match[1] as string, collection: match[2] as string, rkey: match[3] as string };
}

export function identityOf(uri: string): Identity {
  return { platform: PLATFORM, namespace: NAMESPACE, platformId: uri };
}

/** Gives the address of a blob of an author. */
export type BlobAddress = (did: string, contentId: string) => Promise<string>;

/** What stands beside an author's records in the author's repository. */
export interface Beside {
  readonly blobAddress: BlobAddress;
  /** The proof of a record, by its own content id; none for those of other accounts. */
  readonly proofs: (uri: string, contentId: string) => Promise<readonly MediaReference[]>;
}

export type Read = { readonly sighting: Sighting; readonly post: PostView } | { readonly rejected: Rejected };

/** Reads a post view. Never throws for what the platform sent: an unreadable item is rejected with its bytes. */
export async function readPost(
  part: JsonPart,
  exchange: Exchange,
  { blobAddress, proofs }: Beside,
): Promise<Read> {
  const read = postView.safeParse(part.value);
  if (!read.success) return rejected(part, exchange, `not a post: ${faultOf(read.error)}`);
  const post = read.data;
  const at = parseAtUri(post.uri);
  if (at === null || at.did !== post.author.did)
    return rejected(part, exchange, 'the author is not the owner of the post’s address');
  if (at.collection !== POSTS)
    return rejected(part, exchange, `a record of ${at.collection} where a post is due`);
  const slice = sliceOf(part);
  if (slice === null) return rejected(part, exchange, 'the post nests too deeply');
  const record = postRecord.parse(post.record);
  const { handle, displayName } = post.author;
  const author = { id: at.did, handle: handleOf(handle), name: displayName || null };
  const { item, media } = contentOf(post.uri, author, record);
  const sighting: Sighting = {
    identity: identityOf(post.uri),
    slice,
    sliceOffset: part.offset,
    sliceType: 'application/json',
    exchange,
    item,
    comparison: { author: post.author.did, cid: post.cid, record: post.record as Json },
    former: { rule: IMPORT_RULE, comparison: importComparison({ cid: post.cid }) },
    observations: observationsOf(post),
    media: [
      ...(await Promise.all(
        media.map(async ({ blob, ...rest }) => ({
          ...rest,
          mediaType: blob.mediaType,
          contentId: blob.cid,
          url: await blobAddress(at.did, blob.cid),
        })),
      )),
      ...(await proofs(post.uri, post.cid)),
    ],
  };
  return { sighting, post };
}

/**
 * Reads an element of the author's feed that is there because the account reposted it. The repost is the account's; the post
 * in it is somebody's own, so it is told as a link with its author's name, never as the account's text.
 * @returns null when the service does not name the repost itself
 */
export async function readRepost(
  part: JsonPart,
  exchange: Exchange,
  account: string,
  { proofs }: Beside,
): Promise<Read | null> {
  const reason = repostReason.safeParse(part.member('reason')?.value);
  const read = postView.safeParse(part.member('post')?.value);
  if (!reason.success) return rejected(part, exchange, `not a repost: ${faultOf(reason.error)}`);
  if (!read.success) return rejected(part, exchange, `not a reposted post: ${faultOf(read.error)}`);
  const { by, uri, cid, indexedAt } = reason.data;
  const post = read.data;
  if (uri === undefined) return null;
  if (by.did !== account || parseAtUri(uri)?.did !== account)
    return rejected(part, exchange, 'a repost by another account in this account’s feed');
  const slice = sliceOf(part);
  if (slice === null) return rejected(part, exchange, 'the repost nests too deeply');
  const author = { id: by.did, handle: handleOf(by.handle), name: by.displayName || null };
  const item: Item = {
    ...repostOf(post.uri, author, { title: `@${post.author.handle}`, description: post.record.text }),
    createdAt: momentOrNull(indexedAt),
    createdAtFrom: 'platform',
  };
  const sighting: Sighting = {
    identity: identityOf(uri),
    slice,
    sliceOffset: part.offset,
    sliceType: 'application/json',
    exchange,
    item,
    comparison: { author: by.did, cid: cid ?? null, reposts: post.uri },
    former: { rule: IMPORT_RULE, comparison: importComparison({ reposts: post.uri }) },
    observations: {},
    media: cid === undefined ? [] : await proofs(uri, cid),
  };
  return { sighting, post };
}

/** @returns whether a service shows anything that stands in a profile: an account need not have one */
export function showsProfile(profile: ProfileView): boolean {
  const { displayName, description, avatar, banner, indexedAt } = profile;
  return [displayName, description, avatar, banner, indexedAt].some((one) => one !== undefined && one !== '');
}

/**
 * Reads the account's profile, by the record that a repository has of it.
 * @param part the whole answer
 * @param contentId of the record, where it is known: no service tells it beside what it shows. By it an imported one is known again
 * @returns null when it nests too deeply
 */
export async function readProfile(
  part: JsonPart,
  profile: ProfileView,
  contentId: string | null,
  exchange: Exchange,
  { blobAddress, proofs }: Beside,
): Promise<Sighting | null> {
  const slice = sliceOf(part);
  if (slice === null) return null;
  const { did, handle, displayName, description, createdAt, labels } = profile;
  const own = (labels ?? []).filter(({ src }) => src === did).map(({ val }) => val);
  // What others say of an account changes by itself: it is told, and decides nothing.
  const given = (labels ?? [])
    .filter(({ src }) => src !== did)
    .map(({ val, src }) => `labelled ${val} by ${src}`);
  const pictures = (['avatar', 'banner'] as const).map((name) => ({
    role: name === 'avatar' ? ('avatar' as const) : ('image' as const),
    contentId: pictureId(did, profile[name]),
  }));
  const item: Item = {
    ...profileOf(
      did,
      { id: did, handle: handleOf(handle), name: displayName || null },
      { description, createdAt },
    ),
    contentWarning: own.join(', ') || null,
    tags: [...new Set(given)],
  };
  const uri = `at://${did}/${PROFILES}/${PROFILE_KEY}`;
  return {
    identity: identityOf(uri),
    slice,
    sliceOffset: part.offset,
    sliceType: 'application/json',
    exchange,
    item,
    comparison: profileComparison(profile),
    ...(contentId === null
      ? {}
      : { former: { rule: IMPORT_RULE, comparison: importComparison({ cid: contentId }) } }),
    observations: counted({
      followers: profile.followersCount,
      following: profile.followsCount,
      posts: profile.postsCount,
    }),
    media: [
      ...(await Promise.all(
        pictures
          .filter((one): one is { role: 'avatar' | 'image'; contentId: string } => one.contentId !== null)
          .map(async ({ role, contentId: cid }) => ({
            role,
            url: await blobAddress(did, cid),
            alt: null,
            mediaType: null,
            contentId: cid,
          })),
      )),
      ...(contentId === null ? [] : await proofs(uri, contentId)),
    ],
  };
}

/** @returns what stands in the profile itself, of all that a service shows with it */
export function profileComparison(profile: ProfileView): Json {
  const { did, displayName, description, avatar, banner, labels } = profile;
  const own = (labels ?? []).filter(({ src }) => src === did).map(({ val }) => val);
  return {
    author: did,
    name: displayName ?? '',
    description: description ?? '',
    avatar: pictureId(did, avatar) ?? avatar ?? null,
    banner: pictureId(did, banner) ?? banner ?? null,
    labels: own.sort(),
  };
}

/** A service shows small copies of its own making, whose addresses name the account and the content id of what it gave. */
function pictureId(did: string, address: string | undefined): string | null {
  const [owner, name] = (address ?? '').split('/').slice(-2);
  const id = /^(b[a-z2-7]{20,})(@[a-z]+)?$/.exec(name ?? '')?.[1];
  return owner === did || owner === encodeURIComponent(did) ? (id ?? null) : null;
}

/** @returns a profile as an item, as a service and a repository both tell it */
export function profileOf(
  did: string,
  author: Item['author'],
  shown: { readonly description: string | undefined; readonly createdAt: string | undefined },
): Item {
  const createdAt = momentOrNull(shown.createdAt ?? '');
  return itemWith({
    kind: 'profile',
    url: `https://bsky.app/profile/${did}`,
    author,
    createdAt,
    createdAtFrom: createdAt === null ? 'unknown' : 'user',
    title: author.name,
    text: shown.description ?? '',
  });
}

/** @returns a repost as an item, but for its date; what is known of the post in it stands beside the link to it */
export function repostOf(
  reposted: string,
  author: Item['author'],
  shown: { title: string | null; description: string | null },
): Omit<Item, 'createdAt' | 'createdAtFrom'> {
  return {
    kind: 'repost',
    url: webAddress(reposted),
    author,
    title: null,
    text: '',
    contentWarning: null,
    languages: [],
    tags: [],
    links: [{ url: webAddress(reposted) ?? reposted, ...shown }],
    inReplyTo: null,
    threadRoot: null,
    quotes: null,
    reposts: reposted,
  };
}

/**
 * @returns the comparison under {@link IMPORT_RULE}: a record's content id says all of its content; that of a repost is not told by every
 *   service
 */
export function importComparison(shown: { readonly cid: string } | { readonly reposts: string }): Json {
  return shown;
}

/** @returns the text itself when it names a moment (RFC 3339), else null: a user's client may write anything here */
export function momentOrNull(text: string): string | null {
  try {
    Temporal.Instant.from(text);
    return text;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function handleOf(handle: string): string | null {
  return handle === '' || handle === 'handle.invalid' ? null : handle;
}

function webAddress(uri: string): string | null {
  const at = parseAtUri(uri);
  return at === null || at.collection !== POSTS ? null : `https://bsky.app/profile/${at.did}/post/${at.rkey}`;
}

type PostRecord = ReturnType<typeof postRecord.parse>;

interface Blob {
  readonly cid: string;
  readonly mediaType: string;
}
export type BlobMedium = Pick<MediaReference, 'role' | 'alt'> & { readonly blob: Blob };

/** @returns what a post's record says, and the blobs that it names */
export function contentOf(
  uri: string,
  author: Item['author'],
  record: PostRecord,
): { item: Item; media: BlobMedium[] } {
  const links: Item['links'][number][] = [];
  const tags = [...(record.tags ?? [])];
  for (const { uri: url, tag } of (record.facets ?? []).flatMap((facet) => facet.features)) {
    if (url !== undefined) links.push({ url, title: null, description: null });
    if (tag !== undefined) tags.push(tag);
  }
  const { embed } = record;
  const medium =
    embed?.$type === 'app.bsky.embed.recordWithMedia'
      ? embed.media
      : embed?.$type === 'app.bsky.embed.record'
        ? undefined
        : embed;
  if (medium?.$type === 'app.bsky.embed.external') {
    const { uri: url, title, description } = medium.external;
    links.push({ url, title: title || null, description: description || null });
  }
  const quoted =
    embed?.$type === 'app.bsky.embed.recordWithMedia'
      ? embed.record.record
      : embed?.$type === 'app.bsky.embed.record'
        ? embed.record
        : null;
  // A quoted list, feed or starter pack is no item of the archive: it is told as a link.
  const quotesPost = quoted !== null && parseAtUri(quoted.uri)?.collection === POSTS;
  if (quoted !== null && !quotesPost) links.push({ url: quoted.uri, title: null, description: null });
  const item: Item = {
    kind: record.reply === undefined ? 'post' : 'reply',
    url: webAddress(uri),
    author,
    createdAt: momentOrNull(record.createdAt),
    createdAtFrom: 'user',
    title: null,
    text: record.text,
    contentWarning: record.labels?.values.map((label) => label.val).join(', ') || null,
    languages: record.langs ?? [],
    tags: [...new Set(tags)],
    links: links.filter(
      (link, index) =>
        links.findIndex((other) => other.url === link.url && other.title === link.title) === index,
    ),
    inReplyTo: record.reply?.parent.uri ?? null,
    threadRoot: record.reply?.root.uri ?? null,
    quotes: quotesPost ? quoted.uri : null,
    ...(quotesPost && quoted.cid !== undefined ? { quotedContentId: quoted.cid } : {}),
    reposts: null,
  };
  return { item, media: medium === undefined ? [] : mediaOf(medium) };
}

function mediaOf(medium: Medium): BlobMedium[] {
  if (medium.$type === 'app.bsky.embed.images') {
    return medium.images.map(({ image, alt }) => ({ role: 'image', alt: alt || null, blob: image }));
  }
  if (medium.$type === 'app.bsky.embed.external') {
    return medium.external.thumb === undefined
      ? []
      : [{ role: 'preview', alt: null, blob: medium.external.thumb }];
  }
  const captions = (medium.captions ?? []).map(
    (caption): BlobMedium => ({ role: 'document', alt: `captions (${caption.lang})`, blob: caption.file }),
  );
  return [{ role: 'video', alt: medium.alt || null, blob: medium.video }, ...captions];
}

function observationsOf(post: PostView): Record<string, number> {
  return counted({
    likes: post.likeCount,
    reposts: post.repostCount,
    replies: post.replyCount,
    quotes: post.quoteCount,
  });
}

function counted(counts: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counts).filter((entry): entry is [string, number] => entry[1] !== undefined),
  );
}
