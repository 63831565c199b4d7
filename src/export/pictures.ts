// Pictures of a record, made safe to draw: whatever a platform delivered is hostile until its structure is read to
// the end. PNG is decoded, checked and made small here; JPEG is checked and passed on as it is.

import { crc32, inflateSync } from 'node:zlib';

/** A picture ready to be embedded. PNG pixels lie on white: 3 bytes each. */
export type Picture =
  | { kind: 'pixels'; width: number; height: number; rgb: Uint8Array }
  | { kind: 'jpeg'; width: number; height: number; bytes: Uint8Array };

/** Why a picture cannot be drawn, in words for the reader of the PDF. */
export class PictureError extends Error {}

const MOST_PIXELS = 24_000_000;
/** A drawn PNG keeps at most so many pixels a side: the file itself is in the bundle. */
const LONGEST_SIDE = 800;
const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const DEPTHS: Record<number, readonly number[]> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
/** Adam7: first column, first row, column step, row step. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** Throws PictureError for anything but a whole PNG or JPEG of a bearable size. */
export function readPicture(bytes: Uint8Array): Picture {
  if (bytes.length > 8 && bytes[0] === 0x89 && bytes[1] === 0x50) return readPng(bytes);
  if (bytes.length > 4 && bytes[0] === 0xff && bytes[1] === 0xd8) return readJpeg(bytes);
  throw new PictureError('its format is not PNG or JPEG');
}

function refuseSize(width: number, height: number): void {
  if (width === 0 || height === 0) throw new PictureError('it has no size');
  if (width * height > MOST_PIXELS) throw new PictureError(`${width} × ${height} pixels are too many`);
}

interface PngHeader {
  width: number;
  height: number;
  depth: number;
  color: number;
  interlaced: boolean;
}

function readPng(bytes: Uint8Array): Picture {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: PngHeader | undefined;
  let palette: Buffer | undefined;
  let transparency: Buffer | undefined;
  const data: Buffer[] = [];
  let ended = false;
  for (let at = 8; at + 12 <= view.length && !ended; ) {
    const length = view.readUInt32BE(at);
    const type = view.toString('latin1', at + 4, at + 8);
    if (at + 12 + length > view.length) throw new PictureError('the file is cut short');
    if (crc32(view.subarray(at + 4, at + 8 + length)) !== view.readUInt32BE(at + 8 + length))
      throw new PictureError('a checksum in it is wrong');
    const body = view.subarray(at + 8, at + 8 + length);
    if (type === 'IHDR') header = pngHeader(body);
    else if (type === 'PLTE') palette = body;
    else if (type === 'tRNS') transparency = body;
    else if (type === 'IDAT') data.push(body);
    else if (type === 'IEND') ended = true;
    at += 12 + length;
  }
  if (header === undefined || !ended) throw new PictureError('the file is cut short');
  if (header.color === 3 && palette === undefined) throw new PictureError('its palette is missing');
  return decodePng(header, Buffer.concat(data), palette ?? Buffer.alloc(0), transparency);
}

function pngHeader(body: Buffer): PngHeader {
  if (body.length !== 13) throw new PictureError('its header is broken');
  const [depth = 0, color = 0, compression, filter, interlace = 2] = body.subarray(8);
  const header = {
    width: body.readUInt32BE(0),
    height: body.readUInt32BE(4),
    depth,
    color,
    interlaced: interlace === 1,
  };
  refuseSize(header.width, header.height);
  if (!DEPTHS[color]?.includes(depth) || compression !== 0 || filter !== 0 || interlace > 1)
    throw new PictureError('its header is broken');
  return header;
}

