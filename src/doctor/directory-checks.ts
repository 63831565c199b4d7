// Tries the write-once directory store, and says what it does not protect against.

import fs from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { openStore } from '../store/open.ts';
import { bad, type Check, gibibytes, good, note, stated } from './check.ts';

/** Below this, a run of media can fill the disk before anyone looks. */
const FREE_BYTES_WANTED = 1024 ** 3;

/** @throws ServiceError when there is no store in the directory */
export async function directoryChecks(path: string, clock: Clock): Promise<Check[]> {
  await using store = await openStore({ provider: 'directory', path }, { clock });
  return [
    tryWrites(path),
    stated(
      {
        id: 'store.lock.enabled',
        tried: 'what locks a payload',
        saw: `nothing: ${store.location} is a directory, and claims lock: none`,
        means:
          'Payloads are write-once by this program only: root, and the user that owns the files, could change or remove one. `verify` tells that it happened; nothing prevents it. Every bundle says so.',
      },
      'Where prevention is asked for, use a bucket with Object Lock as the store.',
    ),
    freeSpace('store.disk', path),
  ];
}

/** What a put rests on: a new file, made durable, linked once to a name that is taken from then on. */
function tryWrites(root: string): Check {
  const scratch = join(root, 'incoming', `doctor-${process.pid}`);
  const linked = `${scratch}.linked`;
  const id = 'store.write-once';
  const tried = `to write, sync and link a file in ${root}, and to link another to its name`;
  try {
    const fd = fs.openSync(scratch, 'wx', 0o440);
    try {
      fs.writeSync(fd, 'tried by muniment doctor\n');
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.linkSync(scratch, linked);
    try {
      fs.linkSync(scratch, linked);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const saw = 'it was written, and the second link refused';
      return good({ id, tried, saw, means: 'A payload that stands is never replaced by this program.' });
    }
    return bad(
      { id, tried, saw: 'the name could be taken twice', means: 'One payload could replace another.' },
      'This file system does not keep write-once promises. Move the payloads to ext4, XFS, ZFS or APFS.',
    );
  } catch (error) {
    return bad(
      { id, tried, saw: (error as Error).message, means: 'No payload can be stored.' },
      'The store needs a local file system with hard links, room, and write access for this user.',
    );
  } finally {
    fs.rmSync(scratch, { force: true });
    fs.rmSync(linked, { force: true });
  }
}

export function freeSpace(id: string, path: string): Check {
  const tried = `how much room is left at ${path}`;
  let free: number;
  try {
    const { bavail, bsize } = fs.statfsSync(path);
    free = bavail * bsize;
  } catch (error) {
    const means = 'It is not known how much room is left.';
    return note(
      { id, tried, saw: (error as Error).message, means },
      'Let the user of the archive reach that folder.',
    );
  }
  const told = { id, tried, saw: gibibytes(free) };
  if (free >= FREE_BYTES_WANTED)
    return good({ ...told, means: `More than ${gibibytes(FREE_BYTES_WANTED)} is left.` });
  return note(
    {
      ...told,
      means: `Less than ${gibibytes(FREE_BYTES_WANTED)} is left, and capture stops when the disk is full.`,
    },
    'Add space.',
  );
}
