// The open fonts (SIL OFL) that a PDF embeds, and which of them draws which character. Fonts come from npm in
// small pieces, read only when a character asks for one; `prepare` must have seen a text before it is set.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { create, type Font, type Glyph } from 'fontkit';
import { decompress } from 'wawoff2';
import { ServiceError } from '../core/errors.ts';
import { encodeOutline } from './outlines.ts';

export type Family = 'sans' | 'bold' | 'italic' | 'mono';

/** Which national shape of a Han ideograph is drawn where Unicode has one code point for several. */
export type HanRegion = 'sc' | 'tc' | 'jp' | 'kr';

/** One font file, open. `key` is unique and names package and piece. */
export interface Face {
  readonly key: string;
  readonly font: Font;
}

interface Piece {
  key: string;
  path: string;
  /** Code points the file may have: its own table decides. Absent where only the file can tell. */
  ranges?: [number, number][];
  /** Once read. */
  face?: Face;
}

const require = createRequire(import.meta.url);

const SCRIPTS = [
  ...['arabic', 'hebrew', 'bengali', 'gurmukhi', 'gujarati', 'oriya', 'tamil', 'telugu', 'kannada'],
  ...['malayalam', 'sinhala', 'thai', 'lao', 'khmer', 'georgian', 'armenian', 'ethiopic'],
];
const HAN_ORDER: Record<HanRegion, readonly HanRegion[]> = {
  sc: ['sc', 'tc', 'jp', 'kr'],
  tc: ['tc', 'sc', 'jp', 'kr'],
  jp: ['jp', 'sc', 'tc', 'kr'],
  kr: ['kr', 'jp', 'sc', 'tc'],
};
/** The Latin part of a script's font is left out: Noto Sans draws those characters. */
const OTHER_SUBSETS = /^(latin|cyrillic|greek|vietnamese)(-ext)?$/;

/** Characters that are rightly invisible: joiners, direction marks, isolates, selectors, soft breaks. */
const INVISIBLE: readonly (readonly [from: number, to: number])[] = [
  ...([0xad, 0x34f, 0x61c, 0x2060, 0xfeff].map((each) => [each, each]) as [number, number][]),
  [0x17b4, 0x17b5], // Khmer inherent vowels
  [0x180b, 0x180f], // Mongolian selectors
  [0x200b, 0x200f],
  [0x2061, 0x2064], // invisible operators
  [0x2066, 0x2069],
  [0xfe00, 0xfe0f],
  [0xe0020, 0xe007f], // tags: the flag of England
  [0xe0100, 0xe01ef],
];
const REGULAR = 400;
const SPACE = /\p{White_Space}/u;
const PRIVATE_USE = /\p{Co}/u;
const UNASSIGNED = /\p{Cn}/u;
const LAST_RESORT = '@fontsource/unifont';
const EMOJI = /\p{Emoji_Presentation}|\p{RI}|\ufe0f/u;

export function isInvisible(character: string): boolean {
  const codePoint = character.codePointAt(0) ?? 0;
  return INVISIBLE.some(([from, to]) => codePoint >= from && codePoint <= to);
}

