// Brings a backup back: keys out of their seal, files into a home, payloads into a store, tables into an empty database. Each step finds
// what an interrupted call left and goes on from there.

import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { sha256Hex } from '../core/digest.ts';
import { InputError, VerificationError } from '../core/errors.ts';
import type { DatabaseHandle } from '../db/database.ts';
import { keepVersions } from '../db/payload-versions.ts';
import { parseSigningKey } from '../ledger/note.ts';
import type { ObjectStore } from '../store/objects.ts';
import type { Manifest, ManifestFile } from './manifest.ts';
import { carryPayloads, fromLines, type ListedPayload } from './payloads.ts';
import { type BackupPlace, readWhole } from './place.ts';
import { type Unsealing, unseal } from './seal.ts';
import { SETTINGS_LIMIT } from './settings.ts';
import { checkFile, copyIn, damaged } from './tables.ts';

const KEYS_LIMIT = 1024 * 1024;

export interface KeyFile {
  readonly name: string;
  readonly text: string;
}

const keysShape = z.strictObject({
  files: z.array(z.strictObject({ name: z.string().regex(/^[a-z][a-z0-9.-]{0,63}$/), text: z.string() })),
});

/** @param otherwise what else the caller can do, as a sentence. @throws InputError when they do not open, or the backup has none */
export async function unsealKeys(
  place: BackupPlace,
  manifest: Manifest,
  unsealing: Unsealing | null,
  otherwise: string,
): Promise<KeyFile[]> {
  if (manifest.keys === null)
    throw new InputError(`the backup in ${place.location} was made without keys`, {
      hint: otherwise,
    });
  if (unsealing === null)
    throw new InputError('the keys in the backup are sealed, and nothing was given to open them', {
      hint: `Give --passphrase or --recovery-key. ${otherwise}`,
    });
  const sealed = await fileOf(place, manifest.keys, KEYS_LIMIT);
  return keysShape.parse(JSON.parse((await unseal(sealed, unsealing)).toString('utf8'))).files;
}

/** A copy of keys/ kept elsewhere. */
export async function readKeys(folder: string): Promise<KeyFile[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new InputError(`${folder} cannot be read`, {
      hint: 'Name a folder that holds signing.key and its neighbours.',
      cause,
    });
  });
  const own = names.filter((name) => /^[a-z][a-z0-9.-]*$/.test(name) && !name.endsWith('.new'));
  return Promise.all(own.map(async (name) => ({ name, text: await readFile(join(folder, name), 'utf8') })));
}

/** @returns the archive's verifier key. @throws InputError when there is no signing key of this origin among the files */
export function verifierKeyOf(files: readonly KeyFile[], origin: string): string {
  const signing = files.find((file) => file.name === 'signing.key');
  if (signing === undefined)
    throw new InputError('there is no signing.key among the keys', {
      hint: 'Find a copy of it: without the key this log cannot go on, and a new origin must begin.',
    });
  const key = parseSigningKey(signing.text);
  if (key.name === origin) return key.verifierKey;
  throw new InputError(`the signing key is of ${key.name}, the backup of ${origin}`, {
    hint: 'Name the keys of this archive.',
  });
}

/** @returns the bytes of a small file of the backup. @throws VerificationError when they are not the manifest's */
export async function fileOf(
  place: BackupPlace,
  file: ManifestFile,
  // Before there was a limit at backup, larger ones were taken.
  limit = Math.max(SETTINGS_LIMIT, file.bytes),
): Promise<Buffer> {
  const bytes = await readWhole(place, file.path, limit);
  if (bytes === null) throw damaged(place, file.path, 'it is missing');
  if (sha256Hex(bytes) !== file.sha256)
    throw damaged(place, file.path, 'its bytes are not those of the manifest');
  return bytes;
}

export interface PayloadsBack {
  readonly carried: number;
  /** Payloads that the backup's list names and that no copy was found of; the first thousand. */
  readonly lost: readonly string[];
  readonly lostCount: number;
}

const LOST_LISTED = 1000;

