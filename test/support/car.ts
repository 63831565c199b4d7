// Repositories of the AT Protocol as files, made by the protocol's own rules (https://atproto.com/specs/repository): records and a search tree in
// DAG-CBOR, under a commit, in a CAR. Nothing of the product helps to make them.

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

export interface CarBlock {
  readonly id: Buffer;
  readonly bytes: Buffer;
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
export const DAG_CBOR = 0x71;
export const RAW = 0x55;

/** CIDv1 (sha2-256) with the given codec. */
export function contentId(bytes: Uint8Array, codec: number): Buffer {
  return Buffer.concat([Buffer.of(1, codec, 0x12, 0x20), createHash('sha256').update(bytes).digest()]);
}

export function contentIdText(id: Uint8Array): string {
  let bits = '';
  for (const byte of id) bits += byte.toString(2).padStart(8, '0');
  let text = 'b';
  for (let at = 0; at < bits.length; at += 5)
    text += BASE32[Number.parseInt(bits.slice(at, at + 5).padEnd(5, '0'), 2)];
  return text;
}

function contentIdBytes(text: string): Buffer {
  let bits = '';
  for (const letter of text.slice(1)) bits += BASE32.indexOf(letter).toString(2).padStart(5, '0');
  return Buffer.from(
    Array.from({ length: bits.length >> 3 }, (_, at) => Number.parseInt(bits.slice(at * 8, at * 8 + 8), 2)),
  );
}

function head(major: number, argument: number): Buffer {
  const first = major << 5;
  if (argument < 24) return Buffer.of(first | argument);
  if (argument < 2 ** 8) return Buffer.of(first | 24, argument);
  const long = Buffer.alloc(9);
  if (argument < 2 ** 16) {
    long[0] = first | 25;
    long.writeUInt16BE(argument, 1);
    return long.subarray(0, 3);
  }
  if (argument < 2 ** 32) {
    long[0] = first | 26;
    long.writeUInt32BE(argument, 1);
    return long.subarray(0, 5);
  }
  long[0] = first | 27;
  long.writeBigUInt64BE(BigInt(argument), 1);
  return long;
}

/** @param value links as `{ $link }`, byte strings as bytes */
export function dagCbor(value: unknown): Buffer {
  if (value === null) return Buffer.of(0xf6);
  if (typeof value === 'boolean') return Buffer.of(value ? 0xf5 : 0xf4);
  if (typeof value === 'number' && Number.isSafeInteger(value))
    return value < 0 ? head(1, -1 - value) : head(0, value);
  if (typeof value === 'number') {
    const long = Buffer.of(0xfb, 0, 0, 0, 0, 0, 0, 0, 0);
    long.writeDoubleBE(value, 1);
    return long;
  }
  if (typeof value === 'string') {
    const bytes = Buffer.from(value, 'utf8');
    return Buffer.concat([head(3, bytes.length), bytes]);
  }
  if (value instanceof Uint8Array) return Buffer.concat([head(2, value.length), value]);
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(dagCbor)]);
  const members = Object.entries(value as object).filter(([, one]) => one !== undefined);
  const [only] = members;
  if (members.length === 1 && only?.[0] === '$link') {
    const id = contentIdBytes(only[1] as string);
    return Buffer.concat([head(6, 42), head(2, id.length + 1), Buffer.of(0), id]);
  }
  const keyed = members.map(([key, one]) => [dagCbor(key), dagCbor(one)] as const);
  keyed.sort(([a], [b]) => a.length - b.length || a.compare(b));
  return Buffer.concat([head(5, members.length), ...keyed.flat()]);
}

export function carBlock(value: unknown): CarBlock {
  const bytes = dagCbor(value);
  return { id: contentId(bytes, DAG_CBOR), bytes };
}

export const linkTo = ({ id }: Pick<CarBlock, 'id'>): { $link: string } => ({ $link: contentIdText(id) });

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.of(...bytes, rest);
}

/** One block as it stands in a file. */
export function section({ id, bytes }: CarBlock): Buffer {
  return Buffer.concat([varint(id.length + bytes.length), id, bytes]);
}

export function carOf(roots: readonly CarBlock[], blocks: readonly CarBlock[]): Buffer {
  const header = dagCbor({ roots: roots.map(linkTo), version: 1 });
  return Buffer.concat([varint(header.length), header, ...blocks.map(section)]);
}

/** The level of a key in the tree: how many pairs of zero bits its hash begins with. */
function levelOf(key: string): number {
  const bits = [...createHash('sha256').update(key).digest()]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  return bits.indexOf('1') >> 1;
}

