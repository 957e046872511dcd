import { setTimeout as delay } from 'node:timers/promises';
import { envoyAdmin, isGone } from './envoy-admin.ts';

const POLL_MS = 50;
/**
 * Envoy sends access records every 50 ms, and does not wait for the last of them when it ends: they would be lost, and
 * Envoy 1.40.0 now and then dies of a segmentation fault over them.
 */
const LAST_RECORDS_MS = 250;

/** How one Envoy is drained. */
export interface DrainOptions {
  /** Of its admin interface. */
  readonly socketPath: string;
  /**
   * For as long new connections are accepted that come although it is no longer ready, and connections without a
   * request are kept after the last one: time for load balancers to hear of it, and for clients to close them.
   */
  readonly minAcceptMs: number;
  /** Of all together; what is running then is left to be cut. */
  readonly timeoutMs: number;
  readonly onProgress?: (progress: DrainProgress) => void;
}

/** Where a drain is: told several times a second. */
export type DrainProgress =
  | { readonly kind: 'accepting' }
  /** Closed to new connections; `active` requests are running. */
  | { readonly kind: 'closed'; readonly active: number };

export type DrainOutcome =
  | { readonly kind: 'drained' }
  | { readonly kind: 'timed out'; readonly active: number }
  /** There was no Envoy, or it ended; `active` requests were running when it was last heard. */
  | { readonly kind: 'gone'; readonly active: number };

/**
 * Takes a gateway out of service without cutting a request. It is unready at once, and each answer from then on tells
 * its client to leave (HTTP/1 "connection: close", HTTP/2 GOAWAY); then its listeners are closed; done when no request
 * is running and all are recorded. It goes on where one before was broken off.
 */
export async function drainEnvoy(options: DrainOptions): Promise<DrainOutcome> {
  const drain = new Drain(options);
  try {
    return await drain.run();
  } catch (error) {
    if (error instanceof TimedOut) return { kind: 'timed out', active: drain.active };
    if (isGone(error)) return { kind: 'gone', active: drain.active };
    throw error;
  }
}

class TimedOut extends Error {}

/** What Envoy's listeners are serving. */
interface Load {
  readonly activeRequests: number;
  readonly totalRequests: number;
  readonly connections: number;
}

class Drain {
  readonly #options: DrainOptions;
  readonly #deadlineMs: number;
  /** Requests that were running when Envoy was last heard. */
  active = 0;

  constructor(options: DrainOptions) {
    this.#options = options;
    this.#deadlineMs = performance.now() + options.timeoutMs;
  }

  async run(): Promise<DrainOutcome> {
    const { minAcceptMs, onProgress } = this.#options;
    await this.#insist('POST', '/healthcheck/fail');
    const closeMs = performance.now() + minAcceptMs;
    while (performance.now() < closeMs) {
      this.active = (await this.#load()).activeRequests;
      onProgress?.({ kind: 'accepting' });
      await this.#pause();
    }
    // Without "graceful" they close now, not after --drain-time-s.
    await this.#insist('POST', '/drain_listeners');
    await this.#untilQuiet();
    await delay(LAST_RECORDS_MS);
    return { kind: 'drained' };
  }

  /** No request is running, and none is likely to come on a connection that is still open. */
  async #untilQuiet(): Promise<void> {
    const { minAcceptMs, onProgress } = this.#options;
    let quietSinceMs = performance.now();
    let lastTotal: number | undefined;
    for (;;) {
      const { activeRequests, totalRequests, connections } = await this.#load();
      this.active = activeRequests;
      onProgress?.({ kind: 'closed', active: activeRequests });
      if (activeRequests > 0 || totalRequests !== lastTotal) quietSinceMs = performance.now();
      lastTotal = totalRequests;
      if (activeRequests === 0 && (connections === 0 || performance.now() - quietSinceMs >= minAcceptMs)) return;
      await this.#pause();
    }
  }

  async #load(): Promise<Load> {
    const filter = '^http\\..*\\.downstream_(rq_active|rq_total|cx_active)$';
    const text = await this.#insist('GET', `/stats?filter=${encodeURIComponent(filter)}`);
    const sums = new Map<string, number>();
    for (const line of text.split('\n')) {
      const [name = '', value] = line.split(': ');
      // Whoever asks here is served by it.
      if (name.startsWith('http.admin.')) continue;
      const stat = name.slice(name.lastIndexOf('.') + 1);
      sums.set(stat, (sums.get(stat) ?? 0) + Number(value ?? 0));
    }
    return {
      activeRequests: sums.get('downstream_rq_active') ?? 0,
      totalRequests: sums.get('downstream_rq_total') ?? 0,
      connections: sums.get('downstream_cx_active') ?? 0,
    };
  }

  /** Asks again as long as Envoy is there and time is left: one that is busy answers late. */
  async #insist(method: 'GET' | 'POST', path: string): Promise<string> {
    for (;;) {
      try {
        return await envoyAdmin(this.#options.socketPath, method, path);
      } catch (error) {
        if (isGone(error)) throw error;
        await this.#pause();
      }
    }
  }

  /** @throws TimedOut */
  async #pause(): Promise<void> {
    if (performance.now() >= this.#deadlineMs) throw new TimedOut();
    await delay(POLL_MS);
  }
}
