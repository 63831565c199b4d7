// Accounts of the archive and what their roles permit. Rules only; rows and tokens are read in src/context.ts.

import { RefusedError } from './errors.ts';

export const ROLES = ['officer', 'reviewer', 'approver', 'auditor', 'admin'] as const;
export type Role = (typeof ROLES)[number];

export interface Account {
  readonly id: string;
  readonly name: string;
  readonly roles: readonly Role[];
}

/** What can be permitted, and to which roles. */
const PERMITTED: Readonly<Record<string, readonly Role[]>> = {
  collect: ['admin', 'officer'],
  search: ['officer', 'reviewer', 'approver'],
  'gaps read': ['officer', 'reviewer', 'auditor', 'admin'],
  export: ['officer'],
  'policy apply': ['officer', 'admin'],
  'policy explain': ['officer', 'reviewer', 'approver'],
  verify: ['auditor', 'officer', 'admin'],
  publish: ['auditor', 'officer', 'admin'],
  'holds read': ['officer'],
  'store renew': ['admin', 'officer'],
  'alerts send': ['admin', 'officer'],
  backup: ['admin'],
  'backups read': ['admin', 'officer', 'auditor'],
  'store sweep': ['admin'],
  'store copy': ['admin'],
};
export type Action =
  | 'collect'
  | 'search'
  | 'gaps read'
  | 'export'
  | 'policy apply'
  | 'policy explain'
  | 'verify'
  | 'publish'
  | 'holds read'
  | 'store renew'
  | 'alerts send'
  | 'backup'
  | 'backups read'
  | 'store sweep'
  | 'store copy';

/** @throws RefusedError when none of the account's roles permits the action */
export function requirePermission(account: Account, action: Action): void {
  const roles = PERMITTED[action] ?? [];
  if (account.roles.some((role) => roles.includes(role))) return;
  throw new RefusedError(`${account.name} may not ${action}: that needs the role ${roles.join(' or ')}`, {
    hint: 'Ask an administrator of this archive for the role, or act with another token ($MUNIMENT_TOKEN).',
  });
}
