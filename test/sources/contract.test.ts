// Runs the contract suite: all of it for every collector when all is asked for; within `npm test` all for the first, and its core for one collector
// of each reader.

import { isWhole } from '../support/whole.ts';
import { contract } from './contract.ts';
import { CONTRACTS } from './contracts.ts';

/** Those of Meta share a reader; so do X, Reddit, LinkedIn and Flickr. */
const READERS = new Set(['bluesky', 'feed', 'instagram', 'mastodon', 'x', 'youtube']);

for (const [nth, [platform, collector]] of Object.entries(CONTRACTS).entries())
  if (isWhole || READERS.has(platform)) contract(platform, collector, { whole: isWhole || nth === 0 });
