// Files that claim to be exports and are made to harm: each is one clear error, or its bad member is put aside with a reason and the rest read.

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { InputError } from '../../src/core/errors.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import { type Cut, cutElements } from '../../src/sources/import/cutter.ts';
import { openExportFile } from '../../src/sources/import/export-file.ts';
import { UnreadableJsonError } from '../../src/sources/slice.ts';
import { writeTarGz } from '../support/exports.ts';
import { never } from '../support/replay.ts';
import { type ZipMember, zipOf } from '../support/zip.ts';

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'muniment hostile '));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function opened(t: TestContext, bytes: Buffer, name = 'export.zip') {
  const path = join(await folderOf(t), name);
  await writeFile(path, bytes);
  const file = await openExportFile(path, { signal: never() });
  t.after(() => file[Symbol.asyncDispose]());
  return file;
}

async function all(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

const GOOD: ZipMember = { name: 'good.json', data: '[1]', deflate: true };

for (const [what, member, reason] of [
  ['a name that leads out', { name: '../../etc/passwd', data: 'x' }, /leads out of the archive/],
  ['a name that leads out by backslashes', { name: 'a\\..\\..\\x', data: 'x' }, /leads out of the archive/],
  ['an absolute name', { name: '/etc/passwd', data: 'x' }, /absolute path/],
  ['a name on a drive', { name: 'C:/x', data: 'x' }, /absolute path/],
  ['a name with U+0000', { name: 'a\u0000b', data: 'x' }, /U\+0000/],
  ['no name', { name: '', data: 'x' }, /no name/],
  ['a name without end', { name: 'n'.repeat(2000), data: 'x' }, /longer than/],
  ['a symbolic link', { name: 'link', data: '/etc/passwd', mode: 0o120777 }, /link or a device/],
  ['a device', { name: 'device', data: '', mode: 0o020644 }, /link or a device/],
  ['encryption', { name: 'secret', data: 'x'.repeat(13), size: 1, flags: 0x801 }, /encrypted/],
  ['an unknown compression', { name: 'odd', data: 'x', method: 99 }, /compressed in a way/],
  ['a bomb', { name: 'bomb', data: Buffer.alloc(80 * 2 ** 20), deflate: true }, /unpacks to 83886080 bytes/],
] as const) {
  test(`a ZIP's member with ${what} is put aside with the reason, and the others are read`, async (t) => {
    const file = await opened(t, zipOf([member, GOOD]));
    assert.deepEqual([...file.members.keys()], ['good.json']);
    assert.equal(file.aside.length, 1);
    assert.match(file.aside[0]?.reason ?? '', reason);
    assert.equal(await all(file.read('good.json', never())), '[1]');
  });
}

test('a name that stands twice in an archive names neither, for which is meant nobody can tell', async (t) => {
  for (const make of [
    async () =>
      opened(t, zipOf([{ name: 'a', data: '1' }, { name: 'a', data: '2' }, { name: 'a', data: '3' }, GOOD])),
    async () => {
      const path = await writeTarGz(join(await folderOf(t), 'x.tar.gz'), [
        [{ name: 'a' }, '1'],
        [{ name: './a' }, '2'],
        [{ name: 'good.json' }, '[1]'],
      ]);
      return openExportFile(path, { signal: never() });
    },
  ]) {
    const file = await make();
    assert.deepEqual([...file.members.keys()], ['good.json']);
    assert.match(file.aside[0]?.reason ?? '', /twice/);
    await assert.rejects(all(file.read('a', never())));
  }
});

test('a tar archive with links and names that lead out yields its files alone, and writes nowhere', async (t) => {
  const folder = await folderOf(t);
  const path = await writeTarGz(join(folder, 'x.tar.gz'), [
    [{ name: 'link', type: 'symlink', linkname: '/etc' }, ''],
    [{ name: 'hard', type: 'link', linkname: '/etc/passwd' }, ''],
    [{ name: '../out' }, 'x'],
    [{ name: 'media/a.png' }, 'picture'],
  ]);
  const file = await openExportFile(path, { signal: never() });
  assert.deepEqual([...file.members.keys()], ['media/a.png']);
  assert.equal(file.aside.length, 3);
  const copy = join(folder, 'copy');
  await file.copy('media/a.png', copy, folder, never());
  assert.equal(await readFile(copy, 'utf8'), 'picture');
  assert.deepEqual((await readdir(folder)).sort(), ['copy', 'unpacked', 'x.tar.gz']);
});

test('names in ZIPs are read as Unicode where they are, and as the format’s age had it else', async (t) => {
  const file = await opened(
    t,
    zipOf([
      { name: 'grün.json', data: '1' },
      { name: 'blau-ü.json', data: '2', flags: 0 },
      { name: Buffer.from([0x81, 0x62, 0x65, 0x72]), data: '3', flags: 0 },
    ]),
  );
  assert.deepEqual([...file.members.keys()], ['grün.json', 'blau-ü.json', 'über']);
  assert.equal(await all(file.read('über', never())), '3');
});

test('ZIP64 is read', async (t) => {
  const file = await opened(t, zipOf([{ ...GOOD, zip64: true }]));
  assert.equal(await all(file.read('good.json', never())), '[1]');
});

test('a member that is not what the directory says ends its reading with the place and the remedy', async (t) => {
  const data = Buffer.from('[1, 2, 3, 4, 5, 6, 7, 8, 9]');
  for (const [member, told] of [
    [{ name: 'm', data, deflate: true, crc: 1 }, /m in export\.zip is damaged: its CRC-32 differs/],
    [{ name: 'm', data, deflate: true, size: 5 }, /m in export\.zip is damaged: too many bytes/],
    [{ name: 'm', data, deflate: true, size: 500 }, /m in export\.zip is damaged: not enough bytes/],
    [{ name: 'm', data: 'no deflate at all', method: 8 }, /m in export\.zip is damaged/],
  ] as const) {
    const file = await opened(t, zipOf([member]));
    await assert.rejects(all(file.read('m', never())), (error: unknown) => {
      assert.ok(error instanceof CollectError);
      assert.match(error.message, told);
      assert.match(error.problem.message, /download the file again/);
      return true;
    });
  }
});

test('an archive that is broken as a whole is an error of the input, with the remedy', async (t) => {
  const zip = zipOf([GOOD, { name: 'b', data: 'b'.repeat(1000) }]);
  const overlapping = zipOf([GOOD]);
  // The one member is said to be longer than the file.
  const at = overlapping.indexOf(Buffer.from('PK\u0001\u0002'));
  overlapping.writeUInt32LE(0x00ffffff, at + 20);
  const tar = await readFile(
    await writeTarGz(join(await folderOf(t), 'x.tar.gz'), { a: 'a'.repeat(100_000), b: 'b' }),
  );
  for (const [name, bytes, told] of [
    ['cut.zip', zip.subarray(0, -10), /cannot be read/],
    ['begun.zip', zip.subarray(0, 100), /cannot be read/],
    ['overlapping.zip', overlapping, /overlap/],
    [
      'many.zip',
      zipOf([1, 2, 3].map((n) => ({ name: `${n}`, data: 'x', deflate: true, size: 50 * 2 ** 20 }))),
      /unpacks to far more/,
    ],
    ['cut.tar.gz', tar.subarray(0, -20), /cannot be read to its end/],
    ['bomb.tar.gz', gzipSync(Buffer.concat([tarHead(), Buffer.alloc(100 * 2 ** 20)])), /unpacks to far more/],
  ] as const) {
    await assert.rejects(opened(t, bytes, name), (error: unknown) => {
      assert.ok(error instanceof InputError, String(error));
      assert.match(error.message, told);
      assert.notEqual(error.hint, undefined);
      return true;
    });
  }
});

/** Of a member of 100 MiB of nothing. */
function tarHead(): Buffer {
  const head = Buffer.alloc(512);
  head.write('zeros', 0);
  head.write('0000644\u0000', 100);
  head.write((100 * 2 ** 20).toString(8).padStart(11, '0'), 124);
  head.write('        ', 148);
  head.write('0', 156);
  head.write('ustar\u000000', 257);
  const sum = head.reduce((a, b) => a + b, 0);
  head.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148);
  return head;
}

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function cuts(
  text: string | Buffer,
  options: Parameters<typeof cutElements>[1],
  size = 7,
): Promise<Cut[]> {
  const found: Cut[] = [];
  for await (const cut of cutElements(inChunks(Buffer.from(text as string), size), options)) found.push(cut);
  return found;
}

