// Reads versions of objects from a bucket: what an answer says of one, and a body that is taken up again where a connection broke.

import type { Readable } from 'node:stream';
import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { ObjectNotFoundError, ServiceError } from '../core/errors.ts';
import { lockStateOf } from './lock-keeper.ts';
import type { LockState, ObjectKey, StoredObject } from './objects.ts';
import { resumedStream } from './resumed-stream.ts';
import { isNamed, type S3Bucket, UNVERSIONED } from './s3-bucket.ts';

/** What an answer to HEAD or GET says of the object. */
type Answer = Pick<
  GetObjectCommandOutput,
  | 'ContentLength'
  | 'ContentType'
  | 'Metadata'
  | 'ObjectLockMode'
  | 'ObjectLockRetainUntilDate'
  | 'ObjectLockLegalHoldStatus'
  | 'ServerSideEncryption'
  | 'SSEKMSKeyId'
>;

export interface KeptObject {
  readonly object: StoredObject;
  readonly lock: LockState;
  /** As the service names it; undefined: none that it tells of. */
  readonly encryption: string | undefined;
  readonly kmsKey: string | undefined;
}

export function keptObject(key: ObjectKey, version: string, answer: Answer): KeptObject {
  if (answer.ContentLength === undefined)
    throw new ServiceError(`the storage service gave no length for object ${key}`);
  const lock = lockStateOf(answer);
  return {
    object: {
      key,
      length: answer.ContentLength,
      contentType: answer.ContentType ?? 'application/octet-stream',
      metadata: answer.Metadata ?? {},
      version: version === UNVERSIONED ? null : version,
      lockedUntil: lock.until,
    },
    lock,
    encryption: answer.ServerSideEncryption,
    kmsKey: answer.SSEKMSKeyId,
  };
}

/** @throws ObjectNotFoundError. The caller must consume or destroy `body`. */
export async function readVersion(
  bucket: S3Bucket,
  key: ObjectKey,
  version: string,
): Promise<KeptObject & { readonly body: Readable }> {
  const address = bucket.address(key, version);
  try {
    const answer = await bucket.client.send(new GetObjectCommand(address));
    const kept = keptObject(key, version, answer);
    return { ...kept, body: wholeBody(bucket, address, answer, `object ${key}`) };
  } catch (error) {
    if (isNamed(error, 'NoSuchKey', 'NoSuchVersion')) throw new ObjectNotFoundError(key, { cause: error });
    throw bucket.trouble(error, `could not read object ${key}`);
  }
}

type Address = ReturnType<S3Bucket['address']>;

/**
 * The body of an answer to GET, taken up again where the connection broke.
 * @param what was asked for, for the message of the ServiceError that the stream ends with where it cannot be had to its end
 * @throws ServiceError when the answer has no length
 */
export function wholeBody(
  bucket: S3Bucket,
  address: Address,
  answer: GetObjectCommandOutput,
  what: string,
): Readable {
  const { ContentLength: length, ETag: tag, Body: body } = answer;
  if (length === undefined) throw new ServiceError(`the storage service gave no length for ${what}`);
  return resumedStream(body as Readable, length, {
    from: (position) => rest(bucket, address, { position, length, tag }),
    trouble: (error) => bucket.trouble(error, `could not read ${what} to its end`),
  });
}

async function rest(
  bucket: S3Bucket,
  address: Address,
  { position, length, tag }: { position: number; length: number; tag: string | undefined },
): Promise<Readable> {
  const same = tag === undefined ? {} : { IfMatch: tag };
  const Range = `bytes=${position}-`;
  const answer = await bucket.client.send(new GetObjectCommand({ ...address, ...same, Range }));
  const expected = `bytes ${position}-${length - 1}/${length}`;
  if (answer.ContentRange === expected) return answer.Body as Readable;
  (answer.Body as Readable).destroy();
  throw new ServiceError(`the service gave ${answer.ContentRange ?? 'no range'} instead of ${expected}`);
}
