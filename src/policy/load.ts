// Reads the policy files of a home: schedules/*.yaml, holds/*.yaml and alerts/*.yaml. One bad file fails the whole: a hold that cannot be read must not
// be taken for one that is not there.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../core/errors.ts';
import {
  parseYaml,
  readYamlText,
  type YamlDocument,
  YamlFileError,
  type YamlProblem,
} from '../core/yaml-file.ts';
import type { Policy } from './decide.ts';
import { type Hold, holdSchema, type Schedule, scheduleSchema } from './schedule.ts';
import { type WatchFile, watchSchema } from './watch.ts';

const ROOMS = ['alerts', 'holds', 'schedules'] as const;

export interface PolicyFile {
  /** Below the policies folder, with forward slashes: `schedules/city.yaml`. */
  readonly path: string;
  readonly text: string;
}

/** A file's content, and where in the file each value stands. */
export type Located<T> = YamlDocument<T> & {
  /** As messages name the file. */
  readonly file: string;
};

export interface LocatedPolicy {
  readonly schedules: readonly Located<Schedule>[];
  readonly holds: readonly Located<Hold>[];
  readonly watch: readonly Located<WatchFile>[];
}

/** @returns the files as they stand, sorted by path, and what is wrong with those that cannot be read */
export async function readPolicyFolder(
  folder: string,
): Promise<{ files: PolicyFile[]; problems: YamlProblem[] }> {
  const files: PolicyFile[] = [];
  const problems: YamlProblem[] = [];
  for (const path of await policyPaths(folder)) {
    try {
      files.push({ path, text: await readYamlText(join(folder, path)) });
    } catch (error) {
      problems.push(...problemsOf(error));
    }
  }
  return { files, problems };
}

/** @returns where the policy files lie, below the folder, with forward slashes */
export async function policyPaths(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for (const room of ROOMS) {
    for (const name of (await namesIn(join(folder, room))).filter(isPolicyName))
      paths.push(`${room}/${name}`);
  }
  return paths;
}

/** @returns the files as they stand, sorted by path. @throws YamlFileError with every file that cannot be read */
export async function readPolicyFiles(folder: string): Promise<PolicyFile[]> {
  const { files, problems } = await readPolicyFolder(folder);
  if (problems.length > 0) throw new YamlFileError(problems);
  return files;
}

/** @returns paths of what lies beside the policy files and is none of them: perhaps a hold that somebody misnamed */
export async function unreadPaths(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for (const room of ROOMS) {
    for (const name of await namesIn(join(folder, room))) {
      if (!isPolicyName(name) && !name.startsWith('.') && !/^readme/i.test(name))
        paths.push(join(folder, room, name));
    }
  }
  return paths;
}

/** Editors' lock files (`.#city.yaml`) come and go beside a file that is being written. */
function isPolicyName(name: string): boolean {
  return /\.ya?ml$/i.test(name) && !name.startsWith('.#');
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new InputError(`${folder} cannot be read: ${(error as Error).message}`, {
      hint: 'It must be a folder that this user may read; until then nothing may be destroyed.',
      cause: error,
    });
  }
}

function problemsOf(error: unknown): readonly YamlProblem[] {
  if (error instanceof YamlFileError) return error.problems;
  throw error;
}

/** @param folder stands in messages. @returns what the good files say, and every fault of the others */
export function locatePolicy(
  files: readonly PolicyFile[],
  folder: string,
): { policy: LocatedPolicy; problems: YamlProblem[] } {
  const schedules: Located<Schedule>[] = [];
  const holds: Located<Hold>[] = [];
  const watch: Located<WatchFile>[] = [];
  const problems: YamlProblem[] = [];
  for (const { path, text } of files) {
    const file = join(folder, path);
    try {
      if (path.startsWith('schedules/')) schedules.push({ ...parseYaml(text, file, scheduleSchema), file });
      else if (path.startsWith('alerts/')) watch.push({ ...parseYaml(text, file, watchSchema), file });
      else holds.push({ ...parseYaml(text, file, holdSchema), file });
    } catch (error) {
      problems.push(...problemsOf(error));
    }
  }
  problems.push(
    ...repeatedIds(schedules),
    ...repeatedIds(holds),
    ...repeatedIds(watch),
    ...repeatedRules(watch),
  );
  return { policy: { schedules, holds, watch }, problems };
}

function repeatedIds(documents: readonly Located<{ id: string }>[]): YamlProblem[] {
  const seen = new Map<string, string>();
  return documents.flatMap(({ value, file, place }) => {
    const before = seen.get(value.id);
    seen.set(value.id, before ?? file);
    if (before === undefined) return [];
    return [
      {
        file,
        ...place(['id']),
        message: `the id ${value.id} stands already in ${before}`,
        hint: 'Give each file an id of its own.',
      },
    ];
  });
}

/** A record's tags name the rule alone, whichever file it stands in. */
function repeatedRules(documents: readonly Located<WatchFile>[]): YamlProblem[] {
  const seen = new Set<string>();
  return documents.flatMap(({ value, file, place }) =>
    value.rules.flatMap(({ id }, index) => {
      if (!seen.has(id)) {
        seen.add(id);
        return [];
      }
      const message = `another rule has the id ${id}`;
      return [{ file, ...place(['rules', index, 'id']), message, hint: 'Give each rule an id of its own.' }];
    }),
  );
}

/** What the files say, without places. @throws YamlFileError with every fault of every file */
export function parsePolicy(
  files: readonly PolicyFile[],
  folder: string,
): Policy & { readonly watch: readonly WatchFile[] } {
  const { policy, problems } = locatePolicy(files, folder);
  if (problems.length > 0) throw new YamlFileError(problems);
  return {
    schedules: policy.schedules.map(({ value }) => value),
    holds: policy.holds.map(({ value }) => value),
    watch: policy.watch.map(({ value }) => value),
  };
}
