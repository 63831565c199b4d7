// Alerts of a real archive, by log, webhook and e-mail, to servers of ours: told once by whoever looks, again while they last, and mended;
// and hosts that failed too often, which are left alone.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { tellAlerts } from '../../src/alerts.ts';
import { systemClock } from '../../src/core/clock.ts';
import { collect } from '../../src/operations.ts';
import { serve } from '../../src/serving.ts';
import { archiveStatus } from '../../src/status.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, reopened, testArchive, verifyArchiveOf } from '../support/archive.ts';
import { muniment } from '../support/command.ts';
import { MailServer } from '../support/smtp.ts';

const SECRET = 'a secret of the hook';
const signal = new AbortController().signal;

interface Posted {
  readonly signature: string;
  readonly body: string;
}

async function hook(answer: { status: number }): Promise<{ url: string; posted: Posted[]; server: Server }> {
  const posted: Posted[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request.setEncoding('utf8')) body += part;
    posted.push({ signature: String(request.headers['muniment-signature']), body });
    response.writeHead(answer.status, { location: '/elsewhere' }).end('thank you');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, posted, server };
}

const statesOf = ({ body }: Posted): string[] =>
  (JSON.parse(body) as { alerts: { state: string; finding: string }[] }).alerts.map(
    ({ state, finding }) => `${state} ${finding}`,
  );

test('what is amiss is told once by every channel, again while it lasts, and when it is mended; nothing of content goes out', async (t) => {
  await using platform = await FakePlatform.start();
  await using mail = await MailServer.start();
  const answer = { status: 204 };
  const { url, posted, server } = await hook(answer);
  t.after(async () => void server.close());
  platform.post('1', 'Words that stay here');
  const { home } = await testArchive(t, platform);
  const settings = join(home, 'muniment.yaml');
  await writeFile(join(home, 'hook.secret'), SECRET);
  await writeFile(
    settings,
    `${(await readFile(settings, 'utf8')).replace('id: city', 'id: city\n    schedule: "0 0 1 1 *"')}
alerts:
  webhook: { url: "${url}", secret: "file:hook.secret" }
  email: { smtp: "${mail.url}", from: archive@example.gov, to: [it@example.gov] }
  digest: { every: day, to: [officer@example.gov] }
`,
  );
  const after = (hours: number) => ({ now: () => systemClock.now().add({ hours }) });
  await using archive = await reopened(home, systemClock);
  await using other = await reopened(home, systemClock);
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);

  await tellAlerts(archive, say, signal);
  assert.deepEqual([lines, posted], [[], []], 'nothing is amiss');
  const [digest, ...rest] = mail.messages.splice(0);
  assert.deepEqual([digest?.to, rest], [['officer@example.gov'], []]);
  assert.match(digest?.text ?? '', /city: 0 runs, 0 new items, 0 changes\.\s+Nothing is amiss\./);

  assert.equal((await collectCity(archive)).status, 'complete');
  platform.refusing = true;
  assert.equal((await collectCity(archive)).status, 'failed');
  // Two workers look at once.
  await Promise.all([tellAlerts(archive, say, signal), tellAlerts(other, say, signal)]);
  await tellAlerts(other, say, signal);
  assert.equal(posted.length, 1);
  const [first] = posted as [Posted];
  assert.deepEqual(statesOf(first), ['found access-lost:city', 'found failed:city']);
  const [, seconds, digestHex] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(first.signature) ?? [];
  assert.equal(createHmac('sha256', SECRET).update(`${seconds}.${first.body}`).digest('hex'), digestHex);
  assert.deepEqual(
    mail.messages.map(({ to }) => to),
    [['it@example.gov']],
  );
  assert.match(mail.messages[0]?.text ?? '', /^Subject: archive\.example\.gov\/social: 2 amiss$/m);
  assert.equal(lines.length, 2);
  assert.match(lines.join('\n'), /^ALERT: city: the platform refused access \(access-lost\)/);

  // A channel that fails is told later; the others are not told again.
  answer.status = 302;
  mail.refusing = true;
  {
    await using later = await reopened(home, after(50));
    const telling = await tellAlerts(later, say, signal);
    assert.deepEqual(
      telling?.failed.map(({ channel, reason }) => `${channel}: ${reason}`),
      [
        'webhook: alerts could not be sent by webhook: it answered 302',
        'email: alerts could not be sent by email: EENVELOPE 451',
        'digest: alerts could not be sent by email: EENVELOPE 451',
      ],
    );
    assert.equal(lines.length, 4);
    assert.match(lines[3] ?? '', /^ALERT, since 20/);
    answer.status = 200;
    mail.refusing = false;
    await tellAlerts(later, say, signal);
    assert.equal(lines.length, 4);
  }
  assert.deepEqual(statesOf(posted.at(-1) as Posted), ['lasting access-lost:city', 'lasting failed:city']);
  assert.equal(mail.messages.length, 3);

  const tried = await muniment(['--home', home, '--json', 'alerts', 'test']);
  assert.deepEqual(JSON.parse(tried.stdout), {
    channels: ['log', 'webhook', 'email'].map((channel) => ({ channel, error: null })),
  });
  const shown = await muniment(['--home', home, '--json', 'status']);
  assert.deepEqual(
    (JSON.parse(shown.stdout) as { findings: { id: string }[] }).findings.map(({ id }) => id),
    ['access-lost:city', 'failed:city'],
  );

  platform.refusing = false;
  assert.equal((await collectCity(archive)).status, 'complete');
  const stop = new AbortController();
  const serving = serve(archive, stop.signal, (line) => {
    say(line);
    if (line.includes('mended: failed')) stop.abort();
  });
  await serving;
  await tellAlerts(archive, say, signal);
  assert.deepEqual(statesOf(posted.at(-1) as Posted), ['mended access-lost:city', 'mended failed:city']);
  const all = [...lines, ...posted.map(({ body }) => body), ...mail.messages.map(({ text }) => text)].join(
    '\n',
  );
  for (const content of [
    'Words that stay here',
    platform.account.handle,
    platform.account.did,
    SECRET,
    'secret-words',
  ])
    assert.ok(!all.includes(content), content);
});

