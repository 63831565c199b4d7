// Counts what credentials of metered platforms have spent, in the database: one count for all sources and workers of the archive.

import { sql } from 'kysely';
import type { Database } from '../db/database.ts';
import { isOfWrongClock, latestPeriod, type Meter } from '../sources/budget.ts';

export function meterOf(db: Database): Meter {
  return {
    async spend(credential, period, units, limit) {
      if (units > limit) return false;
      // A clock that is behind counts towards the later period: nothing that was spent is forgotten. What a clock counted that was far
      // ahead is: no call would be made until that day comes.
      const latest = latestPeriod(period);
      const { rows } = await sql`
        INSERT INTO units_spent AS known (credential, period, units) VALUES (${credential}, ${period}, ${units})
        ON CONFLICT (credential) DO UPDATE
        SET units = excluded.units + CASE WHEN known.period COLLATE "C" BETWEEN excluded.period AND ${latest} THEN known.units ELSE 0 END,
            period = CASE WHEN known.period COLLATE "C" BETWEEN excluded.period AND ${latest} THEN known.period ELSE excluded.period END
        WHERE excluded.units + CASE WHEN known.period COLLATE "C" BETWEEN excluded.period AND ${latest} THEN known.units ELSE 0 END <= ${limit}
        RETURNING units`.execute(db);
      return rows.length > 0;
    },
    async spent(credential, period) {
      const known = await db
        .selectFrom('units_spent')
        .select(['period', 'units'])
        .where('credential', '=', credential)
        .executeTakeFirst();
      return known === undefined || known.period < period || isOfWrongClock(known.period, period)
        ? 0
        : known.units;
    },
  };
}
