// The file that a platform gave: a ZIP, a tar (gzipped or not) or one file alone, as a set of members that are read as streams. Whatever
// comes of it is hostile: names lead nowhere but to a member, nothing is unpacked but single media into a run's own folder, and a member that
// unpacks to far more than it is, or may be any of two, is put aside with its reason.

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { InputError } from '../../core/errors.ts';
import { CollectError } from '../collect-error.ts';
import { type Container, damaged, isBomb } from './container.ts';
import { openTar } from './tar.ts';
import { openZip } from './zip.ts';

export interface ExportFile extends Container {
  /** As the operating system names it. */
  readonly path: string;
  /** Without its folders: what the archive keeps of the name. */
  readonly name: string;
  readonly length: number;
  readonly sha256: string;
}

/**
 * Opens the file and reads what it holds.
 * @param onProgress bytes read of it, and how many it has
 * @throws InputError when it cannot be read, or is an archive that is broken as a whole
 */
export async function openExportFile(
  path: string,
  options: { signal: AbortSignal; onProgress?: (read: number, length: number) => void },
): Promise<ExportFile> {
  const name = basename(path).toWellFormed();
  const { head, length, sha256 } = await digestOf(path, options);
  const container = await containerOf(path, name, length, head, options.signal);
  return Object.assign(container, { path, name, length, sha256 });
}

async function digestOf(
  path: string,
  { signal, onProgress }: { signal: AbortSignal; onProgress?: (read: number, length: number) => void },
): Promise<{ head: Buffer; length: number; sha256: string }> {
  try {
    const { size, isFile } = await stat(path).then((it) => ({ size: it.size, isFile: it.isFile() }));
    if (!isFile)
      throw new InputError(`${path} is no file`, {
        hint: 'Give the file as the platform made it; pack a folder that it was unpacked to as a ZIP again.',
      });
    const digest = createHash('sha256');
    let head = Buffer.alloc(0);
    let length = 0;
    for await (const chunk of createReadStream(path, { signal }) as AsyncIterable<Buffer>) {
      if (head.length < 512) head = Buffer.concat([head, chunk.subarray(0, 512 - head.length)]);
      digest.update(chunk);
      length += chunk.length;
      onProgress?.(length, size);
    }
    return { head, length, sha256: digest.digest('hex') };
  } catch (cause) {
    if (cause instanceof InputError || signal.aborted) throw cause;
    throw new InputError(`${path} cannot be read: ${(cause as Error).message}`, {
      hint: 'Name a file that this user may read.',
      cause,
    });
  }
}

/** A first member, or the directory of an archive without members. */
const ZIP_STARTS = [Buffer.from('PK\u0003\u0004'), Buffer.from('PK\u0005\u0006')];
const GZIP = Buffer.of(0x1f, 0x8b);

function containerOf(
  path: string,
  name: string,
  length: number,
  head: Buffer,
  signal: AbortSignal,
): Promise<Container> {
  if (ZIP_STARTS.some((start) => head.subarray(0, 4).equals(start))) return openZip(path, name, length);
  if (head.subarray(0, 2).equals(GZIP)) return openGzip(path, name, length, signal);
  if (isTar(head)) return openTar(() => createReadStream(path), name, length, signal);
  return Promise.resolve(alone(name, length, () => createReadStream(path)));
}

function isTar(head: Buffer): boolean {
  return head.length >= 512 && head.toString('latin1', 257, 262) === 'ustar';
}

async function openGzip(path: string, name: string, length: number, signal: AbortSignal): Promise<Container> {
  const unpacked = (): Readable => {
    const source = createReadStream(path);
    const gunzip = createGunzip();
    source.on('error', (error) => gunzip.destroy(error));
    gunzip.on('close', () => source.destroy());
    return source.pipe(gunzip);
  };
  let head = Buffer.alloc(0);
  try {
    for await (const chunk of unpacked() as AsyncIterable<Buffer>) {
      head = Buffer.concat([head, chunk]);
      if (head.length >= 512) break;
    }
  } catch (cause) {
    throw new InputError(`${path} begins as gzip and cannot be unpacked: ${(cause as Error).message}`, {
      hint: 'Copy or download it again.',
      cause,
    });
  }
  if (isTar(head)) return openTar(unpacked, name, length, signal);
  return alone(name.replace(/\.gz$/i, ''), length, unpacked);
}

/** A file that is no archive: its own only member. */
function alone(name: string, length: number, opened: () => Readable): Container {
  const container: Container = {
    members: new Map([[name, length]]),
    aside: [],
    async *read(path, signal) {
      let unpacked = 0;
      try {
        for await (const chunk of opened() as AsyncIterable<Buffer>) {
          signal.throwIfAborted();
          unpacked += chunk.length;
          if (isBomb(unpacked, length)) throw new RangeError('it unpacks to far more than any export does');
          yield chunk;
        }
      } catch (error) {
        if (signal.aborted || error instanceof CollectError) throw error;
        throw damaged(name, path, (error as Error).message, error);
      }
    },
    async copy(path, file, _, signal) {
      await pipeline(container.read(path, signal), createWriteStream(file, { flags: 'wx', mode: 0o600 }));
    },
    async [Symbol.asyncDispose]() {},
  };
  return container;
}
