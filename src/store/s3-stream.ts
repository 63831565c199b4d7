// Puts a stream of unknown length under a name of a bucket, for files that are no payloads: in parts from memory, ended when it breaks off.
// What the service took is read back, since some keep what they were not sent.

import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { ServiceError, VerificationError } from '../core/errors.ts';
import type { S3Bucket } from './s3-bucket.ts';

/** 10,000 of these are the most that an upload can have. */
const PART = 32 * 1024 * 1024;

/**
 * @param name after the bucket's prefix
 * @returns length and SHA-256 (hex) of what was sent and came back
 * @throws what the stream throws; the SDK's own errors; VerificationError when something else comes back
 */
export async function putStream(
  bucket: S3Bucket,
  name: string,
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ bytes: number; sha256: string }> {
  const address = { Bucket: bucket.bucket, Key: bucket.prefix + name };
  const hash = createHash('sha256');
  let bytes = 0;
  let upload: (typeof address & { UploadId: string }) | null = null;
  const parts: CompletedPart[] = [];
  try {
    for await (const { part, last } of partsOf(chunks)) {
      hash.update(part);
      bytes += part.length;
      const ChecksumSHA256 = createHash('sha256').update(part).digest('base64');
      const body = { Body: part, ContentLength: part.length, ChecksumSHA256 };
      if (last && upload === null) {
        await bucket.client.send(new PutObjectCommand({ ...address, ...body }));
        break;
      }
      if (upload === null) {
        const begun = new CreateMultipartUploadCommand({ ...address, ChecksumAlgorithm: 'SHA256' });
        const { UploadId } = await bucket.client.send(begun);
        if (UploadId === undefined)
          throw new ServiceError('the storage service began an upload without naming it');
        upload = { ...address, UploadId };
      }
      const PartNumber = parts.length + 1;
      const { ETag, ChecksumSHA256: kept } = await bucket.client.send(
        new UploadPartCommand({ ...upload, ...body, PartNumber }),
      );
      parts.push({
        PartNumber,
        ...(ETag === undefined ? {} : { ETag }),
        ...(kept === undefined ? {} : { ChecksumSHA256: kept }),
      });
    }
    if (upload !== null)
      await bucket.client.send(
        new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: parts } }),
      );
  } catch (error) {
    if (upload !== null) await bucket.client.send(new AbortMultipartUploadCommand(upload));
    throw error;
  }
  const sha256 = hash.digest('hex');
  await readBack(bucket, address, name, sha256);
  return { bytes, sha256 };
}

async function* partsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<{ part: Buffer; last: boolean }> {
  let gathered: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    if (length > 0 && length + chunk.byteLength > PART) {
      yield { part: Buffer.concat(gathered), last: false };
      gathered = [];
      length = 0;
    }
    gathered.push(chunk);
    length += chunk.byteLength;
  }
  yield { part: Buffer.concat(gathered), last: true };
}

async function readBack(
  bucket: S3Bucket,
  address: { Bucket: string; Key: string },
  name: string,
  sha256: string,
): Promise<void> {
  const { Body } = await bucket.client.send(new GetObjectCommand(address));
  const hash = createHash('sha256');
  for await (const chunk of Body as Readable) hash.update(chunk as Buffer);
  if (hash.digest('hex') === sha256) return;
  throw new VerificationError(`${bucket.location}: ${name} does not come back as it was stored`, {
    hint: 'Do not use this storage service until its operator has found the cause.',
  });
}
