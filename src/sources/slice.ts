// Exact byte ranges of the values in a JSON document, so that an item can be kept as the platform wrote it. The document is JSON where
// JSON.parse takes it; our scanner finds where each value stands; and the value of a part is what JSON.parse makes of that part's own bytes,
// so that what is read and what is kept cannot differ.

import { isUtf8 } from 'node:buffer';

/** The bytes are not one JSON document in UTF-8, or nest too deeply. */
export class UnreadableJsonError extends SyntaxError {}

/** Levels of nesting read in a document (a thread nests two per reply) and in one item. */
const DEEPEST = 5000;
const DEEPEST_SLICE = 200;

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

/** Numbers that {@link Places} holds of a value. */
const WIDTH = 4;
const END = 1;
const NEXT = 2;
const HEIGHT = 3;

/**
 * Where every value stands, in the order in which they begin; a member's key stands before its value. Of each: where it begins and ends, the
 * place after its last descendant, and its levels of nesting (0: a scalar). Plain numbers, for a body has more values than objects are cheap.
 */
class Places {
  count = 0;
  #numbers = new Int32Array(WIDTH * 1024);

  /** @returns the place of a value, whose end and next are not known yet where it is no scalar */
  add(start: number, end: number): number {
    const at = this.count * WIDTH;
    if (at === this.#numbers.length) {
      const grown = new Int32Array(this.#numbers.length * 2);
      grown.set(this.#numbers);
      this.#numbers = grown;
    }
    this.#numbers[at] = start;
    this.#numbers[at + END] = end;
    this.#numbers[at + NEXT] = this.count + 1;
    this.count += 1;
    return this.count - 1;
  }

  close(place: number, end: number, height: number): void {
    const at = place * WIDTH;
    this.#numbers[at + END] = end;
    this.#numbers[at + NEXT] = this.count;
    this.#numbers[at + HEIGHT] = height;
  }

  start = (place: number): number => this.#numbers[place * WIDTH] as number;
  end = (place: number): number => this.#numbers[place * WIDTH + END] as number;
  next = (place: number): number => this.#numbers[place * WIDTH + NEXT] as number;
  height = (place: number): number => this.#numbers[place * WIDTH + HEIGHT] as number;
}

/**
 * Finds every value's place. The document is known to be well-formed (JSON.parse took it), so separators only need skipping.
 * No recursion: depth costs memory, not stack.
 */
function placesOf(bytes: Buffer, begin: number, deepest: number): Places {
  const places = new Places();
  const open: number[] = [];
  /** Height of what has been seen within each that is open. */
  const heights: number[] = [];
  const { length } = bytes;
  for (let at = begin; at < length; ) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      const end = stringEnd(bytes, at);
      places.add(at, end);
      at = end;
    } else if (byte === COMMA || byte === COLON || isSpace(byte)) {
      at += 1;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (open.length >= deepest)
        throw new UnreadableJsonError(`the document nests deeper than ${deepest} levels`);
      open.push(places.add(at, at));
      heights.push(1);
      at += 1;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      at += 1;
      const height = heights.pop() as number;
      places.close(open.pop() as number, at, height);
      const outer = heights.length - 1;
      if (outer >= 0 && (heights[outer] as number) <= height) heights[outer] = height + 1;
    } else {
      const end = scalarEnd(bytes, at);
      places.add(at, end);
      at = end;
    }
  }
  if (places.count === 0 || open.length > 0 || places.next(0) !== places.count)
    throw new UnreadableJsonError('the document is not one value');
  return places;
}

/** What one document's parts have in common. */
interface Body {
  readonly bytes: Buffer;
  readonly places: Places;
}

/** A value together with the exact bytes that it is read from. */
export class JsonPart {
  readonly #body: Body;
  readonly #place: number;
  readonly #within: { readonly part: JsonPart; readonly name: string | number } | null;
  #value: { readonly is: unknown } | null = null;

  private constructor(body: Body, place: number, within: { part: JsonPart; name: string | number } | null) {
    this.#body = body;
    this.#place = place;
    this.#within = within;
  }

  /** @param value what JSON.parse made of the whole document */
  static whole(value: unknown, body: Body): JsonPart {
    const part = new JsonPart(body, 0, null);
    part.#value = { is: value };
    return part;
  }

  /** What its own bytes say. Of what nests too deeply to be kept as an item it is what the document says there: read once, however deep. */
  get value(): unknown {
    this.#value ??= {
      is: this.#isDeep && this.#within !== null ? this.#found() : JSON.parse(this.#text(this.#place)),
    };
    return this.#value.is;
  }

  get #isDeep(): boolean {
    return this.#body.places.height(this.#place) > DEEPEST_SLICE;
  }

  #found(): unknown {
    const { part, name } = this.#within as { part: JsonPart; name: string | number };
    return (part.value as Record<string | number, unknown>)[name];
  }

  /** Bytes from the beginning of the document, a byte order mark included. */
  get offset(): number {
    return this.#body.places.start(this.#place);
  }

  /** @returns the exact bytes of this value, however deep it nests: for what is put aside rather than read */
  raw(): Buffer {
    const { bytes, places } = this.#body;
    return Buffer.from(bytes.subarray(places.start(this.#place), places.end(this.#place)));
  }

  /** @returns the exact bytes of this value. @throws UnreadableJsonError when it nests too deeply to be kept as an item */
  slice(): Buffer {
    if (this.#isDeep)
      throw new UnreadableJsonError(
        `the value at byte ${this.offset} nests deeper than ${DEEPEST_SLICE} levels`,
      );
    return this.raw();
  }

  /** @returns the member of an object, or undefined when this is no object or has none of that name; of a repeated name the last */
  member(name: string): JsonPart | undefined {
    if (!this.#begins(OPEN_BRACE)) return undefined;
    const { places } = this.#body;
    const end = places.next(this.#place);
    let found: number | null = null;
    for (let key = this.#place + 1; key < end; key = places.next(key + 1)) {
      if (this.#isKey(key, name)) found = key + 1;
    }
    return found === null ? undefined : new JsonPart(this.#body, found, { part: this, name });
  }

  /** @returns the elements of an array, in order; none when this is no array */
  elements(): JsonPart[] {
    if (!this.#begins(OPEN_BRACKET)) return [];
    const { places } = this.#body;
    const end = places.next(this.#place);
    const parts: JsonPart[] = [];
    for (let place = this.#place + 1; place < end; place = places.next(place))
      parts.push(new JsonPart(this.#body, place, { part: this, name: parts.length }));
    return parts;
  }

  #begins(byte: number): boolean {
    return this.#body.bytes[this.offset] === byte;
  }

  #text(place: number): string {
    const { bytes, places } = this.#body;
    return bytes.toString('utf8', places.start(place), places.end(place));
  }

  #isKey(place: number, name: string): boolean {
    const { places } = this.#body;
    // No byte of a key makes more than a character, quotes included: most keys need not be read to know.
    if (places.end(place) - places.start(place) < name.length + 2) return false;
    return JSON.parse(this.#text(place)) === name;
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
  return JsonPart.whole(value, { bytes, places: placesOf(bytes, begin, deepest) });
}

function parsed(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new UnreadableJsonError('the bytes are not valid UTF-8');
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new UnreadableJsonError('the text is not valid JSON', { cause });
  }
}
