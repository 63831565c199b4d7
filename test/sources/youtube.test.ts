// What is particular to YouTube, against answers built from its published reference: the day's units, comments that are turned off, long
// threads, and what becomes of what is no longer listed.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Json } from '../../src/core/canonical.ts';
import { Secret } from '../../src/core/secret.ts';
import type { YoutubeSettings } from '../../src/core/settings.ts';
import { type Meter, passingMeter } from '../../src/sources/budget.ts';
import { CollectError } from '../../src/sources/collect-error.ts';
import type { Collector } from '../../src/sources/collector.ts';
import { openCollector } from '../../src/sources/open.ts';
import { lookUpOf, runOf } from '../support/meta.ts';
import { jsonAnswer, never, patient } from '../support/replay.ts';
import { type FakeVideo, FakeYoutube, refusal } from '../support/youtube.ts';

const KEY = 'AIzaNobodyMaySeeThisKey';

interface Staged {
  readonly unitsPerDay?: number;
  readonly meter?: Meter;
  readonly now?: () => Temporal.Instant;
}

function youtube(t: TestContext, { origin }: FakeYoutube, staged: Staged = {}): Collector {
  const { unitsPerDay = 10_000, meter = passingMeter(), now } = staged;
  const settings: YoutubeSettings = {
    id: 'city',
    platform: 'youtube',
    schedule: null,
    confirmDates: null,
    account: '@city',
    service: origin,
    key: new Secret('file:key', () => KEY),
    unitsPerDay,
  };
  const dependencies = { ...patient(), ...(now === undefined ? {} : { clock: { now } }) };
  const collector = openCollector(settings, { meter, ...dependencies });
  t.after(() => collector[Symbol.asyncDispose]());
  return collector;
}

/** @returns calls made since it was last asked */
function callsOf(fake: FakeYoutube): string[] {
  return fake.calls.splice(0);
}

test('a channel’s videos and everybody’s comments are read once, the replies that a thread does not show too', async (t) => {
  const fake = await FakeYoutube.start(t);
  const first = fake.publish('council meeting');
  const second = fake.publish('budget hearing');
  const opinion = fake.comment('Too loud.', first);
  const replies = Array.from({ length: 12 }, (_, n) => fake.comment(`reply ${n}`, first, opinion, 'bob'));
  fake.comment('Thank you', second);
  fake.repliesOnPage = 5;
  const run = await runOf(youtube(t, fake));
  assert.deepEqual([run.sightings.length, run.problems, run.rejected, run.coverage], [16, [], [], 'all']);
  const { item } = run.of(replies[11] as (typeof replies)[number]);
  assert.deepEqual(
    [item.kind, item.text, item.inReplyTo, item.threadRoot, item.author.handle],
    ['reply', 'reply 11', opinion.id, first.id, '@bob'],
  );
  assert.equal(item.url, `https://www.youtube.com/watch?v=${first.id}&lc=${replies[11]?.id}`);
  assert.deepEqual(run.profile.item.title, 'City of Example');
  assert.match(run.gaps.join('\n'), /not the video itself|neither the video itself/);
  assert.match(run.gaps.join('\n'), /held for review[\s\S]*not what it said before/);
});

test('the key goes into a header alone, and stands in no address, problem or finding', async (t) => {
  const fake = await FakeYoutube.start(t);
  fake.comment('Hello', fake.publish('meeting'));
  const collector = youtube(t, fake);
  const { findings } = await collector.check(never());
  const run = await runOf(collector);
  assert.ok(fake.keys.length > 0 && fake.keys.every((key) => key === KEY));
  const { sightings, problems, gaps, state } = run;
  const told = JSON.stringify([findings, problems, gaps, state, sightings.map(({ exchange }) => exchange)]);
  assert.ok(!told.includes(KEY) && !fake.calls.some((call) => call.includes(KEY)));
  fake.instead = () => refusal('keyInvalid');
  await assert.rejects(
    collector.check(never()),
    (error: CollectError) => error.problem.code === 'access-lost' && /API key/.test(error.hint ?? ''),
  );
});

