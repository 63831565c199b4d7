// A Facebook Page as its collector meets it, for the contract suite and the fuzz.

import { FACEBOOK_STYLE } from '../../support/graph.ts';
import { metaContract } from '../../support/graph-contract.ts';

export const facebook = metaContract({
  platform: 'facebook',
  account: 'city',
  style: FACEBOOK_STYLE,
  edge: 'published_posts',
  idOf: (number, post, account) => `${post ?? account}_${number}`,
});
