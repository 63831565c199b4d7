// What the archive's login, and the eraser that disposition becomes, may do in the database: tried by statement and compared with what each
// needs. A new table that is not only appended to is named here.

import type pg from 'pg';
import { sqlState } from './fault.ts';

type Client = Pick<pg.ClientBase, 'query'>;
type Privilege = 'UPDATE' | 'DELETE' | 'TRUNCATE' | 'REFERENCES' | 'TRIGGER';
type Needs = Readonly<Record<string, readonly Privilege[]>>;

/** Tables that are only appended to, and the trigger that holds even their owner to it. */
const APPEND_ONLY: Readonly<Record<string, 'append_only' | 'no_removal'>> = {
  ledger_entries: 'append_only',
  ledger_subtrees: 'append_only',
  checkpoints: 'append_only',
  entry_bodies: 'append_only',
  capture_runs: 'append_only',
  records: 'append_only',
  record_sources: 'append_only',
  record_states: 'append_only',
  payload_destructions: 'append_only',
  bundles: 'append_only',
  snapshots: 'no_removal',
  payloads: 'no_removal',
  record_identities: 'no_removal',
};
/** Tables whose rows are erased, never rewritten, and a column that shows it. */
const ERASABLE: Readonly<Record<string, string>> = {
  snapshots: 'text',
  payloads: 'sha256',
  record_identities: 'platform_id',
};

const RUNTIME_NEEDS: Needs = {
  ledger_head: ['UPDATE'],
  accounts: ['UPDATE'],
  sources: ['UPDATE'],
  sightings: ['UPDATE', 'DELETE'],
  source_states: ['UPDATE', 'DELETE'],
  payload_versions: ['UPDATE'],
  payload_locks: ['UPDATE', 'DELETE'],
  runs_begun: ['UPDATE', 'DELETE'],
  units_spent: ['UPDATE'],
  run_health: ['UPDATE'],
  alerts_told: ['UPDATE', 'DELETE'],
  hosts_left_alone: ['UPDATE', 'DELETE'],
  record_tags: ['UPDATE', 'DELETE'],
};
const ERASER_NEEDS: Needs = {
  snapshots: ['UPDATE'],
  payloads: ['UPDATE'],
  record_identities: ['UPDATE'],
  sightings: ['DELETE'],
  payload_versions: ['DELETE'],
  payload_locks: ['DELETE'],
  record_tags: ['DELETE'],
};

const ERASER = 'muniment_eraser';
const REFUSED = '42501'; // insufficient_privilege: by grant, or by our triggers

/**
 * Tries, as the archive's login and as the eraser, to change what may only be appended to. Each statement is taken back, and none of them
 * has a row to change but the last kind, which needs one.
 * @returns the statements that the database let through, and how many it refused
 */
export async function tryChanges(client: Client): Promise<{ refused: number; allowed: string[] }> {
  const statements: { role: string | null; text: string }[] = [];
  for (const table of Object.keys(APPEND_ONLY)) {
    const column = await firstColumn(client, table);
    statements.push({ role: null, text: `UPDATE ${table} SET ${column} = ${column} WHERE false` });
    statements.push({ role: null, text: `DELETE FROM ${table} WHERE false` });
    statements.push({ role: null, text: `TRUNCATE ${table} CASCADE` });
  }
  for (const text of [
    'UPDATE ledger_entries SET leaf = leaf WHERE false',
    'DELETE FROM ledger_entries WHERE false',
    'DELETE FROM snapshots WHERE false',
    'DELETE FROM payloads WHERE false',
  ])
    statements.push({ role: ERASER, text });
  for (const [table, column] of Object.entries(ERASABLE)) {
    const row = `ctid = (SELECT ctid FROM ${table} WHERE ${column} IS NOT NULL LIMIT 1)`;
    const text = `UPDATE ${table} SET ${column} = ${column} || '-' WHERE ${row}`;
    if (await holds(client, `EXISTS (SELECT FROM ${table} WHERE ${column} IS NOT NULL)`))
      statements.push({ role: ERASER, text });
  }
  const allowed: string[] = [];
  for (const { role, text } of statements) {
    if (!(await isRefused(client, role, text)))
      allowed.push(`${text.replace(/ WHERE.*| SET.*| CASCADE/, '')}${role === null ? '' : ` as ${role}`}`);
  }
  return { refused: statements.length - allowed.length, allowed };
}

