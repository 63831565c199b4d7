// Rows held against what their entry and its document stand for.

import type { Entry } from '../entry.ts';
import {
  ERASED_COLUMNS,
  PROJECTED_TABLES,
  type ProjectedTable,
  type Row,
  snapshotKey,
} from '../projection.ts';
import type { RowWithSeq } from './contract.ts';
import type { Findings } from './findings.ts';

/** Stored rows of one entry, by table; none where there are none. */
export type RowsOf = (table: string) => RowWithSeq[];

export class RowCheck {
  readonly #findings: Findings;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** @param expected every row that the entry and its document stand for. @param destroyed entries of destructions, by commitment */
  compare(
    seq: number,
    record: string | null,
    expected: readonly { table: ProjectedTable; row: Row }[],
    rowsOf: RowsOf,
    destroyed: ReadonlyMap<string, number>,
  ): void {
    for (const table of PROJECTED_TABLES) {
      const wanted = expected.filter((row) => row.table === table).map((row) => row.row);
      const left = [...rowsOf(table)];
      for (const row of wanted) {
        if (table === 'payloads' && destroyed.has(String(row.commitment))) {
          const at = left.findIndex((r) => r.commitment === row.commitment);
          if (at >= 0) this.#checkErased('payloads', left.splice(at, 1)[0] as RowWithSeq, seq, record);
          continue;
        }
        const at = left.findIndex((stored) => differing(row, stored) === null);
        if (at >= 0) {
          left.splice(at, 1);
          continue;
        }
        // The row that comes nearest is the one that was changed.
        const near = left.findIndex((stored) => sameKey(table, row, stored));
        if (near < 0)
          this.#findings.problem(
            'row-missing',
            seq,
            record,
            `${table} lacks a row that entry ${seq} stands for`,
          );
        else {
          const column = differing(row, left[near] as RowWithSeq) as string;
          left.splice(near, 1);
          this.#findings.problem(
            'row-differs',
            seq,
            record,
            `${table}.${column} is not what entry ${seq} and its document say`,
          );
        }
      }
      for (const row of left) this.#unexpected(table, row, seq, record);
    }
  }

  /** The document is gone (destroyed, missing or altered): what the entry says by itself still holds, and erased columns must be NULL. */
  compareWithoutDocument(
    seq: number,
    entry: Entry,
    rowsOf: RowsOf,
    destroyed: ReadonlyMap<string, number>,
  ): void {
    const record = 'record' in entry ? entry.record : null;
    for (const row of rowsOf('payloads')) {
      const commitment = String(row.commitment);
      if (destroyed.has(commitment)) this.#checkErased('payloads', row, seq, record);
    }
    if (entry.type === 'item.captured') {
      const row = rowsOf('snapshots')[0];
      const { seq: _, ...own } = snapshotKey(entry);
      if (row === undefined)
        this.#findings.problem(
          'row-missing',
          seq,
          record,
          `snapshots lacks the row that entry ${seq} stands for`,
        );
      else {
        const column = differing(own, row);
        if (column !== null)
          this.#findings.problem(
            'row-differs',
            seq,
            record,
            `snapshots.${column} is not what entry ${seq} says`,
          );
        if (destroyed.has(entry.document)) this.#checkErased('snapshots', row, seq, record);
      }
      if (destroyed.has(entry.document))
        for (const identity of rowsOf('record_identities'))
          this.#checkErased('record_identities', identity, seq, record);
    }
  }

  #unexpected(table: ProjectedTable, row: RowWithSeq, seq: number, record: string | null): void {
    this.#findings.problem(
      'row-unexpected',
      seq,
      record,
      `${table} holds a row that entry ${seq} does not stand for${typeof row.id === 'string' ? ` (${row.id})` : ''}`,
    );
  }

  #checkErased(
    table: keyof typeof ERASED_COLUMNS,
    row: RowWithSeq,
    seq: number,
    record: string | null,
  ): void {
    for (const column of ERASED_COLUMNS[table]) {
      if (row[column] !== null) {
        this.#findings.payloads.presentAfterDestruction += 1;
        this.#findings.problem(
          'present-after-destruction',
          seq,
          record,
          `${table}.${column} was erased and holds something again`,
        );
      }
    }
  }
}

/** @returns the first column in which a stored row is not as it must be, or null */
function differing(expected: Readonly<Record<string, unknown>>, stored: RowWithSeq): string | null {
  for (const [column, value] of Object.entries(expected)) {
    if (cellText(value) !== cellText(stored[column])) return column;
  }
  return null;
}

function sameKey(table: ProjectedTable, expected: Row, stored: RowWithSeq): boolean {
  const key = {
    records: 'id',
    snapshots: 'id',
    payloads: 'commitment',
    capture_runs: 'id',
    bundles: 'id',
    payload_destructions: 'commitment',
  }[table as string];
  return key === undefined || cellText(expected[key]) === cellText(stored[key]);
}

/** @returns a text that is the same for equal cells, from whichever side they come */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return '\u0000null';
  if (Buffer.isBuffer(value)) return value.toString('hex');
  if (Array.isArray(value)) return JSON.stringify(value);
  return String(value);
}
