// Puts a large file up in parts: two at a time from memory, each with its digest. What a killed process left is gone on with: a part that the
// service holds already is taken as it is when its digest is that of the file's bytes. Uploads that nobody goes on with are ended after a day.

import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type Part,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { ServiceError } from '../core/errors.ts';
import { changedWhileStored } from './description.ts';
import { OBJECT_KEY_PATTERN, type ObjectKey } from './objects.ts';
import { isNamed, type S3Bucket } from './s3-bucket.ts';

const MEBIBYTE = 1024 * 1024;
/** Two of these are in memory at a time. */
export const PART = 8 * MEBIBYTE;
const PARTS_LIMIT = 10_000;
const CONCURRENCY = 2;
/** After this an upload is nobody's: its lock would be too short, and a process that lives would have ended it. */
const ABANDONED_AFTER_HOURS = 24;

/** Everything about the object but its bytes, as the service takes it when an upload begins. */
export type ObjectHead = CreateMultipartUploadCommandInput;

/**
 * @param ifNew let the service refuse when the key is taken
 * @returns the new version's id; undefined where the service gives none
 * @throws the SDK's own errors; ServiceError when the file is not as long as was said
 */
export async function uploadInParts(
  bucket: S3Bucket,
  key: ObjectKey,
  body: { readonly file: string; readonly length: number },
  head: ObjectHead,
  { ifNew, now }: { ifNew: boolean; now: Temporal.Instant },
): Promise<string | undefined> {
  await using file = await open(body.file);
  if ((await file.stat()).size !== body.length) throw changedWhileStored(body);
  const address = { Bucket: bucket.bucket, Key: bucket.prefix + key };
  const left = await unfinished(bucket, address.Key, now);
  const UploadId = left ?? (await begin(bucket, head));
  const upload = { ...address, UploadId };
  const held = left === null ? new Map<number, Part>() : await partsHeld(bucket, upload);
  try {
    const Parts = await sendParts(bucket, upload, file, body, held);
    const done = new CompleteMultipartUploadCommand({
      ...upload,
      MultipartUpload: { Parts },
      ...(ifNew ? { IfNoneMatch: '*' } : {}),
    });
    return (await bucket.client.send(done)).VersionId;
  } catch (error) {
    // These bytes will never become the object; anything else is for the next try to go on with.
    if (error instanceof ServiceError || isNamed(error, 'PreconditionFailed')) await abort(bucket, upload);
    throw error;
  }
}

/** Ends uploads of ours that nobody went on with for a day. @returns how many */
export async function abortAbandoned(bucket: S3Bucket, now: Temporal.Instant): Promise<number> {
  let ended = 0;
  for await (const { name, id, begun } of uploads(bucket, bucket.prefix)) {
    if (!OBJECT_KEY_PATTERN.test(name.slice(bucket.prefix.length)) || !isAbandoned(begun, now)) continue;
    await abort(bucket, { Bucket: bucket.bucket, Key: name, UploadId: id });
    ended += 1;
  }
  return ended;
}

type UploadAddress = { readonly Bucket: string; readonly Key: string; readonly UploadId: string };

function isAbandoned(begun: Temporal.Instant, now: Temporal.Instant): boolean {
  return Temporal.Instant.compare(begun.add({ hours: ABANDONED_AFTER_HOURS }), now) < 0;
}

export async function* uploads(
  bucket: S3Bucket,
  prefix: string,
): AsyncGenerator<{ name: string; id: string; begun: Temporal.Instant }> {
  let from: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (;;) {
    const page = await bucket.client.send(
      new ListMultipartUploadsCommand({ Bucket: bucket.bucket, Prefix: prefix, ...from }),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key === undefined || UploadId === undefined) continue;
      yield {
        name: Key,
        id: UploadId,
        begun: Temporal.Instant.fromEpochMilliseconds(Initiated?.getTime() ?? 0),
      };
    }
    if (!page.IsTruncated || page.NextKeyMarker === undefined) return;
    from = {
      KeyMarker: page.NextKeyMarker,
      ...(page.NextUploadIdMarker ? { UploadIdMarker: page.NextUploadIdMarker } : {}),
    };
  }
}

export async function abort(bucket: S3Bucket, upload: UploadAddress): Promise<void> {
  await bucket.client.send(new AbortMultipartUploadCommand(upload)).catch((error: unknown) => {
    if (!isNamed(error, 'NoSuchUpload')) throw error; // gone already
  });
}

