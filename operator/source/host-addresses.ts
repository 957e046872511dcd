import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { parseHostPort } from '../../crds/host-port.ts';
import type { ClusterState, HostAddress } from './cluster-state.ts';

/** Host names are looked up again this often, milliseconds. */
export const LOOKUP_INTERVAL_MS = 30_000;
/** A slow resolver holds up a change this long at most, milliseconds; then the change goes on without the name. */
export const LOOKUP_PATIENCE_MS = 2_000;

/** Finds the IP address of a host name; rejects when it has none. */
export type ResolveHost = (host: string) => Promise<string>;

/** By the machine's own resolver, /etc/hosts included; IPv4 first, since model servers often bind that alone. */
export const systemResolver: ResolveHost = async host => (await lookup(host, { order: 'ipv4first' })).address;

/** The host names that static endpoints are given by. */
export function hostNames(state: Pick<ClusterState, 'modelDeployments'>): Set<string> {
  const names = new Set<string>();
  for (const { spec } of state.modelDeployments.values()) {
    for (const endpoint of spec.backends.flatMap(backend => backend.endpoints ?? [])) {
      const host = parseHostPort(endpoint)?.host;
      if (host !== undefined && isIP(host) === 0) names.add(host);
    }
  }
  return names;
}

/** Keeps the addresses of the host names that are in use. A name that stops resolving keeps its last address. */
export class HostAddresses {
  #addresses: ReadonlyMap<string, HostAddress> = new Map();
  #wanted: ReadonlySet<string> = new Set();
  readonly #pending = new Map<string, Promise<void>>();
  readonly #resolve: ResolveHost;
  readonly #changed: () => void;

  /** `changed` is called when an address came, went or became another. */
  constructor(resolve: ResolveHost, changed: () => void) {
    this.#resolve = resolve;
    this.#changed = changed;
  }

  /** Replaced when anything changes. */
  get addresses(): ReadonlyMap<string, HostAddress> {
    return this.#addresses;
  }

  /** Looks up the names that are new and forgets those that are no more; done when all are, at the latest after `patienceMs`. */
  async follow(names: ReadonlySet<string>, patienceMs: number): Promise<void> {
    this.#wanted = names;
    const forgotten = [...this.#addresses.keys()].filter(host => !names.has(host));
    if (forgotten.length > 0) {
      this.#addresses = new Map([...this.#addresses].filter(([host]) => names.has(host)));
    }
    const unknown = [...names].filter(host => !this.#addresses.has(host));
    if (unknown.length > 0) await patiently(Promise.all(unknown.map(host => this.#look(host))), patienceMs);
  }

  /** Looks all names up again. */
  refresh(): void {
    for (const host of this.#wanted) void this.#look(host);
  }

  #look(host: string): Promise<void> {
    const pending = this.#pending.get(host);
    if (pending !== undefined) return pending;
    const looking = this.#resolve(host)
      .then(
        ip => this.#learn(host, { ip }),
        (error: unknown) => this.#learn(host, { failure: describe(host, error) }),
      )
      .finally(() => this.#pending.delete(host));
    this.#pending.set(host, looking);
    return looking;
  }

  #learn(host: string, address: HostAddress): void {
    if (!this.#wanted.has(host)) return;
    const before = this.#addresses.get(host);
    if (before?.ip !== undefined && address.ip === undefined) return;
    if (before !== undefined && before.ip === address.ip && before.failure === address.failure) return;
    this.#addresses = new Map(this.#addresses).set(host, address);
    this.#changed();
  }
}

function describe(host: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ENOTFOUND') return `${host} is not a known host name (${code})`;
  return `${host} does not resolve (${code === '' ? String(error) : code})`;
}

/** Waits for work to be done, but not longer than this; the work goes on. */
async function patiently(work: Promise<unknown>, patienceMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, patienceMs);
  await Promise.race([work, promise]);
  clearTimeout(timer);
}
