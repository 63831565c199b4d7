// Reads the content id (CID) of a blob, so that fetched bytes can be held against it: CIDv1 in base32 with SHA-256, the only
// form that AT Protocol permits for blobs (https://github.com/multiformats/cid; AT Protocol "Data Model").

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
const SHA2_256 = 0x12;
const DIGEST_LENGTH = 32;

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

/** @returns the SHA-256 in hex that a CIDv1 (any codec of one byte) promises, or null when it promises no SHA-256 */
export function sha256OfContentId(contentId: string): string | null {
  if (!contentId.startsWith('b')) return null;
  const bytes = base32(contentId.slice(1));
  if (bytes === null || bytes.length !== 4 + DIGEST_LENGTH) return null;
  const [version, codec, algorithm, length] = bytes;
  if (version !== 1 || (codec as number) > 0x7f || algorithm !== SHA2_256 || length !== DIGEST_LENGTH)
    return null;
  return bytes.toString('hex', 4);
}
