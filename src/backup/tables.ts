// The database in a backup: every table by COPY in PostgreSQL's binary form, which all versions read, within one snapshot; and back, in
// one transaction, so that a database holds all of a backup or nothing.

import { createHash } from 'node:crypto';
import { Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { ServiceError, VerificationError } from '../core/errors.ts';
import { sqlState } from '../db/fault.ts';
import type { Manifest } from './manifest.ts';
import type { BackupPlace, Written } from './place.ts';

export interface Table {
  readonly name: string;
  readonly columns: readonly string[];
}

/** @returns every table of the archive, a table after those that it refers to. Migrations' own bookkeeping is not among them */
export async function archiveTables(client: pg.ClientBase): Promise<Table[]> {
  const { rows } = await client.query(`
    SELECT c.relname AS name,
           (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
           (SELECT coalesce(array_agg(DISTINCT t.relname::text), '{}') FROM pg_constraint k JOIN pg_class t ON t.oid = k.confrelid
             WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> c.oid) AS needs
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE 'kysely%'
    ORDER BY c.relname COLLATE "C"`);
  const waiting = rows as (Table & { needs: string[] })[];
  const ordered: Table[] = [];
  while (waiting.length > 0) {
    const at = waiting.findIndex(({ needs }) =>
      needs.every((need) => ordered.some((done) => done.name === need)),
    );
    if (at < 0) throw new TypeError('tables refer to each other in a circle');
    const { name, columns } = waiting.splice(at, 1)[0] as Table;
    ordered.push({ name, columns });
  }
  return ordered;
}

const quoted = ({ name, columns }: Table): string =>
  `"${name}" (${columns.map((column) => `"${column}"`).join(', ')})`;

/** Writes a table's rows as the client's transaction sees them. */
export async function copyOut(
  client: pg.ClientBase,
  table: Table,
  write: (chunks: AsyncIterable<Uint8Array>) => Promise<Written>,
): Promise<Written & { rows: number }> {
  const stream = client.query(copyTo(`COPY ${quoted(table)} TO STDOUT (FORMAT binary)`));
  const written = await write(stream as AsyncIterable<Uint8Array>);
  return { ...written, rows: stream.rowCount };
}

/**
 * Reads a table's rows in, within the client's transaction.
 * @param into table to fill where it is not the table itself, with the same columns
 * @throws VerificationError when bytes or rows are not what the manifest says: the caller rolls back
 */
export async function copyIn(
  client: pg.ClientBase,
  place: BackupPlace,
  table: Manifest['tables'][number],
  into: string = table.name,
): Promise<void> {
  const { path, bytes, sha256 } = table.file;
  const stored = await place.read(path);
  if (stored === null) throw damaged(place, path, 'it is missing');
  const hash = createHash('sha256');
  let length = 0;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      length += chunk.length;
      done(null, chunk);
    },
    flush(done) {
      // Before the end of the stream reaches the database: altered rows are not even tried.
      done(
        length === bytes && hash.digest('hex') === sha256
          ? null
          : damaged(place, path, 'its bytes are not those of the manifest'),
      );
    },
  });
  const target = client.query(
    copyFrom(`COPY ${quoted({ ...table, name: into })} FROM STDIN (FORMAT binary)`),
  );
  try {
    await pipeline(stored, meter, target);
  } catch (cause) {
    if (sqlState(cause) === null) throw cause;
    // Altered bytes can trouble the database before their end is reached, and tell nothing useful there.
    await checkFile(place, table.file);
    throw new ServiceError(
      `the database did not take the rows of ${table.name}: ${(cause as Error).message}`,
      {
        hint: 'Nothing was taken over. Mend what it says, then run this again.',
        cause,
      },
    );
  }
  if (target.rowCount !== table.rows)
    throw damaged(place, path, `it holds ${target.rowCount} rows, not ${table.rows}`);
}

/** Reads a file to its end. @throws VerificationError when it is not what the manifest says */
export async function checkFile(place: BackupPlace, file: Manifest['settings'][number]): Promise<void> {
  const stored = await place.read(file.path);
  if (stored === null) throw damaged(place, file.path, 'it is missing');
  const hash = createHash('sha256');
  await pipeline(
    stored,
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        done();
      },
    }),
  );
  if (hash.digest('hex') !== file.sha256)
    throw damaged(place, file.path, 'its bytes are not those of the manifest');
}

export function damaged(place: BackupPlace, path: string, what: string): VerificationError {
  return new VerificationError(`${path} of the backup in ${place.location} is damaged: ${what}`, {
    hint: 'Nothing of it was taken over. Use another copy of this backup, or another backup.',
  });
}
