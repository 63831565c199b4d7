// Makes folders at places that people name.

import fs from 'node:fs';
import path from 'node:path';
import { InputError } from './errors.ts';

/**
 * Makes a folder and those above it that are missing, one by one: Node's own way of doing it never ends where a file system refuses (/proc).
 * @param mode of every folder made. @param onMade called for each, with the folder that it was made in
 */
export function makeFolder(folder: string, mode = 0o777, onMade: (parent: string) => void = () => {}): void {
  if (fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
  const parent = path.dirname(folder);
  if (parent !== folder) makeFolder(parent, mode, onMade);
  try {
    fs.mkdirSync(folder, { mode });
  } catch (error) {
    // Another process may have made it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !fs.statSync(folder).isDirectory()) throw error;
  }
  onMade(parent);
}

/** As {@link makeFolder}, at a place that was given with the command. @throws InputError when none can be made there */
export function makeNamedFolder(folder: string, mode?: number): void {
  try {
    makeFolder(folder, mode);
  } catch (cause) {
    throw new InputError(`cannot make the folder ${folder}: ${(cause as Error).message}`, {
      hint: 'Name a folder that you may make and write to, on a disk with room.',
      cause,
    });
  }
}
