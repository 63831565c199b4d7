// The archive that X gives an account: `data/tweets.js`, its parts, and what else holds posts, each a JavaScript line that names a JSON list; media
// lie beside them, named by the post that they belong to. The file says in itself what it is: `data/manifest.js`, `data/account.js`.

import { z } from 'zod';
import { InputError } from '../../core/errors.ts';
import { faultOf } from '../answer.ts';
import type { Item, MediaReference } from '../collector.ts';
import type { JsonPart } from '../slice.ts';
import { identityOf, withoutEntities } from '../x/posts.ts';
import type { ExportFile } from './export-file.ts';
import {
  type ExportKind,
  type ImportedItem,
  memberNamed,
  type OpenedExport,
  type Piece,
  piecesOf,
  type Read,
  smallMember,
  typeOf,
} from './export-kind.ts';

/** Lists of posts, in their parts: older archives say `tweet`. */
const LISTS = /(^|\/)data\/(tweets?|deleted-tweets?|community-tweet)(-part\d+)?\.js$/;
/** The whole words of posts that are longer than their text in the lists above; they do not say which post is theirs. */
const NOTES = /(^|\/)data\/note-tweet(-part\d+)?\.js$/;
const LEFT_NOTES =
  'whole words of long posts, whose records have only their beginning: the archive does not say whose they are';
/** Bytes of edits that are held back until their posts are read; more of them come as they stand. */
const HELD = 64 * 2 ** 20;
const MEDIA = /(^|\/)data\/(?:tweets?|deleted_tweets?|community_tweet)_media\/((\d+)-([^/]+))$/;
const NAMED = /^window\.YTD\.[A-Za-z0-9_.]+ ?=$/;

const text = z.string().nullish().catch(undefined);
const id = z.string().regex(/^\d{1,25}$/, 'is no id of X');
const address = z.looseObject({ url: text, expanded_url: text, media_url_https: text });

const tweetView = z.looseObject({
  id_str: id,
  full_text: z.string(),
  created_at: text,
  lang: text,
  in_reply_to_status_id_str: text,
  edit_info: z
    .looseObject({
      initial: z.looseObject({ editTweetIds: z.array(id) }).optional(),
      edit: z.looseObject({ initialTweetId: id }).optional(),
    })
    .nullish()
    .catch(undefined),
  entities: z
    .looseObject({
      hashtags: z.array(z.looseObject({ text: z.string() })).optional(),
      urls: z.array(address).optional(),
    })
    .nullish()
    .catch(undefined),
  extended_entities: z
    .looseObject({
      media: z.array(
        z.looseObject({
          type: z.string(),
          media_url_https: text,
          video_info: z
            .looseObject({ variants: z.array(z.looseObject({ url: z.string() })) })
            .nullish()
            .catch(undefined),
        }),
      ),
    })
    .nullish()
    .catch(undefined),
});
type TweetView = z.infer<typeof tweetView>;

const accountView = z
  .array(
    z.looseObject({
      account: z.looseObject({ accountId: z.string(), username: z.string(), accountDisplayName: text }),
    }),
  )
  .min(1);

export const X_ARCHIVE: ExportKind = {
  name: 'x',
  platform: 'x',
  comparisonRule: 'x-import/1',
  collectorVersion: 'x-import/1',
  async open(file, signal) {
    const lists = [...file.members.keys()].filter((path) => LISTS.test(path)).sort();
    memberNamed(file, 'tweets.js');
    if (lists.length === 0)
      throw new InputError(`${file.name} holds no data/tweets.js, so it is no archive of an account on X`, {
        hint: 'Give the .zip that X made under Settings › Your account › Download an archive of your data.',
      });
    const path = memberNamed(file, 'account.js');
    const account =
      path === null ? undefined : accountView.safeParse(await smallMember(file, path, signal)).data;
    return new XArchive(file, lists, account?.[0]?.account ?? null);
  },
};

class XArchive implements OpenedExport {
  readonly findings: readonly string[];
  readonly accounts: readonly string[];
  readonly #file: ExportFile;
  readonly #lists: readonly string[];
  readonly #author: Item['author'];
  /** Paths by the post's id. */
  readonly #media = new Map<string, { path: string; name: string }[]>();

