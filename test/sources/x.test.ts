// What is particular to X: the decision without which nothing is asked, versions by edit, what it says of things that are not there, and what is paid for.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { RefusedError } from '../../src/core/errors.ts';
import { Secret } from '../../src/core/secret.ts';
import type { XSettings } from '../../src/core/settings.ts';
import { type Meter, passingMeter } from '../../src/sources/budget.ts';
import type { Collector, CollectorEvent, LookUp, Sighting } from '../../src/sources/collector.ts';
import { X_ARCHIVE } from '../../src/sources/import/x.ts';
import { openXCollector } from '../../src/sources/x.ts';
import { answering, never, patient, sendAnswer } from '../support/replay.ts';
import { type FakePost, FakeX } from '../support/x.ts';

const DECISION = { by: 'J. Counsel', on: '2026-10-01', cite: 'memorandum 7' };
const TOKEN = new Secret('file:token', () => 'stage-token');

interface Stage {
  readonly fake: FakeX;
  readonly collector: Collector;
  readonly meter: Meter;
}

async function stageOf(
  t: TestContext,
  more: Partial<XSettings> = {},
  now?: () => Temporal.Instant,
): Promise<Stage> {
  const fake = new FakeX(1);
  const { origin } = await answering(t, (request, response, url) => {
    sendAnswer(response, fake.answer(url, request.headers));
  });
  const settings: XSettings = {
    id: 'city',
    schedule: null,
    confirmDates: null,
    platform: 'x',
    account: '@CityOfExample',
    service: origin,
    token: TOKEN,
    search: 'all',
    unitsPerDay: 1000,
    daysBetweenWhole: 7,
    decision: DECISION,
    ...more,
  };
  const meter = passingMeter();
  const collector = openXCollector(settings, {
    ...patient(),
    ...(now === undefined ? {} : { clock: { now } }),
    meter,
  });
  t.after(() => collector[Symbol.asyncDispose]());
  return { fake, collector, meter };
}

type End = Extract<CollectorEvent, { type: 'end' }>;

interface Collected {
  readonly events: readonly CollectorEvent[];
  readonly sightings: ReadonlyMap<string, Sighting>;
  readonly end: End;
  readonly gaps: string;
}

async function collected(
  { collector }: Stage,
  before: End | null = null,
  isLatest = true,
): Promise<Collected> {
  const options = { state: before?.state ?? null, isLatest, signal: never() };
  const events = await Array.fromAsync(collector.collect(options));
  const all = events.flatMap((event) => (event.type === 'page' ? event.sightings : []));
  const gaps = events.flatMap((event) => (event.type === 'problem' ? event.problem.message : [])).join('\n');
  const sightings = new Map(all.map((one) => [one.identity.platformId, one]));
  return { events, sightings, end: events.at(-1) as End, gaps };
}

function lookUp(
  { collector }: Stage,
  posts: readonly FakePost[],
  seen: Pick<Collected, 'sightings'>,
): Promise<LookUp[]> {
  const identities = posts.map((post) => ({
    platform: 'x',
    namespace: 'post-id',
    platformId: FakeX.idOf(post),
  }));
  return Array.fromAsync(
    collector.lookUp(identities, never(), async ({ platformId }) => {
      const last = seen.sightings.get(platformId);
      return last === undefined
        ? null
        : { slice: last.slice, url: last.exchange.url, threadRoot: last.item.threadRoot };
    }),
  );
}

