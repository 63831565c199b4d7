// Where the embedded server's data and socket lie. Data lie under the archive's home; only what the server's user can't reach there
// (root's own folders) lies in /var/lib/muniment, and then the home notes where.

import { createHash, randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  cp,
  lchown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InputError, RefusedError, ServiceError } from '../core/errors.ts';
import { SYSTEM_FOLDER } from './embedded-programs.ts';
import { removeForeignPidFile, runningServer } from './embedded-server.ts';
import { inTurn } from './embedded-turn.ts';
import { canEnter, isRoot, type ServerUser, serverUser } from './embedded-user.ts';

export interface Place {
  /** The data folder; it may not exist yet. */
  readonly data: string;
  /** Folder around `data` for the server's log. */
  readonly folder: string;
  readonly user: ServerUser;
}

interface Location {
  home: string;
  folder: string;
}

export const turnsOf = (home: string): string => join(home, 'postgres', 'turns');

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

const asText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

async function giveTo(user: ServerUser, path: string): Promise<void> {
  await lchown(path, user.uid, user.gid);
  if (!(await lstat(path)).isDirectory()) return;
  for (const name of await readdir(path)) await giveTo(user, join(path, name));
}

async function newFolder(home: string): Promise<string> {
  const id = `${createHash('sha256').update(home).digest('hex').slice(0, 12)}-${randomBytes(4).toString('hex')}`;
  const folder = join(SYSTEM_FOLDER, id);
  for (const path of [SYSTEM_FOLDER, folder]) {
    await mkdir(path, { recursive: true });
    await chmod(path, 0o755);
  }
  return folder;
}

/** Notes first at the data, then in the home: a home never names a folder that does not name it back. */
async function note(home: string, folder: string): Promise<void> {
  await writeWhole(join(folder, 'home.json'), asText({ home }));
  await writeWhole(join(home, 'postgres', 'location.json'), asText({ home, folder } satisfies Location));
}

async function copyFrom(home: string, original: string, folder: string): Promise<string> {
  const copy = await newFolder(home);
  // In the original's own turn, so that nobody starts it while it is copied.
  await inTurn(turnsOf(original), async () => {
    if ((await runningServer(join(folder, 'data'))) !== null) {
      await rm(copy, { recursive: true });
      throw new RefusedError(
        `${home} is a copy of ${original}, whose database is running and can't be copied now`,
        {
          hint: `Stop the original first (\`muniment db stop\` with MUNIMENT_HOME=${original}), then run this again.`,
        },
      );
    }
    await cp(join(folder, 'data'), join(copy, 'data.new'), {
      recursive: true,
      verbatimSymlinks: true,
      preserveTimestamps: true,
    });
    await giveTo(await serverUser(join(folder, 'data')), join(copy, 'data.new'));
    await chmod(join(copy, 'data.new'), 0o700);
    await rename(join(copy, 'data.new'), join(copy, 'data'));
  });
  await note(home, copy);
  return copy;
}

/** The folder outside the home that `location.json` names: this home's own, taken over from a home that moved, or copied. */
async function outsideFolder(home: string, location: Location): Promise<string> {
  const owner = await readOrNull(join(location.folder, 'home.json'));
  if (owner === null) {
    throw new ServiceError(`the database of ${home} should lie in ${location.folder}, and is not there`, {
      hint: `Bring ${location.folder} back (from the machine or backup this home comes from), then run this again. Where \`muniment db remove\` removed it, only the folder ${home} is left to remove.`,
    });
  }
  const original = (JSON.parse(owner) as { home: string }).home;
  if (original === home) return location.folder;
  const theirs = await readOrNull(join(original, 'postgres', 'location.json'));
  if (theirs !== null && (JSON.parse(theirs) as Location).folder === location.folder) {
    return (await isFolder(join(location.folder, 'data')))
      ? copyFrom(home, original, location.folder)
      : newNotedFolder(home);
  }
  await note(home, location.folder);
  return location.folder;
}

/** Whether the home notes a folder outside it, and that is gone: it was removed, or lies on another machine. @param home real path */
export async function isPlaceGone(home: string): Promise<boolean> {
  const location = await readOrNull(join(home, 'postgres', 'location.json'));
  if (location === null) return false;
  return (await readOrNull(join((JSON.parse(location) as Location).folder, 'home.json'))) === null;
}

async function newNotedFolder(home: string): Promise<string> {
  const folder = await newFolder(home);
  await note(home, folder);
  return folder;
}

/**
 * Finds or makes the place of this home's server. Runs within the home's turn. @param home real path
 * @throws RefusedError when the home is a copy of one whose server runs, ServiceError when the noted folder is gone
 */
export async function findPlace(home: string): Promise<Place> {
  // pg_ctl hands the path to a shell within double quotes.
  if (/["$`\\\n]/.test(home)) {
    throw new InputError(
      `the home ${home} has one of the characters " $ \` \\ in its path, which PostgreSQL's pg_ctl can't take`,
      {
        hint: 'Give the archive a home without them.',
      },
    );
  }
  const own = join(home, 'postgres');
  const location = await readOrNull(join(own, 'location.json'));
  let folder = own;
  if (location !== null) folder = await outsideFolder(home, JSON.parse(location) as Location);
  else if (isRoot()) {
    const inside = (await isFolder(join(own, 'data'))) ? join(own, 'data') : null;
    if (!(await canEnter(await serverUser(inside), own))) {
      folder = await newNotedFolder(home);
      if (inside !== null) await moveOut(inside, folder);
    }
  }
  const data = join(folder, 'data');
  const present = await isFolder(data);
  const user = await serverUser(present ? data : null);
  if (present) {
    if (isRoot() && (await stat(data)).uid === 0) await giveTo(user, data);
    await removeForeignPidFile(data);
  }
  return { data, folder, user };
}

/** Data of a home that its owner has closed since: they go where the server can reach them. */
async function moveOut(data: string, folder: string): Promise<void> {
  if ((await runningServer(data)) !== null) {
    throw new RefusedError(
      `the database in ${data} is running, but its user can no longer enter that folder`,
      {
        hint: `Open the folders above to the database's user, such as \`chmod o+x ${dirname(dirname(data))}\`.`,
      },
    );
  }
  await cp(data, join(folder, 'data.new'), {
    recursive: true,
    verbatimSymlinks: true,
    preserveTimestamps: true,
  });
  await giveTo(await serverUser(data), join(folder, 'data.new'));
  await chmod(join(folder, 'data.new'), 0o700);
  await rename(join(folder, 'data.new'), join(folder, 'data'));
  await rm(data, { recursive: true });
}

/**
 * Makes the private folder of the socket. It lies in /tmp because a socket's path may have only about a hundred bytes; anyone can
 * make files there, so a folder that is not wholly the server's own is refused.
 * @throws RefusedError when somebody else made it
 */
export async function socketFolder(place: Place): Promise<string> {
  const hash = createHash('sha256').update(place.data).digest('hex').slice(0, 12);
  const folder = `/tmp/muniment-${place.user.uid}-${hash}`;
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const found = await lstat(folder);
  // Root's own folder is one that was made and not yet given away.
  if (found.isDirectory() && (found.mode & 0o077) === 0 && isRoot() && found.uid === 0) {
    await chown(folder, place.user.uid, place.user.gid);
    return folder;
  }
  if (!found.isDirectory() || found.uid !== place.user.uid || (found.mode & 0o777) !== 0o700) {
    throw new RefusedError(`${folder} is not a private folder of the database's user (${place.user.uid})`, {
      hint: `Find out who made it; remove it, then run this again.`,
    });
  }
  return folder;
}
