// One open file of the directory store. Its stream ends with an error, never early, when the file is shorter than its
// header says.

import { constants, lstatSync } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type ContainerHeader, damaged, HEADER_LIMIT, readContainerHeader } from './container.ts';
import { diskTrouble } from './disk.ts';
import type { ObjectKey, StoredObject } from './objects.ts';

const CHUNK = 256 * 1024;
/** Smaller files are read whole, which Node does in one turn of another thread; the parts of a larger one take a turn each. */
const WHOLE_LIMIT = 256 * 1024;
// O_NONBLOCK: a named pipe in an object's place must not make us wait for its writer
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export class ObjectFile implements AsyncDisposable {
  readonly object: StoredObject;
  /** Null when the whole file is in `beginning`. */
  readonly #handle: FileHandle | null;
  readonly #header: ContainerHeader;
  readonly #beginning: Buffer;

  private constructor(key: ObjectKey, handle: FileHandle | null, header: ContainerHeader, beginning: Buffer) {
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
    const present = lstatSync(name);
    if (!present.isFile() && !present.isSymbolicLink()) throw notAFile(key);
    if (present.size <= WHOLE_LIMIT) {
      const whole = await readFile(name, { flag: FLAGS as unknown as string });
      return new ObjectFile(key, null, readContainerHeader(key, whole, whole.length), whole);
    }
    const handle = await open(name, FLAGS);
    try {
      const status = await handle.stat();
      if (!status.isFile()) throw notAFile(key);
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEADER_LIMIT), { position: 0 });
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
    if (handle === null) return inOnePiece(this.#beginning);
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
    await this.#handle?.close();
  }
}

function inOnePiece(bytes: Buffer): Readable {
  return new Readable({
    read() {
      if (bytes.length > 0) this.push(bytes);
      this.push(null);
    },
  });
}

function notAFile(key: ObjectKey): Error {
  return damaged(key, 'what stands in its place is not a file');
}
