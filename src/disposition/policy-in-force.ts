// The policy that was applied, as the ledger keeps it: only what an attributed `policy apply` entered has effect. Files that differ from it
// change nothing but are told.

import { sql } from 'kysely';
import { canonicalText, type Json } from '../core/canonical.ts';
import { RefusedError, VerificationError } from '../core/errors.ts';
import type { SourceSettings } from '../core/settings.ts';
import type { Database } from '../db/database.ts';
import type { Ledger } from '../ledger/append.ts';
import { BODY_KIND, FILES_BODY } from '../ledger/body-kind.ts';
import { type CivilSettings, isReleased, type Policy, type PolicySettings } from '../policy/decide.ts';
import { type PolicyFile, parsePolicy } from '../policy/load.ts';
import type { Hold, Schedule } from '../policy/schedule.ts';
import type { WatchFile } from '../policy/watch.ts';
import { refuseNarrowedHolds } from './hold-coverage.ts';
import { CHANGED, COMMITTED, isOfType } from './vouched.ts';

const KINDS = { schedules: BODY_KIND.schedules, holds: BODY_KIND.holds } as const;
/** Holds must not show to an outsider: their entry is sealed. */
const TYPES = { schedules: 'policy.applied', holds: 'sealed' } as const;

const RESTORED = BODY_KIND.restore;

/** Watch words stand in the body of the schedules: one entry says what was in force, and no other needs to be known. */
function part(files: readonly PolicyFile[], room: keyof typeof KINDS): PolicyFile[] {
  return files.filter(({ path }) => path.startsWith('holds/') === (room === 'holds'));
}

const ofWatch = ({ path }: PolicyFile): boolean => path.startsWith('alerts/');

/**
 * Reads the newest body that put this part in force. The column `kind` finds it and is not believed: whoever can write it could make a hold
 * disappear, so every later entry that might have put something in force must show that it did not.
 * @throws VerificationError when one cannot show it: its body is missing, and no restore says that it was lost, altered, or of another kind
 */
