// Runs as jobs in the archive's database: a tick of a source's schedule becomes one job, however many workers see it, and any worker may run
// it. A worker that dies lets go of its job, and another takes it up; what it had captured stays, so that running again adds the rest.

import { createHash } from 'node:crypto';
import pg from 'pg';
import { type Job, PgBoss } from 'pg-boss';
import { InputError } from '../core/errors.ts';
import type { DatabaseHandle } from '../db/database.ts';
import { JOBS_SCHEMA, JOBS_VERSION, jobsVersion } from '../db/jobs-schema.ts';

const QUEUE = 'collect';
/** A worker says this often that it lives; one that was silent for as long has died. */
const HEARTBEAT_SECONDS = 30;
/** pg-boss looks that often for jobs of workers that died. */
const SUPERVISE_SECONDS = 10;
/** A run may take as long as pg-boss lets a job: a day. Two runs of one source never go on at once, whatever a job thinks. */
const LONGEST_SECONDS = 24 * 60 * 60 - 1;
const POLL_SECONDS = 1;
const RETRIES = 3;
const RETRY_SECONDS = 60;
/** Jobs of one worker at a time. */
const AT_ONCE = 8;
const KEPT_SECONDS = 7 * 24 * 60 * 60;

/** One run that a schedule asked for. */
export interface CollectJob {
  /** Id in muniment.yaml. */
  readonly source: string;
  /** RFC 3339 UTC: when the schedule asked for it. */
  readonly tick: string;
}

/** Namespace of the ids of jobs (RFC 9562, section 5.5): a UUID of our own. */
const NAMESPACE = Buffer.from('7f1c0c5e6b0d4f0e9a53d1f7b8a2c9e4', 'hex');

/** @returns UUIDv5 of source and tick: whoever sees the tick names the same job */
export function jobId({ source, tick }: CollectJob): string {
  const bytes = createHash('sha1').update(NAMESPACE).update(`${source}\n${tick}`).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export class CollectJobs implements AsyncDisposable {
  readonly #boss: PgBoss;
  readonly #heartbeat: number;

  private constructor(boss: PgBoss, heartbeat: number) {
    this.#boss = boss;
    this.#heartbeat = heartbeat;
  }

  /**
   * @throws InputError when the queue's schema is not there, or of another version
   * @param options.heartbeat seconds, at least 10: how long a worker may be silent before it counts as dead
   * @param onError told of what goes wrong in the background, such as a database that is away for a while
   */
  static async open(
    { pool }: DatabaseHandle,
    onError: (error: Error) => void,
    { heartbeat = HEARTBEAT_SECONDS }: { heartbeat?: number } = {},
  ): Promise<CollectJobs> {
    const version = await jobsVersion(pool);
    if (version !== JOBS_VERSION)
      throw new InputError(
        version === null
          ? 'the database has no job queue yet'
          : `the database's job queue is of version ${version}, and this Muniment works with ${JOBS_VERSION}`,
        {
          hint: "Run `muniment db migrate --admin-url URL` with an administrator's URL; where the queue is newer, run the Muniment that made it.",
        },
      );
    const boss = new PgBoss({
      db: { executeSql: (text, values) => pool.query({ text, values: values ?? [], types: OWN_TYPES }) },
      schema: JOBS_SCHEMA,
      // An administrator does that.
      createSchema: false,
      migrate: false,
      reindex: false,
      // The schedules are muniment.yaml's.
      schedule: false,
      monitorVacuum: false,
      superviseIntervalSeconds: SUPERVISE_SECONDS,
      monitorIntervalSeconds: SUPERVISE_SECONDS,
    });
    boss.on('error', onError);
    await boss.start();
    await boss.createQueue(QUEUE, {
      // Of one source, one job waits and one runs: ticks that come meanwhile are covered by the one that waits.
      policy: 'stately',
      retryLimit: RETRIES,
      retryDelay: RETRY_SECONDS,
      retryBackoff: true,
      expireInSeconds: LONGEST_SECONDS,
      deleteAfterSeconds: KEPT_SECONDS,
    });
    return new CollectJobs(boss, heartbeat);
  }

  /** @param wait seconds before it may begin. @returns whether a job was added; not where the tick has one, or one waits already */
  async add(job: CollectJob, { wait = 0 }: { wait?: number } = {}): Promise<boolean> {
    const added = await this.#boss.send(QUEUE, job, {
      id: jobId(job),
      singletonKey: job.source,
      startAfter: wait,
      heartbeatSeconds: this.#heartbeat,
    });
    return added !== null;
  }

  /** Takes jobs, several at once, until this is disposed of. A run that throws is tried again later, a few times. */
  async work(run: (job: CollectJob) => Promise<void>): Promise<void> {
    const options = { batchSize: 1, localConcurrency: AT_ONCE, pollingIntervalSeconds: POLL_SECONDS };
    await this.#boss.work<CollectJob>(QUEUE, options, async (jobs: Job<CollectJob>[]) => {
      for (const { data } of jobs) await run(data);
    });
  }

  /** Takes no more jobs, and waits for those under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#boss.stop({ graceful: true, close: false, timeout: LONGEST_SECONDS * 1000 });
  }
}

/** pg-boss reads rows as its own driver gives them, not as the archive's code does. */
const OWN_TYPES = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    if (oid === pg.types.builtins.INT8) return (text: string) => text;
    if (oid === pg.types.builtins.TIMESTAMPTZ) return (text: string) => new Date(text);
    return pg.types.getTypeParser(oid, format as 'text');
  },
};
