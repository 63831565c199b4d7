// What a failed HTTP exchange means for a run: errors of the network, of compression and of the server, as CollectErrors.

import { MunimentError } from '../core/errors.ts';
import { CollectError } from './collect-error.ts';
import { withoutSecrets } from './evidence.ts';
import { isRetriedCode } from './retry.ts';

export function tooLarge(address: string, limit: number): CollectError {
  const shown = withoutSecrets(address);
  return new CollectError(
    'too-large',
    `${shown} answers with more than ${limit} bytes, so it was not read to its end`,
    shown,
  );
}

/** @returns the error for a status (429, 5xx) that stood to the last attempt */
export function refusedStatus(status: number, host: string, subject: string): CollectError {
  if (status === 429) {
    return new CollectError(
      'rate-limited',
      `${host} answered 429 (too many requests) to every attempt`,
      subject,
      {
        hint: 'Collect less often, or wait.',
      },
    );
  }
  return new CollectError('http-status', `${host} answered ${status} to every attempt`, subject, {
    hint: 'The service has a fault of its own; the next run tries again.',
  });
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code === 'string') return code;
  return error.cause === undefined ? '' : codeOf(error.cause);
}

/** Failures of this machine or this code (a full disk, a bug), never of a platform. */
const OUR_CODES = new Set([
  '',
  'ENOSPC',
  'EDQUOT',
  'EFBIG',
  'EACCES',
  'EPERM',
  'EROFS',
  'EMFILE',
  'ENFILE',
  'ENOENT',
  'ENOTDIR',
  'EEXIST',
  'EIO',
]);

/**
 * @returns what anything thrown by undici or zlib means for the run, and whether a later attempt may help
 * @throws the error itself when it is this machine's own failure
 */
export function failureOf(error: unknown, subject: string): { error: MunimentError; retried: boolean } {
  if (error instanceof MunimentError) return { error, retried: false };
  const inner = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  const code = codeOf(inner);
  const retried = isRetriedCode(code);
  if (code.includes('TIMEOUT') || code === 'ETIMEDOUT') {
    return {
      retried,
      error: new CollectError('timeout', `${subject} did not answer in time`, subject, {
        cause: error,
        hint: 'The next run tries again.',
      }),
    };
  }
  if (code.startsWith('Z_') || code.startsWith('ERR_BROTLI') || code.startsWith('ERR__ERROR')) {
    return {
      retried,
      error: new CollectError(
        'not-the-expected-format',
        `${subject} sent a body whose compression is broken`,
        subject,
        { cause: error },
      ),
    };
  }
  if (OUR_CODES.has(code)) throw error;
  const message =
    code === 'ENOTFOUND' ? `the name in ${subject} does not exist` : `${subject} cannot be reached (${code})`;
  return {
    retried,
    error: new CollectError('unreachable', message, subject, {
      cause: error,
      hint: 'Check the address and the network.',
    }),
  };
}
