// Makes, starts, stops and observes one PostgreSQL data folder, by initdb and pg_ctl. Nothing here is safe against two processes at
// once: callers hold the home's turn (embedded-turn.ts).

import { execFile } from 'node:child_process';
import {
  chown,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ServiceError } from '../core/errors.ts';
import { isRoot, runAs, type ServerUser } from './embedded-user.ts';

export interface RunningServer {
  readonly pid: number;
  readonly socketFolder: string;
  /** `starting`, `ready` or `stopping`, as the server writes it; empty in its first moments. */
  readonly status: string;
}

interface ServerFiles {
  readonly data: string;
  readonly folder: string;
  readonly user: ServerUser;
}

async function isServerOn(pid: number, data: string): Promise<boolean> {
  if (process.platform === 'linux') {
    try {
      // PostgreSQL works in its data folder. Compared by inode, so that a home that was moved while it runs is known again.
      const [here, there] = await Promise.all([stat(data), stat(`/proc/${pid}/cwd`)]);
      return here.dev === there.dev && here.ino === there.ino;
    } catch (error) {
      if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? ''))
        return false;
      throw error;
    }
  }
  try {
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(pid)]);
    return stdout.includes('postgres') && stdout.includes(data);
  } catch (error) {
    if ((error as { code?: unknown }).code === 1) return false;
    throw error;
  }
}

/** @returns the server that runs on this data folder, or null. A pid file alone proves nothing: it may be stale or copied. */
export async function runningServer(data: string): Promise<RunningServer | null> {
  let lines: string[];
  try {
    lines = (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0 || !(await isServerOn(pid, data))) return null;
  return { pid, socketFolder: lines[4] ?? '', status: (lines[7] ?? '').trim() };
}

/** PostgreSQL would refuse to start when the pid in a stale file belongs to some other process by now. */
export async function removeForeignPidFile(data: string): Promise<void> {
  if ((await runningServer(data)) === null) await rm(join(data, 'postmaster.pid'), { force: true });
}

const SETTINGS = [
  'listen_addresses=',
  'max_connections=200',
  'timezone=UTC',
  'log_timezone=UTC',
  'fsync=on',
  'full_page_writes=on',
  // Statements, and the values in error details, are archived content: they don't belong in a log.
  'log_min_error_statement=panic',
  'log_error_verbosity=terse',
];

/** Makes a new data folder, which gets its name when it is complete. @throws ServiceError when initdb fails */
export async function makeData(place: ServerFiles, programs: string, password: string): Promise<void> {
  for (const name of await readdir(place.folder))
    if (name.startsWith('data.new')) await rm(join(place.folder, name), { recursive: true, force: true });
  // A name of its own: the initdb of a process that was killed may still be at work, and clears away what it takes for its draft.
  const draft = await mkdtemp(join(place.folder, 'data.new-'));
  const passwordFile = join(draft, 'password');
  const data = join(draft, 'data');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (isRoot()) for (const path of [draft, passwordFile]) await chown(path, place.user.uid, place.user.gid);
  const { code, text } = await runAs(
    place.user,
    join(programs, 'initdb'),
    [
      ...[
        '-D',
        data,
        '-U',
        'postgres',
        '--auth=scram-sha-256',
        `--pwfile=${passwordFile}`,
        '--encoding=UTF8',
        '--locale=C',
      ],
      ...['--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
      ...SETTINGS.flatMap((setting) => ['-c', setting]),
    ],
    { read: true },
  );
  if (code !== 0) {
    throw new ServiceError(`initdb could not make ${place.data}: ${text.trim()}`, {
      hint: 'Check that the disk has space, then run this again.',
    });
  }
  await rename(data, place.data);
  await rm(draft, { recursive: true });
}

async function lastLines(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).trim().split('\n').slice(-5).join('\n');
}

/** Starts the server so that it outlives this process. @throws ServiceError with the end of its log */
export async function startServer(place: ServerFiles, programs: string, socketFolder: string): Promise<void> {
  const log = join(place.folder, 'postgresql.log');
  const file = await open(log, 'a', 0o600);
  try {
    if (isRoot()) await file.chown(place.user.uid, place.user.gid);
  } finally {
    await file.close();
  }
  const options = `-c unix_socket_directories=${socketFolder} -c unix_socket_permissions=0700 -c port=5432`;
  const args = ['start', '-D', place.data, '-l', log, '-w', '-t', '120', '-o', options];
  const { code } = await runAs(place.user, join(programs, 'pg_ctl'), args, { read: false });
  if (code !== 0) {
    throw new ServiceError(`the embedded PostgreSQL does not start: ${await lastLines(log)}`, {
      hint: `Its whole log is ${log}.`,
    });
  }
}

/** Stops the server without waiting for its users. @throws ServiceError when it does not stop */
export async function stopServer(place: ServerFiles, programs: string): Promise<void> {
  const server = await runningServer(place.data);
  const args = ['stop', '-D', place.data, '-m', 'fast', '-w', '-t', '120'];
  const { code, text } = await runAs(place.user, join(programs, 'pg_ctl'), args, { read: true });
  if (code !== 0 && (await runningServer(place.data)) !== null) {
    throw new ServiceError(`the embedded PostgreSQL does not stop: ${text.trim()}`, {
      hint: `Its log is ${join(place.folder, 'postgresql.log')}.`,
    });
  }
  // Empty now; what is not empty or not there is not ours to remove.
  if (server?.socketFolder.startsWith('/tmp/muniment-') === true) await removeEmpty(server.socketFolder);
}

async function removeEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** Waits while a server that another process has left starting or stopping makes up its mind. @returns it when it is ready */
export async function settledServer(data: string): Promise<RunningServer | null> {
  const until = performance.now() + 120_000;
  for (;;) {
    const server = await runningServer(data);
    if (server === null || server.status === 'ready') return server;
    if (performance.now() > until) {
      throw new ServiceError(
        `the embedded PostgreSQL (process ${server.pid}) has been ${server.status} for two minutes`,
        {
          hint: 'It may be recovering after a crash: wait, then run this again.',
        },
      );
    }
    await sleep(50);
  }
}
