// Mutates answers: bytes, JSON values and types, lengths, encodings, truncation, doubled and swapped parts. Everything follows from a seed.

/** @returns numbers in [0, 1), the same ones for the same seed (splitmix32) */
export function randomFrom(seed: string): () => number {
  let state = 0x811c9dc5;
  for (const byte of Buffer.from(seed)) state = Math.imul(state ^ byte, 0x01000193);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    mixed ^= mixed >>> 15;
    return (mixed >>> 0) / 2 ** 32;
  };
}

type Random = () => number;
export interface Mutated {
  readonly name: string;
  readonly body: Buffer;
}

const below = (random: Random, limit: number): number => Math.floor(random() * limit);
function pick<T>(random: Random, from: readonly T[]): T {
  return from[below(random, from.length)] as T;
}

function span(random: Random, length: number): [from: number, to: number] {
  const from = below(random, length);
  return [from, Math.min(length, from + 1 + below(random, 1 + below(random, length)))];
}

const UNKIND_BYTES = [
  Buffer.from([0]),
  Buffer.from([0xff, 0xfe]),
  Buffer.from([0xc3]),
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.from('\u202e\u0000\ufeff'),
  Buffer.from('<![CDATA['),
  Buffer.from(']]>'),
  Buffer.from('<!DOCTYPE a [<!ENTITY b "c">]>'),
  Buffer.from('&#0;&#xD800;&nbsp;&b;'),
  Buffer.from('</item>'),
  Buffer.from('"}]},'),
  Buffer.from('\\ud83d'),
  Buffer.alloc(5000, '['),
  Buffer.alloc(5000, '<a>'),
];

type ByteMutation = (body: Buffer, random: Random) => Buffer;
const BYTES: Readonly<Record<string, ByteMutation>> = {
  'flipped bits': (body, random) => {
    const copy = Buffer.from(body);
    for (let times = 1 + below(random, 4); times > 0; times -= 1) {
      const at = below(random, copy.length);
      copy[at] = (copy[at] as number) ^ (1 << below(random, 8));
    }
    return copy;
  },
  'other bytes': (body, random) => {
    const copy = Buffer.from(body);
    for (let times = 1 + below(random, 8); times > 0; times -= 1)
      copy[below(random, copy.length)] = below(random, 256);
    return copy;
  },
  'bytes put in': (body, random) => {
    const at = below(random, body.length);
    return Buffer.concat([body.subarray(0, at), pick(random, UNKIND_BYTES), body.subarray(at)]);
  },
  'bytes left out': (body, random) => {
    const [from, to] = span(random, body.length);
    return Buffer.concat([body.subarray(0, from), body.subarray(to)]);
  },
  'bytes doubled': (body, random) => {
    const [from, to] = span(random, body.length);
    return Buffer.concat([body.subarray(0, to), body.subarray(from)]);
  },
  truncated: (body, random) => body.subarray(0, below(random, body.length)),
  'in another encoding': (body, random) =>
    pick(random, [
      () => Buffer.from(body.toString('utf8'), 'utf16le'),
      () => Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(body.toString('utf8'), 'utf16le')]),
      () => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), body]),
      () => Buffer.from(body.toString('latin1'), 'utf8'),
      () => Buffer.from(body.toString('base64')),
    ])(),
};

/** Parts of a text that are alike change places, go, or come twice: elements of XML, lines, attributes. */
const TEXTS: Readonly<Record<string, (text: string, random: Random) => string>> = {
  'an element doubled': (text, random) => withElement(text, random, (element) => element + element),
  'an element left out': (text, random) => withElement(text, random, () => ''),
  'an element emptied': (text, random) =>
    withElement(text, random, (element) => element.replace(/>[\s\S]*</, '><')),
  'an element within itself': (text, random) =>
    withElement(text, random, (element) => element.replace('>', () => `>${element}`)),
  'an element with another’s name': (text, random) =>
    withElement(text, random, (element) =>
      element.replaceAll(/^<[\w:]+|[\w:]+>$/g, (tag) => (tag.startsWith('<') ? '<link' : 'link>')),
    ),
  'elements swapped': (text, random) => {
    const elements = elementsOf(text);
    if (elements.length < 2) return text;
    const [one, other] = [pick(random, elements), pick(random, elements)];
    return text
      .replace(one, () => '\u0001')
      .replace(other, () => one)
      .replace('\u0001', () => other);
  },
  'a long text': (text, random) =>
    withElement(text, random, (element) =>
      element.replace('>', () => `>${'x'.repeat(10 ** (2 + below(random, 4)))}`),
    ),
};

function elementsOf(text: string): string[] {
  return [...text.matchAll(/<([\w:]+)[^>]*>(?:(?!<\1)[\s\S])*?<\/\1>/g)].map(([element]) => element);
}

function withElement(text: string, random: Random, change: (element: string) => string): string {
  const inner = [
    ...elementsOf(text),
    ...elementsOf(text.replace(/<\/?(rss|channel|feed)[^>]*>/g, '')),
  ].flatMap((element) => [element, ...elementsOf(element.slice(1))]);
  if (inner.length === 0) return text;
  const element = pick(random, inner);
  return text.replace(element, () => change(element));
}

