import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limitStoreSuite } from './limit-store.suite.ts';
import type { Charge, Counter, Window } from './limit-store.ts';
import { MemoryStore } from './memory-store.ts';
import { minute } from './store-bench.fixture.ts';

const startMs = 1_790_000_000_000;

/** A store of one agent and the clock it reads. */
function storeAt(clock: { nowMs: number }, agents = 1): MemoryStore {
  return new MemoryStore({ nowMs: () => clock.nowMs, agents: () => agents });
}

limitStoreSuite(
  'memory',
  () => {
    const clock = { nowMs: startMs };
    return {
      store: storeAt(clock),
      nowMs: () => clock.nowMs,
      advance: ms => {
        clock.nowMs += ms;
      },
      flushed: () => {},
      close: () => {},
    };
  },
  { runs: 300 },
);

describe('memory store', () => {
  it('knows nothing of a reservation that was not made', () => {
    const store = storeAt({ nowMs: startMs });
    const charges = [charge('a', 5, minute)];
    store.settle('x', charges, [9]);
    store.release('x');
    assert.equal(used(store, charges[0]), 0);
  });

  it('takes a clock that is set back as one that stood still, for what slides', () => {
    const clock = { nowMs: startMs };
    const store = storeAt(clock);
    const one = charge('a', 1, minute);
    store.add([one]);
    clock.nowMs -= 3_600_000;
    assert.equal(used(store, one), 1);
    clock.nowMs += 61_000;
    assert.equal(used(store, one), 0);
  });

  it('keeps a calendar sum over its end for a clock that is set back', () => {
    const clock = { nowMs: startMs };
    const store = storeAt(clock);
    const spent = charge('a', 7, { kind: 'calendar', startMs, endMs: startMs + 1_000 });
    store.add([spent]);
    clock.nowMs += 1_000 + 3_600_000;
    assert.equal(used(store, spent), 0);
    clock.nowMs -= 1;
    for (let i = 0; i < 100; i++) store.expire();
    assert.equal(used(store, spent), 7);
    clock.nowMs -= 3_600_000;
    assert.equal(used(store, spent), 7);
  });

  it('enforces its share of every limit, and tells it', () => {
    const store = storeAt({ nowMs: startMs }, 4);
    for (const window of [minute, { kind: 'calendar', startMs, endMs: startMs + 1_000 }, { kind: 'held' }] as const) {
      const ten = { ...charge(window.kind, 1, window), counter: counter(window.kind, window, 10) };
      assert.deepEqual(store.read([ten.counter]), [{ used: 0, limit: 2, resetMs: 0 }]);
      for (const admitted of [true, true, false]) {
        const verdict = store.reserve(`${window.kind}${used(store, ten)}`, [ten]);
        assert.equal(verdict.admitted, admitted);
        assert.equal(verdict.states[0]?.limit, 2);
      }
    }
  });

  it('never admits what is more than its share, and says so', () => {
    const store = storeAt({ nowMs: startMs }, 2);
    const verdict = store.reserve('x', [{ counter: counter('a', minute, 10), amount: 6 }]);
    assert.ok(!verdict.admitted);
    assert.equal(verdict.retryAfterMs, undefined);
  });

  it('forgets counters after their window, and those in use never', () => {
    const clock = { nowMs: startMs };
    const store = storeAt(clock);
    const slot = charge('slot', 1, { kind: 'held' });
    store.reserve('held', [slot]);
    store.reserve('done', [charge('free', 1, { kind: 'held' })]);
    store.release('done');
    for (let i = 0; i < 1_000; i++) {
      store.add([
        charge(`s${i}`, 1, minute),
        charge(`c${i}`, 1, { kind: 'calendar', startMs, endMs: startMs + 9_000 }),
      ]);
    }
    assert.equal(store.size, 2_002);
    clock.nowMs += 3_600_000;
    for (let i = 0; i < 200; i++) {
      clock.nowMs += 1_000;
      store.add([charge('busy', 1, minute)]);
      store.expire();
    }
    assert.equal(store.size, 2);
    assert.equal(used(store, slot), 1);
    assert.equal(used(store, charge('busy', 1, minute)), 61);
  });

  it('keeps memory bounded however many callers come, and what is held and spent out of it', () => {
    const store = storeAt({ nowMs: startMs });
    const slot = charge('slot', 1, { kind: 'held' });
    const spent = charge('spent', 1, { kind: 'calendar', startMs, endMs: startMs + 1_000 });
    store.reserve('held', [slot, spent]);
    for (let i = 0; i < 100_010; i++) store.add([charge(`s${i}`, 1, minute)]);
    assert.equal(store.size, 100_002);
    assert.deepEqual([used(store, slot), used(store, spent)], [1, 1]);
  });

  it('forgets whoever called longest ago first, and nobody who calls', () => {
    const store = storeAt({ nowMs: startMs });
    const day: Window = { kind: 'sliding', periodMs: 86_400_000 };
    const [steady, rare, gone] = ['steady', 'rare', 'gone'].map(key => charge(key, 1, day));
    assert.ok(steady && rare && gone);
    store.add([steady, rare, gone]);
    for (let i = 1; i <= 300_000; i++) {
      store.add([charge(`flood ${i}`, 1, day)]);
      if (i % 100 === 0) store.reserve(`steady ${i}`, [steady]);
      if (i % 90_000 === 0) store.add([rare]);
    }
    assert.deepEqual([used(store, steady), used(store, rare), used(store, gone)], [3_001, 4, 0]);
  });

  it('gives up a reservation after a day: what it holds is free, the rest stands', () => {
    const clock = { nowMs: startMs };
    const store = storeAt(clock);
    const slot = charge('slot', 1, { kind: 'held' });
    const month = charge('month', 5, { kind: 'calendar', startMs, endMs: startMs + 30 * 86_400_000 });
    store.reserve('x', [slot, month]);
    clock.nowMs += 86_400_000 - 1;
    store.expire();
    assert.equal(used(store, slot), 1);
    clock.nowMs += 1;
    store.expire();
    assert.deepEqual([used(store, slot), used(store, month)], [0, 5]);
    store.settle('x', [slot, month], [1, 0]);
    assert.equal(used(store, month), 5);
  });

  it('gives up the oldest of more than 200,000 reservations', () => {
    const store = storeAt({ nowMs: startMs });
    const slot = [charge('slot', 1, { kind: 'held' })];
    for (let i = 0; i < 200_003; i++) store.reserve(`${i}`, slot);
    assert.equal(used(store, slot[0]), 200_000);
  });
});

function counter(key: string, window: Window, limit = Number.POSITIVE_INFINITY): Counter {
  return { key, limit, window, shadow: false };
}

function charge(key: string, amount: number, window: Window): Charge {
  return { counter: counter(key, window), amount };
}

function used(store: MemoryStore, of: Charge | undefined): number | undefined {
  return of === undefined ? undefined : store.read([of.counter])[0]?.used;
}
