// An archive in a bucket, and a backup in another, on a real S3 service: backup, wipe, restore, verify.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { openPlace, readWhole } from '../../src/backup/place.ts';
import { openArchive } from '../../src/context.ts';
import { systemClock } from '../../src/core/clock.ts';
import { InputError, type ServiceError, VerificationError } from '../../src/core/errors.ts';
import { publishLedger } from '../../src/operations.ts';
import { initArchive } from '../../src/setup.ts';
import { StoreClaimError } from '../../src/store/proof.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, verifyArchiveOf } from '../support/archive.ts';
import { type Asked, FaultProxy, S3_REFUSALS } from '../support/fault-proxy.ts';
import {
  adoptSchedule,
  destroyLater,
  emptyDatabase,
  environmentWith,
  openRestored,
  recordOf,
  restoreFrom,
  takeBackupOf,
  workFolder,
} from './support.ts';

const endpoint = process.env.S3_TEST_ENDPOINT;
const region = process.env.S3_TEST_REGION ?? 'us-east-1';

async function bucketFor(client: S3Client, { locks = false } = {}): Promise<string> {
  const Bucket = `muniment-${randomUUID()}`;
  await client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: locks }));
  await client.send(
    new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }),
  );
  return Bucket;
}

/** Removes everything in a bucket, every version. */
async function wipe(client: S3Client, Bucket: string): Promise<number> {
  const { Versions = [], DeleteMarkers = [] } = await client.send(new ListObjectVersionsCommand({ Bucket }));
  for (const { Key, VersionId } of [...Versions, ...DeleteMarkers])
    await client.send(new DeleteObjectCommand({ Bucket, Key, VersionId }));
  return Versions.length;
}

