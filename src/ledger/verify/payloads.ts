// Payloads read from the store: held against their commitment and their description, and what was put in front of them.

import { createHash, type Hash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { parsedJson } from '../../core/canonical.ts';
import { payloadCommitment } from '../../core/digest.ts';
import { MunimentError, ObjectNotFoundError, VerificationError } from '../../core/errors.ts';
import { NAMES_PAYLOAD, type RunPayload, runPayload, runReportLine } from '../documents.ts';
import { archiveMark, decodeEntry, type Entry } from '../entry.ts';
import type { PayloadFacts } from '../projection.ts';
import type { ArchiveReader, ComparedLock } from './contract.ts';
import type { Findings } from './findings.ts';

/** What entry and document (or the row, where the document is lost) say of a payload, and so its object must. */
export interface Description {
  readonly role: string;
  readonly contentType: string;
}

export const DOCUMENT = { role: 'document', contentType: 'application/json' } as const;
export const OBSERVATION = { role: 'observation', contentType: 'application/json' } as const;
export const REPORT = { role: 'report', contentType: 'application/jsonl' } as const;
/** Of what a run keeps beside its report. */
export const KEPT_TYPE = 'application/octet-stream';

export interface ReadPayload {
  readonly state: 'intact' | 'destroyed' | 'missing' | 'altered' | 'unreadable';
  readonly facts: PayloadFacts | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly bytes: Buffer | null;
  /** Payloads that the lines of a report name. */
  readonly kept: RunPayload[];
  /** A line of a report is none. */
  readonly misshapen: boolean;
}

export class PayloadCheck {
  readonly #reader: ArchiveReader;
  readonly #findings: Findings;
  readonly #signal: AbortSignal | undefined;

  constructor(reader: ArchiveReader, findings: Findings, signal: AbortSignal | undefined) {
    this.#reader = reader;
    this.#findings = findings;
    this.#signal = signal;
  }

  /**
   * Reads a payload that an entry, its document or a row of it names, and counts its state.
   * @param record whose payload it is. @param destroyed entries that are said to have destroyed payloads, by commitment
   */
  async read(
    commitment: string,
    description: Description,
    record: string | null,
    destroyed: ReadonlyMap<string, number>,
    entry: Entry,
  ): Promise<ReadPayload> {
    const { seq } = entry;
    const nothing = { facts: null, metadata: null, bytes: null, kept: [], misshapen: false };
    const destruction = destroyed.get(commitment);
    if (destruction !== undefined && !(await this.#isDestruction(destruction, commitment))) {
      this.#findings.problem(
        'row-unexpected',
        destruction,
        record,
        `payload_destructions names entry ${destruction} for ${commitment}, which does not say so`,
      );
    } else if (destruction !== undefined) {
      // That it is truly gone is checked, and counted, at the entry that says so.
      return { ...nothing, state: 'destroyed' };
    }
    try {
      let read = await this.#object(commitment, description);
      // Once more, before the store is blamed for what may have happened on the way.
      if (read.commitment !== commitment) read = await this.#object(commitment, description);
      this.#compareLock(commitment, read.lock, seq, record);
      if (read.commitment === commitment) {
        const fault = descriptionFault(description, entry, read);
        if (fault === null) this.#findings.payloads.intact += 1;
        else {
          this.#findings.payloads.altered += 1;
          this.#findings.problem(
            'payload-altered',
            seq,
            record,
            `payload ${commitment} is stored with ${fault}`,
          );
        }
        // The bytes are those committed to, so rows are compared all the same: with what the document says, not with the object.
        const facts = { ...read.facts, contentType: description.contentType };
        const { metadata, bytes, kept, misshapen } = read;
        return { state: 'intact', facts, metadata, bytes, kept, misshapen };
      }
    } catch (error) {
      if (error instanceof ObjectNotFoundError) {
        this.#findings.payloads.missing += 1;
        this.#findings.problem('payload-missing', seq, record, `payload ${commitment} is not in the store`);
        return { ...nothing, state: 'missing' };
      }
      // Damage that the store itself has found is an alteration; a store that cannot be asked says nothing about the payload.
      if (!(error instanceof VerificationError)) {
        this.#signal?.throwIfAborted();
        this.#findings.payloads.unreadable += 1;
        this.#findings.problem(
          'payload-unreadable',
          seq,
          record,
          `payload ${commitment} could not be read: ${(error as Error).message}`,
        );
        return { ...nothing, state: 'unreadable' };
      }
      this.#findings.payloads.altered += 1;
      this.#findings.problem('payload-altered', seq, record, `payload ${commitment}: ${error.message}`);
      return { ...nothing, state: 'altered' };
    }
    this.#findings.payloads.altered += 1;
    this.#findings.problem(
      'payload-altered',
      seq,
      record,
      `payload ${commitment} does not have the bytes or the salt that were committed to`,
    );
    return { ...nothing, state: 'altered' };
  }

  async #object(commitment: string, description: Description) {
    const object = await this.#reader.object(commitment);
    const { metadata, contentType, lock } = object;
    const { digest, length, bytes, kept, misshapen } = await consume(
      object.body,
      description === DOCUMENT || description === OBSERVATION,
      description === REPORT,
    );
    const salt = Buffer.from(metadata.salt ?? '', 'hex');
    const facts = { salt, sha256: digest.toString('hex'), length, contentType };
    return {
      commitment: payloadCommitment(salt, digest),
      facts,
      metadata,
      contentType,
      lock,
      bytes,
      kept,
      misshapen,
    };
  }

  /** A lock only ever grows by us: a shorter one is the work of somebody who may bypass it. */
  #compareLock(commitment: string, lock: ComparedLock | null, seq: number, record: string | null): void {
    // To the second, which is what services keep.
    if (lock === null || (lock.real !== null && secondOf(lock.real) >= secondOf(lock.recorded))) return;
    this.#findings.payloads.shortened += 1;
    this.#findings.problem(
      'lock-shortened',
      seq,
      record,
      `payload ${commitment} is ${lock.real === null ? 'not locked' : `locked until ${lock.real}`}, the store had said until ${lock.recorded}: \`muniment store renew --all\` locks it again`,
    );
  }

  async #isDestruction(seq: number, commitment: string): Promise<boolean> {
    const bytes = await this.#reader.entry(seq);
    if (bytes === null) return false;
    const decoded = decodeEntry(bytes);
    return (
      decoded.known && decoded.entry.type === 'payload.destroyed' && decoded.entry.payload === commitment
    );
  }

  /** What stands in front of a payload changes nothing that we read, but somebody put it there. */
  async checkCovered(): Promise<void> {
    try {
      for await (const { commitment, seq, record, hidden, later } of this.#reader.covered()) {
        this.#signal?.throwIfAborted();
        if (hidden) {
          this.#findings.payloads.hidden += 1;
          this.#findings.problem(
            'payload-hidden',
            seq,
            record,
            `a delete marker was put in front of payload ${commitment}: other readers of the bucket do not see it`,
          );
        }
        for (const version of later) {
          // A put that was sent twice leaves the same bytes twice.
          if (await this.#isSame(commitment, version)) continue;
          this.#findings.payloads.superseded += 1;
          this.#findings.problem(
            'payload-superseded',
            seq,
            record,
            `a later version (${version}) of other bytes was put in front of payload ${commitment}`,
          );
          break;
        }
      }
    } catch (error) {
      if (!(error instanceof MunimentError)) throw error;
      this.#findings.problem(
        'store-unreadable',
        null,
        null,
        `whether anything was put in front of payloads could not be learned: ${error.message}`,
      );
    }
  }

  async #isSame(commitment: string, version: string): Promise<boolean> {
    try {
      const { body, metadata } = await this.#reader.object(commitment, version);
      const { digest } = await consume(body, false, false);
      return payloadCommitment(Buffer.from(metadata.salt ?? '', 'hex'), digest) === commitment;
    } catch (error) {
      if (error instanceof ObjectNotFoundError) return true; // gone meanwhile
      throw error;
    }
  }
}

