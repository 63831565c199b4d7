// Another archive's table or JSON, read by a mapping file that says which column is what. An id is the platform's only where the mapping says so and
// names its namespace; without one an item is named by what its row says, and no match with anything captured is claimed.

import { z } from 'zod';
import { canonicalText } from '../../core/canonical.ts';
import { sha256Hex } from '../../core/digest.ts';
import { InputError } from '../../core/errors.ts';
import { ITEM_KINDS, type ItemKind } from '../../core/vocabulary.ts';
import { readYamlFile } from '../../core/yaml-file.ts';
import { CollectError } from '../collect-error.ts';
import type { Item } from '../collector.ts';
import { momentOf } from '../feed/item.ts';
import { piecesOfLines, piecesOfRows } from './csv.ts';
import type { ExportFile } from './export-file.ts';
import {
  type ExportKind,
  mediumAt,
  memberNamed,
  type OpenedExport,
  type Piece,
  piecesOf,
  type Read,
} from './export-kind.ts';
import { isTimeFormat, isZone, readTime, TIME_FORMATS } from './time-format.ts';

const column = z.string().min(1).max(500);
const word = z.string().regex(/^[a-z0-9][a-z0-9-]{0,49}$/, { error: 'must be small letters, digits and -' });

const mappingView = z
  .strictObject({
    /** The member of a ZIP or tar that holds the items. */
    file: z.string().min(1).optional(),
    format: z.enum(['csv', 'json', 'json-lines']),
    delimiter: z
      .string()
      .regex(/^[\t\x20-\x7e]$/, { error: 'must be one character of ASCII' })
      .refine((one) => one !== '"', { error: 'must not be a quotation mark' })
      .optional(),
    list: column.optional(),
    /** The same for all, or a column's. */
    platform: z.union([word, z.strictObject({ column, values: z.record(z.string(), word) })]),
    namespace: word.optional(),
    columns: z
      .strictObject({
        id: column.optional(),
        author: column.optional(),
        authorId: column.optional(),
        handle: column.optional(),
        time: z
          .strictObject({
            column,
            format: z.string().refine(isTimeFormat, {
              error: `must be ${TIME_FORMATS}`,
              params: { hint: 'Write what the times look like, such as "M/d/yyyy h:mm a".' },
            }),
            zone: z.string().refine(isZone, { error: 'is no zone of the IANA database' }).optional(),
          })
          .optional(),
        title: column.optional(),
        text: column,
        url: column.optional(),
        kind: z.strictObject({ column, values: z.record(z.string(), z.enum(ITEM_KINDS)) }).optional(),
        parent: column.optional(),
        attachments: z.strictObject({ column, separator: z.string().min(1).max(5) }).optional(),
      })
      .refine(({ id, time, author, url }) => (id ?? time ?? author ?? url) !== undefined, {
        error: 'name none of id, time, author and url, so nothing would tell two rows apart',
      }),
    /** Kinds of rows that are told as a number and make no record, such as private messages. */
    leaveOut: z.strictObject({ column, values: z.array(z.string()).min(1) }).optional(),
  })
  .refine(({ namespace, columns }) => columns.id === undefined || namespace !== undefined, {
    path: ['namespace'],
    error: 'is missing: it says of what the column of ids is the id',
    params: {
      hint: 'Name that of the collector where the ids are truly the same (graph-id, post-id, youtube-id …; see src/sources/README.md), else a word of your own.',
    },
  })
  .refine(({ format, delimiter }) => format === 'csv' || delimiter === undefined, {
    path: ['delimiter'],
    error: 'is of CSV alone',
  })
  .refine(({ format, list }) => format === 'json' || list === undefined, {
    path: ['list'],
    error: 'is of JSON alone',
  });
type Mapping = z.infer<typeof mappingView>;

export const MAPPING = 'mapping';

/**
 * @param path of the mapping file
 * @throws YamlFileError with every fault and its place
 */
export async function mappingKind(path: string): Promise<ExportKind> {
  const { value, text } = await readYamlFile(path, mappingView);
  const digest = sha256Hex(text);
  return {
    name: MAPPING,
    platform: typeof value.platform === 'string' ? value.platform : 'import',
    comparisonRule: 'mapping-import/1',
    // What a record says depends on the mapping too.
    collectorVersion: `mapping-import/1 (mapping sha256:${digest})`,
    async open(file) {
      return new MappedExport(file, itemsIn(file, value), value, digest);
    },
  };
}

/** @throws InputError when it is not clear which member is meant */
function itemsIn(file: ExportFile, { file: named, format }: Mapping): string {
  if (named !== undefined) {
    const path = memberNamed(file, named);
    if (path !== null) return path;
    throw new InputError(`${file.name} holds no ${named}`, { hint: 'Correct `file` in the mapping.' });
  }
  const paths = [...file.members.keys()];
  const [only, another] = paths.length === 1 ? paths : paths.filter((path) => ENDINGS[format].test(path));
  if (only !== undefined && another === undefined) return only;
  throw new InputError(
    `${file.name} holds ${only === undefined ? 'no file' : 'several files'} that may be the items`,
    { hint: 'Say `file: …` in the mapping: the path of the one that is meant.' },
  );
}

const ENDINGS = {
  csv: /\.(csv|tsv|txt)$/i,
  json: /\.json$/i,
  'json-lines': /\.(jsonl|ndjson|json)$/i,
} as const;

class MappedExport implements OpenedExport {
  readonly findings: readonly string[];
  readonly accounts: readonly string[] = [];
  readonly #file: ExportFile;
  readonly #path: string;
  readonly #mapping: Mapping;

