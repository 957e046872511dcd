import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { endpointName, ModelIndex } from '../models/model-index.ts';
import { Picker } from './picker.ts';
import { mulberry32 } from './random.ts';
import { oneModel } from './sample-model.fixture.ts';

function start(seed: number, ids: readonly string[]) {
  const load = new EndpointLoad();
  const index = new ModelIndex(load);
  const picker = new Picker(load, mulberry32(seed));
  const list = (endpoints: readonly string[]) => index.apply(oneModel([{ name: 'gpu', endpoints }]));
  list(ids);
  const next = (nowMs = 0): string => {
    const entry = index.resolve('model');
    assert.ok(entry);
    const pick = picker.pick(entry, 'shuffle', { promptTokens: 1, outputTokens: 1 }, nowMs);
    assert.ok(pick);
    return endpointName(pick.backend, pick.slots[0] ?? -1);
  };
  const take = (count: number, nowMs = 0) => Array.from({ length: count }, () => next(nowMs));
  const eject = (id: string) => {
    const row = [...load.rows(0)].find(each => each.id === id);
    for (let failed = 0; failed < 3; failed++) load.attemptFailed(row?.slot ?? -1, 'reset', 0);
  };
  return { list, take, eject };
}

const sorted = (ids: readonly string[]) => [...ids].sort();

describe('shuffle', () => {
  it('gives each endpoint exactly one request in every cycle', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 20 }), (seed, count) => {
        const ids = Array.from({ length: count }, (_, index) => `p${index}`);
        const { take } = start(seed, ids);
        for (let cycle = 0; cycle < 5; cycle++) assert.deepEqual(sorted(take(count)), sorted(ids));
      }),
    );
  });

  it('takes another order every time', () => {
    const { take } = start(1, ['a', 'b', 'c', 'd', 'e', 'f']);
    const orders = new Set(Array.from({ length: 20 }, () => take(6).join('')));
    assert.ok(orders.size >= 15, `${orders.size} orders in 20 cycles`);
  });

  it('has every order of three equally often', () => {
    const { take } = start(2, ['a', 'b', 'c']);
    const counts = new Map<string, number>();
    for (let cycle = 0; cycle < 6_000; cycle++) {
      const order = take(3).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    assert.equal(counts.size, 6);
    for (const [order, count] of counts) assert.ok(Math.abs(count - 1_000) < 120, `${order}: ${count} of 6000`);
  });

  it('goes on with the cycle when endpoints come and go', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { list, take } = start(seed, ['a', 'b', 'c', 'd', 'e']);
      const had = take(2);
      const gone = ['a', 'b', 'c', 'd', 'e'].find(id => !had.includes(id));
      const now = [...['e', 'd', 'c', 'b', 'a'].filter(id => id !== gone), 'new'];
      list(now);
      assert.deepEqual(sorted(take(3)), sorted(now.filter(id => !had.includes(id))), 'the rest of the cycle');
      assert.deepEqual(sorted(take(5)), sorted(now), 'the next cycle');
    }
  });

  it('cannot be foretold after a change either', () => {
    const next = new Set<string>();
    for (let seed = 0; seed < 30; seed++) {
      const { list, take } = start(seed, ['a']);
      take(1);
      list(['a', 'b', 'c', 'd']);
      next.add(take(1).join());
    }
    assert.deepEqual([...next].sort(), ['b', 'c', 'd']);
  });

  it('keeps the turn of an ejected endpoint until the others had theirs', () => {
    const { eject, take } = start(4, ['a', 'b', 'c']);
    eject('a');
    assert.deepEqual(sorted(take(2)), ['b', 'c']);
    assert.deepEqual(take(1, 5_000), ['a']);
    eject('a');
    for (let cycle = 0; cycle < 3; cycle++) assert.deepEqual(sorted(take(2)), ['b', 'c']);
  });
});
