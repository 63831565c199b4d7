// One run, or one look-up, of a collector for a platform of Meta against a local one.

import type { TestContext } from 'node:test';
import type { Json } from '../../src/core/canonical.ts';
import { Secret } from '../../src/core/secret.ts';
import type { MetaSettings } from '../../src/core/settings.ts';
import { passingMeter } from '../../src/sources/budget.ts';
import type { Collector, CollectorEvent, LookUp, Sighting } from '../../src/sources/collector.ts';
import type { HttpDependencies } from '../../src/sources/http.ts';
import { openCollector } from '../../src/sources/open.ts';
import type { FakeGraph } from './graph.ts';
import { never, patient } from './replay.ts';

export const TOKEN = 'EAAB7tok3nthatnobodymaysee';

export function metaSettings(platform: MetaSettings['platform'], service: string): MetaSettings {
  const token = new Secret('file:token', () => TOKEN);
  return { id: 'city', platform, schedule: null, confirmDates: null, account: 'me', service, token };
}

export function metaCollector(
  t: TestContext,
  platform: MetaSettings['platform'],
  { origin }: FakeGraph,
  dependencies: HttpDependencies = patient(),
): Collector {
  const collector = openCollector(metaSettings(platform, origin), { meter: passingMeter(), ...dependencies });
  t.after(() => collector[Symbol.asyncDispose]());
  return collector;
}

export async function runOf(collector: Collector, state: Json = null, isLatest = true) {
  const events: CollectorEvent[] = [];
  for await (const event of collector.collect({ state, isLatest, signal: never() })) events.push(event);
  const pages = events.filter((event) => event.type === 'page');
  const problems = events.filter((event) => event.type === 'problem').map((event) => event.problem);
  const all = pages.flatMap((page) => page.sightings);
  const end = events.find((event) => event.type === 'end');
  return {
    profile: all.find((one) => one.item.kind === 'profile') as Sighting,
    sightings: all.filter((one) => one.item.kind !== 'profile'),
    of: (node: { readonly id: string }) => all.find((one) => one.identity.platformId === node.id) as Sighting,
    rejected: pages.flatMap((page) => page.rejected),
    problems: problems.filter(({ code }) => code !== 'standing-gap'),
    gaps: problems.filter(({ code }) => code === 'standing-gap').map(({ message }) => message),
    reported: Object.fromEntries(
      events.filter((event) => event.type === 'reported').map(({ what, count }) => [what, count]),
    ),
    coverage: end?.coverage,
    state: end?.state as Json,
    resumable: end?.resumable === true,
  };
}

/** Looks nodes up that a run saw, each as that run captured it. */
export async function lookUpOf(
  collector: Collector,
  seen: Awaited<ReturnType<typeof runOf>>,
  nodes: readonly { readonly id: string }[],
): Promise<LookUp[]> {
  const answers: LookUp[] = [];
  const identities = nodes.map((node) => seen.of(node).identity);
  for await (const one of collector.lookUp(identities, never(), async ({ platformId }) => {
    const { slice, exchange, item } = seen.sightings.find(
      (sighting) => sighting.identity.platformId === platformId,
    ) as Sighting;
    return { slice, url: exchange.url, threadRoot: item.threadRoot };
  }))
    answers.push(one);
  return answers;
}
