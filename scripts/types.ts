// Regenerates src/db/types.ts and test/golden/schema.txt from a freshly migrated database. With `--check` it only compares.

import { readFile, writeFile } from 'node:fs/promises';
import { schemaText, typesText } from '../src/db/schema.ts';
import { freshDatabase } from '../test/support/postgres.ts';

const database = await freshDatabase();
let stale = false;
for (const [path, text] of [
  ['src/db/types.ts', await typesText(database.adminUrl)],
  ['test/golden/schema.txt', await schemaText(database.adminUrl)],
] as const) {
  if (!process.argv.includes('--check')) await writeFile(path, text);
  else if ((await readFile(path, 'utf8')) !== text) {
    stale = true;
    process.stderr.write(`${path} is not what the migrations make: run \`npm run types\`\n`);
  }
}
await database.close();
process.exitCode = stale ? 1 : 0;
