// Which files of a home a backup takes as its settings. What the archive reads must come along, or there is no backup; what else lies under
// policies/ comes along where a restore can bring it back, and is told where it cannot.

import type { Dirent } from 'node:fs';
import { access, constants, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../core/errors.ts';
import { fitsManifest } from './manifest.ts';

/** Larger files are not settings. */
export const SETTINGS_LIMIT = 16 * 1024 * 1024;
/** Restore writes a file under a longer name first, and file systems end at 255. */
const NAME_BYTES = 200;

/** A file under policies/ that is not in the backup. */
export interface LeftOut {
  /** Below the home, with forward slashes. */
  readonly path: string;
  readonly why: string;
}

/**
 * @param read what the archive reads, below the home: links to such files are followed, no others
 * @returns what to take, below the home, with forward slashes. @throws InputError when something that the archive reads cannot be taken
 */
export async function settingsFiles(
  home: string,
  read: readonly string[],
): Promise<{ files: string[]; leftOut: LeftOut[] }> {
  const files = new Set(read);
  for (const path of read) {
    const fault = await faultOf(home, path);
    if (fault !== null)
      throw new InputError(`${join(home, path)} cannot be backed up: ${fault}`, {
        hint: 'The archive needs it, so there is no backup without it. Mend it, then make the backup.',
      });
  }
  const leftOut: LeftOut[] = [];
  for await (const { path, entry } of below(home)) {
    if (entry.isDirectory() || files.has(path)) continue;
    const fault = entry.isSymbolicLink()
      ? 'it is a link, and only policy files are taken through a link'
      : await faultOf(home, path);
    if (fault === null) files.add(path);
    else leftOut.push({ path, why: fault });
  }
  leftOut.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { files: [...files].sort(), leftOut };
}

/** @returns why a restore could not bring this file back, or null */
async function faultOf(home: string, path: string): Promise<string | null> {
  if (!fitsManifest(`settings/${path}`)) return 'its name has a character that no manifest can hold';
  if (path.split('/').some((part) => Buffer.byteLength(part) > NAME_BYTES))
    return `its name is longer than ${NAME_BYTES} bytes`;
  try {
    const status = await stat(join(home, path));
    if (!status.isFile()) return 'it is no file';
    if (status.size > SETTINGS_LIMIT) return 'it is larger than 16 MiB, and so no policy file';
    await access(join(home, path), constants.R_OK);
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? 'it is not there' : `it cannot be read (${code})`;
  }
}

/** Everything in the policies folder, down through folders but through no link: of a linked folder, the link. */
async function* below(home: string): AsyncGenerator<{ path: string; entry: Dirent }> {
  const entry = (await readdir(home, { withFileTypes: true })).find(({ name }) => name === 'policies');
  if (entry === undefined) return;
  // One that leads nowhere, a disk that is not there perhaps, looks to the archive like no policy at all.
  const status = await stat(join(home, entry.name)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ELOOP') return null;
    throw error;
  });
  if (!status?.isDirectory())
    throw new InputError(`${join(home, entry.name)} is no folder, nor a link to one`, {
      hint: 'Policies and holds lie there. Mend it, then make the backup.',
    });
  const waiting = [{ path: entry.name, entry }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    yield next;
    const { path } = next;
    // Not readdir's own recursion, which goes through links.
    if (!next.entry.isDirectory()) continue;
    for (const entry of await readdir(join(home, path), { withFileTypes: true }))
      waiting.push({ path: `${path}/${entry.name}`, entry });
  }
}
