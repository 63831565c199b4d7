// Packs the checkout as `npm pack` does, for the tests of what an agency installs.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '..', '..');

/** @returns path of the tarball in `folder`, and the paths in it, without the leading `package/` */
export async function pack(folder: string): Promise<{ tarball: string; files: string[]; bytes: number }> {
  // The tests' own coverage is not npm's.
  const { stdout } = await promisify(execFile)(
    'npm',
    ['pack', '--silent', '--json', '--pack-destination', folder],
    {
      cwd: ROOT,
      env: { ...process.env, NODE_V8_COVERAGE: '' },
    },
  );
  // Scripts that run before packing may have written lines of their own.
  const answer = JSON.parse(stdout.slice(stdout.search(/^[[{]/m))) as unknown;
  const [packed] = (Array.isArray(answer) ? answer : Object.values(answer as object)) as {
    filename: string;
    size: number;
    files: { path: string }[];
  }[];
  if (packed === undefined) throw new Error('npm pack made nothing');
  return {
    tarball: join(folder, packed.filename),
    files: packed.files.map((file) => file.path),
    bytes: packed.size,
  };
}
