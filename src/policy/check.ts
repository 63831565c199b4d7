// What stands in readable policy files and will not do what its author meant. An error keeps the files from being applied; a warning is
// told and no more, for it errs on the side of keeping.

import type { YamlProblem } from '../core/yaml-file.ts';
import type { Located, LocatedPolicy } from './load.ts';
import type { Hold, Schedule } from './schedule.ts';

export interface Finding {
  readonly level: 'error' | 'warning';
  /** file:line:column, or the path of what was not read. */
  readonly where: string;
  readonly message: string;
  readonly fix: string;
}

export interface CheckedAgainst {
  readonly sources: readonly string[];
  readonly platforms: readonly string[];
  readonly hasFiscalYear: boolean;
  /** Records that holds name and the archive does not have; none where it was not asked. */
  readonly unknownRecords: readonly string[];
  /** In the archive's zone. */
  readonly today: Temporal.PlainDate;
}

/** Says one thing about one value. */
type Tell = (level: Finding['level'], path: readonly PropertyKey[], message: string, fix: string) => void;

export function checkPolicy(policy: LocatedPolicy, archive: CheckedAgainst): Finding[] {
  const findings: Finding[] = [];
  const tellOf =
    ({ file, place }: Located<unknown>): Tell =>
    (level, path, message, fix) => {
      const { line, column } = place(path);
      findings.push({ level, where: `${file}:${line}:${column}`, message, fix });
    };
  for (const schedule of policy.schedules) {
    checkSchedule(schedule.value, archive, tellOf(schedule));
    checkSeries(schedule.value, archive, tellOf(schedule));
  }
  for (const hold of policy.holds) checkHold(hold.value, archive, tellOf(hold));
  for (const file of policy.watch) {
    const tell = tellOf(file);
    for (const [index, { sources = [] }] of file.value.rules.entries())
      for (const [at, source] of sources.entries())
        if (!archive.sources.includes(source))
          tell(
            'warning',
            ['rules', index, 'sources', at],
            `no source is called ${source}, so the rule looks at nothing of it`,
            'Name an id of `sources:` in muniment.yaml.',
          );
  }
  return findings;
}

/** A fault that keeps a file from being read at all, as a finding. */
export function findingOf({ file, line, column, message, hint }: YamlProblem): Finding {
  return { level: 'error', where: `${file}:${line}:${column}`, message, fix: hint };
}

function isAfter(one: string, other: string | Temporal.PlainDate): boolean {
  return Temporal.PlainDate.compare(one, other) > 0;
}

function checkSchedule(schedule: Schedule, { today }: CheckedAgainst, tell: Tell): void {
  const { adopted, adoptedOn, effective } = schedule;
  if (!adopted)
    tell(
      'warning',
      ['adopted'],
      `${schedule.id} is not adopted, so it authorises nothing`,
      'After the adoption set adopted, adoptedBy and adoptedOn.',
    );
  if (adopted && adoptedOn !== undefined && isAfter(adoptedOn, today))
    tell(
      'error',
      ['adoptedOn'],
      `${adoptedOn} is in the future, and an adoption that has not happened authorises nothing`,
      'Write `adopted: false` until then, or correct the date.',
    );
  if (effective.to !== undefined && isAfter(effective.from, effective.to))
    tell('error', ['effective', 'to'], 'it ends before it begins', 'Correct effective.from or effective.to.');
  else if (isAfter(effective.from, today))
    tell(
      'warning',
      ['effective', 'from'],
      `${schedule.id} is not in effect before ${effective.from}`,
      'Until then it authorises nothing.',
    );
  else if (effective.to !== undefined && isAfter(today.toString(), effective.to))
    tell(
      'warning',
      ['effective', 'to'],
      `${schedule.id} is not in effect since ${effective.to}`,
      'It authorises nothing any more: apply its successor.',
    );
}

function checkSeries(schedule: Schedule, archive: CheckedAgainst, tell: Tell): void {
  const codes = schedule.series.map((series) => series.code);
  for (const [index, series] of schedule.series.entries()) {
    const at = (...path: PropertyKey[]): PropertyKey[] => ['series', index, ...path];
    if (codes.indexOf(series.code) !== index)
      tell(
        'error',
        at('code'),
        `the code ${series.code} stands twice`,
        'Give each series a code of its own.',
      );
    for (const [n, source] of (series.match.sources ?? []).entries()) {
      if (!archive.sources.includes(source))
        tell(
          'warning',
          at('match', 'sources', n),
          `no source is called ${source}`,
          'Write the id of a source in muniment.yaml.',
        );
    }
    for (const [n, platform] of (series.match.platforms ?? []).entries()) {
      if (!archive.platforms.includes(platform))
        tell(
          'warning',
          at('match', 'platforms', n),
          `no source is of the platform ${platform}`,
          `Write one of: ${archive.platforms.join(', ') || 'none is configured'}.`,
        );
    }
    if (Object.keys(series.match).length === 0)
      tell(
        'warning',
        at('match'),
        `series ${series.code} covers every record`,
        'Name sources, kinds or other conditions, unless that is meant.',
      );
    if (series.cutoff === 'fiscal-year-end' && !archive.hasFiscalYear)
      tell(
        'error',
        at('cutoff'),
        'a fiscal cutoff needs the table of fiscal years',
        'Add archive.fiscalYear to muniment.yaml.',
      );
  }
}

export const RECORD_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A hold that covers less than counsel meant is the worst mistake of all. */
function checkHold(hold: Hold, archive: CheckedAgainst, tell: Tell): void {
  const { scope, issued, released } = hold;
  for (const [n, record] of (scope.records ?? []).entries()) {
    if (!RECORD_ID.test(record))
      tell(
        'error',
        ['scope', 'records', n],
        `${record} is no record id`,
        '`muniment search` prints the ids of records.',
      );
    else if (archive.unknownRecords.includes(record))
      tell(
        'error',
        ['scope', 'records', n],
        `the archive has no record ${record}, so the hold covers nothing by it`,
        'Correct the id, or take it out: `muniment search` prints the ids of records.',
      );
  }
  for (const [n, source] of (scope.sources ?? []).entries()) {
    if (!archive.sources.includes(source))
      tell(
        'warning',
        ['scope', 'sources', n],
        `no source is called ${source}; the hold covers only what one of this name captured`,
        'Write the id of a source in muniment.yaml, unless the source was removed.',
      );
  }
  if (scope.from !== undefined && scope.to !== undefined && isAfter(scope.from, scope.to))
    tell(
      'error',
      ['scope', 'to'],
      'the scope ends before it begins, so it covers nothing',
      'Correct scope.from or scope.to.',
    );
  if (released !== undefined && isAfter(issued.at, released.at))
    tell(
      'error',
      ['released', 'at'],
      'it is released before it was issued',
      'Correct issued.at or released.at.',
    );
  if (released !== undefined && isAfter(released.at, archive.today))
    tell(
      'error',
      ['released', 'at'],
      `${released.at} is in the future, and a release that has not happened lets nothing go`,
      'Take `released` out until then, or correct the date.',
    );
}
