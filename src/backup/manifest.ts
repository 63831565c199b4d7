// The manifest of a backup: what it holds, with digests, and until when it is kept. The archive's key signs it, and the signature is
// written last: without it there is no backup. Byte layout: FORMAT.md, section 2.

import { z } from 'zod';
import { canonicalBytes, type Json } from '../core/canonical.ts';
import { sha256Hex } from '../core/digest.ts';
import { InputError, VerificationError } from '../core/errors.ts';
import { openNote, type VerifierKey } from '../ledger/note.ts';
import { type BackupPlace, readWhole } from './place.ts';

const VERSION = 'muniment/v1/backup';
export const MANIFEST = 'manifest.json';
/** The archive's signature over the manifest. */
export const SIGNATURE = 'manifest.note';
/** Stands from the first moment: an unfinished backup is known by it, and as whose. */
export const BEGUN = 'begun.json';
const MANIFEST_LIMIT = 64 * 1024 * 1024;
const NOTE_LIMIT = 1024 * 1024;

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);
/** A path below the backup: no way out of it. */
const path = z
  .string()
  .regex(/^[A-Za-z0-9_.-]+(\/[^/\0\\]+)*$/)
  .refine((text) => !text.split('/').some((part) => part === '.' || part === '..'));
const file = z.strictObject({ path, bytes: count, sha256: digest });
const identifier = z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/);

const manifestShape = z.strictObject({
  v: z.literal(VERSION),
  id: z.string().regex(/^[0-9a-f-]{36}$/),
  origin: z.string().min(1).max(200),
  madeAt: z.string(),
  /** Where the backup was made; it may have been moved since. */
  place: z.string(),
  /** Of the commitment by which the ledger will enter this backup: the entry comes after it, and its body with it. */
  salt: digest,
  /** Civil date in the archive's zone: on the day after it the backup is to be removed. */
  expires: z.string().regex(/^\d{4,6}-\d\d-\d\d$/),
  software: z.string(),
  /** Migrations that had run, in order. */
  schema: z.array(z.string().regex(/^\d{4}_[a-z_]+$/)).min(1),
  postgresql: z.string(),
  ledger: z.strictObject({
    size: count,
    root: z.string(),
    /** The signed checkpoint of a size up to this one. */
    checkpoint: z.string(),
  }),
  /** In an order in which rows can be inserted. */
  tables: z.array(
    z.strictObject({ name: identifier, columns: z.array(identifier).min(1), rows: count, file }),
  ),
  settings: z.array(file),
  payloads: z.strictObject({
    by: z.enum(['copy', 'reference']),
    count,
    bytes: count,
    /** Where the archive kept them. */
    store: z.string(),
    list: file,
    /** Payloads that could not be copied, for they were missing or altered in the archive itself. */
    lacking: z.array(z.strictObject({ commitment: digest, problem: z.string() })),
  }),
  /** null: keys are kept elsewhere. */
  keys: file.nullable(),
});

/** Whether a manifest can hold a file of this name. */
export function fitsManifest(name: string): boolean {
  return path.safeParse(name).success;
}

export type Manifest = z.infer<typeof manifestShape>;
export type ManifestFile = z.infer<typeof file>;

/** @returns the manifest's bytes and the text that the archive's key signs */
export function encodeManifest(manifest: Omit<Manifest, 'v'>): {
  bytes: Buffer;
  digest: string;
  text: string;
} {
  const bytes = canonicalBytes({ v: VERSION, ...manifest } as unknown as Json);
  const hex = sha256Hex(bytes);
  return { bytes, digest: hex, text: signedText(manifest.origin, manifest.ledger.size, hex) };
}

function signedText(origin: string, size: number, digest: string): string {
  return `${VERSION}\n${origin}\n${size}\n${digest}\n`;
}

export interface OpenedBackup {
  readonly manifest: Manifest;
  /** SHA-256 of the manifest, in hex: what the ledger commits to. */
  readonly digest: string;
  /** The signature. It is checked by {@link requireSigned}, once a key is at hand. */
  readonly note: string;
}

/** Reads the manifest. @throws InputError when there is no finished backup, VerificationError when it is damaged */
export async function openBackup(place: BackupPlace): Promise<OpenedBackup> {
  const note = await readWhole(place, SIGNATURE, NOTE_LIMIT);
  const bytes = await readWhole(place, MANIFEST, MANIFEST_LIMIT);
  if (note === null || bytes === null) {
    const begun = (await place.read(BEGUN)) !== null;
    throw new InputError(
      begun
        ? `the backup in ${place.location} was never finished`
        : `there is no backup in ${place.location}`,
      {
        hint: begun
          ? 'Run `muniment backup` with the same place to finish it, or use another backup.'
          : `Name the folder or prefix in which ${MANIFEST} stands.`,
      },
    );
  }
  const damaged = (what: string, cause?: unknown): VerificationError =>
    new VerificationError(`the backup in ${place.location} is damaged: ${what}`, {
      hint: 'Use another copy of this backup, or another backup.',
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw damaged('its manifest is not JSON', cause);
  }
  if ((value as { v?: unknown } | null)?.v !== VERSION) {
    throw new InputError(`the backup in ${place.location} is of a format that this Muniment does not know`, {
      hint: 'Restore it with the Muniment version that made it, or a newer one.',
    });
  }
  const parsed = manifestShape.safeParse(value);
  if (!parsed.success) throw damaged(z.prettifyError(parsed.error).replaceAll('\n', ' '));
  if (!canonicalBytes(parsed.data as unknown as Json).equals(bytes))
    throw damaged('its manifest is not canonical');
  return { manifest: parsed.data, digest: sha256Hex(bytes), note: note.toString('utf8') };
}

/** @throws VerificationError when this key did not sign this manifest */
export function requireSigned({ manifest, digest, note }: OpenedBackup, key: VerifierKey): void {
  const { text } = openNote(note, [key]);
  if (text === signedText(manifest.origin, manifest.ledger.size, digest)) return;
  throw new VerificationError("the manifest of the backup is not the one that the archive's key signed", {
    hint: 'It was altered after it was made. Use another backup.',
  });
}
