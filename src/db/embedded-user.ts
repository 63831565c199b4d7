// As whom the embedded PostgreSQL runs. It refuses to run as root: then it runs as an unprivileged user, who must be able to reach
// its programs and data.

import { spawn } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';

export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

export interface Ended {
  readonly code: number | null;
  /** What it wrote to standard output and error, when `read` was asked for. */
  readonly text: string;
}

export const isRoot = (): boolean => process.getuid?.() === 0;

/** @param data data folder that may exist already: its owner stays the server's user */
export async function serverUser(data: string | null): Promise<ServerUser> {
  if (!isRoot()) return { uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 };
  if (data !== null) {
    const { uid, gid } = await stat(data);
    if (uid !== 0) return { uid, gid };
  }
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = users.find((fields) => fields[0] === name) ?? [];
    if (Number(uid) > 0 && Number(gid) > 0) return { uid: Number(uid), gid: Number(gid) };
  }
  return { uid: 65534, gid: 65534 };
}

/**
 * Runs a program as the server's user, with an empty environment (PGPORT and its like would change the server's settings).
 * @param options.read collects its output; without it nothing is connected, so that what it leaves running holds no pipe of ours
 */
export function runAs(
  user: ServerUser,
  program: string,
  args: string[],
  options: { read: boolean },
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...(isRoot() ? { uid: user.uid, gid: user.gid } : {}),
      cwd: '/',
      env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C', TZ: 'UTC' },
      detached: true,
      stdio: ['ignore', options.read ? 'pipe' : 'ignore', options.read ? 'pipe' : 'ignore'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
    }
    child.on('error', reject);
    child.on(options.read ? 'close' : 'exit', (code) => resolve({ code, text }));
  });
}

/** @returns whether the user can enter this folder: asked of the system itself, so that access lists count too */
export async function canEnter(user: ServerUser, folder: string): Promise<boolean> {
  if (!isRoot()) return true;
  return (await runAs(user, '/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], { read: false })).code === 0;
}
