// Records what the demo replays: runs a real AT Protocol network with invented accounts of a city and its citizens, collects it
// with our own collector through a recorder, and writes the answers of two acts into demo/recordings.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../src/core/clock.ts';
import type { Identity } from '../src/core/vocabulary.ts';
import { openBlueskyCollector } from '../src/sources/bluesky.ts';
import type { Collector } from '../src/sources/collector.ts';
import type { Recording } from '../src/sources/replay.ts';
import {
  type AtprotoNetwork,
  atprotoObstacle,
  type Person,
  type StrongRef,
  startAtproto,
} from '../test/servers/atproto.ts';
import { startRecorder } from '../test/servers/recorder.ts';
import { closureMap, pothole } from './demo-picture.ts';

const TARGET = join(import.meta.dirname, '..', 'demo', 'recordings');
const FROM =
  'Answers of a real AT Protocol network (repository server, directory and AppView of @atproto/dev-env 0.6.7), recorded by scripts/record-demo.ts; every account and post is invented.';
const ACCOUNT = 'city-of-example.test';

/** Links and tags in a text, as facets with UTF-8 byte offsets. */
function facets(text: string, links: Readonly<Record<string, string>> = {}): unknown[] {
  const place = (part: string) => {
    const byteStart = Buffer.byteLength(text.slice(0, text.indexOf(part)));
    return { byteStart, byteEnd: byteStart + Buffer.byteLength(part) };
  };
  const found = Object.entries(links).map(([part, uri]) => ({
    index: place(part),
    features: [{ $type: 'app.bsky.richtext.facet#link', uri }],
  }));
  const tags = [...text.matchAll(/#(\p{L}[\p{L}\p{N}]*)/gu)].map(([whole, tag]) => ({
    index: place(whole),
    features: [{ $type: 'app.bsky.richtext.facet#tag', tag }],
  }));
  return [...found, ...tags];
}

interface Stage {
  readonly city: Person;
  readonly smith: Person;
  readonly maria: Person;
  readonly closure: StrongRef;
  readonly hearing: StrongRef;
  readonly pool: StrongRef;
  readonly angry: StrongRef;
}

const HEARING =
  'Public hearing on the 2027 budget: Tuesday, November 17, 6 pm, City Hall, Room 204. Written comments are welcome until noon that day.';
const HEARING_CORRECTED =
  'Corrected date: the public hearing on the 2027 budget is on Thursday, November 19, 6 pm, City Hall, Room 204. Written comments are welcome until noon that day.';
const HEARING_AT = '2026-11-05T15:10:00.000Z';

