// `muniment store copy`: brings every payload into another store and then says in the ledger that the archive has moved. Each payload is
// held against its commitment before it is put and when it is read back. A copy that was stopped goes on: what is there already is not put
// again, but read again as a whole, for the entry speaks of what this command has seen, not of what rows say was there once. Passes are made
// until a pass under the lock that keeps runs out finds nothing new; the entry then stands in the same transaction as the proof that nothing
// was entered meanwhile.

import { createHash, type Hash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Json } from '../core/canonical.ts';
import { IncompleteError, RefusedError, VerificationError } from '../core/errors.ts';
import type { Database, DatabaseHandle, DatabaseTransaction, HeldConnection } from '../db/database.ts';
import { keepLocks, keepVersions, storedVersions } from '../db/payload-versions.ts';
import { holdStoreAlone, tryCopyAlone } from '../db/store-lock.ts';
import { eraseCopies } from '../disposition/strays.ts';
import type { Ledger } from '../ledger/append.ts';
import { requireStoreInForce, STORE_COPIED } from '../ledger/store-in-force.ts';
import type { ObjectEraser, ObjectStore } from '../store/objects.ts';
import { compare, type PayloadRow, payloadRows } from './compare.ts';
import { Carried, type Examined, examinePayload } from './examine.ts';

export interface CopyContext {
  readonly database: DatabaseHandle;
  readonly ledger: Ledger;
  /** Account id that the entry names. */
  readonly actor: string;
  readonly from: ObjectStore;
  readonly to: ObjectStore;
  /** Removes from the new store what was destroyed after it was copied. */
  readonly eraserOfTo: ObjectEraser;
  /** Large payloads pass through here. */
  readonly spool: string;
}

export interface Damaged {
  readonly payload: string;
  readonly state: 'missing' | 'altered';
  readonly record: string | null;
  readonly run: string | null;
  readonly role: string | null;
  readonly detail: string;
}

export interface CopyResult {
  readonly from: string;
  readonly to: string;
  /** Payloads that are in the new store now, verified there, and their bytes. */
  readonly payloads: number;
  readonly bytes: number;
  /** Of these, how many this command copied, or found there without a row that says so. The others it read again. */
  readonly copied: number;
  /** Copies removed from the new store because the payload was destroyed meanwhile. */
  readonly erased: number;
  /** Objects in the new store that are not this archive's payloads. */
  readonly others: number;
  /** What the old store has lost or altered: not copied. */
  readonly damaged: { readonly count: number; readonly listed: readonly Damaged[] };
  /** Position of `store.copied`; null when the copy is not complete and the archive has not moved. */
  readonly entry: number | null;
}

const IN_MEMORY = 4 * 1024 * 1024;
/** Payloads on their way at the same time. */
const SMALL_AT_ONCE = 8;
const LARGE_AT_ONCE = 2;
const BATCH = 64;
/** Rows looked at before a batch is carried out, so that those already copied don't pile up. */
const QUEUE = 4096;
const DAMAGED_LISTED = 500;
const ROUNDS = 5;

/**
 * @param options.leaveDamaged end the copy although the old store has lost or altered payloads
 * @throws RefusedError when another copy goes on, the archive has left `from`, or a copy of a destroyed payload is locked in `to`
 * @throws VerificationError when `to` holds other bytes, or another description, under a key of ours; IncompleteError when it was put there
 *   rightly once
 */
export async function copyStore(
  context: CopyContext,
  options: { leaveDamaged: boolean; signal: AbortSignal; onProgress?: (text: string) => void },
): Promise<CopyResult> {
  // Its locks go with this connection, however the process ends.
  await using lock = await context.database.hold();
  if (!(await tryCopyAlone(lock)))
    throw new RefusedError('another `muniment store copy` of this archive is going on', {
      hint: 'Wait for it to end, or stop it; a copy goes on where it was stopped.',
    });
  await requireStoreInForce(context.database.db, context.from.identity);
  const spool = join(context.spool, 'store-copy');
  await rm(spool, { recursive: true, force: true }); // what a killed copy left
  await mkdir(spool, { recursive: true });
  try {
    return await copyUnderLock(context, options, spool, lock);
  } finally {
    await rm(spool, { recursive: true, force: true });
  }
}

