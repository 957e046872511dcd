import { isIPv6, SocketAddress } from 'node:net';

const IPV4_MAPPED = '::ffff:';

/**
 * "10.0.0.7:8000" or "[fd00::7]:8000", as Envoy spells it: what extproc picked is found among Envoy's hosts by this
 * text, and two spellings of one address are one endpoint. An IPv4 address in IPv6 clothes is the IPv4 address, since
 * Envoy's IPv6 sockets do not reach it.
 */
export function socketAddress(ip: string, port: number): string {
  const address = isIPv6(ip) ? new SocketAddress({ family: 'ipv6', address: ip }).address : ip;
  if (!address.includes(':')) return `${address}:${port}`;
  return address.startsWith(IPV4_MAPPED) && address.includes('.')
    ? `${address.slice(IPV4_MAPPED.length)}:${port}`
    : `[${address}]:${port}`;
}
