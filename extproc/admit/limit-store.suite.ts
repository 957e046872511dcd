import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Window } from './limit-store.ts';
import { limitStoreProperties } from './limit-store-properties.suite.ts';
import { limitStoreVerdicts } from './limit-store-verdicts.suite.ts';
import { Bench, held, minute, type StoreBench } from './store-bench.fixture.ts';

interface SuiteOptions {
  /** Random runs of each property. */
  readonly runs: number;
}

/** The behaviour of every store: `open` makes the one under test, with nothing in it. */
export function limitStoreSuite(
  name: string,
  open: () => StoreBench | Promise<StoreBench>,
  { runs }: SuiteOptions,
): void {
  describe(`limit store ${name}`, () => {
    const bench = new Bench(open);
    before(() => bench.open());
    after(() => bench.close());

    describe('admits or refuses', () => limitStoreVerdicts(bench));
    describe('slides', () => suiteSliding(bench));
    describe('settles', () => suiteSettling(bench));
    describe('turns with the calendar', () => suiteCalendar(bench));
    describe('holds', () => suiteHeld(bench));
    describe('as the model', () => limitStoreProperties(bench, runs));
  });
}

const second: Window = { kind: 'sliding', periodMs: 1_000 };
const hour: Window = { kind: 'sliding', periodMs: 3_600_000 };

function suiteSliding(bench: Bench): void {
  it('counts what was taken at the start of a bucket for one bucket more than the period', async () => {
    for (const window of [minute, hour]) {
      if (window.kind !== 'sliding') continue;
      const { periodMs } = window;
      await bench.toBucket(periodMs);
      const counter = bench.counter(1, window);
      assert.equal(await bench.takes(counter), true);
      await bench.current.advance(periodMs + periodMs / 60 - 1);
      assert.equal(await bench.takes(counter), false);
      await bench.current.advance(1);
      assert.equal(await bench.takes(counter), true);
    }
  });

  it('counts what was taken at the end of a bucket for 1 ms more than the period', async () => {
    await bench.toBucket(60_000);
    await bench.current.advance(999);
    const counter = bench.counter(1);
    assert.equal(await bench.takes(counter), true);
    await bench.current.advance(60_000);
    assert.equal(await bench.takes(counter), false);
    await bench.current.advance(1);
    assert.equal(await bench.takes(counter), true);
  });

  it('frees amounts one by one, as they leave', async () => {
    await bench.toBucket(60_000);
    const counter = bench.counter(10);
    for (const amount of [1, 2, 3, 4]) {
      assert.equal(await bench.takes(counter, amount), true);
      await bench.current.advance(10_000);
    }
    await bench.current.advance(21_000);
    for (const used of [9, 7, 4, 0]) {
      assert.equal(await bench.used(counter), used);
      await bench.current.advance(10_000);
    }
  });

  for (const { periodMs, limit, amounts, amount } of [
    { periodMs: 1_000, limit: 5, amounts: [5], amount: 1 },
    { periodMs: 1_000, limit: 5, amounts: [1, 1, 1, 1, 1], amount: 3 },
    { periodMs: 60_000, limit: 10, amounts: [2, 3, 4], amount: 2 },
    { periodMs: 60_000, limit: 10, amounts: [2, 3, 4], amount: 5 },
    { periodMs: 60_000, limit: 10, amounts: [2, 3, 4], amount: 10 },
    { periodMs: 86_400_000, limit: 10, amounts: [9, 1], amount: 4 },
  ]) {
    it(`says exactly when ${amount} of ${limit} in ${periodMs} ms passes, after ${amounts}`, async () => {
      const counter = bench.counter(limit, { kind: 'sliding', periodMs });
      for (const earlier of amounts) {
        assert.equal(await bench.takes(counter, earlier), true);
        await bench.current.advance(Math.ceil(periodMs / 7));
      }
      const verdict = await bench.reserve({ counter, amount });
      assert.ok(!verdict.admitted && verdict.retryAfterMs !== undefined);
      await bench.current.advance(verdict.retryAfterMs - 1);
      assert.equal(await bench.takes(counter, amount), false);
      await bench.current.advance(1);
      assert.equal(await bench.takes(counter, amount), true);
    });
  }

  it('says when the last of several limits passes, and nothing where one never will', async () => {
    await bench.toBucket(60_000);
    const [short, long, none] = [bench.counter(1, second), bench.counter(1, minute), bench.counter(0)];
    const both = [short, long].map(counter => ({ counter, amount: 1 }));
    assert.equal((await bench.reserve(...both)).admitted, true);
    const verdict = await bench.reserve(...both);
    assert.ok(!verdict.admitted);
    assert.equal(verdict.retryAfterMs, 61_000);
    const never = await bench.reserve(...both, { counter: none, amount: 1 });
    assert.ok(!never.admitted);
    assert.equal(never.retryAfterMs, undefined);
  });

  it('resets when the newest amount leaves', async () => {
    await bench.toBucket(60_000);
    const counter = bench.counter(10);
    await bench.takes(counter);
    await bench.current.advance(5_000);
    await bench.takes(counter);
    assert.deepEqual(await bench.current.store.read([counter]), [{ used: 2, limit: 10, resetMs: 61_000 }]);
    await bench.current.advance(61_000);
    assert.deepEqual(await bench.current.store.read([counter]), [{ used: 0, limit: 10, resetMs: 0 }]);
  });

  it('takes what is settled late or never as it was reserved', async () => {
    const counter = bench.counter(10);
    const reservation = await bench.reservation({ counter, amount: 4 });
    await bench.current.advance(30_000);
    assert.equal(await bench.used(counter), 4);
    await bench.current.advance(31_000);
    await reservation.settle(1);
    assert.equal(await bench.used(counter), 0);
  });
}

