// Seals secrets so that they may lie in a backup: to a passphrase or to a recovery key. Byte layout: FORMAT.md, section 3.

import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
  scrypt,
} from 'node:crypto';
import { z } from 'zod';
import { canonicalText, type Json } from '../core/canonical.ts';
import { InputError, VerificationError } from '../core/errors.ts';

const VERSION = 'muniment/v1/sealed';
const SCRYPT = { N: 2 ** 17, r: 8, p: 1 };
/** Enough for what a header may ask for. */
const SCRYPT_MEMORY = 1.25 * 1024 ** 3;
const PASSPHRASE_LENGTH = 12;
const TAG_BYTES = 16;
/** DER in front of a raw X25519 public key (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex');

/** To whom something is sealed. */
export type Sealing =
  | { readonly passphrase: string }
  /** X25519 public key, SPKI in PEM, as `openssl pkey -pubout` writes it. */
  | { readonly recipient: string };

/** What opens a seal. */
export type Unsealing =
  | { readonly passphrase: string }
  /** X25519 private key, PKCS #8 in PEM, as `openssl genpkey -algorithm X25519` writes it. */
  | { readonly recoveryKey: string };

const base64 = z.base64();
const headerShape = z.discriminatedUnion('to', [
  z.strictObject({
    // A power of two, at most eight times our own cost: more is somebody's attempt to use up this machine.
    N: z.literal(Array.from({ length: 20 }, (_, power) => 2 ** (power + 1))),
    nonce: base64,
    p: z.int().min(1).max(4),
    r: z.int().min(1).max(8),
    salt: base64,
    to: z.literal('passphrase'),
    v: z.literal(VERSION),
  }),
  z.strictObject({
    ephemeral: base64,
    nonce: base64,
    recipient: base64,
    to: z.literal('x25519'),
    v: z.literal(VERSION),
  }),
]);

/** Before anything is made. @throws InputError when the passphrase is too short or the key is no X25519 public key */
export function requireUsable(sealing: Sealing): void {
  if (!('passphrase' in sealing)) publicKeyOf(sealing.recipient);
  else if (sealing.passphrase.length < PASSPHRASE_LENGTH) {
    throw new InputError(`the passphrase has fewer than ${PASSPHRASE_LENGTH} characters`, {
      hint: 'It guards the signing key against whoever gets the backup. Use five or more random words.',
    });
  }
}

