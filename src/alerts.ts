// `muniment alerts`, and what `serve` does of it: looks at how the sources and the archive are, and tells by the configured channels what is
// due. What was told stands in the database, so that of several workers one tells.

import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { type Channel, type Message, mail, openChannels } from './alerts/channels.ts';
import { digestBegins } from './alerts/digest.ts';
import { type Finding, findingsOf } from './alerts/findings.ts';
import { type Alert, alertLine, alertsDue } from './alerts/telling.ts';
import { healthOfSources } from './capture/health.ts';
import type { Archive } from './context.ts';
import { instantText } from './core/clock.ts';
import { InputError, MunimentError } from './core/errors.ts';
import type { OverdueLocks } from './disposition/lock-renewal.ts';
import { archiveLocks, locksAlert } from './locks.ts';
import { type ArchiveStatus, archiveStatus, departureAlert } from './status.ts';
import { matchesToTell, matchLines } from './watch.ts';

const TELLING_LOCK = '7301, 3';

/** @returns what is amiss, as it may be told to anybody: no texts, no handles, no platform's ids */
export async function archiveFindings(
  archive: Archive,
  status: ArchiveStatus,
  locks: OverdueLocks | null,
): Promise<Finding[]> {
  // What a drill knows is as old as its backup.
  if (archive.drill !== null) return [];
  const found: Finding[] = [];
  const add = (kind: string, sentence: string | null): void => {
    if (sentence !== null)
      found.push({ id: kind, kind, source: null, run: null, sentence: sentence.replace(/^ALERT: /, '') });
  };
  add('holds', status.lostHolds === null ? null : `Holds may be lost. ${status.lostHolds.sentence}`);
  add('store', status.left === null ? null : departureAlert(status.left));
  add('locks', locks === null ? null : locksAlert(locks));
  const health = await healthOfSources(archive.database.db);
  const now = archive.clock.now();
  for (const { source, status: last, missedRuns, unfinished, leftAloneUntil } of status.sources)
    found.push(
      ...findingsOf(
        {
          source,
          status: last,
          missedRuns: unfinished?.running === true ? 0 : missedRuns,
          isBrokenOff: unfinished?.running === false,
          leftAloneUntil,
          health: health.get(source) ?? null,
        },
        now,
      ),
    );
  return found;
}

/** What was told, by channel. */
export interface Telling {
  readonly told: { readonly channel: string; readonly alerts: readonly Alert[] }[];
  readonly failed: { readonly channel: string; readonly reason: string }[];
  readonly digest: boolean;
}

/**
 * Tells each channel what it is due. What a channel does not take it is told the next time; a process that dies in between tells it twice
 * rather than never.
 * @returns null where another process is telling
 */
