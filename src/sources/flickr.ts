// What is particular to Flickr: an account's public photos, as anybody sees them with a key, and everybody's comments, which come in one answer.

import type { FlickrSettings } from '../core/settings.ts';
import type { Identity } from '../core/vocabulary.ts';
import {
  type AccountDialect,
  type FoundAccount,
  type ListPage,
  type LookUpAsking,
  openAccountCollector,
  type Seen,
  unknown,
} from './account.ts';
import { UnreadableAnswerError } from './answer.ts';
import { CollectError } from './collect-error.ts';
import type { Collector, LastCaptured, LookUp, Rejected, Sighting } from './collector.ts';
import { type Api, type ApiAnswer, ask } from './flickr/api.ts';
import {
  ACCOUNT_ID,
  COMMENT_ID,
  EXTRAS,
  PHOTO_ID,
  PLATFORM,
  readComment,
  readPerson,
  readPhoto,
} from './flickr/photos.ts';
import { Http, type HttpDependencies } from './http.ts';
import type { JsonPart } from './slice.ts';

/** The most that Flickr gives at once. */
const PAGE_SIZE = 500;

/** @param settings the origin of `service`, and no other, may be private */
export function openFlickrCollector(settings: FlickrSettings, dependencies: HttpDependencies): Collector {
  const { service, key, account } = settings;
  const http = new Http([service], dependencies);
  const dialect = flickrDialect({ http, service, key }, account);
  return openAccountCollector(dialect, account, { http, clock: dependencies.clock });
}

function flickrDialect(api: Api, account: string): AccountDialect {
  async function findAccount(signal: AbortSignal): Promise<FoundAccount> {
    const id = ACCOUNT_ID.test(account) ? account : await idOf(api, account, signal);
    const answer = id === null ? null : await ask(api, 'flickr.people.getInfo', { user_id: id }, signal);
    if (answer === null || answer.refusal !== null) throw notFound(account);
    const part = answer.document.member('person');
    const found = part === null || part === undefined ? null : readPerson(part, answer.exchange);
    if (found === null || found.id !== id)
      throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no account ${account}`);
    return {
      id: found.id,
      name: found.name,
      counts: found.photos === null ? {} : { photos: found.photos },
      profile: { exchange: answer.exchange, sightings: [found.sighting], rejected: [] },
    };
  }

  return {
    platform: PLATFORM,
    name: 'Flickr',
    collectorVersion: 'flickr/1',
    comparisonRule: 'flickr-content/1',
    lists: ['photos'],
    showsWholeThreads: true,
    listEndsAfter: null,
    gaps: [
      'Flickr says the same of a photo that was deleted and of one that was made private: both are kept as access lost, and nothing is said to be deleted.',
      'Flickr gives this key public photos only, of videos their preview alone, and the largest picture that the owner lets anybody have.',
      'Flickr does not tell what was written before an edit, nor who deleted a comment: what came and went between two readings was never offered.',
    ],
    findAccount,
    async listPage({ account: { id }, cursor, signal }): Promise<ListPage> {
      const page = Number(cursor ?? 1);
      const asked = { user_id: id, per_page: String(PAGE_SIZE), page: String(page), extras: EXTRAS };
      const answer = await ask(api, 'flickr.people.getPublicPhotos', asked, signal);
      if (answer.refusal !== null) throw notFound(account);
      const { parts, page: given, pages } = photosOf(answer);
      return {
        ...readPhotos(parts, answer, id),
        next: given < pages ? String(given + 1) : null,
        url: answer.exchange.url,
      };
    },
    async *threadPages(_, photo, signal) {
      const answer = await ask(api, 'flickr.photos.comments.getList', { photo_id: photo }, signal);
      // Gone since it was listed: the look-up tells what became of it.
      const parts = answer.refusal === null ? commentsOf(answer) : [];
      const sightings: Sighting[] = [];
      const unreadable: Rejected[] = [];
      for (const part of parts) {
        const read = readComment(part, answer.exchange, photo);
        if ('rejected' in read) unreadable.push(read.rejected);
        else sightings.push(read.sighting);
      }
      yield { exchange: answer.exchange, sightings, rejected: unreadable };
    },
    lookUpBatch: 1,
    lookUp: ([identity], asking) =>
      Promise.all(identity === undefined ? [] : [lookUp(api, identity, asking)]),
  };
}

async function idOf(api: Api, alias: string, signal: AbortSignal): Promise<string | null> {
  const url = `https://www.flickr.com/photos/${alias}/`;
  const answer = await ask(api, 'flickr.urls.lookupUser', { url }, signal);
  if (answer.refusal !== null) return null;
  const id = answer.document.member('user')?.member('id')?.value;
  if (typeof id === 'string' && ACCOUNT_ID.test(id)) return id;
  throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no id of ${alias}`);
}

function notFound(account: string): CollectError {
  return new CollectError('account-not-found', `Flickr knows no account ${account}`, account, {
    hint: 'Check its name, as in flickr.com/photos/NAME, or its number, such as 12345678@N00.',
  });
}

/** @throws UnreadableAnswerError when the answer is no list of photos */
function photosOf(answer: ApiAnswer): { parts: readonly JsonPart[]; page: number; pages: number } {
  const photos = answer.document.member('photos');
  const { photo, ...told } = (photos?.value ?? {}) as { photo?: unknown; page?: unknown; pages?: unknown };
  const [page, pages] = [told.page, told.pages].map(Number) as [number, number];
  if (!Array.isArray(photo) || !Number.isSafeInteger(page) || !Number.isSafeInteger(pages))
    throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no list of photos`);
  return { parts: photos?.member('photo')?.elements() ?? [], page, pages };
}

