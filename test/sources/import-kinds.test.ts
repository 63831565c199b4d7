// What is read of the files that platforms and other archives give, by the layouts that are published: each item in words, and the bytes it was read from.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InputError } from '../../src/core/errors.ts';
import { cellsOf, cutRows } from '../../src/sources/import/csv.ts';
import { openExportFile } from '../../src/sources/import/export-file.ts';
import type { ExportKind, ImportedItem, Piece } from '../../src/sources/import/export-kind.ts';
import { FACEBOOK_DOWNLOAD } from '../../src/sources/import/facebook.ts';
import { INSTAGRAM_DOWNLOAD } from '../../src/sources/import/instagram.ts';
import { exportKind } from '../../src/sources/import/kinds.ts';
import { mended } from '../../src/sources/import/meta-download.ts';
import { isTimeFormat, readTime } from '../../src/sources/import/time-format.ts';
import { YOUTUBE_TAKEOUT } from '../../src/sources/import/youtube.ts';
import { broken, type Members, PNG } from '../support/exports.ts';
import { never } from '../support/replay.ts';
import { type ZipMember, zipOf } from '../support/zip.ts';

const folder = await mkdtemp(join(tmpdir(), 'muniment kinds '));
after(() => rm(folder, { recursive: true, force: true }));
let files = 0;

async function readAll(kind: ExportKind, content: Members | readonly ZipMember[] | Buffer, name?: string) {
  const path = join(folder, name ?? `${files++}.zip`);
  const listed = Array.isArray(content)
    ? (content as ZipMember[])
    : Object.entries(content as Members).map(([member, data]) => ({ name: member, data, deflate: true }));
  await writeFile(path, Buffer.isBuffer(content) ? content : zipOf(listed));
  await using file = await openExportFile(path, { signal: never() });
  const opened = await kind.open(file, never());
  const pieces: Piece[] = [];
  const problems: string[] = [];
  for await (const one of opened.pieces(never()))
    if ('problem' in one) problems.push(`${one.problem.code}: ${one.problem.message}`);
    else pieces.push(one);
  const items = pieces.flatMap(({ read }): ImportedItem[] => ('imported' in read ? [read.imported] : []));
  const rejected = pieces.flatMap(({ read }) => ('rejected' in read ? [read.rejected] : []));
  const left = pieces.flatMap(({ read }) => ('left' in read ? [read.left] : []));
  return { opened, pieces, items, rejected, left, problems };
}

const shortly = ({ item, media }: ImportedItem) => [
  item.kind,
  item.createdAt,
  item.text,
  media.map(({ url }) => url),
];

test('text whose bytes were written as letters is mended only where all of it can be', () => {
  for (const [stands, said] of [
    ['Stra\u00c3\u009fe', 'Straße'],
    ['\u00f0\u009f\u008f\u009b', '🏛'],
    ['plain', 'plain'],
    ['caf\u00e9', 'café'],
    ['\u00c3\u009f and ß', '\u00c3\u009f and ß'],
    ['\u00c3\u009f 🏛', '\u00c3\u009f 🏛'],
    ['\u00c3', '\u00c3'],
  ] as const)
    assert.equal(mended(stands), said);
});

const POST = {
  timestamp: 1_700_000_000,
  title: broken('Stadt Grün updated their status.'),
  data: [{ post: broken('Straße gesperrt 🚧') }, { update_timestamp: 1_700_000_100 }],
  attachments: [
    {
      data: [
        { external_context: { url: 'https://city.example/roads', name: broken('Straßen') } },
        { media: { uri: 'posts/media/a_1_n.png', description: 'beside' } },
      ],
    },
  ],
};

function facebook(front: string, uri: string): Members {
  const post = JSON.parse(JSON.stringify(POST).replace('posts/media/a_1_n.png', uri)) as object;
  return {
    'profile_information/profile_information.json': JSON.stringify({
      profile_v2: { name: { full_name: broken('Stadt Grün') }, username: 'gruen' },
    }),
    [`${front}comments_and_reactions/comments.json`]: JSON.stringify({
      comments_v2: [
        {
          timestamp: 1_700_000_200,
          title: 'replied to a comment',
          data: [
            {
              comment: {
                timestamp: 1_700_000_200,
                comment: broken('Für alle'),
                author: broken('Stadt Grün'),
              },
            },
          ],
        },
        { timestamp: 1, data: [] },
      ],
    }),
    [`${front}posts/album/0.json`]: JSON.stringify({
      name: 'Bridges',
      photos: [
        { uri, creation_timestamp: 1_700_000_300, title: 'Bridges', description: 'North', comments: [{}] },
      ],
    }),
    [`${front}posts/your_posts__check_ins__photos_and_videos_1.json`]: JSON.stringify([
      post,
      { timestamp: 1_700_000_400, label_values: [{ label: 'Text', value: 'x' }] },
      { timestamp: 1_700_000_500, fbid: '123456789', data: [{ post: 'Named' }] },
    ]),
    [uri]: PNG,
  };
}