test('a run in which nothing happens asks three times, and finds a comment below an old video and an edit of the newest', async (t) => {
  const fake = await FakeYoutube.start(t);
  const videos = Array.from({ length: 70 }, (_, n) => fake.publish(`video ${n}`));
  for (const video of videos) fake.comment(`on ${video.title}`, video);
  const collector = youtube(t, fake);
  let { state } = await runOf(collector);
  callsOf(fake);
  const quiet = await runOf(collector, state);
  assert.deepEqual([callsOf(fake).length <= 3, quiet.coverage, quiet.problems], [true, 'recent', []]);
  const late = fake.comment('I only saw this now.', videos[2] as (typeof videos)[number]);
  (videos[69] as (typeof videos)[number]).description = 'Corrected';
  const next = await runOf(collector, quiet.state);
  assert.equal(next.of(late).item.threadRoot, videos[2]?.id);
  assert.equal(next.of(videos[69] as (typeof videos)[number]).item.text, 'Corrected');
  assert.ok(callsOf(fake).length <= 4);
  // An answer below what was said long ago moves the count of its video, if it is one of the newest.
  const answer = fake.comment('So did I.', videos[60] as (typeof videos)[number], fake.comments[60]);
  state = next.state;
  const last = await runOf(collector, state);
  assert.equal(last.of(answer)?.item.inReplyTo, fake.comments[60]?.id);
});

test('where a video takes no comments, that is no failure; those that it had are hidden, not deleted', async (t) => {
  const fake = await FakeYoutube.start(t);
  const video = fake.publish('hearing');
  const comments = [fake.comment('one', video), fake.comment('two', video)];
  const collector = youtube(t, fake);
  const seen = await runOf(collector);
  video.commentsOff = true;
  const after = await runOf(collector);
  assert.deepEqual([after.coverage, after.problems, after.sightings.length], ['all', [], 1]);
  const answers = await lookUpOf(collector, seen, comments);
  assert.deepEqual(
    answers.map(({ state }) => state),
    ['hidden', 'hidden'],
  );
});

test('a video that counts no comments any more is asked whether they were turned off, before any is taken for deleted', async (t) => {
  const fake = await FakeYoutube.start(t);
  const [off, on] = [fake.publish('turned off'), fake.publish('open')];
  const comments = [fake.comment('one', off), fake.comment('two', on)];
  const collector = youtube(t, fake);
  const seen = await runOf(collector);
  off.commentsOff = true;
  for (const comment of comments) comment.deleted = true;
  fake.instead = (url) => {
    if (!url.pathname.endsWith('/videos')) return null;
    const answer = JSON.parse(String(fake.answer(url, {}).body)) as { items: { statistics: object }[] };
    for (const { statistics } of answer.items) Object.assign(statistics, { commentCount: '0' });
    return jsonAnswer(answer);
  };
  assert.equal((await runOf(collector)).coverage, 'all');
  const answers = await lookUpOf(collector, seen, comments);
  assert.deepEqual(
    answers.map(({ state }) => state),
    ['hidden', 'deleted'],
  );
});

test('what is gone is told apart: deleted, private, its author’s account gone; and what cannot be asked is unknown', async (t) => {
  const fake = await FakeYoutube.start(t);
  const [kept, removed, closed] = ['kept', 'removed', 'closed'].map((word) => fake.publish(word)) as [
    ReturnType<FakeYoutube['publish']>,
    ReturnType<FakeYoutube['publish']>,
    ReturnType<FakeYoutube['publish']>,
  ];
  const [deleted, left] = [fake.comment('a', kept), fake.comment('b', kept, null, 'leaving')];
  const [below, within] = [fake.comment('c', removed), fake.comment('d', closed)];
  const collector = youtube(t, fake);
  const seen = await runOf(collector);
  deleted.deleted = true;
  left.deleted = true;
  fake.gone.add('leaving');
  removed.deleted = true;
  closed.isPrivate = true;
  const all = [kept, removed, closed, deleted, left, below, within];
  const statesOf = async (): Promise<string[]> =>
    (await lookUpOf(collector, seen, all))
      .toSorted((one, other) => placeOf(one) - placeOf(other))
      .map(({ state }) => state);
  const placeOf = (one: { identity: { platformId: string } }): number =>
    all.findIndex(({ id }) => id === one.identity.platformId);
  await runOf(collector);
  assert.deepEqual(await statesOf(), [
    'present',
    'deleted',
    'access-lost',
    'deleted',
    'account-gone',
    'deleted',
    'access-lost',
  ]);
  fake.instead = () => refusal('quotaExceeded');
  assert.deepEqual(new Set(await statesOf()), new Set(['unknown']));
});

