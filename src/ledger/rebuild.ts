// Makes the rows of records, snapshots, payloads and the rest anew from entries and objects alone, after the loss of everything else.

import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { ObjectNotFoundError, VerificationError } from '../core/errors.ts';
import { observationDocument, runReportLine, snapshotDocument } from './documents.ts';
import { decodeEntry, type Entry } from './entry.ts';
import { type PayloadFacts, type ProjectedRow, projectEntry } from './projection.ts';

/** What rebuilding reads of the store. */
export type ReadObject = (commitment: string) => Promise<{
  contentType: string;
  metadata: Readonly<Record<string, string>>;
  body: Readable;
}>;

interface Loaded {
  readonly facts: PayloadFacts;
  readonly bytes: Buffer;
  readonly seed: Buffer | undefined;
}

/**
 * @returns the rows that one entry stands for; for an entry whose document was destroyed, those that can still be known
 * @throws VerificationError when an entry or a payload cannot be read
 */
export async function rebuildRows(bytes: Uint8Array, read: ReadObject): Promise<ProjectedRow[]> {
  const decoded = decodeEntry(bytes);
  if (!decoded.known) return [];
  const { entry } = decoded;
  const loaded = new Map<string, Loaded>();
  const load = async (commitment: string): Promise<Loaded> => {
    const fresh = await loadObject(commitment, read);
    loaded.set(commitment, fresh);
    return fresh;
  };
  const facts = (commitment: string): PayloadFacts => {
    const found = loaded.get(commitment);
    if (found === undefined)
      throw new VerificationError(`entry ${entry.seq} names payload ${commitment} unexpectedly`);
    return found.facts;
  };
  try {
    return projectEntry(entry, { ...(await documentOf(entry, load)), facts });
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return [];
    throw error;
  }
}

async function documentOf(entry: Entry, load: (commitment: string) => Promise<Loaded>) {
  if (entry.type === 'item.captured') {
    const { bytes, seed } = await load(entry.document);
    const document = snapshotDocument.parse(JSON.parse(bytes.toString('utf8')));
    await load(document.slice.commitment);
    for (const media of document.media) {
      if (media.commitment !== null && media.since === document.version) await load(media.commitment);
    }
    return { document, seed };
  }
  if (entry.type === 'item.missing' || entry.type === 'item.restored') {
    const document = observationDocument.parse(
      JSON.parse((await load(entry.document)).bytes.toString('utf8')),
    );
    if (document.answer !== null) await load(document.answer.commitment);
    return { document };
  }
  if (entry.type === 'run.finished') {
    const lines = (await load(entry.report)).bytes.toString('utf8').trimEnd().split('\n').slice(1);
    const quarantined = lines.flatMap((line) => {
      const value = runReportLine.parse(JSON.parse(line));
      return 'quarantine' in value ? [value.quarantine] : [];
    });
    for (const { commitment } of quarantined) await load(commitment);
    return { quarantined };
  }
  return {};
}

/** Keeps what is text; a medium is only hashed, however large it is. */
async function loadObject(commitment: string, read: ReadObject): Promise<Loaded> {
  const object = await read(commitment);
  const hash = createHash('sha256');
  const kept: Buffer[] = [];
  const isDocument = ['document', 'observation', 'report'].includes(object.metadata.role ?? '');
  let length = 0;
  for await (const chunk of object.body as AsyncIterable<Buffer>) {
    hash.update(chunk);
    length += chunk.length;
    if (isDocument) kept.push(chunk);
  }
  const { salt, seed } = object.metadata;
  return {
    facts: {
      salt: Buffer.from(salt ?? '', 'hex'),
      sha256: hash.digest('hex'),
      length,
      contentType: object.contentType,
    },
    bytes: Buffer.concat(kept),
    seed: seed === undefined ? undefined : Buffer.from(seed, 'hex'),
  };
}
