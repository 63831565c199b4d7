// Bytes that fit their commitment and are no JSON, or JSON of another shape: a problem with its place, never a crash.

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { payloadCommitment, sha256 } from '../../src/core/digest.ts';
import { archiveMark, type Entry } from '../../src/ledger/entry.ts';
import type { ArchiveReader } from '../../src/ledger/verify/contract.ts';
import { DocumentCheck, type DocumentedEntry } from '../../src/ledger/verify/documents.ts';
import { Findings } from '../../src/ledger/verify/findings.ts';
import { NamedCheck } from '../../src/ledger/verify/named.ts';
import { PayloadCheck } from '../../src/ledger/verify/payloads.ts';

const SALT = Buffer.alloc(32, 7);
const ID = '019a3c5e-0000-7000-8000-000000000002';
const ORIGIN = 'archive.example.gov/social';

/** Holds an entry of the type to one object, which is its document or report. @returns kinds of problems, with their positions */
async function found(type: DocumentedEntry['type'], content: string | Buffer): Promise<unknown[]> {
  const bytes = Buffer.from(content);
  const commitment = payloadCommitment(SALT, sha256(bytes));
  const role = { 'item.captured': 'document', 'run.finished': 'report' }[type as string] ?? 'observation';
  const whose = role === 'report' ? { run: ID } : { record: ID };
  const metadata = { salt: SALT.toString('hex'), role, archive: archiveMark(ORIGIN), ...whose };
  const contentType = role === 'report' ? 'application/jsonl' : 'application/json';
  const reader = {
    object: async () => ({
      contentType,
      length: bytes.length,
      metadata,
      body: Readable.from([bytes]),
      lock: null,
    }),
  } as unknown as ArchiveReader;
  const findings = new Findings(undefined);
  const payloads = new PayloadCheck(reader, findings, undefined);
  const named = role === 'report' ? { report: commitment } : { document: commitment };
  const entry = { type, seq: 5, origin: ORIGIN, ...whose, ...named } as unknown as DocumentedEntry;
  await new DocumentCheck(findings).check(entry, (key, description) =>
    payloads.read(key, description, null, new Map(), entry),
  );
  return findings.problems.map(({ kind, seq }) => [kind, seq]);
}

for (const [what, content] of [
  ['no JSON', 'not json'],
  ['nothing', ''],
  ['no text', Buffer.from([0xff, 0xfe, 0x00])],
  ['JSON of another shape', '[1,2]'],
  ['null', 'null'],
] as const) {
  test(`a document that is ${what} is a problem of its entry`, async () => {
    for (const type of ['item.captured', 'item.missing', 'item.restored'] as const)
      assert.deepEqual(await found(type, content), [['document-differs', 5]], type);
  });
}

test('a run report whose quarantine line is no JSON is a problem of its entry', async () => {
  for (const line of ['{"quarantine":', '{"quarantine":1}', '{"quarantine":{"commitment":"../x"}}'])
    assert.deepEqual(await found('run.finished', `{}\n${line}\n`), [['document-differs', 5]], line);
  assert.deepEqual(await found('run.finished', '{}\n'), []);
});

test('an account whose body is no JSON differs in every column', async () => {
  for (const body of ['not json', 'null', '7', '[]']) {
    const findings = new Findings(undefined);
    const named = new NamedCheck(findings);
    const entry = { type: 'account.changed', seq: 5, account: ID } as unknown as Entry;
    named.take(entry, Buffer.from(body));
    const reader = {
      rows: async (table: string) =>
        table === 'accounts' ? [{ seq: 5, id: ID, name: 'Clerk', roles: ['officer'] }] : [],
    } as unknown as ArchiveReader;
    await named.compare(reader, () => assert.fail('the body is there'));
    assert.deepEqual(
      [...new Set(findings.problems.map(({ kind, seq }) => `${kind}@${seq}`))],
      ['row-differs@5'],
      body,
    );
    assert.equal(findings.problems.length, 3, body);
  }
});