function secondOf({ epochMilliseconds }: Temporal.Instant): number {
  return Math.floor(epochMilliseconds / 1000);
}

/** Documents up to this size are kept in memory; a larger one cannot be a document of ours. */
const DOCUMENT_LIMIT = 32 * 1024 * 1024;

async function consume(
  body: Readable,
  keep: boolean,
  report: boolean,
): Promise<{
  digest: Buffer;
  length: number;
  bytes: Buffer | null;
  kept: ReadPayload['kept'];
  misshapen: boolean;
}> {
  const hash: Hash = createHash('sha256');
  const chunks: Buffer[] = [];
  const kept: ReadPayload['kept'] = [];
  let misshapen = false;
  let length = 0;
  let rest = '';
  for await (const chunk of body as AsyncIterable<Buffer>) {
    hash.update(chunk);
    length += chunk.length;
    if (keep && length <= DOCUMENT_LIMIT) chunks.push(chunk);
    if (report) {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (!NAMES_PAYLOAD.test(line)) continue;
        const said = runReportLine.safeParse(parsedJson(Buffer.from(line, 'latin1')));
        const named = said.success ? runPayload(said.data) : null;
        if (named === null) misshapen = true;
        else kept.push(named);
      }
    }
  }
  return {
    digest: hash.digest(),
    length,
    bytes: keep && length <= DOCUMENT_LIMIT ? Buffer.concat(chunks) : null,
    kept,
    misshapen,
  };
}

/** @returns what an object is said to be and is not, or null. The commitment covers its bytes alone. */
function descriptionFault(
  description: Description,
  entry: Entry,
  object: { contentType: string; metadata: Readonly<Record<string, string>> },
): string | null {
  const wanted: Readonly<Record<string, string | undefined>> = {
    role: description.role,
    archive: archiveMark(entry.origin),
    record: 'record' in entry ? entry.record : undefined,
    run: entry.type === 'run.finished' ? entry.run : undefined,
  };
  if (object.contentType !== description.contentType)
    return `the content type ${object.contentType} instead of ${description.contentType}`;
  for (const [name, value] of Object.entries(wanted)) {
    // Objects from before archives marked theirs have no mark; it says whose an object is to a sweep, and proves nothing.
    if (name === 'archive' && object.metadata.archive === undefined) continue;
    if (object.metadata[name] !== value)
      return `the ${name} ${object.metadata[name] ?? '(none)'} instead of ${value ?? '(none)'}`;
  }
  return null;
}
