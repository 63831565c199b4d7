// Runs the contract suite for every collector.

import { contract } from './contract.ts';
import { CONTRACTS } from './contracts.ts';

for (const [platform, collector] of Object.entries(CONTRACTS)) contract(platform, collector);
