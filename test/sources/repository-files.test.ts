// Repositories as files, whole and hostile: what a signed commit leads to is read, block by block against its content id, and nothing else is.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../../src/core/clock.ts';
import { InputError } from '../../src/core/errors.ts';
import { readDagCbor, UnreadableCborError } from '../../src/sources/bluesky/dag-cbor.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import type { Sighting } from '../../src/sources/collector.ts';
import { BLUESKY_REPOSITORY } from '../../src/sources/import/bluesky.ts';
import { openImportCollector } from '../../src/sources/import/collector.ts';
import {
  type CarBlock,
  carBlock,
  carOf,
  commitOf,
  contentId,
  DAG_CBOR,
  dagCbor,
  linkTo,
  type MadeRepository,
  RAW,
  repositoryOf,
  section,
} from '../support/car.ts';
import { never } from '../support/replay.ts';

const DID = 'did:plc:cityofexample2222222222';

const post = (text: string, more: object = {}) => ({
  $type: 'app.bsky.feed.post',
  text,
  createdAt: '2025-03-04T05:06:07.000Z',
  ...more,
});

/** Keys of posts in the order of their numbers. */
const keyOf = (number: number): string => `app.bsky.feed.post/3k${String(number).padStart(11, '0')}`;

function postsOf(count: number): MadeRepository {
  return repositoryOf(
    DID,
    Object.fromEntries(Array.from({ length: count }, (_, n) => [keyOf(n), post(`Post ${n}`)])),
  );
}

interface Outcome {
  readonly sightings: Sighting[];
  readonly rejected: string[];
  readonly problems: string[];
  readonly gaps: string[];
  readonly broke: string | null;
}

/** Imports a file as the command does, without an archive. @throws InputError */
async function read(t: TestContext, bytes: Buffer, name = 'repo.car'): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'muniment repository '));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, name), bytes);
  const outcome: Outcome = { sightings: [], rejected: [], problems: [], gaps: [], broke: null };
  const options = { by: 'J. Officer', account: null, clock: systemClock, signal: never() };
  await using collector = await openImportCollector(BLUESKY_REPOSITORY, join(folder, name), options);
  try {
    for await (const event of collector.collect({ state: null, isLatest: true, signal: never() })) {
      if (event.type === 'page') {
        outcome.sightings.push(...event.sightings);
        outcome.rejected.push(...event.rejected.map(({ reason }) => reason));
      } else if (event.type === 'problem') {
        const { code, message } = event.problem;
        (code === 'standing-gap' ? outcome.gaps : outcome.problems).push(message);
      }
    }
  } catch (error) {
    if (!(error instanceof CollectError)) throw error;
    return { ...outcome, broke: error.message };
  }
  return outcome;
}

const textsOf = ({ sightings }: Outcome): string[] => sightings.map(({ item }) => item.text);

const allOf = ({ commit, nodes, records }: MadeRepository): CarBlock[] => [
  commit,
  ...nodes,
  ...records.values(),
];

test('a tree of many levels is read in the order of its keys, in whatever order its blocks stand, each record its exact block', async (t) => {
  const made = postsOf(3000);
  assert.ok(made.nodes.length > 500);
  const outcome = await read(t, made.file);
  assert.deepEqual(
    textsOf(outcome),
    Array.from({ length: 3000 }, (_, n) => `Post ${n}`),
  );
  assert.deepEqual([outcome.rejected, outcome.problems, outcome.broke], [[], [], null]);
  for (const { identity, slice, sliceOffset, sliceType, exchange } of outcome.sightings) {
    const block = made.records.get(identity.platformId.slice(`at://${DID}/`.length));
    assert.ok(block?.bytes.equals(slice));
    assert.ok(made.file.subarray(sliceOffset).subarray(0, slice.length).equals(slice));
    assert.deepEqual([sliceType, exchange.url], ['application/vnd.ipld.dag-cbor', 'repo.car']);
  }
  assert.match(outcome.gaps.join('\n'), /signature .* was not checked: the key of did:plc:/);
});

test('blocks that the commit does not lead to make no record, and blocks that stand twice one', async (t) => {
  const made = postsOf(5);
  const stray = carBlock(post('Never committed'));
  const older = commitOf(DID, stray);
  const outcome = await read(t, carOf([made.commit, older], [...allOf(made), ...allOf(made), stray, older]));
  assert.deepEqual(textsOf(outcome), ['Post 0', 'Post 1', 'Post 2', 'Post 3', 'Post 4']);
  assert.match(
    outcome.gaps.join('\n'),
    /^2 of the \d+ blocks in repo\.car are not reached from its commit bafyrei/m,
  );
});

