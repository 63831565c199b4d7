// An export as a collector: capture takes from it what it takes from a platform. It is nobody's answer, though: its dates are claims, it says
// nothing of what is not in it, and what the platform itself showed stands above it.

import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { type Clock, instantText } from '../../core/clock.ts';
import { InputError } from '../../core/errors.ts';
import { CollectError } from '../collect-error.ts';
import {
  type Collector,
  type CollectorEvent,
  type Exchange,
  isImportRule,
  type Problem,
  type Rejected,
  type Sighting,
} from '../collector.ts';
import { type ExportFile, openExportFile } from './export-file.ts';
import type { ExportKind, Keys, OpenedExport, Piece } from './export-kind.ts';

/** Items of a page, entered together; and the bytes after which a page ends before that. */
const PAGE = 200;
const PAGE_BYTES = 8 * 2 ** 20;
/** Of one medium. */
const LONGEST_MEDIUM = 8 * 2 ** 30;

/** An import's collector, and the file that it reads. */
export interface ImportCollector extends Collector {
  readonly file: Pick<ExportFile, 'path' | 'name' | 'length' | 'sha256'>;
  readonly findings: readonly string[];
}

/**
 * @param by who imports it
 * @param account whose the file must be, where the source's settings say so
 * @throws InputError when the file cannot be read, is broken as a whole, is no export of this kind, or another account's
 */
export async function openImportCollector(
  kind: ExportKind,
  path: string,
  options: {
    by: string;
    account: string | null;
    clock: Clock;
    signal: AbortSignal;
    onProgress?: (read: number, length: number) => void;
    keys?: Keys;
  },
): Promise<ImportCollector> {
  await using stack = new AsyncDisposableStack();
  const file = stack.use(await openExportFile(path, options));
  const opened = await kind.open(file, options.signal, options.keys);
  stack.use(opened.resources);
  requireAccount(options.account, opened.accounts, file.name);
  return new Import(kind, file, opened, options, stack.move());
}

/** A file that says nothing of whose it is passes for nobody's. */
function requireAccount(wanted: string | null, accounts: readonly string[], file: string): void {
  const plain = (account: string): string => account.replace(/^@/, '').toLowerCase();
  if (wanted === null || accounts.some((one) => plain(one) === plain(wanted))) return;
  const said =
    accounts.length === 0 ? 'does not say whose it is' : `is of the account ${accounts.join(', ')}`;
  throw new InputError(`${file} ${said}, and the source is for ${wanted}`, {
    hint: 'Import it under another source; or, where this is the account that is meant, name it so, or not at all, under `account` in muniment.yaml.',
  });
}

class Import implements ImportCollector {
  readonly platform: string;
  readonly collectorVersion: string;
  readonly comparisonRule: string;
  readonly file: ExportFile;
  readonly findings: readonly string[];
  readonly #opened: OpenedExport;
  readonly #by: string;
  readonly #clock: Clock;
  readonly #resources: AsyncDisposableStack;

  constructor(
    kind: ExportKind,
    file: ExportFile,
    opened: OpenedExport,
    { by, clock }: { by: string; clock: Clock },
    resources: AsyncDisposableStack,
  ) {
    if (!isImportRule(kind.comparisonRule))
      throw new TypeError(`${kind.comparisonRule} is no rule of an import`);
    this.platform = kind.platform;
    this.collectorVersion = kind.collectorVersion;
    this.comparisonRule = kind.comparisonRule;
    this.file = file;
    this.findings = opened.findings;
    this.#opened = opened;
    this.#by = by;
    this.#clock = clock;
    this.#resources = resources;
  }

  check(): ReturnType<Collector['check']> {
    return Promise.resolve({ account: this.file.name, findings: [...this.findings] });
  }

