// Signed proofs of records: what the account signed leads to the record, or nothing is kept.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readSnapshotDocument } from '../../src/capture/prepare.ts';
import { readPayload } from '../../src/ledger/payload.ts';
import { collect } from '../../src/operations.ts';
import { faultOfProof } from '../../src/sources/bluesky/proof.ts';
import { type SigningKey, signingKeyOf } from '../../src/sources/bluesky/signing-key.ts';
import { FakePlatform } from '../support/appview.ts';
import { testArchive, verifyArchiveOf } from '../support/archive.ts';
import {
  carOf,
  contentIdText,
  type MadeRepository,
  proofOf,
  repositoryOf,
  signingKey,
} from '../support/car.ts';
import { never } from '../support/replay.ts';

const DID = 'did:plc:cityofexample2222222222';
const KEY = 'app.bsky.feed.post/3k00000000007';

function made(key: { sign(unsigned: Buffer): Buffer }, did = DID): MadeRepository {
  const records = Array.from({ length: 40 }, (_, n) => [
    `app.bsky.feed.post/3k${String(n).padStart(11, '0')}`,
    { $type: 'app.bsky.feed.post', text: `Post ${n}`, createdAt: '2026-01-01T00:00:00Z' },
  ]);
  return repositoryOf(did, Object.fromEntries(records), (unsigned) => key.sign(unsigned));
}

function keyIn(publicKeyMultibase: string, type = 'Multikey'): SigningKey | string {
  return signingKeyOf({ id: DID, verificationMethod: [{ id: `${DID}#atproto`, type, publicKeyMultibase }] });
}

async function folderOf(t: TestContext): Promise<(bytes: Buffer) => Promise<string>> {
  const folder = await mkdtemp(join(tmpdir(), 'muniment proof '));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return async (bytes) => {
    const file = join(folder, 'proof.car');
    await writeFile(file, bytes);
    return file;
  };
}

for (const curve of ['secp256k1', 'P-256'] as const)
  test(`a proof signed on the curve ${curve} holds for the record it was made for, and for nothing else`, async (t) => {
    const written = await folderOf(t);
    const signer = signingKey(curve);
    const key = keyIn(signer.publicKeyMultibase) as SigningKey;
    assert.ok(typeof key !== 'string', String(key));
    const repository = made(signer);
    const record = repository.records.get(KEY);
    assert.ok(record !== undefined);
    const claim = { did: DID, key: KEY, contentId: contentIdText(record.id) };
    const faultOf = async (bytes: Buffer, more: object = {}, by = key): Promise<string | null> =>
      faultOfProof(await written(bytes), { ...claim, ...more }, by, never());

    const proof = proofOf(repository, KEY);
    assert.equal(await faultOf(proof), null);
    assert.match(
      (await faultOf(proof, {}, keyIn(signingKey(curve).publicKeyMultibase) as SigningKey)) ?? '',
      /not signed with the key/,
    );
    const high = made({ sign: (unsigned) => signer.signHigh(unsigned) });
    assert.match((await faultOf(proofOf(high, KEY))) ?? '', /not signed with the key/);
    assert.match((await faultOf(proof, { did: 'did:plc:other' })) ?? '', /another account/);
    const other = [...repository.records.values()].at(0);
    assert.match(
      (await faultOf(proof, { contentId: contentIdText(other?.id as Buffer) })) ?? '',
      /another since/,
    );
    assert.match((await faultOf(proof, { key: 'app.bsky.feed.post/none' })) ?? '', /does not lead/);
    const { commit, nodes } = repository;
    assert.match((await faultOf(carOf([commit], [commit, ...nodes]))) ?? '', /does not hold the record/);
    assert.match((await faultOf(carOf([commit], [commit, record]))) ?? '', /does not lead/);
    assert.match((await faultOf(carOf([commit], [...nodes, record]))) ?? '', /no commit/);
    assert.match((await faultOf(carOf([record], [record]))) ?? '', /no commit/);
    assert.match((await faultOf(Buffer.from('<html></html>'))) ?? '', /no CAR file/);
    for (let cut = 1; cut < proof.length; cut += 97)
      assert.notEqual(await faultOf(proof.subarray(0, cut)), null);
    // Whatever byte is turned, it proves nothing else: a block that is not on the way may be spoilt.
    for (let at = 60; at < proof.length; at += 61) {
      const spoilt = Buffer.from(proof);
      spoilt[at] = (spoilt[at] as number) ^ 0x20;
      const fault = await faultOf(spoilt);
      assert.ok(fault === null || fault.length > 10);
    }
  });

