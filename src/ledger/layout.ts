// The usual entries, recognised byte by byte. Canonical JSON of a flat object has one order of names and one way to write each value, so an
// entry type whose strings are plain ASCII has a fixed layout: bytes that fit it are canonical and of the type's shape, and nothing more need
// be asked. Bytes that do not fit are not wrong: they take the general way (entry.ts), which alone can refuse.

import { z } from 'zod';

/** What a layout knows of one field's values; `form` reads like a regular expression without operators. */
export type FieldForm =
  /** Exactly these bytes, and characters of a class for each of: h (0-9a-f), d (0-9), v (8, 9, a, b), B (base64). Others stand for themselves. */
  | { readonly kind: 'fixed'; readonly form: string }
  /** A whole number from `least` (0 or 1), of at most 15 digits: always a safe integer. */
  | { readonly kind: 'whole'; readonly least: 0 | 1 }
  /** Printable ASCII without quotation mark and backslash. */
  | { readonly kind: 'plain'; readonly least: number; readonly most: number };

const CLASSES: Readonly<Record<string, RegExp>> = {
  h: /[0-9a-f]/,
  d: /[0-9]/,
  v: /[89ab]/,
  B: /[A-Za-z0-9+/]/,
  plain: /[ !#-[\]-~]/,
};
const NAMES = Object.keys(CLASSES);
/** A place allows one byte, whose number it then has, or a class, numbered from 0x80. */
const FIRST_CLASS = 0x80;
const classNumber = (name: string): number => FIRST_CLASS + NAMES.indexOf(name);
/** Whether (1) a place of this number allows this byte, at number × 256 + byte: a loop without branches reads it. */
const ALLOWS = new Uint8Array((FIRST_CLASS + NAMES.length) * 256);
for (let byte = 0; byte < FIRST_CLASS; byte += 1) {
  ALLOWS[byte * 256 + byte] = 1;
  for (const [name, pattern] of Object.entries(CLASSES))
    if (pattern.test(String.fromCharCode(byte))) ALLOWS[classNumber(name) * 256 + byte] = 1;
}
const [DIGIT, PLAIN] = [classNumber('d'), classNumber('plain')];
const ZERO = 0x30;
const MOST_DIGITS = 15;

interface Variable {
  readonly kind: 'whole' | 'plain';
  readonly least: number;
  readonly most: number;
}

/** Fixed stretches and, after each but the last, what has no fixed length. */
export interface Layout {
  readonly stretches: readonly Uint8Array[];
  readonly variables: readonly Variable[];
}

/** @returns the layouts of an object's canonical JSON, one for each choice of its enumerations; none when a field has no form */
export function layoutOf(
  shape: Readonly<Record<string, z.ZodType>>,
  forms: ReadonlyMap<z.ZodType, FieldForm>,
): Layout[] {
  let layouts: { stretches: number[][]; variables: Variable[] }[] = [{ stretches: [[]], variables: [] }];
  const text = (bytes: string): void => {
    for (const { stretches } of layouts) stretches.at(-1)?.push(...Buffer.from(bytes, 'latin1'));
  };
  for (const [at, name] of Object.keys(shape).sort().entries()) {
    text(`${at === 0 ? '{' : ','}${JSON.stringify(name)}:`);
    const field = shape[name] as z.ZodType;
    const constants = constantsOf(field);
    if (constants !== null) {
      layouts = constants.flatMap((value) =>
        layouts.map(({ stretches, variables }) => ({
          stretches: [
            ...stretches.slice(0, -1),
            [...(stretches.at(-1) as number[]), ...Buffer.from(JSON.stringify(value), 'latin1')],
          ],
          variables,
        })),
      );
      continue;
    }
    const form = forms.get(field);
    if (form === undefined) return [];
    if (form.kind === 'fixed') {
      text('"');
      for (const { stretches } of layouts)
        for (const character of form.form)
          stretches
            .at(-1)
            ?.push(NAMES.includes(character) ? classNumber(character) : character.charCodeAt(0));
      text('"');
      continue;
    }
    if (form.kind === 'plain') text('"');
    const variable: Variable =
      form.kind === 'whole'
        ? { kind: 'whole', least: form.least, most: MOST_DIGITS }
        : { kind: 'plain', least: form.least, most: form.most };
    layouts = layouts.map(({ stretches, variables }) => ({
      stretches: [...stretches, []],
      variables: [...variables, variable],
    }));
    if (form.kind === 'plain') text('"');
  }
  text('}');
  return layouts.map(({ stretches, variables }) => ({
    stretches: stretches.map((stretch) => Uint8Array.from(stretch)),
    variables,
  }));
}

function constantsOf(field: z.ZodType): readonly (string | number)[] | null {
  if (field instanceof z.ZodLiteral) return [...field.values] as (string | number)[];
  if (field instanceof z.ZodEnum) return [...field.options] as string[];
  return null;
}

/** @returns whether the bytes are exactly of this layout */
export function fits(bytes: Uint8Array, { stretches, variables }: Layout): boolean {
  const length = bytes.length;
  let at = 0;
  for (let part = 0; ; part += 1) {
    const stretch = stretches[part] as Uint8Array;
    if (at + stretch.length > length) return false;
    let allowed = 1;
    for (let i = 0; i < stretch.length; i += 1)
      allowed &= ALLOWS[((stretch[i] as number) << 8) | (bytes[at + i] as number)] as number;
    if (allowed === 0) return false;
    at += stretch.length;
    if (part === variables.length) return at === length;
    const { kind, least, most } = variables[part] as Variable;
    const from = at;
    const members = (kind === 'whole' ? DIGIT : PLAIN) << 8;
    while (at < length && ALLOWS[members | (bytes[at] as number)] === 1) at += 1;
    const taken = at - from;
    if (taken > most) return false;
    if (kind === 'plain') {
      if (taken < least) return false;
    } else if (taken === 0 || (bytes[from] === ZERO && (taken > 1 || least > 0))) return false;
  }
}
