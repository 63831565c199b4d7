// A process that opens the embedded server of a home, says `open`, and lets go when its standard input ends.

import pg from 'pg';
import { openEmbedded } from '../../src/db/embedded.ts';

const home = process.argv[2];
if (home === undefined) throw new TypeError('usage: embedded-user.ts HOME');
await using server = await openEmbedded({ home });
const client = new pg.Client({ connectionString: server.adminUrl });
await client.connect();
await client
  .query('CREATE TABLE IF NOT EXISTS visits (pid integer PRIMARY KEY)')
  .catch((error: { code?: string }) => {
    // Two processes may create it at once: one of them is told so.
    if (!['23505', '42P07'].includes(error.code ?? '')) throw error;
  });
await client.query('INSERT INTO visits VALUES ($1)', [process.pid]);
await client.end();
process.stdout.write('open\n');
for await (const _ of process.stdin);