function suiteSettling(bench: Bench): void {
  it('gives back what was not used to where it was taken from', async () => {
    await bench.toBucket(60_000);
    const counter = bench.counter(10);
    const reservation = await bench.reservation({ counter, amount: 8 });
    await bench.current.advance(20_000);
    await bench.takes(counter, 2);
    await reservation.settle(3);
    assert.equal(await bench.used(counter), 5);
    await bench.current.advance(41_000);
    assert.equal(await bench.used(counter), 2);
  });

  it('counts what was used beyond as debt of now, for which later requests wait', async () => {
    await bench.toBucket(60_000);
    const counter = bench.counter(10);
    const reservation = await bench.reservation({ counter, amount: 8 });
    await bench.current.advance(20_000);
    await reservation.settle(23);
    assert.equal(await bench.used(counter), 23);
    const verdict = await bench.reserve({ counter, amount: 1 });
    assert.ok(!verdict.admitted);
    assert.equal(verdict.retryAfterMs, 61_000);
    await bench.current.advance(41_000);
    assert.equal(await bench.used(counter), 15);
    await bench.current.advance(20_000);
    assert.equal(await bench.takes(counter, 10), true);
  });

  it('settles each charge by its own amount', async () => {
    const counters = [bench.counter(10), bench.counter(10, minute, true), bench.counter(Number.POSITIVE_INFINITY)];
    const reservation = await bench.reservation(...counters.map(counter => ({ counter, amount: 5 })));
    await reservation.settle(0, 5, 70);
    assert.deepEqual(
      (await bench.current.store.read(counters)).map(({ used }) => used),
      [0, 5, 70],
    );
  });

  it('settles once', async () => {
    const counter = bench.counter(10);
    const reservation = await bench.reservation({ counter, amount: 5 });
    await reservation.settle(2);
    await reservation.settle(9);
    assert.equal(await bench.used(counter), 2);
  });

  it('releases once, then settles', async () => {
    const slots = bench.counter(5, held);
    const counter = bench.counter(10);
    await bench.takes(slots, 2);
    const reservation = await bench.reservation({ counter: slots, amount: 1 }, { counter, amount: 5 });
    await reservation.release();
    await reservation.release();
    assert.equal(await bench.used(slots), 2);
    assert.equal(await bench.used(counter), 5);
    await reservation.settle(1, 4);
    await reservation.release();
    assert.equal(await bench.used(slots), 2);
    assert.equal(await bench.used(counter), 4);
  });

  it('adds without asking', async () => {
    const [counter, slots] = [bench.counter(10), bench.counter(1, held)];
    await bench.add(counter, 12);
    await bench.add(slots, 1);
    assert.equal(await bench.used(counter), 12);
    assert.equal(await bench.used(slots), 0);
  });
}