test('a download of Facebook is read in its layouts, with its texts mended, and one item has one name in all of them', async () => {
  const old = await readAll(FACEBOOK_DOWNLOAD, facebook('', 'posts/media/a_1_n.png'));
  assert.deepEqual(old.opened.accounts, ['gruen', 'Stadt Grün']);
  assert.deepEqual(old.items.map(shortly), [
    ['reply', '2023-11-14T22:16:40Z', 'Für alle', []],
    ['post', '2023-11-14T22:18:20Z', 'North', ['posts/media/a_1_n.png']],
    ['post', '2023-11-14T22:13:20Z', 'Straße gesperrt 🚧', ['posts/media/a_1_n.png']],
    ['post', '2023-11-14T22:21:40Z', 'Named', []],
  ]);
  assert.deepEqual(old.items[2]?.item.links, [
    { url: 'https://city.example/roads', title: 'Straßen', description: null },
  ]);
  assert.deepEqual(old.items[2]?.item.author, { id: null, handle: 'gruen', name: 'Stadt Grün' });
  assert.equal(old.rejected.length, 2);
  assert.match(old.rejected.join(), /not a comment: .*not a post: .*a layout that is not known/);
  assert.match(
    old.problems.join('\n'),
    /standing-gap: .* does not say .* for everybody.*\n.*1 comments that stand below/,
  );
  for (const { bytes } of old.pieces) assert.ok(!Buffer.from(bytes).includes('Straße'), 'as it came');

  const recent = await readAll(
    FACEBOOK_DOWNLOAD,
    facebook('your_facebook_activity/', 'your_facebook_activity/posts/media/a_1_n.png'),
  );
  const names = (read: typeof old) => read.items.map(({ identity }) => identity);
  assert.deepEqual(names(recent), names(old));
  assert.equal(new Set(names(old).map(({ platformId }) => platformId)).size, 4);
  assert.deepEqual(names(old)[3], {
    platform: 'facebook',
    namespace: 'download-fbid',
    platformId: '123456789',
  });
  assert.ok(names(old).every(({ namespace }) => namespace.startsWith('download')));
  const folderOf = await readAll(
    FACEBOOK_DOWNLOAD,
    Object.fromEntries(
      Object.entries(facebook('', 'posts/media/a_1_n.png')).map(([name, data]) => [
        `facebook-gruen/${name}`,
        data,
      ]),
    ),
  );
  assert.equal(folderOf.items[2]?.media[0]?.url, 'facebook-gruen/posts/media/a_1_n.png');
});

