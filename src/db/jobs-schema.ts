// The job queue's own schema, muniment_jobs: pg-boss's tables, made and brought up to date by an administrator like every other table. The
// archive's login works on their rows and changes no table. What stands in them is working memory: no evidence, and in no backup.

import type pg from 'pg';
import { getConstructionPlans, getMigrationPlans } from 'pg-boss';

export const JOBS_SCHEMA = 'muniment_jobs';
/** Of the schema that this pg-boss works with; a test holds it to the library's. */
export const JOBS_VERSION = 46;

type Client = Pick<pg.Pool | pg.ClientBase, 'query'>;

/** @returns the version of the schema there, or null where there is none */
export async function jobsVersion(client: Client): Promise<number | null> {
  const { rows } = await client.query(`SELECT to_regclass('${JOBS_SCHEMA}.version') IS NOT NULL AS present`);
  if (!(rows[0] as { present: boolean }).present) return null;
  const found = await client.query(`SELECT version FROM ${JOBS_SCHEMA}.version`);
  return (found.rows[0] as { version: number } | undefined)?.version ?? null;
}

/** As an administrator, under the lock of a migration. A newer schema is left as it is: pg-boss refuses to start on it. */
export async function makeJobsSchema(client: Client): Promise<void> {
  const version = await jobsVersion(client);
  if (version !== null && version >= JOBS_VERSION) return;
  await client.query(`CREATE SCHEMA IF NOT EXISTS ${JOBS_SCHEMA} AUTHORIZATION muniment_owner`);
  await client.query('SET ROLE muniment_owner');
  try {
    // Each is one transaction of its own.
    await client.query(
      version === null
        ? getConstructionPlans(JOBS_SCHEMA, { createSchema: false })
        : getMigrationPlans(JOBS_SCHEMA, version),
    );
    await client.query(
      `GRANT USAGE ON SCHEMA ${JOBS_SCHEMA} TO muniment_runtime;
       GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${JOBS_SCHEMA} TO muniment_runtime`,
    );
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    await client.query('RESET ROLE');
  }
}