function suiteCalendar(bench: Bench): void {
  it('counts one sum until its end', async () => {
    const counter = bench.counter(10, bench.calendar(100_000));
    await bench.takes(counter, 6);
    await bench.current.advance(70_000);
    await bench.takes(counter, 3);
    const verdict = await bench.reserve({ counter, amount: 2 });
    assert.ok(!verdict.admitted);
    assert.equal(verdict.retryAfterMs, 30_000);
    await bench.current.advance(29_999);
    assert.equal(await bench.takes(counter, 2), false);
    await bench.current.advance(1 + 3_600_000);
    assert.deepEqual(await bench.current.store.read([counter]), [{ used: 0, limit: 10, resetMs: 0 }]);
    assert.equal(await bench.takes(counter, 2), true);
  });

  it('counts on after its end, for an hour, for those by whose clock that is still to come', async () => {
    const counter = bench.counter(10, bench.calendar(1_000));
    await bench.takes(counter, 6);
    await bench.current.advance(3_600_000);
    assert.equal(await bench.takes(counter, 3), true);
    const verdict = await bench.reserve({ counter, amount: 2 });
    assert.ok(!verdict.admitted);
    assert.deepEqual([verdict.retryAfterMs, verdict.states], [0, [{ used: 9, limit: 10, resetMs: 0 }]]);
  });

  it('begins the next period with nothing, and charges what ends late to the period that is over', async () => {
    const old = bench.counter(10, bench.calendar(1_000));
    const reservation = await bench.reservation({ counter: old, amount: 10 });
    await bench.current.advance(1_000);
    const next = bench.counter(10, bench.calendar(1_000));
    await reservation.settle(50);
    assert.equal(await bench.used(old), 50);
    assert.equal(await bench.takes(next, 10), true);
  });

  it('gives back and takes more within the period', async () => {
    const counter = bench.counter(10, bench.calendar(86_400_000));
    const [less, more] = [
      await bench.reservation({ counter, amount: 4 }),
      await bench.reservation({ counter, amount: 4 }),
    ];
    await less.settle(1);
    assert.equal(await bench.used(counter), 5);
    await more.settle(11);
    assert.equal(await bench.used(counter), 12);
  });
}

function suiteHeld(bench: Bench): void {
  it('is used until it is released, however long that takes, and nobody knows when', async () => {
    const counter = bench.counter(2, held);
    const first = await bench.reservation({ counter, amount: 1 });
    const other = await bench.reservation({ counter, amount: 1 });
    await bench.current.advance(120_000);
    const verdict = await bench.reserve({ counter, amount: 1 });
    assert.ok(!verdict.admitted);
    assert.equal(verdict.retryAfterMs, undefined);
    await first.release();
    assert.equal(await bench.takes(counter), true);
    assert.equal(await bench.takes(counter), false);
    await other.settle(5);
    assert.equal(await bench.used(counter), 1);
  });

  it('does not hide behind a limit that knows when', async () => {
    const [slots, counter] = [bench.counter(1, held), bench.counter(1)];
    const charges = [slots, counter].map(each => ({ counter: each, amount: 1 }));
    const reservation = await bench.reservation(...charges);
    const both = await bench.reserve(...charges);
    assert.ok(!both.admitted);
    assert.deepEqual(both.refusedBy, [0, 1]);
    assert.equal(both.retryAfterMs, undefined);
    await reservation.release();
    const one = await bench.reserve(...charges);
    assert.ok(!one.admitted && one.retryAfterMs !== undefined);
    assert.deepEqual(one.refusedBy, [1]);
  });
}
