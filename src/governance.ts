// Policy as the interfaces call it: check files, put them in force, explain a record.

import type { Settings } from './config.ts';
import { type Archive, homePaths } from './context.ts';
import type { Clock } from './core/clock.ts';
import { InputError } from './core/errors.ts';
import { unknownRecords } from './disposition/hold-coverage.ts';
import {
  type Application,
  type Applied,
  applyPolicy,
  LOSS_REMEDY,
  type LostBodies,
  lossSentence,
  PART_NAMES,
  type PolicyPart,
  policyInForce,
  policySettings,
  settingsInForce,
  unacknowledgedLoss,
  unapplied,
} from './disposition/policy-in-force.ts';
import { recordFacts } from './disposition/record-facts.ts';
import { checkPolicy, type Finding, findingOf, RECORD_ID } from './policy/check.ts';
import { type Decision, decide, isReleased } from './policy/decide.ts';
import {
  locatePolicy,
  type PolicyFile,
  readPolicyFiles,
  readPolicyFolder,
  unreadPaths,
} from './policy/load.ts';
import type { Hold } from './policy/schedule.ts';

export type { Finding } from './policy/check.ts';

export interface PolicyCheck {
  readonly files: number;
  readonly findings: readonly Finding[];
}

/** Checks the files of a home without an archive's database. @throws InputError when a folder cannot be read */
export async function checkPolicyFiles(settings: Settings, clock: Clock): Promise<PolicyCheck> {
  const { files, findings } = await readAndCheck(settings, clock, async () => []);
  return { files: files.length, findings };
}

async function readAndCheck(
  settings: Settings,
  clock: Clock,
  unknown: (records: string[]) => Promise<string[]>,
): Promise<{ files: PolicyFile[]; findings: Finding[] }> {
  const { policies } = homePaths(settings.home);
  const unread = (await unreadPaths(policies)).map(
    (where): Finding => ({
      level: 'warning',
      where,
      message: 'it is not read: policy files end in .yaml and lie directly in schedules/, holds/ or alerts/',
      fix: 'Rename or move it, or take it away.',
    }),
  );
  const { files, problems } = await readPolicyFolder(policies);
  const located = locatePolicy(files, policies);
  const today = todayIn(settings, clock);
  const named = located.policy.holds
    .filter(({ value }) => !isReleased(value, today))
    .flatMap(({ value }) => value.scope.records ?? []);
  const found = checkPolicy(located.policy, {
    sources: settings.sources.map((source) => source.id),
    platforms: [...new Set(settings.sources.map((source) => source.platform))],
    hasFiscalYear: settings.archive.fiscalYear.length > 0,
    unknownRecords: await unknown(named.filter((id) => RECORD_ID.test(id))),
    today,
  });
  const faults = [...problems, ...located.problems].map(findingOf);
  return { files, findings: [...faults, ...found, ...unread] };
}

/** What `policy apply` did, and what is in force now. */
export type PutInForce = Application & {
  readonly inForce: Pick<Applied, 'schedules' | 'holds'>;
  readonly warnings: readonly Finding[];
};

/**
 * @throws InputError when the check finds an error: nothing is applied in part; RefusedError when holds may be among what a restore lost, and
 *   nobody says that they are back
 */
export async function putPolicyInForce(
  archive: Archive,
  { lostHoldsAreBack = false }: { lostHoldsAreBack?: boolean } = {},
): Promise<PutInForce> {
  const { settings, clock, database, ledger, account } = archive;
  const { files, findings } = await readAndCheck(settings, clock, (records) =>
    unknownRecords(database.db, records),
  );
  const errors = findings.filter((finding) => finding.level === 'error');
  if (errors.length > 0) {
    throw new InputError(errors.map(({ where, message }) => `${where}: ${message}`).join('\n'), {
      hint: `${[...new Set(errors.map(({ fix }) => fix))].join(' ')} Nothing was applied.`,
    });
  }
  const { policies } = homePaths(settings.home);
  const application = await applyPolicy(
    database.db,
    ledger,
    account.id,
    { files, settings: policySettings(settings.archive, settings.sources) },
    policies,
    todayIn(settings, clock),
    lostHoldsAreBack,
  );
  // What the policy before let go may be kept now: until the next renewal has looked, its locks count as due.
  await database.db
    .updateTable('payload_locks')
    .set({ may_lapse: false })
    .where('may_lapse', '=', true)
    .execute();
  await archive.checkpoint();
  const { schedules, holds } = await policyInForce(database.db, Number.MAX_SAFE_INTEGER);
  return { ...application, inForce: { schedules, holds }, warnings: findings };
}

