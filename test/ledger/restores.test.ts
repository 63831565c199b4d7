// Bodies that are missing: a restore accounts for those that it said were lost, and nobody hides a removed one behind it.

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { canonicalBytes, type Json } from '../../src/core/canonical.ts';
import { bodyCommitment } from '../../src/core/digest.ts';
import { ObjectNotFoundError } from '../../src/core/errors.ts';
import { BODY_KIND } from '../../src/ledger/body-kind.ts';
import type { Entry } from '../../src/ledger/entry.ts';
import { leafHash } from '../../src/ledger/tree.ts';
import type { ArchiveReader, RowWithSeq } from '../../src/ledger/verify/contract.ts';
import { verifyArchive } from '../../src/ledger/verify.ts';
import { ACTOR, makeLog, ORIGIN } from './log.ts';

const SALT = Buffer.alloc(32, 7);
const RECORD = '019a3c5e-0000-7000-8000-000000000002';
const PAYLOAD = 'ab'.repeat(32);
const SIZE = 12;
/** Who wrote all of it, added by the first entry. */
const CLERK = { id: ACTOR, name: 'clerk', roles: ['operator'] };
/** The restore: entries 2 to 6 came from a published log, 2 of their bodies were lost. */
const RESTORE = 8;
const GENUINE: Restore = { at: RESTORE, size: 2, replayed: 5, lostBodies: 2 };

interface Restore {
  readonly at: number;
  readonly size: number;
  readonly replayed: number;
  readonly lostBodies: number | string | null;
}

interface Case {
  readonly restores: readonly Restore[];
  /** Positions whose body is removed. */
  readonly removed: readonly number[];
  /** Entries under the signed head; null: none is pinned yet. */
  readonly signed?: number | null;
  /** Position of a destruction, and of what it names as its intent. */
  readonly destruction?: readonly [at: number, intent: number];
  readonly change?: (bodies: Map<number, Buffer>) => void;
}

/** @returns `kind@seq` of every problem, and how many bodies count as lost */
async function verified(given: Case): Promise<[problems: string[], lost: number]> {
  const bodies = new Map<number, Buffer>();
  const log = makeLog(SIZE, (entry) => {
    const { v, origin, seq, prev, at, actor } = entry;
    const common = { v, origin, seq, prev, at, actor };
    if (given.destruction?.[0] === seq)
      return {
        ...common,
        type: 'payload.destroyed',
        record: RECORD,
        payload: PAYLOAD,
        intent: given.destruction[1],
      };
    const restore = given.restores.find((one) => one.at === seq);
    const said: Json =
      restore === undefined
        ? seq === 0
          ? CLERK
          : { note: seq }
        : restore.lostBodies === null
          ? {}
          : { lostBodies: restore.lostBodies };
    const bytes = canonicalBytes(said);
    bodies.set(seq, bytes);
    const body = bodyCommitment(SALT, bytes);
    if (seq === 0) return { ...common, type: 'account.changed', account: ACTOR, change: 'added', body };
    if (restore === undefined) return { ...common, type: 'sealed', body };
    const { size, replayed } = restore;
    return {
      ...common,
      type: 'restore.performed',
      from: 'backup',
      manifest: body,
      size,
      replayed,
      body,
    } as Entry;
  });
  for (const seq of given.removed) bodies.delete(seq);
  given.change?.(bodies);
  const destroyed: RowWithSeq[] =
    given.destruction === undefined
      ? []
      : [{ seq: given.destruction[0], commitment: PAYLOAD, record_id: RECORD, intent: given.destruction[1] }];
  const kindAt = (seq: number): string => {
    if (given.restores.some(({ at }) => at === seq)) return BODY_KIND.restore;
    return seq === 0 ? BODY_KIND.account : 'note';
  };
  const reader: ArchiveReader = {
    async *entries() {
      yield log.entries.map((entry, seq) => ({ seq, entry, leaf: leafHash(entry) }));
    },
    entry: async (seq) => log.entries[seq] ?? null,
    head: async () => log.storedHead(),
    rows: async (table, from, to) => {
      const rows =
        table === 'entry_bodies'
          ? [...bodies].map(([seq, body]) => ({ seq, kind: kindAt(seq), salt: SALT, body }))
          : table === 'payload_destructions'
            ? destroyed
            : table === 'accounts'
              ? [{ ...CLERK, seq: 0 }]
              : [];
      return rows.filter(({ seq }) => seq >= from && seq < to);
    },
    strayRows: async () => 0,
    subtrees: async () => [],
    checkpoints: async () => [],
    destructions: async () => new Map(),
    object: async (commitment) => {
      throw new ObjectNotFoundError(commitment);
    },
    covered: () => Readable.from([]) as AsyncIterable<never>,
  };
  const { signed = SIZE } = given;
  const { problems, lostBodies, ok } = await verifyArchive(reader, {
    origin: ORIGIN,
    pinned: signed === null ? 'not yet' : log.head(signed),
    signs: true,
    anchors: [],
    openCheckpoint: () => assert.fail('there is no checkpoint'),
  });
  assert.equal(ok, problems.length === 0);
  return [problems.map(({ kind, seq }) => `${kind}@${seq}`), lostBodies];
}