async function copyUnderLock(
  context: CopyContext,
  options: Parameters<typeof copyStore>[1],
  spool: string,
  lock: HeldConnection,
): Promise<CopyResult> {
  const tally = new Tally();
  const passed = (trusting: boolean): Promise<PassResult> =>
    new Pass(context, options, { spool, tally, trusting }).run();
  const isComplete = (pass: PassResult): boolean => pass.damaged.count === 0 || options.leaveDamaged;
  let pass = await passed(false);
  for (let round = 1; ; round += 1) {
    if (!isComplete(pass)) return resultOf(context, pass, tally, null);
    await holdStoreAlone(lock, {
      signal: options.signal,
      onWait: () => options.onProgress?.('waiting for a run to end'),
    });
    const moment = await lastEntered(context.database.db);
    pass = await passed(true);
    if (!isComplete(pass)) return resultOf(context, pass, tally, null);
    const entry = await enter(context, pass, moment);
    if (entry !== null) return resultOf(context, pass, tally, entry);
    if (round === ROUNDS)
      throw new RefusedError('payloads are entered or destroyed all the while, so the copy finds no end', {
        hint: 'Stop whatever else works on this archive, and run the command again: it goes on from here.',
      });
  }
}

/** Positions of the newest entries with payloads and destructions: as long as they stay, so does the set of payloads. */
async function lastEntered(db: Database | DatabaseTransaction): Promise<string> {
  const payload = await db
    .selectFrom('payloads')
    .select((e) => e.fn.max('seq').as('seq'))
    .executeTakeFirst();
  const destruction = await db
    .selectFrom('payload_destructions')
    .select((e) => e.fn.max('seq').as('seq'))
    .executeTakeFirst();
  return `${payload?.seq ?? '-'} ${destruction?.seq ?? '-'}`;
}

/** Under the sequencer's lock: nothing can be entered between the question and the entry. @returns null when something was before */
async function enter(context: CopyContext, pass: PassResult, moment: string): Promise<number | null> {
  const { from, to } = context;
  return context.ledger.write(context.actor, async (batch) => {
    await requireStoreInForce(batch.tx, from.identity);
    if ((await lastEntered(batch.tx)) !== moment) return null;
    const body = {
      from: { identity: from.identity, location: from.location },
      to: { identity: to.identity, location: to.location, lock: to.lock },
      payloads: pass.payloads,
      bytes: pass.bytes,
      list: pass.list,
      damaged: pass.damaged.listed.map(({ payload, state }) => ({ payload, state })),
    };
    return batch.addWithBody(
      { type: 'store.copied', payloads: pass.payloads, bytes: pass.bytes, damaged: pass.damaged.count },
      STORE_COPIED,
      body as unknown as Json,
    );
  });
}

function resultOf(context: CopyContext, pass: PassResult, tally: Tally, entry: number | null): CopyResult {
  const { payloads, bytes, others, damaged } = pass;
  const { copied, erased } = tally;
  return {
    from: context.from.location,
    to: context.to.location,
    payloads,
    bytes,
    copied,
    erased,
    others,
    damaged,
    entry,
  };
}

/** What all passes of one command did. */
class Tally {
  copied = 0;
  erased = 0;
  /** Payloads with a row of an earlier command that no pass has verified: the old store has not got them either. */
  readonly unverified = new Set<string>();
}

interface PassResult {
  readonly payloads: number;
  readonly bytes: number;
  readonly others: number;
  readonly list: string;
  readonly damaged: { count: number; readonly listed: Damaged[] };
}

