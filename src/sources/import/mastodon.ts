// Mastodon's export of an account: `outbox.json`, an ActivityPub collection of what the account wrote and boosted, `actor.json`, and the media
// beside them (https://docs.joinmastodon.org/user/moving/#export). Posts have in it the very names that every server gives them.

import { z } from 'zod';
import { InputError } from '../../core/errors.ts';
import { faultOf } from '../answer.ts';
import type { Item, MediaReference } from '../collector.ts';
import { momentOf } from '../feed/item.ts';
import { plainText } from '../feed/plain-text.ts';
import { linksOf } from '../mastodon/html.ts';
import {
  IMPORT_RULE,
  identityOf,
  importComparison,
  PLATFORM,
  plainLink,
  textWithChoices,
} from '../mastodon/sighting.ts';
import { itemWith } from '../sighting.ts';
import type { JsonPart } from '../slice.ts';
import type { ExportFile } from './export-file.ts';
import {
  type ExportKind,
  type ImportedItem,
  memberNamed,
  type OpenedExport,
  piecesOf,
  type Read,
  smallMember,
} from './export-kind.ts';

const OUTBOX = 'outbox.json';
const PUBLIC = new Set(['https://www.w3.org/ns/activitystreams#Public', 'as:Public', 'Public']);
const LEFT_CLOSED = 'not for everybody, and make no record';
const LEFT_OTHER = 'neither a post nor a boost';

const text = z.string().nullish().catch(undefined);
const address = z.url({ protocol: /^https?$/ }).max(2048);
const addressed = z
  .union([z.string().transform((one) => [one]), z.array(z.string())])
  .optional()
  .catch(undefined);

const choice = z.looseObject({ name: z.string() });
const noteView = z.looseObject({
  id: address,
  type: z.string(),
  url: text,
  summary: text,
  content: z.string().nullish(),
  contentMap: z.record(z.string(), z.string()).nullish().catch(undefined),
  inReplyTo: text,
  quote: text,
  attributedTo: text,
  published: text,
  updated: text,
  sensitive: z.boolean().nullish().catch(undefined),
  attachment: z.array(z.looseObject({ type: text, mediaType: text, url: z.string(), name: text })).nullish(),
  tag: z
    .array(z.looseObject({ type: text, name: text }))
    .nullish()
    .catch(undefined),
  oneOf: z.array(choice).nullish().catch(undefined),
  anyOf: z.array(choice).nullish().catch(undefined),
});
type NoteView = z.infer<typeof noteView>;

const activityView = z.looseObject({
  id: address,
  type: z.string(),
  actor: z.string(),
  published: text,
  to: addressed,
  cc: addressed,
  object: z.union([z.string(), z.looseObject({})]),
});
type ActivityView = z.infer<typeof activityView>;

const actorView = z.looseObject({ id: z.string(), preferredUsername: z.string(), name: text });
type Actor = z.infer<typeof actorView>;

export const MASTODON_EXPORT: ExportKind = {
  name: 'mastodon',
  platform: PLATFORM,
  comparisonRule: IMPORT_RULE,
  collectorVersion: 'mastodon-import/1',
  async open(file, signal) {
    const outbox = memberNamed(file, OUTBOX);
    if (outbox === null)
      throw new InputError(`${file.name} holds no ${OUTBOX}, so it is no export of a Mastodon account`, {
        hint: 'Give the .zip or .tar.gz that the server made under Preferences › Import and export › Request your archive.',
      });
    const root = outbox.slice(0, -OUTBOX.length);
    const profile = `${root}actor.json`;
    const actor = file.members.has(profile)
      ? (actorView.safeParse(await smallMember(file, profile, signal)).data ?? null)
      : null;
    return new MastodonExport(file, outbox, actor);
  },
};

class MastodonExport implements OpenedExport {
  readonly findings: readonly string[];
  readonly accounts: readonly string[];
  readonly #file: ExportFile;
  readonly #outbox: string;
  readonly #actor: Actor | null;
  /** Paths of media by what stands in the addresses of attachments, wherever in the archive they lie. */
  readonly #media = new Map<string, string>();

  constructor(file: ExportFile, outbox: string, actor: Actor | null) {
    this.#file = file;
    this.#outbox = outbox;
    this.#actor = actor;
    const handle = actor === null ? null : handleOf(actor);
    this.findings = [actor === null ? 'it does not say whose it is' : `the account ${handle ?? actor.id}`];
    this.accounts = actor === null ? [] : [actor.id, ...(handle === null ? [] : [handle])];
    for (const path of file.members.keys()) {
      const at = path.indexOf('media_attachments/');
      if (at >= 0) this.#media.set(path.slice(at), path);
    }
  }