/** The youngest upload of the key that can be gone on with, or null. */
async function unfinished(bucket: S3Bucket, name: string, now: Temporal.Instant): Promise<string | null> {
  let youngest: { id: string; begun: Temporal.Instant } | null = null;
  for await (const upload of uploads(bucket, name)) {
    if (upload.name !== name || isAbandoned(upload.begun, now)) continue;
    if (youngest === null || Temporal.Instant.compare(upload.begun, youngest.begun) > 0) youngest = upload;
  }
  return youngest?.id ?? null;
}

async function begin(bucket: S3Bucket, head: ObjectHead): Promise<string> {
  const create = new CreateMultipartUploadCommand({ ...head, ChecksumAlgorithm: 'SHA256' });
  const { UploadId } = await bucket.client.send(create);
  if (UploadId === undefined) throw new ServiceError('the storage service began an upload without naming it');
  return UploadId;
}

async function partsHeld(bucket: S3Bucket, upload: UploadAddress): Promise<Map<number, Part>> {
  const held = new Map<number, Part>();
  let from: { PartNumberMarker?: string } = {};
  for (;;) {
    const page = await bucket.client.send(new ListPartsCommand({ ...upload, ...from }));
    for (const part of page.Parts ?? []) if (part.PartNumber !== undefined) held.set(part.PartNumber, part);
    if (!page.IsTruncated || page.NextPartNumberMarker === undefined) return held;
    from = { PartNumberMarker: page.NextPartNumberMarker };
  }
}

async function sendParts(
  bucket: S3Bucket,
  upload: UploadAddress,
  file: FileHandle,
  body: { readonly file: string; readonly length: number },
  held: ReadonlyMap<number, Part>,
): Promise<CompletedPart[]> {
  const size = Math.max(PART, MEBIBYTE * Math.ceil(body.length / PARTS_LIMIT / MEBIBYTE));
  const done: CompletedPart[] = [];
  const numbers = Array.from({ length: Math.ceil(body.length / size) }, (_, index) => index + 1).values();
  const workers = Array.from({ length: CONCURRENCY }, async () => {
    const memory = Buffer.allocUnsafeSlow(Math.min(size, body.length));
    for (const number of numbers) {
      const start = (number - 1) * size;
      const part = memory.subarray(0, Math.min(size, body.length - start));
      await readFully(file, part, start, body);
      done[number - 1] = await sendPart(bucket, upload, number, part, held.get(number));
    }
  });
  // All must have ended before anybody closes the file.
  for (const result of await Promise.allSettled(workers))
    if (result.status === 'rejected') throw result.reason;
  if ((await file.stat()).size !== body.length) throw changedWhileStored(body);
  return done;
}

async function sendPart(
  bucket: S3Bucket,
  upload: UploadAddress,
  PartNumber: number,
  bytes: Buffer,
  held: Part | undefined,
): Promise<CompletedPart> {
  const ChecksumSHA256 = createHash('sha256').update(bytes).digest('base64');
  if (held?.ETag !== undefined && held.Size === bytes.length && isOf(held, bytes, ChecksumSHA256))
    return completed(PartNumber, held.ETag, held.ChecksumSHA256);
  const part = { ...upload, PartNumber, Body: bytes, ContentLength: bytes.length, ChecksumSHA256 };
  const answer = await bucket.sendBytes(() => bucket.client.send(new UploadPartCommand(part)));
  if (answer.ETag === undefined)
    throw new ServiceError('the storage service took a part without an entity tag');
  return completed(PartNumber, answer.ETag, answer.ChecksumSHA256);
}

function completed(PartNumber: number, ETag: string, ChecksumSHA256: string | undefined): CompletedPart {
  return { PartNumber, ETag, ...(ChecksumSHA256 === undefined ? {} : { ChecksumSHA256 }) };
}

/** By the checksum that the service kept, or by its entity tag, which is the MD5 of a part that is not encrypted by a key service. */
function isOf(held: Part, bytes: Buffer, sha256: string): boolean {
  if (held.ChecksumSHA256 !== undefined) return held.ChecksumSHA256 === sha256;
  return held.ETag === `"${createHash('md5').update(bytes).digest('hex')}"`;
}

async function readFully(
  file: FileHandle,
  into: Buffer,
  start: number,
  body: { readonly file: string; readonly length: number },
): Promise<void> {
  let filled = 0;
  while (filled < into.length) {
    const { bytesRead } = await file.read(into, filled, into.length - filled, start + filled);
    if (bytesRead === 0) throw changedWhileStored(body);
    filled += bytesRead;
  }
}
