// Produces a bundle: the selected records as of a ledger position, with everything that lets a stranger check them. Equal selection,
// position and Muniment version give equal bytes: nothing here reads a clock, a zone or a locale. Layout: FORMAT.md section 10.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Writable } from 'node:stream';
import { canonicalText, type Json } from '../core/canonical.ts';
import { InputError, VerificationError } from '../core/errors.ts';
import type { Database, DatabaseTransaction } from '../db/database.ts';
import type { ObservationDocument, SnapshotDocument } from '../ledger/documents.ts';
import { openSnapshot, type RecordView, streamRecordsIn } from '../search/records.ts';
import type { Selection } from '../search/selection.ts';
import { diskTrouble } from '../store/disk.ts';
import type { ObjectReader } from '../store/objects.ts';
import type { StatedLock } from '../store/proof.ts';
import { BagWriter, Spool } from './bag.ts';
import { type BundledPayload, Evidence } from './evidence.ts';
import { writePdf } from './pdf.ts';
import { pdfRecords } from './pdf-records.ts';
import { Receipts } from './receipts.ts';
import { rowsAsDocument, rowsAsObservation } from './rows.ts';
import { type BundleFacts, bagInfo, folderName, lockLine, readme, selectionLines } from './statement.ts';
import {
  type BundledRecord,
  bundleStatement,
  type CapturedEntry,
  CSV_HEADER,
  csvRows,
  type ObservedEntry,
  parseVerifierKey,
  recordOf,
} from './verifier/verify.mjs';

export interface ExportOptions {
  readonly db: Database;
  readonly store: ObjectReader;
  /** What the store does against removal; every bundle states it. */
  readonly lock: StatedLock;
  readonly archive: { readonly name: string; readonly origin: string; readonly timezone: string };
  /** Name and version of this program; stands in the bundle. */
  readonly software: string;
  /** Signed head of the tree that the bundle reads as of: of its size, signed by the same key. `at`: when it was made. */
  readonly checkpoint: {
    readonly size: number;
    readonly root: Buffer;
    readonly note: string;
    readonly at: string;
  };
  /** The archive's key. `signNote` makes a C2SP signed note of a text. */
  readonly signer: { readonly verifierKey: string; readonly signNote: (text: string) => string };
  /** What policy says of a record, as of the same position, in one line; null where it says nothing. */
  readonly explain: (record: RecordView) => string | null | Promise<string | null>;
  readonly selection: Selection;
  /** Path of the ZIP. */
  readonly out: string;
  /** Replace a file that stands at `out`. */
  readonly replace?: boolean;
  readonly signal?: AbortSignal;
  readonly onRecord?: (records: number) => void;
}

export interface ExportResult {
  /** Absolute path of the ZIP. */
  readonly bundle: string;
  readonly sha256: string;
  readonly records: number;
  readonly files: number;
  readonly bytes: number;
  readonly checkpoint: { readonly origin: string; readonly size: number; readonly root: string };
  /** SHA-256 in hex of tagmanifest-sha256.txt: what `bundle.produced` commits to. */
  readonly manifest: string;
  /** Payloads that the archive could not give; the bundle says so too. Then the export is incomplete (exit code 5). */
  readonly problems: readonly {
    readonly kind: 'missing' | 'altered' | 'destroyed';
    readonly record: string;
    readonly payload: string;
  }[];
}

/**
 * Writes a bundle. It gets its name only when it is whole and durable; on any failure nothing of it stays.
 * @throws InputError when `out` is taken or a selection cannot be read, VerificationError when the ledger lacks an entry, ServiceError
 * with the remedy when the disk does not take it
 */
export async function exportBundle(options: ExportOptions): Promise<ExportResult> {
  try {
    return await writeBundle(options);
  } catch (error) {
    // What the operating system refuses here concerns the bundle and the files that wait beside it.
    const isSystems = typeof (error as NodeJS.ErrnoException | null)?.errno === 'number';
    throw isSystems ? diskTrouble(error, `could not write the bundle ${options.out}`) : error;
  }
}

