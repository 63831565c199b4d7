// The typed errors of Muniment. Each names what happened and carries a hint: what the reader should do next.
// Errors are matched by class, never by message; the class decides the exit code (one table, here).

export const EXIT = { done: 0, unexpected: 1, usage: 2, unverified: 3, refused: 4, incomplete: 5 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface ErrorOptionsWithHint {
  /** What the reader should do next, as a full sentence. */
  hint?: string;
  cause?: unknown;
}

/** Base of every error that Muniment raises on purpose. */
export class MunimentError extends Error {
  readonly exitCode: ExitCode = EXIT.unexpected;
  readonly hint: string | undefined;
  constructor(message: string, options: ErrorOptionsWithHint = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
  }
}

/** Bad usage, configuration or input: `file:line:column` stands in the message where there is a file. */
export class InputError extends MunimentError {
  override readonly exitCode: ExitCode = EXIT.usage;
}

/** Bytes, chain, signature or projection are not what they must be. */
export class VerificationError extends MunimentError {
  override readonly exitCode: ExitCode = EXIT.unverified;
}

/** A rule (hold, lock, approval, authority) forbids it. */
export class RefusedError extends MunimentError {
  override readonly exitCode: ExitCode = EXIT.refused;
}

/** The work ended, but a part of it failed. */
export class IncompleteError extends MunimentError {
  override readonly exitCode: ExitCode = EXIT.incomplete;
}

/** A service that Muniment needs (database, store, disk, platform) cannot be reached or does not answer as it must. */
export class ServiceError extends MunimentError {
  override readonly exitCode: ExitCode = EXIT.incomplete;
}

/** A service went away, or could do no more, while it was in use: what was done before stands, and running again goes on from there. */
export class ServiceLostError extends ServiceError {}

/** A key that the store does not hold: never used for a failure to read. */
export class ObjectNotFoundError extends MunimentError {
  readonly key: string;
  constructor(key: string, options: ErrorOptionsWithHint = {}) {
    super(`the store holds no object ${key}`, options);
    this.key = key;
  }
}

/** Other bytes stand already under this key: the store is write-once. */
export class ObjectExistsError extends VerificationError {
  readonly key: string;
  constructor(key: string, options: ErrorOptionsWithHint = {}) {
    super(`the store already holds other bytes under ${key}`, options);
    this.key = key;
  }
}

/** @returns the exit code for anything thrown: the one place where errors become codes. */
export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof MunimentError ? error.exitCode : EXIT.unexpected;
}
