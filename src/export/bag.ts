// Writes a BagIt 1.0 bag straight into a ZIP. Members are stored, not deflated: deflate's output differs between processors, and
// equal exports must be equal to the byte. The file gets its name only when all of it is durable.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type FileHandle, link, lstat, open, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { ZipArchive } from 'archiver';
import { InputError } from '../core/errors.ts';

/** Up to here a member is written from memory, with its sizes in front: that is what every reader of ZIPs copes with. */
export const IN_MEMORY = 16 * 1024 * 1024;
const BACKLOG = 8 * 1024 * 1024;
const WRITE = 256 * 1024;

export interface FileDigest {
  readonly sha256: string;
  readonly length: number;
}

/** A temporary file without a name: whatever ends the process, nothing of it stays. */
export class Spool implements AsyncDisposable {
  readonly #file: FileHandle;
  #length = 0;
  #pending: Buffer[] = [];
  #pendingLength = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async create(folder: string): Promise<Spool> {
    const name = path.join(folder, `.${randomBytes(8).toString('hex')}.spool`);
    const file = await open(name, 'wx+', 0o600);
    await unlink(name);
    return new Spool(file);
  }

  async append(content: string | Uint8Array): Promise<void> {
    const bytes = Buffer.from(content as string);
    this.#pending.push(bytes);
    this.#pendingLength += bytes.length;
    if (this.#pendingLength >= WRITE) await this.#flush();
  }

  async *read(): AsyncGenerator<Buffer> {
    await this.#flush();
    for (let at = 0; at < this.#length; ) {
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(256 * 1024), 0, 256 * 1024, at);
      if (bytesRead === 0) throw new Error('a temporary file was cut while it was read');
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async *lines(): AsyncGenerator<string> {
    let parts: Buffer[] = [];
    for await (const chunk of this.read()) {
      let from = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
        parts.push(chunk.subarray(from, end));
        yield Buffer.concat(parts).toString();
        parts = [];
        from = end + 1;
      }
      if (from < chunk.length) parts.push(chunk.subarray(from));
    }
  }

  get length(): number {
    return this.#length + this.#pendingLength;
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingLength = 0;
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#length);
      done += bytesWritten;
      this.#length += bytesWritten;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

export interface BagOptions {
  /** Where the ZIP shall stand. */
  readonly out: string;
  /** Replace a file that stands there. */
  readonly replace: boolean;
  /** The one folder in the ZIP. */
  readonly folder: string;
  /** Date of every member. */
  readonly date: Date;
}

/** The bag while it is written. Dispose of it: what was not finished vanishes. */
export class BagWriter implements AsyncDisposable {
  readonly #options: BagOptions;
  readonly #temporary: string;
  readonly #file: FileHandle;
  readonly #archive: ZipArchive;
  readonly #pump: Promise<void>;
  readonly #zip = createHash('sha256');
  readonly #payloadManifest: Spool;
  readonly #tagManifest: Spool;
  #written = 0;
  #handed = 0;
  #failure: unknown;
  #wake = Promise.withResolvers<void>();
  #files = 0;
  #payloadFiles = 0;
  #payloadBytes = 0;
  #done = false;

  private constructor(
    options: BagOptions,
    temporary: string,
    file: FileHandle,
    spools: readonly [Spool, Spool],
  ) {
    this.#options = options;
    this.#temporary = temporary;
    this.#file = file;
    [this.#payloadManifest, this.#tagManifest] = spools;
    this.#archive = new ZipArchive({ store: true, forceLocalTime: false });
    this.#pump = this.#drain().catch((error: unknown) => {
      this.#failure = error;
      this.#wake.resolve();
    });
  }

  /** @throws InputError when something stands there already, or the folder does not exist */
  static async create(options: BagOptions): Promise<BagWriter> {
    await refuseExisting(options);
    const parent = path.dirname(options.out);
    const temporary = path.join(
      parent,
      `.${path.basename(options.out)}.${randomBytes(6).toString('hex')}.partial`,
    );
    let file: FileHandle;
    try {
      file = await open(temporary, 'wx', 0o600);
    } catch (cause) {
      throw new InputError(`cannot write in ${parent}: ${(cause as Error).message}`, {
        hint: 'Give a folder that exists and that you may write to.',
        cause,
      });
    }
    return new BagWriter(options, temporary, file, [await Spool.create(parent), await Spool.create(parent)]);
  }

  /** Adds a file from memory. @param name path in the bag */
  async add(name: string, content: Uint8Array | string): Promise<FileDigest> {
    const bytes = Buffer.from(content as Uint8Array);
    const digest = { sha256: createHash('sha256').update(bytes).digest('hex'), length: bytes.length };
    await this.#append(name, bytes, digest);
    await this.#list(name, digest);
    return digest;
  }

  /** Adds a file of any size. @throws whatever `chunks` throws: the bag cannot be finished then */
  async addStream(name: string, chunks: AsyncIterable<Uint8Array>): Promise<FileDigest> {
    const hash = createHash('sha256');
    const digest = { sha256: '', length: 0 };
    let failure: unknown;
    // The archiver hangs on a source that fails: it is ended instead, and the failure is thrown here.
    async function* counted() {
      try {
        for await (const chunk of chunks) {
          hash.update(chunk);
          digest.length += chunk.length;
          yield chunk;
        }
      } catch (error) {
        failure = error;
      }
    }
    await this.#append(name, Readable.from(counted(), { objectMode: false }), digest);
    if (failure !== undefined) throw failure;
    digest.sha256 = hash.digest('hex');
    await this.#list(name, digest);
    return digest;
  }

  /** Adds a spool's content: from memory while it is small. */
  async addSpool(name: string, spool: Spool): Promise<FileDigest> {
    if (spool.length > IN_MEMORY / 4) return this.addStream(name, spool.read());
    const parts: Buffer[] = [];
    for await (const part of spool.read()) parts.push(part);
    return this.add(name, Buffer.concat(parts));
  }

  /**
   * Writes what closes a bag, and the file's name.
   * @param bagInfo lines of bag-info.txt but Payload-Oxum
   * @param sign makes signature.note from the SHA-256 of tagmanifest-sha256.txt
   */
  async finish(bagInfo: readonly string[], sign: (tagManifest: string) => string) {
    await this.addSpool('manifest-sha256.txt', this.#payloadManifest);
    await this.add('bagit.txt', 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n');
    await this.add(
      'bag-info.txt',
      `${[...bagInfo, `Payload-Oxum: ${this.#payloadBytes}.${this.#payloadFiles}`].join('\n')}\n`,
    );
    const manifest = await this.addSpool('tagmanifest-sha256.txt', this.#tagManifest);
    await this.add('signature.note', sign(manifest.sha256));
    await this.#archive.finalize();
    await this.#pump;
    if (this.#failure !== undefined) throw this.#failure;
    await this.#file.sync();
    await this.#file.close();
    this.#done = true;
    await this.#giveName();
    return {
      sha256: this.#zip.digest('hex'),
      bytes: this.#written,
      files: this.#files,
      manifest: manifest.sha256,
    };
  }

  async #append(name: string, source: Buffer | Readable, digest: { length: number }): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const entry = once(this.#archive, 'entry');
    this.#archive.append(source, {
      name: `${this.#options.folder}/${name}`,
      date: this.#options.date,
      mode: 0o644,
    });
    await Promise.race([entry, this.#pump]);
    this.#handed += digest.length + name.length + this.#options.folder.length + 31;
    while (this.#failure === undefined && this.#handed - this.#written > BACKLOG) await this.#wake.promise;
    if (this.#failure !== undefined) throw this.#failure;
    this.#files += 1;
  }

  async #list(name: string, digest: FileDigest): Promise<void> {
    const line = `${digest.sha256}  ${name}\n`;
    if (name.startsWith('data/')) {
      this.#payloadFiles += 1;
      this.#payloadBytes += digest.length;
      await this.#payloadManifest.append(line);
    } else if (name !== 'tagmanifest-sha256.txt' && name !== 'signature.note')
      await this.#tagManifest.append(line);
  }

  async #drain(): Promise<void> {
    // The archiver hands over a header field by field: these are gathered, so that a small file does not cost a dozen writes.
    let gathered: Buffer[] = [];
    let length = 0;
    const flush = async () => {
      const bytes = Buffer.concat(gathered);
      gathered = [];
      length = 0;
      this.#zip.update(bytes);
      for (let done = 0; done < bytes.length; ) done += (await this.#file.write(bytes, done)).bytesWritten;
    };
    for await (const chunk of this.#archive as AsyncIterable<Buffer>) {
      gathered.push(chunk);
      length += chunk.length;
      this.#written += chunk.length;
      if (length >= WRITE) await flush();
      this.#wake.resolve();
      this.#wake = Promise.withResolvers<void>();
    }
    await flush();
  }

  async #giveName(): Promise<void> {
    const { out, replace } = this.#options;
    if (replace) await rename(this.#temporary, out);
    else {
      try {
        // Unlike rename, link fails when somebody was faster.
        await link(this.#temporary, out);
        await unlink(this.#temporary);
      } catch (error) {
        if (
          !['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? '')
        ) {
          await unlink(this.#temporary);
          throw exists(out, error);
        }
        await refuseExisting(this.#options);
        await rename(this.#temporary, out);
      }
    }
    const parent = await open(path.dirname(out), 'r');
    try {
      await parent.sync();
    } finally {
      await parent.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#payloadManifest[Symbol.asyncDispose]();
    await this.#tagManifest[Symbol.asyncDispose]();
    if (this.#done) return;
    this.#archive.destroy();
    await this.#pump;
    await this.#file.close();
    await unlink(this.#temporary);
  }
}

async function refuseExisting(options: BagOptions): Promise<void> {
  let state: Awaited<ReturnType<typeof lstat>>;
  try {
    state = await lstat(options.out);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new InputError(`cannot write ${options.out}: ${(error as Error).message}`, {
      hint: 'Give a path for the ZIP in a folder that exists.',
      cause: error,
    });
  }
  if (state.isDirectory())
    throw new InputError(`${options.out} is a folder`, {
      hint: 'Give the path of the ZIP file, e.g. bundle.zip.',
    });
  if (!options.replace) throw exists(options.out, undefined);
}

function exists(out: string, cause: unknown): InputError {
  return new InputError(`${out} exists already`, {
    hint: 'Give another path, or --force to replace it.',
    ...(cause === undefined ? {} : { cause }),
  });
}
