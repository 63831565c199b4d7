// The policy that was applied, as the ledger keeps it: only what an attributed `policy apply` entered has effect. Files that differ from it
// change nothing but are told.

import { sql } from 'kysely';
import { canonicalText, type Json } from '../core/canonical.ts';
import { RefusedError } from '../core/errors.ts';
import type { SourceSettings } from '../core/settings.ts';
import type { Database } from '../db/database.ts';
import type { Ledger } from '../ledger/append.ts';
import { type CivilSettings, isReleased, type Policy, type PolicySettings } from '../policy/decide.ts';
import { type PolicyFile, parsePolicy } from '../policy/load.ts';
import type { Hold, Schedule } from '../policy/schedule.ts';
import { refuseNarrowedHolds } from './hold-coverage.ts';

const KINDS = { schedules: 'policy.schedules', holds: 'policy.holds' } as const;

function part(files: readonly PolicyFile[], room: keyof typeof KINDS): PolicyFile[] {
  return files.filter((file) => file.path.startsWith(`${room}/`));
}

async function appliedBody(
  db: Database,
  kind: string,
  size: number,
): Promise<{ seq: number; commitment: string; text: string } | null> {
  const row = await db
    .selectFrom('entry_bodies as b')
    .innerJoin('ledger_entries as e', 'e.seq', 'b.seq')
    .select(['b.seq', 'b.body', 'e.entry'])
    .where('b.kind', '=', kind)
    .where('b.seq', '<', size)
    .orderBy('b.seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return null;
  const { body } = JSON.parse(row.entry.toString('utf8')) as { body: string };
  return { seq: row.seq, commitment: body, text: row.body.toString('utf8').trimEnd() };
}

/** What of the settings of an archive decisions read: an application of the policy enters it with the schedules. */
export function policySettings(
  { timezone, fiscalYear }: CivilSettings,
  sources: readonly SourceSettings[],
): PolicySettings {
  const confirmDates = sources.flatMap(({ id, confirmDates }) =>
    confirmDates === null ? [] : [{ source: id, by: confirmDates.by, on: confirmDates.on }],
  );
  return { timezone, fiscalYear: fiscalYear.map(({ from, starts }) => ({ from, starts })), confirmDates };
}

export interface Applied {
  readonly policy: Policy;
  /** Null where the schedules were applied before settings were entered with them, or never. */
  readonly settings: PolicySettings | null;
  /** The entries that applied schedules and holds: position and the body commitment there; null where none did. */
  readonly schedules: AppliedBy | null;
  readonly holds: AppliedBy | null;
}

export interface AppliedBy {
  readonly seq: number;
  readonly commitment: string;
}

/** @returns the policy in force as of a ledger position */
export async function policyInForce(db: Database, size: number): Promise<Applied> {
  const schedules = await appliedBody(db, KINDS.schedules, size);
  const holds = await appliedBody(db, KINDS.holds, size);
  const files = [schedules, holds].flatMap((body) => (body === null ? [] : filesOf(body)));
  return {
    policy: parsePolicy(files, 'the applied policy: '),
    settings: schedules === null ? null : settingsOf(schedules),
    schedules: appliedBy(schedules),
    holds: appliedBy(holds),
  };
}

/** What decisions read: as it was applied. Where it never was, no dates are confirmed; nothing may be destroyed before it is. */
export function settingsInForce({ settings }: Applied, civil: CivilSettings): PolicySettings {
  return settings ?? { ...civil, confirmDates: [] };
}

function appliedBy(body: AppliedBy | null): AppliedBy | null {
  return body === null ? null : { seq: body.seq, commitment: body.commitment };
}

/** A restore that could not bring back all bodies of entries: among those may be schedules and holds that nobody here knows of. */
export interface LostBodies {
  /** Position of the restore's entry. */
  readonly restore: number;
  readonly lost: number;
  /** The entries among which they are. */
  readonly from: number;
  readonly through: number;
}

/** @returns the newest restore with lost bodies, unless an applied policy says that the holds among them are back */
export async function unacknowledgedLoss(db: Database): Promise<LostBodies | null> {
  const { rows } = await sql<{ seq: number; lost: number; entry: Buffer }>`
    SELECT b.seq, (convert_from(b.body, 'UTF8')::jsonb ->> 'lostBodies')::integer AS lost, e.entry
    FROM entry_bodies AS b JOIN ledger_entries AS e ON e.seq = b.seq
    WHERE b.kind = 'restore.performed' AND (convert_from(b.body, 'UTF8')::jsonb ->> 'lostBodies')::bigint > 0
      AND NOT EXISTS (
        SELECT FROM entry_bodies AS a WHERE a.kind = ${KINDS.holds} AND a.seq > b.seq
          AND (convert_from(a.body, 'UTF8')::jsonb ->> 'lostHoldsAreBack')::bigint >= b.seq)
    ORDER BY b.seq DESC LIMIT 1`.execute(db);
  const row = rows[0];
  if (row === undefined) return null;
  const { size, replayed } = JSON.parse(row.entry.toString('utf8')) as { size: number; replayed: number };
  return { restore: row.seq, lost: row.lost, from: size, through: size + replayed - 1 };
}

/** @returns what people must know of it */
export function lossSentence({ restore, lost, from, through }: LostBodies): string {
  return `The restore of entry ${restore} could not bring back ${lost} of the bodies of entries ${from} to ${through}: holds and schedules may be among them.`;
}

export const LOSS_REMEDY =
  'Bring the files of every hold and schedule that was in force back to policies/, then run `muniment policy apply --lost-holds-are-back`. Until then nothing may be destroyed.';

/** What an application puts in force. */
export interface PolicySource {
  readonly files: readonly PolicyFile[];
  readonly settings: PolicySettings;
}

export type PolicyPart = 'schedules' | 'holds' | 'settings';

/** How messages name what differs from what is in force. */
export const PART_NAMES: Readonly<Record<PolicyPart, string>> = {
  schedules: 'the files of schedules',
  holds: 'the files of holds',
  settings: 'confirmDates, timezone or fiscalYear in muniment.yaml',
};

/** @returns what differs from what is applied */
export async function unapplied(db: Database, { files, settings }: PolicySource): Promise<PolicyPart[]> {
  const differing: PolicyPart[] = [];
  for (const room of ['schedules', 'holds'] as const) {
    const applied = await appliedBody(db, KINDS[room], Number.MAX_SAFE_INTEGER);
    const present = part(files, room);
    const same = applied === null ? present.length === 0 : bodyOf(filesOf(applied)) === bodyOf(present);
    if (!same) differing.push(room);
    if (room === 'schedules' && applied !== null && textOf(settingsOf(applied)) !== textOf(settings))
      differing.push('settings');
  }
  return differing;
}

function settingsOf(applied: { readonly text: string }): PolicySettings | null {
  return (JSON.parse(applied.text) as { settings?: PolicySettings }).settings ?? null;
}

function textOf(value: object | null): string {
  return canonicalText(value as unknown as Json);
}

function filesOf(applied: { readonly text: string }): PolicyFile[] {
  return (JSON.parse(applied.text) as { files: PolicyFile[] }).files;
}

function bodyOf(files: readonly PolicyFile[]): string {
  return canonicalText({ files: files.map(({ path, text }) => ({ path, text })) } as Json);
}

export interface PolicyChange {
  /** Settings by their key in muniment.yaml. */
  readonly part: 'schedule' | 'hold' | 'settings';
  readonly id: string;
  readonly change: 'added' | 'changed' | 'released' | 'removed';
}

/** What an application of the files did. */
export interface Application {
  /** Positions of the entries that it wrote; null for a part that stands already as it is in the files. */
  readonly schedules: number | null;
  readonly holds: number | null;
  readonly changes: readonly PolicyChange[];
  /** The loss that this application says is made good; the entry of the holds keeps that. */
  readonly acknowledged: LostBodies | null;
}

/**
 * Puts the files in force. A hold that was applied and whose file vanished stays until a release in its file is applied.
 * @param lostHoldsAreBack somebody answers for it that holds which a restore lost are among the files
 * @throws InputError on a bad file, RefusedError when an applied, unreleased hold has no file or covers less in it, or a restore may have lost some and nobody
 *   says that they are back: nothing is applied then
 */
export async function applyPolicy(
  db: Database,
  ledger: Ledger,
  actor: string,
  source: PolicySource,
  folder: string,
  today: Temporal.PlainDate,
  lostHoldsAreBack: boolean,
): Promise<Application> {
  const { files, settings } = source;
  const wanted = parsePolicy(files, folder);
  if ((await unapplied(db, source)).length === 0 && (await unacknowledgedLoss(db)) === null)
    return { schedules: null, holds: null, changes: [], acknowledged: null };
  return ledger.write(actor, async (batch) => {
    // Asked again under the sequencer's lock: two who apply the same files enter them once.
    const changed = await unapplied(batch.tx, source);
    const loss = await unacknowledgedLoss(batch.tx);
    if (loss !== null && !lostHoldsAreBack)
      throw new RefusedError(`nothing was applied. ${lossSentence(loss)}`, { hint: LOSS_REMEDY });
    const inForce = await policyInForce(batch.tx, Number.MAX_SAFE_INTEGER);
    const { policy } = inForce;
    refuseLostHolds(policy, wanted, today);
    await refuseNarrowedHolds(
      batch.tx,
      { ...policy, ...settingsInForce(inForce, settings) },
      { ...wanted, ...settings },
      today,
    );
    const bodyOfRoom = (room: 'schedules' | 'holds') => JSON.parse(bodyOf(part(files, room))) as object;
    return {
      schedules:
        changed.includes('schedules') || changed.includes('settings')
          ? batch.addWithBody({ type: 'policy.applied' }, KINDS.schedules, {
              ...bodyOfRoom('schedules'),
              settings: settings as unknown as Json,
            })
          : null,
      // Holds must not show to an outsider: their entry is sealed. Where holds were lost it is written in any case, to say that they are back.
      holds:
        changed.includes('holds') || loss !== null
          ? batch.addWithBody({ type: 'sealed' }, KINDS.holds, {
              ...bodyOfRoom('holds'),
              ...(loss === null ? {} : { lostHoldsAreBack: loss.restore }),
            })
          : null,
      changes: [
        ...changesOf('schedule', policy.schedules, wanted.schedules),
        ...changesOf('hold', policy.holds, wanted.holds),
        ...(changed.includes('settings') ? settingsChanges(inForce.settings, settings) : []),
      ],
      acknowledged: loss,
    };
  });
}

function refuseLostHolds(inForce: Policy, wanted: Policy, today: Temporal.PlainDate): void {
  const lost = inForce.holds.filter(
    (hold) => !isReleased(hold, today) && !wanted.holds.some((other) => other.id === hold.id),
  );
  if (lost.length === 0) return;
  throw new RefusedError(
    `the file of hold ${lost.map((hold) => hold.id).join(', ')} is gone, and removing a file does not release a hold`,
    {
      hint: 'Bring the file back; to release the hold, write `released:` with by, at and reason in it, and apply that.',
    },
  );
}

function settingsChanges(before: PolicySettings | null, after: PolicySettings): PolicyChange[] {
  return (['confirmDates', 'fiscalYear', 'timezone'] as const).flatMap((id): PolicyChange[] => {
    if (before === null) return [{ part: 'settings', id, change: 'added' }];
    const same = textOf({ value: before[id] }) === textOf({ value: after[id] });
    return same ? [] : [{ part: 'settings', id, change: 'changed' }];
  });
}

/** By id: a file that was only renamed or commented changes nothing in what is decided. */
function changesOf(
  part: 'schedule' | 'hold',
  before: readonly (Schedule | Hold)[],
  after: readonly (Schedule | Hold)[],
): PolicyChange[] {
  const saysReleased = (one: Schedule | Hold): boolean => 'released' in one && one.released !== undefined;
  const added = after.flatMap((one): PolicyChange[] => {
    const former = before.find((other) => other.id === one.id);
    if (former === undefined) return [{ part, id: one.id, change: 'added' }];
    if (canonicalText(former as unknown as Json) === canonicalText(one as unknown as Json)) return [];
    const change = saysReleased(one) && !saysReleased(former) ? 'released' : 'changed';
    return [{ part, id: one.id, change }];
  });
  const removed = before.filter((one) => !after.some((other) => other.id === one.id));
  return [...added, ...removed.map(({ id }): PolicyChange => ({ part, id, change: 'removed' }))];
}