/** Flickr leaves the list out where there is none. @throws UnreadableAnswerError when the answer is not about comments */
function commentsOf(answer: ApiAnswer): readonly JsonPart[] {
  const comments = answer.document.member('comments');
  const { comment } = (comments?.value ?? {}) as { comment?: unknown };
  if (comments === null || comments === undefined || (comment !== undefined && !Array.isArray(comment)))
    throw new UnreadableAnswerError(answer, `${answer.exchange.url} gives no list of comments`);
  return comments.member('comment')?.elements() ?? [];
}

function readPhotos(
  parts: readonly JsonPart[],
  { exchange }: ApiAnswer,
  owner: string,
): Seen & Pick<ListPage, 'listed' | 'ids'> {
  const sightings: Sighting[] = [];
  const unreadable: Rejected[] = [];
  const listed: ListPage['listed'][number][] = [];
  for (const part of parts) {
    const read = readPhoto(part, exchange);
    if ('rejected' in read) unreadable.push(read.rejected);
    else if (read.sighting.item.author.id !== owner)
      unreadable.push({ bytes: part.raw(), exchange, reason: 'somebody else’s photo among the account’s' });
    else {
      const { identity, item } = read.sighting;
      sightings.push(read.sighting);
      // Where none are counted there may be some.
      const replies = read.comments ?? 1;
      listed.push({
        id: identity.platformId,
        replies,
        createdAt: item.createdAt,
        thread: identity.platformId,
      });
    }
  }
  const ids = parts.map(({ value }) => String((value as { id?: unknown } | null)?.id));
  return { exchange, sightings, rejected: unreadable, listed, ids };
}

/**
 * A photo that is not found may be private as well. A comment is deleted where the list below its photo is given, and as long as Flickr counts it,
 * without the comment.
 */
async function lookUp(
  api: Api,
  identity: Identity,
  { account, signal, lastCaptured }: LookUpAsking,
): Promise<LookUp> {
  const { platformId: id } = identity;
  const untold = (what: string): LookUp =>
    unknown(identity, new CollectError('not-the-expected-format', what, id));
  if (identity.platform !== PLATFORM || account === null) return untold('it is nothing of this account');
  if (ACCOUNT_ID.test(id)) {
    const answer = await ask(api, 'flickr.people.getInfo', { user_id: id }, signal);
    if (answer.refusal !== null) return { identity, state: 'account-gone', ...evidence(answer) };
    return { identity, state: 'present', sighting: null };
  }
  const last = await lastCaptured(identity);
  const photo = COMMENT_ID.test(id) ? (last?.threadRoot ?? null) : id;
  if (photo === null || !PHOTO_ID.test(photo)) return untold('nothing tells below which photo it stood');
  const itself = await ask(api, 'flickr.photos.getInfo', { photo_id: photo }, signal);
  if (itself.refusal !== null) return { identity, state: 'access-lost', ...evidence(itself) };
  const info = itself.document.member('photo')?.value as
    | { id?: unknown; comments?: { _content?: unknown } }
    | undefined;
  if (info?.id !== photo) return untold('Flickr gives another photo than the one asked for');
  if (photo === id)
    return { identity, state: 'present', sighting: await listedAlone(api, account.id, id, last, signal) };
  const list = await ask(api, 'flickr.photos.comments.getList', { photo_id: photo }, signal);
  if (list.refusal !== null) return { identity, state: 'access-lost', ...evidence(list) };
  const parts = commentsOf(list);
  const part = parts.find(({ value }) => (value as { id?: unknown } | null)?.id === id);
  if (part !== undefined) {
    const read = readComment(part, list.exchange, photo);
    return 'sighting' in read
      ? { identity, state: 'present', sighting: read.sighting }
      : untold('Flickr shows it, and it cannot be read');
  }
  const counts = Number(info.comments?._content ?? Number.NaN);
  if (!(parts.length >= counts)) return untold('Flickr counts more comments below its photo than it shows');
  return { identity, state: 'deleted', ...evidence(list) };
}

/** A single photo has another shape than in a list, which is what versions are compared by: so it is looked for by the second of its upload. */
async function listedAlone(
  api: Api,
  owner: string,
  id: string,
  last: LastCaptured | null,
  signal: AbortSignal,
): Promise<Sighting | null> {
  if (last === null) return null;
  const { dateupload } = JSON.parse(Buffer.from(last.slice).toString('utf8')) as { dateupload?: unknown };
  const uploaded = String(dateupload);
  if (!/^\d{1,11}$/.test(uploaded)) return null;
  const asked = { user_id: owner, min_upload_date: uploaded, max_upload_date: uploaded, extras: EXTRAS };
  const answer = await ask(api, 'flickr.photos.search', asked, signal);
  if (answer.refusal !== null) return null;
  const { sightings } = readPhotos(photosOf(answer).parts, answer, owner);
  return sightings.find(({ identity }) => identity.platformId === id) ?? null;
}

function evidence({ exchange, body }: ApiAnswer): Pick<ApiAnswer, 'exchange' | 'body'> {
  return { exchange, body };
}