test('elements are cut exactly as they stand, however the document comes in pieces', async () => {
  const elements = [
    '{"a":[1,{"b":"]}\\"\\\\"}]}',
    '"a, b"',
    '-1.5e3',
    'true',
    '[ ]',
    '{ "ü" : "🏛️" }',
    'null',
  ];
  const list = `\n[ ${elements.join(' ,\n')} ]\n`;
  const within = `{"x": {"list": [0]}, "n" : 12 ,"s":"t\\"", "list" :${list}, "y":[[{}]],"z":false}`;
  for (const [text, options] of [
    [list, { list: null }],
    [`\u{feff}${list}`, { list: null }],
    [within, { list: 'list' }],
    [`window.YTD.tweets.part0 = ${list};`, { list: null, before: /^window\.YTD\.tweets\.part0 =$/ }],
  ] as const) {
    const bytes = Buffer.from(text);
    for (let size = 1; size < 40; size += 1) {
      const found = await cuts(bytes, options, size);
      assert.deepEqual(
        found.map((cut) => cut.bytes.toString('utf8')),
        elements,
        `pieces of ${size}`,
      );
      for (const { offset, bytes: cut } of found)
        assert.ok(bytes.subarray(offset, offset + cut.length).equals(cut));
    }
  }
  const members: [string, string][] = [];
  await cuts(within, { list: 'list', onMember: (name, text) => members.push([name, text]) });
  assert.deepEqual(members, [
    ['n', '12'],
    ['s', '"t\\""'],
    ['z', 'false'],
  ]);
});

