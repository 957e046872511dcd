import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { endpointName, ModelIndex } from '../models/model-index.ts';
import { Picker } from './picker.ts';
import { mulberry32 } from './random.ts';
import { oneModel } from './sample-model.fixture.ts';

type Capacities = Readonly<Record<string, number>>;

/** One backend, so named, with one endpoint for each capacity. */
function start(capacities: Capacities, random: () => number) {
  const load = new EndpointLoad();
  const index = new ModelIndex(load);
  const picker = new Picker(load, random);
  const list = (listed: Capacities) =>
    index.apply(oneModel(Object.entries(listed).map(([name, capacity]) => ({ name, capacity, endpoints: [name] }))));
  list(capacities);
  const take = (count: number): string[] =>
    Array.from({ length: count }, () => {
      const entry = index.resolve('model');
      assert.ok(entry);
      const pick = picker.pick(entry, 'round-robin', { promptTokens: 1, outputTokens: 1 }, 0);
      assert.ok(pick);
      return endpointName(pick.backend, pick.slots[0] ?? -1);
    });
  const eject = (id: string) => {
    const row = [...load.rows(0)].find(each => each.id === id);
    for (let failed = 0; failed < 3; failed++) load.attemptFailed(row?.slot ?? -1, 'reset', 0);
  };
  return { list, take, eject };
}

const countOf = (taken: readonly string[], id: string) => taken.filter(each => each === id).length;

describe('round robin', () => {
  const sequences: readonly (readonly [capacities: Capacities, sequence: string])[] = [
    [{ a: 5, b: 1, c: 1 }, 'aabacaa'], // nginx's own example
    [{ a: 1, b: 1, c: 1 }, 'abcabc'],
    [{ a: 2, b: 1 }, 'abaaba'],
    [{ a: 1, b: 0.5, c: 0.5 }, 'abcaabca'],
  ];
  for (const [capacities, sequence] of sequences) {
    it(`goes ${sequence} for ${JSON.stringify(capacities)}`, () => {
      const { take } = start(capacities, () => 0);
      assert.equal(take(sequence.length).join(''), sequence);
    });
  }

  it('gives each exactly its capacity in every cycle', () => {
    const capacities = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8, size: 'max' });
    fc.assert(
      fc.property(fc.integer(), capacities, (seed, list) => {
        const named = Object.fromEntries(list.map((capacity, index) => [`p${index}`, capacity]));
        const total = list.reduce((sum, capacity) => sum + capacity, 0);
        const { take } = start(named, mulberry32(seed));
        for (let cycle = 0; cycle < 3; cycle++) {
          const taken = take(total);
          for (const [id, capacity] of Object.entries(named)) assert.equal(countOf(taken, id), capacity);
        }
      }),
    );
  });

  it('keeps the order of equals', () => {
    const { take } = start({ a: 1, b: 1, c: 1, d: 1 }, mulberry32(5));
    const cycle = take(4).join('');
    for (let again = 0; again < 5; again++) assert.equal(take(4).join(''), cycle);
  });

  it('remembers whose turn it is when endpoints come and go', () => {
    const { list, take } = start({ a: 1, b: 1, c: 1, d: 1 }, () => 0);
    assert.equal(take(2).join(''), 'ab');
    list({ a: 1, b: 1, c: 1, d: 1, e: 1 });
    assert.deepEqual(take(3).sort(), ['c', 'd', 'e']);
    list({ a: 1, b: 1, e: 1 });
    const taken = take(30);
    for (const id of ['a', 'b', 'e']) assert.ok(Math.abs(countOf(taken, id) - 10) <= 1, `${id}: ${taken.join('')}`);
  });

  it('shares what an ejected endpoint would get among the others', () => {
    const { eject, take } = start({ a: 2, b: 1, c: 1 }, () => 0);
    eject('b');
    const taken = take(30);
    assert.deepEqual([countOf(taken, 'a'), countOf(taken, 'b'), countOf(taken, 'c')], [20, 0, 10]);
  });
});
