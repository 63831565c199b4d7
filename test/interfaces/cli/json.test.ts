// What programs may rely on: with --json every command writes exactly one JSON document of exactly this shape on stdout, errors too; every
// command has a help that names the exit codes; what cannot be said ends with 2.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { FakePlatform } from '../../support/appview.ts';
import { removeHome } from '../../support/archive.ts';
import { type Ended, muniment, PROGRAM } from '../../support/command.ts';

const id = z.uuid();
const base64 = z.base64();
const hex = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);
const text = z.string().min(1);
const time = z.iso.datetime({ precision: 3 });
const date = z.iso.date();
const problems = z.array(z.never());

const run = z.strictObject({
  source: z.literal('city'),
  run: id,
  status: z.enum(['complete', 'partial', 'failed']),
  seen: z.literal(2),
  captured: count,
  changed: count,
  missing: count,
  restored: count,
  media: count,
  rejected: z.literal(0),
  errors: z.array(z.strictObject({ code: text, message: text })),
});
const record = z.strictObject({
  id,
  sources: z.tuple([z.literal('city')]),
  platform: z.literal('bluesky'),
  platformId: z.string().startsWith('at://'),
  url: text,
  kind: z.enum(['post', 'reply']),
  author: z.strictObject({ id: text, handle: text, name: text }),
  createdAt: time,
  title: z.null(),
  text,
  versions: z.literal(1),
  state: z.enum(['live', 'missing', 'destroyed']),
});
const finding = z.strictObject({
  level: z.enum(['error', 'warning']),
  where: text,
  message: text,
  fix: text,
});
const appliedBy = z.strictObject({ seq: count, commitment: hex });

