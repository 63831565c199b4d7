// A small Flickr that answers as its API does, from photos and comments kept in memory. Shapes after the published reference.

import { type Answered, jsonAnswer } from './replay.ts';

export interface FakePhoto {
  readonly number: number;
  text: string;
  /** Undefined for a photo; comments stand below photos alone. */
  readonly parent?: FakePhoto;
  deleted?: boolean;
  /** For its owner alone. */
  private?: boolean;
  /** Left out of its list, whose pages are as long as if it stood there. */
  unlisted?: boolean;
  /** What else there is to say of it, by Flickr's names of fields. */
  more: Record<string, unknown>;
}

const failure = (code: number, message: string): Answered => jsonAnswer({ stat: 'fail', code, message });

export const flickrRefusal = (status: number): Answered =>
  jsonAnswer({ stat: 'fail', code: 105, message: 'No.' }, status);

export class FakeFlickr {
  readonly number: number;
  readonly photos: FakePhoto[] = [];
  readonly requests: URL[] = [];
  /** The most that a page has, however much is asked for. */
  pageSize = 500;
  key = 'stage-token';
  /** Comments that are counted and not shown, below every photo. */
  withheld = 0;
  isGone = false;

  constructor(number: number) {
    this.number = number;
  }

  get id(): string {
    return `${this.number}@N05`;
  }

  add(text: string, parent?: FakePhoto, more: Record<string, unknown> = {}): FakePhoto {
    const number = this.number * 10_000 + this.photos.length + 1;
    const photo: FakePhoto = { number, text, more, ...(parent === undefined ? {} : { parent }) };
    this.photos.push(photo);
    return photo;
  }

  idOf(photo: FakePhoto): string {
    if (photo.parent === undefined) return String(photo.number);
    return `${this.number}-${photo.parent.number}-${photo.number}`;
  }

  answer(url: URL): Answered {
    this.requests.push(url);
    const asked = url.searchParams;
    if (asked.get('api_key') !== this.key) return failure(100, 'Invalid API Key (Key has invalid format)');
    const photo = this.photos.find((one) => String(one.number) === asked.get('photo_id') && isShown(one));
    switch (asked.get('method')) {
      case 'flickr.urls.lookupUser':
        return asked.get('url') === 'https://www.flickr.com/photos/city/' && !this.isGone
          ? jsonAnswer({ user: { id: this.id, username: { _content: 'city' } }, stat: 'ok' })
          : failure(1, 'User not found');
      case 'flickr.people.getInfo':
        return asked.get('user_id') === this.id && !this.isGone
          ? jsonAnswer({ person: this.#person(), stat: 'ok' })
          : failure(1, 'User not found');
      case 'flickr.people.getPublicPhotos':
        return this.#list(Number(asked.get('page')), Number(asked.get('per_page')));
      case 'flickr.photos.search': {
        const photo = this.photos
          .filter((one) => one.parent === undefined && isShown(one))
          .map((one) => this.view(one))
          .filter(({ dateupload }) => dateupload === asked.get('min_upload_date'));
        return jsonAnswer({
          photos: { page: 1, pages: 1, perpage: 250, total: photo.length, photo },
          stat: 'ok',
        });
      }
      case 'flickr.photos.getInfo':
        if (photo === undefined) return failure(1, 'Photo not found');
        return jsonAnswer({
          photo: {
            id: String(photo.number),
            comments: { _content: String(this.#below(photo).length + this.withheld) },
          },
          stat: 'ok',
        });
      case 'flickr.photos.comments.getList': {
        if (photo === undefined) return failure(1, 'Photo not found');
        const comment = this.#below(photo).map((one) => this.view(one));
        return jsonAnswer({
          comments: { photo_id: String(photo.number), ...(comment.length === 0 ? {} : { comment }) },
          stat: 'ok',
        });
      }
      default:
        return failure(112, 'Method not found');
    }
  }

  #person(): object {
    const photos = this.photos.filter((one) => one.parent === undefined && isShown(one)).length;
    return {
      id: this.id,
      nsid: this.id,
      path_alias: 'city',
      username: { _content: 'city' },
      realname: { _content: 'City of Example' },
      description: { _content: 'Official.' },
      photosurl: { _content: 'https://www.flickr.com/photos/city/' },
      photos: { firstdate: { _content: '1790000000' }, count: { _content: photos } },
    };
  }

  #below(photo: FakePhoto): FakePhoto[] {
    return this.photos.filter((one) => one.parent === photo && one.deleted !== true);
  }

  #list(page: number, wanted: number): Answered {
    const perpage = Math.min(wanted, this.pageSize);
    const all = this.photos.filter((one) => one.parent === undefined && isShown(one)).toReversed();
    const photo = all
      .slice((page - 1) * perpage, page * perpage)
      .filter(({ unlisted }) => unlisted !== true)
      .map((one) => this.view(one));
    const pages = Math.ceil(all.length / perpage);
    return jsonAnswer({ photos: { page, pages, perpage, total: all.length, photo }, stat: 'ok' });
  }

  view(photo: FakePhoto): Record<string, unknown> {
    const id = this.idOf(photo);
    const time = String(1_790_000_000 + (photo.number % 10_000));
    if (photo.parent === undefined)
      return {
        id,
        owner: this.id,
        secret: 'abc',
        title: 'A photo',
        ispublic: 1,
        description: { _content: photo.text },
        dateupload: time,
        ownername: 'City of Example',
        pathalias: 'city',
        tags: '',
        media: 'photo',
        count_comments: String(this.#below(photo).length + this.withheld),
        views: '3',
        ...photo.more,
      };
    return {
      id,
      author: '99@N01',
      authorname: 'ann',
      author_is_deleted: 0,
      datecreate: time,
      permalink: `https://www.flickr.com/photos/city/${photo.parent.number}/#comment${photo.number}`,
      _content: photo.text,
      ...photo.more,
    };
  }
}

/** What a deleted photo had below it goes with it. */
function isShown(photo: FakePhoto): boolean {
  return (
    photo.deleted !== true && photo.private !== true && (photo.parent === undefined || isShown(photo.parent))
  );
}
