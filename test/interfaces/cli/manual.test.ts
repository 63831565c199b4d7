// What no API gives: a screenshot that a person took becomes a record like any other, and says that a person took it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../src/core/clock.ts';
import { errorLines } from '../../../src/interfaces/cli/output.ts';
import { openManualCollector } from '../../../src/sources/manual.ts';
import { FakePlatform } from '../../support/appview.ts';
import { testArchive } from '../../support/archive.ts';
import { muniment } from '../../support/command.ts';

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
const SAID = [
  '--by',
  'J. Officer',
  '--where',
  'https://example.com/story/1?token=s3cret',
  '--why',
  'a story, gone in a day',
];

test('a screenshot is captured with who, where, when and why, found by its text, exported and verified', async (t) => {
  await using platform = await FakePlatform.start();
  const { home, archive } = await testArchive(t, platform);
  const folder = await mkdtemp(join(tmpdir(), 'muniment shots '));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const shot = join(folder, 'ein Bild, wörtlich.png');
  await writeFile(shot, PNG);
  const capture = (...rest: string[]) =>
    muniment(['--home', home, '--json', 'capture', 'manual', shot, ...SAID, ...rest]);

  const first = await capture(
    '--text',
    'Flood on Mill Lane',
    '--author',
    '@clerk',
    '--seen-at',
    '2026-01-02T03:04:05Z',
  );
  assert.equal(first.code, 0, first.stderr);
  const { record } = JSON.parse(first.stdout) as { record: string };
  assert.match(record, /^[0-9a-f-]{36}$/);

  await t.test('said again of the same file, it makes no second record', async () => {
    const again = await capture(
      '--text',
      'Flood on Mill Lane',
      '--author',
      '@clerk',
      '--seen-at',
      '2026-01-02T03:04:05Z',
    );
    const { run, ...rest } = JSON.parse(again.stdout) as {
      record: string;
      run: { captured: number; changed: number };
    };
    assert.deepEqual([rest.record, run.captured, run.changed], [record, 0, 0]);
  });

  await t.test('it is found by its text, and its address holds no secret', async () => {
    const found = JSON.parse((await muniment(['--home', home, '--json', 'search', 'mill', 'lane'])).stdout);
    assert.equal(found.total, 1);
    assert.equal(found.records[0].id, record);
    assert.equal(found.records[0].platform, 'manual');
    assert.equal(found.records[0].url, 'https://example.com/story/1?token=removed');
  });

  await t.test('a bundle holds it with its file, and is verified', async () => {
    const out = join(folder, 'bundle.zip');
    const exported = await muniment(['--home', home, '--json', 'export', '--id', record, '--out', out]);
    assert.equal(exported.code, 0, exported.stderr);
    const checked = await muniment(['--json', 'verify-bundle', out, '--key', archive.verifierKeyText]);
    assert.equal(checked.code, 0, checked.stdout);
    assert.equal(JSON.parse(checked.stdout).records, 1);
  });

  await t.test('the archive verifies, and nobody is blamed for days without a capture by hand', async () => {
    const verified = JSON.parse((await muniment(['--home', home, '--json', 'verify'])).stdout);
    assert.equal(verified.ok, true);
    const { sources } = JSON.parse((await muniment(['--home', home, '--json', 'gaps'])).stdout);
    assert.deepEqual(sources, []);
  });

  await t.test('what cannot be captured is refused whole, with the remedy', async () => {
    const before = await archive.ledger.head();
    const note = join(folder, 'note.png');
    await writeFile(note, 'no picture at all');
    const pipe = join(folder, 'pipe.png');
    execFileSync('mkfifo', [pipe]);
    for (const [args, told] of [
      [[shot, note, ...SAID], /neither a picture, a video nor a PDF/],
      [[join(folder, 'gone.png'), ...SAID], /cannot be read/],
      [[folder, ...SAID], /is no file/],
      [[pipe, ...SAID], /is no file/],
      [[shot, ...SAID, '--seen-at', '2999-01-01T00:00:00Z'], /in the future/],
      [[shot, ...SAID, '--seen-at', 'yesterday'], /no moment/],
      [[shot, ...SAID, '--kind', 'tweet'], /no kind of item/],
      [[shot, ...SAID.with(1, '  ')], /--by says nothing/],
      [[shot, '--by', 'J. Officer'], /--where/],
    ] as const) {
      const ended = await muniment(['--home', home, 'capture', 'manual', ...args]);
      assert.equal(ended.code, 2, ended.stderr);
      assert.match(ended.stderr, told);
    }
    assert.equal((await archive.ledger.head()).size, before.size);
  });
});

test('what others wrote commands no terminal, and lines of theirs are not taken for the archive’s', async (t) => {
  await using platform = await FakePlatform.start();
  const { home } = await testArchive(t, platform);
  const folder = await mkdtemp(join(tmpdir(), 'muniment shots '));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const shot = join(folder, 'shot.png');
  await writeFile(shot, PNG);
  const text = 'Flood \u001b[2J\u001b]0;title\u0007\u009b31m\rVerified';
  const captured = await muniment(['--home', home, 'capture', 'manual', shot, ...SAID, '--text', text]);
  assert.equal(captured.code, 0, captured.stderr);
  for (const json of [[], ['--json']]) {
    const found = await muniment(['--home', home, ...json, 'search', 'Flood']);
    assert.ok(found.stdout.includes('Flood \\u001b[2J'));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    assert.doesNotMatch(found.stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  }
  const missing = await muniment(['--home', home, 'capture', 'manual', join(folder, '\u001b[2J'), ...SAID]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /\\u001b\[2J/);
  const told = errorLines([{ code: 'media', message: 'a\n  b\nVerified: all is well' }]);
  assert.equal(told, '\n  media: a b Verified: all is well');
});

test('a file that changes while it is captured is not kept as the one that was stated', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'muniment shots '));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const shot = join(folder, 'shot.png');
  await writeFile(shot, PNG);
  const statement = {
    by: 'J. Officer',
    where: 'https://example.com/story/1?token=s3cret',
    seenAt: '2026-01-02T03:04:05.000Z',
    why: 'no API',
    kind: 'post',
    author: null,
    postedAt: null,
    text: null,
  } as const;
  await using collector = await openManualCollector(statement, [shot], systemClock);
  const { signal } = new AbortController();
  for await (const event of collector.collect({ state: null, isLatest: true, signal })) {
    if (event.type !== 'page') continue;
    assert.doesNotMatch(Buffer.from(event.sightings[0]?.slice ?? []).toString(), /s3cret/);
    const [reference] = event.sightings[0]?.media ?? [];
    assert.ok(reference !== undefined);
    await writeFile(shot, Buffer.concat([PNG, Buffer.from('more')]));
    await assert.rejects(collector.fetchMedia(reference, folder, signal), /changed while it was captured/);
  }
});
