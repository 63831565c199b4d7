// Google Takeout for YouTube: tables of the channel's videos and of the comments that it wrote, in folders and files that are named in the account's
// language and so are known by their columns. Ids are the platform's own: the records are those that are captured live.

import { z } from 'zod';
import { InputError } from '../../core/errors.ts';
import { CollectError } from '../collect-error.ts';
import type { Item, Problem } from '../collector.ts';
import { momentOf } from '../feed/item.ts';
import { itemWith } from '../sighting.ts';
import { identityOf, PLATFORM } from '../youtube/sighting.ts';
import { headerOf, piecesOfRows, type Row } from './csv.ts';
import type { ExportFile } from './export-file.ts';
import type { ExportKind, OpenedExport, Read } from './export-kind.ts';

/** Columns by which a table is known; Google has written their words in more than one case. */
const TABLES = {
  comments: ['comment id', 'comment text', 'video id'],
  videos: ['video id', 'video title (original)', 'privacy'],
  channel: ['channel id', 'channel title (original)'],
} as const;
type Table = keyof typeof TABLES;
/** Takeout holds a table for each playlist too. */
const MOST_TABLES = 20_000;
const OLD_COMMENTS = /(^|\/)my-comments\.html$/;
const VIDEO = /\.(mp4|mov|avi|mkv|webm|wmv|flv|mpe?g|3gp)$/i;
const LEFT_CLOSED = 'private videos, and make no record';

export const YOUTUBE_TAKEOUT: ExportKind = {
  name: 'youtube',
  platform: PLATFORM,
  comparisonRule: 'youtube-import/1',
  collectorVersion: 'youtube-import/1',
  async open(file, signal) {
    const tables: Record<Table, string[]> = { comments: [], videos: [], channel: [] };
    const problems: Problem[] = [];
    const paths = [...file.members.keys()].filter((path) => /\.csv$/i.test(path)).sort();
    if (paths.length > MOST_TABLES)
      throw new InputError(`${file.name} holds more than ${MOST_TABLES} tables`, {
        hint: 'Ask Google Takeout for YouTube alone.',
      });
    for (const path of paths)
      try {
        const table = tableOf(await headerOf(file, path, ',', signal));
        if (table !== null) tables[table].push(path);
      } catch (error) {
        if (!(error instanceof CollectError)) throw error;
        problems.push(error.problem);
      }
    if (tables.comments.length + tables.videos.length === 0)
      throw new InputError(
        `${file.name} holds no table of videos or comments with their columns in English`,
        {
          hint: 'Ask Google Takeout for YouTube with comments and video metadata; with the account’s language set to English, and give the .zip or .tgz as Google made it. Comments as HTML (my-comments.html) cannot be read.',
        },
      );
    const channels = await channelsOf(file, tables.channel, signal);
    return new Takeout(file, tables, channels, problems);
  },
};

function tableOf(columns: readonly string[] | null): Table | null {
  const known = new Set(columns?.map((name) => name.toLowerCase()));
  const found = Object.entries(TABLES).find(([, needed]) => needed.every((name) => known.has(name)));
  return found === undefined ? null : (found[0] as Table);
}

/** @returns the title of the account's channels by their ids */
async function channelsOf(
  file: ExportFile,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const channels = new Map<string, string>();
  const note = (row: Row): Read => {
    const cell = cellIn(row);
    if (channels.size < 100) channels.set(cell('channel id'), cell('channel title (original)'));
    return { left: 'channels' };
  };
  for (const path of paths)
    try {
      for await (const _ of piecesOfRows(file, path, ',', note, signal));
    } catch (error) {
      // It only says whose it is.
      if (!(error instanceof CollectError)) throw error;
    }
  return channels;
}

class Takeout implements OpenedExport {
  readonly findings: readonly string[];
  readonly accounts: readonly string[];
  readonly #file: ExportFile;
  readonly #tables: Readonly<Record<Table, readonly string[]>>;
  readonly #channels: ReadonlyMap<string, string>;
  readonly #problems: readonly Problem[];

  constructor(
    file: ExportFile,
    tables: Readonly<Record<Table, readonly string[]>>,
    channels: ReadonlyMap<string, string>,
    problems: readonly Problem[],
  ) {
    this.#file = file;
    this.#tables = tables;
    this.#channels = channels;
    this.#problems = problems;
    this.accounts = [...channels.keys()];
    this.findings = [
      channels.size === 0 ? 'it does not say whose it is' : `the channel ${this.accounts.join(', ')}`,
      `${tables.videos.length} table${tables.videos.length === 1 ? '' : 's'} of videos, ${tables.comments.length} of comments`,
    ];
  }