/**
 * Puts payloads back into a store.
 * @param from backups that hold copies: the restored one, and an older one it refers to
 * @param destroyed payloads that were destroyed after the backup was made: they stay out
 * @param versions file that receives the version ids that the store gives
 */
export async function payloadsBack(
  list: { place: BackupPlace; manifest: Manifest },
  from: BackupPlace,
  to: ObjectStore,
  options: {
    destroyed: ReadonlySet<string>;
    spool: string;
    versions: string;
    signal: AbortSignal;
    onProgress: (done: string) => void;
  },
): Promise<PayloadsBack> {
  const { place, manifest } = list;
  // Whole, before anything is put anywhere: a store that locks takes nothing back.
  await checkFile(place, manifest.payloads.list);
  const stream = await place.read(manifest.payloads.list.path);
  if (stream === null) throw damaged(place, manifest.payloads.list.path, 'it is missing');
  const { destroyed, spool, signal } = options;
  async function* wanted(): AsyncGenerator<ListedPayload> {
    for await (const payload of fromLines(stream as NonNullable<typeof stream>))
      if (!destroyed.has(payload.commitment)) yield payload;
  }
  await using copies = await from.payloads(false);
  await mkdir(spool, { recursive: true });
  await rm(options.versions, { force: true });
  const versions = createWriteStream(options.versions, { flags: 'wx', mode: 0o600 });
  const lost: string[] = [];
  let lostCount = 0;
  let carried = 0;
  try {
    for await (const { commitment, object } of carryPayloads({
      from: copies,
      to,
      payloads: wanted(),
      versions: false,
      spool,
      signal,
    })) {
      if (object === null) {
        lostCount += 1;
        if (lost.length < LOST_LISTED) lost.push(commitment);
        continue;
      }
      carried += 1;
      if (object.version !== null) versions.write(`${commitment} ${object.version}\n`);
      if (carried % 100 === 0) options.onProgress(`${carried} of ${manifest.payloads.count} payloads`);
    }
  } finally {
    await new Promise<void>((resolve, reject) =>
      versions.end((error?: Error | null) => (error ? reject(error) : resolve())),
    );
  }
  return { carried, lost, lostCount };
}

/** Where a store keeps a payload: of no use once payloads were put into another. */
const STORE_TABLES = ['payload_versions', 'payload_locks'];

/**
 * Loads all tables in one transaction into a database of the backup's schema.
 * @param versions file of the version ids that the store gave; null where payloads stayed in the store they were in
 */
export async function loadTables(
  database: DatabaseHandle,
  place: BackupPlace,
  manifest: Manifest,
  versions: string | null,
  onProgress: (done: string) => void,
): Promise<void> {
  const client = await database.pool.connect();
  let whole = false;
  try {
    await client.query('BEGIN');
    await client.query("SET LOCAL idle_in_transaction_session_timeout = '0'");
    for (const table of manifest.tables) {
      onProgress(`table ${table.name}`);
      if (versions !== null && STORE_TABLES.includes(table.name)) await checkFile(place, table.file);
      else await copyIn(client, place, table);
    }
    const { rows } = await client.query('SELECT size, root FROM ledger_head');
    const head = rows[0] as { size: number; root: Buffer } | undefined;
    if (head?.size !== manifest.ledger.size || head.root.toString('base64') !== manifest.ledger.root)
      throw new VerificationError('the tables of the backup do not hold the ledger that its manifest names', {
        hint: 'Nothing of it was taken over. Use another backup.',
      });
    await client.query('COMMIT');
    whole = true;
  } finally {
    client.release(!whole);
  }
}

const VERSIONS_AT_ONCE = 1000;

/** Notes the version ids that the store gave. @param store its identity */
export async function noteVersions(database: DatabaseHandle, store: string, file: string): Promise<void> {
  let kept: { commitment: string; version: string }[] = [];
  const flush = async (): Promise<void> => {
    await keepVersions(database.db, store, kept);
    kept = [];
  };
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const at = line.indexOf(' ');
    kept.push({ commitment: line.slice(0, at), version: line.slice(at + 1) });
    if (kept.length === VERSIONS_AT_ONCE) await flush();
  }
  await flush();
}
