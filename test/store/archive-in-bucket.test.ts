// An archive whose payloads are in a real, locked bucket: what is done to the bucket behind its back is told by verify, each thing by its
// name; and its locks roll on for what may not be destroyed.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { systemClock } from '../../src/core/clock.ts';
import { putPolicyInForce } from '../../src/governance.ts';
import { withArchiveReader } from '../../src/ledger/reader.ts';
import { archiveLocks, locksAlert, renewArchiveLocks } from '../../src/locks.ts';
import { openS3Store } from '../../src/store/s3.ts';
import { FakePlatform } from '../support/appview.ts';
import { collectCity, reopened, type TestArchive, testArchive, verifyArchiveOf } from '../support/archive.ts';
import { muniment } from '../support/command.ts';
import { bucketFor, credentials, endpoint, SKIPPED } from './bucket.ts';

const SCHEDULE = `id: city
version: "1"
issuer: City of Example
jurisdiction: US-EX
effective: { from: 2020-01-01 }
adopted: true
adoptedBy: City Council, resolution 7
adoptedOn: 2020-02-01
series:
  - code: NOTICES
    title: Notices
    authority: [ { cite: Example Code 1, url: "https://example.gov/1", retrieved: 2026-11-01 } ]
    match: { text: [parade] }
    trigger: created
    cutoff: none
    period: P70D
    disposition: destroy
  - code: HISTORY
    title: History
    authority: [ { cite: Example Code 2, url: "https://example.gov/2", retrieved: 2026-11-01 } ]
    match: { text: [charter] }
    trigger: created
    cutoff: none
    disposition: permanent
  - code: HEARINGS
    title: Hearings
    authority: [ { cite: Example Code 3, url: "https://example.gov/3", retrieved: 2026-11-01 } ]
    match: { text: [hearing] }
    trigger: created
    cutoff: none
    period: P70D
    disposition: review
`;
const HOLD = `id: smith
matter: Smith v. City
kind: litigation
issued: { by: Counsel, at: 2026-11-02, reason: complaint served }
scope: { text: [parade] }
`;
const signal = new AbortController().signal;

