// Opaque ids. Every id that may stand in the ledger is a UUIDv7 (RFC 9562 section 5.7): sortable, and telling nothing
// but the millisecond of its making.

import { randomBytes } from 'node:crypto';

export type Id = string;

const PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** @returns a fresh UUIDv7 for this moment. */
export function newId(now: Temporal.Instant): Id {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now.epochMilliseconds, 0, 6);
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function isId(text: string): boolean {
  return PATTERN.test(text);
}
