// Policy files through the real command line: every mistake is told with its place and a way to mend it, nothing is applied in part, and
// what is in force is what an attributed `policy apply` entered in the ledger.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { sql } from 'kysely';
import type { Json } from '../../../src/core/canonical.ts';
import { FakePlatform } from '../../support/appview.ts';
import { collectCity, type TestArchive, testArchive, verifyArchiveOf } from '../../support/archive.ts';
import { type Ended, muniment } from '../../support/command.ts';
import { answering } from '../../support/replay.ts';

const SCHEDULE = `id: example-local
version: 2026-01
issuer: Example State Archives
jurisdiction: US-EX
effective: { from: 2020-01-01 }
adopted: true
adoptedBy: City Council, resolution 2020-07
adoptedOn: 2020-02-01
series:
  - code: "05.010"
    title: Routine public communications
    authority: [{ cite: "Example Code 1.2.3", url: "https://example.gov/code", retrieved: 2026-11-01 }]
    match: { kinds: [post] }
    trigger: published
    cutoff: calendar-year-end
    period: P2Y
    disposition: destroy
`;
const HOLD = `id: smith-v-city
matter: Smith v. City of Example
kind: litigation
scope: { text: [street] }
issued: { by: Counsel, at: 2026-10-01, reason: complaint served }
`;
const SETTINGS = `archive: { name: City, origin: archive.example.gov/social, timezone: America/New_York }
sources:
  - { id: city, platform: feed, url: "https://example.gov/news.atom" }
`;

interface Checked {
  readonly files: number;
  readonly findings: { level: string; where: string; message: string; fix: string }[];
}

/** Exactly one JSON document. */
function json<T>(ended: Ended): T {
  return JSON.parse(ended.stdout) as T;
}