async function actOne(network: AtprotoNetwork): Promise<Stage> {
  const city = await network.createAccount(ACCOUNT, 'City of Example');
  const fire = await network.createAccount('example-fire.test', 'Example Fire Department');
  const maria = await network.createAccount('maria-lopez.test', 'María López');
  const omar = await network.createAccount('omar-haddad.test', 'عمر الحداد');
  const wei = await network.createAccount('chen-wei.test', '陈伟');
  const smith = await network.createAccount('jsmith.test', 'J. Smith');

  const welcome = await city.post({
    text: 'Welcome to the official account of the City of Example. Comments here are public records. For emergencies call 911; this account is not monitored around the clock.',
    langs: ['en'],
    createdAt: '2023-02-14T14:00:00.000Z',
  });
  await smith.reply('Finally! Took you long enough.', welcome, welcome, {
    langs: ['en'],
    createdAt: '2023-02-14T16:21:09.000Z',
  });
  const snow =
    'Winter parking rules end today: odd/even parking is lifted until December 1. Thank you for moving your cars ❄️🚗 #ExampleSnow';
  await city.post({ text: snow, langs: ['en'], facets: facets(snow), createdAt: '2023-03-31T13:30:00.000Z' });

  const map = await city.uploadBlob(closureMap(), 'image/png');
  const closing =
    'Main Street is closed between 2nd and 4th Avenue from Monday, November 2, to Friday, November 6, for water main work. Follow the signed detour: example.gov/main-street #RoadClosure';
  const closure = await city.post({
    text: closing,
    langs: ['en'],
    facets: facets(closing, { 'example.gov/main-street': 'https://example.gov/main-street' }),
    embed: {
      $type: 'app.bsky.embed.images',
      images: [
        {
          image: map,
          alt: 'Street map: Main Street is barred between 2nd and 4th Avenue; a dotted blue line shows the detour along River Road.',
          aspectRatio: { width: 480, height: 270 },
        },
      ],
    },
    createdAt: '2026-10-30T17:05:00.000Z',
  });
  const question = await maria.reply(
    '¿Los autobuses de la línea 7 van a seguir pasando por la calle Main?',
    closure,
    closure,
    { langs: ['es'], createdAt: '2026-10-30T17:40:12.000Z' },
  );
  const answer = await city.reply(
    'Hola, María: la línea 7 se desvía por River Road del 2 al 6 de noviembre. La parada de la 3.ª avenida no tendrá servicio. 🚌',
    closure,
    question,
    {
      langs: ['es'],
      createdAt: '2026-10-30T18:02:44.000Z',
    },
  );
  const thanks = await maria.reply('Gracias por la respuesta tan rápida 🙏', closure, answer, {
    langs: ['es'],
    createdAt: '2026-10-30T18:05:01.000Z',
  });
  await omar.reply('هل يبقى موقف السيارات خلف المكتبة مفتوحًا؟', closure, thanks, {
    langs: ['ar'],
    createdAt: '2026-10-30T19:15:30.000Z',
  });
  const angry = await smith.reply(
    'Third closure this year. Whoever plans this should be fired. You people are useless!',
    closure,
    closure,
    { langs: ['en'], createdAt: '2026-10-30T20:47:55.000Z' },
  );
  await wei.reply('绕行标志在第四大道被风吹倒了，请派人看一下。', closure, closure, {
    langs: ['zh'],
    createdAt: '2026-11-02T08:12:00.000Z',
  });
  const hole = await maria.uploadBlob(pothole(), 'image/png');
  await maria.reply('And while you are there: this pothole on 3rd Avenue.', closure, closure, {
    langs: ['en'],
    embed: {
      $type: 'app.bsky.embed.images',
      images: [
        {
          image: hole,
          alt: 'A deep pothole in a grey road, left of the lane marking.',
          aspectRatio: { width: 480, height: 270 },
        },
      ],
    },
    createdAt: '2026-11-02T09:31:18.000Z',
  });

  const council = await city.post({
    text: 'City Council meets Monday, November 9, at 7 pm in the Council Chamber. Agenda: library hours, Main Street, fees for dog licences. Interpreters for Spanish, Arabic and Chinese will be there. 🏛️',
    langs: ['en'],
    createdAt: '2026-11-03T14:00:00.000Z',
  });
  const spanish = await city.reply(
    'El Concejo Municipal se reúne el lunes 9 de noviembre a las 7 p. m. en la Sala del Concejo. Habrá intérpretes de español, árabe y chino.',
    council,
    council,
    { langs: ['es'], createdAt: '2026-11-03T14:01:00.000Z' },
  );
  const arabic = await city.reply(
    'يجتمع مجلس المدينة يوم الاثنين 9 نوفمبر الساعة 7 مساءً في قاعة المجلس. سيتوفر مترجمون للغات الإسبانية والعربية والصينية.',
    council,
    spanish,
    { langs: ['ar'], createdAt: '2026-11-03T14:02:00.000Z' },
  );
  await city.reply(
    '市议会将于11月9日（星期一）晚上7点在议会厅举行会议。现场提供西班牙语、阿拉伯语和中文口译。',
    council,
    arabic,
    { langs: ['zh'], createdAt: '2026-11-03T14:03:00.000Z' },
  );
  const families = await omar.reply('شكرًا جزيلًا 👨‍👩‍👧‍👦', council, arabic, {
    langs: ['ar'],
    createdAt: '2026-11-03T15:20:00.000Z',
  });

  const hearing = await city.post({ text: HEARING, langs: ['en'], createdAt: HEARING_AT });
  await smith.reply('The notice in the Gazette says the 19th. Which is it?', hearing, hearing, {
    langs: ['en'],
    createdAt: '2026-11-05T16:02:00.000Z',
  });
  const pool = await city.post({
    text: 'The Riverside indoor pool reopens this Saturday with free entry for everyone! 🏊',
    langs: ['en'],
    createdAt: '2026-11-06T12:00:00.000Z',
  });
  await wei.reply('Free for everyone? My kids will be thrilled!', pool, pool, {
    langs: ['en'],
    createdAt: '2026-11-06T12:33:00.000Z',
  });

  const alarm = await fire.post({
    text: 'Turn your clocks back and change the batteries in your smoke alarms. 🚒🔋',
    langs: ['en'],
    createdAt: '2026-10-31T16:00:00.000Z',
  });
  await city.repost(alarm);
  await city.post({
    text: 'Our firefighters also install alarms for free: call 555-0117.',
    langs: ['en'],
    embed: { $type: 'app.bsky.embed.record', record: alarm },
    createdAt: '2026-10-31T17:10:00.000Z',
  });
  await city.post({
    text: 'The draft 2027 budget is online. Read it before the hearing.',
    langs: ['en'],
    embed: {
      $type: 'app.bsky.embed.external',
      external: {
        uri: 'https://example.gov/budget/2027',
        title: 'Draft budget 2027',
        description:
          'The draft budget of the City of Example for fiscal year 2027, with a summary in four languages.',
      },
    },
    createdAt: '2026-11-05T15:20:00.000Z',
  });
  for (const [person, subject] of [
    [maria, closure],
    [wei, closure],
    [omar, council],
    [maria, council],
    [city, families],
  ] as const)
    await person.like(subject);
  await network.settle();
  return { city, smith, maria, closure, hearing, pool, angry };
}

