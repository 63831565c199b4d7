// `muniment doctor`: tries what the archive leans on, instead of believing that it is so. Each check says what was tried, what happened,
// what that means, and how to mend it. All it leaves is the proof of the store's lock that `collect` and `serve` ask for, and, where
// a lock of a minute keeps them, scratch objects in the bucket, which it names.

import { stat } from 'node:fs/promises';
import { type Environment, readSettings, type Settings } from './config.ts';
import { homePaths, openArchive, openHomeDatabase } from './context.ts';
import type { Clock } from './core/clock.ts';
import {
  LOSS_REMEDY,
  type LostBodies,
  lossSentence,
  PART_NAMES,
  type PolicyPart,
  unacknowledgedLoss,
} from './disposition/policy-in-force.ts';
import { bad, type Check, good, note, stated, told } from './doctor/check.ts';
import { databaseChecks } from './doctor/database-checks.ts';
import { directoryChecks } from './doctor/directory-checks.ts';
import { type Drill, readDrill } from './drill.ts';
import { unappliedParts } from './governance.ts';

export interface Examination {
  /** No check is bad. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

/** @throws InputError when the home's settings cannot be read: then there is nothing to examine */
export async function examine(
  home: string,
  environment: Environment,
  clock: Clock,
  signal: AbortSignal,
): Promise<Examination> {
  const settings = await readSettings(home, environment);
  const { store, sources, archive } = settings;
  const paths = homePaths(settings.home);
  const drill = await readDrill(paths.drill);
  const trial = { clock, signal, proofFile: paths.storeProof };
  const checks = [
    good({
      id: 'settings',
      tried: 'to read muniment.yaml',
      saw: `it is valid: ${sources.length} source${sources.length === 1 ? '' : 's'}, zone ${archive.timezone}`,
      means: 'The archive works by it.',
    }),
    ...(drill === null ? [] : [drillCheck(drill)]),
    ...(await keyChecks(settings, drill)),
    ...(await told('store.reach', 'to reach the store', async () => {
      // Trials leave scratch objects, and the store may be that of an archive that lives.
      if (drill !== null) return [];
      if (store.provider === 'directory') return directoryChecks(store.path, clock);
      const { s3Checks } = await import('./doctor/s3-checks.ts');
      return s3Checks(store, trial);
    })),
    ...(await told('db.reach', 'to reach the database', async () => {
      await using urls = await openHomeDatabase(settings);
      return await databaseChecks({ ...urls, timezone: archive.timezone, clock });
    })),
    ...(await told('archive', 'to open the archive', () => archiveChecks(home, environment, clock))),
  ];
  return { ok: checks.every((check) => check.severity !== 'bad'), checks };
}

/** @returns the examination in sentences */
export function examinationText({ checks }: Examination): string {
  const marks = { good: 'ok  ', note: 'note', bad: 'BAD ' };
  return checks
    .map(({ id, severity, tried, saw, means, fix }) =>
      [
        `${marks[severity]}  ${id}`,
        `tried: ${tried}`,
        `saw:   ${saw}`,
        `means: ${means}`,
        ...(fix === null ? [] : [`mend:  ${fix}`]),
      ].join('\n      '),
    )
    .join('\n');
}

function drillCheck({ backup, madeAt }: Drill): Check {
  return stated(
    {
      id: 'drill',
      tried: 'whether this home is a drill',
      saw: `it is one, of the backup ${backup} of ${madeAt}`,
      means:
        'It can be read and verified. It never signs, captures, destroys or writes to the store, so the store was not tried.',
    },
    'When you have seen enough, remove it: `muniment db remove`, then the folder.',
  );
}

async function keyChecks(settings: Settings, drill: Drill | null): Promise<Check[]> {
  const paths = homePaths(settings.home);
  const checks: Check[] = [];
  for (const [id, path, without] of [
    ...(drill === null
      ? ([
          [
            'keys.signing',
            paths.signingKey,
            'The head of the ledger cannot be signed here. On a worker that holds no key that is as it should be.',
          ],
        ] as const)
      : []),
    [
      'keys.secret',
      paths.archiveSecret,
      'What was destroyed cannot be recognised when it is captured again.',
    ],
    ...(settings.databaseUrl === null
      ? ([['keys.database', paths.databaseSecret, 'The embedded database cannot be opened.']] as const)
      : []),
  ] as const) {
    const tried = `to find ${path}, readable by its owner alone`;
    const status = await stat(path).catch((error: NodeJS.ErrnoException) => error);
    if (status instanceof Error) {
      const saw = `it cannot be read (${status.code ?? status.message})`;
      const fix = 'Restore it from the backup of the keys folder: nothing else can replace it.';
      checks.push(bad({ id, tried, saw, means: without }, fix));
      continue;
    }
    const told = { id, tried, saw: `it has mode ${(status.mode & 0o777).toString(8).padStart(4, '0')}` };
    checks.push(
      (status.mode & 0o077) === 0
        ? good({ ...told, means: 'It is there, and kept.' })
        : bad(
            { ...told, means: 'Others on this machine can read it.' },
            'Run `chmod 600` on it; if somebody may have read it, make a new archive key known.',
          ),
    );
  }
  return checks;
}

async function archiveChecks(home: string, environment: Environment, clock: Clock): Promise<Check[]> {
  await using opened = await openArchive(home, environment, clock, 'reading');
  const { size } = await opened.ledger.head();
  const pinned = await opened.pinnedHead();
  const differing = await unappliedParts(opened);
  const loss = await unacknowledgedLoss(opened.database.db);
  return [
    signedHead(size, pinned?.size ?? null, opened.drill !== null),
    ...(loss === null ? [] : [lostHolds(loss)]),
    policy(differing),
  ];
}

function signedHead(size: number, signed: number | null, isDrill: boolean): Check {
  const id = 'head';
  const tried = 'the signed head kept outside the database, against the ledger';
  if (signed === null) {
    const saw = `keys/head.json is missing, while the ledger has ${size} entries`;
    const means = 'A rewritten ledger would go unnoticed here.';
    return bad({ id, tried, saw, means }, 'Restore keys/ from its backup.');
  }
  const saw = `${signed} of ${size} entries are under it`;
  if (signed > size) {
    const means = 'The ledger is shorter than what was signed: entries are lost.';
    return bad({ id, tried, saw, means }, 'Run `muniment verify`, and restore the database from its backup.');
  }
  if (signed < size && isDrill)
    return stated({
      id,
      tried,
      saw,
      means: 'The last entries were not signed yet when the backup was made.',
    });
  if (signed < size) {
    const means =
      'The last entries are not signed yet: whoever writes to the database could still change them.';
    return note({ id, tried, saw, means }, 'Run `muniment ledger checkpoint`, where the signing key is.');
  }
  return good({ id, tried, saw, means: 'A ledger that was changed would no longer fit it.' });
}

function lostHolds(loss: LostBodies): Check {
  return bad(
    {
      id: 'policy.lost-holds',
      tried: 'whether holds are lost',
      saw: lossSentence(loss),
      means: 'What is under a hold may not be known, so nothing may be destroyed.',
    },
    LOSS_REMEDY,
  );
}

function policy(differing: readonly PolicyPart[]): Check {
  const id = 'policy';
  const tried = 'the policy files against what is in force';
  if (differing.length === 0)
    return good({ id, tried, saw: 'they are the same', means: 'What the files say is what is done.' });
  const saw = `${differing.map((part) => PART_NAMES[part]).join(' and ')} differ`;
  const means = 'They have no effect yet, and nothing may be destroyed.';
  return note({ id, tried, saw, means }, 'Run `muniment policy apply`.');
}
