import { LateCharges } from './late-charges.ts';
import { StoreUnavailable } from './valkey-connection.ts';

/** What a shared store is told without waiting for its answer, as `settle.lua` reads it. */
type StoreOperation = readonly [...Told, ageMs: number];
type Told = readonly [what: 'settle' | 'release' | 'add', id: string, charges: readonly StoreCharge[]];
export type StoreCharge = readonly [key: string, window: string, term: number, amount: number];

/** How long an operation waits for others to be sent with. */
const BATCH_MS = 50;
/** A batch blocks the store for a millisecond or two. */
const MAX_BATCH = 200;
/** All the streams that an agent can have. */
const MAX_QUEUE = 10_000;
/** With so many before it, which is seconds of a busy agent, what is added is added up first. */
const MANY = 1_000;
const RETRY_MS = 250;

interface Waiting {
  readonly told: Told;
  readonly sinceMs: number;
}

/** `ageMs`: how long ago it was used. */
type Heir = (charges: readonly StoreCharge[], ageMs: number) => void;

interface StoreWriterOptions {
  /** Resolves with how many charges the store could not count. */
  readonly send: (sequence: number, operations: readonly StoreOperation[]) => Promise<number>;
  /** Milliseconds of a clock that does not go back. */
  readonly elapsedMs: () => number;
}

/**
 * Sends operations in batches, in order and one at a time, each again until the store has answered it. Batches are
 * numbered, by which the store knows one that it has carried out already. While the store is away, what is added is added
 * up by counter; of settlements and releases, if there are more than the queue holds, the oldest are dropped.
 */
export class StoreWriter {
  readonly #send: StoreWriterOptions['send'];
  readonly #elapsedMs: () => number;
  readonly #queue: Waiting[] = [];
  readonly #late = new LateCharges();
  /** Taken off the queue and not answered. */
  #batch: readonly Waiting[] | undefined;
  /** Whether the store may have carried out the batch. */
  #mayBeDone = false;
  #heir: Heir | undefined;
  #sequence = 0;
  #timer: NodeJS.Timeout | undefined;
  #soon = false;
  #sending: Promise<boolean> | undefined;
  #dropped = 0;
  #closed = false;

  constructor({ send, elapsedMs }: StoreWriterOptions) {
    this.#send = send;
    this.#elapsedMs = elapsedMs;
  }

  /** Operations that the store will never hear of, and charges that it could not count. */
  get dropped(): number {
    return this.#dropped + this.#late.dropped;
  }

  /** `soon`: with what else this turn of the event loop brings, since somebody may be waiting for its effect. */
  push(told: Told, soon: boolean, ageMs = 0): void {
    this.#keep(told, this.#elapsedMs() - ageMs);
    if (soon && !this.#soon) {
      this.#soon = true;
      setImmediate(() => {
        this.#soon = false;
        // What is not answered yet goes first, and wakes what comes after it.
        if (this.#batch === undefined) this.flush();
      });
    }
    this.#wake(BATCH_MS);
  }

  /** Sends all that is there. Resolves with whether the store has it; what it does not have is tried again. */
  async flush(): Promise<boolean> {
    while (this.#batch !== undefined || this.#isLeft()) {
      this.#sending ??= this.#sendNext();
      if (!(await this.#sending)) return false;
    }
    return true;
  }

  /** Gives away what was added, except in a batch that the store may have carried out, for that is sent again. */
  handOver(heir: Heir): void {
    this.#heir = heir;
    if (this.#sending === undefined) this.#handOverBatch(heir);
    const left = this.#take(Number.POSITIVE_INFINITY);
    this.#queue.push(...this.#withoutAdded(left, heir));
  }

  /** Sends nothing more: what is left is dropped. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#dropped += (this.#batch?.length ?? 0) + this.#take(Number.POSITIVE_INFINITY).length;
    this.#batch = undefined;
  }

  #keep(told: Told, sinceMs: number): void {
    if (this.#closed) {
      this.#dropped++;
      return;
    }
    const [what, , charges] = told;
    if (what === 'add' && this.#queue.length >= MANY) {
      for (const charge of charges) this.#late.add(charge, sinceMs);
      return;
    }
    this.#queue.push({ told, sinceMs });
    if (this.#queue.length <= MAX_QUEUE) return;
    this.#queue.shift();
    this.#dropped++;
  }

  #handOverBatch(heir: Heir): void {
    if (this.#batch === undefined || this.#mayBeDone) return;
    const left = this.#withoutAdded(this.#batch, heir);
    this.#batch = left.length === 0 ? undefined : left;
  }

  #withoutAdded(some: readonly Waiting[], heir: Heir): Waiting[] {
    const nowMs = this.#elapsedMs();
    return some.filter(({ told: [what, , charges], sinceMs }) => {
      if (what === 'add') heir(charges, nowMs - sinceMs);
      return what !== 'add';
    });
  }

  #isLeft(): boolean {
    return this.#queue.length + this.#late.size > 0;
  }

  #take(most: number): Waiting[] {
    const some = this.#queue.splice(0, most);
    for (const { charge, sinceMs } of this.#late.take(most - some.length)) {
      some.push({ told: ['add', '', [charge]], sinceMs });
    }
    return some;
  }

  async #sendNext(): Promise<boolean> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#batch === undefined) {
      this.#sequence++;
      this.#batch = this.#take(MAX_BATCH);
      this.#mayBeDone = false;
    }
    const nowMs = this.#elapsedMs();
    const age = (sinceMs: number) => Math.max(0, Math.round(nowMs - sinceMs));
    try {
      const failed = await this.#send(
        this.#sequence,
        this.#batch.map(({ told, sinceMs }) => [...told, age(sinceMs)]),
      );
      this.#dropped += failed;
      this.#batch = undefined;
      return true;
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || error.mayHaveRun) this.#mayBeDone = true;
      if (this.#heir !== undefined) this.#handOverBatch(this.#heir);
      return false;
    } finally {
      this.#sending = undefined;
      if (this.#batch !== undefined) this.#wake(RETRY_MS);
      else if (this.#isLeft()) this.#wake(0);
    }
  }

  #wake(ms: number): void {
    if (this.#closed || this.#timer !== undefined || this.#sending !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.flush();
    }, ms);
    this.#timer.unref();
  }
}
