// The signer as it is used: key and head in real files, logs that continue what was signed and logs that do not.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { InputError, ServiceError, VerificationError } from '../../src/core/errors.ts';
import {
  newSigningKey,
  openNote,
  parseCheckpoint,
  parseSigningKey,
  parseVerifierKey,
  signNote,
} from '../../src/ledger/note.ts';
import {
  type Announced,
  type EntryRange,
  openSigner,
  readPinnedHead,
  type Signer,
} from '../../src/ledger/signer.ts';
import { batches, type Log, makeLog, ORIGIN } from './log.ts';

interface Home {
  readonly keyFile: string;
  readonly headFile: string;
  readonly verifierKey: string;
  readonly signer: Signer;
}

async function home(t: TestContext): Promise<Home> {
  const folder = await mkdtemp(path.join(tmpdir(), 'muniment-signer-'));
  t.after(() => rm(folder, { recursive: true }));
  const files = { keyFile: path.join(folder, 'archive.key'), headFile: path.join(folder, 'head.json') };
  const { signingKey, verifierKey } = newSigningKey(ORIGIN);
  writeFileSync(files.keyFile, `${signingKey}\n`, { mode: 0o600 });
  return { ...files, verifierKey, signer: await openSigner(files) };
}

const reading =
  (log: Log): EntryRange =>
  (from, to) =>
    batches(log.entries, from, to);
const unread: EntryRange = () => assert.fail('entries were read that need not be');

/** Refused, with the position and a hint; the signed head stays as it was. */
async function refuses(
  { signer, headFile }: Home,
  head: { size: number; root: Buffer },
  entries: EntryRange,
  reason: RegExp,
): Promise<void> {
  const before = existsSync(headFile) ? readFileSync(headFile, 'utf8') : null;
  await assert.rejects(signer.sign(head, entries), (error) => {
    assert.ok(error instanceof VerificationError);
    assert.match(error.message, /refuses to sign at \d+: /);
    assert.match(error.message, reason);
    assert.ok(error.hint);
    return true;
  });
  assert.equal(existsSync(headFile) ? readFileSync(headFile, 'utf8') : null, before);
}

test('a signed head opens with the verifier key and says what the log says', async (t) => {
  const { signer, verifierKey } = await home(t);
  const log = makeLog(23);
  assert.equal(await signer.head(), null);
  const { note } = await signer.sign(log.head(23), reading(log));
  const checkpoint = parseCheckpoint(openNote(note, [parseVerifierKey(verifierKey)]).text);
  assert.deepEqual(checkpoint, { origin: ORIGIN, ...log.head(23), extensions: [] });
  assert.deepEqual(await signer.head(), { ...log.head(23), note, at: '2026-11-01T00:00:22.000Z' });
});

test('signing reads only the entries since the last signature, also after a restart', async (t) => {
  const files = await home(t);
  const log = makeLog(40);
  let signer = files.signer;
  let signed = 0;
  for (const size of [0, 1, 2, 7, 8, 31, 40]) {
    const asked: number[][] = [];
    await signer.sign(log.head(size), (from, to) => {
      asked.push([from, to]);
      return batches(log.entries, from, to);
    });
    assert.deepEqual(asked, size === 0 ? [] : [[signed, size]]);
    signed = size;
    signer = await openSigner(files);
  }
  assert.deepEqual((await signer.head())?.root, log.root(40));
});

test('a head that is signed already gives the same note, without reading entries', async (t) => {
  const { signer, headFile } = await home(t);
  const log = makeLog(5);
  const first = await signer.sign(log.head(5), reading(log));
  const before = readFileSync(headFile, 'utf8');
  assert.deepEqual(await signer.sign(log.head(5), unread), first);
  assert.equal(readFileSync(headFile, 'utf8'), before);
});

test('the empty log can be signed, and continued', async (t) => {
  const { signer } = await home(t);
  const log = makeLog(3);
  assert.equal((await signer.sign(log.head(0), unread)).size, 0);
  assert.equal((await signer.head())?.at, null);
  assert.equal((await signer.sign(log.head(3), reading(log))).size, 3);
});