test('replies that did not name their video are not taken for deleted when it became private', async (t) => {
  const fake = await FakeYoutube.start(t);
  const [video, other] = [fake.publish('hearing'), fake.publish('without comments')];
  other.commentsOff = true;
  const opinion = fake.comment('Too loud.', video);
  const replies = Array.from({ length: 12 }, (_, n) => fake.comment(`reply ${n}`, video, opinion));
  const collector = youtube(t, fake);
  const seen = await runOf(collector);
  video.isPrivate = true;
  await runOf(collector);
  const answers = await lookUpOf(collector, seen, [opinion, ...replies]);
  assert.deepEqual(new Set(answers.map(({ state }) => state)), new Set(['access-lost']));
});

test('an empty list where there were videos is no empty channel: the channel’s own count is asked for', async (t) => {
  const fake = await FakeYoutube.start(t);
  fake.comment('hello', fake.publish('meeting'));
  const collector = youtube(t, fake);
  const { state } = await runOf(collector);
  fake.instead = (url) =>
    url.pathname.endsWith('playlistItems')
      ? jsonAnswer({ kind: 'youtube#playlistItemListResponse', pageInfo: { totalResults: 0 }, items: [] })
      : null;
  const run = await runOf(collector, state);
  assert.deepEqual(
    [run.coverage, run.problems.map(({ code }) => code)],
    ['recent', ['not-the-expected-format']],
  );
});

test('a comment dated in the future, or one that is shown above newer ones, hides none that came since', async (t) => {
  const fake = await FakeYoutube.start(t);
  const now = { is: Temporal.Instant.from('2026-10-02T00:00:00Z') };
  const videos = Array.from({ length: 60 }, (_, n) => fake.publish(`video ${n}`));
  fake.threadsOnPage = 2;
  const [old] = videos as [FakeVideo];
  fake.comment('an old one', old);
  Object.assign(fake.comment('from tomorrow', old), { publishedAt: '2031-01-01T00:00:00Z' });
  const collector = youtube(t, fake, { now: () => now.is });
  let { state } = await runOf(collector);
  for (let round = 1; round <= 2; round += 1) {
    const late = Array.from({ length: 5 }, (_, n) => fake.comment(`late ${round} ${n}`, old));
    // The newest on a page is the last of the list.
    fake.comments.push(...fake.comments.splice(0, 1));
    now.is = now.is.add({ hours: 1 });
    for (const [n, one] of late.entries())
      Object.assign(one, { publishedAt: now.is.subtract({ minutes: 20 - n }).toString() });
    const run = await runOf(collector, state);
    assert.ok(
      late.every((one) => run.of(one) !== undefined),
      `round ${round}`,
    );
    state = run.state;
  }
});

test('a day’s units are never exceeded, by any source with the key; a reading that they end goes on the day after, where it was', async (t) => {
  const fake = await FakeYoutube.start(t);
  for (let n = 0; n < 30; n += 1) fake.comment('hello', fake.publish(`video ${n}`));
  let now = Temporal.Instant.from('2026-11-20T20:00:00Z');
  const meter = passingMeter();
  const staged = { unitsPerDay: 20, meter, now: () => now };
  const collector = youtube(t, fake, staged);
  const seen = new Set<string>();
  const taken = (run: Awaited<ReturnType<typeof runOf>>): void => {
    for (const { identity } of run.sightings) seen.add(identity.platformId);
  };
  const first = await runOf(collector);
  taken(first);
  assert.equal(first.coverage, 'recent');
  assert.equal(first.problems.length, 1);
  assert.match(
    first.problems[0]?.message ?? '',
    /16 of the 20 units a day .*are spent until 2026-11-21T08:00:00.*What is left, the comments below \d+ videos, takes at least \d+/,
  );
  assert.equal(callsOf(fake).length, 16);
  // Another source with the same key has no units of its own.
  await runOf(youtube(t, fake, staged)).catch((error: unknown) => {
    assert.ok(error instanceof CollectError && error.problem.code === 'budget-spent');
  });
  assert.ok(callsOf(fake).length <= 4);
  let state: Json = first.state;
  for (let day = 1; day <= 3; day += 1) {
    now = now.add({ hours: 24 });
    const run = await runOf(collector, state);
    taken(run);
    assert.ok(callsOf(fake).length <= 20);
    state = run.state;
  }
  assert.equal(seen.size, 60, 'everything is there after three days');
});

