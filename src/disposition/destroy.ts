// The only way out: what policy makes eligible is destroyed, in two steps that a crash can part. An intent enters the ledger, under the same
// lock as every change of policy; then objects go, then rows are erased with an entry for each payload. Proposal and approval by two
// people, certificates and tombstones are not here yet, so no command leads here.

import { sql } from 'kysely';
import type { Json } from '../core/canonical.ts';
import { InputError, RefusedError } from '../core/errors.ts';
import type { SourceSettings } from '../core/settings.ts';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import type { Ledger } from '../ledger/append.ts';
import { BODY_KIND } from '../ledger/body-kind.ts';
import { ERASED_COLUMNS } from '../ledger/projection.ts';
import { requireStoreInForce } from '../ledger/store-in-force.ts';
import { type CivilSettings, type Decision, decide } from '../policy/decide.ts';
import type { PolicyFile } from '../policy/load.ts';
import type { ObjectEraser } from '../store/objects.ts';
import {
  LOSS_REMEDY,
  lossSentence,
  PART_NAMES,
  policyInForce,
  policySettings,
  settingsInForce,
  unacknowledgedLoss,
  unapplied,
} from './policy-in-force.ts';
import { recordFacts } from './record-facts.ts';

const INTENT = BODY_KIND.intent;

export interface DispositionContext {
  readonly db: Database;
  readonly ledger: Ledger;
  readonly eraser: ObjectEraser;
  /** Identity of the store that the eraser removes from. */
  readonly store: string;
  /** Account id that the entries name. */
  readonly actor: string;
}

/** What policy needs beside the database, as of the day of the decision. */
export interface DecisionInputs {
  readonly files: readonly PolicyFile[];
  readonly sources: readonly SourceSettings[];
  readonly civil: CivilSettings;
  readonly today: Temporal.PlainDate;
}

interface Intent {
  readonly records: readonly { readonly record: string; readonly payloads: readonly string[] }[];
}

/**
 * Destroys records that policy makes eligible today: all of them, or none is begun.
 * @returns position of the intent, and how many payloads are gone
 * @throws RefusedError when one of them is not eligible, or files differ from the policy in force, or holds may
 *   be among what a restore lost
 */
export async function destroyRecords(
  context: DispositionContext,
  records: readonly string[],
  inputs: DecisionInputs,
): Promise<{ intent: number; payloads: number }> {
  const intent = await context.ledger.write(context.actor, async (batch) => {
    await requireStoreInForce(batch.tx, context.store);
    const loss = await unacknowledgedLoss(batch.tx);
    if (loss !== null)
      throw new RefusedError(`nothing may be destroyed. ${lossSentence(loss)}`, { hint: LOSS_REMEDY });
    const differing = await unapplied(batch.tx, {
      files: inputs.files,
      settings: policySettings(inputs.civil, inputs.sources),
    });
    if (differing.length > 0) {
      const named = differing.map((part) => PART_NAMES[part]).join(' and ');
      throw new RefusedError(`${named} differ from the policy in force`, {
        hint: 'Nothing is destroyed until `muniment policy apply`.',
      });
    }
    const inForce = await policyInForce(batch.tx, Number.MAX_SAFE_INTEGER);
    const settings = settingsInForce(inForce, inputs.civil);
    const listed: Intent['records'][number][] = [];
    for (const record of [...records].sort()) {
      const facts = await recordFacts(batch.tx, record, Number.MAX_SAFE_INTEGER);
      mustBeEligible(decide(facts, inForce.policy, inputs.today, settings));
      listed.push({ record, payloads: await payloadsOf(batch.tx, record) });
    }
    const body = { records: listed } satisfies Intent;
    return batch.addWithBody({ type: 'sealed' }, INTENT, body as unknown as Json);
  });
  return { intent, payloads: await execute(context, intent) };
}

/** Ends what a crash interrupted. @returns positions of the intents that were not carried out to their end */
export async function finishDestructions(context: DispositionContext): Promise<number[]> {
  const intents = await context.db
    .selectFrom('entry_bodies')
    .select('seq')
    .where('kind', '=', INTENT)
    .orderBy('seq')
    .execute();
  const finished: number[] = [];
  for (const { seq } of intents) if ((await execute(context, seq)) > 0) finished.push(seq);
  return finished;
}

/**
 * Carries out again what the ledger says was destroyed, from a position on: after a restore from a backup that is older, objects and columns
 * may have come back.
 * @returns how many payloads were gone over
 */
