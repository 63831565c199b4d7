// Destructions: by an intent that named the payload before, and truly gone from the store.

import { z } from 'zod';
import { parsedJson } from '../../core/canonical.ts';
import { bodyCommitment } from '../../core/digest.ts';
import { MunimentError, ObjectNotFoundError, VerificationError } from '../../core/errors.ts';
import { BODY_KIND } from '../body-kind.ts';
import { decodeEntry, type Entry } from '../entry.ts';
import type { Bodies } from './bodies.ts';
import type { ArchiveReader } from './contract.ts';
import type { Findings } from './findings.ts';

/** What is read of an intent's body. */
const intentBody = z.object({ records: z.array(z.object({ payloads: z.array(z.string()) })) });

interface Intent {
  readonly seq: number;
  /** Payloads that it names; none when the entry is no intent, or its body is not the one committed to. */
  readonly payloads: ReadonlySet<string>;
  /** A sealed entry whose body is not there: what it named cannot be known. */
  readonly bodiless: boolean;
}

export class DestructionCheck {
  readonly #reader: ArchiveReader;
  readonly #findings: Findings;
  readonly #bodies: Bodies;
  /** The intent asked for last: destructions of one intent stand together. */
  #last: Intent | null = null;

  constructor(reader: ArchiveReader, findings: Findings, bodies: Bodies) {
    this.#reader = reader;
    this.#findings = findings;
    this.#bodies = bodies;
  }

  /** Destroyed means: gone from the store, and by an intent that named it before. */
  async check(entry: Extract<Entry, { type: 'payload.destroyed' }>): Promise<void> {
    const { payload, seq, record, intent } = entry;
    const named = intent < seq ? await this.#intentAt(intent) : null;
    if (named?.payloads.has(payload) !== true) {
      const detail = `entry ${intent} is no intent to destroy payload ${payload}`;
      const problem = { kind: 'destruction-without-intent', seq, record, detail };
      if (named?.bodiless === true) this.#bodies.missingFor(intent, seq, problem);
      else this.#findings.report(problem);
    }
    try {
      const object = await this.#reader.object(payload);
      object.body.destroy();
    } catch (error) {
      if (error instanceof ObjectNotFoundError) {
        this.#findings.payloads.destroyed += 1;
        return;
      }
      if (!(error instanceof MunimentError)) throw error;
      if (!(error instanceof VerificationError)) {
        this.#findings.payloads.unreadable += 1;
        this.#findings.problem(
          'payload-unreadable',
          seq,
          record,
          `whether payload ${payload}, destroyed by entry ${seq}, is gone could not be learned: ${error.message}`,
        );
        return;
      }
      // What is damaged is there all the same.
    }
    this.#findings.payloads.presentAfterDestruction += 1;
    this.#findings.problem(
      'present-after-destruction',
      seq,
      record,
      `payload ${payload} was destroyed by entry ${seq} and is in the store`,
    );
  }

  async #intentAt(seq: number): Promise<Intent> {
    if (this.#last?.seq === seq) return this.#last;
    const payloads = new Set<string>();
    const bytes = await this.#reader.entry(seq);
    const [row] = await this.#reader.rows('entry_bodies', seq, seq + 1);
    const bodiless = row === undefined && bytes !== null && isSealed(bytes);
    if (bytes !== null && row?.kind === BODY_KIND.intent) {
      const decoded = decodeEntry(bytes);
      const body = row.body as Buffer;
      if (
        decoded.known &&
        decoded.entry.type === 'sealed' &&
        decoded.entry.body === bodyCommitment(row.salt as Buffer, body)
      ) {
        // A body of another shape lists nothing: no intent of ours.
        const { data } = intentBody.safeParse(parsedJson(body));
        for (const listed of data?.records ?? [])
          for (const payload of listed.payloads) payloads.add(payload);
      }
    }
    this.#last = { seq, payloads, bodiless };
    return this.#last;
  }
}

function isSealed(bytes: Buffer): boolean {
  try {
    const decoded = decodeEntry(bytes);
    return decoded.known && decoded.entry.type === 'sealed';
  } catch (error) {
    if (error instanceof VerificationError) return false; // the chain check reports it
    throw error;
  }
}