async function firstColumn(client: Client, table: string): Promise<string> {
  const { rows } = await client.query(
    'SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum = 1',
    [`public.${table}`],
  );
  return (rows[0] as { name: string }).name;
}

async function isRefused(client: Client, role: string | null, statement: string): Promise<boolean> {
  await client.query('BEGIN');
  try {
    // A statement that is let through must not wait for, nor hold up, the work of others.
    await client.query("SET LOCAL lock_timeout = '2s'");
    if (role !== null) await client.query(`SET LOCAL ROLE ${role}`);
    await client.query(statement);
    return false;
  } catch (error) {
    if (sqlState(error) === REFUSED) return true;
    throw error;
  } finally {
    await client.query('ROLLBACK');
  }
}

/** @returns tables whose trigger against changes is gone or switched off */
export async function missingTriggers(client: Client): Promise<string[]> {
  const { rows } = await client.query(
    `SELECT c.relname AS table, t.tgname AS name FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
      WHERE c.relnamespace = 'public'::regnamespace AND t.tgenabled IN ('O', 'A')`,
  );
  const present = new Set(
    (rows as { table: string; name: string }[]).map((row) => `${row.table}.${row.name}`),
  );
  const wanted = [
    ...Object.entries(APPEND_ONLY).map(([table, name]) => `${table}.${name}`),
    ...Object.keys(ERASABLE).map((table) => `${table}.only_erase`),
  ];
  return wanted.filter((name) => !present.has(name));
}

/** What a login may do beyond what it needs, and what it lacks, a phrase each. */
export interface GrantFaults {
  readonly login: string;
  readonly excess: string[];
  readonly lacking: string[];
}

export async function grantFaults(client: Client): Promise<GrantFaults> {
  const { rows } = await client.query(
    `SELECT rolname AS login, rolsuper AS "is superuser", rolcreaterole AS "may make roles", rolcreatedb AS "may make databases",
            rolreplication AS "may replicate", rolbypassrls AS "bypasses row security",
            has_schema_privilege(oid, 'public', 'CREATE') AS "may make tables in public",
            pg_has_role(oid, 'muniment_owner', 'MEMBER') AS "is a member of muniment_owner",
            pg_has_role(oid, 'muniment_eraser', 'USAGE') AS "has the eraser's rights without taking its role"
       FROM pg_roles WHERE rolname = current_user`,
  );
  const { login, ...attributes } = rows[0] as { login: string } & Record<string, boolean>;
  const excess = Object.entries(attributes)
    .filter(([, has]) => has)
    .map(([what]) => `${login} ${what}`);
  const lacking: string[] = [];
  for (const [role, needs] of [
    [login, RUNTIME_NEEDS],
    [ERASER, ERASER_NEEDS],
  ] as const) {
    const found = await privilegesOf(client, role);
    for (const { table, privilege } of found)
      if (!needs[table]?.includes(privilege)) excess.push(`${role} has ${privilege} on ${table}`);
    for (const [table, privileges] of Object.entries(needs))
      for (const privilege of privileges)
        if (!found.some((one) => one.table === table && one.privilege === privilege))
          lacking.push(`${role} lacks ${privilege} on ${table}`);
  }
  for (const table of Object.keys(APPEND_ONLY))
    for (const privilege of ['SELECT', 'INSERT'])
      if (!(await holds(client, `has_table_privilege('public.${table}', '${privilege}')`)))
        lacking.push(`${login} lacks ${privilege} on ${table}`);
  if (!(await holds(client, "pg_has_role('muniment_eraser', 'MEMBER')")))
    lacking.push(`${login} cannot become muniment_eraser, so nothing could be destroyed lawfully`);
  return { login, excess, lacking };
}

/** Privileges beyond reading and adding; one on a single column counts. */
async function privilegesOf(
  client: Client,
  role: string,
): Promise<{ table: string; privilege: Privilege }[]> {
  const { rows } = await client.query(
    `SELECT c.relname AS table, p AS privilege
       FROM pg_class c, unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND (has_table_privilege($1::name, c.oid, p) OR (p IN ('UPDATE', 'REFERENCES') AND has_any_column_privilege($1::name, c.oid, p)))
      ORDER BY 1, 2`,
    [role],
  );
  return rows as { table: string; privilege: Privilege }[];
}

async function holds(client: Client, question: string): Promise<boolean> {
  const { rows } = await client.query(`SELECT (${question}) AS holds`);
  return (rows[0] as { holds: boolean }).holds;
}