test('a download of Instagram is read with captions, stories, reels, what was archived, and comments', async () => {
  const medium = (uri: string, title: string, at: number) => ({
    uri,
    title: broken(title),
    creation_timestamp: at,
  });
  const content = (front: string): Members => ({
    'personal_information/personal_information.json': JSON.stringify({
      profile_user: [
        { string_map_data: { Username: { value: 'gruen' }, Name: { value: broken('Stadt Grün') } } },
      ],
    }),
    [`${front}/posts_1.json`]: JSON.stringify([
      { media: [medium('media/posts/1.png', 'Brücke', 1_700_000_000)] },
      {
        media: [
          medium('media/posts/2.png', '', 1_700_000_100),
          medium('media/posts/3.png', 'own', 1_700_000_100),
        ],
        title: broken('Zwei Bilder'),
        creation_timestamp: 1_700_000_200,
      },
      { media: [] },
    ]),
    [`${front}/stories.json`]: JSON.stringify({
      ig_stories: [medium('media/stories/4.mp4', 'Früh', 1_700_000_300)],
    }),
    [`${front}/reels.json`]: JSON.stringify({
      ig_reels_media: [{ media: [medium('media/reels/5.mp4', 'Reel', 1)] }],
    }),
    [`${front}/archived_posts.json`]: JSON.stringify({
      ig_archived_post_media: [{ media: [medium('media/posts/6.png', 'Weg', 1_700_000_400)] }],
    }),
    'comments/post_comments_1.json': JSON.stringify([
      {
        media_list_data: [{ uri: '' }],
        string_map_data: {
          Comment: { value: broken('Schön') },
          'Media Owner': { value: 'ann' },
          Time: { timestamp: 1_700_000_500 },
        },
      },
      { string_map_data: { Kommentar: { value: 'x' } } },
    ]),
    'media/posts/1.png': PNG,
  });
  const { items, rejected, opened } = await readAll(INSTAGRAM_DOWNLOAD, content('content'));
  assert.deepEqual(opened.accounts, ['gruen']);
  assert.deepEqual(
    items.map(({ item }) => [item.kind, item.text, item.tags.join()]),
    [
      ['reply', 'Schön', ''],
      ['post', 'Weg', 'hidden on the platform'],
      ['post', 'Brücke', ''],
      ['post', 'Zwei Bilder', ''],
      ['post', 'Reel', ''],
      ['story', 'Früh', ''],
    ],
  );
  assert.equal(items[0]?.item.title, 'On a post of ann');
  assert.deepEqual(
    [items[2]?.media[0]?.url, items[2]?.item.createdAt],
    ['media/posts/1.png', '2023-11-14T22:13:20Z'],
  );
  assert.equal(items[5]?.media[0]?.role, 'video');
  assert.match(rejected.join('\n'), /labels in English/);
  assert.equal(rejected.length, 2);
  const later = await readAll(INSTAGRAM_DOWNLOAD, content('your_instagram_activity/media'));
  assert.deepEqual(
    later.items.map(({ identity }) => identity).slice(1),
    items.map(({ identity }) => identity).slice(1),
  );
});

test('a list that is damaged is told, and the others are read', async () => {
  const comments = facebook('', 'x.png')['comments_and_reactions/comments.json'] as string;
  const { items, problems } = await readAll(FACEBOOK_DOWNLOAD, [
    { name: 'comments_and_reactions/comments.json', data: comments },
    { name: 'posts/profile_posts_1.json', data: `[${JSON.stringify(POST)}, {"data":`, deflate: true },
    { name: 'posts/profile_posts_2.json', data: '<html>' },
    { name: 'posts/profile_posts_3.json', data: `[${JSON.stringify(POST)}]`, crc: 1 },
    { name: 'posts/profile_posts_4.json', data: '[{"data":[{"post":"Last"}]}]' },
  ]);
  assert.deepEqual(
    items.map(({ item }) => item.text),
    ['Für alle', 'Straße gesperrt 🚧', 'Straße gesperrt 🚧', 'Last'],
  );
  assert.match(
    problems.join('\n'),
    /posts_1\.json in .* it ends at byte \d+.*\n.*posts_2\.json in .* does not begin with a list.*\n.*posts_3\.json in .* its CRC-32/,
  );
});

test('what is no such export is refused with what to ask the platform for', async () => {
  for (const [kind, told] of [
    [FACEBOOK_DOWNLOAD, /no posts of Facebook in JSON/],
    [INSTAGRAM_DOWNLOAD, /no posts of Instagram in JSON/],
    [YOUTUBE_TAKEOUT, /no table of videos or comments/],
  ] as const)
    await assert.rejects(readAll(kind, { 'posts/your_posts_1.html': '<html>' }), (error: unknown) => {
      assert.ok(error instanceof InputError);
      assert.match(error.message, told);
      assert.notEqual(error.hint, undefined);
      return true;
    });
});

async function rowsOf(text: string, delimiter: string | null, size: number, longest?: number) {
  async function* chunks() {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }
  const rows = [];
  for await (const row of cutRows(chunks(), delimiter, longest)) rows.push(row);
  return rows;
}

