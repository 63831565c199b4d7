// What `search` and `export` are asked for: a mistyped selection must not become an answer of "no records".

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../src/core/clock.ts';
import { initArchive } from '../../../src/setup.ts';
import { removeHome } from '../../support/archive.ts';
import { muniment } from '../../support/command.ts';
import { answering } from '../../support/replay.ts';

const LONG = 'word '.repeat(60).trim();
const FEED = `<rss version="2.0"><channel><title>City</title><link>https://example.gov</link><description>d</description>
<item><guid isPermaLink="false">1</guid><title>Library hours</title><description>${LONG}</description></item>
<item><guid isPermaLink="false">2</guid><title>Closed</title></item></channel></rss>`;

test('a source that the archive never had is refused, not answered with an empty bundle; no match is said aloud', async (t) => {
  const server = await answering(t, (_, response) => {
    response.setHeader('content-type', 'application/rss+xml').end(FEED);
  });
  const folder = await mkdtemp(join(tmpdir(), 'muniment selection '));
  const home = join(folder, 'home');
  t.after(async () => {
    await removeHome(home);
    await rm(folder, { recursive: true, force: true });
  });
  await initArchive(
    home,
    {
      name: 'City of Example',
      origin: 'archive.example.gov/social',
      timezone: 'UTC',
      sources: [{ id: 'city-news', platform: 'feed', url: `${server.origin}/news.rss` }],
    },
    { home: null, token: null, configFolder: '/nonexistent', variables: {} },
    systemClock,
  );
  const run = (...args: string[]) => muniment(['--home', home, ...args]);
  // Left running: each command would start it, and stop it.
  assert.equal((await run('db', 'start')).code, 0);
  assert.equal((await run('collect')).code, 0);
  const out = join(folder, 'bundle.zip');

  for (const args of [
    ['search', '--source', 'city-nwes'],
    ['export', '--source', 'city-nwes', '--out', out],
  ]) {
    const refused = await run(...args);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /no source is called city-nwes\n.*city-news/);
  }
  assert.equal(existsSync(out), false);

  const none = await run('export', '--text', 'nowhere', '--out', out);
  assert.equal(none.code, 0, none.stderr);
  assert.match(none.stdout, /NO RECORD matches/);

  const found = await run('search', 'library', '--source', 'city-news');
  assert.match(found.stdout, /^1 record\n.*\n {4}Library hours: word word .*…$/m);

  const untold = await run('search', 'closed');
  assert.match(untold.stdout, /\n {4}Closed$/m, 'a title without a text stands alone');
});
