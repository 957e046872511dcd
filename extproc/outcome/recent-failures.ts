import type { AttemptFailure } from '../endpoint-load/ejection.ts';

/** One attempt that failed, for people who ask why an endpoint is avoided. */
export interface FailedAttempt {
  /** By the clock of the data thread. */
  readonly atMs: number;
  /** The exchange. */
  readonly id: string;
  /** What was held against the endpoint; undefined for what is nobody's fault, such as 429. */
  readonly failure: AttemptFailure | undefined;
  /** HTTP status; 0 for no answer. */
  readonly status: number;
  /** Envoy's response flags. */
  readonly flags: readonly string[];
}

const KEPT_PER_ENDPOINT = 5;
/** Endpoints that failed longest ago are forgotten beyond this. */
const MAX_ENDPOINTS = 1_000;

/** The last few failed attempts of each endpoint, by its address. */
export class RecentFailures {
  readonly #byAddress = new Map<string, readonly FailedAttempt[]>();

  add(address: string, attempt: FailedAttempt): void {
    const earlier = this.#byAddress.get(address) ?? [];
    // Set anew, so that the map's order is that of the last failure.
    this.#byAddress.delete(address);
    this.#byAddress.set(address, [attempt, ...earlier.slice(0, KEPT_PER_ENDPOINT - 1)]);
    if (this.#byAddress.size <= MAX_ENDPOINTS) return;
    const [oldest] = this.#byAddress.keys();
    if (oldest !== undefined) this.#byAddress.delete(oldest);
  }

  /** Newest first. */
  of(address: string): readonly FailedAttempt[] {
    return this.#byAddress.get(address) ?? [];
  }
}
