// A real S3 service for tests: the one that the environment names, or a Ceph RADOS Gateway that scripts/s3-local.sh starts for as long
// as the work takes. Says why there is none where there is none.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const S3 = join(import.meta.dirname, 's3-local.sh');

const isOnPath = (program: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));

/**
 * @param options.install whether Ceph's packages may be installed here
 * @param work gets what to set in the environment, or the sentence that says why there is no service
 */
export async function withS3<T>(
  options: { install: boolean; say: (text: string) => void },
  work: (service: { variables: Record<string, string> } | { missing: string }) => Promise<T>,
): Promise<T> {
  if (process.env.S3_TEST_ENDPOINT) return work({ variables: {} });
  if (spawnSync('bash', [S3, 'check']).status !== 0) {
    if (!options.install) return work({ missing: 'there is no Ceph RADOS Gateway' });
    if (process.getuid?.() !== 0)
      return work({ missing: 'there is no Ceph RADOS Gateway, and only root could install it' });
    if (!isOnPath('apt-get'))
      return work({ missing: 'there is no Ceph RADOS Gateway, and no apt-get to install it with' });
    options.say('Installing Ceph …');
    const installed = spawnSync('bash', [S3, 'install'], { encoding: 'utf8' });
    if (installed.status !== 0) {
      options.say(`${installed.stdout}${installed.stderr}`.slice(-1500));
      return work({ missing: 'Ceph could not be installed' });
    }
  }
  const folder = await mkdtemp(join(tmpdir(), 'muniment-s3-'));
  try {
    const started = spawnSync('bash', [S3, 'start', folder, String(await freePort())], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (started.status !== 0)
      return await work({ missing: 'it did not start here (its reason stands above)' });
    const lines = started.stdout.matchAll(/^export (\w+)='?([^'\n]*)'?$/gm);
    return await work({
      variables: Object.fromEntries([...lines].map(([, name, value]) => [name as string, value as string])),
    });
  } finally {
    spawnSync('bash', [S3, 'stop', folder], { stdio: 'inherit' });
    await rm(folder, { recursive: true, force: true });
  }
}

/** A port with the fifty after it free, below those that the system gives out: two runs on one machine do not meet. */
async function freePort(): Promise<number> {
  for (let port = 18000; port < 28000; port += 50) {
    const taken = await Promise.all([0, 1, 2, 3, 10, 20, 30].map((more) => isTaken(port + more)));
    if (!taken.includes(true)) return port;
  }
  return 18000;
}

function isTaken(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(true));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(false)));
  });
}
