import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Claimant, settleNames } from './name-claims.ts';

function claimant(key: string, facts: Partial<Claimant>): Claimant {
  return { key, id: key, aliases: [], version: undefined, isDefault: false, createdAtMs: 0, ...facts };
}

function outcome(...claimants: Claimant[]): Record<string, string> {
  const settled = [...settleNames(claimants)].map(([key, { names, conflict }]) => {
    const text =
      conflict === undefined ? names.join(' ') : `${conflict.over} ${conflict.name} held by ${conflict.holder.key}`;
    return [key, text];
  });
  return Object.fromEntries(settled);
}

describe('one name, one model', () => {
  test('the older claim wins, and the younger gets nothing at all', () => {
    const older = claimant('z', { id: 'llama', aliases: ['turbo'], createdAtMs: 1 });
    const younger = claimant('a', { id: 'qwen', aliases: ['fast', 'turbo'], createdAtMs: 2 });
    const third = claimant('b', { id: 'mistral', aliases: ['fast'], createdAtMs: 3 });
    assert.deepEqual(outcome(third, younger, older), {
      z: 'llama turbo',
      a: 'name turbo held by z',
      b: 'mistral fast',
    });
  });

  test('between equally old ones the first by key wins', () => {
    assert.deepEqual(outcome(claimant('b/x', { id: 'llama' }), claimant('a/y', { id: 'llama' })), {
      'a/y': 'llama',
      'b/x': 'version llama held by a/y',
    });
  });

  test('an alias may not be the id of another', () => {
    assert.deepEqual(outcome(claimant('a', { id: 'llama' }), claimant('b', { id: 'qwen', aliases: ['llama'] })), {
      a: 'llama',
      b: 'name llama held by a',
    });
  });
});

describe('versions of one id', () => {
  const v = (key: string, version: string | undefined, facts: Partial<Claimant> = {}) =>
    claimant(key, { id: 'llama', version, ...facts });

  test('the newest has the bare name; digits count as numbers', () => {
    assert.deepEqual(outcome(v('a', '9'), v('b', '10'), v('c', '2')), {
      a: 'llama@9',
      b: 'llama llama@10',
      c: 'llama@2',
    });
    assert.equal(outcome(v('a', '1.9'), v('b', '1.10')).b, 'llama llama@1.10');
  });

  test('the default has the bare name, however old its version', () => {
    assert.equal(outcome(v('a', '1', { isDefault: true }), v('b', '2')).a, 'llama llama@1');
  });

  test('no version is older than any', () => {
    assert.deepEqual(outcome(v('a', undefined), v('b', '0')), { a: '', b: 'llama llama@0' });
  });

  test('aliases follow the versions that have them', () => {
    assert.deepEqual(
      outcome(v('a', '1', { aliases: ['turbo'] }), v('b', '2', { aliases: ['turbo', 'new'] }), v('c', '3')),
      {
        a: 'llama@1 turbo@1',
        b: 'turbo new llama@2 turbo@2 new@2',
        c: 'llama llama@3',
      },
    );
  });

  test('the same version twice is a conflict, and so are two defaults', () => {
    assert.equal(outcome(v('a', '1'), v('b', '1', { createdAtMs: 1 })).b, 'version llama held by a');
    const two = outcome(v('a', '1', { isDefault: true }), v('b', '2', { isDefault: true, createdAtMs: 1 }));
    assert.deepEqual(two, { a: 'llama llama@1', b: 'default llama held by a' });
  });

  test('the version of a claim that lost cannot stand in its way', () => {
    const settled = outcome(
      claimant('a', { id: 'qwen', aliases: ['x'] }),
      v('b', '1', { aliases: ['x'], createdAtMs: 1 }),
      v('c', '1', { createdAtMs: 2 }),
    );
    assert.deepEqual(settled, { a: 'qwen x', b: 'name x held by a', c: 'llama llama@1' });
  });
});

describe('whatever is claimed', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd');
  const claimants = fc
    .uniqueArray(
      fc.record({
        key: fc.string({ minLength: 1, maxLength: 3 }),
        id: name,
        aliases: fc.uniqueArray(name, { maxLength: 3 }),
        version: fc.option(fc.constantFrom('1', '2', '10'), { nil: undefined }),
        isDefault: fc.boolean(),
        createdAtMs: fc.integer({ min: 0, max: 3 }),
      }),
      { selector: ({ key }) => key, maxLength: 12 },
    )
    .map(list => list.map(claim => ({ ...claim, aliases: claim.aliases.filter(alias => alias !== claim.id) })));

  test('no two models share a name, and every name asked for by a model belongs to somebody', () => {
    fc.assert(
      fc.property(claimants, list => {
        const settled = settleNames(list);
        const names = [...settled.values()].flatMap(({ names }) => names ?? []);
        assert.equal(new Set(names).size, names.length);
        for (const { id, aliases } of list)
          for (const name of [id, ...aliases]) {
            const accepted = list.some(c => settled.get(c.key)?.names && [c.id, ...c.aliases].includes(name));
            assert.equal(names.includes(name), accepted);
          }
      }),
    );
  });

  test('the order in which claims are told makes no difference', () => {
    const shuffled = claimants.chain(list =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(shuffled, ([list, other]) => {
        assert.deepEqual(outcome(...other), outcome(...list));
      }),
    );
  });

  test('a younger claim never changes what the older ones have, but for the bare names of its own versions', () => {
    fc.assert(
      fc.property(claimants, fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom('a', 'e'), (list, id, alias) => {
        const before = settleNames(list);
        const late = claimant('late comer', { id, aliases: alias === id ? [] : [alias], createdAtMs: 9 });
        const after = settleNames([...list, late]);
        for (const { key, id: other } of list) if (other !== id) assert.deepEqual(after.get(key), before.get(key));
      }),
    );
  });
});