  async *pieces(signal: AbortSignal): ReturnType<OpenedExport['pieces']> {
    let total: number | null = null;
    let count = 0;
    const options = {
      list: 'orderedItems',
      onMember: (name: string, value: string): void => {
        if (name === 'totalItems' && /^\d{1,12}$/.test(value)) total = Number(value);
      },
    };
    for await (const piece of piecesOf(
      this.#file,
      this.#outbox,
      options,
      (part) => this.#read(part),
      signal,
    )) {
      count += 1;
      yield piece;
    }
    if (total !== null && total !== count)
      yield {
        problem: {
          code: 'not-the-expected-format',
          message: `${this.#outbox} says that it holds ${total} items, and holds ${count}. Ask the server for a new export.`,
          subject: this.#outbox,
        },
      };
  }

  #read(part: JsonPart): Read {
    const read = activityView.safeParse(part.value);
    if (!read.success) return { rejected: `not an activity: ${faultOf(read.error)}` };
    const activity = read.data;
    // A file may claim anything; that its account wrote what is another's, or on another server, it does not claim in good faith.
    if (!this.#isOwn(activity)) return { rejected: 'not of the account whose export it is' };
    if (activity.type === 'Announce') return this.#readBoost(activity);
    if (activity.type !== 'Create' || typeof activity.object === 'string') return { left: LEFT_OTHER };
    if (!isOpen(activity)) return { left: LEFT_CLOSED };
    const note = noteView.safeParse(activity.object);
    if (!note.success) return { rejected: `not a post: ${faultOf(note.error)}` };
    if (!this.#isOwn({ id: note.data.id, actor: note.data.attributedTo ?? activity.actor }))
      return { rejected: 'a post of another account than the one whose export it is' };
    return { imported: this.#post(note.data) };
  }

  #readBoost(activity: ActivityView): Read {
    if (!isOpen(activity)) return { left: LEFT_CLOSED };
    // Of the account's own posts the server gives the post itself.
    const boosted = typeof activity.object === 'string' ? activity.object : activity.object.id;
    if (typeof boosted !== 'string' || !URL.canParse(boosted))
      return { rejected: 'a boost that does not say of what' };
    const createdAt = momentOf(activity.published ?? undefined);
    const item = itemWith({
      text: '',

      kind: 'repost',
      url: boosted,
      author: this.#author(),
      createdAt,
      createdAtFrom: createdAt === null ? 'unknown' : 'user',
      links: [plainLink(boosted)],
      reposts: boosted,
    });
    return {
      imported: {
        identity: identityOf(activity.id),
        item,
        comparison: importComparison({ reposts: boosted }),
        media: [],
      },
    };
  }

  #isOwn({ id, actor }: { readonly id: string; readonly actor: string }): boolean {
    const own = this.#actor?.id;
    if (own === undefined || !URL.canParse(own)) return true;
    return actor === own && new URL(id).host === new URL(own).host;
  }

  #author(): Item['author'] {
    const actor = this.#actor;
    return actor === null
      ? { id: null, handle: null, name: null }
      : { id: actor.id, handle: handleOf(actor), name: actor.name || null };
  }

  #post(note: NoteView): ImportedItem {
    const content = note.content ?? '';
    const choices = (note.oneOf ?? note.anyOf ?? []).map(({ name }) => name);
    const written = textWithChoices(plainText(content), choices);
    const warning = note.summary || null;
    const createdAt = momentOf(note.published ?? undefined);
    const item = itemWith({
      kind: note.inReplyTo ? 'reply' : 'post',
      url: note.url ?? null,
      author: this.#author(),
      createdAt,
      createdAtFrom: createdAt === null ? 'unknown' : 'user',
      text: written,
      contentWarning: warning,
      languages: Object.keys(note.contentMap ?? {}).slice(0, 1),
      tags: [
        ...new Set(
          (note.tag ?? []).flatMap(({ type, name }) =>
            type === 'Hashtag' && name ? [name.replace(/^#/, '').toLowerCase()] : [],
          ),
        ),
      ],
      links: linksOf(content).map(plainLink),
      inReplyTo: note.inReplyTo ?? null,
      quotes: note.quote ?? null,
    });
    return {
      identity: identityOf(note.id),
      item,
      comparison: importComparison({ text: written, warning, editedAt: note.updated }),
      media: (note.attachment ?? []).map((one) => this.#medium(one)),
    };
  }

  #medium({ url, mediaType, name }: NonNullable<NoteView['attachment']>[number]): MediaReference {
    const at = url.indexOf('media_attachments/');
    const path = at < 0 ? undefined : this.#media.get(url.slice(at));
    const [kind] = (mediaType ?? '').split('/');
    return {
      role: kind === 'image' || kind === 'video' || kind === 'audio' ? kind : 'document',
      url: path ?? url,
      alt: name || null,
      mediaType: mediaType || null,
      contentId: null,
    };
  }
}

function handleOf({ id, preferredUsername }: Actor): string | null {
  return URL.canParse(id) ? `${preferredUsername}@${new URL(id).host}` : null;
}

/** Only what is for everybody: the archive has no compartment for the rest. */
function isOpen({ to, cc }: ActivityView): boolean {
  return [...(to ?? []), ...(cc ?? [])].some((one) => PUBLIC.has(one));
}
