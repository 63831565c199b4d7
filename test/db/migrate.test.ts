// Migrations and roles on a real server: who may do what to the ledger, asked of PostgreSQL itself.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { InputError, ServiceError } from '../../src/core/errors.ts';
import { openDatabase } from '../../src/db/database.ts';
import { migrate, requireSchema } from '../../src/db/migrate.ts';
import { schemaText } from '../../src/db/schema.ts';
import { freshDatabase, type OwnServer, startOwnServer } from '../support/postgres.ts';
import { isWhole } from '../support/whole.ts';

const FOLDER = fileURLToPath(new URL('../../migrations', import.meta.url));
const PASSWORD = 'only-in-tests';
const COUNT_OF_MIGRATIONS = readdirSync(FOLDER).filter((name) => name.endsWith('.sql')).length;

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Migrates a new database of a server that has no roles of Muniment yet, or has. */
async function newArchiveDatabase(server: OwnServer, name: string): Promise<string> {
  await server.ask('postgres', `CREATE ROLE ${name} LOGIN PASSWORD '${PASSWORD}'`, `CREATE DATABASE ${name}`);
  await migrate({ adminUrl: server.adminUrl(name), runtimeUser: name, folder: FOLDER });
  return server.urlOf(name, PASSWORD, name);
}

const AT_ONCE = isWhole ? 20 : 6;

test(`${AT_ONCE} migrations of fresh databases at once, on a server without the roles, end with one schema each and no error`, async (t) => {
  const server = await startOwnServer(t);
  const names = ['alpha', 'beta'];
  for (const name of names)
    await server.ask(
      'postgres',
      `CREATE ROLE ${name} LOGIN PASSWORD '${PASSWORD}'`,
      `CREATE DATABASE ${name}`,
    );
  const ran = await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, n) => {
      const name = names[n % 2] as string;
      return migrate({ adminUrl: server.adminUrl(name), runtimeUser: name, folder: FOLDER });
    }),
  );
  assert.equal(ran.flat().length, 2 * COUNT_OF_MIGRATIONS);
  const [first, second] = await Promise.all(names.map((name) => schemaText(server.adminUrl(name))));
  assert.equal(first, second);
  for (const name of names) {
    await using database = await openDatabase(server.urlOf(name, PASSWORD, name));
    await requireSchema(database, FOLDER);
  }
});

test('a database is migrated by a role that is no superuser: it may make roles and owns the database', async (t) => {
  const server = await startOwnServer(t);
  await server.ask(
    'postgres',
    `CREATE ROLE steward LOGIN CREATEROLE PASSWORD '${PASSWORD}'`,
    `CREATE ROLE archive LOGIN PASSWORD '${PASSWORD}'`,
    'CREATE DATABASE archive OWNER steward',
  );
  const adminUrl = server.urlOf('steward', PASSWORD, 'archive');
  assert.equal(
    (await migrate({ adminUrl, runtimeUser: 'archive', folder: FOLDER })).length,
    COUNT_OF_MIGRATIONS,
  );
  assert.deepEqual(await migrate({ adminUrl, runtimeUser: 'archive', folder: FOLDER }), []);
  // The server's superuser may take over: the tables of the migrator are the owner's, too.
  assert.deepEqual(
    await migrate({ adminUrl: server.adminUrl('archive'), runtimeUser: 'archive', folder: FOLDER }),
    [],
  );
  await using database = await openDatabase(server.urlOf('archive', PASSWORD, 'archive'));
  await requireSchema(database, FOLDER);
  await assert.rejects(
    migrate({
      adminUrl: server.urlOf('archive', PASSWORD, 'archive'),
      runtimeUser: 'archive',
      folder: FOLDER,
    }),
    InputError,
  );
});

