// Reads the YAML files that people write for an archive and checks them against a schema. Every fault is told with
// `file:line:column` and a way to mend it; a file with any fault gives no value at all.

import { isUtf8 } from 'node:buffer';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml';
import type { z } from 'zod';
import { InputError } from './errors.ts';
import { describeIssues } from './yaml-issues.ts';

export const MAX_YAML_BYTES = 1024 * 1024;

/** Counted from 1, columns in UTF-16 code units: what editors show. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface YamlProblem extends Place {
  readonly file: string;
  readonly message: string;
  /** How to mend it. */
  readonly hint: string;
}

/** One or more faults of YAML files: no part of such a file is used. */
export class YamlFileError extends InputError {
  readonly problems: readonly YamlProblem[];
  constructor(problems: readonly YamlProblem[]) {
    const shown = problems
      .slice(0, SHOWN)
      .map((one) => `${one.file}:${one.line}:${one.column}: ${one.message}`);
    if (problems.length > SHOWN) shown.push(`and ${problems.length - SHOWN} more`);
    super(shown.join('\n'), {
      hint: [...new Set(problems.slice(0, SHOWN).map((one) => one.hint))].join(' '),
    });
    this.problems = problems;
  }
}

const SHOWN = 20;

export interface YamlDocument<T> {
  readonly value: T;
  /** The file's text, a byte order mark included: its UTF-8 bytes are the file's bytes. */
  readonly text: string;
  /** @returns where the value at this path begins; for one that does not stand in the file, its nearest parent */
  readonly place: (path: readonly PropertyKey[]) => Place;
}

/** A file's text as UTF-8. @throws YamlFileError when it is missing, no regular file, too large or not UTF-8 */
export async function readYamlText(path: string, shownAs: string = path): Promise<string> {
  const refuse = (message: string, hint: string, place: Place = START): YamlFileError =>
    new YamlFileError([{ file: shownAs, ...place, message, hint }]);
  let file: FileHandle;
  try {
    // A pipe with no writer would keep the reader waiting for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT')
      throw refuse('there is no such file', 'Check the path; a link must lead to a file that exists.');
    throw refuse(
      `the file cannot be read (${code ?? String(error)})`,
      'Check its permissions and the folder’s.',
    );
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw refuse('this is no regular file', 'Put a plain text file in its place.');
    if (stat.size > MAX_YAML_BYTES) throw refuse(TOO_LARGE, TOO_LARGE_HINT);
    const bytes = await file.readFile();
    if (bytes.length > MAX_YAML_BYTES) throw refuse(TOO_LARGE, TOO_LARGE_HINT);
    if (!isUtf8(bytes))
      throw refuse('the text is not valid UTF-8', 'Save the file as UTF-8.', firstInvalid(bytes));
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  } finally {
    await file.close();
  }
}

/**
 * Reads and checks one YAML file.
 * @param shownAs how messages name the file; by default its path
 * @throws YamlFileError with every fault and its place
 */
export async function readYamlFile<S extends z.ZodType>(
  path: string,
  schema: S,
  shownAs: string = path,
): Promise<YamlDocument<z.output<S>>> {
  return parseYaml(await readYamlText(path, shownAs), shownAs, schema);
}

/**
 * Parses YAML 1.2 (core schema) and checks it. Refused: anchors, aliases, tags, directives, several documents in a file,
 * repeated keys, control characters, more than 1 MiB.
 * @throws YamlFileError with every fault and its place
 */