test('a DID document without a usable key says so, whatever stands in the key’s place', () => {
  assert.match(signingKeyOf({ id: DID }) as string, /names no key/);
  for (const text of ['', 'z', 'zzzz', 'm123', `z${'1'.repeat(500)}`, 'z0OIl'])
    assert.equal(typeof keyIn(text), 'string', text);
  const { publicKeyMultibase } = signingKey();
  assert.equal(typeof keyIn(publicKeyMultibase, 'EcdsaSecp256r1VerificationKey2019'), 'string');
  assert.equal(typeof keyIn(publicKeyMultibase, 'RsaVerificationKey2018'), 'string');
});

test('what the account wrote is kept with the proof that it signed it, asked for once a version and within a budget', async (t) => {
  await using platform = await FakePlatform.start();
  platform.pageSize = 100;
  platform.key = signingKey();
  const { did, handle } = platform.account;
  const { origin } = platform;
  const source = {
    platform: 'bluesky',
    account: handle,
    service: origin,
    directory: origin,
    repository: origin,
  };
  const sources = [
    { ...source, id: 'proved', proofs: 3 },
    { ...source, id: 'unlimited' },
  ];
  const { archive } = await testArchive(t, platform, { sources });
  const run = async (id = 'proved') => {
    const found = archive.settings.sources.find((one) => one.id === id);
    assert.ok(found !== undefined);
    return collect(archive, found, { signal: never() });
  };
  const mediaOf = async (uri: string) => {
    const rows = await archive.database.db
      .selectFrom('snapshots as s')
      .innerJoin('record_identities as i', 'i.record_id', 's.record_id')
      .select('s.document')
      .where('i.platform_id', '=', uri)
      .orderBy('s.version')
      .execute();
    const documents = await Promise.all(
      rows.map((row) => readSnapshotDocument(archive, row.document as string)),
    );
    return documents.map(({ media }) => media);
  };
  const road = platform.post('3kaaaaaaaaa22', 'Main Street is closed');
  platform.post('3kaaaaaaaab22', 'Until when?', { did: 'did:plc:ann', handle: 'ann.example', parent: road });
  const first = await run();
  assert.deepEqual([first.status, first.errors, first.captured, first.media], ['complete', [], 2, 1]);
  assert.equal(platform.proofs, 1);
  const [[proof] = []] = await mediaOf(platform.uri(road));
  assert.deepEqual(
    [proof?.role, proof?.mediaType, proof?.problem],
    ['proof', 'application/vnd.ipld.car', null],
  );
  const kept = await readPayload(archive.database.db, archive.store, proof?.commitment as string);
  const held = await folderOf(t);
  const claim = { did, key: 'app.bsky.feed.post/3kaaaaaaaaa22', contentId: proof?.contentId as string };
  const key = keyIn(platform.key.publicKeyMultibase) as SigningKey;
  assert.equal(await faultOfProof(await held(kept), claim, key, never()), null);

  road.likes = 3;
  assert.deepEqual([(await run()).changed, platform.proofs], [0, 1]);
  road.text = 'Main Street is open';
  assert.deepEqual([(await run()).changed, platform.proofs], [1, 2]);
  const [, [again] = []] = await mediaOf(platform.uri(road));
  assert.equal(again?.since, 2);
  assert.notEqual(again?.commitment, proof?.commitment);

  for (let n = 0; n < 6; n += 1) platform.post(`3kb${n}aaaaaaaa2`, `Notice ${n}`);
  const beyond = await run();
  assert.deepEqual([beyond.status, beyond.captured, beyond.media], ['complete', 6, 3]);
  assert.match(
    beyond.errors.map(({ message }) => message).join(),
    /^A run of proved proves 3 records at most;/,
  );
  assert.equal(platform.proofs, 5);
  assert.equal((await run()).changed, 0);
  assert.equal(platform.proofs, 5);

  // Somebody else's key: the record is kept, its proof is not.
  platform.key = { ...signingKey(), sign: platform.key.sign };
  const forged = platform.post('3kcaaaaaaaaa22'.slice(0, 13), 'By whom?');
  const told = await run('unlimited');
  assert.deepEqual([told.status, told.captured, told.media], ['complete', 1, 0]);
  assert.match(told.errors[0]?.message ?? '', /is not proved: its commit is not signed with the key/);
  assert.deepEqual(await mediaOf(platform.uri(forged)), [[]]);
  platform.key = null;
  platform.post('3kdaaaaaaaaa2', 'No more proofs');
  const without = await run('unlimited');
  assert.deepEqual([without.captured, without.media], [1, 0]);
  assert.deepEqual((await verifyArchiveOf(archive)).problems, []);
});
