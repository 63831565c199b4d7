// Faults on the way to a platform and to a bucket: every kind of fault against every kind of request, once and to the end, while an
// archive collects, verifies and exports.

import { join } from 'node:path';
import type { Asked, FaultProxy, HttpFault } from '../support/fault-proxy.ts';
import { HTTP_FAULTS } from '../support/fault-proxy.ts';
import { type Ended, FaultedArchive, type Findings, type S3Service } from '../support/faulted-archive.ts';
import { asTold, runDisturbed } from '../support/process.ts';
import type { FaultReport } from './report.ts';

type Requests = Readonly<Record<string, (asked: Asked) => boolean>>;

const method =
  (...names: string[]) =>
  ({ url }: Asked): boolean =>
    names.some((name) => url.pathname.endsWith(name));

const PLATFORM_REQUESTS: Requests = {
  handle: method('resolveHandle'),
  profile: method('getProfile'),
  feed: method('getAuthorFeed'),
  thread: method('getPostThread'),
  media: method('getBlob'),
  'look-up': method('getPosts', 'getRecord', 'getRepoStatus'),
};

const isObject = ({ url }: Asked): boolean => /\/[0-9a-f]{64}$/.test(url.pathname);
const STORE_REQUESTS: Requests = {
  put: (asked) => asked.method === 'PUT' && isObject(asked),
  get: (asked) => asked.method === 'GET' && isObject(asked),
  list: ({ url }) => url.searchParams.has('versions'),
  'bucket’s settings': ({ url }) => url.searchParams.has('versioning'),
};

/** What a server says that is not so is recorded as it was said; the next run sets it right. */
const LIES: readonly HttpFault[] = ['stale read', 'flipped byte in the answer'];

/** One injection: how many matching requests pass, how many suffer, where in the body. */
interface Dose {
  readonly skip: number;
  readonly times: number;
  readonly place: number;
}

const ONCE: readonly Dose[] = [
  { skip: 0, times: 1, place: 0.9 },
  { skip: 1, times: 1, place: 0.3 },
];
const ALWAYS: Dose = { skip: 0, times: Number.POSITIVE_INFINITY, place: 0.6 };

export interface Scale {
  readonly faults: readonly HttpFault[];
  readonly doses: readonly Dose[];
}
export const FULL: Scale = { faults: HTTP_FAULTS, doses: [...ONCE, ALWAYS] };
export const MIDDLE: Scale = { faults: HTTP_FAULTS, doses: [ALWAYS] };

async function inject(
  archive: FaultedArchive,
  report: FaultReport,
  at: { where: string; fault: HttpFault; operation: string; proxy: FaultProxy },
  work: () => Promise<Ended>,
): Promise<void> {
  const { where, fault, operation, proxy } = at;
  const before = proxy.injected;
  const ended = await work();
  archive.disarm();
  // A dose that met no request is no fault.
  const met = proxy.injected > before;
  const gap: Findings =
    ended.outcome === 'completed' && operation.startsWith('collect') && !LIES.includes(fault)
      ? await archive.findings()
      : { lost: [], doubled: [], unverifiable: [] };
  const after = await archive.settle();
  if (!met && gap.lost.length + after.lost.length === 0) return;
  report.add(
    { where, fault, operation, code: ended.code },
    {
      outcome: ended.outcome,
      lost: [...gap.lost.map((what) => `silently, ${what}`), ...after.lost],
      doubled: [...gap.doubled, ...after.doubled],
      unverifiable: after.unverifiable,
    },
  );
}

/** Faults between a collecting archive and its platform. */
export async function platformFaults(report: FaultReport, scale: Scale, fault: HttpFault): Promise<void> {
  if (fault === 'flipped byte in the request') return; // a GET has no body
  await using archive = await FaultedArchive.make();
  archive.newWork();
  await archive.settle();
  const proxy = archive.platformProxy;
  for (const [name, concerns] of Object.entries(PLATFORM_REQUESTS)) {
    for (const dose of scale.doses) {
      archive.newWork();
      proxy.arm(fault, { concerns, ...dose });
      const at = { where: 'between archive and platform', fault, operation: `collect: ${name}`, proxy };
      await inject(archive, report, at, () => archive.collect());
    }
  }
}

/** Faults between an archive and its bucket. */
export async function storeFaults(
  report: FaultReport,
  scale: Scale,
  fault: HttpFault,
  s3: S3Service,
): Promise<void> {
  await using archive = await FaultedArchive.make({ s3 });
  archive.newWork();
  await archive.settle();
  const proxy = archive.storeProxy as FaultProxy;
  const where = 'between archive and S3';
  const bundle = join(archive.home, '..', 'bundle.zip');
  for (const [name, concerns] of Object.entries(STORE_REQUESTS)) {
    if (fault === 'flipped byte in the request' && name !== 'put') continue;
    for (const dose of scale.doses) {
      const operations: [string, () => Promise<Ended>][] = [['collect', () => archive.collect()]];
      if (name === 'get')
        operations.push(['verify', () => archive.verify()], ['export', () => archive.export(bundle)]);
      for (const [operation, work] of operations) {
        if (operation === 'collect') archive.newWork();
        await archive.reopen();
        proxy.arm(fault, { concerns, ...dose });
        await inject(archive, report, { where, fault, operation: `${operation}: ${name}`, proxy }, work);
      }
    }
  }
}

/** A medium that goes up in parts. */
const LARGE = 17 * 1024 * 1024;
const UPLOAD_REQUESTS: Requests = {
  begin: ({ method, url }) => method === 'POST' && url.searchParams.has('uploads'),
  part: ({ url }) => url.searchParams.has('partNumber'),
  complete: ({ method, url }) => method === 'POST' && url.searchParams.has('uploadId'),
};

/** Faults while a large medium goes up in parts. */
export async function uploadFaults(report: FaultReport, fault: HttpFault, s3: S3Service): Promise<void> {
  await using archive = await FaultedArchive.make({ s3 });
  const proxy = archive.storeProxy as FaultProxy;
  for (const [name, concerns] of Object.entries(UPLOAD_REQUESTS)) {
    for (const dose of [ONCE[0] as Dose, ...(name === 'part' ? [ALWAYS] : [])]) {
      archive.newWork({ pictureBytes: LARGE });
      proxy.arm(fault, { concerns, ...dose });
      const at = { where: 'between archive and S3', fault, operation: `collect: upload, ${name}`, proxy };
      await inject(archive, report, at, () => archive.collect());
    }
  }
}

/** The clock of the machine that runs the archive is off, either way. */
export async function ownClockOff(report: FaultReport, s3: S3Service | null): Promise<void> {
  await using archive = await FaultedArchive.make({ s3 });
  archive.newWork();
  await archive.settle();
  for (const hours of [1, -1]) {
    archive.newWork();
    const variables = { CLOCK_OFF: String(hours * 3_600_000) };
    const ended = asTold(await runDisturbed(archive, ['collect'], { preload: 'clock-off.mjs', variables }));
    const gap = ended.outcome === 'completed' ? (await archive.findings()).lost : [];
    const after = await archive.settle();
    report.add(
      {
        where: s3 === null ? 'this machine' : 'between archive and S3',
        fault: 'own clock off by an hour',
        operation: 'collect',
        code: ended.code,
      },
      { outcome: ended.outcome, ...after, lost: [...gap, ...after.lost] },
    );
  }
}
