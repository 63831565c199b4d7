// What of an HTTP exchange may be written down for good: never a secret, and of the headers those that bear on evidence.

import type { Exchange } from './collector.ts';

const EVIDENCE_HEADERS =
  /^(date|content-(type|encoding|language|length|location)|etag|last-modified|server|via|age|location|retry-after|atproto-[a-z-]+|(x-)?rate-?limit-[a-z-]+)$/;
const SECRET_PARAMETER =
  /^(access_?token|auth(orization)?|auth_?token|api_?key|app_?secret|appsecret_proof|client_?secret|key|password|passwd|pass|pwd|refresh_?token|secret|sig|signature|token|x-amz-(signature|credential|security-token))$/i;

/** @returns whether addresses that differ look the same once written down, for what tells them apart may be a secret */
export function hasSecretParameter(address: string): boolean {
  return [...new URL(address).searchParams.keys()].some((name) => SECRET_PARAMETER.test(name));
}

/** @returns the address as it may be written down: no user info, no fragment, the values of secret parameters replaced */
export function withoutSecrets(address: string): string {
  if (!URL.canParse(address)) return address.replace(/^([a-z]+:\/\/)[^/@]*@/i, '$1').replace(/[?#].*$/s, '');
  const url = new URL(address);
  if (url.username !== '' || url.password !== '') {
    url.username = '';
    url.password = '';
  }
  url.hash = '';
  for (const name of new Set(url.searchParams.keys())) {
    if (SECRET_PARAMETER.test(name)) url.searchParams.set(name, 'removed');
  }
  return url.href;
}

/** @param receivedAt RFC 3339 UTC, milliseconds: when the body was complete */
export function exchangeOf(parts: {
  address: string;
  status: number;
  headers: Readonly<Record<string, string>>;
  receivedAt: string;
  bodySha256: string;
  bodyLength: number;
}): Exchange {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(parts.headers)) {
    if (EVIDENCE_HEADERS.test(name))
      headers[name] = name.includes('location') ? withoutSecrets(value) : value;
  }
  const { status, receivedAt, bodySha256, bodyLength } = parts;
  return {
    method: 'GET',
    url: withoutSecrets(parts.address),
    status,
    receivedAt,
    headers,
    bodySha256,
    bodyLength,
  };
}