test('a log that lost signed entries, or holds others in their place, is not signed', async (t) => {
  const files = await home(t);
  const log = makeLog(30);
  await files.signer.sign(log.head(20), reading(log));
  await refuses(files, log.head(19), unread, /has 19 entries, but 20 were signed/);
  await refuses(files, { size: 20, root: log.root(19) }, unread, /another root/);
  // A history rewritten from its third entry, consistent in itself.
  const rewritten = makeLog(30, (entry) =>
    entry.seq === 2 ? { ...entry, actor: '019a3c5e-0000-7000-8000-000000000002' } : entry,
  );
  await refuses(files, rewritten.head(20), unread, /another root/);
  await refuses(files, rewritten.head(30), reading(rewritten), /entry 20 does not continue/);
  await files.signer.sign(log.head(30), reading(log));
});

test('entries that are missing, moved, foreign, unchained, dated back or no entries are not signed', async (t) => {
  const files = await home(t);
  const log = makeLog(12);
  await files.signer.sign(log.head(4), reading(log));
  const tail = async function* (
    rows: { seq: number; entry: Buffer }[],
  ): AsyncGenerator<{ seq: number; entry: Buffer }[]> {
    yield rows;
  };
  const rows = log.entries.map((entry, seq) => ({ seq, entry })).slice(4);
  const head = log.head(12);
  await refuses(
    files,
    head,
    () => tail(rows.toSpliced(3, 1)),
    /entry 7 is missing, the next one stored is 8/,
  );
  await refuses(files, head, () => tail(rows.slice(0, -1)), /entry 11 is missing, though/);
  await refuses(files, log.head(11), () => tail(rows), /entry 11 lies beyond/);
  await refuses(files, { size: 12, root: log.root(11) }, () => tail(rows), /another root than the head/);
  const swapped = rows.with(0, { seq: 4, entry: log.entries[5] as Buffer });
  await refuses(files, head, () => tail(swapped), /entry 4 says that it is entry 5/);
  const spaced = rows.with(2, { seq: 6, entry: Buffer.concat([log.entries[6] as Buffer, Buffer.from(' ')]) });
  await refuses(files, head, () => tail(spaced), /entry 6 is no valid entry/);
  const changes = {
    'entry 6 belongs to "elsewhere.example"': { origin: 'elsewhere.example' },
    'entry 6 does not continue': { prev: Buffer.alloc(32).toString('base64') },
    'entry 6 is dated before': { at: '2026-11-01T00:00:04.999Z' },
  };
  for (const [reason, change] of Object.entries(changes)) {
    const other = makeLog(12, (entry) => (entry.seq === 6 ? { ...entry, ...change } : entry));
    await refuses(files, other.head(12), reading(other), new RegExp(reason));
  }
  // The first new entry is compared with the last signed one, which is no longer read.
  const early = makeLog(12, (entry) =>
    entry.seq === 4 ? { ...entry, at: '2026-11-01T00:00:02.999Z' } : entry,
  );
  await refuses(files, early.head(12), reading(early), /entry 4 is dated before/);
  await files.signer.sign(head, reading(log));
});

const RESTORE: Announced = {
  from: 'backup',
  manifest: 'ab'.repeat(32),
  size: 2,
  replayed: 3,
  body: 'cd'.repeat(32),
};

/** A log of 12 entries with restores in it. */
const logWith = (restores: Readonly<Record<number, Announced>>): Log =>
  makeLog(12, (entry) => {
    const { v, origin, seq, prev, at, actor } = entry;
    const restore = restores[seq];
    return restore === undefined
      ? entry
      : { v, origin, seq, prev, at, actor, type: 'restore.performed', ...restore };
  });

test('a restore is signed only as the recovery announced it, whoever appended it, and once', async (t) => {
  const files = await home(t);
  const log = logWith({ 6: RESTORE, 9: RESTORE });
  await files.signer.sign(log.head(5), reading(log));
  const foreign = /entry 6 tells of a restore that nobody made here/;
  await refuses(files, log.head(9), reading(log), foreign);
  for (const other of [
    { from: 'ledger' },
    { manifest: 'ac'.repeat(32) },
    { size: 1 },
    { replayed: 4 },
    { body: 'ce'.repeat(32) },
  ] satisfies Partial<Announced>[]) {
    await files.signer.announce({ ...RESTORE, ...other });
    await refuses(files, log.head(9), reading(log), foreign);
  }
  await files.signer.announce(RESTORE);
  // What is announced holds for a process that finishes what another one began.
  const again = await openSigner(files);
  assert.equal((await again.sign(log.head(8), reading(log))).size, 8);
  assert.equal((await again.sign(log.head(9), reading(log))).size, 9);
  await refuses(files, log.head(12), reading(log), /entry 9 tells of a restore/);
});

