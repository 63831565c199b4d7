// What users, platforms and forgers hand in wrongly, through the real command line: one clear error, the right exit code, nothing lost and
// nothing half-done.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { removeHome } from '../../support/archive.ts';
import { type Ended, muniment, munimentProcess } from '../../support/command.ts';

/** One sentence that says what, one line that says what to do, and no stack. */
function assertError(ended: Ended, code: number, message: RegExp): void {
  assert.equal(ended.code, code, ended.stderr);
  assert.match(ended.stderr, message);
  assert.doesNotMatch(ended.stderr, /\n\s+at .*:\d+:\d+/, 'a stack trace is no message');
  assert.equal(ended.stdout, '', 'an error leaves nothing on stdout');
}

const SETTINGS = `archive:
  name: City of Example
  origin: archive.example.gov/social
  timezone: America/New_York
sources:
  - id: city-news
    platform: feed
    url: https://example.gov/news.atom
    schedule: "0 * * * *"
`;

describe('settings', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'muniment bad '));
  });
  after(() => rm(folder, { recursive: true }));

  const cases: [name: string, settings: string | Buffer, message: RegExp][] = [
    ['broken YAML', SETTINGS.replace('name: City', 'name: "City'), /muniment\.yaml:\d+:\d+/],
    [
      'an unknown key',
      SETTINGS.replace('timezone:', 'timezon: x\n  timezone:'),
      /muniment\.yaml:4:3.*timezon/,
    ],
    ['a value of the wrong type', SETTINGS.replace('City of Example', '[1, 2]'), /muniment\.yaml:2:9/],
    [
      'an unknown time zone',
      SETTINGS.replace('America/New_York', 'America/Gotham'),
      /muniment\.yaml:4:13.*IANA time zone/,
    ],
    [
      'a lock that ends before it could be renewed',
      `${SETTINGS}store: { provider: s3, bucket: records, lock: { horizon: P1D } }\n`,
      /muniment\.yaml:10:\d+.*7 days/,
    ],
    [
      'a lock beyond reason',
      `${SETTINGS}store: { provider: s3, bucket: records, lock: { horizon: P99999999999999Y } }\n`,
      /muniment\.yaml:10:\d+.*10 years/,
    ],
    [
      'encryption without a key',
      `${SETTINGS}store: { provider: s3, bucket: records, encryption: { kmsKey: "" } }\n`,
      /muniment\.yaml:10:\d+.*ARN/,
    ],
    [
      'a schedule with an impossible minute',
      SETTINGS.replace('0 * * * *', '99 * * * *'),
      /muniment\.yaml:9:15/,
    ],
    ['a schedule that never comes', SETTINGS.replace('0 * * * *', '0 0 31 2 *'), /muniment\.yaml:9:15/],
    ['a schedule of words', SETTINGS.replace('0 * * * *', 'every now and then'), /muniment\.yaml:9:15/],
    [
      'an unknown platform',
      SETTINGS.replace('platform: feed', 'platform: myspace'),
      /muniment\.yaml:7:15.*myspace/,
    ],
    ['the same key twice', SETTINGS.replace('  origin', '  name: Other\n  origin'), /muniment\.yaml:3:3/],
    [
      'bytes that are not UTF-8',
      Buffer.from(SETTINGS.replace('City', 'C\u00eft\u00ff'), 'latin1'),
      /muniment\.yaml.*UTF-8/,
    ],
    [
      'aliases that grow without end',
      `a: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefgh'
        .split('')
        .map((name, at) => `${name}: &${name} [${`*${'abcdefg'[at]}, `.repeat(9)}]`)
        .join('\n')}\n`,
      /muniment\.yaml/,
    ],
  ];
  for (const [name, settings, message] of cases) {
    test(`${name} in muniment.yaml is told with its place, exit 2, and nothing is made`, async () => {
      const home = join(folder, name.replaceAll(' ', '-'));
      await mkdir(home);
      await writeFile(join(home, 'muniment.yaml'), settings);
      assertError(await muniment(['--home', home, 'collect']), 2, message);
      assert.deepEqual(await readdir(home), ['muniment.yaml']);
    });
  }

  test('a home that is not there, and a folder that is no home, are told with exit 2', async () => {
    assertError(await muniment(['--home', join(folder, 'nowhere'), 'status']), 2, /nowhere/);
    assertError(await munimentProcess(['status'], { cwd: folder }), 2, /muniment\.yaml/);
  });

  test('a source of X without a recorded decision is refused with exit 4, and told what to write', async () => {
    const home = join(folder, 'undecided');
    await mkdir(home);
    const x = `sources:\n  - { id: city-x, platform: x, account: "@City", token: "file:x.token" }\n`;
    await writeFile(join(home, 'muniment.yaml'), SETTINGS.replace(/sources:.*/s, x));
    const { code, stdout } = await muniment(['--home', home, 'source', 'check']);
    assert.equal(code, 4);
    assert.match(stdout, /terms of X restrict[\s\S]*decision: \{ by: NAME, on: DATE, cite:/);
  });

  test('a home without sources is told in a sentence', async () => {
    const home = join(folder, 'no-sources');
    await mkdir(home);
    await writeFile(join(home, 'muniment.yaml'), SETTINGS.replace(/sources:.*/s, 'sources: []\n'));
    for (const command of ['list', 'check'])
      assert.equal(
        (await muniment(['--home', home, 'source', command])).stdout,
        'No source is configured.\n',
      );
  });

  test('an unknown command or option is told with exit 2', async () => {
    assertError(await muniment(['colect']), 2, /colect/);
    assertError(await muniment(['collect', '--fast']), 2, /--fast/);
  });

  test('with --json an error is the one document on stdout', async () => {
    const { code, stdout } = await muniment(['--json', '--home', join(folder, 'nowhere'), 'status']);
    assert.equal(code, 2);
    const { error } = JSON.parse(stdout) as { error: { message: string; exitCode: number } };
    assert.match(error.message, /nowhere/);
    assert.equal(error.exitCode, 2);
  });

  test('a bundle that is not there, is no ZIP, or is cut short is told, exit 2 or 3', async () => {
    const bundle = join(folder, 'bundle.zip');
    assertError(await muniment(['verify-bundle', bundle]), 2, /bundle\.zip/);
    await writeFile(bundle, 'this is no ZIP');
    assert.ok([2, 3].includes((await muniment(['verify-bundle', bundle])).code ?? 0));
  });
});

