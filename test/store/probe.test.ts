// What the archive finds out about a bucket, and what follows from it, on a real S3 service and behind a proxy that lies as some services
// do. `scripts/s3-local.sh start DIR` starts a service on this machine and prints the environment to set.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketPolicyCommand,
  ListObjectVersionsCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectLockConfigurationCommand,
  PutObjectRetentionCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import { ServiceError } from '../../src/core/errors.ts';
import type { LockSettings, StoreSettings } from '../../src/core/settings.ts';
import type { Check } from '../../src/doctor/check.ts';
import { s3Checks } from '../../src/doctor/s3-checks.ts';
import { probeStore } from '../../src/store/probe.ts';
import { readProof, requireProof, StoreClaimError, statedLock } from '../../src/store/proof.ts';
import { SCRATCH_FOLDER } from '../../src/store/scratch.ts';
import { FakePlatform } from '../support/appview.ts';
import { testArchive } from '../support/archive.ts';
import { muniment, munimentProcess } from '../support/command.ts';
import { LyingS3, refusal } from '../support/lying-s3.ts';

type S3Settings = Extract<StoreSettings, { provider: 's3' }>;

const endpoint = process.env.S3_TEST_ENDPOINT;
const region = process.env.S3_TEST_REGION ?? 'us-east-1';
const GOVERNANCE: LockSettings = { mode: 'GOVERNANCE', horizon: 'P90D' };
const COMPLIANCE: LockSettings = { mode: 'COMPLIANCE', horizon: 'P90D' };
const { signal } = new AbortController();
const later = (duration: Temporal.DurationLike): Clock => ({ now: () => systemClock.now().add(duration) });

interface Bucket {
  readonly client: S3Client;
  readonly bucket: string;
  readonly settings: S3Settings;
  /** Where its proof is kept. */
  readonly file: string;
  checks(more?: { settings?: Partial<S3Settings>; clock?: Clock }): Promise<Map<string, Check>>;
}

