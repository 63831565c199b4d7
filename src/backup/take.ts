// Takes a backup: settings and keys, the database in one snapshot, payloads by value or by reference, and last the signed manifest. A
// call that was interrupted is made again with the same place; payloads that arrived are not copied twice.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { canonicalBytes, type Json } from '../core/canonical.ts';
import { type Clock, instantText } from '../core/clock.ts';
import { newSalt } from '../core/digest.ts';
import { InputError, RefusedError } from '../core/errors.ts';
import { newId } from '../core/ids.ts';
import type { ObjectReader } from '../store/objects.ts';
import { BEGUN, encodeManifest, MANIFEST, type Manifest, type ManifestFile, SIGNATURE } from './manifest.ts';
import { asLines, carryPayloads, fromLines, type ListedPayload, livingPayloads } from './payloads.ts';
import { type BackupPlace, readWhole } from './place.ts';
import { requireUsable, type Sealing, seal } from './seal.ts';
import { archiveTables, copyOut } from './tables.ts';

export interface BackupSource {
  readonly origin: string;
  readonly timezone: string;
  readonly software: string;
  readonly home: string;
  readonly keys: string;
  /** Files of the home that are settings: paths below it, with forward slashes. */
  readonly settings: readonly string[];
  readonly spool: string;
  readonly pool: pg.Pool;
  readonly store: ObjectReader & { readonly location: string };
  readonly clock: Clock;
  /** Signs the present head. @returns the checkpoint's note */
  readonly checkpoint: () => Promise<string>;
  readonly signNote: (text: string) => string;
}

export interface BackupOptions {
  readonly payloads: 'copy' | 'reference';
  /** null: the keys are kept elsewhere, and stay out of the backup. */
  readonly sealing: Sealing | null;
  /** Time that the backup is kept. */
  readonly keep: Temporal.Duration;
  readonly signal: AbortSignal;
  readonly onProgress?: (done: string) => void;
}

export interface TakenBackup {
  readonly manifest: Manifest;
  readonly digest: string;
}

const LIST = 'payloads.list';
const LACKING_LISTED = 10_000;

export async function takeBackup(
  source: BackupSource,
  place: BackupPlace,
  options: BackupOptions,
): Promise<TakenBackup> {
  const say = options.onProgress ?? (() => undefined);
  if (options.sealing !== null) requireUsable(options.sealing);
  const id = await begin(source, place);
  // Before the snapshot: a head signed later could be longer than the ledger in it.
  const checkpoint = await source.checkpoint();
  const keys = options.sealing === null ? null : await sealKeys(source.keys, place, options.sealing);
  const settings: ManifestFile[] = [];
  for (const path of source.settings) {
    const name = `settings/${path}`;
    settings.push({ path: name, ...(await place.write(name, await readFile(join(source.home, path)))) });
  }
  const client = await source.pool.connect();
  let whole = false;
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    // Nothing is asked of the database while a table goes over a slow line.
    await client.query("SET LOCAL idle_in_transaction_session_timeout = '0'");
    const state = await stateOf(client);
    const tables: Manifest['tables'] = [];
    for (const table of await archiveTables(client)) {
      say(`table ${table.name}`);
      const path = `tables/${table.name}.copy`;
      const { rows, ...written } = await copyOut(client, table, (chunks) =>
        place.write(path, abortable(chunks, options.signal)),
      );
      tables.push({ name: table.name, columns: [...table.columns], rows, file: { path, ...written } });
    }
    const sums = { count: 0, bytes: 0 };
    const list = await place.write(
      LIST,
      asLines(livingPayloads(client, source.store.identity), ({ length }) => {
        sums.count += 1;
        sums.bytes += length;
      }),
    );
    await client.query('COMMIT');
    whole = true;
    const lacking =
      options.payloads === 'copy' ? await copyPayloads(source, place, sums.count, options, say) : [];
    const madeAt = source.clock.now();
    const manifest: Omit<Manifest, 'v'> = {
      id,
      origin: source.origin,
      place: place.location,
      salt: newSalt().toString('hex'),
      madeAt: instantText(madeAt),
      expires: madeAt.toZonedDateTimeISO(source.timezone).add(options.keep).toPlainDate().toString(),
      software: source.software,
      schema: state.schema,
      postgresql: state.version,
      ledger: { size: state.size, root: state.root.toString('base64'), checkpoint },
      tables,
      settings,
      payloads: {
        by: options.payloads,
        ...sums,
        store: source.store.location,
        list: { path: LIST, ...list },
        lacking,
      },
      keys,
    };
    const encoded = encodeManifest(manifest);
    await place.write(MANIFEST, encoded.bytes);
    await place.write(SIGNATURE, Buffer.from(source.signNote(encoded.text)));
    return { manifest: { v: 'muniment/v1/backup', ...manifest }, digest: encoded.digest };
  } finally {
    client.release(!whole);
  }
}

