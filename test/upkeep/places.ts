// Stores for the tests of sweeping and copying: a directory always, buckets where an S3 service is given (scripts/s3-local.sh).

import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { parse, stringify } from 'yaml';
import { type Archive, openArchive } from '../../src/context.ts';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import type { StoreSettings } from '../../src/core/settings.ts';

export const endpoint = process.env.S3_TEST_ENDPOINT ?? null;
const region = process.env.S3_TEST_REGION ?? 'us-east-1';
export const SKIPPED =
  'no S3 service: run `scripts/s3-local.sh start DIR`, set what it prints, and run this test again';

type Later = { after(work: () => Promise<void>): void };

/** `directory`, `bucket` (keeps versions) or `locked` (with Object Lock). */
export type Kind = 'directory' | 'bucket' | 'locked';
export const KINDS: readonly Kind[] = endpoint === null ? ['directory'] : ['directory', 'bucket', 'locked'];

/** A fresh, empty store. @returns its settings as muniment.yaml has them */
export async function emptyStore(t: Later, kind: Kind): Promise<StoreSettings> {
  if (kind === 'directory') {
    const folder = await mkdtemp(join(tmpdir(), 'muniment copy '));
    t.after(() => rm(folder, { recursive: true, force: true }));
    return { provider: 'directory', path: join(folder, 'payloads') };
  }
  const client = new S3Client({ endpoint: endpoint as string, region, forcePathStyle: true });
  const bucket = `muniment-${randomUUID()}`;
  await client.send(
    new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: kind === 'locked' }),
  );
  await client.send(
    new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
  );
  client.destroy();
  const lock = kind === 'locked' ? ({ mode: 'GOVERNANCE', horizon: 'P90D' } as const) : 'none';
  return { provider: 's3', bucket, region, endpoint, prefix: 'city/', lock };
}

/** Writes the file that `store copy --to` takes. @returns its path */
export async function storeFile(
  home: string,
  store: StoreSettings,
  name = 'new-store.yaml',
): Promise<string> {
  const path = join(home, name);
  await writeFile(path, stringify({ store }));
  return path;
}

/** Lets muniment.yaml name another store. */
export async function nameStore(home: string, store: StoreSettings): Promise<void> {
  const path = join(home, 'muniment.yaml');
  const settings = parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, stringify({ ...settings, store }));
}

/** Opens the archive once more, as its settings are now. */
export function openAgain(home: string, clock: Clock = systemClock): Promise<Archive> {
  return openArchive(home, { home: null, token: null, configFolder: '/nonexistent', variables: {} }, clock);
}