test('rows of a table are cut exactly as they stand, however it comes in pieces', async () => {
  const rows = ['a,"b ""c"", d",', '"line\r\nline",5" pipe,ü🏛', '"""",,""', 'x'];
  const cells = [['a', 'b "c", d', ''], ['line\r\nline', '5" pipe', 'ü🏛'], ['"', '', ''], ['x']];
  const text = `${rows.join('\r\n')}\n\n`;
  for (let size = 1; size < 30; size += 1) {
    const cut = await rowsOf(text, ',', size);
    assert.deepEqual(
      cut.map(({ bytes }) => bytes.toString('utf8')),
      rows,
    );
    assert.deepEqual(
      cut.map(({ bytes }) => cellsOf(bytes, ',')),
      cells,
    );
    for (const { offset, bytes } of cut)
      assert.ok(
        Buffer.from(text)
          .subarray(offset, offset + bytes.length)
          .equals(bytes),
      );
  }
  assert.deepEqual(
    (await rowsOf('{"a":"\n', null, 3)).map(({ isWhole }) => isWhole),
    [true],
  );
  const unended = await rowsOf(`ok\n"never ${'x'.repeat(200_000)}`, ',', 1000, 1000);
  assert.deepEqual(
    unended.map(({ isWhole }) => isWhole),
    [true, false],
  );
  assert.ok((unended[1]?.bytes.length ?? 0) < 3000);
  for (const [row, told] of [
    ['"a"b,c', /after the end/],
    ['"a', /no end/],
    ['"a""', /no end/],
    [Buffer.from([0xff]), /not UTF-8/],
  ] as const)
    assert.throws(() => cellsOf(Buffer.from(row as string), ','), told);
});

const VIDEOS =
  'Video ID,Approximate Duration (ms),Video Audio Language,Video Description (Original),Channel ID,Video Tag 1,Video Tag 2,Video Title (Original),Privacy,Video Create Timestamp';

test('a Takeout is known by its columns, and its videos and comments have the names that the platform gives them', async () => {
  const comments = [
    'Comment ID,Channel ID,Comment create timestamp,Price,Parent comment ID,Post ID,Video ID,Comment text,Top-level comment ID',
    'UgxAAAAAAAAAAAAAAAAA,UCcity,2024-02-03T04:05:06.789Z,0,,,abcdefghijk,"{""text"":""Thank you, ""},{""text"":""@ann"",""mention"":{}}",',
    'UgxAAAAAAAAAAAAAAAAA.9b,UCcity,2023-09-19T17:42:53.434647+00:00,0,UgxAAAAAAAAAAAAAAAAA,,abcdefghijk,"{""takeoutSegments"":[{""text"":""Old""}]}",',
    'UgxBBBBBBBBBBBBBBBBB,UCcity,2024-02-03,0,,Ugkpost,,{plain,',
    'short,row',
    '?,UCcity,,0,,,abcdefghijk,x,',
  ];
  const { items, rejected, left, problems, pieces, opened } = await readAll(YOUTUBE_TAKEOUT, {
    'Takeout/YouTube und YouTube Music/Kommentare/Kommentare.csv': comments.join('\n'),
    'Takeout/YouTube und YouTube Music/Videometadaten/Videos.csv': [
      `\ufeff${VIDEOS}`,
      'abcdefghijk,1000,en,"Line\nline",UCcity,roads,,Bridges,Public,2020-01-02T03:04:05+00:00',
      'abcdefghij2,1000,,,UCcity,,,Draft,Private,2020-01-02T03:04:05+00:00',
    ].join('\r\n'),
    'Takeout/YouTube und YouTube Music/Kanäle/Kanal.csv':
      'Channel ID,Channel Country,Channel Title (Original)\nUCcity,US,City of Example\n',
    'Takeout/YouTube und YouTube Music/Playlists/a.csv': 'Video ID,Time Added\nabcdefghijk,x\n',
    'Takeout/YouTube und YouTube Music/Videos/Bridges.mp4': 'film',
    'Takeout/YouTube und YouTube Music/my-comments/my-comments.html': '<html>',
  });
  assert.deepEqual(opened.accounts, ['UCcity']);
  assert.deepEqual(
    items.map(({ identity, item }) => [
      identity.namespace,
      identity.platformId,
      item.text,
      item.createdAt,
      item.inReplyTo,
    ]),
    [
      ['youtube-id', 'abcdefghijk', 'Line\nline', '2020-01-02T03:04:05+00:00', null],
      ['youtube-id', 'UgxAAAAAAAAAAAAAAAAA', 'Thank you, @ann', '2024-02-03T04:05:06.789Z', 'abcdefghijk'],
      [
        'youtube-id',
        'UgxAAAAAAAAAAAAAAAAA.9b',
        'Old',
        '2023-09-19T17:42:53.434647+00:00',
        'UgxAAAAAAAAAAAAAAAAA',
      ],
      ['youtube-id', 'UgxBBBBBBBBBBBBBBBBB', '{plain', null, 'Ugkpost'],
    ],
  );
  assert.deepEqual(
    [items[0]?.item.title, items[0]?.item.tags.join(), items[0]?.item.author.name],
    ['Bridges', 'roads', 'City of Example'],
  );
  assert.equal(Buffer.from(pieces[2]?.bytes ?? []).toString('utf8'), comments[1]);
  assert.match(rejected.join('\n'), /a row of 2 cells, where the first row names 9\n.*none of YouTube/);
  assert.deepEqual(left, ['private videos, and make no record']);
  assert.match(
    problems.join('\n'),
    /my-comments\.html\).*not read.*\n.*1 files of videos are named by titles/,
  );
});