describe('policy check', () => {
  let home: string;
  const schedules = (): string => join(home, 'policies', 'schedules');
  const holds = (): string => join(home, 'policies', 'holds');
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'muniment policy '));
    await writeFile(join(home, 'muniment.yaml'), SETTINGS);
  });
  after(() => rm(home, { recursive: true }));
  beforeEach(async () => {
    await rm(join(home, 'policies'), { recursive: true, force: true });
    await mkdir(schedules(), { recursive: true });
    await mkdir(holds(), { recursive: true });
  });

  /** Both as people read it and as programs do: they must tell the same. */
  async function check(): Promise<{ code: number | null; checked: Checked }> {
    const [machine, people] = await Promise.all([
      muniment(['--home', home, '--json', 'policy', 'check']),
      muniment(['--home', home, 'policy', 'check']),
    ]);
    assert.equal(machine.code, people.code);
    assert.equal(people.stderr, '');
    const checked = json<Checked>(machine);
    for (const { where, message, fix } of checked.findings)
      for (const part of [where, message, fix]) assert.ok(people.stdout.includes(part), part);
    return { code: people.code, checked };
  }

  const edit = (from: string, to: string): string => {
    assert.ok(SCHEDULE.includes(from), from);
    return SCHEDULE.replace(from, to);
  };
  const faults: [what: string, text: string | Buffer, place: string, message: RegExp, fix: RegExp][] = [
    ['broken YAML', edit('title: Routine', 'title: "Routine'), '11:42', /quote|closing/, /Close/],
    ['a tab as indentation', edit('    period', '\tperiod'), '16:1', /tab/, /spaces/],
    [
      'an unknown key',
      edit('    period', '    perod: P1Y\n    period'),
      '16:5',
      /unknown key “perod”/,
      /period/,
    ],
    ['a value of the wrong type', edit('kinds: [post]', 'kinds: post'), '13:21', /a list/, /\[post\]/],
    [
      'a missing citation',
      edit('{ cite: "Example Code 1.2.3", url', '{ url'),
      '12:17',
      /“cite” is missing/,
      /Add/,
    ],
    [
      'an empty list of authorities',
      edit('[{ cite: "Example Code 1.2.3", url: "https://example.gov/code", retrieved: 2026-11-01 }]', '[]'),
      '12:16',
      /empty/,
      /Fill/,
    ],
    [
      'an unknown trigger',
      edit('trigger: published', 'trigger: abolished'),
      '14:14',
      /one of created, received, published, not “abolished”/,
      /Write/,
    ],
    ['a period of nothing', edit('P2Y', 'P0D'), '16:13', /zero/, /Correct/],
    ['a period that is none', edit('P2Y', '2 years'), '16:13', /ISO 8601.*here stands “2 years”/, /Correct/],
    ['a period that no calendar holds', edit('P2Y', 'P99999999Y'), '16:13', /ISO 8601/, /Correct/],
    ['a period that is missing', edit('    period: P2Y\n', ''), '10:5', /period/, /./],
    [
      '`no` for false',
      edit('adopted: true', 'adopted: no'),
      '6:10',
      /true or false, not “no”/,
      /true or false, without quotes/,
    ],
    [
      '`on` for true',
      edit('adopted: true', 'adopted: on'),
      '6:10',
      /true or false, not “on”/,
      /without quotes/,
    ],
    [
      'a code that YAML reads as a number',
      edit('"05.010"', '05.010'),
      '10:11',
      /a text, not the number 05\.010/,
      /"05\.010"/,
    ],
    [
      'a date that does not exist',
      edit('adoptedOn: 2020-02-01', 'adoptedOn: 2021-02-29'),
      '8:12',
      /date/,
      /./,
    ],
    ['a date written another way', edit('2020-01-01', '01/01/2020'), '5:20', /date/, /./],
    [
      'an adoption without a name',
      edit('adoptedBy: City Council, resolution 2020-07\n', ''),
      '6:10',
      /adoptedBy/,
      /./,
    ],
    [
      'an adoption in the future',
      edit('adoptedOn: 2020-02-01', 'adoptedOn: 2999-02-01'),
      '8:12',
      /in the future/,
      /adopted: false/,
    ],
    [
      'an end before the beginning',
      edit('{ from: 2020-01-01 }', '{ from: 2020-01-01, to: 2019-01-01 }'),
      '5:36',
      /ends before/,
      /Correct/,
    ],
    [
      'a fiscal cutoff without the table of fiscal years',
      edit('calendar-year-end', 'fiscal-year-end'),
      '15:13',
      /fiscal years/,
      /archive\.fiscalYear/,
    ],
    [
      'two series of one code',
      `${SCHEDULE}${SCHEDULE.slice(SCHEDULE.indexOf('  - code'))}`,
      '18:11',
      /05\.010 stands twice/,
      /of its own/,
    ],
    [
      'a key that stands twice',
      edit('    trigger', '    title: Again\n    trigger'),
      '14:5',
      /stands here twice/,
      /Keep one/,
    ],
    [
      'bytes that are not UTF-8',
      Buffer.from(edit('Routine', 'R\u00e9ponses'), 'latin1'),
      '11:13',
      /UTF-8/,
      /UTF-8/,
    ],
    ['an empty file', '', '1:1', /empty/, /./],
    ['a list where the schedule should be', '- id: x\n', '1:1', /group of/, /./],
    ['an alias', edit('title: Routine public communications', 'title: &a Routine'), '11:15', /anchors/, /./],
  ];
  const narrowed: typeof faults = [
    ['{ records: [42] }', '', '4:20', /text, not the number/, /"42"/],
    ['{ records: ["at://did:plc:x/post/1"] }', '', '4:20', /no record id/, /search/],
    ['{ from: 2026-02-01, to: 2026-01-01 }', '', '4:32', /covers nothing/, /Correct/],
    ['{ source: [city] }', '', '4:10', /unknown key “source”/, /sources/],
    ['{ sources: [] }', '', '4:19', /empty/, /Fill/],
    [
      '{}\nreleased: { by: Counsel, at: 2999-01-01, reason: settled }',
      '',
      '5:30',
      /in the future/,
      /Take `released` out/,
    ],
  ];

  test('every mistake in any schedule or hold is an error with its place and a way to mend it, and none hides another', async () => {
    const expected: [file: string, (typeof faults)[number]][] = [];
    for (const [n, fault] of faults.entries()) {
      const file = join(schedules(), `${n}.yaml`);
      const [, text] = fault;
      const own = (latin: string): string => latin.replace('example-local', `example-${n}`);
      await writeFile(
        file,
        typeof text === 'string' ? own(text) : Buffer.from(own(text.toString('latin1')), 'latin1'),
      );
      expected.push([file, fault]);
    }
    for (const [n, fault] of narrowed.entries()) {
      const file = join(holds(), `${n}.yml`);
      await writeFile(file, HOLD.replace('smith', `smith-${n}`).replace('{ text: [street] }', fault[0]));
      expected.push([file, fault]);
    }
    for (const name of ['same-1.yaml', 'same-2.yaml']) await writeFile(join(holds(), name), HOLD);
    const twice = join(holds(), 'same-2.yaml');
    expected.push([
      twice,
      ['one id in two files', '', '1:5', /stands already in .*same-1\.yaml/, /of its own/],
    ]);
    const { code, checked } = await check();
    assert.equal(code, 2);
    for (const [file, [what, , place, message, fix]] of expected) {
      const [first, ...others] = checked.findings.filter(({ where }) => where.startsWith(`${file}:`));
      assert.ok(first, `${what} is not told`);
      assert.equal(first.level, 'error', what);
      assert.equal(first.where, `${file}:${place}`, what);
      assert.match(first.message, message, what);
      assert.match(first.fix, fix, what);
      assert.ok(others.length <= 2, `${what} is told ${others.length + 1} times`);
    }
    assert.equal(new Set(checked.findings.map(({ where }) => where.split(':')[0])).size, expected.length);
  });

  test('what only keeps records longer than meant is a warning with its place, and exit 0', async () => {
    await writeFile(
      join(schedules(), 'city.yaml'),
      edit('adopted: true', 'adopted: false')
        .replace('2020-01-01', '2999-01-01')
        .replace('{ kinds: [post] }', '{ sources: [county], platforms: [blusky] }'),
    );
    await writeFile(join(holds(), 'hold.yaml'), HOLD.replace('{ text: [street] }', '{ sources: [county] }'));
    const { code, checked } = await check();
    assert.equal(code, 0);
    assert.deepEqual(
      checked.findings.map(({ level, where }) => [level, where]),
      [
        ['warning', `${join(schedules(), 'city.yaml')}:6:10`],
        ['warning', `${join(schedules(), 'city.yaml')}:5:20`],
        ['warning', `${join(schedules(), 'city.yaml')}:13:24`],
        ['warning', `${join(schedules(), 'city.yaml')}:13:45`],
        ['warning', `${join(holds(), 'hold.yaml')}:4:20`],
      ],
    );
  });

  test('a plain schedule is good: dates need no quotes, `NO` is a word, a byte order mark and Windows line ends do no harm', async () => {
    await writeFile(join(schedules(), 'city.yaml'), `\uFEFF${edit('US-EX', 'NO').replaceAll('\n', '\r\n')}`);
    await writeFile(join(holds(), 'hold.YAML'), HOLD);
    const { code, checked } = await check();
    assert.deepEqual([code, checked], [0, { files: 2, findings: [] }]);
  });

  test('what is no readable file under a policy name is an error: folder, dangling link, pipe, forbidden file', async () => {
    await mkdir(join(holds(), 'a.yaml'));
    await symlink(join(home, 'nowhere.yaml'), join(holds(), 'b.yaml'));
    execFileSync('mkfifo', [join(holds(), 'c.yaml')]);
    await writeFile(join(holds(), 'd.yaml'), Buffer.alloc(1024 * 1024 + 1, '#'));
    await writeFile(join(schedules(), 'e.yaml'), SCHEDULE);
    await chmod(join(schedules(), 'e.yaml'), 0);
    const { code, checked } = await check();
    assert.equal(code, 2);
    const told = new Map(
      checked.findings.map(({ where, message }) => [where.replace(/^.*\/(\w)\.yaml:1:1$/, '$1'), message]),
    );
    assert.match(told.get('a') ?? '', /no regular file/);
    assert.match(told.get('b') ?? '', /no such file/);
    assert.match(told.get('c') ?? '', /no regular file/);
    assert.match(told.get('d') ?? '', /larger than/);
    // Root reads everything.
    if (process.getuid?.() !== 0) assert.match(told.get('e') ?? '', /cannot be read/);
  });

  test("the README's schedule, hold and watch words are good as they stand", async () => {
    const readme = await readFile(join(import.meta.dirname, '..', '..', '..', 'README.md'), 'utf8');
    const samples = [...readme.matchAll(/```yaml\n# (policies\/\S+)\n([\s\S]*?)```/g)];
    assert.equal(samples.length, 3);
    await mkdir(join(home, 'policies', 'alerts'), { recursive: true });
    for (const [, path, text] of samples) await writeFile(join(home, path ?? ''), text ?? '');
    await writeFile(join(home, 'muniment.yaml'), SETTINGS.replace('id: city', 'id: city-news'));
    const { code, checked } = await check();
    await writeFile(join(home, 'muniment.yaml'), SETTINGS);
    await rm(join(home, 'policies', 'alerts'), { recursive: true });
    assert.deepEqual([code, checked], [0, { files: 3, findings: [] }]);
  });

  test('a link to a good file is read', async () => {
    await writeFile(join(home, 'elsewhere.yaml'), SCHEDULE);
    await symlink(join(home, 'elsewhere.yaml'), join(schedules(), 'city.yaml'));
    const { code, checked } = await check();
    assert.deepEqual([code, checked], [0, { files: 1, findings: [] }]);
  });

  test('a file that is not read, because of its name or folder, is told', async () => {
    await writeFile(join(holds(), 'smith.yaml.txt'), HOLD);
    await mkdir(join(holds(), '2026'));
    await writeFile(join(holds(), '2026', 'smith.yaml'), HOLD);
    await writeFile(join(holds(), 'README.md'), 'how we write holds');
    const { code, checked } = await check();
    assert.equal(code, 0);
    assert.deepEqual(
      checked.findings.map(({ level, where }) => [level, where]),
      [
        ['warning', join(holds(), '2026')],
        ['warning', join(holds(), 'smith.yaml.txt')],
      ],
    );
  });
});