  async *collect({ signal }: Parameters<Collector['collect']>[0]): AsyncIterable<CollectorEvent> {
    for (const { path, reason } of this.file.aside)
      yield { type: 'problem', problem: putAside(this.file.name, path, reason) };
    const left = new Map<string, number>();
    let read = 0;
    let page: Piece[] = [];
    let bytes = 0;
    try {
      for await (const one of this.#opened.pieces(signal)) {
        if ('problem' in one) {
          yield { type: 'problem', problem: one.problem };
          continue;
        }
        read += 1;
        if ('left' in one.read) {
          left.set(one.read.left, (left.get(one.read.left) ?? 0) + 1);
          continue;
        }
        page.push(one);
        bytes += one.bytes.length;
        if (page.length < PAGE && bytes < PAGE_BYTES) continue;
        yield this.#pageOf(page);
        page = [];
        bytes = 0;
      }
    } catch (error) {
      // What was read before a file broke off would not be read by importing it again either.
      if (error instanceof CollectError && page.length > 0) yield this.#pageOf(page);
      throw error;
    }
    if (page.length > 0) yield this.#pageOf(page);
    yield { type: 'reported', what: 'items in the file', count: read };
    for (const [reason, count] of left) {
      yield { type: 'reported', what: `left out: ${reason}`, count };
      const message = `${count} of the ${read} items in ${this.file.name} are ${reason}; the file itself is kept whole.`;
      yield { type: 'problem', problem: { code: 'standing-gap', message, subject: null } };
    }
    yield { type: 'end', coverage: 'recent', state: null };
  }

  #pageOf(pieces: readonly Piece[]): CollectorEvent {
    const sightings: Sighting[] = [];
    const rejected: Rejected[] = [];
    for (const { path, offset, bytes, type, read } of pieces) {
      const exchange = this.#exchangeOf(path);
      if ('imported' in read)
        sightings.push({
          ...read.imported,
          slice: bytes,
          sliceOffset: offset,
          sliceType: type,
          exchange,
          observations: {},
        });
      else if ('rejected' in read) rejected.push({ bytes, exchange, reason: read.rejected });
    }
    const bodyLength = pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
    return {
      type: 'page',
      // What this part of the run read; an item's own evidence names the whole file.
      exchange: { ...this.#exchangeOf(pieces[0]?.path ?? ''), bodyLength },
      sightings,
      rejected,
    };
  }

  /** The evidence of an item: the file and its digest, the path in it, who imported it and when. No platform said so: there is no status. */
  #exchangeOf(path: string): Exchange {
    const { name, sha256, length } = this.file;
    return {
      method: 'IMPORT',
      url: path === name ? name : `${name}/${path}`,
      status: 0,
      receivedAt: instantText(this.#clock.now()),
      headers: { 'import-file': name, 'import-path': path, 'imported-by': this.#by },
      bodySha256: sha256,
      bodyLength: length,
    };
  }

  async *lookUp(): ReturnType<Collector['lookUp']> {}

  async fetchMedia(
    { url: path, mediaType }: Parameters<Collector['fetchMedia']>[0],
    directory: string,
    signal: AbortSignal,
  ): ReturnType<Collector['fetchMedia']> {
    const { name, members } = this.file;
    const { withoutMedia } = this.#opened;
    if (withoutMedia !== undefined) throw new CollectError('standing-gap', withoutMedia, null);
    const known = members.get(path);
    if (known === undefined)
      throw new CollectError('media', `${path} is not in ${name}`, path, {
        hint: 'The export does not hold every medium; ask the platform for one that does.',
      });
    if (known > LONGEST_MEDIUM)
      throw new CollectError(
        'too-large',
        `${path} in ${name} has ${known} bytes, more than ${LONGEST_MEDIUM}`,
        path,
      );
    const file = join(directory, randomUUID());
    await this.file.copy(path, file, directory, signal);
    const digest = createHash('sha256');
    let length = 0;
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      digest.update(chunk);
      length += chunk.length;
    }
    return {
      file,
      length,
      sha256: digest.digest('hex'),
      mediaType: mediaType ?? 'application/octet-stream',
      exchange: { ...this.#exchangeOf(path), bodyLength: length },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources[Symbol.asyncDispose]();
  }
}

function putAside(name: string, path: string, reason: string): Problem {
  const message = `${path} in ${name} was not read: ${reason}. The file itself is kept whole.`;
  return { code: 'not-the-expected-format', message, subject: path };
}
