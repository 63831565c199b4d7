// What Facebook gives a Page or a profile as "download your information", in JSON: lists of posts, comments, photos and videos, in the folders of
// several layouts, and the media beside them. Built to published examples; no list says which item of the platform an element is.

import { z } from 'zod';
import { InputError } from '../../core/errors.ts';
import { faultOf } from '../answer.ts';
import type { Item, MediaReference } from '../collector.ts';
import { itemWith } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';
import type { ExportFile } from './export-file.ts';
import { type ExportKind, memberNamed, type OpenedExport, type Read, smallMember } from './export-kind.ts';
import {
  audienceUnknown,
  createdAt,
  fileOf,
  type List,
  mediumOf,
  nameByContent,
  orNull,
  piecesOfLists,
  rootOf,
  seconds,
  words,
} from './meta-download.ts';

const PLATFORM = 'facebook';
const POSTS =
  /(^|\/)posts\/((your|profile|page)_posts|posts|your_posts__check_ins__photos_and_videos)(_\d+)?\.json$/;
const PHOTOS =
  /(^|\/)(posts|photos_and_videos)\/(album\/\d+|your_uncategorized_photos|your_photos|your_videos)\.json$/;
const COMMENTS = /(^|\/)(comments|comments_and_reactions)\/comments(_\d+)?\.json$/;
/** The folders that the paths of media are told from the front of. */
const FOLDERS =
  /(?<=^|\/)((your_facebook_activity|your_activity_across_facebook|this_profile's_activity_across_facebook)\/)?(posts|photos_and_videos|comments|comments_and_reactions)\/(album\/)?[^/]+$/;

const fbid = z
  .union([z.string().regex(/^\d{1,25}$/), z.int().positive()])
  .transform(String)
  .optional()
  .catch(undefined);
const medium = z.looseObject({
  uri: z.string().min(1),
  creation_timestamp: seconds,
  title: words,
  description: words,
});
const attachments = z
  .array(
    z.looseObject({
      data: z.array(
        z.looseObject({
          media: medium.optional(),
          external_context: z.looseObject({ url: words, name: words }).optional(),
          poll: z
            .looseObject({ question: words, options: z.array(z.looseObject({ option: words })).optional() })
            .optional(),
          text: words,
        }),
      ),
    }),
  )
  .optional();
type Attachments = z.infer<typeof attachments>;

const postView = z
  .looseObject({
    fbid,
    timestamp: seconds,
    title: words,
    data: z.array(z.looseObject({ post: words })).optional(),
    attachments,
  })
  .refine(({ data, attachments: attached }) => data !== undefined || attached !== undefined, {
    message: 'neither data nor attachments: a layout that is not known',
  });
const commentView = z.looseObject({
  fbid,
  timestamp: seconds,
  title: words,
  data: z
    .array(z.looseObject({ comment: z.looseObject({ timestamp: seconds, comment: words, author: words }) }))
    .min(1),
  attachments,
});
const photoView = medium.extend({ comments: z.array(z.unknown()).optional().catch(undefined) });

const profile = z.looseObject({
  name: z.looseObject({ full_name: words }).nullish().catch(undefined),
  username: words,
  profile_uri: words,
});
const profileView = z.looseObject({ profile_v2: profile.optional(), profile: profile.optional() });
type Profile = z.infer<typeof profile>;

export const FACEBOOK_DOWNLOAD: ExportKind = {
  name: 'facebook',
  platform: PLATFORM,
  comparisonRule: 'facebook-import/1',
  collectorVersion: 'facebook-import/1',
  async open(file, signal) {
    const paths = [...file.members.keys()].sort();
    if (!paths.some((path) => POSTS.test(path) || PHOTOS.test(path) || COMMENTS.test(path)))
      throw new InputError(`${file.name} holds no posts of Facebook in JSON`, {
        hint: 'Ask for “download your information” in the format JSON (HTML cannot be read), with posts and comments, and give the .zip as Facebook made it.',
      });
    const path = memberNamed(file, 'profile_information.json');
    const said =
      path === null ? null : profileView.safeParse(await orNull(smallMember(file, path, signal))).data;
    return new FacebookDownload(file, paths, said?.profile_v2 ?? said?.profile ?? null);
  },
};

class FacebookDownload implements OpenedExport {
  readonly findings: readonly string[];
  readonly accounts: readonly string[];
  readonly #file: ExportFile;
  readonly #lists: readonly List[];
  readonly #author: Item['author'];
  /** Tells apart what two accounts said in one second. */
  readonly #account: string;
  #below = 0;

  constructor(file: ExportFile, paths: readonly string[], profile: Profile | null) {
    this.#file = file;
    const name = profile?.name?.full_name ?? null;
    this.#author = { id: null, handle: profile?.username ?? null, name };
    this.accounts = [profile?.username, profile?.profile_uri, name].filter((one) => typeof one === 'string');
    this.#account = this.accounts[0] ?? '';
    this.#lists = paths.flatMap((path): List[] => {
      const root = rootOf(path, FOLDERS);
      if (POSTS.test(path)) return [{ path, read: (part) => this.#post(part, root) }];
      if (COMMENTS.test(path)) return [{ path, read: (part) => this.#comment(part, root) }];
      if (!PHOTOS.test(path)) return [];
      const read = (part: JsonPart): Read => this.#photo(part, root);
      return [path.includes('/album/') ? { path, read, list: 'photos' } : { path, read }];
    });
    this.findings = [
      this.accounts.length === 0 ? 'it does not say whose it is' : `the account ${this.accounts[0]}`,
      `${this.#lists.length} list${this.#lists.length === 1 ? '' : 's'}`,
    ];
  }

  async *pieces(signal: AbortSignal): ReturnType<OpenedExport['pieces']> {
    yield* piecesOfLists(this.#file, this.#lists, signal);
    yield audienceUnknown(this.#file);
    if (this.#below > 0)
      yield {
        problem: {
          code: 'standing-gap',
          message: `${this.#below} comments that stand below photos and videos in ${this.#file.name} make no records of their own; they are in the bytes of what they stand below.`,
          subject: null,
        },
      };
  }

  #post(part: JsonPart, root: string): Read {
    const read = postView.safeParse(part.value);
    if (!read.success) return { rejected: `not a post: ${faultOf(read.error)}` };
    const { data, timestamp, title, fbid: id } = read.data;
    const written = (data ?? []).flatMap(({ post }) => post ?? []);
    const author = this.#author;
    return this.#item('post', root, { id, written, title, timestamp, author }, read.data.attachments);
  }

  #comment(part: JsonPart, root: string): Read {
    const read = commentView.safeParse(part.value);
    if (!read.success) return { rejected: `not a comment: ${faultOf(read.error)}` };
    const { data, title, fbid: id } = read.data;
    const written = data.flatMap(({ comment }) => comment.comment ?? []);
    const timestamp = data[0]?.comment.timestamp ?? read.data.timestamp;
    const name = data[0]?.comment.author ?? null;
    const author = name === null || name === this.#author.name ? this.#author : { ...NOBODY, name };
    return this.#item('reply', root, { id, written, title, timestamp, author }, read.data.attachments);
  }

  #photo(part: JsonPart, root: string): Read {
    const read = photoView.safeParse(part.value);
    if (!read.success) return { rejected: `not a photo or video: ${faultOf(read.error)}` };
    const { uri, description, title, creation_timestamp: timestamp, comments } = read.data;
    this.#below += comments?.length ?? 0;
    const written = description ? [description] : [];
    const said = { id: undefined, written, title, timestamp, author: this.#author };
    return this.#item('photo', root, said, [{ data: [{ media: { uri }, text: undefined }] }]);
  }

  #item(
    sort: 'post' | 'reply' | 'photo',
    root: string,
    said: {
      readonly id: string | undefined;
      readonly written: readonly string[];
      readonly title: string | null | undefined;
      readonly timestamp: number | null | undefined;
      readonly author: Item['author'];
    },
    attached: Attachments,
  ): Read {
    const parts = (attached ?? []).flatMap(({ data }) => data);
    const files = parts.flatMap(({ media }) => media ?? []);
    const polls = parts.flatMap(({ poll }) => (poll === undefined ? [] : [poll]));
    const lines = [
      ...said.written,
      ...parts.flatMap(({ text }) => text ?? []),
      ...polls.flatMap(({ question, options }) => [question, ...(options ?? []).map(({ option }) => option)]),
    ].filter((line) => typeof line === 'string' && line !== '');
    // A photo that was posted by itself has its words beside it.
    const text = (lines.length > 0 ? lines : files.flatMap(({ description }) => description || [])).join(
      '\n',
    );
    const links = parts.flatMap(({ external_context: link }) =>
      link?.url ? [{ url: link.url, title: link.name ?? null, description: null }] : [],
    );
    const uris = [...new Set(files.map(({ uri }) => uri))];
    const comparison = { text, links: links.map(({ url }) => url), media: uris.map(fileOf) };
    const item = itemWith({
      url: null,

      kind: sort === 'reply' ? 'reply' : 'post',
      author: said.author,
      ...createdAt(said.timestamp),
      title: said.title || null,
      text,
      links,
    });
    const { id, timestamp } = said;
    const identity =
      id === undefined
        ? nameByContent(PLATFORM, [sort, this.#account, said.author.name, timestamp ?? null, comparison])
        : // Whether it is the id of the API nothing says.
          { platform: PLATFORM, namespace: 'download-fbid', platformId: id };
    const media: MediaReference[] = uris.map((uri) => mediumOf(this.#file, root, uri));
    return { imported: { identity, item, comparison, media } };
  }
}

const NOBODY = { id: null, handle: null } as const;
