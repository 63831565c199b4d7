// Verifies a whole archive: the chain against a head pinned outside the database, every row against the entry it stands for, every
// payload against its commitment. Imports no driver: it reads through an interface (verify/contract.ts) and believes none of what it reads.

import { ChainCheck } from './chain.ts';
import { PROJECTED_TABLES } from './projection.ts';
import { Bodies } from './verify/bodies.ts';
import type { ArchiveReader, VerifyOptions, VerifyResult } from './verify/contract.ts';
import { DestructionCheck } from './verify/destructions.ts';
import { DocumentCheck } from './verify/documents.ts';
import { EntryCheck } from './verify/entries.ts';
import { Findings } from './verify/findings.ts';
import { HeadCheck } from './verify/heads.ts';
import { NamedCheck } from './verify/named.ts';
import { PayloadCheck } from './verify/payloads.ts';
import { RowCheck } from './verify/rows.ts';

export type { VerifyResult } from './verify/contract.ts';

/**
 * @returns what was found; a damaged archive is a result, not an error
 * @throws whatever the reader throws that says nothing about the archive, and the signal's reason once it is aborted
 */
export async function verifyArchive(reader: ArchiveReader, options: VerifyOptions): Promise<VerifyResult> {
  const { anchors, origin } = options;
  const pinned = options.pinned === 'not yet' ? null : options.pinned;
  const findings = new Findings(options.onProblem);
  const heads = new HeadCheck(reader, options, findings);
  const rows = new RowCheck(findings);
  const named = new NamedCheck(findings);
  const bodies = new Bodies(findings, named);
  const payloads = new PayloadCheck(reader, findings, options.signal);
  const entries = new EntryCheck(reader, {
    bodies,
    payloads,
    documents: new DocumentCheck(findings),
    destructions: new DestructionCheck(reader, findings, bodies),
    named,
    rows,
  });

  const checkpoints = heads.openCheckpoints(await reader.checkpoints());
  const signed = [...checkpoints, ...anchors, ...(pinned === null ? [] : [pinned])].map((head) => head.size);
  const chain = new ChainCheck(origin, signed);
  for await (const stored of reader.entries()) {
    options.signal?.throwIfAborted();
    const batch = await chain.take(stored);
    for (const problem of batch.problems) findings.report(problem);
    await heads.checkSubtrees(batch.subtrees);
    await entries.check(batch.entries);
    options.onProgress?.(chain.size);
  }
  for (const checkpoint of checkpoints)
    heads.compareRoot(chain, checkpoint, 'checkpoint-differs', 'the stored checkpoint');
  for (const anchor of anchors) heads.compareRoot(chain, anchor, 'anchor-differs', 'the anchored checkpoint');
  heads.checkPinned(chain.size);
  if (pinned !== null)
    heads.compareRoot(chain, pinned, 'root-differs', 'the signed head kept outside the database');
  await heads.checkHead(chain);
  await named.compare(reader, (seq, problem) => bodies.missingFor(seq, seq, problem));
  await reportStrayRows(reader, chain.size, findings);
  await payloads.checkCovered();
  // A recovery's own entry is signed when all of this has verified.
  const vouched =
    options.pinned === 'not yet'
      ? Number.MAX_SAFE_INTEGER
      : signed.reduce((most, size) => Math.max(most, size), 0);
  const lostBodies = bodies.judge(vouched, options.drill ?? null);
  const anchored = Math.max(0, ...anchors.map((a) => a.size));
  return {
    ok: findings.problems.length === 0,
    origin,
    size: chain.size,
    root: chain.root().toString('base64'),
    entries: chain.size,
    unsigned: Math.max(0, chain.size - (pinned?.size ?? 0)),
    unanchored: Math.max(0, chain.size - anchored),
    unverifiedMeaning: entries.unknownTypes,
    lostBodies,
    payloads: findings.payloads,
    problems: findings.problems,
    unlisted: findings.unlisted,
  };
}

async function reportStrayRows(reader: ArchiveReader, size: number, findings: Findings): Promise<void> {
  for (const table of [...PROJECTED_TABLES, 'entry_bodies'] as const) {
    const stray = await reader.strayRows(table, size);
    if (stray > 0)
      findings.problem(
        'row-unexpected',
        null,
        null,
        `${stray} row${stray === 1 ? '' : 's'} of ${table} belong${stray === 1 ? 's' : ''} to no entry`,
      );
  }
}