  constructor(file: ExportFile, path: string, mapping: Mapping, digest: string) {
    this.#file = file;
    this.#path = path;
    this.#mapping = mapping;
    this.findings = [`${path} read as ${mapping.format}`, `mapping SHA-256 ${digest}`];
  }

  async *pieces(signal: AbortSignal): ReturnType<OpenedExport['pieces']> {
    const { format, delimiter = ',', list = null } = this.#mapping;
    const [file, path] = [this.#file, this.#path];
    const readValue = (value: unknown): Read =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? this.#read((name) => textAt(value, name))
        : { rejected: 'not an object' };
    const pieces: AsyncIterable<Piece> =
      format === 'csv'
        ? piecesOfRows(file, path, delimiter, (row) => this.#read((name) => row.get(name) ?? null), signal)
        : format === 'json'
          ? piecesOf(file, path, { list }, ({ value }) => readValue(value), signal)
          : piecesOfLines(file, path, readValue, signal);
    let read = 0;
    try {
      for await (const piece of pieces) {
        read += 1;
        yield piece;
      }
    } catch (error) {
      // Damaged before its first item, it may not be what the mapping says.
      if (!(error instanceof CollectError) || read > 0) throw error;
      yield { problem: error.problem };
    }
    if (this.#mapping.columns.id !== undefined) return;
    yield {
      problem: {
        code: 'standing-gap',
        message: `The mapping names no ids of the platform, so the items of ${file.name} make records of their own beside captured ones.`,
        subject: null,
      },
    };
  }

  /** @param cell what stands under a name, or null where nothing of that name is there */
  #read(cell: (name: string) => string | null): Read {
    const { platform: on, namespace, columns, leaveOut } = this.#mapping;
    const at = (name: string | undefined): string | null =>
      name === undefined ? null : cell(name)?.trim() || null;
    const text = cell(columns.text);
    if (text === null) return { rejected: `nothing is called ${columns.text}` };
    if (leaveOut?.values.includes(at(leaveOut.column) ?? '')) return { left: 'what the mapping leaves out' };
    const platform = typeof on === 'string' ? on : mapped(on, at(on.column));
    if (platform === undefined) return { rejected: 'of a platform that the mapping does not name' };
    const kind = columns.kind === undefined ? 'post' : mapped(columns.kind, at(columns.kind.column));
    if (kind === undefined) return { rejected: 'of a kind that the mapping does not name' };
    const time = at(columns.time?.column);
    const createdAt = time === null || columns.time === undefined ? null : momentIn(time, columns.time);
    if (time !== null && createdAt === null)
      return { rejected: `its time “${time.slice(0, 50)}” is not as the mapping says, or of no zone` };
    const id = at(columns.id);
    if (columns.id !== undefined && id === null) return { rejected: `it has no id under ${columns.id}` };
    const [author, url, parent, title] = [
      at(columns.author),
      at(columns.url),
      at(columns.parent),
      at(columns.title),
    ];
    const attachments = (at(columns.attachments?.column) ?? '')
      .split(columns.attachments?.separator ?? '\n')
      .map((one) => one.trim())
      .filter((one) => one !== '');
    const item: Item = {
      kind: kind as ItemKind,
      url,
      author: { id: at(columns.authorId), handle: at(columns.handle), name: author },
      createdAt,
      createdAtFrom: createdAt === null ? 'unknown' : 'user',
      title,
      text,
      contentWarning: null,
      languages: [],
      tags: [],
      links: [],
      inReplyTo: parent,
      threadRoot: null,
      quotes: null,
      reposts: null,
    };
    const comparison = { title, text, attachments };
    const said = [kind, item.author, createdAt, url, parent, comparison];
    const identity =
      id !== null && namespace !== undefined
        ? { platform, namespace, platformId: id }
        : { platform, namespace: MAPPING, platformId: `sha256:${sha256Hex(canonicalText(said))}` };
    const media = [...new Set(attachments)].map((one) => mediumAt(this.#pathOf(one), null));
    return { imported: { identity, item, comparison, media } };
  }

  /** Attachments are told from the front of the file, or from the folder that the items lie in. */
  #pathOf(attachment: string): string {
    const folder = this.#path.slice(0, this.#path.lastIndexOf('/') + 1);
    const plain = attachment.replace(/^\.\//, '');
    return [plain, folder + plain].find((path) => this.#file.members.has(path)) ?? attachment;
  }
}

function mapped<T>(
  { values: known }: { readonly values: Readonly<Record<string, T>> },
  cell: string | null,
): T | undefined {
  const key = cell ?? '';
  return Object.hasOwn(known, key) ? known[key] : undefined;
}

function momentIn(
  text: string,
  { format, zone }: { readonly format: string; readonly zone?: string | undefined },
): string | null {
  return (format === 'iso' ? momentOf(text) : null) ?? readTime(text, format, zone ?? null);
}

/** @returns what stands under a name, or under names that lead there one by one, as text; null when nothing does, or no single value */
function textAt(value: object, name: string): string | null {
  const whole = Object.hasOwn(value, name) ? [name] : name.split('.');
  let found: unknown = value;
  for (const step of whole) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return null;
    found = (found as Record<string, unknown>)[step];
  }
  if (Array.isArray(found) && found.every((one) => typeof one === 'string')) return found.join('\n');
  return typeof found === 'string'
    ? found
    : typeof found === 'number' || typeof found === 'boolean'
      ? String(found)
      : null;
}
