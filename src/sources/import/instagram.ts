// What Instagram gives an account as "download your information", in JSON: posts, reels, stories and what the account archived, the comments that it
// wrote, and the media beside them. Built to published examples; no list says which item of the platform an element is.

import { z } from 'zod';
import { InputError } from '../../core/errors.ts';
import { faultOf } from '../answer.ts';
import type { Item } from '../collector.ts';
import { HIDDEN_TAG, itemWith } from '../sighting.ts';
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

const PLATFORM = 'instagram';
const MEDIA = /(^|\/)(content|media)\/(posts|reels|stories|archived_posts|igtv_videos)(_\d+)?\.json$/;
const COMMENTS = /(^|\/)comments\/(post_comments|reels_comments)(_\d+)?\.json$/;
/** The folders that the paths of media are told from the front of. */
const FOLDERS = /(?<=^|\/)(your_instagram_activity\/)?(content|media|comments)\/[^/]+$/;

const medium = z.looseObject({ uri: z.string().min(1), creation_timestamp: seconds, title: words });
const several = z.looseObject({
  media: z.array(medium).min(1),
  title: words,
  creation_timestamp: seconds,
});
const label = z.looseObject({ value: words, timestamp: seconds }).optional();
/** The labels are in the account's language, and only by them can the comment be told from whose post it is on. */
const commentView = z.looseObject({
  string_map_data: z.looseObject({
    Comment: z.looseObject({ value: z.string() }).transform(({ value }) => ({ value })),
    'Media Owner': label,
    Time: label,
  }),
});
const profileView = z.looseObject({
  profile_user: z
    .array(z.looseObject({ string_map_data: z.looseObject({ Username: label, Name: label }) }))
    .min(1),
});

export const INSTAGRAM_DOWNLOAD: ExportKind = {
  name: 'instagram',
  platform: PLATFORM,
  comparisonRule: 'instagram-import/1',
  collectorVersion: 'instagram-import/1',
  async open(file, signal) {
    const paths = [...file.members.keys()].filter((path) => MEDIA.test(path) || COMMENTS.test(path)).sort();
    if (paths.length === 0)
      throw new InputError(`${file.name} holds no posts of Instagram in JSON`, {
        hint: 'Ask for “download your information” in the format JSON (HTML cannot be read), with content and comments, and give the .zip as Instagram made it.',
      });
    const path = memberNamed(file, 'personal_information.json');
    const said =
      path === null ? undefined : profileView.safeParse(await orNull(smallMember(file, path, signal))).data;
    const { Username: username, Name: name } = said?.profile_user[0]?.string_map_data ?? {};
    return new InstagramDownload(file, paths, {
      id: null,
      handle: username?.value || null,
      name: name?.value || null,
    });
  },
};

type Sort = 'posts' | 'reels' | 'stories' | 'archived_posts' | 'igtv_videos';

class InstagramDownload implements OpenedExport {
  readonly findings: readonly string[];
  readonly accounts: readonly string[];
  readonly #file: ExportFile;
  readonly #lists: readonly List[];
  readonly #author: Item['author'];

  constructor(file: ExportFile, paths: readonly string[], author: Item['author']) {
    this.#file = file;
    this.#author = author;
    this.#lists = paths.map((path): List => {
      const root = rootOf(path, FOLDERS);
      const sort = MEDIA.exec(path)?.[3] as Sort | undefined;
      return {
        path,
        read: (part) => (sort === undefined ? this.#comment(part) : this.#post(part, sort, root)),
      };
    });
    const { handle } = author;
    this.accounts = handle === null ? [] : [handle];
    this.findings = [
      handle === null ? 'it does not say whose it is' : `the account ${handle}`,
      `${paths.length} list${paths.length === 1 ? '' : 's'}`,
    ];
  }

  async *pieces(signal: AbortSignal): ReturnType<OpenedExport['pieces']> {
    yield* piecesOfLists(this.#file, this.#lists, signal);
    yield audienceUnknown(this.#file);
  }

  #post(part: JsonPart, sort: Sort, root: string): Read {
    // A story, and in older downloads a post, is its one medium.
    const alone = part.member('media') === undefined;
    const read = (alone ? medium.transform((one) => ({ ...one, media: [one] })) : several).safeParse(
      part.value,
    );
    if (!read.success) return { rejected: `not a post: ${faultOf(read.error)}` };
    const { media, title, creation_timestamp: own } = read.data;
    const [first] = media;
    // Of a single medium the caption stands beside it; of several beside them all, and what one has of its own is in the slice.
    const text = title || (media.length === 1 ? first?.title : null) || '';
    const timestamp = own ?? first?.creation_timestamp ?? null;
    const uris = [...new Set(media.map(({ uri }) => uri))];
    const isArchived = sort === 'archived_posts';
    const comparison = { text, media: uris.map(fileOf) };
    const item = itemWith({
      url: null,

      kind: sort === 'stories' ? 'story' : 'post',
      author: this.#author,
      ...createdAt(timestamp),
      title: null,
      text,
      tags: isArchived ? [HIDDEN_TAG] : [],
    });
    return {
      imported: {
        identity: nameByContent(PLATFORM, [item.kind, this.#author.handle, timestamp, comparison]),
        item,
        // Archived or shown again, it is the same post.
        comparison: { ...comparison, hidden: isArchived },
        media: uris.map((uri) => mediumOf(this.#file, root, uri)),
      },
    };
  }

  #comment(part: JsonPart): Read {
    const read = commentView.safeParse(part.value);
    if (!read.success)
      return {
        rejected: `not a comment with its labels in English: ${faultOf(read.error)}. Ask for the download with the account's language set to English`,
      };
    const { Comment: comment, 'Media Owner': owner, Time: time } = read.data.string_map_data;
    const text = words.parse(comment.value) ?? '';
    const timestamp = time?.timestamp ?? null;
    const on = owner?.value || null;
    return {
      imported: {
        identity: nameByContent(PLATFORM, ['reply', this.#author.handle, timestamp, on, text]),
        item: itemWith({
          url: null,

          kind: 'reply',
          author: this.#author,
          ...createdAt(timestamp),
          title: on === null ? null : `On a post of ${on}`,
          text,
        }),
        comparison: { text, on },
        media: [],
      },
    };
  }
}
