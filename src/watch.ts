// Watch words as they are applied: at each capture, by `muniment watch run` over what is there already, and told, by id and link alone.

import { sql } from 'kysely';
import type { Alert } from './alerts/telling.ts';
import { keepTags, type Tagged, type Tagging } from './capture/tags.ts';
import type { Archive } from './context.ts';
import { instantText } from './core/clock.ts';
import { InputError, ObjectNotFoundError } from './core/errors.ts';
import { policyInForce } from './disposition/policy-in-force.ts';
import { snapshotDocument } from './ledger/documents.ts';
import { readPayload } from './ledger/payload.ts';
import { watcher } from './policy/watch.ts';

/** @returns what tags versions by the rules in force; null where there are none */
export async function taggingInForce({ database }: Pick<Archive, 'database'>): Promise<Tagging | null> {
  const { policy } = await policyInForce(database.db, Number.MAX_SAFE_INTEGER);
  if (policy.watch.length === 0) return null;
  const match = watcher(policy.watch);
  return ({ source, item, media }) =>
    match({
      sources: [source.name],
      kind: item.kind,
      text: [item.title, item.text, item.contentWarning],
      author: [item.author.handle, item.author.name],
      link: item.links.flatMap(({ url, title, description }) => [url, title, description]),
      alt: media.map(({ alt }) => alt),
    });
}

const AT_A_TIME = 200;

/**
 * Looks at every version that is there, by the rules in force. What it finds goes into the digest, never out at once: it is no news.
 * @returns versions looked at, those that a rule matched, and those whose payload the store did not have
 * @throws InputError where no rules are in force
 */
export async function runWatch(
  archive: Archive,
  signal: AbortSignal,
  onProgress: (looked: number) => void,
): Promise<{ looked: number; matched: number; unread: number }> {
  const { database, store, clock } = archive;
  const tagging = await taggingInForce(archive);
  if (tagging === null)
    throw new InputError('no watch words are in force', {
      hint: 'Write rules in policies/alerts/*.yaml and run `muniment policy apply`.',
    });
  const result = { looked: 0, matched: 0, unread: 0 };
  for (let after = -1; ; ) {
    signal.throwIfAborted();
    const { rows } = await sql<{ seq: number; document: string }>`
      SELECT s.seq, s.document FROM snapshots AS s WHERE s.seq > ${after} AND s.content IS NOT NULL
        AND NOT EXISTS (SELECT FROM payload_destructions AS d WHERE d.commitment = s.document)
      ORDER BY s.seq LIMIT ${AT_A_TIME}`.execute(database.db);
    const versions: Tagged[] = [];
    for (const { seq, document } of rows) {
      after = seq;
      try {
        const bytes = await readPayload(database.db, store, document);
        const read = snapshotDocument.parse(JSON.parse(bytes.toString('utf8')));
        const tags = tagging(read).map((tag) => ({ ...tag, atOnce: false }));
        versions.push({ record: read.record, snapshot: read.snapshot, tags });
      } catch (error) {
        if (!(error instanceof ObjectNotFoundError)) throw error;
        result.unread += 1;
      }
    }
    if (rows.length === 0) return result;
    await keepTags(database.db, versions, instantText(clock.now()));
    result.looked += rows.length;
    result.matched += versions.filter(({ tags }) => tags.length > 0).length;
    onProgress(result.looked);
  }
}

const TOLD_TOGETHER = 100;

interface Row {
  readonly snapshot: string;
  readonly record: string;
  readonly rule: string;
  readonly tag: string;
  readonly foundAt: string;
  readonly run: string;
  readonly source: string | null;
  readonly link: string | null;
}

/** Of messages no address goes out; of what is destroyed, nothing. */
const FOUND = sql`
  SELECT t.snapshot_id AS snapshot, t.record_id AS record, t.rule, t.tag, t.found_at AS "foundAt", s.run_id AS run,
    (SELECT o.name FROM record_sources AS l JOIN sources AS o ON o.id = l.source_id WHERE l.record_id = t.record_id ORDER BY l.seq LIMIT 1) AS source,
    CASE WHEN r.kind <> 'message' THEN s.url END AS link
  FROM record_tags AS t JOIN snapshots AS s ON s.id = t.snapshot_id JOIN records AS r ON r.id = t.record_id
  WHERE s.content IS NOT NULL AND NOT EXISTS (SELECT FROM payload_destructions AS d WHERE d.commitment = s.document)`;

/** @returns matches that a channel was not told of and is to be told at once, and what notes that it was */
export async function matchesToTell(
  { database: { db } }: Pick<Archive, 'database'>,
  channel: string,
): Promise<{ alerts: Alert[]; noteTold: () => Promise<void> }> {
  const { rows } =
    await sql<Row>`${FOUND} AND t.at_once AND NOT t.told @> ARRAY[${channel}]::text[] ORDER BY t.found_at, t.snapshot_id LIMIT ${TOLD_TOGETHER}`.execute(
      db,
    );
  const alerts = rows.map(
    ({ record, rule, tag, foundAt, run, source, link }): Alert => ({
      state: 'found',
      finding: `watch:${rule}:${record}`,
      kind: 'watch',
      source,
      run,
      since: foundAt,
      sentence: `${source ?? 'a source'}: the rule ${rule} (${tag}) matches record ${record}${link === null ? '' : `, ${link}`}`,
      record,
      link,
    }),
  );
  const noteTold = async (): Promise<void> => {
    await sql`UPDATE record_tags AS t SET told = array_append(t.told, ${channel})
      FROM unnest(${rows.map(({ snapshot }) => snapshot)}::uuid[], ${rows.map(({ rule }) => rule)}::text[]) AS m (snapshot, rule)
      WHERE t.snapshot_id = m.snapshot AND t.rule = m.rule`.execute(db);
  };
  return { alerts, noteTold };
}

const LISTED = 200;

/** @returns the digest's lines on what was found since then */
export async function matchLines(
  { database: { db } }: Pick<Archive, 'database'>,
  from: string,
): Promise<string[]> {
  const { rows } =
    await sql<Row>`${FOUND} AND t.found_at >= ${from} ORDER BY t.tag, t.found_at, t.snapshot_id LIMIT ${LISTED + 1}`.execute(
      db,
    );
  if (rows.length === 0) return [];
  const lines = rows
    .slice(0, LISTED)
    .map(
      ({ tag, rule, record, link }) =>
        `${tag}: rule ${rule}, record ${record}${link === null ? '' : `, ${link}`}`,
    );
  const more = rows.length > LISTED ? [`More than ${LISTED}: see \`muniment search --tag\`.`] : [];
  return ['Found by watch words:', ...lines, ...more];
}