test('an empty repository has no records', async (t) => {
  const outcome = await read(t, repositoryOf(DID, {}).file);
  assert.deepEqual([outcome.sightings, outcome.problems, outcome.broke], [[], [], null]);
});

test('a block that is not what its content id promises is put aside, and what it was needed for is told as missing', async (t) => {
  const made = postsOf(40);
  const [key, victim] = [...made.records][7] as [string, CarBlock];
  const forged = { id: victim.id, bytes: carBlock(post('Forged')).bytes };
  const outcome = await read(
    t,
    carOf(
      [made.commit],
      allOf(made).map((block) => (block === victim ? forged : block)),
    ),
  );
  assert.equal(outcome.sightings.length, 39);
  assert.ok(!outcome.sightings.some(({ identity }) => identity.platformId.endsWith(key)));
  assert.match(outcome.rejected.join('\n'), /^a block that is not what its content id bafyrei\w+ promises$/);
  assert.match(
    outcome.problems.join('\n'),
    /^Of what its commit names, one part is not in repo\.car.*: bafyrei\w+\./,
  );
});

test('a file that holds only what changed since a revision gives that, and says that the rest is not in it', async (t) => {
  const made = postsOf(300);
  const root = made.nodes.at(-1) as CarBlock;
  const [lost] = made.nodes as [CarBlock];
  assert.notEqual(lost, root);
  const outcome = await read(
    t,
    carOf(
      [made.commit],
      allOf(made).filter((block) => block !== lost),
    ),
  );
  assert.ok(outcome.sightings.length > 200 && outcome.sightings.length < 300);
  assert.match(outcome.problems.join('\n'), /Ask for the whole repository/);
});

test('a file that is cut short gives what is whole in it and what its commit still leads to', async (t) => {
  const made = postsOf(200);
  const blocks = [made.commit, ...made.nodes, ...made.records.values()];
  const whole = carOf([made.commit], blocks);
  const cut = await read(t, whole.subarray(0, whole.length - 10));
  assert.equal(cut.sightings.length, 199);
  assert.match(cut.problems[0] as string, /repo\.car is damaged: it ends within the block at byte \d+/);
  for (const [junk, told] of [
    [Buffer.alloc(9, 0xff), /a length beyond all bounds/],
    [Buffer.from([0xff, 0xff, 0xff, 0x7f]), /a block of \d+ bytes, longer than any/],
    [Buffer.from([0]), /a block of no length/],
  ] as const) {
    const outcome = await read(t, Buffer.concat([whole, junk, section(carBlock('after'))]));
    assert.equal(outcome.sightings.length, 200);
    assert.match(outcome.problems.join('\n'), told);
  }
});

test('what is no repository is refused whole, with the remedy', async (t) => {
  const made = postsOf(3);
  const [, root] = [made.commit, made.nodes.at(-1) as CarBlock];
  const plain = { did: DID, version: 3, data: linkTo(root), rev: '3lz2abcdefg2a', prev: null };
  const unsigned = carBlock(plain);
  const foreign = carBlock({ ...plain, did: '../../etc', sig: Buffer.alloc(64) });
  const future = carBlock({ ...plain, version: 9, sig: Buffer.alloc(64) });
  const huge = Buffer.alloc(70_000);
  for (const [what, file, told] of [
    ['nothing', Buffer.alloc(0), /is no CAR file/],
    ['text', Buffer.from('{"posts": []}'), /is no CAR file/],
    ['packed', gzipSync(made.file), /is no CAR file/],
    ['a length beyond all bounds', Buffer.alloc(20, 0xff), /is no CAR file/],
    ['no root', carOf([], allOf(made)), /is no CAR file/],
    ['a header without end', Buffer.concat([Buffer.from([0xf0, 0xa2, 0x04]), huge]), /is no CAR file/],
    ['a commit that is not there', carOf([made.commit], made.nodes), /the file does not hold it/],
    ['a node in place of a commit', carOf([root], allOf(made)), /no commit of a repository/],
    ['no signature', carOf([unsigned], [unsigned, ...allOf(made)]), /sig: /],
    ['no account', carOf([foreign], [foreign, ...allOf(made)]), /did: /],
    ['a version to come', carOf([future], [future, ...allOf(made)]), /version: /],
    ['cut within its commit', carOf([made.commit], [made.commit]).subarray(0, 120), /does not hold it/],
    [
      'blocks that all promise something else',
      carOf(
        [made.commit],
        Array.from({ length: 200 }, (_, n) => ({ id: made.commit.id, bytes: dagCbor(n) })),
      ),
      /more than 100 blocks that are not what their content ids promise/,
    ],
  ] as const)
    await assert.rejects(
      read(t, file),
      (error: unknown) => {
        assert.ok(error instanceof InputError, `${what}: ${error}`);
        assert.match(error.message, told, what);
        assert.ok(error.hint);
        return true;
      },
      what,
    );
});

