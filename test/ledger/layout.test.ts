// The short way to recognise an entry must never let through what the general way refuses, and must take what the ledger writes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { VerificationError } from '../../src/core/errors.ts';
import { newId } from '../../src/core/ids.ts';
import {
  decodeEntry,
  decodeUnusual,
  type Entry,
  encodeEntry,
  genesis,
  isUsual,
  placeEntry,
} from '../../src/ledger/entry.ts';

const id = newId(systemClock.now());
const hex = 'ab'.repeat(32);
const time = '2026-11-01T12:00:00.000Z';
const common = {
  v: 1,
  origin: 'archive.example.gov/social',
  seq: 1_234_567,
  prev: genesis('archive.example.gov/social').toString('base64'),
  at: time,
  actor: id,
} as const;

/** One of every type and of every value of its enumerations. */
const ENTRIES: Entry[] = [
  { ...common, type: 'archive.created', software: 'muniment/0.1.0' },
  { ...common, type: 'key.added', key: 'archive.example.gov/social+abcdef01+AbCd/+=' },
  { ...common, type: 'key.retired', key: '' },
  ...(['added', 'changed', 'disabled'] as const).map((change) => ({
    ...common,
    type: 'account.changed' as const,
    account: id,
    change,
    body: hex,
  })),
  ...(['added', 'changed', 'removed'] as const).map((change) => ({
    ...common,
    type: 'source.changed' as const,
    source: id,
    change,
    body: hex,
  })),
  { ...common, type: 'policy.applied', body: hex },
  ...(['complete', 'partial', 'failed'] as const).map((status) => ({
    ...common,
    type: 'run.finished' as const,
    run: id,
    source: id,
    status,
    report: hex,
  })),
  {
    ...common,
    type: 'item.captured',
    record: id,
    snapshot: id,
    run: id,
    version: 1,
    document: hex,
    disclosure: hex,
    leaves: 120,
  },
  ...(['deleted', 'hidden', 'access-lost', 'account-gone'] as const).map((state) => ({
    ...common,
    type: 'item.missing' as const,
    record: id,
    run: id,
    state,
    lastSeenAt: time,
    firstMissingAt: time,
    document: hex,
  })),
  { ...common, type: 'item.restored', record: id, run: id, seenAt: time, document: hex },
  { ...common, type: 'record.linked', record: id, source: id, run: id },
  { ...common, type: 'payload.destroyed', record: id, payload: hex, intent: 0 },
  { ...common, type: 'bundle.produced', bundle: id, size: 999_999_999_999_999, records: 0, manifest: hex },
  ...(['backup', 'ledger'] as const).map((from) => ({
    ...common,
    type: 'restore.performed' as const,
    from,
    manifest: hex,
    size: 0,
    replayed: 17,
    body: hex,
  })),
  { ...common, type: 'store.copied', payloads: 12, bytes: 3456, damaged: 0, body: hex },
  { ...common, type: 'sealed', body: hex },
];

/** What the general way makes of the bytes, and null for what it refuses. */
function general(bytes: Buffer): Entry | null {
  try {
    const decoded = decodeUnusual(bytes);
    return decoded.known ? decoded.entry : null;
  } catch (error) {
    assert.ok(error instanceof VerificationError);
    return null;
  }
}

test('every type of entry that the ledger writes is recognised by its layout, and read as the schema reads it', () => {
  for (const entry of ENTRIES) {
    const bytes = encodeEntry(entry);
    assert.ok(isUsual(bytes), entry.type);
    assert.deepEqual(decodeEntry(bytes).entry, general(bytes));
    const { whole: _, ...place } = { ...placeEntry(bytes) };
    assert.deepEqual(place, { origin: entry.origin, seq: entry.seq, prev: entry.prev, at: entry.at });
    assert.deepEqual(placeEntry(bytes).whole(), entry);
  }
});

test('an entry with a name in another script or an escape is no usual one, and is read all the same', () => {
  for (const software of ['múniment', 'a"b', 'a\\b', 'a\nb', '\u007f']) {
    const bytes = encodeEntry({ ...common, type: 'archive.created', software });
    assert.equal(isUsual(bytes), false, software);
    assert.equal((decodeEntry(bytes).entry as { software?: string }).software, software);
  }
});

test('no change of one byte, and no byte put in or taken out, passes by layout unless the general way reads the same', () => {
  let passed = 0;
  for (const entry of ENTRIES) {
    const bytes = encodeEntry(entry);
    for (let at = 0; at <= bytes.length; at += 1) {
      const [before, after] = [bytes.subarray(0, at), bytes.subarray(at + 1)];
      for (const byte of ['0', 'a', 'G', '"', ' ', '\\', '\u00e9']) {
        const put = Buffer.from(byte, 'latin1');
        for (const changed of [
          Buffer.concat([before, put, after]),
          Buffer.concat([before, put, bytes.subarray(at)]),
          Buffer.concat([before, after]),
        ]) {
          if (!isUsual(changed)) continue;
          passed += 1;
          assert.deepEqual(decodeEntry(changed).entry, general(changed), changed.toString('latin1'));
        }
      }
    }
  }
  assert.ok(passed > 1000, 'changes that leave a valid entry were among them');
});

test('numbers that JSON allows and an entry does not are never taken by layout', () => {
  for (const number of [
    '00',
    '01',
    '-1',
    '-0',
    '1.0',
    '1e3',
    '9007199254740993',
    '12345678901234567890',
    '',
  ]) {
    const text = encodeEntry({ ...common, type: 'sealed', body: hex })
      .toString('latin1')
      .replace('"seq":1234567', `"seq":${number}`);
    assert.equal(isUsual(Buffer.from(text, 'latin1')), false, number);
    assert.throws(() => decodeEntry(Buffer.from(text, 'latin1')), VerificationError);
  }
});
