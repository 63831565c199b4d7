// Watch words: rules of policies/alerts/*.yaml, and what of an item they match. Pure, and hostile text costs no more than its length: words are
// looked up, phrases searched for, and expressions run in an engine that never goes back (RE2).

import { RE2JS } from 're2js';
import { z } from 'zod';
import { ITEM_KINDS, type ItemKind } from '../core/vocabulary.ts';

const LONGEST = 200;
const PRIVATE = ['phone', 'email', 'ssn', 'card'] as const;
const PLACES = ['text', 'author', 'link', 'alt'] as const;

const id = z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'must be lower-case letters, digits and hyphens');
const wording = z
  .string()
  .max(LONGEST)
  .refine((text) => wordsOf(text).length > 0, 'must have a letter or a digit');
const expression = z
  .string()
  .min(1)
  .max(LONGEST)
  .refine((text) => {
    try {
      return !RE2JS.compile(text).test('');
    } catch {
      return false;
    }
  }, 'must be a regular expression of RE2, which has no look-around and no back-references, and must not match an empty text');

const rule = z.strictObject({
  id,
  title: z.string().min(1),
  /** Leaves the archive with alerts, and finds records: it must name the concern, not the words. */
  tag: id,
  when: z.enum(['at-once', 'digest']),
  sources: z.array(z.string().min(1)).min(1).optional(),
  kinds: z.array(z.enum(ITEM_KINDS)).min(1).optional(),
  in: z.array(z.enum(PLACES)).min(1).default(['text']),
  /** One of them is enough. */
  match: z
    .strictObject({
      words: z.array(wording).min(1).max(1000).optional(),
      phrases: z.array(wording).min(1).max(1000).optional(),
      expressions: z.array(expression).min(1).max(50).optional(),
      /** That the text asks something. */
      question: z.literal(true).optional(),
      /** The ways of threatening that English has and that are seldom meant otherwise. */
      threats: z.literal(true).optional(),
      private: z.array(z.enum(PRIVATE)).min(1).optional(),
    })
    .refine((match) => Object.keys(match).length > 0, 'must say what to look for'),
});
export const watchSchema = z.strictObject({ id, rules: z.array(rule).min(1).max(500) });
export type WatchFile = z.infer<typeof watchSchema>;
type Rule = WatchFile['rules'][number];

/** What of one version is looked at. */
export interface Watched {
  readonly sources: readonly string[];
  readonly kind: ItemKind;
  readonly text: readonly (string | null)[];
  readonly author: readonly (string | null)[];
  readonly link: readonly (string | null)[];
  readonly alt: readonly (string | null)[];
}

export interface WatchMatch {
  readonly rule: string;
  readonly tag: string;
  readonly atOnce: boolean;
}

// Signs that nobody sees and that part a word: soft hyphens, zero-width spaces and joiners, variation selectors.
const UNSEEN = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]|\p{Variation_Selector}/gu;

/** As people read it: one way of writing what looks and sounds the same, without case. */
function folded(text: string): string {
  const plain = text.toWellFormed().normalize('NFKC').replace(UNSEEN, '');
  return plain.toUpperCase().toLowerCase().replaceAll('ς', 'σ').normalize('NFKC');
}

const WORD = /[\p{L}\p{M}\p{N}_]+/gu;
// Scripts written without spaces: there a word is looked for as a part.
const UNSPACED = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff\u{20000}-\u{3ffff}]/u;

function wordsOf(text: string): string[] {
  return folded(text).match(WORD) ?? [];
}

const THREATS = [
  'kill you',
  'kill them all',
  'shoot you',
  'shoot up',
  'bomb threat',
  'burn it down',
  'burn your house',
  'blow up the',
  'you will die',
  'you should die',
  'deserve to die',
  'hang you',
  'beat you up',
  'we know where you live',
  'i know where you live',
  'come to your house',
  'watch your back',
];

