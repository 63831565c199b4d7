// Per-host politeness: how many requests are under way at once, how closely they follow, and until when a host wants quiet.

/** Waits; rejects with the signal's reason when it is aborted. */
export type Sleep = (milliseconds: number, signal: AbortSignal) => Promise<void>;

export interface GateLimits {
  /** Requests under way at once. */
  readonly concurrency: number;
  /** Mean milliseconds between requests, after a burst. */
  readonly spacing: number;
  readonly burst: number;
}

/** One host's gate. Time is monotonic milliseconds, never the time of day. */
export class HostGate {
  readonly #limits: GateLimits;
  readonly #sleep: Sleep;
  readonly #monotonic: () => number;
  #underWay = 0;
  readonly #waiting: (() => void)[] = [];
  #nextSlot = 0;
  #quietUntil = 0;

  constructor(limits: GateLimits, sleep: Sleep, monotonic: () => number) {
    this.#limits = limits;
    this.#sleep = sleep;
    this.#monotonic = monotonic;
  }

  /** Keeps every later request away for so long. */
  quietFor(milliseconds: number): void {
    this.#quietUntil = Math.max(this.#quietUntil, this.#monotonic() + milliseconds);
  }

  /** Runs the work when the host's limits allow it. */
  async pass<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    while (this.#underWay >= this.#limits.concurrency) {
      signal.throwIfAborted();
      await this.#turn(signal);
    }
    this.#underWay += 1;
    try {
      const now = this.#monotonic();
      const { spacing, burst } = this.#limits;
      this.#nextSlot = Math.max(this.#nextSlot, now - spacing * burst) + spacing;
      const wait = Math.ceil(Math.max(this.#nextSlot, this.#quietUntil) - now);
      if (wait > 0) await this.#sleep(wait, signal);
      signal.throwIfAborted();
      return await work();
    } finally {
      this.#underWay -= 1;
      this.#waiting.shift()?.();
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        const index = this.#waiting.indexOf(go);
        if (index >= 0) this.#waiting.splice(index, 1);
        reject(signal.reason);
      };
      const go = (): void => {
        signal.removeEventListener('abort', stop);
        resolve();
      };
      signal.addEventListener('abort', stop, { once: true });
      this.#waiting.push(go);
    });
  }
}
