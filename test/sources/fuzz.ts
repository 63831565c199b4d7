// Fuzzes a collector through the whole capture path: of what a platform answers, some is mutated. No run breaks, nothing that is there is
// taken for deleted, what is put aside is kept with a reason, and a good run afterwards finds everything.

import { type CollectorContract, CollectorStage, type ShownItem } from '../support/collector-stage.ts';
import { mutated, randomFrom } from '../support/mutations.ts';
import { type Lasting, sendAnswer } from '../support/replay.ts';

export interface FuzzOptions {
  readonly seed: string;
  /** Mutated answers, at least. */
  readonly answers: number;
  readonly progress?: (answers: number, failures: number) => void;
}

export interface FuzzReport {
  readonly answers: number;
  readonly runs: Readonly<Record<'complete' | 'partial' | 'failed', number>>;
  /** What was put aside in all runs. */
  readonly rejected: number;
  /** How often runs told of each kind of trouble. */
  readonly told: Readonly<Record<string, number>>;
  /** What went wrong, each with all that it takes to do it again. */
  readonly failures: readonly string[];
}

/** Runs with one source; then it is judged, and another begins with new items. */
const RUNS_WITH_SOURCE = 60;
const ITEMS = 5;
/** A run that fails in an unheard-of way shows in the first few. */
const FAILURES_TOLD = 20;
const LIMITS = { attempts: 2, totalMilliseconds: 2000, headersMilliseconds: 2000, idleMilliseconds: 2000 };
const REASONED = /^(?:(\d+) times, w|W)hat could not be read was put aside and makes no record: \S.{4,}/s;

export async function fuzz(
  t: Lasting,
  name: string,
  contract: CollectorContract,
  { seed, answers, progress }: FuzzOptions,
): Promise<FuzzReport> {
  const stage = await CollectorStage.open(t, contract);
  stage.honoursConditions = false;
  const failures: string[] = [];
  const runs = { complete: 0, partial: 0, failed: 0 };
  const told: Record<string, number> = {};
  let rejected = 0;
  let count = 0;
  for (let round = 0; count < answers && failures.length < FAILURES_TOLD; round += 1) {
    const items = await setScene(stage, contract, round);
    const usual = stage.asked.length;
    const done: string[] = [];
    for (let nth = 0; nth < RUNS_WITH_SOURCE && count < answers; nth += 1) {
      const place = `${name} --seed ${seed}: source ${round}, run ${nth}`;
      const random = randomFrom(`${seed} ${name} ${round} ${nth}`);
      const changed = items[Math.floor(random() * items.length)] as ShownItem;
      if (random() < 0.3) changed.text = `Edited in run ${nth}`;
      const only = random() < 0.6 ? 1 + Math.floor(random() * usual) : null;
      done.length = 0;
      stage.strike = ({ position }) => {
        if (only === null ? random() < 0.7 : position !== only) return null;
        return (response, due) => {
          if (due.body.length === 0) return sendAnswer(response, due);
          const bad = mutated(due.body, random);
          count += 1;
          done.push(`answer ${position}: ${bad.name}`);
          sendAnswer(response, { ...due, body: bad.body });
        };
      };
      const wrong: string[] = [];
      try {
        const outcome = await stage.run({ limits: LIMITS });
        runs[outcome.status] += 1;
        rejected += outcome.rejected;
        for (const { code } of outcome.errors) told[code] = (told[code] ?? 0) + 1;
        wrong.push(...(await wrongOf(stage, outcome, items)));
      } catch (error) {
        wrong.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
      }
      failures.push(...wrong.map((what) => `${place} (${done.join('; ')}): ${what}`));
    }
    stage.behave();
    const place = `${name} --seed ${seed}: source ${round}, after all its runs`;
    failures.push(...(await settled(stage, items)).map((what) => `${place}: ${what}`));
    progress?.(count, failures.length);
  }
  return { answers: count, runs, rejected, told, failures };
}

/** @returns the items that are there to the end */
async function setScene(
  stage: CollectorStage,
  contract: CollectorContract,
  round: number,
): Promise<readonly ShownItem[]> {
  await stage.begin(`fuzz-${round}`);
  for (let n = 0; n < ITEMS; n += 1) stage.publish(`post ${n}`);
  const [newest] = stage.items as [ShownItem];
  if (contract.threadDepth !== null) stage.reply('answer', stage.reply('comment', newest));
  const first = await stage.run();
  if (first.status !== 'complete') throw new Error(JSON.stringify(first.errors));
  // Only what is not listed is looked up.
  for (const item of stage.items.slice(2, 4)) item.unlisted = true;
  await stage.run();
  return [...stage.items];
}

async function wrongOf(
  stage: CollectorStage,
  outcome: Awaited<ReturnType<CollectorStage['run']>>,
  items: readonly ShownItem[],
): Promise<string[]> {
  const wrong: string[] = [];
  const { pool } = stage.archive.database;
  if (outcome.missing > 0) {
    const { rows } = await pool.query<{ id: string; state: string }>(
      `SELECT i.platform_id AS id, s.state FROM record_states AS s JOIN record_identities AS i USING (record_id)
       WHERE i.platform_id = ANY ($1) AND s.state IN ('deleted', 'account-gone')`,
      [items.map((item) => stage.service.platformId(item))],
    );
    wrong.push(...rows.map(({ id, state }) => `${id} is there, and was taken for ${state}`));
  }
  const { rows } = await pool.query<{ kept: number }>(
    `SELECT count(*)::int AS kept FROM payloads WHERE run_id = $1 AND role = 'quarantine'`,
    [outcome.run],
  );
  let reasons = 0;
  for (const { code, message } of outcome.errors) {
    if (code !== 'rejected') continue;
    const told = REASONED.exec(message);
    if (told === null) wrong.push(`put aside without a reason: ${message}`);
    reasons += Number(told?.[1] ?? 1);
  }
  if (rows[0]?.kept !== outcome.rejected || reasons !== outcome.rejected)
    wrong.push(`${outcome.rejected} put aside, ${rows[0]?.kept} kept, ${reasons} with a reason`);
  if (outcome.status !== 'complete' && outcome.errors.length === 0)
    wrong.push(`${outcome.status}, and nothing says why`);
  return wrong;
}

/** @returns what a run that nothing disturbs does not set right. What mutations invented stays, and may stay unknown. */
async function settled(stage: CollectorStage, items: readonly ShownItem[]): Promise<string[]> {
  for (const item of items) item.unlisted = false;
  await stage.run();
  const { lost, doubled } = await stage.findings();
  const kept = await stage.texts();
  // An id that a mutation gave to two items of a feed is shared from then on: the item goes on under another name (src/sources/README.md).
  const own = new Map(items.map((item) => [item.key, item.text]));
  const gone = lost.filter((what) => {
    const [key = ''] = what.split(' ');
    return own.has(key) && !(what.includes('is kept as') && kept.has(own.get(key) as string));
  });
  return [...gone, ...doubled, ...(await stage.problems())];
}
