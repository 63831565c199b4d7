// What a run comes to, as those who started it are told; the run report in the archive says it at more length. Kept apart from run.ts, which
// brings the parsers of every platform with it.

import type { Id } from '../core/ids.ts';
import type { RunCounts, RunError } from './progress.ts';

export interface RunOutcome {
  readonly source: string;
  readonly run: Id | null;
  readonly status: 'complete' | 'partial' | 'failed';
  readonly seen: number;
  readonly captured: number;
  readonly changed: number;
  readonly missing: number;
  readonly restored: number;
  readonly media: number;
  /** What could not be read as an item, and was put aside. */
  readonly rejected: number;
  readonly errors: { code: string; message: string }[];
}

export const NOTHING: Readonly<RunCounts> = {
  seen: 0,
  captured: 0,
  changed: 0,
  missing: 0,
  restored: 0,
  media: 0,
  rejected: 0,
};

export function outcomeOf(
  source: string,
  run: Id | null,
  status: RunOutcome['status'],
  counts: RunCounts,
  errors: readonly RunError[],
): RunOutcome {
  return {
    source,
    run,
    status,
    ...counts,
    errors: errors.map(({ code, message }) => ({ code, message })),
  };
}

/** A run that could not begin. */
export function busy(source: string, reason: string): RunOutcome {
  const message = `${reason}; this run did not start`;
  return outcomeOf(source, null, 'failed', NOTHING, [{ code: 'busy', message, subject: null }]);
}

/** A run that a defect ended: it has no report; the next run says so in its own. */
export function brokenOff(source: string, defect: unknown): RunOutcome {
  const told = defect instanceof Error ? defect.message : String(defect);
  const message = `A defect of Muniment ended the run: ${told.replace(/[.\s]*$/, '.')} What it captured before is in the archive. Report the defect with the trace that was printed.`;
  return outcomeOf(source, null, 'failed', NOTHING, [{ code: 'defect', message, subject: null }]);
}