async function appliedBody(
  db: Database,
  room: keyof typeof KINDS,
  size: number,
): Promise<{ seq: number; commitment: string; text: string } | null> {
  const kind = KINDS[room];
  const { rows } = await sql<{
    seq: number;
    newest: boolean;
    sound: boolean;
    entry: Buffer;
    body: Buffer | null;
  }>`
    WITH newest AS (SELECT coalesce(max(seq), -1) AS seq FROM entry_bodies WHERE kind = ${kind} AND seq < ${size}),
    later AS (
      SELECT e.seq, e.seq = newest.seq AS newest, e.entry, b.body,
        ${COMMITTED} AND ${isOfType(TYPES[room])} AND (b.kind = ${kind}) = (substr(b.body, 1, ${FILES_BODY.length}) = convert_to(${FILES_BODY}, 'UTF8')) AS sound
      FROM newest JOIN ledger_entries AS e ON e.seq >= newest.seq AND e.seq < ${size} LEFT JOIN entry_bodies AS b ON b.seq = e.seq
      WHERE e.seq = newest.seq OR ${isOfType(TYPES[room])})
    SELECT * FROM later WHERE newest OR NOT sound ORDER BY seq`.execute(db);
  const unsound = rows.filter((row) => !row.sound);
  if (unsound.length > 0) {
    const told = await losses(db);
    const unknown = unsound.find(
      ({ seq, body }) => body !== null || !told.some(({ from, through }) => from <= seq && seq <= through),
    );
    if (unknown !== undefined)
      throw new VerificationError(
        `the body of entry ${unknown.seq} is missing, altered or of another kind: it may have put ${room} in force`,
        { hint: CHANGED },
      );
  }
  const row = rows.find(({ newest }) => newest);
  if (row === undefined || row.body === null) return null;
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
  readonly policy: Policy & { readonly watch: readonly WatchFile[] };
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
  const schedules = await appliedBody(db, 'schedules', size);
  const holds = await appliedBody(db, 'holds', size);
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

interface ToldLoss extends LostBodies {
  /** An applied policy says that the holds among them are back. */
  readonly acknowledged: boolean;
}

/**
 * Restores with lost bodies, newest first. They are found by their entries: `kind` could hide one.
 * @throws VerificationError when one does not say what it lost, and no later one lost that body
 */
async function losses(db: Database): Promise<ToldLoss[]> {
  const { rows } = await sql<{ seq: number; entry: Buffer; body: Buffer | null; acknowledged: boolean }>`
    SELECT r.seq, r.entry, (SELECT b.body FROM entry_bodies AS b, ledger_entries AS e
        WHERE b.seq = r.seq AND e.seq = r.seq AND ${COMMITTED}) AS body,
      EXISTS (SELECT FROM entry_bodies AS b JOIN ledger_entries AS e ON e.seq = b.seq
        WHERE b.kind = ${KINDS.holds} AND b.seq > r.seq AND ${COMMITTED}
          AND (convert_from(b.body, 'UTF8')::jsonb ->> 'lostHoldsAreBack')::bigint >= r.seq) AS acknowledged
    FROM (SELECT e.seq, e.entry FROM ledger_entries AS e WHERE ${isOfType(RESTORED)} OFFSET 0) AS r
    ORDER BY r.seq DESC`.execute(db);
  const told: ToldLoss[] = [];
  for (const { seq, entry, body, acknowledged } of rows) {
    const { size, replayed } = JSON.parse(entry.toString('utf8')) as { size: number; replayed: number };
    if (body === null) {
      if (told.some(({ from, through }) => from <= seq && seq <= through)) continue;
      throw new VerificationError(
        `the body of entry ${seq}, a restore, is missing or altered: it may have lost holds`,
        {
          hint: CHANGED,
        },
      );
    }
    const { lostBodies: lost = 0 } = JSON.parse(body.toString('utf8')) as { lostBodies?: number };
    if (lost > 0)
      told.push({
        restore: seq,
        lost,
        from: size,
        through: Math.min(size + replayed, seq) - 1,
        acknowledged,
      });
  }
  return told;
}

/** @returns the newest restore with lost bodies, unless an applied policy says that the holds among them are back */
export async function unacknowledgedLoss(db: Database): Promise<LostBodies | null> {
  const loss = (await losses(db)).find(({ acknowledged }) => !acknowledged);
  if (loss === undefined) return null;
  const { restore, lost, from, through } = loss;
  return { restore, lost, from, through };
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

export type PolicyPart = 'schedules' | 'holds' | 'watch' | 'settings';

/** How messages name what differs from what is in force. */
export const PART_NAMES: Readonly<Record<PolicyPart, string>> = {
  schedules: 'the files of schedules',
  holds: 'the files of holds',
  watch: 'the files of watch words',
  settings: 'confirmDates, timezone or fiscalYear in muniment.yaml',
};

/** @returns what differs from what is applied */
export async function unapplied(db: Database, { files, settings }: PolicySource): Promise<PolicyPart[]> {
  const differing: PolicyPart[] = [];
  for (const room of ['schedules', 'holds'] as const) {
    const applied = await appliedBody(db, room, Number.MAX_SAFE_INTEGER);
    const present = part(files, room);
    const before = applied === null ? [] : filesOf(applied);
    const differs = (belongs: (file: PolicyFile) => boolean): boolean =>
      bodyOf(before.filter(belongs)) !== bodyOf(present.filter(belongs));
    if (differs((file) => !ofWatch(file))) differing.push(room);
    if (differs(ofWatch)) differing.push('watch');
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
  readonly part: 'schedule' | 'hold' | 'watch' | 'settings';
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
      schedules: changed.some((one) => one !== 'holds')
        ? batch.addWithBody({ type: TYPES.schedules }, KINDS.schedules, {
            ...bodyOfRoom('schedules'),
            settings: settings as unknown as Json,
          })
        : null,
      // Where holds were lost it is written in any case, to say that they are back.
      holds:
        changed.includes('holds') || loss !== null
          ? batch.addWithBody({ type: TYPES.holds }, KINDS.holds, {
              ...bodyOfRoom('holds'),
              ...(loss === null ? {} : { lostHoldsAreBack: loss.restore }),
            })
          : null,
      changes: [
        ...changesOf('schedule', policy.schedules, wanted.schedules),
        ...changesOf('hold', policy.holds, wanted.holds),
        ...changesOf('watch', rulesOf(policy.watch), rulesOf(wanted.watch)),
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

const rulesOf = (files: readonly WatchFile[]) => files.flatMap(({ rules }) => rules);

type ById = Schedule | Hold | WatchFile['rules'][number];

/** By id: a file that was only renamed or commented changes nothing in what is decided. */
function changesOf(
  part: 'schedule' | 'hold' | 'watch',
  before: readonly ById[],
  after: readonly ById[],
): PolicyChange[] {
  const saysReleased = (one: ById): boolean => 'released' in one && one.released !== undefined;
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
