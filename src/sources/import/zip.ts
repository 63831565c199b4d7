// Reads ZIP archives by their directory, through yauzl: it holds each member to the length that the directory gives, and reads ZIP64. What it
// leaves to its caller is here: CRC-32, bombs, overlaps, links, encryption, and names that lead elsewhere or are written in no Unicode.

import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { type Entry, getFileNameLowLevel, openPromise, type ZipFile } from 'yauzl';
import { InputError } from '../../core/errors.ts';
import { CollectError } from '../collect-error.ts';
import { type Container, damaged, isBomb, Members, nameFault } from './container.ts';

/** What is kept of a directory's entry: an archive may have very many. */
type Kept = Pick<
  Entry,
  | 'relativeOffsetOfLocalHeader'
  | 'compressedSize'
  | 'uncompressedSize'
  | 'compressionMethod'
  | 'generalPurposeBitFlag'
  | 'crc32'
>;

const UNIX = 3;
const TYPE_BITS = 0o170000;
const REGULAR = 0o100000;
const STORED = 0;
const DEFLATED = 8;

/** @throws InputError when there is no directory, as in an archive that is cut short, or one that cannot be */
export async function openZip(path: string, name: string, length: number): Promise<Container> {
  const unreadable = (cause: unknown): InputError =>
    new InputError(`${name} begins as a ZIP and cannot be read: ${(cause as Error).message}`, {
      hint: 'It may be cut short: compare its length with that at the platform, and copy or download it again.',
      cause,
    });
  const zip = await openPromise(path, { autoClose: false, decodeStrings: false }).catch((cause: unknown) => {
    throw unreadable(cause);
  });
  // Where nobody listens, an event of this name ends the process; reading tells of the same.
  zip.on('error', () => undefined);
  try {
    const members = new Members(name);
    const entries = new Map<string, Kept>();
    let packed = 0;
    let unpacked = 0;
    for await (const entry of zip.eachEntry()) {
      const member = nameOf(entry);
      if (member.endsWith('/')) continue;
      packed += entry.compressedSize;
      if (packed > length)
        throw new InputError(`the members of ${name} overlap: it is made to unpack to more than it holds`, {
          hint: 'No platform makes such a file; ask for the export again.',
        });
      const fault = nameFault(member) ?? faultOf(entry);
      if (fault !== null) members.putAside(member, fault);
      else if (members.add(member, entry.uncompressedSize)) {
        entries.set(member, kept(entry));
        unpacked += entry.uncompressedSize;
        // Many that are small enough, each by itself, fill a disk too.
        if (isBomb(unpacked, length))
          throw new InputError(`${name} unpacks to far more than any export does`, {
            hint: 'No platform makes such a file; ask for the export again.',
          });
      }
    }
    return new Zip(zip, name, members, entries);
  } catch (error) {
    zip.close();
    if (error instanceof InputError) throw error;
    throw unreadable(error);
  }
}

function kept(entry: Entry): Kept {
  const { relativeOffsetOfLocalHeader, compressedSize, uncompressedSize, crc32 } = entry;
  const { compressionMethod, generalPurposeBitFlag } = entry;
  // The same class, for yauzl asks its entries what they are.
  return Object.assign(Object.create(Object.getPrototypeOf(entry)) as Entry, {
    relativeOffsetOfLocalHeader,
    compressedSize,
    uncompressedSize,
    crc32,
    compressionMethod,
    generalPurposeBitFlag,
  });
}

/** Names are UTF-8 where they are said to be, and where they can be: many programs do not say it. Else they are as the ZIP format's age had it. */
function nameOf(entry: Entry): string {
  const raw = entry.fileNameRaw;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(raw);
  } catch {
    return getFileNameLowLevel(entry.generalPurposeBitFlag, raw, entry.extraFields, true);
  }
}

function faultOf(entry: Entry): string | null {
  if (entry.isEncrypted()) return 'it is encrypted; ask the platform for an export without a password';
  if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED)
    return `it is compressed in a way (${entry.compressionMethod}) that no platform uses`;
  const type = (entry.externalFileAttributes >>> 16) & TYPE_BITS;
  if (entry.versionMadeBy >>> 8 === UNIX && type !== 0 && type !== REGULAR)
    return 'it is a link or a device, and no file';
  if (isBomb(entry.uncompressedSize, entry.compressedSize))
    return `it unpacks to ${entry.uncompressedSize} bytes from ${entry.compressedSize}, as no export does`;
  return null;
}

class Zip implements Container {
  readonly members: Container['members'];
  readonly aside: Container['aside'];
  readonly #zip: ZipFile;
  readonly #name: string;
  readonly #entries: ReadonlyMap<string, Kept>;

  constructor(zip: ZipFile, name: string, members: Members, entries: ReadonlyMap<string, Kept>) {
    this.members = members.found;
    this.aside = members.aside;
    this.#zip = zip;
    this.#name = name;
    this.#entries = entries;
  }

  async *read(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
    const entry = this.#entries.get(path);
    if (entry === undefined || !this.members.has(path))
      throw damaged(this.#name, path, 'it is not in the archive');
    let sum = 0;
    try {
      const stream = await this.#zip.openReadStreamPromise(entry as Entry);
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        signal.throwIfAborted();
        sum = crc32(chunk, sum);
        yield chunk;
      }
    } catch (error) {
      if (signal.aborted || error instanceof CollectError) throw error;
      throw damaged(this.#name, path, (error as Error).message, error);
    }
    if (sum !== entry.crc32 >>> 0) throw damaged(this.#name, path, 'its CRC-32 differs from the one given');
  }

  async copy(path: string, file: string, _: string, signal: AbortSignal): Promise<void> {
    await pipeline(this.read(path, signal), createWriteStream(file, { flags: 'wx', mode: 0o600 }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#zip.close();
  }
}
