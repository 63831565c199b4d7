// The account of injected faults: fault × operation × outcome, and what must never be: lost, doubled, unverifiable, unclear.

/** What an operation made of a fault: `completed` in spite of it, `told` what failed, or ended so that nobody could know why. */
export type Outcome = 'completed' | 'told' | 'unclear';

export interface Verdict {
  readonly outcome: Outcome;
  readonly lost: readonly string[];
  readonly doubled: readonly string[];
  readonly unverifiable: readonly string[];
}

interface Line {
  injected: number;
  completed: number;
  told: number;
  readonly codes: Map<string, number>;
}

export class FaultReport {
  readonly skipped: string[] = [];
  readonly failures: string[] = [];
  readonly totals = { injected: 0, completed: 0, told: 0, unclear: 0, lost: 0, doubled: 0, unverifiable: 0 };
  readonly #lines = new Map<string, Map<string, Line>>();

  /** @param code what the operation told: a problem's code, an error's class */
  add(place: { where: string; fault: string; operation: string; code: string }, verdict: Verdict): void {
    const { where, fault, operation, code } = place;
    const lines = this.#lines.getOrInsertComputed(where, () => new Map());
    const line: Line = lines.getOrInsertComputed(`${fault}\t${operation}`, () => ({
      injected: 0,
      completed: 0,
      told: 0,
      codes: new Map(),
    }));
    line.injected += 1;
    this.totals.injected += 1;
    if (verdict.outcome === 'completed') line.completed += 1;
    else if (verdict.outcome === 'told') line.told += 1;
    if (verdict.outcome !== 'completed') line.codes.set(code, (line.codes.get(code) ?? 0) + 1);
    this.totals[verdict.outcome] += 1;
    for (const kind of ['lost', 'doubled', 'unverifiable'] as const) {
      this.totals[kind] += verdict[kind].length;
      for (const what of verdict[kind])
        this.failures.push(`${kind}: ${what} (${where}: ${fault}, ${operation})`);
    }
    if (verdict.outcome === 'unclear')
      this.failures.push(`unclear: ${code} (${where}: ${fault}, ${operation})`);
  }

  skip(reason: string): void {
    this.skipped.push(reason);
  }

  get good(): boolean {
    return this.failures.length === 0;
  }

  text(): string {
    const out: string[] = [];
    for (const [where, lines] of this.#lines) {
      out.push(
        '',
        where,
        `  ${'fault'.padEnd(34)}${'operation'.padEnd(26)}${'injected'.padStart(9)}${'completed'.padStart(11)}${'told'.padStart(6)}  told as`,
      );
      // Jobs run side by side: their lines come in no order.
      for (const [key, line] of [...lines].sort(([a], [b]) => (a < b ? -1 : 1))) {
        const [fault, operation] = key.split('\t') as [string, string];
        const codes = [...line.codes].map(([code, n]) => `${code} ${n}`).join(', ');
        out.push(
          `  ${fault.padEnd(34)}${operation.padEnd(26)}${String(line.injected).padStart(9)}${String(line.completed).padStart(11)}${String(line.told).padStart(6)}  ${codes}`,
        );
      }
    }
    const { injected, completed, told, unclear, lost, doubled, unverifiable } = this.totals;
    out.push('', ...this.failures.slice(0, 50).map((failure) => `FAILED ${failure}`));
    out.push(...this.skipped.map((reason) => `SKIPPED ${reason}`));
    out.push(
      `${injected} faults injected: ${completed} completed in spite of it, ${told} told what failed and were completed by running again, ${unclear} unclear.`,
      `${lost} lost, ${doubled} doubled, ${unverifiable} unverifiable.`,
    );
    return out.join('\n');
  }
}
