// What a credential may ask of a metered platform in a day, counted before every call where a restart, another source with the same
// credential, and another worker find it. A run stops before the budget is exceeded, and says so.

import { type Clock, instantText } from '../core/clock.ts';
import type { Secret } from '../core/secret.ts';
import { CollectError } from './collect-error.ts';

/** Where what is spent is counted. */
export interface Meter {
  /**
   * Adds to what a credential has spent in a period, unless that would exceed the limit. A later period begins with nothing spent.
   * @param period a civil date, such as 2026-11-01
   * @returns whether it was added
   */
  spend(credential: string, period: string, units: number, limit: number): Promise<boolean>;
  /** @returns what is spent of the period */
  spent(credential: string, period: string): Promise<number>;
}

/** @returns the last period that another clock may be in, when this one is in that given: none is a day ahead and right */
export function latestPeriod(period: string): string {
  return Temporal.PlainDate.from(period).add({ days: 1 }).toString();
}

/** @returns whether a period was counted by a clock that was wrong by days */
export function isOfWrongClock(counted: string, period: string): boolean {
  return counted > latestPeriod(period);
}

/** A meter that lasts as long as its process. */
export function passingMeter(): Meter {
  const counted = new Map<string, { period: string; units: number }>();
  const unitsOf = (credential: string, period: string): number => {
    const known = counted.get(credential);
    return known === undefined || known.period < period || isOfWrongClock(known.period, period)
      ? 0
      : known.units;
  };
  return {
    async spend(credential, period, units, limit) {
      const sum = unitsOf(credential, period) + units;
      if (sum > limit) return false;
      const before = counted.get(credential)?.period ?? period;
      const isLater = before > period && !isOfWrongClock(before, period);
      counted.set(credential, { period: isLater ? before : period, units: sum });
      return true;
    },
    spent: async (credential, period) => unitsOf(credential, period),
  };
}

export interface BudgetTerms {
  /** As people know it, for messages and as a part of the credential's name. */
  readonly platform: string;
  /** Counted by its reference: a key that is replaced in its place goes on with what was spent. */
  readonly credential: Secret;
  readonly unitsPerDay: number;
  /** Where the platform's day begins and ends. */
  readonly timezone: string;
}

export class Budget {
  readonly terms: BudgetTerms;
  readonly #meter: Meter;
  readonly #clock: Clock;

  constructor(terms: BudgetTerms, meter: Meter, clock: Clock) {
    this.terms = terms;
    this.#meter = meter;
    this.#clock = clock;
  }

  /**
   * Counts a call before it is made.
   * @param share of the day's units, in (0, 1], that calls of its kind may not go beyond
   * @returns the day that it was counted for
   * @throws CollectError `budget-spent` where it would; then nothing is counted
   */
  async spend(units: number, subject: string, share = 1): Promise<string> {
    const day = this.#day();
    if (await this.#meter.spend(this.#credential, day, units, this.#ceiling(share))) return day;
    throw this.spentError(subject, share);
  }

  /** Takes back what a call turned out not to cost. @param day as {@link spend} told it: what is over is over */
  async giveBack(units: number, day: string): Promise<void> {
    if (units > 0 && day === this.#day())
      await this.#meter.spend(this.#credential, day, -units, this.terms.unitsPerDay);
  }

  /** @returns units that are left of a share of the day's */
  async left(share = 1): Promise<number> {
    return Math.max(0, this.#ceiling(share) - (await this.#meter.spent(this.#credential, this.#day())));
  }

  /** @returns what work that takes so many units, or more, comes to under this budget, as a sentence for people */
  forecast(what: string, units: number, share = 1): string {
    const { unitsPerDay, credential } = this.terms;
    const days = Math.ceil(units / Math.max(1, this.#ceiling(share)));
    const rest = days > 1 ? `, and so at least ${days} days` : '';
    return `${what} takes at least ${units} of the ${unitsPerDay} units a day of ${credential.reference}${rest}`;
  }

  /** What the platform's own word that the day's units are used up comes to, too. */
  spentError(subject: string, share = 1): CollectError {
    const { platform, credential, unitsPerDay } = this.terms;
    const of = share === 1 ? '' : `${this.#ceiling(share)} of `;
    return new CollectError(
      'budget-spent',
      `${of}the ${unitsPerDay} units a day of ${platform} for ${credential.reference} are spent until ${instantText(this.#renewal())}`,
      subject,
      {
        hint: 'Runs after that go on. Where the platform grants more, raise unitsPerDay in the settings; else collect less often.',
      },
    );
  }

  get #credential(): string {
    return `${this.terms.platform} ${this.terms.credential.reference}`;
  }

  #ceiling(share: number): number {
    return Math.floor(this.terms.unitsPerDay * share);
  }

  #today(): Temporal.PlainDate {
    return this.#clock.now().toZonedDateTimeISO(this.terms.timezone).toPlainDate();
  }

  #day(): string {
    return this.#today().toString();
  }

  #renewal(): Temporal.Instant {
    return this.#today().add({ days: 1 }).toZonedDateTime(this.terms.timezone).toInstant();
  }
}
