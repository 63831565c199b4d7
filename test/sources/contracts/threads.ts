// Threads as its collector meets it, for the contract suite and the fuzz.

import { THREADS_STYLE } from '../../support/graph.ts';
import { metaContract } from '../../support/graph-contract.ts';

export const threads = metaContract({
  platform: 'threads',
  account: 'me',
  style: THREADS_STYLE,
  edge: 'threads',
  threadDepth: 30,
  idOf: (number) => String(number),
});