test('times of other archives are read by a pattern and a zone, and none is guessed', () => {
  for (const [text, format, zone, moment] of [
    ['3/4/2024 1:05 PM', 'M/d/yyyy h:mm a', 'America/New_York', '2024-03-04T18:05:00Z'],
    ['12/31/2024 12:00 am', 'M/d/yyyy h:mm a', 'UTC', '2024-12-31T00:00:00Z'],
    ['03.04.2024 13:05:06', 'dd.MM.yyyy HH:mm:ss', 'Europe/Berlin', '2024-04-03T11:05:06Z'],
    ['2024-11-03 01:30', 'yyyy-MM-dd HH:mm', 'America/New_York', '2024-11-03T05:30:00Z'],
    ['2024-03-04T05:06:07', 'iso', 'America/New_York', '2024-03-04T10:06:07Z'],
    ['1700000000', 'epoch-seconds', null, '2023-11-14T22:13:20Z'],
    ['1700000000000', 'epoch-milliseconds', null, '2023-11-14T22:13:20Z'],
    ['3/4/2024 1:05 PM', 'M/d/yyyy h:mm a', null, null],
    ['30.02.2024', 'dd.MM.yyyy', 'UTC', null],
    ['3/4/2024 13:05 PM', 'M/d/yyyy h:mm a', 'UTC', null],
    ['2024x01x02', 'yyyy.MM.dd', 'UTC', null],
    ['yesterday', 'epoch-seconds', null, null],
  ] as const) {
    assert.ok(isTimeFormat(format), format);
    assert.equal(readTime(text, format, zone), moment, text);
  }
  for (const format of [
    'yyyy',
    'M/d/yyyy h:mm',
    'dd.MM.yyyy HH:mm a',
    'dd.MM.yyyy mm',
    '(.*)+yyyyMMdd',
    'd.d.yyyy M',
  ])
    assert.ok(!isTimeFormat(format), format);
});

async function mappedBy(yaml: string): Promise<ExportKind> {
  const path = join(folder, `mapping ${files++}.yaml`);
  await writeFile(path, yaml);
  return exportKind('mapping', path);
}

const MAP = `
format: csv
delimiter: ;
file: posts.csv
platform: { column: Network, values: { FB: facebook, IG: instagram } }
namespace: graph-id
columns:
  id: Post ID
  author: Author
  time: { column: Date, format: "M/d/yyyy h:mm a", zone: America/New_York }
  text: Message
  url: Link
  kind: { column: Type, values: { Post: post, Comment: reply } }
  parent: In reply to
  attachments: { column: Files, separator: "|" }
leaveOut: { column: Type, values: [DM] }
`;