describe('policy apply, policy explain and hold list', () => {
  let made: TestArchive;
  let platform: FakePlatform;
  let record: string;
  const cleanups: (() => Promise<void>)[] = [];
  const schedule = (): string => join(made.home, 'policies', 'schedules', 'city.yaml');
  const hold = (): string => join(made.home, 'policies', 'holds', 'smith.yaml');
  const run = (...args: string[]): Promise<Ended> => muniment(['--home', made.home, '--json', ...args]);
  const size = async (): Promise<number> => (await made.archive.ledger.head()).size;

  interface Explained {
    record: string;
    series: { code: string } | null;
    authority: { cite: string }[];
    trigger: string | null;
    triggerDate: string | null;
    retainThrough: string | null;
    eligibleOn: string | null;
    holds: { id: string }[];
    decision: string;
    reasons: string[];
  }
  const explain = async (): Promise<Explained> => {
    const ended = await run('policy', 'explain', record);
    assert.equal(ended.code, 0, ended.stderr);
    return json(ended);
  };

  before(async () => {
    platform = await FakePlatform.start();
    platform.post('1', 'Main Street is closed', { createdAt: '2019-03-01T12:00:00.000Z' });
    made = await testArchive({ after: (work) => void cleanups.push(work) }, platform);
    await collectCity(made.archive);
    const row = await made.archive.database.db.selectFrom('records').select('id').executeTakeFirstOrThrow();
    record = row.id;
  });
  after(async () => {
    for (const work of cleanups) await work();
    await platform[Symbol.asyncDispose]();
  });

  test('without policy a record is unclassified and retained', async () => {
    const decision = await explain();
    assert.deepEqual(Object.keys(decision).sort(), [
      'authority',
      'decision',
      'eligibleOn',
      'holds',
      'reasons',
      'record',
      'retainThrough',
      'series',
      'trigger',
      'triggerDate',
    ]);
    assert.deepEqual(
      [decision.record, decision.series, decision.decision, decision.authority, decision.holds],
      [record, null, 'retain', [], []],
    );
    const holds = json<{ holds: unknown[]; unapplied: boolean }>(await run('hold', 'list'));
    assert.deepEqual([holds.holds, holds.unapplied], [[], false]);
  });

  test('files with an error anywhere are not applied, not even the good ones', async () => {
    await writeFile(hold(), HOLD);
    const before = await size();
    for (const bad of [
      SCHEDULE.replace('published', 'abolished'),
      `${SCHEDULE}${SCHEDULE.slice(SCHEDULE.indexOf('  - code'))}`,
    ]) {
      await writeFile(schedule(), bad);
      const ended = await muniment(['--home', made.home, 'policy', 'apply']);
      assert.equal(ended.code, 2);
      assert.equal(ended.stdout, '');
      assert.match(ended.stderr, /city\.yaml:\d+:\d+: .*\n {2}.*Nothing was applied/s);
      assert.equal(await size(), before);
    }
    assert.deepEqual(json<{ holds: unknown[]; unapplied: boolean }>(await run('hold', 'list')).holds, []);
  });

  test('files that were not applied have no effect, and explain and hold list say so', async () => {
    await writeFile(schedule(), SCHEDULE);
    const decision = await explain();
    assert.equal(decision.decision, 'retain');
    assert.equal(decision.series, null);
    assert.match(decision.reasons.join('\n'), /files of schedules differ/);
    assert.match(decision.reasons.join('\n'), /files of holds differ/);
    assert.equal(json<{ unapplied: boolean }>(await run('hold', 'list')).unapplied, true);
  });

  test('apply enters what stands in the files, says what changed, and a second apply changes nothing', async () => {
    const first = json<{
      schedules: number;
      holds: number;
      changes: object[];
      inForce: { schedules: { seq: number; commitment: string }; holds: { seq: number; commitment: string } };
      warnings: object[];
    }>(await run('policy', 'apply'));
    assert.deepEqual(first.changes, [
      { part: 'schedule', id: 'example-local', change: 'added' },
      { part: 'hold', id: 'smith-v-city', change: 'added' },
    ]);
    assert.deepEqual([first.inForce.schedules.seq, first.inForce.holds.seq], [first.schedules, first.holds]);
    for (const [seq, type, commitment] of [
      [first.schedules, 'policy.applied', first.inForce.schedules.commitment],
      [first.holds, 'sealed', first.inForce.holds.commitment],
    ] as const) {
      const row = await made.archive.database.db
        .selectFrom('ledger_entries')
        .select('entry')
        .where('seq', '=', seq)
        .executeTakeFirstOrThrow();
      const entry = JSON.parse(row.entry.toString('utf8')) as { type: string; body: string; actor: string };
      assert.deepEqual([entry.type, entry.body, entry.actor], [type, commitment, made.archive.account.id]);
      assert.doesNotMatch(row.entry.toString('utf8'), /smith|hold/i, 'an entry never tells of a hold');
    }
    const before = await size();
    const again = json<{ schedules: null; holds: null; changes: object[]; inForce: object }>(
      await run('policy', 'apply'),
    );
    assert.deepEqual([again.schedules, again.holds, again.changes], [null, null, []]);
    assert.deepEqual(again.inForce, first.inForce);
    assert.equal(await size(), before);
  });

  test('two who apply the same files at once enter them once', async () => {
    await writeFile(schedule(), SCHEDULE.replace('P2Y', 'P1Y'));
    const before = await size();
    const ended = await Promise.all(Array.from({ length: 4 }, () => run('policy', 'apply')));
    assert.deepEqual(
      ended.map((one) => one.code),
      [0, 0, 0, 0],
    );
    assert.equal(await size(), before + 1);
    const applied = ended.map((one) => json<{ schedules: number | null; changes: object[] }>(one));
    assert.deepEqual(
      applied.flatMap((one) => one.changes),
      [{ part: 'schedule', id: 'example-local', change: 'changed' }],
    );
  });

  test('explain gives series, authority, dates and hold of a held record', async () => {
    const decision = await explain();
    assert.equal(decision.decision, 'held');
    assert.equal(decision.series?.code, '05.010');
    assert.equal(decision.authority[0]?.cite, 'Example Code 1.2.3');
    assert.equal(decision.trigger, 'published');
    assert.match(decision.retainThrough ?? '', /^\d{4}-12-31$/);
    assert.match(decision.eligibleOn ?? '', /^\d{4}-01-01$/);
    assert.deepEqual(
      decision.holds.map(({ id }) => id),
      ['smith-v-city'],
    );
    const text = await muniment(['--home', made.home, 'policy', 'explain', record]);
    assert.match(text.stdout, /held/);
    assert.match(text.stdout, /Example Code 1\.2\.3/);
  });

  test('a hold whose file is removed, renamed inside or spoilt stays in force, and apply refuses to lose it', async () => {
    await rename(hold(), `${hold()}.away`);
    const before = await size();
    assert.equal((await explain()).decision, 'held');
    const listed = json<{ holds: { id: string; released: null }[]; unapplied: boolean }>(
      await run('hold', 'list'),
    );
    assert.deepEqual(
      listed.holds.map(({ id, released }) => [id, released]),
      [['smith-v-city', null]],
    );
    assert.equal(listed.unapplied, true);
    for (const replacement of [null, HOLD.replace('smith-v-city', 'smyth-v-city')]) {
      if (replacement !== null) await writeFile(hold(), replacement);
      const refused = await muniment(['--home', made.home, 'policy', 'apply']);
      assert.equal(refused.code, 4, refused.stderr);
      assert.match(refused.stderr, /smith-v-city is gone.*does not release/);
      assert.match(refused.stderr, /Bring the file back/);
    }
    await writeFile(hold(), HOLD.replace('kind:', 'knid:'));
    assert.equal((await explain()).decision, 'held');
    assert.equal(json<{ unapplied: boolean }>(await run('hold', 'list')).unapplied, true);
    assert.equal(await size(), before);
    await rename(`${hold()}.away`, hold());
  });

  test('a release is a request in the file until it is applied; then explain no longer holds', async () => {
    await writeFile(hold(), `${HOLD}released: { by: Counsel, at: 2026-10-30, reason: settled }\n`);
    assert.equal((await explain()).decision, 'held');
    const applied = json<{ changes: object[] }>(await run('policy', 'apply'));
    assert.deepEqual(applied.changes, [{ part: 'hold', id: 'smith-v-city', change: 'released' }]);
    assert.equal((await explain()).decision, 'retain');
    await rm(hold());
    assert.deepEqual(json<{ changes: object[] }>(await run('policy', 'apply')).changes, [
      { part: 'hold', id: 'smith-v-city', change: 'removed' },
    ]);
  });

  test('a hold is not emptied by another scope: apply names the records that it would let go, and wants a release', async () => {
    const scoped = (scope: string): Promise<void> =>
      writeFile(hold(), HOLD.replace('{ text: [street] }', scope).replace('smith-v-city', 'wide'));
    const other = '01890000-0000-7000-8000-000000000001';
    await scoped('{}');
    assert.equal((await run('policy', 'apply')).code, 0);
    const before = await size();
    await scoped(`{ records: ["${other}"] }`);
    const unknown = await muniment(['--home', made.home, 'policy', 'apply']);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, new RegExp(`smith.yaml:4:20: the archive has no record ${other}`));
    for (const scope of ['{ text: [tunnel] }', '{ from: 2999-01-01 }', '{ sources: [county] }']) {
      await scoped(scope);
      const refused = await muniment(['--home', made.home, 'policy', 'apply']);
      assert.equal(refused.code, 4, `${scope} ${refused.stderr}`);
      assert.match(refused.stderr, new RegExp(`hold wide would no longer cover 1 record.*${record}`));
      assert.match(refused.stderr, /released:.*id of its own/);
      assert.equal(json<Explained>(await run('policy', 'explain', record)).decision, 'held');
    }
    assert.equal(await size(), before);
    await scoped('{ text: [street], sources: [city] }');
    assert.equal((await run('policy', 'apply')).code, 0, 'it covers what it covered');
    // The post is of that day in New York, and of the day after on Kiritimati.
    await scoped('{ from: 2019-03-01, to: 2019-03-01 }');
    assert.equal((await run('policy', 'apply')).code, 0);
    const settings = join(made.home, 'muniment.yaml');
    const text = await readFile(settings, 'utf8');
    await writeFile(settings, text.replace('America/New_York', 'Pacific/Kiritimati'));
    const moved = await run('policy', 'apply');
    await writeFile(settings, text);
    assert.equal(moved.code, 4, 'a zone, too, moves the dates of a scope');
    assert.match(
      moved.stderr,
      /changing the zone does not release\n {2}.*`timezone`.*America\/New_York in force/,
    );
    const narrow = join(made.home, 'policies', 'holds', 'narrow.yaml');
    await writeFile(
      narrow,
      HOLD.replace('{ text: [street] }', '{ text: [tunnel] }').replace('smith-v-city', 'narrow'),
    );
    await appendFile(hold(), 'released: { by: Counsel, at: 2026-10-30, reason: too wide }\n');
    assert.deepEqual(json<{ changes: object[] }>(await run('policy', 'apply')).changes, [
      { part: 'hold', id: 'narrow', change: 'added' },
      { part: 'hold', id: 'wide', change: 'released' },
    ]);
    assert.equal((await explain()).decision, 'retain');
    await appendFile(narrow, 'released: { by: Counsel, at: 2026-10-30, reason: settled }\n');
    assert.equal((await run('policy', 'apply')).code, 0);
    await Promise.all([rm(hold()), rm(narrow)]);
    assert.equal((await run('policy', 'apply')).code, 0);
  });

  test('a hold on a person covers what a feed names only by name, and an edit that takes name and words away frees nothing', async (t) => {
    let author = 'Ren\u00e9e Doe';
    let title = 'The caf\u00e9 on Main is closed';
    const server = await answering(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/atom+xml' }).end(
        `<feed xmlns="http://www.w3.org/2005/Atom"><id>urn:f</id><title>News</title><updated>2019-03-01T12:00:00Z</updated>
          <entry><id>urn:f:1</id><title>${title}</title><updated>2019-03-01T12:00:00Z</updated><author><name>${author}</name></author>
          <content>words</content></entry></feed>`,
      );
    });
    const settings = join(made.home, 'muniment.yaml');
    const text = await readFile(settings, 'utf8');
    await writeFile(
      settings,
      text.replace(/^sources:\n/m, `sources:\n  - { id: news, platform: feed, url: "${server.origin}/" }\n`),
    );
    const collected = async () =>
      json<{ runs: { captured: number; changed: number }[] }>(await run('collect', 'news')).runs[0];
    assert.equal((await collected())?.captured, 1);
    author = 'The press office';
    title = 'Nothing to see';
    assert.equal((await collected())?.changed, 1);
    const { records } = json<{ records: { id: string }[] }>(await run('search', '--source', 'news'));
    for (const scope of ['authors: ["RENE\u0301E DOE"]', 'text: ["cafe\u0301"]']) {
      await writeFile(
        hold(),
        HOLD.replace('text: [street]', scope).replace('smith-v-city', scope.slice(0, 4)),
      );
      assert.equal((await run('policy', 'apply')).code, 0);
      const decision = json<Explained>(await run('policy', 'explain', records[0]?.id ?? ''));
      assert.equal(decision.decision, 'held', scope);
      await appendFile(hold(), 'released: { by: Counsel, at: 2026-10-30, reason: settled }\n');
      assert.equal((await run('policy', 'apply')).code, 0);
    }
    await rm(hold());
    await run('policy', 'apply');
    await writeFile(settings, text);
  });

  test('a post that claims the last date of all is explained, and does not keep a bundle from being made', async () => {
    platform.post('2', 'Posted at the end of time', { createdAt: '+275760-09-13T00:00:00Z' });
    await collectCity(made.archive);
    const { rows } = await sql<{ id: string }>`
      SELECT record_id AS id FROM snapshots WHERE created_at LIKE '+275760%'`.execute(
      made.archive.database.db,
    );
    const decision = json<Explained>(await run('policy', 'explain', rows[0]?.id ?? ''));
    assert.equal(decision.decision, 'retain');
    assert.match(decision.retainThrough ?? '', /^2\d{3}-12-31$/);
    assert.match(decision.reasons.join(' '), /\+275760-09-13.*credible/);
    const bundle = await run('export', '--source', 'city', '--out', join(made.home, 'end of time.zip'));
    assert.equal(bundle.code, 0, bundle.stderr);
    assert.equal(json<{ records: number }>(bundle).records, 2);
  });

  test('while files differ or cannot be read, a record whose time has run is not eligible', async () => {
    // A date that a person confirmed starts the clock long ago.
    const settings = join(made.home, 'muniment.yaml');
    const text = await readFile(settings, 'utf8');
    const confirming = text.replace(
      'platform: bluesky',
      'platform: bluesky\n    confirmDates: { by: J. Officer, on: 2026-11-01 }',
    );
    const asOf = await size();
    const exported = async (name: string): Promise<string> => {
      const ended = await run(
        'export',
        '--at',
        String(asOf),
        '--source',
        'city',
        '--out',
        join(made.home, name),
      );
      return json<{ sha256: string }>(ended).sha256;
    };
    const bundle = await exported('before.zip');
    await writeFile(settings, confirming);
    const unsaid = await explain();
    assert.equal(unsaid.decision, 'retain', 'what stands in muniment.yaml alone confirms nothing');
    assert.match(
      unsaid.reasons.join('\n'),
      /until `muniment policy apply`: confirmDates.*muniment\.yaml differ/,
    );
    assert.deepEqual(json<{ changes: object[] }>(await run('policy', 'apply')).changes, [
      { part: 'settings', id: 'confirmDates', change: 'changed' },
    ]);
    assert.equal((await explain()).decision, 'eligible');
    assert.equal(await exported('after.zip'), bundle, 'an export as of before reads what was in force then');
    await writeFile(settings, text);
    assert.equal((await explain()).decision, 'retain', 'a confirmation that was taken back lets nothing go');
    await writeFile(settings, confirming);
    await writeFile(hold(), HOLD);
    assert.equal((await explain()).decision, 'retain');
    await rm(hold());
    await mkdir(hold());
    const unreadable = await explain();
    assert.equal(unreadable.decision, 'retain');
    assert.match(unreadable.reasons.join('\n'), /smith\.yaml.*no regular file/);
    assert.equal(json<{ unapplied: boolean }>(await run('hold', 'list')).unapplied, true);
    await rm(hold(), { recursive: true });
    assert.equal((await explain()).decision, 'eligible');
    await writeFile(settings, text);
  });

  test('under a policy that was applied before settings were entered with it, nothing goes until it is applied again', async () => {
    const { database, ledger, account } = made.archive;
    const { rows } = await sql<{ body: string }>`
      SELECT convert_from(body, 'UTF8') AS body FROM entry_bodies WHERE kind = 'policy.schedules' ORDER BY seq DESC LIMIT 1`.execute(
      database.db,
    );
    const { files } = JSON.parse(rows[0]?.body ?? '') as { files: Json };
    await ledger.write(account.id, async (batch) => {
      batch.addWithBody({ type: 'policy.applied' }, 'policy.schedules', { files });
    });
    const settings = join(made.home, 'muniment.yaml');
    const text = await readFile(settings, 'utf8');
    await writeFile(
      settings,
      text.replace(
        'platform: bluesky',
        'platform: bluesky\n    confirmDates: { by: J. Officer, on: 2026-11-01 }',
      ),
    );
    assert.equal((await explain()).decision, 'retain');
    assert.equal((await run('policy', 'apply')).code, 0);
    assert.equal((await explain()).decision, 'eligible');
    await writeFile(settings, text);
  });

  test('the archive verifies after all of it', async () => {
    assert.deepEqual((await verifyArchiveOf(made.archive)).problems, []);
    assert.deepEqual((await readdir(join(made.home, 'spool'))).length, 0);
  });
});
