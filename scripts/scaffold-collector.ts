// `npm run scaffold -- NAME`: begins a collector of a further platform. It writes the dialect and its contract, and registers both with settings of
// their own; all of it compiles, and the contract suite fails at what is still to be written, and says so.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/** A place in a file that exists, before which something is put. */
type Insertion = readonly [anchor: string, text: string];

/**
 * @param name of the platform, as it stands in settings
 * @param read the text of a file of the project; null where there is none
 * @returns the texts of files, by their paths, that are new or changed
 * @throws Error where the name cannot be one, or the project is not as this script knows it
 */
export function scaffolded(name: string, read: (path: string) => string | null): ReadonlyMap<string, string> {
  if (!/^[a-z][a-z0-9]{0,30}$/.test(name))
    throw new Error(
      `“${name}” is no name of a platform: write lower-case letters and digits, such as flickr`,
    );
  const type = `${name[0]?.toUpperCase()}${name.slice(1)}`;
  const files = new Map([
    [`src/sources/${name}.ts`, dialect(name, type)],
    [`test/sources/contracts/${name}.ts`, contract(name)],
  ]);
  for (const path of files.keys())
    if (read(path) !== null) throw new Error(`${path} exists: choose another name, or remove it first`);
  for (const [path, insertions] of Object.entries(registrations(name, type))) {
    let text = read(path);
    for (const [anchor, insertion] of insertions) {
      if (text?.split(anchor).length !== 2)
        throw new Error(`${path} does not hold “${anchor.trim()}” once: mend scripts/scaffold-collector.ts`);
      text = text.replace(anchor, () => insertion + anchor);
    }
    files.set(path, text as string);
  }
  return files;
}

function registrations(name: string, type: string): Readonly<Record<string, readonly Insertion[]>> {
  return {
    'src/core/settings.ts': [
      [
        'export type SourceSettings =',
        `export interface ${type}Settings extends CommonSourceSettings {
  readonly platform: '${name}';
  /** The account, as people know it. */
  readonly account: string;
  /** The origin of the API. */
  readonly service: string;
  readonly token: Secret;
}

`,
      ],
      ['  | ImportSettings;', `  | ${type}Settings\n`],
    ],
    'src/config.ts': [
      [
        "  metaSource('threads',",
        `  z
    .strictObject({
      ...common,
      platform: z.literal('${name}'),
      account: z.string().min(1).max(200),
      service: origin.default('https://api.${name}.invalid'),
      token: z.string(),
    })
    .refine(({ service }) => !isReadableOnTheWay(service), { path: ['service'], message: READABLE }),
`,
      ],
    ],
    'src/sources/open.ts': [
      ['import { openBlueskyCollector }', `import { open${type}Collector } from './${name}.ts';\n`],
      [
        "    case 'bluesky':",
        `    case '${name}':\n      return open${type}Collector(settings, dependencies);\n`,
      ],
    ],
    'test/sources/contracts.ts': [
      ['import { bluesky }', `import { ${name} } from './contracts/${name}.ts';\n`],
      ['  bluesky,\n', `  ${name},\n`],
    ],
  };
}

function dialect(name: string, type: string): string {
  return `// What is particular to ${type}: TODO, one sentence on what is read, and the one thing that a reader must know.

import type { ${type}Settings } from '../core/settings.ts';
import { type AccountDialect, openAccountCollector } from './account.ts';
import { CollectError } from './collect-error.ts';
import type { Collector } from './collector.ts';
import { Http, type HttpDependencies } from './http.ts';

/** @param settings the origin of \`service\`, and no other, may be private */
export function open${type}Collector(settings: ${type}Settings, dependencies: HttpDependencies): Collector {
  const http = new Http([settings.service], dependencies);
  return openAccountCollector(${name}Dialect(settings), settings.account, { http, clock: dependencies.clock });
}

function ${name}Dialect(settings: ${type}Settings): AccountDialect {
  const unwritten = (what: string): CollectError =>
    new CollectError('not-the-expected-format', \`the ${name} collector cannot yet \${what}\`, settings.service, {
      hint: 'Write it in src/sources/${name}.ts; src/sources/reddit.ts shows the way.',
    });
  return {
    platform: '${name}',
    name: '${type}',
    collectorVersion: '${name}/1',
    comparisonRule: '${name}-content/1',
    lists: ['posts'],
    // What the platform never tells, whoever asks: whole sentences, told with every run.
    gaps: [],
    showsWholeThreads: true,
    listEndsAfter: null,
    async findAccount() {
      throw unwritten('find its account: ask for it by Http, cut its profile from the answer, and say what the platform counts');
    },
    async listPage() {
      throw unwritten('read a page of the list: cut each item exactly as it came, and take the cursor of the next page');
    },
    // biome-ignore lint/correctness/useYield: nothing is read yet
    async *threadPages() {
      throw unwritten('read what is below an item, at any depth');
    },
    lookUpBatch: 100,
    async lookUp() {
      throw unwritten('look items up: deleted, hidden, access lost or account gone only by the platform’s own word');
    },
  };
}
`;
}

function contract(name: string): string {
  return `// TODO: how such a platform answers, for the contract suite and the fuzz; src/sources/README.md says what each member means.

import { type CollectorContract, TOKEN_VARIABLE } from '../../support/collector-stage.ts';
import { jsonAnswer } from '../../support/replay.ts';

export const ${name}: CollectorContract = {
  pageSize: 2,
  threadDepth: 8,
  tellsDeletions: true,
  readsAllAfter: 24,
  settings: (origin) => ({
    platform: '${name}',
    account: 'city',
    service: origin,
    token: \`\\\${\${TOKEN_VARIABLE}}\`,
  }),
  // Show \`items\` as they are whenever it is asked: test/sources/contracts/reddit.ts is an example.
  open: () => ({
    asks: () => 'account',
    answer: () => jsonAnswer({ message: 'test/sources/contracts/${name}.ts does not answer yet' }, 404),
    refusal: (status) => jsonAnswer({ message: 'No.' }, status),
    platformId: ({ key }) => key,
  }),
};
`;
}

if (import.meta.main) {
  const { positionals } = parseArgs({ allowPositionals: true });
  const [name = '', ...others] = positionals;
  const root = join(import.meta.dirname, '..');
  const textOf = (path: string): string | null => {
    try {
      return readFileSync(join(root, path), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  };
  try {
    if (name === '' || others.length > 0) throw new Error('usage: npm run scaffold -- NAME');
    const files = scaffolded(name, textOf);
    for (const [path, text] of files) writeFileSync(join(root, path), text);
    const paths = [...files.keys()];
    // What was put in stands where it was easy to put; the formatter puts it in order.
    spawnSync(join(root, 'node_modules/.bin/biome'), ['check', '--write', ...paths], {
      cwd: root,
      stdio: 'ignore',
    });
    process.stdout.write(
      `${paths.map((path) => `wrote ${path}`).join('\n')}\nNow: npm test -- test/sources/contract.test.ts, and write what it says is missing.\n`,
    );
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  }
}
