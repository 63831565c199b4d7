// An account's repository (https://atproto.com/specs/repository): a signed commit names the root of a search tree whose leaves are the
// records. Only by walking that tree from the commit is it known what the account committed to.

import { z } from 'zod';
import { faultOf } from '../answer.ts';
import type { Car } from './car.ts';
import { Link, readDagCbor, UnreadableCborError } from './dag-cbor.ts';

/** Below what the commit links to stands something that no server makes. */
export class MalformedTreeError extends SyntaxError {}

/** Levels of the tree: a fourth of the keys of a level stand in the next, so no account comes near. */
const DEEPEST = 64;
/** Keys in one node: four, mostly. */
const WIDEST = 10_000;
/** Bytes of a key: a collection and a record's key. */
const LONGEST_KEY = 1024;

const link = z.instanceof(Link);
const commit = z.looseObject({
  did: z.string().regex(/^did:[a-z]+:[A-Za-z0-9._:%-]{1,2000}$/),
  version: z.union([z.literal(2), z.literal(3)]),
  data: link,
  rev: z
    .string()
    .regex(/^[A-Za-z0-9]{1,64}$/)
    .optional(),
  sig: z.instanceof(Uint8Array),
});
export type Commit = z.infer<typeof commit>;

const node = z.looseObject({
  /** The subtree before the first key. */
  l: link.nullish(),
  e: z
    .array(
      z.looseObject({
        /** Bytes that the key has in common with the one before it in the node, and those that follow. */
        p: z.int().min(0).max(LONGEST_KEY),
        k: z.instanceof(Uint8Array),
        v: link,
        /** The subtree between this key and the next. */
        t: link.nullish(),
      }),
    )
    .max(WIDEST),
});

/** @returns the commit of these bytes, or why they are none */
export function readCommit(bytes: Buffer): Commit | string {
  const read = parsed(bytes, commit);
  return read.success ? read.data : read.fault;
}

export type Leaf =
  /** A record: its key (collection/rkey), and the content id of its block. */
  | { readonly key: string; readonly contentId: string }
  /** A part of the tree that the file does not hold, and with it whatever is below it. */
  | { readonly missing: string };

/**
 * Walks the tree in the order of its keys.
 * @throws MalformedTreeError where it is no such tree: what was given before stands
 */
export async function* leavesOf(car: Car, root: string, signal: AbortSignal): AsyncGenerator<Leaf> {
  type Step =
    | { readonly node: string; readonly depth: number }
    | { readonly entry: Entry; readonly of: Keys };
  const steps: Step[] = [{ node: root, depth: 0 }];
  let last = '';
  for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
    if ('entry' in step) {
      const key = step.of.keyOf(step.entry);
      // Nothing stands twice in a tree that is in order: so no part of it can be walked twice, however its parts link to each other.
      if (key <= last) throw new MalformedTreeError(`the key ${JSON.stringify(key)} stands out of its order`);
      last = key;
      yield { key, contentId: step.entry.v.$link };
      continue;
    }
    signal.throwIfAborted();
    const { depth } = step;
    if (depth > DEEPEST) throw new MalformedTreeError(`the tree is deeper than ${DEEPEST} levels`);
    const block = await car.block(step.node);
    if (block === null) {
      yield { missing: step.node };
      continue;
    }
    const read = parsed(block.bytes, node);
    if (!read.success) throw new MalformedTreeError(`${step.node} is no part of a tree: ${read.fault}`);
    const { l: before, e: entries } = read.data;
    if (entries.length === 0 && !before && depth > 0)
      throw new MalformedTreeError(`${step.node} is a part of the tree that holds nothing`);
    const of = new Keys();
    // The last step is taken first.
    for (const entry of entries.toReversed()) {
      if (entry.t) steps.push({ node: entry.t.$link, depth: depth + 1 });
      steps.push({ entry, of });
    }
    if (before) steps.push({ node: before.$link, depth: depth + 1 });
  }
}

type Entry = z.infer<typeof node>['e'][number];

/** The keys of a node, each made of the one before it when its turn comes. */
class Keys {
  #before = '';

  keyOf({ p, k }: Entry): string {
    // A character a byte: they are compared as bytes are.
    const key = this.#before.slice(0, p) + Buffer.from(k).toString('latin1');
    if (p > this.#before.length || key.length > LONGEST_KEY)
      throw new MalformedTreeError(
        'a key is longer than any, or has more in common with the one before it than that is long',
      );
    this.#before = key;
    return key;
  }
}

function parsed<T>(
  bytes: Buffer,
  shape: z.ZodType<T>,
): { readonly success: true; readonly data: T } | { readonly success: false; readonly fault: string } {
  try {
    const read = shape.safeParse(readDagCbor(bytes));
    return read.success ? read : { success: false, fault: faultOf(read.error) };
  } catch (error) {
    if (!(error instanceof UnreadableCborError)) throw error;
    return { success: false, fault: error.message };
  }
}
