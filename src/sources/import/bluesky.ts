// The repository of an account on Bluesky, as the app exports it and every server gives it: one CAR file. It is taken from the signed commit
// down, so that only what the account committed to becomes a record; each is the exact block, which its content id vouches for.

import { InputError } from '../../core/errors.ts';
import { faultOf } from '../answer.ts';
import { type Block, type Car, openCar } from '../bluesky/car.ts';
import { readDagCbor, UnreadableCborError } from '../bluesky/dag-cbor.ts';
import { isSigned } from '../bluesky/proof.ts';
import { type Commit, leavesOf, MalformedTreeError, readCommit } from '../bluesky/repository-tree.ts';
import {
  type BlobMedium,
  contentOf,
  IMPORT_RULE,
  identityOf,
  importComparison,
  momentOrNull,
  PLATFORM,
  POSTS,
  PROFILE_KEY,
  PROFILES,
  profileOf,
  repostOf,
} from '../bluesky/sighting.ts';
import { postRecord, profileRecord, repostRecord } from '../bluesky/views.ts';
import type { Item, MediaReference, Problem } from '../collector.ts';
import { damaged, isBomb } from './container.ts';
import type { ExportFile } from './export-file.ts';
import type { ExportKind, ImportedItem, Keys, OpenedExport, Piece, Read } from './export-kind.ts';

const REPOSTS = 'app.bsky.feed.repost';
const PROFILE = `${PROFILES}/${PROFILE_KEY}`;
/** A collection and a record's key (https://atproto.com/specs/record-key). */
const KEY = /^([a-zA-Z0-9.-]{1,317})\/([A-Za-z0-9._:~-]{1,512})$/;
const LEFT = 'neither posts nor reposts nor a profile, and make no record';
/** Content ids that one message names. */
const NAMED = 20;
const TYPE = 'application/vnd.ipld.dag-cbor';

export const BLUESKY_REPOSITORY: ExportKind = {
  name: 'bluesky',
  platform: PLATFORM,
  comparisonRule: IMPORT_RULE,
  collectorVersion: 'bluesky-import/1',
  async open(file, signal, keys) {
    await using stack = new AsyncDisposableStack();
    const car = stack.use(await openCar(file.path, file.name, signal));
    const root = car.roots[0] as string;
    const block = await car.block(root);
    const commit = block === null ? 'the file does not hold it' : readCommit(block.bytes);
    if (typeof commit === 'string')
      throw new InputError(`${file.name} begins with no commit of a repository: ${root}: ${commit}`, {
        hint: `${car.broken === null ? '' : 'It is cut short or damaged. '}Ask for the account's whole repository again.`,
      });
    const unchecked =
      keys === undefined
        ? `the key of ${commit.did} stands in its DID document, which the file does not hold`
        : await uncheckedAgainst(keys, (block as Block).bytes, commit, signal);
    return new Repository(file, car, commit, unchecked, stack.move());
  },
};

class Repository implements OpenedExport {
  readonly findings: readonly string[];
  readonly accounts: readonly string[];
  readonly withoutMedia: string;
  readonly resources: AsyncDisposable;
  readonly #file: ExportFile;
  readonly #car: Car;
  readonly #root: string;
  readonly #commit: Commit;
  readonly #unchecked: string | null;
  /** The account's name as its profile gives it, whose key comes before those of posts. */
  #name: string | null = null;
  readonly #missing = new Listed();
  readonly #media = new Listed();

  /** @param unchecked why the commit's signature was not checked, or how it is not what it should be; null: it is good */
  constructor(
    file: ExportFile,
    car: Car,
    commit: Commit,
    unchecked: string | null,
    resources: AsyncDisposable,
  ) {
    this.#unchecked = unchecked;
    this.#file = file;
    this.#car = car;
    this.#root = car.roots[0] as string;
    this.#commit = commit;
    this.resources = resources;
    this.accounts = [commit.did];
    this.findings = [
      `the account ${commit.did}`,
      `as of ${commit.rev ?? 'no revision that it tells'}`,
      ...(unchecked === null ? ['signed with the key that its DID document names now'] : []),
    ];
    this.withoutMedia = `No export of a repository holds media, and so neither does ${file.name}; a source of the platform bluesky fetches them.`;
  }

