// Checks a bundle for the product: the same verifier that lies in every bundle, from our own trusted copy.

import { InputError } from '../core/errors.ts';
import { type BundleCheck, BundleInputError, resultText, verifyBundle } from './verifier/verify.mjs';

export type { BundleCheck } from './verifier/verify.mjs';

/**
 * @param bundle path of the ZIP, or of the folder that it unpacks to
 * @param key the archive's verifier key, if the reader has it from elsewhere
 * @returns what was found; `ok` false is exit code 3
 * @throws InputError when there is nothing to read, or the key is none
 */
export async function checkBundle(bundle: string, key?: string): Promise<BundleCheck> {
  try {
    return await verifyBundle(bundle, key === undefined ? {} : { key });
  } catch (error) {
    if (!(error instanceof BundleInputError)) throw error;
    throw new InputError(error.message, {
      hint: "Give the bundle's ZIP or folder, and a key as `muniment key export` prints it.",
      cause: error,
    });
  }
}

/** The result in words. */
export function checkText(result: BundleCheck): string {
  return resultText(result).trimEnd();
}
