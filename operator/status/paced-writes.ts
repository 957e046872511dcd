import { retryDelayMs } from '../api/retry-delay.ts';

/** What came of a write: done, to be tried again later, or to be tried again when the server is well again. */
export type WriteOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed' | 'unavailable'; readonly retryAfterMs?: number };

interface PacedWritesOptions {
  /** Writes what is wanted of `key` now. Never rejects; never called twice at a time for one key. */
  readonly write: (key: string) => Promise<WriteOutcome>;
  /** Nothing is begun once this is aborted. */
  readonly signal: AbortSignal;
  /** The server does not answer, or asks to be left alone. */
  readonly onPause: (delayMs: number) => void;
}

/** How far apart two writes of one key begin, milliseconds. */
const GAP_MS = 1_000;
/** Writes under way at a time; the API server gives a client of its default flow about this share. */
const MAX_IN_FLIGHT = 8;

const BACKOFF = { firstMs: 500, maxMs: 30_000 };

interface Pace {
  wanted: boolean;
  writing: boolean;
  /** Set while it may not be written. */
  rest: NodeJS.Timeout | undefined;
  failures: number;
}

/**
 * Writes each key as often as it is asked to, but not more than once in a while, and never too many at a time. What is
 * asked for meanwhile is one more write. A failure costs its key a wait, a server that is away costs all of them one.
 */
export class PacedWrites {
  readonly #options: PacedWritesOptions;
  /** Keys of which anything is to be known; the others are at rest. */
  readonly #paces = new Map<string, Pace>();
  readonly #queue = new Set<string>();
  #inFlight = 0;
  #pause: NodeJS.Timeout | undefined;
  #outages = 0;

  constructor(options: PacedWritesOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', () => this.#stop(), { once: true });
  }

  /** Has `key` written as soon as it may be. */
  request(key: string): void {
    if (this.#options.signal.aborted) return;
    let pace = this.#paces.get(key);
    if (pace === undefined) {
      pace = { wanted: false, writing: false, rest: undefined, failures: 0 };
      this.#paces.set(key, pace);
    }
    pace.wanted = true;
    this.#settle(key, pace);
  }

  #settle(key: string, pace: Pace): void {
    if (pace.rest !== undefined || pace.writing) return;
    if (!pace.wanted) {
      this.#paces.delete(key);
      return;
    }
    this.#queue.add(key);
    this.#pump();
  }

  #pump(): void {
    // After an outage one write finds out whether it is over.
    const limit = this.#outages > 0 ? 1 : MAX_IN_FLIGHT;
    for (const key of this.#queue) {
      if (this.#pause !== undefined || this.#inFlight >= limit || this.#options.signal.aborted) return;
      this.#queue.delete(key);
      const pace = this.#paces.get(key);
      if (pace !== undefined) void this.#write(key, pace);
    }
  }

  async #write(key: string, pace: Pace): Promise<void> {
    pace.wanted = false;
    pace.writing = true;
    this.#rest(key, pace, GAP_MS);
    this.#inFlight += 1;
    const outcome = await this.#options.write(key);
    this.#inFlight -= 1;
    pace.writing = false;
    if (this.#options.signal.aborted) return;
    if (outcome.kind === 'unavailable') this.#pauseAll(outcome.retryAfterMs);
    else this.#outages = 0;
    if (outcome.kind === 'failed') {
      pace.failures += 1;
      this.#rest(
        key,
        pace,
        Math.max(GAP_MS, retryDelayMs(BACKOFF, pace.failures, Math.random(), outcome.retryAfterMs)),
      );
    } else if (outcome.kind === 'done') pace.failures = 0;
    if (outcome.kind !== 'done') pace.wanted = true;
    this.#settle(key, pace);
    this.#pump();
  }

  #rest(key: string, pace: Pace, ms: number): void {
    clearTimeout(pace.rest);
    pace.rest = setTimeout(() => {
      pace.rest = undefined;
      this.#settle(key, pace);
    }, ms);
  }

  /** Writes that were under way together fail together: that is one outage. */
  #pauseAll(retryAfterMs: number | undefined): void {
    if (this.#pause !== undefined) return;
    this.#outages += 1;
    const ms = retryDelayMs(BACKOFF, this.#outages, Math.random(), retryAfterMs);
    this.#options.onPause(ms);
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#pump();
    }, ms);
  }

  #stop(): void {
    clearTimeout(this.#pause);
    for (const { rest } of this.#paces.values()) clearTimeout(rest);
    this.#paces.clear();
    this.#queue.clear();
  }
}
