// Writes ZIP archives as a test wants them, lies included.

import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipMember {
  /** As text in UTF-8, or as the very bytes. */
  readonly name: string | Buffer;
  readonly data: Buffer | string;
  readonly deflate?: boolean;
  /** General purpose flags; bit 0: encrypted, bit 11: the name is UTF-8. */
  readonly flags?: number;
  /** Unix mode, as in 0o120777 for a link. */
  readonly mode?: number;
  readonly crc?: number;
  /** What the directory says of the length. */
  readonly size?: number;
  readonly method?: number;
  /** Sizes stand in the ZIP64 field. */
  readonly zip64?: boolean;
}

const LIMIT = 0xffffffff;

export function zipOf(members: readonly ZipMember[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const member of members) {
    const name = Buffer.from(member.name as string);
    const plain = Buffer.from(member.data as string);
    const packed = member.deflate ? deflateRawSync(plain) : plain;
    const size = member.size ?? plain.length;
    const fields = {
      flags: member.flags ?? 0x800,
      method: member.method ?? (member.deflate ? 8 : 0),
      crc: member.crc ?? crc32(plain),
    };
    const extra = member.zip64 ? Buffer.alloc(20) : Buffer.alloc(0);
    if (member.zip64) {
      extra.writeUInt16LE(1, 0);
      extra.writeUInt16LE(16, 2);
      extra.writeBigUInt64LE(BigInt(size), 4);
      extra.writeBigUInt64LE(BigInt(packed.length), 12);
    }
    const common = (header: Buffer, from: number): void => {
      header.writeUInt16LE(45, from);
      header.writeUInt16LE(fields.flags, from + 2);
      header.writeUInt16LE(fields.method, from + 4);
      header.writeUInt32LE(fields.crc, from + 10);
      header.writeUInt32LE(member.zip64 ? LIMIT : packed.length, from + 14);
      header.writeUInt32LE(member.zip64 ? LIMIT : size, from + 18);
      header.writeUInt16LE(name.length, from + 22);
      header.writeUInt16LE(extra.length, from + 24);
    };
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    common(local, 4);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE((3 << 8) | 45, 4);
    common(central, 6);
    central.writeUInt32LE(((member.mode ?? 0o100644) << 16) >>> 0, 38);
    central.writeUInt32LE(at, 42);
    parts.push(local, name, extra, packed);
    directory.push(central, name, extra);
    at += local.length + name.length + extra.length + packed.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(listed.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, listed, end]);
}
