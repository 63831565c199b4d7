// Brings a database to this Muniment's schema: roles, then the numbered SQL files of migrations/, each once, under Kysely's own lock.
// Refuses a schema that is newer than the code.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Kysely, type Migration, type MigrationProvider, Migrator, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { InputError, ServiceError } from '../core/errors.ts';

const ROLES = ['muniment_owner', 'muniment_runtime', 'muniment_eraser'] as const;

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

function connect(adminUrl: string): Kysely<unknown> {
  const pool = new pg.Pool({
    connectionString: adminUrl,
    max: 2,
    connectionTimeoutMillis: 15_000,
    options: '-c TimeZone=UTC',
  });
  pool.on('error', () => undefined);
  return new Kysely({ dialect: new PostgresDialect({ pool }) });
}

/** Roles belong to the whole server, so two archives migrating at once meet here: the lock and the exception clause let both pass. */
async function makeRoles(db: Kysely<unknown>, runtimeUser: string): Promise<void> {
  await db.connection().execute(async (one) => {
    await sql`SELECT pg_advisory_lock(7301, 1)`.execute(one);
    try {
      for (const role of ROLES) {
        await sql
          .raw(
            `DO $$ BEGIN CREATE ROLE ${role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
          )
          .execute(one);
      }
      await sql.raw('GRANT muniment_owner TO CURRENT_USER').execute(one);
      await sql`SELECT format('GRANT muniment_runtime TO %I', ${runtimeUser}::text) AS command`
        .execute(one)
        .then((r) => sql.raw((r.rows[0] as { command: string }).command).execute(one));
      // SET only: the runtime user does not have the eraser's rights until a transaction takes the role.
      await sql`SELECT format(${'GRANT muniment_eraser TO %I'} || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END, ${runtimeUser}::text) AS command`
        .execute(one)
        .then((r) => sql.raw((r.rows[0] as { command: string }).command).execute(one));
      await sql`GRANT CREATE, USAGE ON SCHEMA public TO muniment_owner`.execute(one);
    } finally {
      await sql`SELECT pg_advisory_unlock(7301, 1)`.execute(one);
    }
  });
}

/**
 * Migrates to the newest schema. @param adminUrl URL of a role that may create roles and tables
 * @param runtimeUser login role that the archive will work as; receives muniment_runtime
 * @returns names of the migrations that ran
 * @throws InputError when the schema is newer than this Muniment, ServiceError when a migration fails (nothing of it stays)
 */
export async function migrate(options: {
  adminUrl: string;
  runtimeUser: string;
  folder: string;
}): Promise<string[]> {
  const db = connect(options.adminUrl);
  try {
    const version = await sql<{ n: number }>`SELECT current_setting('server_version_num')::int AS n`.execute(
      db,
    );
    if ((version.rows[0]?.n ?? 0) < 150000) {
      throw new InputError('the database server is older than PostgreSQL 15', {
        hint: 'Upgrade the server to PostgreSQL 15 or newer.',
      });
    }
    await refuseNewer(db, options.folder);
    await makeRoles(db, options.runtimeUser);
    const migrator = new Migrator({ db, provider: new SqlFiles(options.folder) });
    const { error, results } = await migrator.migrateToLatest();
    if (error !== undefined) {
      throw new ServiceError(`a migration failed and was rolled back: ${(error as Error).message}`, {
        hint: 'The database is as it was before. Report this with the PostgreSQL version.',
        cause: error,
      });
    }
    await sql`GRANT SELECT ON kysely_migration TO muniment_runtime`.execute(db);
    return (results ?? []).filter((r) => r.status === 'Success').map((r) => r.migrationName);
  } finally {
    await db.destroy();
  }
}

async function applied(db: Kysely<unknown>): Promise<string[]> {
  const table = await sql<{
    t: string | null;
  }>`SELECT to_regclass('public.kysely_migration')::text AS t`.execute(db);
  if (table.rows[0]?.t == null) return [];
  const rows = await sql<{ name: string }>`SELECT name FROM kysely_migration ORDER BY name`.execute(db);
  return rows.rows.map((row) => row.name);
}

async function refuseNewer(db: Kysely<unknown>, folder: string): Promise<number> {
  const known = Object.keys(await new SqlFiles(folder).getMigrations());
  const done = await applied(db);
  const unknown = done.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new InputError(`the database has a newer schema (${unknown.join(', ')}) than this Muniment knows`, {
      hint: 'Run the Muniment version that made it, or a newer one.',
    });
  }
  return known.length - done.length;
}

/** @throws InputError when the schema is newer or older than this code. Run at every start. */
export async function requireSchema(db: Kysely<never>, folder: string): Promise<void> {
  const missing = await refuseNewer(db as unknown as Kysely<unknown>, folder);
  if (missing > 0) {
    throw new InputError(`the database lacks ${missing} migration${missing === 1 ? '' : 's'}`, {
      hint: "Run `muniment db migrate` with an administrator's URL.",
    });
  }
}
