// A fresh bucket of the real S3 service that the environment names. It is left behind: the test service is thrown away with
// all it holds. `scripts/s3-local.sh start DIR` starts one on this machine and prints the environment to set.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { systemClock } from '../../src/core/clock.ts';
import type { LockSettings, StoreSettings } from '../../src/core/settings.ts';
import { s3Eraser } from '../../src/store/eraser.ts';
import { openLockKeeper } from '../../src/store/lock-keeper.ts';
import type { LockKeeper } from '../../src/store/objects.ts';
import { openS3Store } from '../../src/store/s3.ts';

/** Null: no service to test against. */
export const endpoint = process.env.S3_TEST_ENDPOINT ?? null;
export const region = process.env.S3_TEST_REGION ?? 'us-east-1';
/** A key of the service's key service; without one, server-side encryption is not tested. */
export const kmsKey = process.env.S3_TEST_KMS_KEY;
export const credentials = {
  accessKeyId: process.env.AWS_ACCESS_KEY_ID ?? '',
  secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY ?? '',
};
export const SKIPPED =
  'no S3 service: run `scripts/s3-local.sh start DIR`, set what it prints, and run this test again';

export async function bucketFor(t: Pick<TestContext, 'after'>, { versions = true, locks = false } = {}) {
  const client = new S3Client({ endpoint: endpoint as string, region, credentials, forcePathStyle: true });
  t.after(() => client.destroy());
  const bucket = `muniment-${randomUUID()}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: locks }));
  const VersioningConfiguration = { Status: 'Enabled' as const };
  if (versions)
    await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
  const address = { bucket, region, endpoint, prefix: 'city/' };
  const open = (lock: LockSettings | 'none' = 'none', { clock = systemClock, key = '' } = {}) => {
    const settings: StoreSettings = {
      provider: 's3',
      ...address,
      lock,
      encryption: key === '' ? null : { kmsKey: key },
    };
    const store = openS3Store({ ...settings, credentials, clock });
    const keeper = openLockKeeper(settings, { credentials });
    t.after(async () => {
      await store[Symbol.asyncDispose]();
      await keeper?.[Symbol.asyncDispose]();
    });
    return {
      store,
      eraser: s3Eraser({ ...address, credentials, clock }),
      keeper: keeper as LockKeeper,
    };
  };
  return { client, bucket, address, open };
}

/** Stands before the service and notes what it has answered: method and path, in the order of the answers. */
export async function counterFor(t: Pick<TestContext, 'after'>) {
  const requests: string[] = [];
  let onAnswer: () => void = () => {};
  const { hostname, port } = new URL(endpoint as string);
  const server = http.createServer((request, response) => {
    const { method, headers, url: at } = request;
    const onward = http.request({ hostname, port, method, path: at, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
      requests.push(`${method} ${at}`);
      onAnswer();
    });
    onward.on('error', () => response.destroy());
    request.on('error', () => onward.destroy());
    request.pipe(onward);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    at: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    whenAnswered: (work: () => void) => {
      onAnswer = work;
    },
  };
}
