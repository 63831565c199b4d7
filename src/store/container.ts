// The file format of one object in the directory store. Description and bytes are one file, so that one link makes both
// visible and one fsync makes both durable.
//
// A file is one header line and then exactly the bytes that were put (`tail -n +2 FILE` prints them):
//
//   {"check":"…","contentType":"…","length":N,"metadata":{…},"v":"muniment/v1/object"}\n
//
// The header is RFC 8785 canonical JSON, at most 8,192 bytes with its line feed. `length` is the number of bytes that
// follow, so a file that was cut or grew is recognised without reading it. `check` is, in hex,
//   SHA-256("muniment/v1/object\n" ‖ key ‖ "\n" ‖ the canonical JSON of the header without `check`)
// and recognises a damaged header and a file that stands under another's name. It protects against accidents; what binds
// the bytes against intent is the key, which commits to them (FORMAT.md).

import { z } from 'zod';
import { canonicalText } from '../core/canonical.ts';
import { sha256Hex } from '../core/digest.ts';
import { VerificationError } from '../core/errors.ts';
import type { ObjectDescription } from './description.ts';
import type { ObjectKey } from './objects.ts';

export const HEADER_LIMIT = 8192;
const VERSION = 'muniment/v1/object';
const LINE_FEED = 0x0a;
const HEADER = /^\{"check":"([0-9a-f]{64})",(.*)$/s;

const headerShape = z.strictObject({
  check: z.string(),
  contentType: z.string(),
  length: z.int().nonnegative(),
  metadata: z.record(z.string(), z.string()),
  v: z.literal(VERSION),
});

export interface ContainerHeader extends ObjectDescription {
  /** Length of the bytes after the header. */
  readonly length: number;
  /** Length of the header line with its line feed: where the bytes begin. */
  readonly start: number;
}

/** @returns the header line of an object. */
export function containerHeader(key: ObjectKey, length: number, description: ObjectDescription): Buffer {
  const { contentType, metadata } = description;
  const fields = canonicalText({ contentType, length, metadata, v: VERSION });
  // `check` sorts before every other name.
  const check = sha256Hex(`${VERSION}\n${key}\n${fields}`);
  return Buffer.from(`{"check":"${check}",${fields.slice(1)}\n`);
}

/**
 * @param beginning the first bytes of the file: all of it, or at least HEADER_LIMIT
 * @param size the file's size
 * @throws VerificationError that says what is wrong with which key
 */
export function readContainerHeader(key: ObjectKey, beginning: Buffer, size: number): ContainerHeader {
  const end = beginning.subarray(0, HEADER_LIMIT).indexOf(LINE_FEED);
  if (end < 0) throw damaged(key, size === 0 ? 'its file is empty' : 'its header has no end');
  const text = beginning.toString('utf8', 0, end);
  // `check` sorts before every other name, so what it covers stands in the header as it is.
  const [, check, rest] = HEADER.exec(text) ?? [];
  if (check === undefined || check !== sha256Hex(`${VERSION}\n${key}\n{${rest}`))
    throw damaged(key, "its header was altered, or the file is another object's");
  const parsed = headerShape.safeParse(parseJson(text));
  if (!parsed.success) throw damaged(key, 'its header is not of this format');
  const fields = parsed.data;
  const missing = end + 1 + fields.length - size;
  if (missing > 0) throw new CutObjectError(key, missing, fields.metadata);
  if (missing < 0) throw damaged(key, `${-missing} bytes were appended to its file`);
  const { contentType, metadata, length } = fields;
  return { contentType, metadata, length, start: end + 1 };
}

const DAMAGED_HINT = 'Restore this file from a backup; `muniment verify` shows what else is affected.';

export function damaged(key: ObjectKey, what: string): VerificationError {
  return new VerificationError(`object ${key} is damaged: ${what}`, { hint: DAMAGED_HINT });
}

/** The end of the file is missing; its header is whole. */
export class CutObjectError extends VerificationError {
  readonly metadata: Readonly<Record<string, string>>;

  constructor(key: ObjectKey, missing: number, metadata: Readonly<Record<string, string>>) {
    super(`object ${key} is damaged: its file was cut by ${missing} bytes`, { hint: DAMAGED_HINT });
    this.metadata = metadata;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller reports it as damage, with the key
  }
}
