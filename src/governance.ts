// Policy as the interfaces call it: check files, put them in force, explain a record.

import type { Settings } from './config.ts';
import { type Archive, homePaths } from './context.ts';
import { applyPolicy, policyInForce, recordFacts, unapplied } from './disposition/policy-in-force.ts';
import { type Decision, decide } from './policy/decide.ts';
import { checkPolicy, type Finding, parsePolicy, readPolicyFiles } from './policy/load.ts';
import type { Hold } from './policy/schedule.ts';

/** Checks the files of a home without an archive's database. @throws InputError on a file that cannot be read */
export async function checkPolicyFiles(settings: Settings): Promise<{ files: number; findings: Finding[] }> {
  const { policies } = homePaths(settings.home);
  const files = await readPolicyFiles(policies);
  const policy = parsePolicy(files, policies);
  const sources = settings.sources.map((source) => source.id);
  return {
    files: files.length,
    findings: checkPolicy(policy, { sources, hasFiscalYear: settings.archive.fiscalYear.length > 0 }),
  };
}

export async function putPolicyInForce(
  archive: Archive,
): Promise<{ schedules: number | null; holds: number | null }> {
  const { policies } = homePaths(archive.settings.home);
  const applied = await applyPolicy(
    archive.database.db,
    archive.ledger,
    archive.account.id,
    await readPolicyFiles(policies),
    policies,
  );
  // What the policy before let go may be kept now: until the next renewal has looked, its locks count as due.
  await archive.database.db
    .updateTable('payload_locks')
    .set({ may_lapse: false })
    .where('may_lapse', '=', true)
    .execute();
  await archive.checkpoint();
  return applied;
}

/** What policy says of a record today. */
export async function explainRecord(archive: Archive, record: string): Promise<Decision> {
  const { archive: civil, sources } = archive.settings;
  const { db } = archive.database;
  const today = archive.clock.now().toZonedDateTimeISO(civil.timezone).toPlainDate();
  const { policy } = await policyInForce(db, Number.MAX_SAFE_INTEGER);
  const decision = decide(
    await recordFacts(db, record, Number.MAX_SAFE_INTEGER, sources),
    policy,
    today,
    civil,
  );
  const differing = await unappliedParts(archive);
  const told = differing.map(
    (part) =>
      `The files of ${part} differ from what is in force; nothing may be destroyed until \`muniment policy apply\`.`,
  );
  return { ...decision, reasons: [...decision.reasons, ...told] };
}

/** A bundle's line on retention, as of a position. Holds never stand in it: a bundle goes to the public. */
export async function retentionLine(
  archive: Archive,
  record: string,
  at: { size: number; date: Temporal.PlainDate },
): Promise<string | null> {
  const { archive: civil, sources } = archive.settings;
  const { policy } = await policyInForce(archive.database.db, at.size);
  const facts = await recordFacts(archive.database.db, record, at.size, sources);
  const { series, decision, retainThrough } = decide(
    facts,
    { schedules: policy.schedules, holds: [] },
    at.date,
    civil,
  );
  if (series === null) return 'Unclassified: retained.';
  const kept =
    decision === 'permanent'
      ? 'permanent'
      : retainThrough === null
        ? 'retained'
        : `kept through ${retainThrough}`;
  return `${series.code}, ${series.title} (${series.schedule} ${series.version}): ${kept}.`;
}

async function unappliedParts(archive: Archive): Promise<string[]> {
  return unapplied(archive.database.db, await readPolicyFiles(homePaths(archive.settings.home).policies));
}

export async function listHolds(archive: Archive): Promise<{ holds: Hold[]; unapplied: boolean }> {
  const { policy } = await policyInForce(archive.database.db, Number.MAX_SAFE_INTEGER);
  return { holds: [...policy.holds], unapplied: (await unappliedParts(archive)).includes('holds') };
}
