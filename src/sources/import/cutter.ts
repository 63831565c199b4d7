// Cuts the elements of a list out of a JSON document while it streams by: an export may be larger than memory, its items are not. Only
// where each begins and ends is found here; whether it is JSON its reader says, from the bytes alone.

import { UnreadableJsonError } from '../slice.ts';

/** One element of the list. */
export interface Cut {
  /** Where it begins in the document, in bytes. */
  readonly offset: number;
  /** Exactly as they stand; of one that is too long the beginning. */
  readonly bytes: Buffer;
  readonly isWhole: boolean;
}

export interface CutOptions {
  /** The member of the document that is the list; null: the document itself is. */
  readonly list: string | null;
  /** What may stand before the document, as JavaScript puts a name before it. */
  readonly before?: RegExp;
  /** Bytes that one element may have. */
  readonly longest?: number;
  /** Told of the document's other members that are no lists or objects, as they stand. */
  readonly onMember?: (name: string, text: string) => void;
}

/** No platform's item is longer, media apart. */
const LONGEST = 16 * 2 ** 20;
/** Kept of an element that is longer. */
const BEGINNING = 64 * 1024;
const LONGEST_BEFORE = 256;
const LONGEST_MEMBER = 4096;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const SEMICOLON = 0x3b;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** Bytes that are being kept, across chunks: an element, a key or a plain value. */
export class Taken {
  #chunks: Buffer[] = [];
  #length = 0;
  #offset = 0;
  #isTaking = false;
  readonly #longest: number;
  readonly #beginning: number;

  constructor(longest: number, beginning: number) {
    this.#longest = longest;
    this.#beginning = beginning;
  }

  get isTaking(): boolean {
    return this.#isTaking;
  }

  begin(offset: number): void {
    this.#chunks = [];
    this.#length = 0;
    this.#offset = offset;
    this.#isTaking = true;
  }

  add(bytes: Buffer): void {
    if (this.#length <= this.#longest) this.#chunks.push(Buffer.from(bytes));
    this.#length += bytes.length;
    if (this.#length > this.#longest)
      this.#chunks = [Buffer.concat(this.#chunks).subarray(0, this.#beginning)];
  }

  end(): Cut {
    this.#isTaking = false;
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [];
    return { offset: this.#offset, bytes, isWhole: this.#length <= this.#longest };
  }
}

/**
 * @returns the elements of the list, in order, each as soon as it has gone by
 * @throws UnreadableJsonError when the document has no such list, ends too early, or goes on after its end
 */
export async function* cutElements(
  document: AsyncIterable<Buffer>,
  { list, before, longest = LONGEST, onMember }: CutOptions,
): AsyncGenerator<Cut> {
  /** Containers open around the elements: the list, and the object whose member it is. */
  const inner = list === null ? 1 : 2;
  let depth = 0;
  let phase: 'before' | 'within' | 'after' = 'before';
  let preamble = '';
  let inString = false;
  let escaped = false;
  let isKey = false;
  let key: string | null = null;
  let inList = false;
  let found = false;
  const element = new Taken(longest, BEGINNING);
  const word = new Taken(LONGEST_MEMBER, 0);
  let base = 0;
  for await (const chunk of document) {
    let at = 0;
    let from = 0;
    /** Where what is taken goes on in this chunk. */
    const taking = (): Taken | null => (element.isTaking ? element : word.isTaking ? word : null);
    const begin = (taken: Taken): void => {
      taken.begin(base + at);
      from = at;
    };
    const end = (taken: Taken, to: number): Cut => {
      taken.add(chunk.subarray(from, to));
      return taken.end();
    };
    for (; at < chunk.length; at += 1) {
      const byte = chunk[at] as number;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) {
          inString = false;
          if (element.isTaking && depth === inner) yield end(element, at + 1);
          else if (word.isTaking && isKey) {
            key = textOf(end(word, at + 1));
            isKey = false;
          } else if (word.isTaking && depth === 1) {
            const { bytes, isWhole } = end(word, at + 1);
            if (isWhole && key !== null) onMember?.(key, bytes.toString('utf8'));
          }
        }
        continue;
      }
      if (phase === 'before') {
        if (byte !== OPEN_BRACE && byte !== OPEN_BRACKET) {
          preamble += String.fromCharCode(byte);
          if (preamble.length > LONGEST_BEFORE) throw new UnreadableJsonError('it does not begin as JSON');
          continue;
        }
        const said = preamble.replace(/^\u00ef\u00bb\u00bf/, '').trim();
        if (before === undefined ? said !== '' : !before.test(said))
          throw new UnreadableJsonError('it does not begin as JSON');
        if ((byte === OPEN_BRACKET) !== (list === null))
          throw new UnreadableJsonError(list === null ? 'it is no list' : 'it is no object');
        phase = 'within';
        depth = 1;
        inList = found = list === null;
        isKey = list !== null;
        continue;
      }
      if (phase === 'after') {
        if (isSpace(byte) || (before !== undefined && byte === SEMICOLON)) continue;
        throw new UnreadableJsonError(`it goes on after its end, at byte ${base + at}`);
      }
      if (byte === QUOTE) {
        inString = true;
        if (depth === inner && inList) begin(element);
        else if (depth === 1 && !element.isTaking) begin(word);
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (depth === inner && inList) begin(element);
        if (depth === 1 && !inList && key === list && byte === OPEN_BRACKET) {
          if (found) throw new UnreadableJsonError(`it has two lists called ${list}`);
          inList = found = true;
        }
        depth += 1;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        // A number or a name at the end of the list.
        if (element.isTaking && depth === inner) yield end(element, at);
        if (word.isTaking && depth === 1) told(end(word, at));
        depth -= 1;
        if (element.isTaking && depth === inner) yield end(element, at + 1);
        if (list !== null && depth === 1) inList = false;
        if (depth === 0) phase = 'after';
      } else if (byte === COMMA) {
        if (element.isTaking && depth === inner) yield end(element, at);
        if (word.isTaking && depth === 1) told(end(word, at));
        if (depth === 1 && list !== null) {
          isKey = true;
          key = null;
        }
      } else if (isSpace(byte)) {
        if (element.isTaking && depth === inner) yield end(element, at);
        if (word.isTaking && depth === 1) told(end(word, at));
      } else if (byte !== COLON) {
        if (depth === inner && inList && !element.isTaking) begin(element);
        else if (depth === 1 && list !== null && !word.isTaking) begin(word);
      }
    }
    taking()?.add(chunk.subarray(from));
    base += chunk.length;
  }
  if (phase !== 'after') throw new UnreadableJsonError(`it ends at byte ${base}, before its end`);
  if (!found) throw new UnreadableJsonError(`it has no list called ${list}`);

  function told({ bytes, isWhole }: Cut): void {
    if (isWhole && key !== null) onMember?.(key, bytes.toString('utf8'));
  }
}

function textOf({ bytes, isWhole }: Cut): string | null {
  if (!isWhole) return null;
  try {
    return JSON.parse(bytes.toString('utf8')) as string;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
