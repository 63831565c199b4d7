// Entries of the ledger: their shapes, and their one encoding (FORMAT.md, section 2). An entry can never be erased, so nothing personal
// has a place in these shapes.

import { Buffer, isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { canonicalBytes, canonicalText, type Json } from '../core/canonical.ts';
import { sha256 } from '../core/digest.ts';
import { VerificationError } from '../core/errors.ts';
import { MISSING_STATES } from '../core/vocabulary.ts';
import { type FieldForm, fits, type Layout, layoutOf } from './layout.ts';

export const ENTRY_LIMIT = 65_535;
const SEALED_BLOCK = 1024;
const DEPTH_LIMIT = 3;

const id = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
const hex = z.string().regex(/^[0-9a-f]{64}$/);
const time = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const position = z.int().min(0);
const fromOne = z.int().min(1);
const word = z.string().max(200);
const key = z.string().max(400);
const origin = z.string().min(1).max(200);
const previous = z.string().regex(/^[A-Za-z0-9+/]{43}=$/);

/** The same rules as bytes, for {@link layoutOf}: what a form lets pass, its schema lets pass. */
const FORMS: ReadonlyMap<z.ZodType, FieldForm> = new Map<z.ZodType, FieldForm>([
  [id, { kind: 'fixed', form: 'hhhhhhhh-hhhh-7hhh-vhhh-hhhhhhhhhhhh' }],
  [hex, { kind: 'fixed', form: 'h'.repeat(64) }],
  [time, { kind: 'fixed', form: 'dddd-dd-ddTdd:dd:dd.dddZ' }],
  [previous, { kind: 'fixed', form: `${'B'.repeat(43)}=` }],
  [position, { kind: 'whole', least: 0 }],
  [fromOne, { kind: 'whole', least: 1 }],
  [word, { kind: 'plain', least: 0, most: 200 }],
  [key, { kind: 'plain', least: 0, most: 400 }],
  [origin, { kind: 'plain', least: 1, most: 200 }],
]);

const common = { v: z.literal(1), origin, seq: position, prev: previous, at: time, actor: id };

const entrySchema = z.discriminatedUnion('type', [
  z.strictObject({ ...common, type: z.literal('archive.created'), software: word }),
  z.strictObject({ ...common, type: z.literal('key.added'), key }),
  z.strictObject({ ...common, type: z.literal('key.retired'), key }),
  z.strictObject({
    ...common,
    type: z.literal('account.changed'),
    account: id,
    change: z.enum(['added', 'changed', 'disabled']),
    body: hex,
  }),
  z.strictObject({
    ...common,
    type: z.literal('source.changed'),
    source: id,
    change: z.enum(['added', 'changed', 'removed']),
    body: hex,
  }),
  z.strictObject({ ...common, type: z.literal('policy.applied'), body: hex }),
  z.strictObject({
    ...common,
    type: z.literal('run.finished'),
    run: id,
    source: id,
    status: z.enum(['complete', 'partial', 'failed']),
    report: hex,
  }),
  z.strictObject({
    ...common,
    type: z.literal('item.captured'),
    record: id,
    snapshot: id,
    run: id,
    version: fromOne,
    document: hex,
    disclosure: hex,
    leaves: fromOne,
  }),
  z.strictObject({
    ...common,
    type: z.literal('item.missing'),
    record: id,
    run: id,
    state: z.enum(MISSING_STATES),
    lastSeenAt: time,
    firstMissingAt: time,
    document: hex,
  }),
  z.strictObject({
    ...common,
    type: z.literal('item.restored'),
    record: id,
    run: id,
    seenAt: time,
    document: hex,
  }),
  z.strictObject({ ...common, type: z.literal('record.linked'), record: id, source: id, run: id }),
  z.strictObject({
    ...common,
    type: z.literal('payload.destroyed'),
    record: id,
    payload: hex,
    intent: position,
  }),
  z.strictObject({
    ...common,
    type: z.literal('bundle.produced'),
    bundle: id,
    size: position,
    records: position,
    manifest: hex,
  }),
  z.strictObject({
    ...common,
    type: z.literal('store.copied'),
    payloads: position,
    bytes: position,
    damaged: position,
    body: hex,
  }),
  z.strictObject({
    ...common,
    type: z.literal('restore.performed'),
    from: z.enum(['backup', 'ledger']),
    manifest: hex,
    size: position,
    replayed: position,
    body: hex,
  }),
  z.strictObject({ ...common, type: z.literal('sealed'), body: hex }),
]);

export type Entry = z.infer<typeof entrySchema>;
type Draft<T> = T extends Entry ? Omit<T, 'v' | 'origin' | 'seq' | 'prev' | 'at' | 'actor'> : never;
/** What a writer gives; the sequencer adds position, chain, time and actor. */
export type EntryDraft = Draft<Entry>;

const commonSchema = z.looseObject({ ...common, type: z.string().min(1).max(100) });
export type CommonEntry = Pick<Entry, 'v' | 'origin' | 'seq' | 'prev' | 'at' | 'actor'> & {
  readonly type: string;
};

const KNOWN_TYPES: ReadonlySet<string> = new Set(
  entrySchema.options.map((option) => option.shape.type.value),
);

/** By type; a type with an enumeration has a layout for each of its values. */
const LAYOUTS: ReadonlyMap<string, readonly Layout[]> = new Map(
  entrySchema.options.map((option) => [option.shape.type.value, layoutOf(option.shape, FORMS)]),
);

/** @returns `prev` of the first entry, as bytes */
export function genesis(origin: string): Buffer {
  return sha256('muniment/v1/genesis\n', origin);
}

/** @returns what marks an object in a store as of the archive of this origin; two archives may share a bucket */
export function archiveMark(origin: string): string {
  return genesis(origin).toString('hex').slice(0, 16);
}

/** @returns the body of a `sealed` entry, in a fixed step of length: the size of a hold or a request must not show either */
export function sealedBody(body: Json): Buffer {
  const bytes = canonicalBytes(body);
  const missing = (SEALED_BLOCK - (bytes.length % SEALED_BLOCK)) % SEALED_BLOCK;
  return Buffer.concat([bytes, Buffer.alloc(missing, ' ')]);
}

/** @returns the entry's bytes. @throws TypeError when it is not of its type's shape or too long: a mistake in our own code */
export function encodeEntry(entry: Entry): Buffer {
  const checked = entrySchema.safeParse(entry);
  if (!checked.success) throw new TypeError(`not an entry: ${z.prettifyError(checked.error)}`);
  const bytes = Buffer.from(canonicalEntry(checked.data), 'utf8');
  if (bytes.length > ENTRY_LIMIT)
    throw new TypeError(`an entry of ${bytes.length} bytes is over the limit of ${ENTRY_LIMIT}`);
  return bytes;
}

/** RFC 8785 text of an entry. */
function canonicalEntry(value: Record<string, unknown>): string {
  const sorted: Record<string, unknown> = {};
  for (const name of Object.keys(value).sort()) sorted[name] = value[name];
  const text = JSON.stringify(sorted);
  return isCanonical(sorted, text) ? text : canonicalText(value as Json);
}

/**
 * RFC 8785 sorts names by UTF-16 code units and writes strings and integers as JSON.stringify does: of an object without nesting,
 * whose names stand in order, a text that JSON.stringify gives back is canonical. Anything else takes the general way.
 * @param value what `text` parses to
 */
function isCanonical(value: Record<string, unknown>, text: string): boolean {
  let before = '';
  // Only what must be escaped is escaped, so a lone surrogate would show as an escape; so do control characters, which are rare.
  let flat = !text.includes('\\u');
  for (const name in value) {
    if (!(before < name) || typeof value[name] === 'object') flat = false;
    before = name;
  }
  if (flat) return JSON.stringify(value) === text;
  try {
    return canonicalBytes(value as Json).equals(Buffer.from(text, 'utf8'));
  } catch (error) {
    // A lone surrogate has no canonical form.
    if (error instanceof TypeError) return false;
    throw error;
  }
}

export type Decoded =
  | { readonly known: true; readonly entry: Entry }
  | { readonly known: false; readonly entry: CommonEntry };

/** What an entry says of its place in the log, read first; the rest when it is asked for. */
export interface PlacedEntry extends Pick<CommonEntry, 'origin' | 'seq' | 'prev' | 'at'> {
  /** The whole entry; null when its type is unknown to this Muniment. */
  whole(): Entry | null;
}

/**
 * Reads an entry and insists on its one encoding.
 * @throws VerificationError with the reason when the bytes are no valid entry
 */
export function decodeEntry(bytes: Uint8Array): Decoded {
  const usual = usualText(bytes);
  return usual === null ? decodeUnusual(bytes) : { known: true, entry: JSON.parse(usual) as Entry };
}

/**
 * As {@link decodeEntry}, for those who follow the chain.
 * @throws VerificationError as it does
 */
export function placeEntry(bytes: Uint8Array): PlacedEntry {
  const usual = usualText(bytes);
  if (usual !== null) return new UsualEntry(usual);
  const { known, entry } = decodeUnusual(bytes);
  const { origin, seq, prev, at } = entry;
  return { origin, seq, prev, at, whole: () => (known ? (entry as Entry) : null) };
}

/** No string of a usual entry holds a quotation mark, so a name in quotation marks stands in it once. */
class UsualEntry implements PlacedEntry {
  readonly origin: string;
  readonly seq: number;
  readonly prev: string;
  readonly at: string;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    this.at = stringAfter(text, ',"at":"');
    this.origin = stringAfter(text, ',"origin":"');
    this.prev = stringAfter(text, ',"prev":"');
    const from = text.indexOf(SEQ) + SEQ.length;
    this.seq = Number(text.slice(from, text.indexOf(',', from)));
  }

  whole(): Entry {
    return JSON.parse(this.#text) as Entry;
  }
}

const SEQ = ',"seq":';
const TYPE = ',"type":"';

function stringAfter(text: string, name: string): string {
  const from = text.indexOf(name) + name.length;
  return text.slice(from, text.indexOf('"', from));
}

/** @returns the text of an entry whose bytes fit a layout of its type, else null: then nothing is said yet */
function usualText(bytes: Uint8Array): string | null {
  // Bytes that fit a layout are ASCII, so nothing is lost by reading them as Latin-1.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  const layouts = LAYOUTS.get(stringAfter(text, TYPE));
  return layouts?.some((layout) => fits(bytes, layout)) === true ? text : null;
}

/** @returns whether the bytes fit the layout of a type */
export function isUsual(bytes: Uint8Array): boolean {
  return usualText(bytes) !== null;
}

/** The general way, which alone refuses. @throws VerificationError as {@link decodeEntry} */
export function decodeUnusual(bytes: Uint8Array): Decoded {
  if (bytes.length > ENTRY_LIMIT)
    throw new VerificationError(`${bytes.length} bytes are over the limit of ${ENTRY_LIMIT}`);
  if (!isUtf8(bytes)) throw new VerificationError('it is not UTF-8');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  const value = parseObject(text);
  // Depth first: what writes canonical JSON descends as deep as hostile bytes go.
  checkValues(value, 1);
  if (!isCanonical(value, text)) throw new VerificationError('it is not canonical JSON');
  if (value.v !== 1) throw new VerificationError(`its version ${JSON.stringify(value.v)} is unknown`);
  const schema = KNOWN_TYPES.has(String(value.type)) ? entrySchema : commonSchema;
  const checked = schema.safeParse(value);
  if (!checked.success) throw new VerificationError(z.prettifyError(checked.error).replaceAll('\n', ' '));
  return schema === entrySchema
    ? { known: true, entry: checked.data as Entry }
    : { known: false, entry: checked.data as CommonEntry };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (value !== null && typeof value === 'object' && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new VerificationError('it is not JSON', { cause });
  }
  throw new VerificationError('it is not a JSON object');
}

/** Strings, booleans, safe integers, objects and arrays to the third level: nothing else may stand in an entry. */
function checkValues(value: object, depth: number): void {
  if (depth > DEPTH_LIMIT) throw new VerificationError(`it is nested deeper than ${DEPTH_LIMIT} levels`);
  for (const member of Object.values(value)) {
    if (typeof member === 'string' || typeof member === 'boolean') continue;
    if (typeof member === 'number' && Number.isSafeInteger(member)) continue;
    if (typeof member !== 'object' || member === null)
      throw new VerificationError(`it holds ${JSON.stringify(member)}, which an entry can't`);
    checkValues(member, depth + 1);
  }
}
