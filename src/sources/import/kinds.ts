// The kinds of export that can be imported, by their names on the command line.

import { InputError } from '../../core/errors.ts';
import { BLUESKY_REPOSITORY } from './bluesky.ts';
import type { ExportKind } from './export-kind.ts';
import { FACEBOOK_DOWNLOAD } from './facebook.ts';
import { INSTAGRAM_DOWNLOAD } from './instagram.ts';
import { MAPPING, mappingKind } from './mapping.ts';
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

/**
 * @param map the mapping file of another archive's export
 * @throws InputError when there is no such kind, or a mapping is missing, wrong or of no use
 */
export async function exportKind(name: string, map?: string): Promise<ExportKind> {
  if (name === MAPPING) {
    if (map !== undefined) return mappingKind(map);
    throw new InputError("another archive's file is read by a mapping", {
      hint: 'Give --map with a file that says which column is what; README.md shows one.',
    });
  }
  const kind = KINDS.find((one) => one.name === name);
  if (kind === undefined)
    throw new InputError(`${name} is no kind of export that can be imported`, {
      hint: `Say one of ${[...KINDS.map((one) => one.name), MAPPING].join(', ')}.`,
    });
  if (map !== undefined)
    throw new InputError(`${name} is read without a mapping`, {
      hint: `Leave --map out, or say ${MAPPING} for another archive's file.`,
    });
  return kind;
}
