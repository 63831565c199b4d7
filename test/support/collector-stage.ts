// Where a collector is tried: a real archive, a local server that shows items as the collector's platform does, well or badly, and the
// truth to compare records with.

import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunOutcome } from '../../src/capture/outcome.ts';
import type { Environment } from '../../src/config.ts';
import { type Archive, openArchive } from '../../src/context.ts';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import type { SourceSettings } from '../../src/core/settings.ts';
import { initArchive } from '../../src/setup.ts';
import type { Collector } from '../../src/sources/collector.ts';
import type { HttpLimits } from '../../src/sources/http.ts';
import { captureFrom, verifyArchiveOf } from './archive.ts';
import { DOUBLED, FAST_FOLDER } from './faulted-archive.ts';
import { freshDatabase } from './postgres.ts';
import { type Answered, answering, type Lasting, type Misbehaviour, patient, sendAnswer } from './replay.ts';

/** Something that the platform holds. */
export interface ShownItem {
  readonly key: string;
  text: string;
  /** What it is the public's reply to; null for what the account itself wrote. */
  readonly parent: ShownItem | null;
  /** It exists, and stands in its place in the account's list, but is not shown there. */
  unlisted: boolean;
}

/** What a request is for: the account's list, the replies to something, one item after a run did not see it, or anything else. */
export type Asks = 'list' | 'thread' | 'look-up' | 'account';

/** A platform as its collector meets it. */
export interface Service {
  asks(url: URL): Asks;
  /** Shows the items as they are at this moment. */
  answer(url: URL, headers: IncomingHttpHeaders): Answered;
  /** What the platform itself says when it refuses, 401, 403, 429 or 500. */
  refusal(status: number): Answered;
  /** The id that the archive keeps the item under. */
  platformId(item: ShownItem): string;
  /** Ids of what a run captures beside the items, such as the account's profile. */
  readonly besides?: readonly string[];
}

/** All that has to be said of a collector to try it. */
export interface CollectorContract {
  /** Items on a page of the account's list; null where the platform gives the list in one answer. */
  readonly pageSize: number | null;
  /** How many replies deep a thread can go; null where the platform has none. */
  readonly threadDepth: number | null;
  /** The platform gives all replies below an item in one answer; absent: in parts. */
  readonly threadIsOneAnswer?: true;
  /** Whether the platform says that an item was deleted when it is asked for that item. */
  readonly tellsDeletions: boolean;
  /** What deleted items of the account's own list count as; absent: deleted. */
  readonly deletedItemsAre?: 'access-lost';
  /** Hours after which a run reads all again, where those before it read only what is new; 0 where every run reads all. */
  readonly readsAllAfter: number;
  /** The source as it stands in muniment.yaml, but for its id. */
  settings(origin: string): object;
  /**
   * @param items newest first; it changes as time goes by, and replies stand in it behind the account's own items
   * @param account a word that only this account has, for what is captured beside the items
   */
  open(origin: string, items: readonly ShownItem[], account: string): Service;
}

/** One request as the server sees it. */
export interface Asked {
  readonly asks: Asks;
  /** Which one of its kind in this run, from 1. */
  readonly nth: number;
  /** Which one of all in this run, from 1. */
  readonly position: number;
}

export interface RunOptions {
  readonly limits?: Partial<HttpLimits>;
  readonly altered?: (collector: Collector) => Collector;
  /** The archive, and all of its clock. */
  readonly archive?: Archive;
}

export interface Findings {
  readonly lost: string[];
  readonly doubled: string[];
}

const DATABASE_VARIABLE = 'STAGE_DATABASE_URL';
/** What a source's settings refer to where the platform wants a token. */
export const TOKEN_VARIABLE = 'STAGE_TOKEN';
/** The source that stands in the archive's muniment.yaml, for commands. */
export const CONFIGURED = 'configured';
const BUSY_ATTEMPTS = 200;
const SOURCES_IN_ARCHIVE = 6;

/** An archive in a home of its own, on a fresh database of the test server. */
interface Place extends AsyncDisposable {
  readonly home: string;
  readonly environment: Environment;
  readonly archive: Archive;
}

