// Reads DAG-CBOR (https://ipld.io/specs/codecs/dag-cbor/spec/), the form of everything in a repository of the AT Protocol, from bytes that
// anybody may have made: depth and lengths are bounded by the bytes there are, and what may be read in two ways is not read at all.

import { contentIdText } from './content-id.ts';

/** The bytes are not one value of DAG-CBOR, or nest too deeply. */
export class UnreadableCborError extends SyntaxError {}

/** A link to other content, in the shape that it has in the protocol's JSON. */
export class Link {
  readonly $link: string;
  constructor(contentId: string) {
    this.$link = contentId;
  }
}

/** Levels of nesting; a record has some ten. */
const DEEPEST = 100;
const CONTENT_ID_TAG = 42;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @returns the value: maps as objects, byte strings as `Uint8Array`s, links as {@link Link}s. @throws UnreadableCborError */
export function readDagCbor(bytes: Buffer): unknown {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new UnreadableCborError(`bytes follow the value at ${reader.at}`);
  return value;
}

/**
 * @param bytes a map that {@link readDagCbor} reads, of fewer than 24 members
 * @returns the bytes of the same map without one member: what a signature covers that stands within what it signs
 */
export function withoutMember(bytes: Buffer, name: string): Buffer {
  const head = bytes[0] as number;
  const members = head & 0x1f;
  if (head >> 5 !== 5 || members >= 24) throw new UnreadableCborError('no map of fewer than 24 members');
  const reader = new Reader(bytes);
  reader.at = 1;
  for (let index = 0; index < members; index += 1) {
    const { at } = reader;
    const key = reader.value(1);
    reader.value(1);
    if (key === name)
      return Buffer.concat([Buffer.of(head - 1), bytes.subarray(1, at), bytes.subarray(reader.at)]);
  }
  return bytes;
}

class Reader {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  value(depth: number): unknown {
    if (depth > DEEPEST) throw new UnreadableCborError(`values nest deeper than ${DEEPEST} levels`);
    const begin = this.at;
    const first = this.#take(1)[0] as number;
    const major = first >> 5;
    if (major === 7) return this.#simple(first & 0x1f, begin);
    const argument = this.#argument(first & 0x1f, begin);
    switch (major) {
      case 0:
        return argument;
      case 1:
        return -1 - argument;
      case 2:
        return this.#take(argument);
      case 3:
        return this.#text(argument, begin);
      case 4: {
        const list: unknown[] = [];
        for (let index = 0; index < argument; index += 1) list.push(this.value(depth + 1));
        return list;
      }
      case 5:
        return this.#map(argument, depth, begin);
      default:
        return this.#link(argument, depth, begin);
    }
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.at)
      throw new UnreadableCborError(`${length} bytes are due at ${this.at}, and they end before`);
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  #argument(short: number, begin: number): number {
    if (short < 24) return short;
    if (short === 24) return this.#take(1).readUInt8();
    if (short === 25) return this.#take(2).readUInt16BE();
    if (short === 26) return this.#take(4).readUInt32BE();
    // 28 to 30 mean nothing; 31 is a length that is not told, which this form has not.
    if (short !== 27) throw new UnreadableCborError(`no value begins as byte ${begin} does`);
    const long = this.#take(8).readBigUInt64BE();
    // The protocol's numbers are those that every reader of JSON has too.
    if (long >= BigInt(Number.MAX_SAFE_INTEGER))
      throw new UnreadableCborError(`the number at byte ${begin} is beyond 53 bits`);
    return Number(long);
  }

  #simple(short: number, begin: number): unknown {
    if (short === 20) return false;
    if (short === 21) return true;
    if (short === 22) return null;
    const number = short === 27 ? this.#take(8).readDoubleBE() : Number.NaN;
    if (!Number.isFinite(number)) throw new UnreadableCborError(`no value begins as byte ${begin} does`);
    return number;
  }

  #text(length: number, begin: number): string {
    try {
      return UTF8.decode(this.#take(length));
    } catch (cause) {
      if (cause instanceof UnreadableCborError) throw cause;
      throw new UnreadableCborError(`the text at byte ${begin} is not UTF-8`, { cause });
    }
  }

  #map(length: number, depth: number, begin: number): object {
    const members = new Map<string, unknown>();
    for (let index = 0; index < length; index += 1) {
      const key = this.value(depth + 1);
      if (typeof key !== 'string')
        throw new UnreadableCborError(`the map at byte ${begin} has a key that is no text`);
      if (members.has(key)) throw new UnreadableCborError(`the map at byte ${begin} has a key twice`);
      members.set(key, this.value(depth + 1));
    }
    // As members of its own, whatever their names.
    return Object.fromEntries(members);
  }

  #link(tag: number, depth: number, begin: number): Link {
    const bytes = tag === CONTENT_ID_TAG ? this.value(depth + 1) : null;
    const text = bytes instanceof Uint8Array && bytes[0] === 0 ? contentIdText(bytes.subarray(1)) : null;
    if (text === null)
      throw new UnreadableCborError(`the tag at byte ${begin} is no link of the AT Protocol`);
    return new Link(text);
  }
}
