// Exact byte ranges of the values in a JSON document, so that an item can be kept as the platform wrote it. Values come from
// JSON.parse over the whole document; this scanner only finds where each stands, and every slice is checked against its value.

import { isDeepStrictEqual } from 'node:util';

/** The bytes are not one JSON document in UTF-8, or nest too deeply. */
export class UnreadableJsonError extends SyntaxError {}

/** Levels of nesting read in a document (a thread nests two per reply) and in one item. */
const DEEPEST = 5000;
const DEEPEST_SLICE = 200;

interface Place {
  readonly start: number;
  end: number;
  /** Levels of nesting: 0 for a scalar. */
  height: number;
  readonly members: Map<string, Place> | null;
  readonly elements: Place[] | null;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** @returns the offset after the closing quote of the string that begins at `start` */
function stringEnd(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === BACKSLASH) at += 1;
    else if (byte === QUOTE) return at + 1;
  }
  throw new UnreadableJsonError(`the string at byte ${start} has no end`);
}

function scalarEnd(bytes: Uint8Array, start: number): number {
  if (bytes[start] === QUOTE) return stringEnd(bytes, start);
  let at = start;
  while (at < bytes.length) {
    const byte = bytes[at];
    if (isSpace(byte) || byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET) break;
    at += 1;
  }
  return at;
}

/**
 * Finds every value's place. The document is known to be well-formed (JSON.parse took it), so separators only need skipping;
 * of a repeated key the last place counts, as it does for JSON.parse. No recursion: depth costs memory, not stack.
 */
function placesOf(bytes: Buffer, begin: number, deepest: number): Place {
  const open: Place[] = [];
  let key: string | null = null;
  let root: Place | null = null;
  let at = begin;
  const enter = (place: Place): void => {
    const parent = open.at(-1);
    if (parent === undefined) root = place;
    else if (parent.elements !== null) parent.elements.push(place);
    else parent.members?.set(key as string, place);
    key = null;
  };
  while (at < bytes.length) {
    const byte = bytes[at];
    if (isSpace(byte) || byte === COMMA || byte === COLON) {
      at += 1;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      at += 1;
      const closed = open.pop();
      if (closed !== undefined) closed.end = at;
      const parent = open.at(-1);
      if (closed !== undefined && parent !== undefined)
        parent.height = Math.max(parent.height, closed.height + 1);
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (open.length >= deepest)
        throw new UnreadableJsonError(`the document nests deeper than ${deepest} levels`);
      const isObject = byte === OPEN_BRACE;
      const place: Place = {
        start: at,
        end: at,
        height: 1,
        members: isObject ? new Map() : null,
        elements: isObject ? null : [],
      };
      enter(place);
      open.push(place);
      at += 1;
    } else {
      const end = scalarEnd(bytes, at);
      if (byte === QUOTE && key === null && open.at(-1)?.members != null) {
        key = JSON.parse(bytes.toString('utf8', at, end)) as string;
      } else {
        enter({ start: at, end, height: 0, members: null, elements: null });
      }
      at = end;
    }
  }
  if (root === null) throw new UnreadableJsonError('the document is empty');
  return root;
}

/** A value together with the exact bytes that it was read from. */
export class JsonPart {
  readonly value: unknown;
  readonly #bytes: Buffer;
  readonly #place: Place;

  constructor(value: unknown, bytes: Buffer, place: Place) {
    this.value = value;
    this.#bytes = bytes;
    this.#place = place;
  }

  /** Bytes from the beginning of the document, a byte order mark included. */
  get offset(): number {
    return this.#place.start;
  }

  /** @returns the exact bytes of this value, unchecked: for what is put aside rather than read */
  raw(): Buffer {
    return Buffer.from(this.#bytes.subarray(this.#place.start, this.#place.end));
  }

  /** @returns the exact bytes of this value. @throws UnreadableJsonError unless they parse to the value on their own */
  slice(): Buffer {
    if (this.#place.height > DEEPEST_SLICE) {
      throw new UnreadableJsonError(
        `the value at byte ${this.#place.start} nests deeper than ${DEEPEST_SLICE} levels`,
      );
    }
    const bytes = this.raw();
    if (!isDeepStrictEqual(JSON.parse(bytes.toString('utf8')), this.value)) {
      throw new UnreadableJsonError(
        `the bytes from ${this.#place.start} to ${this.#place.end} are not the value found there`,
      );
    }
    return bytes;
  }

  /** @returns the member of an object, or undefined when this is no object or has none of that name */
  member(name: string): JsonPart | undefined {
    const place = this.#place.members?.get(name);
    if (place === undefined) return undefined;
    return new JsonPart((this.value as Record<string, unknown>)[name], this.#bytes, place);
  }

  /** @returns the elements of an array, in order; none when this is no array */
  elements(): JsonPart[] {
    const values = this.value as readonly unknown[];
    return (this.#place.elements ?? []).map(
      (place, index) => new JsonPart(values[index], this.#bytes, place),
    );
  }
}

/**
 * Reads a JSON document (RFC 8259) from its UTF-8 bytes; a byte order mark is passed over, as the RFC permits.
 * @param deepest levels of nesting that are read
 * @throws UnreadableJsonError on invalid UTF-8, invalid JSON or too deep nesting
 */
export function readJsonDocument(body: Uint8Array, deepest: number = DEEPEST): JsonPart {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const begin = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  const value = parsed(bytes.subarray(begin));
  return new JsonPart(value, bytes, placesOf(bytes, begin, deepest));
}

function parsed(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new UnreadableJsonError('the bytes are not valid UTF-8', { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UnreadableJsonError('the text is not valid JSON', { cause });
  }
}
