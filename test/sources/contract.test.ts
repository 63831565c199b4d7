// Runs the contract suite for every collector; for all but the first only its core, unless all is asked for.

import { isWhole } from '../support/whole.ts';
import { contract } from './contract.ts';
import { CONTRACTS } from './contracts.ts';

for (const [nth, [platform, collector]] of Object.entries(CONTRACTS).entries())
  contract(platform, collector, { whole: isWhole || nth === 0 });