export function parseYaml<S extends z.ZodType>(
  text: string,
  fileName: string,
  schema: S,
): YamlDocument<z.output<S>> {
  const marked = text.startsWith('\uFEFF') ? 1 : 0;
  const body = text.slice(marked);
  const lines = new LineCounter();
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return line === 0 ? START : { line, column: col };
  };
  const fail = (faults: readonly Fault[]): never => {
    throw new YamlFileError(
      faults.map((one) => ({ file: fileName, ...at(one.offset), message: one.message, hint: one.hint })),
    );
  };

  lines.addNewLine(0);
  if (Buffer.byteLength(body) > MAX_YAML_BYTES)
    fail([{ offset: 0, message: TOO_LARGE, hint: TOO_LARGE_HINT }]);
  const control = CONTROL.exec(body);
  if (control !== null) {
    for (const newline of body.matchAll(/\n/g)) lines.addNewLine(newline.index + 1);
    const code = body.charCodeAt(control.index).toString(16).toUpperCase().padStart(4, '0');
    fail([
      {
        offset: control.index,
        message: `a control character (U+${code}) stands in the text`,
        hint: 'Remove it; save the file as plain UTF-8 text.',
      },
    ]);
  }
  lines.lineStarts.length = 0;

  let document: Document.Parsed;
  let faults: Fault[];
  try {
    document = parseDocument(body, {
      lineCounter: lines,
      version: '1.2',
      schema: 'core',
      merge: false,
      prettyErrors: false,
      // Checked below: the library compares every key with every other one.
      uniqueKeys: false,
    });
    faults = structuralFaults(document, body);
  } catch (error) {
    // The one RangeError here is an exhausted stack: brackets or dashes nested by the thousand.
    if (!(error instanceof RangeError)) throw error;
    return fail([
      {
        offset: 0,
        message: 'the file is nested too deeply',
        hint: 'No file of an archive needs more than a few levels.',
      },
    ]);
  }
  if (faults.length > 0) fail(faults.sort((a, b) => a.offset - b.offset));
  if (document.contents === null)
    fail([{ offset: 0, message: 'the file is empty', hint: 'Fill it in, or remove the file.' }]);

  const place = (path: readonly PropertyKey[]): Place => at(offsetOf(document, path));
  const raw: unknown = document.toJS({ maxAliasCount: 0 });
  const checked = schema.safeParse(raw);
  if (!checked.success) {
    const problems = describeIssues(checked.error.issues, schema, raw, (path) =>
      sourceText(document, path),
    ).map((one) => ({
      file: fileName,
      ...(one.atKey ? at(keyOffsetOf(document, one.path)) : place(one.path)),
      message: one.message,
      hint: one.hint,
    }));
    throw new YamlFileError(problems.sort((a, b) => a.line - b.line || a.column - b.column));
  }
  return { value: checked.data, text, place };
}

interface Fault {
  readonly offset: number;
  readonly message: string;
  readonly hint: string;
}

const START: Place = { line: 1, column: 1 };
const TOO_LARGE = 'the file is larger than 1 MiB';
const TOO_LARGE_HINT = 'Split it into several files.';
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F]/;
const MAX_DEPTH = 32;

/** What to say for the parser's codes, in words for people who don't write YAML every day. */
const SYNTAX: Readonly<Record<string, readonly [message: string, hint: string]>> = {
  TAB_AS_INDENT: ['a tab stands where the line is indented', 'Indent with spaces.'],
  BAD_INDENT: [
    'the indentation does not fit the lines above',
    'Line it up with its neighbours, and close every bracket.',
  ],
  MISSING_CHAR: [
    'a closing quote, bracket, colon or comma is missing',
    'Close what was opened; write a key as “key: value”.',
  ],
  BLOCK_AS_IMPLICIT_KEY: [
    'a second “key: value” stands on the line',
    'Put it on a line of its own, or put the text in quotes.',
  ],
  MULTILINE_IMPLICIT_KEY: [
    'a key runs over several lines',
    'Write it as “key: value”; is a colon missing or a quote left open?',
  ],
  KEY_OVER_1024_CHARS: ['a key is too long', 'Is a colon missing or a quote left open?'],
  BLOCK_IN_FLOW: ['an indented list stands inside brackets', 'Use either brackets or indented lines.'],
  BAD_SCALAR_START: ['a text begins with a character that has a meaning in YAML', 'Put the text in quotes.'],
  BAD_DQ_ESCAPE: [
    'a backslash in double quotes has no meaning here',
    'Use single quotes, or write two backslashes.',
  ],
  MULTIPLE_DOCS: ['a second document begins here', 'Remove the line “---”, or use a file for each.'],
  MISSING_ANCHOR: ['“&” or “*” begins a text', 'Put the text in quotes.'],
  MULTIPLE_ANCHORS: ['anchors are not allowed', 'Write the value out.'],
  TAG_RESOLVE_FAILED: ['tags (“!…”) are not allowed', 'Remove the tag, or put the text in quotes.'],
  COMMENT_SPACE: ['a comment touches the value before it', 'Put a space before “#”, or the text in quotes.'],
};

