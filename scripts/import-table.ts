// Has dependency-cruiser hold src/ to the import table (.dependency-cruiser.mjs). The parsers that it reads TypeScript with do not know
// `using` yet, so it is given the sources with their types stripped; imports of types are kept, since the table binds them too.

import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'muniment-imports-'));
try {
  const files = globSync('src/**/*.{ts,mjs}', { exclude: ['**/*.d.ts', '**/*.d.mts'] });
  for (const path of files) {
    const text = readFileSync(path, 'utf8');
    const stripped = path.endsWith('.mjs')
      ? text
      : stripTypeScriptTypes(text.replaceAll(/^(im|ex)port type \{/gm, '$1port {'));
    const target = join(folder, path.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, stripped.replaceAll(/(from '\.[^']*)\.ts'/g, "$1.js'"));
  }
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const cruise = resolve('node_modules/dependency-cruiser/bin/dependency-cruiser.mjs');
  const { status, stdout } = spawnSync(
    process.execPath,
    [cruise, '--config', resolve('.dependency-cruiser.mjs'), 'src'],
    {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  process.stdout.write(stdout);
  // A run that saw less than there is proves nothing.
  const seen = Number(/\((\d+) modules/.exec(stdout)?.[1] ?? /(\d+) modules/.exec(stdout)?.[1] ?? 0);
  if (seen < files.length) process.stderr.write(`only ${seen} modules were read, of ${files.length} files\n`);
  process.exitCode = status === 0 && seen >= files.length ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
