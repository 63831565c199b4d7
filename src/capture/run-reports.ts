// Runs as the ledger and their reports tell of them: when they ended and how, and, read from the report's checked bytes, what each asked,
// was told and could not get.

import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { sql } from 'kysely';
import { VerificationError } from '../core/errors.ts';
import type { Database } from '../db/database.ts';
import { type RunReportHead, runReportHead } from '../ledger/documents.ts';
import { decodeEntry } from '../ledger/entry.ts';
import { openPayload, requireCommitted } from '../ledger/payload.ts';
import type { ObjectSource } from '../ledger/reader.ts';

/** Runs read from the database at a time. */
const PAGE = 500;
/** A head lists 500 errors at most; beyond this it is none of ours. */
const LONGEST_HEAD = 8 * 1024 * 1024;
const QUARANTINE_LINE = '{"quarantine":';

export interface EndedRun {
  readonly run: string;
  readonly seq: number;
  /** RFC 3339 UTC: of the entry that closed it. */
  readonly at: string;
  readonly status: 'complete' | 'partial' | 'failed';
  /** Commitment of its report. */
  readonly report: string;
}

/** The runs of a source that ended before a position in the ledger, in their order. */
export async function* endedRuns(db: Database, source: string, size: number): AsyncGenerator<EndedRun> {
  for (let after = -1; ; ) {
    const rows = await db
      .selectFrom('capture_runs as r')
      .innerJoin('ledger_entries as e', 'e.seq', 'r.seq')
      .select(['r.id', 'r.seq', 'r.status', 'r.report', 'e.entry'])
      .where('r.source_id', '=', source)
      .where('r.seq', '>', after)
      .where('r.seq', '<', size)
      .orderBy('r.seq')
      .limit(PAGE)
      .execute();
    for (const { id, seq, status, report, entry } of rows) {
      const { at } = decodeEntry(entry).entry;
      yield { run: id, seq: Number(seq), at, status: status as EndedRun['status'], report };
    }
    if (rows.length < PAGE) return;
    after = Number(rows.at(-1)?.seq);
  }
}

export interface RunReport {
  readonly head: RunReportHead;
  /** Answers, or parts of one, that could not be read as an item and lie in quarantine. */
  readonly rejected: number;
}

/**
 * Reads a run's report, streaming: it has a line for every item that the run saw.
 * @throws VerificationError when it was destroyed, or its bytes are not those committed to; whatever the store throws
 */
export async function readRunReport(db: Database, store: ObjectSource, report: string): Promise<RunReport> {
  const { salt, body } = await openPayload(db, store, report);
  const digest = createHash('sha256');
  let head = '';
  let isFirst = true;
  let rejected = 0;
  for await (const line of linesOf(body, (chunk) => digest.update(chunk))) {
    if (isFirst) head = line;
    else if (line.startsWith(QUARANTINE_LINE)) rejected += 1;
    isFirst = false;
  }
  // Nothing of it is used before it is known to be what the entry commits to.
  requireCommitted(report, salt, digest.digest());
  return { head: runReportHead.parse(JSON.parse(head)), rejected };
}

async function* linesOf(body: Readable, seen: (chunk: Buffer) => void): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of body as AsyncIterable<Buffer>) {
    seen(chunk);
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      yield Buffer.concat([rest, chunk.subarray(from, end)]).toString('utf8');
      rest = Buffer.alloc(0);
      from = end + 1;
    }
    rest = Buffer.concat([rest, chunk.subarray(from)]);
    if (rest.length > LONGEST_HEAD)
      throw new VerificationError('a line of a run report is longer than any that Muniment writes');
  }
  if (rest.length > 0) yield rest.toString('utf8');
}

/** What of a source's media could not be had, as of positions in the ledger: asked in ascending order. */
export class MissingMedia {
  readonly #rows: readonly { record: string; seq: number; missing: number }[];
  readonly #byRecord = new Map<string, number>();
  #next = 0;
  #total = 0;

  private constructor(rows: readonly { record: string; seq: number; missing: number }[]) {
    this.#rows = rows;
  }

  /** Holds the versions of those records only that lacked a medium at some time. */
  static async of(db: Database, source: string, size: number): Promise<MissingMedia> {
    const { rows } = await sql<{ record: string; seq: string; missing: number }>`
      SELECT s.record_id AS record, s.seq, coalesce(s.media_missing, 0) AS missing FROM snapshots AS s
      WHERE s.seq < ${size} AND s.record_id IN (
        SELECT m.record_id FROM snapshots AS m JOIN record_sources AS l ON l.record_id = m.record_id
        WHERE l.source_id = ${source} AND m.media_missing > 0)
      ORDER BY s.seq`.execute(db);
    return new MissingMedia(
      rows.map((row) => ({ ...row, seq: Number(row.seq), missing: Number(row.missing) })),
    );
  }

  /** @returns how many media are lacking once the entry `seq` is in */
  asOf(seq: number): number {
    for (
      let row = this.#rows[this.#next];
      row !== undefined && row.seq <= seq;
      row = this.#rows[this.#next]
    ) {
      this.#total += row.missing - (this.#byRecord.get(row.record) ?? 0);
      this.#byRecord.set(row.record, row.missing);
      this.#next += 1;
    }
    return this.#total;
  }
}
