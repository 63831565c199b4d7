// A small HTTP server that answers as an AppView, a directory and a repository do, from accounts and posts kept in memory: the platform's
// part in tests, for machines without a real AT Protocol server.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { carBlock, contentId, contentIdText, proofOf, RAW, repositoryOf, type signingKey } from './car.ts';

export interface FakePost {
  readonly did: string;
  readonly handle: string;
  readonly rkey: string;
  text: string;
  readonly createdAt: string;
  readonly parent?: FakePost;
  /** What the reply's own record says of parent and root: fixed when it was written, whatever is edited later. */
  readonly reply?: object;
  readonly image?: Buffer;
  /** Shown to whoever asks for it, and left out of the account's feed, whose pages are as long as if it stood there. */
  unlisted?: boolean;
  /** What else its record says; the text `BEYOND` is sent as a number beyond all bounds. */
  readonly record?: object;
  likes: number;
}

const blobId = (image: Buffer): string => contentIdText(contentId(image, RAW));

export class FakePlatform implements AsyncDisposable {
  readonly posts: FakePost[] = [];
  readonly #server: Server | null;
  origin = '';
  account = { did: 'did:plc:cityofexample2222222222', handle: 'city.example' };
  requests = 0;
  /** Elements on a page of the feed. */
  pageSize = 2;
  /** Milliseconds before each answer: a platform that takes its time. */
  delay = 0;
  /** What the account's profile says; null: it has none. Pictures stand beside it, as the service shows their content ids. */
  profile: { displayName?: string; description?: string; avatar?: Buffer; labels?: object[] } | null = null;
  followers = 0;
  /** What the account signs its repository with; null: it proves nothing. */
  key: ReturnType<typeof signingKey> | null = null;
  /** Proofs that it was asked for. */
  proofs = 0;
  /** Posts that it counts and does not list. */
  unlisted = 0;
  /** Whether it refuses every question. */
  refusing = false;
  /** Levels of replies that one answer shows; below them only their number stands. */
  threadDepth = Number.POSITIVE_INFINITY;

  private constructor(server: Server | null) {
    this.#server = server;
  }

  /** A platform without a server of its own: whoever serves that origin asks {@link answer}. */
  static at(origin: string): FakePlatform {
    const platform = new FakePlatform(null);
    platform.origin = origin;
    return platform;
  }