test('a restore that a checkpoint of this key covers is signed again by an older head, one behind it is not', async (t) => {
  const files = await home(t);
  const log = logWith({ 6: RESTORE, 9: RESTORE });
  await files.signer.sign(log.head(5), reading(log));
  const older = readFileSync(files.headFile, 'utf8');
  await files.signer.announce(RESTORE);
  const { note } = await files.signer.sign(log.head(8), reading(log));
  writeFileSync(files.headFile, older);
  const rewritten = logWith({ 6: { ...RESTORE, replayed: 4 } });
  const { signingKey } = newSigningKey(ORIGIN);
  const others = [
    'no note',
    signNote(`${ORIGIN}\n8\n${log.root(8).toString('base64')}\n`, parseSigningKey(signingKey)),
    signNote(`elsewhere.example\n8\n${log.root(8).toString('base64')}\n`, files.signer.key),
  ];
  const refused = (log: Log, size: number, notes: string[], seq: number) =>
    assert.rejects(
      files.signer.sign(log.head(size), reading(log), notes),
      (error) => error instanceof VerificationError && error.message.includes(`entry ${seq} tells of`),
    );
  await refused(log, 9, others, 6);
  await refused(rewritten, 9, [note], 6);
  await refused(log, 12, [...others, note], 9);
  assert.equal((await files.signer.sign(log.head(9), reading(log), [...others, note])).size, 9);
});

test("an altered head's file is not trusted, by the signer or by who verifies", async (t) => {
  const { signer, headFile, verifierKey } = await home(t);
  const log = makeLog(7);
  await signer.sign(log.head(6), reading(log));
  const good = readFileSync(headFile, 'utf8');
  const state = JSON.parse(good);
  const foreign = signNote(`elsewhere.example\n6\n${log.root(6).toString('base64')}\n`, signer.key);
  for (const text of [
    '',
    '{}',
    good.slice(0, -20),
    good.replace('\\n6\\n', '\\n5\\n'),
    JSON.stringify({ ...state, edge: state.edge.slice(1) }),
    JSON.stringify({ ...state, edge: state.edge.toReversed() }),
    JSON.stringify({ ...state, last: 'none' }),
    JSON.stringify({ ...state, note: foreign }),
    JSON.stringify({ ...state, more: 1 }),
  ]) {
    writeFileSync(headFile, text);
    const distrusted = (error: unknown): boolean =>
      error instanceof VerificationError && error.hint !== undefined;
    await assert.rejects(signer.head(), distrusted, text);
    await assert.rejects(signer.sign(log.head(7), unread), distrusted);
    await assert.rejects(readPinnedHead(headFile, verifierKey), distrusted);
  }
  // A wrong last leaf is under no signature; but then nothing continues it.
  writeFileSync(headFile, JSON.stringify({ ...state, last: '00'.repeat(32) }));
  await assert.rejects(signer.sign(log.head(7), reading(log)), VerificationError);
  writeFileSync(headFile, good);
  await signer.sign(log.head(7), reading(log));
});

test('the pinned head is read with the verifier key alone, and not with another one', async (t) => {
  const { signer, headFile, verifierKey } = await home(t);
  const log = makeLog(9);
  assert.equal(await readPinnedHead(headFile, verifierKey), null);
  await signer.sign(log.head(9), reading(log));
  assert.deepEqual(await readPinnedHead(headFile, verifierKey), await signer.head());
  await assert.rejects(readPinnedHead(headFile, newSigningKey(ORIGIN).verifierKey), VerificationError);
  await assert.rejects(readPinnedHead(headFile, 'no key'), InputError);
});

test("the head's file is its owner's alone, and an interrupted write leaves nothing in the way", async (t) => {
  const { signer, headFile } = await home(t);
  const log = makeLog(2);
  writeFileSync(`${headFile}.new`, '{"note":"unfini', { mode: 0o644 });
  await signer.sign(log.head(1), reading(log));
  await signer.sign(log.head(2), reading(log));
  assert.equal(statSync(headFile).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(path.dirname(headFile)).sort(), ['archive.key', 'head.json']);
});

test('a missing key, an unusable one and an unreadable file each say so', async (t) => {
  const { keyFile, headFile, verifierKey } = await home(t);
  await assert.rejects(openSigner({ keyFile: `${keyFile}.gone`, headFile }), InputError);
  writeFileSync(keyFile, verifierKey);
  await assert.rejects(openSigner({ keyFile, headFile }), InputError);
  // A folder in the file's place can't be read: that is no missing head.
  await assert.rejects(readPinnedHead(path.dirname(headFile), verifierKey), ServiceError);
});
