// Reads an archive's settings: `muniment.yaml` in its home, and the few environment variables. The only file that reads the
// environment. Secrets stand in neither: `${NAME}` and `file:PATH` references are resolved here.

import { readFileSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { InputError } from './core/errors.ts';
import { autoFault, isAuto } from './core/pace.ts';
import { Secret } from './core/secret.ts';
import type {
  AlertSettings,
  ArchiveSettings,
  MetaSettings,
  SourceSettings,
  StoreSettings,
} from './core/settings.ts';
import { parseYaml, readYamlFile } from './core/yaml-file.ts';

/** What the environment says, read once at start. */
export interface Environment {
  readonly home: string | null;
  readonly token: string | null;
  readonly configFolder: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

export function readEnvironment(variables: Environment['variables'] = { ...process.env }): Environment {
  return {
    // Set to nothing is not set.
    home: variables.MUNIMENT_HOME || null,
    token: variables.MUNIMENT_TOKEN || null,
    configFolder: join(variables.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'muniment'),
    variables,
  };
}

/** Settings of one archive, frozen. */
export interface Settings {
  readonly home: string;
  readonly archive: ArchiveSettings;
  /** PostgreSQL URL of the runtime role, or null: embedded. */
  readonly databaseUrl: string | null;
  readonly store: StoreSettings;
  readonly sources: readonly SourceSettings[];
  readonly alerts: AlertSettings;
}

const ORIGIN = /^[a-z0-9][a-z0-9.-]*(\/[A-Za-z0-9._~-]+)*$/;

/** @returns whether the name is an IANA zone that this runtime knows */
export function isTimeZone(name: string): boolean {
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return !/^[+-]/.test(name);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

export function isCivilDate(text: string): boolean {
  try {
    return Temporal.PlainDate.from(text).toString() === text;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

const FIELDS: readonly (readonly [name: string, low: number, high: number])[] = [
  ['minute', 0, 59],
  ['hour', 0, 23],
  ['day of month', 1, 31],
  ['month', 1, 12],
  ['day of week', 0, 7],
];
const DAYS_IN_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** @returns why a five-field cron expression can never run or can't be read, or null when it is good */
export function cronFault(expression: string): string | null {
  const fields = expression.trim().split(/\s+/);
  if (fields.length !== 5)
    return `a schedule has five fields (minute hour day month weekday), not ${fields.length}`;
  const values: number[][] = [];
  for (const [index, [name, low, high]] of FIELDS.entries()) {
    const found: number[] = [];
    for (const part of (fields[index] as string).split(',')) {
      const match = /^(?:(\*)|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
      if (match === null) return `“${part}” is no ${name} of a schedule`;
      const from = match[1] === '*' ? low : Number(match[2]);
      const to =
        match[1] === '*'
          ? high
          : match[3] !== undefined
            ? Number(match[3])
            : match[4] === undefined
              ? from
              : high;
      const step = match[4] === undefined ? 1 : Number(match[4]);
      if (from < low || to > high || from > to || step === 0)
        return `“${part}” is out of range for the ${name} (${low}-${high})`;
      for (let value = from; value <= to; value += step) found.push(value);
    }
    values.push(found);
  }
  const [, , days, months] = values as [number[], number[], number[], number[]];
  const restrictedWeekday = fields[4] !== '*';
  if (
    !restrictedWeekday &&
    !months.some((month) => days.some((day) => day <= (DAYS_IN_MONTH[month - 1] as number)))
  ) {
    return 'no month has such a day, so the schedule would never run';
  }
  return null;
}

const origin = z
  .url({ protocol: /^https?$/ })
  .refine((text) => new URL(text).pathname === '/' && new URL(text).search === '', {
    message: 'must be an origin, such as https://example.org, without a path',
  });
const common = {
  id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be lower-case letters, digits and hyphens'),
  schedule: z
    .string()
    .superRefine((text, check) => {
      const fault = isAuto(text) ? autoFault(text) : cronFault(text);
      if (fault !== null) check.addIssue({ code: 'custom', message: fault });
    })
    .nullable()
    .default(null),
  confirmDates: z
    .strictObject({
      by: z.string().min(1),
      on: z.string().refine(isCivilDate, 'must be a date, such as 2026-11-01'),
    })
    .nullable()
    .default(null),
};

const READABLE = 'must be https where a token is sent, for anyone on the way could read it';

const OWN_ACCOUNT = [
  /^(me|\d{1,30})$/,
  'must be me, for the account of the token, or its id in digits',
] as const;

/** A platform of Meta, which shows nothing without a token. */
function metaSource<const Platform extends MetaSettings['platform']>(
  platform: Platform,
  service: string,
  [account, accountFault]: readonly [RegExp, string],
) {
  return z
    .strictObject({
      ...common,
      platform: z.literal(platform),
      account: z.string().regex(account, accountFault),
      service: origin.default(service),
      token: z.string(),
    })
    .refine((one) => !isReadableOnTheWay(one.service), { path: ['service'], message: READABLE });
}

const source = z.discriminatedUnion('platform', [
  z.strictObject({
    ...common,
    platform: z.literal('bluesky'),
    account: z
      .string()
      .regex(
        /^(did:(plc|web):[A-Za-z0-9.:%_-]+|@?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)$/,
        'must be a handle, such as example.gov, or a DID',
      ),
    service: origin.default('https://public.api.bsky.app'),
    directory: origin.default('https://plc.directory'),
    repository: origin.nullable().default(null),
    proofs: z.int().min(0).max(100_000).default(100),
  }),
  z
    .strictObject({
      id: common.id,
      confirmDates: common.confirmDates,
      platform: z.literal('import'),
      account: z.string().min(1).max(2048).optional(),
    })
    .transform((one) => ({ ...one, schedule: null })),
  z.strictObject({ ...common, platform: z.literal('feed'), url: z.url({ protocol: /^https?$/ }) }),
  z
    .strictObject({
      ...common,
      platform: z.literal('mastodon'),
      account: z
        .string()
        .regex(
          /^@?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?(@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:\d{1,5})?)?$/,
          'must be an account, such as @city@social.example, or the name alone beside a service',
        ),
      service: origin.nullable().default(null),
      token: z.string().nullable().default(null),
    })
    .refine(({ account, service }) => service !== null || hostOf(account) !== null, {
      path: ['account'],
      message: 'names no server: write @name@host, or add a service, such as https://social.example',
    })
    .refine(({ service, token }) => token === null || service === null || !isReadableOnTheWay(service), {
      path: ['service'],
      message: READABLE,
    }),
  metaSource('threads', 'https://graph.threads.net', OWN_ACCOUNT),
  metaSource('instagram', 'https://graph.instagram.com', OWN_ACCOUNT),
  metaSource('facebook', 'https://graph.facebook.com', [
    /^([A-Za-z0-9.]{1,100})$/,
    'must be the id of a Page, or the name in its address, such as cityofexample',
  ]),
  z
    .strictObject({
      ...common,
      platform: z.literal('reddit'),
      account: z
        .string()
        .regex(
          /^(u\/[A-Za-z0-9_-]{1,32}|r\/[A-Za-z0-9_]{1,32})$/,
          'must be u/NAME for an account, or r/NAME for a community',
        ),
      service: origin.default('https://oauth.reddit.com'),
      login: origin.default('https://www.reddit.com'),
      token: z.string().optional(),
      clientId: z.string().optional(),
      clientSecret: z.string().optional(),
    })
    .refine(({ service, login }) => ![service, login].some(isReadableOnTheWay), {
      path: ['service'],
      message: READABLE,
    })
    .refine(
      ({ token, clientId, clientSecret }) =>
        (token === undefined) === (clientId !== undefined) &&
        (clientId === undefined) === (clientSecret === undefined),
      { path: ['token'], message: 'must stand there, or clientId and clientSecret of an application' },
    ),
  z
    .strictObject({
      ...common,
      platform: z.literal('flickr'),
      account: z
        .string()
        .regex(
          /^([A-Za-z0-9_-]{1,100}|\d{1,20}@N\d{2})$/,
          'must be the name in flickr.com/photos/NAME, or a number such as "12345678@N00"',
        ),
      service: origin.default('https://api.flickr.com'),
      key: z.string(),
    })
    .refine(({ service }) => !isReadableOnTheWay(service), { path: ['service'], message: READABLE }),
  z
    .strictObject({
      ...common,
      platform: z.literal('linkedin'),
      account: z
        .string()
        .regex(
          /^[A-Za-z0-9-]{1,100}$/,
          'must be the name in linkedin.com/company/NAME, or a number in quotes',
        ),
      service: origin.default('https://api.linkedin.com'),
      token: z.string(),
      version: z
        .string()
        .regex(/^20\d{2}(0[1-9]|1[0-2])$/, 'must be a year and a month, such as "202601"')
        .default('202601'),
    })
    .refine(({ service }) => !isReadableOnTheWay(service), { path: ['service'], message: READABLE }),
  z
    .strictObject({
      ...common,
      platform: z.literal('x'),
      account: z.string().regex(/^@?[A-Za-z0-9_]{1,15}$/, 'must be a name, such as @CityOfExample'),
      service: origin.default('https://api.x.com'),
      token: z.string(),
      search: z.enum(['all', 'recent']).default('all'),
      unitsPerDay: z.number().int().min(200).max(1_000_000_000).default(2000),
      daysBetweenWhole: z.number().int().min(1).max(366).default(7),
      decision: z
        .strictObject({
          by: z.string().min(1),
          on: z.string().refine(isCivilDate, 'must be a date, such as 2026-11-01'),
          cite: z.string().min(1),
        })
        .nullable()
        .default(null),
    })
    .refine(({ service }) => !isReadableOnTheWay(service), { path: ['service'], message: READABLE }),
  z
    .strictObject({
      ...common,
      platform: z.literal('youtube'),
      account: z
        .string()
        .regex(
          /^(UC[A-Za-z0-9_-]{22}|@[\p{L}\p{N}._·-]{1,64})$/u,
          'must be a handle, such as @CityOfExample, or the id of a channel, UC and 22 characters',
        ),
      service: origin.default('https://www.googleapis.com'),
      key: z.string(),
      unitsPerDay: z.number().int().min(1).max(1_000_000_000).default(10_000),
    })
    .refine(({ service }) => !isReadableOnTheWay(service), {
      path: ['service'],
      message: 'must be https, for anyone on the way could read the key',
    }),
]);

/** @returns whether an origin is reached over plain http, and not on this machine */
function isReadableOnTheWay(service: string): boolean {
  const { protocol, hostname } = new URL(service);
  return protocol === 'http:' && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname);
}

/** @returns the host of @name@host, or null */
function hostOf(account: string): string | null {
  return account.replace(/^@/, '').split('@')[1] ?? null;
}

const period = z
  .string()
  .regex(/^P(?=\d)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?$/, 'must be an ISO 8601 period of dates, such as P90D');
/** Locks are renewed daily, when half of it is left: shorter ones would lapse in between. A longer one could not be undone. */
const horizon = period.refine((text) => {
  if (/\d{5}/.test(text)) return false;
  const days = Temporal.Duration.from(text).total({ unit: 'days', relativeTo: '2026-01-01' });
  return days >= 7 && days <= 3653;
}, 'must be 7 days to 10 years: locks are renewed long before they end');

const mailbox = z.email();
const alerts = z
  .strictObject({
    log: z.boolean().default(true),
    webhook: z
      .strictObject({ url: z.string(), secret: z.string().nullable().default(null) })
      .nullable()
      .default(null),
    email: z
      .strictObject({ smtp: z.string(), from: mailbox, to: z.array(mailbox).min(1) })
      .nullable()
      .default(null),
    digest: z
      .strictObject({ every: z.enum(['day', 'week']), to: z.array(mailbox).min(1) })
      .nullable()
      .default(null),
  })
  .refine(({ digest, email }) => digest === null || email !== null, {
    path: ['digest'],
    message: 'goes by e-mail: say how with `email` beside it',
  });

const file = z.strictObject({
  archive: z.strictObject({
    name: z.string().min(1),
    origin: z.string().max(200).regex(ORIGIN, 'must look like archive.example.gov/social'),
    timezone: z.string().refine(isTimeZone, 'is no IANA time zone; write one such as America/New_York'),
    fiscalYear: z
      .array(
        z.strictObject({
          from: z.string().refine(isCivilDate, 'must be a date, such as 2000-01-01'),
          starts: z
            .string()
            .regex(/^(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$/, 'must be month-day, such as 07-01'),
        }),
      )
      .default([]),
  }),
  database: z.strictObject({ url: z.string() }).nullable().default(null),
  store: z
    .discriminatedUnion('provider', [
      z.strictObject({ provider: z.literal('directory'), path: z.string().default('payloads') }),
      z.strictObject({
        provider: z.literal('s3'),
        bucket: z.string().min(3),
        region: z.string().default('us-east-1'),
        endpoint: origin.nullable().default(null),
        prefix: z.string().default(''),
        lock: z
          .union([
            z.literal('none'),
            z.strictObject({
              mode: z.enum(['GOVERNANCE', 'COMPLIANCE']).default('GOVERNANCE'),
              horizon: horizon.default('P90D'),
            }),
          ])
          .default({
            mode: 'GOVERNANCE',
            horizon: 'P90D',
          }),
        encryption: z
          .strictObject({
            kmsKey: z
              .string()
              .regex(/^[!-~]{1,2048}$/, 'must be the id, alias or ARN of a key, without spaces'),
          })
          .nullable()
          .default(null),
      }),
    ])
    .default({ provider: 'directory', path: 'payloads' }),
  sources: z
    .array(source)
    .default([])
    .superRefine((sources, check) => {
      for (const [index, one] of sources.entries()) {
        if (sources.findIndex((other) => other.id === one.id) !== index) {
          check.addIssue({
            code: 'custom',
            path: [index, 'id'],
            message: `the id ${one.id} is used twice; every source needs its own`,
          });
        }
      }
    }),
  alerts: alerts.default({ log: true, webhook: null, email: null, digest: null }),
});

const storeFile = z.strictObject({
  store: file.shape.store.unwrap(),
  credentials: z
    .strictObject({
      accessKeyId: z.string(),
      secretAccessKey: z.string(),
      sessionToken: z.string().optional(),
    })
    .optional(),
});

const WHOLE_REFERENCE = /^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:.+)$/;
const REFERENCE = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/** Resolves `${NAME}` and `file:PATH`, the only ways a secret may be named. @throws InputError naming the reference, never the value */
export function resolveSecret(text: string, home: string, environment: Environment, where: string): string {
  if (text.startsWith('file:')) {
    const path = text.slice('file:'.length);
    try {
      return readFileSync(isAbsolute(path) ? path : join(home, path), 'utf8').trim();
    } catch (cause) {
      throw new InputError(`${where}: the file ${path} cannot be read`, {
        hint: 'Check its path and permissions.',
        cause,
      });
    }
  }
  return text.replaceAll(REFERENCE, (_, name: string) => {
    const value = environment.variables[name];
    if (value === undefined)
      throw new InputError(`${where}: the environment has no ${name}`, {
        hint: `Set ${name}, or name a file: reference instead.`,
      });
    return value;
  });
}

/**
 * Reads the settings of the archive in `home`.
 * @throws InputError where there is no archive, and with file:line:column for anything wrong in the file
 */
export async function readSettings(home: string, environment: Environment): Promise<Settings> {
  const path = join(resolve(home), 'muniment.yaml');
  await access(path).catch((error: NodeJS.ErrnoException) => {
    // Anything else is told by the reading of the file.
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') return;
    throw new InputError(`${resolve(home)} holds no archive: there is no muniment.yaml`, {
      hint: "Name the archive's folder with --home or $MUNIMENT_HOME, or make an archive with `muniment init`.",
    });
  });
  return resolved((await readYamlFile(path, file)).value, path, home, environment);
}

/** A store that is not (yet) the archive's, as a file beside muniment.yaml describes it. */
export interface DescribedStore {
  readonly settings: StoreSettings;
  /** Null: whatever the archive's own store uses. */
  readonly credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } | null;
}

/**
 * Reads a file with the same `store:` as muniment.yaml, relative paths told from the home, and `credentials:` where two stores need
 * different ones.
 * @throws InputError with file:line:column for anything wrong in the file
 */
export async function readStoreFile(
  path: string,
  home: string,
  environment: Environment,
): Promise<DescribedStore> {
  const { value, place } = await readYamlFile(path, storeFile);
  const { store, credentials } = value;
  const root = resolve(home);
  const secret = (name: 'accessKeyId' | 'secretAccessKey' | 'sessionToken', text: string): string => {
    const { line, column } = place(['credentials', name]);
    const where = `${path}:${line}:${column}: credentials.${name}`;
    if (WHOLE_REFERENCE.test(text)) return resolveSecret(text, root, environment, where);
    throw noReference(where);
  };
  return {
    settings: located(store, root),
    credentials:
      credentials === undefined
        ? null
        : {
            accessKeyId: secret('accessKeyId', credentials.accessKeyId),
            secretAccessKey: secret('secretAccessKey', credentials.secretAccessKey),
            ...(credentials.sessionToken === undefined
              ? {}
              : { sessionToken: secret('sessionToken', credentials.sessionToken) }),
          },
  };
}

function located(store: StoreSettings, root: string): StoreSettings {
  return store.provider === 'directory' ? { ...store, path: resolve(root, store.path) } : store;
}

/** As readSettings, for a text that is to become the file. @param shownAs how messages name it */
export function parseSettings(
  text: string,
  shownAs: string,
  home: string,
  environment: Environment,
): Settings {
  return resolved(parseYaml(text, shownAs, file).value, shownAs, home, environment);
}

function resolved(
  value: z.output<typeof file>,
  shownAs: string,
  home: string,
  environment: Environment,
): Settings {
  const root = resolve(home);
  const where = `${shownAs}: database.url`;
  const written = value.database?.url ?? null;
  if (written !== null && holdsPassword(written)) {
    throw new InputError(`${where} holds a password`, {
      hint: `Put the whole URL in an environment variable or a file, and refer to it: '\${NAME}' or file:PATH.`,
    });
  }
  const store = located(value.store, root);
  const databaseUrl = written === null ? null : resolveSecret(written, root, environment, where);
  const sources = value.sources.map((one, index): SourceSettings => {
    if (one.platform === 'bluesky' || one.platform === 'feed' || one.platform === 'import') return one;
    const secret = (name: string, text: string): Secret =>
      secretOf(text, `${shownAs}: sources[${index}].${name}`, root, environment);
    if (one.platform === 'youtube' || one.platform === 'flickr')
      return { ...one, key: secret('key', one.key) };
    if (one.platform === 'reddit') {
      const { token, clientId = '', clientSecret = '', ...rest } = one;
      if (token !== undefined) return { ...rest, access: { token: secret('token', token) } };
      const id = secret('clientId', clientId);
      return { ...rest, access: { clientId: id, clientSecret: secret('clientSecret', clientSecret) } };
    }
    if (one.platform !== 'mastodon') return { ...one, token: secret('token', one.token) };
    return {
      ...one,
      service: one.service ?? `https://${hostOf(one.account)}`,
      token: one.token === null ? null : secret('token', one.token),
    };
  });
  const told = alertsOf(value.alerts, `${shownAs}: alerts`, root, environment);
  return Object.freeze({ home: root, archive: value.archive, databaseUrl, store, sources, alerts: told });
}

function alertsOf(
  { log, webhook, email, digest }: z.output<typeof alerts>,
  where: string,
  root: string,
  environment: Environment,
): AlertSettings {
  const address = (name: string, text: string, scheme: RegExp): Secret => {
    if (WHOLE_REFERENCE.test(text)) return secretOf(text, `${where}.${name}`, root, environment);
    if (!URL.canParse(text) || !scheme.test(text) || holdsPassword(text))
      throw new InputError(`${where}.${name} is no address, or holds a password`, {
        hint: `Write one such as ${name === 'email.smtp' ? 'smtp://mail.example.gov:587' : 'https://example.gov/hook'}; where it holds a secret, put it in an environment variable or a file, and refer to that: '\${NAME}' or file:PATH.`,
      });
    return new Secret(text, () => text);
  };
  return {
    log,
    webhook:
      webhook === null
        ? null
        : {
            url: address('webhook.url', webhook.url, /^https?:/),
            secret:
              webhook.secret === null
                ? null
                : secretOf(webhook.secret, `${where}.webhook.secret`, root, environment),
          },
    email: email === null ? null : { ...email, smtp: address('email.smtp', email.smtp, /^smtps?:/) },
    digest,
  };
}

/** A secret is looked for when it is needed: most commands need none. @throws InputError unless the text is a reference and nothing else */
function secretOf(text: string, where: string, root: string, environment: Environment): Secret {
  if (WHOLE_REFERENCE.test(text))
    return new Secret(text, () => resolveSecret(text, root, environment, where));
  throw noReference(where);
}

/** Not by the schema: its messages show what stands there. */
function noReference(where: string): InputError {
  return new InputError(`${where} is no reference`, {
    hint: `Put it in an environment variable or a file, and refer to that: '\${NAME}' or file:PATH.`,
  });
}

/** Whether a URL as written, references apart, has something where passwords stand. */
function holdsPassword(written: string): boolean {
  if (written.startsWith('file:')) return false;
  const literal = written.replaceAll(REFERENCE, '');
  return /:\/\/[^/@]*:[^/@]+@/.test(literal) || /[?&]password=[^&]/i.test(literal);
}
