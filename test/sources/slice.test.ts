import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JsonPart, readJsonDocument, UnreadableJsonError } from '../../src/sources/slice.ts';

/** A small generator with a seed, so that a failure can be repeated. */
function generator(seed: number) {
  let state = seed >>> 0;
  return (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const STRINGS = [
  '',
  'é',
  '😀',
  '"',
  '\\',
  '\u0000',
  '\ud800',
  ']}',
  '{"a":1}',
  '\u2028',
  ',:',
  'a\\"',
  '__proto__',
  '١٢',
];
// V8 14.6 itself takes an escaped key for the key \\ when an earlier object had that one, so it stands among the values only.
const KEYS = STRINGS.filter((text) => text !== '\\');
const SPACES = ['', ' ', '\n', '\t \r\n'];

/** JSON text with every kind of spacing, escapes and repeated keys. */
function jsonText(pick: (below: number) => number, depth: number): string {
  const space = (): string => SPACES[pick(SPACES.length)] as string;
  const string = (choice: readonly string[]): string => {
    const text = JSON.stringify(choice[pick(choice.length)]);
    return pick(3) === 0
      ? text.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
      : text;
  };
  const kind = pick(depth > 0 ? 7 : 5);
  const content =
    kind === 0
      ? string(STRINGS)
      : kind === 1
        ? ['0', '-1.5e+3', '1E9', '123456789012345678901234567890'][pick(4)]
        : kind === 2
          ? 'true'
          : kind === 3
            ? 'null'
            : kind === 4
              ? ['[]', '{}', '[ ]', '{\n}'][pick(4)]
              : kind === 5
                ? `[${Array.from({ length: 1 + pick(4) }, () => jsonText(pick, depth - 1)).join(',')}]`
                : `{${Array.from({ length: 1 + pick(4) }, () => `${space()}${string(KEYS)}${space()}:${jsonText(pick, depth - 1)}`).join(',')}}`;
  return space() + content + space();
}

/** @param found what JSON.parse finds in that place of the whole document */
function checkAll(part: JsonPart, body: Buffer, found: unknown): number {
  const slice = Buffer.from(part.slice());
  assert.deepEqual(slice, body.subarray(part.offset, part.offset + slice.length));
  assert.deepEqual(JSON.parse(slice.toString('utf8')), part.value);
  assert.deepEqual(part.value, found);
  let checked = 1;
  const elements = part.elements();
  assert.equal(elements.length, Array.isArray(found) ? found.length : 0);
  for (const [index, element] of elements.entries())
    checked += checkAll(element, body, (found as unknown[])[index]);
  if (found !== null && typeof found === 'object' && !Array.isArray(found)) {
    for (const [name, value] of Object.entries(found)) {
      const member = part.member(name);
      assert.ok(member, `no member ${JSON.stringify(name)}`);
      checked += checkAll(member, body, value);
    }
  }
  assert.equal(part.member('a name that nothing has'), undefined);
  return checked;
}

test('every value of any JSON document is cut as exactly the bytes that it was read from', () => {
  const pick = generator(20261101);
  let checked = 0;
  for (let round = 0; round < 2000; round += 1) {
    const text = jsonText(pick, 6);
    const body = Buffer.from((round % 5 === 0 ? '\ufeff' : '') + text);
    const document = readJsonDocument(body);
    assert.deepEqual(document.value, JSON.parse(text));
    checked += checkAll(document, body, document.value);
  }
  assert.ok(checked > 4000, `${checked} values`);
});

test('of a repeated key the last one counts, for the value and for its bytes', () => {
  const document = readJsonDocument(Buffer.from('{"a":[1], "a" : [2, 3]}'));
  assert.equal(Buffer.from(document.member('a')?.slice() ?? []).toString(), '[2, 3]');
});

for (const [title, body] of [
  ['nothing', ''],
  ['a web page', '<html></html>'],
  ['a cut-off document', '{"a":[1,'],
  ['two documents', '{} {}'],
  ['a trailing comma', '[1,]'],
] as const) {
  test(`${title} is not read as JSON`, () => {
    assert.throws(() => readJsonDocument(Buffer.from(body)), UnreadableJsonError);
  });
}

test('bytes that are not UTF-8 are not read as JSON', () => {
  assert.throws(() => readJsonDocument(Buffer.from([0x22, 0xff, 0x22])), UnreadableJsonError);
});

test('nesting beyond the limit is refused without exhausting the stack', () => {
  assert.throws(
    () => readJsonDocument(Buffer.from('['.repeat(200_000) + ']'.repeat(200_000))),
    UnreadableJsonError,
  );
  const deep = readJsonDocument(Buffer.from('['.repeat(1000) + ']'.repeat(1000)));
  assert.throws(() => deep.slice(), UnreadableJsonError);
});

test('of what nests too deeply to be an item every part is still told, each read once', () => {
  const levels = 4000;
  const document = readJsonDocument(Buffer.from(`${'{"a":['.repeat(levels / 2)}1${']}'.repeat(levels / 2)}`));
  let depth = 0;
  for (let part: JsonPart | undefined = document; part !== undefined; depth += 1) {
    const inner: JsonPart | undefined = part.member('a') ?? part.elements()[0];
    if (inner !== undefined) assert.equal(typeof inner.value, depth === levels - 1 ? 'number' : 'object');
    part = inner;
  }
  assert.equal(depth, levels + 1);
});
