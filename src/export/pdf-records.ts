// Hands the records of a bundle to the PDF, in its words. They are read from records.jsonl, so that both say the same.

import type { PdfMedia, PdfRecord, PdfVersion } from './pdf.ts';
import type { BundledRecord, BundledState, BundledVersion, KeptRecord } from './verifier/verify.mjs';

/** @param picture bytes of an image that may be drawn, or null */
export async function* pdfRecords(
  lines: AsyncIterable<string>,
  picture: (commitment: string, length: number) => Promise<Buffer | null>,
): AsyncGenerator<PdfRecord> {
  const ancestors: KeptRecord[] = [];
  for await (const line of lines) {
    const record = JSON.parse(line) as BundledRecord;
    if (record.state === 'destroyed') {
      yield tombstone(record.id, record.destruction.at);
      continue;
    }
    ancestors.length = Math.min(ancestors.length, record.thread.depth);
    const parent = ancestors.findLast((one) => one.id === record.thread.parent);
    ancestors.push(record);
    const versions: PdfVersion[] = [];
    for (const version of record.versions) versions.push(await pdfVersion(version, picture));
    const answered =
      parent === undefined
        ? record.inReplyTo
        : `${nameOf(parent)}’s ${parent.kind} of ${parent.createdAt ?? 'an unknown date'}`;
    const deletion = deletionOf(record.states);
    yield {
      id: record.id,
      platform: record.platform,
      url: record.url ?? '',
      kind: record.kind,
      author: {
        name: record.author.name ?? '',
        handle: record.author.handle ?? '',
        id: record.author.id ?? '',
      },
      createdAt: record.createdAt ?? '',
      createdAtVouchedBy: record.createdAtFrom === 'platform' ? 'platform' : 'user',
      depth: record.thread.depth,
      threadRoot: JSON.stringify([
        record.identity.platform,
        record.identity.namespace,
        record.threadRoot ?? record.platformId,
      ]),
      ...(answered === null ? {} : { inReplyTo: answered }),
      state: record.state,
      ...(deletion === null ? {} : { deletion }),
      versions,
      retention: record.retention ?? 'not stated',
    };
  }
}

async function pdfVersion(
  version: BundledVersion,
  picture: (commitment: string, length: number) => Promise<Buffer | null>,
): Promise<PdfVersion> {
  const media: PdfMedia[] = [];
  for (const medium of version.media) {
    const drawable =
      medium.path !== null &&
      /\.(png|jpg)$/.test(medium.path) &&
      medium.commitment !== null &&
      medium.length !== null;
    const bytes = drawable ? await picture(medium.commitment as string, medium.length as number) : null;
    media.push({
      alt: medium.alt ?? '',
      mediaType: medium.mediaType ?? 'unknown type',
      file: medium.path ?? `not had: ${medium.problem ?? 'its bytes are not in this bundle'}`,
      ...(bytes === null ? {} : { bytes }),
    });
  }
  const language = version.languages[0];
  const warning =
    version.contentWarning === null || version.contentWarning === ''
      ? []
      : [`Content warning: ${version.contentWarning}`];
  return {
    version: version.version,
    capturedAt: version.capturedAt,
    text: version.text,
    ...(version.title === null ? {} : { title: version.title }),
    ...(language === undefined ? {} : { language }),
    media,
    links: [
      ...warning,
      ...version.links.map((link) => (link.title === null ? link.url : `${link.url} (${link.title})`)),
    ],
    digests: { commitment: version.document, sha256: version.sliceSha256, entry: version.seq },
  };
}

/** The interval in which it vanished, and whatever look-ups said afterwards, in words. */
function deletionOf(states: readonly BundledState[]): NonNullable<PdfRecord['deletion']> | null {
  const [first, ...later] = states;
  if (first === undefined) return null;
  const words = later.map((one) =>
    one.state === 'restored'
      ? `seen again ${one.seenAt}`
      : `${one.state}, last seen ${one.lastSeenAt}, first missing ${one.firstMissingAt}`,
  );
  return {
    lastSeenAt: first.lastSeenAt ?? '',
    firstMissingAt: first.firstMissingAt ?? '',
    state: [first.state, ...words].join('; '),
  };
}

function tombstone(id: string, destroyedAt: string | null): PdfRecord {
  return {
    id,
    platform: '',
    url: '',
    kind: 'record',
    author: { name: '', handle: '', id: '' },
    createdAt: '',
    createdAtVouchedBy: 'platform',
    depth: 0,
    threadRoot: id,
    state: 'destroyed',
    versions: [],
    retention: destroyedAt === null ? 'destroyed' : `destroyed ${destroyedAt}`,
  };
}

function nameOf(record: KeptRecord): string {
  return record.author.handle === null
    ? (record.author.name ?? 'an unknown author')
    : `@${record.author.handle}`;
}
