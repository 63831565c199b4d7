// Instagram as its collector meets it, for the contract suite and the fuzz.

import { INSTAGRAM_STYLE } from '../../support/graph.ts';
import { metaContract } from '../../support/graph-contract.ts';

export const instagram = metaContract({
  platform: 'instagram',
  account: 'me',
  style: INSTAGRAM_STYLE,
  edge: 'media',
  besides: 'stories',
  deletedItemsAre: 'access-lost',
  idOf: (number) => String(number),
});
