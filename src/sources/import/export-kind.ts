// What a kind of export must tell: how to know it, and what its items are. How the file is opened, captured and kept is the same for all.

import type { Json } from '../../core/canonical.ts';
import { InputError } from '../../core/errors.ts';
import type { Identity } from '../../core/vocabulary.ts';
import type { SigningKey } from '../bluesky/signing-key.ts';
import type { Item, MediaReference, Problem, Sighting } from '../collector.ts';
import { type JsonPart, readJsonDocument, UnreadableJsonError } from '../slice.ts';
import { damaged } from './container.ts';
import { type Cut, type CutOptions, cutElements } from './cutter.ts';
import type { ExportFile } from './export-file.ts';

/** An item as the archive's own words have it. Its media are named by their paths in the file. */
export interface ImportedItem {
  readonly identity: Identity;
  readonly item: Item;
  readonly comparison: Json;
  readonly media: readonly MediaReference[];
}

/** What one piece of the file is. */
export type Read =
  | { readonly imported: ImportedItem }
  | { readonly rejected: string }
  /** Nothing that the archive keeps as a record, and why: told as a number. */
  | { readonly left: string };

/** A piece of the file: its exact bytes, and what was read from them. */
export interface Piece {
  readonly path: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly type: Sighting['sliceType'];
  readonly read: Read;
}

export interface OpenedExport {
  /** Sentences for the officer: whose it is, how much. */
  readonly findings: readonly string[];
  /** Names of the account whose it says it is, any of which a source's settings may ask for; empty where it does not say. */
  readonly accounts: readonly string[];
  /** Where exports of this kind never hold media: the sentence that says so, in place of a fault for each. */
  readonly withoutMedia?: string;
  /** What is open until the import ends. */
  readonly resources?: AsyncDisposable;
  /** Reads the whole file, once. @throws CollectError where it cannot go on */
  pieces(signal: AbortSignal): AsyncIterable<Piece | { readonly problem: Problem }>;
}

/** @returns the key that an account of the AT Protocol signs with now, or why there is none to be had */
export type Keys = (did: string, signal: AbortSignal) => Promise<SigningKey | string>;

export interface ExportKind {
  /** As it stands on the command line. */
  readonly name: string;
  /** Of the records. */
  readonly platform: string;
  /** Ends in `-import/N`: see `isImportRule`. */
  readonly comparisonRule: string;
  readonly collectorVersion: string;
  /**
   * @param keys finds the key that an account signs with; absent where nobody may be asked
   * @throws InputError when the file is no such export
   */
  open(file: ExportFile, signal: AbortSignal, keys?: Keys): Promise<OpenedExport>;
}

/**
 * Cuts a list of a JSON document into pieces, and reads each.
 * @throws CollectError when the document is damaged: what came before is read
 */
export async function* piecesOf(
  file: ExportFile,
  path: string,
  options: CutOptions,
  read: (part: JsonPart) => Read,
  signal: AbortSignal,
): AsyncGenerator<Piece> {
  try {
    for await (const cut of cutElements(file.read(path, signal), options)) {
      const { offset, bytes } = cut;
      yield { path, offset, bytes, type: 'application/json', read: readCut(cut, read) };
    }
  } catch (error) {
    if (!(error instanceof UnreadableJsonError)) throw error;
    throw damaged(file.name, path, error.message, error);
  }
}

/** @returns what an element that was cut is; one that is too long, or no JSON, is rejected with the reason */
export function readCut({ bytes, isWhole }: Cut, read: (part: JsonPart) => Read): Read {
  if (!isWhole)
    return { rejected: 'an item longer than any of the platform, of which the beginning is kept' };
  try {
    const part = readJsonDocument(bytes, 200);
    return read(part);
  } catch (error) {
    if (!(error instanceof UnreadableJsonError)) throw error;
    return { rejected: `not JSON: ${error.message}` };
  }
}

/**
 * @returns the path of the member of this name that lies least deep, wherever an export has its front; null when there is none
 * @throws InputError when there is one that may not be read
 */
export function memberNamed({ name, members, aside }: ExportFile, wanted: string): string | null {
  const isNamed = (path: string): boolean => path === wanted || path.endsWith(`/${wanted}`);
  const put = aside.find(({ path }) => isNamed(path));
  if (put !== undefined)
    throw new InputError(`${put.path} in ${name} may not be read: ${put.reason}`, {
      hint: 'Ask the platform for the export again, and give the file as the platform made it.',
    });
  return [...members.keys()].filter(isNamed).sort((a, b) => a.length - b.length)[0] ?? null;
}

/** @returns the JSON of a small member, such as the account's profile; null where it cannot be read */
export async function smallMember(
  file: ExportFile,
  path: string,
  signal: AbortSignal,
): Promise<unknown | null> {
  if ((file.members.get(path) ?? Number.POSITIVE_INFINITY) > SMALL) return null;
  const chunks: Buffer[] = [];
  for await (const chunk of file.read(path, signal)) chunks.push(chunk);
  // X writes a program's line before the JSON.
  const bytes = Buffer.concat(chunks);
  const begin = bytes.indexOf('=') + 1;
  const isScript = /^\s*window\./.test(bytes.toString('latin1', 0, 64));
  try {
    return readJsonDocument(isScript ? bytes.subarray(begin) : bytes).value;
  } catch (error) {
    if (error instanceof UnreadableJsonError) return null;
    throw error;
  }
}

const SMALL = 4 * 2 ** 20;

const TYPES: ReadonlyMap<string, string> = new Map([
  ['jpg', 'image/jpeg'],
  ['jpeg', 'image/jpeg'],
  ['png', 'image/png'],
  ['gif', 'image/gif'],
  ['webp', 'image/webp'],
  ['heic', 'image/heic'],
  ['mp4', 'video/mp4'],
  ['mov', 'video/quicktime'],
  ['webm', 'video/webm'],
  ['mp3', 'audio/mpeg'],
  ['pdf', 'application/pdf'],
]);

/** @returns the media type that the end of a path says, or null */
export function typeOf(path: string): string | null {
  return TYPES.get(/\.([A-Za-z0-9]+)$/.exec(path)?.[1]?.toLowerCase() ?? '') ?? null;
}

/** @returns a medium by its path in the file, or by what is said of one that is not there */
export function mediumAt(path: string, alt: string | null): MediaReference {
  const mediaType = typeOf(path.replace(/\?.*$/, ''));
  const [kind] = (mediaType ?? '').split('/');
  const role = kind === 'image' || kind === 'video' || kind === 'audio' ? kind : 'document';
  return { role, url: path, alt, mediaType, contentId: null };
}
