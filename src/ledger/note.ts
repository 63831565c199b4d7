// Signed notes and checkpoints: C2SP signed-note (Ed25519 only) and tlog-checkpoint, in the text forms of Go's sumdb/note. A signature
// covers the text's UTF-8 bytes with its last newline, so text is never normalised.

import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { DIGEST_BYTES, sha256 } from '../core/digest.ts';
import { InputError, VerificationError } from '../core/errors.ts';

const ED25519 = 1;
/** DER in front of a raw Ed25519 public key and of a seed (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const KEY_ID_BYTES = 4;
/** Limits of Go's reader: longer notes could not be read elsewhere. */
const NOTE_LIMIT = 1_000_000;
const SIGNATURE_LIMIT = 100;

/** A key name: not empty, no Unicode space, no plus (C2SP signed-note, "Verifier keys"), and nothing a note can't hold. */
const NAME = /^[^\s\p{White_Space}\p{Cc}\p{Cs}+]+$/u;
const SIGNATURE_LINE = /^\u2014 ([^\s\p{White_Space}+]+) ([A-Za-z0-9+/]+={0,2})$/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that a note must not hold
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/;

export interface VerifierKey {
  readonly name: string;
  /** First 4 bytes of SHA-256(name ‖ "\n" ‖ 0x01 ‖ public key), in hex. */
  readonly id: string;
  readonly publicKey: KeyObject;
}

export interface SigningKey {
  readonly name: string;
  /** As in {@link VerifierKey}. */
  readonly id: string;
  readonly privateKey: KeyObject;
  /** The text to give to verifiers: `name+id+base64`. */
  readonly verifierKey: string;
}

export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
  /** Lines after the third, as they stand. */
  readonly extensions: readonly string[];
}

/**
 * Makes a key pair. The signing key is a secret.
 * @param name the log's origin
 * @throws InputError when the name can't be a key name
 */
export function newSigningKey(name: string): { readonly signingKey: string; readonly verifierKey: string } {
  if (!NAME.test(name)) {
    throw new InputError(`${JSON.stringify(name)} cannot be a key's name`, {
      hint: 'Use a name without spaces and plus signs, e.g. archive.example.gov/social.',
    });
  }
  const seed = randomBytes(32);
  const verifierKey = verifierKeyText(name, privateKeyOf(seed));
  const id = verifierKey.slice(name.length + 1, name.length + 1 + 2 * KEY_ID_BYTES);
  return { signingKey: `PRIVATE+KEY+${name}+${id}+${keyBytes(seed).toString('base64')}`, verifierKey };
}

/** Reads `name+id+base64`; space around it is ignored. @throws InputError when it is no Ed25519 verifier key */
export function parseVerifierKey(vkey: string): VerifierKey {
  const refuse = (reason: string): InputError =>
    new InputError(`not a verifier key: ${reason}`, {
      hint: 'A verifier key reads name+id+key, as `archive-key.txt` of a bundle and the entry `key.added` hold it.',
    });
  const [, name = '', id = '', encoded = ''] =
    /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(vkey.trim()) ?? [];
  if (!NAME.test(name)) throw refuse('it does not read name+id+key');
  const key = strictBase64(encoded);
  if (key?.[0] !== ED25519 || key.length !== 33) throw refuse('it holds no Ed25519 key');
  if (keyId(name, key) !== id) throw refuse('its id does not belong to its name and key');
  const der = Buffer.concat([SPKI_PREFIX, key.subarray(1)]);
  return { name, id, publicKey: createPublicKey({ key: der, format: 'der', type: 'spki' }) };
}