/** @returns the blocks of a tree over these records, its root last */
export function treeOf(records: ReadonlyMap<string, CarBlock>): CarBlock[] {
  const nodes: CarBlock[] = [];
  const keys = [...records.keys()].sort();
  const build = (part: readonly string[], level: number): CarBlock | null => {
    if (part.length === 0) return null;
    const here = part.filter((key) => levelOf(key) === level);
    const between = (from: string | undefined, to: string | undefined): { $link: string } | null => {
      const below = part.filter(
        (key) => (from === undefined || key > from) && (to === undefined || key < to),
      );
      const subtree = build(below, level - 1);
      return subtree === null ? null : linkTo(subtree);
    };
    const entries = here.map((key, index) => {
      const before = here[index - 1] ?? '';
      let common = 0;
      while (common < before.length && before[common] === key[common]) common += 1;
      const value = linkTo(records.get(key) as CarBlock);
      return { p: common, k: Buffer.from(key.slice(common)), v: value, t: between(key, here[index + 1]) };
    });
    const node = carBlock({ l: between(undefined, here[0]), e: entries });
    nodes.push(node);
    return node;
  };
  if (build(keys, Math.max(0, ...keys.map(levelOf))) === null) nodes.push(carBlock({ l: null, e: [] }));
  return nodes;
}

/** Signs the commit's bytes without the signature; the two numbers of 32 bytes each. */
export type Sign = (unsigned: Buffer) => Buffer;

export function commitOf(did: string, root: CarBlock, sign: Sign = () => randomBytes(64)): CarBlock {
  const unsigned = { did, version: 3, data: linkTo(root), rev: '3lz2abcdefg2a', prev: null };
  return carBlock({ ...unsigned, sig: sign(dagCbor(unsigned)) });
}

/** An account's key: how it signs, and how its DID document tells it. */
export function signingKey(curve: 'secp256k1' | 'P-256' = 'secp256k1') {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const point = Buffer.concat([
    Buffer.of(2 + ((Buffer.from(y, 'base64url').at(-1) as number) & 1)),
    Buffer.from(x, 'base64url'),
  ]);
  const prefix = curve === 'P-256' ? Buffer.of(0x80, 0x24) : Buffer.of(0xe7, 0x01);
  const high = (bytes: Buffer): Buffer => {
    const sum = ORDERS[curve] - BigInt(`0x${bytes.subarray(32).toString('hex')}`);
    return Buffer.concat([bytes.subarray(0, 32), Buffer.from(sum.toString(16).padStart(64, '0'), 'hex')]);
  };
  const isHigh = (bytes: Buffer): boolean =>
    BigInt(`0x${bytes.subarray(32).toString('hex')}`) > ORDERS[curve] / 2n;
  const signed = (unsigned: Buffer): Buffer =>
    sign('sha256', unsigned, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return {
    publicKeyMultibase: `z${base58(Buffer.concat([prefix, point]))}`,
    sign(unsigned: Buffer): Buffer {
      const bytes = signed(unsigned);
      return isHigh(bytes) ? high(bytes) : bytes;
    },
    /** The other signature that says the same, which the protocol does not permit. */
    signHigh(unsigned: Buffer): Buffer {
      const bytes = signed(unsigned);
      return isHigh(bytes) ? bytes : high(bytes);
    },
  };
}

const ORDERS = {
  secp256k1: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
  'P-256': 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
};

function base58(bytes: Buffer): string {
  let text = '';
  for (let rest = BigInt(`0x${bytes.toString('hex')}`); rest > 0n; rest /= 58n)
    text = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'[Number(rest % 58n)] + text;
  return text;
}

/** A record's proof as com.atproto.sync.getRecord answers: commit, tree, and of the records that one. */
export function proofOf({ commit, nodes, records }: MadeRepository, key: string): Buffer {
  const record = records.get(key);
  return carOf([commit], [commit, ...nodes, ...(record === undefined ? [] : [record])]);
}

export interface MadeRepository {
  readonly commit: CarBlock;
  /** Root last. */
  readonly nodes: readonly CarBlock[];
  readonly records: ReadonlyMap<string, CarBlock>;
  /** The whole as a file, blocks in the order of their ids, which is none. */
  readonly file: Buffer;
}

/** @param records values by their keys (collection/rkey) */
export function repositoryOf(
  did: string,
  records: Readonly<Record<string, unknown>>,
  signing?: Sign,
): MadeRepository {
  const made = new Map(Object.entries(records).map(([key, value]) => [key, carBlock(value)]));
  const nodes = treeOf(made);
  const commit = commitOf(did, nodes.at(-1) as CarBlock, signing);
  const blocks = [...nodes, ...made.values()].sort((a, b) => a.id.compare(b.id));
  return { commit, nodes, records: made, file: carOf([commit], [commit, ...blocks]) };
}