test('a list that is cut short, missing, doubled or followed by something is told after its elements', async () => {
  for (const [text, options, told] of [
    ['[1, {"a":', { list: null }, /ends at byte 9/],
    ['[1, "a', { list: null }, /ends at byte 6/],
    ['', { list: null }, /ends at byte 0/],
    ['<html>[1]', { list: null }, /does not begin as JSON/],
    ['x'.repeat(1000), { list: null }, /does not begin as JSON/],
    ['[1] [2]', { list: null }, /goes on after its end/],
    ['{"a":[1]}', { list: 'b' }, /no list called b/],
    ['{"b":{"b":[1]}}', { list: 'b' }, /no list called b/],
    ['{"b":[1],"b":[2]}', { list: 'b' }, /two lists called b/],
    ['[1]', { list: 'b' }, /is no object/],
    ['{}', { list: null }, /is no list/],
  ] as const)
    await assert.rejects(cuts(text, options), (error: unknown) => {
      assert.ok(error instanceof UnreadableJsonError, text);
      assert.match(error.message, told);
      return true;
    });
});

test('of an element longer than any item the beginning is kept, and the next ones are read', async () => {
  const long = `"${'x'.repeat(300_000)}"`;
  const found = await cuts(`[1,${long},2]`, { list: null, longest: 100_000 }, 5000);
  assert.deepEqual(
    found.map(({ offset, isWhole, bytes }) => [offset, isWhole, bytes.length]),
    [
      [1, true, 1],
      [3, false, 65_536],
      [3 + long.length + 1, true, 1],
    ],
  );
});