test('a tree that is made to be walked for ever, or again and again, ends the import where that shows', async (t) => {
  const record = carBlock(post('Once'));
  const entry = (key: string, more: object = {}) => ({
    p: 0,
    k: Buffer.from(key),
    v: linkTo(record),
    t: null,
    ...more,
  });
  const importOf = (blocks: readonly CarBlock[]) => {
    const commit = commitOf(DID, blocks.at(-1) as CarBlock);
    return read(t, carOf([commit], [commit, record, ...blocks]));
  };
  const leaf = carBlock({ l: null, e: [entry(keyOf(5))] });

  const twice = await importOf([
    leaf,
    carBlock({ l: linkTo(leaf), e: [entry(keyOf(6), { t: linkTo(leaf) })] }),
  ]);
  assert.match(twice.broke ?? '', /repo\.car is damaged: the key .* stands out of its order/);
  assert.equal(twice.sightings.length, 2, 'what was read before is offered');
  assert.match(twice.gaps.join('\n'), /signature .* was not checked/);

  const doubling = [leaf];
  for (let level = 0; level < 60; level += 1) {
    const below = linkTo(doubling.at(-1) as CarBlock);
    doubling.push(carBlock({ l: below, e: [entry(keyOf(6 + level), { t: below })] }));
  }
  assert.match((await importOf(doubling)).broke ?? '', /out of its order/);

  const chain = [leaf];
  for (let level = 0; level < 100; level += 1)
    chain.push(carBlock({ l: linkTo(chain.at(-1) as CarBlock), e: [] }));
  assert.match((await importOf(chain)).broke ?? '', /deeper than 64 levels/);

  const hollow = carBlock({ l: null, e: [] });
  assert.match(
    (await importOf([hollow, carBlock({ l: linkTo(hollow), e: [] })])).broke ?? '',
    /holds nothing/,
  );
  const growing = Array.from({ length: 10 }, (_, n) => ({ ...entry('x'.repeat(500)), p: n * 500 }));
  assert.match(
    (await importOf([carBlock({ l: null, e: growing })])).broke ?? '',
    /a key is longer than any|p: /,
  );
  assert.match(
    (await importOf([carBlock({ l: null, e: [entry('b'), entry('a')] })])).broke ?? '',
    /out of its order/,
  );
  assert.match(
    (await importOf([carBlock({ l: null, e: [{ p: 0 }] })])).broke ?? '',
    /no part of a tree: e\.0\.k/,
  );
  assert.match((await importOf([record])).broke ?? '', /no part of a tree/);
});

test('one long record under many keys is not taken again and again', async (t) => {
  const long = carBlock(post('x'.repeat(1_000_000)));
  const entries = Array.from({ length: 2000 }, (_, n) => ({
    p: 0,
    k: Buffer.from(keyOf(n)),
    v: linkTo(long),
    t: null,
  }));
  const root = carBlock({ l: null, e: entries });
  const commit = commitOf(DID, root);
  const outcome = await read(t, carOf([commit], [commit, root, long]));
  assert.match(outcome.broke ?? '', /repeat far more than those of any account/);
  assert.ok(outcome.sightings.length < 1000);
});

