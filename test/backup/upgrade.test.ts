// An archive outlives the software that made it: one from the first commit whose capture worked, taken over by today's code; and moved from
// one major version of PostgreSQL to another and back, by backup and restore.

import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { MIGRATIONS, openArchive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { migrate } from '../../src/db/migrate.ts';
import { migrateDatabase, searchRecords } from '../../src/operations.ts';
import { verifyArchiveOf } from '../support/archive.ts';
import { type OwnServer, startOwnServer } from '../support/postgres.ts';
import { environmentWith, openRestored, restoreFrom, takeBackupOf, workFolder } from './support.ts';

interface FirstArchive {
  readonly commit: string;
  readonly size: number;
  readonly root: string;
  readonly payloads: { readonly intact: number };
  readonly schema: string[];
  /** base64 by path in the home */
  readonly files: Record<string, string>;
  /** COPY text by table, a table after those that it refers to */
  readonly tables: Record<string, string>;
}

const FIXTURE = join(import.meta.dirname, '..', 'fixtures', 'first-archive.json.gz');
const PASSWORD = 'only-in-tests';
const REFERENCE = `\${ARCHIVE_URL}`;

/** Programs' folder of another major version than the embedded one's. */
function otherPostgres(): string | null {
  const given = process.env.MUNIMENT_TEST_POSTGRESQL;
  if (given !== undefined && given !== '') return given;
  return (
    globSync('/usr/lib/postgresql/{15,16,17}/bin').find((path) => existsSync(join(path, 'initdb'))) ?? null
  );
}

async function versionOf(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query(
      "SELECT current_setting('server_version_num')::integer / 10000 AS major",
    );
    return (rows[0] as { major: number }).major;
  } finally {
    await client.end();
  }
}

describe('the archive of the first commit', () => {
  let first: FirstArchive;
  before(async () => {
    first = JSON.parse(gunzipSync(await readFile(FIXTURE)).toString('utf8')) as FirstArchive;
  });

  /** The archive as it was left: its home, and its database under its own schema. */
  async function asItWas(server: OwnServer, home: string): Promise<Record<string, string>> {
    await server.ask('postgres', `CREATE ROLE archive LOGIN PASSWORD '${PASSWORD}'`, 'CREATE DATABASE first');
    const adminUrl = server.adminUrl('first');
    await migrate({ adminUrl, runtimeUser: 'archive', folder: MIGRATIONS, to: first.schema.at(-1) });
    const client = new pg.Client({ connectionString: adminUrl });
    await client.connect();
    for (const [table, text] of Object.entries(first.tables))
      await pipeline(Readable.from([text]), client.query(copyFrom(`COPY "${table}" FROM STDIN`)));
    await client.end();
    for (const [path, bytes] of Object.entries(first.files)) {
      await mkdir(dirname(join(home, path)), { recursive: true });
      await writeFile(join(home, path), Buffer.from(bytes, 'base64'));
    }
    const settings = join(home, 'muniment.yaml');
    await writeFile(settings, `${await readFile(settings, 'utf8')}database: { url: "${REFERENCE}" }\n`);
    return { ARCHIVE_URL: server.urlOf('archive', PASSWORD, 'first') };
  }

  test('is refused before it is migrated, then verifies to its own root, is searched and goes on', async (t) => {
    const folder = await workFolder(t);
    const home = join(folder, 'home');
    const server = await startOwnServer(t);
    const variables = await asItWas(server, home);
    await assert.rejects(openArchive(home, environmentWith(variables), systemClock), /lacks \d+ migrations?/);
    const ran = await migrateDatabase(server.adminUrl('first'), 'archive');
    assert.ok(ran.length >= 2 && !ran.includes('0001_archive'), ran.join());
    const archive = await openRestored(t, home, variables);
    const found = await verifyArchiveOf(archive);
    assert.deepEqual([found.ok, found.problems], [true, []]);
    assert.deepEqual([found.size, found.root, found.unsigned], [first.size, first.root, 0]);
    assert.equal(found.payloads.intact, first.payloads.intact);
    const { total } = await searchRecords(archive, { text: 'friday' } as Parameters<typeof searchRecords>[1]);
    assert.equal(total, 1);
    await archive.ledger.write(archive.account.id, async (batch) => {
      batch.addWithBody({ type: 'sealed' }, 'note', 'written by today');
    });
    assert.equal((await archive.checkpoint())?.size, first.size + 1);
    assert.equal((await verifyArchiveOf(archive)).ok, true);
  });

  test('moves to another major version of PostgreSQL and back, by backup and restore', async (t) => {
    const programs = otherPostgres();
    if (programs === null) {
      t.skip(
        'no other PostgreSQL here: install one (Debian: postgresql-15), or name its programs by MUNIMENT_TEST_POSTGRESQL',
      );
      return;
    }
    const folder = await workFolder(t);
    const home = join(folder, 'home');
    // Not the variable's version: the one that npm brought.
    const { MUNIMENT_TEST_POSTGRESQL: given } = process.env;
    delete process.env.MUNIMENT_TEST_POSTGRESQL;
    const ours = await startOwnServer(t);
    if (given !== undefined) process.env.MUNIMENT_TEST_POSTGRESQL = given;
    const theirs = await startOwnServer(t, { programs });
    const versions = [await versionOf(ours.adminUrl()), await versionOf(theirs.adminUrl())];
    t.diagnostic(`PostgreSQL ${versions.join(' to ')} and back`);
    if (versions[0] === versions[1]) {
      t.skip(`both servers are PostgreSQL ${versions[0]}`);
      return;
    }
    const variables = await asItWas(ours, home);
    await migrateDatabase(ours.adminUrl('first'), 'archive');
    await theirs.ask('postgres', `CREATE ROLE archive LOGIN PASSWORD '${PASSWORD}'`);
    let archive = await openRestored(t, home, variables);
    for (const [n, server] of [theirs, ours].entries()) {
      const backup = join(folder, `backup ${n}`);
      const again = join(folder, `again ${n}`);
      const database = `moved_${n}`;
      await takeBackupOf(archive, backup);
      await server.ask('postgres', `CREATE DATABASE ${database}`);
      const there = { ARCHIVE_URL: server.urlOf('archive', PASSWORD, database) };
      // A database that nobody has migrated: restore makes its schema with the administrator's URL.
      const restored = await restoreFrom(
        backup,
        again,
        { nothingLater: true, adminUrl: server.adminUrl(database) },
        { variables: there },
      );
      assert.equal(restored.finished.losses, 0);
      archive = await openRestored(t, again, there);
      const found = await verifyArchiveOf(archive);
      assert.deepEqual([found.ok, found.problems], [true, []]);
      assert.equal(found.payloads.intact, first.payloads.intact);
    }
    const { rows } = await archive.database.pool.query("SELECT text FROM snapshots WHERE text LIKE '%🎉'");
    assert.deepEqual(rows, [{ text: 'مرحبا 🎉' }]);
  });
});
