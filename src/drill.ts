// A drill: an archive restored beside the living one, to prove a backup. Two homes that work under one key would sign two logs, so this one
// only reads. A file in its home says so, with what its database, in which nothing is entered, cannot say.

import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { parsedJson } from './core/canonical.ts';
import { InputError, RefusedError } from './core/errors.ts';

const drillFile = z.object({
  /** Id of the backup, and when that was made. */
  backup: z.string(),
  madeAt: z.string(),
  /** The signed note of the last checkpoint that is known to fit: a drill has no head of its own. */
  checkpoint: z.string(),
  /** As a `restore.performed` would say it: of `replayed` entries from `size` on, so many came without their bodies. */
  size: z.int(),
  replayed: z.int(),
  lostBodies: z.int(),
});

export type Drill = z.infer<typeof drillFile>;

/** @returns null where the home is no drill. @throws InputError when the file says nothing that can be read */
export async function readDrill(file: string): Promise<Drill | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const read = drillFile.safeParse(parsedJson(Buffer.from(text)));
  if (read.success) return read.data;
  throw new InputError(`${file} says that this home is a drill, and is damaged`, {
    hint: 'Nothing in a drill is worth mending: run `muniment db remove` there, remove the folder, and restore the backup with --drill again.',
    cause: read.error,
  });
}

/** @throws RefusedError when the home is a drill */
export function refuseInDrill(home: string, drill: Drill | null): void {
  if (drill === null) return;
  throw new RefusedError(
    `${home} is a drill of the backup ${drill.backup}: it can be read and verified, and nothing else`,
    {
      hint: 'Do this in the archive itself. Where that is lost, restore the backup without --drill, into another home.',
    },
  );
}
