// What happens to the items of a page: new and changed ones are stored, then entered, one transaction for the page; unchanged ones are
// only noted as seen. While one page is entered the next ones are stored: nothing is ever entered before its payloads are durable, or before
// the page that came before it.

import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { canonicalText, wellFormed } from '../core/canonical.ts';
import { instantText } from '../core/clock.ts';
import { identityFault } from '../core/vocabulary.ts';
import type { Batch } from '../ledger/append.ts';
import { column } from '../ledger/projection.ts';
import { CollectError } from '../sources/collect-error.ts';
import { isImportRule, type Rejected, type Sighting } from '../sources/collector.ts';
import { comparisonBytes } from './documents.ts';
import { identityKey, type KnownItem, knownItems } from './known.ts';
import { contentDigest } from './payloads.ts';
import { type Prepared, prepare, prepareRestoration, type Restoration } from './prepare.ts';
import {
  type CaptureContext,
  known,
  noteExchange,
  noteProblem,
  quarantine,
  type RunProgress,
  recordVersions,
} from './progress.ts';
import { keepTags } from './tags.ts';

/** Items stored at the same time; each waits mostly for the disk or the bucket. */
const CONCURRENCY = 32;

type Round = ReadonlyMap<string, Sighting>;

/** Rounds under way at one time: one is entered, one waits for its last payloads, one begins to be stored. Bounds what a run holds. */
const UNDER_WAY = 3;

/** The pages of one run, in their order. */
export class Pages {
  readonly #context: CaptureContext;
  readonly #run: RunProgress;
  /** What is being stored and entered, first to last: its items, and the work. */
  #underWay: { readonly round: Round; readonly work: Promise<void> }[] = [];

  constructor(context: CaptureContext, run: RunProgress) {
    this.#context = context;
    this.#run = run;
  }

