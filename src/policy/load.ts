// Reads the policy files of a home: schedules/*.yaml and holds/*.yaml. One bad file fails the whole: a hold that cannot be read must not
// be taken for one that is not there.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../core/errors.ts';
import { parseYaml, readYamlText } from '../core/yaml-file.ts';
import type { Policy } from './decide.ts';
import { holdSchema, scheduleSchema } from './schedule.ts';

export interface PolicyFile {
  /** Below the policies folder, with forward slashes: `schedules/city.yaml`. */
  readonly path: string;
  readonly text: string;
}

/** @returns the files as they stand, sorted by path. @throws InputError on one that cannot be read */
export async function readPolicyFiles(folder: string): Promise<PolicyFile[]> {
  const files: PolicyFile[] = [];
  for (const room of ['holds', 'schedules']) {
    for (const name of (await namesIn(join(folder, room))).sort()) {
      if (/\.ya?ml$/.test(name))
        files.push({ path: `${room}/${name}`, text: await readYamlText(join(folder, room, name)) });
    }
  }
  return files;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new InputError(`${folder} cannot be read: ${(error as Error).message}`, {
      hint: 'Mend its permissions; until then nothing may be destroyed.',
      cause: error,
    });
  }
}

/** @param folder stands in messages. @throws InputError with file:line:column */
export function parsePolicy(files: readonly PolicyFile[], folder: string): Policy {
  const schedules = [];
  const holds = [];
  const seen = new Map<string, string>();
  for (const { path, text } of files) {
    const shown = join(folder, path);
    const one = path.startsWith('schedules/')
      ? parseYaml(text, shown, scheduleSchema)
      : parseYaml(text, shown, holdSchema);
    const key = `${path.split('/')[0]} ${one.value.id}`;
    const before = seen.get(key);
    if (before !== undefined) {
      const { line, column } = one.place(['id']);
      throw new InputError(`${shown}:${line}:${column}: the id ${one.value.id} stands already in ${before}`, {
        hint: 'Give each file an id of its own.',
      });
    }
    seen.set(key, shown);
    if ('series' in one.value) schedules.push(one.value);
    else holds.push(one.value);
  }
  return { schedules, holds };
}

export interface Finding {
  readonly level: 'error' | 'warning';
  readonly where: string;
  readonly message: string;
  readonly fix: string;
}

/** What is readable but will not do what its author meant. */
export function checkPolicy(
  policy: Policy,
  archive: { sources: readonly string[]; hasFiscalYear: boolean },
): Finding[] {
  const findings: Finding[] = [];
  for (const schedule of policy.schedules) {
    if (!schedule.adopted) {
      findings.push({
        level: 'warning',
        where: schedule.id,
        message: 'it is not adopted, so it authorises nothing',
        fix: 'After the adoption set adopted, adoptedBy and adoptedOn.',
      });
    }
    const codes = schedule.series.map((series) => series.code);
    for (const [index, series] of schedule.series.entries()) {
      const where = `${schedule.id} ${series.code}`;
      if (codes.indexOf(series.code) !== index)
        findings.push({
          level: 'error',
          where,
          message: 'the code stands twice',
          fix: 'Give each series a code of its own.',
        });
      for (const source of series.match.sources ?? []) {
        if (!archive.sources.includes(source))
          findings.push({
            level: 'warning',
            where,
            message: `no source is called ${source}`,
            fix: 'Write the id of a source in muniment.yaml.',
          });
      }
      if (series.cutoff === 'fiscal-year-end' && !archive.hasFiscalYear) {
        findings.push({
          level: 'error',
          where,
          message: 'a fiscal cutoff needs the table of fiscal years',
          fix: 'Add archive.fiscalYear to muniment.yaml.',
        });
      }
    }
  }
  return findings;
}
