// Draws the demo's pictures: small PNG files (RFC 2083) of flat colours, so that no picture of anybody stands in the repository.

import { deflateSync } from 'node:zlib';

type Colour = readonly [red: number, green: number, blue: number];
type Paint = (x: number, y: number) => Colour;

const WIDTH = 480;
const HEIGHT = 270;

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function chunk(type: string, content: Uint8Array): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, check]);
}

function png(paint: Paint): Buffer {
  const rows = Buffer.alloc(HEIGHT * (1 + WIDTH * 3));
  for (let y = 0; y < HEIGHT; y += 1) {
    for (let x = 0; x < WIDTH; x += 1) rows.set(paint(x, y), y * (1 + WIDTH * 3) + 1 + x * 3);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(WIDTH, 0);
  header.writeUInt32BE(HEIGHT, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A street map with a barrier across one street and a dotted way round it. */
export function closureMap(): Buffer {
  return png((x, y) => {
    const barrier = x >= 210 && x < 270 && y >= 110 && y < 160;
    if (barrier) return (x + y) % 24 < 12 ? [200, 30, 40] : [255, 255, 255];
    const detour =
      (y > 216 && y < 222 && x > 98 && x < 382) ||
      (((x > 98 && x < 104) || (x > 376 && x < 382)) && y > 130 && y < 222);
    if (detour && (x + y) % 14 < 8) return [30, 90, 200];
    const street =
      Math.abs(y - 135) < 16 || Math.abs(y - 219) < 16 || Math.abs(x - 101) < 16 || Math.abs(x - 379) < 16;
    if (street) return [245, 245, 240];
    if (x > 130 && x < 210 && y > 30 && y < 100) return [160, 205, 150];
    return [225, 220, 208];
  });
}

/** A grey road with a dark hole in it. */
export function pothole(): Buffer {
  return png((x, y) => {
    const distance = ((x - 250) / 110) ** 2 + ((y - 165) / 55) ** 2;
    if (distance < 0.6) return [45, 42, 40];
    if (distance < 1) return [95, 90, 86];
    if (Math.abs(x - 60) < 7 && y % 60 < 38) return [240, 236, 215];
    return [138, 138, 140];
  });
}