  async *pieces(signal: AbortSignal): ReturnType<OpenedExport['pieces']> {
    const { name } = this.#file;
    const car = this.#car;
    for (const { reason, ...place } of car.spoilt)
      yield this.#piece({ offset: place.offset, bytes: await car.bytesAt(place) }, { rejected: reason });
    if (car.broken !== null)
      yield problem(`${name} is damaged: ${car.broken}. Copy or download it again, and import it once more.`);
    let fault: MalformedTreeError | null = null;
    try {
      yield* this.#records(signal);
    } catch (error) {
      if (!(error instanceof MalformedTreeError)) throw error;
      fault = error;
    }
    yield* this.#told();
    if (fault !== null) throw damaged(name, name, fault.message, fault);
  }

  async *#records(signal: AbortSignal): AsyncGenerator<Piece> {
    const car = this.#car;
    let taken = 0;
    car.note(this.#root);
    for await (const leaf of leavesOf(car, this.#commit.data.$link, signal)) {
      if ('missing' in leaf) {
        this.#missing.add(leaf.missing);
        continue;
      }
      const { key, contentId } = leaf;
      const [, collection] = KEY.exec(key) ?? [];
      const isKept = collection === POSTS || collection === REPOSTS || key === PROFILE;
      if (collection !== undefined && !isKept) {
        if (car.note(contentId)) yield this.#piece(NOTHING, { left: LEFT });
        else this.#missing.add(contentId);
        continue;
      }
      const block = await car.block(contentId);
      if (block === null) {
        this.#missing.add(contentId);
        continue;
      }
      taken += block.bytes.length;
      // Many keys may lead to one block.
      if (isBomb(taken, this.#file.length))
        throw new MalformedTreeError('its records repeat far more than those of any account');
      const read =
        collection === undefined
          ? { rejected: 'a record under a key that the AT Protocol does not know' }
          : this.#read(collection, key, contentId, block.bytes);
      yield this.#piece(block, read);
    }
  }

  #piece({ offset, bytes }: Block, read: Read): Piece {
    return { path: this.#file.name, offset, bytes, type: TYPE, read };
  }

  /** What is left to say once all was read that can be. */
  *#told(): Generator<{ problem: Problem }> {
    const car = this.#car;
    const { name } = this.#file;
    const { did, rev } = this.#commit;
    if (this.#missing.count > 0)
      yield problem(
        `Of what its commit names, ${this.#missing.count === 1 ? 'one part is' : `${this.#missing.count} parts are`} not in ${name}, and what stands there is not imported: ${this.#missing}. Ask for the whole repository, not for what changed since a revision.`,
      );
    const idle = car.size - car.noted;
    if (idle > 0)
      yield standing(
        `${idle} of the ${car.size} blocks in ${name} are not reached from its commit ${this.#root}, and make no record; the file itself is kept whole.`,
      );
    if (this.#media.count > 0)
      yield standing(
        `Posts in ${name} name ${this.#media.count} media that it does not hold: ${this.#media}.`,
      );
    if (this.#unchecked !== null)
      yield standing(
        `The signature of the commit ${this.#root} (revision ${rev ?? 'untold'}) ${this.#unchecked === OTHERWISE ? 'is not' : 'was not checked:'} ${this.#unchecked}. All records are what this commit names; that the account ${did} made the commit, only the signature says.`,
      );
  }

  #read(collection: string, key: string, contentId: string, bytes: Buffer): Read {
    let record: unknown;
    try {
      record = readDagCbor(bytes);
    } catch (error) {
      if (!(error instanceof UnreadableCborError)) throw error;
      return { rejected: `not a record: ${error.message}` };
    }
    if ((record as { $type?: unknown } | null)?.$type !== collection)
      return { rejected: `a record of another kind under a key of ${collection}` };
    const uri = `at://${this.#commit.did}/${key}`;
    const read =
      collection === POSTS
        ? this.#post(uri, contentId, record)
        : collection === REPOSTS
          ? this.#repost(uri, record)
          : this.#profile(uri, contentId, record);
    if ('imported' in read) for (const { url } of read.imported.media) this.#media.add(url);
    return read;
  }

  #post(uri: string, contentId: string, record: unknown): Read {
    const read = postRecord.safeParse(record);
    if (!read.success) return { rejected: `not a post: ${faultOf(read.error)}` };
    const { item, media } = contentOf(uri, this.#author(), read.data);
    return { imported: imported(uri, item, { cid: contentId }, media) };
  }

  #repost(uri: string, record: unknown): Read {
    const read = repostRecord.safeParse(record);
    if (!read.success) return { rejected: `not a repost: ${faultOf(read.error)}` };
    const { subject, createdAt } = read.data;
    const item: Item = {
      ...repostOf(subject.uri, this.#author(), { title: null, description: null }),
      createdAt: momentOrNull(createdAt),
      createdAtFrom: 'user',
    };
    return { imported: imported(uri, item, { reposts: subject.uri }, []) };
  }

  #profile(uri: string, contentId: string, record: unknown): Read {
    const read = profileRecord.safeParse(record);
    if (!read.success) return { rejected: `not a profile: ${faultOf(read.error)}` };
    const { displayName, description, createdAt, avatar, banner, labels } = read.data;
    this.#name = displayName || null;
    const item: Item = {
      ...profileOf(this.#commit.did, this.#author(), { description, createdAt }),
      contentWarning: labels?.values.map((label) => label.val).join(', ') || null,
    };
    const media: BlobMedium[] = [
      ...(avatar === undefined ? [] : [{ role: 'avatar', alt: null, blob: avatar } as const]),
      ...(banner === undefined ? [] : [{ role: 'image', alt: null, blob: banner } as const]),
    ];
    return { imported: imported(uri, item, { cid: contentId }, media) };
  }

  /** A repository tells no handle: that stands in the DID document. */
  #author(): Item['author'] {
    return { id: this.#commit.did, handle: null, name: this.#name };
  }
}

function imported(
  uri: string,
  item: Item,
  shown: Parameters<typeof importComparison>[0],
  media: readonly BlobMedium[],
): ImportedItem {
  return {
    identity: identityOf(uri),
    item,
    comparison: importComparison(shown),
    media: media.map(({ role, alt, blob: { cid, mediaType } }): MediaReference => {
      return { role, url: cid, alt, mediaType, contentId: cid };
    }),
  };
}

/** The account may have had another key when it made the commit. */
const OTHERWISE =
  'by the key that its DID document names now: the account has changed its key since, or did not sign this';

/** @returns null when the account signed the commit, or why that is not known. A file is imported all the same, offline too */
async function uncheckedAgainst(
  keys: Keys,
  bytes: Buffer,
  commit: Commit,
  signal: AbortSignal,
): Promise<string | null> {
  const key = await keys(commit.did, signal);
  if (typeof key === 'string') return key;
  return isSigned(bytes, commit, key) ? null : OTHERWISE;
}

const NOTHING: Block = { offset: 0, bytes: Buffer.alloc(0) };

/** Content ids for a message: how many, and the first of them. */
class Listed {
  count = 0;
  readonly #first: string[] = [];

  add(contentId: string): void {
    this.count += 1;
    // What a record calls a content id may be anything.
    if (this.#first.length < NAMED)
      this.#first.push(/^[A-Za-z0-9]{1,100}$/.test(contentId) ? contentId : 'one without a content id');
  }

  toString(): string {
    const more = this.count - this.#first.length;
    return `${this.#first.join(', ')}${more > 0 ? `, and ${more} more` : ''}`;
  }
}

function problem(message: string): { problem: Problem } {
  return { problem: { code: 'not-the-expected-format', message, subject: null } };
}

function standing(message: string): { problem: Problem } {
  return { problem: { code: 'standing-gap', message, subject: null } };
}