/** Reads day after day, once and then by polls. @returns what was seen, and what each day's first run said */
async function daysOf(t: TestContext, fake: FakeYoutube, unitsPerDay: number, days: number) {
  const now = { is: Temporal.Instant.from('2026-11-20T20:00:00Z') };
  const collector = youtube(t, fake, { unitsPerDay, now: () => now.is });
  const seen = new Set<string>();
  const codes: string[][] = [];
  let state: Json = null;
  const lacking: number[] = [];
  let polls = 0;
  for (let day = 0; day < days; day += 1) {
    codes[day] = [];
    for (let hour = 0; hour < 5; hour += 1) {
      // Capture keeps what a partial run leaves only where that is resumable.
      const run = await runOf(collector, state);
      for (const { identity } of run.sightings) seen.add(identity.platformId);
      codes[day]?.push(...run.problems.map(({ code }) => code));
      if (run.problems.length + run.rejected.length === 0 || run.resumable) state = run.state;
      if (run.problems.length === 0) polls += 1;
      if (run.problems.length === 0) lacking[day] = run.reported['videos not read to the end'] as number;
      now.is = now.is.add({ hours: 1 });
    }
    now.is = now.is.add({ hours: 19 });
    assert.ok(callsOf(fake).length <= unitsPerDay);
  }
  return { seen, codes, polls, lacking };
}

test('a reading of days follows the dates of videos, whatever order the list has, and is held up by none with too many comments', async (t) => {
  const fake = await FakeYoutube.start(t);
  const videos = Array.from({ length: 12 }, (_, n) => fake.publish(`video ${n}`));
  // Uploaded long before it was published.
  fake.videos.unshift(...fake.videos.splice(10, 1));
  fake.threadsOnPage = 2;
  const few = videos.map((video) => fake.comment('hello', video));
  const many = Array.from({ length: 60 }, (_, n) => fake.comment(`comment ${n}`, videos[1] as FakeVideo));
  const { seen, codes, lacking } = await daysOf(t, fake, 20, 4);
  assert.ok(few.every(({ id }, n) => n === 1 || seen.has(id)));
  assert.ok(many.slice(-20).every(({ id }) => seen.has(id)));
  assert.ok(
    codes.some((day) => day.includes('incomplete-thread')),
    'that the long one was not read to its end is told',
  );
  // The polls know of what the reading had no units for; of the long one alone when it has ended; then all begins anew.
  assert.deepEqual(lacking, [11, 11, 1, 11]);
});

test('a video whose comments never come, or a comment that cannot be read, leaves units for the polls, and the rest is read', async (t) => {
  for (const spoilt of [
    (fake: FakeYoutube, url: URL) =>
      url.searchParams.get('videoId') === fake.videos[2]?.id ? refusal('badRequest') : null,
    (fake: FakeYoutube, url: URL) =>
      url.searchParams.get('videoId') === fake.videos[2]?.id
        ? jsonAnswer({ pageInfo: { totalResults: 1 }, items: [{ id: 'no thread' }] })
        : null,
  ]) {
    const fake = await FakeYoutube.start(t);
    const comments = Array.from({ length: 12 }, (_, n) => fake.comment('hello', fake.publish(`video ${n}`)));
    fake.instead = (url) => spoilt(fake, url);
    const { seen, polls, lacking } = await daysOf(t, fake, 40, 2);
    assert.equal(lacking[1], 1);
    assert.ok(comments.every(({ id }, n) => n === 2 || seen.has(id)));
    assert.ok(polls > 0);
  }
});

test('when YouTube itself says that the units are spent, the run says until when', async (t) => {
  const fake = await FakeYoutube.start(t);
  fake.comment('hello', fake.publish('video'));
  fake.instead = (url) => (url.pathname.endsWith('commentThreads') ? refusal('quotaExceeded') : null);
  const run = await runOf(youtube(t, fake, { now: () => Temporal.Instant.from('2026-07-01T12:00:00Z') }));
  assert.deepEqual([run.coverage, run.problems.length], ['recent', 1]);
  assert.match(run.problems[0]?.message ?? '', /are spent until 2026-07-02T07:00:00/);
});

test('a handle that names another channel than before stops the run: nothing of the other is captured as the first’s', async (t) => {
  const fake = await FakeYoutube.start(t);
  fake.publish('video');
  const now = { is: Temporal.Instant.from('2026-11-20T20:00:00Z') };
  const collector = youtube(t, fake, { now: () => now.is });
  const { state } = await runOf(collector);
  fake.account = 'somebody';
  now.is = now.is.add({ hours: 30 });
  await assert.rejects(runOf(collector, state), (error: CollectError) => {
    assert.match(error.message, /now names another channel/);
    return error.problem.code === 'account-replaced';
  });
});
