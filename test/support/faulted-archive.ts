// A real archive whose platform, store and database can each be reached only through a proxy that injects faults, and the truth to
// compare it with: what the platform holds.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { stringify } from 'yaml';
import type { RunOutcome } from '../../src/capture/outcome.ts';
import type { Environment } from '../../src/config.ts';
import { type Archive, openArchive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { MunimentError } from '../../src/core/errors.ts';
import { exportRecords, verify } from '../../src/operations.ts';
import { initArchive } from '../../src/setup.ts';
import { FakePlatform, type FakePost } from './appview.ts';
import { captureFrom } from './archive.ts';
import { CuttingProxy } from './cutting-proxy.ts';
import { FaultProxy, JSON_REFUSALS, S3_REFUSALS } from './fault-proxy.ts';
import { freshDatabase } from './postgres.ts';

/** A real S3 service; its keys come from the environment, as in the field. */
export interface S3Service {
  readonly endpoint: string;
  readonly region: string;
}

/** What became of an operation. */
export interface Ended {
  readonly outcome: 'completed' | 'told' | 'unclear';
  readonly code: string;
}

export interface Findings {
  readonly lost: string[];
  readonly doubled: string[];
  readonly unverifiable: string[];
}

/** Memory where the machine has it as a file system: what dies here is a process, never the machine, and hundreds of faults wait for no disk. */
export const FAST_FOLDER = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const DATABASE_VARIABLE = 'FAULTS_DATABASE_URL';
const BUSY_ATTEMPTS = 200;
/** On the platform at one time, so that a run's length does not grow with the faults before it. */
const POSTS_KEPT = 9;

/** Versions of a record, and media in it, that say the same twice. */
export const DOUBLED = `
  SELECT 'versions of record ' || record_id AS what FROM
    (SELECT record_id, content, media_missing, lag(content) OVER w AS content_before, lag(media_missing) OVER w AS missing_before
     FROM snapshots WINDOW w AS (PARTITION BY record_id ORDER BY version)) AS s
  WHERE content = content_before AND missing_before = 0
  UNION ALL SELECT 'media of record ' || record_id FROM payloads WHERE role = 'media' GROUP BY record_id, sha256 HAVING count(*) > 1`;

export class FaultedArchive implements AsyncDisposable {
  readonly home: string;
  readonly platform: FakePlatform;
  readonly platformProxy: FaultProxy;
  readonly storeProxy: FaultProxy | null;
  readonly databaseProxy: CuttingProxy;
  readonly environment: Environment;
  archive: Archive;
  #posts = 0;
  readonly #resources: AsyncDisposableStack;

  private constructor(parts: {
    home: string;
    platform: FakePlatform;
    platformProxy: FaultProxy;
    storeProxy: FaultProxy | null;
    databaseProxy: CuttingProxy;
    environment: Environment;
    archive: Archive;
    resources: AsyncDisposableStack;
  }) {
    this.home = parts.home;
    this.platform = parts.platform;
    this.platformProxy = parts.platformProxy;
    this.storeProxy = parts.storeProxy;
    this.databaseProxy = parts.databaseProxy;
    this.environment = parts.environment;
    this.archive = parts.archive;
    this.#resources = parts.resources;
  }

  /**
   * @param options.s3 the store is a fresh bucket there; without it, the write-once directory
   * @param options.folder where the home is to lie; a temporary folder unless told
   * @param options.databaseUrl of a migrated database for a login; a fresh one of the test server unless told
   */
  static async make(
    options: { s3?: S3Service | null; folder?: string; databaseUrl?: string } = {},
  ): Promise<FaultedArchive> {
    await using stack = new AsyncDisposableStack();
    const folder = options.folder ?? (await mkdtemp(join(FAST_FOLDER, 'muniment faults ')));
    if (options.folder === undefined)
      stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
    const home = join(folder, 'home');
    let databaseUrl = options.databaseUrl;
    if (databaseUrl === undefined) {
      const fresh = await freshDatabase();
      stack.defer(() => fresh.close());
      databaseUrl = fresh.runtimeUrl;
    }
    const databaseProxy = stack.use(await CuttingProxy.start(placeOf(databaseUrl)));
    const platform = stack.use(await FakePlatform.start());
    const platformProxy = stack.use(await FaultProxy.start(platform.origin, JSON_REFUSALS));
    const environment: Environment = {
      home: null,
      token: null,
      configFolder: '/nonexistent',
      variables: { [DATABASE_VARIABLE]: throughProxy(databaseUrl, databaseProxy.port) },
    };
    const source = {
      id: 'city',
      platform: 'bluesky',
      account: platform.account.handle,
      service: platformProxy.origin,
      directory: platformProxy.origin,
      repository: platformProxy.origin,
      proofs: 0,
    };
    await initArchive(
      home,
      {
        name: 'City of Example',
        origin: 'archive.example.gov/social',
        timezone: 'America/New_York',
        databaseUrl: `\${${DATABASE_VARIABLE}}`,
        sources: [source],
      },
      environment,
      systemClock,
    );
    let storeProxy: FaultProxy | null = null;
    if (options.s3) {
      storeProxy = stack.use(await FaultProxy.start(options.s3.endpoint, S3_REFUSALS));
      await appendFile(
        join(home, 'muniment.yaml'),
        stringify({
          store: {
            provider: 's3',
            bucket: await freshBucket(options.s3),
            region: options.s3.region,
            endpoint: storeProxy.origin,
            lock: { mode: 'GOVERNANCE', horizon: 'P7D' },
          },
        }),
      );
    }
    const archive = await openArchive(home, environment, systemClock);
    const made = new FaultedArchive({
      home,
      platform,
      platformProxy,
      storeProxy,
      databaseProxy,
      environment,
      archive,
      resources: stack.move(),
    });
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.archive[Symbol.asyncDispose]();
    await this.#resources[Symbol.asyncDispose]();
  }

  /** The archive as a new process opens it: nothing remembered. */
  async reopen(): Promise<void> {
    await this.archive[Symbol.asyncDispose]();
    this.archive = await openArchive(this.home, this.environment, systemClock);
  }

  /** Everything through, as in good times. */
  disarm(): void {
    this.platformProxy.disarm();
    this.storeProxy?.disarm();
    this.databaseProxy.disarm();
  }

  /**
   * Something of every kind to capture: new posts, one with a picture, a reply, a changed text, and, once there are some, the oldest
   * deleted.
   */
  newWork({ pictureBytes = 1500 } = {}): void {
    const { platform } = this;
    const n = this.#posts;
    const place = (rest: Partial<FakePost> = {}): FakePost => {
      const post = platform.post(String(this.#posts), `Post number ${this.#posts}`, rest);
      this.#posts += 1;
      return post;
    };
    const parent = place();
    place({ image: Buffer.concat([Buffer.from(`picture ${n} `), randomBytes(pictureBytes)]) });
    place({ parent });
    while (platform.posts.length > POSTS_KEPT) platform.remove(platform.posts[0] as FakePost);
    const [first] = platform.posts;
    if (first !== undefined && n > 0) first.text = `${first.text.replace(/ \(changed.*/, '')} (changed ${n})`;
  }

  /** One run without the waits that politeness to a real platform demands. */
  async run(sourceId = 'city'): Promise<RunOutcome> {
    const { archive } = this;
    const [configured] = archive.settings.sources;
    if (configured === undefined) throw new Error('the archive lost its source');
    const settings = { ...configured, id: sourceId };
    return await captureFrom(archive, settings, {
      clock: archive.clock,
      sleep: async () => void (await turn()),
    });
  }

  async collect(sourceId = 'city'): Promise<Ended> {
    return told(async () => {
      const outcome = await this.run(sourceId);
      await this.archive.checkpoint();
      return outcome.status === 'complete' ? null : `${outcome.status}: ${codesOf(outcome)}`;
    });
  }

  async verify(): Promise<Ended> {
    return told(async () => {
      const result = await verify(this.archive, { signal: new AbortController().signal });
      return result.ok ? null : `not ok: ${[...new Set(result.problems.map((p) => p.kind))].join(' ')}`;
    });
  }

  async export(out: string): Promise<Ended> {
    return told(async () => {
      const signal = new AbortController().signal;
      const result = await exportRecords(this.archive, {}, { out, replace: true, signal });
      return result.problems.length === 0 ? null : `problems: ${result.problems[0]?.kind}`;
    });
  }

  /** Runs again, as an operator would. @returns what is still wrong then */
  async settle(): Promise<Findings> {
    this.disarm();
    const before = await this.#problems();
    let outcome = await this.run();
    // A killed process's connection, and its lock, last until the server has noticed.
    for (let attempt = 0; codesOf(outcome) === 'busy' && attempt < BUSY_ATTEMPTS; attempt += 1) {
      await sleep(20);
      outcome = await this.run();
    }
    await this.archive.checkpoint();
    const findings = await this.findings();
    if (outcome.status !== 'complete')
      findings.lost.push(`the run after it was ${outcome.status}: ${JSON.stringify(outcome.errors)}`);
    findings.unverifiable.push(...before, ...(await this.#problems()));
    return findings;
  }

  async #problems(): Promise<string[]> {
    const result = await verify(this.archive, { signal: new AbortController().signal });
    return result.problems.map((problem) => JSON.stringify(problem));
  }

  /** A connection that was cut while nobody used it lies in the pool until somebody tries it: the judge is not to meet it. */
  async #throwAwayCut(): Promise<void> {
    const { pool } = this.archive.database;
    await Promise.allSettled(Array.from({ length: pool.totalCount }, () => pool.query('SELECT')));
  }

  /** Compares records with what the platform holds. */
  async findings(): Promise<Findings> {
    const { platform } = this;
    await this.#throwAwayCut();
    const findings: Findings = { lost: [], doubled: [], unverifiable: [] };
    const { rows } = await this.archive.database.pool.query<{
      uri: string;
      record: string;
      text: string | null;
      media_missing: number | null;
      state: string | null;
    }>(`SELECT i.platform_id AS uri, i.record_id AS record, s.text, s.media_missing, state.state
        FROM record_identities AS i
        JOIN LATERAL (SELECT * FROM snapshots WHERE record_id = i.record_id ORDER BY version DESC LIMIT 1) AS s ON true
        LEFT JOIN LATERAL (SELECT state FROM record_states WHERE record_id = i.record_id ORDER BY seq DESC LIMIT 1) AS state ON true`);
    const byUri = Map.groupBy(rows, (row) => row.uri);
    for (const post of platform.posts) {
      const uri = platform.uri(post);
      const row = byUri.get(uri)?.[0];
      if (row === undefined) findings.lost.push(`${uri} has no record`);
      else if (row.text !== post.text)
        findings.lost.push(`${uri} is kept as ${JSON.stringify(row.text)}, and says ${post.text}`);
      else if ((row.media_missing ?? 0) > 0) findings.lost.push(`${uri} lacks its picture`);
      else if (row.state !== null && row.state !== 'restored')
        findings.lost.push(`${uri} is there, and counts as ${row.state}`);
    }
    const shown = new Set(platform.posts.map((post) => platform.uri(post)));
    for (const [uri, records] of byUri) {
      if (new Set(records.map((row) => row.record)).size > 1) findings.doubled.push(`${uri} has two records`);
      if (shown.has(uri)) continue;
      // A name that a damaged answer invented is an item that the platform, asked directly, does not have.
      if (records[0]?.state === null || records[0]?.state === 'restored')
        findings.lost.push(`${uri} is gone, and nothing says so`);
    }
    const twice = await this.archive.database.pool.query<{ what: string }>(DOUBLED);
    findings.doubled.push(...twice.rows.map((row) => row.what));
    return findings;
  }
}

export function codesOf(outcome: RunOutcome): string {
  return [...new Set(outcome.errors.map((error) => error.code))].join(' ');
}

/** @param work gives null when it did all, or what it told */
async function told(work: () => Promise<string | null>): Promise<Ended> {
  try {
    const said = await work();
    return said === null ? { outcome: 'completed', code: '' } : { outcome: 'told', code: said };
  } catch (error) {
    if (error instanceof MunimentError)
      return { outcome: 'told', code: `${error.name} (exit ${error.exitCode})` };
    return {
      outcome: 'unclear',
      code: error instanceof Error ? (error.stack ?? error.message) : String(error),
    };
  }
}

async function freshBucket({ endpoint, region }: S3Service): Promise<string> {
  const client = new S3Client({ endpoint, region, forcePathStyle: true });
  const bucket = `muniment-faults-${randomBytes(6).toString('hex')}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
  client.destroy();
  return bucket;
}

/** Where a PostgreSQL URL leads: a port, or a socket whose folder is its `host` parameter. */
function placeOf(url: string): { host: string; port: number } | { path: string } {
  const { hostname, port, searchParams } = new URL(parsable(url));
  const folder = searchParams.get('host');
  const number = Number(searchParams.get('port') ?? (port || 5432));
  return folder?.startsWith('/') === true
    ? { path: `${folder}/.s.PGSQL.${number}` }
    : { host: hostname, port: number };
}

function throughProxy(url: string, port: number): string {
  const { username, password, pathname } = new URL(parsable(url));
  return `postgres://${username}:${password}@127.0.0.1:${port}${pathname}`;
}

/** The URL class wants a host where PostgreSQL's form may have none. */
const parsable = (url: string): string =>
  url.replace(/^(postgres(?:ql)?:\/\/(?:[^@/]*@)?)\//, '$1localhost/');
