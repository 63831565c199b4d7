// Watch words in a real archive: in force by the ledger, tags at capture and afterwards, alerts by id and link alone.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { tellAlerts } from '../../src/alerts.ts';
import { systemClock } from '../../src/core/clock.ts';
import { putPolicyInForce } from '../../src/governance.ts';
import { searchRecords } from '../../src/operations.ts';
import { runWatch } from '../../src/watch.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, reopened, testArchive, verifyArchiveOf } from '../support/archive.ts';
import { muniment } from '../support/command.ts';
import { MailServer } from '../support/smtp.ts';

const signal = new AbortController().signal;

test('what watch words match is tagged and told by id and link alone, at capture and afterwards', async (t) => {
  await using platform = await FakePlatform.start();
  await using mail = await MailServer.start();
  const { home, archive: first } = await testArchive(t, platform);
  const settings = join(home, 'muniment.yaml');
  await writeFile(
    settings,
    `${await readFile(settings, 'utf8')}
alerts:
  log: true
  email: { smtp: "${mail.url}", from: archive@example.gov, to: [it@example.gov] }
  digest: { every: day, to: [officer@example.gov] }
`,
  );
  await using archive = await reopened(home, systemClock);
  platform.post('1', 'An old secretword of before');
  assert.equal((await collectCity(archive)).status, 'complete');
  assert.ok(first);

  const rules = join(home, 'policies', 'alerts', 'office.yaml');
  await writeFile(rules, 'id: office\nrules:\n  - { id: w, title: W, tag: w, when: soon, match: {} }\n');
  const refused = await muniment(['--home', home, 'policy', 'check']);
  assert.equal(refused.code, 2);
  assert.match(refused.stdout, /office\.yaml:3:\d+: .*when/);

  await assert.rejects(
    runWatch(archive, signal, () => undefined),
    /no watch words are in force/,
  );
  await writeFile(
    rules,
    `id: office
rules:
  - { id: secret-rule, title: Secretword, tag: secrecy, when: at-once, match: { words: [SecretWord] } }
  - { id: asks, title: Questions, tag: question, when: digest, match: { question: true } }
`,
  );
  const tagged = async (tag: string) =>
    (await searchRecords(archive, { tag })).records.map(({ text }) => text);
  platform.post('2', 'A secretword before it is in force');
  await collectCity(archive);
  assert.deepEqual(await tagged('secrecy'), [], 'files alone change nothing');
  const applied = await putPolicyInForce(archive);
  assert.deepEqual(
    applied.changes.filter(({ part }) => part === 'watch').map(({ id, change }) => `${id} ${change}`),
    ['secret-rule added', 'asks added'],
  );
  assert.equal((await putPolicyInForce(archive)).schedules, null, 'once');

  platform.post('3', 'Now the SECRETWORD is out?');
  await collectCity(archive);
  assert.deepEqual(await tagged('secrecy'), ['Now the SECRETWORD is out?']);
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  await tellAlerts(archive, say, signal);
  await tellAlerts(archive, say, signal);
  const [record] = (await searchRecords(archive, { tag: 'secrecy' })).records;
  assert.equal(lines.length, 1, 'told once');
  assert.ok(lines.join().includes(`${record?.id}, ${record?.url}`), lines.join());
  const sent = mail.messages.map(({ text }) => text).join('\n');
  assert.match(sent, /1 found by watch words/);
  assert.match(sent, /question: rule asks, record/);
  assert.doesNotMatch(`${sent}${lines}`, /secretword|is out/i);

  const ran = await muniment(['--home', home, '--json', 'watch', 'run']);
  assert.deepEqual(JSON.parse(ran.stdout), { looked: 3, matched: 3, unread: 0 });
  assert.equal((await tagged('secrecy')).length, 3);
  await tellAlerts(archive, say, signal);
  assert.equal(lines.length, 1, 'what was there already is no news');
  assert.equal((await verifyArchiveOf(archive)).ok, true);

  await writeFile(
    rules,
    'id: office\nrules:\n  - { id: asks, title: Q, tag: asked, when: digest, match: { question: true } }\n',
  );
  await putPolicyInForce(archive);
  await runWatch(archive, signal, () => undefined);
  assert.deepEqual([await tagged('secrecy'), (await tagged('asked')).length], [[], 1]);
});