/** Claims the place, or goes on with what an interrupted call of the same archive left there. @returns the backup's id */
async function begin(source: BackupSource, place: BackupPlace): Promise<string> {
  const begun = await readWhole(place, BEGUN, 4096);
  if (begun === null) {
    if (!(await place.isEmpty()))
      throw new InputError(`${place.location} is not empty`, {
        hint: 'Every backup has a place of its own: name a folder or prefix that does not exist or is empty.',
      });
    const id = newId(source.clock.now());
    await place.write(BEGUN, canonicalBytes({ id, origin: source.origin }));
    return id;
  }
  const former = JSON.parse(begun.toString('utf8')) as { id: string; origin: string };
  if (former.origin !== source.origin)
    throw new RefusedError(`${place.location} holds a backup of ${former.origin}`, {
      hint: 'Name another place.',
    });
  return former.id;
}

async function stateOf(client: pg.ClientBase): Promise<{
  size: number;
  root: Buffer;
  version: string;
  schema: string[];
}> {
  const { rows } = await client.query(
    `SELECT size, root, current_setting('server_version') AS version,
            (SELECT array_agg(name ORDER BY name) FROM kysely_migration) AS schema FROM ledger_head`,
  );
  return rows[0] as { size: number; root: Buffer; version: string; schema: string[] };
}

async function sealKeys(folder: string, place: BackupPlace, sealing: Sealing): Promise<ManifestFile> {
  const files: { name: string; text: string }[] = [];
  for (const name of (await readdir(folder)).sort())
    if (!name.endsWith('.new')) files.push({ name, text: await readFile(join(folder, name), 'utf8') });
  const sealed = await seal(canonicalBytes({ files } as unknown as Json), sealing);
  return { path: 'keys.sealed', ...(await place.write('keys.sealed', sealed)) };
}

async function copyPayloads(
  source: BackupSource,
  place: BackupPlace,
  count: number,
  { signal }: BackupOptions,
  say: (done: string) => void,
): Promise<Manifest['payloads']['lacking']> {
  await using to = await place.payloads(true);
  await refuseDestroyed(source.pool, place, to.list());
  const listed = await place.read(LIST);
  if (listed === null) throw new InputError(`${LIST} vanished from ${place.location} while it was used`);
  const lacking: { commitment: string; problem: string }[] = [];
  let done = 0;
  for await (const { commitment, problem } of carryPayloads({
    from: source.store,
    to,
    payloads: fromLines(listed) as AsyncIterable<ListedPayload>,
    versions: true,
    spool: source.spool,
    signal,
  })) {
    done += 1;
    if (done % 100 === 0 || done === count) say(`${done} of ${count} payloads`);
    if (problem === null) continue;
    // A payload that disposition destroyed since the snapshot is not lacking.
    const { rowCount } = await source.pool.query('SELECT FROM payload_destructions WHERE commitment = $1', [
      commitment,
    ]);
    if (rowCount === 0 && lacking.length < LACKING_LISTED) lacking.push({ commitment, problem });
  }
  return lacking;
}

/** An unfinished backup may hold what was destroyed since it was begun: it must not become a backup. */
async function refuseDestroyed(
  pool: pg.Pool,
  place: BackupPlace,
  listed: AsyncIterable<{ key: string }>,
): Promise<void> {
  let keys: string[] = [];
  const check = async (): Promise<void> => {
    const { rows } = await pool.query(
      'SELECT commitment FROM payload_destructions WHERE commitment = ANY($1) LIMIT 1',
      [keys],
    );
    keys = [];
    if (rows.length === 0) return;
    throw new RefusedError(
      `the unfinished backup in ${place.location} holds payload ${(rows[0] as { commitment: string }).commitment}, which was destroyed since`,
      { hint: 'Remove that place with all it holds, then make the backup anew.' },
    );
  };
  for await (const { key } of listed) {
    keys.push(key);
    if (keys.length === 1000) await check();
  }
  if (keys.length > 0) await check();
}

async function* abortable(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    yield chunk;
  }
}
