// What the downloads of Facebook and Instagram have in common: lists in JSON, whose UTF-8 is written as if each byte were a letter of Latin-1, and
// items without a name. An item is named by what it says: that is no name of the platform's, and no match with what the platform shows is claimed.

import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { canonicalText, type Json } from '../../core/canonical.ts';
import { sha256Hex } from '../../core/digest.ts';
import type { Identity } from '../../core/vocabulary.ts';
import { CollectError } from '../collect-error.ts';
import type { Item, MediaReference, Problem } from '../collector.ts';
import type { JsonPart } from '../slice.ts';
import { damaged } from './container.ts';
import type { ExportFile } from './export-file.ts';
import { mediumAt, type Piece, piecesOf, type Read } from './export-kind.ts';

/** @returns the text as it was written, where all of it can be mended; else the text as it stands */
export function mended(text: string): string {
  const bytes = Buffer.from(text, 'latin1');
  return bytes.toString('latin1') === text && isUtf8(bytes) ? bytes.toString('utf8') : text;
}

export const words = z.string().transform(mended).nullish().catch(undefined);
/** Seconds since 1970. */
export const seconds = z.number().nullish().catch(undefined);

/** A list of an export, and how its elements are read. */
export interface List {
  readonly path: string;
  readonly read: (part: JsonPart) => Read;
  /** The member that is the list, where it is not the first of the document. */
  readonly list?: string;
}

/** Reads the lists one after the other; one that is damaged is told, and the others are read. */
export async function* piecesOfLists(
  file: ExportFile,
  lists: readonly List[],
  signal: AbortSignal,
): AsyncGenerator<Piece | { readonly problem: Problem }> {
  for (const { path, list, read } of lists)
    try {
      const name = list ?? (await firstList(file, path, signal));
      yield* piecesOf(file, path, { list: name }, read, signal);
    } catch (error) {
      if (!(error instanceof CollectError)) throw error;
      yield { problem: error.problem };
    }
}

/** Where a document that is an object says which of its members is the list. */
const HEAD = 4096;

/** @returns the name of the list that an object begins with; null when the document itself is one. @throws CollectError when it is neither */
async function firstList(file: ExportFile, path: string, signal: AbortSignal): Promise<string | null> {
  let head = Buffer.alloc(0);
  for await (const chunk of file.read(path, signal)) {
    head = Buffer.concat([head, chunk.subarray(0, HEAD - head.length)]);
    const begin = head
      .toString('utf8')
      .replace(/^\ufeff/, '')
      .trimStart();
    if (begin.startsWith('[')) return null;
    const name = /^\{\s*"([^"\\]{1,100})"\s*:\s*\[/.exec(begin)?.[1];
    if (name !== undefined) return name;
    if (head.length === HEAD) break;
  }
  throw damaged(file.name, path, 'it does not begin with a list of JSON');
}

/**
 * @param said all that tells the item apart: of what sort it is, whose, when, and what it says
 * @returns a name that the same item has in every download. Another time or text makes another name, so none is taken for a version of another
 */
export function nameByContent(platform: string, said: Json): Identity {
  return { platform, namespace: 'download', platformId: `sha256:${sha256Hex(canonicalText(said))}` };
}

/** @returns the date that the file claims */
export function createdAt(epoch: number | null | undefined): Pick<Item, 'createdAt' | 'createdAtFrom'> {
  if (!epoch || epoch < 0 || epoch > LAST) return { createdAt: null, createdAtFrom: 'unknown' };
  const moment = Temporal.Instant.fromEpochMilliseconds(Math.floor(epoch) * 1000).toString();
  return { createdAt: moment, createdAtFrom: 'user' };
}

/** The year 2100: what is beyond it is not in seconds. */
const LAST = 4_102_444_800;

/** @param root what stands before the paths that the file's own lists give */
export function mediumOf(file: ExportFile, root: string, uri: string): MediaReference {
  const path = [uri, mended(uri)].map((one) => root + one).find((one) => file.members.has(one));
  return mediumAt(path ?? uri, null);
}

/** What stays the same of a medium from one download to the next. */
export const fileOf = (uri: string): string => uri.slice(uri.lastIndexOf('/') + 1).replace(/\?.*$/, '');

/** @returns what each list of the export begins with, up to the folder that its paths are told from */
export function rootOf(path: string, beginning: RegExp): string {
  return path.slice(0, beginning.exec(path)?.index ?? 0);
}

/** @returns a small member's value. A damaged one says nothing: what it would have said is not made up */
export async function orNull<T>(read: Promise<T>): Promise<T | null> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof CollectError) return null;
    throw error;
  }
}

/** @returns the standing gap of these downloads */
export function audienceUnknown(file: ExportFile): { readonly problem: Problem } {
  return {
    problem: {
      code: 'standing-gap',
      message: `${file.name} does not say which of its items were for everybody, nor which items of the platform they are: so they make records of their own beside captured ones.`,
      subject: null,
    },
  };
}
