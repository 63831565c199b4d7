import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { crc32, deflateSync } from 'node:zlib';
import { InputError } from '../../src/core/errors.ts';
import { FontSet, hanRegion } from '../../src/export/fonts.ts';
import { type PdfBundle, type PdfRecord, type PdfVersion, writePdf } from '../../src/export/pdf.ts';
import { PictureError, readPicture } from '../../src/export/pictures.ts';
import { type Line, Typesetter } from '../../src/export/typeset.ts';
import { type ReadPdf, readPdf } from './pdf-text.ts';

const BUNDLE: PdfBundle = {
  title: 'Posts & replies <October>',
  agency: 'City of Example',
  origin: 'archive.example.gov/social',
  timezone: 'America/New_York',
  asOf: {
    size: 42,
    root: 'n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=',
    checkpointAt: '2026-11-01T18:30:00.000Z',
  },
  selection: ['Source city-bluesky', 'Containing “water main”'],
  lock: 'none: write-once by this program only',
  stamp: 'UNREVIEWED',
  software: 'Muniment 0.1.0',
};

function version(text: string, more: Partial<PdfVersion> = {}): PdfVersion {
  const digests = { commitment: '9f'.repeat(32), sha256: 'e3'.repeat(32), entry: 17 };
  return { version: 1, capturedAt: '2026-10-01T15:04:05.123Z', text, media: [], links: [], digests, ...more };
}

function record(text: string, more: Partial<PdfRecord> = {}): PdfRecord {
  return {
    id: '0198c0de-0000-7000-8000-000000000001',
    platform: 'bluesky',
    url: 'https://social.example/post/1',
    kind: 'post',
    author: { name: 'Jane Doe', handle: 'jane.example', id: 'did:plc:jane' },
    createdAt: '2026-10-01T15:00:00Z',
    createdAtVouchedBy: 'user',
    depth: 0,
    threadRoot: 'root-1',
    state: 'live',
    versions: [version(text)],
    retention: 'GS-1 Routine public communications: keep through 31 Dec 2028',
    ...more,
  };
}

async function* streamed(records: readonly PdfRecord[]): AsyncGenerator<PdfRecord> {
  yield* records;
}

async function pdf(...records: PdfRecord[]): Promise<ReadPdf & { bytes: Buffer; text: string }> {
  const out = new PassThrough();
  const [bytes] = await Promise.all([buffer(out), writePdf(BUNDLE, streamed(records), out)]);
  const read = readPdf(bytes);
  return { ...read, bytes, text: read.pages.join('\n').replace(/\s+/g, ' ') };
}

function png(color: number, width: number, height: number, rows: Buffer, interlaced = 0): Buffer {
  const chunk = (type: string, body: Buffer) => {
    const typed = Buffer.concat([Buffer.from(type, 'latin1'), body]);
    const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    checksum.writeUInt32BE(crc32(typed));
    return Buffer.concat([length, typed, checksum]);
  };
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, color, 0, 0, interlaced]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]);
  const end = chunk('IEND', Buffer.alloc(0));
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), end]);
}

const HALF_RED = png(6, 2, 1, Buffer.from([0, 255, 0, 0, 128, 0, 0, 255, 255]));