test('a host that failed three times is left alone for a growing time, by every source that asks it so; a person may ask it all the same', async (t) => {
  let requests = 0;
  let isWell = false;
  await using platform = await FakePlatform.start();
  platform.post('1', 'One');
  const door = createServer((request, response) => {
    requests += 1;
    if (isWell) {
      const { status, body, type } = platform.answer(new URL(request.url as string, 'http://localhost'));
      response.writeHead(status, { 'content-type': type }).end(body);
    } else response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Please log in</html>');
  }).listen(0, '127.0.0.1');
  await once(door, 'listening');
  t.after(async () => void door.close());
  const origin = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
  const { home, archive } = await testArchive(t, { origin, account: platform.account });
  const ask = async (minutes: number, scheduled = true) => {
    await using then = await reopened(home, { now: () => systemClock.now().add({ minutes }) });
    const [source] = then.settings.sources;
    const before = requests;
    assert.ok(source);
    const { run, status, errors } = await collect(then, source, { signal, scheduled });
    assert.ok(run !== null, 'every run has its report');
    return [status, errors.map(({ code }) => code).join(), requests > before];
  };
  const failed = ['failed', 'not-the-expected-format', true];
  const refused = ['failed', 'left-alone', false];
  for (let n = 0; n < 3; n += 1) assert.deepEqual(await ask(0), failed);
  assert.deepEqual(await ask(1), refused);
  assert.match((await archiveStatus(archive)).sources[0]?.leftAloneUntil ?? '', /^20/);
  // One asks whether it is well again; it is not, and the time doubles.
  assert.deepEqual(await ask(6), failed);
  assert.deepEqual(await ask(14), refused);
  assert.deepEqual(await ask(14, false), failed);
  isWell = true;
  assert.deepEqual(await ask(15), refused);
  await archive.database.db
    .updateTable('hosts_left_alone')
    .set({ until: '2999-01-01T00:00:00.000Z' })
    .execute();
  assert.deepEqual(await ask(15), ['complete', '', true], 'a clock that was far ahead leaves nobody alone');
  assert.deepEqual(await ask(15, false), ['complete', '', true]);
  assert.deepEqual(await ask(16), ['complete', '', true]);
  assert.equal((await archiveStatus(archive)).sources[0]?.leftAloneUntil, null);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});
