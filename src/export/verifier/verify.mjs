#!/usr/bin/env node
// Checks a Muniment bundle, offline, with nothing but Node 18 or newer. A copy lies in every bundle; trust only a copy that you
// had before, or got elsewhere: one inside a bundle could have been changed with it. Formats: FORMAT.md of Muniment, section 10.
//
//   node verify.mjs [BUNDLE] [--key VKEY | --key-file FILE] [--json]      BUNDLE: the .zip, or the folder that it unpacks to
//
// Exit: 0 verified (without a key: self-consistent, signer unconfirmed), 3 verification failed, 2 bad usage or input.

import { createHash, createHmac, createPublicKey, verify as verifySignature } from 'node:crypto';
import { lstat, open, readdir, readFile, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as zlib from 'node:zlib';

const MAX_LINE = 64 * 1024 * 1024;
const MAX_DOCUMENT = 64 * 1024 * 1024;
const MAX_NOTE = 1024 * 1024;
const MAX_PROBLEMS = 1000;
const CHUNK = 256 * 1024;

/** Input that cannot be read at all: exit code 2. */
export class BundleInputError extends Error {}

/** Something that does not hold; becomes one problem of the result. */
class Broken extends Error {
  constructor(kind, path, detail) {
    super(detail);
    this.kind = kind;
    this.path = path;
  }
}

// ---------------------------------------------------------------- bytes

const sha256 = (...parts) => {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
};

const utf8 = (bytes) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);

function strictBase64(text) {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new Error('not strict base64');
  return bytes;
}

function hexBytes(text, length) {
  if (typeof text !== 'string' || text.length !== length * 2 || !/^[0-9a-f]*$/.test(text))
    throw new Error(`not ${length} bytes in hex`);
  return Buffer.from(text, 'hex');
}

/** RFC 8785: members by UTF-16 order, numbers and strings as ECMAScript writes them. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const members = Object.keys(value).sort();
    return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** Parses bytes that must be canonical JSON: no other spelling passes, so no member can be hidden behind another. */
function parseCanonical(bytes) {
  const text = utf8(bytes);
  const value = JSON.parse(text);
  if (canonical(value) !== text) throw new Error('not canonical JSON');
  return value;
}

// ---------------------------------------------------------------- keys and signed notes (C2SP signed-note, Ed25519)

/** @returns {{name: string, id: Buffer, publicKey: Buffer, text: string, fingerprint: string}} */
export function parseVerifierKey(line) {
  const text = line.trim();
  const [, name, id, encoded] = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text) ?? [];
  if (name === undefined) throw new Error('not a verifier key of the form name+id+key');
  const key = strictBase64(encoded);
  if (key.length !== 33 || key[0] !== 1) throw new Error('not an Ed25519 verifier key');
  const keyId = sha256(name, '\n', key).subarray(0, 4);
  if (keyId.toString('hex') !== id) throw new Error('the key id does not belong to name and key');
  const publicKey = key.subarray(1);
  return { name, id: keyId, publicKey, text, fingerprint: sha256(publicKey).toString('hex') };
}

const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** @returns the note's text when `key` signed it. @throws when it did not */
function openNote(note, key, only) {
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) throw new Error('not a signed note');
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2, -1).split('\n');
  if (only && lines.length !== 1) throw new Error("it carries other signatures than the archive key's");
  for (const line of lines) {
    const [, name, encoded] = /^\u2014 (\S+) (\S+)$/u.exec(line) ?? [];
    if (name === undefined) throw new Error('not a signed note');
    if (name !== key.name) continue;
    const bytes = strictBase64(encoded);
    if (!bytes.subarray(0, 4).equals(key.id)) continue;
    const publicKey = createPublicKey({
      key: Buffer.concat([SPKI_PREFIX, key.publicKey]),
      format: 'der',
      type: 'spki',
    });
    if (!verifySignature(null, Buffer.from(text), publicKey, bytes.subarray(4)))
      throw new Error("the signature is not the key's");
    return text;
  }
  throw new Error(`it carries no signature by the key ${key.name}+${key.id.toString('hex')}`);
}

function parseCheckpoint(text) {
  const [origin, size, root, ...rest] = text.split('\n');
  if (rest.length !== 1 || rest[0] !== '') throw new Error('not a checkpoint of three lines');
  if (!/^(0|[1-9]\d{0,15})$/.test(size)) throw new Error('the size is no decimal number');
  const bytes = strictBase64(root);
  if (bytes.length !== 32) throw new Error('the root is not 32 bytes');
  return { origin, size: Number(size), root: bytes };
}

// ---------------------------------------------------------------- tree (RFC 6962, RFC 9162 section 2.1.3.2)

const leafHash = (bytes) => sha256(Buffer.of(0), bytes);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);

function rootFromProof(index, size, leaf, path) {
  if (index >= size) throw new Error(`entry ${index} lies beyond the tree of ${size}`);
  let [fn, sn, hash] = [BigInt(index), BigInt(size) - 1n, leaf];
  for (const step of path) {
    if (sn === 0n) throw new Error('the audit path is too long');
    if (fn % 2n === 1n || fn === sn) {
      hash = nodeHash(step, hash);
      while (fn % 2n === 0n && fn !== 0n) [fn, sn] = [fn / 2n, sn / 2n];
    } else hash = nodeHash(hash, step);
    [fn, sn] = [fn / 2n, sn / 2n];
  }
  if (sn !== 0n) throw new Error('the audit path is too short');
  return hash;
}

/** Root of a tree whose leaves come one by one. */
function treeHash(leaves) {
  const edge = [];
  let count = 0;
  for (const leaf of leaves) {
    let hash = leaf;
    for (let n = count; n % 2 === 1; n = Math.floor(n / 2)) hash = nodeHash(edge.pop(), hash);
    edge.push(hash);
    count += 1;
  }
  if (edge.length === 0) return { root: sha256(''), count };
  return { root: edge.reduceRight((right, left) => nodeHash(left, right)), count };
}

