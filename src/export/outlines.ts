// Outlines of a variable font set to one weight, as bytes of a `glyf` table (OpenType, simple glyph description).
// fontkit computes the varied outline when it cuts a subset, but its own encoder of it does not work.

import type { Glyph } from 'fontkit';

const ON_CURVE = 1;

/** The glyph description of an outline of lines and quadratic curves; empty for one that draws nothing. */
export function encodeOutline(path: Glyph['path']): Uint8Array {
  const ends: number[] = [];
  const points: { x: number; y: number; flag: number }[] = [];
  const endContour = () => {
    if (points.length > (ends.at(-1) ?? -1) + 1) ends.push(points.length - 1);
  };
  const add = (x = 0, y = 0, flag = ON_CURVE) => points.push({ x: Math.round(x), y: Math.round(y), flag });
  for (const { command, args } of path.commands) {
    if (command === 'moveTo') {
      endContour();
      add(args[0], args[1]);
    } else if (command === 'lineTo') add(args[0], args[1]);
    else if (command === 'quadraticCurveTo') {
      add(args[0], args[1], 0);
      add(args[2], args[3]);
    } else if (command === 'closePath') endContour();
  }
  endContour();
  if (points.length === 0) return new Uint8Array(0);
  const size = 10 + ends.length * 2 + 2 + points.length * 5;
  const bytes = Buffer.alloc(size + ((4 - (size % 4)) % 4));
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  let at = 0;
  const int16 = (value: number) => {
    at = bytes.writeInt16BE(value, at);
  };
  int16(ends.length);
  for (const bound of [least(xs), least(ys), -least(xs.map((x) => -x)), -least(ys.map((y) => -y))])
    int16(bound);
  for (const end of ends) int16(end);
  int16(0); // no hinting instructions
  for (const { flag } of points) at = bytes.writeUInt8(flag, at);
  for (const axis of [xs, ys])
    for (const [index, value] of axis.entries()) int16(value - (axis[index - 1] ?? 0));
  return bytes;
}

function least(values: readonly number[]): number {
  return values.reduce((smallest, value) => Math.min(smallest, value));
}