if (endpoint === undefined) {
  test('an archive in a bucket comes back from a backup in a bucket', (t) => {
    t.skip('no S3 service: run `scripts/s3-local.sh start DIR`, set what it prints, and run this test again');
  });
} else {
  test('an archive in a bucket comes back from a backup in a bucket, into the wiped bucket and into another', async (t) => {
    const client = new S3Client({ endpoint, region, forcePathStyle: true });
    t.after(() => client.destroy());
    const [records, backups, others] = await Promise.all([1, 2, 3].map(() => bucketFor(client)));
    const folder = await workFolder(t);
    const home = join(folder, 'home');
    await using platform = await FakePlatform.start();
    platform.post('1', 'parade on Sunday', { image: Buffer.alloc(6_000_000, 'a picture') });
    platform.post('2', 'street closed');
    platform.post('3', 'library opens');
    const first = await emptyDatabase(t);
    await initArchive(
      home,
      {
        name: 'City of Example',
        origin: 'archive.example.gov/social',
        timezone: 'America/New_York',
        databaseUrl: first.request.database,
        sources: [
          {
            id: 'city',
            platform: 'bluesky',
            account: platform.account.handle,
            service: platform.origin,
            directory: platform.origin,
            repository: platform.origin,
            proofs: 0,
          },
        ],
      },
      environmentWith(first.variables),
      systemClock,
    );
    const settings = join(home, 'muniment.yaml');
    const store = `store: { provider: s3, bucket: ${records}, region: ${region}, endpoint: "${endpoint}", prefix: city/, lock: none }\n`;
    await writeFile(settings, `${await readFile(settings, 'utf8')}${store}`);
    const archive = await openArchive(home, environmentWith(first.variables), systemClock);
    t.after(() => archive[Symbol.asyncDispose]());
    await collectCity(archive);
    await adoptSchedule(archive);

    await assert.rejects(
      takeBackupOf(archive, `s3://${records}/city/backups`),
      /lies among the archive's payloads/,
    );
    const address = `s3://${backups}/city/monday`;
    const made = await takeBackupOf(archive, address, { payloads: 'copy' });
    assert.equal(made.lacking.length, 0);
    assert.ok(made.copied >= 7);
    await assert.rejects(takeBackupOf(archive, address), InputError);
    const destroyed = await destroyLater(archive, await recordOf(archive, 'library'));
    const log = join(folder, 'log');
    await publishLedger(archive, log);

    assert.ok((await wipe(client, records as string)) > 0);
    assert.equal((await verifyArchiveOf(archive)).ok, false);

    const second = await emptyDatabase(t);
    const again = join(folder, 'again');
    const where = { region, endpoint };
    const restored = await restoreFrom(
      address,
      again,
      { published: log, ...second.request, ...where, adminUrl: null },
      { variables: second.variables },
    );
    assert.deepEqual([restored.finished.losses, restored.payloads.lost], [0, 0]);
    const back = await openRestored(t, again, second.variables);
    assert.equal(back.store.location, `s3://${records}/city/`);
    const found = await verifyArchiveOf(back);
    assert.deepEqual([found.ok, found.problems], [true, []]);
    assert.equal(found.payloads.destroyed, destroyed.length);
    await collectCity(back);
    assert.equal((await verifyArchiveOf(back)).ok, true);

    const third = await emptyDatabase(t);
    const elsewhere = join(folder, 'elsewhere');
    await restoreFrom(
      address,
      elsewhere,
      { published: log, ...third.request, ...where, store: `s3://${others}/town` },
      { variables: third.variables },
    );
    const moved = await openRestored(t, elsewhere, third.variables);
    assert.equal(moved.store.location, `s3://${others}/town/`);
    assert.equal((await verifyArchiveOf(moved)).ok, true);

    // A byte of the backup is changed in the bucket.
    const Key = 'city/monday/tables/snapshots.copy';
    const table = await client.send(new GetObjectCommand({ Bucket: backups, Key }));
    const bytes = Buffer.from((await table.Body?.transformToByteArray()) as Uint8Array);
    bytes[100] = (bytes[100] as number) ^ 1;
    await client.send(new PutObjectCommand({ Bucket: backups, Key, Body: bytes }));
    const fourth = await emptyDatabase(t);
    await assert.rejects(
      restoreFrom(
        address,
        join(folder, 'never'),
        { published: log, ...fourth.request, ...where },
        { variables: fourth.variables },
      ),
      VerificationError,
    );
  });

  test('what a backup in a bucket holds is read on where the connection broke; where it breaks for good that is told with what to do', async (t) => {
    const client = new S3Client({ endpoint, region, forcePathStyle: true });
    t.after(() => client.destroy());
    const bucket = await bucketFor(client);
    await using proxy = await FaultProxy.start(endpoint, S3_REFUSALS);
    await using place = openPlace(`s3://${bucket}/monday`, {
      region,
      endpoint: proxy.origin,
      clock: systemClock,
    });
    const table = Buffer.alloc(300_000, 'a table');
    await place.write('tables/records.copy', table);
    const concerns = ({ method, url }: Asked) => method === 'GET' && url.pathname.endsWith('.copy');
    proxy.arm('reset mid-body', { concerns });
    assert.ok(table.equals((await readWhole(place, 'tables/records.copy', 1_000_000)) as Buffer));
    proxy.arm('reset mid-body', { concerns, place: 0, times: 100 });
    await assert.rejects(
      readWhole(place, 'tables/records.copy', 1_000_000),
      ({ name, message, hint }: ServiceError) =>
        name === 'ServiceError' &&
        /tables\/records\.copy of the backup/.test(message) &&
        /--endpoint/.test(hint ?? ''),
    );
  });

  test('payloads do not come back into a bucket that does not keep the lock which the settings claim', async (t) => {
    const client = new S3Client({ endpoint, region, forcePathStyle: true });
    t.after(() => client.destroy());
    const records = await bucketFor(client, { locks: true });
    const unlocked = await bucketFor(client);
    const folder = await workFolder(t);
    const home = join(folder, 'home');
    const first = await emptyDatabase(t);
    await initArchive(
      home,
      {
        name: 'City of Example',
        origin: 'archive.example.gov/social',
        timezone: 'America/New_York',
        databaseUrl: first.request.database,
        sources: [],
      },
      environmentWith(first.variables),
      systemClock,
    );
    const settings = join(home, 'muniment.yaml');
    const lock = '{ mode: GOVERNANCE, horizon: P7D }';
    const store = `store: { provider: s3, bucket: ${records}, region: ${region}, endpoint: "${endpoint}", prefix: city/, lock: ${lock} }\n`;
    await writeFile(settings, `${await readFile(settings, 'utf8')}${store}`);
    const archive = await openArchive(home, environmentWith(first.variables), systemClock);
    t.after(() => archive[Symbol.asyncDispose]());
    const backup = join(folder, 'backup');
    await takeBackupOf(archive, backup, { payloads: 'copy' });

    const second = await emptyDatabase(t);
    const into = (bucket: string, again: string) =>
      restoreFrom(
        backup,
        join(folder, again),
        {
          nothingLater: true,
          ...second.request,
          region,
          endpoint,
          adminUrl: null,
          store: `s3://${bucket}/town`,
        },
        { variables: second.variables },
      );
    await assert.rejects(into(unlocked, 'unlocked'), StoreClaimError);
    const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: unlocked }));
    assert.deepEqual(Versions, []);
    const restored = await into(await bucketFor(client, { locks: true }), 'locked');
    assert.deepEqual([restored.finished.losses, restored.payloads.lost], [0, 0]);
  });
}