// ---------------------------------------------------------------- disclosure (FORMAT.md section 5)

const classOf = (point) => {
  if (point === 0x09 || point === 0x0a || point === 0x0d || point === 0x20) return 'space';
  if (
    (point >= 0x2e80 && point <= 0xa4cf) ||
    (point >= 0xac00 && point <= 0xd7af) ||
    (point >= 0xf900 && point <= 0xfaff)
  )
    return 'single';
  return point >= 0x20000 && point <= 0x3ffff ? 'single' : 'word';
};

function textRuns(text) {
  const runs = [];
  let [run, length, last] = ['', 0, ''];
  for (const character of text) {
    const own = classOf(character.codePointAt(0));
    if (length > 0 && (own !== last || own === 'single' || length === 64)) {
      runs.push(run);
      [run, length] = ['', 0];
    }
    [run, length, last] = [run + character, length + 1, own];
  }
  runs.push(run);
  return runs;
}

const RUN_POINTERS = /^\/item\/(title|text|contentWarning)$|^\/media\/\d+\/alt$/;

function* disclosedLeaves(value, pointer) {
  if (typeof value === 'string' && RUN_POINTERS.test(pointer)) {
    const runs = textRuns(value);
    for (let n = 0; n < runs.length; n += 1) yield [`${pointer}/${n}`, runs[n]];
  } else if (value !== null && typeof value === 'object' && Object.keys(value).length > 0) {
    const members = Array.isArray(value) ? [...value.keys()] : Object.keys(value).sort();
    for (const member of members) {
      yield* disclosedLeaves(
        value[member],
        `${pointer}/${String(member).replaceAll('~', '~0').replaceAll('/', '~1')}`,
      );
    }
  } else yield [pointer, value];
}

function disclosureOf(document, seed) {
  const leaves = function* () {
    for (const leaf of disclosedLeaves(document, '')) {
      yield leafHash(
        Buffer.concat([createHmac('sha256', seed).update(leaf[0]).digest(), Buffer.from(canonical(leaf))]),
      );
    }
  };
  return treeHash(leaves());
}

// ---------------------------------------------------------------- payloads and records: what a bundle writes, and what a check expects

/** Commitment to a payload, in hex. */
function payloadCommitment(salt, digest) {
  return sha256('muniment/v1/payload\n', salt, digest).toString('hex');
}

const FOLDERS = {
  document: 'documents',
  slice: 'slices',
  media: 'media',
  observation: 'observations',
  answer: 'answers',
};
// Nothing that a viewer would run: a page, a script or an SVG is given as .bin.
const EXTENSIONS = {
  'application/json': 'json',
  'application/xml': 'xml',
  'application/pdf': 'pdf',
  'audio/mpeg': 'mp3',
  'audio/mp4': 'm4a',
  'image/avif': 'avif',
  'image/gif': 'gif',
  'image/jpeg': 'jpg',
  'image/png': 'png',
  'image/webp': 'webp',
  'text/plain': 'txt',
  'video/mp4': 'mp4',
  'video/webm': 'webm',
};

/** Where a payload lies in the bag: a name made of its commitment, never of what a platform said. */
export function payloadPath(role, commitment, contentType) {
  const type = contentType.split(';', 1)[0].trim().toLowerCase();
  const extension = Object.hasOwn(EXTENSIONS, type) ? EXTENSIONS[type] : 'bin';
  return `data/${FOLDERS[role]}/${commitment}.${extension}`;
}

/** A line of records.jsonl, made from entries and documents alone, but for `retention`, `thread` and names of linked sources. */
export function recordOf({ id, captured, observed, linked, destruction, thread, retention, pathOf }) {
  if (destruction !== null) return { destruction, id, state: 'destroyed' };
  const first = captured[0].document;
  const { item } = captured[captured.length - 1].document;
  const states = observed.map(({ entry, document }) => ({
    at: entry.at,
    document: entry.document,
    firstMissingAt: document.firstMissingAt,
    lastSeenAt: document.lastSeenAt,
    seenAt: document.seenAt,
    seq: entry.seq,
    state: entry.type === 'item.missing' ? entry.state : 'restored',
  }));
  const last = states[states.length - 1];
  return {
    ...contentOf(item),
    id,
    identity: first.identity,
    kind: first.item.kind,
    platform: first.identity.platform,
    platformId: first.identity.platformId,
    retention,
    sources: [{ id: first.source.id, name: first.source.name, seq: captured[0].entry.seq }, ...linked],
    state: last === undefined || last.state === 'restored' ? 'live' : 'missing',
    states,
    thread,
    versions: captured.map(({ entry, document }) => ({
      ...contentOf(document.item),
      at: entry.at,
      capturedAt: document.exchange.receivedAt,
      cause: document.cause,
      document: entry.document,
      media: document.media.map((medium) => ({
        ...medium,
        path: medium.commitment === null ? null : pathOf(medium.commitment),
      })),
      request: {
        method: document.exchange.method,
        status: document.exchange.status,
        url: document.exchange.url,
      },
      seq: entry.seq,
      slice: document.slice.commitment,
      sliceSha256: document.slice.sha256,
      snapshot: entry.snapshot,
      version: entry.version,
    })),
  };
}

function contentOf(item) {
  const {
    author,
    contentWarning,
    createdAt,
    createdAtFrom,
    inReplyTo,
    languages,
    links,
    quotes,
    reposts,
    tags,
    text,
    threadRoot,
    title,
    url,
  } = item;
  return {
    author,
    contentWarning,
    createdAt,
    createdAtFrom,
    inReplyTo,
    languages,
    links,
    quotes,
    reposts,
    tags,
    text,
    threadRoot,
    title,
    url,
  };
}