// Every repetition is bounded, so that each is tried over a fixed length from any place.
const PRIVATE_FORMS: Readonly<Record<(typeof PRIVATE)[number], (text: string) => boolean>> = {
  phone: (text) =>
    /(?<![\p{N}])(?:\+\d{1,3}[ .-]?)?\(?\d{3}\)?[ .-]?\d{3}[ .-]?\d{4}(?!\p{N})|(?<!\p{N})\+\d{1,3}(?:[ .-]?\d{2,4}){2,5}(?!\p{N})/u.test(
      text,
    ),
  email: (text) =>
    /[\p{L}\p{N}_%+-]@[\p{L}\p{N}-]{1,63}(?:\.[\p{L}\p{N}-]{1,63}){0,8}\.\p{L}{2,24}/u.test(text),
  ssn: (text) => /(?<!\d|\d-)(?!000|666|9)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?!-?\d)/.test(text),
  card: (text) => {
    for (const [digits] of text.matchAll(/(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)/g))
      if (passesLuhn(digits.replace(/[ -]/g, ''))) return true;
    return false;
  },
};

function passesLuhn(digits: string): boolean {
  let sum = 0;
  for (let at = 0; at < digits.length; at += 1) {
    const digit = Number(digits[digits.length - 1 - at]);
    const twice = digit * 2;
    sum += at % 2 === 0 ? digit : twice > 9 ? twice - 9 : twice;
  }
  return sum % 10 === 0 && /[1-9]/.test(digits);
}

/** A text, read once for all rules. */
interface Read {
  readonly plain: string;
  readonly words: ReadonlySet<string>;
  /** The words, each with a space on both sides. */
  readonly line: string;
  /** Without anything between the words. */
  readonly solid: string;
}

function read(text: string): Read {
  const plain = folded(text);
  const words = plain.match(WORD) ?? [];
  return { plain, words: new Set(words), line: ` ${words.join(' ')} `, solid: words.join('') };
}

type Test = (text: Read) => boolean;

function testOf({ words = [], phrases = [], expressions = [], ...match }: Rule['match']): Test {
  const single = new Set<string>();
  const several: string[] = [];
  const parts: string[] = [];
  for (const one of [...words, ...phrases, ...(match.threats ? THREATS : [])]) {
    const said = wordsOf(one);
    if (UNSPACED.test(one)) parts.push(said.join(''));
    else if (said.length === 1) single.add(said[0] as string);
    else several.push(` ${said.join(' ')} `);
  }
  const compiled = expressions.map((one) => RE2JS.compile(one, RE2JS.CASE_INSENSITIVE));
  const forms = (match.private ?? []).map((one) => PRIVATE_FORMS[one]);
  return ({ plain, words: written, line, solid }) =>
    (single.size > 0 && !written.isDisjointFrom(single)) ||
    several.some((one) => line.includes(one)) ||
    parts.some((one) => solid.includes(one)) ||
    (match.question === true && /[?؟՞፧⸮]/u.test(plain) && /\p{L}/u.test(plain)) ||
    forms.some((form) => form(plain)) ||
    compiled.some((one) => one.test(plain));
}

/** @returns what tells which rules match a version; compiled once, for as many versions as there are */
export function watcher(files: readonly WatchFile[]): (version: Watched) => WatchMatch[] {
  const rules = files.flatMap((file) => file.rules).map((one) => ({ ...one, test: testOf(one.match) }));
  return (version) => {
    const texts = new Map<(typeof PLACES)[number], Read[]>();
    const readIn = (place: (typeof PLACES)[number]): Read[] => {
      const known = texts.get(place);
      if (known !== undefined) return known;
      const fresh = version[place].flatMap((text) => (text === null || text === '' ? [] : [read(text)]));
      texts.set(place, fresh);
      return fresh;
    };
    return rules.flatMap(({ id: name, tag, when, sources, kinds, in: places, test }) => {
      if (sources !== undefined && !version.sources.some((source) => sources.includes(source))) return [];
      if (kinds !== undefined && !kinds.includes(version.kind)) return [];
      if (!places.some((place) => readIn(place).some(test))) return [];
      return [{ rule: name, tag, atOnce: when === 'at-once' }];
    });
  };
}
