import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { ValkeyServer } from '../../store/valkey-server.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';

type LimitSettings = Readonly<Record<string, unknown>>;

/** What an InferenceGateway says of its limits to count them in that server. */
export function countedIn({ url }: ValkeyServer, { valkey = {}, ...more }: LimitSettings = {}): LimitSettings {
  return { limits: { store: 'valkey', valkey: { url, ...(valkey as object) }, ...more } };
}

/** Several gateways that differ in nothing but their ports; all of them, or none. */
export async function startGateways(count: number, options: GatewayOptions): Promise<Gateway[]> {
  const started = await Promise.allSettled(Array.from({ length: count }, () => Gateway.start(options)));
  const gateways = started.flatMap(each => (each.status === 'fulfilled' ? [each.value] : []));
  const failure = started.find(({ status }) => status === 'rejected');
  if (failure?.status !== 'rejected') return gateways;
  await Promise.all(gateways.map(gateway => gateway.close()));
  throw failure.reason;
}

/** Of money in decimals, 10^-9 of its currency. */
export function nanoOf(money: string | null | undefined): number {
  return Math.round(Number(money ?? '0') * 1e9);
}

const POLL_MS = 2;

/** The counters of limits as they are in the server, asked apart from the gateways. */
export class StoreReader {
  readonly #client: Redis;

  constructor(server: ValkeyServer) {
    this.#client = server.client();
  }

  /** What is used of the one counter that has this in its key: "|requests|", "budget|"; 0 where there is none. */
  async used(part: string): Promise<number> {
    const [key] = await this.#keys(`*:count:*${part}*`);
    if (key === undefined) return 0;
    const type = await this.#client.type(key);
    return Number(type === 'hash' ? await this.#client.hget(key, 'sum') : await this.#client.get(key));
  }

  /** Reservations of requests that are not settled. */
  async leases(): Promise<number> {
    const ids = await this.#client.zrange('fairlead:{limits}:leases', '0', '-1');
    // By which a gateway finds the server again.
    return ids.filter(id => id !== 'probe').length;
  }

  /** Watches a counter; the function returned ends that and gives the most that was ever used of it. */
  watch(part: string): () => Promise<number> {
    let most = 0;
    let ended = false;
    const watching = (async () => {
      while (!ended) {
        most = Math.max(most, await this.used(part));
        await delay(POLL_MS);
      }
    })();
    return async () => {
      ended = true;
      await watching;
      return most;
    };
  }

  /** Of what the server keeps, bytes; 0 for no limit. What is there stays. */
  async limitMemory(bytes: number): Promise<void> {
    await this.#client.config('SET', 'maxmemory', String(bytes));
  }

  close(): void {
    this.#client.disconnect();
  }

  async #keys(pattern: string): Promise<string[]> {
    return (await this.#client.keys(pattern)).sort();
  }
}
