// Whole bundles: made from a real archive, unpacked, read back, made again elsewhere, and checked by the verifier as a stranger runs it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { InputError } from '../../src/core/errors.ts';
import { type ExportOptions, type ExportResult, exportBundle } from '../../src/export/export.ts';
import type { BundledRecord } from '../../src/export/verifier/verify.mjs';
import { checkBundle } from '../../src/export/verify-bundle.ts';
import { testKey } from './key.ts';
import { readPdf } from './pdf-text.ts';
import { ORIGIN, SampleArchive, type SampleRecord, TIMEZONE } from './sample-archive.ts';
import { unpack } from './unpack.ts';

const run = promisify(execFile);
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==',
  'base64',
);

describe('an exported bundle', () => {
  let archive: SampleArchive;
  let result: ExportResult;
  let bag: string;
  let root: SampleRecord;
  let checkpoint: ExportOptions['checkpoint'];
  const cleanups: (() => unknown)[] = [];

  const options = (out: string, more: Partial<ExportOptions> = {}): ExportOptions => ({
    db: archive.db,
    store: archive.store,
    lock: { mode: 'none', seen: false },
    archive: { name: 'City of Example', origin: ORIGIN, timezone: TIMEZONE },
    software: 'Muniment test',
    checkpoint,
    signer: archive.key,
    explain: (record) => `series ${record.kind}`,
    selection: {},
    out: path.join(archive.folder, out),
    ...more,
  });
  const json = async (name: string) =>
    (await readFile(path.join(bag, name), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));

  before(async () => {
    archive = await SampleArchive.open({ after: (fn) => void cleanups.push(fn as () => unknown) });
    root = await archive.capture({
      source: 'city',
      platformId: 'at://a',
      item: { text: '=HYPERLINK("https://bad.example")', tags: ['@x'], createdAt: '2026-10-01T12:00:00Z' },
      media: [
        { bytes: PIXEL, mediaType: 'image/png', alt: 'a pixel' },
        { bytes: Buffer.from('<svg onload="x"/>'), mediaType: 'image/svg+xml' },
      ],
    });
    const again = await archive.capture({
      source: 'city',
      again: root,
      platformId: 'at://a',
      item: { text: 'line one\r\n"line two", مرحبا 🚧 \u0000', createdAt: '2026-10-01T12:00:00Z' },
    });
    const reply = await archive.capture({
      source: 'city',
      platformId: 'at://a/1',
      item: {
        kind: 'reply',
        text: '東京 \ud83d\ude00',
        inReplyTo: 'at://a',
        threadRoot: 'at://a',
        createdAt: '2026-10-01T13:00:00Z',
      },
    });
    await archive.missing(reply);
    await archive.link(again, 'mirror');
    await archive.capture({
      source: 'city',
      platformId: 'at://m',
      item: { kind: 'message', text: 'a private message' },
    });
    const gone = await archive.capture({
      source: 'city',
      platformId: 'at://gone',
      item: { text: 'a destroyed secret' },
    });
    await archive.destroy(gone);
    checkpoint = await archive.checkpoint();
    result = await exportBundle(options('bundle.zip'));
    bag = await unpack(result.bundle, path.join(archive.folder, 'unpacked'));
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  test("is verified with the archive's key, as ZIP and as folder", async () => {
    for (const at of [result.bundle, bag]) {
      const check = await checkBundle(at, archive.key.verifierKey);
      assert.deepEqual(check.problems, []);
      assert.deepEqual(
        [check.ok, check.signer, check.records, check.files],
        [true, 'confirmed', 3, result.files],
      );
    }
  });

  test('is self-consistent with an unconfirmed signer when no key is given', async () => {
    const check = await checkBundle(result.bundle);
    assert.deepEqual([check.ok, check.signer], [true, 'unconfirmed']);
    const publicKey = Buffer.from(archive.key.verifierKey.split('+').slice(2).join('+'), 'base64').subarray(
      1,
    );
    assert.equal(check.fingerprint, createHash('sha256').update(publicKey).digest('hex'));
  });

  test('is not verified under another key', async () => {
    const check = await checkBundle(result.bundle, testKey(ORIGIN).verifierKey);
    assert.deepEqual([check.ok, check.signer], [false, 'unconfirmed']);
  });

  test('brings its own verifier, which runs alone with the exit codes it promises', async () => {
    const verifier = path.join(bag, 'verify.mjs');
    const good = await run(process.execPath, [verifier, '--json', '--key', archive.key.verifierKey], {
      cwd: '/',
    });
    assert.deepEqual(JSON.parse(good.stdout).signer, 'confirmed');
    const own = await run(process.execPath, [verifier]);
    assert.match(own.stdout, /self-consistent, signer unconfirmed/);
    const exit = async (args: string[]) =>
      run(process.execPath, [verifier, ...args]).then(
        () => 0,
        (error) => error.code,
      );
    assert.equal(await exit(['--key', testKey(ORIGIN).verifierKey]), 3);
    assert.equal(await exit(['--key', 'nonsense']), 2);
    assert.equal(await exit([path.join(archive.folder, 'absent.zip')]), 2);
    assert.equal(await exit([path.join(bag, 'README.txt')]), 2);
    assert.equal(await exit(['--unknown']), 2);
  });

  test('says what it is: digest, size, files, checkpoint', async () => {
    const bytes = await readFile(result.bundle);
    assert.deepEqual(
      [result.bytes, result.sha256, result.records],
      [bytes.length, createHash('sha256').update(bytes).digest('hex'), 3],
    );
    assert.deepEqual(result.checkpoint, {
      origin: ORIGIN,
      size: checkpoint.size,
      root: checkpoint.root.toString('base64'),
    });
    assert.equal(
      result.manifest,
      createHash('sha256')
        .update(await readFile(path.join(bag, 'tagmanifest-sha256.txt')))
        .digest('hex'),
    );
    assert.deepEqual(result.problems, []);
  });

  test('a second export of the same selection at the same position is equal to the byte, in another zone and language', async () => {
    const second = await exportBundle(options('second.zip'));
    assert.equal(second.sha256, result.sha256);
    await archive.capture({
      source: 'city',
      platformId: 'at://later',
      item: { text: 'written after the position' },
    });
    const zone = process.env.TZ;
    try {
      process.env.TZ = 'Asia/Kolkata';
      assert.equal((await exportBundle(options('third.zip'))).sha256, result.sha256);
    } finally {
      if (zone === undefined) delete process.env.TZ;
      else process.env.TZ = zone;
    }
  });

  test('leaves messages out, and shows of a destroyed record its id, state and dates alone', async () => {
    const records = (await json('data/records.jsonl')) as BundledRecord[];
    assert.equal(records.length, 3);
    const destroyed = records.find((record) => record.state === 'destroyed');
    assert.deepEqual(Object.keys(destroyed ?? {}).sort(), ['destruction', 'id', 'state']);
    for (const name of await readdir(bag, { recursive: true })) {
      if (!(await stat(path.join(bag, name))).isFile()) continue;
      assert.doesNotMatch(
        await readFile(path.join(bag, name), 'latin1'),
        /private message|destroyed secret/,
        name,
      );
    }
    await assert.rejects(
      exportBundle(options('messages.zip', { selection: { kinds: ['message'] } })),
      InputError,
    );
  });

  test('shows versions, deletion, conversation, sources and retention of each record', async () => {
    const records = (await json('data/records.jsonl')) as BundledRecord[];
    const first = records.find((record) => record.id === root.id);
    assert.ok(first !== undefined && first.state !== 'destroyed');
    assert.deepEqual(
      first.versions.map((version) => version.text),
      ['=HYPERLINK("https://bad.example")', 'line one\r\n"line two", مرحبا 🚧 \u0000'],
    );
    assert.deepEqual(
      first.sources.map((source) => source.name),
      ['city', 'mirror'],
    );
    assert.equal(first.retention, 'series post');
    const reply = records.find((record) => record.state === 'missing');
    assert.ok(reply !== undefined && reply.state !== 'destroyed');
    assert.deepEqual(reply.thread, { parent: root.id, depth: 1 });
    assert.deepEqual(
      reply.states.map((state) => [state.state, state.lastSeenAt, state.firstMissingAt]),
      [['deleted', '2026-10-20T00:00:00.000Z', '2026-10-21T00:00:00.000Z']],
    );
  });

  test('its table runs no formula in a spreadsheet and keeps to RFC 4180', async () => {
    const csv = await readFile(path.join(bag, 'data/records.csv'), 'utf8');
    assert.ok(csv.startsWith('\ufeff"record",'));
    assert.ok(csv.includes(`"'=HYPERLINK(""https://bad.example"")"`));
    assert.ok(csv.includes(`"'@x"`));
    assert.doesNotMatch(csv, /(^|,)"[=+\-@\t\r]/m);
    assert.ok(csv.includes('"line one\r\n""line two"", مرحبا 🚧 \ufffd"'));
    assert.ok(csv.endsWith('\r\n'));
  });

  test('names every file itself, and gives nothing that a viewer would run', async () => {
    const names = (await readdir(bag, { recursive: true })).filter((name) => name.includes('media/'));
    assert.deepEqual(names.map((name) => path.extname(name)).sort(), ['.bin', '.png']);
  });

  test('is stamped UNREVIEWED wherever it speaks', async () => {
    assert.match(await readFile(path.join(bag, 'README.txt'), 'utf8'), /^UNREVIEWED/);
    assert.match(await readFile(path.join(bag, 'bag-info.txt'), 'utf8'), /UNREVIEWED/);
    assert.equal((await json('data/bundle.json'))[0].review, 'UNREVIEWED');
    assert.equal((await readFile(path.join(bag, 'data/records.pdf'))).subarray(0, 5).toString(), '%PDF-');
  });

  test('states in README, bag-info, bundle.json and PDF what the store does against removal', async () => {
    const said = /none: write-once by this program only/;
    assert.match(await readFile(path.join(bag, 'README.txt'), 'utf8'), said);
    assert.match(await readFile(path.join(bag, 'bag-info.txt'), 'utf8'), /^Muniment-Storage-Lock: none: /m);
    assert.deepEqual((await json('data/bundle.json'))[0].lock, { mode: 'none', seen: false });
    const pages = readPdf(await readFile(path.join(bag, 'data/records.pdf'))).pages.join('\n');
    assert.match(pages.replace(/\s+/g, ' '), said);
    for (const [lock, expected] of [
      [{ mode: 'GOVERNANCE', seen: true }, /lock: GOVERNANCE: the object store refuses .*special right$/m],
      [{ mode: 'COMPLIANCE', seen: true }, /lock: COMPLIANCE: the object store refuses .*whoever asks$/m],
      [{ mode: 'COMPLIANCE', seen: false }, /lock: COMPLIANCE by configuration; .*not seen to enforce it$/m],
    ] as const) {
      const out = `lock-${lock.mode}-${lock.seen}`;
      const made = await exportBundle(options(`${out}.zip`, { lock }));
      const folder = await unpack(made.bundle, path.join(archive.folder, out));
      assert.match(await readFile(path.join(folder, 'README.txt'), 'utf8'), expected);
    }
  });

  test("is one that Python's zipfile and unzip accept, where they are installed", async (t) => {
    const python = await run('python3', [
      '-c',
      'import sys,zipfile; sys.exit(zipfile.ZipFile(sys.argv[1]).testzip() is not None)',
      result.bundle,
    ]).catch((error) => error);
    if (python.code === 'ENOENT') t.diagnostic('python3 is not installed here');
    else assert.equal(python.code ?? 0, 0);
  });

  test('an existing file is refused unless it may be replaced, and a failed export leaves nothing', async () => {
    const out = path.join(archive.folder, 'taken', 'bundle.zip');
    await mkdir(path.dirname(out));
    await writeFile(out, 'mine');
    await assert.rejects(exportBundle({ ...options(''), out }), InputError);
    assert.equal(await readFile(out, 'utf8'), 'mine');
    const failing = {
      ...options(''),
      out,
      replace: true,
      explain: () => {
        throw new Error('policy cannot be read');
      },
    };
    await assert.rejects(exportBundle(failing), /policy cannot be read/);
    assert.deepEqual(await readdir(path.dirname(out)), ['bundle.zip']);
    assert.equal(await readFile(out, 'utf8'), 'mine');
    assert.equal((await exportBundle({ ...options(''), out, replace: true })).sha256, result.sha256);
    assert.deepEqual(await readdir(path.dirname(out)), ['bundle.zip']);
    await assert.rejects(exportBundle(options('absent/bundle.zip')), InputError);
    await assert.rejects(exportBundle({ ...options(''), out: archive.folder }), InputError);
  });

  test('a payload that the store lost or that was altered is stated, never passed on, and the bundle does not verify', async () => {
    const lost = await archive.capture({
      source: 'broken',
      platformId: 'at://lost',
      item: { text: 'its document is lost' },
    });
    const altered = await archive.capture({
      source: 'broken',
      platformId: 'at://altered',
      item: { text: 'its slice is altered' },
    });
    const [document] = (await archive.payloadsOf(lost, 'document')) as [string];
    const [slice] = (await archive.payloadsOf(altered, 'slice')) as [string];
    const file = (key: string) => path.join(archive.storePath, 'objects', key.slice(0, 2), key);
    await rm(file(document));
    const bytes = await readFile(file(slice));
    bytes[bytes.length - 3] = (bytes.at(-3) as number) ^ 1;
    await chmod(file(slice), 0o600);
    await writeFile(file(slice), bytes);
    const broken = await exportBundle(
      options('broken.zip', { selection: { sources: ['broken'] }, checkpoint: await archive.checkpoint() }),
    );
    assert.deepEqual(broken.problems.map((problem) => [problem.kind, problem.payload]).sort(), [
      ['altered', slice],
      ['missing', document],
    ]);
    const check = await checkBundle(broken.bundle, archive.key.verifierKey);
    assert.equal(check.ok, false);
    assert.deepEqual([...new Set(check.problems.map((problem) => problem.kind))], ['stated']);
    const records = await readFile(
      path.join(await unpack(broken.bundle, path.join(archive.folder, 'broken')), 'data/records.jsonl'),
      'utf8',
    );
    assert.match(records, /its document is lost/, 'what the rows still say is shown');
  });

  test('an empty selection makes a whole and valid bundle', async () => {
    const empty = await exportBundle(options('empty.zip', { selection: { sources: ['nobody'] } }));
    assert.equal(empty.records, 0);
    assert.deepEqual((await checkBundle(empty.bundle, archive.key.verifierKey)).problems, []);
  });

  test('a folder with a file too many, too few or a link in it is not verified', async () => {
    const copy = path.join(archive.folder, 'copy');
    const check = async (spoil: () => Promise<unknown>, kind: string) => {
      await rm(copy, { recursive: true, force: true });
      await cp(bag, copy, { recursive: true });
      await spoil();
      const found = await checkBundle(copy, archive.key.verifierKey);
      assert.equal(found.ok, false);
      assert.ok(
        found.problems.some((problem) => problem.kind === kind),
        `${kind}: ${JSON.stringify(found.problems)}`,
      );
    };
    await check(() => writeFile(path.join(copy, 'data', 'extra.txt'), ''), 'extra-file');
    await check(() => writeFile(path.join(copy, 'extra.txt'), ''), 'extra-file');
    await check(() => rm(path.join(copy, 'data/records.pdf')), 'missing-file');
    await check(() => rm(path.join(copy, 'signature.note')), 'signature');
    await check(async () => {
      await rm(path.join(copy, 'README.txt'));
      await run('ln', ['-s', path.join(bag, 'README.txt'), path.join(copy, 'README.txt')]);
    }, 'path');
  });
});
