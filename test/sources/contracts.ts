// Every platform with what its collector is tried against. A platform that is missing here does not compile.

import type { SourceSettings } from '../../src/core/settings.ts';
import type { CollectorContract } from '../support/collector-stage.ts';
import { bluesky } from './contracts/bluesky.ts';
import { facebook } from './contracts/facebook.ts';
import { feed } from './contracts/feed.ts';
import { flickr } from './contracts/flickr.ts';
import { instagram } from './contracts/instagram.ts';
import { linkedin } from './contracts/linkedin.ts';
import { mastodon } from './contracts/mastodon.ts';
import { reddit } from './contracts/reddit.ts';
import { threads } from './contracts/threads.ts';
import { x } from './contracts/x.ts';
import { youtube } from './contracts/youtube.ts';

export const CONTRACTS: Readonly<Record<Exclude<SourceSettings['platform'], 'import'>, CollectorContract>> = {
  bluesky,
  facebook,
  feed,
  flickr,
  instagram,
  linkedin,
  mastodon,
  reddit,
  threads,
  x,
  youtube,
};
