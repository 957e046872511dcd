import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Register } from './register.ts';

interface Holder {
  readonly owner: string;
  readonly at: number;
}

test('of several holders the first by the owner’s key is found, and the next when it is gone', () => {
  const register = new Register<Holder>(({ owner }) => owner);
  for (const [at, owner] of ['c', 'a', 'b', 'a'].entries()) register.add('name', { owner, at });
  assert.deepEqual(register.get('name'), { owner: 'a', at: 1 });
  register.remove('name', 'a');
  assert.deepEqual(register.get('name'), { owner: 'b', at: 2 });
  register.remove('name', 'b');
  register.remove('name', 'b');
  register.remove('other', 'c');
  assert.deepEqual([register.get('name'), register.size], [{ owner: 'c', at: 0 }, 1]);
  register.remove('name', 'c');
  assert.deepEqual([register.get('name'), register.all('name'), register.size], [undefined, [], 0]);
});

test('what is found depends on what is held, not on the way there', () => {
  const names = fc.constantFrom('x', 'y', '__proto__');
  const step = fc.record({ name: names, owner: fc.constantFrom('a', 'b', 'c'), adds: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step), steps => {
      const register = new Register<Holder>(({ owner }) => owner);
      const held: { name: string; holder: Holder }[] = [];
      for (const [at, { name, owner, adds }] of steps.entries()) {
        if (adds) {
          register.add(name, { owner, at });
          held.push({ name, holder: { owner, at } });
        } else {
          register.remove(name, owner);
          held.splice(0, held.length, ...held.filter(each => each.name !== name || each.holder.owner !== owner));
        }
      }
      for (const name of ['x', 'y', '__proto__']) {
        const wanted = held.filter(each => each.name === name).map(({ holder }) => holder);
        const sorted = wanted.toSorted((one, other) => one.owner.localeCompare(other.owner) || one.at - other.at);
        assert.deepEqual(register.all(name), sorted);
      }
    }),
  );
});
