// Every platform with what its collector is tried against. A platform that is missing here does not compile; Mastodon has tests of its own
// (mastodon.test.ts) and is still to join.

import type { SourceSettings } from '../../src/core/settings.ts';
import type { CollectorContract } from '../support/collector-stage.ts';
import { bluesky } from './contracts/bluesky.ts';
import { feed } from './contracts/feed.ts';

export const CONTRACTS: Readonly<Record<Exclude<SourceSettings['platform'], 'mastodon'>, CollectorContract>> =
  { bluesky, feed };
