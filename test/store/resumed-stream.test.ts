// A reading that breaks off is taken up where it broke; what cannot be taken up is an error, never a shorter object.

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { resumedStream } from '../../src/store/resumed-stream.ts';

const WHOLE = Buffer.from('a payload that comes in pieces');
const trouble = (error: unknown) => new Error(`told: ${(error as Error).message}`);

/** Gives some bytes from a position on, then ends early, breaks, or hangs up. */
function piece(position: number, bytes: number, how: 'end' | 'error' | 'close'): Readable {
  const source = new Readable({ read() {} });
  const given = WHOLE.subarray(position, position + bytes);
  if (given.length > 0) source.push(given);
  setImmediate(() => {
    if (how === 'end') source.push(null);
    else source.destroy(how === 'error' ? new Error('connection reset') : undefined);
  });
  return source;
}

test('a reading that breaks off in any way goes on at the byte where it broke', async () => {
  for (const how of ['end', 'error', 'close'] as const) {
    const asked: number[] = [];
    const stream = resumedStream(piece(0, 7, how), WHOLE.length, {
      from: async (position) => {
        asked.push(position);
        return piece(position, 9, how);
      },
      trouble,
    });
    assert.equal((await buffer(stream)).toString(), WHOLE.toString(), how);
    assert.deepEqual(asked, [7, 16, 25], how);
  }
});

test('a source that gives nothing more, again and again, is an error', async () => {
  let asked = 0;
  const stream = resumedStream(piece(0, 7, 'close'), WHOLE.length, {
    from: async (position) => {
      asked += 1;
      return piece(position, 0, 'close');
    },
    trouble,
  });
  await assert.rejects(buffer(stream), /told: the connection closed after 7 of 30 bytes/);
  assert.equal(asked, 4);
});

test('a source that gives more than was announced, or cannot be asked again, is an error', async () => {
  const never = async () => assert.fail('was asked again');
  await assert.rejects(
    buffer(resumedStream(piece(0, 30, 'end'), 29, { from: never, trouble })),
    /told: more than the announced 29 bytes came/,
  );
  const gone = async () => {
    throw new Error('the service is gone');
  };
  await assert.rejects(
    buffer(resumedStream(piece(0, 7, 'error'), WHOLE.length, { from: gone, trouble })),
    /told: the service is gone/,
  );
});

test('a reading that is given up lets go of its source', async () => {
  const source = piece(0, 7, 'end');
  const stream = resumedStream(source, WHOLE.length, {
    from: async () => assert.fail('was asked again'),
    trouble,
  });
  stream.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(source.destroyed, true);
});
