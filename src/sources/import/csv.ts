// Cuts rows out of a CSV (RFC 4180) while it streams by, each with its exact bytes, and reads their cells. Rows are cut as bytes before anything
// is decoded, so that one that is broken, or in another encoding, is put aside as it came while the next ones are read.

import { damaged } from './container.ts';
import { type Cut, Taken } from './cutter.ts';
import type { ExportFile } from './export-file.ts';
import { type Piece, type Read, readCut } from './export-kind.ts';

/** Cells by their columns, exactly as the header names them. */
export type Row = ReadonlyMap<string, string>;

const QUOTE = 0x22;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const LONGEST = 16 * 2 ** 20;
const BEGINNING = 64 * 1024;
const MOST_COLUMNS = 4096;

/**
 * @param delimiter one ASCII character; null: lines without quotes, as in JSON Lines
 * @returns the rows without their line ends, empty ones left out; one that ends within quotes is not whole
 */
export async function* cutRows(
  document: AsyncIterable<Buffer>,
  delimiter: string | null,
  longest: number = LONGEST,
): AsyncGenerator<Cut> {
  const separator = delimiter?.charCodeAt(0);
  const row = new Taken(longest, BEGINNING);
  let isFieldStart = true;
  let isQuoted = false;
  /** Whether the byte before closed a quoted field. */
  let wasQuote = false;
  let base = 0;
  for await (const chunk of document) {
    let from = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at];
      const isEnd = !isQuoted && (byte === LINE_FEED || byte === CARRIAGE_RETURN);
      if (isEnd) {
        if (row.isTaking) {
          row.add(chunk.subarray(from, at));
          yield row.end();
        }
        isFieldStart = true;
        wasQuote = false;
        continue;
      }
      if (!row.isTaking) {
        row.begin(base + at);
        from = at;
      }
      // A quote that stands twice closes the field and opens it again: of what is a row nothing changes.
      if (byte === QUOTE && separator !== undefined) isQuoted = isQuoted ? false : isFieldStart || wasQuote;
      wasQuote = byte === QUOTE && !isQuoted;
      isFieldStart = !isQuoted && byte === separator;
    }
    if (row.isTaking) row.add(chunk.subarray(from));
    base += chunk.length;
  }
  if (row.isTaking) yield { ...row.end(), ...(isQuoted && { isWhole: false }) };
}

/** @returns the cells of a row. @throws RangeError with the reason why it is none */
export function cellsOf(bytes: Buffer, delimiter: string): string[] {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new RangeError('it is not UTF-8', { cause });
  }
  const cells: string[] = [];
  for (let at = 0; at <= text.length; at += 1) {
    if (cells.length === MOST_COLUMNS) throw new RangeError(`it has more than ${MOST_COLUMNS} cells`);
    if (text[at] !== '"') {
      const next = text.indexOf(delimiter, at);
      const end = next < 0 ? text.length : next;
      cells.push(text.slice(at, end));
      at = end;
      continue;
    }
    let end = at + 1;
    while (text[end] !== '"' || text[end + 1] === '"') {
      end = text.indexOf('"', text[end] === '"' ? end + 2 : end);
      if (end < 0) throw new RangeError('a quoted cell has no end');
    }
    cells.push(text.slice(at + 1, end).replaceAll('""', '"'));
    at = end + 1;
    if (at < text.length && text[at] !== delimiter)
      throw new RangeError('something stands after the end of a quoted cell');
  }
  return cells;
}

/** @returns the columns that the first row names; null when it is none, or names one twice */
export async function headerOf(
  file: ExportFile,
  path: string,
  delimiter: string,
  signal: AbortSignal,
): Promise<readonly string[] | null> {
  for await (const cut of cutRows(file.read(path, signal), delimiter, BEGINNING))
    return columnsOf(cut, delimiter);
  return null;
}

function columnsOf({ bytes, isWhole }: Cut, delimiter: string): readonly string[] | null {
  try {
    const columns = isWhole
      ? cellsOf(bytes, delimiter).map((name) => name.replace(/^\ufeff/, '').trim())
      : [];
    return columns.length > 0 && new Set(columns).size === columns.length ? columns : null;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/**
 * Cuts the rows below the header, and reads each.
 * @throws CollectError when the file is damaged, or has no header: what came before is read
 */
export async function* piecesOfRows(
  file: ExportFile,
  path: string,
  delimiter: string,
  read: (row: Row) => Read,
  signal: AbortSignal,
): AsyncGenerator<Piece> {
  let columns: readonly string[] | null = null;
  for await (const cut of cutRows(file.read(path, signal), delimiter)) {
    const { offset, bytes } = cut;
    if (columns !== null)
      yield { path, offset, bytes, type: 'text/csv', read: readRow(cut, columns, delimiter, read) };
    else {
      columns = columnsOf(cut, delimiter);
      if (columns === null)
        throw damaged(file.name, path, 'its first row does not name each column once, in UTF-8');
    }
  }
}

function readRow(
  { bytes, isWhole }: Cut,
  columns: readonly string[],
  delimiter: string,
  read: (row: Row) => Read,
): Read {
  if (!isWhole)
    return { rejected: 'a row that does not end, or is longer than any item; its beginning is kept' };
  try {
    const cells = cellsOf(bytes, delimiter);
    if (cells.length !== columns.length)
      return { rejected: `a row of ${cells.length} cells, where the first row names ${columns.length}` };
    return read(new Map(columns.map((name, index) => [name, cells[index] as string])));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { rejected: `not a row: ${error.message}` };
  }
}

/** Cuts the lines of JSON Lines, and reads each. */
export async function* piecesOfLines(
  file: ExportFile,
  path: string,
  read: (value: unknown) => Read,
  signal: AbortSignal,
): AsyncGenerator<Piece> {
  for await (const cut of cutRows(file.read(path, signal), null)) {
    if (cut.bytes.toString('latin1').trim() === '') continue;
    const { offset, bytes } = cut;
    yield { path, offset, bytes, type: 'application/json', read: readCut(cut, ({ value }) => read(value)) };
  }
}