async function actTwo(network: AtprotoNetwork, stage: Stage): Promise<void> {
  const { city, smith, maria, hearing, pool, angry, closure } = stage;
  await city.edit(hearing, { text: HEARING_CORRECTED, langs: ['en'], createdAt: HEARING_AT });
  await smith.remove(angry);
  await city.remove(pool);
  await city.reply('Main Street is open again, a day early. Thank you for your patience.', closure, closure, {
    langs: ['en'],
    createdAt: '2026-11-05T21:00:00.000Z',
  });
  await maria.like(hearing);
  await network.settle();
}

async function collectAll(collector: Collector, spool: string): Promise<Map<string, Identity>> {
  const { signal } = new AbortController();
  await collector.check(signal);
  const seen = new Map<string, Identity>();
  for await (const event of collector.collect({ state: null, isLatest: false, signal })) {
    if (event.type === 'problem') throw new Error(event.problem.message);
    if (event.type !== 'page') continue;
    if (event.rejected.length > 0) throw new Error(event.rejected.map((one) => one.reason).join('; '));
    for (const sighting of event.sightings) {
      seen.set(sighting.identity.platformId, sighting.identity);
      for (const medium of sighting.media) await rm((await collector.fetchMedia(medium, spool, signal)).file);
    }
  }
  return seen;
}

/** Every choice from a few identities: an interrupted run may ask for fewer than all. */
function subsets<T>(all: readonly T[]): T[][] {
  return Array.from({ length: 2 ** all.length - 1 }, (_, bits) =>
    all.filter((_, index) => (bits + 1) & (1 << index)),
  );
}

async function record(): Promise<void> {
  const obstacle = atprotoObstacle();
  if (obstacle !== null) throw new Error(`recording needs a real AT Protocol network, but ${obstacle}`);
  const spool = await mkdtemp(join(tmpdir(), 'muniment-record-'));
  await using network = await startAtproto();
  await using recorder = await startRecorder(network);
  const { origin } = recorder;
  await using collector = openBlueskyCollector(
    {
      id: 'demo',
      platform: 'bluesky',
      schedule: null,
      confirmDates: null,
      account: ACCOUNT,
      service: origin,
      directory: origin,
      repository: origin,
      proofs: 0,
    },
    { clock: systemClock },
  );
  const stage = await actOne(network);
  const first = await collectAll(collector, spool);
  await write(1, recorder.take());
  await actTwo(network, stage);
  const second = await collectAll(collector, spool);
  const unseen = [...first.values()].filter((one) => !second.has(one.platformId));
  const { signal } = new AbortController();
  for (const some of subsets(unseen)) {
    for await (const found of collector.lookUp(some, signal)) {
      if (found.state === 'unknown') throw new Error(found.problem.message);
      if (some.length === unseen.length)
        process.stdout.write(`${found.identity.platformId}: ${found.state}\n`);
    }
  }
  await write(2, recorder.take());
  await rm(spool, { recursive: true });
  process.stdout.write(
    `act 1: ${first.size} items, act 2: ${second.size} items, ${unseen.length} looked up\n`,
  );
}

async function write(act: number, answers: Recording['answers']): Promise<void> {
  await mkdir(TARGET, { recursive: true });
  const recording: Recording = {
    from: FROM,
    recordedAt: systemClock.now().toString({ smallestUnit: 'second' }),
    account: ACCOUNT,
    answers,
  };
  await writeFile(join(TARGET, `act-${act}.json`), `${JSON.stringify(recording, null, 1)}\n`);
}

await record();
