// One open file of the directory store. Its stream ends with an error, never early, when the file is shorter than its
// header says.

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type ContainerHeader, damaged, HEADER_LIMIT, readContainerHeader } from './container.ts';
import { diskTrouble } from './disk.ts';
import type { ObjectKey, StoredObject } from './objects.ts';

const CHUNK = 256 * 1024;
/** The first read takes the header and, most of the time, the whole object. */
const FIRST_READ = 2 * HEADER_LIMIT;

export class ObjectFile implements AsyncDisposable {
  readonly object: StoredObject;
  readonly #handle: FileHandle;
  readonly #header: ContainerHeader;
  readonly #beginning: Buffer;

  private constructor(key: ObjectKey, handle: FileHandle, header: ContainerHeader, beginning: Buffer) {
    const { length, contentType, metadata, start } = header;
    this.object = { key, length, contentType, metadata, version: null, lockedUntil: null };
    this.#handle = handle;
    this.#header = header;
    this.#beginning = beginning.subarray(start);
  }

  /**
   * @throws VerificationError when the file is not the whole object; the operating system's error when it cannot be
   *   opened, ELOOP for a symbolic link
   */
  static async open(key: ObjectKey, name: string): Promise<ObjectFile> {
    // O_NONBLOCK: a named pipe in an object's place must not make us wait for its writer
    const handle = await open(name, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const status = await handle.stat();
      if (!status.isFile()) throw damaged(key, 'what stands in its place is not a file');
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(FIRST_READ, status.size)), {
        position: 0,
      });
      const beginning = buffer.subarray(0, bytesRead);
      return new ObjectFile(key, handle, readContainerHeader(key, beginning, status.size), beginning);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The bytes as put. Closes the file at its end or when destroyed. */
  stream(): Readable {
    const { key, length } = this.object;
    const { start } = this.#header;
    const handle = this.#handle;
    let first: Buffer | null = this.#beginning;
    let sent = 0;
    const next = async (): Promise<Buffer | null> => {
      if (sent === length) return null;
      const waiting = first;
      first = null;
      if (waiting?.length) return waiting;
      const size = Math.min(CHUNK, length - sent);
      const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(size), 0, size, start + sent);
      if (bytesRead === 0)
        throw damaged(key, `its file was cut while it was read: ${length - sent} bytes are missing`);
      return buffer.subarray(0, bytesRead);
    };
    return new Readable({
      highWaterMark: CHUNK,
      read() {
        next().then(
          (chunk) => {
            sent += chunk?.length ?? 0;
            this.push(chunk);
          },
          (error: unknown) => this.destroy(diskTrouble(error, `could not read object ${key}`) as Error),
        );
      },
      destroy(error, done) {
        handle.close().then(
          () => done(error),
          (trouble: Error) => done(error ?? trouble),
        );
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
