// What a proof of the store's lock is worth: the rules, and what follows where the service does not answer. On a real service the trials
// themselves are in probe.test.ts.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { ServiceError } from '../../src/core/errors.ts';
import type { StoreSettings } from '../../src/core/settings.ts';
import type { ClaimFindings } from '../../src/store/probe.ts';
import {
  claimOf,
  judge,
  keepProof,
  type Proof,
  readProof,
  requireProof,
  StoreClaimError,
  standingOf,
  statedLock,
} from '../../src/store/proof.ts';
import { held, notHeld, type Trial, untold } from '../../src/store/trial.ts';

const settings: StoreSettings = {
  provider: 's3',
  bucket: 'records',
  region: 'us-east-1',
  endpoint: 'http://127.0.0.1:1', // where nobody listens
  prefix: '',
  lock: { mode: 'GOVERNANCE', horizon: 'P90D' },
};
const claim = claimOf(settings) as string;
const now = systemClock.now();
const before = (hours: number): string => now.subtract({ minutes: Math.round(hours * 60) }).toString();
const proofOf = (more: Partial<Proof> = {}): Proof => ({
  v: 1,
  claim,
  at: before(1),
  triedAt: before(1),
  enforced: true,
  faults: [],
  ...more,
});

function findings(more: { deleteRefused?: Trial; versioning?: Trial } = {}): ClaimFindings {
  const well = held('well');
  return {
    location: 's3://records/',
    versioning: more.versioning ?? well,
    lock: {
      enabled: well,
      deleteRefused: more.deleteRefused ?? well,
      shortenRefused: well,
      extended: well,
      hold: well,
      bypassRefused: null,
    },
    leftovers: [],
  };
}

test('a claim holds only when every trial of it was seen to, and one that fails outweighs one that could not tell', () => {
  assert.deepEqual(judge(findings()), { enforced: true, faults: [] });
  const unseen = judge(findings({ deleteRefused: untold('no right to delete') }));
  assert.equal(unseen.enforced, null);
  assert.match(unseen.faults.join(), /could not be seen that it refuses to delete .*: no right to delete/);
  const broken = judge(
    findings({ deleteRefused: notHeld('it is gone'), versioning: untold('no right to put') }),
  );
  assert.equal(broken.enforced, false);
  assert.deepEqual(broken.faults, ['not true that it refuses to delete a locked version: it is gone']);
});

test('a proof is good for a day, due for a week, and none for another claim, from the future, or when it is no proof', () => {
  const standing = (more: Partial<Proof>) => standingOf(proofOf(more), claim, now);
  assert.equal(standing({}), 'good');
  assert.equal(standing({ triedAt: before(23.9) }), 'good');
  assert.equal(standing({ triedAt: before(24.1) }), 'due');
  assert.equal(standing({ triedAt: before(167) }), 'due');
  assert.equal(standing({ triedAt: before(169) }), 'none');
  assert.equal(standing({ triedAt: before(-1) }), 'none');
  assert.equal(
    standing({ at: before(9999) }),
    'good',
    'a trial since then that could not tell takes nothing away',
  );
  assert.equal(standing({ enforced: false }), 'none');
  assert.equal(standing({ enforced: null }), 'none');
  assert.equal(standingOf(null, claim, now), 'none');
  for (const other of [
    { ...settings, bucket: 'other' },
    { ...settings, prefix: 'other/' },
    { ...settings, endpoint: null },
    { ...settings, lock: { mode: 'COMPLIANCE', horizon: 'P90D' } },
  ] as const)
    assert.equal(standingOf(proofOf(), claimOf(other) as string, now), 'none');
  assert.equal(claimOf({ ...settings, lock: 'none' }), null);
  assert.equal(claimOf({ provider: 'directory', path: '/payloads' }), null);
});

test('a bundle says GOVERNANCE or COMPLIANCE as seen only by a proof of this very store', () => {
  assert.deepEqual(statedLock(settings, proofOf()), { mode: 'GOVERNANCE', seen: true });
  assert.deepEqual(statedLock(settings, null), { mode: 'GOVERNANCE', seen: false });
  assert.deepEqual(statedLock(settings, proofOf({ enforced: false })), { mode: 'GOVERNANCE', seen: false });
  assert.deepEqual(statedLock({ ...settings, bucket: 'other' }, proofOf()), {
    mode: 'GOVERNANCE',
    seen: false,
  });
  assert.deepEqual(statedLock({ ...settings, lock: 'none' }, proofOf()), { mode: 'none', seen: false });
  assert.deepEqual(statedLock({ provider: 'directory', path: '/payloads' }, proofOf()), {
    mode: 'none',
    seen: false,
  });
});

test('where the service does not answer, a recent proof lets the work go on, a disproof refuses it, and nothing proves nothing', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'muniment-proof-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'store-proof.json');
  const notes: string[] = [];
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' };
  const ask = (other: StoreSettings = settings) =>
    requireProof({
      file,
      settings: other,
      clock: { now: () => now },
      signal: new AbortController().signal,
      credentials,
      onNote: (note) => notes.push(note),
    });
  const write = (proof: Proof) => writeFile(file, JSON.stringify(proof));

  await assert.rejects(ask(), ServiceError);
  assert.equal(await readProof(file), null, 'no answer is not kept as one');
  await write(proofOf());
  await ask();
  assert.deepEqual(notes, []);
  await write(proofOf({ at: before(30), triedAt: before(30) }));
  await ask();
  assert.match(notes.join(), /was last seen to hold on .*could not be tried again: .*ECONNREFUSED/);
  await write(proofOf({ at: before(200), triedAt: before(200) }));
  await assert.rejects(ask(), ServiceError);
  await write(proofOf({ enforced: false, faults: ['it deletes'] }));
  await assert.rejects(
    ask(),
    (error) => error instanceof StoreClaimError && /as tried on .*: it deletes/.test(error.message),
  );
  await ask({ ...settings, lock: 'none' });
  await ask({ provider: 'directory', path: '/payloads' });

  // A trial that could not tell does not replace one that could, neither way.
  const blind = findings({ deleteRefused: untold('no right to delete') });
  await write(proofOf({ at: before(100), triedAt: before(100) }));
  assert.deepEqual(await keepProof(file, settings, blind, now), await readProof(file));
  assert.deepEqual([(await readProof(file))?.enforced, (await readProof(file))?.at], [true, before(100)]);
  await write(proofOf({ enforced: false }));
  assert.equal((await keepProof(file, settings, blind, now))?.enforced, false);
  await write(proofOf({ claim: 'another store' }));
  assert.equal((await keepProof(file, settings, blind, now))?.enforced, null);
});
