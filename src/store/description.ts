// What every store checks before it writes: a key that is a commitment, a description that any store can carry unchanged
// (HTTP headers are the narrowest). And what a store says of a body that it has taken, and the one comparison of a body with the bytes that stand already.

import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { InputError, ServiceError } from '../core/errors.ts';
import { OBJECT_KEY_PATTERN, type ObjectBody, type ObjectKey, type StoredObject } from './objects.ts';

export interface ObjectDescription {
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Names that come back from an HTTP header as they went in. */
const METADATA_NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;
/** Printable ASCII that an HTTP header does not trim. */
const HEADER_VALUE = /^[!-~](?:[ -~]*[!-~])?$/;
const METADATA_LIMIT = 1024;
const PIECE = 256 * 1024;

/** @throws InputError for anything but 64 lower-case hex digits: no key can name a path outside the store. */
export function checkKey(key: ObjectKey): void {
  if (!OBJECT_KEY_PATTERN.test(key)) {
    throw new InputError(`${JSON.stringify(key).slice(0, 100)} is not an object key`, {
      hint: 'A key is a payload commitment: 64 lower-case hexadecimal digits.',
    });
  }
}

/** @throws InputError when some store could not give the description back unchanged. */
export function checkDescription({ contentType, metadata }: ObjectDescription): void {
  let size = 0;
  for (const [name, value] of Object.entries(metadata)) {
    size += name.length + value.length;
    if (METADATA_NAME.test(name) && HEADER_VALUE.test(value)) continue;
    throw new InputError(`metadata ${JSON.stringify(name)} cannot be stored`, {
      hint: 'Names are lower-case letters, digits and hyphens; values are printable ASCII without spaces at their ends.',
    });
  }
  if (size > METADATA_LIMIT || contentType.length > 255 || !HEADER_VALUE.test(contentType)) {
    throw new InputError('the content type or the metadata of an object is too long or not printable ASCII', {
      hint: `A content type has up to 255 characters, all metadata together up to ${METADATA_LIMIT}.`,
    });
  }
}

export function bodyLength(body: ObjectBody): number {
  return 'bytes' in body ? body.bytes.byteLength : body.length;
}

/**
 * Reads a body piece by piece in constant memory: a piece is valid only until the next one is asked for.
 * @throws ServiceError when a file is not as long as was said: it changed, or was not finished.
 */
export async function* bodyChunks(body: ObjectBody): AsyncGenerator<Uint8Array> {
  if ('bytes' in body) {
    yield body.bytes;
    return;
  }
  await using file = await open(body.file);
  const piece = Buffer.allocUnsafeSlow(PIECE);
  let read = 0;
  for (;;) {
    const { bytesRead } = await file.read(piece, 0, PIECE, read);
    if (bytesRead === 0) break;
    read += bytesRead;
    if (read > body.length) break;
    yield piece.subarray(0, bytesRead);
  }
  if (read !== body.length) throw changedWhileStored(body);
}

export function changedWhileStored({ file, length }: { file: string; length: number }): ServiceError {
  return new ServiceError(`${file} is not ${length} bytes long: it changed while it was being stored`, {
    hint: 'Store a file only when it is finished, and leave it alone until then.',
  });
}

/** @returns whether a stored stream and a body of the same length have the same bytes, in bounded memory. */
export async function sameBytes(stored: AsyncIterable<Uint8Array>, body: ObjectBody): Promise<boolean> {
  const [left, right] = [createHash('sha256'), createHash('sha256')];
  for await (const chunk of stored) left.update(chunk);
  for await (const chunk of bodyChunks(body)) right.update(chunk);
  return left.digest().equals(right.digest());
}

/** @returns what a store says of a body that it has taken, but for what only it knows: version and lock */
export function describedObject(
  key: ObjectKey,
  body: ObjectBody,
  { contentType, metadata }: ObjectDescription,
): Omit<StoredObject, 'version' | 'lockedUntil'> {
  return { key, length: bodyLength(body), contentType, metadata: { ...metadata } };
}
