// One payload of one store, held against its row: bytes and salt give the commitment, and the description is what capture gave it.

import { createHash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { payloadCommitment } from '../core/digest.ts';
import { ObjectNotFoundError, ServiceError, VerificationError } from '../core/errors.ts';
import type { ObjectBody, ObjectReader, StoredObject } from '../store/objects.ts';
import type { PayloadRow } from './compare.ts';

export type Examined =
  | { readonly state: 'intact'; readonly object: StoredObject }
  | { readonly state: 'missing' }
  | { readonly state: 'altered'; readonly why: string };

/** Takes the bytes while they are read. */
export type Sink = (chunk: Buffer) => Promise<void>;

/** @throws ServiceError when the store cannot be asked: that says nothing about the payload */
export async function examinePayload(
  store: ObjectReader,
  row: PayloadRow,
  version: string | null,
  sink?: Sink,
): Promise<Examined> {
  try {
    const { object, body } = await store.get(row.commitment, version);
    const fault = descriptionFault(object, row);
    if (fault !== null) {
      body.on('error', () => undefined).destroy();
      return { state: 'altered', why: fault };
    }
    const digest = createHash('sha256');
    for await (const chunk of body as AsyncIterable<Buffer>) {
      digest.update(chunk);
      if (sink !== undefined) await sink(chunk);
    }
    if (payloadCommitment(row.salt as Buffer, digest.digest()) !== row.commitment)
      return { state: 'altered', why: 'its bytes are not the ones committed to' };
    return { state: 'intact', object };
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return { state: 'missing' };
    if (error instanceof VerificationError) return { state: 'altered', why: error.message };
    throw error;
  }
}

/** @returns what of an object's description is not what its row says, or null */
function descriptionFault(object: StoredObject, row: PayloadRow): string | null {
  const { metadata, contentType, length } = object;
  if (row.salt === null) return 'its row has lost the salt';
  if (metadata.salt !== row.salt.toString('hex')) return 'its salt is not that of its row';
  if (contentType !== row.contentType) return 'its content type is not that of its row';
  if (length !== row.length) return `it has ${length} bytes, its row says ${row.length}`;
  if (metadata.role !== row.role) return 'its role is not that of its row';
  if ((metadata.record ?? null) !== row.record || (metadata.run ?? null) !== row.run)
    return 'its owner is not that of its row';
  if (row.seed !== null && metadata.seed !== row.seed.toString('hex'))
    return 'its seed is not that of its row';
  return null;
}

/** Bytes on their way from one store to another: in memory up to a size, beyond it in a file that goes with the value. */
export class Carried implements AsyncDisposable {
  readonly #length: number;
  readonly #chunks: Buffer[] = [];
  readonly #path: string | null;
  readonly #file: FileHandle | null;

  private constructor(length: number, path: string | null, file: FileHandle | null) {
    this.#length = length;
    this.#path = path;
    this.#file = file;
  }

  /** @param folder where a file may be made */
  static async begin(length: number, inMemory: number, folder: string, name: string): Promise<Carried> {
    if (length <= inMemory) return new Carried(length, null, null);
    const path = join(folder, name);
    return new Carried(length, path, await open(path, 'w', 0o600).catch(spoolTrouble(path)));
  }

  readonly take: Sink = async (chunk) => {
    if (this.#file === null) this.#chunks.push(chunk);
    else await this.#file.write(chunk).catch(spoolTrouble(this.#path as string));
  };

  body(): ObjectBody {
    if (this.#path === null) return { bytes: Buffer.concat(this.#chunks) };
    return { file: this.#path, length: this.#length };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
    if (this.#path !== null) await rm(this.#path, { force: true });
  }
}

function spoolTrouble(path: string): (error: unknown) => never {
  return (cause) => {
    throw new ServiceError(`${path} cannot be written: ${(cause as Error).message}`, {
      hint: 'Large payloads pass through the spool of the home. Make room there, then run the command again.',
      cause,
    });
  };
}
