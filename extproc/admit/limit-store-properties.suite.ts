import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import type { Charge, Counter } from './limit-store.ts';
import { LimiterModel } from './limiter-model.fixture.ts';
import type { Bench } from './store-bench.fixture.ts';

/** Counters of every kind; short days, so that they turn within a run. */
const DAY_MS = 20_000;
const KINDS: readonly Omit<Counter, 'key'>[] = [
  { limit: 6, window: { kind: 'sliding', periodMs: 1_000 }, shadow: false },
  { limit: 10, window: { kind: 'sliding', periodMs: 60_000 }, shadow: false },
  { limit: 40, window: { kind: 'sliding', periodMs: 3_600_000 }, shadow: false },
  { limit: 3, window: { kind: 'sliding', periodMs: 60_000 }, shadow: true },
  { limit: Number.POSITIVE_INFINITY, window: { kind: 'sliding', periodMs: 60_000 }, shadow: false },
  { limit: 4, window: { kind: 'held' }, shadow: false },
  { limit: 15, window: { kind: 'calendar', startMs: 0, endMs: DAY_MS }, shadow: false },
];

type Action = (run: Run) => Promise<void>;

/** Random sequences of calls, asked of the store and of the model at the same moments. */
export function limitStoreProperties(bench: Bench, runs: number): void {
  it('answers as the model does, and never reserves more than the limit in any period', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 60, size: 'max' }), async actions => {
        const run = new Run(bench);
        for (const act of actions) {
          await act(run);
          await run.check();
        }
      }),
      { numRuns: runs },
    );
  });
}

class Run {
  readonly #bench: Bench;
  readonly #model: LimiterModel;
  readonly #prefix: string;
  readonly #reservations: { readonly id: string; readonly charges: readonly Charge[] }[] = [];

  constructor(bench: Bench) {
    this.#bench = bench;
    this.#model = new LimiterModel(() => bench.current.nowMs());
    this.#prefix = bench.name();
  }

  async advance(ms: number): Promise<void> {
    await this.#bench.current.advance(ms);
  }

  async reserve(amounts: readonly (number | undefined)[]): Promise<void> {
    const id = this.#bench.name();
    const charges = this.#charges(amounts);
    const verdict = await this.#bench.current.store.reserve(id, charges);
    assert.deepEqual(verdict, this.#model.reserve(id, charges));
    if (verdict.admitted) this.#reservations.push({ id, charges });
  }

  async release(seed: number): Promise<void> {
    const reservation = this.#reservations[seed % this.#reservations.length];
    if (reservation === undefined) return;
    this.#model.release(reservation.id);
    this.#bench.current.store.release(reservation.id, reservation.charges);
    await this.#bench.current.flushed();
  }

  async settle(seed: number, real: readonly number[]): Promise<void> {
    const reservation = this.#reservations[seed % this.#reservations.length];
    if (reservation === undefined) return;
    const { id, charges } = reservation;
    const amounts = charges.map((_, i) => real[i] ?? 0);
    this.#model.settle(id, charges, amounts);
    this.#bench.current.store.settle(id, charges, amounts);
    await this.#bench.current.flushed();
  }

  async add(amounts: readonly (number | undefined)[]): Promise<void> {
    const charges = this.#charges(amounts);
    this.#model.add(charges);
    this.#bench.current.store.add(charges);
    await this.#bench.current.flushed();
  }

  async check(): Promise<void> {
    const counters = KINDS.map((_, kind) => this.#counter(kind));
    assert.deepEqual(await this.#bench.current.store.read(counters), this.#model.read(counters));
    for (const counter of counters) {
      const { limit, window, shadow } = counter;
      if (window.kind !== 'sliding' || shadow) continue;
      const reserved = this.#model.reservedSince(counter, this.#bench.current.nowMs() - window.periodMs);
      assert.ok(reserved <= limit, `${reserved} of ${limit} in ${window.periodMs} ms`);
    }
  }

  /** One charge for each kind that has an amount. */
  #charges(amounts: readonly (number | undefined)[]): Charge[] {
    return amounts.flatMap((amount, kind) => (amount === undefined ? [] : [{ counter: this.#counter(kind), amount }]));
  }

  #counter(kind: number): Counter {
    const { limit, window, shadow } = KINDS[kind] ?? {};
    assert.ok(limit !== undefined && window !== undefined && shadow !== undefined);
    const key = `${this.#prefix}/${kind}`;
    if (window.kind !== 'calendar') return { key, limit, window, shadow };
    const now = this.#bench.current.nowMs();
    const startMs = now - (now % DAY_MS);
    return { key: `${key}/${startMs}`, limit, window: { kind: 'calendar', startMs, endMs: startMs + DAY_MS }, shadow };
  }
}

const seed = fc.nat(1_000);
const amount = fc.oneof({ weight: 4, arbitrary: fc.nat(4) }, { weight: 1, arbitrary: fc.nat(50) });
const amounts = fc.array(fc.option(amount, { nil: undefined, freq: 1 }), {
  minLength: KINDS.length,
  maxLength: KINDS.length,
});
const real = fc.array(amount, { minLength: KINDS.length, maxLength: KINDS.length });
const elapsed = fc.oneof(fc.nat(40), fc.nat(1_100), fc.nat(21_000), fc.nat(62_000), fc.nat(4_000_000));

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 5,
    arbitrary: amounts.map(
      (each): Action =>
        run =>
          run.reserve(each),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(seed, real).map(
      ([which, each]): Action =>
        run =>
          run.settle(which, each),
    ),
  },
  {
    weight: 1,
    arbitrary: seed.map(
      (which): Action =>
        run =>
          run.release(which),
    ),
  },
  {
    weight: 1,
    arbitrary: amounts.map(
      (each): Action =>
        run =>
          run.add(each),
    ),
  },
  {
    weight: 4,
    arbitrary: elapsed.map(
      (ms): Action =>
        run =>
          run.advance(ms),
    ),
  },
);
