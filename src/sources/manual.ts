// What no API gives: a screenshot or a PDF that a person took of what they saw. The person's statement (who, where, when, why, and the digests
// of the files) takes the place of a platform's answer; its bytes are the item's slice.

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { canonicalBytes, type Json, wellFormed } from '../core/canonical.ts';
import { type Clock, instantText } from '../core/clock.ts';
import { sha256Hex } from '../core/digest.ts';
import { InputError } from '../core/errors.ts';
import type { ItemKind } from '../core/vocabulary.ts';
import { CollectError } from './collect-error.ts';
import type { Collector, Exchange, MediaReference } from './collector.ts';
import { withoutSecrets } from './evidence.ts';
import { itemWith } from './sighting.ts';

export const MANUAL = 'manual';

/** What a person says of what they captured. Instants are RFC 3339. */
export interface ManualStatement {
  /** Who saw it: a name. */
  readonly by: string;
  /** Where it was seen: an address, or words. */
  readonly where: string;
  readonly seenAt: string;
  readonly why: string;
  readonly kind: ItemKind;
  /** Of the item itself, as far as it shows; null: not given. */
  readonly author: string | null;
  readonly postedAt: string | null;
  readonly text: string | null;
}

interface StatedFile {
  readonly path: string;
  readonly name: string;
  readonly length: number;
  readonly sha256: string;
  readonly mediaType: string;
}

/** By their first bytes: a name can say anything. */
const TYPES: readonly (readonly [type: string, test: (head: Buffer) => boolean])[] = [
  ['application/pdf', (head) => head.subarray(0, 5).toString('latin1') === '%PDF-'],
  ['image/png', (head) => head.subarray(0, 8).toString('latin1') === '\u0089PNG\r\n\u001a\n'],
  ['image/jpeg', (head) => head.subarray(0, 3).equals(Buffer.of(0xff, 0xd8, 0xff))],
  ['image/gif', (head) => /^GIF8[79]a/.test(head.toString('latin1'))],
  ['image/webp', (head) => /^RIFF....WEBP/s.test(head.toString('latin1'))],
  ['video/mp4', (head) => head.subarray(4, 8).toString('latin1') === 'ftyp'],
  ['video/webm', (head) => head.subarray(0, 4).equals(Buffer.of(0x1a, 0x45, 0xdf, 0xa3))],
];
const HEAD = 16;

/**
 * A collector of one item. The same statement over the same files is the same item: said twice, it makes no second record.
 * @throws InputError where a file cannot be read, is empty, or is neither a picture, a video nor a PDF
 */
export async function openManualCollector(
  statement: ManualStatement,
  paths: readonly string[],
  clock: Clock,
): Promise<Collector> {
  const files = await Promise.all(paths.map(statedFile));
  const address = URL.canParse(statement.where) ? withoutSecrets(statement.where) : null;
  const where = address ?? statement.where;
  const said = {
    v: 'muniment/v1/manual',
    ...statement,
    where,
    files: files.map(({ path: _, ...file }) => file),
  };
  const slice = canonicalBytes(wellFormed(said as unknown as Json));
  const id = sha256Hex(slice);
  const exchange = (): Exchange => ({
    method: 'MANUAL',
    url: where,
    status: 0,
    receivedAt: instantText(clock.now()),
    headers: {},
    bodySha256: id,
    bodyLength: slice.length,
  });
  const media: MediaReference[] = files.map(({ name, mediaType, sha256 }) => ({
    role: mediaType.startsWith('image/') ? 'image' : mediaType.startsWith('video/') ? 'video' : 'document',
    url: name,
    alt: null,
    mediaType,
    contentId: `sha256:${sha256}`,
  }));
  return {
    platform: MANUAL,
    collectorVersion: 'manual/1',
    comparisonRule: 'manual-content/1',
    async check() {
      return { account: statement.by, findings: files.map(({ name, mediaType }) => `${name}: ${mediaType}`) };
    },
    async *collect() {
      const seen = exchange();
      yield {
        type: 'page',
        exchange: seen,
        rejected: [],
        sightings: [
          {
            identity: { platform: MANUAL, namespace: MANUAL, platformId: `sha256:${id}` },
            slice,
            sliceOffset: 0,
            sliceType: 'application/json',
            exchange: seen,
            item: itemWith({
              kind: statement.kind,
              url: address,
              author: { id: null, handle: statement.author, name: null },
              createdAt: statement.postedAt,
              createdAtFrom: statement.postedAt === null ? 'unknown' : 'user',
              text: statement.text ?? '',
            }),
            comparison: id,
            observations: {},
            media,
          },
        ],
      };
      yield { type: 'end', coverage: 'recent', state: null };
    },
    async *lookUp(identities) {
      for (const identity of identities) {
        const message = 'What was captured by hand is not looked up.';
        yield { identity, state: 'unknown', problem: { code: 'media', message, subject: null } };
      }
    },
    async fetchMedia(reference, directory) {
      const file = files.find(({ sha256 }) => reference.contentId === `sha256:${sha256}`);
      if (file === undefined)
        throw new CollectError('media', `${reference.url} was not stated`, reference.url);
      const copy = join(directory, file.sha256);
      const read = await copied(file.path, copy);
      if (read.sha256 !== file.sha256)
        throw new CollectError('media', `${file.name} changed while it was captured`, file.name, {
          hint: 'Capture it again once nothing writes to it.',
        });
      return { file: copy, ...read, mediaType: file.mediaType, exchange: exchange() };
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function copied(from: string, to: string): Promise<{ length: number; sha256: string }> {
  const digest = createHash('sha256');
  let length = 0;
  await pipeline(
    createReadStream(from),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        digest.update(chunk);
        length += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(to, { flags: 'wx', mode: 0o600 }),
  );
  return { length, sha256: digest.digest('hex') };
}

async function statedFile(path: string): Promise<StatedFile> {
  const name = basename(path).toWellFormed();
  try {
    // Before it is opened: that would wait for whoever writes into a pipe, for ever.
    if (!(await stat(path)).isFile())
      throw new InputError(`${path} is no file`, { hint: 'Name pictures, videos and PDF files.' });
    await using file = await open(path, 'r');
    const head = Buffer.alloc(HEAD);
    const { bytesRead } = await file.read(head, 0, HEAD, 0);
    const type = TYPES.find(([, test]) => test(head.subarray(0, bytesRead)))?.[0];
    if (type === undefined)
      throw new InputError(`${path} is neither a picture, a video nor a PDF`, {
        hint: 'Give a PNG, JPEG, GIF, WebP, MP4, WebM or PDF file.',
      });
    const digest = createHash('sha256');
    let length = 0;
    for await (const chunk of file.createReadStream({ start: 0, autoClose: false })) {
      digest.update(chunk as Buffer);
      length += (chunk as Buffer).length;
    }
    return { path, name, length, sha256: digest.digest('hex'), mediaType: type };
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw new InputError(`${path} cannot be read: ${(cause as Error).message}`, {
      hint: 'Name files that this user may read.',
      cause,
    });
  }
}
