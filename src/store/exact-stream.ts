// A stream that delivers exactly the announced number of bytes, or an error: a connection that ends early must never look
// like a shorter object.

import { type Readable, Transform } from 'node:stream';
import { ServiceError } from '../core/errors.ts';

/** @param trouble turns an error of the source into the one that the reader sees */
export function exactStream(source: Readable, length: number, trouble: (error: unknown) => Error): Readable {
  let received = 0;
  const exact = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length;
      done(
        received > length ? new ServiceError(`more than the announced ${length} bytes came`) : null,
        chunk,
      );
    },
    flush(done) {
      done(received < length ? trouble(new ServiceError(`${received} of ${length} bytes came`)) : null);
    },
    destroy(error, done) {
      source.destroy();
      done(error);
    },
  });
  source.once('error', (error) => exact.destroy(trouble(error)));
  source.once('close', () => {
    if (!source.readableEnded && !exact.destroyed)
      exact.destroy(trouble(new Error('the connection closed early')));
  });
  return source.pipe(exact);
}
