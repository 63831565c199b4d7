// Receipts: C2SP tlog-proof (v1), the proof that one entry stands in the log at its position. With the entry's bytes and the archive's
// verifier key a receipt needs nothing else, no archive either.

import { DIGEST_BYTES } from '../core/digest.ts';
import { VerificationError } from '../core/errors.ts';
import { type CommonEntry, decodeEntry } from './entry.ts';
import { openNote, parseCheckpoint, strictBase64, type VerifierKey } from './note.ts';
import { leafHash, verifyInclusion } from './tree.ts';

const HEADER = 'c2sp.org/tlog-proof@v1';
/** No tree of up to 2^63 entries has a longer audit path. */
const PATH_LIMIT = 63;

export interface Receipt {
  readonly index: number;
  /** RFC 6962 audit path, from the leaf's sibling up. */
  readonly path: readonly Buffer[];
  /** The signed checkpoint, a note. */
  readonly checkpoint: string;
}

/** @returns the text of a receipt. @throws TypeError on what no receipt can hold */
export function encodeReceipt({ index, path, checkpoint }: Receipt): string {
  if (!Number.isSafeInteger(index) || index < 0) throw new TypeError(`${index} is no position`);
  if (path.length > PATH_LIMIT || path.some((hash) => hash.length !== DIGEST_BYTES))
    throw new TypeError('not an audit path');
  if (!checkpoint.endsWith('\n')) throw new TypeError('a checkpoint ends with a newline');
  return `${[HEADER, `index ${index}`, ...path.map((hash) => hash.toString('base64'))].join('\n')}\n\n${checkpoint}`;
}

/** Reads a receipt, without verifying it. @throws VerificationError when it is none of ours */
export function parseReceipt(text: string): Receipt {
  const split = text.indexOf('\n\n');
  if (split < 0) throw malformed('no empty line stands before a checkpoint');
  const [header, position = '', ...encoded] = text.slice(0, split).split('\n');
  if (header !== HEADER) throw malformed(`its first line is not ${HEADER}`);
  const [, index] = /^index (0|[1-9]\d*)$/.exec(position) ?? [];
  if (index === undefined || !Number.isSafeInteger(Number(index)))
    throw malformed('its second line names no position');
  if (encoded.length > PATH_LIMIT) throw malformed(`its audit path has ${encoded.length} hashes`);
  const path = encoded.map((line) => {
    const hash = strictBase64(line);
    if (hash?.length !== DIGEST_BYTES) throw malformed('a line of its audit path is no hash');
    return hash;
  });
  return { index: Number(index), path, checkpoint: text.slice(split + 2) };
}

/**
 * Verifies that the entry stands in the log that the key signed, at the receipt's position.
 * @param receipt its text
 * @param entry the entry's exact bytes
 * @returns the entry's common members, and the head that it was proved under
 * @throws VerificationError with what does not fit
 */
export function verifyReceipt(
  receipt: string,
  entry: Uint8Array,
  key: VerifierKey,
): { readonly entry: CommonEntry; readonly size: number; readonly root: Buffer } {
  const { index, path, checkpoint } = parseReceipt(receipt);
  const { origin, size, root, extensions } = parseCheckpoint(openNote(checkpoint, [key]).text);
  if (origin !== key.name)
    throw unproved(`its checkpoint is of ${JSON.stringify(origin)}, the key of ${key.name}`);
  if (extensions.length > 0) throw unproved('its checkpoint has more than three lines');
  if (!verifyInclusion(index, size, leafHash(entry), path, root)) {
    throw unproved(`entry and audit path do not give the checkpoint's root at position ${index}`);
  }
  const decoded = decodeEntry(entry).entry;
  if (decoded.seq !== index || decoded.origin !== origin)
    throw unproved('the entry names another position or another log');
  return { entry: decoded, size, root };
}

function malformed(reason: string): VerificationError {
  return new VerificationError(`malformed receipt: ${reason}`, {
    hint: 'Get the receipt again, byte for byte.',
  });
}

function unproved(reason: string): VerificationError {
  return new VerificationError(`the receipt proves nothing: ${reason}`, {
    hint: 'Check that receipt, entry and verifier key belong together; if they do, one of them was changed.',
  });
}