export async function tellAlerts(
  archive: Archive,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Telling | null> {
  const { settings, database, clock } = archive;
  await using lock = await database.hold();
  const { rows } = await lock.query<{ got: boolean }>(`SELECT pg_try_advisory_lock(${TELLING_LOCK}) AS got`);
  if (rows[0]?.got !== true) return null;
  const findings = await archiveFindings(archive, await archiveStatus(archive), await archiveLocks(archive));
  const told: Telling['told'][number][] = [];
  const failed: Telling['failed'][number][] = [];
  const attempt = async (channel: string, send: () => Promise<void>): Promise<boolean> => {
    try {
      await send();
      return true;
    } catch (error) {
      if (!(error instanceof MunimentError)) throw error;
      failed.push({ channel, reason: error.message });
      return false;
    }
  };
  for (const channel of openChannels(settings.alerts, say)) {
    const now = clock.now();
    const known = await database.db
      .selectFrom('alerts_told')
      .select(['finding', 'since', 'told_at as toldAt', 'times'])
      .where('channel', '=', channel.name)
      .execute();
    const matches = await matchesToTell(archive, channel.name);
    const amiss = alertsDue(findings, known, instantText(now));
    const alerts = [...amiss, ...matches.alerts];
    if (alerts.length === 0) continue;
    if (!(await attempt(channel.name, () => channel.send(messageOf(archive, alerts, now), signal)))) continue;
    told.push({ channel: channel.name, alerts });
    await noteTold(archive, channel, amiss, instantText(now));
    await matches.noteTold();
  }
  const digest = await tellDigest(archive, findings, (send) => attempt('digest', send), signal);
  return { told, failed, digest };
}

async function noteTold(
  { database }: Archive,
  { name }: Channel,
  alerts: readonly Alert[],
  at: string,
): Promise<void> {
  for (const { state, finding, since } of alerts)
    if (state === 'mended')
      await database.db
        .deleteFrom('alerts_told')
        .where('finding', '=', finding)
        .where('channel', '=', name)
        .execute();
    else
      await database.db
        .insertInto('alerts_told')
        .values({ finding, channel: name, since, told_at: at, times: 1 })
        .onConflict((conflict) =>
          conflict
            .columns(['finding', 'channel'])
            .doUpdateSet({ told_at: at, times: sql`alerts_told.times + 1` }),
        )
        .execute();
}

function messageOf({ settings }: Archive, alerts: readonly Alert[], at: Temporal.Instant): Message {
  const { origin } = settings.archive;
  const mended = alerts.filter(({ state }) => state === 'mended').length;
  const watched = alerts.filter(({ kind }) => kind === 'watch').length;
  const amiss = alerts.length - mended - watched;
  const parts = [
    amiss > 0 ? `${amiss} amiss` : null,
    watched > 0 ? `${watched} found by watch words` : null,
    mended > 0 ? `${mended} mended` : null,
  ];
  return {
    at,
    subject: `${origin}: ${parts.filter((part) => part !== null).join(', ')}`,
    lines: alerts.map(alertLine),
    document: { v: 'muniment/v1/alerts', origin, at: instantText(at), alerts },
  };
}

/** Tells the digest of the day or week that has ended, where one is configured and was not told yet. */
async function tellDigest(
  archive: Archive,
  findings: readonly Finding[],
  attempt: (send: () => Promise<void>) => Promise<boolean>,
  signal: AbortSignal,
): Promise<boolean> {
  const { settings, database, clock } = archive;
  const { digest, email } = settings.alerts;
  if (digest === null || email === null) return false;
  const now = clock.now();
  const { from, to } = digestBegins(digest.every, now.toZonedDateTimeISO(settings.archive.timezone));
  const last = await database.db
    .selectFrom('alerts_told')
    .select('told_at')
    .where('channel', '=', 'digest')
    .executeTakeFirst();
  // One that a clock far ahead wrote down says nothing.
  const isTold = last !== undefined && last.told_at <= instantText(now.add({ hours: 24 }));
  if (isTold && last.told_at >= instantText(to.toInstant())) return false;
  const lines = await digestLines(archive, findings, instantText(from.toInstant()));
  const subject = `${settings.archive.origin}: from ${from.toPlainDate()} to ${to.toPlainDate()}`;
  if (!(await attempt(() => mail(email, digest.to, { at: now, subject, lines, document: {} }, signal))))
    return false;
  const at = instantText(now);
  await database.db
    .insertInto('alerts_told')
    .values({ finding: 'digest', channel: 'digest', since: at, told_at: at, times: 1 })
    .onConflict((conflict) => conflict.columns(['finding', 'channel']).doUpdateSet({ told_at: at }))
    .execute();
  return true;
}

async function digestLines(archive: Archive, findings: readonly Finding[], from: string): Promise<string[]> {
  const { settings, database } = archive;
  const { rows } = await sql<{ name: string; runs: string; created: string; changed: string }>`
    SELECT s.name,
      (SELECT count(*) FROM capture_runs AS r JOIN ledger_entries AS e USING (seq)
        WHERE r.source_id = s.id AND convert_from(e.entry, 'UTF8')::jsonb ->> 'at' >= ${from}) AS runs,
      count(*) FILTER (WHERE n.version = 1) AS created, count(*) FILTER (WHERE n.version > 1) AS changed
    FROM sources AS s LEFT JOIN record_sources AS l ON l.source_id = s.id
    LEFT JOIN snapshots AS n ON n.record_id = l.record_id AND n.captured_at >= ${from}
    GROUP BY s.id, s.name`.execute(database.db);
  const lines = settings.sources.map(({ id }) => {
    const row = rows.find(({ name }) => name === id);
    return `${id}: ${row?.runs ?? 0} runs, ${row?.created ?? 0} new items, ${row?.changed ?? 0} changes.`;
  });
  const amiss = findings.map(({ sentence }) => sentence);
  const matches = await matchLines(archive, from);
  return [...lines, ...matches, ...(amiss.length === 0 ? ['Nothing is amiss.'] : ['Amiss now:', ...amiss])];
}

/** Sends a trial by every channel. @throws InputError where there is none */
export async function tryAlerts(
  { settings, clock }: Pick<Archive, 'settings' | 'clock'>,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<{ channel: string; error: string | null }[]> {
  const channels = openChannels(settings.alerts, say);
  if (channels.length === 0)
    throw new InputError('no alerts are configured', {
      hint: 'Add `alerts:` to muniment.yaml, with log, webhook or email.',
    });
  const { origin } = settings.archive;
  const at = clock.now();
  const message: Message = {
    at,
    subject: `${origin}: a trial of its alerts`,
    lines: [`This is a trial of the alerts of ${origin}: nothing is amiss because of it.`],
    document: { v: 'muniment/v1/alerts', origin, at: instantText(at), trial: true, alerts: [] },
  };
  const tried: { channel: string; error: string | null }[] = [];
  for (const channel of channels) {
    const error = await channel.send(message, signal).then(
      () => null,
      (reason: unknown) => {
        if (!(reason instanceof MunimentError)) throw reason;
        return reason.message;
      },
    );
    tried.push({ channel: channel.name, error });
  }
  return tried;
}

/** Looks and tells until the signal comes. A database that is away for a while is told, and asked again. */
export async function tellRepeatedly(
  archive: Archive,
  signal: AbortSignal,
  say: (line: string) => void,
  seconds: number,
): Promise<void> {
  const { log, webhook, email } = archive.settings.alerts;
  if (!log && webhook === null && email === null) return;
  while (!signal.aborted) {
    try {
      const telling = await tellAlerts(archive, say, signal);
      for (const { reason } of telling?.failed ?? []) say(reason);
    } catch (error) {
      if (!(error instanceof MunimentError)) throw error;
      say(`Alerts were not told: ${error.message}`);
    }
    await pause(seconds * 1000, undefined, { signal }).catch((error: Error) => {
      if (error.name !== 'AbortError') throw error;
    });
  }
}
