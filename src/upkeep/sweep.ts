// `muniment store sweep`: tells which objects no row knows and which rows have lost their object, and on request removes old objects of the
// first kind. It repairs nothing: a row without its object is a loss, and a destroyed payload that is still there is disposition's to remove.

import { MunimentError, ObjectNotFoundError, VerificationError } from '../core/errors.ts';
import type { DatabaseHandle } from '../db/database.ts';
import { storedVersions } from '../db/payload-versions.ts';
import { knownToRows, type Removal, removeUnreferenced } from '../disposition/strays.ts';
import { archiveMark } from '../ledger/entry.ts';
import { CutObjectError } from '../store/container.ts';
import type { Leftover } from '../store/leftovers.ts';
import type { ListedObject, ObjectEraser, ObjectReader, StoredObject } from '../store/objects.ts';
import { compare, type PayloadRow, payloadRows } from './compare.ts';
import { type LostRow, lostRows } from './lost-rows.ts';
import { ownersOf } from './owners.ts';
import { type Gap, gaps, sharedSince } from './restores.ts';

export interface SweepContext {
  readonly database: DatabaseHandle;
  readonly store: ObjectReader & { readonly location: string };
  readonly origin: string;
  /** The right to remove; null: only tell. */
  readonly eraser: ObjectEraser | null;
  readonly leftovers: AsyncIterable<Leftover>;
}

/**
 * What is so of an object that no row knows, or what was done with it. Kept: `recent`, `foreign` (another archive's), `unmarked` (it does not
 * say whose it is), `named` (a document of its owner names it: its row was lost), `unsure` (such a document cannot be read), `locked`,
 * `busy`, `after-backup` (stored when the archive was not yet what a restore made of it: perhaps all that is left of a record). Otherwise
 * `removable`, `removed`; or `entered`, since a row came meanwhile.
 */
export type Outcome =
  | Removal
  | 'after-backup'
  | 'recent'
  | 'foreign'
  | 'unmarked'
  | 'named'
  | 'unsure'
  | 'removable';

/** A count, and the first of what was counted. */
export interface Found<T> {
  count: number;
  readonly listed: T[];
}

export interface SweepResult {
  readonly store: string;
  readonly dryRun: boolean;
  /** Position of the restore since which another archive may have this store too: then nothing is removed. */
  sharedSince: number | null;
  /** Objects stored after this moment are left alone. */
  readonly before: string;
  objects: number;
  rows: number;
  readonly unreferenced: Found<{ object: string; length: number; modifiedAt: string; outcome: Outcome }> & {
    bytes: number;
    readonly outcomes: Partial<Record<Outcome, number>>;
  };
  readonly missing: Found<{
    payload: string;
    record: string | null;
    run: string | null;
    role: string | null;
    entry: number | null;
  }>;
  readonly presentAfterDestruction: Found<{ payload: string; record: string | null; entry: number | null }>;
  /** Payloads that the ledger names and no row knows: then nothing is removed. */
  readonly lostRows: Found<LostRow>;
  /** Unfinished for so long that its writer must be dead. */
  readonly unfinished: Found<{ kind: Leftover['kind']; name: string; since: string }>;
}

const LISTED = 1000;
/** Objects looked at, and removed, at the same time. */
const GROUP = 16;
/** How often a removal that a run is in the way of is tried again, unless told, and after how long. */
const ATTEMPTS = 30;
const PAUSE_MS = 1000;

export async function sweepStore(
  context: SweepContext,
  options: {
    now: Temporal.Instant;
    before: Temporal.Instant;
    stale: Temporal.Instant;
    signal: AbortSignal;
    attempts?: number | undefined;
    onProgress?: (text: string) => void;
  },
): Promise<SweepResult> {
  return new Sweep(context, options).run();
}

class Sweep {
  readonly #context: SweepContext;
  readonly #options: Parameters<typeof sweepStore>[1];
  readonly #mark: string;
  readonly #result: SweepResult;
  #unreferenced: ListedObject[] = [];
  #absent: PayloadRow[] = [];
  #gaps: readonly Gap[] = [];
  #attempts: number;

