// Payloads on their way between an archive's store and a backup. Each is checked against its commitment as it passes; what lies intact at
// the other end already is not copied again. Memory is bounded: large payloads go by way of a file.

import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { payloadCommitment } from '../core/digest.ts';
import { MunimentError, ObjectNotFoundError, VerificationError } from '../core/errors.ts';
import type { ListedObject, ObjectReader, ObjectStore, StoredObject } from '../store/objects.ts';

/** A line of `payloads.list`: `commitment length version`, the version `-` where the store has none. */
export interface ListedPayload {
  readonly commitment: string;
  readonly length: number;
  readonly version: string | null;
}

const ROWS = 5000;
/** Larger payloads are spooled to a file. */
const IN_MEMORY = 4 * 1024 * 1024;
const AT_ONCE = 6;

/** Payloads that a transaction sees as not destroyed, by ascending commitment, with the versions of a store. @param store its identity */
export async function* livingPayloads(client: pg.ClientBase, store: string): AsyncGenerator<ListedPayload> {
  let after = '';
  while (true) {
    const { rows } = await client.query(
      `SELECT p.commitment, p.length, v.version FROM payloads AS p
       LEFT JOIN LATERAL (SELECT version FROM payload_versions WHERE commitment = p.commitment AND store IN ($2, '')
                          ORDER BY store DESC LIMIT 1) AS v ON true
       WHERE p.salt IS NOT NULL AND p.commitment COLLATE "C" > $1
         AND NOT EXISTS (SELECT FROM payload_destructions AS d WHERE d.commitment = p.commitment)
       ORDER BY p.commitment COLLATE "C" LIMIT ${ROWS}`,
      [after, store],
    );
    if (rows.length === 0) return;
    yield* rows as ListedPayload[];
    after = (rows.at(-1) as ListedPayload).commitment;
  }
}

export async function* asLines(
  payloads: AsyncIterable<ListedPayload>,
  seen: (payload: ListedPayload) => void,
): AsyncGenerator<Uint8Array> {
  let lines: string[] = [];
  for await (const payload of payloads) {
    seen(payload);
    lines.push(`${payload.commitment} ${payload.length} ${payload.version ?? '-'}\n`);
    if (lines.length === ROWS) {
      yield Buffer.from(lines.join(''));
      lines = [];
    }
  }
  if (lines.length > 0) yield Buffer.from(lines.join(''));
}

/** @throws VerificationError at a line that is no such line */
export async function* fromLines(stream: Readable): AsyncGenerator<ListedPayload> {
  let rest = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop() as string;
    for (const line of lines) yield parseLine(line);
  }
  if (rest !== '') throw new VerificationError('the list of payloads ends within a line');
}

function parseLine(line: string): ListedPayload {
  const [, commitment, length, version] = /^([0-9a-f]{64}) (\d{1,15}) (\S+)$/.exec(line) ?? [];
  if (commitment === undefined || version === undefined)
    throw new VerificationError('the list of payloads has a line that is none');
  return { commitment, length: Number(length), version: version === '-' ? null : version };
}

export interface PayloadOutcome {
  readonly commitment: string;
  /** What stands at the other end now; null where it is not there. */
  readonly object: StoredObject | null;
  /** Why it is not there. */
  readonly problem: string | null;
}

export interface CarryOptions {
  readonly from: ObjectReader;
  readonly to: ObjectStore;
  /** By ascending commitment. */
  readonly payloads: AsyncIterable<ListedPayload>;
  /** Whether version ids of the list belong to `from`. */
  readonly versions: boolean;
  readonly spool: string;
  readonly signal: AbortSignal;
}

/**
 * Copies the payloads that are not at the other end yet.
 * @yields an outcome for each, not in order
 * @throws VerificationError when something else stands at the other end under a payload's key
 */
