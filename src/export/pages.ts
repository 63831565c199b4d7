// The pages of a tagged PDF (PDF/UA structure): flowing text, two-column tables and figures over PDFKit, page after
// page, none kept. Equal input gives equal bytes: no clock, no random identifier, streams packed by fflate, since
// zlib's output differs between processors.

import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { zlibSync } from 'fflate';
import type { Glyph } from 'fontkit';
import PDFDocument from 'pdfkit';
import { type Face, isInvisible } from './fonts.ts';
import { type Picture, PictureError } from './pictures.ts';
import type { GlyphRun, Line, PlacedGlyph, TextStyle, Typesetter } from './typeset.ts';

/** US Letter, points; margins leave room for header band and footer. */
const PAGE = { width: 612, height: 792, left: 60, right: 60, top: 64, bottom: 64 };
export const TEXT_WIDTH = PAGE.width - PAGE.left - PAGE.right;

export type Color = readonly [red: number, green: number, blue: number];
export const INK: Color = [0.1, 0.1, 0.12];
export const QUIET: Color = [0.36, 0.37, 0.4];
export const WARNING: Color = [0.55, 0.11, 0.09];
const RULE: Color = [0.78, 0.79, 0.81];
const BAND: Color = [0.98, 0.92, 0.9];

const LANGUAGE_TAG = /^[a-z]{2,8}(-[a-z0-9]{1,8})*$/i;

export interface BlockStyle extends TextStyle {
  /** Baseline to baseline, points. */
  leading: number;
  color: Color;
}

/** A node of the structure tree. */
export type Structure = PDFKit.PDFStructureElement;

export interface PageFurniture {
  title: string;
  author: string;
  subject: string;
  software: string;
  createdAt: Date;
  /** In the band on top of each page. */
  stamp: string;
  stampNote: string;
  /** At the foot of each page, before its number. */
  footer: string;
}

/** PDFKit's own parts that its type declarations leave out. */
interface Reference {
  data: Record<string, unknown>;
  buffer: Uint8Array[];
  finalize(): void;
  end(chunk?: Uint8Array): void;
}
interface EmbeddedFont {
  id: string;
  widths: number[];
  unicode: number[][];
  scale: number;
  /** Glyphs of the font file; their places here are their numbers in the PDF. */
  subset: { glyphs: number[] };
  ids: Map<string, number>;
  ref(): Reference;
}
interface Internals {
  _font: EmbeddedFont;
  info: Record<string, unknown>;
  subset: string;
  page: { fonts: Record<string, Reference>; dictionary: Reference } | null;
  getStructParentTree(): { _items: Record<number, unknown>; get(key: number): unknown };
  ref(data?: Record<string, unknown>): Reference;
  openImage(bytes: Uint8Array): OpenJpeg;
}
/** What PDFKit's `image` takes beside bytes and paths: it draws what stands ready in `obj`. */
type DrawnImage = Parameters<PDFKit.PDFDocument['image']>[0];
type StructureOptions = NonNullable<Parameters<PDFKit.PDFDocument['struct']>[1]>;
interface OpenJpeg {
  width: number;
  height: number;
  orientation: number;
  embed(document: unknown): void;
}

/** Text of an array that PDFKit writes as it stands. */
class WrittenList {
  readonly [Symbol.toStringTag] = 'WrittenList';
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  toString(): string {
    return this.#text;
  }
}

class ReproducibleDocument extends PDFDocument {
  // PDFKit packs streams with zlib; here every finished stream is packed by fflate instead, but for XMP, which
  // must stay readable, and what is packed already.
  override ref(data: Record<string, unknown> = {}): PDFKit.PDFKitReference {
    const reference = super.ref(data) as unknown as Reference;
    const finalize = reference.finalize.bind(reference);
    reference.finalize = () => {
      const type = reference.data.Type;
      if (reference.buffer.length > 0 && reference.data.Filter === undefined && type !== 'Metadata') {
        reference.buffer = [zlibSync(Buffer.concat(reference.buffer), { level: 6 })];
        reference.data.Filter = 'FlateDecode';
      }
      finalize();
      // PDFKit keeps every object that it has written; most are asked later for their number and parent only.
      if (type === undefined || type === 'Page') {
        reference.data = { P: reference.data.P };
        Reflect.deleteProperty(reference, 'finalize');
      }
    };
    return reference as unknown as PDFKit.PDFKitReference;
  }

