// A CAR file (https://ipld.io/specs/transport/car/carv1/): blocks in any order, each behind its content id. The file is read once from its
// beginning to its end and every block held against its id; kept is only where each stands, in twenty bytes, so that it can be read when
// it is wanted. Then it is held against its id once more: the file may have changed.

import { hash, randomInt } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { z } from 'zod';
import { sha256 } from '../../core/digest.ts';
import { InputError } from '../../core/errors.ts';
import { CONTENT_ID_BYTES, contentIdText, sha256OfContentId } from './content-id.ts';
import { Link, readDagCbor, UnreadableCborError } from './dag-cbor.ts';

/** Servers refuse records and parts of the tree that are longer than 1 MiB. */
const LONGEST_BLOCK = 2 * 2 ** 20;
const LONGEST_HEADER = 2 ** 16;
/** Bytes of a length: more of them than any length needs is no CAR. */
const LONGEST_VARINT = 5;
const MOST_BLOCKS = 8_000_000;
/** Blocks that are not what their ids promise; a file with more of them is no repository. */
const MOST_SPOILT = 100;

/** A block that may not be used, and why. */
export interface Spoilt {
  readonly offset: number;
  readonly length: number;
  readonly reason: string;
}

export interface Block {
  /** Where its bytes begin in the file. */
  readonly offset: number;
  readonly bytes: Buffer;
}

const header = z.looseObject({ version: z.literal(1), roots: z.array(z.instanceof(Link)).min(1) });

export class Car implements AsyncDisposable {
  /** The content ids that the file is about, first the commit's. */
  readonly roots: readonly string[];
  readonly spoilt: readonly Spoilt[];
  /** Where it can be read no further, before its end, and why; null when it is whole. */
  readonly broken: string | null;
  readonly #places: Places;
  readonly #handle: FileHandle;

  constructor(
    handle: FileHandle,
    places: Places,
    found: { roots: readonly string[]; spoilt: readonly Spoilt[]; broken: string | null },
  ) {
    this.#handle = handle;
    this.#places = places;
    this.roots = found.roots;
    this.spoilt = found.spoilt;
    this.broken = found.broken;
  }

  /** Blocks of different content. */
  get size(): number {
    return this.#places.size;
  }

  /** Blocks that were asked for by {@link note} or {@link block}. */
  get noted(): number {
    return this.#places.noted;
  }

  /** @returns whether the file holds the block, which counts as asked for */
  note(contentId: string): boolean {
    return this.#placeOf(contentId) !== null;
  }

  /** @returns the block, whose bytes are what its content id promises; null when the file does not hold it */
  async block(contentId: string): Promise<Block | null> {
    const place = this.#placeOf(contentId);
    if (place === null) return null;
    const bytes = await this.bytesAt(place);
    return hash('sha256', bytes, 'hex') === sha256OfContentId(contentId)
      ? { offset: place.offset, bytes }
      : null;
  }

  /** @returns bytes of the file, fewer where it has been cut since */
  async bytesAt({ offset, length }: { offset: number; length: number }): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await this.#handle.read(bytes, 0, length, offset);
    return bytes.subarray(0, bytesRead);
  }

  #placeOf(contentId: string): { offset: number; length: number } | null {
    const digest = sha256OfContentId(contentId);
    return digest === null ? null : this.#places.find(Buffer.from(digest, 'hex'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

/**
 * Reads where the blocks of a file stand, and holds each against its content id.
 * @param name of the file, as messages say it
 * @throws InputError when it is no CAR file, or holds more than any repository
 */
export async function openCar(path: string, name: string, signal: AbortSignal): Promise<Car> {
  const places = new Places(name);
  const spoilt: Spoilt[] = [];
  let roots: readonly string[] | null = null;
  let broken: string | null = null;
  /** What of the file is read and not taken apart yet, and where it begins. */
  let rest: Buffer = Buffer.alloc(0);
  let offset = 0;
  const chunks = createReadStream(path, { highWaterMark: 2 ** 20, signal }) as AsyncIterable<Buffer>;
  reading: for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length > 0) {
      const longest = roots === null ? LONGEST_HEADER : LONGEST_BLOCK + CONTENT_ID_BYTES;
      const frame = frameOf(rest, longest);
      if (frame === null) break;
      if (typeof frame === 'string') {
        broken = `at byte ${offset} stands ${frame}`;
        break reading;
      }
      const content = rest.subarray(frame.begin, frame.end);
      if (roots === null) {
        roots = rootsOf(content);
        if (roots === null) break reading;
      } else {
        const fault = takeBlock(content, offset + frame.begin, places);
        if (fault !== null)
          spoilt.push({ offset: offset + frame.begin, length: content.length, reason: fault });
        if (spoilt.length > MOST_SPOILT)
          throw new InputError(
            `${name} holds more than ${MOST_SPOILT} blocks that are not what their content ids promise: ${fault}`,
            { hint: 'Copy or download the file again.' },
          );
      }
      offset += frame.end;
      rest = rest.subarray(frame.end);
    }
  }
  if (roots === null)
    throw new InputError(`${name} is no CAR file, so it is no repository of an account on Bluesky`, {
      hint: 'Give the .car that the app made under Settings › Account › Export my data, or com.atproto.sync.getRepo, as it came: not packed.',
    });
  if (broken === null && rest.length > 0) broken = `it ends within the block at byte ${offset}`;
  return new Car(await open(path), places, { roots, spoilt, broken });
}