export async function* carryPayloads(options: CarryOptions): AsyncGenerator<PayloadOutcome> {
  await mkdir(options.spool, { recursive: true });
  const working = new Set<Promise<PayloadOutcome>>();
  const settled: PayloadOutcome[] = [];
  try {
    for await (const [payload, present] of paired(options.payloads, options.to.list())) {
      options.signal.throwIfAborted();
      const work: Promise<PayloadOutcome> = carry(options, payload, present).then((outcome) => {
        settled.push(outcome);
        working.delete(work);
        return outcome;
      });
      working.add(work);
      if (working.size >= AT_ONCE) await Promise.race(working);
      yield* settled.splice(0);
    }
    await Promise.all(working);
    yield* settled.splice(0);
  } finally {
    await Promise.allSettled(working);
  }
}

/** Goes through both lists, which ascend, at once: which payloads are present costs no look-up each. */
async function* paired(
  payloads: AsyncIterable<ListedPayload>,
  listed: AsyncIterable<ListedObject>,
): AsyncGenerator<[ListedPayload, boolean]> {
  const objects = listed[Symbol.asyncIterator]();
  try {
    let object = await objects.next();
    for await (const payload of payloads) {
      while (object.done !== true && object.value.key < payload.commitment) object = await objects.next();
      yield [payload, object.done !== true && object.value.key === payload.commitment];
    }
  } finally {
    await objects.return?.();
  }
}

async function carry(
  { from, to, versions, spool }: CarryOptions,
  { commitment, version }: ListedPayload,
  present: boolean,
): Promise<PayloadOutcome> {
  if (present) {
    const object = await intactObject(to, commitment);
    if (object !== null) return { commitment, object, problem: null };
    throw new VerificationError(`payload ${commitment} in ${to.location} is altered`, {
      hint: 'Nothing replaces it. Find out what happened to that storage; use another, empty one.',
    });
  }
  let source: Awaited<ReturnType<ObjectReader['get']>>;
  try {
    source = await from.get(commitment, versions ? version : null);
  } catch (error) {
    return lacking(commitment, error);
  }
  const { object, body } = source;
  const { contentType, metadata } = object;
  const draft = join(spool, `${commitment}.${randomBytes(6).toString('hex')}`);
  const hash = createHash('sha256');
  const chunks: Buffer[] = [];
  const large = object.length > IN_MEMORY;
  try {
    try {
      if (large) await pipeline(body, measured(hash), createWriteStream(draft, { flags: 'wx', mode: 0o600 }));
      else
        for await (const chunk of body as AsyncIterable<Buffer>) {
          hash.update(chunk);
          chunks.push(chunk);
        }
    } catch (error) {
      return lacking(commitment, error);
    }
    if (payloadCommitment(Buffer.from(metadata.salt ?? '', 'hex'), hash.digest()) !== commitment)
      return { commitment, object: null, problem: 'altered' };
    const written = await to.put(
      commitment,
      large ? { file: draft, length: object.length } : { bytes: Buffer.concat(chunks) },
      { contentType, metadata: { ...metadata } },
    );
    return { commitment, object: written, problem: null };
  } finally {
    if (large) await rm(draft, { force: true });
  }
}

function measured(hash: ReturnType<typeof createHash>) {
  return async function* (stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of stream) {
      hash.update(chunk);
      yield chunk;
    }
  };
}

/** A payload that the store says is absent or damaged is a finding; anything else (network, disk) ends the work. */
function lacking(commitment: string, error: unknown): PayloadOutcome {
  if (error instanceof ObjectNotFoundError) return { commitment, object: null, problem: 'missing' };
  if (error instanceof VerificationError) return { commitment, object: null, problem: 'altered' };
  throw error;
}

/** @returns the object when its bytes and salt give its commitment, otherwise null */
export async function intactObject(
  store: ObjectReader,
  commitment: string,
  version: string | null = null,
): Promise<StoredObject | null> {
  try {
    const { object, body } = await store.get(commitment, version);
    const hash = createHash('sha256');
    for await (const chunk of body as AsyncIterable<Buffer>) hash.update(chunk);
    const salt = Buffer.from(object.metadata.salt ?? '', 'hex');
    return payloadCommitment(salt, hash.digest()) === commitment ? object : null;
  } catch (error) {
    if (error instanceof ObjectNotFoundError || error instanceof VerificationError) return null;
    if (error instanceof MunimentError) throw error;
    throw error;
  }
}
