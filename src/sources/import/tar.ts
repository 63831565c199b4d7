// Reads tar archives, which have no directory: one reading finds the members, another gives the one that is read. Media, which are wanted in
// any order, are unpacked together into the run's own folder, under names of ours.

import { createWriteStream } from 'node:fs';
import { link, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import { InputError, ServiceError } from '../../core/errors.ts';
import { CollectError } from '../collect-error.ts';
import { type Container, damaged, isBomb, Members, nameFault } from './container.ts';

/** Folder in that of the run. */
const UNPACKED = 'unpacked';

type TarEntry = Readable & { readonly header: { name: string; type?: string | null; size?: number } };

/**
 * @param opened begins to read the archive, unpacked, from its front
 * @param length of the file, in bytes, before anything is unpacked
 * @throws InputError when it is cut short or broken
 */
export async function openTar(
  opened: () => Readable,
  name: string,
  length: number,
  signal: AbortSignal,
): Promise<Container> {
  const members = new Members(name);
  const tar = new Tar(opened, name, length, members);
  try {
    for await (const { path, header } of tar.entries(signal)) {
      if (header.type === 'directory') continue;
      const fault = nameFault(path) ?? (isFile(header) ? null : 'it is a link or a device, and no file');
      if (fault === null) members.add(path, header.size ?? 0);
      else members.putAside(path, fault);
    }
    return tar;
  } catch (cause) {
    if (cause instanceof InputError || signal.aborted) throw cause;
    throw new InputError(
      `${name} is an archive that cannot be read to its end: ${(cause as Error).message}`,
      {
        hint: 'It may be cut short: compare its length with that at the platform, and copy or download it again.',
        cause,
      },
    );
  }
}

function isFile({ type }: TarEntry['header']): boolean {
  return type === 'file' || type === 'contiguous-file';
}

class Tar implements Container {
  readonly members: Container['members'];
  readonly aside: Container['aside'];
  readonly #opened: () => Readable;
  readonly #name: string;
  readonly #length: number;
  #unpacked: Promise<ReadonlyMap<string, string>> | null = null;

  constructor(opened: () => Readable, name: string, length: number, members: Members) {
    this.members = members.found;
    this.aside = members.aside;
    this.#opened = opened;
    this.#name = name;
    this.#length = length;
  }

  /** What a consumer leaves of an entry is passed over. */
  async *entries(
    signal: AbortSignal,
  ): AsyncGenerator<{ path: string; header: TarEntry['header']; entry: TarEntry }> {
    const source = this.#opened();
    const unpacking = extract();
    let unpacked = 0;
    source.on('data', (chunk: Buffer) => {
      unpacked += chunk.length;
      if (isBomb(unpacked, this.#length))
        source.destroy(
          new InputError(`${this.#name} unpacks to far more than any export does`, {
            hint: 'No platform makes such a file; ask for the export again.',
          }),
        );
    });
    // Its failure is thrown by the iteration below.
    const piped = pipeline(source, unpacking as unknown as NodeJS.WritableStream, { signal });
    piped.catch(() => undefined);
    try {
      for await (const entry of unpacking as unknown as AsyncIterable<TarEntry>) {
        yield { path: entry.header.name.replace(/^(\.\/)+/, ''), header: entry.header, entry };
        entry.resume();
      }
      await piped;
    } finally {
      source.destroy();
    }
  }

  async *read(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
    if (!this.members.has(path)) throw damaged(this.#name, path, 'it is not in the archive');
    try {
      for await (const one of this.entries(signal)) {
        if (one.path !== path || !isFile(one.header)) continue;
        for await (const chunk of one.entry as AsyncIterable<Buffer>) yield Buffer.from(chunk);
        return;
      }
    } catch (error) {
      if (signal.aborted || error instanceof CollectError) throw error;
      throw damaged(this.#name, path, (error as Error).message, error);
    }
    throw damaged(this.#name, path, 'it is not in the archive');
  }

  async copy(path: string, file: string, directory: string, signal: AbortSignal): Promise<void> {
    this.#unpacked ??= this.#unpack(join(directory, UNPACKED), signal);
    const unpacked = (await this.#unpacked).get(path);
    if (unpacked === undefined) throw damaged(this.#name, path, 'it is not in the archive');
    await link(unpacked, file);
  }

  async #unpack(directory: string, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const files = new Map<string, string>();
    await mkdir(directory, { recursive: true });
    for await (const { path, header, entry } of this.entries(signal)) {
      if (!isFile(header) || !this.members.has(path) || !this.isMedium(path)) continue;
      const file = join(directory, String(files.size));
      await pipeline(entry, createWriteStream(file, { flags: 'wx', mode: 0o600 })).catch((cause: unknown) => {
        if ((cause as NodeJS.ErrnoException).errno === undefined) throw cause;
        throw new ServiceError(`could not unpack ${path}: ${(cause as Error).message}`, {
          hint: "Free space for the archive's home: the media of a tar archive are unpacked there while it is imported.",
          cause,
        });
      });
      files.set(path, file);
    }
    return files;
  }

  /** Lists of items are read as streams, and need not be unpacked. */
  isMedium(path: string): boolean {
    return !path.endsWith('.json');
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