/** The Han shapes a text asks for: by its language tag (BCP 47), else by the kana or hangul in it. */
export function hanRegion(text: string, language?: string): HanRegion {
  if (language !== undefined && /^ja\b/i.test(language)) return 'jp';
  if (language !== undefined && /^ko\b/i.test(language)) return 'kr';
  if (language !== undefined && /^(yue|zh.*-(hant|tw|hk|mo))\b/i.test(language)) return 'tc';
  if (/[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(text)) return 'jp';
  return /\p{Script=Hangul}/u.test(text) ? 'kr' : 'sc';
}

export class FontSet {
  readonly #families: Record<Family, Face>;
  readonly #emoji: Face;
  readonly #fallbacks: Record<HanRegion, Piece[]>;
  /** What draws a code point when the family's own font does not; null: nothing does. */
  readonly #resolved: Record<HanRegion, Map<number, Face | null>> = {
    sc: new Map(),
    tc: new Map(),
    jp: new Map(),
    kr: new Map(),
  };

  private constructor(families: Record<Family, Face>, emoji: Face, fallbacks: Record<HanRegion, Piece[]>) {
    this.#families = families;
    this.#emoji = emoji;
    this.#fallbacks = fallbacks;
  }

  /** Opens the four text families and the index of the rest. Throws ServiceError where a package is missing. */
  static async open(): Promise<FontSet> {
    const scripts = (
      await Promise.all([
        ...SCRIPTS.map((script) => pieces(`@fontsource-variable/noto-sans-${script}`, 'wght-normal')),
        pieces('@fontsource/noto-sans-myanmar', '400-normal'),
        pieces('@fontsource-variable/noto-serif-tibetan', 'wght-normal'),
        pieces('@fontsource/noto-sans-symbols', '400-normal'),
        pieces('@fontsource/noto-sans-symbols-2', '400-normal'),
        wholeFont('@fontsource/noto-sans-math', 'files/noto-sans-math-latin-400-normal.woff2'),
      ])
    ).flat();
    const han = {} as Record<HanRegion, Piece[]>;
    for (const region of HAN_ORDER.sc)
      han[region] = await pieces(`@fontsource-variable/noto-sans-${region}`, 'wght-normal');
    const emojiPiece: Piece = {
      key: 'noto-emoji',
      path: expo('noto-emoji', '400Regular/NotoEmoji_400Regular'),
    };
    const last = wholeFont(LAST_RESORT, 'files/unifont-latin-400-normal.woff2');
    const fallbacks = {} as Record<HanRegion, Piece[]>;
    for (const region of HAN_ORDER.sc)
      fallbacks[region] = [
        ...scripts,
        ...HAN_ORDER[region].flatMap((each) => han[each]),
        emojiPiece,
        ...last,
      ];
    return new FontSet(
      {
        sans: await openPiece({ key: 'sans', path: expo('noto-sans', '400Regular/NotoSans_400Regular') }),
        bold: await openPiece({ key: 'bold', path: expo('noto-sans', '700Bold/NotoSans_700Bold') }),
        italic: await openPiece({
          key: 'italic',
          path: expo('noto-sans', '400Regular_Italic/NotoSans_400Regular_Italic'),
        }),
        mono: await openPiece({
          key: 'mono',
          path: packageFile('@fontsource/noto-sans-mono', 'files/noto-sans-mono-latin-400-normal.woff2'),
        }),
      },
      await openPiece(emojiPiece),
      fallbacks,
    );
  }

  family(family: Family): Face {
    return this.#families[family];
  }

  /** Reads the fonts that a text needs beyond the family's own. */
  async prepare(text: string, region: HanRegion): Promise<void> {
    const resolved = this.#resolved[region];
    for (const character of new Set(text)) {
      const codePoint = character.codePointAt(0) ?? 0;
      if (codePoint < 0x80 || resolved.has(codePoint) || isInvisible(character)) continue;
      resolved.set(codePoint, await this.#resolve(character, codePoint, region));
    }
  }

  async #resolve(character: string, codePoint: number, region: HanRegion): Promise<Face | null> {
    if (PRIVATE_USE.test(character)) return null; // its shape is whatever two people agreed on
    if (draws(this.#families.sans, codePoint)) return this.#families.sans;
    for (const piece of this.#fallbacks[region]) {
      if (piece.key === LAST_RESORT && UNASSIGNED.test(character)) continue; // it would draw a box of digits
      if (
        piece.ranges !== undefined &&
        !piece.ranges.some(([from, to]) => codePoint >= from && codePoint <= to)
      )
        continue;
      const face = await openPiece(piece);
      if (draws(face, codePoint)) return face;
    }
    return null;
  }

  /** The face that draws every character of a grapheme cluster, or undefined where no single one does. */
  faceFor(cluster: string, family: Family, region: HanRegion): Face | undefined {
    const codePoints = [...cluster]
      .filter((each) => !isInvisible(each))
      .map((each) => each.codePointAt(0) ?? 0);
    const drawsAll = (face: Face | null | undefined) =>
      face != null && codePoints.every((codePoint) => draws(face, codePoint));
    if (EMOJI.test(cluster) && !cluster.includes('\ufe0e') && drawsAll(this.#emoji)) return this.#emoji;
    const own = this.#families[family];
    if (drawsAll(own)) return own;
    for (const codePoint of codePoints) {
      const face = this.#resolved[region].get(codePoint);
      if (face != null && drawsAll(face)) return face;
    }
    return undefined;
  }
}

const drawn = new WeakMap<Face, Map<number, boolean>>();

/** Whether a face has a mark for a code point: a glyph without an outline draws nothing unless it is a space. */
function draws(face: Face, codePoint: number): boolean {
  let known = drawn.get(face);
  if (known === undefined) {
    known = new Map();
    drawn.set(face, known);
  }
  let answer = known.get(codePoint);
  if (answer === undefined) {
    answer =
      face.font.hasGlyphForCodePoint(codePoint) &&
      (SPACE.test(String.fromCodePoint(codePoint)) ||
        face.font.glyphForCodePoint(codePoint).path.commands.length > 0);
    known.set(codePoint, answer);
  }
  return answer;
}

async function openPiece(piece: Piece): Promise<Face> {
  if (piece.face === undefined) {
    const bytes = await readFile(piece.path);
    const font = create(piece.path.endsWith('.woff2') ? await unpack(bytes) : bytes);
    const weight = font.variationAxes.wght?.default ?? REGULAR; // Thin, in many variable fonts
    const weighted = weight === REGULAR ? font : font.getVariation({ wght: REGULAR });
    allowMissingAnchors(weighted);
    keepCodePoints(weighted);
    const createSubset = weighted.createSubset.bind(weighted);
    weighted.createSubset = () =>
      Object.assign(createSubset(), { glyphEncoder: { encodeSimple: encodeOutline } });
    piece.face = { key: piece.key, font: weighted };
  }
  return piece.face;
}

interface Positioner {
  applyAnchor(mark: { markAnchor: unknown }, baseAnchor: unknown, baseIndex: number): void;
}

/** A font may leave an anchor out: such a mark stays where it stands (OpenType, GPOS). fontkit would throw. */
function allowMissingAnchors(font: Font): void {
  const { _layoutEngine } = font as Font & { _layoutEngine: { engine?: { GPOSProcessor?: Positioner } } };
  const positioner = _layoutEngine.engine?.GPOSProcessor;
  if (positioner == null) return;
  const attach = positioner.applyAnchor.bind(positioner);
  positioner.applyAnchor = (mark, baseAnchor, baseIndex) => {
    if (baseAnchor != null && mark.markAnchor != null) attach(mark, baseAnchor, baseIndex);
  };
}

/** fontkit remembers with each glyph the first characters that it stood for: here it tells those of each use. */
function keepCodePoints(font: Font): void {
  const getGlyph = font.getGlyph.bind(font);
  font.getGlyph = (id, codePoints = []) =>
    Object.create(getGlyph(id), { codePoints: { value: codePoints } }) as Glyph;
}

let unpacking: Promise<unknown> = Promise.resolve();

/** WOFF2 → sfnt, one at a time: the decoder answers with a view of memory that its next call overwrites. */
function unpack(woff2: Uint8Array): Promise<Uint8Array> {
  const unpacked = unpacking.then(async () => Uint8Array.from(await decompress(woff2)));
  unpacking = unpacked.catch(() => undefined); // its own caller hears of a failure; the next one starts afresh
  return unpacked;
}

function expo(name: string, file: string): string {
  return packageFile(`@expo-google-fonts/${name}`, `${file}.ttf`);
}

function packageFile(packageName: string, file: string): string {
  try {
    return require.resolve(`${packageName}/${file}`);
  } catch (cause) {
    throw new ServiceError(`the font package ${packageName} is not installed`, {
      cause,
      hint: 'Run npm ci again: exports need every font of package-lock.json.',
    });
  }
}

function wholeFont(packageName: string, file: string): Piece[] {
  return [{ key: packageName, path: packageFile(packageName, file) }];
}

/** fontsource's unicode.json: subset name → a CSS unicode-range. */
async function subsets(packageName: string): Promise<[string, [number, number][]][]> {
  const text = await readFile(packageFile(packageName, 'unicode.json'), 'utf8');
  return Object.entries(JSON.parse(text) as Record<string, string>).map(([name, css]) => [
    name.replace(/[[\]]/g, ''),
    css.split(',').map((range): [number, number] => {
      const [from = '', to = from] = range.trim().slice(2).split('-');
      return [Number.parseInt(from, 16), Number.parseInt(to, 16)];
    }),
  ]);
}

/** A package's files but for those of scripts that Noto Sans itself draws. */
async function pieces(packageName: string, suffix: string): Promise<Piece[]> {
  const name = packageName.slice(packageName.indexOf('/') + 1);
  return (await subsets(packageName))
    .filter(([subset]) => !OTHER_SUBSETS.test(subset))
    .map(([subset, ranges]) => ({
      key: `${name}-${subset}`,
      path: packageFile(packageName, `files/${name}-${subset}-${suffix}.woff2`),
      ranges,
    }));
}
