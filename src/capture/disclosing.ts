// Disclosure trees of snapshot documents, made beside the main thread: a post of average length has some hundred leaves and takes six hundred
// hashes, more than all else that the thread does for it. This file is both sides: loaded as a worker it answers, imported it asks.

import { parentPort, Worker, workerData } from 'node:worker_threads';
import type { Json } from '../core/canonical.ts';
import { ServiceError } from '../core/errors.ts';
import { disclosureTree } from '../ledger/disclosure.ts';

/** Root, in hex, and number of leaves. */
export interface Disclosure {
  readonly root: string;
  readonly leaves: number;
}

interface Question {
  readonly id: number;
  /** Canonical JSON of the document. */
  readonly text: string;
  readonly seed: Uint8Array;
}

interface Answer extends Disclosure {
  readonly id: number;
}

/** Trees asked for before the thread is worth its start (some 50 ms): a quiet poll never needs it. */
const FEW = 25;
/** Tells this file that it was loaded to answer. */
const ROLE = 'muniment/disclosing';

/** One thread that makes trees, started when enough are asked for. */
export class Disclosing implements AsyncDisposable {
  #asked = 0;
  #worker: Worker | null = null;
  #gathered: Question[] = [];
  readonly #waiting = new Map<number, PromiseWithResolvers<Disclosure>>();

  /** @param text canonical JSON of the document. @throws ServiceError when the thread ended */
  async tree(text: string, seed: Uint8Array): Promise<Disclosure> {
    const id = this.#asked++;
    if (id < FEW) return disclosureOf(text, seed);
    const waiting = Promise.withResolvers<Disclosure>();
    this.#waiting.set(id, waiting);
    if (this.#gathered.push({ id, text, seed }) === 1) setImmediate(() => this.#send());
    return waiting.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
  }

  /** What was asked in one turn goes in one message: each costs some twenty hashes. */
  #send(): void {
    const questions = this.#gathered;
    this.#gathered = [];
    this.#worker ??= this.#start();
    this.#worker.postMessage(questions);
  }

  #start(): Worker {
    const worker = new Worker(new URL(import.meta.url), { workerData: ROLE });
    worker.on('message', (answers: readonly Answer[]) => {
      for (const { id, root, leaves } of answers) {
        this.#waiting.get(id)?.resolve({ root, leaves });
        this.#waiting.delete(id);
      }
    });
    worker.on('error', (cause) => this.#fail(worker, cause));
    worker.on('exit', () => this.#fail(worker, undefined));
    return worker;
  }

  /** Nobody may wait for an answer that will never come. One that errs ends a little later: by then another may have begun. */
  #fail(worker: Worker, cause: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    for (const { reject } of this.#waiting.values())
      reject(
        new ServiceError('the thread that makes disclosure trees ended', { hint: 'Run it again.', cause }),
      );
    this.#waiting.clear();
  }
}

function disclosureOf(text: string, seed: Uint8Array): Disclosure {
  const { root, leaves } = disclosureTree(JSON.parse(text) as Json, seed);
  return { root: root.toString('hex'), leaves };
}

if (workerData === ROLE && parentPort !== null) {
  const port = parentPort;
  port.on('message', (questions: readonly Question[]) => {
    const answers: Answer[] = questions.map(({ id, text, seed }) => ({ id, ...disclosureOf(text, seed) }));
    port.postMessage(answers);
  });
}