/** A fresh bucket. It is left behind: the test service is thrown away with all it holds. */
async function bucketFor(
  t: TestContext,
  { locks = true, versions = true, lock = GOVERNANCE as LockSettings | 'none', at = endpoint as string } = {},
): Promise<Bucket> {
  const client = new S3Client({ endpoint: endpoint as string, region, forcePathStyle: true });
  const folder = await mkdtemp(join(tmpdir(), 'muniment-probe-'));
  t.after(async () => {
    client.destroy();
    await rm(folder, { recursive: true });
  });
  const bucket = `probe-${randomUUID()}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: locks }));
  const VersioningConfiguration = { Status: 'Enabled' as const };
  if (versions)
    await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
  const settings: S3Settings = { provider: 's3', bucket, region, endpoint: at, prefix: 'city/', lock };
  const file = join(folder, 'store-proof.json');
  return {
    client,
    bucket,
    settings,
    file,
    async checks({ settings: other = {}, clock = systemClock } = {}) {
      const found = await s3Checks({ ...settings, ...other }, { clock, signal, proofFile: file });
      const byId = new Map(found.map((check) => [check.id, check]));
      assert.equal(byId.size, found.length, 'every id stands once');
      for (const check of found) if (!check.ok) assert.ok(check.fix, `${check.id} says how to mend it`);
      return byId;
    },
  };
}

const oks = (checks: Map<string, Check>, ...ids: string[]): (boolean | undefined)[] =>
  ids.map((id) => checks.get(id)?.ok);

/** Every version that is left in a bucket. */
async function leftIn({ client, bucket }: Bucket): Promise<string[]> {
  const { Versions = [], DeleteMarkers = [] } = await client.send(
    new ListObjectVersionsCommand({ Bucket: bucket }),
  );
  return [...Versions, ...DeleteMarkers].map(({ Key }) => Key as string);
}

if (endpoint === undefined) {
  test('what a bucket enforces is tried on a real S3 service', (t) => {
    t.skip('no S3 service: run `scripts/s3-local.sh start DIR`, set what it prints, and run this test again');
  });
} else {
  test('on Ceph doctor sees the lock enforced, and If-None-Match and checksum not honoured', async (t) => {
    for (const lock of [GOVERNANCE, COMPLIANCE]) {
      await t.test(lock.mode, async (t) => {
        const bucket = await bucketFor(t, { lock });
        const checks = await bucket.checks();
        assert.deepEqual(
          oks(
            checks,
            'store.versioning',
            'store.lock.enabled',
            'store.lock.delete-refused',
            'store.lock.shorten-refused',
            'store.lock.extend',
            'store.legal-hold',
            'store.erase',
            'store.overwrite',
            'store.signed-digest',
            'store.content-md5',
            'store.clock',
            'store.lifecycle',
          ),
          Array(12).fill(true),
          JSON.stringify([...checks.values()].filter(({ ok }) => !ok)),
        );
        for (const id of ['store.if-none-match', 'store.checksum', 'store.privileges']) {
          assert.deepEqual([checks.get(id)?.ok, checks.get(id)?.severity], [false, 'note'], id);
        }
        assert.match(
          checks.get('store.privileges')?.saw ?? '',
          /versioning: allowed; lock configuration: allowed/,
        );
        assert.equal(
          /bypass a GOVERNANCE lock: allowed/.test(checks.get('store.privileges')?.saw ?? ''),
          lock.mode === 'GOVERNANCE',
        );

        // What is left is under a lock, in the scratch folder, and named.
        const left = await leftIn(bucket);
        assert.ok(left.length > 0 && left.length <= 2, left.join());
        for (const name of left) {
          assert.ok(name.startsWith(`city/${SCRATCH_FOLDER}`), name);
          assert.ok(checks.get('store.scratch')?.saw.includes(name));
        }
        await assert.rejects(bucket.client.send(new GetBucketPolicyCommand({ Bucket: bucket.bucket })), {
          name: 'NoSuchBucketPolicy',
        });
      });
    }
  });

  test('encryption by the key service is tried where it is asked for', async (t) => {
    const key = process.env.S3_TEST_KMS_KEY;
    if (key === undefined) return t.skip('no key service: set S3_TEST_KMS_KEY to a key that it has');
    const bucket = await bucketFor(t);
    assert.equal((await bucket.checks()).has('store.encryption'), false);
    const right = await bucket.checks({ settings: { encryption: { kmsKey: key } } });
    assert.deepEqual(
      oks(right, 'store.encryption', 'store.lock.delete-refused', 'store.lock.shorten-refused'),
      [true, true, true],
    );
    const wrong = await bucket.checks({ settings: { encryption: { kmsKey: 'no-such-key' } } });
    assert.equal(
      wrong.get('store.encryption')?.severity,
      'bad',
      JSON.stringify(wrong.get('store.encryption')),
    );
    assert.deepEqual(oks(wrong, 'store.lock.delete-refused'), [true], 'the lock is another matter');
  });

  test('trying changes nothing of the bucket: payloads, policy and life cycle are as they were', async (t) => {
    const bucket = await bucketFor(t);
    const { client } = bucket;
    const named = { Bucket: bucket.bucket };
    const Policy = JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        {
          Effect: 'Deny',
          Principal: '*',
          Action: 's3:DeleteBucket',
          Resource: `arn:aws:s3:::${bucket.bucket}`,
        },
      ],
    });
    await client.send(new PutBucketPolicyCommand({ ...named, Policy }));
    const Rules = [
      {
        ID: 'tidy',
        Status: 'Enabled' as const,
        Filter: { Prefix: '' },
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
      },
    ];
    await client.send(
      new PutBucketLifecycleConfigurationCommand({ ...named, LifecycleConfiguration: { Rules } }),
    );
    const Key = `city/${'a'.repeat(64)}`;
    await client.send(new PutObjectCommand({ ...named, Key, Body: 'a payload' }));
    const before = await client.send(new GetBucketLifecycleConfigurationCommand(named));
    const checks = await bucket.checks();
    assert.equal(checks.get('store.lifecycle')?.ok, true);
    assert.match(checks.get('store.privileges')?.saw ?? '', /life cycle: not tried: .*; policy: allowed/);
    assert.equal((await client.send(new GetBucketPolicyCommand(named))).Policy, Policy);
    assert.deepEqual(
      (await client.send(new GetBucketLifecycleConfigurationCommand(named))).Rules,
      before.Rules,
    );
    assert.ok((await leftIn(bucket)).includes(Key));

    // A rule that removes what is no longer under a lock is no tidying.
    Rules.push({ ID: 'old', Status: 'Enabled', Filter: { Prefix: '' }, Expiration: { Days: 30 } } as never);
    await client.send(
      new PutBucketLifecycleConfigurationCommand({ ...named, LifecycleConfiguration: { Rules } }),
    );
    const removing = (await bucket.checks()).get('store.lifecycle');
    assert.deepEqual([removing?.severity, removing?.saw], ['bad', 'life cycle rules remove objects: old']);
  });

  test('scratch objects that a lock kept are removed by a later trial, and one at work now is left alone', async (t) => {
    const bucket = await bucketFor(t);
    const { client } = bucket;
    const Key = `city/${SCRATCH_FOLDER}earlier/kept`;
    await client.send(new PutObjectCommand({ Bucket: bucket.bucket, Key, Body: 'left' }));
    await bucket.checks();
    assert.ok((await leftIn(bucket)).includes(Key), 'it may belong to a trial beside this one');
    // Eleven minutes on, as the service's clock tells: the proxy says so.
    await using proxy = await LyingS3.before(endpoint);
    proxy.lie = ({ query }) =>
      query.has('versioning')
        ? {
            status: 200,
            headers: {
              date: new Date(Date.now() + 660_000).toUTCString(),
              'content-type': 'application/xml',
            },
            body: '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>',
          }
        : query.has('object-lock')
          ? {
              ...refusal(404, 'ObjectLockConfigurationNotFoundError'),
              headers: { date: new Date(Date.now() + 660_000).toUTCString() },
            }
          : null;
    await bucket.checks({ settings: { endpoint: proxy.origin } });
    assert.ok(!(await leftIn(bucket)).includes(Key), 'an earlier trial left it');
  });

  test('a bucket that locks by default is told, and its scratch objects do not stay for years', async (t) => {
    const bucket = await bucketFor(t);
    await bucket.client.send(
      new PutObjectLockConfigurationCommand({
        Bucket: bucket.bucket,
        ObjectLockConfiguration: {
          ObjectLockEnabled: 'Enabled',
          Rule: { DefaultRetention: { Mode: 'COMPLIANCE', Years: 9 } },
        },
      }),
    );
    const checks = await bucket.checks();
    assert.match(checks.get('store.lock.default')?.saw ?? '', /COMPLIANCE for 9 years/);
    assert.deepEqual(oks(checks, 'store.lock.delete-refused', 'store.lock.shorten-refused', 'store.erase'), [
      true,
      true,
      true,
    ]);
    const { Versions = [] } = await bucket.client.send(
      new ListObjectVersionsCommand({ Bucket: bucket.bucket }),
    );
    for (const { Key = '', VersionId } of Versions) {
      await bucket.client.send(
        new DeleteObjectCommand({ Bucket: bucket.bucket, Key, VersionId, BypassGovernanceRetention: true }),
      );
    }
    assert.deepEqual(await leftIn(bucket), [], 'none was under the COMPLIANCE of nine years');
  });

  const lies: [
    what: string,
    lock: LockSettings,
    lie: (bucket: Bucket) => LyingS3['lie'],
    id: string,
    saw: RegExp,
  ][] = [
    [
      'takes a GOVERNANCE lock and deletes all the same',
      GOVERNANCE,
      ({ client, bucket }) =>
        async ({ method, path, query }) => {
          const VersionId = query.get('versionId');
          if (method !== 'DELETE' || VersionId === null) return null;
          const Key = path.slice(bucket.length + 2);
          return client
            .send(
              new DeleteObjectCommand({ Bucket: bucket, Key, VersionId, BypassGovernanceRetention: true }),
            )
            .then(
              () => ({ status: 204 }),
              () => refusal(403, 'AccessDenied'), // under a legal hold
            );
        },
      'store.lock.delete-refused',
      /deletion: confirmed; .*the locked version is gone/,
    ],
    [
      'shortens a GOVERNANCE lock for whoever asks',
      GOVERNANCE,
      ({ client, bucket }) =>
        async ({ method, path, query, body }) => {
          const VersionId = query.get('versionId');
          const until = /<RetainUntilDate>(.*)<\/RetainUntilDate>/.exec(body.toString())?.[1];
          if (until === undefined || method !== 'PUT' || !query.has('retention') || VersionId === null)
            return null;
          await client.send(
            new PutObjectRetentionCommand({
              Bucket: bucket,
              Key: path.slice(bucket.length + 2),
              VersionId,
              Retention: { Mode: 'GOVERNANCE', RetainUntilDate: new Date(until) },
              BypassGovernanceRetention: true,
            }),
          );
          return { status: 200 };
        },
      'store.lock.shorten-refused',
      /an earlier date: taken; no lock at all: MalformedXML \(400\); the lock is now GOVERNANCE, until/,
    ],
    [
      'takes a lock and does not keep it',
      COMPLIANCE,
      ({ client, bucket }) =>
        async ({ method, path, headers }) => {
          if (method !== 'PUT' || headers['x-amz-object-lock-mode'] === undefined) return null;
          const { VersionId = '' } = await client.send(
            new PutObjectCommand({
              Bucket: bucket,
              Key: path.slice(bucket.length + 2),
              Body: 'an object under a lock',
            }),
          );
          return { status: 200, headers: { 'x-amz-version-id': VersionId } };
        },
      'store.lock.enabled',
      /comes back without a lock/,
    ],
  ];
  for (const [what, lock, lie, id, saw] of lies) {
    test(`a service that ${what} is found out, and refused`, async (t) => {
      await using proxy = await LyingS3.before(endpoint);
      const bucket = await bucketFor(t, { lock, at: proxy.origin });
      proxy.lie = lie(bucket);
      const check = (await bucket.checks()).get(id);
      assert.deepEqual([check?.ok, check?.severity], [false, 'bad'], JSON.stringify(check));
      assert.match(check?.saw ?? '', saw);
      assert.equal((await readProof(bucket.file))?.enforced, false);
      const { settings, file } = bucket;
      await assert.rejects(
        requireProof({ settings, file, clock: systemClock, signal }),
        (error) =>
          error instanceof StoreClaimError && error.exitCode === 4 && /lock: none/.test(error.hint ?? ''),
      );
      await requireProof({ settings: { ...settings, lock: 'none' }, file, clock: systemClock, signal });
    });
  }

  test('a service that honours If-None-Match and refuses a wrong checksum is seen to', async (t) => {
    await using proxy = await LyingS3.before(endpoint);
    const bucket = await bucketFor(t, { at: proxy.origin });
    const stored = new Set<string>();
    proxy.lie = ({ method, path, headers }) => {
      if (method !== 'PUT') return null;
      if (headers['x-amz-checksum-sha256'] !== undefined) return refusal(400, 'BadDigest');
      if (headers['if-none-match'] !== '*') return null;
      if (stored.has(path)) return refusal(412, 'PreconditionFailed');
      stored.add(path);
      return null;
    };
    const checks = await bucket.checks();
    assert.deepEqual(oks(checks, 'store.if-none-match', 'store.checksum'), [true, true]);
  });

  test('credentials that may not change the bucket or bypass a lock are seen to be so', async (t) => {
    await using proxy = await LyingS3.before(endpoint);
    const bucket = await bucketFor(t, { at: proxy.origin });
    proxy.lie = ({ method, query, headers }) => {
      const changes = ['versioning', 'object-lock', 'lifecycle', 'policy'].some((name) => query.has(name));
      if ((changes && method !== 'GET') || headers['x-amz-bypass-governance-retention'] !== undefined)
        return refusal(403, 'AccessDenied');
      return null;
    };
    const check = (await bucket.checks()).get('store.privileges');
    assert.equal(check?.ok, true, check?.saw ?? '');
    assert.doesNotMatch(check?.saw ?? '', /allowed/);
  });

  test('credentials that may not delete anything prove no lock; what better ones saw stays proven', async (t) => {
    await using proxy = await LyingS3.before(endpoint);
    const bucket = await bucketFor(t, { at: proxy.origin });
    const { settings, file } = bucket;
    proxy.lie = ({ method }) => (method === 'DELETE' ? refusal(403, 'AccessDenied') : null);
    const poor = await bucket.checks();
    assert.equal(poor.get('store.lock.delete-refused')?.ok, false);
    assert.equal(poor.get('store.lock.delete-refused')?.severity, 'bad', 'nothing may be collected on it');
    assert.match(poor.get('store.lock.delete-refused')?.saw ?? '', /may not delete an unlocked one either/);
    await assert.rejects(
      requireProof({ settings, file, clock: systemClock, signal }),
      (error) => error instanceof StoreClaimError && /doctor. once with credentials/.test(error.hint ?? ''),
    );
    proxy.lie = null;
    await requireProof({ settings, file, clock: systemClock, signal });
    proxy.lie = ({ method }) => (method === 'DELETE' ? refusal(403, 'AccessDenied') : null);
    await requireProof({ settings, file, clock: later({ hours: 30 * 24 }), signal });
    assert.equal((await bucket.checks()).get('store.lock.delete-refused')?.severity, 'note');
    const proof = await readProof(file);
    assert.equal(proof?.enforced, true);
    assert.ok((proof?.at ?? '') < (proof?.triedAt ?? ''));
  });

  test('the proof is asked for once a day, bound to its store, and outlives a service that is away for a week at most', async (t) => {
    await using proxy = await LyingS3.before(endpoint);
    const bucket = await bucketFor(t, { at: proxy.origin });
    const { settings, file } = bucket;
    const notes: string[] = [];
    const ask = (clock: Clock, other: Partial<S3Settings> = {}) =>
      requireProof({
        settings: { ...settings, ...other },
        file,
        clock,
        signal,
        onNote: (text) => notes.push(text),
      });
    await ask(systemClock);
    const asked = proxy.seen.length;
    assert.ok(asked > 10);
    await ask(later({ hours: 23 }));
    assert.equal(proxy.seen.length, asked, 'today’s proof stands');
    await ask(later({ minutes: 5 }), { lock: 'none' });
    assert.equal(proxy.seen.length, asked, 'no claim, nothing to prove');
    await ask(systemClock, { prefix: 'other/' });
    assert.ok(proxy.seen.length > asked, 'another claim is another proof');
    await ask(systemClock);

    proxy.lie = () => refusal(503, 'SlowDown');
    await ask(later({ hours: 25 }));
    assert.match(notes.join(), /last seen to hold on .*SlowDown/);
    await assert.rejects(ask(later({ hours: 8 * 24 })), ServiceError);
    await assert.rejects(ask(later({ hours: -1 })), ServiceError, 'a proof from the future is none');

    await writeFile(file, '{"v":1,"claim"');
    await assert.rejects(ask(systemClock), ServiceError, 'a proof that cannot be read is none');
    proxy.lie = null;
    await ask(systemClock);
    assert.equal(JSON.parse(await readFile(file, 'utf8')).enforced, true);
  });

  test('a bucket that cannot lock is refused by collect and serve with 4 until muniment.yaml says so, and bundles state it', async (t) => {
    await using platform = await FakePlatform.start();
    platform.post('1', 'Main Street is closed');
    const { home } = await testArchive(t, platform, { embedded: true });
    const path = join(home, 'muniment.yaml');
    const written = (await readFile(path, 'utf8')).replace(
      /^( *)repository: /m,
      '$1schedule: "0 0 1 1 *"\n$1repository: ',
    );
    const claim = async ({ bucket }: { bucket: string }, lock: string) =>
      writeFile(
        path,
        `${written}store: { provider: s3, bucket: ${bucket}, endpoint: "${endpoint}", lock: ${lock} }\n`,
      );
    const run = (...args: string[]) => muniment(['--home', home, ...args]);
    const weak = await bucketFor(t, { locks: false });

    await claim(weak, '{ mode: COMPLIANCE }');
    for (const command of ['collect', 'serve']) {
      const refused = await run(command);
      assert.equal(refused.code, 4, refused.stderr);
      assert.match(refused.stderr, /does not enforce the lock that muniment\.yaml claims \(COMPLIANCE\)/);
      assert.match(refused.stderr, /\n {2}.*`store\.lock: none`/);
      assert.doesNotMatch(refused.stderr, /^ {4}at /m);
    }
    const doctor = await run('--json', 'doctor');
    assert.equal(doctor.code, 5);
    const { checks } = JSON.parse(doctor.stdout) as { checks: Check[] };
    assert.equal(checks.find(({ id }) => id === 'store.lock.enabled')?.severity, 'bad');

    await claim(weak, 'none');
    assert.equal((await run('collect')).code, 0);
    const honest = await run('--json', 'doctor');
    assert.equal(honest.code, 0, honest.stdout);
    const bundle = join(home, 'spool', 'bundle.zip');
    assert.equal((await run('export', '--out', bundle)).code, 0);
    assert.match((await readFile(bundle)).toString('latin1'), /"lock":\{"mode":"none","seen":false\}/);

    const strong = await bucketFor(t);
    await claim(strong, '{ mode: GOVERNANCE }');
    const collected = await run('collect');
    assert.equal(collected.code, 0, collected.stderr);
    const proof = await readProof(join(home, 'store-proof.json'));
    assert.deepEqual([proof?.enforced, proof?.faults], [true, []]);
    const settings: S3Settings = { ...strong.settings, prefix: '' };
    assert.deepEqual(statedLock(settings, proof), { mode: 'GOVERNANCE', seen: true });
    assert.deepEqual(statedLock({ ...settings, bucket: 'other' }, proof), {
      mode: 'GOVERNANCE',
      seen: false,
    });
  });

  test('a clock that is wrong by an hour is told, and does not make the trials fail', async (t) => {
    const bucket = await bucketFor(t);
    for (const hours of [-1, 1]) {
      const checks = await bucket.checks({ clock: later({ hours }) });
      const clock = checks.get('store.clock');
      assert.equal(clock?.severity, 'bad');
      assert.match(clock?.saw ?? '', hours < 0 ? /it is 3\d\d\d s ahead/ : /it is 3\d\d\d s behind/);
      assert.deepEqual(oks(checks, 'store.lock.enabled', 'store.lock.delete-refused'), [true, true]);
    }
  });

  test('wrong credentials are an error that says what to check, and nothing is proven by it', async (t) => {
    const { settings } = await bucketFor(t);
    const right = {
      accessKeyId: process.env.AWS_ACCESS_KEY_ID ?? '',
      secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY ?? '',
    };
    for (const [credentials, says] of [
      [{ ...right, secretAccessKey: 'wrong' }, /SignatureDoesNotMatch/],
      [{ ...right, accessKeyId: 'nobody' }, /InvalidAccessKeyId/],
    ] as const) {
      await assert.rejects(
        probeStore({ ...settings, credentials, clock: systemClock, signal }),
        (error) =>
          error instanceof ServiceError && says.test(error.message) && /access key/.test(error.hint ?? ''),
      );
    }
  });

  test('no credentials, a missing bucket and a service that is away are each a finding with a remedy, and the other checks go on', async (t) => {
    await using platform = await FakePlatform.start();
    const { home } = await testArchive(t, platform, { embedded: true });
    const path = join(home, 'muniment.yaml');
    const written = await readFile(path, 'utf8');
    const { bucket } = await bucketFor(t);
    const none = {
      AWS_ACCESS_KEY_ID: '',
      AWS_SECRET_ACCESS_KEY: '',
      AWS_EC2_METADATA_DISABLED: 'true',
      HOME: home,
    };
    const cases: [
      what: string,
      bucket: string,
      at: string,
      env: Record<string, string>,
      saw: RegExp,
      fix: RegExp,
    ][] = [
      ['no credentials', bucket, endpoint, none, /CredentialsProviderError/, /AWS_ACCESS_KEY_ID/],
      ['a missing bucket', 'absent-bucket', endpoint, {}, /NoSuchBucket/, /[Cc]reate the bucket/],
      ['nobody listens', bucket, 'http://127.0.0.1:1', {}, /ECONNREFUSED/, /can be reached/],
    ];
    for (const [what, named, at, env, saw, fix] of cases) {
      await t.test(what, async () => {
        await writeFile(path, `${written}store: { provider: s3, bucket: ${named}, endpoint: "${at}" }\n`);
        // The SDK looks for its credentials in the process itself.
        const ended = await munimentProcess(['--home', home, '--json', 'doctor'], { env });
        assert.equal(ended.code, 5, ended.stdout + ended.stderr);
        const { checks } = JSON.parse(ended.stdout) as { checks: Check[] };
        const reach = checks.find(({ id }) => id === 'store.reach');
        assert.equal(reach?.severity, 'bad', ended.stdout);
        assert.match(reach?.saw ?? '', saw);
        assert.match(reach?.fix ?? '', fix);
        assert.ok(
          checks.some(({ id, ok }) => id === 'db.version' && ok),
          'the other checks go on',
        );
        assert.doesNotMatch(ended.stdout + ended.stderr, /^ {4}at /m);
      });
    }
  });

  test('a service that overlooks the prefix when it lists does not make a trial delete payloads', async (t) => {
    await using proxy = await LyingS3.before(endpoint);
    const bucket = await bucketFor(t, { lock: 'none', at: proxy.origin });
    const Key = `city/${'b'.repeat(64)}`;
    const { VersionId } = await bucket.client.send(
      new PutObjectCommand({ Bucket: bucket.bucket, Key, Body: 'a payload' }),
    );
    proxy.lie = ({ query }) =>
      query.has('versions')
        ? {
            status: 200,
            headers: { 'content-type': 'application/xml' },
            body: `<ListVersionsResult><IsTruncated>false</IsTruncated><Version><Key>${Key}</Key><VersionId>${VersionId}</VersionId><LastModified>2020-01-01T00:00:00.000Z</LastModified><Size>9</Size></Version></ListVersionsResult>`,
          }
        : null;
    await probeStore({ ...bucket.settings, clock: systemClock, signal });
    assert.ok((await leftIn(bucket)).includes(Key));
  });
}
