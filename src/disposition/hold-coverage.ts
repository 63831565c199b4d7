// Whom a hold covers, asked of all records of the archive: a new text of a hold must not let go in silence what the hold keeps.

import { sql } from 'kysely';
import { canonicalText, type Json } from '../core/canonical.ts';
import { RefusedError } from '../core/errors.ts';
import type { Database } from '../db/database.ts';
import { holdCovers, isReleased, type Policy } from '../policy/decide.ts';
import type { Hold } from '../policy/schedule.ts';
import { factsOfRecords } from './record-facts.ts';

const RECORDS_PER_PAGE = 200;
const RECORDS_TOLD = 3;

/** The dates of a scope are dates in the archive's zone. */
type InZone = Policy & { readonly timezone: string };

interface Changed {
  readonly before: Hold;
  readonly after: Hold;
  lost: number;
  readonly some: string[];
}

/** @throws RefusedError when a hold that is in force and not released by its new text would cover a record no more */
export async function refuseNarrowedHolds(
  db: Database,
  inForce: InZone,
  wanted: InZone,
  today: Temporal.PlainDate,
): Promise<void> {
  const changed = inForce.holds.flatMap((before): Changed[] => {
    const after = wanted.holds.find(({ id }) => id === before.id);
    if (after === undefined || isReleased(before, today) || isReleased(after, today)) return [];
    const same = scopeText(before) === scopeText(after) && inForce.timezone === wanted.timezone;
    return same ? [] : [{ before, after, lost: 0, some: [] }];
  });
  if (changed.length === 0) return;
  for await (const record of allFacts(db)) {
    for (const one of changed) {
      if (!holdCovers(one.before, record, inForce.timezone)) continue;
      if (holdCovers(one.after, record, wanted.timezone)) continue;
      one.lost += 1;
      if (one.some.length < RECORDS_TOLD) one.some.push(record.id);
    }
  }
  const narrowed = changed.filter(({ lost }) => lost > 0);
  if (narrowed.length === 0) return;
  const byZone = narrowed.every(({ before, after }) => scopeText(before) === scopeText(after));
  if (byZone)
    throw new RefusedError(narrowed.map((one) => narrowedLine(one, 'timezone')).join('; '), {
      hint: `Their scopes are as they were, but their dates are dates in \`timezone\`, which is ${inForce.timezone} in force and ${wanted.timezone} in muniment.yaml: bring that back, or let \`from\` begin a day earlier and \`to\` end a day later. Nothing was applied.`,
    });
  throw new RefusedError(narrowed.map((one) => narrowedLine(one, 'scope')).join('; '), {
    hint: 'Bring its scope back; to let those records go, write `released:` with by, at and reason in its file, and the narrower hold into a file and under an id of its own. Nothing was applied.',
  });
}

function scopeText({ scope }: Hold): string {
  return canonicalText(scope as Json);
}

function narrowedLine({ before, lost, some }: Changed, by: 'scope' | 'timezone'): string {
  const more = lost > some.length ? ` and ${lost - some.length} more` : '';
  return `hold ${before.id} would no longer cover ${lost} record${lost === 1 ? '' : 's'} that it covers (${some.join(', ')}${more}), and changing ${by === 'scope' ? 'a scope' : 'the zone'} does not release`;
}

async function* allFacts(db: Database) {
  let after = '00000000-0000-0000-0000-000000000000';
  for (;;) {
    const { rows } = await sql<{ id: string }>`
      SELECT id FROM records WHERE id > ${after} ORDER BY id LIMIT ${RECORDS_PER_PAGE}`.execute(db);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.id;
    const facts = await factsOfRecords(
      db,
      rows.map(({ id }) => id),
      Number.MAX_SAFE_INTEGER,
    );
    for (const record of facts.values()) if (record !== 'destroyed') yield record;
  }
}

/** @returns those of the ids that no record of the archive has */
export async function unknownRecords(db: Database, ids: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    SELECT asked.id FROM unnest(${ids as string[]}::uuid[]) AS asked (id)
    WHERE NOT EXISTS (SELECT FROM records AS r WHERE r.id = asked.id)`.execute(db);
  return rows.map(({ id }) => id);
}