test('another archive’s table is read as its mapping says: ids are those of the namespace that it names, and the bytes stay as they came', async () => {
  const rows = [
    'Network;Post ID;Author;Date;Message;Link;Type;In reply to;Files',
    'FB;1_2;City;3/4/2024 1:05 PM;"Roads; ""bridges""\nopen";https://facebook.com/1_2;Post;;a.png|https://cdn.example/b.jpg',
    'IG;17;Ann;3/4/2024 1:06 PM;Thanks;;Comment;16;',
    'IG;18;Ann;3/4/2024 1:06 PM;Private;;DM;;',
    'TT;19;Ann;;x;;Post;;',
    'IG;;Ann;;x;;Post;;',
    'IG;20;Ann;4.3.2024;x;;Post;;',
    'IG;21;Ann;;x;;Poll;;',
  ];
  const content = {
    'export/posts.csv': rows.join('\r\n'),
    'export/a.png': PNG,
    'export/users.csv': 'a\n1\n',
  };
  const { items, rejected, left, pieces } = await readAll(await mappedBy(MAP), content);
  assert.deepEqual(items.map(shortly), [
    ['post', '2024-03-04T18:05:00Z', 'Roads; "bridges"\nopen', ['export/a.png', 'https://cdn.example/b.jpg']],
    ['reply', '2024-03-04T18:06:00Z', 'Thanks', []],
  ]);
  assert.deepEqual(
    items.map(({ identity, item }) => [identity, item.inReplyTo]),
    [
      [{ platform: 'facebook', namespace: 'graph-id', platformId: '1_2' }, null],
      [{ platform: 'instagram', namespace: 'graph-id', platformId: '17' }, '16'],
    ],
  );
  assert.equal(Buffer.from(pieces[0]?.bytes ?? []).toString('utf8'), rows[1]);
  assert.equal(left.length, 1);
  assert.match(
    rejected.join('\n'),
    /platform that the mapping does not name\nit has no id under Post ID\nits time .4\.3\.2024. .*\nof a kind/,
  );
});

test('JSON and JSON Lines of another archive are read alike; without ids no match is claimed, and the import says so', async () => {
  const list = [
    { who: { name: 'City' }, at: 1_700_000_000, body: 'One', files: ['x.png', 'y.png'] },
    { who: { name: 'City' }, at: 1_700_000_001, body: 'One' },
    { who: 1 },
    'text',
  ];
  const columns = `
platform: x
columns:
  author: who.name
  time: { column: at, format: epoch-seconds }
  text: body
  attachments: { column: files, separator: "\\n" }
`;
  const json = await readAll(
    await mappedBy(`format: json\nlist: items${columns}`),
    Buffer.from(JSON.stringify({ total: 4, items: list })),
    'old.json',
  );
  const lines = await readAll(
    await mappedBy(`format: json-lines${columns}`),
    Buffer.from(`\ufeff${list.map((one) => JSON.stringify(one)).join('\n')}\n\n{"a":\n`),
    'old.jsonl',
  );
  assert.deepEqual(json.items.map(shortly), [
    ['post', '2023-11-14T22:13:20Z', 'One', ['x.png', 'y.png']],
    ['post', '2023-11-14T22:13:21Z', 'One', []],
  ]);
  assert.deepEqual(lines.items, json.items);
  assert.deepEqual([json.rejected.length, lines.rejected.length], [2, 3]);
  for (const { identity } of json.items)
    assert.deepEqual([identity.platform, identity.namespace], ['x', 'mapping']);
  assert.notEqual(json.items[0]?.identity.platformId, json.items[1]?.identity.platformId);
  assert.match(json.problems.join(), /standing-gap: The mapping names no ids/);
});

test('a mapping with faults is told each with its place, and reads nothing', async () => {
  for (const [yaml, told] of [
    [MAP.replace('format: csv', 'format: xml'), /mapping \d+\.yaml:2:9: format: must be one of csv/],
    [MAP.replace('namespace: graph-id\n', ''), /namespace/],
    [MAP.replace('h:mm a', 'h:mm'), /:10:\d+: .*must be iso, epoch-seconds/],
    [MAP.replace('America/New_York', 'Mars/Base'), /is no zone/],
    [MAP.replace('Type, values: { Post: post', 'Type, values: { Post: tweet'), /must be one of post, reply/],
    [MAP.replace('  text: Message\n', ''), /the key “text” is missing/],
    [`${MAP}\nfoo: 1\n`, /unknown key “foo”/],
    ['format: csv\nplatform: x\ncolumns: { text: a }\n', /nothing would tell two rows apart/],
  ] as const)
    await assert.rejects(mappedBy(yaml), (error: unknown) => {
      assert.ok(error instanceof InputError);
      assert.match(error.message, told);
      return true;
    });
  await assert.rejects(exportKind('mapping'), /read by a mapping/);
  await assert.rejects(exportKind('x', 'm.yaml'), /without a mapping/);
  await assert.rejects(exportKind('myspace'), /no kind of export/);
  const unclear = readAll(await mappedBy(MAP.replace('file: posts.csv\n', '')), {
    'a.csv': 'x',
    'b.csv': 'y',
  });
  await assert.rejects(unclear, /several files that may be the items/);
});