  /** Begins to store a page's items and to enter them: see {@link entered}. @throws what made an earlier page fail; then nothing more is entered */
  async take(sightings: readonly Sighting[], rejected: readonly Rejected[]): Promise<void> {
    for (const one of rejected) await quarantine(this.#context, this.#run, one.bytes, one.reason);
    let rest: Sighting[] = [];
    for (const sighting of sightings) {
      const fault = identityFault(sighting.identity);
      if (fault === null) rest.push(sighting);
      else await quarantine(this.#context, this.#run, sighting.slice, fault);
    }
    rest = await this.#withEarlier(rest);
    // The same item may stand twice in one page; each round takes every item once, so that a later sighting meets what the earlier one left.
    while (rest.length > 0) {
      const round = new Map<string, Sighting>();
      const later: Sighting[] = [];
      for (const sighting of rest) {
        const key = identityKey(sighting.identity);
        if (round.has(key)) later.push(sighting);
        else round.set(key, sighting);
      }
      await this.#takeRound(round);
      rest = later;
    }
  }

  /** Resolves when everything taken is in the ledger. @throws what made that fail */
  async entered(): Promise<void> {
    const underWay = this.#underWay;
    this.#underWay = [];
    const results = await Promise.allSettled(underWay.map(({ work }) => work));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** Puts before each item that is new or changed the versions that came before it, were never captured, and are still shown. */
  async #withEarlier(sightings: readonly Sighting[]): Promise<Sighting[]> {
    const asked = sightings.filter(({ earlier }) => earlier !== undefined);
    if (asked.length === 0) return [...sightings];
    // What is under way may be about these very items.
    await this.entered();
    const [context, run] = [this.#context, this.#run];
    const identities = asked.map(({ identity }) => identity);
    const known = await knownItems(context.database.db, run.source.id, identities);
    const whole: Sighting[] = [];
    for (const sighting of sightings) {
      const item = known.get(identityKey(sighting.identity));
      if (sighting.earlier !== undefined)
        whole.push(...(await earlierVersions(context, run, sighting, item)));
      whole.push(sighting);
    }
    return whole;
  }

  async #takeRound(round: Round): Promise<void> {
    // An item of a page that is not entered yet: what is known of it is about to change.
    const known = [...round.keys()];
    if (this.#underWay.some((other) => known.some((key) => other.round.has(key)))) await this.entered();
    if (this.#underWay.length === UNDER_WAY) await this.#underWay[0]?.work;
    if (this.#underWay.length === UNDER_WAY) this.#underWay.shift();
    const before = this.#underWay.at(-1)?.work;
    const stored = storeRound(this.#context, this.#run, round);
    const work = Promise.allSettled([before, stored]).then(async () => {
      await before;
      await enterRound(this.#context, this.#run, round, await stored);
    });
    // Its failure is thrown by entered(), or when its turn is over; until then it is not unheard.
    work.catch(() => undefined);
    this.#underWay.push({ round, work });
  }
}

interface StoredRound {
  readonly before: ReadonlyMap<string, KnownItem>;
  readonly prepared: readonly Prepared[];
  readonly restorations: readonly Restoration[];
}

function changed(sighting: Sighting, content: string, rule: string, item: KnownItem): boolean {
  if (item.content === null) return false;
  if (item.rule === rule) return item.content !== content && !item.imported.includes(content);
  // What the platform itself showed, or another kind of file, stands above a file of which nobody knows how old it is.
  if (isImportRule(rule)) return false;
  const { former } = sighting;
  if (item.rule === former?.rule && item.content !== contentDigest(comparisonBytes(former.comparison)))
    return true;
  if (isImportRule(item.rule ?? ''))
    return item.rule !== former?.rule && wordsOf(sighting.item) !== wordsOf(item);
  // What an unknown rule left out, or a former one, can't be compared by digest; then a visible difference makes a new version.
  const { title, text, languages, tags } = sighting.item;
  const shown = wellFormed({ title, text, languages, tags });
  return !isDeepStrictEqual(
    [column(shown.title), column(shown.text), shown.languages.map(column), shown.tags.map(column)],
    [item.title, item.text ?? '', item.languages, item.tags],
  );
}

/** @returns the words alone, however they are spaced and spelt in Unicode: what every shape of an item has in common */
function wordsOf({ title, text }: { title: string | null; text: string | null }): string {
  return column(`${title ?? ''} ${text ?? ''}`.toWellFormed())
    .normalize('NFC')
    .replace(/\s+/g, ' ')
    .trim();
}

/**
 * @returns what to enter before a sighting, oldest first. Of an item that is known, only what came after its last version: where that is not
 *   among what the platform shows (another rule made it, or another server showed it), nobody can tell what is new, and nothing is entered
 */
async function earlierVersions(
  context: CaptureContext,
  run: RunProgress,
  sighting: Sighting,
  item: KnownItem | undefined,
): Promise<readonly Sighting[]> {
  const { comparisonRule: rule } = run.collector;
  const present = digestOf(sighting);
  if (item !== undefined && (item.rule !== rule || !changed(sighting, present, rule, item))) return [];
  try {
    const page = (await sighting.earlier?.(run.signal)) ?? null;
    if (page === null) return [];
    noteExchange(run, page.exchange);
    for (const one of page.rejected) await quarantine(context, run, one.bytes, one.reason);
    const shown = page.sightings.map(digestOf);
    const from = item === undefined ? 0 : shown.lastIndexOf(item.content as string) + 1;
    if (item !== undefined && from === 0) return [];
    return page.sightings.filter((_, index) => index >= from && shown[index] !== present);
  } catch (error) {
    if (!(error instanceof CollectError)) throw error;
    noteProblem(run, error.problem);
    return [];
  }
}

const digestOf = (sighting: Sighting): string => contentDigest(comparisonBytes(sighting.comparison));

async function storeRound(context: CaptureContext, run: RunProgress, round: Round): Promise<StoredRound> {
  const before = await knownItems(context.database.db, run.source.id, identitiesOf(round));
  const work: (() => Promise<void>)[] = [];
  const prepared: Prepared[] = [];
  const restorations: Restoration[] = [];
  const isImport = isImportRule(run.collector.comparisonRule);
  for (const [key, sighting] of round) {
    const item = before.get(key);
    const content = digestOf(sighting);
    const cause =
      item === undefined
        ? 'first'
        : changed(sighting, content, run.collector.comparisonRule, item)
          ? 'changed'
          : item.mediaMissing > 0 && (!isImport || item.rule === run.collector.comparisonRule)
            ? 'media'
            : null;
    if (cause !== null) {
      work.push(async () => {
        const one = await prepare(context, run, sighting, key, item, cause, content);
        if (one !== null) prepared.push(one);
      });
    }
    // That an item stands in a file says nothing of whether the platform shows it again.
    if (!isImport && item !== undefined && item.state !== null && item.state !== 'restored') {
      work.push(async () => {
        restorations.push(await prepareRestoration(context, run, sighting, item));
      });
    }
  }
  await inParallel(work, CONCURRENCY);
  // The order in which stores answered must not show in the ledger: items stand in the page's order.
  const order = new Map([...round.keys()].map((key, position) => [key, position]));
  prepared.sort((a, b) => (order.get(a.key) as number) - (order.get(b.key) as number));
  restorations.sort((a, b) => (a.record < b.record ? -1 : 1));
  return { before, prepared, restorations };
}

async function enterRound(
  context: CaptureContext,
  run: RunProgress,
  round: Round,
  stored: StoredRound,
): Promise<void> {
  const { before, prepared, restorations } = stored;
  const unlinked = [...before.values()].some((item) => !item.linked);
  if (prepared.length + restorations.length === 0 && !unlinked) {
    const seen = new Map([...before].map(([key, item]) => [key, item.record]));
    await noteSeen(context.database.db, run, round, seen);
    return;
  }
  // Before the sequencer's lock is held: rules and texts may be long.
  const tagged = prepared.flatMap(({ document }) => {
    const { record, snapshot } = document;
    const tags = context.tagging?.(document) ?? [];
    return tags.length === 0 ? [] : [{ record, snapshot, tags }];
  });
  await context.ledger.write(context.actor, async (batch) => {
    await enter(batch, context.store.identity, run, round, stored);
    if (tagged.length > 0)
      batch.afterwards(() => keepTags(batch.tx, tagged, instantText(context.clock.now())));
  });
}

/** Runs in the sequencer's transaction: what another source captured meanwhile is left out, its payloads stay unreferenced. */
async function enter(
  batch: Batch,
  store: string,
  run: RunProgress,
  round: Round,
  { prepared, restorations }: StoredRound,
): Promise<void> {
  const now = await knownItems(batch.tx, run.source.id, identitiesOf(round));
  const records = new Map([...now].map(([key, item]) => [key, item.record]));
  const versions = [];
  for (const one of prepared) {
    const { document } = one;
    if ((now.get(one.key)?.version ?? 0) !== document.version - 1) continue;
    batch.add(
      {
        type: 'item.captured',
        record: document.record,
        snapshot: document.snapshot,
        run: run.id,
        version: document.version,
        document: one.commitment,
        disclosure: one.disclosure,
        leaves: one.leaves,
      },
      { document, seed: one.seed, facts: (commitment) => known(one.payloads, commitment) },
    );
    records.set(one.key, document.record);
    versions.push(...one.payloads.values());
    run.counts.media += one.newMedia;
    if (document.cause === 'first') run.counts.captured += 1;
    else run.counts.changed += 1;
  }
  for (const one of restorations) {
    batch.add(
      {
        type: 'item.restored',
        record: one.record,
        run: run.id,
        seenAt: one.sighting.exchange.receivedAt,
        document: one.document.commitment,
      },
      { facts: () => one.document },
    );
    versions.push(one.document);
    run.counts.restored += 1;
  }
  const unlinked = new Set([...now.values()].filter((item) => !item.linked).map((item) => item.record));
  for (const record of unlinked)
    batch.add({ type: 'record.linked', record, source: run.source.id, run: run.id });
  await recordVersions(batch.tx, store, versions);
  await noteSeen(batch.tx, run, round, records);
}

function identitiesOf(round: Round) {
  return [...round.values()].map((sighting) => sighting.identity);
}

/** Last-seen times and counters: working memory, from which the run report is written. */
async function noteSeen(
  db: Batch['tx'] | CaptureContext['database']['db'],
  run: RunProgress,
  round: Round,
  records: ReadonlyMap<string, string>,
): Promise<void> {
  const seen = new Map<string, Sighting>();
  for (const [key, sighting] of round) {
    const record = records.get(key);
    if (record !== undefined) seen.set(record, sighting);
  }
  if (seen.size === 0) return;
  const sightings = [...seen.values()];
  await sql`
    INSERT INTO sightings (record_id, source_id, seen_at, run_id, observations)
    SELECT record_id, ${run.source.id}, seen_at, ${run.id}, observations
    FROM unnest(${[...seen.keys()]}::uuid[], ${sightings.map((s) => s.exchange.receivedAt)}::timestamptz[],
                ${sightings.map((s) => canonicalText({ ...s.observations }))}::text[]) AS seen (record_id, seen_at, observations)
    ON CONFLICT (source_id, record_id) DO UPDATE
    SET seen_at = excluded.seen_at, run_id = excluded.run_id, observations = excluded.observations`.execute(
    db,
  );
}

/** Runs jobs, a few at a time; the first failure is thrown after those under way have ended. */
async function inParallel(jobs: readonly (() => Promise<void>)[], limit: number): Promise<void> {
  const queue = jobs[Symbol.iterator]();
  const workers = Array.from({ length: Math.min(limit, jobs.length) }, async () => {
    for (const job of queue) await job();
  });
  const results = await Promise.allSettled(workers);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
