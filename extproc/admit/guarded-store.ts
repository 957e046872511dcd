import { setTimeout as delay } from 'node:timers/promises';
import type { Charge, Counter, CounterState, LimitStore, Verdict } from './limit-store.ts';
import type { MemoryStore } from './memory-store.ts';

/** One that may be slow or gone. */
export interface SharedStore extends LimitStore {
  /** `ageMs`: how long ago it was used; now when absent. */
  add(charges: readonly Charge[], ageMs?: number): void;
  /** Resolves when reservations can be made, rejects when they cannot. */
  probe(): Promise<void>;
}

/** What happens to requests while the shared store fails: this agent's share decides, none passes, or all pass. */
export type OnStoreFailure = 'local' | 'deny' | 'allow';

interface GuardedStoreOptions {
  readonly shared: SharedStore;
  /** Enforces this agent's share of the limits. */
  readonly local: MemoryStore;
  readonly onFailure: OnStoreFailure;
  /** How long a request waits for the shared store. */
  readonly timeoutMs?: number;
  /** Told why the shared store fails, and undefined when it answers again. */
  readonly onChange?: (failure: string | undefined) => void;
}

/** What was counted since the start. */
export interface GuardCounts {
  /** Times that the shared store was given up. */
  readonly failures: number;
  /** Requests that were decided without it. */
  readonly withoutStore: number;
  /** Reservations that it made after their requests had been decided without it, and that were given back. */
  readonly undone: number;
}

const DEFAULT_TIMEOUT_MS = 20;
/** Somebody waits for a read who asked for nothing else, and it may be of thousands of counters. */
const READ_TIMEOUT_MS = 1_000;
/** Reads under way at most, those among them that nobody waits for any more. */
const MAX_READS = 4;
/** Reads that wait for one of those to end. */
const MAX_WAITING_READS = 100;
/** Between two questions whether the shared store is back. */
const PROBE_EVERY_MS = 250;

const TIMED_OUT = Symbol('timed out');

/**
 * A shared store that nobody waits for longer than the timeout. After the first that waited in vain nobody waits at
 * all, until a probe was answered in time. Each reservation is settled where it was made. What was used without the
 * shared store is added to it when it is back, as budgets are to know all that was spent.
 */
export class GuardedStore implements LimitStore {
  readonly #shared: SharedStore;
  readonly #local: MemoryStore;
  readonly #onFailure: OnStoreFailure;
  readonly #timeoutMs: number;
  readonly #onChange: (failure: string | undefined) => void;
  /** Reservations that are not in the shared store. */
  readonly #elsewhere = new Set<string>();
  readonly #closing = new AbortController();
  readonly #counts = { failures: 0, withoutStore: 0, undone: 0 };
  #reads = 0;
  /** Each begins a read, in the place of one that has ended. */
  readonly #waitingReads: (() => void)[] = [];
  #failure: string | undefined;

  constructor(options: GuardedStoreOptions) {
    this.#shared = options.shared;
    this.#local = options.local;
    this.#onFailure = options.onFailure;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#onChange = options.onChange ?? (() => undefined);
  }

  /** Why the shared store is not asked now; undefined while it is. */
  get failure(): string | undefined {
    return this.#failure;
  }

  get counts(): GuardCounts {
    return this.#counts;
  }