const CSV_COLUMNS = [
  'record',
  'state',
  'sources',
  'platform',
  'kind',
  'url',
  'platform id',
  'author handle',
  'author name',
  'author id',
  'created at',
  'date vouched for by',
  'version',
  'captured at',
  'title',
  'text',
  'content warning',
  'languages',
  'tags',
  'links',
  'media',
  'in reply to',
  'observations',
  'retention',
  'ledger entry',
  'document',
  'SHA-256 of the exact bytes',
];

// A spreadsheet runs a cell that begins so as a formula (also in full width); a leading apostrophe makes it text.
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

function csvRow(cells) {
  const quoted = cells.map((cell) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are exactly what must not reach a spreadsheet
    const text = String(cell ?? '').replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '\ufffd');
    return `"${(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  });
  return `${quoted.join(',')}\r\n`;
}

export const CSV_HEADER = `\ufeff${csvRow(CSV_COLUMNS)}`;

/** Rows of records.csv for one record: one a version, one for a destroyed record. */
export function csvRows(record) {
  if (record.state === 'destroyed')
    return csvRow(
      CSV_COLUMNS.map(
        (name) => ({ record: record.id, state: `destroyed ${record.destruction.at ?? ''}`.trim() })[name],
      ),
    );
  const observations = record.states
    .map((s) =>
      s.state === 'restored'
        ? `restored, seen at ${s.seenAt}`
        : `${s.state}, last seen ${s.lastSeenAt ?? 'unknown'}, first missing ${s.firstMissingAt ?? 'unknown'}`,
    )
    .join('; ');
  return record.versions
    .map((v) =>
      csvRow([
        record.id,
        record.state,
        record.sources.map((s) => s.name).join('; '),
        record.platform,
        record.kind,
        v.url,
        record.platformId,
        v.author.handle,
        v.author.name,
        v.author.id,
        v.createdAt,
        v.createdAtFrom,
        v.version,
        v.capturedAt,
        v.title,
        v.text,
        v.contentWarning,
        v.languages.join('; '),
        v.tags.join('; '),
        v.links.map((l) => l.url).join('; '),
        v.media.map((m) => m.path ?? `not had: ${m.problem}`).join('; '),
        v.inReplyTo,
        observations,
        record.retention,
        v.seq,
        v.document,
        v.sliceSha256,
      ]),
    )
    .join('');
}

/** Text that signature.note signs. */
export function bundleStatement(origin, size, tagManifestSha256) {
  return `muniment/v1/bundle\n${origin}\n${size}\n${tagManifestSha256}\n`;
}

// ---------------------------------------------------------------- reading a folder or a ZIP

/** What lies under a bag: `files` gives lengths by path, `read` streams one, `close` ends it. */
async function openFolder(folder) {
  const files = new Map();
  const problems = [];
  const walk = async (relative) => {
    for (const name of (await readdir(join(folder, relative))).sort()) {
      const path = relative === '' ? name : `${relative}/${name}`;
      const state = await lstat(join(folder, path));
      if (state.isDirectory()) await walk(path);
      else if (state.isFile()) files.set(path, state.size);
      else problems.push(new Broken('path', path, 'neither a file nor a folder'));
    }
  };
  await walk('');
  async function* read(path) {
    const handle = await open(join(folder, path), 'r');
    try {
      yield* readRange(handle, 0, Number.POSITIVE_INFINITY);
    } finally {
      await handle.close();
    }
  }
  return { files, problems, read, close: async () => {} };
}

async function* readRange(handle, from, length) {
  for (let done = 0; done < length; ) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, length - done));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, from + done);
    if (bytesRead === 0) {
      if (length !== Number.POSITIVE_INFINITY) throw new Error('the file ends early');
      return;
    }
    done += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function readExactly(handle, from, length) {
  const parts = [];
  for await (const part of readRange(handle, from, length)) parts.push(part);
  return Buffer.concat(parts);
}

// ZIP as Muniment writes it, and no other: stored members, no gap, no comment, no second copy of anything that could differ. A bundle
// packed anew by another program is checked by unpacking it and checking the folder.
const MAGIC32 = 0xffffffff;
const VERSION_MADE_BY = (3 << 8) | 45;
const EXTERNAL_ATTRIBUTES = ((0o100644 << 16) | 0x20) >>> 0;

async function openZip(file, fileSize) {
  const handle = await open(file, 'r');
  const bad = (detail) => new Broken('zip', file, detail);
  const must = (holds, detail) => {
    if (!holds)
      throw bad(
        `${detail}: it was changed, cut or packed by another program (then unpack it and check the folder)`,
      );
  };
  try {
    must(fileSize >= 22, 'the ZIP is too short');
    const end = await readExactly(handle, fileSize - 22, 22);
    must(
      end.readUInt32LE(0) === 0x06054b50 && end.readUInt16LE(20) === 0,
      'the ZIP does not end with its directory',
    );
    must(
      end.readUInt32LE(4) === 0 && end.readUInt16LE(8) === end.readUInt16LE(10),
      'the ZIP is split or its counts differ',
    );
    let [count, size, offset, directoryEnd] = [
      end.readUInt16LE(8),
      end.readUInt32LE(12),
      end.readUInt32LE(16),
      fileSize - 22,
    ];
    if (size === MAGIC32 || offset === MAGIC32) {
      must(
        count === 0xffff && size === MAGIC32 && offset === MAGIC32 && fileSize >= 98,
        'the ZIP64 directory is damaged',
      );
      const big = await readExactly(handle, fileSize - 98, 76);
      must(
        big.readUInt32LE(0) === 0x06064b50 && big.readBigUInt64LE(4) === 44n,
        'the ZIP64 directory is damaged',
      );
      must(
        big.readUInt32LE(12) === ((45 << 16) | 45) && big.readBigUInt64LE(16) === 0n,
        'the ZIP64 directory is damaged',
      );
      must(big.readBigUInt64LE(24) === big.readBigUInt64LE(32), 'the ZIP64 counts differ');
      must(
        big.readUInt32LE(56) === 0x07064b50 && big.readUInt32LE(60) === 0 && big.readUInt32LE(72) === 1,
        'the ZIP64 locator is damaged',
      );
      must(big.readBigUInt64LE(64) === BigInt(fileSize - 98), 'the ZIP64 locator points elsewhere');
      [count, size, offset] = [24, 40, 48].map((at) => Number(big.readBigUInt64LE(at)));
      directoryEnd = fileSize - 98;
    }
    must(
      offset + size === directoryEnd && count > 0 && size >= count * 46,
      'the directory is not where the ZIP says',
    );

    const files = new Map();
    const members = new Map();
    let [at, next, top, time] = [offset, 0, null, null];
    let window = Buffer.alloc(0);
    let windowAt = offset;
    const directory = async (from, length) => {
      must(from + length <= directoryEnd, 'the directory ends early');
      if (from + length > windowAt + window.length) {
        window = await readExactly(handle, from, Math.min(Math.max(length, CHUNK), directoryEnd - from));
        windowAt = from;
      }
      return window.subarray(from - windowAt, from - windowAt + length);
    };
    for (let n = 0; n < count; n += 1) {
      const central = Buffer.from(await directory(at, 46));
      must(central.readUInt32LE(0) === 0x02014b50, 'a directory entry is damaged');
      const [nameLength, extraLength] = [central.readUInt16LE(28), central.readUInt16LE(30)];
      const name = (await directory(at + 46, nameLength)).toString('latin1');
      must(
        /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)+$/.test(name) && name.length <= 250,
        `a file has the name ${JSON.stringify(name)}`,
      );
      must(
        central.readUInt16LE(4) === VERSION_MADE_BY && central.readUInt16LE(10) === 0,
        `${name} is not stored as Muniment stores`,
      );
      must(
        central.readUInt16LE(32) === 0 &&
          central.readUInt32LE(34) === 0 &&
          central.readUInt32LE(38) === EXTERNAL_ATTRIBUTES,
        `attributes of ${name} differ`,
      );
      const flags = central.readUInt16LE(8);
      must(flags === 0 || flags === 8, `flags of ${name} differ`);
      time ??= central.readUInt32LE(12);
      must(central.readUInt32LE(12) === time, `the date of ${name} differs`);
      const crc = central.readUInt32LE(16);
      let [packed, length, start] = [
        central.readUInt32LE(20),
        central.readUInt32LE(24),
        central.readUInt32LE(42),
      ];
      const zip64 = extraLength !== 0;
      if (zip64) {
        const extra = await directory(at + 46 + nameLength, extraLength);
        must(
          extraLength === 28 && extra.readUInt32LE(0) === ((24 << 16) | 1),
          `extra fields of ${name} differ`,
        );
        must(packed === MAGIC32 && length === MAGIC32 && start === MAGIC32, `sizes of ${name} differ`);
        [length, packed, start] = [4, 12, 20].map((from) => Number(extra.readBigUInt64LE(from)));
      }
      must(
        packed === length && start === next && start + 30 + nameLength + length <= offset,
        `${name} does not lie where it must`,
      );

      const local = await readExactly(handle, start, 30 + nameLength);
      const needed = flags === 8 ? 20 : 10;
      must(
        local.readUInt32LE(0) === 0x04034b50 && local.subarray(30).toString('latin1') === name,
        `the header of ${name} differs`,
      );
      must(
        local.readUInt16LE(4) === needed && central.readUInt16LE(6) === (zip64 ? 45 : needed),
        `the version of ${name} differs`,
      );
      must(
        local.readUInt16LE(6) === flags && local.readUInt16LE(8) === 0 && local.readUInt32LE(10) === time,
        `the header of ${name} differs`,
      );
      must(
        local.readUInt16LE(26) === nameLength && local.readUInt16LE(28) === 0,
        `the header of ${name} differs`,
      );
      const dataAt = start + 30 + nameLength;
      next = dataAt + length;
      if (flags === 0) {
        must(
          local.readUInt32LE(14) === crc &&
            local.readUInt32LE(18) === length &&
            local.readUInt32LE(22) === length,
          `the header of ${name} differs`,
        );
      } else {
        const wide = length > MAGIC32;
        const after = await readExactly(handle, next, wide ? 24 : 16);
        const sizes = wide
          ? [Number(after.readBigUInt64LE(8)), Number(after.readBigUInt64LE(16))]
          : [after.readUInt32LE(8), after.readUInt32LE(12)];
        must(
          local.subarray(14, 26).every((byte) => byte === 0),
          `the header of ${name} differs`,
        );
        must(
          after.readUInt32LE(0) === 0x08074b50 &&
            after.readUInt32LE(4) === crc &&
            sizes.every((s) => s === length),
          `the trailer of ${name} differs`,
        );
        next += after.length;
      }
      const slash = name.indexOf('/');
      top ??= name.slice(0, slash);
      must(name.slice(0, slash) === top, `${name} lies outside the folder ${top}`);
      const path = name.slice(slash + 1);
      must(!files.has(path), `${name} stands there twice`);
      files.set(path, length);
      members.set(path, { dataAt, length, crc });
      at += 46 + nameLength + extraLength;
    }
    must(at === directoryEnd && next === offset, 'there are bytes that belong to no file');
    async function* read(path) {
      const member = members.get(path);
      let crc = 0;
      for await (const chunk of readRange(handle, member.dataAt, member.length)) {
        crc = crc32(chunk, crc);
        yield chunk;
      }
      if (crc !== member.crc) throw new Broken('zip', path, 'its CRC-32 in the ZIP differs');
    }
    return { files, problems: [], read, close: () => handle.close() };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

const CRC_TABLE = Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

/** zlib has it since Node 20.15. */
const crc32 =
  zlib.crc32 ??
  ((bytes, before) => {
    let crc = ~before >>> 0;
    for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8)) >>> 0;
    return ~crc >>> 0;
  });

async function openBundle(path) {
  let state;
  try {
    state = await lstat(path);
    if (state.isSymbolicLink()) return await openBundle(await realpath(path));
  } catch (error) {
    throw new BundleInputError(`cannot read ${path}: ${error.message}`);
  }
  if (state.isDirectory()) {
    const names = await readdir(path);
    if (
      !['bagit.txt', 'manifest-sha256.txt', 'tagmanifest-sha256.txt'].some((name) => names.includes(name))
    ) {
      throw new BundleInputError(
        `${path} holds no bundle: give the folder that has bagit.txt in it, or the .zip`,
      );
    }
    return openFolder(path);
  }
  if (!state.isFile()) throw new BundleInputError(`${path} is neither a file nor a folder`);
  const handle = await open(path, 'r');
  let looksLikeZip = false;
  try {
    const [head, tail] = [Buffer.alloc(2), Buffer.alloc(22)];
    await handle.read(head, 0, 2, 0);
    await handle.read(tail, 0, 22, Math.max(0, state.size - 22));
    looksLikeZip = head.toString('latin1') === 'PK' || tail.toString('latin1').startsWith('PK');
  } finally {
    await handle.close();
  }
  if (!looksLikeZip) throw new BundleInputError(`${path} is not a ZIP file`);
  return openZip(path, state.size);
}

async function* linesOf(bag, path) {
  let parts = [];
  let held = 0;
  for await (const chunk of bag.read(path)) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end));
      yield Buffer.concat(parts);
      [parts, held, from] = [[], 0, end + 1];
    }
    const rest = chunk.subarray(from);
    held += rest.length;
    if (held > MAX_LINE) throw new Broken('malformed', path, `a line is longer than ${MAX_LINE} bytes`);
    if (rest.length > 0) parts.push(rest);
  }
  if (held > 0) throw new Broken('malformed', path, 'the last line has no end');
}

async function readWhole(bag, path, limit) {
  const length = bag.files.get(path);
  if (length === undefined) throw new Broken('missing-file', path, 'it is not in the bundle');
  if (length > limit) throw new Broken('malformed', path, `it is longer than ${limit} bytes`);
  const parts = [];
  for await (const chunk of bag.read(path)) parts.push(chunk);
  return Buffer.concat(parts);
}

// ---------------------------------------------------------------- the check

const TAG_FILES = [
  'README.txt',
  'archive-key.txt',
  'bag-info.txt',
  'bagit.txt',
  'manifest-sha256.txt',
  'verify.mjs',
];
const PAYLOAD_FILES = [
  'data/bundle.json',
  'data/checkpoint',
  'data/payloads.jsonl',
  'data/records.csv',
  'data/records.jsonl',
  'data/records.pdf',
];
const BAGIT = 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n';

class Check {
  constructor(bag) {
    this.bag = bag;
    this.problems = [];
    this.more = 0;
    this.digests = new Map();
    this.payloads = new Map();
    this.usedPayloads = new Set();
    /** Records of which the bundle itself says that something is missing. */
    this.stated = new Set();
    this.usedProofs = new Set();
    this.records = 0;
    this.seen = new Map();
  }

  report(kind, path, detail) {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push({ kind, path, detail });
    else this.more += 1;
  }

  /** Runs one check; what breaks in it becomes a problem, and the next check runs. */
  async attempt(kind, path, work) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Broken) this.report(error.kind, error.path, error.message);
      else this.report(kind, path, error.message);
      return undefined;
    }
  }

  async run(trustedKey) {
    for (const problem of this.bag.problems) this.report(problem.kind, problem.path, problem.message);
    for (const path of this.bag.files.keys()) await this.attempt('digest', path, () => this.digest(path));
    const tags = await this.manifest('tagmanifest-sha256.txt', TAG_FILES);
    const payload = await this.manifest('manifest-sha256.txt', PAYLOAD_FILES);
    this.exactFiles(tags, payload);
    await this.attempt('bag', 'bagit.txt', async () => {
      if ((await readWhole(this.bag, 'bagit.txt', MAX_NOTE)).toString() !== BAGIT)
        throw new Error('it is not BagIt 1.0 in UTF-8');
    });
    await this.attempt('bag', 'bag-info.txt', () => this.oxum());
    const key = await this.key(trustedKey);
    const checkpoint =
      key && (await this.attempt('checkpoint', 'data/checkpoint', () => this.checkpoint(key)));
    await this.attempt('signature', 'signature.note', () => this.signature(key, checkpoint));
    if (checkpoint) {
      await this.attempt('malformed', 'data/payloads.jsonl', () => this.readPayloads());
      await this.attempt('malformed', 'data/records.jsonl', () => this.readRecords(checkpoint));
      await this.attempt('malformed', 'data/bundle.json', () => this.description(checkpoint));
    }
    return { key, checkpoint };
  }

  async digest(path) {
    const hash = createHash('sha256');
    let length = 0;
    for await (const chunk of this.bag.read(path)) {
      hash.update(chunk);
      length += chunk.length;
    }
    this.digests.set(path, { sha256: hash.digest('hex'), length });
  }

  async manifest(name, required) {
    const listed = new Map();
    await this.attempt('bag', name, async () => {
      if (!this.bag.files.has(name)) throw new Broken('missing-file', name, 'it is not in the bundle');
      for await (const bytes of linesOf(this.bag, name)) {
        const [, digest, path] = /^([0-9a-f]{64}) {2}([A-Za-z0-9][A-Za-z0-9._/-]*)$/.exec(utf8(bytes)) ?? [];
        if (
          path === undefined ||
          path.startsWith('data/') !== (name === 'manifest-sha256.txt') ||
          listed.has(path)
        ) {
          throw new Error(`a line is malformed: ${JSON.stringify(bytes.subarray(0, 200).toString())}`);
        }
        listed.set(path, digest);
      }
      for (const path of required)
        if (!listed.has(path)) this.report('bag', path, `${name} does not list it`);
    });
    for (const [path, digest] of listed) {
      const found = this.digests.get(path);
      if (found === undefined)
        this.report('missing-file', path, `${name} lists it, but it is not in the bundle`);
      else if (found.sha256 !== digest)
        this.report('digest', path, `its SHA-256 is not the one in ${name}: it was changed`);
    }
    return listed;
  }

  exactFiles(tags, payload) {
    const unlisted = new Set(['tagmanifest-sha256.txt', 'signature.note']);
    for (const path of this.bag.files.keys()) {
      if (!tags.has(path) && !payload.has(path) && !unlisted.has(path))
        this.report('extra-file', path, 'no manifest lists it');
    }
  }

  async oxum() {
    let [bytes, count] = [0, 0];
    for (const [path, { length }] of this.digests) {
      if (!path.startsWith('data/')) continue;
      bytes += length;
      count += 1;
    }
    const text = utf8(await readWhole(this.bag, 'bag-info.txt', MAX_NOTE));
    if (!text.split('\n').includes(`Payload-Oxum: ${bytes}.${count}`))
      throw new Error(`Payload-Oxum is not ${bytes}.${count}`);
  }

  async key(trusted) {
    const own = await this.attempt('signature', 'archive-key.txt', async () =>
      parseVerifierKey(utf8(await readWhole(this.bag, 'archive-key.txt', MAX_NOTE))),
    );
    if (trusted && own && own.text !== trusted.text) {
      this.report(
        'signature',
        'archive-key.txt',
        `the bundle gives another key (${own.fingerprint}) than the one that you trust (${trusted.fingerprint})`,
      );
    }
    return trusted ?? own;
  }

  async checkpoint(key) {
    const note = utf8(await readWhole(this.bag, 'data/checkpoint', MAX_NOTE));
    const checkpoint = parseCheckpoint(openNote(note, key, false));
    if (checkpoint.origin !== key.name)
      throw new Error(`it is of ${checkpoint.origin}, the key of ${key.name}`);
    return { ...checkpoint, note };
  }

  async signature(key, checkpoint) {
    if (!this.bag.files.has('signature.note'))
      throw new Broken('signature', 'signature.note', 'the bundle is not signed');
    if (!key) throw new Error('there is no key to check it with');
    const text = openNote(utf8(await readWhole(this.bag, 'signature.note', MAX_NOTE)), key, true);
    const manifest = this.digests.get('tagmanifest-sha256.txt');
    if (!manifest || !checkpoint) throw new Error('what it signs cannot be read');
    if (text !== bundleStatement(checkpoint.origin, checkpoint.size, manifest.sha256))
      throw new Error('it signs another bundle');
  }

  async readPayloads() {
    const path = 'data/payloads.jsonl';
    for await (const line of linesOf(this.bag, path)) {
      const row = parseCanonical(line);
      if (this.payloads.has(row.commitment)) throw new Error(`${row.commitment} stands there twice`);
      this.payloads.set(row.commitment, row);
      await this.attempt('payload', row.path ?? path, async () => {
        if (!Object.hasOwn(FOLDERS, row.role)) throw new Error(`role ${row.role} is unknown`);
        if (row.problem !== null) this.stated.add(row.record);
        if (row.problem !== null)
          throw new Broken(
            'stated',
            path,
            `the bundle itself says that payload ${row.commitment} of record ${row.record} was ${row.problem}`,
          );
        if (row.path !== payloadPath(row.role, row.commitment, row.contentType))
          throw new Error('it does not lie where it must');
        const found = this.digests.get(row.path);
        if (found === undefined) throw new Broken('missing-file', row.path, 'it is not in the bundle');
        if (found.sha256 !== row.sha256 || found.length !== row.length)
          throw new Error('its bytes are not the ones that payloads.jsonl describes');
        if (payloadCommitment(hexBytes(row.salt, 32), hexBytes(found.sha256, 32)) !== row.commitment)
          throw new Error('its bytes and salt do not give its commitment');
      });
    }
  }

  async readRecords(checkpoint) {
    const csv = createHash('sha256').update(CSV_HEADER);
    for await (const line of linesOf(this.bag, 'data/records.jsonl')) {
      const record = parseCanonical(line);
      if (typeof record.id !== 'string' || this.seen.has(record.id))
        throw new Error(`record ${record.id} stands there twice`);
      this.seen.set(
        record.id,
        record.state === 'destroyed'
          ? null
          : {
              name: threadName(record, record.platformId),
              parent: record.thread.parent,
              replyTo: record.inReplyTo && threadName(record, record.inReplyTo),
            },
      );
      this.records += 1;
      await this.attempt('record', `data/records.jsonl (${record.id})`, () =>
        this.record(record, checkpoint),
      );
      csv.update(csvRows(record));
    }
    if (csv.digest('hex') !== this.digests.get('data/records.csv')?.sha256)
      this.report('csv', 'data/records.csv', 'it does not say what records.jsonl says');
    const ids = new Map([...this.seen].filter(([, own]) => own !== null).map(([id, own]) => [own.name, id]));
    for (const [id, own] of this.seen) {
      const parent = own?.replyTo ? (ids.get(own.replyTo) ?? null) : null;
      if (own !== null && own.parent !== (parent === id ? null : parent))
        this.report('record', `data/records.jsonl (${id})`, 'it stands under the wrong post');
    }
    for (const row of this.payloads.values()) {
      if (!this.usedPayloads.has(row.commitment) && !this.stated.has(row.record))
        this.report('payload', row.path, 'no document of a record names it');
    }
    const payloadPaths = new Set([...this.payloads.values()].map((row) => row.path));
    for (const path of this.bag.files.keys()) {
      const known = PAYLOAD_FILES.includes(path) || payloadPaths.has(path) || this.usedProofs.has(path);
      if (path.startsWith('data/') && !known) this.report('extra-file', path, 'it belongs to no record');
    }
  }

  /** Derives the record anew from entries and documents, and compares it with what the bundle says. */
  async record(record, checkpoint) {
    const entryOf = async (seq, types) => {
      const entry = await this.entry(seq, checkpoint);
      if (!types.includes(entry.type) || entry.record !== record.id)
        throw new Broken(
          'entry',
          proofPath(seq, 'entry'),
          `it does not speak of record ${record.id} in that way`,
        );
      return entry;
    };
    if (record.state === 'destroyed') {
      let at = null;
      for (const seq of record.destruction.seqs) at = (await entryOf(seq, ['payload.destroyed'])).at;
      const expected = recordOf({ id: record.id, destruction: { at, seqs: record.destruction.seqs } });
      if (canonical(expected) !== canonical(record)) throw new Error('it does not say what the ledger says');
      return;
    }
    const captured = [];
    for (const version of record.versions) {
      const entry = await entryOf(version.seq, ['item.captured']);
      captured.push({ entry, document: await this.snapshot(entry, captured.length + 1) });
    }
    if (captured.length === 0) throw new Error('it has no version');
    const observed = [];
    for (const state of record.states) {
      const entry = await entryOf(state.seq, ['item.missing', 'item.restored']);
      observed.push({ entry, document: await this.observation(entry) });
    }
    const linked = record.sources.slice(1);
    for (const source of linked) {
      const entry = await entryOf(source.seq, ['record.linked']);
      if (entry.source !== source.id) throw new Error('a source is not the one that the ledger says');
    }
    inOrder(captured.map(({ entry }) => entry.seq));
    inOrder(observed.map(({ entry }) => entry.seq));
    inOrder(linked.map(({ seq }) => seq));
    const { retention, thread } = record;
    const pathOf = (commitment) => this.payloads.get(commitment)?.path ?? null;
    const expected = recordOf({
      id: record.id,
      captured,
      observed,
      linked,
      destruction: null,
      thread,
      retention,
      pathOf,
    });
    if (canonical(expected) !== canonical(record)) throw new Error('it does not say what its documents say');
  }

  async entry(seq, checkpoint) {
    if (!Number.isSafeInteger(seq) || seq < 0) throw new Error(`${seq} is no position`);
    const paths = [proofPath(seq, 'entry'), proofPath(seq, 'tlog-proof')];
    for (const path of paths) this.usedProofs.add(path);
    const bytes = await readWhole(this.bag, paths[0], 65_535);
    const proof = utf8(await readWhole(this.bag, paths[1], MAX_NOTE));
    const split = proof.indexOf('\n\n');
    const [version, index, ...path] = proof.slice(0, Math.max(split, 0)).split('\n');
    if (version !== 'c2sp.org/tlog-proof@v1' || index !== `index ${seq}`)
      throw new Broken('receipt', paths[1], `it is no receipt of entry ${seq}`);
    if (proof.slice(split + 2) !== checkpoint.note)
      throw new Broken('receipt', paths[1], "its checkpoint is not the bundle's");
    let root;
    try {
      const hashes = path.map(strictBase64);
      if (hashes.some((hash) => hash.length !== 32)) throw new Error('a hash is not 32 bytes');
      root = rootFromProof(seq, checkpoint.size, leafHash(bytes), hashes);
    } catch (error) {
      throw new Broken('receipt', paths[1], error.message);
    }
    if (!root.equals(checkpoint.root))
      throw new Broken('receipt', paths[1], "entry and audit path do not give the checkpoint's root");
    let entry;
    try {
      entry = parseCanonical(bytes);
    } catch (error) {
      throw new Broken('entry', paths[0], error.message);
    }
    if (entry.v !== 1 || entry.origin !== checkpoint.origin || entry.seq !== seq)
      throw new Broken('entry', paths[0], 'version, origin or position is not what it must be');
    return entry;
  }

  payload(commitment, role, record) {
    const row = this.payloads.get(commitment);
    if (row === undefined)
      throw new Broken(
        'payload',
        'data/payloads.jsonl',
        `payload ${commitment} (${role} of record ${record}) is not there`,
      );
    if (row.role !== role || row.record !== record)
      throw new Broken('payload', row.path, `it is not a ${role} of record ${record}`);
    this.usedPayloads.add(commitment);
    return row;
  }

  async document(commitment, role, record) {
    const row = this.payload(commitment, role, record);
    if (row.path === null)
      throw new Broken(
        'stated',
        'data/payloads.jsonl',
        `record ${record} cannot be checked: its ${role} was ${row.problem}`,
      );
    try {
      return { row, document: parseCanonical(await readWhole(this.bag, row.path, MAX_DOCUMENT)) };
    } catch (error) {
      throw error instanceof Broken ? error : new Broken('document', row.path, error.message);
    }
  }

  /** A payload that a document names must be described as the document says. */
  named(part, role, entry) {
    const row = this.payload(part.commitment, role, entry.record);
    if (row.sha256 !== part.sha256 || row.length !== part.length)
      throw new Broken('payload', row.path, 'digest or length is not the one in the document');
  }

  async snapshot(entry, version) {
    const { row, document } = await this.document(entry.document, 'document', entry.record);
    const bad = (detail) => new Broken('document', row.path, detail);
    if (document.v !== 'muniment/v1/snapshot') throw bad('it is no snapshot document');
    for (const name of ['record', 'snapshot', 'run', 'version'])
      if (document[name] !== entry[name]) throw bad(`its ${name} is not the entry's`);
    if (document.version !== version || row.seq !== entry.seq) throw bad('versions do not follow each other');
    this.named(document.slice, 'slice', entry);
    for (const medium of document.media) if (medium.commitment !== null) this.named(medium, 'media', entry);
    const disclosure = disclosureOf(document, hexBytes(row.seed, 32));
    if (disclosure.root.toString('hex') !== entry.disclosure || disclosure.count !== entry.leaves)
      throw new Broken('disclosure', row.path, "its disclosure root is not the entry's");
    return document;
  }

  async observation(entry) {
    const { row, document } = await this.document(entry.document, 'observation', entry.record);
    const bad = (detail) => new Broken('document', row.path, detail);
    if (document.v !== 'muniment/v1/observation' || document.kind !== entry.type.slice('item.'.length))
      throw bad('it is no such observation document');
    for (const name of ['record', 'run', 'state', 'lastSeenAt', 'firstMissingAt', 'seenAt']) {
      if ((document[name] ?? null) !== (entry[name] ?? null)) throw bad(`its ${name} is not the entry's`);
    }
    if (document.answer !== null) this.named(document.answer, 'answer', entry);
    return document;
  }

  async description(checkpoint) {
    const path = 'data/bundle.json';
    const description = parseCanonical(await readWhole(this.bag, path, MAX_DOCUMENT));
    const { origin, size, root } = description.checkpoint;
    if (
      origin !== checkpoint.origin ||
      size !== checkpoint.size ||
      root !== checkpoint.root.toString('base64')
    )
      throw new Broken('bag', path, "its checkpoint is not the bundle's");
    if (description.records !== this.records || description.payloads !== this.payloads.size)
      throw new Broken('bag', path, "its counts are not the bundle's");
  }
}

