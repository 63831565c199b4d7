// The demo: the main job on a small account, from capture to a tampered copy that is caught. It replays answers recorded from a real AT
// Protocol network, or does the same with a live account. It uses the product's own operations, nothing made for show.

import { chmod, cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Environment } from './config.ts';
import { type Archive, homePaths, openArchive } from './context.ts';
import type { Clock } from './core/clock.ts';
import { InputError, VerificationError } from './core/errors.ts';
import { removeEmbedded } from './db/embedded.ts';
import { explainRecord, putPolicyInForce } from './governance.ts';
import { checkBundleAt, collect, exportRecords, searchRecords, verify } from './operations.ts';
import { initArchive } from './setup.ts';
import { startReplay } from './sources/replay.ts';
import { openStore } from './store/open.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

const SCHEDULE = `# A schedule invented for the demo: no authority stands behind it.
id: demo-schedule
version: "1"
issuer: City of Example (invented)
jurisdiction: none
effective: { from: 2020-01-01 }
adopted: true
adoptedBy: Muniment demo
adoptedOn: 2020-01-01
series:
  - code: "DEMO-1"
    title: Routine public communications
    authority: [{ cite: "invented for this demo" }]
    match: { kinds: [post] }
    trigger: published
    cutoff: calendar-year-end
    period: P2Y
    disposition: destroy
`;

export interface DemoResult {
  readonly home: string;
  readonly bundle: string;
  readonly tampered: { readonly archive: string; readonly bundle: string };
}

export interface DemoOptions {
  /** Folder that receives `archive` and `bundle.zip`; what a former demo left there is replaced. */
  readonly folder: string;
  /** Handle of a live account; null: replay. */
  readonly account: string | null;
  readonly environment: Environment;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

async function removeFormer(home: string, bundle: string): Promise<void> {
  const present = await readdir(home).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (present !== null) {
    if (!present.includes('muniment.yaml') && !present.includes('.unfinished')) {
      throw new InputError(`${home} is in the way and is no archive`, {
        hint: 'Move it, or run the demo elsewhere.',
      });
    }
    await removeEmbedded(home);
    await rm(home, { recursive: true, force: true });
  }
  await rm(bundle, { force: true });
}

export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { say, clock, environment, signal } = options;
  const home = join(options.folder, 'archive');
  const bundle = join(options.folder, 'bundle.zip');
  await removeFormer(home, bundle);
  await using replay =
    options.account === null ? await startReplay(join(ROOT, 'demo', 'recordings'), { port: 0 }) : null;
  const source =
    replay === null
      ? { id: 'demo', platform: 'bluesky', account: options.account }
      : {
          id: 'demo',
          platform: 'bluesky',
          account: replay.account,
          service: replay.origin,
          directory: replay.origin,
          repository: replay.origin,
          // No proofs were recorded.
          proofs: 0,
        };
  say(
    replay === null
      ? `This demo reads the live account ${options.account}.`
      : `This demo is a REPLAY. ${replay.from}`,
  );

  say('\n1. A new archive');
  const made = await initArchive(
    home,
    {
      name: 'City of Example (demo)',
      origin: 'demo.example/social',
      timezone: 'America/New_York',
      sources: [source],
    },
    environment,
    clock,
  );
  say(`   ${made.home}\n   verifier key ${made.verifierKey}`);
  await using archive = await openArchive(home, environment, clock);
  await writeFile(join(homePaths(home).policies, 'schedules', 'demo.yaml'), SCHEDULE);

  say('\n2. Capture');
  await capture(archive, signal, say);
  if (replay !== null) {
    say('   Then the agency edits a post, and posts are deleted. The next run notices:');
    replay.act(2);
  } else say('   The next run stores only what changed:');
  await capture(archive, signal, say);
  const found = await searchRecords(archive, { limit: 500 });
  for (const record of found.records) {
    if ((record.versions ?? 1) > 1)
      say(`   edited:  ${line(record.text)}  (${record.versions} versions kept)`);
    if (record.state === 'missing') say(`   deleted on the platform, kept here:  ${line(record.text)}`);
  }

