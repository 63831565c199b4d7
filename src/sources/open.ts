// Opens the collector of a configured source.

import type { SourceSettings } from '../core/settings.ts';
import { openBlueskyCollector } from './bluesky.ts';
import type { Collector } from './collector.ts';
import { openFeedCollector } from './feed.ts';
import type { HttpDependencies } from './http.ts';

export function openCollector(settings: SourceSettings, dependencies: HttpDependencies): Collector {
  return settings.platform === 'bluesky'
    ? openBlueskyCollector(settings, dependencies)
    : openFeedCollector(settings, dependencies);
}
