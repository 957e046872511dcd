import { isIP } from 'node:net';
import { z } from 'zod';
import { expecting } from './wording.ts';

/** Where something listens: an IP address or a host name, and a port. */
export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

const MAX_PORT = 65_535;
// A host name of RFC 1123; underscores occur in container networks.
const HOST_NAME = /^(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?$/;

/** A TCP port, 1 to 65535. */
export function port() {
  return z
    .int(expecting('a port, 1 to 65535'))
    .min(1, expecting('a port, 1 to 65535'))
    .max(MAX_PORT, expecting('a port, 1 to 65535'));
}

/** The string `host:port`, with brackets around an IPv6 address. */
export function hostPort() {
  const form = expecting('host:port, such as `10.0.0.7:8000`, `gpu-box:8000` or `[fd00::7]:8000`', withoutScheme);
  return z.string(form).refine(text => parseHostPort(text) !== undefined, form);
}

/** Takes `host:port` apart; undefined when it is not of that form. */
export function parseHostPort(text: string): HostPort | undefined {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  if (parts === null) return undefined;
  const [, bracketed, plain, digits] = parts;
  const number = Number(digits);
  if (number < 1 || number > MAX_PORT) return undefined;
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? { host: bracketed, port: number } : undefined;
  const host = plain ?? '';
  // What is all digits and dots is an address or a mistake, never a name.
  const fits = /^[0-9.]+$/.test(host) ? isIP(host) === 4 : host.length <= 253 && HOST_NAME.test(host);
  return fits ? { host, port: number } : undefined;
}

/** An IP address to bind. */
export function bindAddress() {
  const form = expecting('an IP address, such as `127.0.0.1`, `0.0.0.0` or `::1`', given =>
    given === 'localhost' ? '127.0.0.1' : given === '*' ? '0.0.0.0' : undefined,
  );
  return z.string(form).refine(text => isIP(text) !== 0, form);
}

const SCHEME_PORT: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

function withoutScheme(given: unknown): string | undefined {
  if (typeof given !== 'string' || !/^https?:\/\//.test(given) || !URL.canParse(given)) return undefined;
  const url = new URL(given);
  const nearest = `${url.hostname}:${url.port || SCHEME_PORT[url.protocol]}`;
  return parseHostPort(nearest) === undefined ? undefined : nearest;
}
