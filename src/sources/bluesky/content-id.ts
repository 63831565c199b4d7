// Content ids (CIDs) as text and as bytes, so that bytes can be held against them: CIDv1 in base32 with SHA-256, the only form that the
// AT Protocol permits (https://github.com/multiformats/cid; AT Protocol "Data Model").

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
const SHA2_256 = 0x12;
const DIGEST_LENGTH = 32;
/** Version, codec, algorithm and length, then the digest. */
export const CONTENT_ID_BYTES = 4 + DIGEST_LENGTH;

function base32(text: string): Buffer | null {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const letter of text) {
    const five = BASE32.indexOf(letter);
    if (five < 0) return null;
    value = (value << 5) | five;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((value >> bits) & 0xff);
      value &= (1 << bits) - 1;
    }
  }
  return Buffer.from(bytes);
}

/** @returns whether bytes are a CIDv1 (any codec of one byte) with SHA-256 */
function isContentId(bytes: Uint8Array): boolean {
  const [version, codec, algorithm, length] = bytes;
  return (
    bytes.length === CONTENT_ID_BYTES &&
    version === 1 &&
    (codec as number) <= 0x7f &&
    algorithm === SHA2_256 &&
    length === DIGEST_LENGTH
  );
}

/** @returns the SHA-256 in hex that a CIDv1 (any codec of one byte) promises, or null when it promises no SHA-256 */
export function sha256OfContentId(contentId: string): string | null {
  if (!contentId.startsWith('b')) return null;
  const bytes = base32(contentId.slice(1));
  return bytes !== null && isContentId(bytes) ? bytes.toString('hex', 4) : null;
}

/** @returns the content id as text, or null where its bytes are of another form */
export function contentIdText(bytes: Uint8Array): string | null {
  if (!isContentId(bytes)) return null;
  let text = 'b';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += BASE32[value >> bits];
      value &= (1 << bits) - 1;
    }
  }
  return bits === 0 ? text : text + BASE32[value << (5 - bits)];
}