async function makePlace(source: object, clock: Clock): Promise<Place> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(FAST_FOLDER, 'muniment stage '));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const fresh = await freshDatabase();
  stack.defer(() => fresh.close());
  const home = join(folder, 'home');
  const environment: Environment = {
    home: null,
    token: null,
    configFolder: '/nonexistent',
    variables: { [DATABASE_VARIABLE]: fresh.runtimeUrl, [TOKEN_VARIABLE]: 'stage-token' },
  };
  const answers = {
    name: 'City of Example',
    origin: 'archive.example.gov/social',
    timezone: 'America/New_York',
    databaseUrl: `\${${DATABASE_VARIABLE}}`,
    sources: [source],
  };
  await initArchive(home, answers, environment, clock);
  const archive = stack.use(await openArchive(home, environment, clock));
  const resources = stack.move();
  return { home, environment, archive, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

/** The true time, and as many hours more. */
class Passing implements Clock {
  hours = 0;

  now(): Temporal.Instant {
    return systemClock.now().add({ hours: this.hours });
  }
}

export class CollectorStage {
  readonly contract: CollectorContract;
  /** What verification found in the archives that were left for new ones. */
  readonly problemsLeft: string[] = [];
  readonly items: ShownItem[] = [];
  service: Service;
  /** Called for every request before it is answered: here things change while they are read. */
  before: (asked: Asked) => void = () => undefined;
  /** @returns how the request is answered, when not well */
  strike: (asked: Asked) => Misbehaviour | null = () => null;
  /** Whether the platform may say that nothing changed, instead of answering. */
  honoursConditions = true;
  /** Requests of the run that were made so far. */
  readonly asked: Asked[] = [];
  readonly #origin: string;
  readonly #configured: object;
  readonly #time: Passing;
  #place: Place;
  #source = CONFIGURED;
  #begun = 0;

  private constructor(
    contract: CollectorContract,
    origin: string,
    configured: object,
    time: Passing,
    place: Place,
  ) {
    this.contract = contract;
    this.service = contract.open(origin, this.items, CONFIGURED);
    this.#origin = origin;
    this.#configured = configured;
    this.#time = time;
    this.#place = place;
  }

  /** Is gone when the test ends. */
  static async open(t: Lasting, contract: CollectorContract): Promise<CollectorStage> {
    let stage: CollectorStage | undefined;
    const { origin } = await answering(t, (request, response, url) =>
      (stage as CollectorStage).#answer(request, response, url),
    );
    const configured = { ...contract.settings(origin), id: CONFIGURED };
    const time = new Passing();
    stage = new CollectorStage(contract, origin, configured, time, await makePlace(configured, time));
    const opened = stage;
    t.after(async () => opened.#place[Symbol.asyncDispose]());
    return opened;
  }

  #answer(request: IncomingMessage, response: ServerResponse, url: URL): void {
    const asks = this.service.asks(url);
    const nth = this.asked.filter((one) => one.asks === asks).length + 1;
    const now = { asks, nth, position: this.asked.length + 1 };
    this.asked.push(now);
    this.before(now);
    const due = this.service.answer(url, this.honoursConditions ? request.headers : {});
    const bad = this.strike(now);
    if (bad === null) sendAnswer(response, due);
    else void bad(response, due);
  }

  get home(): string {
    return this.#place.home;
  }

  get environment(): Environment {
    return this.#place.environment;
  }

  get archive(): Archive {
    return this.#place.archive;
  }

  /** The same archive, with a clock of its own. */
  openAt(clock: Clock): Promise<Archive> {
    return openArchive(this.home, this.environment, clock);
  }

  /**
   * Forgets what was shown and how it went wrong, and goes on with a source of that name. Now and then the archive is a new one, for each
   * verification reads all of it.
   */
  async begin(source: string): Promise<void> {
    this.#begun += 1;
    if (this.#begun % SOURCES_IN_ARCHIVE === 0) {
      this.problemsLeft.push(...(await this.problems()));
      await this.#place[Symbol.asyncDispose]();
      this.#place = await makePlace(this.#configured, this.#time);
    }
    this.#source = source;
    this.items.length = 0;
    this.service = this.contract.open(this.#origin, this.items, source);
    // The first run was so long ago that the second, which may be another process's with the true clock, reads all.
    this.#time.hours = -this.contract.readsAllAfter;
    this.behave();
  }

  behave(): void {
    this.before = () => undefined;
    this.strike = () => null;
  }

  item(key: string, parent: ShownItem | null = null): ShownItem {
    return {
      key: `${this.#source}-${key.replaceAll(' ', '-')}`,
      text: `Text of ${key}`,
      parent,
      unlisted: false,
    };
  }

  /** Before all others, as the newest. */
  publish(key: string): ShownItem {
    const item = this.item(key);
    this.items.unshift(item);
    return item;
  }

  reply(key: string, parent: ShownItem): ShownItem {
    const item = this.item(key, parent);
    this.items.push(item);
    return item;
  }

  /** Takes an item away, for good. */
  remove(item: ShownItem): void {
    this.items.splice(this.items.indexOf(item), 1);
  }

  /** One run, so long after the one before that it reads all; waits take no time and are told. What the platform never tells is no trouble. */
  async run(options: RunOptions = {}): Promise<RunOutcome & { readonly slept: readonly number[] }> {
    const archive = options.archive ?? this.archive;
    const [configured] = archive.settings.sources;
    const settings = { ...(configured as SourceSettings), id: this.#source };
    const dependencies = { ...patient(options.limits), clock: archive.clock };
    let outcome: RunOutcome;
    // A killed process's connection, and its lock, last until the server has noticed.
    for (let attempt = 0; ; attempt += 1) {
      this.asked.length = 0;
      outcome = await captureFrom(archive, settings, dependencies, options.altered);
      if (outcome.errors[0]?.code !== 'busy' || attempt === BUSY_ATTEMPTS) break;
      await sleep(20);
    }
    this.#time.hours += this.contract.readsAllAfter;
    // What a platform never tells is told with every run, and no fault of any.
    const errors = outcome.errors.filter(({ code }) => code !== 'standing-gap');
    return { ...outcome, errors, slept: dependencies.slept };
  }

  /** @returns what verification has to say against the archive */
  async problems(): Promise<string[]> {
    await this.archive.checkpoint();
    return (await verifyArchiveOf(this.archive)).problems.map((problem) => JSON.stringify(problem));
  }

  /** @returns the texts of an item's versions, first to last */
  async versionsOf(item: ShownItem): Promise<(string | null)[]> {
    const versions = await this.archive.database.db
      .selectFrom('snapshots as s')
      .innerJoin('record_identities as i', 'i.record_id', 's.record_id')
      .select('s.text')
      .where('i.platform_id', '=', this.service.platformId(item))
      .orderBy('s.version')
      .execute();
    return versions.map(({ text }) => text);
  }

  /** @returns every text of every version of the source's records */
  async texts(): Promise<ReadonlySet<string>> {
    const kept = await this.archive.database.db
      .selectFrom('snapshots as s')
      .innerJoin('record_sources as l', 'l.record_id', 's.record_id')
      .innerJoin('sources as source', 'source.id', 'l.source_id')
      .select('s.text')
      .where('source.name', '=', this.#source)
      .execute();
    return new Set(kept.map(({ text }) => text ?? ''));
  }

  /** Compares the records of the source with what the platform holds. */
  async findings(): Promise<Findings> {
    const { pool } = this.archive.database;
    const findings: Findings = { lost: [], doubled: [] };
    const { rows } = await pool.query<{ id: string; record: string; text: string; state: string | null }>(
      `SELECT i.platform_id AS id, i.record_id AS record, s.text, state.state
       FROM sources AS source JOIN record_sources AS l ON l.source_id = source.id JOIN record_identities AS i ON i.record_id = l.record_id
       JOIN LATERAL (SELECT text FROM snapshots WHERE record_id = i.record_id ORDER BY version DESC LIMIT 1) AS s ON true
       LEFT JOIN LATERAL (SELECT state FROM record_states WHERE record_id = i.record_id ORDER BY seq DESC LIMIT 1) AS state ON true
       WHERE source.name = $1`,
      [this.#source],
    );
    const byId = Map.groupBy(rows, (row) => row.id);
    const items = this.items.map((item) => this.service.platformId(item));
    const there = new Set([...items, ...(this.service.besides ?? [])]);
    for (const item of this.items) {
      const row = byId.get(this.service.platformId(item))?.[0];
      if (row === undefined) findings.lost.push(`${item.key} has no record`);
      else if (row.text !== item.text)
        findings.lost.push(`${item.key} is kept as “${row.text}”, and says “${item.text}”`);
      else if (row.state !== null && row.state !== 'restored')
        findings.lost.push(`${item.key} is there, and counts as ${row.state}`);
    }
    for (const [id, records] of byId) {
      if (new Set(records.map((row) => row.record)).size > 1) findings.doubled.push(`${id} has two records`);
      const [{ state }] = records as [(typeof rows)[number]];
      const states = ['deleted', this.contract.deletedItemsAre];
      if (!there.has(id) && this.contract.tellsDeletions && !states.includes(state ?? 'there'))
        findings.lost.push(`${id} was deleted, and counts as ${state ?? 'there'}`);
    }
    findings.doubled.push(...(await pool.query<{ what: string }>(DOUBLED)).rows.map((row) => row.what));
    return findings;
  }
}