function inOrder(positions) {
  if (positions.some((seq, n) => n > 0 && seq <= positions[n - 1]))
    throw new Error("its entries are not in the ledger's order");
}

const proofPath = (seq, extension) => `data/proofs/${seq}.${extension}`;
const threadName = (record, platformId) =>
  JSON.stringify([record.identity.platform, record.identity.namespace, platformId]);

/**
 * Checks a bundle: the ZIP, or the folder that it unpacks to.
 * @param path where it is
 * @param options `key`: the verifier key that you trust (`muniment key export`), from elsewhere than the bundle
 * @throws BundleInputError when there is nothing that can be read, or the key is none
 */
export async function verifyBundle(path, options = {}) {
  let trusted;
  try {
    trusted = options.key === undefined ? undefined : parseVerifierKey(options.key);
  } catch (error) {
    throw new BundleInputError(`the key cannot be used: ${error.message}`);
  }
  let bag;
  try {
    bag = await openBundle(path);
  } catch (error) {
    if (typeof error.code === 'string') throw new BundleInputError(`cannot read ${path}: ${error.message}`);
    if (!(error instanceof Broken)) throw error;
    return {
      ok: false,
      signer: 'unconfirmed',
      records: 0,
      files: 0,
      problems: [{ kind: error.kind, path, detail: error.message }],
      fingerprint: null,
      origin: null,
      size: null,
      root: null,
    };
  }
  try {
    const check = new Check(bag);
    const { key, checkpoint } = await check.run(trusted);
    if (check.more > 0)
      check.problems.push({ kind: 'more', path, detail: `and ${check.more} more problems` });
    const ok = check.problems.length === 0;
    return {
      ok,
      signer: trusted !== undefined && ok ? 'confirmed' : 'unconfirmed',
      records: check.records,
      files: bag.files.size,
      problems: check.problems,
      fingerprint: key?.fingerprint ?? null,
      origin: checkpoint?.origin ?? null,
      size: checkpoint?.size ?? null,
      root: checkpoint?.root.toString('base64') ?? null,
    };
  } finally {
    await bag.close();
  }
}

