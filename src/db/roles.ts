// The database's roles: muniment_owner owns the tables and cannot log in, muniment_runtime inserts and reads, muniment_eraser erases.
// The archive works as a login of the operator's own that has the second's rights, and the third's only where a transaction takes them.

import type pg from 'pg';
import { InputError } from '../core/errors.ts';
import { sqlState } from './fault.ts';

const GROUPS = ['muniment_owner', 'muniment_runtime', 'muniment_eraser'] as const;
/**
 * Before PostgreSQL 16 a grant cannot say WITH INHERIT FALSE. A role that does not inherit, put between login and eraser, does the same:
 * inheritance ends there, SET ROLE goes through.
 */
const DOOR = 'muniment_disposition';

/** duplicate_object, unique_violation, and internal_error ("tuple concurrently updated"): another migration was faster. */
const RACED = ['42710', '23505', 'XX000'];
const ATTEMPTS = 20;

type Client = Pick<pg.ClientBase, 'query'>;

/** Runs a statement until what it is for holds. Roles belong to the whole server: migrations of two databases meet here, past any lock. */
async function ensure(
  client: Client,
  holds: () => Promise<boolean>,
  statement: string,
  values: readonly string[] = [],
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    if (await holds()) return;
    try {
      // format() quotes; utility statements take no parameters.
      const { rows } = await client.query(
        `SELECT format($1${values.map((_, n) => `, $${n + 2}::text`).join('')}) AS command`,
        [statement, ...values],
      );
      await client.query((rows[0] as { command: string }).command);
      return;
    } catch (error) {
      if (!RACED.includes(sqlState(error) ?? '') || attempt === ATTEMPTS) throw error;
    }
  }
}

const isTrue = async (client: Client, question: string, values: readonly string[]): Promise<boolean> =>
  ((await client.query(`SELECT (${question}) AS holds`, [...values])).rows[0] as { holds: boolean }).holds;

const makeRole = (client: Client, role: string, attributes = 'NOLOGIN'): Promise<void> =>
  ensure(
    client,
    () => isTrue(client, 'EXISTS (SELECT FROM pg_roles WHERE rolname = $1)', [role]),
    `CREATE ROLE %I ${attributes}`,
    [role],
  );

/** @param right MEMBER: may SET ROLE; USAGE: has the group's rights at once */
const makeMember = (
  client: Client,
  group: string,
  member: string,
  right: 'MEMBER' | 'USAGE',
  terms = '',
): Promise<void> =>
  ensure(
    client,
    () => isTrue(client, `pg_has_role($2::name, $1::name, '${right}')`, [group, member]),
    `GRANT %I TO %I${terms}`,
    [group, member],
  );

/**
 * Makes the roles and gives the login its place in them. Everything that holds already is left as it is.
 * @throws InputError when there is no such login, or it may do more than an archive must
 */
export async function makeRoles(client: Client, login: string): Promise<void> {
  if (!(await isTrue(client, 'EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND rolcanlogin)', [login]))) {
    throw new InputError(`the database server has no login ${login} for the archive to work as`, {
      hint: `Make it there: CREATE ROLE "${login}" LOGIN PASSWORD '…'. Then run this again.`,
    });
  }
  // Before anything is granted, so that a refusal changes nothing.
  await refusePowerful(client, login);
  for (const role of GROUPS) await makeRole(client, role);
  const { rows } = await client.query(
    "SELECT current_user::text AS admin, current_setting('server_version_num')::integer >= 160000 AS terms",
  );
  const { admin, terms } = rows[0] as { admin: string; terms: boolean };
  const inheriting = terms ? ' WITH INHERIT TRUE, SET TRUE' : '';
  await makeMember(client, 'muniment_owner', admin, 'USAGE', inheriting);
  await makeMember(client, 'muniment_runtime', login, 'USAGE', inheriting);
  if (terms) {
    await makeMember(client, 'muniment_eraser', login, 'MEMBER', ' WITH INHERIT FALSE, SET TRUE');
  } else {
    await makeRole(client, DOOR, 'NOLOGIN NOINHERIT');
    await makeMember(client, 'muniment_eraser', DOOR, 'MEMBER');
    await makeMember(client, DOOR, login, 'MEMBER');
  }
  if (!(await isTrue(client, "has_schema_privilege('muniment_owner', 'public', 'CREATE')", [])))
    await client.query('GRANT CREATE, USAGE ON SCHEMA public TO muniment_owner');
}

async function faultOf(client: Client, login: string): Promise<string | null> {
  const { rows } = await client.query(
    `SELECT l.rolsuper AS superuser, l.rolcreaterole AS creator, pg_has_role(l.oid, o.oid, 'MEMBER') AS owner,
            (SELECT pg_has_role(l.oid, nspowner, 'MEMBER') FROM pg_namespace WHERE nspname = 'public') AS schema_owner,
            pg_has_role(l.oid, e.oid, 'USAGE') AS eraser
       FROM pg_roles l LEFT JOIN pg_roles o ON o.rolname = 'muniment_owner' LEFT JOIN pg_roles e ON e.rolname = 'muniment_eraser'
      WHERE l.rolname = $1`,
    [login],
  );
  const found = rows[0] as Record<'superuser' | 'creator' | 'owner' | 'schema_owner' | 'eraser', boolean>;
  if (found.superuser) return 'is a superuser';
  if (found.creator) return 'may make roles (CREATEROLE)';
  if (found.owner) return "is a member of muniment_owner, which owns the archive's tables";
  // The owner of a schema may drop what is in it, and the owner of a database owns `public` (pg_database_owner).
  if (found.schema_owner) return 'owns the database or its schema public';
  if (found.eraser) return 'has the rights of muniment_eraser without taking the role';
  return null;
}

async function refusePowerful(client: Client, login: string): Promise<void> {
  const fault = await faultOf(client, login);
  if (fault === null) return;
  throw new InputError(
    `the archive must not work as ${login}: that login ${fault}, and could change the ledger`,
    {
      hint: `Make a login with no rights of its own (CREATE ROLE archive LOGIN PASSWORD '…'), name it in the database URL, and keep ${login} for \`muniment db migrate --admin-url …\`.`,
    },
  );
}

/** @throws InputError when the login of this connection lacks the archive's rights, or has more than an archive must */
export async function requireLogin(client: Client): Promise<void> {
  const { rows } = await client.query(
    `SELECT current_user::text AS login,
            (SELECT pg_has_role(oid, 'USAGE') FROM pg_roles WHERE rolname = 'muniment_runtime') AS works`,
  );
  const { login, works } = rows[0] as { login: string; works: boolean | null };
  await refusePowerful(client, login);
  if (works !== true) {
    throw new InputError(`${login} has no rights in the archive's database`, {
      hint: `Run \`muniment db migrate --admin-url URL --runtime-user ${login}\` with an administrator's URL.`,
    });
  }
}
