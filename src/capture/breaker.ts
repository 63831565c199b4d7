// Hosts that are left alone for a while, because the runs of whoever asks them with one credential failed again and again: one count for all
// sources and workers of the archive. A host is asked again by one run, and the others wait for what comes of that.

import { sql } from 'kysely';
import { instantText } from '../core/clock.ts';
import type { Secret } from '../core/secret.ts';
import type { SourceSettings } from '../core/settings.ts';
import type { Database } from '../db/database.ts';
import { CollectError } from '../sources/collect-error.ts';
import type { Collector, ProblemCode } from '../sources/collector.ts';
import type { RunOutcome } from './outcome.ts';

/** Failures in a row before a host is left alone. */
const PATIENCE = 3;
const FIRST_MINUTES = 5;
const LONGEST_MINUTES = 6 * 60;
/** What says that a host cannot answer, or will not for now. */
const OF_THE_HOST: ReadonlySet<string> = new Set<ProblemCode>([
  'unreachable',
  'timeout',
  'http-status',
  'rate-limited',
  'not-the-expected-format',
]);
/** What says nothing of the host. */
const OF_OURSELVES: ReadonlySet<string> = new Set([
  'busy',
  'store',
  'interrupted',
  'left-alone',
  'defect',
  'budget-spent',
]);

export interface AskedAs {
  /** Name and port. */
  readonly host: string;
  /** The secret's reference; empty: none is used. */
  readonly credential: string;
}

/** @returns whom a source asks, and as whom; null: nobody */
export function askedAs(settings: SourceSettings): AskedAs | null {
  if (settings.platform === 'import') return null;
  const { host } = new URL(settings.platform === 'feed' ? settings.url : settings.service);
  return { host, credential: credentialOf(settings)?.reference ?? '' };
}

function credentialOf(settings: SourceSettings): Secret | null {
  if ('key' in settings) return settings.key;
  if ('token' in settings) return settings.token;
  if (!('access' in settings)) return null;
  return 'token' in settings.access ? settings.access.token : settings.access.clientId;
}

/** @returns minutes for which a host is left alone after so many failures in a row; 0: it is not */
export function minutesAlone(failures: number): number {
  return failures < PATIENCE ? 0 : Math.min(LONGEST_MINUTES, FIRST_MINUTES * 2 ** (failures - PATIENCE));
}

const keyOf = ({ host, credential }: AskedAs): string => `${host}\n${credential}`;

/** @returns by {@link AskedAs}, until when a host is left alone (RFC 3339) */
export async function hostsLeftAlone(
  db: Database,
  now: Temporal.Instant,
): Promise<(asked: AskedAs | null) => string | null> {
  const rows = await db
    .selectFrom('hosts_left_alone')
    .selectAll()
    .where('until', '>', instantText(now))
    .where('until', '<=', instantText(now.add({ minutes: LONGEST_MINUTES })))
    .execute();
  const until = new Map(rows.map((row) => [keyOf(row), row.until]));
  return (asked) => (asked === null ? null : (until.get(keyOf(asked)) ?? null));
}

/** Takes the turn to try a host again whose time is over. @returns until when it is left alone; null: it may be asked */
export async function mayAsk(db: Database, asked: AskedAs, now: Temporal.Instant): Promise<string | null> {
  const trial = now.add({ minutes: FIRST_MINUTES });
  const { numUpdatedRows } = await db
    .updateTable('hosts_left_alone')
    .set({ until: instantText(trial) })
    .where('host', '=', asked.host)
    .where('credential', '=', asked.credential)
    .where(({ eb, or }) =>
      or([
        eb('until', '<=', instantText(now)),
        // Nobody is left alone for that long: a clock was ahead when it was written.
        eb('until', '>', instantText(now.add({ minutes: LONGEST_MINUTES }))),
      ]),
    )
    .executeTakeFirst();
  return numUpdatedRows > 0 ? null : (await hostsLeftAlone(db, now))(asked);
}

/** Counts what came of a run. */
export async function noteAnswered(
  db: Database,
  { host, credential }: AskedAs,
  { status, errors }: Pick<RunOutcome, 'status' | 'errors'>,
  now: Temporal.Instant,
): Promise<void> {
  if (status === 'failed' && errors.some(({ code }) => OF_THE_HOST.has(code))) {
    const { rows } = await sql<{ failures: number }>`
      INSERT INTO hosts_left_alone AS known (host, credential, failures) VALUES (${host}, ${credential}, 1)
      ON CONFLICT (host, credential) DO UPDATE SET failures = known.failures + 1 RETURNING failures`.execute(
      db,
    );
    const minutes = minutesAlone(rows[0]?.failures ?? 0);
    if (minutes > 0)
      await db
        .updateTable('hosts_left_alone')
        .set({ until: instantText(now.add({ minutes })) })
        .where('host', '=', host)
        .where('credential', '=', credential)
        .execute();
  } else if (status !== 'failed' || !errors.some(({ code }) => OF_OURSELVES.has(code)))
    await db
      .deleteFrom('hosts_left_alone')
      .where('host', '=', host)
      .where('credential', '=', credential)
      .execute();
}

/** @returns a collector in the place of the source's own that asks nothing: its run fails, and its report says why */
export function leftAlone(collector: Collector, { host }: AskedAs, until: string): Collector {
  const refuse = (): never => {
    throw new CollectError(
      'left-alone',
      `${host} failed so often that it is left alone until ${until}; nothing was asked`,
      host,
      { hint: 'The first run after that tries it again; `muniment collect` does so at once.' },
    );
  };
  const { platform, collectorVersion, comparisonRule } = collector;
  return {
    platform,
    collectorVersion,
    comparisonRule,
    check: refuse,
    collect: refuse,
    lookUp: refuse,
    fetchMedia: refuse,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
