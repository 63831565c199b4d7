// The one canonical JSON of Muniment: RFC 8785 (JCS). Everything that is hashed or signed as JSON goes through here.

import canonicalize from 'canonicalize';

/** What can stand in canonical JSON here. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** @returns the RFC 8785 text of a value. @throws TypeError on lone surrogates, NaN, Infinity or undefined. */
export function canonicalText(value: Json): string {
  const text = canonicalized(value);
  if (text === undefined) throw new TypeError('undefined has no canonical JSON');
  return text;
}

function canonicalized(value: Json): string | undefined {
  try {
    return canonicalize(value);
  } catch (cause) {
    // The library throws a plain Error for what JSON can't hold; a stack that overflowed is another matter.
    if (cause instanceof RangeError) throw cause;
    throw new TypeError(`it has no canonical JSON: ${(cause as Error).message}`, { cause });
  }
}

/** @returns the RFC 8785 bytes (UTF-8) of a value. @throws TypeError as {@link canonicalText}. */
export function canonicalBytes(value: Json): Buffer {
  const text = canonicalText(value);
  if (!text.isWellFormed()) throw new TypeError('a lone surrogate has no UTF-8 and so no canonical JSON');
  return Buffer.from(text, 'utf8');
}

/**
 * What of a platform's value canonical JSON can hold: a lone surrogate, which has no UTF-8, becomes U+FFFD, and a number beyond all
 * bounds (JSON.parse reads 1e999) its name. Whatever was parsed from somebody else's JSON goes through here before {@link canonicalText}.
 */
export function wellFormed<T extends Json>(value: T): T {
  if (typeof value === 'string') return value.toWellFormed() as T;
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value) as unknown as T;
  if (Array.isArray(value)) return value.map((element: Json) => wellFormed(element)) as unknown as T;
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value).map(([key, member]) => [key.toWellFormed(), wellFormed(member as Json)]),
    ) as unknown as T;
  }
  return value;
}

/** @returns the value of JSON text, or undefined for bytes that hold none: for bytes that somebody else may have written */
export function parsedJson(bytes: Uint8Array): Json | undefined {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')) as Json;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
