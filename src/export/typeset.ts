// Turns text in any script into lines of positioned glyphs: unseen characters made visible, bidirectional order
// (UAX 9), line breaks (UAX 14, dictionary words for Thai and its neighbours, graphemes where nothing else fits).
// Nothing is ever dropped: what no font draws stands as its code point, `[U+1F000]`.

import bidiFactory from 'bidi-js';
import type { Font, Glyph } from 'fontkit';
import LineBreaker from 'linebreak';
import { type Face, type Family, type FontSet, type HanRegion, hanRegion, isInvisible } from './fonts.ts';

export interface TextStyle {
  family: Family;
  /** Points. */
  size: number;
}

/** Neighbouring glyphs of one face, in the order in which they are drawn from left to right. */
export interface GlyphRun {
  face: Face;
  glyphs: PlacedGlyph[];
  /** Points. */
  width: number;
  /** The characters it stands for, in reading order; brackets as drawn, that is mirrored in right-to-left. */
  text: string;
  /** UAX 9 embedding level: odd is right-to-left. */
  level: number;
}

/** Distances in points from the pen, which then moves by `advance`. */
export interface PlacedGlyph {
  glyph: Glyph;
  dx: number;
  dy: number;
  advance: number;
}

export interface Line {
  /** In visual order, left to right. */
  runs: GlyphRun[];
  width: number;
  rightToLeft: boolean;
}

const bidi = bidiFactory();
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const words = new Intl.Segmenter('th', { granularity: 'word' });
/** Scripts that write no space between words: UAX 14 leaves them to a dictionary. */
const NO_SPACES = /[\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
/** Scripts that share the text faces but are shaped by rules of their own. */
const OWN_SHAPING = [
  /\p{Script=Devanagari}/u,
  /\p{Script=Latin}/u,
  /\p{Script=Greek}/u,
  /\p{Script=Cyrillic}/u,
];
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}]/u;

/** Sets off a value inside other words, so that its own direction cannot disturb them (UAX 9 FSI … PDI). */
export function isolate(text: string): string {
  return `\u2068${text.replace(/[\u2066-\u2069]/g, '')}\u2069`;
}

export class Typesetter {
  readonly #fonts: FontSet;
  readonly #units = new Map<string, GlyphRun[]>();

  constructor(fonts: FontSet) {
    this.#fonts = fonts;
  }

  /**
   * Lines of `text`, none wider than `width` points. `direction` auto: each paragraph's by its first strong
   * letter. `language` (BCP 47) chooses between national shapes of Han ideographs.
   */
  async lines(
    text: string,
    style: TextStyle,
    width: number,
    options: { direction?: 'ltr' | 'auto'; language?: string | undefined } = {},
  ): Promise<Line[]> {
    const region = hanRegion(text, options.language);
    await this.#fonts.prepare(text, region);
    return text
      .split(/\r\n|[\n\r\u0085\u2028\u2029]/)
      .flatMap((paragraph) => this.#paragraph(paragraph, style, width, region, options.direction ?? 'auto'));
  }

  #paragraph(
    source: string,
    style: TextStyle,
    width: number,
    region: HanRegion,
    direction: 'ltr' | 'auto',
  ): Line[] {
    const text = makeVisible(
      source,
      (cluster) => this.#fonts.faceFor(cluster, style.family, region) !== undefined,
    );
    const { levels, paragraphs } = bidi.getEmbeddingLevels(text, direction);
    const rightToLeft = ((paragraphs[0]?.level ?? 0) & 1) === 1;
    const lines: Line[] = [];
    let runs: GlyphRun[] = [];
    let used = 0;
    const endLine = () => {
      lines.push(this.#line(runs, rightToLeft));
      runs = [];
      used = 0;
    };
    const shape = (from: number, to: number) =>
      this.#shape(text.slice(from, to), levels.subarray(from, to), style, region);
    for (const [from, to] of breakable(text)) {
      const unit = shape(from, to);
      const visible = widthOf(shape(from, from + text.slice(from, to).trimEnd().length));
      if (runs.length > 0 && used + visible > width) endLine();
      if (visible <= width) {
        runs.push(...unit);
        used += widthOf(unit);
        continue;
      }
      let start = from; // nothing allows a break: between graphemes then
      for (const { segment, index } of graphemes.segment(text.slice(from, to))) {
        const end = from + index + segment.length;
        if (from + index > start && widthOf(shape(start, end)) > width) {
          runs.push(...shape(start, from + index));
          endLine();
          start = from + index;
        }
      }
      const rest = shape(start, to);
      runs.push(...rest);
      used += widthOf(rest);
    }
    endLine();
    return lines;
  }

  #line(logical: GlyphRun[], rightToLeft: boolean): Line {
    while (logical.length > 0 && /^\s*$/u.test(logical.at(-1)?.text ?? '')) logical.pop();
    const runs = visualOrder(logical);
    return { runs, width: widthOf(runs), rightToLeft };
  }