/** @throws InputError as {@link requireUsable} */
export async function seal(plain: Uint8Array, sealing: Sealing): Promise<Buffer> {
  requireUsable(sealing);
  const nonce = randomBytes(12);
  let header: z.infer<typeof headerShape>;
  let key: Buffer;
  if ('passphrase' in sealing) {
    const salt = randomBytes(16);
    key = await passphraseKey(sealing.passphrase, salt, SCRYPT);
    header = {
      v: VERSION,
      to: 'passphrase',
      ...SCRYPT,
      salt: salt.toString('base64'),
      nonce: nonce.toString('base64'),
    };
  } else {
    const recipient = publicKeyOf(sealing.recipient);
    const pair = generateKeyPairSync('x25519');
    const ephemeral = rawOf(pair.publicKey);
    key = sharedKey(pair.privateKey, recipient, ephemeral, rawOf(recipient));
    header = {
      v: VERSION,
      to: 'x25519',
      ephemeral: ephemeral.toString('base64'),
      recipient: rawOf(recipient).toString('base64'),
      nonce: nonce.toString('base64'),
    };
  }
  const line = Buffer.from(`${canonicalText(header as Json)}\n`);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(line);
  return Buffer.concat([line, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** @throws InputError when this passphrase or key does not open it; VerificationError when the bytes are not a seal */
export async function unseal(sealed: Buffer, unsealing: Unsealing): Promise<Buffer> {
  const end = sealed.subarray(0, 4096).indexOf(0x0a);
  const parsed = headerShape.safeParse(parseJson(sealed.toString('utf8', 0, Math.max(end, 0))));
  if (!parsed.success || sealed.length < end + 1 + TAG_BYTES) {
    throw new VerificationError('the sealed keys are damaged: they do not begin as a seal does', {
      hint: 'Use another copy of this backup, or another backup.',
    });
  }
  const header = parsed.data;
  const line = sealed.subarray(0, end + 1);
  let key: Buffer;
  if (header.to === 'passphrase') {
    if (!('passphrase' in unsealing)) throw wrongMeans('a passphrase', '--passphrase');
    key = await passphraseKey(unsealing.passphrase, Buffer.from(header.salt, 'base64'), header);
  } else {
    if (!('recoveryKey' in unsealing)) throw wrongMeans('a recovery key', '--recovery-key');
    const own = privateKeyOf(unsealing.recoveryKey);
    const ownPublic = rawOf(createPublicKey(own));
    if (ownPublic.toString('base64') !== header.recipient) {
      throw new InputError('the keys are sealed to another recovery key', {
        hint: `They open with the private key whose public key is ${header.recipient} (raw, base64).`,
      });
    }
    const ephemeral = Buffer.from(header.ephemeral, 'base64');
    const peer = createPublicKey({
      key: Buffer.concat([SPKI_PREFIX, ephemeral]),
      format: 'der',
      type: 'spki',
    });
    key = sharedKey(own, peer, ephemeral, ownPublic);
  }
  const body = sealed.subarray(end + 1, sealed.length - TAG_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(header.nonce, 'base64'))
    .setAAD(line)
    .setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(body), decipher.final()]);
  } catch (cause) {
    throw new InputError(
      header.to === 'passphrase'
        ? 'the passphrase does not open the sealed keys'
        : 'the sealed keys were altered',
      {
        hint:
          header.to === 'passphrase'
            ? 'Check for a missing character or a line end. Without the passphrase there is no way to these keys.'
            : 'Use another copy of this backup.',
        cause,
      },
    );
  }
}

function wrongMeans(what: string, option: string): InputError {
  return new InputError(`the keys of this backup are sealed to ${what}`, { hint: `Give ${option}.` });
}

function passphraseKey(
  passphrase: string,
  salt: Buffer,
  { N, r, p }: { N: number; r: number; p: number },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize('NFC'), salt, 32, { N, r, p, maxmem: SCRYPT_MEMORY }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

function sharedKey(
  privateKey: KeyObject,
  publicKey: KeyObject,
  ephemeral: Buffer,
  recipient: Buffer,
): Buffer {
  const secret = diffieHellman({ privateKey, publicKey });
  return Buffer.from(hkdfSync('sha256', secret, Buffer.concat([ephemeral, recipient]), VERSION, 32));
}

/** The 32 bytes of an X25519 public key. */
function rawOf(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length);
}

function publicKeyOf(pem: string): KeyObject {
  const key = parseKey(() => createPublicKey(pem));
  // createPublicKey takes a private key as well: whoever names that one has put it where a backup is made.
  if (key === null || /PRIVATE KEY/.test(pem)) {
    throw new InputError('the recipient is no X25519 public key', {
      hint: 'Make one apart from this machine: openssl genpkey -algorithm X25519 -out recovery.pem; openssl pkey -in recovery.pem -pubout.',
    });
  }
  return key;
}

function privateKeyOf(pem: string): KeyObject {
  const key = parseKey(() => createPrivateKey(pem));
  if (key !== null) return key;
  throw new InputError('the recovery key is no X25519 private key', {
    hint: 'Name the PEM file that `openssl genpkey -algorithm X25519` wrote.',
  });
}

function parseKey(read: () => KeyObject): KeyObject | null {
  try {
    const key = read();
    return key.asymmetricKeyType === 'x25519' ? key : null;
  } catch {
    return null; // the caller says what is expected; the reader's own message may repeat the key
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller reports it as damage
  }
}
