// Runs a whole AT Protocol network (repository server, PLC directory, AppView) in one process on loopback. It prints one line of
// JSON when it is up, answers each line on its standard input with {"settled":true} once the AppView has caught up, and ends
// with its standard input.

import net from 'node:net';
import { createInterface } from 'node:readline';

// The packages name no bind address and would listen on every interface.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
  if (typeof first === 'number')
    return listen.call(this, first, '127.0.0.1', ...rest.filter((one) => typeof one === 'function'));
  if (typeof first === 'object' && first !== null && first.path === undefined)
    return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
  return listen.call(this, first, ...rest);
};

const { TestNetwork } = await import('@atproto/dev-env');
const network = await TestNetwork.create({ pds: { serviceHandleDomains: ['.test'] } });
process.stdout.write(
  `${JSON.stringify({ repository: network.pds.url, directory: network.plc.url, service: network.bsky.url })}\n`,
);
for await (const _ of createInterface({ input: process.stdin })) {
  await network.processAll();
  process.stdout.write(`${JSON.stringify({ settled: true })}\n`);
}
await network.close();
process.exit(0);
