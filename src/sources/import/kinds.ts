// The kinds of export that can be imported, by their names on the command line.

import { InputError } from '../../core/errors.ts';
import { BLUESKY_REPOSITORY } from './bluesky.ts';
import type { ExportKind } from './export-kind.ts';
import { FACEBOOK_DOWNLOAD } from './facebook.ts';
import { INSTAGRAM_DOWNLOAD } from './instagram.ts';
import { MASTODON_EXPORT } from './mastodon.ts';
import { X_ARCHIVE } from './x.ts';
import { YOUTUBE_TAKEOUT } from './youtube.ts';

const KINDS: readonly ExportKind[] = [
  BLUESKY_REPOSITORY,
  FACEBOOK_DOWNLOAD,
  INSTAGRAM_DOWNLOAD,
  MASTODON_EXPORT,
  X_ARCHIVE,
  YOUTUBE_TAKEOUT,
];

/** @throws InputError when there is no such kind */
export function exportKind(name: string): ExportKind {
  const kind = KINDS.find((one) => one.name === name);
  if (kind !== undefined) return kind;
  throw new InputError(`${name} is no kind of export that can be imported`, {
    hint: `Say one of ${KINDS.map((one) => one.name).join(', ')}.`,
  });
}