if (endpoint === null) {
  test('an archive in a locked bucket', (t) => t.skip(SKIPPED));
} else {
  describe('an archive in a locked bucket', { concurrency: false }, () => {
    let made: TestArchive;
    let client: S3Client;
    let bucket: string;
    const cleanups: (() => unknown)[] = [];
    const hooks = { after: (work: () => unknown) => void cleanups.unshift(work) };

    before(async () => {
      await using platform = await FakePlatform.start();
      platform.post('1', 'parade on Sunday');
      platform.post('2', 'the city charter');
      platform.post('3', 'budget hearing');
      platform.post('4', 'library opens');
      const arranged = await bucketFor(hooks as never, { locks: true });
      ({ client, bucket } = arranged);
      const lock = { mode: 'GOVERNANCE', horizon: 'P90D' };
      made = await testArchive(hooks, platform, {
        store: { provider: 's3', ...arranged.address, lock },
      });
      await collectCity(made.archive);
      await writeFile(join(made.home, 'policies', 'schedules', 'city.yaml'), SCHEDULE);
      await putPolicyInForce(made.archive);
    });
    after(async () => {
      for (const work of cleanups) await work();
    });

    /** The slice of the post that says `word`, as the bucket addresses it. */
    async function sliceOf(word: string) {
      const row = await made.archive.database.db
        .selectFrom('payloads as p')
        .innerJoin('payload_versions as v', 'v.commitment', 'p.commitment')
        .innerJoin('snapshots as s', 's.record_id', 'p.record_id')
        .select(['p.commitment', 'v.version', 'p.record_id'])
        .where('s.text', 'like', `%${word}%`)
        .where('p.role', '=', 'slice')
        .executeTakeFirstOrThrow();
      const Key = `city/${row.commitment}`;
      return {
        ...row,
        current: { Bucket: bucket, Key },
        recorded: { Bucket: bucket, Key, VersionId: row.version as string },
      };
    }
    const found = async () => {
      const { ok, problems, payloads } = await verifyArchiveOf(made.archive);
      return { ok, payloads, kinds: problems.map((problem) => problem.kind), problems };
    };

    test('verifies, and every payload is locked up to the horizon, as the database knows', async () => {
      const { ok, payloads, problems } = await found();
      assert.deepEqual(problems, []);
      assert.equal(ok, true);
      assert.equal(payloads.intact, 9);
      const locks = await made.archive.database.db.selectFrom('payload_locks').selectAll().execute();
      assert.equal(locks.length, 9);
      for (const { commitment, locked_until } of locks) {
        const status = await client.send(
          new HeadObjectCommand({ Bucket: bucket, Key: `city/${commitment}` }),
        );
        assert.equal(status.ObjectLockRetainUntilDate?.toISOString(), locked_until);
      }
      assert.equal(locksAlert((await archiveLocks(made.archive)) as never), null);
    });

    test('a delete marker in front of a payload does not hide it, and is told', async () => {
      const slice = await sliceOf('parade');
      const { VersionId } = await client.send(new DeleteObjectCommand(slice.current));
      const { ok, payloads, problems } = await found();
      assert.equal(ok, false);
      assert.deepEqual(
        problems.map(({ kind, record }) => ({ kind, record })),
        [{ kind: 'payload-hidden', record: slice.record_id }],
      );
      assert.deepEqual([payloads.intact, payloads.hidden, payloads.superseded], [9, 1, 0]);
      await client.send(new DeleteObjectCommand({ ...slice.current, VersionId: VersionId as string }));
    });

    test('a later version of other bytes does not replace a payload, and is told; one of the same bytes is nothing', async () => {
      const slice = await sliceOf('parade');
      const whole = await client.send(new GetObjectCommand(slice.recorded));
      const twice = await client.send(
        new PutObjectCommand({
          ...slice.current,
          Body: (await whole.Body?.transformToByteArray()) as Uint8Array,
          Metadata: whole.Metadata as Record<string, string>,
        }),
      );
      assert.deepEqual((await found()).problems, []);
      const forged = await client.send(
        new PutObjectCommand({
          ...slice.current,
          Body: 'never said',
          Metadata: whole.Metadata as Record<string, string>,
        }),
      );
      const { ok, payloads, problems } = await found();
      assert.equal(ok, false);
      assert.deepEqual(
        problems.map(({ kind, record }) => ({ kind, record })),
        [{ kind: 'payload-superseded', record: slice.record_id }],
      );
      assert.match(problems[0]?.detail ?? '', new RegExp(forged.VersionId as string));
      assert.deepEqual([payloads.intact, payloads.hidden, payloads.superseded], [9, 0, 1]);
      for (const { VersionId } of [forged, twice])
        await client.send(new DeleteObjectCommand({ ...slice.current, VersionId: VersionId as string }));
      assert.deepEqual((await found()).problems, []);
    });

    test('a lock that was shortened by who may bypass it is told, so is an unlocked version, and renewal of all locks again', async () => {
      const lock = (recorded: { Bucket: string; Key: string; VersionId: string }, seconds: number) => {
        const end = systemClock.now().add({ seconds });
        const Retention = { Mode: 'GOVERNANCE', RetainUntilDate: new Date(end.epochMilliseconds) } as const;
        const asked = { ...recorded, Retention, BypassGovernanceRetention: true };
        return client.send(new PutObjectRetentionCommand(asked));
      };
      const [charter, parade, library] = [
        await sliceOf('charter'),
        await sliceOf('parade'),
        await sliceOf('library'),
      ];
      const locks = made.archive.database.db.updateTable('payload_locks');
      const { locked_until } = await made.archive.database.db
        .selectFrom('payload_locks')
        .select('locked_until')
        .where('commitment', '=', parade.commitment)
        .executeTakeFirstOrThrow();
      await lock(charter.recorded, 2);
      await lock(parade.recorded, 2);
      // The same bytes, put again without a lock, and the database made to name that version.
      const whole = await client.send(new GetObjectCommand(library.recorded));
      const unlocked = await client.send(
        new PutObjectCommand({
          ...library.current,
          ContentType: whole.ContentType as string,
          Body: (await whole.Body?.transformToByteArray()) as Uint8Array,
          Metadata: whole.Metadata as Record<string, string>,
        }),
      );
      const named = (version: string) =>
        made.archive.database.db
          .updateTable('payload_versions')
          .set({ version })
          .where('commitment', '=', library.commitment)
          .execute();
      await named(unlocked.VersionId as string);
      const { ok, payloads, problems } = await found();
      assert.equal(ok, false);
      assert.deepEqual([payloads.intact, payloads.shortened], [9, 3]);
      assert.deepEqual(
        problems.map(({ kind, record }) => `${kind} ${record}`).sort(),
        [charter, parade, library].map(({ record_id }) => `lock-shortened ${record_id}`).sort(),
      );
      const told = await muniment(['--home', made.home, 'verify']);
      assert.equal(told.code, 3, told.stderr);
      assert.match(told.stdout, /3 locked for less long than recorded/);
      assert.match(told.stdout, /lock-shortened at entry \d+ \(record .* is locked until 2/);
      assert.match(told.stdout, /is not locked, the store had said until 2/);
      assert.match((await muniment(['--home', made.home, 'store', 'renew'])).stdout, /0 due/);
      const renewed = await muniment(['--home', made.home, 'store', 'renew', '--all']);
      assert.equal(renewed.code, 0, renewed.stderr);
      // The document of the parade is locked beyond its retention; its slice up to it again.
      assert.match(renewed.stdout, /9 due, 8 extended, 1 left to end/);
      assert.deepEqual((await found()).problems, []);
      // As it was, for what comes next.
      await lock(parade.recorded, 90 * 86_400);
      await locks.set({ locked_until }).where('commitment', '=', parade.commitment).execute();
      await named(library.recorded.VersionId);
      const again = { ...library.current, VersionId: unlocked.VersionId as string };
      await client.send(new DeleteObjectCommand({ ...again, BypassGovernanceRetention: true }));
    });

    test('a version put in the place of a removed one is missing, however equal', async () => {
      const slice = await sliceOf('library');
      const whole = await client.send(new GetObjectCommand(slice.recorded));
      await client.send(
        new PutObjectCommand({
          ...slice.current,
          Body: (await whole.Body?.transformToByteArray()) as Uint8Array,
          Metadata: whole.Metadata as Record<string, string>,
        }),
      );
      await client.send(new DeleteObjectCommand({ ...slice.recorded, BypassGovernanceRetention: true }));
      const { ok, payloads, kinds } = await found();
      assert.equal(ok, false);
      assert.deepEqual(kinds, ['payload-missing']);
      assert.equal(payloads.missing, 1);
    });

    test('a store that cannot be asked leaves payloads unread, and calls none of them altered', async () => {
      const { settings, database } = made.archive;
      assert.equal(settings.store.provider, 's3');
      const wrong = { ...credentials, secretAccessKey: 'wrong' };
      await using store = openS3Store({ ...settings.store, credentials: wrong, clock: systemClock } as never);
      const other = { ...made.archive, store, database };
      const { ok, payloads, problems } = await verifyArchiveOf(other);
      assert.equal(ok, false);
      assert.deepEqual([payloads.intact, payloads.altered, payloads.missing], [0, 0, 0]);
      // What only a document names is asked for by its row.
      assert.equal(payloads.unreadable, 9);
      assert.deepEqual(
        new Set(problems.map((problem) => problem.kind)),
        new Set(['payload-unreadable', 'store-unreadable']),
      );
      await withArchiveReader(database.db, store, async (reader) => {
        await assert.rejects(async () => {
          for await (const _ of reader.covered()) break;
        });
      });
    });

    test('locks roll on for what may not be destroyed, and end for what may', async (t) => {
      const start = systemClock.now();
      const at = (days: number) => ({ now: () => start.add({ hours: 24 * days }) });
      const endOf = async (word: string) => {
        const { recorded } = await sliceOf(word);
        const { ObjectLockRetainUntilDate: end } = await client.send(new HeadObjectCommand(recorded));
        return Math.round(((end as Date).getTime() - start.epochMilliseconds) / 86_400_000);
      };
      const renew = async (days: number) => {
        await using archive = await reopened(made.home, at(days));
        const outcome = await renewArchiveLocks(archive, { signal });
        return { outcome, alert: locksAlert((await archiveLocks(archive)) as never) };
      };

      await t.test('nothing is due while more than half of the horizon is left', async () => {
        assert.equal((await renew(40)).outcome?.due, 0);
      });
      await t.test('a payload that is gone is told, and keeps no other from being renewed', async () => {
        const { outcome } = await renew(50);
        assert.equal(outcome?.due, 9);
        // The parade is kept for 70 days, and locked for 90 already: slice and document.
        assert.deepEqual([outcome?.extended, outcome?.lapsing, outcome?.failed], [6, 2, 1]);
        assert.match(outcome?.errors[0] ?? '', /holds no object/);
        assert.equal(await endOf('charter'), 140);
        assert.equal(await endOf('hearing'), 140, 'a review must come first');
        assert.equal(await endOf('parade'), 90);
      });
      await t.test('a renewal that is stopped says so, and the next one goes on', async () => {
        await using archive = await reopened(made.home, at(100));
        const stopped = await renewArchiveLocks(archive, { signal: AbortSignal.abort() });
        assert.deepEqual([stopped?.interrupted, stopped?.extended], [true, 0]);
      });
      await t.test('the command line renews, tells, and says so when a payload failed', async () => {
        const { code, stdout } = await muniment(['--home', made.home, '--json', 'store', 'renew']);
        // Today nothing is due.
        assert.equal(code, 0, stdout);
        assert.deepEqual(JSON.parse(stdout).locks.due, 0);
        const status = await muniment(['--home', made.home, '--json', 'status']);
        assert.equal(status.code, 0, status.stderr);
        assert.deepEqual(JSON.parse(status.stdout).locks, {
          overdue: 0,
          lapsed: 0,
          earliest: null,
          unknown: 0,
        });
        const { database } = made.archive;
        const past = '2026-01-01T00:00:00.000Z';
        const { commitment } = await sliceOf('charter');
        const one = database.db.updateTable('payload_locks').where('commitment', '=', commitment);
        await one.set({ locked_until: past }).execute();
        const alerted = await muniment(['--home', made.home, 'status']);
        assert.equal(alerted.code, 5);
        assert.match(
          alerted.stdout,
          /ALERT: the locks of 1 payloads .* 1 have ended.*`muniment store renew`/,
        );
        // The store knows better than the row: the lock that stands is found, and remembered.
        const again = await muniment(['--home', made.home, 'store', 'renew']);
        assert.equal(again.code, 0, again.stderr);
        assert.match(again.stdout, /1 due, 1 extended/);
        assert.equal((await muniment(['--home', made.home, 'status'])).code, 0);
        assert.equal(await endOf('charter'), 140);
      });
      await t.test('a lock that nobody renewed is an alert', async () => {
        await using archive = await reopened(made.home, at(130));
        const locks = await archiveLocks(archive);
        // All but the parade; the one that is gone was locked for 90 days and has lapsed.
        assert.deepEqual([locks?.overdue, locks?.lapsed, locks?.unknown], [7, 1, 0]);
        assert.match(locksAlert(locks as never) ?? '', /^ALERT: the locks of 7 payloads/);
      });
      await t.test(
        'while a hold waits to be applied nothing lapses, and under the hold neither',
        async () => {
          await writeFile(join(made.home, 'policies', 'holds', 'smith.yaml'), HOLD);
          assert.deepEqual((await renew(95)).outcome?.lapsing, 0);
          assert.equal(await endOf('parade'), 185);
          await putPolicyInForce(made.archive);
          await renew(150);
          assert.equal(await endOf('parade'), 240);
          assert.equal(await endOf('charter'), 240);
        },
      );
    });
  });
}