  say('\n3. Retention');
  await putPolicyInForce(archive);
  const example = found.records.find((record) => record.kind === 'post') ?? found.records[0];
  if (example === undefined)
    throw new InputError('the account has nothing to show', { hint: 'Try another one.' });
  const decision = await explainRecord(archive, example.id);
  say(`   ${line(example.text)}\n   ${decision.decision}: ${decision.reasons.join('\n   ')}`);

  say('\n4. A bundle for a public-records request');
  const exported = await exportRecords(archive, {}, { out: bundle, replace: true, signal });
  say(
    `   ${exported.bundle}\n   ${exported.records} records, ${exported.files} files, ${exported.bytes} bytes`,
  );

  say('\n5. Verification');
  const verified = await verify(archive, { signal });
  if (!verified.ok)
    throw new VerificationError('the demo archive does not verify', { hint: 'Run `muniment verify` on it.' });
  say(`   archive: ${verified.entries} entries and ${verified.payloads.intact} payloads verified`);
  const checked = await checkBundleAt(bundle, made.verifierKey);
  if (!checked.value.ok)
    throw new VerificationError('the demo bundle does not verify', {
      hint: 'Run `muniment verify-bundle` on it.',
    });
  say(`   bundle: ${checked.value.records} records verified, signer ${checked.value.signer}`);

  say('\n6. A tampered copy');
  const tampered = await tamper(archive, options, home, bundle, made.verifierKey);
  say(`   one byte of a payload changed in a copy of the archive: ${tampered.archive}`);
  say(`   one byte of a copy of the bundle changed: ${tampered.bundle}`);
  return { home, bundle, tampered };
}

async function capture(archive: Archive, signal: AbortSignal, say: (line: string) => void): Promise<void> {
  const [source] = archive.settings.sources;
  if (source === undefined) throw new InputError('the demo archive has no source');
  const run = await collect(archive, source, { signal });
  signal.throwIfAborted();
  await archive.checkpoint();
  say(
    `   ${run.status}: ${run.seen} seen, ${run.captured} captured, ${run.changed} changed, ${run.missing} missing, ${run.media} media`,
  );
  for (const error of run.errors) say(`   ${error.code}: ${error.message}`);
}

function line(text: string | null): string {
  const flat = (text ?? '').replaceAll(/\s+/g, ' ');
  return `“${flat.length > 70 ? `${[...flat].slice(0, 70).join('')}…` : flat}”`;
}

/** Changes one byte in a copy of the store and in a copy of the bundle, and has both caught. */
async function tamper(
  archive: Archive,
  options: DemoOptions,
  home: string,
  bundle: string,
  key: string,
): Promise<DemoResult['tampered']> {
  const copy = join(options.folder, 'tampered-payloads');
  const badBundle = join(options.folder, 'tampered.zip');
  try {
    await cp(join(home, 'payloads'), copy, { recursive: true });
    const row = await archive.database.db
      .selectFrom('payloads')
      .select(['commitment', 'length'])
      .where('role', '=', 'slice')
      .orderBy('seq')
      .limit(1)
      .executeTakeFirstOrThrow();
    await flip(join(copy, 'objects', row.commitment.slice(0, 2), row.commitment));
    await using store = await openStore({ provider: 'directory', path: copy }, { clock: options.clock });
    const found = await verify({ ...archive, store }, { signal: options.signal });
    await cp(bundle, badBundle);
    await flip(badBundle);
    const checked = await checkBundleAt(badBundle, key);
    const first = found.problems[0];
    const second = checked.value.problems[0];
    if (first === undefined || second === undefined || checked.value.ok)
      throw new VerificationError('a tampered copy was not caught');
    return { archive: `CAUGHT, ${first.kind} at entry ${first.seq}`, bundle: `CAUGHT, ${second.kind}` };
  } finally {
    await rm(copy, { recursive: true, force: true });
    await rm(badBundle, { force: true });
  }
}

/** Changes one bit in the middle of a file. */
async function flip(path: string): Promise<void> {
  const bytes = await readFile(path);
  const at = Math.floor(bytes.length * 0.9);
  bytes[at] = (bytes[at] as number) ^ 1;
  await chmod(path, (await stat(path)).mode | 0o200);
  await writeFile(path, bytes);
}
