// Where every check of a verification puts what it found: problems, and what became of the payloads.

import type { Problem } from '../chain.ts';
import type { VerifyResult } from './contract.ts';

const PROBLEMS_LISTED = 1000;

export class Findings {
  readonly problems: Problem[] = [];
  /** Problems beyond those listed. */
  unlisted = 0;
  readonly payloads: VerifyResult['payloads'] = {
    intact: 0,
    destroyed: 0,
    missing: 0,
    altered: 0,
    presentAfterDestruction: 0,
    unreadable: 0,
    hidden: 0,
    superseded: 0,
    shortened: 0,
  };
  readonly #onProblem: ((problem: Problem) => void) | undefined;

  /** @param onProblem called for every problem, also beyond those listed */
  constructor(onProblem: ((problem: Problem) => void) | undefined) {
    this.#onProblem = onProblem;
  }

  report(problem: Problem): void {
    this.#onProblem?.(problem);
    if (this.problems.length < PROBLEMS_LISTED) this.problems.push(problem);
    else this.unlisted += 1;
  }

  problem(kind: string, seq: number | null, record: string | null, detail: string): void {
    this.report({ kind, seq, record, detail });
  }
}