function todayIn(settings: Settings, clock: Clock): Temporal.PlainDate {
  return clock.now().toZonedDateTimeISO(settings.archive.timezone).toPlainDate();
}

/** What policy says of a record today. While the files are not what is in force, nothing is eligible. */
export async function explainRecord(archive: Archive, record: string): Promise<Decision> {
  const { db } = archive.database;
  const inForce = await policyInForce(db, Number.MAX_SAFE_INTEGER);
  const facts = await recordFacts(db, record, Number.MAX_SAFE_INTEGER);
  const decision = decide(
    facts,
    inForce.policy,
    todayIn(archive.settings, archive.clock),
    settingsInForce(inForce, archive.settings.archive),
  );
  const told = (await whyNothingMayGo(archive)).map(({ sentence }) => sentence);
  const mayGo = decision.decision === 'eligible' || decision.decision === 'review';
  return {
    ...decision,
    decision: mayGo && told.length > 0 ? 'retain' : decision.decision,
    reasons: [...decision.reasons, ...told],
  };
}

/** A bundle's lines on retention, as of a position. Holds never stand in them: a bundle goes to the public. */
export async function retentionLines(
  archive: Archive,
  at: { size: number; moment: Temporal.Instant },
): Promise<(record: string) => Promise<string>> {
  const { db } = archive.database;
  const inForce = await policyInForce(db, at.size);
  const settings = settingsInForce(inForce, archive.settings.archive);
  const date = at.moment.toZonedDateTimeISO(settings.timezone).toPlainDate();
  return async (record) => {
    const facts = await recordFacts(db, record, at.size);
    const { series, decision, retainThrough } = decide(
      facts,
      { schedules: inForce.policy.schedules, holds: [] },
      date,
      settings,
    );
    if (series === null) return 'Unclassified: retained.';
    const kept =
      decision === 'permanent'
        ? 'permanent'
        : retainThrough === null
          ? 'retained'
          : `kept through ${retainThrough}`;
    return `${series.code}, ${series.title} (${series.schedule} ${series.version}): ${kept}.`;
  };
}

/** What keeps anything from being destroyed: holds that may be lost, files that differ from what is in force or cannot be read. */
async function whyNothingMayGo(archive: Archive): Promise<{ ofHolds: boolean; sentence: string }[]> {
  const loss = await lostHolds(archive);
  const lost = loss === null ? [] : [{ ofHolds: true, sentence: loss.sentence }];
  return [...lost, ...(await filesAgainstForce(archive))];
}

/** What a restore lost and nobody said is back; null: nothing. */
export async function lostHolds(
  archive: Pick<Archive, 'database'>,
): Promise<(LostBodies & { readonly sentence: string }) | null> {
  const loss = await unacknowledgedLoss(archive.database.db);
  return loss === null ? null : { ...loss, sentence: `${lossSentence(loss)} ${LOSS_REMEDY}` };
}

/** How files and settings differ from what is in force. Files that cannot be read count as different. */
async function filesAgainstForce(archive: Archive): Promise<{ ofHolds: boolean; sentence: string }[]> {
  try {
    // Watch words decide nothing of what is kept.
    const parts = (await unappliedParts(archive)).filter((part) => part !== 'watch');
    return parts.map((part) => ({
      ofHolds: part === 'holds',
      sentence: `Nothing may be destroyed until \`muniment policy apply\`: ${PART_NAMES[part]} differ from what is in force.`,
    }));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return [
      {
        ofHolds: true,
        sentence: `Policy files cannot be read, so nothing may be destroyed: ${error.message}`,
      },
    ];
  }
}

/** @returns what of the home's files and settings differs from what is in force. @throws InputError when files cannot be read */
export async function unappliedParts(archive: Pick<Archive, 'settings' | 'database'>): Promise<PolicyPart[]> {
  const { home, archive: civil, sources } = archive.settings;
  const files = await readPolicyFiles(homePaths(home).policies);
  return unapplied(archive.database.db, { files, settings: policySettings(civil, sources) });
}

/** Holds in force. `unapplied`: their files say something else or cannot be read, or a restore may have lost some; `told` says which. */
export async function listHolds(
  archive: Archive,
): Promise<{ holds: Hold[]; unapplied: boolean; lost: LostBodies | null; told: readonly string[] }> {
  const { policy } = await policyInForce(archive.database.db, Number.MAX_SAFE_INTEGER);
  const differing = (await whyNothingMayGo(archive)).filter(({ ofHolds }) => ofHolds);
  return {
    holds: [...policy.holds],
    unapplied: differing.length > 0,
    lost: await unacknowledgedLoss(archive.database.db),
    told: differing.map(({ sentence }) => sentence),
  };
}
