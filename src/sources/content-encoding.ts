// Undoes HTTP content encodings: the archive keeps and measures decoded bytes, so a small answer that unpacks to a huge one is
// counted as the huge one.

import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { CollectError } from './collect-error.ts';
import { withoutSecrets } from './evidence.ts';

export const ACCEPTED_ENCODINGS = 'gzip, deflate, br';

export interface DecodedBody {
  readonly body: AsyncIterable<Buffer>;
  readonly close: () => void;
}

/** Undoes the content encoding, chunk by chunk, so that limits count decoded bytes. */
export function decoded(body: Readable, encoding: string | undefined, address: string): DecodedBody {
  const name = (encoding ?? 'identity').trim().toLowerCase();
  const close = (): void => void body.destroy();
  if (name === 'identity' || name === '') return { body, close };
  const decoder = decoderFor(name);
  if (decoder === null) {
    close();
    const shown = withoutSecrets(address);
    throw new CollectError(
      'not-the-expected-format',
      `${shown} is encoded as “${name}”, which was not asked for`,
      shown,
    );
  }
  body.on('error', (error) => decoder.destroy(error));
  return {
    body: body.pipe(decoder),
    close: () => {
      close();
      decoder.destroy();
    },
  };
}

function decoderFor(encoding: string): ReturnType<typeof createGunzip> | null {
  if (encoding === 'gzip' || encoding === 'x-gzip') return createGunzip();
  if (encoding === 'deflate') return createInflate();
  if (encoding === 'br') return createBrotliDecompress();
  return null;
}
