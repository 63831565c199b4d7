// Unpacks a bundle with a reader of our own making only for tests: by the ZIP's directory, stored members.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

export interface Member {
  readonly name: string;
  readonly dataAt: number;
  readonly length: number;
  readonly headerAt: number;
}

export function membersOf(zip: Buffer): { members: Member[]; directoryAt: number } {
  const end = zip.length - 22;
  const members: Member[] = [];
  let at = zip.readUInt32LE(end + 16);
  const directoryAt = at;
  for (let n = 0; n < zip.readUInt16LE(end + 10); n += 1) {
    const [nameLength, extraLength] = [zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30)];
    const name = zip.toString('latin1', at + 46, at + 46 + nameLength);
    const headerAt = zip.readUInt32LE(at + 42);
    members.push({ name, headerAt, length: zip.readUInt32LE(at + 24), dataAt: headerAt + 30 + nameLength });
    at += 46 + nameLength + extraLength;
  }
  return { members, directoryAt };
}

/** @returns the bag's folder */
export async function unpack(bundle: string, into: string): Promise<string> {
  const zip = await readFile(bundle);
  const { members } = membersOf(zip);
  for (const { name, dataAt, length } of members) {
    await mkdir(path.join(into, path.dirname(name)), { recursive: true });
    await writeFile(path.join(into, name), zip.subarray(dataAt, dataAt + length));
  }
  return path.join(into, (members[0]?.name ?? '').split('/', 1)[0] as string);
}
