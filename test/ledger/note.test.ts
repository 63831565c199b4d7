// Signed notes against the published example of Go's sumdb/note, and everything that must not pass as one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InputError, VerificationError } from '../../src/core/errors.ts';
import {
  checkpointText,
  newSigningKey,
  openNote,
  parseCheckpoint,
  parseSigningKey,
  parseVerifierKey,
  signNote,
} from '../../src/ledger/note.ts';

const PETER = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const PETER_SECRET = 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz';
const TEXT =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE =
  '\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
const NOTE = `${TEXT}\n${SIGNATURE}`;

const peter = parseVerifierKey(PETER);
const refused = (note: string, keys = [peter]): void => {
  assert.throws(() => openNote(note, keys), VerificationError);
};

test("the published note of Go's sumdb/note opens, and the published key signs it to the same bytes", () => {
  assert.deepEqual(openNote(NOTE, [peter]), { text: TEXT, verified: [peter] });
  const key = parseSigningKey(PETER_SECRET);
  assert.equal(key.verifierKey, PETER);
  assert.equal(signNote(TEXT, key), NOTE);
});

test('a new key signs what its verifier key opens, under its name', () => {
  const { signingKey, verifierKey } = newSigningKey('archive.example.gov/social');
  const key = parseSigningKey(`${signingKey}\n`);
  assert.equal(key.verifierKey, verifierKey);
  const verifier = parseVerifierKey(`${verifierKey}\n`);
  assert.equal(verifier.name, 'archive.example.gov/social');
  assert.deepEqual(openNote(signNote('größer\n', key), [verifier]).text, 'größer\n');
  assert.notEqual(newSigningKey('archive.example.gov/social').verifierKey, verifierKey);
});

test('a note with a changed text, or with a bad signature by a known key, does not open', () => {
  refused(NOTE.replace('answer', 'answeR'));
  const bytes = Buffer.from(SIGNATURE.split(' ')[2] as string, 'base64');
  bytes[20] = (bytes[20] as number) ^ 1;
  const bad = `\u2014 PeterNeumann ${bytes.toString('base64')}\n`;
  refused(`${TEXT}\n${bad}`);
  refused(`${NOTE}${bad}`);
  refused(`${TEXT}\n\u2014 PeterNeumann ${bytes.toString('base64', 0, 6)}\n`);
});

test('signatures by unknown keys are ignored, but one known key must have signed', () => {
  const other = parseSigningKey(newSigningKey('witness.example').signingKey);
  const witness = signNote(TEXT, other).slice(TEXT.length + 1);
  assert.deepEqual(openNote(`${TEXT}\n${witness}${SIGNATURE}`, [peter]).verified, [peter]);
  const both = [parseVerifierKey(other.verifierKey), peter];
  assert.deepEqual(openNote(`${TEXT}\n${SIGNATURE}${witness}`, both).verified, [peter, both[0]]);
  refused(`${TEXT}\n${witness}`);
  refused(NOTE, []);
  // Same name, other key: that is an unknown key, too.
  refused(NOTE, [parseVerifierKey(newSigningKey('PeterNeumann').verifierKey)]);
});

test('what is not exactly a signed note is refused', () => {
  for (const note of [
    '',
    TEXT,
    `${TEXT}\n`,
    NOTE.slice(0, -1),
    `${NOTE}\n`,
    `${TEXT}${SIGNATURE}`,
    NOTE.replace('\u2014', '-'),
    NOTE.replace('\u2014 ', '\u2014  '),
    NOTE.replaceAll('\n', '\r\n'),
    NOTE.replace('nAM=', 'nAM'),
    NOTE.replace('nAM=', 'nAN='),
    NOTE.replace('x08go/', 'x08go_'),
    `\u0000${NOTE}`,
    `\ud800${NOTE}`,
    `${NOTE}\u2014 witness.example AAAA\n`,
    `${NOTE}\u2014 wit+ness AAAAAAAA\n`,
    `${NOTE}\u2014 wit\u00a0ness AAAAAAAA\n`,
    `${NOTE}${'\u2014 w AAAAAAAA\n'.repeat(100)}`,
  ]) {
    refused(note);
  }
});

test('a text that a note cannot hold is not signed', () => {
  const key = parseSigningKey(PETER_SECRET);
  for (const text of ['', 'no newline', 'tab\there\n', 'return\r\n', '\ud800\n']) {
    assert.throws(() => signNote(text, key), TypeError);
  }
});

test('a key whose id, algorithm or form is wrong is refused, and a refused signing key is not repeated', () => {
  for (const text of [
    '',
    'PeterNeumann',
    PETER.replace('c74f20a3', 'c74f20a4'),
    PETER.replace('c74f20a3', 'C74F20A3'),
    PETER.replace('PeterNeumann', 'Peter Neumann'),
    PETER.replace('+ARpc', '+AhPc'),
    PETER.slice(0, -4),
    PETER.replace('10TW', '10T_'),
    PETER_SECRET,
  ]) {
    assert.throws(() => parseVerifierKey(text), InputError, text);
  }
  for (const text of [
    PETER,
    PETER_SECRET.replace('c74f20a3', 'c74f20a4'),
    PETER_SECRET.slice(0, -4),
    PETER_SECRET.replace('+AYEK', '+AoEK'),
  ]) {
    assert.throws(
      () => parseSigningKey(text),
      (error) => error instanceof InputError && !error.message.includes('FGyNhPJEMzD1QIDr'),
    );
  }
  for (const name of ['', 'two words', 'a+b', 'a\nb', 'a\u3000b', 'a\u0001b'])
    assert.throws(() => newSigningKey(name), InputError);
});

test('a checkpoint is origin, size and root, a line each, and nothing looser', () => {
  const root = Buffer.alloc(32, 7);
  const head = { origin: 'archive.example.gov/social', size: 20_852_163, root };
  const text = checkpointText(head);
  assert.equal(text, `archive.example.gov/social\n20852163\n${root.toString('base64')}\n`);
  assert.deepEqual(parseCheckpoint(text), { ...head, extensions: [] });
  assert.deepEqual(parseCheckpoint(`${text}one more\n`).extensions, ['one more']);
  assert.equal(parseCheckpoint(checkpointText({ ...head, size: 0 })).size, 0);
  for (const wrong of [
    '',
    text.slice(0, -1),
    `${text}\n`,
    `${text}\nextension\n`,
    text.replace('archive.example.gov/social', ''),
    text.replace('2085', '02085'),
    text.replace('2085', '+2085'),
    text.replace('20852163', '9007199254740992'),
    text.replace('20852163', ''),
    text.replace('=\n', '\n'),
    text.replace(root.toString('base64'), 'AAAA'),
  ]) {
    assert.throws(() => parseCheckpoint(wrong), VerificationError, wrong);
  }
  assert.throws(() => checkpointText({ ...head, origin: 'a\nb' }), TypeError);
  assert.throws(() => checkpointText({ ...head, size: -1 }), TypeError);
  assert.throws(() => checkpointText({ ...head, root: Buffer.alloc(31) }), TypeError);
});
