// Runs the contract suite for every collector; what they share, for the first alone unless all is asked for.

import { isWhole } from '../support/whole.ts';
import { contract } from './contract.ts';
import { CONTRACTS } from './contracts.ts';

for (const [nth, [platform, collector]] of Object.entries(CONTRACTS).entries())
  contract(platform, collector, { transport: isWhole || nth === 0 });