test('without a recorded decision nothing is asked of X, and the refusal says why and what to write', async (t) => {
  await assert.rejects(stageOf(t, { decision: null }), (error: unknown) => {
    assert.ok(error instanceof RefusedError);
    assert.match(error.message, /terms of X restrict/);
    assert.match(error.hint ?? '', /decision: \{ by: NAME, on: DATE, cite:/);
    return true;
  });
});

test('the decision by which X is collected stands in every run', async (t) => {
  const { gaps } = await collected(await stageOf(t));
  assert.match(gaps, /by decision of J\. Counsel of 2026-10-01 \(memorandum 7\)/);
});

test('an edited post is one record under its first id, and each edit is a version cut from X’s own answer', async (t) => {
  const stage = await stageOf(t);
  const post = stage.fake.post('Pool opens at 9');
  stage.fake.edit(post, 'Pool opens at 10');
  stage.fake.edit(post, 'Pool opens at 9');
  const { sightings } = await collected(stage);
  const sighting = sightings.get(FakeX.idOf(post));
  const earlier = await sighting?.earlier?.(never());
  assert.deepEqual(
    earlier?.sightings.map(({ item }) => item.text),
    ['Pool opens at 9', 'Pool opens at 10'],
  );
  assert.ok(earlier?.sightings.every(({ identity }) => identity.platformId === FakeX.idOf(post)));
  assert.notDeepEqual(earlier?.sightings[0]?.comparison, sighting?.comparison);
});

test('what was imported from X’s own archive goes on: the same name, and the same words compared', async (t) => {
  const stage = await stageOf(t);
  const post = stage.fake.post('Bread & <roses>');
  const sighting = (await collected(stage)).sightings.get(FakeX.idOf(post));
  assert.deepEqual(sighting?.identity, { platform: 'x', namespace: 'post-id', platformId: FakeX.idOf(post) });
  assert.deepEqual(sighting?.former, {
    rule: X_ARCHIVE.comparisonRule,
    comparison: { id: FakeX.idOf(post), text: 'Bread & <roses>' },
  });
});

test('a post that X does not find is deleted where its author is there, and else as its author is', async (t) => {
  const stage = await stageOf(t);
  const { fake } = stage;
  const root = fake.post('Ask us');
  const answer = fake.post('Why?', { parent: root, by: fake.ann });
  const other = fake.post('Hm', { parent: root, by: fake.ann });
  const seen = await collected(stage);
  answer.deleted = true;
  assert.deepEqual(
    (await lookUp(stage, [root, answer, other], seen)).map(({ state }) => state),
    ['present', 'deleted', 'present'],
  );
  fake.ann.state = 'gone';
  assert.deepEqual(
    (await lookUp(stage, [answer], seen)).map(({ state }) => state),
    ['account-gone'],
  );
  fake.ann.state = 'suspended';
  assert.deepEqual(
    (await lookUp(stage, [other], seen)).map(({ state }) => state),
    ['access-lost'],
  );
  const unheard = { ...seen, sightings: new Map() };
  fake.ann.state = 'gone';
  assert.deepEqual(
    (await lookUp(stage, [answer], unheard)).map(({ state }) => state),
    ['unknown'],
  );
});

test('what is paid for is counted, and what an answer did not hold is given back', async (t) => {
  const stage = await stageOf(t);
  stage.fake.post('One');
  stage.fake.post('Two');
  const first = await collected(stage);
  const spent = (): Promise<number> => stage.meter.spent('X file:token', '2026-11-01');
  assert.equal(await spent(), 3, 'the account and two posts');
  await collected(stage, first.end);
  assert.equal(await spent(), 4, 'where nothing is new, the account alone');
});

test('a day’s units that are used up end the run, which says until when', async (t) => {
  const stage = await stageOf(t, { unitsPerDay: 100 });
  stage.fake.post('One');
  const { gaps, end } = await collected(stage);
  assert.match(gaps, /100 units a day of X for file:token are spent until 2026-11-02T00:00/);
  assert.equal(end.coverage, 'recent');
});

/** An account whose whole reading costs 501 units: itself, 250 posts, 100 that name it, and the 150 below ten of its posts. */
function fill(fake: FakeX): void {
  const roots = Array.from({ length: 250 }, (_, n) => fake.post(`Post ${n}`));
  for (const root of roots.slice(0, 10)) {
    const answers = Array.from({ length: 10 }, () => fake.post('Why?', { parent: root, by: fake.ann }));
    for (const parent of answers.slice(0, 5)) fake.post('Because', { parent, by: fake.ann });
  }
}

/** Reads day after day, `runs` times a day, as capture does: it keeps what a partial run leaves only where that is resumable. */
async function daysOf(
  t: TestContext,
  { unitsPerDay, days, runs = 3 }: { unitsPerDay: number; days: number; runs?: number },
  onRun: (stage: Stage, day: number, run: number) => void = () => {},
) {
  const now = { is: Temporal.Instant.from('2026-11-01T01:00:00Z') };
  const stage = await stageOf(t, { unitsPerDay }, () => now.is);
  fill(stage.fake);
  const seen = new Map<string, Sighting>();
  const coverage: string[][] = [];
  const paid: number[] = [];
  let state: End | null = null;
  let isLatest = true;
  for (let day = 0; day < days; day += 1) {
    coverage[day] = [];
    for (let run = 0; run < runs; run += 1) {
      onRun(stage, day, run);
      const one: Collected = await collected(stage, state, isLatest);
      for (const [id, sighting] of one.sightings) seen.set(id, sighting);
      const isComplete = !one.events.some((e) => e.type === 'problem' && e.problem.code !== 'standing-gap');
      isLatest = isComplete || one.end.resumable === true;
      if (isLatest) state = one.end;
      coverage[day]?.push(one.end.coverage);
      now.is = now.is.add({ hours: 1 });
    }
    paid.push(await stage.meter.spent('X file:token', now.is.toString().slice(0, 10)));
    now.is = now.is.add({ hours: 24 - runs });
  }
  return { stage, seen, coverage, paid, state: state as End | null };
}

const sum = (units: readonly number[]): number => units.reduce((all, one) => all + one, 0);

test('a reading of everything that takes three days’ units goes on each day where it was, and is paid for once', async (t) => {
  const once = await daysOf(t, { unitsPerDay: 1000, days: 1, runs: 1 });
  assert.deepEqual(once.coverage, [['all']]);
  const whole = sum(once.paid);
  // Before each call a page is counted, so that a day ends up to a page before its units do.
  const parts = await daysOf(t, { unitsPerDay: Math.ceil(whole / 3) + 100, days: 3, runs: 2 });
  assert.deepEqual(
    parts.coverage.map((day) => day.includes('all')),
    [false, false, true],
  );
  assert.deepEqual([...parts.seen.keys()].toSorted(), [...once.seen.keys()].toSorted());
  assert.ok(sum(parts.paid) <= whole + 3 * 100, `${parts.paid} for what costs ${whole} at once`);
  // What the parts before offered is not paid for again where the last run looks up what it did not see.
  const { stage, seen } = parts;
  const before = await stage.meter.spent('X file:token', '2026-11-03');
  const asked = stage.fake.requests.length;
  await lookUp(stage, stage.fake.posts.slice(0, 200), { sightings: seen });
  assert.deepEqual(
    [await stage.meter.spent('X file:token', '2026-11-03'), stage.fake.requests.length],
    [before, asked],
  );
});

test('what comes while a reading takes days is found at once, and what has gone meanwhile keeps it from claiming that all was offered', async (t) => {
  const fresh: FakePost[] = [];
  const { seen, coverage, paid } = await daysOf(t, { unitsPerDay: 270, days: 5 }, ({ fake }, day, run) => {
    if (day === 1 && run === 0) {
      fresh.push(fake.post('While it is read'));
      const newest = fake.posts[249] as FakePost;
      newest.deleted = true;
    }
  });
  assert.ok(fresh.every((post) => seen.has(FakeX.idOf(post))));
  assert.ok(!coverage.flat().includes('all'), 'one of the newest is no longer listed');
  assert.deepEqual(paid.slice(3), [3, 3], 'it has ended all the same: polls follow');
});

test('a thread that takes more than a day’s units holds up no reading: it is told, and what waits behind it is read', async (t) => {
  let last: FakePost | null = null;
  const { seen, coverage, state } = await daysOf(t, { unitsPerDay: 310, days: 7 }, ({ fake }, day, run) => {
    if (day + run > 0) return;
    const root = fake.post('Ask us');
    for (let n = 0; n < 350; n += 1)
      fake.post('Why?', { parent: n === 0 ? root : (fake.posts.at(-1) as FakePost), by: fake.ann });
    last = fake.post('After', { parent: fake.post('Then'), by: fake.ann });
  });
  assert.ok(seen.has(FakeX.idOf(last as never)));
  assert.ok(!coverage.flat().includes('all'));
  assert.deepEqual(
    Object.keys(state?.state ?? {}),
    ['account', 'wholeAt', 'newest'],
    'the reading has ended',
  );
});

test('a thread that always fails keeps no reading of days from its end, and has nothing read and paid for twice', async (t) => {
  const { coverage, paid, state } = await daysOf(t, { unitsPerDay: 470, days: 4 }, ({ fake }) => {
    fake.refused = new Set([FakeX.idOf(fake.posts[3] as FakePost)]);
  });
  assert.ok(!coverage.flat().includes('all'));
  assert.deepEqual(
    Object.keys(state?.state ?? {}),
    ['account', 'wholeAt', 'newest'],
    'the reading has ended',
  );
  assert.deepEqual(paid.at(-1), 3);
});

test('a poll that finds the day’s units spent leaves its place to the next day’s, which does not read everything', async (t) => {
  const now = { is: Temporal.Instant.from('2026-11-01T01:00:00Z') };
  const stage = await stageOf(t, { unitsPerDay: 150 }, () => now.is);
  stage.fake.post('One');
  let { end } = await collected(stage);
  assert.equal(end.coverage, 'all');
  for (const units of [60, 87]) {
    assert.ok(await stage.meter.spend('X file:token', '2026-11-01', units, 150));
    ({ end } = await collected(stage, end));
    assert.equal(end.resumable, true);
  }
  now.is = now.is.add({ hours: 24 });
  stage.fake.requests.length = 0;
  assert.deepEqual((await collected(stage, end)).end.resumable, undefined);
  assert.equal(stage.fake.requests.filter(({ searchParams }) => searchParams.has('since_id')).length, 1);
});

test('a run without news asks for what came since, finds answers by the account’s name, and leaves its place to the next', async (t) => {
  const stage = await stageOf(t);
  const { fake } = stage;
  const root = fake.post('Ask us');
  fake.post('First', { parent: root, by: fake.ann });
  const first = await collected(stage);
  fake.requests.length = 0;
  const answer = fake.post('Second', { parent: root, by: fake.ann });
  const second = await collected(stage, first.end);
  assert.deepEqual([...second.sightings.keys()].slice(1), [FakeX.idOf(answer)]);
  assert.equal(fake.requests.filter(({ searchParams }) => searchParams.has('since_id')).length, 2);
  assert.equal((await collected(stage, second.end)).sightings.size, 1);
});

test('with the search of seven days no run claims to have been offered everything', async (t) => {
  const stage = await stageOf(t, { search: 'recent' });
  stage.fake.post('One');
  const { end, gaps } = await collected(stage);
  assert.equal(end.coverage, 'recent');
  assert.match(gaps, /seven days/);
});

test('media with their alternative texts, polls, links and long texts are read from what stands beside the post', async (t) => {
  const stage = await stageOf(t);
  const post = stage.fake.post('Cut off…', {
    more: {
      note_tweet: {
        text: 'The whole long text',
        entities: {
          urls: [{ expanded_url: 'https://example.gov/short', unwound_url: 'https://example.gov/pool' }],
        },
      },
      attachments: { media_keys: ['3_1', '7_2'], poll_ids: ['9'] },
    },
  });
  stage.fake.includes = {
    media: [
      { media_key: '3_1', type: 'photo', url: 'https://pbs.twimg.com/media/a.jpg', alt_text: 'A pool' },
      {
        media_key: '7_2',
        type: 'video',
        preview_image_url: 'https://pbs.twimg.com/b.jpg',
        variants: [
          { content_type: 'application/x-mpegURL', url: 'https://video.twimg.com/b.m3u8' },
          { content_type: 'video/mp4', bit_rate: 256_000, url: 'https://video.twimg.com/small.mp4' },
          { content_type: 'video/mp4', bit_rate: 2_176_000, url: 'https://video.twimg.com/large.mp4' },
        ],
      },
    ],
    polls: [
      {
        id: '9',
        options: [
          { position: 1, label: 'Yes', votes: 3 },
          { position: 2, label: 'No', votes: 1 },
        ],
      },
    ],
  };
  const sighting = (await collected(stage)).sightings.get(FakeX.idOf(post));
  assert.equal(sighting?.item.text, 'The whole long text\n\n• Yes\n• No');
  assert.deepEqual(
    sighting?.item.links.map(({ url }) => url),
    ['https://example.gov/pool'],
  );
  assert.deepEqual(
    sighting?.media.map(({ role, url, alt }) => [role, url, alt]),
    [
      ['image', 'https://pbs.twimg.com/media/a.jpg', 'A pool'],
      ['video', 'https://video.twimg.com/large.mp4', null],
    ],
  );
  assert.equal(sighting?.observations['votes for 1'], 3);
});

test('an account that is not there, and one that is suspended, are told apart', async (t) => {
  const stage = await stageOf(t);
  stage.fake.city.state = 'gone';
  await assert.rejects(collected(stage), /knows no account/);
  stage.fake.city.state = 'suspended';
  await assert.rejects(collected(stage), /suspended/);
});