  constructor(
    file: ExportFile,
    lists: readonly string[],
    account: z.infer<typeof accountView>[number]['account'] | null,
  ) {
    this.#file = file;
    this.#lists = lists;
    this.#author = {
      id: account?.accountId ?? null,
      handle: account?.username ?? null,
      name: account?.accountDisplayName ?? null,
    };
    this.findings = [
      account === null ? 'it does not say whose it is' : `the account ${account.username}`,
      `${lists.length} list${lists.length === 1 ? '' : 's'} of posts`,
    ];
    this.accounts = account === null ? [] : [account.username, account.accountId];
    for (const path of file.members.keys()) {
      const [, , , post, name] = MEDIA.exec(path) ?? [];
      if (post === undefined || name === undefined) continue;
      const known = this.#media.get(post);
      if (known === undefined) this.#media.set(post, [{ path, name }]);
      else known.push({ path, name });
    }
  }

  async *pieces(signal: AbortSignal): ReturnType<OpenedExport['pieces']> {
    const options = { list: null, before: NAMED };
    // Lists are in no promised order, and versions are entered in the order in which they come.
    const edits: { id: bigint; piece: Piece }[] = [];
    let held = 0;
    let failure: unknown = null;
    try {
      for (const path of this.#lists)
        for await (const piece of piecesOf(this.#file, path, options, (part) => this.#read(part), signal)) {
          const edit = editOf(piece);
          if (edit === null || held > HELD) yield piece;
          else {
            edits.push({ id: edit, piece });
            held += piece.bytes.length;
          }
        }
    } catch (error) {
      failure = error;
    }
    for (const { piece } of edits.sort((one, other) => (one.id < other.id ? -1 : 1))) yield piece;
    if (failure !== null) throw failure;
    const left = (): Read => ({ left: LEFT_NOTES });
    for (const path of this.#file.members.keys())
      if (NOTES.test(path)) yield* piecesOf(this.#file, path, options, left, signal);
  }

  #read(part: JsonPart): Read {
    // Archives before 2020 have the post without the object around it.
    const read = tweetView.safeParse(part.member('tweet')?.value ?? part.value);
    return read.success
      ? { imported: this.#post(read.data) }
      : { rejected: `not a post: ${faultOf(read.error)}` };
  }

  #post(tweet: TweetView): ImportedItem {
    const { entities } = tweet;
    const createdAt = momentOf(tweet.created_at);
    const parent = tweet.in_reply_to_status_id_str || null;
    const written = withoutEntities(tweet.full_text);
    const links = (entities?.urls ?? []).flatMap(({ url, expanded_url: whole }) => whole ?? url ?? []);
    const item: Item = {
      kind: parent === null ? 'post' : 'reply',
      url: `https://x.com/i/status/${tweet.id_str}`,
      author: this.#author,
      createdAt,
      createdAtFrom: createdAt === null ? 'unknown' : 'user',
      title: null,
      text: written,
      contentWarning: null,
      languages: tweet.lang && !/^(und|zxx|q..)$/.test(tweet.lang) ? [tweet.lang] : [],
      tags: [...new Set((entities?.hashtags ?? []).map((tag) => tag.text))],
      links: [...new Set(links)].map((url) => ({ url, title: null, description: null })),
      inReplyTo: parent,
      threadRoot: null,
      quotes: null,
      reposts: null,
    };
    return {
      // Every edit has an id of its own; the first names the post.
      identity: identityOf(
        tweet.edit_info?.edit?.initialTweetId ?? tweet.edit_info?.initial?.editTweetIds[0] ?? tweet.id_str,
      ),
      item,
      comparison: { id: tweet.id_str, text: written },
      media: this.#mediaOf(tweet),
    };
  }

  /** Files of the post, and what the post names that is not among them: it is told as missing. */
  #mediaOf(tweet: TweetView): MediaReference[] {
    const files = this.#media.get(tweet.id_str) ?? [];
    const left = new Set(files);
    const named = (tweet.extended_entities?.media ?? []).map((one): MediaReference => {
      const addresses = [one.media_url_https, ...(one.video_info?.variants ?? []).map(({ url }) => url)];
      const isVideo = one.type !== 'photo';
      const wanted = isVideo ? addresses.slice(1) : addresses;
      const file = files.find(({ name }) => wanted.some((url) => lastPart(url) === name));
      if (file !== undefined) left.delete(file);
      return medium(file?.path ?? wanted[0] ?? tweet.id_str, isVideo ? 'video' : 'image');
    });
    const others = [...left].map(({ path }) => medium(path, /\.mp4$/i.test(path) ? 'video' : 'image'));
    return [...named, ...others];
  }
}

/** @returns the id of a post that is an edit of another, or null */
function editOf({ read }: Piece): bigint | null {
  if (!('imported' in read)) return null;
  const { id } = read.imported.comparison as { id: string };
  return id === read.imported.identity.platformId ? null : BigInt(id);
}

function medium(path: string, role: MediaReference['role']): MediaReference {
  return { role, url: path, alt: null, mediaType: typeOf(path), contentId: null };
}

function lastPart(url: string | null | undefined): string | null {
  return url && URL.canParse(url) ? (new URL(url).pathname.split('/').at(-1) ?? null) : null;
}

const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** "Wed Nov 05 14:01:02 +0000 2025". @returns RFC 3339, or null */
function momentOf(written: string | null | undefined): string | null {
  const match = /^\w{3} (\w{3}) (\d{2}) (\d{2}:\d{2}:\d{2}) \+0000 (\d{4})$/.exec(written ?? '');
  const month = MONTHS.indexOf(match?.[1] ?? '') + 1;
  if (match === null || month === 0) return null;
  const moment = `${match[4]}-${String(month).padStart(2, '0')}-${match[2]}T${match[3]}Z`;
  try {
    Temporal.Instant.from(moment);
    return moment;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