export async function destroyAgain(
  context: { readonly db: Database; readonly eraser: ObjectEraser },
  from: number,
): Promise<number> {
  let after = '00000000-0000-0000-0000-000000000000';
  let destroyed = 0;
  while (true) {
    const { rows } = await sql<{ record: string; payloads: string[] }>`
      SELECT record_id AS record, array_agg(commitment) AS payloads FROM payload_destructions
      WHERE seq >= ${from} AND record_id > ${after} GROUP BY record_id ORDER BY record_id LIMIT 100`.execute(
      context.db,
    );
    if (rows.length === 0) return destroyed;
    for (const { record, payloads } of rows) {
      for (const commitment of payloads) await context.eraser.erase(commitment);
      await context.db.transaction().execute((tx) => eraseRows(tx, record, payloads));
      destroyed += payloads.length;
      after = record;
    }
  }
}

function mustBeEligible(decision: Decision): void {
  if (decision.decision === 'eligible') return;
  throw new RefusedError(`record ${decision.record} may not be destroyed: ${decision.decision}`, {
    hint: decision.reasons.join(' '),
  });
}

async function payloadsOf(tx: DatabaseTransaction, record: string): Promise<string[]> {
  const rows = await tx
    .selectFrom('payloads')
    .select('commitment')
    .where('record_id', '=', record)
    .where('salt', 'is not', null)
    .orderBy('commitment')
    .execute();
  return rows.map((row) => row.commitment);
}

/** Objects first: an entry that says *destroyed* is never ahead of the fact. @returns payloads destroyed by this call */
async function execute(context: DispositionContext, intent: number): Promise<number> {
  const { records } = await readIntent(context.db, intent);
  let destroyed = 0;
  for (const { record, payloads } of records) {
    const left = await notDestroyed(context.db, payloads);
    if (left.length === 0) continue;
    // A store that the archive has left keeps its copies: what goes must go from where the archive is.
    await requireStoreInForce(context.db, context.store);
    for (const commitment of left) await context.eraser.erase(commitment);
    await context.ledger.write(context.actor, async (batch) => {
      await requireStoreInForce(batch.tx, context.store);
      // Another process may have ended this record meanwhile.
      const mine = await notDestroyed(batch.tx, left);
      for (const payload of mine) batch.add({ type: 'payload.destroyed', record, payload, intent });
      batch.afterwards(() => eraseRows(batch.tx, record, payloads));
      destroyed += mine.length;
    });
  }
  return destroyed;
}

async function readIntent(db: Database, seq: number): Promise<Intent> {
  const row = await db
    .selectFrom('entry_bodies')
    .select('body')
    .where('seq', '=', seq)
    .where('kind', '=', INTENT)
    .executeTakeFirst();
  if (row === undefined)
    throw new InputError(`entry ${seq} is no intent of destruction`, { hint: 'Run `muniment verify`.' });
  return JSON.parse(row.body.toString('utf8')) as Intent;
}

async function notDestroyed(
  db: Database | DatabaseTransaction,
  payloads: readonly string[],
): Promise<string[]> {
  const { rows } = await sql<{ commitment: string }>`
    SELECT commitment FROM unnest(${payloads as string[]}::text[]) AS asked (commitment)
    WHERE NOT EXISTS (SELECT FROM payload_destructions AS d WHERE d.commitment = asked.commitment)`.execute(
    db,
  );
  return rows.map((row) => row.commitment);
}

/** As the eraser, whose rights end with this work: columns to NULL, working memory removed. */
async function eraseRows(
  tx: DatabaseTransaction,
  record: string,
  payloads: readonly string[],
): Promise<void> {
  const list = sql`${payloads as string[]}::text[]`;
  await sql`SET LOCAL ROLE muniment_eraser`.execute(tx);
  await sql`UPDATE payloads SET ${nulls('payloads')} WHERE commitment = ANY(${list})`.execute(tx);
  await sql`UPDATE snapshots SET ${nulls('snapshots')} WHERE record_id = ${record} AND document = ANY(${list})`.execute(
    tx,
  );
  await sql`UPDATE record_identities SET ${nulls('record_identities')} WHERE record_id = ${record}`.execute(
    tx,
  );
  await sql`DELETE FROM payload_versions WHERE commitment = ANY(${list})`.execute(tx);
  await sql`DELETE FROM payload_locks WHERE commitment = ANY(${list})`.execute(tx);
  await sql`DELETE FROM record_tags WHERE record_id = ${record}`.execute(tx);
  await sql`DELETE FROM sightings WHERE record_id = ${record}`.execute(tx);
  await sql`RESET ROLE`.execute(tx);
}

function nulls(table: keyof typeof ERASED_COLUMNS) {
  return sql.join(ERASED_COLUMNS[table].map((column) => sql`${sql.ref(column)} = NULL`));
}
