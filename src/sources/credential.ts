// What a collector needs to be let in, as it goes into a request: read when it is needed, and never part of a message.

import { InputError } from '../core/errors.ts';
import type { Secret } from '../core/secret.ts';
import { CollectError } from './collect-error.ts';

/**
 * @param subject what it is to let in to, for the message
 * @param what it is, for people
 * @returns the secret, as it may stand in a header
 * @throws CollectError (`access-lost`), naming its reference alone, when it cannot be read or is none
 */
export function revealed(secret: Secret, subject: string, what = 'access token'): string {
  try {
    const text = secret.reveal();
    if (/^[!-~]+$/.test(text)) return text;
    throw new InputError(`${secret.reference} holds no ${what}`, {
      hint: 'It must be one line of letters, digits and signs.',
    });
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new CollectError('access-lost', error.message, subject, { hint: error.hint ?? '' });
  }
}