async function writeBundle(options: ExportOptions): Promise<ExportResult> {
  const { archive, checkpoint } = options;
  const selection = withoutMessages(options.selection);
  const folder = folderName(archive.origin, checkpoint.size);
  const out = path.resolve(options.out);
  await using bag = await BagWriter.create({
    out,
    replace: options.replace ?? false,
    folder,
    date: new Date(checkpoint.at),
  });
  await using spools = new AsyncDisposableStack();
  const spool = async () => spools.use(await Spool.create(path.dirname(out)));
  const records = await spool();
  const payloads = await spool();
  const csv = await spool();
  const pdf = await spool();
  await csv.append(CSV_HEADER);

  const tx = await openSnapshot(options.db);
  const producer = new Producer(options, tx, bag);
  let count = 0;
  try {
    for await (const view of streamRecordsIn(tx, selection, {
      size: checkpoint.size,
      timezone: archive.timezone,
    })) {
      options.signal?.throwIfAborted();
      const { record, lines } = await producer.add(view);
      for (const line of lines) await payloads.append(`${canonicalText(line as unknown as Json)}\n`);
      await records.append(`${canonicalText(record as unknown as Json)}\n`);
      await csv.append(csvRows(record));
      count += 1;
      options.onRecord?.(count);
    }
  } finally {
    await tx.rollback().execute();
  }

  const asked = selectionLines(selection, archive.timezone);
  const root = checkpoint.root.toString('base64');
  const facts: BundleFacts = {
    agency: archive.name,
    origin: archive.origin,
    size: checkpoint.size,
    root,
    checkpointAt: checkpoint.at,
    folder,
    software: options.software,
    selection: asked,
    records: count,
    problems: producer.problems.map((one) => `${one.kind}: payload ${one.payload} of record ${one.record}`),
    lock: options.lock,
    fingerprint: parseVerifierKey(options.signer.verifierKey).fingerprint,
  };
  await writePdf(
    {
      title: 'Archived social media records',
      agency: archive.name,
      origin: archive.origin,
      timezone: archive.timezone,
      asOf: { size: checkpoint.size, root, checkpointAt: checkpoint.at },
      selection: asked,
      lock: lockLine(options.lock),
      stamp: 'UNREVIEWED',
      software: options.software,
    },
    pdfRecords(records.lines(), (commitment, length) => producer.picture(commitment, length)),
    writableTo(pdf),
  );
  await bag.addSpool('data/payloads.jsonl', payloads);
  await bag.addSpool('data/records.jsonl', records);
  await bag.addSpool('data/records.csv', csv);
  await bag.addSpool('data/records.pdf', pdf);
  await bag.add('data/bundle.json', canonicalText(description(facts, selection, producer)));
  await bag.add('data/checkpoint', checkpoint.note);
  await bag.add('README.txt', readme(facts));
  await bag.add('archive-key.txt', `${options.signer.verifierKey.trim()}\n`);
  await bag.add('verify.mjs', await readFile(new URL('./verifier/verify.mjs', import.meta.url)));
  options.signal?.throwIfAborted();
  const done = await bag.finish(bagInfo(facts), (tagManifest) =>
    options.signer.signNote(bundleStatement(archive.origin, checkpoint.size, tagManifest)),
  );
  return {
    bundle: out,
    sha256: done.sha256,
    records: count,
    files: done.files,
    bytes: done.bytes,
    checkpoint: { origin: archive.origin, size: checkpoint.size, root },
    manifest: done.manifest,
    problems: producer.problems,
  };
}

function withoutMessages(selection: Selection): Selection {
  if (selection.kinds?.includes('message')) {
    throw new InputError('messages are not exported', {
      hint: 'Leave the kind message out of the selection.',
    });
  }
  return selection;
}

function description(facts: BundleFacts, selection: Selection, producer: Producer): Json {
  const asked = Object.fromEntries(
    Object.entries(selection).filter(([, value]) => value !== undefined),
  ) as Record<string, Json>;
  return {
    v: 'muniment/v1/bundle',
    review: 'UNREVIEWED',
    agency: facts.agency,
    software: facts.software,
    checkpoint: { origin: facts.origin, size: facts.size, root: facts.root, at: facts.checkpointAt },
    lock: { ...facts.lock },
    selection: asked,
    records: facts.records,
    payloads: producer.payloads,
    problems: producer.problems.map((one) => ({ ...one })),
  };
}

