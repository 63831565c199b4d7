// Brings a database to this Muniment's schema: roles, then the numbered SQL files of migrations/, each once, under Kysely's own lock.
// Refuses a schema that is newer than the code.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Migration, type MigrationProvider, Migrator, sql } from 'kysely';
import { InputError, ServiceError } from '../core/errors.ts';
import { type Database, type DatabaseHandle, openDatabase } from './database.ts';
import { sqlState } from './fault.ts';
import { makeRoles, requireLogin } from './roles.ts';

class SqlFiles implements MigrationProvider {
  readonly #folder: string;
  constructor(folder: string) {
    this.#folder = folder;
  }
  async getMigrations(): Promise<Record<string, Migration>> {
    const files = (await readdir(this.#folder)).filter((name) => /^\d{4}_[a-z_]+\.sql$/.test(name)).sort();
    const migrations: Record<string, Migration> = {};
    for (const file of files) {
      const text = await readFile(join(this.#folder, file), 'utf8');
      migrations[file.replace(/\.sql$/, '')] = {
        up: async (db) => {
          await sql`SET LOCAL ROLE muniment_owner`.execute(db);
          await sql.raw(text).execute(db);
          await sql`RESET ROLE`.execute(db);
        },
      };
    }
    return migrations;
  }
}

/**
 * Migrates to the newest schema. Any number of processes may do it at once: one works, the others find it done.
 * @param options.adminUrl URL of a superuser, or of a role with CREATEROLE that owns the database
 * @param options.runtimeUser login role that the archive will work as; receives muniment_runtime
 * @param options.to name of the last migration to run, for rows that come from a backup of that schema; absent: all of them
 * @returns names of the migrations that ran
 * @throws InputError when the schema is newer than this Muniment, or a URL or role is not what it must be
 * @throws ServiceError when the server cannot be reached or a migration fails (nothing of it stays)
 */
export async function migrate(options: {
  adminUrl: string;
  runtimeUser: string;
  folder: string;
  to?: string | undefined;
}): Promise<string[]> {
  await using admin = await openDatabase(options.adminUrl, { max: 3 });
  const client = await admin.pool.connect();
  try {
    await client.query('SELECT pg_advisory_lock(7301, 1)');
    await refuseNewer(admin.db, options.folder);
    await makeRoles(client, options.runtimeUser);
    const { to } = options;
    const migrator = new Migrator({ db: admin.db, provider: new SqlFiles(options.folder) });
    // Forward only: a schema that has passed `to` stays.
    const passed = to !== undefined && (await appliedMigrations(admin.db)).includes(to);
    const { error, results } = passed
      ? { error: undefined, results: [] }
      : await (to === undefined ? migrator.migrateToLatest() : migrator.migrateTo(to));
    if (error !== undefined) {
      throw new ServiceError(`a migration failed and was rolled back: ${(error as Error).message}`, {
        hint: 'The database is as it was before. Report this with the PostgreSQL version.',
        cause: error,
      });
    }
    const { rows } = await client.query(
      "SELECT pg_get_userbyid(relowner) = 'muniment_owner' AS done FROM pg_class WHERE oid = 'public.kysely_migration'::regclass",
    );
    if (!(rows[0] as { done: boolean }).done) {
      // Whichever administrator migrates next may then go on.
      await client.query(`ALTER TABLE kysely_migration OWNER TO muniment_owner;
                          ALTER TABLE kysely_migration_lock OWNER TO muniment_owner;
                          GRANT SELECT ON kysely_migration TO muniment_runtime`);
    }
    // Rows of an older schema come first; the queue has none of them.
    if (to === undefined) await (await import('./jobs-schema.ts')).makeJobsSchema(client);
    return (results ?? []).filter((r) => r.status === 'Success').map((r) => r.migrationName);
  } catch (error) {
    if (sqlState(error) !== '42501') throw error;
    throw new InputError(`the administrator's URL lacks a right: ${(error as Error).message}`, {
      hint: 'Use a superuser, or a role with CREATEROLE that owns the database. Nothing was half done: run it again.',
      cause: error,
    });
  } finally {
    // Closed, not given back: the lock goes with the connection.
    client.release(true);
  }
}

async function isMigrated(db: Database): Promise<boolean> {
  const { rows } = await sql<{
    present: boolean;
  }>`SELECT to_regclass('public.kysely_migration') IS NOT NULL AS present`.execute(db);
  return rows[0]?.present === true;
}

/** @returns names of the migrations in a folder, in order */
export async function knownMigrations(folder: string): Promise<string[]> {
  return Object.keys(await new SqlFiles(folder).getMigrations());
}

/** @returns names of the migrations that have run, in order; none where nothing was migrated */
export async function appliedMigrations(db: Database): Promise<string[]> {
  if (!(await isMigrated(db))) return [];
  const rows = await sql<{ name: string }>`SELECT name FROM kysely_migration ORDER BY name`.execute(db);
  return rows.rows.map((row) => row.name);
}

async function refuseNewer(db: Database, folder: string): Promise<number> {
  const known = await knownMigrations(folder);
  const done = await appliedMigrations(db);
  const unknown = done.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new InputError(`the database has a newer schema (${unknown.join(', ')}) than this Muniment knows`, {
      hint: 'Run the Muniment version that made it, or a newer one.',
    });
  }
  return known.length - done.length;
}

/**
 * Run at every start, as the archive's login.
 * @throws InputError when the schema is newer or older than this code, or the login has not the rights that an archive works with
 */
export async function requireSchema(database: DatabaseHandle, folder: string): Promise<void> {
  const { db, pool } = database;
  if (await isMigrated(db)) await requireLogin(pool);
  const missing = await refuseNewer(db, folder);
  if (missing > 0) {
    throw new InputError(`the database lacks ${missing} migration${missing === 1 ? '' : 's'}`, {
      hint: "Run `muniment db migrate --admin-url URL` with an administrator's URL; before `muniment init`, add `--runtime-user` with the login of the archive.",
    });
  }
}