const nested = (depth: number): unknown => (depth === 0 ? 'deep' : [nested(depth - 1)]);

/** What may stand where something else is due. */
const UNKIND_VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  2 ** 53,
  '1e999',
  '',
  ' ',
  '\u0000',
  '\ud800',
  '\u202eabc',
  'x'.repeat(100_000),
  'é'.repeat(3000),
  'javascript:alert(1)',
  'http://169.254.169.254/',
  'at://did:plc:x/app.bsky.feed.post/1',
  '2026-13-45T99:99:99Z',
  '9999999-01-01T00:00:00Z',
  [],
  {},
  [null],
  { $type: 'x' },
  { length: 3 },
  nested(300),
];

interface Place {
  readonly holder: Record<string, unknown>;
  readonly name: string;
}

function placesOf(value: unknown): Place[] {
  const found: Place[] = [];
  const waiting = [value];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next === null || typeof next !== 'object') continue;
    const holder = next as Record<string, unknown>;
    for (const name of Object.keys(holder)) {
      found.push({ holder, name });
      waiting.push(holder[name]);
    }
  }
  return found;
}

type JsonMutation = (places: readonly Place[], random: Random) => void;
const VALUES: Readonly<Record<string, JsonMutation>> = {
  'another value': (places, random) => {
    const { holder, name } = pick(random, places);
    // A copy: a later mutation may change what stands in it.
    holder[name] = structuredClone(pick(random, UNKIND_VALUES));
  },
  'another type': (places, random) => {
    const { holder, name } = pick(random, places);
    const value = holder[name];
    holder[name] =
      typeof value === 'string'
        ? [value]
        : typeof value === 'number'
          ? String(value)
          : Array.isArray(value)
            ? { ...value }
            : [value];
  },
  'another length': (places, random) => {
    const texts = places.filter(({ holder, name }) => typeof holder[name] === 'string');
    if (texts.length === 0) return;
    const { holder, name } = pick(random, texts);
    const text = holder[name] as string;
    holder[name] =
      random() < 0.5 ? text.slice(0, below(random, text.length + 1)) : text.repeat(2 + below(random, 200));
  },
  'a member left out': (places, random) => {
    const { holder, name } = pick(random, places);
    if (Array.isArray(holder)) holder.splice(Number(name), 1);
    else delete holder[name];
  },
  'a member with another name': (places, random) => {
    const { holder, name } = pick(random, places);
    Object.defineProperty(
      holder,
      pick(random, ['__proto__', 'constructor', 'toJSON', 'x', name.toUpperCase()]),
      {
        value: holder[name],
        enumerable: true,
        configurable: true,
        writable: true,
      },
    );
    delete holder[name];
  },
  'an item doubled': (places, random) =>
    withList(places, random, (list) => list.push(structuredClone(pick(random, list)))),
  'an item left out': (places, random) =>
    withList(places, random, (list) => list.splice(below(random, list.length), 1)),
  'items swapped': (places, random) =>
    withList(places, random, (list) => list.push(...list.splice(0, 1 + below(random, list.length)))),
  'values swapped': (places, random) => {
    const [one, other] = [pick(random, places), pick(random, places)];
    const kept = structuredClone(one.holder[one.name]);
    one.holder[one.name] = structuredClone(other.holder[other.name]);
    other.holder[other.name] = kept;
  },
  'items of another length': (places, random) =>
    withList(places, random, (list) => {
      list.push(...Array.from({ length: 50 }, () => structuredClone(list[0])));
    }),
};

function withList(places: readonly Place[], random: Random, change: (list: unknown[]) => void): void {
  const lists = places.flatMap(({ holder, name }) =>
    Array.isArray(holder[name]) ? [holder[name] as unknown[]] : [],
  );
  const filled = lists.filter((list) => list.length > 0);
  if (filled.length > 0) change(pick(random, filled));
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** @param body not empty. @returns it as a hostile or broken server might send it */
export function mutated(body: Buffer, random: Random): Mutated {
  const value = parsed(body);
  const isStructured = random() < 0.7;
  if (isStructured && value !== null && typeof value === 'object') {
    const names: string[] = [];
    for (let times = 1 + below(random, 2); times > 0; times -= 1) {
      const places = placesOf(value);
      if (places.length === 0) break;
      const name = pick(random, Object.keys(VALUES));
      names.push(name);
      VALUES[name]?.(places, random);
    }
    return {
      name: names.join(', '),
      body: Buffer.from(JSON.stringify(value).replaceAll('"1e999"', '1e999')),
    };
  }
  if (isStructured && value === undefined) {
    const name = pick(random, Object.keys(TEXTS));
    return { name, body: Buffer.from(TEXTS[name]?.(body.toString('utf8'), random) ?? '') };
  }
  const name = pick(random, Object.keys(BYTES));
  return { name, body: BYTES[name]?.(body, random) ?? body };
}