/** Reads `PRIVATE+KEY+name+id+base64`; space around it is ignored. @throws InputError, which never repeats the text */
export function parseSigningKey(text: string): SigningKey {
  const refuse = (reason: string): InputError =>
    new InputError(`not a signing key: ${reason}`, {
      hint: 'Restore the key file from its backup: an archive key cannot be made again.',
    });
  const [, name = '', id = '', encoded = ''] =
    /^PRIVATE\+KEY\+([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text.trim()) ?? [];
  if (!NAME.test(name)) throw refuse('it does not read PRIVATE+KEY+name+id+key');
  const key = strictBase64(encoded);
  if (key?.[0] !== ED25519 || key.length !== 33) throw refuse('it holds no Ed25519 seed');
  const privateKey = privateKeyOf(key.subarray(1));
  const verifierKey = verifierKeyText(name, privateKey);
  if (!verifierKey.startsWith(`${name}+${id}+`)) throw refuse('its id does not belong to its name and key');
  return { name, id, privateKey, verifierKey };
}

/** The text of a checkpoint (C2SP tlog-checkpoint), to be signed. @throws TypeError on what no checkpoint can hold */
export function checkpointText(head: {
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
}): string {
  const { origin, size, root } = head;
  if (origin === '' || origin.includes('\n')) throw new TypeError('an origin is one line, not empty');
  if (!Number.isSafeInteger(size) || size < 0) throw new TypeError(`${size} is no size of a tree`);
  if (root.length !== DIGEST_BYTES) throw new TypeError(`a root of ${root.length} bytes`);
  return `${origin}\n${size}\n${root.toString('base64')}\n`;
}

/** @returns the checkpoint in a note's text. Its signature is {@link openNote}'s matter. @throws VerificationError */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', size = '', root = '', ...rest] = text.split('\n');
  if (rest.pop() !== '') throw malformed('a checkpoint has three lines, each ended by a newline');
  if (origin === '') throw malformed('a checkpoint names its origin');
  if (!/^(?:0|[1-9]\d*)$/.test(size) || !Number.isSafeInteger(Number(size)))
    throw malformed('its size is no decimal number up to 2^53 - 1');
  const bytes = strictBase64(root);
  if (bytes?.length !== DIGEST_BYTES) throw malformed('its root is not 32 bytes in base64');
  if (rest.includes('')) throw malformed('a checkpoint has no empty line');
  return { origin, size: Number(size), root: bytes, extensions: rest };
}

/** Signs a text. @returns the signed note. @throws TypeError when a note can't hold the text */
export function signNote(text: string, key: SigningKey): string {
  if (!text.endsWith('\n') || !text.isWellFormed() || CONTROL.test(text)) {
    throw new TypeError('the text of a note ends with a newline and holds no other control character');
  }
  const signature = Buffer.concat([
    Buffer.from(key.id, 'hex'),
    sign(null, Buffer.from(text), key.privateKey),
  ]);
  return `${text}\n\u2014 ${key.name} ${signature.toString('base64')}\n`;
}

/**
 * Opens a signed note. Signatures by keys not given are ignored; one that names a given key must be that key's.
 * @returns the signed text and which of the keys signed it: at least one
 * @throws VerificationError
 */
export function openNote(
  note: string,
  keys: readonly VerifierKey[],
): { readonly text: string; readonly verified: VerifierKey[] } {
  if (note.length > NOTE_LIMIT || !note.isWellFormed() || CONTROL.test(note)) {
    throw malformed('it is too long, or holds control characters');
  }
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n') || split + 2 === note.length)
    throw malformed('it has no signature after an empty line');
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > SIGNATURE_LIMIT) throw malformed(`it has more than ${SIGNATURE_LIMIT} signatures`);

  const signed = Buffer.from(text);
  const verified = new Set<VerifierKey>();
  for (const line of lines) {
    const [, name, encoded = ''] = SIGNATURE_LINE.exec(line) ?? [];
    const bytes = strictBase64(encoded);
    if (name === undefined || bytes === null || bytes.length <= KEY_ID_BYTES)
      throw malformed('a line of it is no signature');
    const id = bytes.toString('hex', 0, KEY_ID_BYTES);
    const known = keys.filter((key) => key.name === name && key.id === id);
    if (known.length === 0) continue;
    const signer = known.find((key) => verify(null, signed, key.publicKey, bytes.subarray(KEY_ID_BYTES)));
    if (signer === undefined) {
      throw new VerificationError(`the signature by ${name}+${id} does not fit the note's text`, {
        hint: 'The text was changed after it was signed, or somebody else signed it: get the note again from its origin.',
      });
    }
    verified.add(signer);
  }
  if (verified.size === 0) {
    const wanted = keys.map((key) => `${key.name}+${key.id}`).join(', ') || 'any key';
    throw new VerificationError(`the note is not signed by ${wanted}`, {
      hint: 'Check that the verifier key is the one of this archive.',
    });
  }
  return { text, verified: [...verified] };
}

/** RFC 4648 section 4 with padding and no other spelling. @returns null for anything else */
export function strictBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}

function malformed(reason: string): VerificationError {
  return new VerificationError(`malformed note: ${reason}`, {
    hint: 'Get the note again from its origin, byte for byte.',
  });
}

/** Algorithm byte and key: what keys carry in base64. */
function keyBytes(raw: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(ED25519), raw]);
}

function keyId(name: string, key: Uint8Array): string {
  return sha256(name, '\n', key).toString('hex', 0, KEY_ID_BYTES);
}

function privateKeyOf(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

function verifierKeyText(name: string, privateKey: KeyObject): string {
  const der = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const key = keyBytes(der.subarray(SPKI_PREFIX.length));
  return `${name}+${keyId(name, key)}+${key.toString('base64')}`;
}