/** In this order they are the life of an archive. DIR stands for the folder, HOME for the archive in it, RECORD for a record, KEY for its key. */
const COMMANDS: readonly [command: string, code: number, shape: z.ZodType][] = [
  [
    'init HOME --name City --origin archive.example.gov/json --timezone America/New_York',
    0,
    z.strictObject({ home: text, origin: text, verifierKey: text, token: text }),
  ],
  ['db start', 0, z.strictObject({ running: z.literal(true) })],
  [
    'source list',
    0,
    z.strictObject({
      sources: z.tuple([
        z.strictObject({
          id: text,
          platform: z.literal('bluesky'),
          account: text,
          schedule: z.null(),
          confirmDates: z.null(),
          service: z.url(),
          directory: z.url(),
          repository: z.url(),
          proofs: z.literal(0),
        }),
      ]),
    }),
  ],
  [
    'source check',
    0,
    z.strictObject({
      checks: z.tuple([
        z.strictObject({
          source: text,
          ok: z.literal(true),
          findings: z.array(text).min(1),
          refused: z.literal(false),
        }),
      ]),
    }),
  ],
  [
    'status',
    0,
    z.strictObject({
      origin: text,
      home: text,
      store: text,
      lock: z.literal('none'),
      records: z.literal(0),
      entries: z.literal(3),
      unsigned: z.literal(0),
      sources: z.tuple([
        z.strictObject({
          source: z.literal('city'),
          schedule: z.null(),
          pace: z.null(),
          lastRun: z.null(),
          status: z.null(),
          rejected: z.null(),
          missedRuns: z.literal(0),
          unfinished: z.null(),
          leftAloneUntil: z.null(),
        }),
      ]),
      lostHolds: z.null(),
      left: z.null(),
      drill: z.null(),
      // A directory store has none.
      locks: z.null(),
      findings: z.tuple([]),
    }),
  ],
  [
    'alerts test',
    0,
    z.strictObject({ channels: z.tuple([z.strictObject({ channel: z.literal('log'), error: z.null() })]) }),
  ],
  ['alerts send', 0, z.strictObject({ told: z.tuple([]), failed: z.tuple([]), digest: z.literal(false) })],
  ['collect', 0, z.strictObject({ runs: z.tuple([run]) })],
  [
    'gaps',
    0,
    z.strictObject({
      v: z.literal('muniment/v1/gaps'),
      archive: text,
      origin: text,
      timezone: text,
      from: date,
      to: date,
      at: time,
      size: count,
      root: base64,
      sources: z.tuple([
        z.strictObject({
          source: z.literal('city'),
          platform: z.literal('bluesky'),
          schedule: z.null(),
          configured: z.literal(true),
          since: time,
          days: z.tuple([
            z.strictObject({
              day: date,
              state: z.literal('complete'),
              knownMissing: z.literal(0),
              runs: z.strictObject({ complete: z.literal(1), partial: z.literal(0), failed: z.literal(0) }),
              reasons: z.tuple([]),
            }),
          ]),
          unwatched: z.tuple([]),
        }),
      ]),
      unreadable: z.tuple([]),
      files: z.tuple([]),
    }),
  ],
  ['search Main', 0, z.strictObject({ total: z.literal(1), records: z.tuple([record]) })],
  ['search --state missing', 0, z.strictObject({ total: z.literal(0), records: z.tuple([]) })],
  ['policy check', 0, z.strictObject({ files: z.literal(2), findings: z.tuple([finding]) })],
  [
    'policy apply',
    0,
    z.strictObject({
      schedules: count,
      holds: count,
      changes: z.tuple([
        z.strictObject({ part: z.literal('schedule'), id: text, change: z.literal('added') }),
        z.strictObject({ part: z.literal('hold'), id: text, change: z.literal('added') }),
      ]),
      acknowledged: z.null(),
      inForce: z.strictObject({ schedules: appliedBy, holds: appliedBy }),
      warnings: z.tuple([finding]),
    }),
  ],
  [
    'policy explain RECORD',
    0,
    z.strictObject({
      record: id,
      series: z.strictObject({ schedule: text, version: text, code: text, title: text }),
      authority: z.tuple([z.strictObject({ cite: text })]),
      trigger: z.literal('published'),
      triggerDate: date,
      retainThrough: date,
      eligibleOn: date,
      holds: z.tuple([z.strictObject({ id: text, matter: text })]),
      decision: z.literal('held'),
      reasons: z.array(text).min(3),
    }),
  ],
  [
    'hold list',
    0,
    z.strictObject({
      holds: z.tuple([
        z.strictObject({
          id: text,
          matter: text,
          kind: z.literal('litigation'),
          issued: z.strictObject({ by: text, at: date, reason: text }),
          released: z.null(),
        }),
      ]),
      unapplied: z.literal(false),
      lost: z.null(),
      told: z.tuple([]),
    }),
  ],
  [
    'export --out DIR/bundle.zip',
    0,
    z.strictObject({
      bundle: z.string().endsWith('bundle.zip'),
      sha256: hex,
      records: z.literal(2),
      files: count,
      bytes: count,
      checkpoint: z.strictObject({ origin: text, size: count, root: base64 }),
      manifest: hex,
      problems,
    }),
  ],
  [
    'verify',
    0,
    z.strictObject({
      ok: z.literal(true),
      origin: text,
      size: count,
      root: base64,
      entries: count,
      unsigned: z.literal(0),
      unanchored: count,
      unverifiedMeaning: z.literal(0),
      payloads: z.strictObject({
        intact: count,
        destroyed: z.literal(0),
        missing: z.literal(0),
        altered: z.literal(0),
        presentAfterDestruction: z.literal(0),
        unreadable: z.literal(0),
        hidden: z.literal(0),
        superseded: z.literal(0),
        shortened: z.literal(0),
      }),
      lostBodies: z.literal(0),
      problems,
      unlisted: z.literal(0),
    }),
  ],
  ['key export', 0, z.strictObject({ key: text })],
  [
    'verify-bundle DIR/bundle.zip --key KEY',
    0,
    z.strictObject({
      ok: z.literal(true),
      signer: z.literal('confirmed'),
      records: z.literal(2),
      files: count,
      problems,
      fingerprint: hex,
      origin: text,
      size: count,
      root: base64,
    }),
  ],
  [
    'verify-bundle DIR/broken.zip',
    3,
    z.looseObject({
      ok: z.literal(false),
      signer: z.literal('unconfirmed'),
      problems: z.array(z.strictObject({ kind: text, path: z.string(), detail: text })).min(1),
    }),
  ],
  ['ledger checkpoint', 0, z.strictObject({ origin: text, size: count, root: base64, note: text })],
  ['ledger publish DIR/log', 0, z.strictObject({ directory: text, size: count, root: base64 })],
  ['doctor', 0, z.looseObject({ checks: z.array(z.looseObject({})).min(1) })],
  ['db url', 0, z.strictObject({ url: z.string().startsWith('postgres') })],
  ['db migrate', 0, z.strictObject({ migrations: z.tuple([]) })],
  ['db stop', 0, z.strictObject({ stopped: z.literal(true) })],
  [
    'demo --folder DIR/demo',
    0,
    z.strictObject({ home: text, bundle: text, tampered: z.strictObject({ archive: text, bundle: text }) }),
  ],
];
const FAULT = z.strictObject({
  error: z.strictObject({ message: text, hint: text, exitCode: z.int().min(1).max(5) }),
});

