// How a medium is fetched from the address that an item gives: by all collectors whose media need no other proof of what they are.

import { rm } from 'node:fs/promises';
import { CollectError } from './collect-error.ts';
import type { FetchedMedia, MediaReference } from './collector.ts';
import type { Download } from './http.ts';

/**
 * @param download into a new file, which is removed again where it is no medium
 * @throws CollectError (`media`) when a web page comes where none is due
 */
export async function fetchedMedium(
  download: Promise<Download>,
  { mediaType }: Pick<MediaReference, 'mediaType'>,
): Promise<FetchedMedia> {
  const { contentType, ...fetched } = await download;
  const received = contentType?.split(';')[0]?.trim().toLowerCase() ?? null;
  if (received === 'text/html' && mediaType !== 'text/html') {
    await rm(fetched.file, { force: true });
    const { url } = fetched.exchange;
    throw new CollectError('media', `${url} answered with a web page instead of the medium`, url);
  }
  return { ...fetched, mediaType: received ?? mediaType ?? 'application/octet-stream' };
}
