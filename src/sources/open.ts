// Opens the collector of a configured source.

import { InputError } from '../core/errors.ts';
import type { SourceSettings } from '../core/settings.ts';
import { openBlueskyCollector } from './bluesky.ts';
import type { Meter } from './budget.ts';
import type { Collector } from './collector.ts';
import { openFeedCollector } from './feed.ts';
import { openFlickrCollector } from './flickr.ts';
import type { HttpDependencies } from './http.ts';
import { openLinkedinCollector } from './linkedin.ts';
import { openMastodonCollector } from './mastodon.ts';
import { FACEBOOK } from './meta/facebook.ts';
import { INSTAGRAM } from './meta/instagram.ts';
import { THREADS } from './meta/threads.ts';
import { openMetaCollector } from './meta.ts';
import { openRedditCollector } from './reddit.ts';
import { openXCollector } from './x.ts';
import { openYoutubeCollector } from './youtube.ts';

export interface CollectorDependencies extends HttpDependencies {
  /** Where what metered platforms are asked is counted. */
  readonly meter: Meter;
}

export function openCollector(settings: SourceSettings, dependencies: CollectorDependencies): Collector {
  switch (settings.platform) {
    case 'bluesky':
      return openBlueskyCollector(settings, dependencies);
    case 'feed':
      return openFeedCollector(settings, dependencies);
    case 'import':
      throw new InputError(
        `nothing is collected from ${settings.id}: it takes what platforms give as files`,
        {
          hint: `Import one with \`muniment import KIND FILE --source ${settings.id}\`.`,
        },
      );
    case 'mastodon':
      return openMastodonCollector(settings, dependencies);
    case 'facebook':
      return openMetaCollector(FACEBOOK, settings, dependencies);
    case 'instagram':
      return openMetaCollector(INSTAGRAM, settings, dependencies);
    case 'threads':
      return openMetaCollector(THREADS, settings, dependencies);
    case 'flickr':
      return openFlickrCollector(settings, dependencies);
    case 'linkedin':
      return openLinkedinCollector(settings, dependencies);
    case 'reddit':
      return openRedditCollector(settings, dependencies);
    case 'x':
      return openXCollector(settings, dependencies);
    case 'youtube':
      return openYoutubeCollector(settings, dependencies);
  }
}
