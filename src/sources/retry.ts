// When to ask again: pure reading of status codes and rate headers. One policy for every platform, applied by http.ts.

/** Statuses that a later attempt may change. */
const RETRIED_STATUSES = new Set([429, 500, 502, 503, 504]);

const RETRIED_CODES = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
]);

export function isRetriedStatus(status: number): boolean {
  return RETRIED_STATUSES.has(status);
}

/** @param code the error code of Node or undici, or '' */
export function isRetriedCode(code: string): boolean {
  return RETRIED_CODES.has(code);
}

export type Headers = Readonly<Record<string, string>>;

/** Rate headers of the IETF draft and its older forms; the first present counts. */
const REMAINING = ['ratelimit-remaining', 'x-ratelimit-remaining', 'x-rate-limit-remaining'];
const RESET = ['ratelimit-reset', 'x-ratelimit-reset', 'x-rate-limit-reset'];

/** A number above this is a moment in epoch seconds, below it a span: no platform asks to wait thirty years. */
const EPOCH_SECONDS_FROM = 1_000_000_000;
const EPOCH_MILLISECONDS_FROM = 100_000_000_000;

/**
 * What moments of this answer count from: the server's own clock (RFC 9110 section 6.6.1), for it made both, whatever time it is here. An
 * answer out of a cache tells no present time.
 */
function nowOf(headers: Headers, here: number): number {
  const there = Date.parse(headers.date ?? '');
  return Number.isNaN(there) || headers.age !== undefined ? here : there;
}

/** Reads "120", "1790000000", an HTTP date or an ISO date. @returns milliseconds from now, never negative; null when unreadable */
function millisecondsUntil(text: string, now: number): number | null {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) {
    const number = Number(trimmed);
    if (number >= EPOCH_MILLISECONDS_FROM) return Math.max(0, number - now);
    return number >= EPOCH_SECONDS_FROM ? Math.max(0, number * 1000 - now) : number * 1000;
  }
  const at = Date.parse(trimmed);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}

function first(headers: Headers, names: readonly string[]): string | undefined {
  for (const name of names) if (headers[name] !== undefined) return headers[name];
  return undefined;
}

/**
 * How long the server asks us to stay away: `Retry-After` (RFC 9110 section 10.2.3: seconds or an HTTP date), or the reset of
 * an exhausted rate limit (seconds, epoch seconds or an ISO date, by platform), or what keeps a limit that is told in percent from being reached.
 * @param here epoch milliseconds by this machine's clock, for answers that are not dated
 * @returns milliseconds, or null when the server does not say
 */
export function waitAskedFor(status: number, headers: Headers, here: number): number | null {
  const now = nowOf(headers, here);
  const after = headers['retry-after'];
  if (after !== undefined && isRetriedStatus(status)) {
    const wait = millisecondsUntil(after, now);
    if (wait !== null) return wait;
  }
  const remaining = first(headers, REMAINING);
  const reset = first(headers, RESET);
  if (reset === undefined) return waitForUsage(headers);
  // Reddit counts what remains with a fraction.
  if (status !== 429 && !/^0+(\.0+)?$/.test(remaining?.trim() ?? '')) return null;
  return millisecondsUntil(reset, now);
}

/** Headers in which Meta tells, in percent, how much of a limit is used up (Graph API, rate limits). They come with every answer. */
const USAGE = ['x-app-usage', 'x-page-usage', 'x-business-use-case-usage'];
/** From this share on calls are spaced out, the more the nearer the limit is: its window is an hour that slides. */
const USAGE_FROM = 75;
const USAGE_LIMIT = 100;
const LONGEST_SPACING = 5 * 60_000;
const MINUTE = 60_000;

/** @returns milliseconds to stay away so that the limit is never reached, or null where it is far */
function waitForUsage(headers: Headers): number | null {
  let used = 0;
  let minutes = 0;
  for (const name of USAGE) {
    const text = headers[name] ?? '';
    for (const [, share] of text.matchAll(/"(?:call_count|total_cputime|total_time)"\s*:\s*(\d{1,4})\b/g))
      used = Math.max(used, Number(share));
    for (const [, wait] of text.matchAll(/"estimated_time_to_regain_access"\s*:\s*(\d{1,6})\b/g))
      minutes = Math.max(minutes, Number(wait));
  }
  if (minutes > 0) return minutes * MINUTE;
  if (used < USAGE_FROM) return null;
  const share = Math.min(1, (used - USAGE_FROM) / (USAGE_LIMIT - USAGE_FROM));
  return Math.max(1000, Math.round(share * LONGEST_SPACING));
}

const FIRST_BACKOFF = 500;
const LONGEST_BACKOFF = 30_000;

/**
 * @param attempt 1 after the first failure
 * @param random in [0, 1)
 * @returns exponential backoff with jitter over its upper half, in milliseconds
 */
export function backoff(attempt: number, random: number): number {
  const ceiling = Math.min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (attempt - 1));
  return Math.round(ceiling * (0.5 + random / 2));
}