describe('the PDF of a bundle', () => {
  it('says on every page that it is unreviewed and rendered by Muniment, and numbers the pages', async () => {
    const { pages } = await pdf(
      ...Array.from({ length: 5 }, (_, index) => record(`Post ${index}`, { threadRoot: `${index}` })),
    );
    assert.ok(pages.length >= 3);
    for (const [index, page] of pages.entries()) {
      assert.match(page, /UNREVIEWED/);
      assert.match(page, /Rendered by Muniment, not a platform screenshot/);
      assert.match(page, new RegExp(`Page ${index + 1}\\n`));
    }
  });

  it('opens with the selection, the checkpoint, what it proves and does not, and how to verify', async () => {
    const { pages } = await pdf(record('x'));
    const cover = (pages[0] ?? '').replace(/\s+/g, ' ');
    for (const words of [
      'Containing “water main”',
      BUNDLE.asOf.root,
      '1 Nov 2026, 13:30:00 (UTC−05:00) = 2026-11-01T18:30:00Z',
    ])
      assert.ok(cover.includes(words), words);
    for (const words of ['What this proves', 'What this does not prove', 'node verify.mjs --key VKEY'])
      assert.ok(cover.includes(words), words);
  });

  it('tells replies, versions and deletions in words', async () => {
    const { text } = await pdf(
      record('', {
        state: 'missing',
        deletion: {
          lastSeenAt: '2026-10-05T10:00:00Z',
          firstMissingAt: '2026-10-05T10:10:00Z',
          state: 'deleted',
        },
        versions: [
          version('until 6 pm', { lastSeenAt: '2026-10-02T14:50:00Z' }),
          version('until 9 pm', { version: 2, capturedAt: '2026-10-02T15:00:00Z' }),
        ],
      }),
      record('Thanks', { depth: 1, kind: 'reply', inReplyTo: '@example.gov’s post' }),
    );
    assert.match(
      text,
      /Last seen 5 Oct 2026, 06:00:00 \(UTC−04:00\) = 2026-10-05T10:00:00Z; first found missing .*: deleted\./,
    );
    assert.match(
      text,
      /Version 2 of 2, captured 2 Oct 2026, 11:00:00 .*; version 1 was last seen 2 Oct 2026, 10:50:00/,
    );
    assert.match(text, /Changed since version 1: text\./);
    assert.match(text, /Reply to @example\.gov’s post, at depth 1 of the thread\./);
    assert.match(text, /claimed by its user/);
    assert.ok(text.includes('9f'.repeat(32)) && text.includes('e3'.repeat(32)));
  });

  it('is tagged: language, title, headings, tables, figures with their descriptions, bookmarks', async () => {
    const media = [{ alt: 'A broken pipe', mediaType: 'image/png', file: 'media/1.png', bytes: HALF_RED }];
    const { objects } = await pdf(record('', { versions: [version('x', { media, language: 'pt-BR' })] }));
    const all = objects.join('\n');
    for (const type of ['Document', 'H1', 'H2', 'H3', 'H4', 'P', 'Table', 'TR', 'TH', 'TD', 'Figure'])
      assert.match(all, new RegExp(`/S /${type}\\n`));
    for (const mark of [
      /\/Lang \(en-US\)/,
      /\/Lang \(pt-BR\)/,
      /\/Alt \(A broken pipe\)/,
      /\/DisplayDocTitle true/,
    ])
      assert.match(all, mark);
    for (const mark of [
      /\/Marked true/,
      /\/Outlines \d+ 0 R/,
      /<pdfuaid:part>1</,
      /Posts &amp; replies &lt;October&gt;/,
    ])
      assert.match(all, mark);
    assert.match(all, /\/Artifact <<\n\/Type \/Pagination/);
  });

  it('is the same to the byte in any time zone and locale', async () => {
    const program = `
      const { writePdf } = await import(${JSON.stringify(new URL('../../src/export/pdf.ts', import.meta.url).href)});
      const { createHash } = await import('node:crypto');
      const hash = createHash('sha256');
      const { Writable } = await import('node:stream');
      const out = new Writable({ write(chunk, _, done) { hash.update(chunk); done(); } });
      const records = ${JSON.stringify([record('Ünïcode عربي 👍🏽 日本'), record('two', { threadRoot: '2' })])};
      await writePdf(${JSON.stringify(BUNDLE)}, (async function* () { yield* records; })(), out);
      console.log(hash.digest('hex'));`;
    const run = async (zone: string, locale: string) => {
      const env = { ...process.env, TZ: zone, LANG: locale, LC_ALL: locale };
      const cwd = fileURLToPath(new URL('../..', import.meta.url));
      const child = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
        env,
        cwd,
      });
      return child.stdout;
    };
    const [first, second] = await Promise.all([
      run('Asia/Tokyo', 'ar_EG.UTF-8'),
      run('America/Lima', 'de_DE.UTF-8'),
    ]);
    assert.match(first, /^[0-9a-f]{64}\n$/);
    assert.equal(first, second);
  });

  it('shows an image that cannot be drawn as words, and goes on', async () => {
    const file = (bytes: Buffer, name: string) => ({ alt: '', mediaType: 'image/png', file: name, bytes });
    const media = [
      file(HALF_RED.subarray(0, 50), 'media/cut.png'),
      file(Buffer.from('ffd8ffe000104a46494600', 'hex'), 'media/cut.jpg'),
      file(Buffer.from('RIFF....WEBP'), 'media/other.webp'),
    ];
    const { text } = await pdf(record('', { versions: [version('before', { media })] }), record('after'));
    for (const { file: name } of media)
      assert.ok(text.includes(`This image could not be drawn (file ${name}`), name);
    assert.match(text, /after/);
  });

  it('asks for the next record only when the reader of the PDF keeps up', async () => {
    let asked = 0;
    async function* endless(): AsyncGenerator<PdfRecord> {
      for (; asked < 200; asked++) yield record(`Post ${asked}`, { threadRoot: `${asked}` });
    }
    const held: (() => void)[] = [];
    let heldAt = -1;
    const out = new Writable({
      highWaterMark: 1,
      write(_chunk, _encoding, done) {
        if (heldAt >= 0 || asked < 20) return done();
        heldAt = asked;
        held.push(done);
        setImmediate(() => setImmediate(() => setImmediate(release)));
      },
    });
    let askedWhileHeld = 0;
    const release = () => {
      askedWhileHeld = asked - heldAt;
      for (const done of held) done();
    };
    await writePdf(BUNDLE, endless(), out);
    assert.equal(asked, 200);
    assert.ok(askedWhileHeld <= 1, `${askedWhileHeld} records were read ahead`);
  });

  it('fails with the failure of its records, and names a wrong time zone', async () => {
    const out = new PassThrough().resume();
    // biome-ignore lint/correctness/useYield: it fails before it yields
    async function* failing(): AsyncGenerator<PdfRecord> {
      throw new Error('the store went away');
    }
    await assert.rejects(writePdf(BUNDLE, failing(), out), /the store went away/);
    assert.ok(out.destroyed);
    await assert.rejects(
      writePdf({ ...BUNDLE, timezone: 'Mars/Olympus' }, streamed([]), new PassThrough()),
      InputError,
    );
  });
});

