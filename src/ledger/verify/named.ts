// Accounts and sources: their rows, held against the entry that last changed each, and who acted, held against the accounts that were added.
// What is kept of them grows with their number, which is that of an agency's people and its channels: small beside everything else.

import { parsedJson } from '../../core/canonical.ts';
import type { Problem } from '../chain.ts';
import type { Entry } from '../entry.ts';
import type { ArchiveReader, RowWithSeq } from './contract.ts';
import type { Findings } from './findings.ts';
import { cellText } from './rows.ts';

/** Columns that repeat the body. Of an account's `token_hash` no entry says anything (FORMAT.md, section 8). */
const REPEATED = { accounts: ['id', 'name', 'roles'], sources: ['id', 'name', 'platform'] } as const;
type NamedTable = keyof typeof REPEATED;

/** What the entries of one account or source say. */
interface Standing {
  /** The newest with its body. */
  told: { readonly seq: number; readonly body: Buffer } | null;
  /** Those after it, whose bodies are missing or altered. */
  lost: number[];
}

type Bodiless = (seq: number, problem: Problem) => void;

export class NamedCheck {
  readonly #findings: Findings;
  readonly #standing: Record<NamedTable, Map<string, Standing>> = {
    accounts: new Map(),
    sources: new Map(),
  };
  readonly #added = new Set<string>();
  /** Who entered what stands before the first account: that account itself. */
  #founder: { readonly actor: string; readonly seq: number } | null = null;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Entries in order: whether some entry added the account that acts. */
  checkActor(entry: Entry): void {
    const { actor, seq } = entry;
    if (entry.type === 'account.changed' && entry.change === 'added') {
      if (this.#added.size === 0 && this.#founder !== null && this.#founder.actor !== entry.account)
        this.#unknown(this.#founder);
      this.#added.add(entry.account);
    }
    if (this.#added.has(actor)) return;
    if (this.#added.size === 0 && (this.#founder === null || this.#founder.actor === actor))
      this.#founder ??= { actor, seq };
    else this.#unknown({ actor, seq });
  }

  /** Entries in order. @param body null where it is missing, or is not the one that the entry commits to */
  take(entry: Entry, body: Buffer | null): void {
    if (entry.type !== 'account.changed' && entry.type !== 'source.changed') return;
    const [table, id] =
      entry.type === 'account.changed'
        ? (['accounts', entry.account] as const)
        : (['sources', entry.source] as const);
    const standing = this.#standing[table].get(id) ?? { told: null, lost: [] };
    if (body === null) standing.lost.push(entry.seq);
    else {
      standing.told = { seq: entry.seq, body };
      standing.lost = [];
    }
    this.#standing[table].set(id, standing);
  }

  /** Once all entries are known. @param bodiless takes a problem of an entry that is none if a restore accounts for that entry's missing body */
  async compare(reader: ArchiveReader, bodiless: Bodiless): Promise<void> {
    if (this.#added.size === 0 && this.#founder !== null) this.#unknown(this.#founder);
    for (const table of ['accounts', 'sources'] as const) {
      const rows = await reader.rows(table, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
      for (const [id, standing] of this.#standing[table]) {
        const at = rows.findIndex((row) => row.id === id);
        this.#compareOne(table, id, standing, at < 0 ? undefined : rows.splice(at, 1)[0], bodiless);
      }
      for (const row of rows)
        this.#findings.problem(
          'row-unexpected',
          null,
          null,
          `${table} holds a row that no entry stands for (${row.id})`,
        );
    }
  }

  #compareOne(
    table: NamedTable,
    id: string,
    { told, lost }: Standing,
    row: RowWithSeq | undefined,
    bodiless: Bodiless,
  ): void {
    const newest = lost.at(-1) ?? told?.seq ?? 0;
    const problem = (kind: string, detail: string) => ({ kind, seq: newest, record: null, detail });
    if (row === undefined) {
      const missing = problem('row-missing', `${table} lacks the row ${id} that entry ${newest} stands for`);
      // Of what only a lost body said no row can be made.
      if (told === null) bodiless(newest, missing);
      else this.#findings.report(missing);
      return;
    }
    if (lost.includes(row.seq)) return;
    if (row.seq !== told?.seq) {
      const detail = `${table}.seq of ${id} is ${row.seq}, and entry ${newest} was the last to change it`;
      this.#findings.report(problem('row-differs', detail));
      return;
    }
    if (newest !== told.seq)
      bodiless(
        newest,
        problem('row-differs', `${table} holds ${id} as it was before entry ${newest} changed it`),
      );
    // Of a body that is no object, every column differs.
    const said = Object(parsedJson(told.body)) as Record<string, unknown>;
    for (const column of REPEATED[table])
      if (cellText(row[column]) !== cellText(said[column]))
        this.#findings.problem(
          'row-differs',
          told.seq,
          null,
          `${table}.${column} is not what entry ${told.seq} says`,
        );
  }

  #unknown({ actor, seq }: { actor: string; seq: number }): void {
    this.#findings.problem(
      'actor-unknown',
      seq,
      null,
      `entry ${seq} was written as ${actor}, an account that no entry before it added`,
    );
  }
}