function structuralFaults(document: Document.Parsed, text: string): Fault[] {
  const faults: Fault[] = [...document.errors, ...document.warnings].map((error) => {
    const [message, hint] = SYNTAX[error.code] ?? [
      'this is no valid YAML',
      `Compare it with the samples (${error.message}).`,
    ];
    return { offset: Math.min(error.pos[0], text.length), message, hint };
  });
  const directive = /^%/m.exec(text.split(/^---/m, 1)[0] ?? '');
  if (directive !== null)
    faults.push({
      offset: directive.index,
      message: 'directives (“%…”) are not allowed',
      hint: 'Remove the line.',
    });
  visit(document, {
    Node(_, node, path) {
      const offset = node.range?.[0] ?? 0;
      if (path.length > MAX_DEPTH * 2) {
        faults.push({
          offset,
          message: 'the file is nested too deeply',
          hint: 'No file of an archive needs more than a few levels.',
        });
        return visit.BREAK;
      }
      if (isAlias(node) || node.anchor !== undefined) {
        faults.push({
          offset,
          message: 'anchors and aliases (“&”, “*”) are not allowed',
          hint: 'Write the value out, or put the text in quotes.',
        });
      } else if (node.tag !== undefined) {
        faults.push({
          offset,
          message: 'tags (“!…”) are not allowed',
          hint: 'Remove the tag, or put the text in quotes.',
        });
      }
      if (isMap(node))
        faults.push(
          ...keyFaults(
            node.items.map((pair) => pair.key as Node | null),
            offset,
          ),
        );
      return undefined;
    },
  });
  const seen = new Set<string>();
  return faults.filter(
    ({ offset, message }) => !seen.has(`${offset} ${message}`) && seen.add(`${offset} ${message}`),
  );
}

function keyFaults(keys: readonly (Node | null)[], parent: number): Fault[] {
  const seen = new Set<string>();
  const faults: Fault[] = [];
  for (const key of keys) {
    const offset = key?.range?.[0] ?? parent;
    if (isAlias(key)) continue;
    if (!isScalar(key) || key.value === null || key.value === '__proto__') {
      faults.push({ offset, message: 'a key must be a word', hint: 'Write it as “key: value”.' });
      continue;
    }
    const name = String(key.value);
    if (seen.has(name))
      faults.push({ offset, message: `the key “${name}” stands here twice`, hint: 'Keep one of the two.' });
    seen.add(name);
  }
  return faults;
}

function nodeAt(document: Document.Parsed, path: readonly PropertyKey[]): Node | null {
  let node: unknown = document.contents;
  for (const step of path) {
    if (isMap(node))
      node =
        node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(step))?.value ??
        null;
    else if (isSeq(node) && typeof step === 'number') node = node.items[step] ?? null;
    else return null;
  }
  return node as Node | null;
}

function offsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = nodeAt(document, path.slice(0, length));
    if (node?.range) return node.range[0];
  }
  return 0;
}

function keyOffsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number {
  const parent = nodeAt(document, path.slice(0, -1));
  const name = String(path.at(-1));
  const key = isMap(parent)
    ? parent.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === name)?.key
    : null;
  return (key as Node | null | undefined)?.range?.[0] ?? offsetOf(document, path);
}

/** The value as it is written, for messages: `05.010` and not the number 5.01. */
function sourceText(document: Document.Parsed, path: readonly PropertyKey[]): string | null {
  const node = nodeAt(document, path);
  return isScalar(node) && node.source !== undefined ? node.source : null;
}

function firstInvalid(bytes: Buffer): Place {
  let line = 1;
  for (let start = 0; start <= bytes.length; line += 1) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    const part = bytes.subarray(start, end);
    if (!isUtf8(part)) return { line, column: part.toString('utf8').indexOf('\uFFFD') + 1 };
    start = end + 1;
  }
  return START;
}