  constructor(context: SweepContext, options: Parameters<typeof sweepStore>[1]) {
    this.#context = context;
    this.#options = options;
    this.#attempts = options.attempts ?? ATTEMPTS;
    this.#mark = archiveMark(context.origin);
    this.#result = {
      store: context.store.location,
      dryRun: context.eraser === null,
      sharedSince: null,
      before: options.before.toString(),
      objects: 0,
      rows: 0,
      unreferenced: { count: 0, bytes: 0, outcomes: {}, listed: [] },
      missing: { count: 0, listed: [] },
      presentAfterDestruction: { count: 0, listed: [] },
      lostRows: { count: 0, listed: [] },
      unfinished: { count: 0, listed: [] },
    };
  }

  async run(): Promise<SweepResult> {
    const { store, database, leftovers } = this.#context;
    const { signal, onProgress, before, stale } = this.#options;
    const result = this.#result;
    this.#gaps = await gaps(database.db);
    result.sharedSince = await sharedSince(database.db, store.identity);
    // First: rows that cannot be trusted must not decide what nobody knows.
    for await (const lost of lostRows(database.db)) {
      signal.throwIfAborted();
      add(result.lostRows, lost);
    }
    for await (const { object, row } of compare(store.list(), payloadRows(database, store.identity))) {
      signal.throwIfAborted();
      if (object !== null) result.objects += 1;
      if (row !== null) result.rows += 1;
      if (row === null) {
        if (Temporal.Instant.compare(object.modifiedAt, before) < 0) this.#unreferenced.push(object);
        else this.#tell(object, 'recent');
      } else if (object === null) {
        if (row.destroyed === null) this.#absent.push(row);
      } else if (row.destroyed !== null) {
        const { commitment: payload, record, destroyed: entry } = row;
        add(result.presentAfterDestruction, { payload, record, entry });
      }
      if (this.#unreferenced.length >= GROUP) await this.#takeUnreferenced();
      if (this.#absent.length >= GROUP) await this.#takeAbsent();
      if ((result.objects + result.rows) % 1000 === 0)
        onProgress?.(`${result.objects} objects, ${result.rows} rows`);
    }
    await this.#takeUnreferenced();
    await this.#takeAbsent();
    for await (const { kind, name, since } of leftovers) {
      signal.throwIfAborted();
      if (Temporal.Instant.compare(since, stale) < 0)
        add(result.unfinished, { kind, name, since: since.toString() });
    }
    return result;
  }

  #tell(object: ListedObject, outcome: Outcome): void {
    const { unreferenced } = this.#result;
    unreferenced.outcomes[outcome] = (unreferenced.outcomes[outcome] ?? 0) + 1;
    if (outcome === 'entered') return;
    unreferenced.bytes += object.length;
    const { key, length, modifiedAt } = object;
    add(unreferenced, { object: key, length, modifiedAt: modifiedAt.toString(), outcome });
  }

  async #takeUnreferenced(): Promise<void> {
    const objects = this.#unreferenced;
    this.#unreferenced = [];
    if (objects.length === 0) return;
    const known = await knownToRows(
      this.#context.database.db,
      objects.map((object) => object.key),
    );
    const judged = await Promise.all(
      objects.map(
        async (object): Promise<[ListedObject, Outcome | null]> => [
          object,
          known.has(object.key) ? 'entered' : await this.#judge(object),
        ],
      ),
    );
    const removable = judged.flatMap(([object, outcome]) => (outcome === 'removable' ? [object.key] : []));
    const { eraser } = this.#context;
    const removals =
      eraser === null || this.#result.lostRows.count > 0 || this.#result.sharedSince !== null
        ? new Map()
        : await this.#remove(eraser, removable);
    for (const [object, outcome] of judged)
      if (outcome !== null) this.#tell(object, removals.get(object.key) ?? outcome);
  }

  /** @returns null when the object is gone since it was listed */
  async #judge({ key, modifiedAt }: ListedObject): Promise<Outcome | null> {
    try {
      const { metadata, lockedUntil } = await this.#describe(key);
      if (metadata.archive === undefined) return 'unmarked';
      if (metadata.archive !== this.#mark) return 'foreign';
      const outcome = await this.#judgeOwner(key, metadata);
      if (outcome === 'removable' && this.#gaps.some((gap) => isWithin(modifiedAt, gap)))
        return 'after-backup';
      const locked = lockedUntil !== null && Temporal.Instant.compare(lockedUntil, this.#options.now) > 0;
      return outcome === 'removable' && locked ? 'locked' : outcome;
    } catch (error) {
      if (error instanceof ObjectNotFoundError) return null;
      if (error instanceof VerificationError) return 'unmarked'; // its description is damaged
      throw error;
    }
  }

  /** What was cut while it was written still says whose it is. */
  async #describe(key: string): Promise<Pick<StoredObject, 'metadata' | 'lockedUntil'>> {
    try {
      return await this.#context.store.head(key);
    } catch (error) {
      if (error instanceof CutObjectError) return { metadata: error.metadata, lockedUntil: null };
      throw error;
    }
  }

  /** A slice or a medium is named by a document of its record: one whose row was lost is not nobody's. */
  async #judgeOwner(key: string, owner: Readonly<Record<string, string>>): Promise<Outcome> {
    const { store } = this.#context;
    const { db } = this.#context.database;
    const documents = await ownersOf(db, owner);
    const versions = await storedVersions(db, store.identity, documents);
    for (const document of documents) {
      this.#options.signal.throwIfAborted();
      try {
        const { body } = await store.get(document, versions.get(document) ?? null);
        if (await holds(body, key)) return 'named';
      } catch (error) {
        if (error instanceof ObjectNotFoundError || error instanceof VerificationError) return 'unsure';
        throw error;
      }
    }
    return 'removable';
  }

  async #remove(eraser: ObjectEraser, keys: readonly string[]): Promise<Map<string, Removal>> {
    if (keys.length === 0) return new Map();
    for (;;) {
      const removals = await removeUnreferenced(this.#context.database.db, eraser, keys);
      if (removals.get(keys[0] as string) !== 'busy' || this.#attempts === 0) return removals;
      this.#attempts -= 1;
      this.#options.onProgress?.('waiting for a run to end');
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      this.#options.signal.throwIfAborted();
    }
  }

  /** Asked once more, of both sides: the listing is older than now, and so are the rows. */
  async #takeAbsent(): Promise<void> {
    const rows = this.#absent;
    this.#absent = [];
    if (rows.length === 0) return;
    const { store } = this.#context;
    const { db } = this.#context.database;
    const keys = rows.map((row) => row.commitment);
    const versions = await storedVersions(db, store.identity, keys);
    const gone = await Promise.all(
      rows.map(async (row) =>
        (await isAbsent(store, row, versions.get(row.commitment) ?? null)) ? [row] : [],
      ),
    );
    const destroyed = await db
      .selectFrom('payload_destructions')
      .select('commitment')
      .where('commitment', 'in', keys)
      .execute();
    const lawfully = new Set(destroyed.map((row) => row.commitment));
    for (const { commitment: payload, record, run, role, seq: entry } of gone.flat())
      if (!lawfully.has(payload)) add(this.#result.missing, { payload, record, run, role, entry });
  }
}

function isWithin(moment: Temporal.Instant, { from, until }: Gap): boolean {
  return Temporal.Instant.compare(moment, from) >= 0 && Temporal.Instant.compare(moment, until) <= 0;
}

function add<T>(found: Found<T>, one: T): void {
  found.count += 1;
  if (found.listed.length < LISTED) found.listed.push(one);
}

async function isAbsent(store: ObjectReader, row: PayloadRow, version: string | null): Promise<boolean> {
  try {
    await store.head(row.commitment, version);
    return false;
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return true;
    // A damaged object is there; that it is damaged is for `verify` to tell.
    if (error instanceof VerificationError) return false;
    throw error instanceof MunimentError
      ? error
      : new Error(`could not ask for ${row.commitment}`, { cause: error });
  }
}

/** Whether a text stands in a stream, in bounded memory. */
async function holds(body: AsyncIterable<Buffer>, text: string): Promise<boolean> {
  let tail = '';
  let found = false;
  for await (const chunk of body) {
    const piece = tail + chunk.toString('latin1');
    found ||= piece.includes(text);
    tail = piece.slice(-text.length);
  }
  return found;
}