/** @returns where a length's bytes begin and end; null when not all are there; or what stands in place of a length */
function frameOf(bytes: Buffer, longest: number): { begin: number; end: number } | string | null {
  let length = 0;
  for (let at = 0; at < LONGEST_VARINT; at += 1) {
    const byte = bytes[at];
    if (byte === undefined) return null;
    length += (byte & 0x7f) * 2 ** (7 * at);
    if (byte >= 0x80) continue;
    if (length === 0) return 'a block of no length';
    if (length > longest) return `a block of ${length} bytes, longer than any of a repository`;
    const [begin, end] = [at + 1, at + 1 + length];
    return end > bytes.length ? null : { begin, end };
  }
  return 'a length beyond all bounds';
}

function rootsOf(bytes: Buffer): readonly string[] | null {
  try {
    const read = header.safeParse(readDagCbor(bytes));
    return read.success ? read.data.roots.map(({ $link }) => $link) : null;
  } catch (error) {
    if (error instanceof UnreadableCborError) return null;
    throw error;
  }
}

/** @returns why the block may not be used, or null */
function takeBlock(section: Buffer, offset: number, places: Places): string | null {
  const id = section.subarray(0, CONTENT_ID_BYTES);
  const text = contentIdText(id);
  if (text === null) return 'a block whose content id is not of the form that the AT Protocol uses';
  const bytes = section.subarray(CONTENT_ID_BYTES);
  const digest = id.subarray(CONTENT_ID_BYTES - 32);
  if (!sha256(bytes).equals(digest)) return `a block that is not what its content id ${text} promises`;
  places.add(digest, offset + CONTENT_ID_BYTES, bytes.length);
  return null;
}

/** A slot: two words of the digest, two of the offset, and the length plus one (0: free), with a bit for what was asked for. */
const WORDS = 5;
const LENGTH = 4;
const NOTED = 2 ** 31;

/** Where blocks stand, by 64 bits of their digests: an open table outside the heap. Whoever reads a block holds it against the whole digest. */
class Places {
  size = 0;
  noted = 0;
  readonly #of: string;
  #slots = new Uint32Array(WORDS * 2 ** 12);
  /** Spreads digests that somebody chose to fall together. */
  readonly #odd = randomInt(2 ** 31) * 2 + 1;

  /** @param of the file, as messages name it */
  constructor(of: string) {
    this.#of = of;
  }

  /** Of equal blocks the first counts. */
  add(digest: Buffer, offset: number, length: number): void {
    const at = this.#slotOf(digest.readUInt32BE(0), digest.readUInt32BE(4));
    if (this.#slots[at + LENGTH] !== 0) return;
    if (this.size === MOST_BLOCKS)
      throw new InputError(`${this.#of} holds more than ${MOST_BLOCKS} blocks`, {
        hint: 'No account has so many records that this version can import.',
      });
    this.size += 1;
    const place = [Math.floor(offset / 2 ** 32), offset % 2 ** 32, length + 1];
    this.#slots.set([digest.readUInt32BE(0), digest.readUInt32BE(4), ...place], at);
    if (this.size * 4 * WORDS > this.#slots.length * 3) this.#grow();
  }

  find(digest: Buffer): { offset: number; length: number } | null {
    const at = this.#slotOf(digest.readUInt32BE(0), digest.readUInt32BE(4));
    const [, , high, low, length] = this.#slots.subarray(at, at + WORDS) as unknown as number[];
    if (length === 0) return null;
    const shown = length as number;
    if (shown < NOTED) {
      this.noted += 1;
      this.#slots[at + LENGTH] = shown + NOTED;
    }
    return { offset: (high as number) * 2 ** 32 + (low as number), length: (shown % NOTED) - 1 };
  }

  /** @returns the slot of a digest, or the free one that it is due in */
  #slotOf(high: number, low: number): number {
    const count = this.#slots.length / WORDS;
    let slot = Math.floor(((Math.imul(high ^ low, this.#odd) >>> 0) / 2 ** 32) * count);
    while (true) {
      const at = slot * WORDS;
      if (this.#slots[at + LENGTH] === 0) return at;
      if (this.#slots[at] === high && this.#slots[at + 1] === low) return at;
      slot = (slot + 1) % count;
    }
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Uint32Array(before.length * 2);
    for (let at = 0; at < before.length; at += WORDS) {
      if (before[at + LENGTH] === 0) continue;
      const slot = this.#slotOf(before[at] as number, before[at + 1] as number);
      this.#slots.set(before.subarray(at, at + WORDS), slot);
    }
  }
}
