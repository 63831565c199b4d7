// A stream that delivers exactly the announced number of bytes, or an error: a connection that ends early is taken up where
// it broke, and never looks like a shorter object.

import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { ServiceError } from '../core/errors.ts';

/** Times that reading is taken up again without a byte in between. */
const RESUMPTIONS = 4;
const FIRST_PAUSE = 100;
/** Bytes kept ahead of the reader: several of a connection's chunks, or each would stop the connection and start it again. */
const AHEAD = 512 * 1024;

/**
 * @param from reads the same object from a position on
 * @param trouble turns an error of the source into the one that the reader sees
 */
export function resumedStream(
  source: Readable,
  length: number,
  { from, trouble }: { from: (position: number) => Promise<Readable>; trouble: (error: unknown) => Error },
): Readable {
  let current = source;
  let received = 0;
  let tries = 0;
  const whole = new Readable({
    highWaterMark: AHEAD,
    read() {
      current.resume();
    },
    destroy(error, done) {
      current.destroy();
      done(error);
    },
  });
  const broken = async (error: unknown): Promise<void> => {
    if (whole.destroyed) return;
    current.destroy();
    if (received > length || tries === RESUMPTIONS) {
      whole.destroy(trouble(error));
      return;
    }
    try {
      await pause(FIRST_PAUSE * 2 ** tries++);
      if (!whole.destroyed) take(await from(received));
    } catch (again) {
      whole.destroy(trouble(again));
    }
  };
  const take = (next: Readable): void => {
    if (whole.destroyed) {
      next.destroy();
      return;
    }
    current = next;
    let over = false;
    const end = (error: unknown): void => {
      if (over) return;
      over = true;
      if (received === length) whole.push(null);
      else void broken(error);
    };
    next.on('error', end);
    next.on('end', () => end(new ServiceError(`${received} of ${length} bytes came`)));
    next.on('close', () =>
      end(new ServiceError(`the connection closed after ${received} of ${length} bytes`)),
    );
    next.on('data', (chunk: Buffer) => {
      if (over || whole.destroyed) return;
      received += chunk.length;
      tries = 0;
      if (received > length) {
        over = true;
        whole.destroy(trouble(new ServiceError(`more than the announced ${length} bytes came`)));
      } else if (!whole.push(chunk)) next.pause();
    });
  };
  take(source);
  return whole;
}
