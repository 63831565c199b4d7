// What `kind` of an entry's body must be: it follows from the entry and from what the body says, so that the column can be held to it.

import { parsedJson } from '../core/canonical.ts';
import type { Entry } from './entry.ts';

export const BODY_KIND = {
  account: 'account',
  source: 'source',
  schedules: 'policy.schedules',
  holds: 'policy.holds',
  intent: 'disposition.intent',
  backup: 'backup.made',
  storeCopied: 'store.copied',
  restore: 'restore.performed',
} as const;

/** How the body begins that puts schedules or holds in force: canonical JSON whose first member is `files`. */
export const FILES_BODY = '{"files":';

const KNOWN: ReadonlySet<string> = new Set(Object.values(BODY_KIND));

/** @returns the kind that entry and body imply; null for a sealed body that this Muniment does not know */
export function impliedKind(type: Entry['type'], body: Buffer): string | null {
  switch (type) {
    case 'account.changed':
      return BODY_KIND.account;
    case 'source.changed':
      return BODY_KIND.source;
    case 'policy.applied':
      return BODY_KIND.schedules;
    case 'store.copied':
      return BODY_KIND.storeCopied;
    case 'restore.performed':
      return BODY_KIND.restore;
    default:
      return sealedKind(body);
  }
}

/** Nothing else tells sealed entries apart, so it is the members of the body. */
function sealedKind(body: Buffer): string | null {
  const said = Object(parsedJson(body)) as object;
  if ('files' in said) return BODY_KIND.holds;
  if ('records' in said) return BODY_KIND.intent;
  if ('backup' in said) return BODY_KIND.backup;
  return null;
}

/** @param body the one that the entry commits to. @returns whether `kind` is right for it */
export function isKindOf(kind: string, type: Entry['type'], body: Buffer): boolean {
  const implied = impliedKind(type, body);
  return implied === null ? !KNOWN.has(kind) : kind === implied;
}