  /** Glyph runs of an unbreakable piece in reading order; the trailing space is a run of its own. */
  #shape(text: string, levels: Uint8Array, style: TextStyle, region: HanRegion): GlyphRun[] {
    const key = `${style.family} ${style.size} ${region} ${levels.join('')} ${text}`;
    const known = this.#units.get(key);
    if (known !== undefined) return known;
    if (this.#units.size >= 4_000) this.#units.clear();
    const parts: { face: Face; level: number; text: string; rule: number }[] = [];
    const add = (cluster: string, level: number) => {
      const face = this.#fonts.faceFor(cluster, style.family, region);
      if (face === undefined) {
        const characters = [...cluster];
        if (characters.length > 1) for (const character of characters) add(character, level);
        return; // alone and undrawn: makeVisible has replaced those, so it is an invisible one
      }
      const drawn = ((level & 1) === 1 && bidi.getMirroredCharacter(cluster)) || cluster;
      const last = parts.at(-1);
      const own = OWN_SHAPING.findIndex((script) => script.test(cluster));
      const space = /^\s+$/u.test(cluster);
      const rule = space ? -2 : own === -1 && last !== undefined && last.rule !== -2 ? last.rule : own;
      if (last?.face === face && last.level === level && last.rule === rule) last.text += drawn;
      else parts.push({ face, level, text: drawn, rule });
    };
    for (const { segment, index } of graphemes.segment(text)) add(segment, levels[index] ?? 0);
    const runs = parts.map((part) => layOut(part.face, part.text, part.level, style.size));
    this.#units.set(key, runs);
    return runs;
  }
}

function layOut(face: Face, text: string, level: number, size: number): GlyphRun {
  const scale = size / face.font.unitsPerEm;
  const direction = (level & 1) === 1 ? 'rtl' : 'ltr';
  const { glyphs, positions } = shaped(face.font, inDrawingOrder(text), direction);
  const space = face.font.glyphForCodePoint(0x20).id;
  const placed: PlacedGlyph[] = [];
  let width = 0;
  for (const [index, glyph] of glyphs.entries()) {
    const position = positions[index];
    // Invisible characters come back as glyph 0 or as a space without width (see makeVisible).
    if (position === undefined || glyph.id === 0 || (glyph.id === space && position.xAdvance === 0)) continue;
    const advance = position.xAdvance * scale;
    placed.push({ glyph, dx: position.xOffset * scale, dy: position.yOffset * scale, advance });
    width += advance;
  }
  return { face, glyphs: placed, width, text, level };
}

/**
 * fontkit knows no rules for Myanmar, Thai and Lao: vowel sign E and medial RA are drawn before their consonant,
 * and the ring of SARA AM below a tone mark.
 */
