// Bodies held against the entries that commit to them, and the restores that may account for those that are missing.

import { z } from 'zod';
import { parsedJson } from '../../core/canonical.ts';
import { bodyCommitment } from '../../core/digest.ts';
import { isKindOf } from '../body-kind.ts';
import type { Problem } from '../chain.ts';
import type { Entry } from '../entry.ts';
import type { VerifyOptions } from './contract.ts';
import type { Findings } from './findings.ts';
import type { NamedCheck } from './named.ts';
import type { RowsOf } from './rows.ts';

/** What a restore says it could not bring back: of the entries in `from` … `to` − 1, that many bodies. */
interface Lost {
  readonly from: number;
  readonly to: number;
  readonly lostBodies: number;
}

interface Restore extends Lost {
  readonly seq: number;
}

/** A problem of the entry at `seq` that is none if a restore accounts for the missing body of the entry at `body`, before it or itself. */
interface Bodiless {
  readonly body: number;
  readonly seq: number;
  readonly problem: Problem;
}

const restoreBody = z.object({ lostBodies: z.int().min(0) });

export class Bodies {
  readonly #findings: Findings;
  readonly #named: NamedCheck;
  readonly #bodiless: Bodiless[] = [];
  readonly #restores: Restore[] = [];

  constructor(findings: Findings, named: NamedCheck) {
    this.#findings = findings;
    this.#named = named;
  }

  /** Entries in order. @param entry null where its type is unknown, or its bytes are no entry. @param rowsOf its stored rows */
  check(seq: number, entry: Entry | null, rowsOf: RowsOf): void {
    const row = rowsOf('entry_bodies')[0];
    const commitment = entry !== null && 'body' in entry ? entry.body : null;
    if (entry === null || commitment === null) {
      if (row !== undefined && entry !== null)
        this.#findings.problem('row-unexpected', seq, null, `entry ${seq} has no body, yet a row holds one`);
      return;
    }
    if (row === undefined) {
      this.#named.take(entry, null);
      const detail = `the body of entry ${seq} is missing`;
      this.missingFor(seq, seq, { kind: 'body-missing', seq, record: null, detail });
      return;
    }
    const body = row.body as Buffer;
    if (bodyCommitment(row.salt as Buffer, body) !== commitment) {
      this.#named.take(entry, null);
      this.#findings.problem(
        'body-altered',
        seq,
        null,
        `the body of entry ${seq} is not the one that the entry commits to`,
      );
      return;
    }
    if (!isKindOf(String(row.kind), entry.type, body))
      this.#findings.problem(
        'row-differs',
        seq,
        null,
        `entry_bodies.kind is not that of entry ${seq} and its body`,
      );
    this.#named.take(entry, body);
    if (entry.type === 'restore.performed') this.#addRestore(entry, body);
  }

  /** Keeps a problem of the entry at `seq` until it is known whether a restore accounts for the missing body of the entry at `body`. */
  missingFor(body: number, seq: number, problem: Problem): void {
    this.#bodiless.push({ body, seq, problem });
  }

  /**
   * A body may be missing where a restore had no more than the published entry; anywhere else it is a problem. A restore accounts for as
   * many bodies as it said were lost: where another number is missing, one was removed, nobody can tell which, and all are problems.
   * @param signed entries that a signed head covers: whoever writes the database can append a restore, but not sign it
   * @param drill what the restore that is a drill says, in no entry
   * @returns how many bodies restores account for
   */
  judge(signed: number, drill: VerifyOptions['drill'] | null): number {
    const told: Lost[] = this.#restores.filter((restore) => restore.seq < signed);
    if (drill) told.push({ ...drill, from: drill.size, to: drill.size + drill.replayed });
    const restores = told.filter((restore) => this.#missingIn(restore) === restore.lostBodies);
    let lost = 0;
    for (const one of this.#bodiless) {
      if (!restores.some((restore) => covers(restore, one))) this.#findings.report(one.problem);
      else if (isMissing(one)) lost += 1;
    }
    return lost;
  }

  #missingIn(restore: Lost): number {
    let missing = 0;
    for (const one of this.#bodiless) if (isMissing(one) && covers(restore, one)) missing += 1;
    return missing;
  }

  #addRestore(entry: Extract<Entry, { type: 'restore.performed' }>, body: Buffer): void {
    const { seq, size, replayed } = entry;
    const lostBodies = lostBodiesOf(body);
    if (replayed === 0 || lostBodies === null) return;
    this.#restores.push({ seq, from: size, to: Math.min(size + replayed, seq), lostBodies });
  }
}

/** A destruction whose intent is lost was published with it: one that came after the restore could not know what to destroy. */
function covers({ from, to }: Lost, { body, seq }: Bodiless): boolean {
  return body >= from && seq < to;
}

function isMissing({ problem }: Bodiless): boolean {
  return problem.kind === 'body-missing';
}

/** @returns what the body of a restore counts; null where it counts nothing, as one that no restore of ours wrote */
function lostBodiesOf(body: Buffer): number | null {
  const parsed = restoreBody.safeParse(parsedJson(body));
  return parsed.success ? parsed.data.lostBodies : null;
}
