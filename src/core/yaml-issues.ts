// Says in plain words what a schema found wrong in a YAML file, and how to mend it. Places are the caller's business.

import type { z } from 'zod';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** One fault of a value: at the value itself, or at its key. */
export interface DescribedIssue {
  readonly path: Path;
  readonly atKey: boolean;
  readonly message: string;
  readonly hint: string;
}

/**
 * @param raw the value that was checked
 * @param source how the scalar at a path is written in the file, or null
 */
export function describeIssues(
  issues: readonly Issue[],
  schema: z.ZodType,
  raw: unknown,
  source: (path: Path) => string | null,
): DescribedIssue[] {
  return issues.flatMap((issue) => describe(issue, [], schema, raw, source));
}

function describe(
  issue: Issue,
  base: Path,
  schema: z.ZodType,
  raw: unknown,
  source: (path: Path) => string | null,
): DescribedIssue[] {
  const path = [...base, ...issue.path];
  const value = valueAt(raw, path);
  const name = nameOf(path);
  const one = (message: string, hint: string): DescribedIssue[] => [
    { path, atKey: false, message: name === '' ? message : `${name}: ${message}`, hint },
  ];
  if (
    value === undefined &&
    issue.code !== 'unrecognized_keys' &&
    issue.code !== 'custom' &&
    path.length > 0
  ) {
    return [
      {
        path,
        atKey: false,
        message: `the key “${String(path.at(-1))}” is missing${base.length + issue.path.length > 1 ? ` in ${nameOf(path.slice(0, -1))}` : ''}`,
        hint: `Add “${String(path.at(-1))}: …”.`,
      },
    ];
  }
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = keysAt(schema, raw, path);
      return issue.keys.map((key) => ({
        path: [...path, key],
        atKey: true,
        message: `unknown key “${key}”${name === '' ? '' : ` in ${name}`}`,
        hint: known.length === 0 ? 'Remove it.' : `Remove it, or use one of: ${known.join(', ')}.`,
      }));
    }
    case 'invalid_type':
      return one(
        `must be ${TYPES[issue.expected] ?? issue.expected}, not ${shown(value, source(path))}`,
        mend(issue.expected, value, source(path)),
      );
    case 'invalid_value': {
      const values = issue.values.map(String);
      return one(
        `must be ${values.length > 1 ? `one of ${values.join(', ')}` : values.join()}, not ${shown(value, source(path))}`,
        `Write ${values.join(' or ')}.`,
      );
    }
    case 'invalid_union': {
      if (issue.errors.length === 0) {
        const options = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
        return one(
          `must be one of ${options.join(', ')}, not ${shown(value, source(path))}`,
          `Write ${options.join(' or ')}.`,
        );
      }
      // The branch that fits best is the one whose faults lie deepest.
      const [best] = [...issue.errors].sort((a, b) => depth(b) - depth(a));
      return (best ?? []).flatMap((inner) => describe(inner, path, schema, raw, source));
    }
    case 'too_small':
      if (Number(issue.minimum) === 1 && issue.origin !== 'number')
        return one('must not be empty', 'Fill it in, or remove the key.');
      return one(`is too small: the least is ${issue.minimum}`, 'Correct the value.');
    case 'too_big':
      return one(`is too large: the most is ${issue.maximum}`, 'Correct the value.');
    case 'custom': {
      const hint: unknown = issue.params?.hint;
      return one(issue.message, typeof hint === 'string' ? hint : 'Correct the value.');
    }
    default:
      return one(
        `${issue.message.replace(/^Invalid /, 'is no valid ')}; here stands ${shown(value, source(path))}`,
        'Correct the value.',
      );
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a group of “key: value” lines',
};

/** `series[0].match.kinds` */
function nameOf(path: Path): string {
  return path
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index > 0 ? '.' : ''}${String(step)}`))
    .join('');
}

function shown(value: unknown, source: string | null): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a group of keys';
  const text = source ?? String(value);
  const cut = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return typeof value === 'number'
    ? `the number ${cut}`
    : typeof value === 'boolean'
      ? `the truth value ${cut}`
      : `“${cut}”`;
}

function mend(expected: string, value: unknown, source: string | null): string {
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean')) {
    return `Put it in quotes: "${source ?? String(value)}".`;
  }
  if (expected === 'string' && value === null) return 'Fill it in, or remove the key.';
  if (expected === 'boolean')
    return 'Write true or false, without quotes; yes, no, on and off are plain words in YAML 1.2.';
  if (expected === 'array' && (typeof value === 'string' || typeof value === 'number')) {
    return `Write it as a list: [${source ?? String(value)}].`;
  }
  if (expected === 'array') return 'Write a list: [one, two], or a line with “- ” for each.';
  if (expected === 'object') return 'Indent “key: value” lines below it, or write { key: value }.';
  return `Write ${TYPES[expected] ?? expected}.`;
}

function depth(issues: readonly Issue[]): number {
  return Math.max(0, ...issues.map((one) => one.path.length + (one.code === 'unrecognized_keys' ? 1 : 0)));
}

function valueAt(raw: unknown, path: Path): unknown {
  let value = raw;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value;
}

/** The parts of a schema's definition that lead from it to the keys it knows. */
interface Definition {
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly options?: readonly z.ZodType[];
  readonly discriminator?: string;
}

/** The keys that a schema knows at a path, in its order. */
function keysAt(schema: z.ZodType, raw: unknown, path: Path): string[] {
  let candidates = unwrap(schema, raw);
  let value = raw;
  for (const step of path) {
    value = valueAt(value, [step]);
    candidates = candidates.flatMap((one) => {
      const definition = one.def as Definition;
      const next =
        typeof step === 'number'
          ? definition.element
          : (definition.shape?.[String(step)] ?? definition.valueType);
      return next === undefined ? [] : unwrap(next, value);
    });
  }
  return [...new Set(candidates.flatMap((one) => Object.keys((one.def as Definition).shape ?? {})))];
}

function unwrap(schema: z.ZodType, value: unknown): z.ZodType[] {
  const definition = schema.def as Definition;
  const inner = definition.innerType ?? definition.in;
  if (inner !== undefined) return unwrap(inner, value);
  if (definition.options === undefined) return [schema];
  const { discriminator } = definition;
  const fitting = definition.options.filter((option) => {
    if (discriminator === undefined) return true;
    const field = (option.def as Definition).shape?.[discriminator];
    return field?.safeParse(valueAt(value, [discriminator])).success === true;
  });
  return fitting.flatMap((option) => unwrap(option, value));
}