interface Queued {
  readonly row: PayloadRow;
  /** `done`: the new store has it, and an earlier pass of this command has verified it there. */
  readonly state: 'done' | 'there' | 'absent';
}

/** One comparison of the new store with the rows; what is not there yet is copied. */
class Pass {
  readonly #context: CopyContext;
  readonly #options: Parameters<typeof copyStore>[1];
  readonly #means: { readonly spool: string; readonly tally: Tally; readonly trusting: boolean };
  readonly #list: Hash = createHash('sha256');
  readonly #damaged: PassResult['damaged'] = { count: 0, listed: [] };
  #queue: Queued[] = [];
  #waiting = 0;
  #destroyed: string[] = [];
  #payloads = 0;
  #bytes = 0;
  #others = 0;

  /** @param means.trusting an earlier pass of this command has read whatever rows say is in the new store */
  constructor(
    context: CopyContext,
    options: Parameters<typeof copyStore>[1],
    means: { readonly spool: string; readonly tally: Tally; readonly trusting: boolean },
  ) {
    this.#context = context;
    this.#options = options;
    this.#means = means;
  }

  async run(): Promise<PassResult> {
    const { to, database } = this.#context;
    for await (const { object, row } of compare(to.list(), payloadRows(database, to.identity))) {
      this.#options.signal.throwIfAborted();
      if (row === null) this.#others += 1;
      else if (row.destroyed !== null) {
        if (object !== null) this.#destroyed.push(row.commitment);
      } else {
        const state = object === null ? 'absent' : this.#isVerified(row) ? 'done' : 'there';
        if (state !== 'done') this.#waiting += 1;
        this.#queue.push({ row, state });
      }
      if (this.#waiting >= BATCH || this.#queue.length >= QUEUE) await this.#carryOut();
      if (this.#destroyed.length >= BATCH) await this.#eraseDestroyed();
    }
    await this.#carryOut();
    await this.#eraseDestroyed();
    return {
      payloads: this.#payloads,
      bytes: this.#bytes,
      others: this.#others,
      list: this.#list.digest('hex'),
      damaged: this.#damaged,
    };
  }

  #isVerified({ kept, commitment }: PayloadRow): boolean {
    return kept && this.#means.trusting && !this.#means.tally.unverified.has(commitment);
  }

  /** Copies what is queued. What was copied is kept in rows before anything that went wrong is thrown. */
  async #carryOut(): Promise<void> {
    const queue = this.#queue;
    this.#queue = [];
    this.#waiting = 0;
    const { from, to } = this.#context;
    const { db } = this.#context.database;
    const work = queue.filter((one) => one.state !== 'done');
    const versions = await storedVersions(
      db,
      from.identity,
      work.map((one) => one.row.commitment),
    );
    const outcomes = new Map<string, Examined>();
    const known = new Set(
      work.filter((one) => one.state === 'there' && one.row.kept).map((one) => one.row.commitment),
    );
    const job = (one: Queued) => async (): Promise<void> => {
      const { commitment } = one.row;
      outcomes.set(commitment, await this.#copy(one, versions.get(commitment) ?? null));
    };
    const small = work.filter((one) => one.row.length <= IN_MEMORY);
    const large = work.filter((one) => one.row.length > IN_MEMORY);
    const failures = [
      ...(await atOnce(small.map(job), SMALL_AT_ONCE, this.#options.signal)),
      ...(await atOnce(large.map(job), LARGE_AT_ONCE, this.#options.signal)),
    ];
    const kept = [...outcomes].flatMap(([commitment, outcome]) =>
      outcome.state === 'intact' ? [{ commitment, ...outcome.object }] : [],
    );
    await keepVersions(db, to.identity, kept);
    await keepLocks(db, to.identity, kept);
    this.#means.tally.copied += kept.filter((one) => !known.has(one.commitment)).length;
    if (failures.length > 0) throw failures[0];
    for (const { row, state } of queue) {
      const outcome = outcomes.get(row.commitment);
      if (state === 'done' || outcome?.state === 'intact') {
        this.#payloads += 1;
        this.#bytes += row.length;
        this.#list.update(`${row.commitment}\n`);
      } else if (outcome !== undefined) this.#noteDamaged(row, outcome);
    }
    this.#options.onProgress?.(
      `${this.#payloads} payloads in the new store, ${this.#means.tally.copied} copied now`,
    );
  }

  /** @returns what the new store holds now; or what is wrong with the payload in the old one */
  async #copy({ row, state }: Queued, version: string | null): Promise<Examined> {
    const { from, to } = this.#context;
    const { commitment } = row;
    if (row.salt === null) return { state: 'altered', why: 'its row has lost the salt' };
    if (state === 'there') return insisted(await examinePayload(to, row, null), row, to);
    await using carried = await Carried.begin(row.length, IN_MEMORY, this.#means.spool, commitment);
    const read = await examinePayload(from, row, version, carried.take);
    if (read.state !== 'intact') return read;
    const { contentType, metadata } = read.object;
    const put = await to.put(commitment, carried.body(), { contentType, metadata: { ...metadata } });
    return insisted(await examinePayload(to, row, put.version), row, to);
  }

  #noteDamaged(row: PayloadRow, outcome: Exclude<Examined, { state: 'intact' }>): void {
    const { commitment: payload, record, run, role } = row;
    const { state } = outcome;
    const detail = state === 'missing' ? 'it is not in the old store' : outcome.why;
    this.#damaged.count += 1;
    if (row.kept) this.#means.tally.unverified.add(payload);
    if (this.#damaged.listed.length < DAMAGED_LISTED)
      this.#damaged.listed.push({ payload, state, record, run, role, detail });
  }

  async #eraseDestroyed(): Promise<void> {
    const keys = this.#destroyed;
    this.#destroyed = [];
    const locked = await eraseCopies(this.#context.database.db, this.#context.eraserOfTo, keys);
    this.#means.tally.erased += keys.length - locked.length;
    if (locked.length === 0) return;
    throw new RefusedError(
      `${this.#context.to.location} holds a copy of payload ${locked[0]}, which was destroyed since, and does not let it go`,
      {
        hint: 'A lock stands on it, or the credentials lack the right to delete. Run the command again when the lock has ended, or copy to another bucket.',
      },
    );
  }
}

/** What stands in the new store under a key of ours must be the payload. @throws VerificationError */
function insisted(examined: Examined, row: PayloadRow, to: ObjectStore): Examined {
  if (examined.state === 'intact') return examined;
  const why = examined.state === 'missing' ? 'it is not there after it was put' : examined.why;
  if (row.kept)
    throw new IncompleteError(
      `${to.location} no longer holds payload ${row.commitment} as an earlier copy put it there: ${why}`,
      {
        hint: 'The archive has not moved. Find out who writes to that store; then remove that object from it, or name an empty store, and run the command again.',
      },
    );
  throw new VerificationError(`${to.location} does not hold payload ${row.commitment} as it should: ${why}`, {
    hint: 'The archive has not moved. Name an empty store, or one that only this command has written to.',
  });
}

/** Runs jobs, a few at a time, until one fails or the signal comes. @returns what was thrown, after those under way have ended */
async function atOnce(
  jobs: readonly (() => Promise<void>)[],
  limit: number,
  signal: AbortSignal,
): Promise<unknown[]> {
  const failures: unknown[] = [];
  const queue = jobs[Symbol.iterator]();
  const workers = Array.from({ length: Math.min(limit, jobs.length) }, async () => {
    for (const job of queue) {
      if (failures.length > 0) return;
      try {
        signal.throwIfAborted();
        await job();
      } catch (error) {
        failures.push(error);
      }
    }
  });
  await Promise.all(workers);
  return failures;
}
