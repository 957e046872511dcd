import { setTimeout as delay } from 'node:timers/promises';
import { envoyAdmin, isGone } from './envoy-admin.ts';
import { pollPauseMs } from './poll-pause.ts';

/** An Envoy that is too busy to obey hears it again after as long. */
const RETRY_MS = 1_000;
/** When no more requests are left, each that ends may be the last but one. */
const FEW_REQUESTS = 10;
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

/** Where a drain is: told each time that Envoy is asked. */
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
  /** When a step began, or one of the few requests that were left came or went. */
  #changedMs = 0;
  #answerTookMs = 0;
  /** Requests that were running when Envoy was last heard. */
  active = 0;

  constructor(options: DrainOptions) {
    this.#options = options;
    this.#deadlineMs = performance.now() + options.timeoutMs;
  }

  async run(): Promise<DrainOutcome> {
    const { minAcceptMs, onProgress } = this.#options;
    await this.#insist('POST', '/healthcheck/fail');
    this.#changedMs = performance.now();
    const closeMs = this.#changedMs + minAcceptMs;
    while (performance.now() < closeMs) {
      await this.#load();
      onProgress?.({ kind: 'accepting' });
      await this.#pause(Math.min(this.#nextPauseMs, Math.max(closeMs - performance.now(), 0)));
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
    this.#changedMs = performance.now();
    let quietSinceMs = performance.now();
    let lastTotal: number | undefined;
    for (;;) {
      const { activeRequests, totalRequests, connections } = await this.#load();
      onProgress?.({ kind: 'closed', active: activeRequests });
      if (activeRequests > 0 || totalRequests !== lastTotal) quietSinceMs = performance.now();
      lastTotal = totalRequests;
      if (activeRequests === 0 && (connections === 0 || performance.now() - quietSinceMs >= minAcceptMs)) return;
      await this.#pause(this.#nextPauseMs);
    }
  }

  get #nextPauseMs(): number {
    return pollPauseMs({ tookMs: this.#answerTookMs, steadyMs: performance.now() - this.#changedMs });
  }

  /** What Envoy is serving. It goes through all its statistics for that: 0.2 s on its main thread for 1,000 models. */
  async #load(): Promise<Load> {
    const load = await this.#askLoad();
    if (load.activeRequests !== this.active && load.activeRequests <= FEW_REQUESTS) this.#changedMs = performance.now();
    this.active = load.activeRequests;
    return load;
  }

  async #askLoad(): Promise<Load> {
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
      const askedMs = performance.now();
      try {
        return await envoyAdmin(this.#options.socketPath, method, path);
      } catch (error) {
        if (isGone(error)) throw error;
      } finally {
        this.#answerTookMs = performance.now() - askedMs;
      }
      await this.#pause(method === 'POST' ? RETRY_MS : this.#nextPauseMs);
    }
  }

  /**
   * Ends at the deadline at the latest.
   * @throws TimedOut when that has come before
   */
  async #pause(pauseMs: number): Promise<void> {
    const leftMs = this.#deadlineMs - performance.now();
    if (leftMs <= 0) throw new TimedOut();
    await delay(Math.min(pauseMs, leftMs));
  }
}
