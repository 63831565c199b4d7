// Collecting: reading an account through its collector, against fetching the same addresses bare; and how many requests a poll takes when
// nothing happened. The platform is a process of its own, which has made every answer before anything is measured.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import type { SourceSettings } from '../../src/core/settings.ts';
import { passingMeter } from '../../src/sources/budget.ts';
import type { CollectorEvent } from '../../src/sources/collector.ts';
import { openCollector } from '../../src/sources/open.ts';
import { FakePlatform } from '../../test/support/appview.ts';
import { FakeMastodon } from '../../test/support/mastodon.ts';
import { type Answered, sendAnswer } from '../../test/support/replay.ts';
import { type Measurement, median, seconds } from './measure.ts';

const SELF = fileURLToPath(import.meta.url);
/** One post in so many has a reply, and so a thread that takes a request of its own. */
const PER_REPLY = 20;
const COMMON = { id: 'city', schedule: null, confirmDates: null } as const;
/** The pace at which real platforms are asked is left out: it is a choice, not a cost. */
const UNPACED = { spacing: 0 };

type Answer = (url: URL, headers: IncomingHttpHeaders) => Answered;

interface Platform {
  readonly perPage: number;
  settings(origin: string): SourceSettings;
  /** A platform whose account has written so many posts. */
  show(origin: string, posts: number): Answer;
}

const PLATFORMS: Readonly<Record<'bluesky' | 'mastodon', Platform>> = {
  bluesky: {
    perPage: 100,
    settings: (service) => ({
      ...COMMON,
      platform: 'bluesky',
      account: 'city.example',
      service,
      directory: service,
      repository: service,
      proofs: 0,
    }),
    show(origin, posts) {
      const fake = FakePlatform.at(origin);
      fake.pageSize = 100;
      for (let n = posts; n > 0; n -= 1) {
        const post = fake.post(String(n), textOf(n));
        if (n % PER_REPLY === 0)
          fake.post(`${n}r`, textOf(n + 1), { did: 'did:plc:ann', handle: 'ann.example', parent: post });
      }
      return (url) => {
        const { status, type, body } = fake.answer(url);
        return { status, headers: { 'content-type': type }, body: Buffer.from(body) };
      };
    },
  },
  mastodon: {
    perPage: 40,
    settings: (service) => ({
      ...COMMON,
      platform: 'mastodon',
      account: '@city@city.example',
      service,
      token: null,
    }),
    show(origin, posts) {
      const fake = FakeMastodon.at(origin);
      for (let n = 1; n <= posts; n += 1) {
        const status = fake.post(textOf(n));
        if (n % PER_REPLY === 0) fake.post(textOf(n + 1), { by: fake.ann, parent: status });
      }
      return (url, headers) => fake.answer(url, headers);
    },
  },
};

function textOf(n: number): string {
  return `Notice ${n}: the council meets tonight on street, water and library. `.repeat(1 + (n % 4));
}

/** The platform's process: tells where it is, and on any message which paths it was asked since the last. */
function serve(name: keyof typeof PLATFORMS, posts: number): void {
  const made = new Map<string, Answered>();
  const asked: string[] = [];
  let answer: Answer;
  const server = createServer((request, response) => {
    const path = request.url as string;
    asked.push(path);
    const known = made.get(path) ?? answer(new URL(path, 'http://localhost'), request.headers);
    made.set(path, known);
    sendAnswer(response, known);
  });
  process.on('message', () => process.send?.(asked.splice(0)));
  server.listen(0, '127.0.0.1', () => {
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    answer = PLATFORMS[name].show(origin, posts);
    process.send?.(origin);
  });
}

async function measure(
  name: keyof typeof PLATFORMS,
  { posts, rounds }: { posts: number; rounds: number },
): Promise<Measurement> {
  const platform = PLATFORMS[name];
  const child = fork(SELF, [name, String(posts)]);
  try {
    const [origin] = (await once(child, 'message')) as [string];
    const asked = async (): Promise<string[]> => {
      child.send('asked');
      const [paths] = (await once(child, 'message')) as [string[]];
      return paths;
    };
    const first = await collect(platform.settings(origin), null, systemClock);
    const paths = await asked();
    const ours: number[] = [];
    const limit: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      ours.push(await seconds(() => collect(platform.settings(origin), null, systemClock)));
      limit.push(
        await seconds(async () => {
          for (const path of paths) await (await fetch(new URL(path, origin))).arrayBuffer();
        }),
      );
    }
    await asked();
    const later: Clock = { now: () => systemClock.now().add({ minutes: 10 }) };
    await collect(platform.settings(origin), first.state, later);
    const polled = (await asked()).length;
    const { items } = first;
    return {
      name: `collect: ${name}, an account of ${posts} posts with ${items} items, read to its end without capturing them`,
      ours: { perSecond: items / median(ours), what: 'items/s through the collector' },
      limit: { perSecond: items / median(limit), what: 'items/s in a loop of fetch over the same addresses' },
      ratio: median(ours.map((time, round) => (limit[round] as number) / time)),
      aim: 0.7,
      conditions: [
        `a poll where nothing happened: ${polled} requests (aim: at most 3)`,
        `${paths.length} requests one after another, in pages of ${platform.perPage} posts, and a thread for one post in ${PER_REPLY}; none is younger than a week; the server is another process of this machine; median of ${rounds} rounds`,
      ],
    };
  } finally {
    child.kill();
  }
}

async function collect(settings: SourceSettings, state: CollectorState, clock: Clock) {
  await using collector = openCollector(settings, { clock, limits: UNPACED, meter: passingMeter() });
  let items = 0;
  let end: Extract<CollectorEvent, { type: 'end' }> | null = null;
  for await (const event of collector.collect({
    state,
    isLatest: true,
    signal: new AbortController().signal,
  })) {
    if (event.type === 'page') items += event.sightings.length;
    if (event.type === 'end') end = event;
    if (event.type === 'problem' && event.problem.code !== 'standing-gap')
      throw new Error(event.problem.message);
  }
  if (end === null) throw new Error(`the account on ${settings.platform} was not read to its end`);
  return { items, state: end.state };
}

type CollectorState = Parameters<ReturnType<typeof openCollector>['collect']>[0]['state'];

export async function measureCollect(options: { posts: number; rounds: number }): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const name of ['bluesky', 'mastodon'] as const) measurements.push(await measure(name, options));
  return measurements;
}

if (process.argv[1] === SELF) serve(process.argv[2] as keyof typeof PLATFORMS, Number(process.argv[3]));
