import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Bench, held, minute } from './store-bench.fixture.ts';

/** What passes and what does not, and what is told of it. */
export function limitStoreVerdicts(bench: Bench): void {
  const cases: { limit: number; used: number; amount: number; shadow?: boolean; admitted: boolean; never?: boolean }[] =
    [
      { limit: 10, used: 0, amount: 10, admitted: true },
      { limit: 10, used: 9, amount: 1, admitted: true },
      { limit: 10, used: 10, amount: 0, admitted: true },
      { limit: 10, used: 10, amount: 1, admitted: false },
      { limit: 10, used: 1, amount: 10, admitted: false },
      { limit: 10, used: 0, amount: 11, admitted: false, never: true },
      { limit: 10, used: 11, amount: 0, admitted: false },
      { limit: 0, used: 0, amount: 1, admitted: false, never: true },
      { limit: 0, used: 0, amount: 0, admitted: false, never: true },
      { limit: 10, used: 10, amount: 1, shadow: true, admitted: true },
      { limit: 0, used: 0, amount: 1, shadow: true, admitted: true },
      { limit: Number.POSITIVE_INFINITY, used: 1e9, amount: 1e9, admitted: true },
      { limit: 9e15, used: 9e15 - 1, amount: 1, admitted: true },
      { limit: 9e15, used: 9e15 - 1, amount: 2, admitted: false },
    ];
  for (const window of ['sliding', 'calendar'] as const) {
    for (const { limit, used, amount, shadow = false, admitted, never = false } of cases) {
      const of = shadow ? `shadow ${limit}` : `${limit}`;
      it(`${admitted ? 'admits' : 'refuses'} ${amount} of ${of} with ${used} used (${window})`, async () => {
        const counter = bench.counter(limit, window === 'sliding' ? minute : bench.calendar(60_000), shadow);
        await bench.add(counter, used);
        const verdict = await bench.reserve({ counter, amount });
        assert.equal(verdict.admitted, admitted);
        assert.equal(await bench.used(counter), admitted ? used + amount : used);
        if (!verdict.admitted) assert.equal(verdict.retryAfterMs === undefined, never);
      });
    }
  }

  it('reserves nothing where one charge does not pass, and names those that do not', async () => {
    const counters = [bench.counter(5), bench.counter(1), bench.counter(9), bench.counter(1), bench.counter(0, held)];
    const verdict = await bench.reserve(...counters.map(counter => ({ counter, amount: 2 })));
    assert.ok(!verdict.admitted);
    assert.deepEqual(verdict.refusedBy, [1, 3, 4]);
    assert.deepEqual(
      verdict.states,
      counters.map(({ limit }) => ({ used: 0, limit, resetMs: 0 })),
    );
    assert.deepEqual(await bench.current.store.read(counters), verdict.states);
  });

  it('counts no further than to 9e15, whatever is asked for, and all charges of a request or none', async () => {
    for (const window of [minute, bench.calendar(60_000)]) {
      const [absurd, other] = [bench.counter(5, window, true), bench.counter(Number.POSITIVE_INFINITY, window)];
      const reservations = [];
      for (let i = 0; i < 1_100; i++) {
        const reservation = await bench.reservation({ counter: other, amount: 1 }, { counter: absurd, amount: 8e15 });
        reservations.push(reservation);
      }
      assert.deepEqual([await bench.used(other), await bench.used(absurd)], [1_100, 9e15]);
      await bench.add(absurd, 8e15);
      for (const { settle } of reservations) await settle(1, 0);
      assert.equal(await bench.used(other), 1_100);
      await bench.add(other, Number.MAX_SAFE_INTEGER);
      assert.equal(await bench.used(other), 9e15);
    }
  });

  it('counts shadows, and never says that they refuse', async () => {
    const shadow = bench.counter(1, minute, true);
    const other = bench.counter(1);
    assert.equal((await bench.reserve({ counter: shadow, amount: 5 }, { counter: other, amount: 1 })).admitted, true);
    const verdict = await bench.reserve({ counter: shadow, amount: 5 }, { counter: other, amount: 1 });
    assert.ok(!verdict.admitted);
    assert.deepEqual(verdict.refusedBy, [1]);
    assert.equal(await bench.used(shadow), 5);
  });

  it('tells each counter after the reservation', async () => {
    const calendar = bench.counter(7, bench.calendar(5_000));
    const slots = bench.counter(3, held);
    const verdict = await bench.reserve({ counter: calendar, amount: 2 }, { counter: slots, amount: 1 });
    assert.deepEqual(verdict, {
      admitted: true,
      states: [
        { used: 2, limit: 7, resetMs: 5_000 },
        { used: 1, limit: 3, resetMs: 0 },
      ],
    });
  });

  it('admits a request without charges', async () => {
    assert.deepEqual(await bench.reserve(), { admitted: true, states: [] });
  });

  it('keeps counters apart by any key', async () => {
    const keys = ['a/b', 'a:b', 'a b', '{a}b', 'é', 'a\nb', 'constructor', '__proto__', 'a'.repeat(500)];
    const prefix = bench.name();
    const counters = keys.map(key => ({ ...bench.counter(1), key: `${prefix}${key}` }));
    for (const counter of counters) assert.equal(await bench.takes(counter), true);
    for (const counter of counters) assert.equal(await bench.takes(counter), false);
  });

  it('never admits more than the limit of what is asked at once', async () => {
    const counter = bench.counter(20);
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => bench.reserve({ counter, amount: 3 })));
    assert.equal(verdicts.filter(verdict => verdict.admitted).length, 6);
    assert.equal(await bench.used(counter), 18);
  });
}
