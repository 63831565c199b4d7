// No address that a platform or a post supplies leads a collector off the public internet: in whatever notation it is written, by
// whatever name or redirect it comes, and however the name's address changes.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { isPublicAddress, type ResolveAll } from '../../src/sources/address.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import { openFeedCollector } from '../../src/sources/feed.ts';
import { Http } from '../../src/sources/http.ts';
import { answering, never, patient } from '../support/replay.ts';

function refused(error: unknown): boolean {
  assert.ok(error instanceof CollectError, String(error));
  assert.equal(error.problem.code, 'refused-address', error.message);
  return true;
}

/** A server that nobody may reach, on every loopback address that the machine has. */
async function secret(t: TestContext): Promise<{ port: string; origin: string; requests: string[] }> {
  const server = await answering(t, (_, response) => void response.end('secret'));
  return { ...server, port: new URL(server.origin).port };
}

const resolvingTo = (...addresses: readonly string[]): ResolveAll => {
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  return (_, callback) => callback(null, found);
};

/** First and last address of each range that is refused, and what stands just outside it. */
const RANGES: readonly (readonly [
  first: string,
  last: string,
  before: string | null,
  after: string | null,
])[] = [
  ['0.0.0.0', '0.255.255.255', null, '1.0.0.0'],
  ['10.0.0.0', '10.255.255.255', '9.255.255.255', '11.0.0.0'],
  ['100.64.0.0', '100.127.255.255', '100.63.255.255', '100.128.0.0'],
  ['127.0.0.0', '127.255.255.255', '126.255.255.255', '128.0.0.0'],
  ['168.63.129.16', '168.63.129.16', '168.63.129.15', '168.63.129.17'],
  ['169.254.0.0', '169.254.255.255', '169.253.255.255', '169.255.0.0'],
  ['172.16.0.0', '172.31.255.255', '172.15.255.255', '172.32.0.0'],
  ['192.0.0.0', '192.0.0.255', '191.255.255.255', '192.0.1.0'],
  ['192.0.2.0', '192.0.2.255', '192.0.1.255', '192.0.3.0'],
  ['192.168.0.0', '192.168.255.255', '192.167.255.255', '192.169.0.0'],
  ['198.18.0.0', '198.19.255.255', '198.17.255.255', '198.20.0.0'],
  ['198.51.100.0', '198.51.100.255', '198.51.99.255', '198.51.101.0'],
  ['203.0.113.0', '203.0.113.255', '203.0.112.255', '203.0.114.0'],
  ['224.0.0.0', '255.255.255.255', '223.255.255.255', null],
  ['::', '1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', null, null],
  ['2001::', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff', '2000:ffff::', '2001:200::'],
  ['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', '2001:db7:ffff::', '2001:db9::'],
  ['2002::', '2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '2001:ffff::', '2003::'],
  ['3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff', '3ffe:ffff::', '3fff:1000::'],
  ['4000::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '3fff:ffff::', null],
];

test('every range that is private, special or metadata is refused from its first address to its last, and no more', () => {
  for (const [first, last, before, after] of RANGES) {
    for (const inside of [first, last]) assert.equal(isPublicAddress(inside), false, inside);
    for (const outside of [before, after])
      if (outside !== null) assert.equal(isPublicAddress(outside), true, outside);
  }
  for (const none of ['', 'localhost', '1.2.3', '2606:4700::1%eth0', '[2606:4700::1]', '127.1'])
    assert.equal(isPublicAddress(none), false, none);
});

/** Ways to write an address of this machine, of its network, or of the host that gives a cloud's machines their keys. */
const HOSTS = [
  ...['127.0.0.1', '127.1', '127.0.1', '127.255.255.254', '0', '0.0.0.0', 'localhost', 'LOCALHOST'],
  ...['2130706433', '0x7f000001', '0x7f.1', '0177.0.0.1', '017700000001', '0x7F.0x0.0x0.0x1', '127.0.0.1.'],
  ...['１２７.0.0.1', '①②⑦.⓪.⓪.①', '127。0。0。1', '%31%32%37.0.0.1'],
  ...[
    '[::1]',
    '[::]',
    '[0:0:0:0:0:0:0:1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::ffff:0:127.0.0.1]',
    '[::127.0.0.1]',
  ],
  ...[
    '[2002:7f00:1::]',
    '[64:ff9b::7f00:1]',
    '[64:ff9b::127.0.0.1]',
    '[64:ff9b:1::7f00:1]',
    '[2001:0:7f00:1::1]',
  ],
  ...[
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '3232235777',
    '0xc0a80101',
    '[::ffff:192.168.1.1]',
  ],
  ...['[fe80::1]', '[fd00::1]', '[fec0::1]', '[ff02::1]', '224.0.0.1', '255.255.255.255'],
  ...[
    '169.254.169.254',
    '2852039166',
    '0xa9fea9fe',
    '0251.0376.0251.0376',
    '[::ffff:169.254.169.254]',
    '[fd00:ec2::254]',
  ],
  ...['[64:ff9b::a9fe:a9fe]', '[2002:a9fe:a9fe::]', '100.100.100.200', '192.0.0.192', '168.63.129.16'],
];

for (const host of HOSTS) {
  test(`${host} is refused, asked for at once or by a redirect`, async (t) => {
    const inner = await secret(t);
    // In a header, what is not ASCII stands as its bytes.
    const location = `http://${host}:${inner.port}/`.replaceAll(/[^!-~]/gu, encodeURIComponent);
    const outer = await answering(t, (_, response) => void response.writeHead(302, { location }).end());
    await using http = new Http([outer.origin], patient({ attempts: 1 }));
    await assert.rejects(http.get(`http://${host}:${inner.port}/`, { signal: never() }), refused);
    await assert.rejects(http.get(outer.origin, { signal: never() }), refused);
    assert.deepEqual(inner.requests, []);
  });
}

for (const [what, ...addresses] of [
  ['loopback', '127.0.0.1', '::1'],
  ['a private network', '10.0.0.1'],
  ['link-local, with a zone', 'fe80::1%lo'],
  ['metadata', '169.254.169.254', 'fd00:ec2::254'],
  ['IPv4 mapped into IPv6', '::ffff:127.0.0.1'],
  ['NAT64', '64:ff9b::7f00:1'],
  ['nothing at all'],
] as const) {
  test(`a name that leads to ${what} is refused, asked for at once or by a redirect`, async (t) => {
    const inner = await secret(t);
    const name = `http://name.example.org:${inner.port}/`;
    const outer = await answering(t, (_, response) => void response.writeHead(307, { location: name }).end());
    await using http = new Http([outer.origin], {
      ...patient({ attempts: 1 }),
      resolveAll: resolvingTo(...addresses),
    });
    await assert.rejects(http.get(name, { signal: never() }), refused);
    await assert.rejects(http.get(outer.origin, { signal: never() }), refused);
    assert.deepEqual(inner.requests, []);
  });
}

/** Public by its range, which IANA has given to nobody. */
const NOBODY = '3000::1';

test('of a name with a public and a private address, the private one is never connected to', async (t) => {
  const inner = await secret(t);
  await using http = new Http([], {
    ...patient({ attempts: 1, connectMilliseconds: 100 }),
    resolveAll: resolvingTo('127.0.0.1', NOBODY, '::1'),
  });
  await assert.rejects(http.get(`http://both.example.org:${inner.port}/`, { signal: never() }), CollectError);
  assert.deepEqual(inner.requests, []);
});

test('a name whose address changes between two questions is held to the address that is connected to', async (t) => {
  const inner = await secret(t);
  let asked = 0;
  const changing: ResolveAll = (hostname, found) => {
    asked += 1;
    resolvingTo(asked === 1 ? NOBODY : '127.0.0.1')(hostname, found);
  };
  await using http = new Http([], {
    ...patient({ attempts: 1, connectMilliseconds: 100 }),
    resolveAll: changing,
  });
  const ask = () => http.get(`http://changing.example.org:${inner.port}/`, { signal: never() });
  await assert.rejects(ask(), CollectError);
  await assert.rejects(ask(), refused);
  assert.equal(asked, 2, 'one question for each connection, and none for a check beside it');
  assert.deepEqual(inner.requests, []);
});

test('a configured origin may be private; another port, name or scheme of the same machine may not', async (t) => {
  const inner = await secret(t);
  const own = await answering(t, (_, response) => void response.end('own'));
  const { port } = new URL(own.origin);
  await using http = new Http([own.origin], patient({ attempts: 1 }));
  assert.equal((await http.get(own.origin, { signal: never() })).body.toString(), 'own');
  for (const other of [
    inner.origin,
    `http://localhost:${port}`,
    `https://127.0.0.1:${port}`,
    `http://[::1]:${port}`,
  ])
    await assert.rejects(http.get(other, { signal: never() }), refused);
  assert.deepEqual(inner.requests, []);
});

test('what a post encloses is fetched from the public internet only, whatever its source may be', async (t) => {
  const inner = await secret(t);
  const own = await answering(
    t,
    (_, response) => void response.writeHead(302, { location: inner.origin }).end(),
  );
  const settings = {
    id: 'news',
    platform: 'feed',
    url: own.origin,
    schedule: null,
    confirmDates: null,
  } as const;
  await using collector = openFeedCollector(settings, patient({ attempts: 1 }));
  const medium = { role: 'image', alt: null, mediaType: 'image/png', contentId: null } as const;
  for (const url of [`${inner.origin}/a.png`, `http://0x7f.1:${inner.port}/a.png`, `${own.origin}/moved.png`])
    await assert.rejects(collector.fetchMedia({ ...medium, url }, '/nonexistent', never()), refused);
  assert.deepEqual(inner.requests, []);
});