/** The result in words. */
export function resultText(result) {
  const lines = [];
  for (const problem of result.problems) lines.push(`${problem.kind}: ${problem.path}: ${problem.detail}`);
  if (!result.ok)
    lines.push(
      `FAILED: ${result.problems.length} problem${result.problems.length === 1 ? '' : 's'}. Do not rely on this bundle.`,
    );
  else {
    lines.push(result.signer === 'confirmed' ? 'verified' : 'self-consistent, signer unconfirmed');
    lines.push(
      `archive ${result.origin}, as of ledger size ${result.size}: ${result.records} record${result.records === 1 ? '' : 's'}, ${result.files} files`,
    );
    lines.push(`key SHA-256 ${result.fingerprint}`);
    lines.push(
      'records.jsonl and records.csv follow from the archived documents; records.pdf is covered by the signature alone.',
    );
    if (result.signer === 'unconfirmed')
      lines.push('Ask the archive for its key by another way and run again with --key.');
  }
  return `${lines.join('\n')}\n`;
}

async function main(args) {
  const options = { json: false, key: undefined, path: undefined };
  for (let n = 0; n < args.length; n += 1) {
    const argument = args[n];
    if (argument === '--json') options.json = true;
    else if (argument === '--help') {
      process.stdout.write(
        'usage: node verify.mjs [BUNDLE] [--key VKEY | --key-file FILE] [--json]\nexit: 0 verified or self-consistent, 3 failed, 2 bad usage or input\n',
      );
      return 0;
    } else if (
      (argument === '--key' || argument === '--key-file') &&
      n + 1 < args.length &&
      options.key === undefined
    ) {
      n += 1;
      options.key = argument === '--key' ? args[n] : await readFile(args[n], 'utf8');
    } else if (!argument.startsWith('-') && options.path === undefined) options.path = argument;
    else throw new BundleInputError(`cannot use the argument ${argument}; see --help`);
  }
  const path = options.path ?? dirname(fileURLToPath(import.meta.url));
  const result = await verifyBundle(path, options.key === undefined ? {} : { key: options.key });
  process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : resultText(result));
  return result.ok ? 0 : 3;
}

if (
  process.argv[1] !== undefined &&
  (await realpath(process.argv[1]).catch(() => null)) === fileURLToPath(import.meta.url)
) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error instanceof BundleInputError || error.code === 'ENOENT' ? 2 : 1;
  }
}