function inDrawingOrder(text: string): string {
  return text
    .replace(
      /([\u1000-\u102a\u103f](?:\u1039[\u1000-\u1021])*)([\u103b-\u103e]*)(\u1031?)/g,
      (_, base, medials, e) => {
        const ra = medials.includes('\u103c') ? '\u103c' : '';
        return `${e}${ra}${base}${medials.replace('\u103c', '')}`;
      },
    )
    .replace(/([\u0e48-\u0e4b]+)\u0e33/g, '\u0e4d$1\u0e32')
    .replace(/([\u0ec8-\u0ecb]+)\u0eb3/g, '\u0ecd$1\u0eb2');
}

/** Glyphs by the font's own rules; where these fail on an absurd sequence, one plain glyph a character. */
function shaped(
  font: Font,
  text: string,
  direction: 'ltr' | 'rtl',
): Pick<ReturnType<Font['layout']>, 'glyphs' | 'positions'> {
  try {
    return font.layout(text, undefined, undefined, undefined, direction);
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    const glyphs = [...text]
      .filter((each) => !isInvisible(each))
      .map((each) => font.glyphForCodePoint(each.codePointAt(0) ?? 0));
    if (direction === 'rtl') glyphs.reverse();
    return {
      glyphs,
      positions: glyphs.map(({ advanceWidth }) => ({
        xAdvance: advanceWidth,
        yAdvance: 0,
        xOffset: 0,
        yOffset: 0,
      })),
    };
  }
}

function widthOf(runs: readonly GlyphRun[]): number {
  return runs.reduce((sum, run) => sum + run.width, 0);
}

/** UAX 9 rule L2, on runs: from the highest level down to 1, reverse every stretch at that level or higher. */
function visualOrder(logical: readonly GlyphRun[]): GlyphRun[] {
  const runs = [...logical];
  const highest = runs.reduce((level, run) => Math.max(level, run.level), 0);
  for (let level = highest; level >= 1; level--) {
    for (let start = 0; start < runs.length; start++) {
      if ((runs[start]?.level ?? 0) < level) continue;
      let end = start;
      while (end < runs.length && (runs[end]?.level ?? 0) >= level) end++;
      runs.splice(start, end - start, ...runs.slice(start, end).reverse());
      start = end;
    }
  }
  return runs;
}

/** The stretches of a paragraph between which a line may break, as offsets. */
function* breakable(text: string): Generator<[number, number]> {
  const breaker = new LineBreaker(text);
  let from = 0;
  for (let next = breaker.nextBreak(); next !== null; next = breaker.nextBreak()) {
    const stretch = text.slice(from, next.position);
    if (!NO_SPACES.test(stretch)) {
      if (next.position > from) yield [from, next.position];
    } else
      for (const { segment, index } of words.segment(stretch)) {
        if (!/^\s/u.test(segment))
          yield [from + index, from + index + segment.length + spacesAfter(stretch, index + segment.length)];
      }
    from = next.position;
  }
  if (from < text.length) yield [from, text.length];
}

function spacesAfter(text: string, offset: number): number {
  return /^\s*/u.exec(text.slice(offset))?.[0].length ?? 0;
}

/**
 * The text with everything that could hide written out as its code point: unpaired surrogates, control characters,
 * embeddings and overrides (which could show a text in another order than it has), private-use characters, and
 * whatever `isDrawn` denies. Joiners, marks, isolates and selectors stay: their effect is seen.
 */
export function makeVisible(text: string, isDrawn: (cluster: string) => boolean): string {
  let visible = '';
  for (const { segment } of graphemes.segment(text)) {
    if (segment === '\t') visible += '    ';
    else if (isDrawn(segment) && !HIDDEN.test(segment)) visible += segment;
    else if (isDrawn(segment) && [...segment].every((each) => isInvisible(each) || !HIDDEN.test(each)))
      visible += segment;
    else
      for (const character of segment)
        visible +=
          isInvisible(character) || (!HIDDEN.test(character) && isDrawn(character))
            ? character
            : codePointName(character);
  }
  return visible;
}

function codePointName(character: string): string {
  const hexadecimal = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  return `\u2066[U+${hexadecimal}]\u2069`;
}