test('records that cannot be read are put aside with their bytes and the reason, and the others are read', async (t) => {
  const records: [string, CarBlock, RegExp | null][] = [];
  const raw = (bytes: Buffer): CarBlock => ({ id: contentId(bytes, DAG_CBOR), bytes });
  const bad = (bytes: Buffer, told: RegExp) => records.push([keyOf(records.length), raw(bytes), told]);
  bad(Buffer.alloc(0), /bytes are due/);
  bad(Buffer.alloc(100_000, 0x81), /nest deeper than 100 levels/);
  bad(Buffer.from([0xbf, 0xff]), /no value begins as byte 0/);
  bad(Buffer.from([0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]), /bytes are due/);
  bad(Buffer.from([0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), /beyond 53 bits/);
  bad(Buffer.concat([dagCbor(post('and more')), Buffer.of(0)]), /bytes follow the value/);
  bad(Buffer.from([0xa2, 0x61, 0x61, 1, 0x61, 0x61, 2]), /has a key twice/);
  bad(Buffer.from([0xa1, 1, 1]), /a key that is no text/);
  bad(Buffer.from([0x62, 0xc3, 0x28]), /not UTF-8/);
  bad(Buffer.from([0xd8, 0x2a, 0x42, 0, 1]), /no link of the AT Protocol/);
  bad(Buffer.from([0xf9, 0x7e, 0]), /no value begins/);
  bad(dagCbor({ $type: 'app.bsky.feed.like' }), /another kind/);
  bad(dagCbor({ $type: 'app.bsky.feed.post', text: 7, createdAt: 'x' }), /not a post: text/);
  bad(dagCbor(null), /another kind/);
  records.push([
    'app.bsky.feed.post/no key',
    carBlock(post('Odd')),
    /under a key that the AT Protocol does not know/,
  ]);
  records.push([keyOf(90), carBlock(post('Good', { __proto__: null, constructor: 'x' })), null]);
  const sorted = [...records].sort(([a], [b]) => (a < b ? -1 : 1));
  const root = carBlock({
    l: null,
    e: sorted.map(([key, block]) => ({ p: 0, k: Buffer.from(key), v: linkTo(block), t: null })),
  });
  const commit = commitOf(DID, root);
  const blocks = [commit, root, ...records.map(([, block]) => block)];
  const outcome = await read(t, carOf([commit], blocks));
  assert.equal(outcome.broke, null);
  assert.deepEqual(textsOf(outcome), ['Good']);
  const expected = sorted.flatMap(([, , told]) => told ?? []);
  assert.equal(outcome.rejected.length, expected.length);
  for (const [at, told] of expected.entries()) assert.match(outcome.rejected[at] as string, told);
});

test('whatever is changed in a file, nothing comes of it but what its commit names, or one clear refusal', async (t) => {
  const made = postsOf(30);
  const whole = carOf([made.commit], allOf(made));
  const known = new Set([...made.records.values()].map(({ bytes }) => bytes.toString('hex')));
  const seed = randomInt(2 ** 32);
  t.diagnostic(`seed ${seed}`);
  let state = seed;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let refused = 0;
  for (let round = 0; round < 300; round += 1) {
    const from = next(whole.length);
    const part = whole.subarray(from, from + next(400));
    const to = next(whole.length);
    const mutated = [
      () => Buffer.concat([whole.subarray(0, to), part, whole.subarray(to)]),
      () => Buffer.concat([whole.subarray(0, to), part, whole.subarray(to + part.length)]),
      () => Buffer.concat([whole.subarray(0, from), whole.subarray(from + part.length)]),
      () => {
        const copy = Buffer.from(whole);
        copy[to] = next(256);
        return copy;
      },
    ][next(4)] as () => Buffer;
    try {
      const { sightings } = await read(t, mutated());
      for (const { slice } of sightings)
        assert.ok(known.has(Buffer.from(slice).toString('hex')), `seed ${seed}`);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      refused += 1;
    }
  }
  assert.ok(refused < 200, 'most changes leave something to read');
});

test('DAG-CBOR comes back as it was written, and any cut or change of it is read or refused, never a crash', () => {
  const value = {
    text: '\ufeffStraße 🚧',
    numbers: [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32, 2 ** 53 - 2, -1, -(2 ** 40), 1.5],
    bytes: Buffer.from('bytes'),
    nothing: null,
    yes: true,
    no: false,
    link: linkTo({ id: contentId(Buffer.from('x'), RAW) }),
    ['__proto__']: { polluted: true },
  };
  const bytes = dagCbor(value);
  const back = readDagCbor(bytes) as typeof value;
  assert.deepEqual(
    { ...back, bytes: Buffer.from(back.bytes), link: { ...back.link } },
    { ...value, ['__proto__']: { polluted: true } },
  );
  assert.equal((Object.prototype as { polluted?: unknown }).polluted, undefined);
  assert.ok(Object.hasOwn(back, '__proto__'));
  for (let at = 0; at < bytes.length; at += 1)
    for (const mutated of [
      bytes.subarray(0, at),
      ...[0x00, 0x1f, 0x5f, 0x9b, 0xbb, 0xd8, 0xff].map((byte) => {
        const copy = Buffer.from(bytes);
        copy[at] = byte;
        return copy;
      }),
    ]) {
      try {
        readDagCbor(mutated);
      } catch (error) {
        assert.ok(error instanceof UnreadableCborError, String(error));
      }
    }
});