  async *pieces(signal: AbortSignal): ReturnType<OpenedExport['pieces']> {
    for (const problem of this.#problems) yield { problem };
    for (const [table, read] of [
      ['videos', (row: Row) => this.#video(row)],
      ['comments', (row: Row) => this.#comment(row)],
    ] as const)
      for (const path of this.#tables[table])
        try {
          yield* piecesOfRows(this.#file, path, ',', read, signal);
        } catch (error) {
          if (!(error instanceof CollectError)) throw error;
          yield { problem: error.problem };
        }
    const paths = [...this.#file.members.keys()];
    const videos = paths.filter((path) => VIDEO.test(path)).length;
    const told = [
      ...(paths.some((path) => OLD_COMMENTS.test(path))
        ? ['comments as HTML (my-comments.html), which do not say their ids, are not read']
        : []),
      ...(videos > 0
        ? [`${videos} files of videos are named by titles, so none is certainly that of a record`]
        : []),
    ];
    for (const one of told) {
      const message = `In ${this.#file.name}, ${one}; the file itself is kept whole.`;
      yield { problem: { code: 'standing-gap', message, subject: null } };
    }
  }

  #video(row: Row): Read {
    const cell = cellIn(row);
    const id = cell('video id');
    if (!/^[\w-]{11}$/.test(id)) return { rejected: 'not a video: its id is none of YouTube' };
    if (/^private$/i.test(cell('privacy'))) return { left: LEFT_CLOSED };
    const [title, text] = [cell('video title (original)'), cell('video description (original)')];
    const tags = [...row].flatMap(([name, tag]) =>
      /^video tag \d+$/i.test(name) && tag !== '' ? [tag] : [],
    );
    const language = cell('video audio language');
    const item = itemWith({
      kind: 'post',
      url: `https://www.youtube.com/watch?v=${id}`,
      author: this.#author(cell('channel id')),
      ...createdAt(cell('video publish timestamp') || cell('video create timestamp')),
      title,
      text,
      languages: language === '' ? [] : [language],
      tags: [...new Set(tags)],
      inReplyTo: null,
      threadRoot: null,
    });
    return {
      imported: { identity: identityOf(id), item, comparison: { title, description: text, tags }, media: [] },
    };
  }

  #comment(row: Row): Read {
    const cell = cellIn(row);
    const id = cell('comment id');
    if (!/^[\w.-]{10,120}$/.test(id)) return { rejected: 'not a comment: its id is none of YouTube' };
    const video = cell('video id') || null;
    const root = video ?? (cell('post id') || null);
    const text = writtenIn(cell('comment text'));
    const item = itemWith({
      kind: 'reply',
      url: video === null ? null : `https://www.youtube.com/watch?v=${video}&lc=${id}`,
      author: this.#author(cell('channel id')),
      ...createdAt(cell('comment create timestamp')),
      title: null,
      text,
      languages: [],
      tags: [],
      inReplyTo: cell('parent comment id') || root,
      threadRoot: root,
    });
    return { imported: { identity: identityOf(id), item, comparison: { text }, media: [] } };
  }

  #author(channel: string): Item['author'] {
    return { id: channel || null, handle: null, name: this.#channels.get(channel) || null };
  }
}

/** @returns what stands in a column, however its name is spelt; nothing where there is no such column */
function cellIn(row: Row): (column: string) => string {
  const cells = new Map([...row].map(([name, cell]) => [name.toLowerCase(), cell]));
  return (column) => cells.get(column) ?? '';
}

const segment = z.looseObject({ text: z.string() });
const segments = z.union([
  z.looseObject({ takeoutSegments: z.array(segment) }).transform(({ takeoutSegments }) => takeoutSegments),
  z.array(segment),
]);

/** A comment's text stands as JSON, in pieces of which a link or a name is one; the oldest tables have it plain. */
function writtenIn(cell: string): string {
  if (!cell.startsWith('{')) return cell;
  for (const json of [cell, `[${cell}]`])
    try {
      const read = segments.safeParse(JSON.parse(json));
      if (read.success) return read.data.map(({ text }) => text).join('');
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  return cell;
}

function createdAt(cell: string): Pick<Item, 'createdAt' | 'createdAtFrom'> {
  const moment = momentOf(cell);
  return { createdAt: moment, createdAtFrom: moment === null ? 'unknown' : 'user' };
}