test('bodies that a restore said were lost are counted and are no problem', async () => {
  assert.deepEqual(await verified({ restores: [GENUINE], removed: [3, 5] }), [[], 2]);
  // The restore itself verifies before it signs.
  assert.deepEqual(await verified({ restores: [GENUINE], removed: [3, 5], signed: null }), [[], 2]);
});

test('a body removed after the restore is a problem, in its range and beyond', async () => {
  const [inside, lostInside] = await verified({ restores: [GENUINE], removed: [3, 5, 6] });
  assert.deepEqual(
    [inside, lostInside],
    [['body-missing@3', 'body-missing@5', 'body-missing@6'], 0],
    'nobody can tell which of the three was there',
  );
  for (const seq of [1, 7, 9])
    assert.deepEqual(await verified({ restores: [GENUINE], removed: [3, 5, seq] }), [
      [`body-missing@${seq}`],
      2,
    ]);
});

test('a restore that was appended without the key excuses nothing, however well it counts', async () => {
  const appended = { at: SIZE - 1, size: 0, replayed: 1_000_000, lostBodies: 3 };
  assert.deepEqual(await verified({ restores: [appended], removed: [0, 4, 9], signed: SIZE - 1 }), [
    ['body-missing@0', 'body-missing@4', 'body-missing@9'],
    0,
  ]);
});

test('a restore with a large range excuses no more bodies than it counts, and none after itself', async () => {
  const large = { ...GENUINE, size: 0, replayed: 1_000_000 };
  assert.deepEqual(await verified({ restores: [large], removed: [3, 5, 10] }), [['body-missing@10'], 2]);
  assert.deepEqual(await verified({ restores: [large], removed: [0, 1, 3] }), [
    ['body-missing@0', 'body-missing@1', 'body-missing@3'],
    0,
  ]);
});

test('a restore whose own body is gone, altered or counts nothing excuses nothing', async () => {
  assert.deepEqual(await verified({ restores: [GENUINE], removed: [3, 5, RESTORE] }), [
    ['body-missing@3', 'body-missing@5', `body-missing@${RESTORE}`],
    0,
  ]);
  const change = (bodies: Map<number, Buffer>) => void bodies.set(RESTORE, canonicalBytes({ lostBodies: 1 }));
  assert.deepEqual(await verified({ restores: [GENUINE], removed: [3], change }), [
    [`body-altered@${RESTORE}`, 'body-missing@3'],
    0,
  ]);
  for (const lostBodies of [null, '1', -1, 0.5])
    assert.deepEqual(await verified({ restores: [{ ...GENUINE, lostBodies }], removed: [3] }), [
      ['body-missing@3'],
      0,
    ]);
});

test('a restore that was itself taken over from a published log is accounted for by the one after it', async () => {
  const second = { at: 10, size: 1, replayed: 8, lostBodies: 3 };
  assert.deepEqual(await verified({ restores: [GENUINE, second], removed: [3, 5, RESTORE] }), [[], 3]);
});

test('a destruction holds without its lost intent only where it was published with it', async () => {
  const removed = [3, 5];
  assert.deepEqual(await verified({ restores: [GENUINE], removed, destruction: [6, 5] }), [[], 2]);
  assert.deepEqual(await verified({ restores: [GENUINE], removed, destruction: [9, 5] }), [
    ['destruction-without-intent@9'],
    2,
  ]);
});
