// Bundles in hostile hands: every changed byte is caught, in the folder and in the ZIP itself, and so are rewritten manifests, other
// keys and ZIPs that two readers would read differently.

import assert from 'node:assert/strict';
import { createHash, randomInt } from 'node:crypto';
import { cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { exportBundle } from '../../src/export/export.ts';
import {
  type BundleCheck,
  BundleInputError,
  bundleStatement,
  verifyBundle,
} from '../../src/export/verifier/verify.mjs';
import { isWhole } from '../support/whole.ts';
import { type TestKey, testKey } from './key.ts';
import { ORIGIN, SampleArchive, TIMEZONE } from './sample-archive.ts';
import { type Member, membersOf, unpack } from './unpack.ts';

/** Every place of a ZIP's headers in the whole suite, and otherwise one in sixteen, by chance: others with each run. */
const isTried = (): boolean => isWhole || randomInt(32) === 0;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('a bundle that somebody changed', () => {
  let archive: SampleArchive;
  let zip: Buffer;
  let bag: string;
  let size: number;
  const cleanups: (() => unknown)[] = [];

  /** A ZIP that nobody can take for one is caught too. */
  const isCaught = async (
    at: string,
    key: string | undefined = archive.key.verifierKey,
  ): Promise<BundleCheck | null> => {
    try {
      const check = await verifyBundle(at, key === undefined ? {} : { key });
      return check.ok ? assert.fail(`${at} verified`) : check;
    } catch (error) {
      if (error instanceof BundleInputError) return null;
      throw error;
    }
  };
  const zipIsCaught = async (bytes: Buffer, what: string) => {
    const at = path.join(archive.folder, 'changed.zip');
    await writeFile(at, bytes);
    const check = await verifyBundle(at, { key: archive.key.verifierKey });
    assert.equal(check.ok, false, what);
    return check;
  };
  const filesOf = async (folder: string): Promise<string[]> => {
    const files: string[] = [];
    for (const name of await readdir(folder, { recursive: true }))
      if ((await stat(path.join(folder, name))).isFile()) files.push(name);
    return files.sort();
  };
  const copyOf = async (name: string): Promise<string> => {
    const copy = path.join(archive.folder, name);
    await rm(copy, { recursive: true, force: true });
    await cp(bag, copy, { recursive: true });
    return copy;
  };
  /** What someone does who wants a change to pass: manifests, oxum and, with a key, the signature anew. */
  const redo = async (folder: string, key: TestKey | null) => {
    const files = await filesOf(folder);
    const manifest = async (names: string[]) =>
      (
        await Promise.all(
          names.map(async (name) => `${sha256(await readFile(path.join(folder, name)))}  ${name}\n`),
        )
      ).join('');
    const payload = files.filter((name) => name.startsWith('data/'));
    await writeFile(path.join(folder, 'manifest-sha256.txt'), await manifest(payload));
    const lengths = await Promise.all(
      payload.map(async (name) => (await stat(path.join(folder, name))).size),
    );
    const info = await readFile(path.join(folder, 'bag-info.txt'), 'utf8');
    await writeFile(
      path.join(folder, 'bag-info.txt'),
      info.replace(
        /Payload-Oxum: .*/,
        `Payload-Oxum: ${lengths.reduce((a, b) => a + b, 0)}.${payload.length}`,
      ),
    );
    if (key !== null) {
      await writeFile(path.join(folder, 'archive-key.txt'), `${key.verifierKey}\n`);
    }
    const tags = files.filter(
      (name) => !name.startsWith('data/') && name !== 'tagmanifest-sha256.txt' && name !== 'signature.note',
    );
    const tagManifest = await manifest(tags);
    await writeFile(path.join(folder, 'tagmanifest-sha256.txt'), tagManifest);
    if (key !== null)
      await writeFile(
        path.join(folder, 'signature.note'),
        key.signNote(bundleStatement(ORIGIN, size, sha256(Buffer.from(tagManifest)))),
      );
  };

  before(async () => {
    archive = await SampleArchive.open({ after: (fn) => void cleanups.push(fn as () => unknown) });
    const record = await archive.capture({
      source: 'city',
      platformId: 'at://a',
      item: { text: 'Road closed' },
    });
    await archive.missing(record);
    const checkpoint = await archive.checkpoint();
    size = checkpoint.size;
    const result = await exportBundle({
      db: archive.db,
      store: archive.store,
      lock: { mode: 'none', seen: false },
      archive: { name: 'City of Example', origin: ORIGIN, timezone: TIMEZONE },
      software: 'Muniment test',
      checkpoint,
      signer: archive.key,
      explain: () => null,
      selection: {},
      out: path.join(archive.folder, 'bundle.zip'),
    });
    zip = await readFile(result.bundle);
    bag = await unpack(result.bundle, path.join(archive.folder, 'unpacked'));
    assert.equal((await verifyBundle(bag, { key: archive.key.verifierKey })).ok, true);
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  test('one byte changed, added or cut in any file of the unpacked bag is caught, with and without a key', async () => {
    for (const name of await filesOf(bag)) {
      const file = path.join(bag, name);
      const bytes = await readFile(file);
      const changed = Buffer.from(bytes);
      const at = randomInt(bytes.length);
      changed[at] = (bytes[at] as number) ^ (1 << randomInt(8));
      for (const spoiled of [changed, Buffer.concat([bytes, Buffer.from('\n')]), bytes.subarray(0, -1)]) {
        await writeFile(file, spoiled);
        await isCaught(bag);
        await isCaught(bag, undefined);
      }
      await writeFile(file, bytes);
    }
    assert.equal((await verifyBundle(bag, { key: archive.key.verifierKey })).ok, true);
  });

  test('every byte of the signature counts', async () => {
    const { dataAt, length } = membersOf(zip).members.find((member) =>
      member.name.endsWith('/signature.note'),
    ) as Member;
    const file = path.join(archive.folder, 'signature.zip');
    for (let at = dataAt; at < dataAt + length; at += 1) {
      const changed = Buffer.from(zip);
      changed[at] = (zip[at] as number) ^ 1;
      await writeFile(file, changed);
      await isCaught(file);
    }
  });

  test('one byte changed at random places of the ZIP, in any header and in its directory is caught', async () => {
    const { members, directoryAt } = membersOf(zip);
    const places: number[] = [];
    for (let at = directoryAt; at < zip.length; at += 1) if (isTried()) places.push(at);
    for (const { headerAt, dataAt } of members)
      for (let at = headerAt; at < dataAt; at += 1) if (isTried()) places.push(at);
    for (let n = 0; n < 1000; n += 1) if (isTried()) places.push(randomInt(zip.length));
    const file = path.join(archive.folder, 'flipped.zip');
    const bytes = Buffer.from(zip);
    for (const at of places) {
      const bit = 1 << randomInt(8);
      bytes[at] = (bytes[at] as number) ^ bit;
      await writeFile(file, bytes);
      await isCaught(file);
      bytes[at] = (bytes[at] as number) ^ bit;
    }
  });

  test('bytes before, between or after the files of the ZIP are caught, and so is a ZIP that was cut', async () => {
    await zipIsCaught(Buffer.concat([Buffer.from('PK'), zip]), 'prefix');
    await zipIsCaught(Buffer.concat([zip, Buffer.from('\0')]), 'suffix');
    const { directoryAt } = membersOf(zip);
    await zipIsCaught(
      Buffer.concat([zip.subarray(0, directoryAt), Buffer.from('gap'), zip.subarray(directoryAt)]),
      'gap',
    );
    await zipIsCaught(zip.subarray(0, -1), 'cut at the end');
    await zipIsCaught(zip.subarray(0, Math.floor(zip.length / 2)), 'cut in the middle');
    const commented = Buffer.concat([zip, Buffer.from('hi')]);
    commented.writeUInt16LE(2, zip.length - 2);
    await zipIsCaught(commented, 'comment');
  });

  test('a name in the ZIP that leads out of the folder is refused before anything is read', async () => {
    const bytes = Buffer.from(zip);
    const { members, directoryAt } = membersOf(zip);
    const { name, headerAt } = members[0] as Member;
    const evil = `${'../'.repeat(20)}${'x'.repeat(name.length)}`.slice(0, name.length);
    bytes.write(evil, headerAt + 30, 'latin1');
    bytes.write(evil, directoryAt + 46, 'latin1');
    const check = await zipIsCaught(bytes, 'path traversal');
    assert.deepEqual(
      check.problems.map((problem) => problem.kind),
      ['zip'],
    );
  });

  test('two files of one name in the ZIP are refused', async () => {
    const bytes = Buffer.from(zip);
    const { members, directoryAt } = membersOf(zip);
    const entries = members.filter((member) => member.name.endsWith('.entry'));
    const [first, second] = entries.filter((member) => member.name.length === entries[0]?.name.length) as [
      Member,
      Member,
    ];
    assert.ok(first !== undefined && second !== undefined);
    bytes.write(first.name, second.headerAt + 30, 'latin1');
    bytes.write(first.name, bytes.indexOf(second.name, directoryAt, 'latin1'), 'latin1');
    assert.match((await zipIsCaught(bytes, 'duplicate')).problems[0]?.detail ?? '', /twice/);
  });

  test('an edited PDF with every manifest redone is caught, with and without a key', async () => {
    const copy = await copyOf('edited');
    const pdf = path.join(copy, 'data/records.pdf');
    await writeFile(pdf, (await readFile(pdf, 'latin1')).replace('%%EOF', '%%EOX'), 'latin1');
    await redo(copy, null);
    assert.deepEqual(
      (await isCaught(copy))?.problems.map((problem) => problem.kind),
      ['signature'],
    );
    await isCaught(copy, undefined);
  });

  test("a bundle re-signed with another key is caught by whoever has the archive's key", async () => {
    const copy = await copyOf('resigned');
    const other = testKey(ORIGIN);
    const pdf = path.join(copy, 'data/records.pdf');
    await writeFile(pdf, (await readFile(pdf, 'latin1')).replace('%%EOF', '%%EOX'), 'latin1');
    await redo(copy, other);
    const check = await isCaught(copy);
    assert.equal(check?.signer, 'unconfirmed');
    assert.ok(check?.problems.some((problem) => problem.path === 'archive-key.txt'));
    // Without the archive's key it still fails: its checkpoint is not by the other key.
    await isCaught(copy, undefined);
  });

  test("a file whose digest fits but that does not follow from the documents is caught even under the archive's own signature", async () => {
    const spoil = async (name: string, change: (text: string) => string, kind: string) => {
      const copy = await copyOf('resealed');
      const file = path.join(copy, name);
      const before = await readFile(file, 'utf8');
      const after = change(before);
      assert.notEqual(after, before);
      await writeFile(file, after);
      await redo(copy, archive.key);
      const check = await isCaught(copy);
      assert.ok(
        check?.problems.some((problem) => problem.kind === kind),
        `${name}: ${JSON.stringify(check?.problems)}`,
      );
    };
    const names = await filesOf(bag);
    const one = (part: string) => names.find((name) => name.includes(part)) as string;
    await spoil('data/records.csv', (text) => text.replace('Road closed', 'Road opened'), 'csv');
    await spoil('data/records.jsonl', (text) => text.replaceAll('Road closed', 'Road opened'), 'record');
    await spoil('data/payloads.jsonl', (text) => text.replace(/"role":"slice"/, '"role":"media"'), 'payload');
    await spoil(one('data/documents/'), (text) => text.replace('Road closed', 'Road opened'), 'payload');
    await spoil(one('data/slices/'), (text) => text.replace('Road closed', 'Road opened'), 'payload');
    await spoil(one('.entry'), (text) => text.replace('"version":1', '"version":2'), 'receipt');
    await spoil(one('.tlog-proof'), (text) => text.replace(/index \d+/, 'index 0'), 'receipt');
    await spoil('data/checkpoint', (text) => text.replace(/\n\d+\n/, '\n1\n'), 'checkpoint');
    await spoil('data/bundle.json', (text) => text.replace('"records":1', '"records":2'), 'bag');
  });

  test('nonsense in every file of a re-sealed bundle gives problems, never a crash', async () => {
    for (const nonsense of [
      '',
      '\n',
      '[]\n',
      '{}\n',
      'null\n',
      `${'['.repeat(100_000)}\n`,
      '{"__proto__":1}\n',
    ]) {
      for (const name of await filesOf(bag)) {
        if (
          [
            'verify.mjs',
            'README.txt',
            'data/records.pdf',
            'tagmanifest-sha256.txt',
            'manifest-sha256.txt',
            'archive-key.txt',
            'signature.note',
          ].includes(name)
        )
          continue;
        const copy = path.join(archive.folder, 'nonsense');
        await rm(copy, { recursive: true, force: true });
        await cp(bag, copy, { recursive: true });
        await writeFile(path.join(copy, name), nonsense);
        await redo(copy, archive.key);
        await isCaught(copy);
      }
    }
  });
});
