// Exports as platforms make them, by the shapes that they publish: built for each test, with as many items as it wants.

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { type ZipMember, zipOf } from './zip.ts';

export const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

export type Members = Readonly<Record<string, Buffer | string>>;

export async function writeZip(path: string, members: Members | readonly ZipMember[]): Promise<string> {
  const listed = Array.isArray(members)
    ? (members as ZipMember[])
    : Object.entries(members).map(([name, data]) => ({ name, data, deflate: true }));
  await writeFile(path, zipOf(listed));
  return path;
}

export type TarHeader = { name: string; type?: 'file' | 'symlink' | 'link'; linkname?: string };

/** @param members headers, where more than a name is said, and contents */
export async function writeTarGz(
  path: string,
  members: Members | readonly (readonly [TarHeader, Buffer | string])[],
): Promise<string> {
  const packing = pack();
  const chunks: Buffer[] = [];
  packing.on('data', (chunk: unknown) => chunks.push(chunk as Buffer));
  const listed = Array.isArray(members)
    ? (members as (readonly [TarHeader, Buffer | string])[])
    : Object.entries(members as Members).map(([name, data]) => [{ name }, data] as const);
  for (const [header, data] of listed) packing.entry(header, Buffer.from(data as string));
  packing.finalize();
  await once(packing, 'end');
  await writeFile(path, gzipSync(Buffer.concat(chunks)));
  return path;
}

const PUBLIC = 'https://www.w3.org/ns/activitystreams#Public';
const ACTOR = 'https://city.example/users/city';

/** A note as Mastodon serialises it, in the activity that made it. */
export function mastodonNote(id: string, html: string, more: Record<string, unknown> = {}, to = PUBLIC) {
  const uri = `${ACTOR}/statuses/${id}`;
  return {
    id: `${uri}/activity`,
    type: 'Create',
    actor: ACTOR,
    published: '2025-03-04T05:06:07Z',
    to: [to],
    cc: [`${ACTOR}/followers`],
    object: {
      id: uri,
      type: 'Note',
      summary: null,
      inReplyTo: null,
      published: '2025-03-04T05:06:07Z',
      url: `https://city.example/@city/${id}`,
      attributedTo: ACTOR,
      to: [to],
      cc: [`${ACTOR}/followers`],
      sensitive: false,
      content: html,
      contentMap: { en: html },
      attachment: [],
      tag: [],
      ...more,
    },
  };
}

/** The members of a Mastodon export. */
export function mastodonExport(activities: readonly object[], media: Members = {}): Members {
  return {
    'outbox.json': JSON.stringify({
      '@context': 'https://www.w3.org/ns/activitystreams',
      id: 'outbox.json',
      type: 'OrderedCollection',
      totalItems: activities.length,
      orderedItems: activities,
    }),
    'likes.json': JSON.stringify({ id: 'likes.json', type: 'OrderedCollection', orderedItems: [] }),
    'actor.json': JSON.stringify({
      id: ACTOR,
      type: 'Person',
      preferredUsername: 'city',
      name: 'City of Example',
    }),
    ...media,
  };
}

/** Writes text piece by piece: an export larger than a test's memory. */
export async function writePieces(path: string, pieces: Iterable<string>): Promise<void> {
  const file = createWriteStream(path);
  for (const piece of pieces) if (!file.write(piece)) await once(file, 'drain');
  file.end();
  await once(file, 'close');
}

/** @returns the text as the platforms of Meta write it into a download: each byte of its UTF-8 as a letter */
export const broken = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
