// The proof that an account wrote a record: the commit that it signed, the part of its tree that leads from there to the record, and the
// record's block, in one CAR file as com.atproto.sync.getRecord gives it. With the account's key, which its DID document has, anybody can check it.

import { InputError } from '../../core/errors.ts';
import { type Car, openCar } from './car.ts';
import { withoutMember } from './dag-cbor.ts';
import { type Commit, leavesOf, MalformedTreeError, readCommit } from './repository-tree.ts';
import { isSignedBy, type SigningKey } from './signing-key.ts';

/** What a proof has to prove. */
export interface Claim {
  readonly did: string;
  /** collection/rkey */
  readonly key: string;
  /** Of the record. */
  readonly contentId: string;
}

/** @returns why the file proves no such thing, or null when it does */
export async function faultOfProof(
  file: string,
  { did, key, contentId }: Claim,
  signedWith: SigningKey,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    await using car = await openCar(file, 'the answer', signal);
    if (car.broken !== null) return `the answer is cut short: ${car.broken}`;
    const root = car.roots[0] as string;
    const block = await car.block(root);
    const commit = block === null ? 'the answer does not hold it' : readCommit(block.bytes);
    if (block === null || typeof commit === 'string') return `it begins with no commit: ${commit}`;
    if (commit.did !== did) return `it is of another account, ${commit.did}`;
    if (!isSigned(block.bytes, commit, signedWith)) return SIGNED_OTHERWISE;
    const found = await recordIn(car, commit, key, signal);
    if (found === null) return 'the account’s tree does not lead to the record';
    if (found !== contentId) return `the record has become another since it was read, ${found}`;
    return (await car.block(contentId)) === null ? 'the answer does not hold the record' : null;
  } catch (error) {
    if (error instanceof InputError || error instanceof MalformedTreeError) return error.message;
    throw error;
  }
}

const SIGNED_OTHERWISE = 'its commit is not signed with the key in the account’s DID document';

/** @param bytes of the commit, whose signature is over all of them but itself */
export function isSigned(bytes: Buffer, commit: Commit, key: SigningKey): boolean {
  return isSignedBy(key, withoutMember(bytes, 'sig'), commit.sig);
}

/** @returns the content id that stands in the tree under the key. What the answer holds of the tree is the way there */
async function recordIn(car: Car, commit: Commit, key: string, signal: AbortSignal): Promise<string | null> {
  for await (const leaf of leavesOf(car, commit.data.$link, signal))
    if ('key' in leaf && leaf.key === key) return leaf.contentId;
  return null;
}