test('a login that could change the ledger is refused as the login of an archive', async (t) => {
  const server = await startOwnServer(t);
  const url = await newArchiveDatabase(server, 'archive');
  const refused = async (pattern: RegExp): Promise<void> => {
    await using database = await openDatabase(url);
    await assert.rejects(requireSchema(database, FOLDER), { name: 'InputError', message: pattern });
  };
  for (const [make, undo, pattern] of [
    ['ALTER ROLE archive SUPERUSER', 'ALTER ROLE archive NOSUPERUSER', /superuser/],
    ['ALTER ROLE archive CREATEROLE', 'ALTER ROLE archive NOCREATEROLE', /CREATEROLE/],
    ['GRANT muniment_owner TO archive', 'REVOKE muniment_owner FROM archive', /muniment_owner/],
    [
      'ALTER DATABASE archive OWNER TO archive',
      'ALTER DATABASE archive OWNER TO postgres',
      /owns the database/,
    ],
    ['REVOKE muniment_runtime FROM archive', 'GRANT muniment_runtime TO archive', /no rights/],
  ] as const) {
    await server.ask('archive', make);
    await refused(pattern);
    await server.ask('archive', undo);
  }
  await server.ask('archive', 'CREATE ROLE heir', 'GRANT muniment_eraser TO heir', 'GRANT heir TO archive');
  await refused(/muniment_eraser without/);
  await server.ask('archive', 'REVOKE heir FROM archive');
  await using database = await openDatabase(url);
  await requireSchema(database, FOLDER);
  await assert.rejects(
    migrate({ adminUrl: server.adminUrl('archive'), runtimeUser: 'postgres', folder: FOLDER }),
    { name: 'InputError', message: /superuser/ },
  );
  await assert.rejects(
    migrate({ adminUrl: server.adminUrl('archive'), runtimeUser: 'nobody_here', folder: FOLDER }),
    { name: 'InputError', message: /no login nobody_here/ },
  );
});

test('migrating twice does nothing', async () => {
  const fresh = await freshDatabase();
  try {
    const before = await schemaText(fresh.adminUrl);
    assert.deepEqual(
      await migrate({ adminUrl: fresh.adminUrl, runtimeUser: 'muniment_test', folder: FOLDER }),
      [],
    );
    assert.equal(await schemaText(fresh.adminUrl), before);
  } finally {
    await fresh.close();
  }
});

test('a schema newer than this Muniment is refused, by migration and at every start', async () => {
  const fresh = await freshDatabase();
  try {
    await withClient(fresh.adminUrl, (client) =>
      client.query("INSERT INTO kysely_migration (name, timestamp) VALUES ('9999_future', now()::text)"),
    );
    const newer = { name: 'InputError', message: /newer schema \(9999_future\)/ };
    await assert.rejects(
      migrate({ adminUrl: fresh.adminUrl, runtimeUser: 'muniment_test', folder: FOLDER }),
      newer,
    );
    await using database = await openDatabase(fresh.runtimeUrl);
    await assert.rejects(requireSchema(database, FOLDER), newer);
  } finally {
    await fresh.close();
  }
});

test('a migration that fails leaves nothing of itself', async (t) => {
  const server = await startOwnServer(t);
  await server.ask('postgres', `CREATE ROLE archive LOGIN PASSWORD '${PASSWORD}'`, 'CREATE DATABASE archive');
  await server.ask('archive', 'CREATE TABLE bundles (taken text)');
  const migrated = migrate({ adminUrl: server.adminUrl('archive'), runtimeUser: 'archive', folder: FOLDER });
  await assert.rejects(migrated, ServiceError);
  await withClient(server.adminUrl('archive'), async (client) => {
    const { rows } = await client.query(
      "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'kysely%'",
    );
    assert.deepEqual(rows, [{ relname: 'bundles' }]);
  });
});

const CHANGES = {
  UPDATE: (table: string) => `UPDATE ${table} SET seq = seq`,
  DELETE: (table: string) => `DELETE FROM ${table}`,
  TRUNCATE: (table: string) => `TRUNCATE ${table} CASCADE`,
};
const APPEND_ONLY = ['ledger_entries', 'entry_bodies', 'records', 'capture_runs', 'record_states', 'bundles'];
const NO_RIGHT = { code: '42501' };