function decodePng(
  header: PngHeader,
  data: Buffer,
  palette: Buffer,
  transparency: Buffer | undefined,
): Picture {
  const { width, height, depth, color } = header;
  const channels = CHANNELS[color] ?? 1;
  const bitsPerPixel = channels * depth;
  const passes = header.interlaced ? PASSES : ([[0, 0, 1, 1]] as const);
  const sizes = passes.map(([x, y, dx, dy]) => ({
    columns: Math.ceil((width - x) / dx),
    rows: Math.ceil((height - y) / dy),
  }));
  const stride = (columns: number) => Math.ceil((columns * bitsPerPixel) / 8);
  const expected = sizes.reduce(
    (sum, { columns, rows }) => sum + (columns > 0 ? rows * (1 + stride(columns)) : 0),
    0,
  );
  let raw: Buffer;
  try {
    raw = inflateSync(data, { maxOutputLength: expected + 1 });
  } catch (cause) {
    throw new PictureError('its pixels cannot be unpacked', { cause });
  }
  if (raw.length < expected) throw new PictureError('the file is cut short');
  // Shrunk while read: a square of `step` pixels becomes one, its average.
  const step = Math.max(1, Math.ceil(Math.max(width, height) / LONGEST_SIDE));
  const small = { width: Math.ceil(width / step), height: Math.ceil(height / step) };
  const sums = new Uint32Array(small.width * small.height * 3);
  const counts = new Uint16Array(small.width * small.height);
  const peak = 2 ** depth - 1;
  const toByte = (value: number) => (depth === 16 ? value >> 8 : Math.round((value * 255) / peak));
  const clear = transparency !== undefined && color !== 3 ? sampleKey(transparency, color) : undefined;
  let at = 0;
  for (const [index, [x0, y0, dx, dy]] of passes.entries()) {
    const { columns, rows } = sizes[index] ?? { columns: 0, rows: 0 };
    if (columns <= 0) continue;
    const bytes = stride(columns);
    let previous: Uint8Array = new Uint8Array(bytes);
    for (let row = 0; row < rows; row++) {
      const line = raw.subarray(at + 1, at + 1 + bytes);
      unfilter(raw[at] ?? 0, line, previous, Math.max(1, bitsPerPixel >> 3));
      previous = line;
      at += 1 + bytes;
      const y = Math.floor((y0 + row * dy) / step);
      for (let column = 0; column < columns; column++) {
        const sample = (channel: number) => sampleAt(line, column * channels + channel, depth);
        let red = sample(0);
        let green = color === 2 || color === 6 ? sample(1) : red;
        let blue = color === 2 || color === 6 ? sample(2) : red;
        let alpha = 255;
        if (color === 3) {
          if (red * 3 + 2 >= palette.length) throw new PictureError('a color outside its palette is used');
          alpha = transparency?.[red] ?? 255;
          [red, green, blue] = [palette[red * 3] ?? 0, palette[red * 3 + 1] ?? 0, palette[red * 3 + 2] ?? 0];
        } else {
          if (clear !== undefined && clear[0] === red && clear[1] === green && clear[2] === blue) alpha = 0;
          if (color >= 4) alpha = toByte(sample(channels - 1));
          [red, green, blue] = [toByte(red), toByte(green), toByte(blue)];
        }
        const target = y * small.width + Math.floor((x0 + column * dx) / step);
        sums[target * 3] = (sums[target * 3] ?? 0) + onWhite(red, alpha);
        sums[target * 3 + 1] = (sums[target * 3 + 1] ?? 0) + onWhite(green, alpha);
        sums[target * 3 + 2] = (sums[target * 3 + 2] ?? 0) + onWhite(blue, alpha);
        counts[target] = (counts[target] ?? 0) + 1;
      }
    }
  }
  const rgb = Uint8Array.from(sums, (sum, index) =>
    Math.round(sum / Math.max(1, counts[Math.floor(index / 3)] ?? 1)),
  );
  return { kind: 'pixels', ...small, rgb };
}

function sampleKey(transparency: Buffer, color: number): [number, number, number] | undefined {
  if (color === 0 && transparency.length >= 2) {
    const gray = transparency.readUInt16BE(0);
    return [gray, gray, gray];
  }
  if (color !== 2 || transparency.length < 6) return undefined;
  return [transparency.readUInt16BE(0), transparency.readUInt16BE(2), transparency.readUInt16BE(4)];
}

function sampleAt(line: Uint8Array, index: number, depth: number): number {
  if (depth === 8) return line[index] ?? 0;
  if (depth === 16) return ((line[index * 2] ?? 0) << 8) | (line[index * 2 + 1] ?? 0);
  const bit = index * depth;
  return ((line[bit >> 3] ?? 0) >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
}

function onWhite(value: number, alpha: number): number {
  return Math.round((value * alpha + 255 * (255 - alpha)) / 255);
}

/** PNG specification, section 9: filters are undone in place, `distance` bytes being one pixel. */
function unfilter(filter: number, line: Uint8Array, above: Uint8Array, distance: number): void {
  if (filter > 4) throw new PictureError('its pixels cannot be unpacked');
  if (filter === 0) return;
  for (let index = 0; index < line.length; index++) {
    const a = index >= distance ? (line[index - distance] ?? 0) : 0;
    const b = above[index] ?? 0;
    const c = index >= distance ? (above[index - distance] ?? 0) : 0;
    const predicted = filter === 1 ? a : filter === 2 ? b : filter === 3 ? (a + b) >> 1 : paeth(a, b, c);
    line[index] = ((line[index] ?? 0) + predicted) & 0xff;
  }
}

function paeth(a: number, b: number, c: number): number {
  const estimate = a + b - c;
  const [pa, pb, pc] = [Math.abs(estimate - a), Math.abs(estimate - b), Math.abs(estimate - c)];
  if (pa <= pb && pa <= pc) return a;
  return pb <= pc ? b : c;
}

/** Walks the segments up to the scan and looks for the end marker; baseline, extended and progressive only. */
function readJpeg(bytes: Uint8Array): Picture {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let size: { width: number; height: number } | undefined;
  for (let at = 2; at + 4 <= view.length; ) {
    if (view[at] !== 0xff) throw new PictureError('its segments are broken');
    const marker = view[at + 1] ?? 0;
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    const length = view.readUInt16BE(at + 2);
    if (length < 2 || at + 2 + length > view.length) throw new PictureError('the file is cut short');
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      if (marker > 0xc2) throw new PictureError('its kind of JPEG is not supported');
      if (length < 8 || view[at + 4] !== 8 || ![1, 3, 4].includes(view[at + 9] ?? 0))
        throw new PictureError('its kind of JPEG is not supported');
      size = { width: view.readUInt16BE(at + 7), height: view.readUInt16BE(at + 5) };
      refuseSize(size.width, size.height);
    }
    if (marker === 0xda) {
      if (size === undefined) throw new PictureError('its header is broken');
      if (view.lastIndexOf(Buffer.from([0xff, 0xd9])) < at) throw new PictureError('the file is cut short');
      return { kind: 'jpeg', ...size, bytes };
    }
    at += 2 + length;
  }
  throw new PictureError('the file is cut short');
}