  static async start(): Promise<FakePlatform> {
    const server = createServer();
    const platform = new FakePlatform(server);
    server.on('request', (request, response) => {
      platform.requests += 1;
      setTimeout(() => {
        const { status, body, type } = platform.answer(new URL(request.url as string, 'http://localhost'));
        response.writeHead(status, { 'content-type': type }).end(body);
      }, platform.delay);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    platform.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return platform;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    server?.closeAllConnections();
    if (server !== null) await new Promise((resolve) => server.close(resolve));
  }

  post(rkey: string, text: string, rest: Partial<FakePost> = {}): FakePost {
    let root = rest.parent;
    while (root?.parent !== undefined) root = root.parent;
    const reference = (p: FakePost) => ({ uri: this.uri(p), cid: this.#cid(p) });
    const post: FakePost = {
      ...this.account,
      rkey,
      text,
      createdAt: '2026-11-01T12:00:00.000Z',
      likes: 0,
      ...(rest.parent === undefined
        ? {}
        : { reply: { parent: reference(rest.parent), root: reference(root ?? rest.parent) } }),
      ...rest,
    };
    this.posts.push(post);
    return post;
  }

  remove(post: FakePost): void {
    this.posts.splice(this.posts.indexOf(post), 1);
  }

  uri(post: FakePost): string {
    return `at://${post.did}/app.bsky.feed.post/${post.rkey}`;
  }

  /** A post's record, as its author's repository holds it. */
  recordOf(post: FakePost): object {
    return {
      $type: 'app.bsky.feed.post',
      text: post.text,
      createdAt: post.createdAt,
      langs: ['en'],
      ...post.record,
      ...(post.reply === undefined ? {} : { reply: post.reply }),
      ...(post.image === undefined
        ? {}
        : {
            embed: {
              $type: 'app.bsky.embed.images',
              images: [
                {
                  alt: 'a closed road',
                  image: {
                    $type: 'blob',
                    ref: { $link: blobId(post.image) },
                    mimeType: 'image/png',
                    size: post.image.length,
                  },
                },
              ],
            },
          }),
    };
  }

  /** The profile's record, as the account's repository holds it. */
  profileRecord(): object {
    const { avatar, labels: _, ...said } = this.profile ?? {};
    const blob = avatar && {
      $type: 'blob',
      ref: { $link: blobId(avatar) },
      mimeType: 'image/png',
      size: avatar.length,
    };
    return { $type: 'app.bsky.actor.profile', ...said, ...(blob === undefined ? {} : { avatar: blob }) };
  }

  #cid(post: FakePost): string {
    return contentIdText(carBlock(this.recordOf(post)).id);
  }

  #view(post: FakePost): object {
    return {
      uri: this.uri(post),
      cid: this.#cid(post),
      author: { did: post.did, handle: post.handle, displayName: post.handle },
      record: this.recordOf(post),
      replyCount: this.#replies(post).length,
      repostCount: 0,
      likeCount: post.likes,
      quoteCount: 0,
      indexedAt: post.createdAt,
    };
  }

  #replies(post: FakePost): FakePost[] {
    return this.posts.filter((p) => p.parent === post);
  }

  #thread(post: FakePost, depth: number): object {
    return {
      $type: 'app.bsky.feed.defs#threadViewPost',
      post: this.#view(post),
      ...(depth === 0 ? {} : { replies: this.#replies(post).map((p) => this.#thread(p, depth - 1)) }),
    };
  }

  answer(url: URL): { status: number; body: string | Buffer; type: string } {
    const json = (value: object, status = 200) => ({
      status,
      body: JSON.stringify(value).replaceAll('"BEYOND"', '1e999'),
      type: 'application/json',
    });
    const method = url.pathname.replace('/xrpc/', '');
    if (this.refusing) return json({ error: 'Forbidden', message: 'not today' }, 403);
    const { did, handle } = this.account;
    if (url.pathname.startsWith('/did:')) {
      return json({
        id: url.pathname.slice(1),
        service: [{ id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: this.origin }],
        ...(this.key === null
          ? {}
          : {
              verificationMethod: [
                { id: `${did}#atproto`, type: 'Multikey', publicKeyMultibase: this.key.publicKeyMultibase },
              ],
            }),
      });
    }
    if (method === 'com.atproto.identity.resolveHandle') return json({ did });
    if (method === 'app.bsky.actor.getProfile') {
      const { avatar, ...shown } = this.profile ?? {};
      return json({
        did,
        handle,
        ...shown,
        ...(avatar === undefined
          ? {}
          : { avatar: `https://pictures.example/img/avatar/plain/${did}/${blobId(avatar)}@jpeg` }),
        followersCount: this.followers,
        postsCount: this.posts.filter((p) => p.did === did).length + this.unlisted,
      });
    }
    if (method === 'app.bsky.feed.getAuthorFeed') {
      const own = this.posts.filter((p) => p.did === did);
      const from = Number(url.searchParams.get('cursor') ?? 0);
      const page = own.slice(from, from + this.pageSize);
      return json({
        feed: page.filter((p) => p.unlisted !== true).map((p) => ({ post: this.#view(p) })),
        ...(from + this.pageSize < own.length ? { cursor: String(from + this.pageSize) } : {}),
      });
    }
    const found = this.posts.find((p) => this.uri(p) === url.searchParams.get('uri'));
    if (method === 'app.bsky.feed.getPostThread') {
      return found === undefined
        ? json({ error: 'NotFound', message: 'Post not found' }, 400)
        : json({ thread: this.#thread(found, this.threadDepth) });
    }
    if (method === 'app.bsky.feed.getPosts') {
      const wanted = url.searchParams.getAll('uris');
      return json({
        posts: this.posts.filter((p) => wanted.includes(this.uri(p))).map((p) => this.#view(p)),
      });
    }
    if (method === 'com.atproto.sync.getRecord') {
      this.proofs += 1;
      if (this.key === null) return json({ error: 'MethodNotImplemented', message: 'not here' }, 501);
      const own = this.posts.filter((post) => post.did === did);
      const records = Object.fromEntries(
        own.map((post) => [`app.bsky.feed.post/${post.rkey}`, this.recordOf(post)]),
      );
      const made = repositoryOf(did, records, this.key.sign);
      const key = `${url.searchParams.get('collection')}/${url.searchParams.get('rkey')}`;
      return { status: 200, body: proofOf(made, key), type: 'application/vnd.ipld.car' };
    }
    if (url.searchParams.get('collection') === 'app.bsky.actor.profile' && this.profile !== null) {
      const value = this.profileRecord();
      const uri = `at://${did}/app.bsky.actor.profile/self`;
      return json({ uri, cid: contentIdText(carBlock(value).id), value });
    }
    if (method === 'com.atproto.repo.getRecord') {
      const post = this.posts.find(
        (p) => p.did === url.searchParams.get('repo') && p.rkey === url.searchParams.get('rkey'),
      );
      return post === undefined
        ? json({ error: 'RecordNotFound', message: 'Could not locate record' }, 400)
        : json({ uri: this.uri(post), cid: this.#cid(post), value: this.recordOf(post) });
    }
    if (method === 'com.atproto.sync.getRepoStatus') return json({ did, active: true });
    if (method === 'com.atproto.sync.getBlob') {
      const images = [...this.posts.map((p) => p.image), this.profile?.avatar];
      const image = images.find((one) => one !== undefined && blobId(one) === url.searchParams.get('cid'));
      if (image !== undefined) return { status: 200, body: image, type: 'image/png' };
    }
    return json({ error: 'NotFound', message: `no answer for ${url.pathname}` }, 404);
  }
}