  // PDFKit writes the document's title and author into XMP without escaping them.
  _addInfo(): void {
    const internals = this as unknown as Internals;
    const plain = internals.info;
    internals.info = Object.fromEntries(
      Object.entries(plain).map(([key, value]) => [
        key,
        typeof value === 'string' ? escapeXml(value) : value,
      ]),
    );
    (PDFDocument.prototype as unknown as { _addInfo(): void })._addInfo.call(this);
    internals.info = plain;
  }
}

function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replace(/[&<>]/g, (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[character] ?? character);
}

export class Pages {
  readonly #document: PDFKit.PDFDocument;
  readonly #internals: Internals;
  readonly #typesetter: Typesetter;
  readonly #out: Writable;
  readonly #embedded = new Map<Face, EmbeddedFont>();
  readonly #root: Structure;
  readonly #furnitureLines: { stamp: Line; note: Line; footer: Line };
  /** Distance of the pen from the top of the page, points. */
  #y = PAGE.top;
  #pages = 0;
  #pictures = 0;
  #failure: Error | undefined;

  private constructor(
    typesetter: Typesetter,
    furniture: PageFurniture,
    furnitureLines: { stamp: Line; note: Line; footer: Line },
    out: Writable,
  ) {
    this.#document = new ReproducibleDocument({
      size: [PAGE.width, PAGE.height],
      margin: 0,
      autoFirstPage: false,
      compress: false,
      pdfVersion: '1.7',
      subset: 'PDF/UA',
      tagged: true,
      lang: 'en-US',
      displayTitle: true,
      font: null, // no built-in face: every font is embedded
      info: {
        Title: furniture.title,
        Author: furniture.author,
        Subject: furniture.subject,
        Creator: furniture.software,
        Producer: furniture.software,
        CreationDate: furniture.createdAt,
        ModDate: furniture.createdAt,
      },
    } as unknown as PDFKit.PDFDocumentOptions);
    this.#internals = this.#document as unknown as Internals;
    this.#typesetter = typesetter;
    this.#furnitureLines = furnitureLines;
    this.#out = out;
    // PDFKit leaves composite glyphs' parts out of the optional list of glyphs (CIDSet) that it writes where its
    // own mark of PDF/UA is the number 1: as a text, the mark reads the same and the list is not written.
    this.#internals.subset = '1';
    out.on('error', (error) => {
      this.#failure = error;
    });
    this.#document.on('data', (chunk: Uint8Array) => out.write(chunk));
    this.#root = this.#document.struct('Document');
    this.#document.addStructure(this.#root);
  }

  static async open(typesetter: Typesetter, furniture: PageFurniture, out: Writable): Promise<Pages> {
    const line = async (text: string, style: TextStyle) => {
      const [first] = await typesetter.lines(text, style, TEXT_WIDTH, { direction: 'ltr' });
      return first ?? { runs: [], width: 0, rightToLeft: false };
    };
    return new Pages(
      typesetter,
      furniture,
      {
        stamp: await line(furniture.stamp, { family: 'bold', size: 10 }),
        note: await line(furniture.stampNote, { family: 'sans', size: 8 }),
        footer: await line(furniture.footer, { family: 'sans', size: 8 }),
      },
      out,
    );
  }

  get pages(): number {
    return this.#pages;
  }

  /** A new node under `parent`, or under the document itself. */
  structure(type: string, parent: Structure = this.#root, options: StructureOptions = {}): Structure {
    const element = this.#document.struct(type, options);
    parent.add(element);
    return element;
  }

  async newPage(): Promise<void> {
    this.#settleStructure();
    this.#document.addPage();
    this.#pages += 1;
    this.#y = PAGE.top;
    const { stamp, note, footer } = this.#furnitureLines;
    const [number] = await this.#typesetter.lines(
      `Page ${this.#pages}`,
      { family: 'sans', size: 8 },
      TEXT_WIDTH,
    );
    this.#artifact('Pagination', () => {
      this.#fill(0, 0, PAGE.width, 32, BAND);
      this.#draw(stamp, PAGE.left, 20.5, 10, WARNING);
      this.#draw(note, PAGE.left + stamp.width + 12, 20.5, 8, WARNING);
      this.#fill(PAGE.left, PAGE.height - 46, TEXT_WIDTH, 0.6, RULE);
      this.#draw(footer, PAGE.left, PAGE.height - 33, 8, QUIET);
      if (number !== undefined)
        this.#draw(number, PAGE.width - PAGE.right - number.width, PAGE.height - 33, 8, QUIET);
    });
  }

  /** The finished page's list of structure nodes, written out: else PDFKit would keep every node to the end. */
  #settleStructure(): void {
    const key = this.#internals.page?.dictionary.data.StructParents as number | undefined;
    if (key === undefined) return;
    const tree = this.#internals.getStructParentTree();
    tree._items[key] = new WrittenList(`[${(tree.get(key) as unknown[]).map(String).join(' ')}]`);
  }

  space(points: number): void {
    if (this.#y > PAGE.top) this.#y += points;
  }

  /** Begins a new page where less than so many points are left: keeps a heading with what follows. */
  async need(points: number): Promise<void> {
    if (this.#pages === 0 || this.#y + points > PAGE.height - PAGE.bottom) await this.newPage();
  }

  rule(indent = 0): void {
    this.#artifact('Layout', () => this.#fill(PAGE.left + indent, this.#y, TEXT_WIDTH - indent, 0.6, RULE));
    this.#y += 9;
  }

  /** A paragraph or heading that flows over pages. Width is what `indent` leaves of the text's. */
  async text(
    parent: Structure,
    tag: string,
    text: string,
    style: BlockStyle,
    options: {
      indent?: number;
      direction?: 'ltr' | 'auto';
      language?: string | undefined;
      bar?: boolean;
    } = {},
  ): Promise<void> {
    const indent = options.indent ?? 0;
    const lines = await this.#typesetter.lines(text, style, TEXT_WIDTH - indent, options);
    const { language } = options;
    const tagged = language !== undefined && LANGUAGE_TAG.test(language);
    const element = this.structure(tag, parent, tagged ? { lang: language } : {});
    await this.#flow(element, tag, lines, style, indent, TEXT_WIDTH - indent, options.bar ?? false);
    element.end();
  }

  /** A table of names and values: one row each, the name being the row's header. */
  async table(
    parent: Structure,
    rows: readonly { name: string; value: string; style?: BlockStyle }[],
    style: BlockStyle,
    options: { indent?: number; names?: number } = {},
  ): Promise<void> {
    const indent = options.indent ?? 0;
    const names = options.names ?? 104;
    const table = this.structure('Table', parent);
    for (const row of rows) {
      const valueStyle = row.style ?? style;
      const valueIndent = indent + names;
      const name = await this.#typesetter.lines(row.name, style, names - 8, { direction: 'ltr' });
      const value = await this.#typesetter.lines(row.value, valueStyle, TEXT_WIDTH - valueIndent, {
        direction: 'ltr',
      });
      await this.need(Math.max(name.length * style.leading, Math.min(value.length, 2) * valueStyle.leading));
      const element = this.structure('TR', table);
      const header = this.structure('TH', element, { scope: 'Row' } as StructureOptions);
      const top = this.#y;
      await this.#flow(header, 'TH', name, { ...style, color: QUIET }, indent, names, false);
      header.end();
      const after = this.#y;
      this.#y = top;
      const page = this.#pages;
      const data = this.structure('TD', element);
      await this.#flow(data, 'TD', value, valueStyle, valueIndent, TEXT_WIDTH - valueIndent, false);
      data.end();
      element.end();
      this.#y = this.#pages === page ? Math.max(after, this.#y) : this.#y;
      this.#y += 1.5;
    }
    table.end();
  }

  /** A picture no larger than `most`, with the words that stand for it. */
  async figure(
    parent: Structure,
    picture: Picture,
    alternative: string,
    options: { indent: number; most: { width: number; height: number } },
  ): Promise<void> {
    const { image, ...natural } = this.#embed(picture);
    const scale = Math.min(options.most.width / natural.width, options.most.height / natural.height, 1);
    const [width, height] = [natural.width * scale, natural.height * scale];
    await this.need(height + 4);
    const x = PAGE.left + options.indent;
    const figure = this.structure('Figure', parent, {
      alt: plainText(alternative),
      bbox: [x, this.#y, x + width, this.#y + height],
    } as StructureOptions);
    figure.add(this.#document.markStructureContent('Figure'));
    this.#document.image(image, x, this.#y, { width, height });
    this.#document.endMarkedContent();
    figure.end();
    this.#y += height + 4;
  }

  /** A bookmark to the pen's place on this page; `parent` nests it. */
  bookmark(title: string, parent?: PDFKit.PDFOutline): PDFKit.PDFOutline {
    const options: { expanded?: boolean; top: number } = { top: Math.max(0, this.#y - 8) };
    return (parent ?? this.#document.outline).addItem(plainText(title), options);
  }

  /** Lets the written bytes go out: waits while the reader of `out` is behind. Rejects when `out` has failed. */
  async settle(): Promise<void> {
    await turn();
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#out.writableNeedDrain) await once(this.#out, 'drain');
  }

  async end(): Promise<void> {
    this.#root.end();
    const ended = once(this.#document, 'end');
    this.#document.end();
    await ended;
    await this.settle();
    const finished = once(this.#out, 'finish');
    this.#out.end();
    await finished;
  }

  /** Writes the picture's object; sizes are as shown, EXIF orientation applied. Throws PictureError. */
  #embed(picture: Picture): { image: DrawnImage; width: number; height: number } {
    if (picture.kind === 'jpeg') {
      let image: OpenJpeg;
      try {
        image = this.#internals.openImage(picture.bytes);
      } catch (cause) {
        throw new PictureError('its header is broken', { cause });
      }
      image.embed(this.#document);
      const turned = image.orientation > 4;
      return {
        image: image as unknown as DrawnImage,
        width: turned ? image.height : image.width,
        height: turned ? image.width : image.height,
      };
    }
    const { width, height, rgb } = picture;
    const obj = this.#internals.ref({
      Type: 'XObject',
      Subtype: 'Image',
      BitsPerComponent: 8,
      Width: width,
      Height: height,
      ColorSpace: 'DeviceRGB',
    });
    obj.end(rgb);
    this.#pictures += 1;
    const image = { width, height, obj, label: `P${this.#pictures}` };
    return { image: image as unknown as DrawnImage, width, height };
  }

  async #flow(
    element: Structure,
    tag: string,
    lines: readonly Line[],
    style: BlockStyle,
    indent: number,
    width: number,
    bar: boolean,
  ): Promise<void> {
    const x = PAGE.left + indent;
    let next = 0;
    do {
      await this.need(style.leading);
      const top = this.#y;
      element.add(this.#document.markStructureContent(tag));
      for (; next < lines.length; next++) {
        const line = lines[next];
        if (line === undefined || this.#y + style.leading > PAGE.height - PAGE.bottom) break;
        const start = line.rightToLeft ? x + width - line.width : x;
        this.#draw(line, start, this.#y + style.leading * 0.72, style.size, style.color);
        this.#y += style.leading;
      }
      this.#document.endMarkedContent();
      if (bar) this.#artifact('Layout', () => this.#fill(x - 9, top, 2, this.#y - top, RULE));
    } while (next < lines.length);
  }

  #artifact(type: 'Layout' | 'Pagination', draw: () => void): void {
    this.#document.markContent('Artifact', { type });
    draw();
    this.#document.endMarkedContent();
  }

  #fill(x: number, y: number, width: number, height: number, color: Color): void {
    this.#document.addContent(
      `q ${color.map(number).join(' ')} rg ${[x, y, width, height].map(number).join(' ')} re f Q`,
    );
  }

  /** `x` and `baseline` from the page's upper left corner. */
  #draw(line: Line, x: number, baseline: number, size: number, color: Color): void {
    const y = PAGE.height - baseline;
    const content = [`q 1 0 0 -1 0 ${PAGE.height} cm ${color.map(number).join(' ')} rg BT`];
    let pen = x;
    for (const run of line.runs) {
      content.push(...this.#show(run, pen, y, size));
      pen += run.width;
    }
    content.push('ET Q');
    this.#document.addContent(content.join('\n'));
  }

  #show(run: GlyphRun, x: number, y: number, size: number): string[] {
    const font = this.#font(run.face);
    const content = [`/${font.id} ${number(size)} Tf`];
    let pen = x;
    for (const { glyphs, text } of readings(run)) {
      if (text !== undefined) content.push(`/Span <</ActualText <${utf16(text)}>>> BDC`);
      let show: string[] = [];
      let placed = false;
      const flush = () => {
        if (show.length > 0) content.push(`[${show.join(' ')}] TJ`);
        show = [];
      };
      for (const { glyph, dx, dy, advance } of glyphs) {
        const id = glyphId(font, glyph);
        const shifted = Math.abs(dx) > 0.001 || Math.abs(dy) > 0.001;
        if (!placed || shifted) {
          flush();
          content.push(`1 0 0 1 ${number(pen + dx)} ${number(y + dy)} Tm`);
        }
        const kern = (font.widths[id] ?? 0) - (advance * 1000) / size;
        show.push(`<${id.toString(16).padStart(4, '0')}>${Math.abs(kern) > 0.05 ? ` ${number(kern)}` : ''}`);
        placed = !shifted;
        pen += advance;
      }
      flush();
      if (text !== undefined) content.push('EMC');
    }
    return content;
  }

  #font(face: Face): EmbeddedFont {
    let font = this.#embedded.get(face);
    if (font === undefined) {
      this.#document.font(face.font as unknown as PDFKit.Mixins.PDFFontSource, face.key);
      font = Object.assign(this.#internals._font, { ids: new Map<string, number>() });
      this.#embedded.set(face, font);
    }
    const fonts = this.#internals.page?.fonts;
    if (fonts !== undefined) fonts[font.id] ??= font.ref();
    return font;
  }
}

interface Reading {
  glyphs: readonly PlacedGlyph[];
  /** What to read instead of the glyphs' own characters. */
  text?: string;
}

/**
 * A run's glyphs in drawing order, with the text to read where they do not tell it themselves: parts of letters,
 * marks moved to their place, glyphs in another order than the text. Left-to-right, the run's text is told whole.
 * Right-to-left, readers disagree on the order within one ActualText, so each letter tells itself and its marks.
 */
function readings(run: GlyphRun): Reading[] {
  if ((run.level & 1) === 0) {
    const spelled = run.glyphs.flatMap(({ glyph }) => glyph.codePoints);
    const plain = run.glyphs.every(
      ({ glyph, dx, dy }) => glyph.codePoints.length > 0 && dx === 0 && dy === 0,
    );
    const exact = plain && seen(String.fromCodePoint(...spelled)) === seen(run.text);
    return [exact ? { glyphs: run.glyphs } : { glyphs: run.glyphs, text: run.text }];
  }
  const readings: Reading[] = [];
  let marks: PlacedGlyph[] = [];
  for (const placed of run.glyphs) {
    const { glyph, advance } = placed;
    if (
      glyph.codePoints.length === 0 ||
      (advance === 0 && /^\p{M}+$/u.test(String.fromCodePoint(...glyph.codePoints)))
    ) {
      marks.push(placed);
      continue;
    }
    // From left to right a letter comes after its marks; from right to left, as it is read, before them.
    const codePoints = [placed, ...marks.reverse()].flatMap((each) => each.glyph.codePoints);
    for (const mark of marks.reverse()) readings.push({ glyphs: [mark], text: '' });
    readings.push({
      glyphs: [{ ...placed, glyph: Object.create(glyph, { codePoints: { value: codePoints } }) as Glyph }],
    });
    marks = [];
  }
  return [...readings, ...marks.map((mark) => ({ glyphs: [mark] }))];
}

/** One line without control characters, for readers that set the text themselves. */
function plainText(text: string): string {
  return text.toWellFormed().replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e]+/gu, ' ');
}

function seen(text: string): string {
  return [...text].filter((each) => !isInvisible(each)).join('');
}

function utf16(text: string): string {
  return Buffer.from(`\ufeff${text}`, 'utf16le').swap16().toString('hex');
}

/** The glyph's number in the embedded subset: one for each text that it stands for, so that copying is exact. */
function glyphId(font: EmbeddedFont, glyph: Glyph): number {
  const codePoints = glyph.codePoints.length > 0 ? glyph.codePoints : [0xfffd];
  const key = `${glyph.id} ${codePoints.join(' ')}`;
  let id = font.ids.get(key);
  if (id === undefined) {
    id = font.subset.glyphs.push(glyph.id) - 1;
    font.ids.set(key, id);
    font.widths[id] = glyph.advanceWidth * font.scale;
    font.unicode[id] = codePoints;
  }
  return id;
}

/** A PDF number: at most three decimals and never an exponent. */
function number(value: number): string {
  return String(Math.round(value * 1000) / 1000 + 0);
}
