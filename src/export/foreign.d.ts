// Types of the four typesetting packages that ship none: only what this folder calls.

declare module 'bidi-js' {
  export interface EmbeddingLevels {
    levels: Uint8Array;
    paragraphs: { start: number; end: number; level: number }[];
  }
  export interface Bidi {
    getEmbeddingLevels(text: string, direction?: 'ltr' | 'rtl' | 'auto'): EmbeddingLevels;
    getMirroredCharacter(character: string): string | null;
  }
  function bidiFactory(): Bidi;
  export = bidiFactory;
}

declare module 'linebreak' {
  class LineBreaker {
    constructor(text: string);
    nextBreak(): { position: number; required: boolean } | null;
  }
  export = LineBreaker;
}

declare module 'wawoff2' {
  /** WOFF2 bytes → the TrueType or OpenType font inside. */
  export function decompress(woff2: Uint8Array): Promise<Uint8Array>;
}

declare module 'fontkit' {
  export interface Glyph {
    id: number;
    codePoints: number[];
    advanceWidth: number;
    path: { commands: { command: string; args: number[] }[] };
  }
  export interface GlyphPosition {
    xAdvance: number;
    yAdvance: number;
    xOffset: number;
    yOffset: number;
  }
  export interface Font {
    postscriptName: string;
    unitsPerEm: number;
    ascent: number;
    descent: number;
    hasGlyphForCodePoint(codePoint: number): boolean;
    glyphForCodePoint(codePoint: number): Glyph;
    /** By axis tag; empty unless the font is variable. */
    variationAxes: Record<string, { default: number }>;
    createSubset(): object;
    getGlyph(id: number, codePoints?: number[]): Glyph;
    getVariation(settings: Record<string, number>): Font;
    layout(
      text: string,
      features?: Record<string, boolean>,
      script?: string,
      language?: string,
      direction?: 'ltr' | 'rtl',
    ): { glyphs: Glyph[]; positions: GlyphPosition[] };
  }
  export function create(bytes: Uint8Array): Font;
}