  reserve(id: string, charges: readonly Charge[]): Verdict | Promise<Verdict> {
    if (this.#failure !== undefined) return this.#decideAlone(id, charges);
    return this.#reserveShared(id, charges);
  }

  release(id: string, charges: readonly Charge[]): void {
    if (!this.#elsewhere.has(id)) this.#shared.release(id, charges);
    else if (this.#onFailure === 'local') this.#local.release(id);
  }

  settle(id: string, charges: readonly Charge[], amounts: readonly number[]): void {
    if (!this.#elsewhere.delete(id)) {
      this.#shared.settle(id, charges, amounts);
      return;
    }
    if (this.#onFailure === 'local') this.#local.settle(id, charges, amounts);
    this.#shared.add(charges.map(({ counter, amount }, i) => ({ counter, amount: amounts[i] ?? amount })));
  }

  add(charges: readonly Charge[]): void {
    this.#shared.add(charges);
  }

  /** Rejected where the answer is late or none, which says nothing of the reservations of others. */
  read(counters: readonly Counter[]): readonly CounterState[] | Promise<readonly CounterState[]> {
    if (this.#failure === undefined) return this.#readShared(counters);
    if (this.#onFailure === 'local') return this.#local.read(counters);
    return Promise.reject(new Error(this.#failure));
  }

  /** Asks the shared store nothing more of its own accord. */
  close(): void {
    this.#closing.abort();
  }

  async #reserveShared(id: string, charges: readonly Charge[]): Promise<Verdict> {
    const answer = Promise.resolve(this.#shared.reserve(id, charges));
    try {
      const verdict = await this.#inTime(answer);
      if (verdict !== TIMED_OUT) return verdict;
      this.#undoWhenAnswered(id, charges, answer);
      this.#fail(tooSlow(this.#timeoutMs));
    } catch (error) {
      this.#fail(messageOf(error));
    }
    return this.#decideAlone(id, charges);
  }

  async #readShared(counters: readonly Counter[]): Promise<readonly CounterState[]> {
    const late = new AbortController();
    const answer = this.#readInTurn(counters, late.signal);
    const states = await this.#inTime(answer, READ_TIMEOUT_MS);
    if (states !== TIMED_OUT) return states;
    answer.catch(() => undefined);
    late.abort();
    throw new Error(tooSlow(READ_TIMEOUT_MS));
  }

  /** Asks nothing for whoever was told that it is late before it was its turn. */
  async #readInTurn(counters: readonly Counter[], late: AbortSignal): Promise<readonly CounterState[]> {
    if (this.#reads < MAX_READS) this.#reads++;
    else {
      if (this.#waitingReads.length === MAX_WAITING_READS) throw new Error('too many others are being read');
      await new Promise<void>(resolve => this.#waitingReads.push(resolve));
    }
    try {
      return late.aborted ? [] : await this.#shared.read(counters);
    } finally {
      const begin = this.#waitingReads.shift();
      if (begin === undefined) this.#reads--;
      else begin();
    }
  }

  #decideAlone(id: string, charges: readonly Charge[]): Verdict {
    this.#counts.withoutStore++;
    if (this.#onFailure === 'local') {
      const verdict = this.#local.reserve(id, charges);
      if (verdict.admitted) this.#elsewhere.add(id);
      return { ...verdict, isAlone: true };
    }
    if (this.#onFailure === 'deny') {
      return { admitted: false, refusedBy: [], retryAfterMs: PROBE_EVERY_MS, states: [], unavailable: true };
    }
    this.#elsewhere.add(id);
    return { admitted: true, states: [] };
  }

  /** Whoever asked has been decided on without it. */
  #undoWhenAnswered(id: string, charges: readonly Charge[], answer: Promise<Verdict>): void {
    answer.then(
      verdict => {
        if (!verdict.admitted) return;
        const nothing = charges.map(() => 0);
        this.#shared.settle(id, charges, nothing);
        this.#counts.undone++;
      },
      () => undefined,
    );
  }

  async #inTime<Answer>(answer: Promise<Answer>, timeoutMs = this.#timeoutMs): Promise<Answer | typeof TIMED_OUT> {
    const { promise, resolve } = Promise.withResolvers<typeof TIMED_OUT>();
    // An answer that came while this thread was busy is read before it is said to be late: timers come first.
    const timer = setTimeout(() => setImmediate(resolve, TIMED_OUT), timeoutMs);
    try {
      return await Promise.race([answer, promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #fail(failure: string): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.#counts.failures++;
    this.#onChange(failure);
    this.#probe();
  }

  /** One at a time, until one is answered in time. */
  async #probe(): Promise<void> {
    const { signal } = this.#closing;
    for (;;) {
      await delay(PROBE_EVERY_MS, undefined, { ref: false, signal }).catch(() => undefined);
      if (signal.aborted) return;
      const answer = this.#shared.probe();
      try {
        if ((await this.#inTime(answer)) !== TIMED_OUT) break;
        this.#failure = tooSlow(this.#timeoutMs);
        await answer;
      } catch (error) {
        this.#failure = messageOf(error);
      }
    }
    this.#failure = undefined;
    this.#onChange(undefined);
  }
}

function tooSlow(timeoutMs: number): string {
  return `no answer within ${timeoutMs} ms`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