test('the ledger can only grow: for the runtime role by grant, for the owner and a superuser by trigger', async () => {
  const fresh = await freshDatabase();
  try {
    await withClient(fresh.runtimeUrl, async (client) => {
      for (const table of APPEND_ONLY)
        for (const change of Object.values(CHANGES))
          await assert.rejects(client.query(change(table)), { ...NO_RIGHT, message: /permission denied/ });
      await assert.rejects(client.query('ALTER TABLE ledger_entries DISABLE TRIGGER ALL'), NO_RIGHT);
      await assert.rejects(client.query('DROP TABLE ledger_entries'), NO_RIGHT);
      await assert.rejects(client.query('CREATE TABLE mine (x text)'), NO_RIGHT);
      await assert.rejects(client.query('SET ROLE muniment_owner'), NO_RIGHT);
      await assert.rejects(client.query('SET session_replication_role = replica'), NO_RIGHT);
    });
    await withClient(fresh.adminUrl, async (client) => {
      for (const role of ['muniment_owner', 'NONE']) {
        await client.query(`SET ROLE ${role}`);
        for (const table of APPEND_ONLY)
          for (const change of Object.values(CHANGES))
            await assert.rejects(client.query(change(table)), { ...NO_RIGHT, message: /is append-only/ });
      }
    });
  } finally {
    await fresh.close();
  }
});

test('nobody logs in as owner, runtime or eraser', async () => {
  const fresh = await freshDatabase();
  try {
    await withClient(fresh.adminUrl, async (client) => {
      const { rows } = await client.query(
        "SELECT rolname, rolcanlogin, rolsuper FROM pg_roles WHERE rolname IN ('muniment_owner', 'muniment_runtime', 'muniment_eraser') ORDER BY rolname",
      );
      assert.deepEqual(
        rows,
        ['muniment_eraser', 'muniment_owner', 'muniment_runtime'].map((rolname) => ({
          rolname,
          rolcanlogin: false,
          rolsuper: false,
        })),
      );
    });
  } finally {
    await fresh.close();
  }
});

test('erasing needs the eraser’s role, lasts no longer than its transaction, and erases without rewriting', async (t) => {
  const server = await startOwnServer(t);
  const url = await newArchiveDatabase(server, 'archive');
  const commitment = 'c'.repeat(64);
  const ERASE = `UPDATE payloads SET salt = NULL, sha256 = NULL WHERE commitment = '${commitment}'`;
  await withClient(url, async (client) => {
    await client.query(`INSERT INTO ledger_entries VALUES (0, '\\x00', decode(repeat('00', 32), 'hex'))`);
    await client.query(
      `INSERT INTO payloads VALUES ($1, 0, gen_random_uuid(), NULL, 'slice', 'text/plain', 3, '\\x01', 'abc')`,
      [commitment],
    );
    await assert.rejects(client.query(ERASE), NO_RIGHT);
    await assert.rejects(client.query('UPDATE snapshots SET text = NULL'), NO_RIGHT);
    await assert.rejects(client.query('UPDATE record_identities SET platform_id = NULL'), NO_RIGHT);

    await client.query('BEGIN');
    await client.query('SET LOCAL ROLE muniment_eraser');
    for (const forbidden of [
      `UPDATE payloads SET sha256 = 'other'`,
      `UPDATE payloads SET length = 4`,
      'DELETE FROM payloads',
      'TRUNCATE payloads CASCADE',
      `INSERT INTO ledger_entries VALUES (1, '\\x00', decode(repeat('00', 32), 'hex'))`,
      'UPDATE ledger_head SET size = 0',
      'DELETE FROM ledger_entries',
      'SELECT entry FROM ledger_entries',
    ]) {
      await client.query('SAVEPOINT here');
      await assert.rejects(client.query(forbidden), NO_RIGHT, forbidden);
      await client.query('ROLLBACK TO here');
    }
    assert.equal((await client.query(ERASE)).rowCount, 1);
    await client.query('COMMIT');

    const { rows } = await client.query('SELECT salt, sha256, length FROM payloads');
    assert.deepEqual(rows, [{ salt: null, sha256: null, length: 3 }]);
    await assert.rejects(client.query(ERASE), NO_RIGHT);
  });
});