describe('an archive', () => {
  let folder: string;
  let home: string;
  let server: Server;
  let origin: string;
  let sent = 0;

  const bomb = `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">${Array.from(
    { length: 9 },
    (_, n) => `<!ENTITY lol${n + 1} "${`&lol${n === 0 ? '' : n};`.repeat(10)}">`,
  ).join(
    '',
  )}]><rss version="2.0"><channel><title>&lol9;</title><item><guid>1</guid><title>&lol9;</title></item></channel></rss>`;
  const external =
    '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss version="2.0"><channel><title>t</title><item><guid>1</guid><title>&x;</title></item></channel></rss>';
  const feed =
    '<rss version="2.0"><channel><title>t</title><item><guid>1</guid><title>A title</title></item></channel></rss>';

  before(async () => {
    server = createServer((request, response) => {
      const path = new URL(request.url ?? '/', 'http://x').pathname;
      const xml = { 'content-type': 'application/rss+xml' };
      if (path === '/html')
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html><body>Log in</body></html>');
      else if (path === '/bomb') response.writeHead(200, xml).end(bomb);
      else if (path === '/external') response.writeHead(200, xml).end(external);
      else if (path === '/latin')
        response.writeHead(200, xml).end(Buffer.from(feed.replace('A title', 'caf\u00e9 \u00ff'), 'latin1'));
      else if (path === '/empty') response.writeHead(200, xml).end();
      else if (path === '/gzip')
        response
          .writeHead(200, { ...xml, 'content-encoding': 'gzip' })
          .end(gzipSync(Buffer.alloc(300 * 1024 * 1024, ' ')));
      else if (path === '/cut') {
        response.writeHead(200, { ...xml, 'content-length': '100000' });
        response.write(feed.slice(0, 40));
        setTimeout(() => response.destroy(), 50);
      } else if (path === '/endless') {
        // Two gigabytes, if anyone were to read them.
        response.writeHead(200, { ...xml, 'content-length': String(2 ** 31) });
        const chunk = Buffer.alloc(1024 * 1024, ' ');
        const more = () => {
          while (!response.destroyed && sent < 2 ** 31) {
            sent += chunk.length;
            if (!response.write(chunk)) return;
          }
        };
        response.on('drain', more);
        more();
      } else if (path.startsWith('/xrpc/') || path.startsWith('/json'))
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Just a moment…</html>');
      else response.writeHead(404).end();
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    folder = await mkdtemp(join(tmpdir(), 'muniment bad '));
    home = join(folder, 'home');
    const made = await muniment([
      'init',
      home,
      '--name',
      'City',
      '--origin',
      'archive.example.gov/x',
      '--timezone',
      'America/New_York',
    ]);
    assert.equal(made.code, 0, made.stderr);
    const settings = await readFile(join(home, 'muniment.yaml'), 'utf8');
    const feeds = ['html', 'bomb', 'external', 'latin', 'empty', 'gzip', 'cut', 'endless'].map(
      (name) => `  - { id: ${name}, platform: feed, url: "${origin}/${name}" }`,
    );
    await writeFile(
      join(home, 'muniment.yaml'),
      `${settings.replace(/sources:.*\n/, '')}sources:
${feeds.join('\n')}
  - { id: unreachable, platform: feed, url: "http://127.0.0.1:9/feed" }
  - { id: nameless, platform: feed, url: "https://no-such-host.invalid/feed" }
  - { id: json, platform: bluesky, account: city.example, service: "${origin}", directory: "${origin}", repository: "${origin}", proofs: 0 }
`,
    );
    await muniment(['--home', home, 'db', 'start']);
  });
  after(async () => {
    await removeHome(home);
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('whatever a platform answers, each run ends with its reason, exit 5, and the archive verifies', async () => {
    const { code, stdout, stderr } = await muniment(['--home', home, '--json', 'collect']);
    assert.equal(code, 5, stderr);
    const { runs } = JSON.parse(stdout) as {
      runs: {
        source: string;
        status: string;
        captured: number;
        errors: { code: string; message: string }[];
      }[];
    };
    const of = (source: string) => {
      const run = runs.find((one) => one.source === source);
      assert.ok(run, source);
      return run;
    };
    const expected: Record<string, string> = {
      html: 'not-the-expected-format',
      bomb: 'not-the-expected-format',
      external: 'not-the-expected-format',
      latin: 'not-the-expected-format',
      empty: 'not-the-expected-format',
      gzip: 'too-large',
      cut: 'unreachable',
      endless: 'too-large',
      unreachable: 'unreachable',
      nameless: 'unreachable',
      json: 'not-the-expected-format',
    };
    const found = Object.fromEntries(runs.map((run) => [run.source, run.errors[0]?.code ?? run.status]));
    assert.deepEqual(found, expected);
    for (const source of Object.keys(expected)) {
      assert.equal(of(source).status, 'failed', source);
      assert.equal(of(source).captured, 0, source);
      assert.ok((of(source).errors[0]?.message.length ?? 0) > 20, 'a sentence');
    }
    assert.ok(sent < 2 ** 31 / 4, `the endless body was read to ${sent} bytes`);
    const verified = await muniment(['--home', home, '--json', 'verify']);
    assert.equal(verified.code, 0, verified.stdout);
    assert.deepEqual(await readdir(join(home, 'spool')), []);
    assert.deepEqual(await readdir(join(home, 'payloads', 'incoming')), []);
  });

  const refused: [name: string, args: string[], code: number, message: RegExp][] = [
    ['a source that is not configured', ['collect', 'nobody'], 2, /nobody/],
    [
      'a record that is not there',
      ['policy', 'explain', '01a00000-0000-7000-8000-000000000000'],
      2,
      /no record/,
    ],
    ['what is no record id', ['policy', 'explain', 'x'], 2, /no record id/],
    ['a date that does not exist', ['export', '--out', 'OUT', '--from', '2026-02-30'], 2, /2026-02-30/],
    ['a position beyond the ledger', ['export', '--out', 'OUT', '--at', '999999'], 2, /999999/],
    ['a position that is no number', ['export', '--out', 'OUT', '--at=-1'], 2, /-1/],
    [
      'an output folder that is not there',
      ['export', '--out', 'MISSING/bundle.zip'],
      2,
      /bundle\.zip|folder/,
    ],
    ['a verifier key that is none', ['verify-bundle', 'HOME', '--key', 'rubbish'], 2, /key/],
    ['an anchor that is not there', ['verify', '--anchor', 'MISSING/anchor'], 2, /anchor/],
  ];
  for (const [name, args, code, message] of refused) {
    test(`${name} is refused with exit ${code}`, async () => {
      const ready = args.map((arg) =>
        arg
          .replace('OUT', join(folder, 'out.zip'))
          .replace('MISSING', join(folder, 'missing'))
          .replace('HOME', home),
      );
      assertError(await muniment(['--home', home, ...ready]), code, message);
      assert.deepEqual((await readdir(folder)).sort(), ['home'], 'nothing is left beside the archive');
    });
  }

  test('a bundle that was cut, flipped or given a member with ../ in its name is not verified, exit 3', async () => {
    const bundle = join(folder, 'bundle.zip');
    const made = await muniment(['--home', home, 'export', '--out', bundle]);
    assert.equal(made.code, 0, made.stderr);
    assert.equal((await muniment(['verify-bundle', bundle])).code, 0);
    assertError(await muniment(['--home', home, 'export', '--out', bundle]), 2, /exists/);
    const whole = await readFile(bundle);
    const damaged = join(folder, 'damaged.zip');
    const verdict = async (bytes: Buffer) => {
      await writeFile(damaged, bytes);
      const { code, stdout, stderr } = await muniment(['--json', 'verify-bundle', damaged]);
      assert.doesNotMatch(stderr, /\n\s+at /);
      assert.ok(
        code === 3 ? (JSON.parse(stdout) as { ok: boolean }).ok === false : code === 2,
        `${code}: ${stderr}`,
      );
    };
    await verdict(whole.subarray(0, Math.floor(whole.length / 2)));
    await verdict(Buffer.concat([whole.subarray(0, 100), Buffer.from([255]), whole.subarray(101)]));
    await verdict(Buffer.from(whole.toString('latin1').replaceAll('/bagit.txt', '/../git.tx'), 'latin1'));
    await cp(bundle, damaged);
    await truncate(damaged, 10);
    await verdict(await readFile(damaged));
    await rm(damaged);
    await rm(bundle);
  });
});

const NO_PROC = existsSync('/proc/self') ? false : 'no /proc here';

test('where no folder can be made every command says so, and none goes on trying', {
  skip: NO_PROC,
}, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'muniment places '));
  const home = join(folder, 'home');
  const backup = join(folder, 'backup');
  t.after(async () => {
    await removeHome(home);
    await rm(folder, { recursive: true });
  });
  const env = { PASS: 'correct horse battery staple' };
  const pass = ['--passphrase', `\${PASS}`];
  const answers = ['--name', 'City', '--origin', 'archive.example.gov/social', '--timezone', 'UTC'];
  const made = await muniment(['init', home, ...answers]);
  assert.equal(made.code, 0, made.stderr);
  const kept = await muniment(['--home', home, 'backup', backup, ...pass], { env });
  assert.equal(kept.code, 0, kept.stderr);

  const nowhere = '/proc/nowhere/folder';
  for (const args of [
    ['--home', home, 'ledger', 'publish', nowhere],
    ['init', nowhere, ...answers],
    ['demo', '--folder', nowhere],
    ['--home', nowhere, 'restore', backup, ...pass, '--nothing-later', '--database', 'embedded'],
    ['--home', home, 'backup', nowhere, ...pass],
    ['--home', home, 'export', '--out', `${nowhere}/bundle.zip`],
  ])
    assertError(await munimentProcess(args, { env, timeout: 60_000 }), 2, /\/proc\/nowhere/);
});
