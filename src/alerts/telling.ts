// When what is amiss is told: at once, again after two days, then every five, until it is mended; and then that it is. Pure.

import type { Finding } from './findings.ts';

/** What a channel was told of a finding. RFC 3339 UTC. */
export interface Told {
  readonly finding: string;
  readonly since: string;
  readonly toldAt: string;
  readonly times: number;
}

export interface Alert {
  readonly state: 'found' | 'lasting' | 'mended';
  readonly finding: string;
  readonly kind: string;
  readonly source: string | null;
  readonly run: string | null;
  readonly since: string;
  readonly sentence: string;
  /** Of a match of watch words: the record, and its address unless that is of a message. */
  readonly record?: string;
  readonly link?: string | null;
}

const DAY = 24 * 3_600_000;
const AGAIN_AFTER = 2 * DAY;
const THEN_EVERY = 5 * DAY;

/** @returns what a channel is to be told now */
export function alertsDue(findings: readonly Finding[], told: readonly Told[], now: string): Alert[] {
  const known = new Map(told.map((one) => [one.finding, one]));
  const due: Alert[] = [];
  for (const { id, ...finding } of findings) {
    const before = known.get(id);
    known.delete(id);
    if (before === undefined) due.push({ state: 'found', finding: id, since: now, ...finding });
    else if (isAgain(before, now))
      due.push({ state: 'lasting', finding: id, since: before.since, ...finding });
  }
  for (const { finding, since } of known.values()) {
    const [kind, source] = finding.split(':', 2) as [string, string | undefined];
    const sentence = `${source === undefined ? '' : `${source}: `}mended: ${kind}.`;
    due.push({ state: 'mended', finding, kind, source: source ?? null, run: null, since, sentence });
  }
  return due;
}

/** What was told in a time that has yet to come was told by a clock that was ahead: waiting for that time would be silence. */
function isAgain({ toldAt, times }: Told, now: string): boolean {
  const age = Date.parse(now) - Date.parse(toldAt);
  return age < -DAY || age >= (times === 1 ? AGAIN_AFTER : THEN_EVERY);
}

/** @returns what the alert says in a line */
export function alertLine({ state, since, sentence }: Alert): string {
  if (state === 'found') return `ALERT: ${sentence}`;
  return state === 'lasting' ? `ALERT, since ${since}: ${sentence}` : `Alert of ${since}, ${sentence}`;
}
