import assert from 'node:assert/strict';
import type { Charge, Counter, LimitStore, Verdict, Window } from './limit-store.ts';

export const minute: Window = { kind: 'sliding', periodMs: 60_000 };
export const held: Window = { kind: 'held' };

/** A store in a time of its own, which moves only when told. */
export interface StoreBench {
  readonly store: LimitStore;
  /** Milliseconds since the epoch, whole, as the store will take them. */
  nowMs(): number;
  /** Time goes on. No reservation ends by it: the store is given occasion to renew its leases on the way. */
  advance(ms: number): void | Promise<void>;
  /** Resolves when what was released, settled and added has come to count. */
  flushed(): void | Promise<void>;
  close(): void | Promise<void>;
}

/** One store for all tests, told apart by keys and ids. */
export class Bench {
  readonly #make: () => StoreBench | Promise<StoreBench>;
  #opened: StoreBench | undefined;
  #named = 0;

  constructor(make: () => StoreBench | Promise<StoreBench>) {
    this.#make = make;
  }

  async open(): Promise<void> {
    this.#opened = await this.#make();
  }

  async close(): Promise<void> {
    await this.#opened?.close();
  }

  get current(): StoreBench {
    assert.ok(this.#opened !== undefined);
    return this.#opened;
  }

  /** A key or an id that nobody used before. */
  name(): string {
    return `n${++this.#named}`;
  }

  counter(limit: number, window: Window = minute, shadow = false): Counter {
    return { key: this.name(), limit, window, shadow };
  }

  /** Of the period that begins now. */
  calendar(lengthMs: number): Window {
    return { kind: 'calendar', startMs: this.current.nowMs(), endMs: this.current.nowMs() + lengthMs };
  }

  async reserve(...charges: Charge[]): Promise<Verdict> {
    return this.current.store.reserve(this.name(), charges);
  }

  /** Whether so much of one counter passes; if so it is taken. */
  async takes(counter: Counter, amount = 1): Promise<boolean> {
    return (await this.reserve({ counter, amount })).admitted;
  }

  async used(counter: Counter): Promise<number | undefined> {
    return (await this.current.store.read([counter]))[0]?.used;
  }

  /** One that was admitted, to be ended. */
  async reservation(...charges: Charge[]): Promise<OpenReservation> {
    const id = this.name();
    assert.equal((await this.current.store.reserve(id, charges)).admitted, true);
    const { store, flushed } = this.current;
    return {
      settle: async (...amounts) => {
        store.settle(id, charges, amounts);
        await flushed();
      },
      release: async () => {
        store.release(id, charges);
        await flushed();
      },
    };
  }

  async add(counter: Counter, amount: number): Promise<void> {
    this.current.store.add([{ counter, amount }]);
    await this.current.flushed();
  }

  /** To the first millisecond of a bucket, so that a test knows where in it it is. */
  async toBucket(periodMs: number): Promise<void> {
    const bucketMs = periodMs / 60;
    await this.current.advance(bucketMs - (this.current.nowMs() % bucketMs));
  }
}

interface OpenReservation {
  settle(...amounts: number[]): Promise<void>;
  release(): Promise<void>;
}