/** Puts one record after another into the bag: payloads, entries, receipts. */
class Producer {
  readonly problems: { kind: 'missing' | 'altered' | 'destroyed'; record: string; payload: string }[] = [];
  payloads = 0;
  readonly #options: ExportOptions;
  readonly #tx: DatabaseTransaction;
  readonly #bag: BagWriter;
  readonly #evidence: Evidence;
  readonly #receipts: Receipts;

  constructor(options: ExportOptions, tx: DatabaseTransaction, bag: BagWriter) {
    this.#options = options;
    this.#tx = tx;
    this.#bag = bag;
    const { size, note } = options.checkpoint;
    this.#evidence = new Evidence({ tx, db: options.db, store: options.store, bag, size });
    this.#receipts = new Receipts(tx, size, note);
  }

  picture(commitment: string, length: number): Promise<Buffer | null> {
    return this.#evidence.picture(commitment, length);
  }

  async add(view: RecordView): Promise<{ record: BundledRecord; lines: BundledPayload[] }> {
    if (view.destruction !== null) {
      await this.#entries(view.destruction.seqs);
      return { record: recordOf({ id: view.id, destruction: view.destruction }), lines: [] };
    }
    const seeds = new Map(
      view.versions.flatMap((v) => (v.seed === null ? [] : [[v.document, v.seed] as const])),
    );
    const { payloads, documents } = await this.#evidence.add(view.id, seeds);
    this.payloads += payloads.length;
    for (const { problem, commitment } of payloads) {
      if (problem !== null) this.problems.push({ kind: problem, record: view.id, payload: commitment });
    }
    const linked = view.sources.filter((source) => source.seq !== view.seq);
    const entries = await this.#entries([
      ...view.versions.map((v) => v.seq),
      ...view.states.map((s) => s.seq),
      ...linked.map((source) => source.seq),
    ]);
    const paths = new Map(payloads.map((line) => [line.commitment, line.path]));
    const parsed = (commitment: string) => {
      const bytes = documents.get(commitment);
      return bytes === undefined ? undefined : JSON.parse(bytes.toString());
    };
    const record = recordOf({
      id: view.id,
      destruction: null,
      captured: view.versions.map((version) => ({
        entry: entries.get(version.seq) as CapturedEntry,
        document: (parsed(version.document) as SnapshotDocument | undefined) ?? rowsAsDocument(view, version),
      })),
      observed: view.states.map((state) => ({
        entry: entries.get(state.seq) as ObservedEntry,
        document: (parsed(state.document) as ObservationDocument | undefined) ?? rowsAsObservation(state),
      })),
      linked,
      thread: view.thread,
      retention: await this.#options.explain(view),
      pathOf: (commitment) => paths.get(commitment) ?? null,
    });
    return { record, lines: payloads };
  }

  /** Entry and receipt of each position, as files; an entry belongs to one record, so to one place. */
  async #entries(seqs: readonly number[]): Promise<Map<number, CapturedEntry | ObservedEntry>> {
    const found = new Map<number, CapturedEntry | ObservedEntry>();
    if (seqs.length === 0) return found;
    const rows = await this.#tx
      .selectFrom('ledger_entries')
      .select(['seq', 'entry'])
      .where('seq', 'in', [...seqs])
      .orderBy('seq')
      .execute();
    if (rows.length !== new Set(seqs).size) {
      throw new VerificationError(`the ledger lacks entries among ${seqs.join(', ')}`, {
        hint: 'Run `muniment verify`.',
      });
    }
    for (const row of rows) {
      await this.#bag.add(`data/proofs/${row.seq}.entry`, row.entry);
      await this.#bag.add(`data/proofs/${row.seq}.tlog-proof`, await this.#receipts.of(row.seq));
      found.set(row.seq, JSON.parse(row.entry.toString()));
    }
    return found;
  }
}

function writableTo(spool: Spool): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      spool.append(chunk).then(() => done(), done);
    },
  });
}
