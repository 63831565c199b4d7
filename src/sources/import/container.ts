// What every kind of archive gives: members that are read as streams, and the rules that hold for all of them, since whatever is in a file that
// somebody gives is hostile. Names lead nowhere but to a member; one that unpacks to far more than it is, or may be any of two, is put aside.

import { InputError } from '../../core/errors.ts';
import { CollectError } from '../collect-error.ts';

/** A member that is not read, and why. */
export interface Aside {
  readonly path: string;
  readonly reason: string;
}

/** What kind of file holds the members. */
export interface Container extends AsyncDisposable {
  /** Lengths in bytes, by path. */
  readonly members: ReadonlyMap<string, number>;
  readonly aside: readonly Aside[];
  /** @throws CollectError, while it is read, when the member is damaged */
  read(path: string, signal: AbortSignal): AsyncIterable<Buffer>;
  /**
   * Copies a member into a new file.
   * @param directory of the run, which is emptied with it
   * @throws CollectError when the member is damaged
   */
  copy(path: string, file: string, directory: string, signal: AbortSignal): Promise<void>;
}

/** An archive's member may unpack to this many times its length; what is shorter than the floor may be as repetitive as it likes. */
const MOST_TIMES = 200;
const FLOOR = 64 * 2 ** 20;
/** Members of an archive that are kept track of. */
const MOST_MEMBERS = 1_000_000;
/** Members that are put aside; more of them is no export of any platform. */
const MOST_ASIDE = 1000;

/** @returns whether bytes unpack to more than an export's ever do */
export function isBomb(unpacked: number, packed: number): boolean {
  return unpacked > FLOOR && unpacked > packed * MOST_TIMES;
}

/** @returns why no member may have this name, or null */
export function nameFault(path: string): string | null {
  if (path === '') return 'it has no name';
  if (Buffer.byteLength(path) > 1024) return 'its name is longer than 1,024 bytes';
  if (path.includes('\u0000')) return 'its name holds U+0000';
  if (/^([/\\]|[A-Za-z]:)/.test(path)) return 'its name is an absolute path';
  if (path.split(/[/\\]/).includes('..')) return 'its name leads out of the archive';
  return null;
}

/** The members found so far. One name that stands twice names neither: which of them is meant nobody can tell. */
export class Members {
  readonly found = new Map<string, number>();
  readonly aside: Aside[] = [];
  readonly #of: string;
  readonly #twice = new Set<string>();

  /** @param of the archive, as messages name it */
  constructor(of: string) {
    this.#of = of;
  }

  /** @returns whether the member is to be kept track of. @throws InputError for an archive of more members than any export has */
  add(path: string, length: number): boolean {
    if (this.found.has(path)) {
      this.found.delete(path);
      this.#twice.add(path);
      this.putAside(path, 'it stands in the archive twice, and may be either');
      return false;
    }
    if (this.#twice.has(path)) return false;
    if (this.found.size === MOST_MEMBERS)
      throw new InputError(`${this.#of} holds more than ${MOST_MEMBERS} files`, {
        hint: 'Ask the platform for the export again; no platform packs so many into one file.',
      });
    this.found.set(path, length);
    return true;
  }

  putAside(path: string, reason: string): void {
    if (this.aside.length === MOST_ASIDE)
      throw new InputError(
        `${this.#of} holds more than ${MOST_ASIDE} files that may not be read: ${reason}`,
        {
          hint: 'It is no export as a platform makes it: ask for it again.',
        },
      );
    this.aside.push({ path: path.slice(0, 1024).toWellFormed(), reason });
  }
}

/** A member whose bytes are not what the archive says. */
export function damaged(of: string, path: string, why: string, cause?: unknown): CollectError {
  const what = path === of ? of : `${path} in ${of}`;
  return new CollectError('not-the-expected-format', `${what} is damaged: ${why}`, path, {
    hint: 'Copy or download the file again, and import it once more: what came of it is kept, and nothing is doubled.',
    ...(cause === undefined ? {} : { cause }),
  });
}
