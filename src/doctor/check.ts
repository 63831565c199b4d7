// What `muniment doctor` says of one thing that it tried.

import { MunimentError } from '../core/errors.ts';
import type { Trial } from '../store/trial.ts';

export interface Check {
  /** Stable name, e.g. `store.lock.delete-refused`: what monitoring goes by. */
  readonly id: string;
  /** Whether it is as one would wish. */
  readonly ok: boolean;
  /** `bad` must be mended; `note` can be lived with, and should be known. */
  readonly severity: 'good' | 'note' | 'bad';
  readonly tried: string;
  readonly saw: string;
  readonly means: string;
  /** How to mend it; null where there is nothing to mend. */
  readonly fix: string | null;
}

type Told = Omit<Check, 'ok' | 'severity' | 'fix'>;

export const good = (told: Told): Check => ({ ...told, ok: true, severity: 'good', fix: null });

/** Well, and worth knowing all the same. */
export const stated = (told: Told, fix: string | null = null): Check => ({
  ...told,
  ok: true,
  severity: 'note',
  fix,
});

export const note = (told: Told, fix: string): Check => ({ ...told, ok: false, severity: 'note', fix });

export const bad = (told: Told, fix: string): Check => ({ ...told, ok: false, severity: 'bad', fix });

/** The words for each end of a trial: what it means, and how to mend it. */
export interface Words {
  readonly id: string;
  readonly tried: string;
  readonly held: string;
  readonly notHeld: string;
  readonly fix: string;
  /** How bad it is when it does not hold. */
  readonly severity: 'note' | 'bad';
  /** How bad it is when the trial could not tell; a note unless said. */
  readonly untold?: 'note' | 'bad';
}

export function ofTrial(trial: Trial, words: Words): Check {
  const { id, tried, fix } = words;
  const told = { id, tried, saw: trial.saw };
  if (trial.held === true) return good({ ...told, means: words.held });
  const [means, severity] =
    trial.held === false
      ? [words.notHeld, words.severity]
      : ['It is not known whether this holds.', words.untold ?? 'note'];
  return (severity === 'bad' ? bad : note)({ ...told, means }, fix);
}

/** An error of ours is a finding too; the checks that would have followed it are not made. */
export async function told(id: string, tried: string, checks: () => Promise<Check[]>): Promise<Check[]> {
  try {
    return await checks();
  } catch (error) {
    if (!(error instanceof MunimentError)) throw error;
    const means = 'What depends on it could not be tried, and does not work now.';
    return [bad({ id, tried, saw: error.message, means }, error.hint ?? 'See the message.')];
  }
}

export const gibibytes = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;

/** A lock's date is ours, and judged by the service's clock; so are times in the ledger by whoever reads them. */
const SKEW_SECONDS_ALLOWED = 60;

export function clockCheck(id: string, whose: string, skewSeconds: number | null): Check {
  const tried = `the clock of ${whose} against this machine's`;
  if (skewSeconds === null) {
    const means = 'It is not known whether the two agree.';
    return note({ id, tried, saw: 'it told no time', means }, 'Check the clocks of both.');
  }
  const saw =
    skewSeconds === 0
      ? 'they agree to the second'
      : `it is ${Math.abs(skewSeconds)} s ${skewSeconds > 0 ? 'ahead' : 'behind'}`;
  if (Math.abs(skewSeconds) <= SKEW_SECONDS_ALLOWED)
    return good({ id, tried, saw, means: 'Times and dates of locks mean the same on both sides.' });
  return bad(
    {
      id,
      tried,
      saw,
      means: 'Times in the ledger and dates of locks are off by as much, on one side or the other.',
    },
    'Set the clock by NTP, on the side that is wrong.',
  );
}