describe('with --json', () => {
  let platform: FakePlatform;
  let folder: string;
  let home: string;
  const known: Record<string, string> = {};

  before(async () => {
    platform = await FakePlatform.start();
    platform.post('2', 'Bridge open', { parent: platform.post('1', 'Main Street is closed') });
    folder = await mkdtemp(join(tmpdir(), 'muniment json '));
    home = join(folder, 'home');
    Object.assign(known, { DIR: folder, HOME: home });
  });
  after(async () => {
    await removeHome(home);
    await removeHome(join(folder, 'demo', 'archive'));
    await rm(folder, { recursive: true, force: true });
    await platform[Symbol.asyncDispose]();
  });

  function say(command: string): Promise<Ended> {
    const args = command.split(' ').map((word) => word.replace(/^[A-Z]+/, (name) => known[name] ?? name));
    return muniment(['--json', '--home', home, ...args]);
  }

  /** What a person does between the commands. */
  async function prepare(command: string): Promise<void> {
    const { origin, account } = platform;
    if (command === 'source list') {
      const settings = await readFile(join(home, 'muniment.yaml'), 'utf8');
      await writeFile(
        join(home, 'muniment.yaml'),
        settings.replace(
          'sources: []',
          `sources:\n  - { id: city, platform: bluesky, account: ${account.handle}, service: "${origin}", directory: "${origin}", repository: "${origin}", proofs: 0 }`,
        ),
      );
    }
    if (command === 'policy check') {
      await writeFile(
        join(home, 'policies', 'schedules', 'city.yaml'),
        `{ id: city, version: "1", issuer: State, jurisdiction: US, effective: { from: 2020-01-01 }, adopted: true, adoptedBy: Council,
           adoptedOn: 2020-01-01, series: [{ code: A, title: All, authority: [{ cite: Code 1 }], match: {}, trigger: published, period: P2Y,
           disposition: destroy }] }`,
      );
      await writeFile(
        join(home, 'policies', 'holds', 'smith.yaml'),
        '{ id: smith, matter: Smith v. City, kind: litigation, scope: {}, issued: { by: Counsel, at: 2026-01-01, reason: suit } }',
      );
    }
    if (command.startsWith('verify-bundle DIR/broken')) {
      const bytes = await readFile(join(folder, 'bundle.zip'));
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
      await writeFile(join(folder, 'broken.zip'), bytes);
    }
  }

  for (const [command, code, shape] of COMMANDS) {
    test(`\`${command}\` writes one document of its shape`, async () => {
      await prepare(command);
      const ended = await say(command);
      assert.equal(ended.code, code, `${ended.stdout}\n${ended.stderr}`);
      // Throws when anything but one document stands there.
      const value = shape.parse(JSON.parse(ended.stdout)) as { records?: { id: string }[]; key?: string };
      if (command === 'search Main') known.RECORD = value.records?.[0]?.id ?? '';
      if (command === 'key export') known.KEY = value.key ?? '';
    });
  }

  test('an error is the one document, whether of the command line, of the input or of a rule', async () => {
    for (const [command, code] of [
      ['colect', 2],
      ['policy', 2],
      ['policy explain', 2],
      ['search --limit few', 2],
      ['status --fast', 2],
      ['key export extra', 2],
      ['policy explain nobody', 2],
      ['collect nobody', 2],
      ['verify-bundle DIR/nothing.zip', 2],
    ] as const) {
      const ended = await say(command);
      assert.equal(ended.code, code, command);
      assert.equal(FAULT.parse(JSON.parse(ended.stdout)).error.exitCode, code, command);
      assert.notEqual(ended.stderr, '', `${command}: people are told too`);
    }
  });
});

test('every command and subcommand has a help that names what it takes and the exit codes, and ends with 0', async () => {
  const helps: { path: string[]; code: number | null; help: string }[] = [];
  const visit = async (path: string[]): Promise<void> => {
    const { code, stdout: help } = await muniment([...path, '--help']);
    helps.push({ path, code, help });
    const listed = /\nCommands:\n([\s\S]*?)\n\n/.exec(help)?.[1] ?? '';
    for (const [, name] of listed.matchAll(/^ {2}([a-z-]+)/gm))
      if (name !== 'help') await visit([...path, name as string]);
  };
  await visit([]);
  const named = new Set(helps.map(({ path }) => path.join(' ')));
  for (const [command] of COMMANDS) {
    const words = command.split(' ');
    assert.ok(named.has(words[0] ?? '') || named.has(words.slice(0, 2).join(' ')), command);
  }
  assert.ok(named.has('serve') && named.has('ledger publish') && helps.length > 25, [...named].join(', '));
  for (const { path, code, help } of helps) {
    assert.equal(code, 0, path.join(' '));
    assert.match(help, new RegExp(`^Usage: muniment ${path.join(' ')}`));
    assert.match(help, /Exit codes: 0 done .* 5 finished, but incomplete/s, path.join(' '));
    assert.match(help, /--json/, path.join(' '));
    assert.match(help, /--home/, path.join(' '));
  }
});

test('a reader who closes the pipe early stops nothing and sees no stack', async () => {
  const child = spawn(process.execPath, [PROGRAM, '--help'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_V8_COVERAGE: '' },
  });
  child.stdout.destroy();
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    said += part;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  assert.deepEqual([code, said], [0, '']);
});
