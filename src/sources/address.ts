// Which network addresses a collector may connect to. Checked at connection time on the resolved address itself, so that a
// name that changes its address between check and connection gains nothing; only a source's exact origins may be private.

import dns from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import { CollectError } from './collect-error.ts';

/** IPv4 ranges that are not the public internet: IANA special-purpose registry, multicast, and one cloud's metadata host. */
const REFUSED_V4: readonly (readonly [network: string, bits: number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['168.63.129.16', 32],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];

/** Within global unicast 2000::/3: protocol assignments with Teredo, documentation, 6to4. All outside 2000::/3 is refused. */
const REFUSED_V6: readonly (readonly [network: string, bits: number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

const refusedV4 = new BlockList();
for (const [network, bits] of REFUSED_V4) refusedV4.addSubnet(network, bits, 'ipv4');
const globalV6 = new BlockList();
globalV6.addSubnet('2000::', 3, 'ipv6');
const refusedV6 = new BlockList();
for (const [network, bits] of REFUSED_V6) refusedV6.addSubnet(network, bits, 'ipv6');

/**
 * @param address an IPv4 or IPv6 address in text, without brackets
 * @returns whether it lies on the public internet. IPv4-mapped, 6to4 and NAT64 addresses do not: they hide another address.
 */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !refusedV4.check(address, 'ipv4');
  if (family !== 6 || address.includes('%')) return false;
  return globalV6.check(address, 'ipv6') && !refusedV6.check(address, 'ipv6');
}

/** @returns scheme, host and port as one comparable text; the port always stands in it */
function exactOrigin(protocol: string, hostname: string, port: string): string {
  return `${protocol}//${hostname.replace(/^\[|\]$/g, '').toLowerCase()}:${port || (protocol === 'https:' ? '443' : '80')}`;
}

export function originOf(url: URL): string {
  return exactOrigin(url.protocol, url.hostname, url.port);
}

function refuse(what: string, subject: string): CollectError {
  return new CollectError(
    'refused-address',
    `${what} is not on the public internet, so it is not fetched`,
    subject,
    {
      hint: 'Only the exact origin that a source is configured with may be private.',
    },
  );
}

/** Resolves a name to all its addresses; replaceable so that tests can play a hostile name server. */
export type ResolveAll = (
  hostname: string,
  found: (error: NodeJS.ErrnoException | null, addresses: dns.LookupAddress[]) => void,
) => void;

const systemResolve: ResolveAll = (hostname, found) => dns.lookup(hostname, { all: true }, found);

function checkedLookup(resolveAll: ResolveAll): LookupFunction {
  return (hostname, options, callback) => {
    resolveAll(hostname, (error, addresses) => {
      if (error !== null) return callback(error, '');
      const family = options.family === 4 || options.family === 6 ? options.family : 0;
      const usable = addresses.filter(
        (one) => isPublicAddress(one.address) && (family === 0 || one.family === family),
      );
      const first = usable[0];
      if (first === undefined) return callback(refuse(`every address of ${hostname}`, hostname), '');
      if (options.all === true) return callback(null, usable);
      callback(null, first.address, first.family);
    });
  };
}

/**
 * A connector for undici that refuses addresses off the public internet, whether they come as a literal (in any notation,
 * since URL parsing has made it canonical) or from a name server.
 * @param trustedOrigins origins as {@link originOf} gives them: for these alone the check is left out
 */
export function checkedConnector(
  trustedOrigins: ReadonlySet<string>,
  connectMilliseconds: number,
  resolveAll: ResolveAll = systemResolve,
): buildConnector.connector {
  const plain = buildConnector({ timeout: connectMilliseconds });
  const checked = buildConnector({ timeout: connectMilliseconds, lookup: checkedLookup(resolveAll) });
  return (options, callback) => {
    const hostname = options.hostname.replace(/^\[|\]$/g, '');
    if (trustedOrigins.has(exactOrigin(options.protocol, hostname, options.port)))
      return plain(options, callback);
    if (isIP(hostname) !== 0 && !isPublicAddress(hostname)) return callback(refuse(hostname, hostname), null);
    checked(options, callback);
  };
}