describe('text in any script', async () => {
  const fonts = await FontSet.open();
  const typesetter = new Typesetter(fonts);
  const style = { family: 'sans', size: 10 } as const;
  const read = (lines: readonly Line[]) => lines.map((line) => line.runs.map((run) => run.text).join(''));

  it('is drawn by a font that has it', async () => {
    const samples: [string, RegExp][] = [
      ['é', /^sans$/],
      ['Ж', /^sans$/],
      ['Ω', /^sans$/],
      ['क्षि', /^sans$/],
      ['ش', /arabic/],
      ['ש', /hebrew/],
      ['ক', /bengali/],
      ['த', /tamil/],
      ['త', /telugu/],
      ['ไ', /thai/],
      ['ខ្មែ', /khmer/],
      ['ქ', /georgian/],
      ['Հ', /armenian/],
      ['አ', /ethiopic/],
      ['か', /sans-jp/],
      ['한', /sans-kr/],
      ['们', /sans-sc/],
      ['𝒜', /math/],
      ['★', /symbols/],
      ['👨‍👩‍👧‍👦', /emoji/],
      ['🇺🇸', /emoji/],
      ['1️⃣', /emoji/],
      ['👍🏽', /emoji/],
      ['❤️', /emoji/],
      ['ᚠ', /unifont/],
    ];
    for (const [sample, expected] of samples) {
      const region = hanRegion(sample);
      await fonts.prepare(sample, region);
      assert.match(fonts.faceFor(sample, 'sans', region)?.key ?? 'none', expected, sample);
    }
    await fonts.prepare('直', 'tc');
    assert.match(fonts.faceFor('直', 'sans', 'tc')?.key ?? 'none', /sans-tc/);
  });

  it('shows emoji sequences as one sign', async () => {
    for (const sequence of ['👨‍👩‍👧‍👦', '🇺🇸', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '1️⃣', '👍🏽']) {
      const [line] = await typesetter.lines(sequence, style, 200);
      assert.equal(line?.runs.flatMap((run) => run.glyphs).length, 1, sequence);
    }
  });

  it('shows what cannot be seen as its code point', async () => {
    const lines = await typesetter.lines(
      'a\ud83db\u0007c\u202ed\u202ce\ue000f\u{10fffd}g𓀀h\u0378i',
      style,
      1000,
    );
    const seen = read(lines)
      .join('')
      .replace(/[\u2066-\u2069]/g, '');
    assert.equal(seen, 'a[U+D83D]b[U+0007]c[U+202E]d[U+202C]e[U+E000]f[U+10FFFD]g[U+13000]h[U+0378]i');
  });

  it('orders right-to-left text, with its numbers, Latin words and brackets', async () => {
    const [line] = await typesetter.lines('שלום (City) 25', style, 1000);
    assert.equal(line?.rightToLeft, true);
    assert.equal(read([line]).join('').replace(/\s/g, ''), '25(City)שלום');
  });

  it('joins Arabic letters', async () => {
    const glyphs = async (text: string) =>
      (await typesetter.lines(text, style, 1000)).flatMap((line) =>
        line.runs.flatMap((run) => run.glyphs.map(({ glyph }) => glyph.id)),
      );
    assert.notDeepEqual(await glyphs('ههه'), [
      ...(await glyphs('ه')),
      ...(await glyphs('ه')),
      ...(await glyphs('ه')),
    ]);
  });

  it('breaks lines between words, between graphemes where there are none, and never past the width', async () => {
    const family = '👨‍👩‍👧‍👦';
    for (const text of [
      'a few words that fill more than one line',
      'x'.repeat(300),
      family.repeat(40),
      'เทศบาลประกาศปิดน้ำประปาชั่วคราว',
    ]) {
      const lines = await typesetter.lines(text, style, 90);
      assert.ok(lines.length > 1);
      for (const line of lines) assert.ok(line.width <= 90.001, `${line.width}`);
      assert.equal(read(lines).join('').replace(/\s/g, ''), text.replace(/\s/g, ''));
      if (text.startsWith(family))
        for (const each of read(lines)) assert.equal(each.length % family.length, 0);
    }
  });

  it('can be copied out of the PDF as it was written', async () => {
    const samples = ['नगर निगम क्षत्रिय', 'ပြည်နေ', 'ท่อน้ำหลัก', '市政府宣布', '👩🏿‍🚒🇺🇦', 'Thành phố e\u0301'];
    const { text, fonts: embedded } = await pdf(record(samples.join('\n')));
    for (const sample of samples) assert.ok(text.includes(sample), sample);
    assert.ok(embedded.some((name) => name.startsWith('NotoEmoji')));
  });
});

describe('a picture', () => {
  it('is laid on white and made small', () => {
    const picture = readPicture(HALF_RED);
    assert.ok(picture.kind === 'pixels');
    assert.deepEqual([...picture.rgb], [255, 127, 127, 0, 0, 255]);
    const large = readPicture(png(0, 2000, 1, Buffer.alloc(2001, 0)));
    assert.equal(large.width, 667);
  });

  it('is refused when it is cut, altered, too large or of another kind', () => {
    const altered = Buffer.from(HALF_RED);
    altered[altered.length - 20] = (altered[altered.length - 20] ?? 0) ^ 1;
    const huge = png(0, 60_000, 60_000, Buffer.alloc(10));
    for (const bytes of [
      HALF_RED.subarray(0, 60),
      altered,
      huge,
      png(2, 9, 9, Buffer.alloc(3)),
      Buffer.from('GIF89a'),
    ])
      assert.throws(() => readPicture(bytes), PictureError);
  });
});
