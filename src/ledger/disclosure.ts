// The disclosure tree of a snapshot document (FORMAT.md, section 5): fields, and texts cut into runs by a rule that depends on no
// library, so that a redacted production can show some of them and still prove membership.

import { canonicalText, type Json } from '../core/canonical.ts';
import { repeatedHmac } from '../core/digest.ts';
import { SaltedTree } from './tree.ts';

export interface DisclosureLeaf {
  /** RFC 6901 */
  readonly pointer: string;
  readonly value: Json;
}

const RUN_LIMIT = 64;
const CUT_INTO_RUNS = /^\/(item\/(title|text|contentWarning)|media\/\d+\/alt)$/;

type RunClass = 'space' | 'single' | 'word';

function classOf(point: number): RunClass {
  if (point === 0x09 || point === 0x0a || point === 0x0d || point === 0x20) return 'space';
  const single =
    (point >= 0x2e80 && point <= 0xa4cf) ||
    (point >= 0xac00 && point <= 0xd7af) ||
    (point >= 0xf900 && point <= 0xfaff) ||
    (point >= 0x20000 && point <= 0x3ffff);
  return single ? 'single' : 'word';
}

/** @returns the runs of a text, in order; they join to the text. The empty text is one run. */
export function textRuns(text: string): string[] {
  const runs: string[] = [];
  let run = '';
  let length = 0;
  let current: RunClass | null = null;
  for (const character of text) {
    const kind = classOf(character.codePointAt(0) as number);
    if (run !== '' && (kind !== current || kind === 'single' || length === RUN_LIMIT)) {
      runs.push(run);
      run = '';
      length = 0;
    }
    run += character;
    length += 1;
    current = kind;
  }
  if (run !== '' || runs.length === 0) runs.push(run);
  return runs;
}

/** @returns the leaves of a document, in their order */
export function disclosureLeaves(document: Json): DisclosureLeaf[] {
  const leaves: DisclosureLeaf[] = [];
  collect(document, '', leaves);
  return leaves;
}

function collect(value: Json, pointer: string, leaves: DisclosureLeaf[]): void {
  if (typeof value === 'string' && CUT_INTO_RUNS.test(pointer)) {
    for (const [index, run] of textRuns(value).entries())
      leaves.push({ pointer: `${pointer}/${index}`, value: run });
  } else if (Array.isArray(value) && value.length > 0) {
    for (const [index, element] of (value as readonly Json[]).entries())
      collect(element, `${pointer}/${index}`, leaves);
  } else if (
    value !== null &&
    typeof value === 'object' &&
    !Array.isArray(value) &&
    Object.keys(value).length > 0
  ) {
    const members = value as { readonly [name: string]: Json };
    for (const name of Object.keys(members).sort()) {
      collect(
        members[name] as Json,
        `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
        leaves,
      );
    }
  } else leaves.push({ pointer, value });
}

/** @returns canonical JSON of [pointer, value] */
function leafText(pointer: string, value: Json): string {
  return typeof value === 'object' && value !== null
    ? canonicalText([pointer, value])
    : `[${JSON.stringify(pointer)},${JSON.stringify(value)}]`;
}

/** @returns the bytes of one leaf, for a reader that holds the seed: its salt, HMAC-SHA-256(seed, pointer), and its text */
export function leafBytes(seed: Uint8Array, pointer: string, value: Json): Buffer {
  const salt = Buffer.from(repeatedHmac(seed)(pointer), 'latin1');
  return Buffer.concat([salt, Buffer.from(leafText(pointer, value), 'utf8')]);
}

/** @returns root (32 bytes) and number of leaves */
export function disclosureTree(document: Json, seed: Uint8Array): { root: Buffer; leaves: number } {
  const saltOf = repeatedHmac(seed);
  const tree = new SaltedTree();
  for (const { pointer, value } of disclosureLeaves(document))
    tree.append(saltOf(pointer), leafText(pointer, value));
  return { root: tree.root(), leaves: tree.leaves };
}
