// What a collector throws: a platform's failure as a problem for the run report, with the remedy as the hint.

import { type ErrorOptionsWithHint, ServiceError } from '../core/errors.ts';
import type { Problem, ProblemCode } from './collector.ts';

/** A source, or a part of it, could not be read. Everything a run report needs stands in `problem`. */
export class CollectError extends ServiceError {
  readonly problem: Problem;

  /** @param subject the address without secrets, or the item, that it concerns */
  constructor(
    code: ProblemCode,
    message: string,
    subject: string | null,
    options: ErrorOptionsWithHint = {},
  ) {
    super(message, options);
    const remedy = options.hint === undefined ? '' : ` ${options.hint}`;
    this.problem = { code, message: `${message.replace(/[.\s]*$/, '.')}${remedy}`, subject };
  }
}
